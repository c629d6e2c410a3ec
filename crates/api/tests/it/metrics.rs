//! What `/metrics` shows, and what it never does.

use std::net::SocketAddr;
use std::sync::Arc;

use api::{Limits, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, borrowed};

async fn text(server: &Server) -> String {
    let answer = server.send("GET", "/metrics", &[], b"").await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// The names and labels of all series.
fn series(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series)).collect()
}

#[tokio::test]
async fn ten_thousand_unknown_paths_make_no_new_series() {
    let server = Server::start().await;
    let before = text(&server).await;
    for batch in 0..20 {
        let mut requests = String::new();
        for n in 0..500 {
            let close = if n == 499 { "Connection: close\r\n" } else { "" };
            requests.push_str(&format!("GET /unknown/{batch}-{n} HTTP/1.1\r\nHost: test\r\n{close}\r\n"));
        }
        server.raw(requests.as_bytes()).await;
    }
    let after = text(&server).await;
    assert_eq!(series(&before), series(&after));
    let counted = r#"bailiwick_requests_total{dialect="native",operation="none",outcome="invalid"} 10000"#;
    assert!(after.contains(counted), "{after}");
    assert!(!after.contains("unknown/"));
}

#[tokio::test]
async fn metrics_count_and_hold_nothing_that_a_caller_chose() {
    let server = Server::start().await;
    let token = server.ordinary_token().await;
    let cluster = br#"{"id":"cluster-xyzzy","name":"name-xyzzy"}"#;
    assert_eq!(server.as_root("POST", "/bailiwick/v1/clusters", cluster).await.status, 201);
    assert_eq!(
        server
            .send("GET", "/bailiwick/v1/clusters/cluster-xyzzy", &[("X-Auth-Token", &token)], b"")
            .await
            .status,
        403
    );
    assert_eq!(server.send("GET", "/bailiwick/v1/grants", &[], b"").await.status, 401);
    let text = text(&server).await;
    for line in [
        r#"bailiwick_requests_total{dialect="native",operation="clusters.create",outcome="ok"} 1"#,
        r#"bailiwick_requests_total{dialect="native",operation="clusters.show",outcome="forbidden"} 1"#,
        r#"bailiwick_requests_total{dialect="native",operation="grants.list",outcome="unauthenticated"} 1"#,
        r#"bailiwick_request_duration_seconds_count{dialect="native",operation="grants.list"} 1"#,
        r#"bailiwick_clusters{state="detached"} 1"#,
        r#"bailiwick_authentication_failures_total{reason="no-credential"} 1"#,
        "bailiwick_audit_queue_length 1",
        "bailiwick_database_up 1",
        "bailiwick_bootstrap_file_present 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
    }
    let root = &server.root;
    for secret in [
        "xyzzy",
        "ordinary",
        root.account.id.as_str(),
        root.project.id.as_str(),
        root.root.id.as_str(),
        root.access_key_id.as_str(),
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn whoever_is_behind_a_proxy_needs_a_credential_with_the_right() {
    let server = Server::start().await;
    let through = ("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.send("GET", "/metrics", &[through], b"").await.status, 401);
    let (ordinary, root) = (server.ordinary_token().await, server.root_token().await);
    for (token, status) in [(ordinary, 403), (root, 200)] {
        let bearer = format!("Bearer {token}");
        let headers = [through, ("Authorization", bearer.as_str())];
        assert_eq!(server.send("GET", "/metrics", &headers, b"").await.status, status);
    }
}

#[tokio::test]
async fn the_metrics_address_serves_metrics_and_nothing_else() {
    let server = Server::start().await;
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap().for_metrics();
    let address = listener.address();
    tokio::spawn(listener.serve(Arc::clone(&server.app), std::future::pending()));
    for (path, status) in
        [("/metrics", 200), ("/healthz", 200), ("/readyz", 404), ("/bailiwick/v1/grants", 404)]
    {
        assert_eq!(status_of(address, path).await, status, "{path}");
    }
}

async fn status_of(address: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn limited(server: &Server, limits: Limits) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap().with_limits(limits);
    let address = listener.address();
    tokio::spawn(listener.serve(Arc::clone(&server.app), std::future::pending()));
    address
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_until_one_ends() {
    let server = Server::start().await;
    let address = limited(&server, Limits { connections: 1, connections_per_source: 9 }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let second = tokio::spawn(status_of(address, "/healthz"));
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap(), 200);
}

#[tokio::test]
async fn one_source_cannot_take_all_connections() {
    let server = Server::start().await;
    let address = limited(&server, Limits { connections: 9, connections_per_source: 1 }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let closed = second.read(&mut byte).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "closed without an answer");
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    first.read_exact(&mut byte).await.unwrap();
}

#[tokio::test]
async fn whoever_is_elsewhere_is_shown_metrics_for_a_signature_as_for_a_token() {
    let server = Server::start().await;
    let elsewhere = ("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.send("GET", "/metrics", &[elsewhere], b"").await.status, 401);
    let (root, ordinary) = (server.root_token().await, server.ordinary_token().await);
    for (token, status) in [(&root, 200), (&ordinary, 403)] {
        let answer = server.send("GET", "/metrics", &[elsewhere, ("X-Auth-Token", token)], b"").await;
        assert_eq!(answer.status, status);
    }
    let signed = server.signed("GET", "/metrics", &[], b"");
    let headers = [borrowed(&signed), vec![elsewhere]].concat();
    assert_eq!(server.send("GET", "/metrics", &headers, b"").await.status, 200);
}
