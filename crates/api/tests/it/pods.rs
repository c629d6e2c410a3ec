//! Pods that ask by themselves, with the request that the vendor's SDK was seen to send, byte for byte. What they get is
//! asked of a real API server in `e2e`.

use serde_json::json;

use crate::server::Server;

const REQUEST: &str = "POST /bailiwick/v1/clusters/8e6bbdd0/pod-identity/pod HTTP/1.1\r\nHost: 127.0.0.1:45189\r\n\
    User-Agent: python-requests/2.34.2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\
    Authorization: eyJTOKEN.aaa.bbb\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}";

#[tokio::test]
async fn what_the_vendors_client_sends_for_a_pod_is_understood_and_refused_by_default() {
    let server = Server::start().await;
    let request = REQUEST.replace("keep-alive", "close");
    let answer = server.raw(request.as_bytes()).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["reason"]), (403, &json!("not-direct")));
    assert!(error["message"].as_str().unwrap().contains("`pod_identity.direct"), "{error}");
    let counts = server.app.service.auth_failures();
    assert!(counts.iter().any(|(reason, times)| reason.as_str() == "pod-token" && *times == 1), "{counts:?}");
}

#[tokio::test]
async fn two_credentials_are_none_for_a_pod_either() {
    let server = Server::start().await;
    let path = "/bailiwick/v1/clusters/x/pod-identity/pod";
    let answer = server.send("POST", path, &[("Authorization", "a.b.c"), ("X-Auth-Token", "t")], b"{}").await;
    assert_eq!(answer.status, 400);
    assert!(server.app.service.auth_failures().iter().all(|(_, times)| *times == 0));
}

#[tokio::test]
async fn the_document_asks_no_credential_of_ours_of_a_pod() {
    let server = Server::start().await;
    let document = server.send("GET", "/bailiwick/v1/openapi.json", &[], b"").await.json();
    let at = "/paths/~1bailiwick~1v1~1clusters~1{cluster}~1pod-identity~1pod/post";
    let operation = document.pointer(at).unwrap();
    assert!(operation["security"].is_null() && operation["requestBody"].is_null(), "{operation}");
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(schema, "#/components/schemas/VendedCredentials");
}
