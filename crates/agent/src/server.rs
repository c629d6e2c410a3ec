//! The server that the agent asks: where it is, as whom it is asked, and one exchange with it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{Clock, Secret};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use podidentity::feed::Feed;
use podidentity::vending::{self, Answered, Answers};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use signing::{AccessKey, DATE_HEADER, Signable};
use tokio::time::timeout;

/// The largest answer that is read: a complete feed of the most associations that a cluster may have.
const MAX_ANSWER: usize = 16 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long one that tells what changed may take beyond what the server was told to wait: it is short, and a server that
/// vanished has to be missed soon.
const PATIENCE_FOR_CHANGES: Duration = Duration::from_millis(1_500);

/// How long one may take that tells everything.
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(15);

/// A machine that does not take a connection, or acknowledges nothing any more, counts as away after that.
const SILENCE: Duration = Duration::from_secs(3);

/// Makes requests differ that say the same in the same second: servers take each signature once.
const NUMBER_HEADER: &str = "x-request-number";

/// The longest that is waited because the server asks for it, in seconds.
const MAX_WAIT: u64 = 30;

/// Which server to ask, and as whom.
#[derive(clap::Args, Clone)]
#[group(id = "our-server")]
pub struct Arguments {
    /// URL of the server, for example `https://bailiwick.example.com:8470`
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
#[derive(Clone, Debug)]
pub enum Failure {
    /// It was not reached: what is known stays good.
    Away(String),
    /// It was reached and cannot answer now; perhaps with when to come again. What is known stays good.
    Unwell(String, Option<Duration>),
    /// It does not accept the agent itself: its key, its rights, or the id of its cluster.
    Unaccepted(String),
    /// It refused what was asked for.
    Refused(Refusal),
}

/// What the server refused, in its words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// A word for programs, which does not change.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Failure {
    /// The same, where it is said of several tokens. That a request is not understood says nothing about any of them: what
    /// is known of their pods stays good.
    fn of_all(self) -> Self {
        match self {
            Self::Refused(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
                Self::Unwell(refusal.message, None)
            }
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(text) | Self::Unwell(text, _) | Self::Unaccepted(text) => f.write_str(text),
            Self::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}

/// Connections that notice when the other side is there no more.
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(SILENCE));
    tcp.set_keepalive(Some(Duration::from_secs(1)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(1)));
    tcp.set_keepalive_retries(Some(2));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(SILENCE));
    tcp
}

/// A client of one server, for one cluster.
pub struct Server {
    transport: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    host: String,
    cluster: String,
    key_dir: PathBuf,
    clock: Arc<dyn Clock>,
    /// What no other process begins with, and how many requests were made.
    numbers: (u64, AtomicU64),
    /// The key that was not accepted the last time that one was not.
    unaccepted: Mutex<Option<AccessKey>>,
}

