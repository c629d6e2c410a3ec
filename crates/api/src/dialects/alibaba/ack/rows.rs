//! A permission on the wire. What is sent and what is answered have different words for the same: `role_type` is the
//! place's kind in a request and the role in an answer.

use domain::{ClusterId, ClusterRoleName, Error, Namespace, Permission, Place, PrincipalKind, Result, Role};
use serde::{Serialize, Serializer};
use service::grants::permissions::{Change, PermissionRow};

use crate::json::Object;

/// The predefined roles by the vendor's keywords.
const ROLES: [(&str, Role); 5] = [
    ("admin", Role::Administrator),
    ("admin-view", Role::AdministratorView),
    ("ops", Role::Operator),
    ("dev", Role::Developer),
    ("restricted", Role::Viewer),
];

/// What the vendor says of all clusters instead of an id.
const ALL_CLUSTERS: &str = "all-clusters";

/// A row of an answer.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    resource_id: ResourceId<'a>,
    resource_type: &'static str,
    role_name: &'a str,
    role_type: &'static str,
    is_owner: u8,
    is_ram_role: u8,
}

/// `cluster`, `cluster/namespace`, or the word for all clusters.
struct ResourceId<'a>(&'a Place);

impl Serialize for ResourceId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Place::Everywhere => serializer.serialize_str(ALL_CLUSTERS),
            Place::Cluster(cluster) => serializer.serialize_str(cluster.as_str()),
            Place::Namespace(cluster, namespace) => {
                serializer.collect_str(&format_args!("{cluster}/{namespace}"))
            }
        }
    }
}

impl<'a> Row<'a> {
    /// The row as it is answered about a holder of that kind.
    pub(super) fn new(row: &'a PermissionRow, holder: PrincipalKind) -> Self {
        let Permission { place, role } = &row.permission;
        let role_type = keyword(role);
        Self {
            resource_id: ResourceId(place),
            resource_type: match place {
                Place::Everywhere => "console",
                Place::Cluster(_) => "cluster",
                Place::Namespace(..) => "namespace",
            },
            role_name: match role {
                Role::Custom(name) => name.as_str(),
                Role::Administrator
                | Role::AdministratorView
                | Role::Operator
                | Role::Developer
                | Role::Viewer => role_type,
            },
            role_type,
            is_owner: u8::from(row.is_of_owner()),
            is_ram_role: u8::from(holder == PrincipalKind::Agency),
        }
    }
}

fn keyword(role: &Role) -> &'static str {
    match role {
        Role::Administrator => "admin",
        Role::AdministratorView => "admin-view",
        Role::Operator => "ops",
        Role::Developer => "dev",
        Role::Viewer => "restricted",
        Role::Custom(_) => "custom",
    }
}

/// A row of a request.
///
/// # Errors
/// `Invalid` naming the field that breaks a rule.
pub(super) fn read(mut entry: Object, change: Change) -> Result<Permission> {
    let (scope, cluster) = (entry.text("role_type")?, entry.optional_text("cluster")?.unwrap_or_default());
    let namespace = entry.optional_text("namespace")?.unwrap_or_default();
    let name = entry.text("role_name")?;
    let custom = entry.optional_boolean("is_custom")?.unwrap_or_default();
    // Who the permission is for tells whether it is for a role, and not what the request says of it.
    entry.optional_boolean("is_ram_role")?;
    let path = |key: &str| entry.path_of(key);
    let place = match scope.as_str() {
        ALL_CLUSTERS if cluster.is_empty() => Place::Everywhere,
        ALL_CLUSTERS => {
            return Err(Error::invalid(&path("cluster"), "must be empty beside `all-clusters`"));
        }
        // A namespace beside a cluster is in the vendor's own example, and means nothing.
        "cluster" => Place::Cluster(cluster_id(&path("cluster"), &cluster)?),
        "namespace" => Place::Namespace(
            cluster_id(&path("cluster"), &cluster)?,
            Namespace::parse(&path("namespace"), &namespace)?,
        ),
        _ => {
            let rule = "must be `cluster`, `namespace` or `all-clusters`";
            return Err(Error::invalid(&path("role_type"), rule));
        }
    };
    let field = path("role_name");
    let role = match custom {
        true => Role::Custom(ClusterRoleName::parse(&field, &name)?),
        false => predefined(&field, &name, &place, change)?,
    };
    // A misspelt key must not change what is granted.
    entry.finish()?;
    Ok(Permission { place, role })
}

fn cluster_id(field: &str, text: &str) -> Result<ClusterId> {
    match text {
        "" => Err(Error::invalid(field, "is required: the cluster's id")),
        id => Ok(ClusterId::stored(id)),
    }
}

/// A predefined role, which must be one for such a place.
///
/// What was given through another dialect may be taken away, whatever this one would give.
fn predefined(field: &str, name: &str, place: &Place, change: Change) -> Result<Role> {
    let found = ROLES.into_iter().find(|(keyword, _)| *keyword == name);
    let Some((_, role)) = found else {
        let rule = "must be `admin`, `admin-view`, `ops`, `dev` or `restricted`, or the name of a ClusterRole beside \
                    `is_custom: true`";
        return Err(Error::invalid(field, rule));
    };
    if change == Change::Remove {
        return Ok(role);
    }
    match (place, &role) {
        (Place::Namespace(..), Role::Administrator | Role::AdministratorView | Role::Operator) => {
            Err(Error::invalid(field, "must be `dev` or `restricted`, or a custom role, in a namespace"))
        }
        (Place::Everywhere, Role::AdministratorView) => {
            Err(Error::invalid(field, "must be another role than `admin-view` in all clusters"))
        }
        (
            Place::Everywhere,
            Role::Administrator | Role::Operator | Role::Developer | Role::Viewer | Role::Custom(_),
        )
        | (Place::Namespace(..), Role::Developer | Role::Viewer | Role::Custom(_))
        | (Place::Cluster(_), _) => Ok(role),
    }
}
