//! Keeps the audit beside the requests: writes what waits, forgets what is too old.

use std::sync::Arc;
use std::time::Duration;

use service::Service;
use tokio::time::MissedTickBehavior;

/// How often refusals and counts are written.
const WRITE: Duration = Duration::from_secs(1);
/// One in so many writes is followed by a look for old events: once a minute.
const TRIM: u64 = 60;

/// Does so until it is aborted.
pub async fn keep(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(WRITE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        ticks.tick().await;
        if let Err(error) = service.flush_audit().await {
            tracing::warn!(?error, "cannot write refusals into the audit; trying again");
        }
        if tick % TRIM == 0 {
            trim(&service).await;
        }
    }
}

async fn trim(service: &Service) {
    match service.trim_audit().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "deleted {count} audit events that are kept no longer"),
        Err(error) => tracing::warn!(?error, "cannot delete old audit events; trying again"),
    }
}

/// Writes the rest at the end.
pub async fn finish(service: &Service) {
    if let Err(error) = service.finish_audit().await {
        tracing::error!(?error, "the last refusals could not be written into the audit");
    }
}
