//! Properties of the plan, over random desired states, foreign objects, interruptions and tampering.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Namespace, Role};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::model::*;
use crate::owner::object_name;
use crate::{
    Change, Desired, ObjectName, ObservedBinding, ObservedSubject, Plan, RBAC_GROUP, Scope, Slot, Subject,
    SubjectKind, labels,
};

const LIMIT: usize = 3;

/// What somebody else does to a binding of ours.
#[derive(Clone, Debug)]
enum Tampering {
    StripLabels,
    Relabel,
    AddLabel,
    AddUser(Subject),
    AddServiceAccount,
    BreakGroup,
    Empty,
    Repeat,
    Recreate(Role),
    RecreateAsRole,
    Remove,
    Copy(Role),
    AddFinalizer,
    BeginDeletion,
}

/// A binding that is not ours.
#[derive(Clone, Debug)]
struct Foreign {
    object: ObjectName,
    labels: BTreeMap<String, String>,
    subject: Subject,
    deleting: bool,
}

fn roles() -> impl Strategy<Value = Role> {
    // Viewer and the custom role bind to the same ClusterRole.
    select(vec![Role::Viewer, Role::Developer, Role::Administrator, custom("view")])
}

fn scopes() -> impl Strategy<Value = Scope> {
    let namespace = |name| Scope::Namespace(Namespace::stored(name));
    select(vec![Scope::Cluster, namespace("a"), namespace("b")])
}

fn slots() -> impl Strategy<Value = Slot> {
    (roles(), scopes()).prop_map(|(role, scope)| Slot { role, scope })
}

fn some_subject() -> impl Strategy<Value = Subject> {
    (select(SubjectKind::ALL.to_vec()), 0..7).prop_map(|(kind, n)| Subject { kind, name: format!("s{n}") })
}

fn desires() -> impl Strategy<Value = Desired> {
    btree_map(slots(), btree_set(some_subject(), 1..11), 0..5)
        .prop_map(|slots| Desired { slots, ..Desired::default() })
}

fn foreigners() -> impl Strategy<Value = Vec<Foreign>> {
    let squatted = (slots(), 0_usize..3, 0_usize..2)
        .prop_map(|(slot, shard, attempt)| object_name(&owner(), &slot, shard, attempt));
    let other = (scopes(), 0..3).prop_map(|(scope, n)| ObjectName { scope, name: format!("other-{n}") });
    let labels = select(vec![BTreeMap::new(), labels_of("other", "prod"), labels_of("inst", "other")]);
    let one = (prop_oneof![squatted, other], labels, some_subject(), any::<bool>())
        .prop_map(|(object, labels, subject, deleting)| Foreign { object, labels, subject, deleting });
    vec(one, 0..6)
}

fn tamperings() -> impl Strategy<Value = Vec<(Index, Tampering)>> {
    let one = prop_oneof![
        Just(Tampering::StripLabels),
        Just(Tampering::Relabel),
        Just(Tampering::AddLabel),
        some_subject().prop_map(Tampering::AddUser),
        Just(Tampering::AddServiceAccount),
        Just(Tampering::BreakGroup),
        Just(Tampering::Empty),
        Just(Tampering::Repeat),
        roles().prop_map(Tampering::Recreate),
        Just(Tampering::RecreateAsRole),
        Just(Tampering::Remove),
        roles().prop_map(Tampering::Copy),
        Just(Tampering::AddFinalizer),
        Just(Tampering::BeginDeletion),
    ];
    vec((any::<Index>(), one), 0..6)
}

fn as_observed(subject: &Subject) -> ObservedSubject {
    ObservedSubject {
        kind: subject.kind.as_str().to_owned(),
        api_group: RBAC_GROUP.to_owned(),
        name: subject.name.clone(),
        namespace: None,
    }
}

fn with_foreigners(foreigners: &[Foreign]) -> Model {
    let mut model = Model::new(LIMIT);
    for foreign in foreigners {
        let subjects = vec![as_observed(&foreign.subject)];
        model.put(foreign.object.clone(), "view", foreign.labels.clone(), subjects);
        model.edit(&foreign.object, |binding| binding.deleting = foreign.deleting);
    }
    model
}

