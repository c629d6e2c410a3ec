//! Grants: creating, replacing, revoking, and where each stands in its clusters.

pub mod accepted_roles;
pub(crate) mod administration;
pub(crate) mod bindings;
pub(crate) mod bindings_count;
pub mod history;
pub mod permissions;
pub mod removals;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use domain::grant::{MAX_CLUSTERS, MAX_NAMESPACES, MAX_PRINCIPALS, check_name};
use domain::{
    Cluster, ClusterGrantState, ClusterId, ClusterScope, ConnectionState, Error, Grant, GrantId, GrantSpec,
    NamespaceScope, PrincipalId, Result, State,
};
use store::{GrantStateRow, ReadTx, WriteTx};

use crate::authz::{self, Right, Thing};
use crate::cache::Copy;
use crate::call::Call;
use crate::grants::administration::Territory;
use crate::quotas::room;
use crate::service::Service;

/// The account's grants at one revision. Cheap to share.
#[derive(Debug)]
pub struct GrantList {
    /// The revision they were read at.
    pub revision: i64,
    /// The grants, oldest first.
    pub grants: Vec<Grant>,
}

/// Which grants a caller wants.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    /// Only those that cover this cluster. An unknown one is covered by grants on all clusters only.
    pub cluster: Option<String>,
    /// Only those that name this principal.
    pub principal: Option<String>,
}

impl GrantFilter {
    /// Whether `grant` is wanted.
    #[must_use]
    pub fn matches(&self, grant: &Grant) -> bool {
        let cluster = self.cluster.as_ref().is_none_or(|id| grant.covers(&ClusterId::stored(id)));
        let principal = self.principal.as_ref();
        cluster && principal.is_none_or(|id| grant.spec.principals.ids.contains(&PrincipalId::stored(id)))
    }
}

impl Service {
    /// Creates a grant. Its clusters follow by themselves.
    ///
    /// # Errors
    /// `Invalid` naming the field, also for principals and clusters that are not the account's; `Conflict` if the
    /// account may have no more.
    pub async fn create_grant(&self, call: &Call, spec: GrantSpec) -> Result<Grant> {
        let right = authz::require_somewhere(call, "bailiwick:grant:create")?;
        let spec = without_repetition(spec);
        check(&spec)?;
        let (mut tx, room) = match self.begin_with_room(call, &spec, None).await {
            Ok(begun) => begun,
            Err(error) => return self.repeated(call, error).await?.created_grant(call, self, &right).await,
        };
        self.may_write(&mut tx, call, &right, &[&spec]).await?;
        self.room_for_grant(&mut tx).await?;
        check_references(&mut tx, call, &spec).await?;
        let now = self.now();
        let grant = Grant {
            id: GrantId::random_uuid(&*self.entropy),
            account: call.account().clone(),
            spec,
            generation: 1,
            created_at: now,
            updated_at: now,
            of_owner: false,
            revoked_at: None,
        };
        tx.insert_grant(&grant).await?;
        history::record(&mut tx, call, &grant).await?;
        let noted = room.note(self, &tx);
        self.commit_for_fleet(tx, call, "bailiwick:grant:create", &format!("grant/{}", grant.id)).await?;
        noted.committed();
        Ok(grant)
    }

    pub(crate) async fn room_for_grant(&self, tx: &mut WriteTx) -> Result<()> {
        let (account, revision, most) = (tx.account().clone(), tx.revision(), self.settings.quotas.grants);
        let known = self.counted_grants.at_most(&account, revision, 1);
        let have = match known.filter(|have| *have < i64::from(most)) {
            Some(have) => have,
            None => tx.count_grants_of(&account).await?,
        };
        self.counted_grants.note(&account, revision, have.saturating_add(1));
        room("grants", have, most)
    }

    /// Replaces what a grant says. Saying the same again changes nothing, not even its times.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` naming the field.
    pub async fn update_grant(&self, call: &Call, id: &str, spec: GrantSpec) -> Result<Grant> {
        let right = authz::require_somewhere(call, "bailiwick:grant:update")?;
        let spec = without_repetition(spec);
        check(&spec)?;
        let (mut tx, room) = match self.begin_with_room(call, &spec, Some(&GrantId::stored(id))).await {
            Ok(begun) => begun,
            Err(error) => return self.repeated(call, error).await?.grant(call, id, self, &right).await,
        };
        let old = changeable(&mut tx, call, id).await?;
        self.may_write(&mut tx, call, &right, &[&old.spec, &spec]).await?;
        check_references(&mut tx, call, &spec).await?;
        if old.spec == spec {
            if call.signed.is_some() {
                // It must be known when it comes again, after somebody changed the grant.
                tx.commit().await?;
            }
            return Ok(old);
        }
        tx.expect_grant_states(&old, self.now()).await?;
        let grant = Grant { spec, generation: old.generation + 1, updated_at: self.now(), ..old };
        tx.replace_grant(&grant).await?;
        history::record(&mut tx, call, &grant).await?;
        let noted = room.note(self, &tx);
        self.commit_for_fleet(tx, call, "bailiwick:grant:update", &format!("grant/{id}")).await?;
        noted.committed();
        Ok(grant)
    }

