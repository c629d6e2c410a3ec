//! What somebody was given directly before: commit by commit, and brought back.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Error, Permission, Place, Principal, Result, Timestamp};
use store::{ChangedPermission, GrantVersion, ReadTx};

use super::change::{Asked, Change, PermissionChange};
use super::{FieldOfView, find_holder};
use crate::authz;
use crate::call::Call;
use crate::history::from_json;
use crate::service::{PageRequest, Paged, Service};

/// A commit that changed somebody's direct permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastPermissions {
    /// The commit.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// Who: an id, or empty where nobody asked for it.
    pub actor: String,
    /// What they were called then.
    pub actor_name: String,
    /// In which dialect; empty if that is not known.
    pub dialect: String,
    /// What came with it.
    pub added: Vec<Permission>,
    /// What went with it.
    pub removed: Vec<Permission>,
    /// All there were after it.
    pub permissions: Vec<Permission>,
}

/// What was so after a commit, and who said the last of it.
struct Standing {
    permissions: BTreeSet<Permission>,
    last: Option<GrantVersion>,
}

impl Service {
    /// A page of the commits that changed the direct permissions of a user or an agency, the last one first, as far as the
    /// caller administers the places.
    ///
    /// # Errors
    /// `NotFound` if there is no such user or agency; `Invalid` naming `limit` or `cursor`.
    pub async fn permission_history(
        &self,
        call: &Call,
        holder: &str,
        page: &PageRequest,
    ) -> Result<Paged<PastPermissions>> {
        let right = authz::require_somewhere(call, "bailiwick:grant:list")?;
        let wanted = page.to_page()?;
        // Commits are ordered by their numbers, which stand in the cursor where lists have a time.
        let before = wanted.after.map_or(i64::MAX, |(revision, _)| revision.as_millis());
        let mut tx = self.store.read().await?;
        let found = find_holder(&mut tx, call, holder).await?;
        let field = self.field_of_view(&mut tx, call, right).await?;
        let changes = tx.permission_changes(call.account(), &found.id, before, wanted.limit).await?;
        let mut standings = Vec::with_capacity(changes.len() + 1);
        for change in &changes {
            standings.push(standing(&mut tx, call, &found, change.revision).await?);
        }
        if let Some(first) = changes.last() {
            standings.push(standing(&mut tx, call, &found, first.revision.saturating_sub(1)).await?);
        }
        tx.end().await?;
        let pairs = standings.iter().zip(standings.iter().skip(1));
        let shown =
            changes.iter().zip(pairs).map(|(change, (after, before))| past(change, before, after, &field));
        let shown = shown.collect();
        page.paged(shown, |past| (Timestamp::from_millis(past.revision), String::new()))
    }

    /// Gives somebody again what they had directly after a commit, and takes away what came since.
    ///
    /// # Errors
    /// As [`Service::change_permissions`]; `Invalid` naming `revision` if it is not one of the history.
    pub async fn restore_permissions(
        &self,
        call: &Call,
        holder: &str,
        revision: i64,
        most: usize,
    ) -> Result<Vec<Permission>> {
        let right = authz::require_somewhere(call, "bailiwick:grant:update")?;
        let mut tx = self.store.read().await?;
        let found = find_holder(&mut tx, call, holder).await?;
        let known = tx.permission_changes(call.account(), &found.id, revision.saturating_add(1), 1).await?;
        if known.first().is_none_or(|change| change.revision != revision) {
            return Err(Error::invalid("revision", "must be one of the history of these permissions"));
        }
        let standing = standing(&mut tx, call, &found, revision).await?;
        let field = self.field_of_view(&mut tx, call, right).await?;
        tx.end().await?;
        let permissions = standing.permissions.into_iter();
        let wanted = PermissionChange {
            change: Change::Replace,
            asked: Asked::Update,
            // What the caller does not administer is left as it is, as by any replacing.
            permissions: permissions.filter(|permission| field.shows(&permission.place)).collect(),
            most,
            most_removed: None,
        };
        self.change_checked(call, right, holder, &wanted).await
    }
}

fn past(
    change: &ChangedPermission,
    before: &Standing,
    after: &Standing,
    field: &FieldOfView<'_>,
) -> PastPermissions {
    let seen = |permissions: &mut dyn Iterator<Item = &Permission>| -> Vec<Permission> {
        permissions.filter(|permission| field.shows(&permission.place)).cloned().collect()
    };
    let (actor, actor_name, dialect) = match &after.last {
        Some(last) => (last.actor.clone(), last.actor_name.clone(), last.dialect.clone()),
        None => Default::default(),
    };
    PastPermissions {
        revision: change.revision,
        at: change.at,
        actor,
        actor_name,
        dialect,
        added: seen(&mut after.permissions.difference(&before.permissions)),
        removed: seen(&mut before.permissions.difference(&after.permissions)),
        permissions: seen(&mut after.permissions.iter()),
    }
}

/// What a holder had directly as of a commit.
async fn standing(tx: &mut ReadTx, call: &Call, holder: &Principal, revision: i64) -> Result<Standing> {
    let versions = tx.versions_as_of(call.account(), &holder.id, revision).await?;
    let mut permissions = BTreeSet::new();
    let mut last: BTreeMap<i64, GrantVersion> = BTreeMap::new();
    for version in versions {
        if !version.revoked && version.sole_principal.as_ref() == Some(&holder.id) {
            permissions.extend(permission(&version)?);
        }
        last.insert(version.revision, version);
    }
    Ok(Standing { permissions, last: last.pop_last().map(|(_, version)| version) })
}

/// The permission that a version was, if it was one place's.
fn permission(version: &GrantVersion) -> Result<Option<Permission>> {
    let spec = from_json(&version.spec)?;
    let place = Place::only(&spec.clusters, &spec.namespaces);
    Ok(place.map(|place| Permission { place, role: spec.role }))
}
