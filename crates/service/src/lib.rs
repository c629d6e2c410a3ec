//! Use cases behind one door: every frontend, controller and command comes through here.
//!
//! A public function that acts for somebody takes a [`Call`] first, and its first statement asks [`authz`]. Each
//! change is one database transaction with its audit row; after the commit, copies kept in memory are out of date
//! by their revision, and the fleet's workers are poked.

mod abuse;
pub mod access_keys;
mod administration;
mod arrivals;
pub mod assuming;
pub mod audit;
pub mod authorization_message;
pub mod authz;
mod bindings;
mod bindings_count;
pub mod bootstrap;
mod cache;
pub mod call;
pub mod clusters;
pub mod connection;
pub mod expiring;
pub mod fleet;
mod gate;
pub mod grants;
pub mod groups;
pub mod history;
pub mod key_ring;
pub mod key_rotation;
mod ladder;
pub mod leases;
pub mod lineage;
pub mod measures;
mod names;
mod password;
pub mod principals;
pub mod projects;
pub mod quotas;
pub mod recovery;
pub mod remains;
pub mod removal;
pub mod removals;
mod replay;
pub mod revocation;
pub mod rotation;
mod schemas;
pub mod seal;
mod service;
pub mod session_tags;
pub mod sessions;
mod shares;
mod stamp_key;
pub mod temporary_keys;
pub mod tokens;

pub use abuse::{Rate, Rates, Throttled};
pub use access_keys::{NewKey, SigningKey};
pub use administration::GrantRequires;
pub use assuming::{Assumed, Assumption};
pub use audit::{AuditFilter, AuditRow, AuthFailure};
pub use call::{Call, Caller, Origin, Proof, SessionFacts, Tag};
pub use clusters::{ClusterUpdate, NewCluster};
pub use connection::{Connection, Credential};
pub use grants::{GrantFilter, GrantList};
pub use history::PastGrant;
pub use key_ring::MasterKeys;
pub use principals::NewPrincipal;
pub use quotas::Quotas;
pub use remains::Remains;
pub use removal::{Removal, Removed};
pub use replay::SignedRequest;
pub use rotation::{IfOther, Rotated};
pub use seal::MasterKey;
pub use service::{PageRequest, Paged, Service, Settings};
pub use temporary_keys::TemporaryKey;
pub use tokens::{IssuedToken, Login, Scope, TokenView};
