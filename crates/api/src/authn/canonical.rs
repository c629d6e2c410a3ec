//! The canonical form of a request, which schemes that list their headers sign. Pure; pinned by recorded signatures.
//!
//! The query is sorted by key and value before it is encoded. What becomes of the path is the scheme's own: for
//! `SDK-HMAC-SHA256` it is decoded once, split at slashes, encoded anew and ends with a slash.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use super::mac::{self, Hex};

/// What is signed.
pub struct Request<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The path as sent.
    pub raw_path: &'a str,
    /// The query, decoded.
    pub query: &'a [(String, String)],
    /// The signed headers, lower-case name and value, in the order of `SignedHeaders`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Hex SHA-256 of the body, or `UNSIGNED-PAYLOAD`.
    pub payload_hash: &'a str,
}

/// The text whose HMAC is the signature.
#[must_use]
pub fn string_to_sign(algorithm: &str, date: &str, request: &Request<'_>) -> String {
    let digest = digest(request);
    format!("{algorithm}\n{date}\n{}", String::from_utf8_lossy(&digest))
}

/// Hex SHA-256 of the canonical request.
#[must_use]
pub fn digest(request: &Request<'_>) -> Hex {
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut text = Text::begin(request.method);
    text.path_decoded_and_encoded_anew(request.raw_path);
    text.rest(request.query, request.headers, &names, request.payload_hash.as_bytes())
}

/// A canonical request while it is written: method, path, query, headers, their names, and the hash of the body, each
/// on lines of its own. Paths are the schemes' own affair.
pub struct Text(Vec<u8>);

impl Text {
    /// The method's line.
    #[must_use]
    pub fn begin(method: &str) -> Self {
        let mut text = Vec::with_capacity(1024);
        text.extend_from_slice(method.as_bytes());
        text.push(b'\n');
        Self(text)
    }

    /// The path as it is.
    pub fn path(&mut self, path: &str) {
        self.0.extend_from_slice(path.as_bytes());
    }

    /// The path decoded once, split at slashes, encoded anew, and with a slash at its end.
    pub fn path_decoded_and_encoded_anew(&mut self, raw: &str) {
        let decoded: Cow<'_, str> =
            if raw.contains('%') { percent_decode_str(raw).decode_utf8_lossy() } else { Cow::Borrowed(raw) };
        push_encoded(&mut self.0, &decoded, Spared::Slash);
        if !self.0.ends_with(b"/") {
            self.0.push(b'/');
        }
    }

    /// Everything after the path, and the hash of it all.
    #[must_use]
    pub fn rest(
        mut self,
        query: &[(String, String)],
        headers: &[(&str, &str)],
        names: &str,
        payload_hash: &[u8],
    ) -> Hex {
        let text = &mut self.0;
        text.push(b'\n');
        push_query(text, query);
        text.push(b'\n');
        for (name, value) in headers {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value.trim().as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(names.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(payload_hash);
        mac::hex(&Sha256::digest(text).into())
    }
}

/// Whether slashes are encoded too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spared {
    /// They are, as in a query.
    Nothing,
    /// They are not, as in a path.
    Slash,
}

/// Writes `text` with everything but `A-Z a-z 0-9 - _ . ~` percent-encoded.
pub fn push_encoded(out: &mut Vec<u8>, text: &str, spared: Spared) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or_default();
    let kept = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'~')
            || (byte == b'/' && spared == Spared::Slash)
    };
    // Most texts are kept as they are, so they are copied run by run.
    let mut rest = text.as_bytes();
    loop {
        let run = rest.iter().position(|byte| !kept(*byte)).unwrap_or(rest.len());
        let (plain, other) = rest.split_at(run);
        out.extend_from_slice(plain);
        let Some((byte, after)) = other.split_first() else { return };
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(*byte)]);
        rest = after;
    }
}

fn push_query(text: &mut Vec<u8>, query: &[(String, String)]) {
    let mut push = |index: usize, (key, value): &(String, String)| {
        if index > 0 {
            text.push(b'&');
        }
        push_encoded(text, key, Spared::Nothing);
        text.push(b'=');
        push_encoded(text, value, Spared::Nothing);
    };
    if query.is_sorted() {
        query.iter().enumerate().for_each(|(index, pair)| push(index, pair));
    } else {
        let mut sorted: Vec<&(String, String)> = query.iter().collect();
        sorted.sort();
        sorted.into_iter().enumerate().for_each(|(index, pair)| push(index, pair));
    }
}

/// Hex SHA-256 of a body.
#[must_use]
pub fn body_hash(body: &[u8]) -> String {
    String::from_utf8_lossy(&mac::hash(body)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: [(&str, &str); 5] = [
        ("content-type", "application/json"),
        ("host", "cce.example.com"),
        ("user-agent", "huaweicloud-usdk-python/3.0; ua"),
        ("x-project-id", "0123456789abcdef0123456789abcdef"),
        ("x-sdk-date", "20260101T000000Z"),
    ];

    fn digest(method: &str, path: &str, query: &[(&str, &str)], payload_hash: &str) -> String {
        let query: Vec<(String, String)> =
            query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request = Request { method, raw_path: path, query: &query, headers: &COMMON, payload_hash };
        string_to_sign("SDK-HMAC-SHA256", "20260101T000000Z", &request)
            .rsplit('\n')
            .next()
            .unwrap()
            .to_owned()
    }

    /// The digests that the vendors' SDK computed for the same requests.
    #[test]
    fn the_canonical_form_is_the_one_that_the_sdks_sign() {
        let empty = body_hash(b"");
        assert_eq!(
            digest(
                "GET",
                "/api/v3/access-policies",
                &[("cluster_id", "8e6bbdd0-1111-11f1-9a54-0255ac10004d")],
                &empty
            ),
            "73a08050b8ff9a8d20ed9bd986643ecf0c4b054ffc0124e91eebe4d2f3723b58"
        );
        let hash = "e0126b08bc326ab128dee0ca2cba9986e2e28817885ca853cb1094243894806d";
        assert_eq!(
            digest("POST", "/api/v3/access-policies", &[], hash),
            "990c6f9ea86f2b9e45ef240e06575352faa53eb3d7a3dd268694c0860e479478"
        );
        assert_eq!(
            digest("GET", "/api/v3/access-policies/a%2Fb%20c%252F%3A%40%C3%A9", &[], &empty),
            "6149b2e4aff5bfda81f588d0588656e91b58f6067e4132a3176f2f167340fa84"
        );
    }
}
