//! Requests to one API server, bounded in everything that the server decides: time, size, number, redirects.
//!
//! This is deliberately less than a general Kubernetes client. Such a client reads answers of any size and for
//! minutes, logs what it cannot parse, and drops the `Retry-After` header; here the other side may be hostile. Only
//! the certificate authority of the connection is trusted, the system's are not.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use service::clusters::connection::{AddressPolicy, Connection, Credential, Server};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Failure, Refusal, clean};
use crate::fence::Fence;
use crate::guard::GuardedConnector;
use crate::kept::IDLE;
use crate::wire::Status;

/// How long a request may take with everything that belongs to it, except for watches.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a request that changes something: it must have ended before another server may take the cluster over.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(7);
/// The largest page of a list.
pub(crate) const MAX_LIST: usize = 32 << 20;
/// The largest answer to anything else.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// The largest answer to a review. Many are read at a time, for whoever has their clusters checked.
pub(crate) const MAX_REVIEW: usize = 256 << 10;
/// The largest answer that is one object, and the longest line of a watch. etcd keeps none above 1.5 MiB unless it is
/// told to, and JSON may need six bytes for one.
pub(crate) const MAX_OBJECT: usize = 16 << 20;
/// How many requests may be in flight to one API server, watches aside.
const MAX_IN_FLIGHT: usize = 8;
/// The longest pause that an API server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body that ended too early, with the causes for the log.
#[derive(Debug)]
struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Where requests for signatures are, and so all that [`MayChange::SigningRequests`] reaches.
pub(crate) const SIGNING_REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A client of one API server. It changes nothing there unless [`ApiClient::behind`] a fence, or it is one
/// [`ApiClient::for_signing_requests`], which changes nothing else.
pub(crate) struct ApiClient {
    transport: Client<HttpsConnector<GuardedConnector>, Full<Bytes>>,
    base: String,
    authorization: Option<HeaderValue>,
    in_flight: Semaphore,
    may_change: MayChange,
}

/// What a client may change in its cluster.
enum MayChange {
    /// Nothing.
    Nothing,
    /// Whatever its worker wants, as long as the fence is open.
    Behind(Fence),
    /// Requests for the signature of a certificate, which nobody's work depends on, and nothing else.
    SigningRequests,
}

