//! Changing the direct permissions of a user or an agency: all at once or not at all.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Cluster, ClusterId, ClusterScope, Error, ErrorKind, Grant, GrantId, GrantSpec, Namespace, NamespaceScope,
    Permission, Place, Principal, Principals, Result, Role,
};
use store::{HeldGrants, WriteTx};

use super::{direct, find_holder, rows};
use crate::authz::{self, Right, Thing};
use crate::call::Call;
use crate::grants::administration::{Administration, refused};
use crate::grants::history;
use crate::service::Service;

/// The name of the grants that are made here. It need not be unique.
const GRANT_NAME: &str = "permission";

/// What becomes of the direct permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They become exactly those that are listed, as far as the caller administers their places.
    Replace,
    /// Those that are listed are added. A predefined role takes the place of another one in the same place.
    Add,
    /// Those that are listed are taken away.
    Remove,
}

/// As which operation it was asked for: policies tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Granting.
    Grant,
    /// Updating what was granted.
    Update,
}

impl Asked {
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Grant => "bailiwick:grant:create",
            Self::Update => "bailiwick:grant:update",
        }
    }
}

/// A change of somebody's direct permissions.
#[derive(Clone, Debug)]
pub struct PermissionChange {
    /// What becomes of them.
    pub change: Change,
    /// As what it was asked for.
    pub asked: Asked,
    /// The permissions that are listed, each once. To replace or add: one predefined role for each place, any number of
    /// custom ones.
    pub permissions: Vec<Permission>,
    /// So many may be listed.
    pub most: usize,
    /// So many may be taken away by replacing; `None` if any number may.
    pub most_removed: Option<usize>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Steps {
    create: BTreeSet<Permission>,
    revoke: Vec<Grant>,
}

impl Service {
    /// Changes the direct permissions of a user or an agency, and answers all of its rows that are direct then. What is
    /// already so stays as it is. The rights of a cluster's owner there are not changed, and asking for it is no error.
    ///
    /// # Errors
    /// `NotFound` for an unknown holder or cluster; `Invalid` naming `permissions[i]`; `Forbidden` for a place that the
    /// caller does not administer; `Conflict` if something that is listed to be removed does not come from direct
    /// permissions alone, or too much would be removed; `Contended` if somebody else changed them meanwhile.
    pub async fn change_permissions(
        &self,
        call: &Call,
        holder: &str,
        wanted: &PermissionChange,
    ) -> Result<Vec<Permission>> {
        let right = authz::require_somewhere(call, wanted.asked.action())?;
        check(wanted)?;
        self.change_checked(call, right, holder, wanted).await
    }

    /// The same with a list whose entries need not keep to the rules for new ones: they were there before.
    pub(super) async fn change_checked(
        &self,
        call: &Call,
        right: Right<'_>,
        holder: &str,
        wanted: &PermissionChange,
    ) -> Result<Vec<Permission>> {
        check_count(wanted)?;
        let mut tx = self.store.read().await?;
        let found = find_holder(&mut tx, call, holder).await?;
        let seen = tx.permissions_revision(call.account(), &found.id).await?;
        tx.end().await?;
        let (mut tx, room) = match self.begin_with_room(call, &as_spec(&found, wanted), None).await {
            Ok(begun) => begun,
            Err(error) => {
                return self.repeated(call, error).await?.permissions(call, &found, self).await;
            }
        };
        let found = find_holder(&mut tx, call, holder).await?;
        if tx.permissions_revision(call.account(), &found.id).await? != seen {
            return Err(contended(&found));
        }
        let clusters = tx.clusters(call.account()).await?;
        let administration = self.administration(&mut tx, call).await?;
        let scene = Scene { call, right: &right, clusters: &clusters, administration: &administration };
        // Before more is read: others wait for the account meanwhile.
        wanted.permissions.iter().try_for_each(|permission| scene.admit(permission))?;
        let held = tx.held_grants(call.account(), &found.id).await?;
        let steps = steps(&found, &held, wanted, &scene)?;
        if steps == Steps::default() {
            let shown = self.shown_permissions(&mut tx, call, &found, &held).await?;
            if call.signed.is_some() {
                // It must be known when it comes again, after somebody changed them.
                tx.commit().await?;
            }
            return Ok(shown);
        }
        self.room_for_grants(&mut tx, &steps).await?;
        self.carry_out(&mut tx, call, &found, &steps).await?;
        let after = tx.held_grants(call.account(), &found.id).await?;
        let shown = self.shown_permissions(&mut tx, call, &found, &after).await?;
        let noted = room.note(self, &tx);
        let resource = format!("{}/{}", found.kind, found.id);
        self.commit_for_fleet(tx, call, right.action(), &resource).await?;
        noted.committed();
        Ok(shown)
    }

