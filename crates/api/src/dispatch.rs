//! From a request's bytes to an answer: which dialect, which operation, who is calling.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Error, ErrorKind, Result};
use futures::FutureExt;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use service::Origin;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::dialects::{self, Claimed};
use crate::head::Head;
use crate::metrics::Counts;
use crate::operation::{Dialect, Found, Handler, Input};
use crate::reply::{HttpResponse, Reply};
use crate::{App, Demo, body, metrics, refusal};

/// An operation must be done by then.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Who came too fast, or found no room, may come again after so many seconds.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 1;

/// Tells the command line of an administrator what the operator should do about the server.
const REMINDER: &str = "x-bailiwick-reminder";

/// Answers on the metrics' own address, where there is nothing but metrics and the sign of life.
pub(crate) async fn answer_metrics(app: Arc<App>, request: Request<Incoming>) -> HttpResponse {
    let reply = match (request.method(), request.uri().path()) {
        (&http::Method::GET, "/metrics") => metrics::reply(&app, app.service.measures().await),
        (&http::Method::GET, "/healthz") => Ok(Reply::bytes(StatusCode::OK, "text/plain", "ok\n".into())),
        _ => Ok(Reply::empty(StatusCode::NOT_FOUND)),
    };
    let failed = |error: Error| {
        tracing::error!(?error, "cannot show the metrics");
        Reply::empty(StatusCode::INTERNAL_SERVER_ERROR)
    };
    reply.unwrap_or_else(failed).into_response()
}

/// Answers a request. Never fails: whatever goes wrong is an answer too.
pub async fn answer(app: Arc<App>, peer: IpAddr, request: Request<Incoming>) -> HttpResponse {
    let request_id: [u8; 16] = domain::entropy::bytes(&*app.entropy);
    let request_id: Arc<str> = Arc::from(hex::encode(request_id));
    let (source, at) = (Arc::from(peer.to_string()), app.service.now());
    let origin = Origin { request_id: Arc::clone(&request_id), source, at, dialect: "" };
    // At the level that no filter leaves out, so that each line that a request causes says which one it was.
    let span = tracing::error_span!(
        "request",
        %request_id,
        dialect = Empty,
        operation = Empty,
        status = Empty,
        outcome = Empty
    );
    let mut response = dispatch(&app, peer, origin, request).instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert("x-request-id", value);
    }
    if app.settings.demo == Demo::Yes {
        headers.insert("x-bailiwick-demo", HeaderValue::from_static("true"));
    }
    response
}

async fn dispatch(app: &App, peer: IpAddr, origin: Origin, request: Request<Incoming>) -> HttpResponse {
    let (parts, incoming) = request.into_parts();
    let Some(claimed) = dialects::of(&app.dialects, &parts.headers, &parts.uri) else {
        // The last dialect claims everything, so this is out of reach; an empty answer is still an answer.
        return HttpResponse::default();
    };
    let dialect = claimed.dialect;
    let path = parts.uri.path().to_owned();
    let method = parts.method.clone();
    let request_id = Arc::clone(&origin.request_id);
    let began = Instant::now();
    let mut counts = dialect.table().of_nothing();
    let work = AssertUnwindSafe(run(app, claimed, (&path, peer), &mut counts, parts, incoming, origin))
        .catch_unwind();
    let result = match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::internal("a handler panicked")),
        Err(_) => {
            Err(Error::unavailable("it took longer than 30 seconds; try again", "time limit of a request"))
        }
    };
    let mut response = match result {
        Ok(response) => response,
        Err(error) => {
            log(dialect.name(), &method, &request_id, &error);
            let mut response = dialect.fault(&path, &error, &request_id);
            if error.kind() == ErrorKind::Limited {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            response
        }
    };
    dialect.stamp(&mut response, &request_id);
    let outcome = counts.add(response.status(), began.elapsed());
    Span::current().record("status", response.status().as_u16().to_string()).record("outcome", outcome);
    response
}

/// Says in the log why something was not done.
pub(crate) fn log(dialect: &str, method: &http::Method, request_id: &str, error: &Error) {
    match error.kind() {
        ErrorKind::Internal => {
            tracing::error!(dialect, %method, request_id, ?error, "request {request_id} failed")
        }
        ErrorKind::Unavailable => {
            tracing::warn!(dialect, %method, request_id, ?error, "request {request_id} could not be served");
        }
        ErrorKind::Invalid
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::Contended
        | ErrorKind::TooLarge
        | ErrorKind::HeadTooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Limited => {
            tracing::debug!(dialect, %method, kind = ?error.kind(), "request {request_id} refused")
        }
    }
}

