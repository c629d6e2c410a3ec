//! What is vended now, and how much pods hold already.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{Cluster, ClusterId, Result};
use podidentity::Claims;
use store::{VendedTo, WriteTx};

use crate::quotas::{Counted, room};
use crate::service::Service;

/// What this server vends now, and what it counted.
#[derive(Default)]
pub(crate) struct Holding {
    counted: Counted<ClusterId>,
    under_way: Mutex<HashMap<(ClusterId, String), usize>>,
}

/// Something is being vended for a service account, until this is dropped.
pub(super) struct UnderWay<'a> {
    holding: &'a Holding,
    whom: (ClusterId, String),
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.holding.under_way();
        if let Some(count) = under_way.get_mut(&self.whom) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.remove(&self.whom);
            }
        }
    }
}

impl Holding {
    fn under_way(&self) -> MutexGuard<'_, HashMap<(ClusterId, String), usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes, before the cluster is asked, that something is to be vended for a service account.
    pub(super) fn begin(&self, cluster: &ClusterId, uid: &str) -> UnderWay<'_> {
        let whom = (cluster.clone(), uid.to_owned());
        *self.under_way().entry(whom.clone()).or_default() += 1;
        UnderWay { holding: self, whom }
    }

    /// Whether something is being vended for a service account.
    pub(super) fn vends_for(&self, cluster: &ClusterId, uid: &str) -> bool {
        self.under_way().contains_key(&(cluster.clone(), uid.to_owned()))
    }
}

/// For whom a token asks.
pub(super) fn vended_to(cluster: &Cluster, claims: &Claims) -> VendedTo {
    VendedTo {
        cluster: cluster.id.clone(),
        service_account: claims.service_account.uid.clone(),
        pod: claims.pod.as_ref().map(|pod| pod.uid.clone()).unwrap_or_default(),
    }
}

impl Service {
    /// Lets one more pass if the pod, and all pods of the cluster, have not as many as they may.
    pub(super) async fn room_for_vended(&self, tx: &mut WriteTx, to: &VendedTo) -> Result<()> {
        let (now, quotas) = (self.now(), &self.settings.quotas);
        let theirs = tx.count_vended_to(to, now).await?;
        room("credentials of a pod that are not over", theirs, quotas.sessions_per_pod)?;
        let most = quotas.pod_sessions_per_cluster;
        let (revision, counted) = (tx.revision(), &self.holding.counted);
        let at_most = counted.at_most(&to.cluster, revision, 1).filter(|count| *count < i64::from(most));
        let all = match at_most {
            Some(count) => count,
            None => tx.count_vended_in(&to.cluster, now).await?,
        };
        room("credentials of a cluster's pods that are not over", all, most)?;
        counted.note(&to.cluster, revision, all.saturating_add(1));
        Ok(())
    }
}
