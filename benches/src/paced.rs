//! Requests of a file, each sent once: at their own pace, as pods start, or as fast as they are answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::load::Connection;

/// What there is once in all credentials of ours.
const TOKEN: &[u8] = b"\"securityToken\"";

/// Sends the requests of `file`, a JSON array of texts, to `address` over so many connections: `per_second` of them in a
/// second, or each as soon as a connection is free if that is 0. Prints what came of it as JSON. A time is counted from
/// when the request was due, so that one slow answer cannot hide those that waited behind it. How many security tokens
/// there were in all answers is counted, because a request that is answered may be so with refusals.
pub async fn send(address: &str, file: &str, per_second: &str, connections: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let per_second: f64 = per_second.parse().map_err(io::Error::other)?;
    let connections: usize = connections.parse().map_err(io::Error::other)?;
    let requests: Vec<String> = serde_json::from_slice(&std::fs::read(file)?).map_err(io::Error::other)?;
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let (mut times, mut credentials) = (Vec::new(), 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else {
                    return Ok::<_, io::Error>((times, credentials));
                };
                let due = due(began, number, per_second);
                if per_second > 0.0 {
                    sleep_until(due).await;
                }
                let body = connection.send(request).await?;
                credentials += body.windows(TOKEN.len()).filter(|window| *window == TOKEN).count();
                times.push(due.elapsed());
                connection = connection.reopened(address).await?;
            }
        }));
    }
    let mut times: Vec<Duration> = Vec::with_capacity(requests.len());
    let mut credentials = 0;
    for task in tasks {
        let (some, given) = task.await.map_err(io::Error::other)??;
        times.extend(some);
        credentials += given;
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 1000).min(times.len().saturating_sub(1));
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    let (p50, p99, longest) = (at(500), at(990), at(1000));
    println!(
        "{}",
        serde_json::json!({
            "count": times.len(), "credentials": credentials, "seconds": seconds, "p50": p50, "p99": p99, "max": longest,
        })
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
fn due(began: Instant, number: usize, per_second: f64) -> Instant {
    if per_second > 0.0 {
        began + Duration::from_secs_f64(number as f64 / per_second)
    } else {
        Instant::now()
    }
}
