//! Whether what a plan takes away was ever decided: by the versions of grants that were recorded. Pure.
//!
//! A database that lost rows, by a mistaken hand or a half restored backup, wants less than was granted, and looks
//! like any other. What tells it apart is that nothing recorded that somebody ended what is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{ClusterRoleName, GrantSpec, Namespace, NamespaceScope, Role};

use crate::{
    Binding, Change, Desired, ObjectName, ObservedBinding, Owner, Plan, RBAC_GROUP, Scope, Subject,
    SubjectKind, SubjectNames, labels,
};

/// A version of a grant that speaks about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedVersion {
    /// What it said.
    pub spec: GrantSpec,
    /// Whether a later version or a revoke followed.
    pub ended: bool,
}

/// Where something is bound: a ClusterRole's name and a scope.
type Place = (String, Scope);

/// What was recorded about a place.
#[derive(Debug, Default)]
struct Record {
    /// Whether somebody decided that something ends there: a version that granted it ended, or it stands and whom it
    /// names has no name in the cluster any more.
    decided: bool,
    /// Whom versions that did not end name there.
    standing: HashSet<Subject>,
}

/// What versions of grants say about the places that a plan takes something away from. Of a version nothing else is
/// kept, so that however many there are, this is no larger than what is taken away and what stands.
#[derive(Debug)]
pub struct Evidence {
    records: HashMap<Place, Record>,
}

impl Evidence {
    /// Nothing yet about what this plan takes away.
    #[must_use]
    pub fn about(plan: &Plan, observed: &[ObservedBinding]) -> Self {
        let records = removed(plan, observed).map(|(_, binding)| (place(binding), Record::default()));
        Self { records: records.collect() }
    }

    /// Takes in what a version says.
    pub fn add(&mut self, version: &RecordedVersion, names: &SubjectNames) {
        if version.spec.principals.ids.is_empty() {
            return;
        }
        let standing: BTreeSet<Subject> = match version.ended {
            true => BTreeSet::new(),
            false => names.subjects(&version.spec.principals).collect(),
        };
        let role = version.spec.role.cluster_role();
        let scopes: Vec<Scope> = match &version.spec.namespaces {
            NamespaceScope::All => vec![Scope::Cluster],
            NamespaceScope::Listed(names) => names.iter().cloned().map(Scope::Namespace).collect(),
        };
        for scope in scopes {
            let Some(record) = self.records.get_mut(&(role.to_owned(), scope)) else { continue };
            record.decided |= standing.is_empty();
            record.standing.extend(standing.iter().cloned());
        }
    }

    /// Whether further versions that ended would tell nothing new.
    #[must_use]
    pub fn knows_every_end(&self) -> bool {
        self.records.values().all(|record| record.decided)
    }
}

