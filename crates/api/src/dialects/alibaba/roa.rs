//! `acs <key>:<signature>`: HMAC-SHA1 as the vendor's older SDK signs, and the present ones if they are told to.
//!
//! Names and values are signed decoded and unescaped, so that two requests can have one text. Those that could stand
//! for another are refused before they are compared.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::Timestamp;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::settings::UnprotectedBody;
use crate::authn::date;
use crate::authn::failure::Failure;
use crate::authn::mac;
use crate::head::Head;

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "acs";

/// A signature that has its form and is in time. Reading and checking are pure.
pub struct Signed<'a> {
    /// The id of the access key.
    pub access: &'a str,
    /// The security token under the signature.
    pub token: Option<&'a str>,
    /// The signature as it was sent.
    pub signature: &'a str,
    /// When it was made.
    pub at: Timestamp,
}

/// How an SDK writes a request down before it signs it.
#[derive(Clone, Copy)]
struct Writing<'a> {
    path: &'a str,
    content_type: &'a str,
    /// What stands between a name and an empty value.
    before_nothing: &'static str,
}

impl<'a> Signed<'a> {
    /// Reads what follows the scheme's name in `Authorization`.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away.
    pub fn read(head: &'a Head, parameters: &'a str, now: Timestamp) -> Result<Self, Failure> {
        let malformed = |text: &str| Failure::Malformed(text.to_owned());
        let (access, signature) =
            parameters.split_once(':').ok_or_else(|| malformed("needs `acs <key>:<signature>`"))?;
        let at = date::check(head.header("date").and_then(date::http), now)?;
        for (name, value) in [("x-acs-signature-method", "HMAC-SHA1"), ("x-acs-signature-version", "1.0")] {
            if head.headers.get(name).is_some_and(|sent| sent.as_bytes() != value.as_bytes()) {
                return Err(Failure::Malformed(format!("needs `{name}: {value}`")));
            }
        }
        if is_ambiguous(&head.query) {
            return Err(malformed(
                "of this scheme must not sign `&` or `=` in a query: use ACS3-HMAC-SHA256",
            ));
        }
        Ok(Self { access, token: head.header("x-acs-security-token"), signature, at })
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
        check_body(head, body, unprotected)?;
        let mut writings = writings(head, body);
        let made_by = |writing: Writing<'_>| {
            let made = mac::sha1(secret.as_bytes(), &string_to_sign(head, writing));
            made.is_some_and(|made| {
                let made = BASE64_STANDARD.encode(made);
                bool::from(made.as_bytes().ct_eq(self.signature.as_bytes()))
            })
        };
        if writings.any(made_by) { Ok(()) } else { Err(Failure::Mismatch) }
    }

    /// What the signature should have been made of, for whoever looks for a mistake. It holds the security token if
    /// there is one, which belongs in no answer.
    #[must_use]
    pub fn string_to_sign(&self, head: &Head) -> Option<String> {
        let writing = writings(head, b"x").next().filter(|_| self.token.is_none())?;
        String::from_utf8(string_to_sign(head, writing)).ok()
    }
}

/// Whether another query has the same text once it is decoded.
fn is_ambiguous(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, value)| name.contains(['&', '=']) || value.contains('&'))
}

/// A body needs its hash under the signature, and a hash that is sent must be the body's.
fn check_body(head: &Head, body: &[u8], unprotected: UnprotectedBody) -> Result<(), Failure> {
    match (head.headers.get("content-md5"), unprotected) {
        (Some(claimed), _) => {
            let actual = BASE64_STANDARD.encode(Md5::digest(body));
            if claimed.as_bytes() == actual.as_bytes() { Ok(()) } else { Err(Failure::Body) }
        }
        (None, UnprotectedBody::Refused) if !body.is_empty() => Err(Failure::UnprotectedBody),
        (None, UnprotectedBody::Refused | UnprotectedBody::Allowed) => Ok(()),
    }
}

/// The ways in which SDKs write this request down, the most frequent first. All of them are of the same request: the
/// path encoded or not, `name=` or `name` where there is no value, and without the content type that a library adds
/// to an empty body after it was signed.
fn writings<'a>(head: &'a Head, body: &[u8]) -> impl Iterator<Item = Writing<'a>> {
    let encoded = head.raw_path.as_str();
    // A decoded `?` would look like the beginning of the query, and a decoded `%` like another path's encoding.
    let decoded = Some(head.path.as_str()).filter(|path| *path != encoded && !path.contains(['?', '%']));
    let sent = text(head, "content-type");
    let added = body.is_empty() && sent == "application/octet-stream";
    let types = [Some(sent), added.then_some("")];
    let has_empty = head.query.iter().any(|(_, value)| value.is_empty());
    let endings = [Some("="), has_empty.then_some("")];
    [Some(encoded), decoded].into_iter().flatten().flat_map(move |path| {
        types.into_iter().flatten().flat_map(move |content_type| {
            let endings = endings.into_iter().flatten();
            endings.map(move |before_nothing| Writing { path, content_type, before_nothing })
        })
    })
}

/// A header that is there once. One that comes twice was not signed like that.
fn text<'a>(head: &'a Head, name: &str) -> &'a str {
    let mut found = head.headers.get_all(name).iter();
    let (Some(value), None) = (found.next(), found.next()) else { return "" };
    std::str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn string_to_sign(head: &Head, writing: Writing<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let lines = [
        head.method.as_str(),
        text(head, "accept"),
        text(head, "content-md5"),
        writing.content_type,
        text(head, "date"),
    ];
    for line in lines {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    let mut own: Vec<(&str, &[u8])> = Vec::with_capacity(12);
    let vendors = head.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-acs-"));
    own.extend(vendors.map(|(name, value)| (name.as_str(), value.as_bytes())));
    own.sort_unstable();
    for (name, value) in own {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(value.trim_ascii());
        out.push(b'\n');
    }
    out.extend_from_slice(writing.path.as_bytes());
    let mut query: Vec<&(String, String)> = head.query.iter().collect();
    query.sort_unstable();
    for (index, (name, value)) in query.into_iter().enumerate() {
        out.push(if index == 0 { b'?' } else { b'&' });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(if value.is_empty() { writing.before_nothing } else { "=" }.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out
}
