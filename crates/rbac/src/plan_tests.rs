//! Tests of single rules of the plan, one example each.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Namespace, Role};

use crate::model::*;
use crate::owner::object_name;
use crate::{Change, Desired, MAX_SUBJECTS, ObjectName, Plan, Scope, labels};

const LIMIT: usize = 3;

fn viewers(users: &[&str]) -> Desired {
    desire(&[(in_namespace(Role::Viewer, "a"), users)])
}

fn viewer_name(shard: usize, attempt: usize) -> ObjectName {
    object_name(&owner(), &in_namespace(Role::Viewer, "a"), shard, attempt)
}

fn settled(desired: &Desired) -> Model {
    let mut model = Model::new(LIMIT);
    model.settle(desired);
    model
}

/// The plan without the hashes of names.
fn printed(plan: &Plan) -> Vec<String> {
    let without_hash = |line: &str| {
        line.split(' ')
            .map(|word| match word.rsplit_once(':') {
                Some((role, hash)) if hash.len() == 20 => role,
                Some(_) | None => word,
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    plan.to_string().lines().map(without_hash).collect()
}

/// Repairs the model and says how.
#[track_caller]
fn repaired(model: &mut Model, desired: &Desired) -> Vec<String> {
    let plan = model.settle(desired);
    assert_eq!(model.held(), wanted(desired));
    assert!(model.plan(desired).is_empty(), "{}", model.plan(desired));
    printed(&plan)
}

#[test]
fn a_plan_is_printed_one_change_a_line() {
    let desired = desire(&[
        (everywhere(Role::Viewer), &["ann", "bob"]),
        (in_namespace(custom("deployer"), "a"), &["ann"]),
    ]);
    let mut model = Model::new(LIMIT);
    let plan = repaired(&mut model, &desired);
    assert_eq!(
        plan,
        [
            "apply ClusterRoleBinding bailiwick:viewer (2 subjects)",
            "apply RoleBinding a/bailiwick:custom (1 subject)",
        ]
    );
    assert_eq!(
        repaired(&mut model, &Desired::default()),
        ["delete ClusterRoleBinding bailiwick:viewer", "delete RoleBinding a/bailiwick:custom"]
    );
    assert!(model.bindings.is_empty() && model.recorded.is_empty());
}

#[test]
fn one_more_user_is_one_apply_whatever_the_number_of_shards() {
    let mut model = settled(&viewers(&["b", "c", "d", "e", "f", "g", "h"]));
    assert_eq!(model.bindings.len(), 3);
    let plan = model.settle(&viewers(&["a", "b", "c", "d", "e", "f", "g", "h"]));
    assert_eq!(printed(&plan), ["apply RoleBinding a/bailiwick:viewer (2 subjects)"]);
}

#[test]
fn a_freed_place_is_taken_by_the_next_user() {
    let mut model = settled(&viewers(&["a", "b", "c", "d", "e"]));
    let left = viewers(&["a", "c", "d", "e"]);
    assert_eq!(repaired(&mut model, &left), ["apply RoleBinding a/bailiwick:viewer (2 subjects)"]);
    let joined = viewers(&["a", "c", "d", "e", "f"]);
    assert_eq!(repaired(&mut model, &joined), ["apply RoleBinding a/bailiwick:viewer (3 subjects)"]);
}

#[test]
fn a_shard_too_many_is_emptied_into_the_others_before_it_is_deleted() {
    let mut model = settled(&viewers(&["a", "b", "c", "d"]));
    assert_eq!(
        repaired(&mut model, &viewers(&["a", "c", "d"])),
        [
            "apply RoleBinding a/bailiwick:viewer (4 subjects)",
            "apply RoleBinding a/bailiwick:viewer (3 subjects)",
            "delete RoleBinding a/bailiwick:viewer",
        ]
    );
}

#[test]
fn a_binding_that_was_filled_beyond_the_limit_is_split_before_it_is_cut() {
    let mut model = settled(&viewers(&["a"]));
    model.edit(&viewer_name(0, 0), |binding| {
        binding.subjects = ["a", "b", "c", "d", "e"].map(observed_user).into();
    });
    assert_eq!(
        repaired(&mut model, &viewers(&["a", "b", "c", "d", "e"])),
        [
            "apply RoleBinding a/bailiwick:viewer (2 subjects)",
            "apply RoleBinding a/bailiwick:viewer (3 subjects)"
        ]
    );
}

#[test]
fn a_change_of_role_adds_the_new_role_before_it_removes_the_old() {
    let mut model = settled(&desire(&[(in_namespace(Role::Administrator, "a"), &["ann"])]));
    assert_eq!(
        repaired(&mut model, &viewers(&["ann"])),
        ["apply RoleBinding a/bailiwick:viewer (1 subject)", "delete RoleBinding a/bailiwick:administrator"]
    );
}

#[test]
fn who_only_loses_loses_before_anybody_else_gains() {
    let mut model = settled(&desire(&[
        (in_namespace(Role::Viewer, "a"), &["ann", "bob"]),
        (in_namespace(Role::Administrator, "b"), &["bob"]),
        (in_namespace(Role::Viewer, "c"), &["eve"]),
    ]));
    let desired = desire(&[
        (in_namespace(Role::Viewer, "a"), &["ann"]),
        (in_namespace(Role::Viewer, "b"), &["bob"]),
        (in_namespace(Role::Viewer, "d"), &["cid"]),
    ]);
    assert_eq!(
        repaired(&mut model, &desired),
        [
            "delete RoleBinding c/bailiwick:viewer",
            "apply RoleBinding b/bailiwick:viewer (1 subject)",
            "apply RoleBinding d/bailiwick:viewer (1 subject)",
            "apply RoleBinding a/bailiwick:viewer (1 subject)",
            "delete RoleBinding b/bailiwick:administrator",
        ]
    );
}

#[test]
fn a_binding_that_gains_and_loses_gains_first() {
    let mut model = settled(&viewers(&["ann", "bob"]));
    let desired = viewers(&["bob", "cid"]);
    let plan = model.plan(&desired);
    assert_eq!((plan.grow.len(), plan.shrink.len()), (1, 1));
    assert_eq!(
        repaired(&mut model, &desired),
        [
            "apply RoleBinding a/bailiwick:viewer (3 subjects)",
            "apply RoleBinding a/bailiwick:viewer (2 subjects)"
        ]
    );
}

#[test]
fn a_name_held_by_a_foreign_object_is_reported_and_the_next_one_used() {
    let mut model = Model::new(LIMIT);
    for (attempt, labels) in [(0, BTreeMap::new()), (1, labels_of("other", "prod"))] {
        model.put(viewer_name(0, attempt), "cluster-admin", labels, vec![observed_user("mallory")]);
    }
    let before = model.bindings.clone();
    let desired = viewers(&["ann"]);
    let plan = model.settle(&desired);
    assert_eq!(
        plan.taken.iter().map(|taken| &taken.object).collect::<BTreeSet<_>>(),
        before.keys().collect()
    );
    assert!(plan.taken.iter().all(|taken| desired.slots.contains_key(&taken.slot)));
    assert_eq!(plan.grow.iter().map(Change::object).collect::<Vec<_>>(), [&viewer_name(0, 2)]);
    assert!(before.iter().all(|(name, binding)| model.bindings.get(name) == Some(binding)));

    let again = model.plan(&desired);
    assert!(again.is_empty(), "{again}");
    assert_eq!(again.taken.len(), 2, "as long as the names are held, it is said");

    model.bindings.remove(&viewer_name(0, 0));
    assert_eq!(repaired(&mut model, &desired).len(), 2, "back to the first name: apply, delete");
    assert!(model.bindings.contains_key(&viewer_name(0, 0)));
}

#[test]
fn bindings_of_another_installation_or_another_cluster_id_are_never_touched() {
    let mut model = Model::new(LIMIT);
    let scope = Scope::Namespace(Namespace::stored("a"));
    for (name, labels) in [("x", labels_of("other", "prod")), ("y", labels_of("inst", "other"))] {
        let object = ObjectName { scope: scope.clone(), name: format!("bailiwick:viewer:{name}") };
        model.put(object, "view", labels, vec![observed_user("ann")]);
    }
    assert_eq!(model.plan(&Desired::default()), Plan::default());
}

#[test]
fn a_recorded_name_is_ours_whatever_its_labels_say() {
    let desired = viewers(&["ann"]);
    for labels in [BTreeMap::new(), labels_of("other", "prod"), labels_of("inst", "other")] {
        let mut model = settled(&desired);
        model.edit(&viewer_name(0, 0), |binding| binding.labels = labels.clone());
        assert_eq!(repaired(&mut model, &desired), ["apply RoleBinding a/bailiwick:viewer (1 subject)"]);

        model.edit(&viewer_name(0, 0), |binding| binding.labels = labels);
        assert_eq!(repaired(&mut model, &Desired::default()), ["delete RoleBinding a/bailiwick:viewer"]);
    }
}

#[test]
fn labels_of_others_on_our_binding_are_no_drift() {
    let desired = viewers(&["ann"]);
    let mut model = settled(&desired);
    model.edit(&viewer_name(0, 0), |binding| {
        binding.labels.insert("team".to_owned(), "blue".to_owned());
    });
    assert!(model.plan(&desired).is_empty());
}

#[test]
fn subjects_that_we_did_not_write_are_removed() {
    let desired = viewers(&["ann"]);
    let mut service_account = observed_user("robot");
    (service_account.kind, service_account.namespace) = ("ServiceAccount".to_owned(), Some("a".to_owned()));
    let mut wrong_group = observed_user("ann");
    wrong_group.api_group = String::new();
    for intruder in [observed_user("mallory"), service_account, wrong_group, observed_user("ann")] {
        let mut model = settled(&desired);
        model.edit(&viewer_name(0, 0), |binding| binding.subjects.push(intruder));
        let plan = model.plan(&desired);
        assert!(plan.grow.is_empty() && plan.revoke.len() == 1, "{plan}");
        repaired(&mut model, &desired);
        assert_eq!(model.bindings[&viewer_name(0, 0)].subjects, [observed_user("ann")]);
    }
}

#[test]
fn a_binding_with_another_role_under_our_name_is_replaced() {
    let desired = viewers(&["ann"]);
    for (kind, role) in [("ClusterRole", "cluster-admin"), ("Role", "view")] {
        let mut model = settled(&desired);
        model.edit(&viewer_name(0, 0), |binding| {
            (binding.role_kind, binding.role_name) = (kind.to_owned(), role.to_owned());
        });
        let plan = model.plan(&desired);
        assert!(matches!(plan.grow.as_slice(), [Change::Delete { .. }, Change::Apply(_)]), "{plan}");
        assert!(plan.removals().next().is_none(), "{plan}");
        repaired(&mut model, &desired);
    }
}

#[test]
fn a_copy_with_our_labels_under_another_name_is_deleted() {
    let desired = viewers(&["ann"]);
    let mut model = settled(&desired);
    let copy = ObjectName { scope: Scope::Cluster, name: "innocent".to_owned() };
    model.put(copy, "cluster-admin", labels(&owner()), vec![observed_user("mallory")]);
    assert_eq!(repaired(&mut model, &desired), ["delete ClusterRoleBinding innocent"]);
}

#[test]
fn a_binding_whose_deletion_has_begun_is_emptied_and_replaced_under_another_name() {
    let desired = viewers(&["ann"]);
    let mut model = settled(&desired);
    model.edit(&viewer_name(0, 0), |binding| (binding.deleting, binding.finalizers) = (true, true));
    let plan = model.settle(&desired);
    assert_eq!(plan.grow.iter().map(Change::object).collect::<Vec<_>>(), [&viewer_name(0, 1)]);
    assert!(matches!(plan.shrink.as_slice(), [Change::Empty { .. }]) && plan.taken.is_empty(), "{plan}");
    assert!(model.plan(&desired).is_empty(), "it may take as long as it likes");
    assert_eq!(model.plan(&Desired::default()).revoke.len(), 1);
}

#[test]
fn what_a_finalizer_would_keep_is_emptied_before_it_is_deleted_whatever_it_binds_to() {
    let desired = viewers(&["ann"]);
    for (kind, role) in [("ClusterRole", "view"), ("ClusterRole", "cluster-admin"), ("Role", "view")] {
        let mut model = settled(&desired);
        model.edit(&viewer_name(0, 0), |binding| {
            (binding.role_kind, binding.role_name) = (kind.to_owned(), role.to_owned());
            binding.finalizers = true;
        });
        assert_eq!(
            repaired(&mut model, &Desired::default()),
            ["empty RoleBinding a/bailiwick:viewer", "delete RoleBinding a/bailiwick:viewer"]
        );
        assert_eq!(model.ending().len(), 1);
        // Somebody names himself in what is ending.
        model.edit(&viewer_name(0, 0), |binding| binding.subjects.push(observed_user("mallory")));
        assert_eq!(repaired(&mut model, &Desired::default()), ["empty RoleBinding a/bailiwick:viewer"]);
    }
}

#[test]
fn a_finalizer_on_what_stays_changes_nothing_and_a_wrong_role_that_it_keeps_gets_another_name() {
    let desired = viewers(&["ann"]);
    let mut model = settled(&desired);
    model.edit(&viewer_name(0, 0), |binding| binding.finalizers = true);
    assert!(model.plan(&desired).is_empty());
    model.edit(&viewer_name(0, 0), |binding| binding.role_name = "cluster-admin".to_owned());
    let plan = model.settle(&desired);
    assert_eq!(plan.grow.iter().map(Change::object).collect::<Vec<_>>(), [&viewer_name(0, 1)]);
    assert!(matches!(plan.shrink.as_slice(), [Change::Empty { .. }, Change::Delete { .. }]), "{plan}");
    assert!(model.plan(&desired).is_empty());
}

#[test]
fn two_registrations_of_one_api_server_add_up() {
    let desired = viewers(&["ann"]);
    let mut model = settled(&desired);
    let first = model.bindings.clone();
    model.owner.cluster = domain::ClusterId::stored("second");
    model.recorded.clear();
    model.settle(&desired);
    assert_eq!(model.bindings.len(), 2);
    model.settle(&Desired::default());
    assert_eq!(model.bindings, first);
}

#[test]
fn objects_grow_with_roles_and_scopes_and_not_with_users() {
    let users: BTreeSet<_> = (0..1000).map(|n| user(&format!("user-{n}"))).collect();
    let roles = [Role::Operator, Role::Developer, Role::Viewer, custom("deployer")];
    let slots = (0..200).flat_map(|n| roles.clone().map(|role| in_namespace(role, &format!("ns-{n}"))));
    let mut desired =
        Desired { slots: slots.map(|slot| (slot, users.clone())).collect(), ..Desired::default() };
    let mut model = Model::new(MAX_SUBJECTS);
    model.settle(&desired);
    assert_eq!(model.bindings.len(), 800 * 2, "1,000 subjects fill two bindings");

    for subjects in desired.slots.values_mut() {
        *subjects = (0..50)
            .map(|n| crate::Subject { kind: crate::SubjectKind::Group, name: n.to_string() })
            .collect();
    }
    model.settle(&desired);
    assert_eq!(model.bindings.len(), 800);
}

#[test]
fn a_hundred_thousand_bindings_are_planned_without_looking_at_pairs() {
    let mut desired = Desired::default();
    for namespace in 0..25_000 {
        for role in [Role::Operator, Role::Developer, Role::Viewer, custom("deployer")] {
            let subjects = BTreeSet::from([user("ann"), user("bob"), user(&namespace.to_string())]);
            desired.slots.insert(in_namespace(role, &format!("ns-{namespace}")), subjects);
        }
    }
    let mut model = Model::new(MAX_SUBJECTS);
    assert_eq!(model.settle(&desired).grow.len(), 100_000);
    let observed = model.observed();
    let started = std::time::Instant::now();
    let again = crate::plan(&model.owner, &desired, &observed, &model.recorded);
    println!("100,000 bindings compared in {:?}", started.elapsed());
    assert!(again.is_empty());
}
