//! What the webhook serves: reviews, and how it does. How much is taken at a time, and in which time, is decided here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::associations::Answer;
use super::listener::Listener;
use super::places::{Place, Room, SMALL};
use super::review::{self, Asked, Verdict};
use super::{Webhook, injection};

/// The largest review that is read. API servers take objects of 3 MiB, which are longer as JSON.
const MAX_BODY: usize = 8 << 20;
/// By then a body must be here: API servers wait five seconds for all of it.
const BODY_TIME_LIMIT: Duration = Duration::from_secs(3);
/// So long is answered as before after the program was told to stop: until then API servers may still find it.
const LEAVING: Duration = Duration::from_secs(8);

/// Whether a pod may be made while it is not known what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It may, with a warning.
    LetsThrough,
    /// It has to wait.
    Refuses,
}

/// Serves both listeners until the program is told to stop.
///
/// # Errors
/// If that cannot be heard.
pub async fn serve(webhook: Arc<Webhook>, listener: Listener, observed: TcpListener) -> Result<(), String> {
    let others = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(webhook): State<Arc<Webhook>>| async move { webhook.counts.text() }))
        .with_state(Arc::clone(&webhook));
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let (stop, end) = watch::channel(false);
    let reviews = tokio::spawn(listener.serve(Arc::new(Reviews(Arc::clone(&webhook))), end));
    let others = tokio::spawn(async move { axum::serve(observed, others).await });
    tokio::select! {
        _ = terminated.recv() => {
            tracing::info!("webhook.leaving");
            webhook.leave();
            sleep(LEAVING).await;
        }
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.send_replace(true);
    drop(reviews.await);
    others.abort();
    Ok(())
}

async fn ready(State(webhook): State<Arc<Webhook>>) -> (StatusCode, &'static str) {
    if webhook.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server has not told anything yet, there is no certificate, or it is about to end\n",
        )
    }
}

/// What answers reviews.
pub struct Reviews(Arc<Webhook>);

/// A body as far as it is wanted.
enum Read {
    Whole(Bytes, Room),
    TooLarge(Bytes),
}

impl Reviews {
    /// The answer to a request.
    pub async fn answer(&self, place: &Place, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let doubt = match request.uri().path() {
            "/mutate" => Doubt::LetsThrough,
            "/mutate/required" => Doubt::Refuses,
            _ => return said(StatusCode::NOT_FOUND, "reviews go to /mutate or /mutate/required\n"),
        };
        if request.method() != Method::POST {
            return said(StatusCode::METHOD_NOT_ALLOWED, "reviews are sent by POST\n");
        }
        let answer = match timeout(BODY_TIME_LIMIT, read(place, request.into_body())).await {
            Ok(Ok(Read::Whole(body, _room))) => review(&self.0, &body, doubt).await,
            Ok(Ok(Read::TooLarge(beginning))) => match review::uid_at_the_beginning(&beginning) {
                Some(uid) => {
                    counted(&self.0, &uid, &doubtful(doubt, "a review of more than 8 MiB is not read"))
                }
                None => return said(StatusCode::PAYLOAD_TOO_LARGE, "a review has at most 8 MiB\n"),
            },
            Ok(Err(())) => return said(StatusCode::BAD_REQUEST, "the body broke off\n"),
            Err(_) => return said(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
        };
        let mut response = Response::new(Full::new(answer.to_string().into()));
        let kind = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Reads a body. Room for it is taken before more than a little is held.
async fn read(place: &Place, mut body: Incoming) -> Result<Read, ()> {
    let hint = body.size_hint();
    // What does not say how long it is may be as long as any.
    let length = hint.exact().map_or(MAX_BODY, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length > MAX_BODY {
        let mut beginning = Vec::new();
        while beginning.len() < SMALL
            && let Some(frame) = body.frame().await
        {
            beginning.extend_from_slice(frame.map_err(drop)?.data_ref().map_or(&[][..], Bytes::as_ref));
        }
        return Ok(Read::TooLarge(beginning.into()));
    }
    let room = place.room(length).await.ok_or(())?;
    let mut whole = Vec::with_capacity(length.min(SMALL));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(drop)?;
        whole.extend_from_slice(frame.data_ref().map_or(&[][..], Bytes::as_ref));
        if whole.len() > length {
            return Ok(Read::TooLarge(whole.into()));
        }
    }
    Ok(Read::Whole(whole.into(), room))
}

/// The answer to a review.
async fn review(webhook: &Webhook, body: &[u8], doubt: Doubt) -> serde_json::Value {
    let (uid, verdict) = match review::read(body) {
        Asked::Other { uid } => (uid, Verdict::AsItIs),
        Asked::Unclear { uid, why } => (uid, Verdict::Warned(why.to_owned())),
        Asked::NewPod { uid, namespace, pod } => {
            let verdict = judge(webhook, &namespace, &pod, doubt).await;
            (uid, verdict)
        }
    };
    counted(webhook, &uid, &verdict)
}

fn counted(webhook: &Webhook, uid: &str, verdict: &Verdict) -> serde_json::Value {
    let counts = &webhook.counts;
    counts.add(match verdict {
        Verdict::AsItIs => &counts.passed,
        Verdict::Patched(operations) if operations.is_empty() => &counts.passed,
        Verdict::Patched(_) => &counts.patched,
        Verdict::Warned(_) => &counts.warned,
        Verdict::NotNow(_) => &counts.refused,
    });
    review::answer(uid, verdict)
}

fn doubtful(doubt: Doubt, why: &str) -> Verdict {
    match doubt {
        Doubt::LetsThrough => Verdict::Warned(why.to_owned()),
        Doubt::Refuses => Verdict::NotNow(why.to_owned()),
    }
}

async fn judge(webhook: &Webhook, namespace: &str, pod: &serde_json::Value, doubt: Doubt) -> Verdict {
    if webhook.is_excluded(namespace) || injection::is_left_alone(pod) {
        return Verdict::AsItIs;
    }
    let service_account = injection::service_account(pod);
    match webhook.associations.of(namespace, service_account).await {
        Answer::Associated(verification) => {
            Verdict::Patched(injection::patch(pod, &webhook.terms(*verification)))
        }
        Answer::None => Verdict::AsItIs,
        Answer::Unknown => {
            let why = "the server cannot be asked whether this service account has an association";
            tracing::warn!(namespace, service_account, "review.in_doubt");
            doubtful(doubt, why)
        }
    }
}