impl Server {
    /// A client. Connects to nothing yet.
    ///
    /// # Errors
    /// A sentence that says what of the arguments cannot be.
    pub fn open(arguments: Arguments, clock: Arc<dyn Clock>) -> Result<Self, String> {
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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp());
        let transport = Client::builder(TokioExecutor::new()).build(connector);
        let numbers = (RandomState::new().hash_one("requests"), AtomicU64::new(0));
        Ok(Self { transport, base, host, cluster, key_dir, clock, numbers, unaccepted: Mutex::default() })
    }

    /// The id of the cluster whose agent this is.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What changed after `after`; everything if that is 0. Waits for a change at most `wait`.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn feed(&self, after: i64, wait: Duration) -> Result<Feed, Failure> {
        let target = format!("pod-identity/feed?after={after}&wait={}", wait.as_secs());
        let limit = if after == 0 { PATIENCE_FOR_ALL } else { wait + PATIENCE_FOR_CHANGES };
        let body = self.call(Method::GET, &target, Bytes::new(), limit).await?;
        serde_json::from_slice(&body).map_err(|_| Failure::Away("the feed is not understood".to_owned()))
    }

    /// Credentials for the pods whose tokens those are, [`vending::MOST`] at most: for each the answer that it would have
    /// alone.
    ///
    /// # Errors
    /// [`Failure`], if it is about all of them.
    pub async fn vend(&self, tokens: Vec<&str>) -> Result<Vec<Result<Bytes, Failure>>, Failure> {
        let asked = tokens.len();
        let body = serde_json::to_vec(&vending::Request { tokens });
        let body = body.map_err(|error| Failure::Away(error.to_string()))?;
        let body = self.call(Method::POST, "pod-identity/credentials", body.into(), PATIENCE).await;
        let body = body.map_err(Failure::of_all)?;
        let answers: Option<Answers<Value>> = serde_json::from_slice(&body).ok();
        let answers = answers.map(|all| all.answers).filter(|answers| answers.len() == asked);
        let answers =
            answers.ok_or_else(|| Failure::Away("the server's answer is not understood".to_owned()))?;
        Ok(answers.into_iter().map(answered).collect())
    }

    /// A new key in the place of the agent's own: the answer as it came.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn renew(&self) -> Result<Bytes, Failure> {
        self.call(Method::POST, "pod-identity/agent/renew", Bytes::new(), PATIENCE).await
    }

    /// One exchange; a second one if the key was rotated while the first was on its way.
    async fn call(
        &self,
        method: Method,
        below: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Failure> {
        let key = self.key()?;
        let first = self.exchange(&key, &method, below, body.clone(), limit).await;
        let Err(Failure::Unaccepted(_)) = &first else { return first };
        let key_now = self.key()?;
        if is_same(&key, &key_now) {
            *self.unaccepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
            return first;
        }
        self.exchange(&key_now, &method, below, body, limit).await
    }

    /// Whether the files hold another key than the one that was not accepted.
    #[must_use]
    pub fn has_another_key(&self) -> bool {
        let Ok(now) = self.key() else { return false };
        let unaccepted = self.unaccepted.lock().unwrap_or_else(PoisonError::into_inner);
        unaccepted.as_ref().is_none_or(|key| !is_same(key, &now))
    }

    async fn exchange(
        &self,
        key: &AccessKey,
        method: &Method,
        below: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, Failure> {
        let target = format!("/bailiwick/v1/clusters/{}/{below}", self.cluster);
        let request = self.signed(key, method, &target, body)?;
        let exchange = async {
            let answer = self.transport.request(request).await;
            let answer = answer.map_err(|error| Failure::Away(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Away(error.to_string()))?.to_bytes();
            if head.status.is_success() {
                return Ok(body);
            }
            let after = head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            Err(failure(head.status, after, &body))
        };
        timeout(limit, exchange)
            .await
            .map_err(|_| Failure::Away("the server did not answer in time".to_owned()))?
    }

    fn signed(
        &self,
        key: &AccessKey,
        method: &Method,
        target: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let date = signing::date(self.clock.now());
        let headers = [
            ("host".to_owned(), self.host.clone()),
            ("content-type".to_owned(), "application/json".to_owned()),
            (DATE_HEADER.to_owned(), date.clone()),
            (NUMBER_HEADER.to_owned(), self.next_number()),
        ];
        let signable = Signable { method: method.as_str(), target, headers: &headers, body: &body };
        let authorization = signing::authorization(key, &date, &signable);
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.base));
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", authorization).body(Full::new(body));
        request.map_err(|error| Failure::Away(error.to_string()))
    }

    fn next_number(&self) -> String {
        let (process, count) = &self.numbers;
        format!("{process:016x}-{}", count.fetch_add(1, Ordering::Relaxed))
    }

    /// The key, as its files are now: it is rotated under a running agent.
    fn key(&self) -> Result<AccessKey, Failure> {
        let read = |name: &str| {
            let path = self.key_dir.join(name);
            let text = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
            text.map_err(|error| {
                let sentence = format!("{}: {error}", path.display());
                match error.kind() {
                    ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidData => {
                        Failure::Unaccepted(sentence)
                    }
                    // Out of file descriptors and the like, which passes.
                    _ => Failure::Away(sentence),
                }
            })
        };
        Ok(AccessKey { id: read("accessKeyId")?, secret: Secret::new(read("secretAccessKey")?) })
    }
}

fn is_same(one: &AccessKey, other: &AccessKey) -> bool {
    one.id == other.id && one.secret.expose() == other.secret.expose()
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

/// What is answered for one token.
fn answered(answer: Answered<Value>) -> Result<Bytes, Failure> {
    let wrong = || Failure::Away("the server's answer is not understood".to_owned());
    let status = StatusCode::from_u16(answer.status).map_err(|_| wrong())?;
    let body = serde_json::to_vec(&answer.body).map_err(|_| wrong())?;
    if status.is_success() { Ok(body.into()) } else { Err(failure(status, answer.retry_after, &body)) }
}

/// What an answer that is no success means; `after` is how many seconds it asks to be left alone.
fn failure(status: StatusCode, after: Option<u64>, body: &[u8]) -> Failure {
    let told = Told::read(body);
    match status {
        // A conflict is one of transactions: it passes.
        status
            if status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT) =>
        {
            let after = after.or((status == StatusCode::CONFLICT).then_some(1));
            let after = after.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_WAIT)));
            Failure::Unwell(format!("the server answered {status}: {}", told.message), after)
        }
        // What is refused for the sake of what was asked has a word for it. Anything else is about who asks.
        status => match told.reason {
            Some(reason) => Failure::Refused(Refusal { status, reason, message: told.message }),
            None if status == StatusCode::BAD_REQUEST => {
                Failure::Refused(Refusal { status, reason: "invalid".to_owned(), message: told.message })
            }
            None => Failure::Unaccepted(format!("the server answered {status}: {}", told.message)),
        },
    }
}

/// What the server says went wrong, in its own words.
#[derive(Default)]
struct Told {
    reason: Option<String>,
    message: String,
}

impl Told {
    fn read(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            error: Fault,
        }
        #[derive(serde::Deserialize)]
        struct Fault {
            reason: Option<String>,
            message: Option<String>,
        }
        let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(500).collect::<String>();
        let fault = serde_json::from_slice::<Body>(body).ok().map(|body| body.error);
        let (reason, message) = fault.map_or((None, None), |fault| (fault.reason, fault.message));
        Self {
            reason: reason.map(plain),
            message: message.map_or_else(|| "no reason was given".to_owned(), plain),
        }
    }
}
