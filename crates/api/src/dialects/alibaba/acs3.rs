//! `ACS3-HMAC-SHA256`: what the vendor's present SDKs sign by.

use domain::Timestamp;

use crate::authn::canonical::{Spared, Text, push_encoded};
use crate::authn::date;
use crate::authn::failure::Failure;
use crate::authn::mac::{self, Hex};
use crate::authn::signed_headers::{Parameters, SignedHeaders};
use crate::head::Head;

/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "ACS3-HMAC-SHA256";

const DATE: &str = "x-acs-date";
const CONTENT_HASH: &str = "x-acs-content-sha256";

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
    headers: SignedHeaders<'a>,
}

impl<'a> Signed<'a> {
    /// Reads what follows the scheme's name in `Authorization`.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away.
    pub fn read(head: &'a Head, parameters: &'a str, now: Timestamp) -> Result<Self, Failure> {
        let parameters = Parameters::read(parameters, "Credential")?;
        let date = head.header(DATE).ok_or(Failure::DateForm)?;
        let at = date::check(date::extended(date), now)?;
        let headers = SignedHeaders::read(head, parameters.headers)?;
        headers.demand(&["host", DATE])?;
        headers.demand_if_sent(head, |name| name.starts_with("x-acs-"))?;
        let token = headers.get("x-acs-security-token");
        Ok(Self { access: parameters.credential, token, headers, signature: parameters.signature, at })
    }

    /// Whether `secret` made it, of this request with this body.
    ///
    /// # Errors
    /// `Mismatch` if it did not; `Body` or `UnprotectedBody` if it did not cover this body.
    pub fn check(&self, head: &Head, body: &[u8], secret: &str) -> Result<(), Failure> {
        let payload = self.payload(body)?;
        let checked = self.check_path(head, &head.raw_path, &payload, secret);
        if checked.is_ok() || !head.raw_path.contains(['%', '*', '\'', '(', ')', '!']) {
            return checked;
        }
        // Some SDKs spell a path differently on the wire and under the signature. All spellings are of one path.
        let mut spelled = spellings(&head.raw_path).into_iter();
        if spelled.any(|path| self.check_path(head, &path, &payload, secret).is_ok()) {
            Ok(())
        } else {
            Err(Failure::Mismatch)
        }
    }

    fn check_path(&self, head: &Head, path: &str, payload: &Hex, secret: &str) -> Result<(), Failure> {
        let digest = self.digest(head, path, payload);
        let text: [&[u8]; 3] = [SCHEME.as_bytes(), b"\n", &digest];
        mac::compare(mac::sha256(secret.as_bytes(), &text), self.signature)
    }

    fn digest(&self, head: &Head, path: &str, payload: &Hex) -> Hex {
        let mut text = Text::begin(head.method.as_str());
        text.path(path);
        text.rest(&head.query, &self.headers.values, self.headers.list, payload)
    }

    /// The body's hash, which a body needs under the signature, and which must be the one that is claimed.
    fn payload(&self, body: &[u8]) -> Result<Hex, Failure> {
        let actual = mac::hash(body);
        match self.headers.get(CONTENT_HASH) {
            Some(claimed) if claimed.as_bytes() == actual => Ok(actual),
            Some(_) => Err(Failure::Body),
            None if body.is_empty() => Ok(actual),
            None => Err(Failure::UnprotectedBody),
        }
    }

    /// What the signature should have been made of, for whoever looks for a mistake.
    #[must_use]
    pub fn string_to_sign(&self, head: &Head, body: &[u8]) -> String {
        let digest = self.digest(head, &head.raw_path, &mac::hash(body));
        format!("{SCHEME}\n{}", String::from_utf8_lossy(&digest))
    }
}

/// How else the path may be spelled under a signature: with `*` and `~` as the standard has them, as JavaScript's
/// `encodeURIComponent` does, and strictly by RFC 3986.
fn spellings(raw: &str) -> [String; 3] {
    let standard = raw.replace('*', "%2A").replace("%7E", "~");
    let by = |encode: &dyn Fn(&mut Vec<u8>, &str)| {
        let mut path = Vec::with_capacity(raw.len());
        for (index, segment) in raw.split('/').enumerate() {
            if index > 0 {
                path.push(b'/');
            }
            let decoded = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
            encode(&mut path, &decoded);
        }
        String::from_utf8_lossy(&path).into_owned()
    };
    let strictly = |path: &mut Vec<u8>, segment: &str| push_encoded(path, segment, Spared::Nothing);
    let as_javascript = |path: &mut Vec<u8>, segment: &str| {
        for piece in segment.split_inclusive(['!', '\'', '(', ')']) {
            let (text, spared) = match piece.char_indices().next_back() {
                Some((at, '!' | '\'' | '(' | ')')) => piece.split_at(at),
                Some(_) | None => (piece, ""),
            };
            push_encoded(path, text, Spared::Nothing);
            path.extend_from_slice(spared.as_bytes());
        }
    };
    [standard, by(&as_javascript), by(&strictly)]
}
