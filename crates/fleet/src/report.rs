//! What the service was told about a cluster, so that it is told only news: each report is a write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::{ConnectionState, GrantId, Result};
use service::Service;
use service::fleet::leases::Lease;
use service::fleet::{FleetReport, StateUpdate};

/// How a cluster's connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Connection {
    state: ConnectionState,
    reason: String,
    version: Option<String>,
}

/// Tells the service about one cluster.
pub(crate) struct Reporter {
    service: Arc<Service>,
    lease: Lease,
    connection: Connection,
    told_connection: Option<Connection>,
    told: HashMap<GrantId, StateUpdate>,
}

impl Reporter {
    /// Has told nothing yet.
    pub(crate) fn new(service: Arc<Service>, lease: Lease) -> Self {
        let connection =
            Connection { state: ConnectionState::Connecting, reason: String::new(), version: None };
        Self { service, lease, connection, told_connection: None, told: HashMap::new() }
    }

    /// The cluster answers.
    pub(crate) fn connected(&mut self, version: Option<String>) {
        let version = version.or(self.connection.version.take());
        self.connection = Connection { state: ConnectionState::Connected, reason: String::new(), version };
    }

    /// What people should know though the cluster answers; empty in good times.
    pub(crate) fn note(&mut self, reason: String) {
        self.connection.reason = reason;
    }

    /// The cluster does not answer.
    pub(crate) fn unreachable(&mut self, reason: &str) {
        self.connection.state = ConnectionState::Unreachable;
        reason.clone_into(&mut self.connection.reason);
    }

    /// Tells everything again next time, in case the service lost or changed something.
    pub(crate) fn forget(&mut self) {
        self.told_connection = None;
        self.told.clear();
    }

    /// Keeps only what is about these grants.
    pub(crate) fn retain(&mut self, present: &HashSet<&GrantId>) {
        self.told.retain(|id, _| present.contains(id));
    }

    /// Tells how the connection stands, and those of `updates` that are news.
    pub(crate) async fn tell(&mut self, mut updates: Vec<StateUpdate>) -> Result<()> {
        updates.retain(|update| self.told.get(&update.grant) != Some(update));
        if updates.is_empty() && self.told_connection.as_ref() == Some(&self.connection) {
            return Ok(());
        }
        let report = FleetReport {
            connection: self.connection.state,
            reason: self.connection.reason.clone(),
            version: self.connection.version.clone(),
            states: updates.clone(),
        };
        self.service.fleet_report(&self.lease, report).await?;
        self.told_connection = Some(self.connection.clone());
        self.told.extend(updates.into_iter().map(|update| (update.grant.clone(), update)));
        Ok(())
    }
}
