//! The server that the agent asks: where it is, as whom it is asked, and one exchange with it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock, Secret, Timestamp};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use podidentity::feed::Feed;
use podidentity::vending;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use signing::{AccessKey, DATE_HEADER, Signable};
use tokio::time::timeout;

use crate::clock::System;

/// The largest answer that is read: a complete feed of the most associations that a cluster may have.
const MAX_ANSWER: usize = 16 << 20;

/// How long an answer may take beyond what the server was told to wait.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which server to ask, and as whom.
#[derive(clap::Args, Clone)]
pub struct Arguments {
    /// URL of the server, for example https://bailiwick.example.com:8470.
    #[arg(long, env = "BAILIWICK_SERVER")]
    server: String,
    /// PEM file of the authorities that its certificate is checked by.
    #[arg(long, env = "BAILIWICK_SERVER_CA", value_name = "FILE")]
    server_ca: Option<PathBuf>,
    /// Id of this cluster.
    #[arg(long, env = "BAILIWICK_CLUSTER")]
    cluster: String,
    /// Folder with the files `accessKeyId` and `secretAccessKey`, read again when they change.
    #[arg(long, env = "BAILIWICK_KEY_DIR", value_name = "DIR", default_value = "/var/run/secrets/bailiwick")]
    key_dir: PathBuf,
}

/// Why the server gave no answer of use.
#[derive(Debug)]
pub enum Failure {
    /// It was not reached, or is not well: what is known stays good.
    Away(String),
    /// It refused, with a status and its own words.
    Refused(StatusCode, String),
}

/// A client of one server, for one cluster.
pub struct Server {
    transport: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    host: String,
    cluster: String,
    key_dir: PathBuf,
}

impl Server {
    /// A client. Connects to nothing yet.
    ///
    /// # Errors
    /// A sentence that says what of the arguments cannot be.
    pub fn open(arguments: Arguments) -> Result<Self, String> {
        let Arguments { server, server_ca, cluster, key_dir } = arguments;
        let base = server.trim_end_matches('/').to_owned();
        let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        let host = host.filter(|host| !host.is_empty() && !host.contains('/'));
        let host = host.ok_or("--server must be https://HOST:PORT or http://HOST:PORT")?.to_owned();
        if !domain::ClusterId::is_valid(&cluster) {
            return Err("--cluster must be the id of a cluster".to_owned());
        }
        let mut roots = RootCertStore::empty();
        if let Some(path) = &server_ca {
            let unreadable =
                |error: &dyn std::fmt::Display| format!("--server-ca {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
        if base.starts_with("https://") && roots.is_empty() {
            return Err(
                "--server-ca must be a file with the authority of the server's certificate".to_owned()
            );
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let transport = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { transport, base, host, cluster, key_dir })
    }

    /// What changed after `after`; everything if that is 0. Waits for a change at most `wait`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn feed(&self, after: i64, wait: Duration) -> Result<Feed, Failure> {
        let target = format!("pod-identity/feed?after={after}&wait={}", wait.as_secs());
        let body = self.call(Method::GET, &target, Bytes::new(), wait).await?;
        serde_json::from_slice(&body).map_err(|_| Failure::Away("the feed is not understood".to_owned()))
    }

    /// Credentials for the pod whose token that is: the answer as it came.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn vend(&self, token: &str) -> Result<Bytes, Failure> {
        let request = vending::Request { token: token.to_owned() };
        let body = serde_json::to_vec(&request).map_err(|error| Failure::Away(error.to_string()))?;
        self.call(Method::POST, "pod-identity/credentials", body.into(), Duration::ZERO).await
    }

    /// A new key in the place of the agent's own: the answer as it came.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn renew(&self) -> Result<Bytes, Failure> {
        self.call(Method::POST, "pod-identity/agent/renew", Bytes::new(), Duration::ZERO).await
    }

    async fn call(&self, method: Method, below: &str, body: Bytes, wait: Duration) -> Result<Bytes, Failure> {
        let target = format!("/bailiwick/v1/clusters/{}/{below}", self.cluster);
        let request = self.signed(&method, &target, body, System.now())?;
        let exchange = async {
            let away = |error: &dyn std::error::Error| Failure::Away(causes(error));
            let answer = self.transport.request(request).await.map_err(|error| away(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Away(error.to_string()))?.to_bytes();
            match status {
                StatusCode::OK | StatusCode::CREATED => Ok(body),
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    Err(Failure::Away(format!("the server answered {status}")))
                }
                status => Err(Failure::Refused(status, message(&body))),
            }
        };
        timeout(wait + PATIENCE, exchange)
            .await
            .map_err(|_| Failure::Away("the server did not answer in time".to_owned()))?
    }

    fn signed(
        &self,
        method: &Method,
        target: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let key = self.key().map_err(Failure::Away)?;
        let date = signing::date(now);
        let headers = [
            ("host".to_owned(), self.host.clone()),
            ("content-type".to_owned(), "application/json".to_owned()),
            (DATE_HEADER.to_owned(), date.clone()),
        ];
        let signable = Signable { method: method.as_str(), target, headers: &headers, body: &body };
        let authorization = signing::authorization(&key, &date, &signable);
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.base));
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", authorization).body(Full::new(body));
        request.map_err(|error| Failure::Away(error.to_string()))
    }

    /// The key, as its files are now: it is rotated under a running agent.
    fn key(&self) -> Result<AccessKey, String> {
        let read = |name: &str| {
            let path = self.key_dir.join(name);
            let text = std::fs::read_to_string(&path);
            text.map(|text| text.trim().to_owned()).map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(AccessKey { id: read("accessKeyId")?, secret: Secret::new(read("secretAccessKey")?) })
    }
}

/// An error with everything that caused it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the server says went wrong, in its own words.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Told {
        error_msg: Option<String>,
        message: Option<String>,
    }
    let told = serde_json::from_slice::<Told>(body).ok();
    let text = told.and_then(|told| told.message.or(told.error_msg));
    text.unwrap_or_else(|| "no reason was given".to_owned())
        .chars()
        .filter(|c| !c.is_control())
        .take(500)
        .collect()
}