    /// Revokes a grant. It disappears from lists at once and from clusters as fast as they answer.
    ///
    /// # Errors
    /// `NotFound` if there is none, or it was revoked before.
    pub async fn revoke_grant(&self, call: &Call, id: &str) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:grant:delete")?;
        let mut tx = match self.begin_grants(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.grant(call, id, self, &right).await.map(drop);
            }
        };
        let grant = changeable(&mut tx, call, id).await?;
        self.may_write(&mut tx, call, &right, &[&grant.spec]).await?;
        tx.expect_grant_states(&grant, self.now()).await?;
        tx.revoke_grant(&grant.id, self.now()).await?;
        history::record_changed(&mut tx, call, std::slice::from_ref(&grant.id)).await?;
        self.commit_for_fleet(tx, call, "bailiwick:grant:delete", &format!("grant/{id}")).await
    }

    /// Lets the call pass if its right holds for each cluster, and its caller administers what the grants are about.
    pub(crate) async fn may_write(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        right: &Right<'_>,
        specs: &[&GrantSpec],
    ) -> Result<()> {
        if call.caller.root {
            return Ok(());
        }
        let clusters = tx.clusters(call.account()).await?;
        for spec in specs {
            right.on_clusters(&spec.clusters, &clusters)?;
        }
        let territories: Vec<Territory<'_>> = specs.iter().map(|spec| Territory::of_grant(spec)).collect();
        self.require_administration(tx, call, right.action(), &territories).await
    }

    /// All grants of the account that are not revoked and that the caller may see. Served from memory unless something
    /// changed.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn list_grants(&self, call: &Call) -> Result<Arc<GrantList>> {
        let right = authz::require_somewhere(call, "bailiwick:grant:list")?;
        let all = self.grants_of(call).await?;
        if right.holds_for_every_cluster() {
            return Ok(all);
        }
        let clusters = self.clusters_of(call).await?;
        let visible = |grant: &&Grant| right.holds_for_clusters(&grant.spec.clusters, &clusters);
        let grants: Vec<Grant> = all.grants.iter().filter(visible).cloned().collect();
        if grants.is_empty() {
            right.unless_denied_outright()?;
        }
        Ok(Arc::new(GrantList { revision: all.revision, grants }))
    }

    /// The same, whoever asks.
    async fn grants_of(&self, call: &Call) -> Result<Arc<GrantList>> {
        let account = call.account();
        if let Some(copy) = self.grants.get(&self.revisions, account.as_str()) {
            return Ok(Arc::clone(&copy.value));
        }
        let mut tx = self.store.read().await?;
        let revision = tx.revision(account).await?;
        let grants = tx.grants(account).await?;
        tx.end().await?;
        let value = Arc::new(GrantList { revision, grants });
        let copy = Copy { account: account.clone(), revision, others: Vec::new(), value: Arc::clone(&value) };
        self.grants.put(account.as_str(), copy);
        Ok(value)
    }

    /// A grant by id. A revoked one is not found.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn show_grant(&self, call: &Call, id: &str) -> Result<Grant> {
        let right = authz::require_somewhere(call, "bailiwick:grant:show")?;
        let list = self.grants_of(call).await?;
        let found = match list.grants.iter().find(|grant| grant.id.as_str() == id).cloned() {
            Some(found) => found,
            // Another server may have made it since the copy was read: a miss is looked up.
            None => {
                let mut tx = self.store.read().await?;
                let found = tx.grant(call.account(), id).await?;
                tx.end().await?;
                let found = found.filter(|grant| grant.revoked_at.is_none());
                found.ok_or_else(|| Error::not_found("grant", id))?
            }
        };
        if !right.holds_for_every_cluster() {
            let mut tx = self.store.read().await?;
            may_see(&mut tx, &right, &found).await?;
            tx.end().await?;
        }
        Ok(found)
    }

    /// A grant by id, revoked or not, and where it stands in each cluster it covers or covered.
    ///
    /// # Errors
    /// `NotFound` if there never was one in the account.
    pub async fn show_grant_states(&self, call: &Call, id: &str) -> Result<(Grant, Vec<ClusterGrantState>)> {
        let right = authz::require_somewhere(call, "bailiwick:grant:show")?;
        let mut tx = self.store.read().await?;
        let grant = tx.grant(call.account(), id).await?.ok_or_else(|| Error::not_found("grant", id))?;
        may_see(&mut tx, &right, &grant).await?;
        let clusters = visible(tx.clusters(call.account()).await?, &right);
        let rows = tx.grant_states(&grant.id).await?;
        tx.end().await?;
        let states = states_of(&grant, &clusters, rows.iter());
        Ok((grant, states))
    }

    /// All grants with their states, oldest first.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn list_grant_states(&self, call: &Call) -> Result<Vec<(Grant, Vec<ClusterGrantState>)>> {
        let right = authz::require_somewhere(call, "bailiwick:grant:list")?;
        let list = self.list_grants(call).await?;
        let mut tx = self.store.read().await?;
        let clusters = visible(tx.clusters(call.account()).await?, &right);
        let mut rows: BTreeMap<GrantId, Vec<GrantStateRow>> = BTreeMap::new();
        for row in tx.account_states(call.account()).await? {
            rows.entry(row.grant.clone()).or_default().push(row);
        }
        tx.end().await?;
        let with_states = |grant: &Grant| {
            let states = states_of(grant, &clusters, rows.get(&grant.id).into_iter().flatten());
            (grant.clone(), states)
        };
        Ok(list.grants.iter().map(with_states).collect())
    }
}