fn tamper(model: &mut Model, at: &Index, tampering: &Tampering) {
    let names: Vec<ObjectName> = model.ours().into_iter().map(|binding| binding.object.clone()).collect();
    if names.is_empty() {
        return;
    }
    let name = at.get(&names);
    match tampering {
        Tampering::StripLabels => keep_recorded(model, name, |b| b.labels.clear()),
        Tampering::Relabel => keep_recorded(model, name, |b| b.labels = labels_of("other", "prod")),
        Tampering::AddLabel => model.edit(name, |b| {
            b.labels.insert("team".to_owned(), "blue".to_owned());
        }),
        Tampering::AddUser(subject) => model.edit(name, |b| b.subjects.push(as_observed(subject))),
        Tampering::AddServiceAccount => model.edit(name, |b| {
            let kind = "ServiceAccount".to_owned();
            let namespace = Some("a".to_owned());
            b.subjects.push(ObservedSubject {
                kind,
                api_group: String::new(),
                name: "x".to_owned(),
                namespace,
            });
        }),
        Tampering::BreakGroup => model.edit(name, |b| {
            if let Some(first) = b.subjects.first_mut() {
                first.api_group = "example.com".to_owned();
            }
        }),
        Tampering::Empty => model.edit(name, |b| b.subjects.clear()),
        Tampering::Repeat => model.edit(name, |b| b.subjects.extend(b.subjects.clone())),
        Tampering::Recreate(role) => recreate(model, name, role.cluster_role(), "ClusterRole"),
        Tampering::RecreateAsRole => recreate(model, name, "view", "Role"),
        Tampering::Remove => {
            model.bindings.remove(name);
        }
        Tampering::Copy(role) => {
            let subjects = model.bindings[name].subjects.clone();
            let copy = ObjectName { scope: name.scope.clone(), name: "copy".to_owned() };
            model.put(copy, role.cluster_role(), labels(&owner()), subjects);
        }
        Tampering::AddFinalizer => model.edit(name, |b| b.finalizers = true),
        Tampering::BeginDeletion => model.edit(name, |b| (b.deleting, b.finalizers) = (true, true)),
    }
}

/// A copy that lost its labels was never ours by name, and so would be foreign: those stay as they are.
fn keep_recorded(model: &mut Model, name: &ObjectName, change: impl FnOnce(&mut ObservedBinding)) {
    if model.recorded.contains(name) {
        model.edit(name, change);
    }
}

fn recreate(model: &mut Model, name: &ObjectName, role_name: &str, role_kind: &str) {
    if model.recorded.contains(name) {
        let subjects = model.bindings[name].subjects.clone();
        model.put(name.clone(), role_name, BTreeMap::new(), subjects);
        model.edit(name, |binding| binding.role_kind = role_kind.to_owned());
    }
}

fn foreign_objects(model: &Model, foreigners: &[Foreign]) -> Vec<Option<ObservedBinding>> {
    foreigners.iter().map(|foreign| model.bindings.get(&foreign.object).cloned()).collect()
}

/// What must not be interrupted: what our bindings grant, but those that were given a role not theirs.
fn lasting(model: &Model, plan: &Plan) -> BTreeSet<Held> {
    let replaced: BTreeSet<_> =
        plan.grow.iter().filter(|c| matches!(c, Change::Delete { .. })).map(Change::object).collect();
    let bindings =
        model.ours().into_iter().filter(|b| !replaced.contains(&b.object) && b.role_kind != "Role");
    let bindings = bindings.chain(model.ending().into_iter().filter(|b| b.role_kind != "Role"));
    bindings.flat_map(held_by).collect()
}

