//! HMAC-SHA1 over the parameters of query and form, as libraries for temporary credentials sign. Neither path nor
//! headers are under the signature, so it counts on the path `/` alone, and no header that means anything.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::Timestamp;
use subtle::ConstantTimeEq;

use crate::authn::canonical::{Spared, push_encoded};
use crate::authn::date;
use crate::authn::failure::Failure;
use crate::authn::mac;
use crate::head::{Head, Plus, decode_pairs};

/// The parameter that holds the signature.
pub const SIGNATURE: &str = "Signature";

/// Headers that would mean something, were they signed.
const FOREIGN: [&str; 2] = ["x-acs-security-token", "x-acs-accesskey-id"];

/// A signature that has its form and is in time. Reading and checking are pure.
pub struct Signed {
    /// The id of the access key.
    pub access: String,
    /// The security token under the signature.
    pub token: Option<String>,
    /// Everything that is signed, sorted.
    parameters: Vec<(String, String)>,
    /// The signature as it was sent.
    pub signature: String,
    /// When it was made.
    pub at: Timestamp,
}

/// The parameters of query and form.
///
/// # Errors
/// `Malformed` if the body is no form, or one comes twice.
pub fn parameters(head: &Head, body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let malformed = |text: &str| Failure::Malformed(text.to_owned());
    let mut all = head.query.clone();
    if !body.is_empty() {
        let content_type = head.header("content-type").unwrap_or_default();
        if content_type.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
            return Err(malformed(
                "of this scheme covers forms only: send application/x-www-form-urlencoded",
            ));
        }
        let form = std::str::from_utf8(body).map_err(|_| malformed("needs a form in UTF-8"))?;
        let form = decode_pairs(form, Plus::Space).map_err(|error| Failure::Malformed(error.to_string()))?;
        if form.iter().any(|(name, _)| head.query(name).is_some()) {
            return Err(malformed("needs each parameter once, in the query or in the form"));
        }
        all.extend(form);
    }
    all.sort_unstable();
    Ok(all)
}

impl Signed {
    /// Reads query and form.
    ///
    /// # Errors
    /// What is missing, or that the date is too far away.
    pub fn read(head: &Head, body: &[u8], now: Timestamp) -> Result<Self, Failure> {
        let mut parameters = parameters(head, body)?;
        let needs = |what: &str| Failure::Malformed(format!("needs the parameter {what}"));
        let at = parameters.iter().position(|(name, _)| name == SIGNATURE).ok_or_else(|| needs(SIGNATURE))?;
        let (_, signature) = parameters.remove(at);
        let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        for (name, value) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
            if get(name).is_none_or(|sent| sent != value) {
                return Err(Failure::Malformed(format!("needs {name}={value}")));
            }
        }
        // In the query, where the operation is looked for: one in a form would leave that to a header, unsigned.
        for name in ["Action", "Version"] {
            head.query(name).ok_or_else(|| needs(name))?;
        }
        if let Some(name) = FOREIGN.iter().find(|name| head.headers.contains_key(**name)) {
            return Err(Failure::Malformed(format!("of this scheme does not cover the header `{name}`")));
        }
        let at = date::check(get("Timestamp").and_then(|text| date::extended(text)), now)?;
        let access = get("AccessKeyId").ok_or_else(|| needs("AccessKeyId"))?.clone();
        let token = get("SecurityToken").cloned();
        Ok(Self { access, token, parameters, signature, at })
    }

    /// Whether `secret` made it, of this request.
    ///
    /// # Errors
    /// `Mismatch` if it did not.
    pub fn check(&self, head: &Head, secret: &str) -> Result<(), Failure> {
        let key = [secret.as_bytes(), b"&"].concat();
        let made_by = |space: &Space| {
            let made = mac::sha1(&key, self.string_to_sign(head, *space).as_bytes());
            made.is_some_and(|made| {
                bool::from(BASE64_STANDARD.encode(made).as_bytes().ct_eq(self.signature.as_bytes()))
            })
        };
        if [Space::Percent, Space::Plus].iter().any(made_by) { Ok(()) } else { Err(Failure::Mismatch) }
    }

    /// What the signature should have been made of. It holds the security token if there is one.
    fn string_to_sign(&self, head: &Head, space: Space) -> String {
        let mut pairs = Vec::with_capacity(512);
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            if index > 0 {
                pairs.push(b'&');
            }
            space.push(&mut pairs, name);
            pairs.push(b'=');
            space.push(&mut pairs, value);
        }
        let mut out = Vec::with_capacity(pairs.len() * 2);
        out.extend_from_slice(head.method.as_str().as_bytes());
        out.extend_from_slice(b"&%2F&");
        push_encoded(&mut out, &String::from_utf8_lossy(&pairs), Spared::Nothing);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The same for whoever looks for a mistake, unless it holds a security token.
    #[must_use]
    pub fn shown_string_to_sign(&self, head: &Head) -> Option<String> {
        self.token.is_none().then(|| self.string_to_sign(head, Space::Percent))
    }
}

/// What becomes of a space. One library of the vendor's encodes forms where it should encode parameters.
#[derive(Clone, Copy)]
enum Space {
    Percent,
    Plus,
}

impl Space {
    fn push(self, out: &mut Vec<u8>, text: &str) {
        match self {
            Self::Percent => push_encoded(out, text, Spared::Nothing),
            Self::Plus => {
                for (index, piece) in text.split(' ').enumerate() {
                    if index > 0 {
                        out.push(b'+');
                    }
                    push_encoded(out, piece, Spared::Nothing);
                }
            }
        }
    }
}
