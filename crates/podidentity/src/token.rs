//! Service-account tokens: what they say, and whether a cluster's key says it.
//!
//! A token is three pieces of base64url around one signature. That is little enough to be read here: a library for it would
//! bring a second cryptographic provider and a clock of its own.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use serde::Deserialize;

use crate::keys::{Algorithm, KeySet};

/// The longest token that is looked at. API servers make ones of about a thousand characters.
pub const MAX_TOKEN: usize = 16 << 10;

/// The longest name of a pod or a service account: a DNS subdomain. A namespace's is a DNS label.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The longest uid. They are UUIDs.
const MAX_UID: usize = 64;

/// So far may an API server's clock be ahead of ours.
const LEEWAY_SECONDS: i64 = 30;

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is no token of a service account.
    Malformed,
    /// It is signed by something that no API server signs with, or not at all.
    Algorithm,
    /// It is signed by a key that the cluster does not have; with the key's id.
    UnknownKey(String),
    /// The signature is wrong.
    Signature,
    /// Somebody else issued it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
}

impl Rejected {
    /// The reason in a word that does not change.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed-token",
            Self::Algorithm => "wrong-algorithm",
            Self::UnknownKey(_) => "unknown-key",
            Self::Signature => "wrong-signature",
            Self::Issuer => "wrong-issuer",
            Self::Audience => "wrong-audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is not one of a service account",
            Self::Algorithm => "the token is not signed as an API server signs",
            Self::UnknownKey(_) => "the token is signed by a key that is not the cluster's",
            Self::Signature => "the token's signature is wrong",
            Self::Issuer => "the token was issued by somebody else than the cluster",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token expired",
            Self::NotYetValid => "the token is not valid yet",
        })
    }
}

/// Something in a cluster, with the uid that no second thing of that name has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a token says, once it was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: Named,
    /// The pod for which it was made, if it is bound to one.
    pub pod: Option<Named>,
    /// The node of that pod, where API servers say it (since 1.29).
    pub node: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who must have issued it.
    pub issuer: &'a str,
    /// For whom it must be.
    pub audience: &'a str,
}

/// A token that was taken apart and proves nothing yet.
pub struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that must be understood, of which we understand none.
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
    #[serde(default)]
    pod: Option<Named>,
    #[serde(default)]
    node: Option<Node>,
    /// A token may be bound to a Secret as well.
    #[serde(default)]
    secret: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
}

impl Kubernetes {
    /// Whether it can be what an API server says of a pod, or of a service account: names and uids become part of ids and
    /// of what people read. What ends with something else than a pod is nobody's here who could be asked for.
    fn can_be(&self) -> bool {
        let Self { namespace, serviceaccount, pod, node, secret } = self;
        let is_named = |named: &Named| is_subdomain(&named.name) && is_uid(&named.uid);
        is_label(namespace)
            && namespace.len() <= MAX_LABEL
            && is_named(serviceaccount)
            && pod.as_ref().is_none_or(is_named)
            && node.as_ref().is_none_or(|node| pod.is_some() && is_subdomain(&node.name))
            && secret.is_none()
    }
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(|byte| is_plain(*byte)))
        && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
}

fn is_uid(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    !text.is_empty() && text.len() <= MAX_UID && text.bytes().all(is_plain)
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Rejected::Malformed`].
    pub fn read(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > MAX_TOKEN {
            return Err(Rejected::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Rejected::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Rejected::Malformed)?;
        if header.crit.is_some() {
            return Err(Rejected::Algorithm);
        }
        Ok(Self { header, signed, payload, signature: decode(signature)? })
    }

    /// The id of the key that is said to have signed it; empty if none is named.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.header.kid
    }

    /// What the token says, if a key of the cluster signed it and it says what is expected.
    ///
    /// # Errors
    /// [`Rejected`] with the first reason.
    pub fn verify(&self, keys: &KeySet, expected: &Expected<'_>, now: Timestamp) -> Result<Claims, Rejected> {
        let algorithm = Algorithm::parse(&self.header.alg).ok_or(Rejected::Algorithm)?;
        if !keys.has(&self.header.kid) {
            return Err(Rejected::UnknownKey(self.header.kid.chars().take(128).collect()));
        }
        if !keys.proves(&self.header.kid, algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(Rejected::Signature);
        }
        let payload = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Rejected::Malformed)?;
        let payload: Payload = serde_json::from_slice(&payload).map_err(|_| Rejected::Malformed)?;
        payload.claims(expected, now)
    }

    /// What the token says of itself, whoever signed it, if it says what is expected; the issuer matters where one is told.
    /// It proves nothing: it is for those who only want to know whether asking somebody else is worth it.
    ///
    /// # Errors
    /// [`Rejected`] with the first reason.
    pub fn claims_unproved(
        &self,
        issuer: Option<&str>,
        audience: &str,
        now: Timestamp,
    ) -> Result<Claims, Rejected> {
        Algorithm::parse(&self.header.alg).ok_or(Rejected::Algorithm)?;
        let payload = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Rejected::Malformed)?;
        let payload: Payload = serde_json::from_slice(&payload).map_err(|_| Rejected::Malformed)?;
        let own = payload.iss.clone();
        payload.claims(&Expected { issuer: issuer.unwrap_or(&own), audience }, now)
    }
}

impl Payload {
    fn claims(self, expected: &Expected<'_>, now: Timestamp) -> Result<Claims, Rejected> {
        if self.iss != expected.issuer {
            return Err(Rejected::Issuer);
        }
        let is_meant = match &self.aud {
            Audience::One(audience) => audience == expected.audience,
            Audience::Several(all) => all.iter().any(|audience| audience == expected.audience),
        };
        if !is_meant {
            return Err(Rejected::Audience);
        }
        let seconds = |at: i64| Timestamp::from_millis(at.saturating_mul(1000));
        if seconds(self.exp) <= now {
            return Err(Rejected::Expired);
        }
        if self.nbf.is_some_and(|from| seconds(from) > now.plus_seconds(LEEWAY_SECONDS)) {
            return Err(Rejected::NotYetValid);
        }
        if !self.kubernetes.can_be() {
            return Err(Rejected::Malformed);
        }
        let Kubernetes { namespace, serviceaccount, pod, node, secret: _ } = self.kubernetes;
        // Both come from the API server; a token whose halves disagree is nobody's.
        let subject = format!("system:serviceaccount:{namespace}:{}", serviceaccount.name);
        if self.sub != subject {
            return Err(Rejected::Malformed);
        }
        Ok(Claims {
            namespace,
            service_account: serviceaccount,
            pod,
            node: node.map(|node| node.name),
            expires_at: seconds(self.exp),
        })
    }
}

/// What a token says, if a key of the cluster signed it and it says what is expected.
///
/// # Errors
/// [`Rejected`] with the first reason.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Claims, Rejected> {
    Unverified::read(token)?.verify(keys, expected, now)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
