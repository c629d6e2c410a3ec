//! What an agent on a node spends on a request that it answers from what it keeps: the token proved anew, as for the first
//! request with it, and the token remembered, as for every further one. The peers are the signature alone, and the digest
//! alone by which a token is remembered. HTTP is left out: it is the same for both, and measured with the reads.

use std::hint::black_box;
use std::io;
use std::process::Command;

use agent::feed::{Known, Subject};
use agent::node::cache::{Cache, Owner, Standing, Vended};
use agent::node::tokens::{Proof, Tokens, mark};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::{Secret, Timestamp};
use podidentity::KeySet;
use podidentity::feed::{Feed, Known as Association, State, Verification};
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::json;

use crate::figures::Figures;
use crate::process;

/// Rounds, the sides by turns.
const ROUNDS: usize = 21;
/// Requests in a round: those with a signature, and those without, which cost little.
const REQUESTS: (u32, u32) = (5_000, 100_000);
/// Credentials that the agent keeps.
const KEPT: usize = 2_000;
/// When all of it plays.
const NOW: i64 = 1_795_305_600;

/// What an agent holds, and the tokens of two of its pods.
struct Node {
    known: Known,
    cache: Cache,
    tokens: [String; 2],
    signature: Signature,
    now: Timestamp,
}

/// One token's signature, as bare as it can be checked.
struct Signature {
    key: UnparsedPublicKey<Vec<u8>>,
    signed: String,
    signature: Vec<u8>,
}

impl Node {
    /// What a request costs that shows `token`; whether it gets its credentials.
    fn answer(&mut self, tokens: &Tokens, token: usize) -> bool {
        let Some(token) = self.tokens.get(token) else { return false };
        let Proof::Of(claims) = tokens.prove(token, &mark(token), &self.known, self.now) else {
            return false;
        };
        let found = self.cache.find(&claims, token, &self.known);
        found.is_some_and(|vended| {
            black_box(vended.body.clone());
            vended.standing(self.now) == Standing::Good
        })
    }
}

/// Prints what a hit costs.
pub fn compare() -> io::Result<()> {
    let mut node = node()?;
    let (one, many) = (Tokens::new(1), Tokens::new(2 * KEPT));
    if !node.answer(&one, 0) || !node.answer(&many, 0) || node.answer(&many, 2) {
        return Err(io::Error::other("the answer is wrong"));
    }
    let mut all = [(); 4].map(|()| Figures::default());
    for _ in 0..ROUNDS {
        let [proved, bare, remembered, digest] = &mut all;
        let mut turn = 0;
        // There is room for one token, and two come by turns: none is ever remembered.
        proved.push(microseconds(REQUESTS.0, || {
            turn = 1 - turn;
            node.answer(&one, turn)
        }));
        let Signature { key, signed, signature } = &node.signature;
        bare.push(microseconds(REQUESTS.0, || key.verify(signed.as_bytes(), signature).is_ok()));
        remembered.push(microseconds(REQUESTS.1, || node.answer(&many, 0)));
        let token = node.tokens.first().map_or("", String::as_str);
        digest.push(microseconds(REQUESTS.1, || mark(black_box(token)) != [0; 32]));
    }
    let [proved, bare, remembered, digest] = all;
    println!("a hit with a token that is proved anew (RS256, 2048 bits): {}", proved.show("us"));
    println!("  the signature alone: {}", bare.show("us"));
    println!("  ratio: {}", proved.over(&bare).show("x"));
    println!("a hit with a token that is remembered: {}", remembered.show("us"));
    println!("  the token's digest alone: {}", digest.show("us"));
    println!("  ratio: {}", remembered.over(&digest).show("x"));
    Ok(())
}

fn microseconds(requests: u32, mut work: impl FnMut() -> bool) -> f64 {
    let on_processor = || process::on_processor(process::THREAD).unwrap_or(f64::NAN);
    let began = on_processor();
    for _ in 0..requests {
        black_box(work());
    }
    (on_processor() - began) / f64::from(requests) / 1_000.0
}

fn node() -> io::Result<Node> {
    let pair = pair()?;
    let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = json!({"kty": "RSA", "kid": "k", "n": encode(&public.n), "e": encode(&public.e)});
    let keys = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()).map_err(io::Error::other)?;
    let now = Timestamp::from_millis(NOW * 1_000);
    let mut known = Known::default();
    known.take(0, feed(keys), now);
    let mut cache = Cache::new(KEPT);
    for number in 0..KEPT {
        cache.put(Owner::Pod(uid(number)), vended(now));
    }
    let tokens = [token(&pair, 0)?, token(&pair, 1)?];
    let [first, _] = &tokens;
    let (signed, signature) = first.rsplit_once('.').ok_or_else(|| io::Error::other("a token has dots"))?;
    let signature = Signature {
        key: UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref().to_vec()),
        signed: signed.to_owned(),
        signature: URL_SAFE_NO_PAD.decode(signature).map_err(io::Error::other)?,
    };
    Ok(Node { known, cache, tokens, signature, now })
}

/// A key as API servers have it. `ring` makes none.
fn pair() -> io::Result<RsaKeyPair> {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"];
    let made = Command::new("openssl").args(arguments).output()?;
    let pair = RsaKeyPair::from_pkcs8(&made.stdout).or_else(|_| RsaKeyPair::from_der(&made.stdout));
    pair.map_err(|_| io::Error::other("openssl made no key"))
}

fn uid(number: usize) -> String {
    format!("0f5d8a3e-0000-4000-8000-{number:012}")
}

fn feed(keys: KeySet) -> Feed {
    let verification = Verification {
        state: State::Known,
        audience: "pods".into(),
        issuer: Some("https://kubernetes.default.svc".into()),
        keys,
        uri_variable: "URI".into(),
        token_file_variable: "FILE".into(),
        direct: false,
    };
    let association = Association {
        id: "a".into(),
        namespace: "shop".into(),
        service_account: "cart".into(),
        epoch: 0,
        created_at: "2026-01-01T00:00:00Z".into(),
    };
    let (associations, ended) = (vec![association], Vec::new());
    Feed { revision: 1, history: "h".into(), complete: true, verification, associations, ended }
}

fn vended(now: Timestamp) -> Vended {
    let until = now.plus_seconds(7_200);
    Vended {
        is_told: true,
        body: Bytes::from(vec![b'x'; 2_000]),
        subject: Subject { namespace: "shop".into(), service_account: "cart".into() },
        service_account_uid: "account".into(),
        association: "a".into(),
        epoch: 0,
        since: now,
        until,
        renewed_from: Vended::renewed_from(now, until, 0.0),
        is_wanted: true,
        token: (Secret::new("token".into()), now),
    }
}

/// A token as API servers make them for a pod.
fn token(pair: &RsaKeyPair, number: usize) -> io::Result<String> {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "kid": "k"});
    let claims = json!({
        "aud": ["pods"],
        "exp": NOW + 3_600,
        "iat": NOW,
        "iss": "https://kubernetes.default.svc",
        "jti": uid(number),
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "node-1", "uid": uid(0)},
            "pod": {"name": "cart-7d4b9c6f5-abcde", "uid": uid(number)},
            "serviceaccount": {"name": "cart", "uid": "account"},
        },
        "nbf": NOW,
        "sub": "system:serviceaccount:shop:cart",
    });
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| io::Error::other("the key signs nothing"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
