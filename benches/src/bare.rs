//! The peer of the workers: a client that does nothing but write bindings to an API server, eight at a time.

use std::io;
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
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::from(address.ip());
            let mut connection = Connection::over(connector.connect(name, stream).await?);
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
