//! Guessing, flooding and repeating, over the wire.

use serde_json::{Value, json};

use crate::server::{Server, borrowed};

const LIST: &str = "/api/v3/access-policies";
const CLUSTERS: &str = "/bailiwick/v1/clusters";
const PREFIX: &str = "Incorrect IAM authentication information: ";

/// The headers of a request whose signature is wrong.
fn wrong(server: &Server) -> Vec<(String, String)> {
    let mut headers = server.signed("GET", LIST, &[], b"");
    headers[2].1.pop();
    headers[2].1.push('g');
    headers
}

#[tokio::test]
async fn the_seventh_wrong_signature_is_not_looked_at_and_neither_is_a_right_one() {
    let server = Server::start().await;
    let message = |answer: crate::server::Answer| {
        assert_eq!((answer.status, &answer.json()["error_code"]), (401, &json!("APIGW.0301")));
        answer.json()["error_msg"].as_str().unwrap().to_owned()
    };
    for n in 0..6 {
        let said = message(server.send("GET", LIST, &borrowed(&wrong(&server)), b"").await);
        assert_eq!(said, format!("{PREFIX}verify aksk signature fail"), "{n}");
    }
    let locked = format!("{PREFIX}AK access failed to reach the limit,forbidden.");
    assert_eq!(message(server.send("GET", LIST, &borrowed(&wrong(&server)), b"").await), locked);
    assert_eq!(message(server.as_root("GET", LIST, b"").await), locked);
    let native = server.as_root("GET", CLUSTERS, b"").await;
    assert_eq!(native.status, 401);
    assert!(native.json()["error"]["message"].as_str().unwrap().contains("five minutes"));
    let failures = server.app.service.auth_failures();
    assert!(failures.iter().any(|(reason, n)| reason.as_str() == "locked" && *n == 3), "{failures:?}");
    server.clock.advance_seconds(5 * 60);
    assert_eq!(server.as_root("GET", LIST, b"").await.status, 200);
}

#[tokio::test]
async fn a_right_signature_ends_the_series_of_wrong_ones() {
    let server = Server::start().await;
    for _ in 0..4 {
        for _ in 0..5 {
            assert_eq!(server.send("GET", LIST, &borrowed(&wrong(&server)), b"").await.status, 401);
        }
        assert_eq!(server.as_root("GET", LIST, b"").await.status, 200);
    }
}

fn login(server: &Server, password: &str) -> Vec<u8> {
    let user = json!({"id": server.root.root.id.as_str(), "password": password});
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    json!({"auth": {"identity": identity}}).to_string().into_bytes()
}

#[tokio::test]
async fn wrong_passwords_lock_the_user_for_that_address_and_the_right_one_is_not_looked_at() {
    let server = Server::start().await;
    let send = |body: Vec<u8>| {
        let server = &server;
        async move { server.send("POST", "/v3/auth/tokens", &[("Content-Type", "application/json")], &body).await }
    };
    let right = server.root.password.expose();
    for _ in 0..6 {
        let said = send(login(&server, "a wrong one")).await.json()["error_msg"].clone();
        assert!(said.as_str().unwrap().ends_with("the user name or password is wrong"), "{said}");
    }
    let locked = send(login(&server, right)).await;
    assert_eq!(locked.status, 401);
    assert!(locked.json()["error_msg"].as_str().unwrap().contains("five minutes"));
    assert_eq!(server.as_root("GET", LIST, b"").await.status, 200, "keys are locked by themselves");
    server.clock.advance_seconds(5 * 60);
    assert_eq!(send(login(&server, right)).await.status, 201);
}