/// Lets a call pass if its right holds for every cluster of the grant. To those for whom it does not, the grant does not
/// exist: its id was never theirs to know.
pub(crate) async fn may_see(tx: &mut ReadTx, right: &Right<'_>, grant: &Grant) -> Result<()> {
    if right.holds_for_every_cluster() {
        return Ok(());
    }
    let clusters = tx.clusters(&grant.account).await?;
    if right.holds_for_clusters(&grant.spec.clusters, &clusters) {
        return Ok(());
    }
    Err(Error::not_found("grant", grant.id.as_str()))
}

/// The clusters for which the right holds. What a grant left behind in another is not its reader's to know, although the
/// grant is now.
fn visible(mut clusters: Vec<Cluster>, right: &Right<'_>) -> Vec<Cluster> {
    if !right.holds_for_every_cluster() {
        clusters.retain(|cluster| right.holds_for(&Thing::cluster(cluster)));
    }
    clusters
}

/// A grant that is not revoked, and that somebody asked for.
pub(crate) async fn changeable(tx: &mut WriteTx, call: &Call, id: &str) -> Result<Grant> {
    let found = tx.grant(call.account(), id).await?.filter(|grant| grant.revoked_at.is_none());
    let grant = found.ok_or_else(|| Error::not_found("grant", id))?;
    if grant.of_owner {
        return Err(Error::conflict(
            "the grant is the right of the cluster's owner: it ends when the cluster gets another owner",
        ));
    }
    Ok(grant)
}

/// The worker's words where there are any about this generation; otherwise what must be the case.
fn states_of<'a>(
    grant: &Grant,
    clusters: &[domain::Cluster],
    rows: impl Iterator<Item = &'a GrantStateRow>,
) -> Vec<ClusterGrantState> {
    let mut rows: BTreeMap<&ClusterId, &ClusterGrantState> =
        rows.map(|row| (&row.state.cluster, &row.state)).collect();
    let mut states = Vec::new();
    for cluster in clusters {
        let row = rows.remove(&cluster.id);
        let concerned = grant.revoked_at.is_none() && grant.covers(&cluster.id);
        match row {
            _ if cluster.suspended_at.is_some() && concerned => states.push(suspended(grant, cluster)),
            Some(row) if cluster.suspended_at.is_some() && row.state != State::Revoked => {
                states.push(out_of_reach(grant, cluster));
            }
            Some(row) if row.observed_generation == grant.generation => states.push(row.clone()),
            // A finished revoke is finished, whatever became of the grant elsewhere.
            Some(row) if !concerned && row.state == State::Revoked => states.push(row.clone()),
            Some(row) => states.push(outdated(grant, cluster, Some(row))),
            None if concerned => states.push(outdated(grant, cluster, None)),
            None => {}
        }
    }
    states
}

