//! The client against API servers that misbehave, over real TLS on the loopback.
//!
//! The key beside this file belongs to no machine: it exists so that tests can serve.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::Secret;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

mod contact;
mod workloads;

const AUTHORITY: &str = include_str!("test-authority.pem");
const CERTIFICATE: &str = include_str!("test-server.pem");
const KEY: &str = include_str!("test-server-key.pem");

/// What a server does with every request.
#[derive(Clone, Copy)]
enum Answer {
    /// Sends this.
    Once(&'static str),
    /// Sends the first text, and then the second one again and again.
    Endless(&'static str, &'static str),
    /// Sends the first text, then that many bytes, then the last text.
    Long(&'static str, usize, &'static str),
    /// Sends what this makes of the request.
    By(fn(&str) -> String),
}

/// A server that counts its requests and the bytes that it got rid of.
struct Server {
    port: u16,
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes()).collect::<Result<_, _>>().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(answer: Answer) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        requests: Arc::default(),
        sent: Arc::default(),
    };
    let (requests, sent) = (Arc::clone(&server.requests), Arc::clone(&server.sent));
    tokio::spawn(async move {
        let acceptor = acceptor();
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 16 << 10];
            if !matches!(socket.read(&mut request).await, Ok(1..)) {
                continue;
            }
            requests.fetch_add(1, Ordering::SeqCst);
            let (first, again) = match answer {
                Answer::Once(text) => (text.to_owned(), ""),
                Answer::Endless(first, again) => (first.to_owned(), again),
                Answer::Long(first, bytes, last) => (format!("{first}{}{last}", "x".repeat(bytes)), ""),
                Answer::By(answer) => (answer(&String::from_utf8_lossy(&request)), ""),
            };
            let _ = socket.write_all(first.as_bytes()).await;
            while !again.is_empty() && socket.write_all(again.as_bytes()).await.is_ok() {
                sent.fetch_add(again.len(), Ordering::SeqCst);
            }
            let _ = socket.shutdown().await;
        }
    });
    server
}

fn client(port: u16, authority: &str) -> Result<ApiClient, Failure> {
    let connection = Connection {
        server: format!("https://127.0.0.1:{port}"),
        ca_pem: Some(authority.to_owned()),
        credential: Credential::Token(Secret::new("hunter2".to_owned())),
        tls_server_name: None,
    };
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    ApiClient::new(&connection, Arc::new(policy))
}

async fn get(answer: Answer) -> (Server, Result<serde_json::Value, Failure>) {
    let server = serve(answer).await;
    let answer = client(server.port, AUTHORITY).unwrap().get("/version", MAX_ANSWER).await;
    (server, answer)
}

const ENDLESS: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\"";
const CHUNK: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn an_answer_is_read() {
    let (_, answer) = get(Answer::Once("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}")).await;
    assert_eq!(answer.unwrap(), serde_json::json!({"a": 1}));
}

#[tokio::test]
async fn an_endless_answer_is_given_up_at_the_limit() {
    let (server, answer) = get(Answer::Endless(ENDLESS, CHUNK)).await;
    assert_eq!(answer, Err(Failure::TOO_LARGE));
    // What is in socket buffers when we hang up was sent, too.
    assert!(server.sent.load(Ordering::SeqCst) < MAX_ANSWER + (16 << 20));
}

#[tokio::test]
async fn an_endless_failure_is_given_up_and_still_is_that_failure() {
    let (_, answer) =
        get(Answer::Endless("HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n", CHUNK)).await;
    assert!(answer.unwrap_err().is(403));
}

#[tokio::test]
async fn a_line_of_a_watch_that_is_too_long_is_passed_over() {
    let start = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none\n";
    let server = serve(Answer::Long(start, MAX_OBJECT + 10, "\nthree\n")).await;
    let client = client(server.port, AUTHORITY).unwrap();
    let mut lines = client.watch("/api/v1/namespaces?watch=true", Duration::from_secs(60)).await.unwrap();
    let whole = |text: &'static str| Ok(Some(WatchLine::Whole(text.into())));
    assert_eq!(lines.next().await, whole("one"));
    assert_eq!(lines.next().await, Ok(Some(WatchLine::TooLong)));
    assert_eq!(lines.next().await, whole("three"));
    assert_eq!(lines.next().await, Ok(None));
}

#[tokio::test]
async fn an_endless_line_of_a_watch_takes_no_memory_and_ends_with_the_watch() {
    let server = serve(Answer::Endless(ENDLESS, CHUNK)).await;
    let client = client(server.port, AUTHORITY).unwrap();
    let mut lines = client.watch("/api/v1/namespaces?watch=true", Duration::from_secs(2)).await.unwrap();
    assert_eq!(lines.next().await, Ok(None));
    assert!(lines.buffer.len() <= MAX_OBJECT + (1 << 20));
}

