//! Looking at clusters now, because somebody asks, and not when their workers do so the next time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Cluster, ClusterId, ConnectionState, Error, ErrorKind, Result};
use store::ClusterRow;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::authz::{self, Thing};
use crate::call::Call;
use crate::service::Service;

/// One that does not answer holds up nobody for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many are looked at together. A call names at most twice as many: though none of them answers, it is done before the
/// caller is told that it takes too long.
const TOGETHER: usize = 100;

/// What a look found: nothing to complain of, or a sentence.
type Look = (ClusterRow, std::result::Result<(), String>);

impl Service {
    /// Asks each of the clusters whether it answers, and writes down how its connection stands. `among` are those that may
    /// be meant; others are as unknown as ones that never were. Those without a connection are left as they are.
    ///
    /// # Errors
    /// `NotFound` if one is not there; `Forbidden`; how the clusters answer is no error.
    pub async fn probe_clusters(&self, call: &Call, among: &[Cluster], ids: &[ClusterId]) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:probe")?;
        let mut tx = self.store.read().await?;
        let mut rows = BTreeMap::new();
        for id in ids {
            let found = among.iter().find(|cluster| cluster.id == *id && cluster.account == *call.account());
            let Some(found) = found else {
                right.on(&Thing::unknown_cluster(id))?;
                return Err(Error::not_found("cluster", id.as_str()));
            };
            right.on(&Thing::cluster(found))?;
            if let Some(row) = tx.cluster_row(id).await? {
                rows.insert(id.clone(), row);
            }
        }
        tx.end().await?;
        let looks = self.look_at(rows.into_values()).await?;
        self.write_looks(call, looks).await?;
        self.poke();
        Ok(())
    }

    async fn look_at(&self, rows: impl Iterator<Item = ClusterRow>) -> Result<Vec<Look>> {
        let places = Arc::new(Semaphore::new(TOGETHER));
        let mut looks = JoinSet::new();
        for row in rows {
            let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
            let (places, prober) = (Arc::clone(&places), Arc::clone(&self.prober));
            looks.spawn(async move {
                let _place = places.acquire().await;
                let found = match tokio::time::timeout(PATIENCE, prober.identify(&connection)).await {
                    Ok(found) => found.map(|_| ()),
                    Err(_) => Err(Error::conflict("the API server does not answer in time")),
                };
                (row, found)
            });
        }
        let mut found = Vec::new();
        for (row, look) in looks.join_all().await {
            match look {
                Ok(()) => found.push((row, Ok(()))),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    found.push((row, Err(error.message().to_owned())));
                }
                // Not the cluster's doing.
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// A connection that was replaced meanwhile is not what was looked at.
    async fn write_looks(&self, call: &Call, looks: Vec<Look>) -> Result<()> {
        let mut tx = self.store.write_observed(call.account()).await?;
        for (row, look) in looks {
            let now = tx.connection_facts(&row.id).await?;
            if now.is_none_or(|now| now.version != row.connection_version || now.removed) {
                continue;
            }
            let (state, reason) = match &look {
                Ok(()) => (ConnectionState::Connected, ""),
                Err(reason) => (ConnectionState::Unreachable, reason.as_str()),
            };
            tx.set_connection_state(&row.id, state, reason, None, self.now()).await?;
        }
        tx.commit().await
    }
}
