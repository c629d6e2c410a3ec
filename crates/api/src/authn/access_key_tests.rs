//! Signatures that the vendors' SDK made, and what an attacker makes of them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use service::Origin;

use super::*;
use crate::authn::canonical::{self, Request, body_hash};

const SECRET: &str = "SKEXAMPLE";
const BODY: &str = r#"{"kind": "AccessPolicy", "apiVersion": "v3", "name": "p", "clusters": ["*"], "accessScope": {"namespaces": ["default"]}, "policyType": "CCEViewPolicy", "principal": {"type": "user", "ids": ["u1"]}}"#;
const CREATE: &str = "Access=AKEXAMPLE, SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, \
    Signature=bb5232d2bbec8d5669f383ab42c9ce649565ec91e341e17d3dcbeac6fbeaf029";
const LIST: &str = "Access=AKEXAMPLE, SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, \
    Signature=d9cf5ea60e9afef8f27a4c2b9473283596e01e975efbe920717b4e28b05f9317";

fn head(method: Method, path: &str, query: &[(&str, &str)], extra: &[(&str, &str)]) -> Head {
    let mut headers = HeaderMap::new();
    let common = [
        ("user-agent", "huaweicloud-usdk-python/3.0; ua"),
        ("content-type", "application/json"),
        ("x-sdk-date", "20260101T000000Z"),
        ("host", "cce.example.com"),
        ("x-project-id", "0123456789abcdef0123456789abcdef"),
    ];
    for (name, value) in common.iter().chain(extra) {
        headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Head {
        method,
        raw_path: path.to_owned(),
        path: path.to_owned(),
        query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        headers,
        origin: Origin {
            request_id: Arc::from("r"),
            source: Arc::from("s"),
            at: Timestamp::from_millis(0),
            dialect: "",
        },
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn verified(head: &Head, parameters: &str, body: &str, rule: BodyRule) -> Result<(), Failure> {
    let now = at("2026-01-01T00:00:00Z");
    Signed::read(head, parameters, now)?.check(head, body.as_bytes(), rule, SECRET)
}

fn create(extra: &[(&str, &str)]) -> Head {
    head(Method::POST, "/api/v3/access-policies", &[], extra)
}

#[test]
fn what_the_sdk_signed_verifies() {
    assert_eq!(verified(&create(&[]), CREATE, BODY, BodyRule::Json), Ok(()));
    let list = head(
        Method::GET,
        "/api/v3/access-policies",
        &[("cluster_id", "8e6bbdd0-1111-11f1-9a54-0255ac10004d")],
        &[],
    );
    assert_eq!(verified(&list, LIST, "", BodyRule::None), Ok(()));
}

#[test]
fn a_signature_holds_for_nothing_but_its_own_request() {
    let refused = Err(Failure::Mismatch);
    let stronger = BODY.replace("CCEViewPolicy", "CCEClusterAdminPolicy");
    assert_eq!(verified(&create(&[]), CREATE, &stronger, BodyRule::Json), refused, "body");
    let elsewhere = head(Method::POST, "/api/v3/access-policies/x", &[], &[]);
    assert_eq!(verified(&elsewhere, CREATE, BODY, BodyRule::Json), refused, "path");
    let put = head(Method::PUT, "/api/v3/access-policies", &[], &[]);
    assert_eq!(verified(&put, CREATE, BODY, BodyRule::Json), refused, "method");
    let query = head(Method::POST, "/api/v3/access-policies", &[("a", "b")], &[]);
    assert_eq!(verified(&query, CREATE, BODY, BodyRule::Json), refused, "query");
    for header in ["host", "content-type", "user-agent", "x-project-id"] {
        assert_eq!(
            verified(&create(&[(header, "other")]), CREATE, BODY, BodyRule::Json),
            refused,
            "{header}"
        );
    }
    let truncated = CREATE.trim_end_matches('9');
    assert_eq!(verified(&create(&[]), truncated, BODY, BodyRule::Json), refused, "half a signature");
}

/// The captured create with another body, and the old body's hash in a header that was not signed.
#[test]
fn a_swapped_body_is_refused_though_a_header_claims_the_old_hash() {
    let stronger = BODY.replace("CCEViewPolicy", "CCEClusterAdminPolicy");
    let claimed = create(&[(CONTENT_HASH, &body_hash(BODY.as_bytes()))]);
    assert!(verified(&claimed, CREATE, &stronger, BodyRule::Json).is_err());
    assert!(verified(&create(&[(CONTENT_HASH, UNSIGNED)]), CREATE, &stronger, BodyRule::Json).is_err());
}

fn sign(head: &Head, names: &str, payload_hash: &str) -> String {
    let headers: Vec<(&str, &str)> =
        names.split(';').map(|name| (name, head.header(name).unwrap_or(""))).collect();
    let request = Request {
        method: head.method.as_str(),
        raw_path: &head.raw_path,
        query: &head.query,
        headers: &headers,
        payload_hash,
    };
    let text = canonical::string_to_sign(SCHEME, head.header("x-sdk-date").unwrap(), &request);
    let signature = hex::encode(mac::sha256(SECRET.as_bytes(), &[text.as_bytes()]).unwrap());
    format!("Access=AKEXAMPLE, SignedHeaders={names}, Signature={signature}")
}

#[test]
fn a_signed_content_hash_must_be_the_bodys() {
    let names = "host;x-project-id;x-sdk-content-sha256;x-sdk-date";
    let right = body_hash(BODY.as_bytes());
    let head = create(&[(CONTENT_HASH, &right)]);
    let parameters = sign(&head, names, &right);
    assert_eq!(verified(&head, &parameters, BODY, BodyRule::Json), Ok(()));
    assert_eq!(verified(&head, &parameters, "{}", BodyRule::Json), Err(Failure::Mismatch));
}

#[test]
fn an_unsigned_payload_is_never_accepted_for_json() {
    let names = "host;x-project-id;x-sdk-content-sha256;x-sdk-date";
    let json = create(&[(CONTENT_HASH, UNSIGNED)]);
    assert_eq!(verified(&json, &sign(&json, names, UNSIGNED), BODY, BodyRule::Json), Err(Failure::Mismatch));
    assert_eq!(verified(&json, &sign(&json, names, UNSIGNED), BODY, BodyRule::None), Err(Failure::Mismatch));
    let form = create(&[(CONTENT_HASH, UNSIGNED), ("content-type", "text/plain")]);
    let parameters = sign(&form, names, UNSIGNED);
    assert_eq!(
        verified(&form, &parameters, BODY, BodyRule::Json),
        Err(Failure::Mismatch),
        "the operation takes JSON"
    );
    assert_eq!(verified(&form, &parameters, BODY, BodyRule::None), Ok(()));
}

#[test]
fn a_header_with_meaning_must_be_signed() {
    for name in MEANINGFUL {
        let head = create(&[(name, "x")]);
        let failure = verified(
            &head,
            &sign(&head, "host;x-sdk-date", &body_hash(BODY.as_bytes())),
            BODY,
            BodyRule::Json,
        );
        assert!(matches!(failure, Err(Failure::Malformed(_))), "{name}: {failure:?}");
    }
    for names in ["x-project-id;x-sdk-date", "host;x-project-id"] {
        let head = create(&[]);
        let failure = verified(&head, &sign(&head, names, &body_hash(BODY.as_bytes())), BODY, BodyRule::Json);
        assert!(matches!(failure, Err(Failure::Malformed(_))), "{names}");
    }
}

#[test]
fn a_header_without_its_form_is_refused() {
    for bad in [
        "",
        "Access=a",
        "Access=a, SignedHeaders=host;x-sdk-date",
        "Access=a, Access=b, SignedHeaders=host, Signature=c",
        "Access=a, SignedHeaders=Host;x-sdk-date, Signature=c",
        "Access=a, SignedHeaders=host;host;x-sdk-date, Signature=c",
        "Access=a, SignedHeaders=host;;x-sdk-date, Signature=c",
        "Access=a, SignedHeaders=host;x-sdk-date, Signature=c, X=y",
    ] {
        let failure = verified(&create(&[]), bad, BODY, BodyRule::Json);
        assert!(matches!(failure, Err(Failure::Malformed(_))), "{bad}: {failure:?}");
    }
}
