//! What a running server looks at again: the master keys, when one takes the place of another; the files of its
//! certificate; when the clusters' credentials end. SIGHUP makes it read keys and certificate at once.

use std::sync::Arc;
use std::time::Duration;

use domain::{Error, Result};
use service::Service;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::tls::{self, Asked};
use crate::system;

/// How often all of that is looked at.
const ASK: Duration = Duration::from_secs(1);
/// One in so many looks goes to the clusters' credentials even if nothing changed: time alone brings their end nearer.
const SURVEY: u64 = 60;

/// SIGHUP from now on, which would end the process if nobody listened.
///
/// # Errors
/// `Internal` if the system has no signals for us.
pub fn hang_up() -> Result<Signal> {
    signal(SignalKind::hangup()).map_err(Error::internal)
}

/// Follows until it is aborted.
pub async fn run(mut hang_up: Signal, service: Arc<Service>, mut watch: Option<tls::Watch>) {
    let server = format!("{} (process {})", system::host_name(), std::process::id());
    let mut changes = service.changes();
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changing = None;
    for tick in 0_u64.. {
        let asked = tokio::select! {
            _ = ticks.tick() => Asked::ByTime,
            _ = hang_up.recv() => Asked::ByOperator,
        };
        let before = changing.clone();
        match service.answer_key_question(&server).await {
            Ok(next) => changing = next,
            Err(error) => tracing::warn!(?error, "cannot ask whether the master key is about to change"),
        }
        if asked == Asked::ByOperator || changing != before {
            read_keys(&service);
        }
        if let Some(watch) = &mut watch {
            watch.look(asked, service.now());
        }
        if tick % SURVEY == 0 || changes.has_changed().unwrap_or(false) {
            changes.mark_unchanged();
            if let Err(error) = service.survey_credentials().await {
                tracing::warn!(?error, "cannot look when the clusters' credentials end");
            }
        }
    }
}

fn read_keys(service: &Service) {
    match service.read_keys_again() {
        Ok(ids) => tracing::info!(keys = ids, "holding master keys {ids}"),
        Err(error) => tracing::error!(?error, "cannot read the master keys again; those held stay"),
    }
}
