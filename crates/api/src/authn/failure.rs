//! Why a signature proves nothing. Each dialect puts these into the words of its vendor.

use service::AuthFailure;

/// Why a signature proves nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// What carries the signature does not have its form; the text says what is missing.
    Malformed(String),
    /// The date is missing, or not in its form.
    DateForm,
    /// The date is more than 15 minutes away.
    Date,
    /// No such access key, or it or its user is disabled.
    UnknownKey(String),
    /// The signature is not the request's.
    Mismatch,
    /// The body is not the one whose hash was signed.
    Body,
    /// Nothing that was signed says anything about the body.
    UnprotectedBody,
    /// Too many wrong signatures with this key came from there; this one was not looked at.
    Locked,
    /// A temporary key without its security token, or a key with one that is not its own.
    SecurityToken,
}

impl Failure {
    /// What it counts as.
    #[must_use]
    pub fn reason(&self) -> AuthFailure {
        match self {
            Self::Malformed(_) | Self::UnprotectedBody => AuthFailure::Malformed,
            Self::DateForm | Self::Date => AuthFailure::Date,
            Self::Locked => AuthFailure::Locked,
            Self::UnknownKey(_) => AuthFailure::UnknownKey,
            Self::Mismatch | Self::Body | Self::SecurityToken => AuthFailure::Signature,
        }
    }

    /// The access key's id as it may be shown: what a stranger sent is not repeated at length.
    #[must_use]
    pub fn shown(access: &str) -> String {
        access.chars().filter(char::is_ascii_graphic).take(64).collect()
    }
}
