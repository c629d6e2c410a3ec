//! Use cases behind one door: every frontend, controller and command comes through here.
//!
//! A public function that acts for somebody takes a [`Call`] first, and its first statement asks [`authz`]. Each
//! change is one database transaction with its audit row; after the commit, copies kept in memory are out of date
//! by their revision, and the fleet's workers are poked.

mod abuse;
pub mod audit;
pub mod authz;
mod cache;
pub mod call;
pub mod clusters;
pub mod directory;
pub mod fleet;
pub mod grants;
pub mod installation;
pub mod measures;
pub mod pod_identity;
pub mod policies;
pub mod quotas;
mod replay;
mod service;
pub mod sessions;

pub use ::store::Declared;
pub use abuse::{Rate, Rates, Throttled};
pub use audit::{AuditFilter, AuditRow, AuthFailure};
pub use call::{Call, Caller, Origin, Proof, SessionFacts, Tag};
pub use clusters::connection::{Connection, Credential};
pub use clusters::remains::Remains;
pub use clusters::removal::{Removal, Removed};
pub use clusters::rotation::{IfOther, Rotated};
pub use clusters::{ClusterUpdate, NewCluster};
pub use directory::access_keys::{KeyUpdate, NewKey, SigningKey};
pub use directory::agencies::{Agency, AgencyDetails, AgencyUpdate, TrustedAccount};
pub use directory::membership::{ClusterRequires, Imported, Within};
pub use directory::principals::{NewPrincipal, PrincipalUpdate};
pub use directory::which::{Which, WhichKey};
pub use grants::accepted_roles::RoleGrowth;
pub use grants::administration::GrantRequires;
pub use grants::history::PastGrant;
pub use grants::{GrantFilter, GrantList};
pub use installation::key_ring::MasterKeys;
pub use installation::seal::MasterKey;
pub use pod_identity::PodIdentity;
pub use quotas::Quotas;
pub use replay::SignedRequest;
pub use service::{PageRequest, Paged, Service, Settings};
pub use sessions::assuming::{Assumed, Assumption};
pub use sessions::temporary_keys::TemporaryKey;
pub use sessions::tokens::{IssuedToken, Login, Scope, TokenView};
