//! The local endpoint as pods see it: one path, the token alone in `Authorization`, credentials as the server gives them.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::callers::{Caller, Callers};
use super::desk::{Desk, Health};
use super::limits::{Rate, Rates};
use super::metrics;
use super::refusal::Refusal;

/// More than any SDK sends; what it says does not matter.
const MAX_BODY: usize = 4 << 10;
/// A body must have arrived by then.
const BODY_TIME_LIMIT: Duration = Duration::from_secs(2);
/// Requests that wait at a time: beyond them nobody would be answered in time.
const MAX_WAITING: usize = 8_192;

/// Requests of one pod: so many in a row, and in a second.
const OF_SOURCE: (u32, u32) = (200, 100);
/// Requests in all.
const IN_ALL: (u32, u32) = (2_000, 1_000);

const JSON: &str = "application/json";

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What is answered on an address.
pub enum Site {
    /// Credentials, for pods.
    Credentials(Credentials),
    /// That there is no metadata, so that SDKs look further.
    NoMetadata(Arc<Desk>, Arc<Callers>),
    /// How the agent is, for those who watch over it.
    Status(Arc<Desk>),
}

/// The endpoint.
pub struct Credentials {
    desk: Arc<Desk>,
    callers: Arc<Callers>,
    path: String,
    waiting: Semaphore,
    of_source: Rates,
    in_all: Rate,
}

impl Credentials {
    /// An endpoint at `path` for those callers.
    #[must_use]
    pub fn new(desk: Arc<Desk>, callers: Arc<Callers>, path: String) -> Self {
        let (of_source, in_all) = (Rates::new(OF_SOURCE.0, OF_SOURCE.1), Rate::new(IN_ALL.0, IN_ALL.1));
        Self { desk, callers, path, waiting: Semaphore::new(MAX_WAITING), of_source, in_all }
    }

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        let peer = peer.to_canonical();
        // The node's own addresses are many callers.
        let is_one_too_many = match may_ask(&self.desk, &self.callers, peer)? {
            Caller::Pod => !self.of_source.take(peer),
            Caller::Node | Caller::Foreign => false,
        };
        if is_one_too_many || !self.in_all.take() {
            return Err(Refusal::busy("too many requests"));
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(Refusal::busy("too many requests wait already"));
        };
        if request.uri().path() != self.path {
            let message = format!("credentials are at {}", self.path);
            return Err(Refusal::new(StatusCode::NOT_FOUND, "not-found", message));
        }
        if request.method() != Method::POST {
            let message = "credentials are asked for by POST";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", message));
        }
        let token = token(&request)?;
        drop_body(request).await?;
        self.desk.answer(&token, peer).await
    }
}

/// The one token of a request. Anything that could be read in two ways is refused.
fn token(request: &Request<Incoming>) -> Result<String, Refusal> {
    let wrong = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid", message);
    let mut values = request.headers().get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let message = "the header `Authorization` must be the token of the pod's service account";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token-missing", message));
    };
    if values.next().is_some() {
        return Err(wrong("the header `Authorization` must be there once"));
    }
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace()) {
        return Err(wrong("the header `Authorization` must be the token alone, without a scheme before it"));
    }
    Ok(text.to_owned())
}

async fn drop_body(request: Request<Incoming>) -> Result<(), Refusal> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match timeout(BODY_TIME_LIMIT, body).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => {
            let message = "the body must be `{}`, and complete";
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message))
        }
        Err(_) => {
            let message = "the body did not come in time";
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message))
        }
    }
}

impl Site {
    /// Answers one request of somebody at that address.
    ///
    /// # Errors
    /// Never.
    pub async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Result<Answer, Infallible> {
        Ok(match self {
            Self::Credentials(site) => {
                let given = site.answer(peer, request).await;
                let answer = given.map_or_else(|refusal| refused(&refusal), |body| whole(JSON, body));
                site.desk.metrics.request(answer.status().as_u16());
                answer
            }
            Self::NoMetadata(desk, callers) => {
                let message = "there is no metadata on this node; credentials come from pod identity";
                let none = Refusal::new(StatusCode::NOT_FOUND, "not-found", message);
                refused(&may_ask(desk, callers, peer).err().unwrap_or(none))
            }
            Self::Status(desk) => status(desk, request.uri().path()),
        })
    }
}

/// Refuses whoever is not on this node, before anything of the request is looked at.
fn may_ask(desk: &Desk, callers: &Callers, peer: IpAddr) -> Result<Caller, Refusal> {
    match callers.place(peer) {
        caller @ (Caller::Node | Caller::Pod) => Ok(caller),
        Caller::Foreign => {
            desk.metrics.foreign.add();
            let message = format!(
                "{peer} is not known to be on this node; if it is a pod of it, its range belongs into --allow-from"
            );
            Err(Refusal::new(StatusCode::FORBIDDEN, "foreign-caller", message))
        }
    }
}

fn status(desk: &Arc<Desk>, path: &str) -> Answer {
    match path {
        "/healthz" => whole("text/plain", Bytes::from_static(b"ok\n")),
        "/readyz" => match readiness(desk) {
            Ok(()) => whole("text/plain", Bytes::from_static(b"ok\n")),
            Err(why) => refused(&Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", why)),
        },
        "/metrics" => match metrics::text(desk) {
            Ok(text) => whole(metrics::CONTENT_TYPE, text.into()),
            Err(error) => {
                refused(&Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))
            }
        },
        _ => refused(&Refusal::new(StatusCode::NOT_FOUND, "not-found", "/healthz, /readyz or /metrics")),
    }
}

/// Whether pods of this node get credentials: they do while the server is away, if it was there once.
fn readiness(desk: &Desk) -> Result<(), String> {
    match desk.health() {
        Health::Told | Health::Apart => Ok(()),
        Health::New => Err("the server was not reached yet".to_owned()),
        Health::Unaccepted(why) => Err(format!("the server does not accept this agent: {why}")),
    }
}

fn whole(content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refused(refusal: &Refusal) -> Answer {
    let body = serde_json::to_vec(refusal).unwrap_or_default();
    let mut answer = whole(JSON, body.into());
    *answer.status_mut() = refusal.status;
    let headers = answer.headers_mut();
    if let Some(again) = refusal.again {
        headers.insert(RETRY_AFTER, HeaderValue::from(again));
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    // What was not read is not waited for.
    if matches!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
        || refusal.code == "foreign-caller"
    {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
