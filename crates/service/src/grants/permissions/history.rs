//! What somebody was given directly before: commit by commit, and brought back.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Error, Permission, Place, Principal, Result, Timestamp};
use store::{ChangedPermission, GrantVersion, ReadTx};

use super::change::{Asked, Change, PermissionChange};
use super::{FieldOfView, find_holder};
use crate::authz;
use crate::call::Call;
use crate::grants::history::from_json;
use crate::service::{PageRequest, Paged, Service};

/// So many entries has a page at most.
const MAX_ENTRIES: usize = 20;

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
    /// caller administers the places. Each entry is a whole set, so a page has at most 20; it may have fewer, and others
    /// follow.
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
        page.to_page()?;
        let limit = Some(page.limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES));
        let page = &PageRequest { limit, cursor: page.cursor.clone() };
        let wanted = page.to_page()?;
        // Commits are ordered by their numbers, which stand in the cursor where lists have a time.
        let before = wanted.after.map_or(i64::MAX, |(revision, _)| revision.as_millis());
        let mut tx = self.store.read().await?;
        let found = find_holder(&mut tx, call, holder).await?;
        let field = self.field_of_view(&mut tx, call, right).await?;
        let changes = tx.permission_changes(call.account(), &found.id, before, wanted.limit).await?;
        let mut shown = Vec::with_capacity(changes.len());
        let mut after = match changes.first() {
            Some(last) => standing(&mut tx, call, &found, last.revision).await?,
            None => Standing { permissions: BTreeSet::new(), last: None },
        };
        for (change, earlier) in changes.iter().zip(changes.iter().skip(1).map(Some).chain([None])) {
            let until = earlier.map_or(change.revision.saturating_sub(1), |earlier| earlier.revision);
            let before = standing(&mut tx, call, &found, until).await?;
            shown.push(past(change, &before, &after, &field));
            after = before;
        }
        tx.end().await?;
        let mut paged = page.paged(shown, |past| (Timestamp::from_millis(past.revision), String::new()))?;
        if !field.is_unlimited() {
            // That something happened where they may not look is not theirs to know either.
            paged.items.retain(|past| !past.added.is_empty() || !past.removed.is_empty());
        }
        Ok(paged)
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
        // By the rule by which the change is judged: what is left out here would be taken away there.
        let field =
            self.field_of_view(&mut tx, call, right).await?.of(self.administration(&mut tx, call).await?);
        tx.end().await?;
        let permissions = standing.permissions.into_iter();
        let wanted = PermissionChange {
            change: Change::Replace,
            asked: Asked::Update,
            // What the caller does not administer is left as it is, as by any replacing.
            permissions: permissions.filter(|permission| field.reaches(permission)).collect(),
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
    // The column was filled from what grants say today where an older program wrote the version.
    if spec.principals.ids.as_slice() != version.sole_principal.as_slice() {
        return Ok(None);
    }
    let place = Place::only(&spec.clusters, &spec.namespaces);
    Ok(place.map(|place| Permission { place, role: spec.role }))
}
