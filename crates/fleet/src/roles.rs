//! Makes sure that the ClusterRoles of ours that grants need are in the cluster, as they should be.
//!
//! They are part of the manifest that makes the connector, because making an aggregated ClusterRole takes a right
//! that a connector should not hold. So usually there is nothing to do, and where there is and it is refused, the
//! grants that need the role say so.

use std::collections::{BTreeMap, BTreeSet};

use rbac::Desired;
use rbac::cluster_roles::{self, ClusterRoleSpec, Rule};

use crate::client::{ApiClient, segment};
use crate::failure::Failure;
use crate::view::View;
use crate::wire::{self, ClusterRoleObject};

/// The ClusterRoles of ours that `desired` needs and the cluster does not have as they should be.
pub(crate) fn lacking(desired: &Desired, view: &View) -> Vec<ClusterRoleSpec> {
    let needed: BTreeSet<&str> =
        desired.slots.keys().flat_map(|slot| cluster_roles::needed(&slot.role)).copied().collect();
    if needed.is_empty() {
        return Vec::new();
    }
    let mut roles = cluster_roles::all();
    roles.retain(|role| {
        needed.contains(role.name.as_str())
            && !view.cluster_role(&role.name).is_some_and(|found| is_as(found, role))
    });
    roles
}

/// Writes ClusterRoles. Returns those that could not be, by name; those in `held` are not tried again.
pub(crate) async fn ensure(
    client: &ApiClient,
    roles: &[ClusterRoleSpec],
    held: &BTreeMap<String, Failure>,
) -> BTreeMap<String, Failure> {
    let mut failures = BTreeMap::new();
    for role in roles {
        if let Some(failure) = held.get(&role.name) {
            failures.insert(role.name.clone(), failure.clone());
            continue;
        }
        let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{}", segment(&role.name));
        let applied: Result<ClusterRoleObject, Failure> =
            client.apply(&path, &wire::cluster_role(role)).await;
        match applied {
            Ok(_) => tracing::info!(role = role.name, "fleet.cluster_role.applied"),
            Err(failure) => {
                tracing::warn!(role = role.name, failure = %failure, "fleet.cluster_role.failed");
                failures.insert(role.name.clone(), failure);
            }
        }
    }
    failures
}

/// Whether `found` allows what `wanted` says. Other labels may be there, and the rules of an aggregate are filled in
/// by the cluster.
fn is_as(found: &ClusterRoleSpec, wanted: &ClusterRoleSpec) -> bool {
    let labels = wanted.labels.iter().all(|(key, value)| found.labels.get(key) == Some(value));
    let rules = !wanted.aggregate.is_empty() || sorted(&found.rules) == sorted(&wanted.rules);
    labels && rules && found.aggregate == wanted.aggregate
}

/// Rules in one order: neither their order nor that of their words means anything.
fn sorted(rules: &[Rule]) -> Vec<[Vec<&str>; 5]> {
    let mut all: Vec<[Vec<&str>; 5]> = rules
        .iter()
        .map(|rule| {
            let urls = &rule.non_resource_urls;
            [&rule.api_groups, &rule.resources, &rule.verbs, &rule.resource_names, urls]
                .map(|words| in_order(words))
        })
        .collect();
    all.sort();
    all
}

fn in_order(words: &[String]) -> Vec<&str> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    words
}

#[cfg(test)]
mod tests {
    use domain::Role;
    use rbac::{Scope, Slot};

    use super::*;
    use crate::view::{Kind, Object};

    fn desired(role: Role) -> Desired {
        let slot = Slot { role, scope: Scope::Cluster };
        Desired { slots: BTreeMap::from([(slot, BTreeSet::new())]), placements: BTreeMap::new() }
    }

    fn view(roles: Vec<ClusterRoleSpec>) -> View {
        let mut view = View::default();
        let objects =
            roles.into_iter().map(|role| Object::ClusterRole { role, version: "1".into() }).collect();
        view.replace(Kind::ClusterRoles, objects, "1").unwrap();
        view
    }

    fn names(roles: &[ClusterRoleSpec]) -> Vec<&str> {
        roles.iter().map(|role| role.name.as_str()).collect()
    }

    #[test]
    fn only_what_a_grant_needs_and_the_cluster_lacks_is_written() {
        let empty = view(Vec::new());
        assert!(lacking(&desired(Role::Viewer), &empty).is_empty());
        assert_eq!(
            names(&lacking(&desired(Role::Operator), &empty)),
            ["bailiwick:operator", "bailiwick:operator-cluster-scoped"]
        );
        assert!(lacking(&desired(Role::Operator), &view(cluster_roles::all())).is_empty());
    }

    #[test]
    fn a_role_is_as_it_should_be_in_any_order_but_not_with_more_or_less() {
        let wanted = cluster_roles::all().into_iter().find(|role| role.aggregate.is_empty()).unwrap();
        let mut shuffled = wanted.clone();
        shuffled.rules.reverse();
        shuffled.rules[0].verbs.reverse();
        shuffled.labels.insert("team".into(), "x".into());
        assert!(is_as(&shuffled, &wanted));
        let mut more = wanted.clone();
        more.rules[0].verbs.push("delete".into());
        assert!(!is_as(&more, &wanted));
        let mut unlabelled = wanted.clone();
        unlabelled.labels.clear();
        assert!(!is_as(&unlabelled, &wanted));
        let aggregate = cluster_roles::all().into_iter().find(|role| !role.aggregate.is_empty()).unwrap();
        let filled = ClusterRoleSpec { rules: wanted.rules.clone(), ..aggregate.clone() };
        assert!(is_as(&filled, &aggregate));
    }
}
