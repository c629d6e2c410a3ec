//! The keys by which a cluster signs the tokens of its service accounts, as its `/openid/v1/jwks` lists them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Error, Result};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// More keys than any cluster has; a hostile one may name many.
const MAX_KEYS: usize = 100;

/// The longest member of a key: an RSA modulus of 8192 bits, with room.
const MAX_MEMBER: usize = 2048;

/// Keys, by their ids. Those of kinds that no API server signs with are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    #[serde(default)]
    keys: Vec<Key>,
}

/// The public half of one key (RFC 7517), as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    #[serde(default)]
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

/// An algorithm that an API server may sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    /// Reads the `alg` of a header. There is no `none` to be read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            _ => None,
        }
    }
}

impl KeySet {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// `Invalid` if it is none, or names more keys than a cluster has.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let set: Self =
            serde_json::from_slice(text).map_err(|_| Error::invalid("keys", "must be a JSON Web Key Set"))?;
        set.checked()
    }

    /// The same set, if it has no more keys, and no longer ones, than a cluster may have.
    ///
    /// # Errors
    /// `Invalid` otherwise.
    pub fn checked(self) -> Result<Self> {
        if self.keys.len() > MAX_KEYS {
            return Err(Error::invalid("keys", format!("must be at most {MAX_KEYS}")));
        }
        Ok(Self { keys: self.keys.into_iter().filter(|key| key.thumbprint().is_some()).collect() })
    }

    /// Whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it has a key with that id.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The thumbprints (RFC 7638) of all keys, as hex.
    #[must_use]
    pub fn thumbprints(&self) -> BTreeSet<String> {
        self.keys.iter().filter_map(Key::thumbprint).collect()
    }

    /// The keys whose thumbprints are among those.
    #[must_use]
    pub fn only(&self, thumbprints: &BTreeSet<String>) -> Self {
        let known = |key: &&Key| key.thumbprint().is_some_and(|print| thumbprints.contains(&print));
        Self { keys: self.keys.iter().filter(known).cloned().collect() }
    }

    /// Whether the key of that id, and of the algorithm's kind, signed the message.
    pub(crate) fn proves(&self, kid: &str, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut named = self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
        named.any(|key| key.proves(algorithm, message, signature))
    }
}

impl Key {
    /// RFC 7638: SHA-256 over the members that make the key, in the order of their names. `None` for kinds that no API
    /// server signs with.
    fn thumbprint(&self) -> Option<String> {
        let member = |text: &Option<String>| text.clone().filter(|text| text.len() <= MAX_MEMBER);
        let members = match self.kty.as_str() {
            "RSA" => serde_json::json!({"e": member(&self.e)?, "kty": "RSA", "n": member(&self.n)?}),
            "EC" => serde_json::json!({
                "crv": member(&self.crv)?, "kty": "EC", "x": member(&self.x)?, "y": member(&self.y)?
            }),
            _ => return None,
        };
        Some(hex::encode(Sha256::digest(members.to_string())))
    }

    /// The algorithm must be of the key's own kind and curve: what the token says of itself chooses no more than the hash.
    fn proves(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters| {
            let (Some(n), Some(e)) = (bytes(self.n.as_deref()), bytes(self.e.as_deref())) else {
                return false;
            };
            let key = RsaPublicKeyComponents { n: stripped(&n), e: stripped(&e) };
            key.verify(parameters, message, signature).is_ok()
        };
        let ec = |parameters, length: usize| {
            let (Some(x), Some(y)) = (bytes(self.x.as_deref()), bytes(self.y.as_deref())) else {
                return false;
            };
            if x.len() != length || y.len() != length {
                return false;
            }
            let point = [&[4][..], &x, &y].concat();
            UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
        };
        match (algorithm, self.kty.as_str(), self.crv.as_deref()) {
            (Algorithm::Rs256, "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Es256, "EC", Some("P-256")) => ec(&ECDSA_P256_SHA256_FIXED, 32),
            (Algorithm::Es384, "EC", Some("P-384")) => ec(&ECDSA_P384_SHA384_FIXED, 48),
            _ => false,
        }
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// Numbers are written without leading zeros, and some writers add them.
fn stripped(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_those_of_rfc_7638() {
        let key: Key = serde_json::from_str(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        )
        .unwrap();
        // The RFC's own example, NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs, in hex.
        assert_eq!(
            key.thumbprint().as_deref(),
            Some("3736cbb1787cb8309c77ee8c3705c5e16ffb9e859715901f1e4c59b11182f57b")
        );
        let other: Key = serde_json::from_str(r#"{"kty":"oct","k":"secret"}"#).unwrap();
        assert_eq!(other.thumbprint(), None);
    }
}
