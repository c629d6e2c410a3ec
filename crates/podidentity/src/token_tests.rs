//! Tokens that prove something, and the many that only look as if they did.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair,
};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_795_293_660;
const ISSUER: &str = "https://kubernetes.default.svc";
const AUDIENCE: &str = "pods.example";

/// One API server's key.
struct Signer {
    pair: EcdsaKeyPair,
    curve: &'static str,
    alg: &'static str,
}

impl Signer {
    fn p256() -> Self {
        Self::new(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256")
    }

    fn new(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str, alg: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { pair, curve, alg }
    }

    fn jwk(&self, kid: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        json!({"kty": "EC", "crv": self.curve, "kid": kid, "x": plain(x), "y": plain(y)})
    }

    fn keys(&self) -> KeySet {
        set(&[self.jwk("k1")])
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.alg, "kid": "k1"}), &claims.to_string())
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let message = format!("{}.{}", plain(header.to_string()), plain(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", plain(signature.as_ref()))
    }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn plain(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": "system:serviceaccount:shop:web",
        "exp": NOW + 600, "nbf": NOW - 600, "iat": NOW - 600,
        "kubernetes.io": {
            "namespace": "shop", "serviceaccount": {"name": "web", "uid": "u-account"},
            "pod": {"name": "web-1", "uid": "u-pod"}, "node": {"name": "n1", "uid": "u-node"},
        },
    })
}

/// The claims with one changed, at a JSON pointer; `null` takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut claims = claims();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => parent.remove(&key.replace("~1", "/")),
        value => parent.insert(key.replace("~1", "/"), value),
    };
    claims
}

fn read(token: &str, keys: &KeySet) -> Result<Claims, Rejected> {
    let expected = Expected { issuer: ISSUER, audience: AUDIENCE };
    verify(token, keys, &expected, Timestamp::from_millis(NOW * 1000))
}

