//! Keeps a watch of each cluster that has associations, on every server: whoever vends wants to know at once, and it does not
//! matter which server works for the cluster otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{ClusterId, Result};
use service::Service;
use service::pod_identity::workloads::Reached;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Registry;
use super::watching::Watch;

/// The least time between two readings of the associations.
const PAUSE: Duration = Duration::from_millis(250);
/// They are read again after so long although nobody said that something changed.
const AGAIN: Duration = Duration::from_secs(30);
/// How often a cluster is asked how it signs, for agents that want to know before anybody vends.
const SIGNING_EVERY: Duration = Duration::from_secs(300);
/// The same while it does not say it.
const SIGNING_AGAIN: Duration = Duration::from_secs(15);

/// A watch that was started.
struct Running {
    version: i64,
    watch: Arc<Watch>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Watches what is worth it, for ever.
pub async fn watch_workloads(service: Arc<Service>, registry: Arc<Registry>) {
    let mut running: HashMap<ClusterId, Running> = HashMap::new();
    let mut changes = service.changes();
    loop {
        changes.mark_unchanged();
        if let Err(error) = look(&service, &registry, &mut running).await {
            tracing::warn!(?error, "fleet.workloads.unreadable");
        }
        // No sender ever goes while the service is here.
        let _ = timeout(AGAIN, changes.changed()).await;
        sleep(PAUSE).await;
    }
}

async fn look(
    service: &Arc<Service>,
    registry: &Arc<Registry>,
    running: &mut HashMap<ClusterId, Running>,
) -> Result<()> {
    let wanted = service.watched_clusters().await?;
    let mut former = std::mem::take(running);
    for watched in wanted {
        let id = watched.reached.cluster.clone();
        let kept = former
            .remove(&id)
            .filter(|kept| kept.version == watched.reached.version)
            .or_else(|| start(service, registry, watched.reached));
        if let Some(kept) = kept {
            kept.watch.narrow(&watched.namespaces);
            running.insert(id, kept);
        }
    }
    former.keys().for_each(|id| registry.forget(id));
    Ok(())
}

fn start(service: &Arc<Service>, registry: &Arc<Registry>, reached: Reached) -> Option<Running> {
    let version = reached.version;
    let client = registry.client(&reached).inspect_err(|failure| {
        tracing::warn!(cluster = %reached.cluster, %failure, "fleet.workloads.no_client");
    });
    let client = client.ok()?;
    let watch = registry.watching(&reached);
    let watching = tokio::spawn(Arc::clone(&watch).run(Arc::clone(service), client));
    let signing = tokio::spawn(keep_signing(Arc::clone(service), reached));
    Some(Running { version, watch, tasks: [watching, signing] })
}

async fn keep_signing(service: Arc<Service>, reached: Reached) {
    loop {
        let known = service.learn_pod_keys(&reached).await;
        if let Err(error) = &known {
            tracing::info!(cluster = %reached.cluster, ?error, "fleet.workloads.signing_unknown");
        }
        sleep(if known.is_ok() { SIGNING_EVERY } else { SIGNING_AGAIN }).await;
    }
}
