//! Which scheme a request is signed by, and the pure part of all of them. A request is signed by one: what carries
//! two signatures, or a signature and a token, proves nothing.

use domain::Timestamp;

use super::settings::UnprotectedBody;
use super::{acs3, roa, rpc};
use crate::authn::failure::Failure;
use crate::authn::proof::Named;
use crate::head::Head;

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A signature by one of the schemes that are served.
    Signature(Scheme<'a>),
    /// Something that is not served.
    NotServed(&'static str),
    /// More than one thing.
    Several,
}

/// A scheme, with what follows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `ACS3-HMAC-SHA256`.
    Acs3(&'a str),
    /// `acs`.
    Roa(&'a str),
    /// Parameters in query and form.
    Rpc,
}

/// What the request shows.
#[must_use]
pub fn shown(head: &Head) -> Shown<'_> {
    let has = |name: &str| head.headers.contains_key(name);
    let bearer = has("x-acs-bearer-token") || has("x-acs-zero-trust-idtoken") || has("x-acs-signature-type");
    let parameter = |name: &str| head.path == "/" && head.query(name).is_some();
    let parameters = parameter(rpc::SIGNATURE) || parameter("AccessKeyId");
    let authorization = head.headers.get(http::header::AUTHORIZATION);
    match (authorization, parameters, bearer, has("x-auth-token")) {
        (None, false, false, false) => Shown::Nothing,
        (None, true, false, false) => Shown::Signature(Scheme::Rpc),
        (None, false, true, false) => Shown::NotServed("bearer tokens are not served"),
        (Some(value), false, false, false) => value.to_str().map_or(Shown::NotServed(SERVED), by_name),
        (_, _, _, _) => Shown::Several,
    }
}

const SERVED: &str = "the Authorization scheme is not served";

fn by_name(authorization: &str) -> Shown<'_> {
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    match scheme {
        acs3::SCHEME => Shown::Signature(Scheme::Acs3(rest.trim())),
        roa::SCHEME => Shown::Signature(Scheme::Roa(rest.trim())),
        "ACS3-RSA-SHA256" => Shown::NotServed("signatures by RSA are not served"),
        "ACS3-HMAC-SM3" => Shown::NotServed("signatures by SM3 are not served"),
        "Bearer" => Shown::NotServed("bearer tokens are not served"),
        _ => Shown::NotServed(SERVED),
    }
}

/// A signature that has its form and is in time.
pub enum Signed<'a> {
    /// By `ACS3-HMAC-SHA256`.
    Acs3(acs3::Signed<'a>),
    /// By `acs`.
    Roa(roa::Signed<'a>),
    /// Over the parameters.
    Rpc(rpc::Signed),
}

impl<'a> Signed<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away.
    pub fn read(head: &'a Head, scheme: Scheme<'a>, body: &[u8], now: Timestamp) -> Result<Self, Failure> {
        let signed = match scheme {
            Scheme::Acs3(parameters) => Self::Acs3(acs3::Signed::read(head, parameters, now)?),
            Scheme::Roa(parameters) => Self::Roa(roa::Signed::read(head, parameters, now)?),
            Scheme::Rpc => Self::Rpc(rpc::Signed::read(head, body, now)?),
        };
        // The key's id may be said twice. Both say the same, or the request has two readings.
        let again = head.headers.get("x-acs-accesskey-id").map(http::HeaderValue::as_bytes);
        if again.is_some_and(|again| again != signed.named().access.as_bytes()) {
            return Err(Failure::Malformed("needs the key of `x-acs-accesskey-id`".to_owned()));
        }
        Ok(signed)
    }

    /// Whose key it is, and the security token under it.
    #[must_use]
    pub fn named(&self) -> Named<'_> {
        match self {
            Self::Acs3(signed) => Named {
                access: signed.access,
                token: signed.token,
                signature: signed.signature,
                at: signed.at,
            },
            Self::Roa(signed) => Named {
                access: signed.access,
                token: signed.token,
                signature: signed.signature,
                at: signed.at,
            },
            Self::Rpc(signed) => Named {
                access: &signed.access,
                token: signed.token.as_deref(),
                signature: &signed.signature,
                at: signed.at,
            },
        }
    }

    /// Whether `secret` made it, of this request with this body.
    ///
    /// # Errors
    /// `Mismatch` if it did not; `Body` or `UnprotectedBody` if it did not cover this body.
    pub fn check(
        &self,
        head: &Head,
        body: &[u8],
        unprotected: UnprotectedBody,
        secret: &str,
    ) -> Result<(), Failure> {
        match self {
            Self::Acs3(signed) => signed.check(head, body, secret),
            Self::Roa(signed) => signed.check(head, body, unprotected, secret),
            Self::Rpc(signed) => signed.check(head, secret),
        }
    }

    /// What the signature should have been made of, unless it holds a secret.
    #[must_use]
    pub fn string_to_sign(&self, head: &Head, body: &[u8]) -> Option<String> {
        match self {
            Self::Acs3(signed) => Some(signed.string_to_sign(head, body)),
            Self::Roa(signed) => signed.string_to_sign(head),
            Self::Rpc(signed) => signed.shown_string_to_sign(head),
        }
    }
}
