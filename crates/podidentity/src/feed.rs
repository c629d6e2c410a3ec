//! What the server tells the agents of a cluster: how tokens are verified, which associations there are, and which changed.
//!
//! An agent asks again with the revision of the last answer. The server answers as soon as something is newer, or after a
//! while that nothing was (`GET /bailiwick/v1/clusters/{id}/pod-identity/feed?after=R&wait=SECONDS`). An answer that is
//! `complete` replaces everything that was said before; every other one says what changed. An answer of another `history`
//! than the last one is of another state of the database: nothing that was known before counts any more. Who names the
//! history that it knows (`&history=H`) is then told everything at once; who does not asks again from 0.

use serde::{Deserialize, Serialize};

use crate::keys::KeySet;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feed {
    /// How far it tells; what the next question is after.
    pub revision: i64,
    /// Of which course of the database this is; another one after a restored copy was confirmed.
    pub history: String,
    /// Whether everything is in it: what an agent knows and it does not name is gone.
    pub complete: bool,
    /// How tokens are verified, and what pods are told.
    pub verification: Verification,
    /// Associations that are there; if it is not complete, those that are new or changed.
    pub associations: Vec<Known>,
    /// Ids of associations that are not there any more, if it is not complete.
    pub ended: Vec<String>,
}

/// How tokens are verified, and what pods are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether the keys below are those of the cluster.
    pub state: State,
    /// For whom tokens must be, and what projected volumes ask for.
    pub audience: String,
    /// Who issues the cluster's tokens; `None` while the cluster was not asked yet.
    pub issuer: Option<String>,
    /// The cluster's keys; none while it was not asked yet.
    pub keys: KeySet,
    /// The environment variable with the URL of the local endpoint.
    pub uri_variable: String,
    /// The environment variable with the path of the token.
    pub token_file_variable: String,
    /// Whether pods may ask the server themselves. Older servers never let them.
    #[serde(default)]
    pub direct: bool,
}

/// Whether it is known how tokens are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is, and the keys are all that count.
    Known,
    /// This server did not ask the cluster yet, so it names no key. Agents keep those that they have, for a while.
    Unknown,
    /// The cluster is suspended, detached or removed: nobody's token counts, and agents forget the keys that they have.
    None,
}

/// An association as agents need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Its id.
    pub id: String,
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// How often it was changed: what was vended under a smaller number is not handed out any more.
    pub epoch: i64,
    /// When it was made (RFC 3339).
    pub created_at: String,
}
