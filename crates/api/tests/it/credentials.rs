//! Exactly one credential, in a scheme that the dialect knows.

use crate::server::{Server, borrowed};

const LIST: &str = "/api/v3/access-policies";

#[tokio::test]
async fn a_signature_or_a_token_opens_and_both_together_do_not() {
    let server = Server::start().await;
    assert_eq!(server.as_root("GET", LIST, b"").await.status, 200);
    let token = server.root_token().await;
    assert_eq!(server.send("GET", LIST, &[("X-Auth-Token", &token)], b"").await.status, 200);
    let mut both = server.signed("GET", LIST, &[], b"");
    both.push(("X-Auth-Token".into(), token.clone()));
    assert_eq!(server.send("GET", LIST, &borrowed(&both), b"").await.status, 400);
    assert_eq!(
        server.as_root("GET", "/bailiwick/v1/grants", b"").await.status,
        200,
        "the same key in our own dialect"
    );
    let bearer = format!("Bearer {token}");
    assert_eq!(
        server.send("GET", "/bailiwick/v1/grants", &[("Authorization", &bearer)], b"").await.status,
        200
    );
}

#[tokio::test]
async fn a_scheme_of_another_dialect_is_refused_and_never_falls_through() {
    let server = Server::start().await;
    let token = server.root_token().await;
    for scheme in [
        format!("Bearer {token}"),
        "Basic YTpi".to_owned(),
        "SDK-HMAC-SM3 Access=a, SignedHeaders=host, Signature=b".to_owned(),
        "V11-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=e".to_owned(),
        "SDK-HMAC-SHA256".to_owned(),
        String::new(),
    ] {
        let answer = server
            .send("GET", LIST, &[("Authorization", &scheme), ("X-Sdk-Date", "20261121T200000Z")], b"")
            .await;
        assert_eq!(answer.status, 401, "{scheme:.20}");
        assert_eq!(answer.json()["error_code"], "APIGW.0301");
    }
}

/// Every scheme, sent where another dialect is spoken: by path alone, and beside a header of that dialect.
#[tokio::test]
async fn a_scheme_that_is_right_in_its_own_dialect_opens_no_other() {
    let server = Server::start().await;
    let sdk = server.signed("GET", "/?Action=GetCallerIdentity", &[], b"");
    let answer = server.send("GET", "/?Action=GetCallerIdentity", &borrowed(&sdk), b"").await;
    assert_eq!((answer.status, &answer.json()["error_code"]), (404, &"APIGW.0101".into()));
    let key = server.root_key();
    let request = crate::acs3::Request { method: "GET", path: LIST, query: "", body: b"", extra: &[] };
    let mut headers = server.acs3(&key, &request);
    let answer = server.send("GET", LIST, &borrowed(&headers), b"").await;
    assert_eq!((answer.status, &answer.json()["Code"]), (404, &"InvalidAction.NotFound".into()));
    headers.push(("X-Sdk-Date".into(), "20261121T200000Z".into()));
    assert_eq!(server.send("GET", LIST, &borrowed(&headers), b"").await.status, 400, "two dialects");
    let grants = crate::acs3::Request { path: "/bailiwick/v1/grants", ..request };
    assert_eq!(server.send_acs3(&key, &grants).await.status, 401, "our own knows no such scheme");
    let derived = "V11-HMAC-SHA256 Credential=a/20261121/r/s, SignedHeaders=host;x-sdk-date, Signature=e";
    let answer = server.send("GET", "/bailiwick/v1/grants", &[("Authorization", derived)], b"").await;
    assert_eq!(answer.status, 401);
    let acs = [("Authorization", "acs a:b"), ("x-acs-date", "2026-11-21T20:00:00Z")];
    assert_eq!(server.send("GET", "/bailiwick/v1/grants", &acs, b"").await.status, 401);
}

#[tokio::test]
async fn failures_say_what_the_vendors_gateway_says_and_nothing_about_users() {
    let server = Server::start().await;
    let message = |answer: crate::server::Answer| answer.json()["error_msg"].as_str().unwrap().to_owned();
    let prefix = "Incorrect IAM authentication information: ";
    let nobody = message(server.send("GET", LIST, &[], b"").await);
    assert_eq!(nobody, format!("{prefix}x-auth-token not found"));
    let bad = message(server.send("GET", LIST, &[("X-Auth-Token", "nope")], b"").await);
    assert_eq!(bad, format!("{prefix}decrypt token fail"));
    let token = server.root_token().await;
    let mut headers = server.signed("GET", LIST, &[], b"");
    headers[2].1 = headers[2].1.replace(server.root.access_key_id.as_str(), "UNKNOWN");
    let unknown = message(server.send("GET", LIST, &borrowed(&headers), b"").await);
    assert_eq!(unknown, format!("{prefix}Get secretKey failed,ak:UNKNOWN,err:ak not exist"));
    let mut headers = server.signed("GET", LIST, &[], b"");
    headers[2].1.pop();
    headers[2].1.push('g');
    let wrong = message(server.send("GET", LIST, &borrowed(&headers), b"").await);
    assert_eq!(wrong, format!("{prefix}verify aksk signature fail"));
    let signed = server.signed("GET", LIST, &[], b"");
    server.clock.advance_seconds(15 * 60 + 1);
    assert_eq!(server.send("GET", LIST, &borrowed(&signed), b"").await.status, 401, "too old");
    server.clock.advance_seconds(24 * 3600);
    let ended = message(server.send("GET", LIST, &[("X-Auth-Token", &token)], b"").await);
    assert!(ended.starts_with(&format!("{prefix}token expires, expires_at: 2026-11-22T20:00:00")), "{ended}");
}

