//! Taking everything away from somebody, everywhere or in some clusters: for people who leave.

use std::collections::BTreeSet;

use domain::{Cluster, ClusterId, ClusterScope, Error, Grant, GrantSpec, Principal, Principals, Result};
use store::{HeldGrants, WriteTx};

use super::find_holder;
use super::rows::{self, ThroughKind};
use crate::authz;
use crate::call::Call;
use crate::grants::administration::Territory;
use crate::grants::history;
use crate::service::Service;

/// What is to be taken away.
#[derive(Clone, Debug, Default)]
pub struct Cleaning {
    /// In these clusters, by id; everywhere if nothing is said.
    pub clusters: Option<Vec<String>>,
    /// Whether somebody who may still be at work is spared.
    pub activity: Activity,
}

/// What counts against taking everything away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Having been active lately, and that nobody knows.
    #[default]
    Spares,
    /// Nothing.
    Ignored,
}

/// What becomes of one grant.
enum Step {
    Revoke(Grant),
    Update(Grant, GrantSpec),
}

impl Service {
    /// Takes from a user or an agency all that grants give it directly, in some clusters or everywhere: it leaves grants
    /// that it shares with others, and its certificates there end. All or nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown holder or cluster; `Invalid` for the root user and for oneself; `Forbidden` for a cluster
    /// that the caller does not administer; `Conflict` if it would keep something, by a group or by a grant that
    /// cannot be cut that way, or may be active.
    pub async fn clean_permissions(&self, call: &Call, holder: &str, cleaning: &Cleaning) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:grant:delete")?;
        let mut tx = match self.begin_grants(call).await {
            Ok(tx) => tx,
            Err(error) => {
                return self.repeated(call, error).await?.cleaned(call, holder).await;
            }
        };
        let clusters = tx.clusters(call.account()).await?;
        let scope = scope(cleaning);
        right.on_clusters(&scope, &clusters)?;
        let found = find_holder(&mut tx, call, holder).await?;
        refuse_protected(call, &found)?;
        if let ClusterScope::Listed(ids) = &scope
            && let Some(missing) = ids.iter().find(|id| !clusters.iter().any(|known| known.id == **id))
        {
            return Err(Error::not_found("cluster", missing.as_str()));
        }
        // Whether or not a grant is there, there may be ways in. And before anything is told about them.
        self.require_administration(&mut tx, call, right.action(), &[Territory::clusters(&scope)]).await?;
        let held = tx.held_grants(call.account(), &found.id).await?;
        refuse_what_stays(&found, &held, &scope)?;
        let named = whole_grants(&mut tx, &found, &held, &scope).await?;
        let steps = steps(&found, &named, &scope)?;
        let touched: Vec<&GrantSpec> = steps.iter().map(Step::before).collect();
        self.may_write(&mut tx, call, &right, &touched).await?;
        if cleaning.activity == Activity::Spares {
            let concerned = self.concerned(&mut tx, &found, &touched, &scope).await?;
            self.refuse_active(&mut tx, &found, &concerned).await?;
        }
        self.take_away(&mut tx, call, steps).await?;
        self.end_certificates(&mut tx, &found, &scope).await?;
        self.commit_for_fleet(tx, call, right.action(), &format!("{}/{}", found.kind, found.id)).await
    }

    async fn take_away(&self, tx: &mut WriteTx, call: &Call, steps: Vec<Step>) -> Result<()> {
        let now = self.now();
        for step in steps {
            match step {
                Step::Revoke(grant) => {
                    tx.expect_grant_states(&grant, now).await?;
                    tx.revoke_grant(&grant.id, now).await?;
                    history::record_changed(tx, call, std::slice::from_ref(&grant.id)).await?;
                }
                Step::Update(grant, spec) => {
                    tx.expect_grant_states(&grant, now).await?;
                    let grant = Grant { spec, generation: grant.generation + 1, updated_at: now, ..grant };
                    // Whoever cleans takes away, and accepts nothing of a custom role that grew.
                    tx.narrow_grant(&grant).await?;
                    history::record(tx, call, &grant).await?;
                }
            }
        }
        Ok(())
    }

    async fn end_certificates(
        &self,
        tx: &mut WriteTx,
        holder: &Principal,
        scope: &ClusterScope,
    ) -> Result<()> {
        let now = self.now();
        match scope {
            ClusterScope::All => drop(tx.revoke_certificates_of_principal(&holder.id, now).await?),
            ClusterScope::Listed(ids) => {
                for id in ids {
                    tx.revoke_certificates_of(id, &holder.id, now).await?;
                }
            }
        }
        Ok(())
    }

    /// The clusters in which something is taken away, or that were named.
    async fn concerned(
        &self,
        tx: &mut WriteTx,
        holder: &Principal,
        touched: &[&GrantSpec],
        scope: &ClusterScope,
    ) -> Result<Vec<Cluster>> {
        let account = tx.account().clone();
        let mut concerned = Vec::new();
        for cluster in tx.clusters(&account).await? {
            let id = &cluster.id;
            let is_concerned = match scope {
                ClusterScope::Listed(ids) => ids.contains(id),
                ClusterScope::All => {
                    touched.iter().any(|spec| spec.clusters.contains(id))
                        || tx.count_certificates_of(id, &holder.id, self.now()).await? > 0
                }
            };
            if is_concerned {
                concerned.push(cluster);
            }
        }
        Ok(concerned)
    }
}

