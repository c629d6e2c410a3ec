//! How many bindings an account's grants ask for in one cluster: one for each role in each namespace that is listed, or
//! for the whole cluster. A policy of a few kilobytes can ask for hundreds in each of hundreds of clusters.
//!
//! The worker of each cluster has the last word: which namespaces exist, and what came at the same moment, is known there
//! alone. Here is refused what is known to be too much.

use std::collections::HashSet;

use domain::grant::MAX_NAMESPACES;
use domain::{
    ClusterId, ClusterScope, Error, Grant, GrantId, GrantSpec, Namespace, NamespaceScope, Result, Role,
};
use store::WriteTx;

use crate::call::Call;
use crate::service::Service;

/// A role in a namespace, or in the whole cluster.
type Place<'a> = (&'a Role, Option<&'a Namespace>);

impl Service {
    /// Begins writing a grant that says `spec`, if its clusters have room for what it asks for. Counting exactly takes
    /// long in an account that has many; that happens before the account's lock is taken.
    pub(crate) async fn begin_with_room(
        &self,
        call: &Call,
        spec: &GrantSpec,
        replaced: Option<&GrantId>,
    ) -> Result<WriteTx> {
        let mut tx = self.begin_grants(call).await?;
        if self.surely_room(&mut tx, spec).await? {
            return Ok(tx);
        }
        drop(tx);
        let grants = self.list_grants(call).await?;
        let others = grants.grants.iter().filter(|grant| replaced != Some(&grant.id));
        let clusters = self.list_clusters(call).await?;
        let clusters: Vec<ClusterId> = clusters.into_iter().map(|cluster| cluster.id).collect();
        check(spec, others, &clusters, self.settings.quotas.bindings_per_cluster)?;
        self.begin_grants(call).await
    }

    /// Whether there is room even if everything that the account lists, or at least what it lists for the same
    /// clusters, were of no use for `spec`.
    async fn surely_room(&self, tx: &mut WriteTx, spec: &GrantSpec) -> Result<bool> {
        let (account, revision) = (tx.account().clone(), tx.revision());
        let most = i64::from(self.settings.quotas.bindings_per_cluster) - size(spec);
        let each = i64::try_from(MAX_NAMESPACES).unwrap_or(i64::MAX);
        let known = self.counted_places.at_most(&account, revision, each);
        let have = match known.filter(|have| *have <= most) {
            Some(have) => have,
            None => tx.count_places_of(&account).await?,
        };
        self.counted_places.note(&account, revision, have.saturating_add(size(spec)));
        if have <= most {
            return Ok(true);
        }
        let ClusterScope::Listed(clusters) = &spec.clusters else { return Ok(false) };
        for cluster in clusters {
            if tx.count_places_in(&account, cluster).await? > most {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn size(spec: &GrantSpec) -> i64 {
    i64::try_from(places(spec).len()).unwrap_or(i64::MAX)
}

fn places(spec: &GrantSpec) -> Vec<Place<'_>> {
    match &spec.namespaces {
        NamespaceScope::All => vec![(&spec.role, None)],
        NamespaceScope::Listed(names) => names.iter().map(|name| (&spec.role, Some(name))).collect(),
    }
}

/// Refuses `spec` if with it one of `clusters` would have more than `most` bindings.
fn check<'a>(
    spec: &GrantSpec,
    others: impl Iterator<Item = &'a Grant>,
    clusters: &[ClusterId],
    most: u32,
) -> Result<()> {
    let (everywhere, listed): (Vec<_>, Vec<_>) =
        others.map(|grant| &grant.spec).chain([spec]).partition(|spec| spec.clusters == ClusterScope::All);
    let common: HashSet<Place<'_>> = everywhere.into_iter().flat_map(places).collect();
    for cluster in clusters.iter().filter(|cluster| covers(spec, cluster)) {
        let own: HashSet<Place<'_>> = listed
            .iter()
            .filter(|spec| covers(spec, cluster))
            .flat_map(|spec| places(spec))
            .filter(|place| !common.contains(place))
            .collect();
        let count = common.len() + own.len();
        if count > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(Error::conflict(format!(
                "cluster `{cluster}` would need {count} bindings for this account, at most {most} are allowed: use \
                 fewer namespaces, or all of them, or have the quota raised"
            )));
        }
    }
    Ok(())
}

fn covers(spec: &GrantSpec, cluster: &ClusterId) -> bool {
    match &spec.clusters {
        ClusterScope::All => true,
        ClusterScope::Listed(ids) => ids.contains(cluster),
    }
}
