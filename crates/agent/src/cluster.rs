//! The API server of the cluster that the agent runs in, asked as the pod's own service account. Bounded in time and size.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::time::timeout;

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// As whom we change objects.
const MANAGER: &str = "bailiwick-agent";

/// Where the API server is, and as whom it is asked. In a pod, all of it is known.
#[derive(clap::Args, Clone)]
pub struct Arguments {
    /// URL of the API server, if not the one of the cluster that this runs in.
    #[arg(long, env = "BAILIWICK_API_SERVER", value_name = "URL")]
    api_server: Option<String>,
    /// PEM file of the authorities that its certificate is checked by.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    api_ca: PathBuf,
    /// File of the token, read again for every request.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token")]
    api_token: PathBuf,
    /// What Kubernetes tells every container.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    kubernetes_host: Option<String>,
    /// What Kubernetes tells every container.
    #[arg(long, env = "KUBERNETES_SERVICE_PORT", hide = true, default_value = "443")]
    kubernetes_port: u16,
}

/// Why the API server did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It was not reached, or what it said is not understood.
    Away(String),
    /// It refused.
    Refused(StatusCode, String),
}

impl Failure {
    /// Whether it refused in this way.
    #[must_use]
    pub fn is(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(found, _) if *found == status)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Refused(status, why) => write!(f, "{status}: {why}"),
        }
    }
}

/// A client of one API server.
pub struct Cluster {
    transport: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: PathBuf,
}

impl Cluster {
    /// A client. Connects to nothing yet.
    ///
    /// # Errors
    /// A sentence that says what of the arguments cannot be.
    pub fn open(arguments: Arguments) -> Result<Self, String> {
        let Arguments { api_server, api_ca, api_token, kubernetes_host, kubernetes_port } = arguments;
        let around = kubernetes_host.map(|host| {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            format!("https://{host}:{kubernetes_port}")
        });
        let base = api_server.or(around).ok_or("--api-server must be given outside of a cluster")?;
        let base = base.trim_end_matches('/').to_owned();
        if !base.starts_with("https://") {
            return Err("--api-server must be https://HOST:PORT".to_owned());
        }
        let unreadable = |error: &dyn std::fmt::Display| format!("--api-ca {}: {error}", api_ca.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&api_ca).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let transport = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { transport, base, token: api_token })
    }

    /// Reads an object, or a list.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// Makes an object.
    ///
    /// # Errors
    /// [`Failure`]; 409 if it is there.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, Failure> {
        let path = format!("{path}?fieldManager={MANAGER}");
        self.call(Method::POST, &path, "application/json", object.to_string().into()).await
    }

    /// Changes an object by a merge patch; with a `resourceVersion` in it, only if that is its own.
    ///
    /// # Errors
    /// [`Failure`]; 409 if somebody else changed it.
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        self.patch(path, "application/merge-patch+json", patch).await
    }

    /// Changes an object by a strategic merge patch, which finds items of lists by their names.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn merge_by_name(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        self.patch(path, "application/strategic-merge-patch+json", patch).await
    }

    async fn patch(&self, path: &str, kind: &str, patch: &Value) -> Result<Value, Failure> {
        let path = format!("{path}?fieldManager={MANAGER}");
        self.call(Method::PATCH, &path, kind, patch.to_string().into()).await
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Value, Failure> {
        let token = std::fs::read_to_string(&self.token)
            .map_err(|error| Failure::Away(format!("{}: {error}", self.token.display())))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("accept", "application/json")
            .header("content-type", kind)
            .body(Full::new(body))
            .map_err(|_| Failure::Away("the token or the URL cannot be sent".to_owned()))?;
        let exchange = async {
            let answer = self.transport.request(request).await;
            let answer = answer.map_err(|error| Failure::Away(crate::server::causes(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Away(error.to_string()))?.to_bytes();
            let read = serde_json::from_slice::<Value>(&body);
            if status.is_success() {
                return read.map_err(|_| Failure::Away("the API server did not answer JSON".to_owned()));
            }
            let told = read.ok().and_then(|told| told.get("message")?.as_str().map(str::to_owned));
            Err(Failure::Refused(status, told.unwrap_or_default().chars().take(300).collect()))
        };
        timeout(PATIENCE, exchange)
            .await
            .map_err(|_| Failure::Away("the API server did not answer in time".to_owned()))?
    }
}
