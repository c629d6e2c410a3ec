//! Keeps one worker running for each cluster that has a connection and is this server's to work for.
//!
//! A worker is replaced when its cluster's connection or lease changes, and started again if it ends without being
//! told to. Workers share nothing but the service: a cluster that hangs, floods or lies costs the others nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::ClusterId;
use service::fleet::FleetCluster;
use service::fleet::leases::{BEAT, Lease, Share};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::worker::{self, Shared};

/// The least time between two readings of the list: every commit of every account asks for one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a worker may take to finish its pass when it is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A worker that was started.
struct Running {
    lease: Lease,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(shared: &Shared, lease: &Lease, predecessor: Option<Self>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (shared, for_worker) = (shared.clone(), lease.clone());
        let task = tokio::spawn(async move {
            // Two workers for one cluster would plan from two views.
            if let Some(predecessor) = predecessor {
                predecessor.end().await;
            }
            worker::run(shared, for_worker, stopped).await;
        });
        Self { lease: lease.clone(), stop, task }
    }

    /// Lets the worker finish its pass, but not for long.
    async fn end(mut self) {
        let _ = self.stop.send(true);
        if timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }

    fn is_fit(&self, lease: &Lease) -> bool {
        self.lease == *lease && !self.task.is_finished()
    }
}

/// The workers of this server, and what it is to work for.
struct Supervisor {
    shared: Shared,
    workers: HashMap<ClusterId, Running>,
    share: Share,
    /// The clusters that were there when the share was last asked for.
    known: Vec<FleetCluster>,
    beat_at: Instant,
    /// Workers that end, each with its cluster.
    ending: JoinSet<ClusterId>,
    /// Clusters whose lease is given back as soon as their worker has ended, and not before.
    releasing: HashSet<ClusterId>,
}

impl Supervisor {
    fn new(shared: Shared) -> Self {
        Self {
            shared,
            workers: HashMap::new(),
            share: Share::default(),
            known: Vec::new(),
            beat_at: Instant::now(),
            ending: JoinSet::new(),
            releasing: HashSet::new(),
        }
    }

    /// Runs workers until told to stop, and then until they have stopped.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.shared.service.changes();
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(error = ?error, "fleet.clusters.unreadable");
            }
            while let Some(ended) = self.ending.try_join_next() {
                if let Ok(cluster) = ended {
                    self.releasing.remove(&cluster);
                }
            }
            tokio::select! {
                _ = stop.changed() => break,
                changed = changes.changed() => if changed.is_err() { break },
                () = sleep_until(self.beat_at) => {}
            }
            sleep(PAUSE).await;
            changes.mark_unchanged();
        }
        futures::future::join_all(self.workers.into_values().map(Running::end)).await;
        while self.ending.join_next().await.is_some() {}
        if let Err(error) = self.shared.service.fleet_leave().await {
            tracing::warn!(error = ?error, "fleet.leases.kept");
        }
    }

    /// Makes the workers fit the clusters and the leases.
    async fn look(&mut self) -> domain::Result<()> {
        let now = Instant::now();
        let is_due = now >= self.beat_at;
        if is_due {
            // Also if it fails: a database that does not answer is not asked faster than one that does.
            self.beat_at = now + BEAT;
        }
        let clusters = self.shared.service.fleet_clusters().await?;
        if is_due || clusters != self.known {
            self.share = self.shared.service.fleet_share(&clusters).await?;
            self.known = clusters;
        }
        self.arrange();
        Ok(())
    }

    fn arrange(&mut self) {
        let mut former = std::mem::take(&mut self.workers);
        for cluster in &self.known {
            let Some(lease) = self.share.held.get(&cluster.id) else { continue };
            if self.releasing.contains(&cluster.id) {
                // It is being given back; whoever takes it then begins.
                continue;
            }
            let worker = match former.remove(&cluster.id) {
                Some(worker) if worker.is_fit(lease) => worker,
                predecessor => {
                    tracing::info!(cluster = %cluster.id, epoch = lease.epoch, "fleet.worker.started");
                    Running::start(&self.shared, lease, predecessor)
                }
            };
            self.workers.insert(cluster.id.clone(), worker);
        }
        for lease in std::mem::take(&mut self.share.surplus) {
            if self.releasing.insert(lease.cluster.clone()) {
                let worker = former.remove(&lease.cluster);
                self.ending.spawn(release(self.shared.clone(), worker, lease));
            }
        }
        for (id, worker) in former {
            tracing::info!(cluster = %id, "fleet.worker.ended");
            self.ending.spawn(async move {
                worker.end().await;
                id
            });
        }
    }
}

/// Ends a worker, then gives its lease back.
async fn release(shared: Shared, worker: Option<Running>, lease: Lease) -> ClusterId {
    if let Some(worker) = worker {
        worker.end().await;
    }
    if let Err(error) = shared.service.fleet_release(&lease).await {
        tracing::warn!(cluster = %lease.cluster, error = ?error, "fleet.lease.kept");
    }
    lease.cluster
}

/// The fleet at work.
pub struct FleetHandle {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl FleetHandle {
    pub(crate) fn start(shared: Shared) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, supervisor: tokio::spawn(Supervisor::new(shared).run(stopped)) }
    }

    /// Lets every worker finish what it is doing, for some seconds at most.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.supervisor.await;
    }
}
