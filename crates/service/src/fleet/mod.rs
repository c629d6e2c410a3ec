//! What the workers of the fleet ask and report. They act for nobody: they carry out what was already decided.

pub mod leases;
pub(crate) mod shares;
pub(crate) mod stamp_key;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::{
    AccountId, ClusterGrantState, ClusterId, ClusterIdentity, ConnectionState, Error, Grant, GrantId,
    InstallationId, Namespace, Result, Stamp, State, Timestamp,
};
use rbac::{ObjectName, Owner, Scope, SubjectNames};
use store::{AppliedName, ClusterRow, GrantStateRow, Hold, ReadTx};

use crate::cache::Copy;
use crate::clusters::connection::Connection;
use crate::clusters::rotation::merged;
use crate::fleet::leases::Lease;
use crate::grants::GrantList;
use crate::grants::accepted_roles::{self, AcceptedRole, RoleGrowth};
use crate::installation::seal::Record;
use crate::service::Service;

/// A cluster that has a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetCluster {
    /// The cluster.
    pub id: ClusterId,
    /// The tenant.
    pub account: AccountId,
    /// Changes whenever the connection does.
    pub connection_version: i64,
}

/// What should be the case in a cluster, read in one snapshot.
#[derive(Debug)]
pub struct FleetDesired {
    /// The account's revision that was read.
    pub revision: i64,
    /// Marks our objects.
    pub installation: InstallationId,
    /// Grants that cover the cluster.
    pub grants: Vec<Grant>,
    /// Grants whose revoke is not finished in the cluster.
    pub revoked: Vec<Grant>,
    /// Names that we applied in the cluster and did not see gone.
    pub recorded: BTreeSet<ObjectName>,
    /// What principals are called in the cluster.
    pub names: SubjectNames,
    /// How long it stays so by itself: then a certificate ends, and with it a name.
    pub stays_for: Option<Duration>,
    /// Whether nothing may be written there, because its grants are suspended. Then no grants are listed.
    pub suspended: bool,
    /// Whether the cluster was removed: whatever is there of ours is to go.
    pub removed: bool,
    /// How far the database had come.
    pub stamp: Option<Stamp>,
    /// While there is one, nothing may be written in any cluster.
    pub hold: Option<Hold>,
    /// How many bindings there may be in the cluster.
    pub most_bindings: usize,
    /// What grants of custom roles are accepted to allow there.
    pub accepted: HashMap<GrantId, AcceptedRole>,
    /// What happens to one whose role grows.
    pub role_growth: RoleGrowth,
}

/// What a worker saw.
#[derive(Debug)]
pub struct FleetReport {
    /// Whether the API server answers.
    pub connection: ConnectionState,
    /// Why not, in a sentence.
    pub reason: String,
    /// The API server's version, if it was asked.
    pub version: Option<String>,
    /// Where grants stand. Those that did not change may be left out.
    pub states: Vec<StateUpdate>,
}

/// Where a grant stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateUpdate {
    /// Which grant.
    pub grant: GrantId,
    /// Which generation of it was looked at.
    pub generation: i64,
    /// Where it stands.
    pub state: State,
    /// Why, in a sentence.
    pub reason: String,
}

