//! Permissions of one user or agency: the same grants as everywhere, seen and written from who holds them.
//!
//! A grant comes to a row for each of its places. The rows of grants that name this principal alone and one place are its
//! *direct* rows: they may be replaced, added to and taken away here, whichever dialect made them. The others come from
//! groups, from grants that several share, from lists, or from owning a cluster; they are shown with where they come from,
//! and left standing.

mod change;
mod clean;
mod history;
mod holder;
mod namespaces;
mod owner;
mod rows;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use domain::{
    Cluster, ClusterId, Error, ErrorKind, Grant, GrantId, Permission, Place, Principal, PrincipalId,
    PrincipalKind, Result, Timestamp,
};
use store::{HeldGrants, ReadTx};

pub use change::{Asked, Change, PermissionChange};
pub use clean::{Activity, Cleaning};
pub use history::PastPermissions;
pub use holder::Purpose;
pub use rows::{PermissionRow, Through, ThroughKind};

use crate::authz::{self, Right};
use crate::cache::Copy;
use crate::call::Call;
use crate::grants::administration::Administration;
use crate::service::Service;

/// Which rows a caller sees who is neither the root user nor administers everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Those in clusters that they administer.
    Administered,
    /// These, and all of their own.
    AdministeredAndOwn,
}

/// The permissions of one principal.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// Whose they are.
    pub holder: Principal,
    /// The account's revision at which they were read.
    pub revision: i64,
    /// The rows that the caller may see, by place and role.
    pub rows: Arc<Vec<PermissionRow>>,
    /// Whether these are all there are, as far as the caller may know: whoever does not administer everything is told so.
    pub complete: Completeness,
}

/// Whether rows may be missing that the caller may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All rows are there.
    Complete,
    /// Rows in clusters that the caller does not administer are left out, if there are any.
    Partial,
}

/// Who said last what a grant says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The grant.
    pub grant: GrantId,
    /// Who: an id, or empty where nobody asked for it.
    pub actor: String,
    /// What they were called then.
    pub actor_name: String,
    /// When.
    pub at: Timestamp,
    /// In which dialect; empty if that is not known.
    pub dialect: String,
}

/// What is kept about one holder at one revision.
#[derive(Debug)]
pub(crate) struct KnownHolder {
    holder: Option<Principal>,
    held: HeldGrants,
    clusters: Vec<Cluster>,
    /// All rows, made when somebody who sees all of them asks.
    rows: OnceLock<Arc<Vec<PermissionRow>>>,
}

impl KnownHolder {
    /// How much memory it takes at most, roughly in bytes.
    pub(crate) fn weight(&self) -> u64 {
        rows::weight(&self.held, self.clusters.len())
    }
}

impl Service {
    /// The permissions of a user or an agency, at most `most` rows.
    ///
    /// # Errors
    /// `NotFound` if there is no such user or agency in the account; `Conflict` if there are more rows than `most`.
    pub async fn list_permissions(
        &self,
        call: &Call,
        holder: &str,
        sight: Sight,
        most: usize,
    ) -> Result<Permissions> {
        let own = sight == Sight::AdministeredAndOwn && holder == call.caller.principal.as_str();
        let right = match own {
            true => None,
            false => Some(authz::require_somewhere(call, "bailiwick:grant:list")?),
        };
        let (known, revision) = self.known_holder(call, holder).await?;
        let holder = known.holder.clone().ok_or_else(|| unknown(holder))?;
        let sees_everything = |right: &Right<'_>| {
            call.caller.root || (call.caller.is_unlimited_administrator() && right.holds_for_every_cluster())
        };
        if let Some(right) = right.filter(|right| !sees_everything(right)) {
            let mut tx = self.store.read().await?;
            let field = self.field_of_view(&mut tx, call, right).await?;
            tx.end().await?;
            if !field.is_unlimited() {
                let sees = |cluster: Option<&ClusterId>| field.shows_cluster(cluster);
                let rows = Arc::new(rows::rows(&holder.id, &known.held, &known.clusters, &sees, most)?);
                return Ok(Permissions { holder, revision, rows, complete: Completeness::Partial });
            }
        }
        let rows = match known.rows.get() {
            Some(rows) => Arc::clone(rows),
            None => {
                let rows = rows::rows(&holder.id, &known.held, &known.clusters, &|_| true, most)?;
                match rows::are_kept(&known.held, known.clusters.len()) {
                    true => Arc::clone(known.rows.get_or_init(|| Arc::new(rows))),
                    false => Arc::new(rows),
                }
            }
        };
        rows::check_count(rows.len(), most)?;
        Ok(Permissions { holder, revision, rows, complete: Completeness::Complete })
    }

    /// Who said last what each grant of a principal says, and when. For whoever may see its rows.
    ///
    /// # Errors
    /// `NotFound` as [`Service::list_permissions`].
    pub async fn permissions_said(&self, call: &Call, permissions: &Permissions) -> Result<Vec<Said>> {
        let mut tx = self.store.read().await?;
        let versions = tx.last_versions(call.account(), &permissions.holder.id).await?;
        tx.end().await?;
        let shown: HashSet<&GrantId> =
            permissions.rows.iter().flat_map(|row| &row.through).map(|through| &through.grant).collect();
        let said = versions.into_iter().filter(|version| shown.contains(&version.grant));
        Ok(said
            .map(|version| Said {
                grant: version.grant,
                actor: version.actor,
                actor_name: version.actor_name,
                at: version.at,
                dialect: version.dialect,
            })
            .collect())
    }

    /// What the caller may see of permissions: what they administer, and where the right to read holds.
    pub(crate) async fn field_of_view<'a>(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        right: Right<'a>,
    ) -> Result<FieldOfView<'a>> {
        let administration = self.own_administration(tx, call).await?;
        let clusters = match right.holds_for_every_cluster() {
            true => None,
            false => Some(tx.clusters(call.account()).await?),
        };
        Ok(FieldOfView { administration, right, clusters })
    }

    /// What is known about a holder, from memory unless something changed.
    async fn known_holder(&self, call: &Call, holder: &str) -> Result<(Arc<KnownHolder>, i64)> {
        let account = call.account();
        let key = format!("{account}/{holder}");
        if let Some(copy) = self.holders.get(&self.revisions, &key) {
            return Ok((Arc::clone(&copy.value), copy.revision));
        }
        let mut tx = self.store.read().await?;
        let revision = tx.revision(account).await?;
        let known = Arc::new(read_holder(&mut tx, call, holder).await?);
        tx.end().await?;
        // Ids that nobody has are not kept: there are as many as somebody cares to ask for.
        if known.holder.is_some() {
            let value = Arc::clone(&known);
            self.holders.put(&key, Copy { account: account.clone(), revision, others: Vec::new(), value });
        }
        Ok((known, revision))
    }
}

