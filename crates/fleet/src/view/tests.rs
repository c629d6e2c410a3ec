//! The view under watches that lag behind, repeat, and race with our own writes.

use std::collections::BTreeSet;

use rbac::{ObservedSubject, Scope, Subject, SubjectKind};

use super::*;

fn name() -> ObjectName {
    ObjectName { scope: Scope::Cluster, name: "b".into() }
}

fn observed(version: &str, users: &[&str]) -> ObservedBinding {
    ObservedBinding {
        object: name(),
        uid: "u".into(),
        resource_version: version.into(),
        role_kind: "ClusterRole".into(),
        role_name: "view".into(),
        labels: BTreeMap::new(),
        subjects: users.iter().map(|user| subject(user)).collect(),
        deleting: false,
        finalizers: false,
    }
}

fn subject(user: &str) -> ObservedSubject {
    ObservedSubject {
        kind: "User".into(),
        api_group: rbac::RBAC_GROUP.into(),
        name: user.into(),
        namespace: None,
    }
}

fn event(version: &str, users: &[&str]) -> Object {
    Object::Binding(observed(version, users))
}

fn wanted(users: &[&str]) -> Binding {
    let subject = |user: &&str| Subject { kind: SubjectKind::User, name: (*user).into() };
    Binding {
        object: name(),
        role: domain::Role::Viewer,
        subjects: users.iter().map(subject).collect::<BTreeSet<_>>(),
        labels: BTreeMap::new(),
    }
}

fn listed(version: &str, objects: Vec<Object>) -> View {
    let mut view = View::default();
    view.replace(Kind::ClusterRoleBindings, objects, version).unwrap();
    view
}

fn users(view: &View) -> Vec<&str> {
    view.binding(&name()).map(|b| b.subjects.iter().map(|s| s.name.as_str()).collect()).unwrap_or_default()
}

#[test]
fn the_view_is_complete_only_when_every_kind_was_listed() {
    let mut view = View::default();
    for kind in Kind::ALL {
        assert!(!view.is_complete());
        view.replace(kind, Vec::new(), "1").unwrap();
    }
    assert!(view.is_complete());
}

#[test]
fn the_answer_to_an_apply_counts_at_once_and_its_echo_changes_nothing() {
    let mut view = listed("5", vec![event("3", &["ann"])]);
    assert_eq!(view.learn(observed("7", &["ann", "bob"])), Ok(Effect::Changed));
    assert_eq!(users(&view), ["ann", "bob"]);
    assert_eq!(view.observe(event("6", &["ann"])), Ok(Effect::Nothing), "older than what is known");
    assert_eq!(users(&view), ["ann", "bob"]);
    assert_eq!(view.observe(event("7", &["ann", "bob"])), Ok(Effect::Nothing));
    assert_eq!(view.observe(event("8", &["eve"])), Ok(Effect::Changed));
}

#[test]
fn an_echo_that_comes_before_the_answer_wakes_nobody() {
    let mut view = listed("5", vec![event("3", &["ann"])]);
    view.expect(&name(), Some(&wanted(&["ann", "bob"])));
    assert_eq!(view.observe(event("7", &["ann", "bob"])), Ok(Effect::Nothing));
    assert_eq!(users(&view), ["ann", "bob"]);
    assert_eq!(view.observe(event("8", &["eve"])), Ok(Effect::Changed), "not what was expected");
    view.expect(&name(), None);
    assert_eq!(view.observe_deleted(&event("9", &["eve"])), Effect::Nothing);
    assert!(view.binding(&name()).is_none());
}

#[test]
fn an_answer_that_the_watch_has_passed_does_not_bring_back_what_was_deleted_since() {
    let mut view = listed("5", Vec::new());
    view.observe(event("7", &["ann"])).unwrap();
    assert_eq!(view.observe_deleted(&event("8", &["ann"])), Effect::Changed);
    assert_eq!(view.learn(observed("7", &["ann"])), Ok(Effect::Nothing));
    assert!(view.binding(&name()).is_none());
}

#[test]
fn a_late_deletion_does_not_hit_what_was_made_anew_under_the_name() {
    let mut view = listed("5", vec![event("5", &["ann"])]);
    view.learn_deleted(&name(), "u");
    assert!(view.binding(&name()).is_none());
    view.learn(ObservedBinding { uid: "v".into(), ..observed("9", &["bob"]) }).unwrap();
    assert_eq!(view.observe_deleted(&event("8", &["ann"])), Effect::Nothing);
    assert_eq!(users(&view), ["bob"]);
    view.learn_deleted(&name(), "u");
    assert_eq!(users(&view), ["bob"], "another object than the one that was deleted");
}

