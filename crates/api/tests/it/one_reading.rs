//! Requests with two readings are refused before anybody looks at credentials, in the words of the dialect.

use crate::server::Server;

#[tokio::test]
async fn paths_with_two_readings_are_refused_in_the_callers_dialect() {
    let server = Server::start().await;
    for path in [
        "/api/v3/access-policies/a%2Fb",
        "/api/v3/access-policies/a%5Cb",
        "/api/v3/access-policies/../clusters",
        "/api/v3/access-policies/%2e%2e",
        "/api/v3/access-policies/",
        "/api/v3//access-policies",
        "/api/v3/access-policies/a%00",
        "/api/v3/access-policies/%ff",
        "/api/v3/access-policies/%zz",
        "/api/v3/access-policies?a=1&a=2",
        "/api/v3/access-policies?a=%00",
    ] {
        let answer = server.send("GET", path, &[], b"").await;
        assert_eq!(answer.status, 400, "{path}");
        let json = answer.json();
        assert_eq!(json["errorCode"], "CCE.01400001", "{path}");
        assert_eq!(json["error_msg"], json["errorMessage"]);
        let native = path.replace("/api/v3", "/bailiwick/v1");
        let answer = server.send("GET", &native, &[], b"").await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"invalid".into()), "{native}");
    }
}

#[tokio::test]
async fn repeated_headers_are_refused() {
    let server = Server::start().await;
    for name in
        ["Authorization", "X-Auth-Token", "X-Project-Id", "X-Sdk-Date", "Content-Type", "Host", "X-Anything"]
    {
        let answer = server.send("GET", "/api/v3/access-policies", &[(name, "a"), (name, "b")], b"").await;
        assert_eq!(answer.status, 400, "{name}");
    }
    let answer =
        server.send("GET", "/api/v3/access-policies", &[("Accept", "a"), ("Accept", "b")], b"").await;
    assert_eq!(answer.status, 401, "Accept is a list");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_dialect_that_the_caller_speaks() {
    let server = Server::start().await;
    let answer = server.send("GET", "/api/v3/nothing", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["errorCode"]), (404, &"APIGW.0101".into()));
    let answer = server.send("GET", "/nothing", &[("X-Auth-Token", "t")], b"").await;
    assert_eq!((answer.status, &answer.json()["error_code"]), (404, &"APIGW.0101".into()), "by its header");
    let answer = server.send("GET", "/nothing", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &"not_found".into()));
    let answer = server.send("PATCH", "/api/v3/access-policies", &[], b"").await;
    assert_eq!(answer.status, 405);
    assert!(answer.json()["error_msg"].as_str().unwrap().contains("GET, POST"));
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    let answer = server.send("BREW", "/bailiwick/v1/grants", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (405, &"method_not_allowed".into()));
    assert!(answer.header("x-request-id").is_some_and(|id| id.len() == 32));
}

#[tokio::test]
async fn every_dialect_says_in_the_allow_header_which_methods_a_path_has() {
    let server = Server::start().await;
    for dialect in server.app.dialects() {
        let rows = dialect.table().rows();
        for row in rows {
            let path = row.path.replace(['{', '}'], "");
            let answer = server.send("BREW", &path, &[], b"").await;
            assert_eq!(answer.status, 405, "{path}");
            let mut methods: Vec<&str> =
                rows.iter().filter(|other| other.path == row.path).map(|other| other.method).collect();
            methods.sort_unstable();
            assert_eq!(answer.header("allow"), Some(methods.join(", ").as_str()), "{path}");
        }
    }
    let nowhere = server.send("BREW", "/bailiwick/v1/nowhere", &[], b"").await;
    assert_eq!((nowhere.status, nowhere.header("allow")), (404, None));
}

#[tokio::test]
async fn a_body_above_the_limit_is_read_to_its_end_so_that_the_refusal_is_seen() {
    let server = Server::start().await;
    for size in [1024 * 1024 + 1, 8 * 1024 * 1024] {
        let body = vec![b' '; size];
        let answer = server.as_root("POST", "/api/v3/access-policies", &body).await;
        assert_eq!(answer.status, 413, "{size}");
        assert_eq!(answer.json()["error_msg"], "the body must be at most 1048576 bytes");
    }
}

#[tokio::test]
async fn a_head_above_the_limit_is_refused_in_the_callers_dialect() {
    let server = Server::start().await;
    let long = "a".repeat(64 * 1024);
    let answer = server.send("GET", "/api/v3/access-policies", &[("X-Long", &long)], b"").await;
    assert_eq!((answer.status, &answer.json()["errorCode"]), (431, &"CCE.01400001".into()));
    let target = format!("/bailiwick/v1/grants?cursor={}", "a".repeat(60_000));
    let answer = server.send("GET", &target, &[("X-Long", &"a".repeat(6_000))], b"").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (431, &"head_too_large".into()));
    let token = "t".repeat(32_768);
    let answer = server.send("GET", "/api/v3/access-policies", &[("X-Auth-Token", &token)], b"").await;
    assert_eq!(answer.status, 401, "the longest token that the documents allow fits");
}