/// What somebody may see of others' permissions.
pub(crate) struct FieldOfView<'a> {
    administration: Administration,
    right: Right<'a>,
    /// `None` if the right holds for every one.
    clusters: Option<Vec<Cluster>>,
}

impl FieldOfView<'_> {
    /// The same with something else that is administered.
    fn of(self, administration: Administration) -> Self {
        Self { administration, ..self }
    }

    fn is_unlimited(&self) -> bool {
        self.clusters.is_none() && self.administration.covers_cluster(None)
    }

    /// Whether they administer the cluster as a whole; without one, all of them.
    fn shows_cluster(&self, cluster: Option<&ClusterId>) -> bool {
        self.administration.covers_cluster(cluster) && self.may_read(cluster)
    }

    /// Whether they administer the place.
    fn shows(&self, place: &Place) -> bool {
        self.administration.covers(place) && self.may_read(place.cluster())
    }

    /// Whether they may give or take this.
    fn reaches(&self, permission: &Permission) -> bool {
        self.administration.may_give(permission) && self.may_read(permission.place.cluster())
    }

    fn may_read(&self, cluster: Option<&ClusterId>) -> bool {
        let Some(clusters) = &self.clusters else { return true };
        match cluster {
            None => self.right.holds_for_every_cluster(),
            Some(id) => self.right.holds_for(&authz::cluster_of(id, clusters)),
        }
    }
}

async fn read_holder(tx: &mut ReadTx, call: &Call, holder: &str) -> Result<KnownHolder> {
    let found = match find_holder(tx, call, holder).await {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let held = match &found {
        Some(found) => tx.held_grants(call.account(), &found.id).await?,
        None => HeldGrants::default(),
    };
    let clusters = match rows::need_clusters(&held) {
        true => tx.clusters(call.account()).await?,
        false => Vec::new(),
    };
    Ok(KnownHolder { holder: found, held, clusters, rows: OnceLock::new() })
}

/// The account's user or agency with that id. Groups hold nothing by themselves here: their members do.
pub(crate) async fn find_holder(tx: &mut ReadTx, call: &Call, id: &str) -> Result<Principal> {
    let found = tx.principal(call.account(), id).await?;
    found.filter(|found| found.kind != PrincipalKind::Group).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Error {
    Error::not_found("user or agency", id).at_field("holder")
}

/// The direct permission that a grant is of a holder: it names nobody else and one place.
pub(crate) fn direct(holder: &PrincipalId, grant: &Grant) -> Option<Permission> {
    let sole = grant.spec.principals.ids.as_slice() == std::slice::from_ref(holder);
    if !sole || grant.of_owner {
        return None;
    }
    let place = Place::only(&grant.spec.clusters, &grant.spec.namespaces)?;
    Some(Permission { place, role: grant.spec.role.clone() })
}
