//! The peer of everything that is done in clusters: a client that does nothing but write bindings to an API server, or ask
//! it, eight at a time.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::Connection;

/// Requests in flight, as many as a worker has.
const CONNECTIONS: usize = 8;

/// Applies one binding in each of the namespaces `PREFIX-0` to `PREFIX-(COUNT - 1)` and prints the seconds that took.
/// `folder` holds `ca.crt`, `client.crt` and `client.key`.
pub async fn apply(address: &str, folder: &str, prefix: &str, count: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let count: usize = count.parse().map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(tls(Path::new(folder))?));
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let (connector, next, prefix) = (connector.clone(), Arc::clone(&next), prefix.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut connection = connect(&connector, address).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, io::Error>(());
                }
                connection.send(&request(address, &format!("{prefix}-{number}"))).await?;
            }
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    println!("{}", began.elapsed().as_secs_f64());
    Ok(())
}

type Secured = Connection<TlsStream<TcpStream>>;

async fn connect(connector: &TlsConnector, address: SocketAddr) -> io::Result<Secured> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Connection::over(connector.connect(ServerName::from(address.ip()), stream).await?))
}

/// For each line of its input, asks everything that stands in `questions`, one review in a line, and prints the seconds
/// that took and a 1 for each yes, a 0 for each no. The first time it connects, and then keeps its connections open.
pub async fn ask(address: &str, folder: &str, questions: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(tls(Path::new(folder))?));
    let text = std::fs::read_to_string(questions)?;
    let requests: Vec<String> = text.lines().map(|body| review(address, body)).collect();
    let mut kept: Vec<Option<Secured>> = (0..CONNECTIONS).map(|_| None).collect();
    // Nothing else is to be done while it waits.
    for round in io::stdin().lines() {
        round?;
        let began = Instant::now();
        let answers = ask_all(&connector, address, &requests, &mut kept).await?;
        let took = began.elapsed().as_secs_f64();
        let digits: String = answers.iter().map(|yes| if *yes { '1' } else { '0' }).collect();
        println!("{took} {digits}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Who is free takes the next question.
async fn ask_all(
    connector: &TlsConnector,
    address: SocketAddr,
    requests: &[String],
    kept: &mut Vec<Option<Secured>>,
) -> io::Result<Vec<bool>> {
    let next = Arc::new(AtomicUsize::new(0));
    let requests: Arc<[String]> = requests.into();
    let mut tasks = Vec::with_capacity(kept.len());
    for connection in kept.drain(..) {
        let (connector, next, requests) = (connector.clone(), Arc::clone(&next), Arc::clone(&requests));
        tasks.push(tokio::spawn(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => connect(&connector, address).await?,
            };
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else { break };
                let answer: serde_json::Value = serde_json::from_slice(connection.send(request).await?)?;
                let allowed = answer.pointer("/status/allowed").and_then(serde_json::Value::as_bool);
                let allowed = allowed.ok_or_else(|| io::Error::other("a review without an answer"))?;
                answers.push((number, allowed));
            }
            Ok::<_, io::Error>((connection, answers))
        }));
    }
    let mut all = vec![false; requests.len()];
    for task in tasks {
        let (connection, answers) = task.await.map_err(io::Error::other)??;
        kept.push(Some(connection));
        for (number, allowed) in answers {
            if let Some(place) = all.get_mut(number) {
                *place = allowed;
            }
        }
    }
    Ok(all)
}

fn review(address: SocketAddr, body: &str) -> String {
    format!(
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP/1.1\r\nHost: {address}\r\n\
         Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The same request as a worker's, but for the names.
fn request(address: SocketAddr, namespace: &str) -> String {
    let name = "bare-client:viewer:0000000000000000";
    let body = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": {
            "app.kubernetes.io/managed-by": "bare", "bailiwick.dev/installation": "bare", "bailiwick.dev/cluster": "bare"
        }},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bare"}]
    })
    .to_string();
    format!(
        "PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}?fieldManager=bare&force=true \
         HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nContent-Type: application/apply-patch+yaml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn tls(folder: &Path) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(&folder.join("ca.crt"))? {
        roots.add(authority).map_err(io::Error::other)?;
    }
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).map_err(io::Error::other)?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&folder.join("client.crt"))?, key)
        .map_err(io::Error::other)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).map_err(io::Error::other)?;
    all.collect::<Result<_, _>>().map_err(io::Error::other)
}