/// Whether a path is answered even while nobody may be let in: it tells how this process stands, and no more.
fn is_always_answered(path: &str) -> bool {
    ["/healthz", "/readyz", "/metrics"].contains(&path)
}

async fn run<'a>(
    app: &App,
    claimed: Claimed<'a>,
    (path, peer): (&str, IpAddr),
    counts: &mut &'a Counts,
    parts: http::request::Parts,
    incoming: Incoming,
    origin: Origin,
) -> Result<HttpResponse> {
    let dialect = claimed.dialect;
    let origin = Origin { dialect: dialect.name(), ..origin };
    let head = Head::read(parts, origin, dialect.plus()).and_then(|head| admit(app, peer, head));
    // The body is read before anything is refused, so that a client which sends first sees the refusal; what comes too
    // fast is not kept.
    let mut share = app.bodies.share(peer);
    let (head, body) = match head {
        Ok(head) => (head, body::read(incoming, &mut share).await),
        Err(error) => {
            body::drain(incoming).await;
            return Err(error);
        }
    };
    if claimed.contested {
        return Err(Error::new(ErrorKind::Invalid, "speak one dialect: there are headers of two"));
    }
    if !is_always_answered(&head.path) {
        app.service.open_for_requests()?;
    }
    let (row, parameters) = match dialect.table().find(head.method.as_str(), &dialect.place(&head)?) {
        Found::Operation(row, counted, parameters) => {
            *counts = counted;
            Span::current().record("dialect", dialect.name()).record("operation", row.name);
            (row, parameters)
        }
        Found::OtherMethods(methods) => return Ok(other_methods(dialect, &head, path, &methods.join(", "))),
        Found::Nothing => return Err(Error::new(ErrorKind::NotFound, "there is no such operation")),
    };
    let body = match body {
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            return Ok(no_room(dialect, &head, path, &error));
        }
        read => read?,
    };
    let input = Input { head, parameters, body };
    let reply = match row.handler {
        Handler::Open(handler) => handler(app, input).await?,
        Handler::Authenticated(handler) => {
            let call = dialect.authenticate(app, &input, row.body).await?;
            app.service.admit_caller(&call.caller)?;
            let (caller, origin) = (Arc::clone(&call.caller), call.origin.clone());
            let reminded = dialect.name() == "native" && (caller.root || caller.administrator);
            let reply = handler(app, call, input).await.map_err(|error| match error.denial() {
                Some(denial) => {
                    app.service.note_denial(&caller, &origin, denial, path);
                    let told = refusal::told(app, dialect, row, (&caller, &origin), denial);
                    error.telling(told)
                }
                None if error.kind() == ErrorKind::Forbidden => {
                    app.service.note_refusal(&caller, &origin, row.name, path);
                    error
                }
                None => error,
            })?;
            if reminded && app.settings.demo == Demo::No && app.bootstrap_file_present() {
                reply.with_header(REMINDER, HeaderValue::from_static("bootstrap-file"))
            } else {
                reply
            }
        }
    };
    Ok(reply.into_response())
}

/// Lets a request of a source pass that does not come too fast.
fn admit(app: &App, peer: IpAddr, head: Head) -> Result<Head> {
    if !is_always_answered(&head.path) {
        app.service.admit_source(peer)?;
    }
    Ok(head)
}

/// Says that there is no room for the body, and when to come again.
fn no_room(dialect: &dyn Dialect, head: &Head, path: &str, error: &Error) -> HttpResponse {
    let request_id = &head.origin.request_id;
    log(dialect.name(), &head.method, request_id, error);
    let mut response = dialect.fault(path, error, request_id);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}

/// Says which methods a path has, in the dialect's shape and in the header that HTTP has for it.
fn other_methods(dialect: &dyn Dialect, head: &Head, path: &str, methods: &str) -> HttpResponse {
    let message = format!("the method {} is not served here; use {methods}", head.method);
    let (error, request_id) = (Error::new(ErrorKind::MethodNotAllowed, message), &head.origin.request_id);
    log(dialect.name(), &head.method, request_id, &error);
    let mut response = dialect.fault(path, &error, request_id);
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(http::header::ALLOW, methods);
    }
    response
}