    /// The direct permissions that the caller may see.
    pub(crate) async fn shown_permissions(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        holder: &Principal,
        held: &HeldGrants,
    ) -> Result<Vec<Permission>> {
        let administration = self.own_administration(tx, call).await?;
        let mut shown = direct_permissions(holder, held);
        shown.retain(|permission| administration.covers(&permission.place));
        Ok(shown)
    }

    async fn carry_out(
        &self,
        tx: &mut WriteTx,
        call: &Call,
        holder: &Principal,
        steps: &Steps,
    ) -> Result<()> {
        let now = self.now();
        let mut revoked = Vec::with_capacity(steps.revoke.len());
        for grant in &steps.revoke {
            tx.expect_grant_states(grant, now).await?;
            tx.revoke_grant(&grant.id, now).await?;
            revoked.push(grant.id.clone());
        }
        history::record_changed(tx, call, &revoked).await?;
        for permission in &steps.create {
            let grant = Grant {
                id: GrantId::random_uuid(&*self.entropy),
                account: call.account().clone(),
                spec: spec(holder, permission),
                generation: 1,
                created_at: now,
                updated_at: now,
                of_owner: false,
                revoked_at: None,
            };
            tx.insert_grant(&grant).await?;
            history::record(tx, call, &grant).await?;
        }
        Ok(())
    }

    /// Counted exactly: one request may make many.
    async fn room_for_grants(&self, tx: &mut WriteTx, steps: &Steps) -> Result<()> {
        let count = |many: usize| i64::try_from(many).unwrap_or(i64::MAX);
        let account = tx.account().clone();
        let have = tx.count_grants_of(&account).await?;
        let after = have.saturating_add(count(steps.create.len())).saturating_sub(count(steps.revoke.len()));
        self.counted_grants.note(&account, tx.revision(), after);
        let most = self.settings.quotas.grants;
        if after <= i64::from(most) || after <= have {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "grants must be at most {most}, and there would be {after}: ask for fewer permissions, delete some grants, or have \
             the quota raised"
        )))
    }
}

/// Who asks, and what they may do where.
struct Scene<'a> {
    call: &'a Call,
    right: &'a Right<'a>,
    clusters: &'a [Cluster],
    administration: &'a Administration,
}

impl Scene<'_> {
    /// Lets a listed permission pass: its cluster exists, and the caller may change grants there.
    fn admit(&self, permission: &Permission) -> Result<()> {
        let place = &permission.place;
        self.right.on_clusters(&place.clusters(), self.clusters)?;
        if let Some(id) = place.cluster()
            && !self.clusters.iter().any(|cluster| cluster.id == *id)
        {
            return Err(Error::not_found("cluster", id.as_str()));
        }
        if self.administration.may_give(permission) {
            return Ok(());
        }
        let resource = place.cluster().map_or_else(|| "cluster/*".to_owned(), |id| format!("cluster/{id}"));
        Err(refused(self.right.action(), &resource))
    }

    /// Whether the caller's right holds where this is, for what is not listed and so is no reason to refuse.
    fn reaches(&self, permission: &Permission) -> bool {
        self.administration.may_give(permission)
            && self.right.holds_for_clusters(&permission.place.clusters(), self.clusters)
    }

    /// Refuses what a policy denies by its own name: whoever is denied to delete grants does not do it by replacing.
    fn not_denied(&self, action: &str, place: &Place) -> Result<()> {
        authz::require_not_denied(self.call, action, &self.thing(place))
    }

    fn thing<'b>(&'b self, place: &'b Place) -> Thing<'b> {
        match place.cluster() {
            None => Thing::every_cluster(),
            Some(id) => authz::cluster_of(id, self.clusters),
        }
    }
}

