//! Keeps a worker from writing to a cluster that is another server's by now.
//!
//! A worker may be stopped at any instant, for longer than its lease lives, and go on as if nothing had happened. So
//! before each write it makes sure that the cluster is still its own, unless it did so a moment ago. Who cannot ask
//! does not write.

use std::sync::Arc;
use std::time::Duration;

use service::Service;
use service::fleet::leases::{CONFIRMED_FOR, Lease};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long the answer may take: with [`CONFIRMED_FOR`], a worker without database writes for five seconds at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// Stands before every change in one cluster.
pub(crate) struct Fence {
    service: Arc<Service>,
    lease: Lease,
    confirmed: Mutex<Option<Instant>>,
}

impl Fence {
    /// A fence that is open as long as `lease` holds and the installation is not held.
    pub(crate) fn new(service: Arc<Service>, lease: Lease) -> Self {
        Self { service, lease, confirmed: Mutex::default() }
    }

    /// Whether the cluster may be changed now.
    pub(crate) async fn is_open(&self) -> bool {
        if self.service.hold().is_some() {
            return false;
        }
        let mut confirmed = self.confirmed.lock().await;
        // Before the question: the answer is as old as that.
        let now = Instant::now();
        if confirmed.is_some_and(|at| now.duration_since(at) < CONFIRMED_FOR) {
            return true;
        }
        let held = match timeout(PATIENCE, self.service.fleet_confirm(&self.lease)).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                tracing::error!(cluster = %self.lease.cluster, error = ?error, "fleet.lease.unconfirmed");
                false
            }
            Err(_) => {
                tracing::error!(cluster = %self.lease.cluster, "fleet.lease.unconfirmed");
                false
            }
        };
        *confirmed = held.then_some(now);
        held
    }
}
