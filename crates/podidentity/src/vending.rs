//! What is asked for a pod, and what is answered
//! (`POST /bailiwick/v1/clusters/{id}/pod-identity/credentials`).
//!
//! An agent hands the answer on to the pod as it came, and reads of it only what it needs to keep it.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// The token of the pod's service account.
    pub token: String,
}

/// The answer, as far as an agent reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The association by which it was answered.
    pub pod_identity_association_id: String,
    /// How often that was changed before.
    pub epoch: i64,
    /// The credentials.
    pub credentials: Ends,
}

/// When credentials end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ends {
    /// RFC 3339 in UTC, with a fraction of a second.
    pub expiration: String,
}

impl Answer {
    /// When the credentials end. `None` if the answer says it in no form that we know.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::parse_rfc3339(&self.credentials.expiration)
    }
}