/// The state of a generation that the cluster's worker did not speak about yet.
fn outdated(grant: &Grant, cluster: &domain::Cluster, row: Option<&ClusterGrantState>) -> ClusterGrantState {
    let (state, reason) = match cluster.connection {
        ConnectionState::Detached if grant.revoked_at.is_some() => (State::Revoked, String::new()),
        ConnectionState::Detached => (State::Recorded, "the cluster has no connection".to_owned()),
        ConnectionState::Unreachable => (State::Unreachable, cluster.connection_reason.clone()),
        ConnectionState::Connecting | ConnectionState::Connected => (State::Pending, String::new()),
    };
    // Of a detached cluster there is nothing to wait for: what is recorded is recorded.
    let settled = cluster.connection == ConnectionState::Detached;
    let observed = row.map_or(0, |row| row.observed_generation);
    ClusterGrantState {
        cluster: cluster.id.clone(),
        state,
        reason,
        since: grant.updated_at.max(cluster.created_at),
        observed_generation: if settled { grant.generation } else { observed },
    }
}

/// The state of a grant in a cluster that was replaced by another.
fn suspended(grant: &Grant, cluster: &domain::Cluster) -> ClusterGrantState {
    let reason = format!(
        "suspended: the cluster was replaced by another; the grant takes effect there after `bailiwick cluster resume {}`",
        cluster.name
    );
    while_suspended(grant, cluster, reason)
}

/// The state of a grant that ended, or left the cluster, after the cluster was replaced by another.
fn out_of_reach(grant: &Grant, cluster: &domain::Cluster) -> ClusterGrantState {
    let reason = "it was not revoked in the cluster as it was before the replacement: what it gave there stays, \
                  until somebody deletes it there or the cluster is resumed and turns out to be the same";
    while_suspended(grant, cluster, reason.to_owned())
}

fn while_suspended(grant: &Grant, cluster: &domain::Cluster, reason: String) -> ClusterGrantState {
    let since = cluster.suspended_at.unwrap_or(cluster.updated_at).max(grant.updated_at);
    let (cluster, state) = (cluster.id.clone(), State::Pending);
    ClusterGrantState { cluster, state, reason, since, observed_generation: 0 }
}

fn without_repetition(mut spec: GrantSpec) -> GrantSpec {
    fn unique<T: Clone + Eq + std::hash::Hash>(list: &mut Vec<T>) {
        let mut seen = HashSet::new();
        list.retain(|entry| seen.insert(entry.clone()));
    }
    unique(&mut spec.principals.ids);
    if let ClusterScope::Listed(ids) = &mut spec.clusters {
        unique(ids);
    }
    if let NamespaceScope::Listed(names) = &mut spec.namespaces {
        unique(names);
    }
    spec
}

/// The rules that need no database.
fn check(spec: &GrantSpec) -> Result<()> {
    check_name("name", &spec.name)?;
    check_length("principals", spec.principals.ids.len(), MAX_PRINCIPALS, "")?;
    if let ClusterScope::Listed(ids) = &spec.clusters {
        check_length("clusters", ids.len(), MAX_CLUSTERS, "; use [\"*\"] for all")?;
    }
    if let NamespaceScope::Listed(names) = &spec.namespaces {
        check_length("namespaces", names.len(), MAX_NAMESPACES, "; use [\"*\"] for all")?;
    }
    Ok(())
}

fn check_length(field: &str, length: usize, max: usize, hint: &str) -> Result<()> {
    if length == 0 {
        return Err(Error::invalid(field, format!("must not be empty{hint}")));
    }
    if length > max {
        return Err(Error::invalid(field, format!("must list at most {max} entries, not {length}")));
    }
    Ok(())
}

/// Everything a grant names must be the account's. Another account's id looks like one that never was.
async fn check_references(tx: &mut WriteTx, call: &Call, spec: &GrantSpec) -> Result<()> {
    let wanted = spec.principals.kind;
    let kinds = tx.principal_kinds(call.account(), &spec.principals.ids).await?;
    for (id, kind) in spec.principals.ids.iter().zip(kinds) {
        match kind {
            Some(kind) if kind == wanted => {}
            Some(kind) => {
                return Err(Error::invalid("principals", format!("`{id}` is a {kind}, not a {wanted}")));
            }
            None => return Err(Error::invalid("principals", format!("{wanted} `{id}` does not exist"))),
        }
    }
    if let ClusterScope::Listed(ids) = &spec.clusters {
        for id in ids {
            if !tx.cluster_exists(call.account(), id).await? {
                return Err(Error::invalid("clusters", format!("cluster `{id}` does not exist")));
            }
        }
    }
    Ok(())
}
