//! A cluster's issuer of tokens: a key, and what it signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podidentity::KeySet;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub const AUDIENCE: &str = "service.pods";
/// When the tests play: 2026-11-22T00:00:00Z.
pub const START: i64 = 1_795_305_600;

pub struct Issuer {
    pub kid: String,
    pair: EcdsaKeyPair,
}

impl Issuer {
    pub fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair }
    }

    pub fn keys(&self) -> KeySet {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.kid, "x": x, "y": y});
        KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap()
    }

    /// The token of a pod, good for an hour.
    pub fn pod(&self, service_account: &str, pod: &str) -> String {
        self.sign(&claims(service_account, Some(pod)))
    }

    pub fn sign(&self, claims: &Value) -> String {
        let signed = unsigned(&json!({"alg": "ES256", "kid": self.kid}), claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Header and payload, and whatever is wanted as their signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What a token of that service account in `shop` says; uids are names with a dash before them.
pub fn claims(service_account: &str, pod: Option<&str>) -> Value {
    let mut kubernetes = json!({
        "namespace": "shop",
        "serviceaccount": {"name": service_account, "uid": format!("-{service_account}")},
    });
    if let Some(pod) = pod {
        kubernetes["pod"] = json!({"name": pod, "uid": format!("-{pod}")});
    }
    json!({
        "iss": ISSUER,
        "aud": [AUDIENCE],
        "sub": format!("system:serviceaccount:shop:{service_account}"),
        "iat": START,
        "nbf": START,
        "exp": START + 3600,
        "kubernetes.io": kubernetes,
    })
}
