//! Removals that no recorded revoke explains: what workers ask and report about them, and who lets them go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use domain::{ClusterId, Error, Result};
use rbac::{ObjectName, RecordedVersion};
use store::{Versions, WaitingRemoval};

use crate::authz;
use crate::call::Call;
use crate::fleet::leases::Lease;
use crate::fleet::{applied_name, object_name};
use crate::grants::history;
use crate::service::Service;

impl Service {
    /// Hands on every recorded version, of these roles, that speaks about the cluster: first those that stand, then
    /// those that ended; of each role of either kind until `take` wants no more. None is kept: there may be very many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_versions(
        &self,
        id: &ClusterId,
        roles: &BTreeSet<String>,
        take: &mut (dyn FnMut(&RecordedVersion) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        let account = self.account_of(id).await?;
        let _share = self.shares.take(&account).await;
        let mut tx = self.store.read().await?;
        for which in [Versions::Standing, Versions::Ended] {
            for role in roles {
                let ended = which == Versions::Ended;
                let mut each = |spec: &str| {
                    if !may_name(spec, id) {
                        return Ok(ControlFlow::Continue(()));
                    }
                    let version = RecordedVersion { spec: history::from_json(spec)?, ended };
                    let speaks = version.spec.clusters.contains(id);
                    Ok(if speaks { take(&version) } else { ControlFlow::Continue(()) })
                };
                tx.each_version_with_role(&account, role, which, &mut each).await?;
            }
        }
        tx.end().await
    }

    /// Says which removals would wait, with a line for people about each, and learns which of them somebody let go.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; `Conflict` if another server works for the cluster now.
    pub async fn fleet_wait(
        &self,
        lease: &Lease,
        waiting: &BTreeMap<ObjectName, String>,
    ) -> Result<BTreeSet<ObjectName>> {
        let id = &lease.cluster;
        let mut tx = self.store.read().await?;
        let known = tx.waiting_removals(id).await?;
        tx.end().await?;
        let names: BTreeMap<ObjectName, bool> =
            known.into_iter().map(|row| (object_name(row.object), row.confirmed)).collect();
        let gone: Vec<&ObjectName> = names.keys().filter(|name| !waiting.contains_key(*name)).collect();
        let new: Vec<_> = waiting.iter().filter(|(name, _)| !names.contains_key(*name)).collect();
        if !gone.is_empty() || !new.is_empty() {
            let mut tx = self.write_observed(lease).await?;
            for name in gone {
                tx.delete_waiting_removal(id, &applied_name(name)).await?;
            }
            for (name, what) in new {
                let (object, since) = (applied_name(name), self.now());
                let row = WaitingRemoval { object, what: what.clone(), since, confirmed: false };
                tx.insert_waiting_removal(id, &row).await?;
            }
            tx.commit().await?;
        }
        let may_go = |(name, confirmed): (ObjectName, bool)| {
            (confirmed && waiting.contains_key(&name)).then_some(name)
        };
        Ok(names.into_iter().filter_map(may_go).collect())
    }

    /// What waits in a cluster, by id or name.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster in the account.
    pub async fn list_removals(&self, call: &Call, cluster: &str) -> Result<Vec<WaitingRemoval>> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:listRemovals")?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.store.read().await?;
        let waiting = tx.waiting_removals(&cluster.id).await?;
        tx.end().await?;
        Ok(waiting.into_iter().filter(|row| !row.confirmed).collect())
    }

    /// Lets go what waits in a cluster now. Returns how many bindings that are.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster in the account; `Conflict` if nothing waits there.
    pub async fn confirm_removals(&self, call: &Call, cluster: &str) -> Result<u64> {
        let action = "bailiwick:cluster:confirmRemovals";
        let right = authz::require_somewhere(call, action)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        let count = tx.confirm_removals(&cluster.id).await?;
        if count == 0 {
            return Err(Error::conflict(format!("no removal waits in cluster `{}`", cluster.name)));
        }
        self.commit_for_fleet(tx, call, action, &format!("cluster/{}", cluster.id)).await?;
        Ok(count)
    }
}

/// Whether a stored version may be about the cluster: a look that costs less than reading it.
fn may_name(spec: &str, cluster: &ClusterId) -> bool {
    spec.contains("\"clusters\":null") || spec.contains(cluster.as_str())
}