impl Service {
    /// Every cluster that has a connection, removed ones too until nothing of ours is left in them.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_clusters(&self) -> Result<Vec<FleetCluster>> {
        let rows = self.store.connected_clusters().await?;
        let there: HashSet<&ClusterId> = rows.iter().map(|row| &row.id).collect();
        self.shares.retain(|id| there.contains(id));
        let cluster = |row: ClusterRow| FleetCluster {
            id: row.id,
            account: row.account,
            connection_version: row.connection_version,
        };
        Ok(rows.into_iter().map(cluster).collect())
    }

    /// The connection of a cluster, opened.
    ///
    /// # Errors
    /// `Internal` if it does not open.
    pub async fn fleet_connection(&self, id: &ClusterId) -> Result<Option<Connection>> {
        let mut tx = self.store.read().await?;
        let row = tx.cluster_row(id).await?;
        tx.end().await?;
        let Some(row) = row else { return Ok(None) };
        self.open_connection(&row.id, &row.account, &row.sealed_connection).map(Some)
    }

    /// Opens what was sealed for a cluster.
    pub(crate) fn open_connection(
        &self,
        id: &ClusterId,
        account: &AccountId,
        sealed: &str,
    ) -> Result<Connection> {
        let record = Record { kind: "connection", id: id.as_str(), account };
        Connection::from_json_bytes(&self.master_key.open(&record, sealed)?)
    }

    /// What should be the case in a cluster, in one snapshot at one revision. For a removed one: nothing.
    ///
    /// # Errors
    /// `NotFound` if the cluster has no connection.
    pub async fn fleet_desired(&self, id: &ClusterId) -> Result<FleetDesired> {
        let _share = self.shares.take(&self.account_of(id).await?).await;
        let mut tx = self.store.read().await?;
        let row = tx.cluster_row(id).await?.ok_or_else(|| Error::not_found("cluster", id.as_str()))?;
        let revision = tx.revision(&row.account).await?;
        let mut recorded: BTreeSet<_> = tx.applied_names(id).await?.into_iter().map(object_name).collect();
        if !row.removed {
            // Our mark in the cluster is no grant's, and goes with the cluster.
            let owner = Owner { installation: self.installation.clone(), cluster: id.clone() };
            recorded.remove(&rbac::stamp::name(&owner));
        }
        let (stamp, hold) = (tx.stamp(self.now()).await?, tx.hold().await?);
        let mut grants = Vec::new();
        let mut revoked = Vec::new();
        let (mut names, mut until) = (SubjectNames::default(), None);
        let mut accepted = HashMap::new();
        if !row.removed && !row.suspended {
            let all = self.grants_at(&mut tx, &row.account, revision).await?;
            grants = all.grants.iter().filter(|grant| grant.covers(id)).cloned().collect();
            for grant in tx.unfinished_revokes(id).await? {
                revoked.extend(tx.grant(&row.account, grant.as_str()).await?);
            }
            let found =
                crate::clusters::arrivals::names(&mut tx, &row.account, (id, &row.arrival), self.now())
                    .await?;
            (names, until) = (found.subjects, found.until);
            accepted = accepted_roles::accepted(&mut tx, id).await?;
        }
        tx.end().await?;
        let (installation, suspended) = (self.installation.clone(), row.suspended);
        let removed = row.removed;
        let stays_for = until.map(|until| {
            let millis = until.as_millis().saturating_sub(self.now().as_millis());
            Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        });
        let most_bindings = usize::try_from(self.settings.quotas.bindings_per_cluster).unwrap_or(usize::MAX);
        Ok(FleetDesired {
            revision,
            installation,
            grants,
            revoked,
            recorded,
            names,
            stays_for,
            suspended,
            removed,
            stamp,
            hold,
            most_bindings,
            accepted,
            role_growth: self.settings.role_growth,
        })
    }

    /// The account's grants at `revision`: from memory if the copy there is of exactly that one.
    pub(crate) async fn grants_at(
        &self,
        tx: &mut ReadTx,
        account: &AccountId,
        revision: i64,
    ) -> Result<Arc<GrantList>> {
        if let Some(copy) = self.grants.get(&self.revisions, account.as_str())
            && copy.revision == revision
        {
            return Ok(Arc::clone(&copy.value));
        }
        let grants = tx.grants(account).await?;
        let list = Arc::new(GrantList { revision, grants });
        let value = Arc::clone(&list);
        self.grants
            .put(account.as_str(), Copy { account: account.clone(), revision, others: Vec::new(), value });
        Ok(list)
    }

    /// Writes down the names that are about to be applied, before they are.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer, `Conflict` if another server works for the cluster now: then
    /// nothing may be applied.
    pub async fn fleet_record(&self, lease: &Lease, names: &[ObjectName]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut tx = self.write_observed(lease).await?;
        let id = &lease.cluster;
        for name in names {
            tx.insert_applied_name(id, &applied_name(name)).await?;
        }
        tx.commit().await
    }

    /// Forgets names whose objects were seen to be gone; the last one of a removed cluster ends its connection.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; `Conflict` if another server works for the cluster now.
    pub async fn fleet_forget(&self, lease: &Lease, names: &[ObjectName]) -> Result<()> {
        let mut tx = self.write_observed(lease).await?;
        let id = &lease.cluster;
        for name in names {
            tx.delete_applied_name(id, &applied_name(name)).await?;
        }
        let ended = tx.forget_removed_connection(id).await?;
        let account = tx.account().clone();
        tx.commit().await?;
        if ended {
            tracing::info!(cluster = %id, account = %account, "nothing of ours is left in the removed cluster {id}");
            self.poke();
        }
        Ok(())
    }

    /// Writes which cluster a connection of that version leads to, if that is news. An identity that was learned
    /// before is never replaced by another one: that takes somebody who says so. Returns whether it is not another one: what does
    /// not prove to be the same is not, and teaches nothing.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn fleet_identified(
        &self,
        id: &ClusterId,
        version: i64,
        found: &ClusterIdentity,
    ) -> Result<bool> {
        let mut tx = self.store.read().await?;
        let known = tx.connection_facts(id).await?.ok_or_else(|| Error::not_found("cluster", id.as_str()))?;
        tx.end().await?;
        let before = known.identity;
        if before
            .as_ref()
            .is_some_and(|before| before.uid.is_some() && found.uid.is_some() && before.uid != found.uid)
        {
            return Ok(false);
        }
        if before.as_ref().is_some_and(|before| !before.may_learn_from(found)) {
            return Ok(true);
        }
        let next = merged(before.as_ref(), found.clone());
        if before.as_ref() == Some(&next) {
            return Ok(true);
        }
        let mut tx = self.store.write_observed(&self.account_of(id).await?).await?;
        tx.set_identity(id, version, &next, self.now()).await?;
        tx.commit().await?;
        self.places.remove(id.as_str());
        Ok(true)
    }

    /// Writes what a worker saw, as far as it is news.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; `Conflict` if another server works for the cluster now.
    pub async fn fleet_report(&self, lease: &Lease, report: FleetReport) -> Result<()> {
        self.counters.reported(report.connection);
        let id = &lease.cluster;
        let news = self.news(id, report.states).await?;
        let mut tx = self.write_observed(lease).await?;
        let version = report.version.as_deref();
        tx.set_connection_state(id, report.connection, &report.reason, version, self.now()).await?;
        for (update, since) in news {
            let state = ClusterGrantState {
                cluster: id.clone(),
                state: update.state,
                reason: update.reason,
                since,
                observed_generation: update.generation,
            };
            tx.put_grant_state(&GrantStateRow { grant: update.grant, state }).await?;
        }
        tx.commit().await
    }

    /// Those updates that are news, and since when they hold. Read before the write lock is taken: only the cluster's
    /// one worker writes these rows, so nobody changes them in between.
    async fn news(&self, id: &ClusterId, updates: Vec<StateUpdate>) -> Result<Vec<(StateUpdate, Timestamp)>> {
        let _share = self.shares.take(&self.account_of(id).await?).await;
        let mut tx = self.store.read().await?;
        let mut news = Vec::new();
        for update in updates {
            let old = tx.grant_state(id, &update.grant).await?;
            if old.as_ref().is_some_and(|old| says_the_same(old, &update) || still_holds(old, &update)) {
                continue;
            }
            if confirms(old.as_ref(), &update)
                && let Some(changed) = tx.grant_changed_at(&update.grant, id).await?
            {
                self.counters.confirmed(changed, self.now());
            }
            let since =
                old.filter(|old| old.state == update.state).map_or_else(|| self.now(), |old| old.since);
            news.push((update, since));
        }
        tx.end().await?;
        Ok(news)
    }

    pub(crate) async fn account_of(&self, id: &ClusterId) -> Result<AccountId> {
        if let Some(account) = self.shares.account_of(id) {
            return Ok(account);
        }
        let mut tx = self.store.read().await?;
        let row = tx.cluster_row(id).await?;
        tx.end().await?;
        let account = row.map(|row| row.account).ok_or_else(|| Error::not_found("cluster", id.as_str()))?;
        self.shares.note(id, &account);
        Ok(account)
    }
}

