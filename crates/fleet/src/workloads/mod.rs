//! What clusters say about the service accounts and pods that tokens name.
//!
//! Connections are kept: a client for each cluster and version of its connection, so that a thousand questions take one
//! handshake.

mod asking;
mod keeping;
mod listing;
mod page;
mod rate;
mod view;
mod watching;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{ClusterId, Error, Result};
use service::clusters::connection::AddressPolicy;
use service::clusters::connection::prober::Pending;
use service::pod_identity::workloads::{Reached, Signing, Workload, Workloads};
use tokio::sync::Semaphore;

use crate::client::ApiClient;
use crate::failure::Failure;
use crate::right::Right;
use watching::Watch;

pub use keeping::watch_workloads;
#[cfg(test)]
pub(crate) use {asking::signing, listing::count_for_tests};

/// Knows, or asks, what is alive in clusters.
pub struct Registry {
    policy: Arc<AddressPolicy>,
    clients: Mutex<HashMap<ClusterId, Kept>>,
    watches: Mutex<HashMap<ClusterId, (i64, Arc<Watch>)>>,
    /// Who reads a page of a list holds one.
    turns: Arc<Semaphore>,
}

/// A client, and of which version of its cluster's connection it is.
#[derive(Clone)]
struct Kept {
    version: i64,
    client: Arc<ApiClient>,
}

impl Registry {
    /// One that connects to where the policy allows.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        let turns = Arc::new(Semaphore::new(listing::TURNS));
        Self { policy: Arc::new(policy), clients: Mutex::default(), watches: Mutex::default(), turns }
    }

    fn client(&self, reached: &Reached) -> Result<Arc<ApiClient>, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = clients.get(&reached.cluster).filter(|kept| kept.version == reached.version) {
            return Ok(Arc::clone(&kept.client));
        }
        let client = Arc::new(ApiClient::new(&reached.connection, Arc::clone(&self.policy))?);
        clients
            .insert(reached.cluster.clone(), Kept { version: reached.version, client: Arc::clone(&client) });
        Ok(client)
    }

    /// A new watch of a cluster, which is asked from now on.
    fn watching(&self, reached: &Reached) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(reached.cluster.clone(), Arc::clone(&self.turns)));
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.insert(reached.cluster.clone(), (reached.version, Arc::clone(&watch)));
        watch
    }

    /// Forgets a cluster that is not worth watching any more.
    fn forget(&self, cluster: &ClusterId) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
    }

    /// Whether a watch of this very connection knows that it is alive.
    fn knows(&self, reached: &Reached, workload: &Workload, uid: &str) -> bool {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.get(&reached.cluster).filter(|(version, _)| *version == reached.version);
        let Workload { kind, namespace, name } = workload;
        watch.is_some_and(|(_, watch)| watch.knows(*kind, namespace, name, uid))
    }
}

/// A refusal of the cluster is told apart from silence: the one is to be changed there, the other passes.
fn told(failure: &Failure, action: &'static str) -> Error {
    let sentence = failure.sentence(&Right::pod_identity(action));
    match failure {
        Failure::Refused(refusal) if refusal.status != 429 && refusal.status < 500 => {
            Error::conflict(sentence)
        }
        Failure::Unauthorized | Failure::Unreadable(_) => Error::conflict(sentence),
        Failure::Refused(_) | Failure::Unreachable(_) | Failure::Superseded => {
            Error::unavailable(sentence, failure.to_string())
        }
    }
}

impl Workloads for Registry {
    fn signing<'a>(&'a self, reached: &'a Reached) -> Pending<'a, Result<Signing>> {
        Box::pin(async move {
            let action = "read how service accounts' tokens are signed";
            let client = self.client(reached).map_err(|failure| told(&failure, action))?;
            asking::signing(&client).await.map_err(|failure| told(&failure, action))
        })
    }

    fn is_alive<'a>(
        &'a self,
        reached: &'a Reached,
        workload: &'a Workload,
        uid: &'a str,
    ) -> Pending<'a, Result<bool>> {
        Box::pin(async move {
            if self.knows(reached, workload, uid) {
                return Ok(true);
            }
            // It may be new, or gone, or the watch is: what nobody knows is asked.
            Ok(self.uid(reached, workload).await?.is_some_and(|found| found == uid))
        })
    }

    fn uid<'a>(
        &'a self,
        reached: &'a Reached,
        workload: &'a Workload,
    ) -> Pending<'a, Result<Option<String>>> {
        Box::pin(async move {
            let action = asking::action(workload.kind);
            let client = self.client(reached).map_err(|failure| told(&failure, action))?;
            asking::uid(&client, workload).await.map_err(|failure| told(&failure, action))
        })
    }
}
