//! Where a grant stands in one cluster.

use std::fmt;

use crate::{ClusterId, Timestamp};

/// How far a grant, or its revoke, has come in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The cluster has no connection: the grant is written down and nothing more.
    Recorded,
    /// Accepted, not yet applied.
    Pending,
    /// The API server stored the binding.
    Applied,
    /// In addition an access review of the cluster said yes.
    Effective,
    /// The cluster refused; the reason says what.
    Failed,
    /// Its role allows more than somebody accepted, so nothing of it is bound; the reason says what, and how to accept it.
    Held,
    /// The cluster did not answer.
    Unreachable,
    /// No binding of ours names the principals there any more.
    Revoked,
    /// The same, but the cluster still says yes: something that is not ours grants it, and the reason names it.
    RevokedResidual,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Recorded,
        Self::Pending,
        Self::Applied,
        Self::Effective,
        Self::Failed,
        Self::Held,
        Self::Unreachable,
        Self::Revoked,
        Self::RevokedResidual,
    ];

    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Effective => "effective",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Unreachable => "unreachable",
            Self::Revoked => "revoked",
            Self::RevokedResidual => "revoked-residual",
        }
    }

    /// Reads [`State::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A grant's state in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterGrantState {
    /// Which cluster.
    pub cluster: ClusterId,
    /// How far it has come.
    pub state: State,
    /// Why, in a sentence; empty if there is nothing to say.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Which generation of the grant the state is about.
    pub observed_generation: i64,
}
