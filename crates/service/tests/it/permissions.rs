//! What one user or agency may do where: rows, and changing them.

mod cleaning;
mod history;
mod limits;
mod replacing;
mod rows;

use domain::{
    ClusterId, ClusterRoleName, ClusterScope, Error, GrantSpec, Namespace, NamespaceScope, Permission, Place,
    PrincipalId, PrincipalKind, Principals, Result, Role,
};
use service::Call;
use service::grants::permissions::{Asked, Change, PermissionChange, Sight};

use crate::world::World;

const MOST: usize = 1000;

/// A place by how people write it: `*`, `cluster`, `cluster/namespace`.
fn place(text: &str) -> Place {
    match text.split_once('/') {
        _ if text == "*" => Place::Everywhere,
        None => Place::Cluster(ClusterId::stored(text)),
        Some((cluster, name)) => Place::Namespace(ClusterId::stored(cluster), Namespace::stored(name)),
    }
}

fn permission((at, role): (&str, &str)) -> Permission {
    Permission { place: place(at), role: Role::parse("role", role).unwrap() }
}

fn change(change: Change, rows: &[(&str, &str)]) -> PermissionChange {
    let permissions = rows.iter().copied().map(permission).collect();
    PermissionChange { change, asked: Asked::Update, permissions, most: MOST, most_removed: None }
}

/// A grant to those of a kind; no clusters or namespaces mean all.
fn grant_of(
    role: Role,
    kind: PrincipalKind,
    ids: &[&str],
    clusters: &[&str],
    namespaces: &[&str],
) -> GrantSpec {
    let ids = ids.iter().map(|id| PrincipalId::stored(id)).collect();
    let spec = crate::world::spec(&[], clusters, namespaces);
    GrantSpec { role, principals: Principals { kind, ids }, ..spec }
}

impl World {
    async fn changed(&self, call: &Call, holder: &str, what: &PermissionChange) -> Result<Vec<Permission>> {
        self.service.change_permissions(call, holder, what).await
    }

    /// The same by the root user.
    async fn set(&self, holder: &str, what: Change, rows: &[(&str, &str)]) {
        self.changed(&self.root, holder, &change(what, rows)).await.unwrap();
    }

    /// The rows that a caller sees of somebody, as `place role`.
    async fn seen(&self, call: &Call, holder: &str) -> Vec<String> {
        let seen = self.service.list_permissions(call, holder, Sight::Administered, MOST).await.unwrap();
        seen.rows.iter().map(|row| shown(&row.permission)).collect()
    }

    /// All rows of somebody.
    async fn rows_of(&self, holder: &str) -> Vec<String> {
        self.seen(&self.root, holder).await
    }

    /// A user who may, by policy, do everything with grants, and administers these places.
    async fn administrator_of(&self, name: &str, places: &[&str]) -> Call {
        let user = self.user(name).await;
        self.give(&user, &crate::world::allow(&["bailiwick:grant:*"])).await;
        let rows: Vec<(&str, &str)> = places.iter().map(|place| (*place, "administrator")).collect();
        self.set(name, Change::Replace, &rows).await;
        self.call_of(&user).await
    }
}

fn shown(permission: &Permission) -> String {
    let at = match (permission.place.cluster(), permission.place.namespace()) {
        (None, _) => "*".to_owned(),
        (Some(cluster), None) => cluster.to_string(),
        (Some(cluster), Some(name)) => format!("{cluster}/{name}"),
    };
    format!("{at} {}", permission.role)
}

fn custom(name: &str) -> Role {
    Role::Custom(ClusterRoleName::parse("role", name).unwrap())
}

/// What a refusal is called, to compare it in tables.
fn kind<T>(outcome: &Result<T>) -> Option<domain::ErrorKind> {
    outcome.as_ref().err().map(Error::kind)
}

fn everywhere(clusters: &ClusterScope, namespaces: &NamespaceScope) -> bool {
    *clusters == ClusterScope::All && *namespaces == NamespaceScope::All
}