#[test]
fn a_new_list_replaces_its_kind_and_no_other() {
    let mut view = listed("5", vec![event("3", &["ann"])]);
    let mut other = observed("3", &["bob"]);
    other.object.scope = Scope::Namespace(Namespace::stored("a"));
    view.replace(Kind::RoleBindings, vec![Object::Binding(other)], "5").unwrap();
    view.replace(Kind::ClusterRoleBindings, Vec::new(), "9").unwrap();
    let left: Vec<String> = view.bindings().iter().map(|b| b.object.to_string()).collect();
    assert_eq!(left, ["RoleBinding a/b"]);
}

#[test]
fn namespaces_that_end_take_nothing_new() {
    let namespace =
        |name: &str, ending| Object::Namespace { name: Namespace::stored(name), ending, version: "1".into() };
    let mut view = View::default();
    assert_eq!(view.observe(namespace("a", false)), Ok(Effect::Changed));
    assert_eq!(view.observe(namespace("a", false)), Ok(Effect::Nothing));
    assert_eq!(view.namespaces().len(), 1);
    assert_eq!(view.observe(namespace("a", true)), Ok(Effect::Changed));
    assert!(view.namespaces().is_empty());
}

#[test]
fn a_cluster_that_holds_too_much_is_refused_and_the_count_does_not_drift() {
    let mut view = View::default();
    let large = "x".repeat(1 << 20);
    let binding = |number: usize, users: &[&str]| {
        let mut binding = observed(&number.to_string(), users);
        binding.object.name = format!("b{}", number % 10);
        Object::Binding(binding)
    };
    for number in 1..1000 {
        view.observe(binding(number, &[&large])).unwrap();
    }
    let weight = view.weight;
    assert_eq!(view.count(), weight);
    for number in 0..10 {
        view.observe_deleted(&binding(2000 + number, &[]));
    }
    assert_eq!(view.weight, 0);
    let many = |prefix: &str| {
        let one = |number| {
            let mut binding = observed("1", &[&large]);
            binding.object.name = format!("{prefix}{number}");
            Object::Binding(binding)
        };
        (0..200).map(one).collect::<Vec<_>>()
    };
    let mut replace = |prefix| view.replace(Kind::ClusterRoleBindings, many(prefix), "1");
    assert_eq!(replace("bailiwick:c"), Err(TooMuch), "and then the kind is not complete");
    // Of others, whom they name is forgotten before it is too much.
    assert_eq!(replace("c"), Ok(Effect::Changed));
}

#[test]
fn the_cluster_roles_that_came_changed_or_went_are_told_once() {
    let role = |name: &str, aggregate: bool| Object::ClusterRole {
        role: ClusterRoleSpec {
            name: name.into(),
            labels: BTreeMap::new(),
            rules: Vec::new(),
            aggregate: if aggregate { vec![BTreeMap::new()] } else { Vec::new() },
        },
        version: "1".into(),
    };
    let mut view = View::default();
    let told = |view: &mut View| view.take_changed_roles().into_iter().collect::<Vec<_>>().join(" ");
    view.replace(Kind::ClusterRoles, vec![role("a", false), role("b", false), role("c", false)], "1")
        .unwrap();
    assert_eq!(told(&mut view), "a b c");
    view.replace(Kind::ClusterRoles, vec![role("a", false), role("b", true)], "2").unwrap();
    assert_eq!(told(&mut view), "b c");
    view.observe(role("a", false)).unwrap();
    view.observe(role("b", false)).unwrap();
    view.observe_deleted(&role("a", false));
    assert_eq!(told(&mut view), "a b");
    assert_eq!(told(&mut view), "");
}

#[test]
fn bindings_of_others_wake_us_only_while_they_may_be_the_reason_for_something() {
    let owner =
        Owner { installation: domain::InstallationId::stored("i"), cluster: domain::ClusterId::stored("c") };
    let mut view = listed("5", Vec::new());
    view.know_ours(&owner, &BTreeSet::new());
    assert_eq!(view.observe(event("6", &["ann"])), Ok(Effect::Changed));
    view.set_interest(Interest::Ours);
    assert_eq!(view.observe(event("7", &["bob"])), Ok(Effect::Nothing));
    assert_eq!(users(&view), ["bob"], "it is known nevertheless");
    assert_eq!(view.observe_deleted(&event("8", &["bob"])), Effect::Nothing);

    let ours = |version| ObservedBinding { labels: rbac::labels(&owner), ..observed(version, &["bob"]) };
    assert_eq!(view.observe(Object::Binding(ours("9"))), Ok(Effect::Changed));
    assert_eq!(view.observe(event("10", &["bob"])), Ok(Effect::Changed), "it lost our labels");
    assert_eq!(view.observe(event("11", &["eve"])), Ok(Effect::Nothing), "and is nobody's now");
    view.know_ours(&owner, &BTreeSet::from([name()]));
    assert_eq!(view.observe(event("12", &["bob"])), Ok(Effect::Changed), "unless its name is recorded");
}
