//! Pure decisions about Kubernetes RBAC: which bindings should be in a cluster, and what must change.
//!
//! [`desired`] turns grants into *slots* (a role in a scope) with their subjects; [`plan`] compares that with what a
//! cluster holds and says what to do, in an order in which nobody loses a permission that they keep. Nothing here
//! talks to a cluster, waits, or knows the time: whoever does that calls these functions and does what they say.

pub mod check;
pub mod cluster_roles;
pub mod coverage;
pub mod probe;
pub mod stamp;

mod desired;
mod names;
mod object;
mod owner;
mod plan;
mod removal;
mod share;

#[cfg(test)]
mod coverage_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plan_properties;
#[cfg(test)]
mod plan_tests;

pub use desired::{Desired, Placement, desired};
pub use names::{Named, SubjectNames};
pub use object::{
    Binding, ObjectName, ObservedBinding, ObservedSubject, RBAC_GROUP, Scope, Slot, Subject, SubjectKind,
};
pub use owner::{Owner, is_ours, is_owner_label, labels, may_be_ours};
pub use plan::{Change, Plan, Taken, emptied, plan};
pub use removal::{Evidence, RecordedVersion, hold_back, removed_roles, unexplained};

/// The field manager of all our server-side applies.
pub const FIELD_MANAGER: &str = "bailiwick";

/// The most subjects in one binding; more are split over several.
pub const MAX_SUBJECTS: usize = 500;
