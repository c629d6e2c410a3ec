//! The nouns of Bailiwick: what an account, a principal, a cluster and a grant are, and what may go wrong.
//!
//! Nothing here does IO, reads a clock or rolls dice: both are parameters ([`Clock`], [`Entropy`]). No word of a
//! cloud vendor's dialect appears; dialects translate at the edge.

pub mod activity;
pub mod arrival;
pub mod association;
pub mod certificate;
pub mod clock;
pub mod cluster;
pub mod entropy;
pub mod error;
pub mod grant;
pub mod id;
pub mod identity;
pub mod lineage;
pub mod namespace;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod role;
pub mod secret;
pub mod state;
pub mod tenancy;

pub use arrival::{Arrival, GroupMembers, NameTemplate};
pub use association::{Association, ServiceAccountName};
pub use clock::{Clock, Timestamp};
pub use cluster::{Cluster, ConnectionState};
pub use entropy::Entropy;
pub use error::{Denial, Error, ErrorKind, Missing, Result, Told};
pub use grant::{ClusterScope, Grant, GrantSpec, NamespaceScope, Principals};
pub use id::{
    AccessKeyId, AccountId, AssociationId, CertificateId, ClusterId, EnterpriseProjectId, GrantId, Id,
    InstallationId, PolicyId, PrincipalId, ProjectId, SessionId,
};
pub use identity::{Authority, ClusterIdentity, Likeness};
pub use lineage::{LineageEntry, LineageKind, Stamp, Standing};
pub use namespace::Namespace;
pub use permission::{Permission, Place};
pub use policy::{Attachment, Policy, PolicyScope, PolicyVersion};
pub use principal::{ExternalId, Principal, PrincipalKind};
pub use role::{ClusterRoleName, Role};
pub use secret::Secret;
pub use state::{ClusterGrantState, State};
pub use tenancy::{Account, EnterpriseProject, Project};
