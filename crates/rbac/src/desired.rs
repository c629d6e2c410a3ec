//! From grants to slots: who should hold which role where, in one cluster.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ClusterId, Grant, GrantId, Namespace, NamespaceScope};

use crate::{Scope, Slot, Subject, SubjectNames};

/// What a cluster should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Each role in a scope with all its subjects; never an empty set.
    pub slots: BTreeMap<Slot, BTreeSet<Subject>>,
    /// Where each grant that speaks about the cluster came to lie.
    pub placements: BTreeMap<GrantId, Placement>,
}

/// What became of one grant in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The slots that it occupies.
    pub slots: Vec<Slot>,
    /// Its namespaces that do not exist in the cluster: they get their slot when they appear.
    pub missing: Vec<Namespace>,
}

/// What `cluster` should hold, given all `grants`, the names under which principals arrive there and the namespaces that
/// exist there.
///
/// Revoked grants and those about other clusters count for nothing. A list that is empty allows nothing.
#[must_use]
pub fn desired(
    cluster: &ClusterId,
    grants: &[Grant],
    names: &SubjectNames,
    namespaces: &BTreeSet<Namespace>,
) -> Desired {
    let mut desired = Desired::default();
    for grant in grants.iter().filter(|grant| grant.revoked_at.is_none() && grant.covers(cluster)) {
        let subjects: BTreeSet<Subject> = names.subjects(&grant.spec.principals).collect();
        let placement = if subjects.is_empty() { Placement::default() } else { place(grant, namespaces) };
        for slot in &placement.slots {
            desired.slots.entry(slot.clone()).or_default().extend(subjects.iter().cloned());
        }
        desired.placements.insert(grant.id.clone(), placement);
    }
    desired
}

