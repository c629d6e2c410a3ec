//! Keeps the audit beside the requests: writes what waits, forgets what is too old, and signed requests whose
//! signatures have ended. When keys were used last is written on the way.

use std::sync::Arc;
use std::time::Duration;

use service::Service;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often refusals and counts are written.
const WRITE: Duration = Duration::from_secs(1);
/// One in so many writes is followed by a look for old events: once a minute.
const TRIM: u64 = 60;

/// The task that does so.
pub struct Keeper {
    service: Arc<Service>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins.
    pub fn start(service: Arc<Service>) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(keep(Arc::clone(&service), ended));
        Self { service, end, task }
    }

    /// Ends after what it is writing, and writes the rest.
    pub async fn finish(self) {
        drop(self.end);
        drop(self.task.await);
        if let Err(error) = self.service.finish_audit().await {
            tracing::error!(?error, "the last refusals could not be written into the audit");
            return;
        }
        if let Err(error) = self.service.flush_key_use().await {
            tracing::error!(?error, "when access keys were used last could not be written");
        }
    }
}

async fn keep(service: Arc<Service>, mut ended: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(WRITE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut more = Trimmed::Nothing;
    for tick in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut ended => return,
        }
        // A database that does not answer is waited for once in a round, so that the server's end need not wait long.
        if let Err(error) = service.flush_audit().await {
            tracing::warn!(?error, "cannot write refusals into the audit; trying again");
            continue;
        }
        if let Err(error) = service.flush_key_use().await {
            tracing::warn!(?error, "cannot write when access keys were used; trying again");
            continue;
        }
        if tick % TRIM == 0 || more == Trimmed::Some {
            more = trim(&service).await;
            if more != Trimmed::Failed {
                more = more.max(forget(&service).await);
            }
        }
    }
}

/// Whether there was something to delete: then there may be more, and the next look is not a minute away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trimmed {
    Failed,
    Nothing,
    Some,
}

/// Signed requests that could not come again, associations that ended long ago, and for whom credentials were vended that are over.
async fn forget(service: &Service) -> Trimmed {
    if let Err(error) = service.forget_association_ends().await {
        tracing::warn!(?error, "cannot forget associations that ended; trying again");
    }
    if let Err(error) = service.forget_vended().await {
        tracing::warn!(?error, "cannot forget for whom credentials were vended; trying again");
    }
    match service.forget_signed_requests().await {
        Ok(0) => Trimmed::Nothing,
        Ok(_) => Trimmed::Some,
        Err(error) => {
            tracing::warn!(?error, "cannot forget old signed requests; trying again");
            Trimmed::Failed
        }
    }
}

async fn trim(service: &Service) -> Trimmed {
    match service.trim_audit().await {
        Ok(0) => Trimmed::Nothing,
        Ok(count) => {
            tracing::info!(count, "deleted {count} audit events that are kept no longer");
            Trimmed::Some
        }
        Err(error) => {
            tracing::warn!(?error, "cannot delete old audit events; trying again");
            Trimmed::Failed
        }
    }
}
