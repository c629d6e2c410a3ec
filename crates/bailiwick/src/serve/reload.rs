//! What a running server reads again: the master keys, when one takes the place of another, or when it is told to by
//! SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Result};
use service::Service;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::system;

/// How often the database is asked whether the master key is about to change.
const ASK: Duration = Duration::from_secs(1);

/// SIGHUP from now on, which would end the process if nobody listened.
///
/// # Errors
/// `Internal` if the system has no signals for us.
pub fn hang_up() -> Result<Signal> {
    signal(SignalKind::hangup()).map_err(Error::internal)
}

/// Follows until it is aborted.
pub async fn run(mut hang_up: Signal, service: Arc<Service>) {
    let server = format!("{} (process {})", system::host_name(), std::process::id());
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changing = None;
    loop {
        let told = tokio::select! {
            _ = ticks.tick() => false,
            found = hang_up.recv() => found.is_some(),
        };
        let before = changing.clone();
        match service.answer_key_question(&server).await {
            Ok(next) => changing = next,
            Err(error) => tracing::warn!(?error, "cannot ask whether the master key is about to change"),
        }
        if told || changing != before {
            read_keys(&service);
        }
    }
}

fn read_keys(service: &Service) {
    match service.read_keys_again() {
        Ok(ids) => tracing::info!(keys = ids, "holding master keys {ids}"),
        Err(error) => tracing::error!(?error, "cannot read the master keys again; those held stay"),
    }
}
