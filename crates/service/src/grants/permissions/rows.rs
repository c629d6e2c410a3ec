//! From grants to rows: one for each place, merged where several grants come to the same. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{
    Cluster, ClusterId, ClusterScope, Error, Grant, GrantId, NamespaceScope, Permission, Place, PrincipalId,
    PrincipalKind, Result,
};
use store::HeldGrants;

/// A role that somebody holds in a place, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionRow {
    /// The role and the place.
    pub permission: Permission,
    /// Where it comes from; never empty.
    pub through: Vec<Arc<Through>>,
}

impl PermissionRow {
    /// Whether it is, among others, the right of the cluster's owner.
    #[must_use]
    pub fn is_of_owner(&self) -> bool {
        self.through.iter().any(|through| through.kind == ThroughKind::Owner)
    }

    /// Whether it may be taken away from its holder as it is.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.through.iter().all(|through| through.kind == ThroughKind::Direct)
    }
}

/// One grant that a row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    /// The grant.
    pub grant: GrantId,
    /// Its name.
    pub grant_name: String,
    /// In what way it gives the row.
    pub kind: ThroughKind,
    /// The group by which its holder has it, id and name, if not named itself.
    pub group: Option<(PrincipalId, String)>,
}

impl Through {
    /// Where it comes from in words, unless it is direct.
    pub(crate) fn elsewhere(&self) -> Option<String> {
        let grant = format!("grant `{}` ({})", self.grant, self.grant_name);
        match (self.kind, &self.group) {
            (ThroughKind::Direct, _) => None,
            (ThroughKind::Owner, _) => Some("owning the cluster".to_owned()),
            (ThroughKind::Shared | ThroughKind::Group, None) => Some(format!("{grant}, which says more")),
            (ThroughKind::Shared | ThroughKind::Group, Some((id, name))) => {
                Some(format!("{grant} to group `{name}` ({id})"))
            }
        }
    }
}

/// In what way a grant gives a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThroughKind {
    /// It says this row to this holder and nothing else.
    Direct,
    /// It says more: other places, or other principals.
    Shared,
    /// It names a group of the holder.
    Group,
    /// It is the right of the cluster's owner.
    Owner,
}

impl ThroughKind {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Shared => "shared",
            Self::Group => "group",
            Self::Owner => "owner",
        }
    }
}

/// In so many ways all rows of a holder may come about. A row may come from hundreds of groups, and there may be thousands of rows.
const MAX_WAYS: usize = 100_000;

/// Whether the rows of `grant` hold this one. As [`rows`] makes them, without making them.
pub(crate) fn gives(grant: &Grant, permission: &Permission) -> bool {
    if grant.spec.role != permission.role {
        return false;
    }
    let everywhere = grant.spec.clusters == ClusterScope::All && grant.spec.namespaces == NamespaceScope::All;
    match &permission.place {
        Place::Everywhere => everywhere,
        Place::Cluster(id) => {
            !everywhere && grant.spec.namespaces == NamespaceScope::All && grant.spec.clusters.contains(id)
        }
        Place::Namespace(id, name) => match &grant.spec.namespaces {
            NamespaceScope::All => false,
            NamespaceScope::Listed(names) => names.contains(name) && grant.spec.clusters.contains(id),
        },
    }
}

/// Whether rows cannot be made without knowing the account's clusters: namespaces of all of them are a row each.
pub(crate) fn need_clusters(held: &HeldGrants) -> bool {
    held.grants
        .iter()
        .any(|grant| grant.spec.clusters == ClusterScope::All && grant.spec.namespaces != NamespaceScope::All)
}

/// The rows of `holder` in clusters that are seen (`None` is all of them at once), by place and role.
///
/// # Errors
/// `Conflict` if there are more than `most`.
pub(crate) fn rows(
    holder: &PrincipalId,
    held: &HeldGrants,
    clusters: &[Cluster],
    sees: &dyn Fn(Option<&ClusterId>) -> bool,
    most: usize,
) -> Result<Vec<PermissionRow>> {
    let mut rows: BTreeMap<Permission, Vec<Arc<Through>>> = BTreeMap::new();
    let mut ways = 0_usize;
    for grant in &held.grants {
        let through: Vec<Arc<Through>> = through(holder, held, grant).into_iter().map(Arc::new).collect();
        for place in places(grant, clusters, sees) {
            let permission = Permission { place, role: grant.spec.role.clone() };
            rows.entry(permission).or_default().extend(through.iter().cloned());
            ways = ways.saturating_add(through.len());
            if ways > MAX_WAYS {
                return Err(Error::conflict(format!(
                    "these permissions come about in more than {MAX_WAYS} ways: list the grants instead"
                )));
            }
            check_count(rows.len(), most)?;
        }
    }
    Ok(rows.into_iter().map(|(permission, through)| PermissionRow { permission, through }).collect())
}