/// Compares what is held with what is wanted.
fn steps(
    holder: &Principal,
    held: &HeldGrants,
    wanted: &PermissionChange,
    scene: &Scene<'_>,
) -> Result<Steps> {
    let owned = owned_clusters(held);
    // Who has everything there is given nothing more. What they were given besides is taken away like anybody's.
    let is_theirs =
        |permission: &&Permission| permission.place.cluster().is_some_and(|id| owned.contains(id));
    let listed: BTreeSet<&Permission> = wanted.permissions.iter().collect();
    let directs: Vec<(Permission, &Grant)> =
        held.grants.iter().filter_map(|grant| Some((direct(&holder.id, grant)?, grant))).collect();
    let has: BTreeSet<&Permission> = directs.iter().map(|(permission, _)| permission).collect();
    let create: BTreeSet<Permission> = match wanted.change {
        Change::Replace | Change::Add => {
            let new = listed.difference(&has).copied().filter(|permission| !is_theirs(permission));
            new.cloned().collect()
        }
        Change::Remove => BTreeSet::new(),
    };
    let predefined: BTreeMap<&Place, &Role> = listed
        .iter()
        .filter(|permission| is_predefined(&permission.role))
        .map(|permission| (&permission.place, &permission.role))
        .collect();
    let goes = |permission: &Permission| match wanted.change {
        Change::Replace => !listed.contains(permission) && scene.reaches(permission),
        Change::Add => {
            is_predefined(&permission.role)
                && predefined.get(&permission.place).is_some_and(|role| **role != permission.role)
        }
        Change::Remove => listed.contains(permission),
    };
    let (gone, revoke): (Vec<&Permission>, Vec<Grant>) = directs
        .iter()
        .filter(|(permission, _)| goes(permission))
        .map(|(permission, grant)| (permission, (*grant).clone()))
        .unzip();
    if wanted.change == Change::Remove {
        refuse_indirect(holder, held, &listed)?;
    }
    if wanted.change == Change::Replace {
        refuse_too_many(gone.iter().collect::<BTreeSet<_>>().len(), wanted.most_removed)?;
    }
    gone.iter().try_for_each(|permission| scene.not_denied("bailiwick:grant:delete", &permission.place))?;
    create.iter().try_for_each(|permission| scene.not_denied("bailiwick:grant:create", &permission.place))?;
    Ok(Steps { create, revoke })
}

/// What comes from elsewhere as well would still be there after it was taken away.
fn refuse_indirect(holder: &Principal, held: &HeldGrants, listed: &BTreeSet<&Permission>) -> Result<()> {
    let elsewhere = |grant: &&Grant| direct(&holder.id, grant).is_none() && !grant.of_owner;
    for grant in held.grants.iter().filter(elsewhere) {
        let Some(permission) = listed.iter().find(|permission| rows::gives(grant, permission)) else {
            continue;
        };
        let ways = rows::through(&holder.id, held, grant);
        let ways: Vec<String> = ways.iter().filter_map(rows::Through::elsewhere).collect();
        return Err(Error::conflict(format!(
            "{permission} does not come from permissions of this holder alone, but from {}: change it there; nothing was \
             changed",
            ways.join(", ")
        )));
    }
    Ok(())
}