async fn clusters(server: &Server) -> Vec<Value> {
    server.as_root("GET", CLUSTERS, b"").await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn recorded_bytes_bring_nothing_back_in_either_dialect() {
    let server = Server::start().await;
    let cluster = br#"{"name":"c"}"#;
    let recorded = server.signed("POST", CLUSTERS, &[], cluster);
    let first = server.send("POST", CLUSTERS, &borrowed(&recorded), cluster).await;
    assert_eq!(first.status, 201);
    let again = server.send("POST", CLUSTERS, &borrowed(&recorded), cluster).await;
    assert_eq!((again.status, again.json()["id"].clone()), (201, first.json()["id"].clone()));
    assert_eq!(clusters(&server).await.len(), 1);
    let path = format!("{CLUSTERS}/{}", first.json()["id"].as_str().unwrap());
    assert!(server.as_root("DELETE", &path, b"").await.status < 300);
    let replayed = server.send("POST", CLUSTERS, &borrowed(&recorded), cluster).await;
    assert_eq!((replayed.status, &replayed.json()["error"]["code"]), (409, &json!("conflict")));
    assert!(replayed.json()["error"]["message"].as_str().unwrap().contains("sign again"));
    assert!(clusters(&server).await.is_empty());
    let policy = json!({
        "name": "p", "clusters": ["*"], "accessScope": {"namespaces": ["*"]}, "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": [server.root.root.id.as_str()]}
    });
    let policy = policy.to_string().into_bytes();
    let recorded = server.signed("POST", LIST, &[], &policy);
    let headers = borrowed(&recorded);
    let send = || server.send("POST", LIST, &headers, &policy);
    let first = send().await;
    assert_eq!(first.status, 201);
    assert_eq!(send().await.body, first.body, "the first answer again");
    let path = format!("{LIST}/{}", first.json()["policyId"].as_str().unwrap());
    assert_eq!(server.as_root("DELETE", &path, b"").await.status, 204);
    assert_eq!((send().await.status, server.grants().await), (409, 0));
}

#[tokio::test]
async fn a_read_may_come_as_often_as_somebody_likes() {
    let server = Server::start().await;
    let recorded = server.signed("GET", LIST, &[], b"");
    for _ in 0..10 {
        assert_eq!(server.send("GET", LIST, &borrowed(&recorded), b"").await.status, 200);
    }
}

#[tokio::test]
async fn whoever_is_too_fast_is_told_when_to_come_again_in_the_callers_dialect() {
    let once = service::Rate { per_second: 1, burst: 2 };
    let server = Server::start_with(service::Rates { principal: once, ..service::Rates::default() }).await;
    for _ in 0..2 {
        assert_eq!(server.as_root("GET", LIST, b"").await.status, 200);
    }
    let vendors = server.as_root("GET", LIST, b"").await;
    assert_eq!((vendors.status, &vendors.json()["error_code"]), (429, &json!("APIGW.0308")));
    assert_eq!(vendors.header("retry-after"), Some("1"));
    let ours = server.as_root("GET", CLUSTERS, b"").await;
    assert_eq!((ours.status, &ours.json()["error"]["code"]), (429, &json!("limited")));
    assert_eq!(server.send("GET", LIST, &[], b"").await.status, 401, "who shows nothing is nobody's");
    let server = Server::start_with(service::Rates { source: once, ..service::Rates::default() }).await;
    for expected in [401, 401, 429] {
        assert_eq!(server.send("GET", LIST, &[], b"").await.status, expected);
    }
    assert_eq!(server.send("GET", "/healthz", &[], b"").await.status, 200, "the sign of life is not counted");
}

/// Operations that find out by themselves who calls count for them, too.
#[tokio::test]
async fn who_asks_for_sessions_too_fast_is_held_back_whichever_credential_they_show() {
    let once = service::Rate { per_second: 1, burst: 2 };
    let start = || Server::start_with(service::Rates { principal: once, ..service::Rates::default() });
    let json = ("Content-Type", "application/json");
    const KEYS: &str = "/v3.0/OS-CREDENTIAL/securitytokens";
    const TOKENS: &str = "/v3/auth/tokens";
    let own = json!({"auth": {"identity": {"methods": ["token"]}}}).to_string().into_bytes();
    let server = start().await;
    for expected in [201, 201, 429] {
        assert_eq!(server.as_root("POST", KEYS, &own).await.status, expected);
    }
    let server = start().await;
    let password = server.root.password.expose();
    let issued = server.send("POST", TOKENS, &[json], &login(&server, password)).await;
    let token = issued.header("x-subject-token").unwrap();
    let identity = json!({"methods": ["token"], "token": {"id": token}});
    let again = json!({"auth": {"identity": identity}}).to_string().into_bytes();
    for expected in [201, 201, 429] {
        assert_eq!(server.send("POST", TOKENS, &[json], &again).await.status, expected);
    }
    assert_eq!(server.send("POST", KEYS, &[json], &again).await.status, 429, "the same principal");
}