fn place(grant: &Grant, namespaces: &BTreeSet<Namespace>) -> Placement {
    let slot = |scope| Slot { role: grant.spec.role.clone(), scope };
    match &grant.spec.namespaces {
        NamespaceScope::All => Placement { slots: vec![slot(Scope::Cluster)], missing: Vec::new() },
        NamespaceScope::Listed(listed) => {
            let (existing, missing): (Vec<_>, Vec<_>) =
                listed.iter().cloned().partition(|namespace| namespaces.contains(namespace));
            Placement { slots: existing.into_iter().map(Scope::Namespace).map(slot).collect(), missing }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        AccountId, ClusterScope, GrantSpec, PrincipalId, PrincipalKind, Principals, Role, Timestamp,
    };

    use super::*;
    use crate::{Named, SubjectKind};

    fn grant(id: &str, role: Role, kind: PrincipalKind, ids: &[&str], namespaces: NamespaceScope) -> Grant {
        let at = Timestamp::from_millis(0);
        Grant {
            id: GrantId::stored(id),
            account: AccountId::stored("account"),
            spec: GrantSpec {
                name: id.to_owned(),
                role,
                principals: Principals { kind, ids: ids.iter().map(|id| PrincipalId::stored(id)).collect() },
                clusters: ClusterScope::Listed(vec![ClusterId::stored("prod")]),
                namespaces,
            },
            generation: 1,
            created_at: at,
            updated_at: at,
            of_owner: false,
            revoked_at: None,
        }
    }

    fn listed(names: &[&str]) -> NamespaceScope {
        NamespaceScope::Listed(names.iter().map(|name| Namespace::stored(name)).collect())
    }

    fn in_prod(grants: &[Grant], namespaces: &[&str]) -> Desired {
        let namespaces = namespaces.iter().map(|name| Namespace::stored(name)).collect();
        desired(&ClusterId::stored("prod"), grants, &SubjectNames::default(), &namespaces)
    }

    fn slot(role: Role, namespace: &str) -> Slot {
        Slot { role, scope: Scope::Namespace(Namespace::stored(namespace)) }
    }

    fn subject(kind: SubjectKind, name: &str) -> Subject {
        Subject { kind, name: name.to_owned() }
    }

    #[test]
    fn grants_of_the_same_role_and_scope_share_a_slot() {
        let wanted = in_prod(
            &[
                grant("g1", Role::Viewer, PrincipalKind::User, &["ann", "bob"], listed(&["a"])),
                grant("g2", Role::Viewer, PrincipalKind::Group, &["ann"], listed(&["a"])),
                grant("g3", Role::Viewer, PrincipalKind::Agency, &["bob", "ci"], listed(&["a"])),
            ],
            &["a"],
        );
        let subjects = [
            subject(SubjectKind::User, "ann"),
            subject(SubjectKind::User, "bob"),
            subject(SubjectKind::User, "ci"),
            subject(SubjectKind::Group, "ann"),
        ];
        assert_eq!(wanted.slots, BTreeMap::from([(slot(Role::Viewer, "a"), BTreeSet::from(subjects))]));
        assert_eq!(wanted.placements.len(), 3);
    }

    #[test]
    fn all_namespaces_are_one_slot_of_the_cluster() {
        let wanted = in_prod(
            &[grant("g", Role::Operator, PrincipalKind::User, &["ann"], NamespaceScope::All)],
            &["a", "b"],
        );
        let slots: Vec<_> = wanted.slots.into_keys().collect();
        assert_eq!(slots, [Slot { role: Role::Operator, scope: Scope::Cluster }]);
    }

    #[test]
    fn a_namespace_that_does_not_exist_is_missing_and_gets_no_slot() {
        let wanted = in_prod(
            &[grant("g", Role::Viewer, PrincipalKind::User, &["ann"], listed(&["a", "later"]))],
            &["a"],
        );
        let placement = &wanted.placements[&GrantId::stored("g")];
        assert_eq!(placement.slots, [slot(Role::Viewer, "a")]);
        assert_eq!(placement.missing, [Namespace::stored("later")]);
        assert_eq!(wanted.slots.len(), 1);
    }

    #[test]
    fn emptied_lists_allow_nothing() {
        let nobody = grant("g1", Role::Viewer, PrincipalKind::User, &[], NamespaceScope::All);
        let nowhere = grant("g2", Role::Viewer, PrincipalKind::User, &["ann"], listed(&[]));
        let wanted = in_prod(&[nobody, nowhere], &["a"]);
        assert!(wanted.slots.is_empty());
        assert!(wanted.placements.values().all(|placement| *placement == Placement::default()));
    }

    #[test]
    fn names_of_the_cluster_are_bound_and_who_has_none_is_bound_nowhere() {
        let grants = [
            grant("g1", Role::Viewer, PrincipalKind::User, &["ann"], listed(&["a"])),
            grant("g2", Role::Developer, PrincipalKind::User, &["bob"], listed(&["a", "later"])),
        ];
        let mut names = SubjectNames::default();
        let ann = vec![subject(SubjectKind::User, "oidc:ann")];
        names.insert(PrincipalId::stored("ann"), Named { subjects: ann.clone(), refusal: None });
        names.insert(PrincipalId::stored("bob"), Named { subjects: Vec::new(), refusal: Some("no".into()) });
        let namespaces = [Namespace::stored("a")].into();
        let wanted = desired(&ClusterId::stored("prod"), &grants, &names, &namespaces);
        let expected = BTreeMap::from([(slot(Role::Viewer, "a"), ann.into_iter().collect())]);
        assert_eq!(wanted.slots, expected);
        assert_eq!(wanted.placements[&GrantId::stored("g2")], Placement::default());
    }

    #[test]
    fn revoked_grants_and_those_of_other_clusters_count_for_nothing() {
        let mut revoked = grant("g1", Role::Viewer, PrincipalKind::User, &["ann"], NamespaceScope::All);
        revoked.revoked_at = Some(Timestamp::from_millis(1));
        let mut elsewhere = grant("g2", Role::Viewer, PrincipalKind::User, &["ann"], NamespaceScope::All);
        elsewhere.spec.clusters = ClusterScope::Listed(vec![ClusterId::stored("other")]);
        let mut nowhere = grant("g3", Role::Viewer, PrincipalKind::User, &["ann"], NamespaceScope::All);
        nowhere.spec.clusters = ClusterScope::Listed(Vec::new());
        assert_eq!(in_prod(&[revoked, elsewhere, nowhere], &["a"]), Desired::default());
    }
}
