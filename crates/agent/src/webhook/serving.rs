//! The routes of the webhook, and how much they take at a time.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::associations::Answer;
use super::listener::Listener;
use super::review::{self, Asked, Verdict};
use super::{Webhook, injection};

/// The largest review: API servers take no larger objects.
const MAX_BODY: usize = 3 << 20;
/// All reviews that are read at a time, in KiB: read ones take several times their text.
const ALL_BODIES: u32 = 8 << 10;

/// Whether a pod may be made while it is not known what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It may, with a warning.
    LetsThrough,
    /// It has to wait.
    Refuses,
}

#[derive(Clone)]
struct Shared {
    webhook: Arc<Webhook>,
    room: Arc<Semaphore>,
}

/// Serves both listeners until the program is told to stop.
///
/// # Errors
/// If that cannot be heard.
pub async fn serve(webhook: Arc<Webhook>, listener: Listener, observed: TcpListener) -> Result<(), String> {
    let shared =
        Shared { webhook: Arc::clone(&webhook), room: Arc::new(Semaphore::new(ALL_BODIES as usize)) };
    let reviews = Router::new()
        .route("/mutate", post(|state, headers, body| mutate(state, headers, body, Doubt::LetsThrough)))
        .route("/mutate/required", post(|state, headers, body| mutate(state, headers, body, Doubt::Refuses)))
        .with_state(shared);
    let others = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(webhook): State<Arc<Webhook>>| async move { webhook.counts.text() }))
        .with_state(webhook);
    let mut end = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let heard = || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.changed().await) }
    };
    let reviews = axum::serve(listener, reviews).with_graceful_shutdown(heard());
    let others = axum::serve(observed, others).with_graceful_shutdown(heard());
    let both = async { tokio::join!(reviews, others) };
    tokio::pin!(both);
    tokio::select! {
        _ = &mut both => return Ok(()),
        _ = end.recv() => drop(stop),
        _ = tokio::signal::ctrl_c() => return Ok(()),
    }
    // API servers keep connections open that they do not use.
    drop(tokio::time::timeout(std::time::Duration::from_secs(5), both).await);
    Ok(())
}

async fn ready(State(webhook): State<Arc<Webhook>>) -> (StatusCode, &'static str) {
    if webhook.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server has not told anything yet, or there is no certificate\n",
        )
    }
}

async fn mutate(State(shared): State<Shared>, headers: HeaderMap, body: Body, doubt: Doubt) -> Response {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let length = length.unwrap_or(MAX_BODY);
    if length > MAX_BODY {
        return (StatusCode::PAYLOAD_TOO_LARGE, "a review has at most 3 MiB\n").into_response();
    }
    let places = u32::try_from(length / 1024 + 1).unwrap_or(ALL_BODIES);
    let Ok(_room) = shared.room.acquire_many(places).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(body) = axum::body::to_bytes(body, length).await else {
        return (StatusCode::BAD_REQUEST, "the body is not as long as it says\n").into_response();
    };
    let answer = review(&shared.webhook, &body, doubt).await;
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// The answer to a review.
async fn review(webhook: &Webhook, body: &Bytes, doubt: Doubt) -> serde_json::Value {
    let (uid, verdict) = match review::read(body) {
        Asked::Other { uid } => (uid, Verdict::AsItIs),
        Asked::Unclear { uid, why } => (uid, Verdict::Warned(why.to_owned())),
        Asked::NewPod { uid, namespace, pod } => {
            let verdict = judge(webhook, &namespace, &pod, doubt).await;
            (uid, verdict)
        }
    };
    let counts = &webhook.counts;
    counts.add(match &verdict {
        Verdict::AsItIs => &counts.passed,
        Verdict::Patched(operations) if operations.is_empty() => &counts.passed,
        Verdict::Patched(_) => &counts.patched,
        Verdict::Warned(_) => &counts.warned,
        Verdict::NotNow(_) => &counts.refused,
    });
    review::answer(&uid, &verdict)
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
            match doubt {
                Doubt::LetsThrough => Verdict::Warned(why.to_owned()),
                Doubt::Refuses => Verdict::NotNow(why.to_owned()),
            }
        }
    }
}