impl ApiClient {
    /// A client for `connection`. Connects to nothing yet.
    pub(crate) fn new(connection: &Connection, policy: Arc<AddressPolicy>) -> Result<Self, Failure> {
        let unusable = |_| Failure::Unreadable("the connection's server is not a URL of an API server");
        let server = Server::parse("server", &connection.server).map_err(unusable)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(connection)?).https_only();
        let connector = match &connection.tls_server_name {
            None => builder.enable_http1(),
            Some(name) => {
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| Failure::Unreadable("the connection's tls-server-name is not a name"))?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1()
            }
        }
        .wrap_connector(GuardedConnector::new(policy, server.port));
        Ok(Self {
            transport: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                // Without one, nobody would close what is not used any more.
                .pool_timer(TokioTimer::new())
                .build(connector),
            base: server.to_string(),
            authorization: authorization(&connection.credential)?,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            may_change: MayChange::Nothing,
        })
    }

    /// Lets it change things, as long as the fence is open.
    pub(crate) fn behind(self, fence: Fence) -> Self {
        Self { may_change: MayChange::Behind(fence), ..self }
    }

    /// Lets it make, approve and delete requests for signatures, and change nothing else.
    pub(crate) fn for_signing_requests(self) -> Self {
        Self { may_change: MayChange::SigningRequests, ..self }
    }

    /// `GET path`, as JSON of at most `limit` bytes.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Result<T, Failure> {
        parse(&self.call(Method::GET, path, None, limit).await?)
    }

    /// `GET path`, a list, without anything of its objects but their metadata.
    pub(crate) async fn get_metadata<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<T, Failure> {
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        self.get_as(metadata, path, limit).await
    }

    /// `GET path`, as a kind of JSON that must be asked for.
    pub(crate) async fn get_as<T: DeserializeOwned>(
        &self,
        media_type: &'static str,
        path: &str,
        limit: usize,
    ) -> Result<T, Failure> {
        let mut request = self.request(Method::GET, path, None)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(media_type));
        parse(&self.answer(request, limit).await?)
    }

    /// `POST path` of a question: a review, which stays nowhere.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        let body = Some(("application/json", Bytes::from(body.to_string())));
        parse(&self.call(Method::POST, path, body, MAX_REVIEW).await?)
    }

    /// `POST path` of something that stays there.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &serde_json::Value,
    ) -> Result<T, Failure> {
        let body = Some(("application/json", Bytes::from(object.to_string())));
        parse(&self.change(Method::POST, path, body).await?)
    }

    /// `PUT path`.
    pub(crate) async fn replace<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &serde_json::Value,
    ) -> Result<T, Failure> {
        let body = Some(("application/json", Bytes::from(object.to_string())));
        parse(&self.change(Method::PUT, path, body).await?)
    }

    /// Server-side apply of the object at `path`, as our field manager, taking over fields that others hold.
    pub(crate) async fn apply<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &serde_json::Value,
    ) -> Result<T, Failure> {
        let path = format!("{path}?fieldManager={}&force=true", rbac::FIELD_MANAGER);
        let body = Some(("application/apply-patch+yaml", Bytes::from(object.to_string())));
        parse(&self.change(Method::PATCH, &path, body).await?)
    }

    /// `DELETE path` with options.
    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        options: &serde_json::Value,
    ) -> Result<T, Failure> {
        let body = Some(("application/json", Bytes::from(options.to_string())));
        parse(&self.change(Method::DELETE, path, body).await?)
    }

    /// Starts a watch that lasts at most `duration`.
    pub(crate) async fn watch(&self, path: &str, duration: Duration) -> Result<Lines, Failure> {
        self.lines(self.request(Method::GET, path, None)?, duration).await
    }

    /// The same without anything of its objects but their metadata.
    pub(crate) async fn watch_metadata(&self, path: &str, duration: Duration) -> Result<Lines, Failure> {
        let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let mut request = self.request(Method::GET, path, None)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(metadata));
        self.lines(request, duration).await
    }

    async fn lines(&self, request: Request<Full<Bytes>>, duration: Duration) -> Result<Lines, Failure> {
        let body = within(REQUEST_TIMEOUT, self.begin(request)).await??;
        let deadline = Instant::now() + duration;
        Ok(Lines { body, buffer: BytesMut::new(), searched: 0, skipping: false, deadline })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
        limit: usize,
    ) -> Result<Bytes, Failure> {
        self.answer(self.request(method, path, body)?, limit).await
    }

    /// Sends what changes something, if this may still be done.
    async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Bytes, Failure> {
        let request = self.request(method, path, body)?;
        let _permit =
            self.in_flight.acquire().await.map_err(|_| Failure::Unreachable("closed".to_owned()))?;
        // After every wait: what was true before it may not be true any more.
        match &self.may_change {
            MayChange::Behind(fence) if fence.is_open().await => {}
            MayChange::SigningRequests if is_signing_request(path) => {}
            MayChange::Behind(_) | MayChange::SigningRequests | MayChange::Nothing => {
                return Err(Failure::Superseded);
            }
        }
        within(CHANGE_TIMEOUT, self.exchange(request, MAX_OBJECT)).await?
    }

    async fn answer(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Bytes, Failure> {
        let _permit =
            self.in_flight.acquire().await.map_err(|_| Failure::Unreachable("closed".to_owned()))?;
        within(REQUEST_TIMEOUT, self.exchange(request, limit)).await?
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Body, Failure> {
        accept(self.send(request).await?).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Bytes, Failure> {
        let response = self.send(request).await?;
        let announced =
            response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = accept(response).await?;
        if announced.is_some_and(|length: usize| length > limit) {
            return Err(Failure::TOO_LARGE);
        }
        read(body, limit).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Failure> {
        let response = self.transport.request(request).await.map_err(unreachable)?;
        Ok(response.map(|body| body.map_err(|error| Broken(chain(&error))).boxed_unsync()))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("bailiwick/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let bytes = match body {
            None => Bytes::new(),
            Some((content_type, bytes)) => {
                request = request.header(CONTENT_TYPE, content_type);
                bytes
            }
        };
        request
            .body(Full::new(bytes))
            .map_err(|_| Failure::Unreadable("a name in it cannot be part of a URL"))
    }
}

/// The lines of a watch.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end, so that no byte is looked at twice.
    searched: usize,
    /// Whether the line that is being read is too long, and what came of it is dropped.
    skipping: bool,
    deadline: Instant,
}

/// One line of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchLine {
    /// The line.
    Whole(Bytes),
    /// A line about an object that is too large to be looked at.
    TooLong,
}

impl Lines {
    /// The next line; `None` when the watch has ended. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<WatchLine>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().skip(self.searched).position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                let whole = !std::mem::take(&mut self.skipping) && line.len() <= MAX_OBJECT;
                return Ok(Some(if whole { WatchLine::Whole(line) } else { WatchLine::TooLong }));
            }
            self.searched = self.buffer.len();
            if self.skipping || self.searched > MAX_OBJECT {
                self.skipping = true;
                self.buffer.clear();
                self.searched = 0;
            }
            match timeout_at(self.deadline, self.body.frame()).await {
                // The server was to end it before. Starting again is right in any case.
                Err(_) | Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Failure::Unreachable(error.0)),
                Ok(Some(Ok(frame))) => self.buffer.extend(frame.into_data().ok()),
            }
        }
    }
}

