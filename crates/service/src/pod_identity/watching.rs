//! What whoever watches clusters for pod identity asks and reports: where it is worth it, and which service accounts are gone.
//! It acts for nobody.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Authority, ClusterId, ClusterIdentity, Likeness, Result};
use store::{AuditEvent, Outcome};

use super::LONGEST_LIFE;
use super::workloads::Reached;
use crate::service::Service;

/// What is written into the audit when a service account is gone.
const ENDED: &str = "bailiwick:podIdentity:endServiceAccount";

/// A cluster that is worth watching: it has associations.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The way to it.
    pub reached: Reached,
    /// The namespaces with associations. What is in others need not be kept.
    pub namespaces: BTreeSet<String>,
}

impl Service {
    /// The clusters that are worth watching. Those whose connection may not be believed are not among them.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn watched_clusters(&self) -> Result<Vec<Watched>> {
        let mut clusters: BTreeMap<ClusterId, BTreeSet<String>> = BTreeMap::new();
        for found in self.store.associated_namespaces().await? {
            clusters.entry(found.cluster).or_default().insert(found.namespace);
        }
        let mut watched = Vec::with_capacity(clusters.len());
        for (id, namespaces) in clusters {
            let mut tx = self.store.read().await?;
            let row = tx.cluster_row(&id).await?;
            tx.end().await?;
            let Some(row) = row.filter(|row| !row.removed && !row.suspended) else { continue };
            let connection = match self.open_connection(&row.id, &row.account, &row.sealed_connection) {
                Ok(connection) => connection,
                // One that does not open keeps no other from being watched.
                Err(error) => {
                    tracing::error!(cluster = %row.id, ?error, "pod_identity.watch.unreadable");
                    continue;
                }
            };
            let reached = Reached { cluster: row.id, version: row.connection_version, connection };
            watched.push(Watched { reached, namespaces });
        }
        Ok(watched)
    }

    /// The uids of a cluster's service accounts that sessions come from. One that is missing in a list that was asked for
    /// later is gone.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_accounts_with_sessions(&self, cluster: &ClusterId) -> Result<Vec<String>> {
        let mut tx = self.store.read().await?;
        let found = tx.service_accounts_with_sessions(cluster, self.now()).await?;
        tx.end().await?;
        Ok(found)
    }

    /// Forgets for which service accounts something was vended that is over. Returns for how many. What was vended stays, as
    /// lines of the audit.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_vended(&self) -> Result<u64> {
        self.store.forget_vended_for(self.now()).await
    }

    /// Whether what was found behind a cluster's connection is the cluster that is known. What cannot be told is not.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn is_known_as(&self, cluster: &ClusterId, found: &ClusterIdentity) -> Result<bool> {
        let known = self.identity_of(cluster).await?;
        Ok(known.is_some_and(|known| known.likeness(found, Authority::Known) == Likeness::Same))
    }

    /// A service account is gone: what was vended for it until now is over, on all servers. Clusters have many that nobody
    /// here ever heard of, and they come and go: of those nothing is written. Returns whether something was.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn service_account_gone(&self, cluster: &ClusterId, uid: &str) -> Result<bool> {
        // First what is under way: what comes to its end meanwhile is among the sessions then.
        let under_way = self.holding.vends_for(cluster, uid);
        if !under_way {
            let mut tx = self.store.read().await?;
            let has_sessions = tx.has_vended_sessions(cluster, uid, self.now()).await?;
            tx.end().await?;
            if !has_sessions {
                return Ok(false);
            }
        }
        // Not a change of grants alone: what is kept in memory of the sessions' keys must be read anew.
        let mut tx = self.store.write(&self.account_of(cluster).await?).await?;
        let now = self.now();
        let has_sessions = tx.forget_vended_for(cluster, uid).await?;
        if !has_sessions && !under_way {
            // Another server was first.
            return Ok(false);
        }
        tx.end_service_account(cluster, uid, now, now.plus_seconds(-2 * LONGEST_LIFE)).await?;
        let event = AuditEvent {
            id: self.event_id(),
            at: now,
            actor: None,
            actor_name: String::new(),
            action: ENDED.to_owned(),
            resource: format!("cluster/{cluster}/service-account/{uid}"),
            outcome: Outcome::Done,
            occurrences: 1,
            explanation: None,
            request_id: String::new(),
            source: String::new(),
        };
        self.commit_event(tx, &event).await?;
        self.holding.forget_of(cluster);
        if has_sessions {
            // Certificates may have been asked for with what is over now.
            self.poke();
        }
        Ok(true)
    }
}