/// The roles, as grants spell them, of what a plan takes away: only their versions are needed to explain it.
#[must_use]
pub fn removed_roles(plan: &Plan, observed: &[ObservedBinding]) -> BTreeSet<String> {
    let names: BTreeSet<&str> =
        removed(plan, observed).map(|(_, binding)| binding.role_name.as_str()).collect();
    let spellings = |name: &str| {
        let predefined = Role::PREDEFINED.into_iter().find(|role| role.cluster_role() == name);
        let custom = ClusterRoleName::parse("role", name).ok().map(Role::Custom);
        predefined.into_iter().chain(custom).map(|role| role.to_string()).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(spellings).collect()
}

/// Whom a plan would take something for no recorded reason, by object.
///
/// What somebody added to a binding of ours was never granted, so taking it away needs no reason; nor does anything in
/// a namespace that does not exist any more.
#[must_use]
pub fn unexplained(
    plan: &Plan,
    desired: &Desired,
    observed: &[ObservedBinding],
    namespaces: &BTreeSet<Namespace>,
    evidence: &Evidence,
) -> BTreeMap<ObjectName, BTreeSet<Subject>> {
    let wanted: HashMap<Place, &BTreeSet<Subject>> = desired
        .slots
        .iter()
        .map(|(slot, subjects)| ((slot.role.cluster_role().to_owned(), slot.scope.clone()), subjects))
        .collect();
    let mut found = BTreeMap::new();
    for (change, binding) in removed(plan, observed) {
        if matches!(&binding.object.scope, Scope::Namespace(name) if !namespaces.contains(name)) {
            continue;
        }
        let place = place(binding);
        let (wanted, record) = (wanted.get(&place), evidence.records.get(&place));
        let is_unexplained = |subject: &Subject| {
            let contradicted = record.is_some_and(|record| record.standing.contains(subject));
            let decided = wanted.is_some() || record.is_some_and(|record| record.decided);
            contradicted || !decided
        };
        let mut lost = lost(change, binding);
        lost.retain(|subject| !wanted.is_some_and(|wanted| wanted.contains(subject)));
        lost.retain(is_unexplained);
        if !lost.is_empty() {
            found.insert(binding.object.clone(), lost);
        }
    }
    found
}

/// The plan without what it would take from these subjects of these objects; whatever else it does remains.
#[must_use]
pub fn hold_back(
    owner: &Owner,
    mut plan: Plan,
    observed: &[ObservedBinding],
    waiting: &BTreeMap<ObjectName, BTreeSet<Subject>>,
) -> Plan {
    let bindings: HashMap<&ObjectName, &ObservedBinding> = observed
        .iter()
        .filter(|binding| waiting.contains_key(&binding.object))
        .map(|binding| (&binding.object, binding))
        .collect();
    let mut kept = BTreeSet::new();
    for part in [&mut plan.revoke, &mut plan.shrink] {
        for change in std::mem::take(part) {
            let found = waiting.get(change.object()).zip(bindings.get(change.object()));
            let Some((stay, binding)) = found else {
                part.push(change);
                continue;
            };
            if kept.insert(binding.object.clone()) {
                part.extend(lesser(owner, &change, binding, stay));
            }
        }
    }
    plan
}

/// The part of a change that takes nothing from `stay`; `None` if nothing is left of it.
fn lesser(
    owner: &Owner,
    change: &Change,
    binding: &ObservedBinding,
    stay: &BTreeSet<Subject>,
) -> Option<Change> {
    let held = known_subjects(binding);
    let (role, mut subjects) = match change {
        Change::Apply(wanted) => (wanted.role.clone(), wanted.subjects.clone()),
        // What finalizers keep, or binds to something else, is left alone as a whole.
        Change::Empty { .. } | Change::Delete { .. } if binding.finalizers || binding.deleting => {
            return None;
        }
        Change::Empty { .. } | Change::Delete { .. } if binding.role_kind != "ClusterRole" => return None,
        Change::Empty { .. } | Change::Delete { .. } => (role_of(&binding.role_name)?, BTreeSet::new()),
    };
    subjects.extend(stay.iter().cloned());
    (subjects != held).then(|| {
        Change::Apply(Binding { object: binding.object.clone(), role, subjects, labels: labels(owner) })
    })
}

/// A role that binds to this ClusterRole.
fn role_of(name: &str) -> Option<Role> {
    let predefined = Role::PREDEFINED.into_iter().find(|role| role.cluster_role() == name);
    predefined.or_else(|| ClusterRoleName::parse("role", name).ok().map(Role::Custom))
}

/// Each change that takes away, with the binding as it is.
fn removed<'a>(
    plan: &'a Plan,
    observed: &'a [ObservedBinding],
) -> impl Iterator<Item = (&'a Change, &'a ObservedBinding)> {
    let names: HashSet<&ObjectName> = plan.removals().map(Change::object).collect();
    let bindings: HashMap<&ObjectName, &ObservedBinding> = observed
        .iter()
        .filter(|binding| names.contains(&binding.object))
        .map(|binding| (&binding.object, binding))
        .collect();
    plan.removals().filter_map(move |change| Some((change, *bindings.get(change.object())?)))
}

fn place(binding: &ObservedBinding) -> Place {
    (binding.role_name.clone(), binding.object.scope.clone())
}

/// Whom a change takes out of its binding.
fn lost(change: &Change, binding: &ObservedBinding) -> BTreeSet<Subject> {
    let held = known_subjects(binding);
    match change {
        Change::Apply(wanted) => held.difference(&wanted.subjects).cloned().collect(),
        Change::Empty { .. } | Change::Delete { .. } => held,
    }
}

