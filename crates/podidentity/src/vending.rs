//! What is asked for pods, and what is answered
//! (`POST /bailiwick/v1/clusters/{id}/pod-identity/credentials`).
//!
//! Pods that start together are asked for together. An agent hands a pod's answer on whole, and reads of it only what it
//! needs to keep it.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// So many tokens may be in one request.
pub const MOST: usize = 32;

/// What is asked.
#[derive(Serialize)]
pub struct Request<'a> {
    /// Tokens of pods' service accounts.
    pub tokens: Vec<&'a str>,
}

/// What is answered: something for each token, in their order.
#[derive(Serialize, Deserialize)]
pub struct Answers<T> {
    /// As many as there were tokens.
    pub answers: Vec<Answered<T>>,
}

/// What is answered for one token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered<T> {
    /// The status that a request for it alone would have.
    pub status: u16,
    /// When it may be asked for again, in seconds from now, if that is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The credentials, or the fault.
    pub body: T,
}

/// Credentials, as far as an agent reads them.
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