/// Whether the path is of requests for signatures.
fn is_signing_request(path: &str) -> bool {
    let is_below = |rest: &str| rest.starts_with('/') && !rest.split('/').any(|part| part == "..");
    path.strip_prefix(SIGNING_REQUESTS).is_some_and(|rest| rest.is_empty() || is_below(rest))
}

/// A path segment: names come from API servers, too, and must not become another path.
pub(crate) fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    if name == "." || name == ".." {
        return name.replace('.', "%2E");
    }
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(time, future).await.map_err(|_| Failure::Unreachable("timed out".to_owned()))
}

/// The body of a success, or what kind of failure it is.
async fn accept(response: Response<Body>) -> Result<Body, Failure> {
    let (parts, body) = response.into_parts();
    if parts.status.is_success() {
        // Only plain text was asked for; what grows when it is unpacked never is.
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Failure::Unreadable("it is compressed, which nobody asked for"));
        }
        return Ok(body);
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        return Err(Failure::Unauthorized);
    }
    // Redirects end up here as well: the credential is for this server and no other.
    let text = read(body, MAX_ANSWER).await.unwrap_or_default();
    let status: Status = serde_json::from_slice(&text).unwrap_or_default();
    Err(Failure::Refused(Refusal {
        status: parts.status.as_u16(),
        message: clean(&status.message),
        // A missing ClusterRole is a 404 as well.
        namespace_gone: (parts.status == StatusCode::NOT_FOUND && status.details.kind == "namespaces")
            || status.details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"),
        retry_after: retry_after(&parts.headers, &status),
    }))
}

fn retry_after(headers: &HeaderMap, status: &Status) -> Option<Duration> {
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Some(status.details.retry_after_seconds).filter(|seconds| *seconds > 0);
    header.or(body).map(|seconds| Duration::from_secs(seconds).min(MAX_PAUSE))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TOO_LARGE),
        Err(error) => Err(Failure::Unreachable(chain(error.as_ref()))),
    }
}

/// Parses JSON. The parser's own message could quote the answer, and answers may hold secrets.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|_| Failure::Unreadable("it is not the JSON that was asked for"))
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function for map_err")]
fn unreachable(error: hyper_util::client::legacy::Error) -> Failure {
    Failure::Unreachable(chain(&error))
}

/// An error with its causes, for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    clean(&causes.take(8).map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn authorization(credential: &Credential) -> Result<Option<HeaderValue>, Failure> {
    match credential {
        Credential::Certificate { .. } => Ok(None),
        Credential::Token(token) => {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| Failure::Unreadable("the connection's token cannot be part of a header"))?;
            value.set_sensitive(true);
            Ok(Some(value))
        }
    }
}

fn tls(connection: &Connection) -> Result<ClientConfig, Failure> {
    let unusable = |what| move |_| Failure::Unreadable(what);
    let authority = connection.ca_pem.as_deref().unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let certificate =
            certificate.map_err(unusable("the connection's certificate authority is not PEM"))?;
        roots
            .add(certificate)
            .map_err(|_| Failure::Unreadable("the connection's certificate authority is unusable"))?;
    }
    if roots.is_empty() {
        return Err(Failure::Unreadable("the connection has no certificate authority"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::Unreadable("TLS is not available"))?
        .with_root_certificates(roots);
    match &connection.credential {
        Credential::Token(_) => Ok(builder.with_no_client_auth()),
        Credential::Certificate { certificate_pem, key_pem } => {
            let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(unusable("the connection's client certificate is not PEM"))?;
            let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes())
                .map_err(unusable("the connection's client key is not PEM"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| Failure::Unreadable("the connection's client certificate and key do not fit"))
        }
    }
}

#[cfg(test)]
mod tests;