impl Step {
    fn before(&self) -> &GrantSpec {
        match self {
            Self::Revoke(grant) | Self::Update(grant, _) => &grant.spec,
        }
    }
}

fn scope(cleaning: &Cleaning) -> ClusterScope {
    match &cleaning.clusters {
        None => ClusterScope::All,
        Some(ids) => {
            let ids: BTreeSet<ClusterId> = ids.iter().map(|id| ClusterId::stored(id)).collect();
            ClusterScope::Listed(ids.into_iter().collect())
        }
    }
}

fn refuse_protected(call: &Call, holder: &Principal) -> Result<()> {
    if holder.root {
        return Err(Error::invalid("holder", "must not be the account's root user"));
    }
    if holder.id == call.caller.principal {
        return Err(Error::invalid("holder", "must not be the caller"));
    }
    Ok(())
}

/// Refuses to begin if something would stay by other ways: nobody should think that they have no access who has.
fn refuse_what_stays(holder: &Principal, held: &HeldGrants, scope: &ClusterScope) -> Result<()> {
    let concerned = held.grants.iter().filter(|grant| overlap(&grant.spec.clusters, scope));
    let ways: Vec<String> = concerned
        .flat_map(|grant| rows::through(&holder.id, held, grant))
        .filter(|way| match way.kind {
            ThroughKind::Group | ThroughKind::Owner => true,
            ThroughKind::Direct | ThroughKind::Shared => false,
        })
        .filter_map(|way| way.elsewhere())
        .take(5)
        .collect();
    if ways.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "{} `{}` would keep what comes from {}: end that first; nothing was changed",
        holder.kind,
        holder.id,
        ways.join(", ")
    )))
}

/// Whether some cluster may be in both.
fn overlap(one: &ClusterScope, other: &ClusterScope) -> bool {
    match (one, other) {
        (ClusterScope::All, _) | (_, ClusterScope::All) => true,
        (ClusterScope::Listed(ids), ClusterScope::Listed(others)) => ids.iter().any(|id| others.contains(id)),
    }
}

/// The grants that name the holder in these clusters, with everybody whom they name.
async fn whole_grants(
    tx: &mut WriteTx,
    holder: &Principal,
    held: &HeldGrants,
    scope: &ClusterScope,
) -> Result<Vec<Grant>> {
    let account = tx.account().clone();
    let mut whole = Vec::new();
    for grant in held.grants.iter().filter(|grant| overlap(&grant.spec.clusters, scope)) {
        match grant.spec.principals.ids.as_slice() {
            [one] if *one == holder.id => whole.push(grant.clone()),
            ids if ids.contains(&holder.id) => whole.extend(tx.grant(&account, grant.id.as_str()).await?),
            _ => {}
        }
    }
    Ok(whole)
}

/// What becomes of each of them.
fn steps(holder: &Principal, named: &[Grant], scope: &ClusterScope) -> Result<Vec<Step>> {
    named.iter().filter_map(|grant| step(holder, grant, scope).transpose()).collect()
}

fn step(holder: &Principal, grant: &Grant, scope: &ClusterScope) -> Result<Option<Step>> {
    let (inside, outside) = match (&grant.spec.clusters, scope) {
        (_, ClusterScope::All) => (true, Vec::new()),
        (ClusterScope::All, ClusterScope::Listed(_)) => return Err(cannot_cut(grant, "all clusters")),
        (ClusterScope::Listed(ids), ClusterScope::Listed(wanted)) => (
            ids.iter().any(|id| wanted.contains(id)),
            ids.iter().filter(|id| !wanted.contains(id)).cloned().collect::<Vec<_>>(),
        ),
    };
    if !inside {
        return Ok(None);
    }
    let others: Vec<_> = grant.spec.principals.ids.iter().filter(|id| **id != holder.id).cloned().collect();
    let step = match (others.is_empty(), outside.is_empty()) {
        (true, true) => Step::Revoke(grant.clone()),
        (true, false) => {
            let spec = GrantSpec { clusters: ClusterScope::Listed(outside), ..grant.spec.clone() };
            Step::Update(grant.clone(), spec)
        }
        (false, true) => {
            let principals = Principals { kind: grant.spec.principals.kind, ids: others };
            Step::Update(grant.clone(), GrantSpec { principals, ..grant.spec.clone() })
        }
        (false, false) => return Err(cannot_cut(grant, "other principals in other clusters")),
    };
    Ok(Some(step))
}

fn cannot_cut(grant: &Grant, what: &str) -> Error {
    Error::conflict(format!(
        "grant `{}` ({}) is also about {what}: change it first; nothing was changed",
        grant.id, grant.spec.name
    ))
}