/// # Errors
/// `Conflict` if there are more than `most`.
pub(crate) fn check_count(rows: usize, most: usize) -> Result<()> {
    if rows <= most {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "there are more than {most} permissions: a part of them would not be the truth; list the grants instead, or have \
         the limit raised"
    )))
}

/// How a grant reaches the holder: itself, or by each of its groups that are named.
pub(crate) fn through(holder: &PrincipalId, held: &HeldGrants, grant: &Grant) -> Vec<Through> {
    let one =
        |kind, group| Through { grant: grant.id.clone(), grant_name: grant.spec.name.clone(), kind, group };
    match grant.spec.principals.kind {
        PrincipalKind::Group => held
            .groups
            .iter()
            .filter(|(id, _)| grant.spec.principals.ids.contains(id))
            .map(|group| one(ThroughKind::Group, Some(group.clone())))
            .collect(),
        PrincipalKind::User | PrincipalKind::Agency => {
            let kind = match super::direct(holder, grant) {
                _ if grant.of_owner => ThroughKind::Owner,
                Some(_) => ThroughKind::Direct,
                None => ThroughKind::Shared,
            };
            vec![one(kind, None)]
        }
    }
}

/// The places of a grant. All namespaces of all clusters are one; some namespaces of all clusters are as many as there are
/// clusters today.
fn places<'a>(
    grant: &'a Grant,
    clusters: &'a [Cluster],
    sees: &'a dyn Fn(Option<&ClusterId>) -> bool,
) -> Box<dyn Iterator<Item = Place> + 'a> {
    let ids: Box<dyn Iterator<Item = &ClusterId>> = match &grant.spec.clusters {
        ClusterScope::All if grant.spec.namespaces == NamespaceScope::All => {
            return Box::new(sees(None).then_some(Place::Everywhere).into_iter());
        }
        ClusterScope::All => Box::new(clusters.iter().map(|cluster| &cluster.id)),
        ClusterScope::Listed(ids) => Box::new(ids.iter()),
    };
    // Before they are multiplied by namespaces.
    let ids = ids.filter(|id| sees(Some(id)));
    match &grant.spec.namespaces {
        NamespaceScope::All => Box::new(ids.cloned().map(Place::Cluster)),
        NamespaceScope::Listed(names) => Box::new(
            ids.flat_map(move |id| names.iter().map(move |name| Place::Namespace(id.clone(), name.clone()))),
        ),
    }
}

/// How much memory what is known about a holder takes, roughly in bytes, with the rows if they are kept.
pub(crate) fn weight(held: &HeldGrants, clusters: usize) -> u64 {
    let listed = |grant: &Grant| {
        let (clusters, namespaces) = sizes(grant, 0);
        400 + 60 * (clusters + namespaces + grant.spec.principals.ids.len())
    };
    let rows = if are_kept(held, clusters) { 250 * most_ways(held, clusters) } else { 0 };
    let grants: usize = held.grants.iter().map(listed).sum();
    u64::try_from(1_000 + grants + rows + 100 * held.groups.len() + 600 * clusters).unwrap_or(u64::MAX)
}

/// Whether all rows are few enough to be kept until the next change.
pub(crate) fn are_kept(held: &HeldGrants, clusters: usize) -> bool {
    most_ways(held, clusters) <= MAX_KEPT
}

/// So many rows, and ways by which they come about, of one holder are kept; more are made anew each time.
const MAX_KEPT: usize = 20_000;

/// In how many ways the rows of a holder come about at most.
fn most_ways(held: &HeldGrants, clusters: usize) -> usize {
    let of = |grant: &Grant| {
        let (clusters, namespaces) = sizes(grant, clusters);
        clusters
            .max(1)
            .saturating_mul(namespaces.max(1))
            .saturating_mul(grant.spec.principals.ids.len().max(1))
    };
    held.grants.iter().fold(0, |sum, grant| sum.saturating_add(of(grant)))
}

/// How many clusters and namespaces a grant lists.
fn sizes(grant: &Grant, all_clusters: usize) -> (usize, usize) {
    let clusters = match &grant.spec.clusters {
        ClusterScope::All => all_clusters,
        ClusterScope::Listed(ids) => ids.len(),
    };
    let namespaces = match &grant.spec.namespaces {
        NamespaceScope::All => 0,
        NamespaceScope::Listed(names) => names.len(),
    };
    (clusters, namespaces)
}
