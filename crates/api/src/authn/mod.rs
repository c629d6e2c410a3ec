//! Who is calling: exactly one credential, in a scheme that the dialect knows.

pub mod access_key;
pub mod canonical;
pub mod date;
pub mod failure;
pub mod mac;
pub mod proof;
pub mod signed_headers;
pub mod token;

use domain::{Error, ErrorKind, Result};

use crate::head::Head;

/// What a request shows to prove who is calling. A request that shows two things proves nothing: which of them
/// counted would be for the reader to decide.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// `Authorization` with a scheme and its parameters.
    Authorization {
        /// The scheme's name.
        scheme: &'a str,
        /// What follows it.
        parameters: &'a str,
    },
    /// `X-Auth-Token`.
    Token(&'a str),
}

/// What the request shows.
///
/// # Errors
/// `Invalid` if it shows more than one credential, or one that is not text.
pub fn shown(head: &Head) -> Result<Shown<'_>> {
    let text = |name: &str| match head.headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("the header `{name}` must be printable ASCII"))
        }),
    };
    match (text("authorization")?, text("x-auth-token")?) {
        (None, None) => Ok(Shown::Nothing),
        (Some(_), Some(_)) => Err(Error::new(
            ErrorKind::Invalid,
            "show one credential: either `Authorization` or `X-Auth-Token`, not both",
        )),
        (None, Some(token)) => Ok(Shown::Token(token)),
        (Some(authorization), None) => {
            let (scheme, parameters) = authorization.split_once(' ').unwrap_or((authorization, ""));
            Ok(Shown::Authorization { scheme, parameters: parameters.trim() })
        }
    }
}
