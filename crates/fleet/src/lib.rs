//! Everything done *in* clusters: connections that are guarded, observing, applying, asking for the effect.
//!
//! Per cluster there is one worker. It follows what [`service`] says should be: every change that is committed wakes
//! it, whatever others change in the cluster wakes it, and every ten minutes it compares everything anyway. What is
//! to be done is decided by [`rbac`], without IO; here it is carried out, bounded in time, size and number, because
//! an API server may be slow, broken or hostile. Nothing of Kubernetes is decided elsewhere, and no database is
//! touched here: the service is the one door.

use std::sync::Arc;
use std::time::Duration;

use service::Service;
use service::clusters::connection::AddressPolicy;

mod apply;
mod backoff;
mod checking;
mod client;
mod contact;
mod custom;
mod excess;
mod explain;
mod failure;
mod fence;
mod guard;
mod identity;
mod inquiry;
mod kept;
mod observe;
mod pass;
mod remarks;
mod report;
mod review;
mod right;
mod roles;
mod signing;
mod states;
mod supervisor;
mod tracker;
mod trim;
mod view;
mod wire;
mod worker;
mod workloads;

pub use contact::Visitor;
pub use identity::Identifier;
pub use supervisor::FleetHandle;
pub use workloads::{Registry, watch_workloads};

/// How the fleet works.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Which addresses may be connected to; checked at every connect.
    pub address_policy: AddressPolicy,
    /// How long until a cluster is compared completely although nothing seems to have changed.
    pub resync: Duration,
    /// So many bindings may go by one plan though no recorded revoke explains it; more of them wait.
    pub unexplained_removals: usize,
}

impl FleetSettings {
    /// The usual settings under `address_policy`.
    #[must_use]
    pub fn new(address_policy: AddressPolicy) -> Self {
        Self { address_policy, resync: Duration::from_secs(600), unexplained_removals: 5 }
    }
}

/// Starts a worker for every cluster that has a connection, now and later. Needs a Tokio runtime.
#[must_use]
pub fn start(service: Arc<Service>, settings: FleetSettings) -> FleetHandle {
    FleetHandle::start(worker::Shared {
        service,
        policy: Arc::new(settings.address_policy),
        resync: settings.resync,
        unexplained_removals: settings.unexplained_removals,
    })
}
