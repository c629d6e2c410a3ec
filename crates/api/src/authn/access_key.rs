//! `SDK-HMAC-SHA256`: a request signed with an access key.
//!
//! The rules beyond the vendors' text, because a verifier that follows the text literally lets a captured request be
//! sent again with another body:
//! - `X-Sdk-Content-Sha256` counts only if it is signed, and unless it is `UNSIGNED-PAYLOAD` it must be the hash of
//!   the body that arrived;
//! - `UNSIGNED-PAYLOAD` is refused where the content type is JSON or the operation takes a JSON body;
//! - a header that changes what the request means must be signed if it is there.

use std::sync::Arc;

use domain::{Error, ErrorKind, Result, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use service::{AuthFailure, Call, Service, SignedRequest, SigningKey};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::canonical::{self, Request, body_hash};
use crate::head::Head;
use crate::operation::BodyRule;

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "SDK-HMAC-SHA256";

/// How far the caller's clock may be from ours.
const WINDOW_SECONDS: i64 = 15 * 60;

/// What is said of a key that is locked, where the vendor has no words of its own.
const LOCKED: &str =
    "too many wrong signatures with this access key from your address; try again in five minutes";

const CONTENT_HASH: &str = "x-sdk-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Headers that change what a request means. Each must be signed if it is there.
const MEANINGFUL: [&str; 6] = [
    "x-project-id",
    "x-domain-id",
    "x-security-token",
    "x-subject-token",
    CONTENT_HASH,
    "x-http-method-override",
];

/// Why a signature proves nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The header does not have its form; the text says what is missing.
    Malformed(String),
    /// The date is missing, unreadable, or more than 15 minutes away.
    Date,
    /// No such access key, or it or its user is disabled.
    UnknownKey(String),
    /// The signature is not the request's.
    Mismatch,
    /// Too many wrong signatures with this key came from there; this one was not looked at.
    Locked,
    /// The security token is missing, not the key's, or shown with a key that has none.
    SecurityToken,
}

/// A signature that is the request's.
pub struct Proof {
    key: Arc<SigningKey>,
    signed: SignedRequest,
}

impl Proof {
    /// The request as its signer's call.
    #[must_use]
    pub fn call(self, head: &Head) -> Call {
        let reads = [http::Method::GET, http::Method::HEAD].contains(&head.method);
        Call {
            caller: Arc::clone(&self.key.caller),
            project: None,
            origin: head.origin.clone(),
            signed: (!reads).then_some(self.signed),
        }
    }
}

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
) -> Result<std::result::Result<Proof, Failure>> {
    let verified = verified(service, head, parameters, body, rule).await?;
    Ok(verified.inspect_err(|failure| service.note_failure(&head.origin, failure.reason())))
}

async fn verified(
    service: &Service,
    head: &Head,
    parameters: &str,
    body: &[u8],
    rule: BodyRule,
) -> Result<std::result::Result<Proof, Failure>> {
    let signed = match Signed::read(head, parameters, service.now()) {
        Ok(signed) => signed,
        Err(failure) => return Ok(Err(failure)),
    };
    if service.is_key_locked(signed.access, &head.origin) {
        return Ok(Err(Failure::Locked));
    }
    let checked = match service.signing_key(signed.access).await? {
        None => Err(Failure::UnknownKey(signed.access.to_owned())),
        // A security token that is sent is among the signed headers, or the signature has no form.
        Some(key) => signed.check(head, body, rule, key.secret.expose()).and_then(|()| {
            let accepted = key.accepts(signed.header("x-security-token"));
            if accepted { Ok(key) } else { Err(Failure::SecurityToken) }
        }),
    };
    let outcome = checked.as_ref().map(drop).map_err(Failure::reason);
    service.note_signature(signed.access, &head.origin, outcome);
    if let Ok(key) = &checked
        && key.security_token.is_none()
    {
        service.note_key_use(signed.access, &key.caller);
    }
    Ok(checked.map(|key| Proof { key, signed: signed.request() }))
}