fn refuse_too_many(removed: usize, most: Option<usize>) -> Result<()> {
    match most {
        Some(most) if removed > most => Err(Error::conflict(format!(
            "replacing would take away {removed} permissions, and at most {most} may go at once: remove them in parts, or \
             have the limit raised; nothing was changed"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The clusters that the holder owns, with a right of their own there.
fn owned_clusters(held: &HeldGrants) -> BTreeSet<ClusterId> {
    let of = |grant: &Grant| match &grant.spec.clusters {
        ClusterScope::Listed(ids) => ids.clone(),
        ClusterScope::All => Vec::new(),
    };
    held.grants.iter().filter(|grant| grant.of_owner).flat_map(of).collect()
}

fn direct_permissions(holder: &Principal, held: &HeldGrants) -> Vec<Permission> {
    let all: BTreeSet<Permission> =
        held.grants.iter().filter_map(|grant| direct(&holder.id, grant)).collect();
    all.into_iter().collect()
}

fn is_predefined(role: &Role) -> bool {
    match role {
        Role::Custom(_) => false,
        Role::Administrator | Role::AdministratorView | Role::Operator | Role::Developer | Role::Viewer => {
            true
        }
    }
}

fn contended(holder: &Principal) -> Error {
    Error::new(
        ErrorKind::Contended,
        format!(
            "the permissions of {} `{}` were changed while the request was on its way: send it again; nothing was changed",
            holder.kind, holder.id
        ),
    )
}

fn check_count(wanted: &PermissionChange) -> Result<()> {
    let (have, most) = (wanted.permissions.len(), wanted.most);
    if have <= most {
        return Ok(());
    }
    Err(Error::invalid("permissions", format!("must list at most {most} entries, not {have}")))
}

/// The rules that need no database: nothing twice, and one predefined role in each place.
fn check(wanted: &PermissionChange) -> Result<()> {
    check_count(wanted)?;
    let mut all: BTreeMap<&Permission, usize> = BTreeMap::new();
    let mut predefined: BTreeMap<&Place, usize> = BTreeMap::new();
    for (index, permission) in wanted.permissions.iter().enumerate() {
        let field = format!("permissions[{index}]");
        if let Some(first) = all.insert(permission, index) {
            return Err(Error::invalid(&field, format!("must not repeat entry {first}: {permission}")));
        }
        // Several that came about in other ways are taken away in one go.
        if wanted.change != Change::Remove
            && is_predefined(&permission.role)
            && let Some(first) = predefined.insert(&permission.place, index)
        {
            return Err(Error::invalid(
                &field,
                format!(
                    "must not give a second predefined role in {}: entry {first} gives one",
                    permission.place
                ),
            ));
        }
    }
    Ok(())
}

/// The grant of one permission.
fn spec(holder: &Principal, permission: &Permission) -> GrantSpec {
    GrantSpec {
        name: GRANT_NAME.to_owned(),
        role: permission.role.clone(),
        principals: Principals { kind: holder.kind, ids: vec![holder.id.clone()] },
        clusters: permission.place.clusters(),
        namespaces: permission.place.namespaces(),
    }
}

/// A grant that asks for at least as many bindings in each cluster, to be counted before the account is locked. That some of
/// them are there already is not looked at: near the quota this refuses a little early.
fn as_spec(holder: &Principal, wanted: &PermissionChange) -> GrantSpec {
    let mut of_clusters: BTreeMap<Option<&ClusterId>, usize> = BTreeMap::new();
    for permission in &wanted.permissions {
        *of_clusters.entry(permission.place.cluster()).or_default() += 1;
    }
    let everywhere = of_clusters.remove(&None).unwrap_or_default();
    let places = of_clusters.values().copied().max().unwrap_or_default() + everywhere;
    let clusters = match everywhere {
        0 => ClusterScope::Listed(of_clusters.keys().copied().flatten().cloned().collect()),
        _ => ClusterScope::All,
    };
    let permission = Permission { place: Place::Everywhere, role: Role::Viewer };
    let namespaces = (0..places).map(|place| Namespace::stored(&format!("{place}:"))).collect();
    GrantSpec { clusters, namespaces: NamespaceScope::Listed(namespaces), ..spec(holder, &permission) }
}
