//! What a pod is told that gets nothing: a status, a word for programs, a sentence for whoever reads its log.

use http::StatusCode;
use podidentity::Rejected;
use serde::Serialize;

use crate::server;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The status.
    #[serde(skip)]
    pub status: StatusCode,
    /// In how many seconds to come again, if that may help.
    #[serde(skip)]
    pub again: Option<u64>,
    /// The word, which does not change.
    pub code: String,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal that nothing but another request would change.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, again: None, code: code.to_owned(), message: message.into() }
    }

    /// The token proves nothing.
    #[must_use]
    pub fn unproved(why: &Rejected) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, why.word(), why.to_string())
    }

    /// Nothing can be said now: try again in so many seconds.
    #[must_use]
    pub fn away(why: &str, again: u64) -> Self {
        let message = format!("no credentials now, try again: {why}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { again: Some(again), ..Self::new(status, "unavailable", message) }
    }

    /// Too much at once: try again in a second.
    #[must_use]
    pub fn busy(why: &str) -> Self {
        Self { again: Some(1), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", why) }
    }
}

impl From<server::Refusal> for Refusal {
    fn from(refusal: server::Refusal) -> Self {
        Self::new(refusal.status, &refusal.reason, refusal.message)
    }
}
