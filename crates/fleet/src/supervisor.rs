//! Keeps one worker running for each cluster that has a connection.
//!
//! A worker is replaced when its cluster's connection changes, and started again if it ends without being told to.
//! Workers share nothing but the service: a cluster that hangs, floods or lies costs the others nothing.

use std::collections::HashMap;
use std::time::Duration;

use domain::ClusterId;
use service::fleet::FleetCluster;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::worker::{self, Shared};

/// How often workers that ended are looked for, and how soon the list of clusters is read again after a failure.
const CHECK: Duration = Duration::from_secs(5);
/// How long a worker may take to finish its pass when it is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A worker that was started.
struct Running {
    connection_version: i64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(shared: &Shared, cluster: &FleetCluster, predecessor: Option<Self>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (shared, id, version) = (shared.clone(), cluster.id.clone(), cluster.connection_version);
        let task = tokio::spawn(async move {
            // Two workers for one cluster would plan from two views.
            if let Some(predecessor) = predecessor {
                predecessor.end().await;
            }
            worker::run(shared, id, version, stopped).await;
        });
        Self { connection_version: cluster.connection_version, stop, task }
    }

    /// Lets the worker finish its pass, but not for long.
    async fn end(mut self) {
        let _ = self.stop.send(true);
        if timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Runs workers until told to stop, and then until they have stopped.
pub(crate) async fn run(shared: Shared, mut stop: watch::Receiver<bool>) {
    let mut changes = shared.service.changes();
    let mut workers = HashMap::new();
    loop {
        match shared.service.fleet_clusters().await {
            Ok(clusters) => arrange(&shared, &mut workers, &clusters),
            Err(error) => tracing::error!(error = ?error, "fleet.clusters.unreadable"),
        }
        tokio::select! {
            _ = stop.changed() => break,
            changed = changes.changed() => if changed.is_err() { break },
            () = sleep(CHECK) => {}
        }
    }
    futures::future::join_all(workers.into_values().map(Running::end)).await;
}

/// Makes the workers fit the clusters.
fn arrange(shared: &Shared, workers: &mut HashMap<ClusterId, Running>, clusters: &[FleetCluster]) {
    let mut former = std::mem::take(workers);
    for cluster in clusters {
        let worker = match former.remove(&cluster.id) {
            Some(worker) if is_fit(&worker, cluster) => worker,
            predecessor => {
                tracing::info!(cluster = %cluster.id, "fleet.worker.started");
                Running::start(shared, cluster, predecessor)
            }
        };
        workers.insert(cluster.id.clone(), worker);
    }
    for (id, worker) in former {
        tracing::info!(cluster = %id, "fleet.worker.ended");
        tokio::spawn(worker.end());
    }
}

fn is_fit(worker: &Running, cluster: &FleetCluster) -> bool {
    worker.connection_version == cluster.connection_version && !worker.task.is_finished()
}

/// The fleet at work.
pub struct FleetHandle {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl FleetHandle {
    pub(crate) fn start(shared: Shared) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, supervisor: tokio::spawn(run(shared, stopped)) }
    }

    /// Lets every worker finish what it is doing, for some seconds at most.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.supervisor.await;
    }
}
