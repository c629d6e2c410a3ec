//! Clusters as the fleet knows them. Their credentials are not here: they are sealed in the store.

use std::collections::BTreeMap;
use std::fmt;

use crate::{AccountId, Arrival, ClusterId, EnterpriseProjectId, PrincipalId, ProjectId, Timestamp};

/// A registered cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Unique in the installation, for ever.
    pub id: ClusterId,
    /// The tenant.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The enterprise project it belongs to.
    pub enterprise_project: Option<EnterpriseProjectId>,
    /// Who runs it, for example `onprem`; a free word.
    pub provider: String,
    /// Where it runs; defaults to its project's name.
    pub region: String,
    /// Who answers for it.
    pub owner: Option<PrincipalId>,
    /// Labels chosen by its administrators.
    pub labels: BTreeMap<String, String>,
    /// `https://host:port` of its API server; `None` while it is detached.
    pub server: Option<String>,
    /// What the last contact said.
    pub connection: ConnectionState,
    /// Why the connection is in that state, in a sentence; empty if all is well.
    pub connection_reason: String,
    /// The API server's version, for example `v1.20.2`; empty until it was asked.
    pub version: String,
    /// When it was learned which cluster its connection leads to; `None` if it was never reached.
    pub identified_at: Option<Timestamp>,
    /// Under which names people arrive there.
    pub arrival: Arrival,
    /// Since when its grants are suspended, because its connection leads to another cluster than before.
    pub suspended_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// How we stand with a cluster's API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Registered without a connection: grants are recorded only.
    Detached,
    /// Has a connection that was not tried yet.
    Connecting,
    /// Answers.
    Connected,
    /// Does not answer, or refuses our credential.
    Unreachable,
}

impl ConnectionState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Detached, Self::Connecting, Self::Connected, Self::Unreachable];

    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Unreachable => "unreachable",
        }
    }

    /// Reads [`ConnectionState::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