/// A signature that has its form.
struct Signed<'a> {
    access: &'a str,
    date: &'a str,
    at: Timestamp,
    headers: Vec<(&'a str, &'a str)>,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    fn read(head: &'a Head, parameters: &'a str, now: Timestamp) -> Result<Self, Failure> {
        let malformed = |text: &str| Failure::Malformed(text.to_owned());
        let (mut access, mut names, mut signature) = (None, None, None);
        for part in parameters.split(',') {
            let (key, value) =
                part.trim().split_once('=').ok_or_else(|| malformed("has a part without `=`"))?;
            let slot = match key {
                "Access" => &mut access,
                "SignedHeaders" => &mut names,
                "Signature" => &mut signature,
                _ => return Err(malformed("has an unknown part")),
            };
            if slot.replace(value).is_some() {
                return Err(malformed("has a part twice"));
            }
        }
        let (Some(access), Some(names), Some(signature)) = (access, names, signature) else {
            return Err(malformed("needs Access, SignedHeaders and Signature"));
        };
        let date = head.header("x-sdk-date").ok_or(Failure::Date)?;
        let at = check_date(date, now)?;
        Ok(Self { access, date, at, headers: signed_headers(head, names)?, signature })
    }

    /// How the request is recognised. What was sent as its signature is, byte for byte, what was computed.
    fn request(&self) -> SignedRequest {
        let valid_until = self.at.plus_seconds(WINDOW_SECONDS);
        SignedRequest::new(self.access, self.signature.as_bytes(), valid_until)
    }

    fn check(&self, head: &Head, body: &[u8], rule: BodyRule, secret: &str) -> Result<(), Failure> {
        let payload_hash = self.payload_hash(head, body, rule)?;
        let request = Request {
            method: head.method.as_str(),
            raw_path: &head.raw_path,
            query: &head.query,
            headers: &self.headers,
            payload_hash: &payload_hash,
        };
        let text = canonical::string_to_sign(SCHEME, self.date, &request);
        let expected = hmac_hex(secret, &text).ok_or(Failure::Mismatch)?;
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Failure::Mismatch)
        }
    }

    /// What the client must have put in place of the body's hash.
    fn payload_hash(&self, head: &Head, body: &[u8], rule: BodyRule) -> Result<String, Failure> {
        let actual = body_hash(body);
        if body.is_empty() || !head.headers.contains_key(CONTENT_HASH) {
            return Ok(actual);
        }
        let claimed = self.header(CONTENT_HASH).ok_or(Failure::Mismatch)?;
        if claimed == UNSIGNED {
            let content_type = head.header("content-type").unwrap_or_default().to_ascii_lowercase();
            let json = rule == BodyRule::Json || content_type.contains("json");
            return if json { Err(Failure::Mismatch) } else { Ok(UNSIGNED.to_owned()) };
        }
        if claimed == actual { Ok(actual) } else { Err(Failure::Mismatch) }
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// The values of the signed headers. `host` and the date must be among them, and whatever changes the meaning.
fn signed_headers<'a>(head: &'a Head, names: &'a str) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    let mut headers = Vec::with_capacity(8);
    for name in names.split(';') {
        let lower = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        if !lower || headers.iter().any(|(known, _)| *known == name) {
            return Err(Failure::Malformed("needs SignedHeaders in lower case, each once".to_owned()));
        }
        let value = head.headers.get(name).ok_or(Failure::Mismatch)?;
        // Header values are signed as UTF-8, which is more than `to_str` accepts.
        headers.push((name, std::str::from_utf8(value.as_bytes()).map_err(|_| Failure::Mismatch)?));
    }
    let signed = |name: &str| headers.iter().any(|(known, _)| *known == name);
    for required in ["host", "x-sdk-date"] {
        if !signed(required) {
            return Err(Failure::Malformed(format!("needs `{required}` in SignedHeaders")));
        }
    }
    for name in MEANINGFUL {
        if head.headers.contains_key(name) && !signed(name) {
            return Err(Failure::Malformed(format!("needs `{name}` in SignedHeaders, because it is sent")));
        }
    }
    Ok(headers)
}

/// `YYYYMMDDTHHMMSSZ`, at most 15 minutes away.
fn check_date(date: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let digits = date.len() == 16 && date.is_ascii() && date.ends_with('Z');
    let part = |from: usize, to: usize| date.get(from..to).ok_or(Failure::Date);
    if !digits || part(8, 9)? != "T" {
        return Err(Failure::Date);
    }
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?
    );
    let at = Timestamp::parse_rfc3339(&rfc3339).ok_or(Failure::Date)?;
    let apart = at.as_millis().abs_diff(now.as_millis());
    if apart <= WINDOW_SECONDS.unsigned_abs() * 1000 { Ok(at) } else { Err(Failure::Date) }
}

fn hmac_hex(secret: &str, text: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(text.as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

impl Failure {
    /// What it counts as.
    fn reason(&self) -> AuthFailure {
        match self {
            Self::Malformed(_) => AuthFailure::Malformed,
            Self::Date => AuthFailure::Date,
            Self::UnknownKey(_) => AuthFailure::UnknownKey,
            Self::Mismatch | Self::SecurityToken => AuthFailure::Signature,
            Self::Locked => AuthFailure::Locked,
        }
    }

    /// The failure as an error that says nothing about users or clusters.
    #[must_use]
    pub fn into_error(self, prefix: &str) -> Error {
        let text = match self {
            Self::Malformed(what) => format!("the Authorization header {what}"),
            Self::Date => {
                "X-Sdk-Date must be YYYYMMDDTHHMMSSZ within 15 minutes of the server's time".to_owned()
            }
            Self::UnknownKey(access) => {
                let shown: String = access.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
                format!("Get secretKey failed,ak:{shown},err:ak not exist")
            }
            Self::Mismatch => "verify aksk signature fail".to_owned(),
            Self::Locked => LOCKED.to_owned(),
            Self::SecurityToken => {
                "X-Security-Token must be the token of the temporary access key, and absent for any other"
                    .to_owned()
            }
        };
        Error::new(ErrorKind::Unauthenticated, format!("{prefix}{text}"))
    }
}

#[cfg(test)]
#[path = "access_key_tests.rs"]
mod tests;
