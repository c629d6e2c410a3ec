//! Whose object is it: the labels and names by which we know our bindings again.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ClusterId, InstallationId, Role};
use sha2::{Digest, Sha256};

use crate::{ObjectName, ObservedBinding, Scope, Slot};

pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(crate) const INSTALLATION: &str = "bailiwick.dev/installation";
const CLUSTER: &str = "bailiwick.dev/cluster";

/// Who writes: one registered cluster of one installation. Two registrations of the same API server are two owners,
/// so their bindings add up instead of fighting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The installation.
    pub installation: InstallationId,
    /// The cluster, as the installation calls it.
    pub cluster: ClusterId,
}

/// The labels that every binding of `owner` carries.
#[must_use]
pub fn labels(owner: &Owner) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY.to_owned(), "bailiwick".to_owned()),
        (INSTALLATION.to_owned(), label_value(owner.installation.as_str())),
        (CLUSTER.to_owned(), label_value(owner.cluster.as_str())),
    ])
}

/// Whether a binding could be somebody's who writes as we do. Others are foreign to every owner, unless they took the
/// place of one of ours, and then they have a name of ours.
#[must_use]
pub fn may_be_ours(observed: &ObservedBinding) -> bool {
    observed.labels.get(MANAGED_BY).is_some_and(|by| by == "bailiwick")
        || observed.object.name.starts_with("bailiwick:")
}

/// Whether labels of that key say whose a binding is.
#[must_use]
pub fn is_owner_label(key: &str) -> bool {
    [MANAGED_BY, INSTALLATION, CLUSTER].contains(&key)
}

/// Whether `observed` is `owner`'s: it carries the labels, or its name is in `recorded`, the names that were applied
/// before. Names count because a relabelled binding, or one that somebody made anew under our name, keeps granting.
#[must_use]
pub fn is_ours(owner: &Owner, observed: &ObservedBinding, recorded: &BTreeSet<ObjectName>) -> bool {
    carries(&observed.labels, &labels(owner)) || recorded.contains(&observed.object)
}

/// Whether all of `wanted` is among `labels`.
pub(crate) fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The name of `slot`'s binding number `shard`; `attempt` counts the names that others hold already.
///
/// The role is in the name because a binding's `roleRef` cannot be changed.
pub(crate) fn object_name(owner: &Owner, slot: &Slot, shard: usize, attempt: usize) -> ObjectName {
    let namespace = match &slot.scope {
        // No namespace has an empty name.
        Scope::Cluster => "",
        Scope::Namespace(namespace) => namespace.as_str(),
    };
    let hash = hash(&[
        owner.installation.as_str(),
        owner.cluster.as_str(),
        &slot.role.to_string(),
        namespace,
        &shard.to_string(),
        &attempt.to_string(),
    ]);
    let name = format!("bailiwick:{}:{}", word(&slot.role), short_hex(&hash, 10));
    ObjectName { scope: slot.scope.clone(), name }
}

/// The role in one word. A custom role's own name may be too long to be part of another.
fn word(role: &Role) -> &'static str {
    match role {
        Role::Administrator => "administrator",
        Role::AdministratorView => "administrator-view",
        Role::Operator => "operator",
        Role::Developer => "developer",
        Role::Viewer => "viewer",
        Role::Custom(_) => "custom",
    }
}

/// An id as the value of a label. Ids may have 64 characters and begin or end with `-` or `_`, which labels may not:
/// such ids are hashed. The dot keeps the hashed form apart from every id.
pub(crate) fn label_value(id: &str) -> String {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    if id.len() <= 63 && id.starts_with(alphanumeric) && id.ends_with(alphanumeric) {
        return id.to_owned();
    }
    format!("sha256.{}", short_hex(&hash(&[id]), 20))
}

/// SHA-256 over the parts, each after its length, so that no two lists of parts are alike.
pub(crate) fn hash(parts: &[&str]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().to_vec()
}

/// The first `bytes` of a hash in hex.
pub(crate) fn short_hex(hash: &[u8], bytes: usize) -> String {
    hex::encode(hash.get(..bytes).unwrap_or(hash))
}

#[cfg(test)]
mod tests {
    use domain::{ClusterRoleName, Namespace};

    use super::*;

    fn owner(installation: &str, cluster: &str) -> Owner {
        Owner { installation: InstallationId::stored(installation), cluster: ClusterId::stored(cluster) }
    }

    fn slot(role: Role, scope: Scope) -> Slot {
        Slot { role, scope }
    }

    #[test]
    fn a_name_says_the_role_and_differs_in_everything_that_matters() {
        let a = Scope::Namespace(Namespace::stored("a"));
        let custom = |name| Role::Custom(ClusterRoleName::parse("role", name).unwrap());
        let names = [
            object_name(&owner("i", "c"), &slot(Role::Viewer, Scope::Cluster), 0, 0),
            object_name(&owner("i", "c"), &slot(Role::Viewer, a.clone()), 0, 0),
            object_name(&owner("i", "c"), &slot(Role::Viewer, a.clone()), 1, 0),
            object_name(&owner("i", "c"), &slot(Role::Viewer, a.clone()), 0, 1),
            object_name(&owner("i", "d"), &slot(Role::Viewer, a.clone()), 0, 0),
            object_name(&owner("ic", ""), &slot(Role::Viewer, a.clone()), 0, 0),
            object_name(&owner("i", "c"), &slot(custom("x"), a.clone()), 0, 0),
            object_name(&owner("i", "c"), &slot(custom("y"), a), 0, 0),
        ];
        assert!(names[0].name.starts_with("bailiwick:viewer:"), "{}", names[0]);
        assert_eq!(names[0].name.len(), "bailiwick:viewer:".len() + 20);
        assert!(names[6].name.starts_with("bailiwick:custom:"), "{}", names[6]);
        let distinct: BTreeSet<&str> = names.iter().map(|name| name.name.as_str()).collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn names_never_change_between_versions_of_the_program() {
        let name = object_name(&owner("inst", "prod"), &slot(Role::Operator, Scope::Cluster), 0, 0);
        assert_eq!(name.name, "bailiwick:operator:24b483ea4db777e1fe52");
    }

    #[test]
    fn every_id_becomes_a_label_value_that_kubernetes_accepts_and_no_other_id_shares() {
        let long = "x".repeat(64);
        let mut seen = BTreeSet::new();
        for id in ["a", "prod-1", "-a", "a-", "_", &long, &"x".repeat(63)] {
            let value = label_value(id);
            let alphanumeric = |c: char| c.is_ascii_alphanumeric();
            assert!(
                value.len() <= 63 && value.starts_with(alphanumeric) && value.ends_with(alphanumeric),
                "{id}"
            );
            assert!(!domain::ClusterId::is_valid(&value) || value == id, "{id}");
            assert!(seen.insert(value), "{id}");
        }
    }
}
