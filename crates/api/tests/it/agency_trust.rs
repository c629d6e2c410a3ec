//! Trust that is taken back.

use serde_json::{Value, json};

use crate::server::Server;

const OURS: &str = "/bailiwick/v1/agencies";
const TRUST: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Action":["sts:agencies:assume"],"Principal":{"IAM":["iam::a:user:ada"]}}]}"#;

async fn send(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = server.as_root(method, path, body.to_string().as_bytes()).await;
    let said = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, said)
}

#[tokio::test]
async fn null_takes_trust_back_and_what_is_left_out_stays() {
    let server = Server::start().await;
    let own = server.root.root.account.as_str();
    let new = json!({"id": "ag", "name": "writer", "trustPolicy": TRUST, "trustedAccount": own});
    assert_eq!(send(&server, "POST", OURS, new).await.0, 201);
    let path = format!("{OURS}/ag");
    let change = |body| send(&server, "PATCH", &path, body);
    let (status, said) = change(json!({"description": "x"})).await;
    assert_eq!((status, &said["trustPolicy"], &said["trustedAccount"]), (200, &json!(TRUST), &json!(own)));
    let (status, said) = change(json!({"trustedAccount": null})).await;
    assert_eq!((status, &said["trustPolicy"]), (200, &json!(TRUST)));
    assert_eq!((said.get("trustedAccount"), said.get("trustedAccountName")), (None, None), "{said}");
    assert_eq!(change(json!({"trustedAccountName": "admin"})).await.1["trustedAccount"], json!(own));
    for both in [
        json!({"trustedAccount": null, "trustedAccountName": "admin"}),
        json!({"trustedAccount": own, "trustedAccountName": null}),
        json!({"trustedAccount": own, "trustedAccountName": "admin"}),
    ] {
        assert_eq!(change(both).await.0, 400, "what is meant is not clear");
    }
    let (status, said) = change(json!({"trustPolicy": null, "trustedAccountName": null})).await;
    assert_eq!((status, said.get("trustPolicy"), said.get("trustedAccount")), (200, None, None), "{said}");
}

#[tokio::test]
async fn a_trust_policy_of_v5_takes_the_place_of_the_trust_in_an_account_of_v3() {
    let server = Server::start().await;
    let own = server.root.root.account.as_str();
    let new = json!({"agency": {"name": "writer", "domain_id": own, "trust_domain_id": own}});
    let (status, made) = send(&server, "POST", "/v3.0/OS-AGENCY/agencies", new).await;
    assert_eq!((status, &made["agency"]["trust_domain_id"]), (201, &json!(own)), "{made}");
    let path = format!("/v5/agencies/{}", made["agency"]["id"].as_str().unwrap());
    let trust = json!({"trust_policy": TRUST});
    assert_eq!(send(&server, "PUT", &format!("{path}/trust-policy"), trust).await.0, 200);
    let (_, shown) = send(&server, "GET", &path, json!({})).await;
    assert_eq!(shown["agency"]["trust_policy"], json!(TRUST));
    assert_eq!(shown["agency"].get("trust_domain_id"), None, "{shown}");
}