/// Says of every page with more than metadata that it is huge, unless it has no large object in it: those are the
/// second of three.
fn pages_with_a_huge_object(request: &str) -> String {
    let answer = |text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let item = |name: &str, more: &str| format!(r#"{{"metadata":{{"name":"{name}"}}{more}}}"#);
    let subjects = r#","subjects":[{"kind":"User","name":"ann"}]"#;
    let one = request.contains("?limit=1&");
    match (request.contains("continue=2 "), request.contains("continue=3 ")) {
        (false, false) if one => {
            answer(&format!(r#"{{"metadata":{{"continue":"2"}},"items":[{}]}}"#, item("small", subjects)))
        }
        (true, _) if request.contains("as=PartialObjectMetadataList") && one => {
            answer(&format!(r#"{{"metadata":{{"continue":"3"}},"items":[{}]}}"#, item("huge", "")))
        }
        (_, true) => answer(&format!(
            r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#,
            item("last", subjects)
        )),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n{".to_owned(),
    }
}

#[tokio::test]
async fn an_object_too_large_to_be_listed_costs_only_its_own_subjects() {
    let server = serve(Answer::By(pages_with_a_huge_object)).await;
    let client = client(server.port, AUTHORITY).unwrap();
    let (objects, version) = crate::observe::list_for_tests(&client).await.unwrap();
    let found: Vec<(String, usize)> = objects
        .into_iter()
        .map(|object| match object {
            crate::view::Object::Binding(b) => (b.object.name, b.subjects[0].name.len()),
            other => panic!("{other:?} is no binding"),
        })
        .collect();
    assert_eq!(version, "9");
    assert_eq!(found, [("small".to_owned(), 3), ("huge".to_owned(), 0), ("last".to_owned(), 3)]);
}

#[tokio::test]
async fn a_watch_is_read_line_by_line_until_it_ends() {
    let server = serve(Answer::Once("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none\ntwo\n\nhalf")).await;
    let client = client(server.port, AUTHORITY).unwrap();
    let mut lines = client.watch("/api/v1/namespaces?watch=true", Duration::from_secs(60)).await.unwrap();
    let mut read = Vec::new();
    while let Some(WatchLine::Whole(line)) = lines.next().await.unwrap() {
        read.push(line);
    }
    assert_eq!(read, ["one", "two", ""]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(Answer::Once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let location = format!(
        "HTTP/1.1 307 X\r\nlocation: https://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        elsewhere.port
    );
    let (_, answer) = get(Answer::Once(Box::leak(location.into_boxed_str()))).await;
    assert!(answer.unwrap_err().is(307));
    assert_eq!(elsewhere.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_pause_that_a_busy_server_asks_for_is_known_and_bounded() {
    for (seconds, expected) in [("7", 7), ("86400", 60)] {
        let text = format!("HTTP/1.1 429 X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
        let (_, answer) = get(Answer::Once(Box::leak(text.into_boxed_str()))).await;
        let failure = answer.unwrap_err();
        assert!(failure.stops_everything());
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(expected)));
    }
}

#[tokio::test]
async fn neither_credential_nor_answer_shows_in_a_failure() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[\"hunter2",
        "HTTP/1.1 401 X\r\ncontent-length: 7\r\n\r\nhunter2",
    ];
    for answer in answers {
        let (_, answer) = get(Answer::Once(answer)).await;
        let failure = answer.unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_server_that_another_authority_vouches_for_gets_no_request() {
    let server = serve(Answer::Once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    // A certificate is no authority over others, not even over itself.
    let answer: Result<serde_json::Value, Failure> =
        client(server.port, CERTIFICATE).unwrap().get("/version", MAX_ANSWER).await;
    assert!(matches!(answer, Err(Failure::Unreachable(_))), "{answer:?}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_connection_without_a_certificate_authority_is_refused() {
    for authority in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(client(6443, authority).err(), Some(Failure::Unreadable(_))), "{authority}");
    }
}

fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn refused(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
}

fn namespace_of(request: &str) -> Option<String> {
    let asked = request.starts_with("GET /api/v1/namespaces/kube-system ");
    asked.then(|| json(r#"{"metadata":{"name":"kube-system","uid":"u-1"}}"#))
}

fn whole_identity(request: &str) -> String {
    if let Some(namespace) = namespace_of(request) {
        return namespace;
    }
    // An API server gives its keys to nobody who asks for plain JSON.
    if !request.contains("accept: application/jwk-set+json") {
        return refused("406 Not Acceptable");
    }
    json(
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"},{"kty":"RSA","n":"c","e":"AQAB"},{"kty":"RSA","n":"c"}]}"#,
    )
}

fn identity_without_keys(request: &str) -> String {
    namespace_of(request).unwrap_or_else(|| refused("403 Forbidden"))
}

fn identity_while_busy(request: &str) -> String {
    namespace_of(request).unwrap_or_else(|| refused("429 Too Many Requests"))
}

fn forbidden_identity(_: &str) -> String {
    refused("403 Forbidden")
        .replace("content-length: 2\r\n\r\n{}", "content-length: 20\r\n\r\n{\"message\":\"never\"} ")
}

#[tokio::test]
async fn which_cluster_it_is_is_read_as_far_as_that_is_allowed() {
    async fn found(answer: fn(&str) -> String) -> Result<(Option<String>, usize), Failure> {
        let server = serve(Answer::By(answer)).await;
        let identity = crate::identity::identify(&client(server.port, AUTHORITY).unwrap()).await?;
        Ok((identity.uid, identity.keys.len()))
    }
    assert_eq!(found(whole_identity).await, Ok((Some("u-1".to_owned()), 2)));
    assert_eq!(found(identity_without_keys).await, Ok((Some("u-1".to_owned()), 0)));
    assert_eq!(found(forbidden_identity).await, Ok((None, 0)));
    let broken: [fn(&str) -> String; 4] = [
        identity_while_busy,
        |_| refused("401 Unauthorized"),
        |_| json("nonsense"),
        // Whatever speaks HTTP answers so, and is no cluster by that.
        |_| refused("404 Not Found"),
    ];
    for broken in broken {
        assert!(found(broken).await.is_err(), "no answer is not the same as nothing");
    }
}

/// Says yes to everything but lists, and by which name it knows who asks: in a review of oneself, or in a refusal.
fn reviews(request: &str) -> String {
    match request.split_whitespace().nth(1) {
        Some("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            let allowed = !request.contains(r#""verb":"list""#);
            json(&format!(r#"{{"kind":"SelfSubjectAccessReview","status":{{"allowed":{allowed}}}}}"#))
        }
        Some("/bailiwick-who-am-i") => {
            let body = r#"{"kind":"Status","message":"forbidden: User \"opaque\" cannot get path"}"#;
            let length = body.len();
            format!("HTTP/1.1 403 X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        }
        _ => refused("404 Not Found"),
    }
}

fn newer(request: &str) -> String {
    if request.contains("/selfsubjectreviews ") {
        return json(r#"{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"told"}}}"#);
    }
    reviews(request)
}

async fn checked(answer: Answer) -> Result<(Vec<bool>, Option<String>), String> {
    let server = serve(answer).await;
    let connection = Connection {
        server: format!("https://127.0.0.1:{}", server.port),
        ca_pem: Some(AUTHORITY.to_owned()),
        credential: Credential::Token(Secret::new("hunter2".to_owned())),
        tls_server_name: None,
    };
    let probe = |verb: &str| rbac::probe::Probe {
        verb: verb.to_owned(),
        group: String::new(),
        resource: "pods".to_owned(),
        namespace: None,
        name: None,
    };
    let questions = ["get", "list", "watch"].map(probe);
    let client = client(server.port, AUTHORITY).unwrap();
    let reviewed = crate::checking::check(&client, &connection, &questions).await;
    reviewed.map(|reviewed| (reviewed.allowed, reviewed.identity)).map_err(|unasked| unasked.0)
}

#[tokio::test]
async fn a_credential_is_checked_in_order_and_its_holder_is_called_as_the_cluster_does() {
    let allowed = vec![true, false, true];
    assert_eq!(checked(Answer::By(reviews)).await, Ok((allowed.clone(), Some("opaque".to_owned()))));
    assert_eq!(checked(Answer::By(newer)).await, Ok((allowed, Some("told".to_owned()))));
}

#[tokio::test]
async fn a_lie_is_never_read_as_a_no() {
    let lies: [fn(&str) -> String; 6] = [
        |_| json(r#"{"kind":"SelfSubjectAccessReview","status":{}}"#),
        |_| json(r#"{"kind":"SelfSubjectAccessReview","status":{"allowed":"no"}}"#),
        |_| json(r#"{"kind":"Status","status":{"allowed":false}}"#),
        |_| json("<html>"),
        |_| json(""),
        |_| "HTTP/1.1 201 X\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
    ];
    for lie in lies {
        let told = checked(Answer::By(lie)).await.unwrap_err();
        assert!(told.contains("is no Kubernetes API server"), "{told}");
    }
    for status in ["401 X", "403 X", "404 X", "500 X", "503 X"] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\nhunter2");
        let told = checked(Answer::Once(Box::leak(text.into_boxed_str()))).await.unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
    }
    let busy = "HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
    assert!(checked(Answer::Once(busy)).await.unwrap_err().contains("too busy"));
    assert!(checked(Answer::Endless(ENDLESS, CHUNK)).await.unwrap_err().contains("no end in sight"));
}