#[tokio::test]
async fn a_swapped_body_or_method_is_refused() {
    let server = Server::start().await;
    let body = br#"{"name":"p","clusters":["*"],"accessScope":{"namespaces":["*"]},"policyType":"CCEViewPolicy","principal":{"type":"user","ids":["u"]}}"#;
    let stronger = String::from_utf8_lossy(body).replace("CCEViewPolicy", "CCEClusterAdminPolicy");
    let headers = server.signed("POST", LIST, &[], body);
    assert_eq!(server.send("POST", LIST, &borrowed(&headers), stronger.as_bytes()).await.status, 401);
    let mut claimed = headers.clone();
    claimed.push(("X-Sdk-Content-Sha256".into(), api::authn::canonical::body_hash(body)));
    assert_eq!(server.send("POST", LIST, &borrowed(&claimed), stronger.as_bytes()).await.status, 401);
    assert_eq!(server.send("PUT", &format!("{LIST}/x"), &borrowed(&headers), body).await.status, 401);
    assert_eq!(server.grants().await, 0);
}

#[tokio::test]
async fn headers_that_name_a_scope_must_name_the_callers_own() {
    let server = Server::start().await;
    let token = server.root_token().await;
    let with = |name: &'static str, value: String| {
        let (server, token) = (&server, token.clone());
        async move { server.send("GET", LIST, &[("X-Auth-Token", &token), (name, &value)], b"").await.status }
    };
    assert_eq!(with("X-Project-Id", server.root.project.id.to_string()).await, 200);
    assert_eq!(with("X-Project-Id", "other".into()).await, 403);
    assert_eq!(with("X-Domain-Id", server.root.account.id.to_string()).await, 200);
    assert_eq!(with("X-Domain-Id", "other".into()).await, 403);
    let mut unsigned = server.signed("GET", LIST, &[], b"");
    unsigned.push(("X-Project-Id".into(), server.root.project.id.to_string()));
    assert_eq!(server.send("GET", LIST, &borrowed(&unsigned), b"").await.status, 401, "it must be signed");
}

#[tokio::test]
async fn every_way_to_prove_nothing_is_counted_by_its_reason() {
    let server = Server::start().await;
    server.send("GET", LIST, &[], b"").await;
    server.send("GET", "/bailiwick/v1/grants", &[], b"").await;
    server.send("GET", LIST, &[("Authorization", "Basic YTpi")], b"").await;
    server.send("GET", "/bailiwick/v1/grants", &[("Authorization", "Basic YTpi")], b"").await;
    server.send("GET", LIST, &[("X-Auth-Token", "nope")], b"").await;
    server.send("GET", LIST, &[("Authorization", "SDK-HMAC-SHA256 x")], b"").await;
    let mut headers = server.signed("GET", LIST, &[], b"");
    headers[2].1.push('0');
    server.send("GET", LIST, &borrowed(&headers), b"").await;
    headers[2].1 = headers[2].1.replace(server.root.access_key_id.as_str(), "UNKNOWN");
    server.send("GET", LIST, &borrowed(&headers), b"").await;
    headers[1].1 = "20200101T000000Z".into();
    server.send("GET", LIST, &borrowed(&headers), b"").await;
    let login = br#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"x","password":"long enough","domain":{"name":"x"}}}}}}"#;
    server.send("POST", "/v3/auth/tokens", &[("Content-Type", "application/json")], login).await;
    let counts: Vec<(&str, u64)> =
        server.app.service.auth_failures().into_iter().map(|(reason, n)| (reason.as_str(), n)).collect();
    assert_eq!(
        counts,
        [
            ("no-credential", 2),
            ("unknown-scheme", 2),
            ("malformed-signature", 1),
            ("wrong-date", 1),
            ("unknown-key", 1),
            ("wrong-signature", 1),
            ("invalid-token", 1),
            ("wrong-password", 1),
            ("locked", 0),
            ("pod-token", 0),
        ]
    );
}

#[tokio::test]
async fn a_refusal_of_a_known_caller_waits_for_the_audit_and_is_read_back() {
    let server = Server::start().await;
    let token = server.ordinary_token().await;
    let path = "/bailiwick/v1/clusters/secret-looking-name";
    assert_eq!(server.send("DELETE", path, &[("X-Auth-Token", &token)], b"").await.status, 403);
    let scoped = [("X-Auth-Token", token.as_str()), ("X-Domain-Id", "other")];
    assert_eq!(server.send("GET", LIST, &scoped, b"").await.status, 403);
    server.app.service.flush_audit().await.unwrap();
    let answer = server.as_root("GET", "/bailiwick/v1/audit-events", b"").await;
    let items = answer.json()["items"].as_array().unwrap().clone();
    let refused: Vec<(&str, &str, &str)> = items
        .iter()
        .filter(|item| item["outcome"] == "refused")
        .map(|item| {
            let text = |key: &str| item[key].as_str().unwrap();
            (text("actorName"), text("action"), text("resource"))
        })
        .collect();
    assert!(refused.contains(&("ordinary", "bailiwick:cluster:delete", path)), "{refused:?}");
    assert!(refused.contains(&("ordinary", "bailiwick:scope:use", LIST)), "{refused:?}");
    assert!(!String::from_utf8_lossy(&answer.body).contains(&token));
}