/// Does the first `steps` changes, looking after each whether anybody lost what they keep.
fn walk(model: &mut Model, desired: &Desired, steps: usize) -> Result<(), TestCaseError> {
    let plan = model.plan(desired);
    prop_assert_eq!(&plan, &model.plan(desired), "the same question has the same answer");
    let old = lasting(model, &plan);
    let new: BTreeSet<Held> = wanted(desired).into_iter().collect();
    for change in plan.changes().take(steps) {
        model.apply(change);
        let now: BTreeSet<Held> = model.held().into_iter().collect();
        for kept in old.intersection(&new) {
            prop_assert!(now.contains(kept), "{kept:?} was interrupted by {change}\n{plan}");
        }
        for (scope, from, subject) in &old {
            // Whoever moves to another role in the same scope has the old one or the new one.
            for (_, to, _) in new.iter().filter(|(s, _, who)| s == scope && who == subject) {
                let either = [from, to].map(|role| (scope.clone(), role.clone(), subject.clone()));
                prop_assert!(either.iter().any(|held| now.contains(held)), "{either:?}\n{plan}");
            }
        }
    }
    Ok(())
}

/// The model holds exactly what is desired, in as few bindings as possible, and nothing remains to be done.
fn assert_settled(model: &Model, desired: &Desired) -> Result<(), TestCaseError> {
    prop_assert_eq!(model.held(), wanted(desired));
    for binding in model.ending() {
        prop_assert!(binding.subjects.is_empty(), "{} still grants", binding.object);
    }
    let again = model.plan(desired);
    prop_assert!(again.is_empty(), "not idempotent:\n{}", again);
    let fewest: usize = desired.slots.values().map(|subjects| subjects.len().div_ceil(LIMIT)).sum();
    prop_assert_eq!(model.ours().len(), fewest);
    for binding in model.ours() {
        prop_assert!((1..=LIMIT).contains(&binding.subjects.len()));
        prop_assert!(crate::owner::carries(&binding.labels, &labels(&model.owner)));
        prop_assert_eq!(&binding.role_kind, "ClusterRole");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leads_to_what_is_desired_and_interrupts_nobody(
        foreigners in foreigners(), before in desires(), after in desires(),
    ) {
        let mut model = with_foreigners(&foreigners);
        let untouched = foreign_objects(&model, &foreigners);
        walk(&mut model, &before, usize::MAX)?;
        assert_settled(&model, &before)?;
        walk(&mut model, &after, usize::MAX)?;
        assert_settled(&model, &after)?;
        prop_assert_eq!(foreign_objects(&model, &foreigners), untouched);
    }

    #[test]
    fn a_plan_that_was_interrupted_anywhere_is_taken_up_again(
        foreigners in foreigners(), stages in vec((desires(), 0_usize..12), 1..5), last in desires(),
    ) {
        let mut model = with_foreigners(&foreigners);
        let untouched = foreign_objects(&model, &foreigners);
        for (desired, steps) in &stages {
            walk(&mut model, desired, *steps)?;
        }
        walk(&mut model, &last, usize::MAX)?;
        assert_settled(&model, &last)?;
        prop_assert_eq!(foreign_objects(&model, &foreigners), untouched);
    }

    #[test]
    fn tampering_with_our_bindings_is_repaired(
        foreigners in foreigners(), before in desires(), tamperings in tamperings(), after in desires(),
        same in any::<bool>(), steps in 0_usize..12,
    ) {
        let mut model = with_foreigners(&foreigners);
        let untouched = foreign_objects(&model, &foreigners);
        model.settle(&before);
        for (at, tampering) in &tamperings {
            tamper(&mut model, at, tampering);
        }
        let after = if same { &before } else { &after };
        walk(&mut model, after, steps)?;
        walk(&mut model, after, usize::MAX)?;
        assert_settled(&model, after)?;
        prop_assert_eq!(foreign_objects(&model, &foreigners), untouched);

        let ending: Vec<_> = model.ending().into_iter().map(|binding| binding.object.clone()).collect();
        for gone in ending {
            model.bindings.remove(&gone);
        }
        walk(&mut model, after, usize::MAX)?;
        assert_settled(&model, after)?;
    }
}
