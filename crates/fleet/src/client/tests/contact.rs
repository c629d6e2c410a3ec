//! What is done in a cluster while a caller waits, against API servers that misbehave.

use domain::{ClusterId, InstallationId};
use rbac::Owner;
use service::clusters::connection::Contact;
use service::clusters::connection::contact::{Ours, SigningRequest};

use super::*;
use crate::client::SIGNING_REQUESTS;
use crate::contact::Visitor;
use crate::signing::sign_within;

fn request() -> SigningRequest {
    SigningRequest { name: "bailiwick-5e71a1".into(), csr_pem: "CSR".into(), seconds: 5 }
}

/// What an API server makes of a request.
type By = fn(&str) -> String;

/// What comes of a request for a signature, and of how many requests to the server.
async fn signed(answer: By) -> (Result<String, String>, usize) {
    let server = serve(Answer::By(answer)).await;
    let client = client(server.port, AUTHORITY).unwrap().for_signing_requests();
    let outcome = sign_within(Duration::from_millis(500), &client, &request()).await;
    (outcome, server.requests.load(Ordering::SeqCst))
}

/// Answers everything but the question for the certificate as an API server does.
fn usual(request: &str) -> Option<String> {
    if request.starts_with(&format!("POST {SIGNING_REQUESTS} ")) {
        let asks = request.contains(r#""signerName":"kubernetes.io/kube-apiserver-client""#)
            && request.contains(r#""expirationSeconds":600"#);
        return Some(if asks { json(r#"{"metadata":{"resourceVersion":"41"}}"#) } else { refused("422 X") });
    }
    if request.starts_with(&format!("PUT {SIGNING_REQUESTS}/bailiwick-5e71a1/approval ")) {
        let approves =
            request.contains(r#""resourceVersion":"41""#) && request.contains(r#""type":"Approved""#);
        return Some(if approves { json(r#"{"status":{"conditions":null}}"#) } else { refused("409 X") });
    }
    let deletes = request.starts_with(&format!("DELETE {SIGNING_REQUESTS}/bailiwick-5e71a1 "));
    deletes.then(|| json("{}"))
}

#[tokio::test]
async fn a_certificate_is_requested_approved_fetched_and_nothing_is_left_behind() {
    let (signed, requests) =
        signed(|request| usual(request).unwrap_or_else(|| json(r#"{"status":{"certificate":"UEVN"}}"#)))
            .await;
    assert_eq!((signed, requests), (Ok("PEM".to_owned()), 4), "request, approval, one look, deletion");
}

#[tokio::test]
async fn a_cluster_that_does_not_sign_keeps_nobody_waiting_and_is_asked_to_forget_it() {
    static DELETED: AtomicUsize = AtomicUsize::new(0);
    let (signed, _) = signed(|request| {
        DELETED.fetch_add(usize::from(request.starts_with("DELETE")), Ordering::SeqCst);
        usual(request).unwrap_or_else(|| json(r#"{"status":{}}"#))
    })
    .await;
    assert!(signed.unwrap_err().contains("did not sign the certificate within 500ms"));
    assert_eq!(DELETED.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_a_cluster_answers_instead_of_a_certificate_is_told_and_bounded() {
    let denied = r#"{"status":{"conditions":[{"type":"Failed","message":"bad\u001b[31m\u202etime"}]}}"#;
    let cases: [(By, &str); 5] = [
        (|_| refused("403 Forbidden"), "it may after applying deploy/connector/certificates.yaml"),
        (|_| "HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n{".to_owned(), "does not answer"),
        (
            |request| {
                let large = || "HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n{".to_owned();
                usual(request).unwrap_or_else(large)
            },
            "too large",
        ),
        (
            |request| usual(request).unwrap_or_else(|| json(r#"{"status":{"certificate":"?"}}"#)),
            "is not text",
        ),
        (|_| json("nonsense"), "unreadable"),
    ];
    for (answer, said) in cases {
        let (signed, _) = signed(answer).await;
        let told = signed.unwrap_err();
        assert!(told.contains(said), "{told}, not {said}");
    }
    let server = serve(Answer::Once(Box::leak(json(denied).into_boxed_str()))).await;
    let client = client(server.port, AUTHORITY).unwrap().for_signing_requests();
    let told = sign_within(Duration::from_secs(5), &client, &request()).await.unwrap_err();
    assert!(told.ends_with("bad [31m time"), "{told}");
}

#[tokio::test]
async fn a_client_for_signatures_changes_nothing_else_and_others_change_no_requests() {
    let server = serve(Answer::Once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await;
    let signing = client(server.port, AUTHORITY).unwrap().for_signing_requests();
    let nothing = serde_json::json!({});
    for path in [
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/x".to_owned(),
        format!("{SIGNING_REQUESTS}x"),
        format!("{SIGNING_REQUESTS}/../../../rbac.authorization.k8s.io/v1/clusterroles"),
    ] {
        let outcomes = [
            signing.create::<serde_json::Value>(&path, &nothing).await,
            signing.replace(&path, &nothing).await,
            signing.apply(&path, &nothing).await,
            signing.delete(&path, &nothing).await,
        ];
        assert!(outcomes.iter().all(|outcome| *outcome == Err(Failure::Superseded)), "{path}");
    }
    let other = client(server.port, AUTHORITY).unwrap();
    let outcome: Result<serde_json::Value, Failure> = other.create(SIGNING_REQUESTS, &nothing).await;
    assert_eq!(outcome, Err(Failure::Superseded));
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

fn connection(port: u16) -> Connection {
    Connection {
        server: format!("https://127.0.0.1:{port}"),
        ca_pem: Some(AUTHORITY.to_owned()),
        credential: Credential::Token(Secret::new("hunter2".to_owned())),
        tls_server_name: None,
    }
}

fn visitor() -> Visitor {
    Visitor::new(AddressPolicy { allow_loopback: true, ..AddressPolicy::default() })
}

fn owner() -> Owner {
    Owner { installation: InstallationId::stored("i"), cluster: ClusterId::stored("c") }
}

/// One binding in a list.
fn binding(name: &str, labels: &str, subjects: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","labels":{labels}}},"roleRef":{{"kind":"ClusterRole","name":"view"}},"subjects":[{subjects}]}}"#
    )
}

/// A binding of ours and one of somebody else in the second page, behind a thousand other people.
fn bindings(request: &str) -> String {
    if request.contains("/rolebindings") {
        return json(r#"{"items":[]}"#);
    }
    let jenkins = r#"{"kind":"User","name":"jenkins"}"#;
    if request.contains("continue= ") {
        let labels = serde_json::to_string(&rbac::labels(&owner())).unwrap();
        return json(&format!(
            r#"{{"metadata":{{"continue":"2"}},"items":[{}]}}"#,
            binding("ours", &labels, jenkins)
        ));
    }
    let crowd = r#"{"kind":"User","name":"x"},"#.repeat(1_500);
    let group = r#"{"kind":"Group","name":"ops"},"#;
    json(&format!(r#"{{"items":[{}]}}"#, binding("ci", "null", &format!("{group}{crowd}{jenkins}"))))
}

#[tokio::test]
async fn a_binding_of_others_that_names_somebody_is_found_however_many_it_names() {
    let server = serve(Answer::By(bindings)).await;
    let (connection, visitor) = (connection(server.port), visitor());
    let ours = Ours { owner: owner(), recorded: Default::default() };
    let found = |user: &str| {
        let users = vec!["nobody".to_owned(), user.to_owned()];
        let (connection, visitor, ours) = (&connection, &visitor, &ours);
        async move { visitor.foreign_users(connection, ours, &users).await.unwrap() }
    };
    assert_eq!(found("jenkins").await.as_deref(), Some("ClusterRoleBinding ci names User jenkins"));
    assert_eq!(found("ops").await, None, "a group of that name is nobody");
    assert_eq!(found("jenkins2").await, None);
}

#[tokio::test]
async fn who_cannot_be_looked_for_is_not_taken_for_unknown() {
    for answer in
        [refused("403 Forbidden"), "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{".to_owned()]
    {
        let server = serve(Answer::Once(Box::leak(answer.into_boxed_str()))).await;
        let ours = Ours { owner: owner(), recorded: Default::default() };
        let users = ["jenkins".to_owned()];
        let outcome = visitor().foreign_users(&connection(server.port), &ours, &users).await;
        assert_eq!(outcome.unwrap_err().kind(), domain::ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn namespaces_are_listed_page_by_page_and_no_other_names() {
    let server = serve(Answer::By(|request| match request.contains("continue= ") {
        true => json(r#"{"metadata":{"continue":"2"},"items":[{"metadata":{"name":"b"}},{"metadata":{"name":"A/.."}}]}"#),
        false => json(r#"{"items":[{"metadata":{"name":"a"}}]}"#),
    }))
    .await;
    let found = visitor().namespaces(&connection(server.port)).await.unwrap();
    assert_eq!(found.iter().map(domain::Namespace::as_str).collect::<Vec<_>>(), ["a", "b"]);
}

fn question() -> rbac::probe::Probe {
    rbac::probe::Probe {
        verb: "get".to_owned(),
        group: String::new(),
        resource: "pods".to_owned(),
        namespace: None,
        name: None,
    }
}

/// Answers every request on a connection, as long as `may_stay` lets the connection be; counts connections.
async fn keeping_open(connections: Arc<AtomicUsize>, may_stay: Arc<std::sync::atomic::AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let acceptor = acceptor();
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            connections.fetch_add(1, Ordering::SeqCst);
            let may_stay = Arc::clone(&may_stay);
            tokio::spawn(async move {
                let mut request = [0; 16 << 10];
                while let Ok(1..) = socket.read(&mut request).await {
                    if !may_stay.swap(true, Ordering::SeqCst) {
                        return;
                    }
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let answer = reviews(&text).replace("connection: close\r\n", "");
                    let _ = socket.write_all(answer.as_bytes()).await;
                    request.fill(0);
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn who_asks_again_finds_connections_open_and_one_that_ended_costs_nothing_but_a_new_one() {
    let (connections, may_stay) = (Arc::new(AtomicUsize::new(0)), Arc::new(true.into()));
    let port = keeping_open(Arc::clone(&connections), Arc::clone(&may_stay)).await;
    let (visitor, way) = (visitor(), connection(port));
    let ask = async || visitor.review(&way, &[question()]).await.unwrap().allowed;
    assert_eq!(ask().await, [true]);
    let first = connections.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(ask().await, [true]);
    }
    assert_eq!(connections.load(Ordering::SeqCst), first, "nothing was connected again");
    // The server takes a request and hangs up, as one that is restarted does.
    may_stay.store(false, Ordering::SeqCst);
    assert_eq!(ask().await, [true]);
    assert!(connections.load(Ordering::SeqCst) > first);
}