/// Whether the cluster says for the first time that it follows this generation.
fn confirms(old: Option<&ClusterGrantState>, update: &StateUpdate) -> bool {
    let follows = |state| match state {
        State::Applied | State::Effective | State::Revoked | State::RevokedResidual => true,
        State::Recorded | State::Pending | State::Failed | State::Held | State::Unreachable => false,
    };
    let known = old.is_some_and(|old| old.observed_generation == update.generation && follows(old.state));
    follows(update.state) && !known
}

fn says_the_same(old: &ClusterGrantState, update: &StateUpdate) -> bool {
    old.state == update.state && old.reason == update.reason && old.observed_generation == update.generation
}

/// What was confirmed stays confirmed while the cluster does not answer: a binding does not vanish with the line to it.
fn still_holds(old: &ClusterGrantState, update: &StateUpdate) -> bool {
    update.state == State::Unreachable
        && matches!(old.state, State::Applied | State::Effective)
        && old.observed_generation == update.generation
}

/// The object of a recorded name.
pub(crate) fn object_name(applied: AppliedName) -> ObjectName {
    let scope = match &applied.namespace {
        Some(namespace) => Scope::Namespace(Namespace::stored(namespace)),
        None => Scope::Cluster,
    };
    ObjectName { scope, name: applied.name }
}

pub(crate) fn applied_name(object: &ObjectName) -> AppliedName {
    let namespace = match &object.scope {
        Scope::Cluster => None,
        Scope::Namespace(namespace) => Some(namespace.as_str().to_owned()),
    };
    AppliedName { namespace, name: object.name.clone() }
}