#[test]
fn what_a_cluster_signed_is_read() {
    for signer in [Signer::p256(), Signer::new(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384")] {
        let read = read(&signer.token(&claims()), &signer.keys()).unwrap();
        assert_eq!(read.namespace, "shop");
        assert_eq!(read.service_account, Named { name: "web".into(), uid: "u-account".into() });
        assert_eq!(read.pod, Some(Named { name: "web-1".into(), uid: "u-pod".into() }));
        assert_eq!(read.node.as_deref(), Some("n1"));
        assert_eq!(read.expires_at, Timestamp::from_millis((NOW + 600) * 1000));
    }
}

#[test]
fn what_a_token_says_wrongly_is_named() {
    use Rejected::{Audience, Expired, Issuer, Malformed, NotYetValid};
    let signer = Signer::p256();
    let kubernetes = "/kubernetes.io";
    for (changed, expected) in [
        (with("/aud", json!(AUDIENCE)), Ok(())),
        (with("/aud", json!(["x", AUDIENCE])), Ok(())),
        (with("/aud", json!(["x"])), Err(Audience)),
        (with("/aud", json!([])), Err(Audience)),
        (with("/aud", json!("pods.example.evil")), Err(Audience)),
        (with("/aud", json!({"x": AUDIENCE})), Err(Malformed)),
        (with("/aud", Value::Null), Err(Malformed)),
        (with("/iss", json!("https://kubernetes.default.svc/")), Err(Issuer)),
        (with("/iss", Value::Null), Err(Malformed)),
        (with("/exp", json!(NOW)), Err(Expired)),
        (with("/exp", json!(NOW + 1)), Ok(())),
        (with("/exp", json!(i64::MIN)), Err(Expired)),
        (with("/exp", json!("1e12")), Err(Malformed)),
        (with("/exp", Value::Null), Err(Malformed)),
        (with("/nbf", Value::Null), Ok(())),
        (with("/nbf", json!(NOW + 30)), Ok(())),
        (with("/nbf", json!(NOW + 31)), Err(NotYetValid)),
        (with("/sub", json!("system:serviceaccount:shop:other")), Err(Malformed)),
        (with("/sub", json!("system:serviceaccount:web:shop")), Err(Malformed)),
        (with("/sub", json!("ann")), Err(Malformed)),
        (with(kubernetes, Value::Null), Err(Malformed)),
        (with(&format!("{kubernetes}/namespace"), json!("kube-system")), Err(Malformed)),
        (with(&format!("{kubernetes}/serviceaccount/name"), json!("admin")), Err(Malformed)),
        (with(&format!("{kubernetes}/serviceaccount/uid"), json!("")), Err(Malformed)),
        (with(&format!("{kubernetes}/serviceaccount/uid"), Value::Null), Err(Malformed)),
        (with(&format!("{kubernetes}/pod/uid"), json!("")), Err(Malformed)),
        (with(&format!("{kubernetes}/pod"), Value::Null), Err(Malformed)),
        (with(&format!("{kubernetes}/node"), Value::Null), Ok(())),
    ] {
        assert_eq!(read(&signer.token(&changed), &signer.keys()).map(drop), expected, "{changed}");
    }
}

#[test]
fn names_and_uids_that_no_api_server_gives_are_nobodys() {
    let signer = Signer::p256();
    let read = |claims: &Value| read(&signer.token(claims), &signer.keys()).map(drop);
    let (long, longest) = ("a".repeat(254), "a".repeat(253));
    let pod = |name: &str, uid: &str| with("/kubernetes.io/pod", json!({"name": name, "uid": uid}));
    for name in ["", ".", "a..b", "-a", "a-", "A", "a_b", "a b", "x/y", "x/association/1", "ä", long.as_str()]
    {
        assert_eq!(read(&pod(name, "u")), Err(Rejected::Malformed), "{name}");
        let mut claims = claims();
        claims["sub"] = json!(format!("system:serviceaccount:shop:{name}"));
        claims["kubernetes.io"]["serviceaccount"]["name"] = json!(name);
        assert_eq!(read(&claims), Err(Rejected::Malformed), "{name}");
        claims["sub"] = json!(format!("system:serviceaccount:{name}:web"));
        claims["kubernetes.io"]["serviceaccount"]["name"] = json!("web");
        claims["kubernetes.io"]["namespace"] = json!(name);
        assert_eq!(read(&claims), Err(Rejected::Malformed), "{name}");
        let node = with("/kubernetes.io/node", json!({"name": name, "uid": "u"}));
        assert_eq!(read(&node), Err(Rejected::Malformed), "{name}");
    }
    for name in ["a", "0", "web-1", "web.example-1", longest.as_str()] {
        assert_eq!(read(&pod(name, "u")), Ok(()), "{name}");
    }
    for uid in ["", "a/b", "a b", "ä", "a\n", "u".repeat(65).as_str()] {
        assert_eq!(read(&pod("web-1", uid)), Err(Rejected::Malformed), "{uid}");
        let account = with("/kubernetes.io/serviceaccount/uid", json!(uid));
        assert_eq!(read(&account), Err(Rejected::Malformed), "{uid}");
    }
}

#[test]
fn a_token_that_is_bound_to_something_else_than_a_pod_is_not_taken_for_one_that_is_bound_to_nothing() {
    let signer = Signer::p256();
    let read = |claims: &Value| read(&signer.token(claims), &signer.keys()).map(|claims| claims.pod);
    let mut unbound = with("/kubernetes.io/node", Value::Null);
    unbound["kubernetes.io"].as_object_mut().unwrap().remove("pod");
    assert_eq!(read(&unbound), Ok(None));
    for other in ["secret", "node"] {
        let mut bound = unbound.clone();
        bound["kubernetes.io"][other] = json!({"name": "x", "uid": "u"});
        assert_eq!(read(&bound), Err(Rejected::Malformed), "{other}");
    }
}

#[test]
fn no_algorithm_is_taken_but_the_keys_own() {
    let signer = Signer::p256();
    let text = claims().to_string();
    let header = |alg: &str| json!({"alg": alg, "kid": "k1"});
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "PS256", "EdDSA", "es256", "ES512"] {
        let refused = read(&signer.sign(&header(alg), &text), &signer.keys());
        assert_eq!(refused, Err(Rejected::Algorithm), "{alg}");
    }
    for alg in ["RS256", "RS384", "RS512", "ES384"] {
        let refused = read(&signer.sign(&header(alg), &text), &signer.keys());
        assert_eq!(refused, Err(Rejected::Signature), "{alg}");
    }
    // An RSA key of the same id does not take what the other kind signed.
    let rsa = json!({"kty": "RSA", "kid": "k1", "n": plain([0xc1; 256]), "e": "AQAB"});
    assert_eq!(read(&signer.sign(&header("ES256"), &text), &set(&[rsa])), Err(Rejected::Signature));
    let critical = json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false});
    assert_eq!(read(&signer.sign(&critical, &text), &signer.keys()), Err(Rejected::Algorithm));
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let signer = Signer::p256();
    let message = format!("{}.{}", plain(r#"{"alg":"HS256","kid":"k1"}"#), plain(claims().to_string()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.pair.public_key().as_ref());
    let token = format!("{message}.{}", plain(ring::hmac::sign(&key, message.as_bytes())));
    assert_eq!(read(&token, &signer.keys()), Err(Rejected::Algorithm));
}

#[test]
fn only_the_key_that_is_named_counts() {
    let (signer, other) = (Signer::p256(), Signer::p256());
    let token = signer.token(&claims());
    let unknown = |kid: &str| Err(Rejected::UnknownKey(kid.to_owned()));
    assert_eq!(read(&token, &set(&[signer.jwk("k2")])), unknown("k1"));
    assert_eq!(read(&token, &set(&[])), unknown("k1"));
    assert_eq!(read(&token, &set(&[other.jwk("k1"), signer.jwk("k2")])), Err(Rejected::Signature));
    assert!(read(&token, &set(&[other.jwk("k1"), signer.jwk("k1")])).is_ok());
    let nameless = signer.sign(&json!({"alg": "ES256"}), &claims().to_string());
    assert_eq!(read(&nameless, &signer.keys()), unknown(""));
    // A token is read by the keys of one cluster; what it brings along is nobody's.
    let own = json!({"alg": "ES256", "kid": "k1", "jwk": other.jwk("k1"), "jku": "https://evil.example"});
    assert_eq!(read(&other.sign(&own, &claims().to_string()), &signer.keys()), Err(Rejected::Signature));
}

#[test]
fn claims_that_are_said_twice_are_believed_not_once() {
    let signer = Signer::p256();
    let header = json!({"alg": "ES256", "kid": "k1"});
    let text = claims().to_string();
    for doubled in [
        text.replacen('{', r#"{"exp":99999999999,"#, 1),
        text.replacen('{', r#"{"iss":"x","#, 1),
        text.replacen(r#""namespace""#, r#""namespace":"kube-system","namespace""#, 1),
        text.replacen(r#""uid":"u-pod""#, r#""uid":"u-other","uid":"u-pod""#, 1),
    ] {
        assert_ne!(doubled, text);
        assert_eq!(read(&signer.sign(&header, &doubled), &signer.keys()), Err(Rejected::Malformed));
    }
    let twice = r#"{"alg":"ES256","alg":"none","kid":"k1"}"#;
    let token = format!("{}.{}.c2ln", plain(twice), plain(&text));
    assert_eq!(read(&token, &signer.keys()), Err(Rejected::Malformed));
}

#[test]
fn whichever_byte_of_a_token_is_changed_it_proves_nothing() {
    let signer = Signer::p256();
    let (token, keys) = (signer.token(&claims()), signer.keys());
    assert!(read(&token, &keys).is_ok());
    for at in 0..token.len() {
        for change in [1_u8, 2, 0x20] {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= change;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(read(&changed, &keys).is_err(), "byte {at} xor {change}");
            }
        }
        assert!(read(token.get(..at).unwrap(), &keys).is_err(), "cut at {at}");
    }
    for more in ["=", ".", " ", "\n", "A"] {
        assert!(read(&format!("{token}{more}"), &keys).is_err(), "{more:?}");
        assert!(read(&format!("{more}{token}"), &keys).is_err(), "{more:?}");
    }
    assert_eq!(read(&"a".repeat(MAX_TOKEN + 1), &keys), Err(Rejected::Malformed));
}

#[test]
fn sets_of_keys_are_bounded_and_kinds_that_nobody_signs_with_are_left_out() {
    let signer = Signer::p256();
    let many: Vec<Value> = (0..101).map(|n| signer.jwk(&format!("k{n}"))).collect();
    assert!(KeySet::parse(json!({"keys": many}).to_string().as_bytes()).is_err());
    let odd = json!({"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}, {"kty": "OKP", "kid": "k1"}]});
    assert!(KeySet::parse(odd.to_string().as_bytes()).unwrap().is_empty());
    let known = signer.keys().thumbprints();
    assert_eq!(signer.keys().only(&known), signer.keys());
    assert!(Signer::p256().keys().only(&known).is_empty());
}
