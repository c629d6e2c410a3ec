//! `SDK-HMAC-SHA256`: a request signed with an access key.
//!
//! The rules beyond the vendors' text, because a verifier that follows the text literally lets a captured request be
//! sent again with another body:
//! - `X-Sdk-Content-Sha256` counts only if it is signed, and unless it is `UNSIGNED-PAYLOAD` it must be the hash of
//!   the body that arrived;
//! - `UNSIGNED-PAYLOAD` is refused where the content type is JSON or the operation takes a JSON body;
//! - a header that changes what the request means must be signed if it is there.

use domain::{Error, ErrorKind, Result, Timestamp};
use service::Service;

use super::canonical::Text;
use super::date;
use super::failure::Failure;
use super::mac::{self, Hex};
use super::proof::{Named, Proof, noted, prove};
use super::signed_headers::{Parameters, SignedHeaders};
use crate::head::Head;
use crate::operation::BodyRule;

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "SDK-HMAC-SHA256";

/// What is said of a key that is locked, where the vendor has no words of its own.
pub const LOCKED: &str =
    "too many wrong signatures with this access key from your address; try again in five minutes";

const CONTENT_HASH: &str = "x-sdk-content-sha256";
const DATE: &str = "x-sdk-date";
const SECURITY_TOKEN: &str = "x-security-token";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Headers that change what a request means. Each must be signed if it is there.
const MEANINGFUL: [&str; 6] = [
    "x-project-id",
    "x-domain-id",
    SECURITY_TOKEN,
    "x-subject-token",
    CONTENT_HASH,
    "x-http-method-override",
];

/// Whose signature this is.
///
/// # Errors
/// `Ok(Err(failure))` if it proves nothing; `Err` if the database does not answer.
pub async fn verify(
    service: &Service,
    head: &Head,
    parameters: &str,
    body: &[u8],
    rule: BodyRule,
) -> Result<Result<Proof, Failure>> {
    match Signed::read(head, parameters, service.now()) {
        Ok(signed) => {
            prove(service, head, signed.named(), |secret| signed.check(head, body, rule, secret)).await
        }
        Err(failure) => Ok(Err(noted(service, head, failure))),
    }
}

/// A signature that has its form and is in time. Reading and checking are pure.
pub struct Signed<'a> {
    /// The id of the access key.
    pub access: &'a str,
    /// The date as it is signed.
    pub(crate) date: &'a str,
    at: Timestamp,
    headers: SignedHeaders<'a>,
    pub(crate) signature: &'a str,
}

impl<'a> Signed<'a> {
    /// Reads what follows the scheme's name in `Authorization`.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away.
    pub fn read(head: &'a Head, parameters: &'a str, now: Timestamp) -> Result<Self, Failure> {
        let parameters = Parameters::read(parameters, "Access")?;
        Self::of(head, &parameters, parameters.credential, now)
    }

    /// The same from parameters that are read, for the access key `access`.
    pub(crate) fn of(
        head: &'a Head,
        parameters: &Parameters<'a>,
        access: &'a str,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let date = head.header(DATE).ok_or(Failure::DateForm)?;
        let at = date::check(date::compact(date), now)?;
        let headers = SignedHeaders::read(head, parameters.headers)?;
        headers.demand(&["host", DATE])?;
        headers.demand_if_sent(head, |name| MEANINGFUL.contains(&name))?;
        Ok(Self { access, date, at, headers, signature: parameters.signature })
    }

    /// Whose key it is, and the security token under it.
    #[must_use]
    pub fn named(&self) -> Named<'a> {
        let token = self.headers.get(SECURITY_TOKEN);
        Named { access: self.access, token, signature: self.signature, at: self.at }
    }

    /// Whether `secret` made it, of this request with this body.
    ///
    /// # Errors
    /// `Mismatch` if it did not.
    pub fn check(&self, head: &Head, body: &[u8], rule: BodyRule, secret: &str) -> Result<(), Failure> {
        let digest = self.digest(head, body, rule)?;
        let text: [&[u8]; 5] = [SCHEME.as_bytes(), b"\n", self.date.as_bytes(), b"\n", &digest];
        mac::compare(mac::sha256(secret.as_bytes(), &text), self.signature)
    }

    /// The hash of the canonical request.
    pub(crate) fn digest(&self, head: &Head, body: &[u8], rule: BodyRule) -> Result<Hex, Failure> {
        let payload = self.payload(head, body, rule)?;
        let mut text = Text::begin(head.method.as_str());
        text.path_decoded_and_encoded_anew(&head.raw_path);
        Ok(text.rest(&head.query, &self.headers.values, self.headers.list, payload.as_bytes()))
    }

    /// What the client must have put in place of the body's hash.
    fn payload(&self, head: &Head, body: &[u8], rule: BodyRule) -> Result<Payload, Failure> {
        let actual = mac::hash(body);
        if body.is_empty() || !head.headers.contains_key(CONTENT_HASH) {
            return Ok(Payload::Hash(actual));
        }
        let claimed = self.headers.get(CONTENT_HASH).ok_or(Failure::Mismatch)?;
        if claimed == UNSIGNED {
            let content_type = head.header("content-type").unwrap_or_default().to_ascii_lowercase();
            let json = rule == BodyRule::Json || content_type.contains("json");
            return if json { Err(Failure::Mismatch) } else { Ok(Payload::Unsigned) };
        }
        if claimed.as_bytes() == actual { Ok(Payload::Hash(actual)) } else { Err(Failure::Mismatch) }
    }
}

/// What stands for the body in the canonical request.
enum Payload {
    Hash(Hex),
    Unsigned,
}

impl Payload {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Hash(hex) => hex,
            Self::Unsigned => UNSIGNED.as_bytes(),
        }
    }
}

/// The failure as an error that says nothing about users or clusters.
#[must_use]
pub fn error(failure: Failure, prefix: &str) -> Error {
    let text = match failure {
        Failure::Malformed(what) => format!("the Authorization header {what}"),
        Failure::DateForm | Failure::Date => {
            "X-Sdk-Date must be YYYYMMDDTHHMMSSZ within 15 minutes of the server's time".to_owned()
        }
        Failure::UnknownKey(access) => {
            format!("Get secretKey failed,ak:{},err:ak not exist", Failure::shown(&access))
        }
        Failure::SecurityToken => {
            "X-Security-Token must be the token of the temporary access key, and absent for any other"
                .to_owned()
        }
        Failure::Locked => LOCKED.to_owned(),
        Failure::Mismatch | Failure::Body | Failure::UnprotectedBody => {
            "verify aksk signature fail".to_owned()
        }
    };
    Error::new(ErrorKind::Unauthenticated, format!("{prefix}{text}"))
}

#[cfg(test)]
#[path = "access_key_tests.rs"]
mod tests;