fn known_subjects(binding: &ObservedBinding) -> BTreeSet<Subject> {
    let of_kind = |kind: &str| SubjectKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let ours = binding.subjects.iter().filter(|subject| subject.api_group == RBAC_GROUP);
    ours.filter_map(|subject| Some(Subject { kind: of_kind(&subject.kind)?, name: subject.name.clone() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::{ClusterScope, PrincipalId, PrincipalKind, Principals};

    use super::*;
    use crate::model::{Model, desire, in_namespace, observed_user, user};

    fn version(users: &[&str], namespaces: &[&str], ended: bool) -> RecordedVersion {
        let ids = users.iter().map(|id| PrincipalId::stored(id)).collect();
        let spec = GrantSpec {
            name: "g".into(),
            role: Role::Viewer,
            principals: Principals { kind: PrincipalKind::User, ids },
            clusters: ClusterScope::All,
            namespaces: NamespaceScope::Listed(namespaces.iter().map(|n| Namespace::stored(n)).collect()),
        };
        RecordedVersion { spec, ended }
    }

    /// A cluster in which these users have `view` in `a`, and what is found if only `left` should have it.
    fn found(held: &[&str], left: &[&str], versions: &[RecordedVersion]) -> Vec<String> {
        found_in(&["a"], held, left, versions)
    }

    fn found_in(
        namespaces: &[&str],
        held: &[&str],
        left: &[&str],
        versions: &[RecordedVersion],
    ) -> Vec<String> {
        let (model, plan, desired) = shrinking(held, left);
        let namespaces = namespaces.iter().map(|name| Namespace::stored(name)).collect();
        let mut evidence = Evidence::about(&plan, &model.observed());
        versions.iter().for_each(|version| evidence.add(version, &SubjectNames::default()));
        let found = unexplained(&plan, &desired, &model.observed(), &namespaces, &evidence);
        found.into_values().flatten().map(|subject| subject.name).collect()
    }

    fn shrinking(held: &[&str], left: &[&str]) -> (Model, Plan, Desired) {
        let mut model = Model::new(500);
        let slot = || in_namespace(Role::Viewer, "a");
        model.settle(&desire(&[(slot(), held)]));
        let desired = if left.is_empty() { Desired::default() } else { desire(&[(slot(), left)]) };
        let plan = model.plan(&desired);
        (model, plan, desired)
    }

    #[test]
    fn who_lost_his_name_and_not_his_grant_is_explained_and_a_lost_grant_is_not() {
        let (model, plan, desired) = shrinking(&["old-name"], &[]);
        let versions = [version(&["ann"], &["a"], false)];
        let mut nameless = SubjectNames::default();
        nameless.insert(PrincipalId::stored("ann"), crate::Named::default());
        let namespaces = [Namespace::stored("a")].into();
        let look = |names: &SubjectNames| {
            let mut evidence = Evidence::about(&plan, &model.observed());
            versions.iter().for_each(|version| evidence.add(version, names));
            unexplained(&plan, &desired, &model.observed(), &namespaces, &evidence).len()
        };
        assert_eq!(look(&nameless), 0, "the grant stands, and ann has no name here any more");
        assert_eq!(look(&SubjectNames::default()), 1, "nobody knows why it should go");
    }

    #[test]
    fn what_a_revoke_or_a_later_version_ended_is_explained() {
        assert!(found(&["ann"], &[], &[version(&["ann"], &["a"], true)]).is_empty());
        assert!(found(&["ann", "bob"], &["bob"], &[version(&["ann"], &["a", "b"], true)]).is_empty());
    }

    #[test]
    fn no_further_end_is_asked_for_once_each_place_has_one() {
        let (model, plan, _) = shrinking(&["ann"], &[]);
        let mut evidence = Evidence::about(&plan, &model.observed());
        for (namespace, ended, enough) in [("a", false, false), ("b", true, false), ("a", true, true)] {
            evidence.add(&version(&["ann"], &[namespace], ended), &SubjectNames::default());
            assert_eq!(evidence.knows_every_end(), enough, "{namespace} {ended}");
        }
        assert_eq!(evidence.records.len(), 1, "of other places nothing is kept");
    }

    #[test]
    fn what_no_version_ever_granted_is_not_explained_unless_its_place_is_still_granted() {
        assert_eq!(found(&["ann"], &[], &[]), ["ann"]);
        assert_eq!(found(&["ann"], &[], &[version(&["ann"], &["b"], true)]), ["ann"]);
        assert!(found(&["ann", "mallory"], &["ann"], &[]).is_empty(), "somebody added a subject");
    }

    #[test]
    fn what_the_record_says_still_stands_is_not_explained() {
        let standing = version(&["ann"], &["a"], false);
        assert_eq!(found(&["ann"], &[], std::slice::from_ref(&standing)), ["ann"]);
        assert_eq!(found(&["ann", "bob"], &["bob"], std::slice::from_ref(&standing)), ["ann"]);
        let ended = version(&["ann", "bob"], &["a"], true);
        assert_eq!(found(&["ann", "bob"], &[], &[ended, standing]), ["ann"], "the record speaks of both");
    }

    #[test]
    fn what_is_in_a_namespace_that_is_gone_needs_no_reason() {
        assert!(found_in(&["b"], &["ann"], &[], &[]).is_empty());
    }

    #[test]
    fn what_waits_stays_and_everything_else_goes_on() {
        for left in [&[][..], &["cid"][..]] {
            let (mut model, plan, _) = shrinking(&["ann", "bob", "cid"], left);
            let object = plan.revoke[0].object().clone();
            let waiting = BTreeMap::from([(object.clone(), BTreeSet::from([user("ann")]))]);
            let lesser = hold_back(&model.owner, plan, &model.observed(), &waiting);
            lesser.changes().for_each(|change| model.apply(change));
            let mut names: Vec<String> =
                model.bindings[&object].subjects.iter().map(|subject| subject.name.clone()).collect();
            names.sort();
            let expected: Vec<&str> = ["ann"].into_iter().chain(left.iter().copied()).collect();
            assert_eq!(names, expected);
            // And then it rests.
            let rest = model.plan(&if left.is_empty() {
                Desired::default()
            } else {
                desire(&[(in_namespace(Role::Viewer, "a"), left)])
            });
            assert!(hold_back(&model.owner, rest, &model.observed(), &waiting).is_empty());
        }
    }

    #[test]
    fn the_roles_of_what_is_removed_are_named_in_every_spelling() {
        let (model, plan, _) = shrinking(&["ann"], &[]);
        let roles = removed_roles(&plan, &model.observed());
        assert_eq!(roles, BTreeSet::from(["viewer".to_owned(), "custom:view".to_owned()]));
        let mut bound = model.observed();
        bound[0].subjects = vec![observed_user("ann"), observed_user("ann")];
        assert_eq!(known_subjects(&bound[0]).len(), 1);
    }
}
