//! The database: the only crate with SQL.
//!
//! One concrete [`Store`] speaks to SQLite and to PostgreSQL with the same statements. One SQL text is not one
//! behaviour, so every statement runs in the acceptance suite on both, and each write transaction begins by taking
//! the account's row in `revision`: that row is the account's write lock and numbers its commits.
//!
//! Nothing here decides who may do what; only `service` calls this crate.

mod accepted_roles;
mod accounts;
mod activity;
mod administered;
mod agencies;
mod agents;
mod apart;
mod arrivals;
mod association_ends;
mod associations;
mod attachments;
mod audit;
mod backup;
mod begin;
mod certificate_ends;
mod certificates;
mod checks;
mod clusters;
mod connections;
mod counts;
mod database_url;
mod directory;
mod error;
mod grants;
mod group;
mod history;
mod hold;
mod installation;
mod keys;
mod leases;
mod lineage;
mod master_key;
mod memberships;
mod migrate;
mod names;
mod open;
mod peek;
mod permissions;
#[cfg(test)]
mod plans;
mod policies;
mod principals;
mod recovery;
mod removals;
mod rows;
mod sealed;
mod service_accounts;
mod session_ends;
mod sessions;
mod signed_requests;
mod stamp_key;
mod standing;
mod states;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transaction;
mod transport;
mod turns;
mod vended;

pub use accepted_roles::AcceptedRole;
pub use administered::{Administered, AdministeredNamespaces};
pub use agencies::{AgencyDetails, Trusting};
pub use agents::{AgentPair, AgentRole};
pub use attachments::Holder;
pub use audit::{AuditEvent, AuditFilter, AuditRow, AuditedPod, Explanation, Outcome};
pub use backup::BackupFacts;
pub use certificates::{AskedWith, Certificate, CertificateFilter, LiveCertificate};
pub use checks::KeptCheck;
pub use clusters::{ClusterRow, NewCluster};
pub use connections::{ConnectionFacts, NewConnection};
pub use history::{GrantVersion, Versions};
pub use hold::{HeldPlan, Hold};
pub use installation::Installation;
pub use keys::AccessKey;
pub use leases::LeaseRow;
pub use master_key::{Answer, MasterKeyState};
pub use names::AppliedName;
pub use open::{Location, Store};
pub use peek::{Peek, Schema};
pub use permissions::{ChangedPermission, HeldGrants};
pub use policies::HeldPolicy;
pub use removals::WaitingRemoval;
pub use sealed::{Sealed, SealedValue};
pub use service_accounts::AssociatedNamespace;
pub use session_ends::{Derived, Ended};
pub use sessions::{Ancestor, AncestorKind, LivingAncestors, Session, SessionKind};
pub use signed_requests::{FirstOutcome, SignedRow};
pub use stamp_key::STAMP_KEY;
pub use standing::{Declared, Standing};
pub use states::GrantStateRow;
pub use transaction::{AccountRevision, Page, ReadTx, WriteTx};
pub use vended::{LONGEST_VENDED, VENDED, VendedSession, VendedTo, VendedUntil};
