//! What a pass makes of grants, a view and outcomes.

use domain::{AccountId, GrantSpec, InstallationId, Namespace, NamespaceScope, PrincipalId, PrincipalKind};
use domain::{Principals, Role, Timestamp};
use rbac::{ObservedBinding, ObservedSubject, RBAC_GROUP, Scope, SubjectKind};

use super::*;
use crate::failure::Refusal;
use crate::tracker::Verdict;
use crate::view::{Kind, Object};

fn owner() -> Owner {
    Owner { installation: InstallationId::stored("i"), cluster: ClusterId::stored("c") }
}

fn grant(id: &str, user: &str, role: Role) -> Grant {
    Grant {
        id: GrantId::stored(id),
        account: AccountId::stored("a"),
        spec: GrantSpec {
            name: id.into(),
            role,
            principals: Principals { kind: PrincipalKind::User, ids: vec![PrincipalId::stored(user)] },
            clusters: ClusterScope::All,
            namespaces: NamespaceScope::Listed(vec![Namespace::stored("a")]),
        },
        generation: 1,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        of_owner: false,
        revoked_at: None,
    }
}

fn fleet(grants: Vec<Grant>, revoked: Vec<Grant>) -> FleetDesired {
    let installation = InstallationId::stored("i");
    FleetDesired {
        revision: 1,
        installation,
        grants,
        revoked,
        recorded: BTreeSet::new(),
        names: rbac::SubjectNames::default(),
        stays_for: None,
        suspended: false,
        removed: false,
        stamp: None,
        hold: None,
        most_bindings: 3,
        accepted: std::collections::HashMap::new(),
        role_growth: service::RoleGrowth::Hold,
    }
}

/// A view with namespace `a`, as it is after `grants` were applied.
fn view_of(grants: Vec<Grant>) -> View {
    let mut view = View::default();
    let namespace = Object::Namespace { name: Namespace::stored("a"), ending: false, version: "1".into() };
    view.replace(Kind::Namespaces, vec![namespace], "1").unwrap();
    for change in look(&owner(), &fleet(grants, Vec::new()), &view).plan.grow {
        let Change::Apply(binding) = change else { panic!("nothing to delete") };
        view.observe(Object::Binding(stored(&binding))).unwrap();
    }
    view
}

fn stored(binding: &Binding) -> ObservedBinding {
    let subject = |subject: &Subject| ObservedSubject {
        kind: subject.kind.as_str().into(),
        api_group: RBAC_GROUP.into(),
        name: subject.name.clone(),
        namespace: None,
    };
    ObservedBinding {
        object: binding.object.clone(),
        uid: "u".into(),
        resource_version: "1".into(),
        role_kind: "ClusterRole".into(),
        role_name: binding.role.cluster_role().into(),
        labels: binding.labels.clone(),
        subjects: binding.subjects.iter().map(subject).collect(),
        deleting: false,
        finalizers: false,
    }
}

fn slot(role: Role) -> Slot {
    Slot { role, scope: Scope::Namespace(Namespace::stored("a")) }
}

fn names(subjects: &BTreeSet<Subject>) -> Vec<&str> {
    subjects.iter().map(|subject| subject.name.as_str()).collect()
}

#[test]
fn only_who_is_new_in_a_binding_is_asked_about() {
    let view = view_of(vec![grant("g1", "ann", Role::Viewer)]);
    let grants = vec![grant("g1", "ann", Role::Viewer), grant("g2", "bob", Role::Viewer)];
    let look = look(&owner(), &fleet(grants, Vec::new()), &view);
    assert_eq!(look.added.len(), 1);
    assert_eq!(names(&look.added[&slot(Role::Viewer)]), ["bob"]);
}

#[test]
fn a_revoked_grant_is_left_over_until_no_binding_of_ours_names_it() {
    let mut revoked = grant("g2", "bob", Role::Viewer);
    revoked.revoked_at = Some(Timestamp::from_millis(1));
    let view = view_of(vec![grant("g1", "ann", Role::Viewer), grant("g2", "bob", Role::Viewer)]);
    let fleet = fleet(vec![grant("g1", "ann", Role::Viewer)], vec![revoked]);
    let look = look(&owner(), &fleet, &view);
    assert_eq!(look.plan.removals().count(), 1);
    assert_eq!(look.former[&GrantId::stored("g2")].slots, [slot(Role::Viewer)]);

    let failure = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
    let object = look.plan.revoke[0].object().clone();
    let outcomes = BTreeMap::from([(object, Outcome::Failed(failure))]);
    let left = leftovers(&owner(), &look.desired, &view, &BTreeSet::new(), &outcomes);
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].subject.name.as_str(), left[0].role.as_str()), ("bob", "view"));
    assert!(matches!(&left[0].trouble, Some(Trouble::Refused(why)) if why.contains("remove somebody from")));

    assert!(matches!(&left[0].trouble, Some(Trouble::Refused(why)) if why.contains("base.yaml")));

    let after = view_of(vec![grant("g1", "ann", Role::Viewer)]);
    assert!(leftovers(&owner(), &look.desired, &after, &BTreeSet::new(), &BTreeMap::new()).is_empty());
}

#[test]
fn bindings_of_others_are_never_left_over() {
    let mut view = view_of(Vec::new());
    let foreign = Binding {
        object: ObjectName { scope: Scope::Cluster, name: "theirs".into() },
        role: Role::Viewer,
        subjects: BTreeSet::from([Subject { kind: SubjectKind::User, name: "bob".into() }]),
        labels: BTreeMap::new(),
    };
    view.observe(Object::Binding(stored(&foreign))).unwrap();
    let desired = Desired::default();
    assert!(leftovers(&owner(), &desired, &view, &BTreeSet::new(), &BTreeMap::new()).is_empty());
    let recorded = BTreeSet::from([foreign.object]);
    assert_eq!(leftovers(&owner(), &desired, &view, &recorded, &BTreeMap::new()).len(), 1);
}

#[test]
fn a_slot_is_in_trouble_when_its_binding_or_its_role_could_not_be_written() {
    let view = view_of(Vec::new());
    let grants = vec![grant("g1", "ann", Role::Viewer), grant("g2", "bob", Role::Operator)];
    let look = look(&owner(), &fleet(grants, Vec::new()), &view);
    let forbidden = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
    let silent = Failure::Unreachable("timed out".into());
    let viewer =
        look.plan.grow.iter().find(|c| matches!(c, Change::Apply(b) if b.role == Role::Viewer)).unwrap();
    let outcomes = BTreeMap::from([(viewer.object().clone(), Outcome::Skipped(silent))]);
    let roles = BTreeMap::from([("bailiwick:operator".to_owned(), forbidden)]);
    let found = troubles(&look, &outcomes, &roles);
    assert!(matches!(&found[&slot(Role::Viewer)], Trouble::NoAnswer(_)));
    let Trouble::Refused(why) = &found[&slot(Role::Operator)] else { panic!("refused") };
    assert_eq!(
        why,
        "the connector may not write the ClusterRole bailiwick:operator in this cluster; it may after applying \
         deploy/connector/base.yaml; the API server says: no"
    );
}

#[test]
fn a_role_that_the_connector_may_not_bind_names_what_lets_it() {
    let mut view = view_of(Vec::new());
    let custom = Role::Custom(domain::ClusterRoleName::parse("role", "deployer").unwrap());
    let something = cluster_roles::all().into_iter().find(|role| !role.rules.is_empty()).unwrap();
    let role = ClusterRoleSpec { name: "deployer".into(), ..something };
    view.observe(Object::ClusterRole { role, version: "1".into() }).unwrap();
    let roles = [
        (Role::Administrator, "bind cluster-admin", "deploy/connector/administrator.yaml"),
        (Role::Viewer, "bind view", "deploy/connector/base.yaml"),
        (custom, "bind deployer", "adding a `bind` on deployer"),
    ];
    for (role, action, remedy) in roles {
        let look = look(&owner(), &fleet(vec![grant("g", "ann", role.clone())], Vec::new()), &view);
        let forbidden = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
        let object = look.plan.grow[0].object().clone();
        let outcomes = BTreeMap::from([(object, Outcome::Failed(forbidden))]);
        let found = troubles(&look, &outcomes, &BTreeMap::new());
        let Trouble::Refused(why) = &found[&slot(role)] else { panic!("refused") };
        assert!(why.contains(action) && why.contains(remedy), "{why}");
    }
}

/// Facts after everything that shrinks was refused.
fn after_refusal(before: Vec<Grant>, grants: Vec<Grant>, revoked: Vec<Grant>) -> Facts {
    let view = view_of(before);
    let fleet = fleet(grants, revoked);
    let look = look(&owner(), &fleet, &view);
    let failure = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
    let refused = |change: &Change| (change.object().clone(), Outcome::Failed(failure.clone()));
    let outcomes = look.plan.removals().map(refused).collect();
    let leftovers = leftovers(&owner(), &look.desired, &view, &BTreeSet::new(), &outcomes);
    facts(fleet, look, leftovers)
}

fn facts(fleet: FleetDesired, look: Look, leftovers: Vec<Leftover>) -> Facts {
    Facts::new(fleet, owner(), look, BTreeMap::new(), leftovers)
}

/// Facts after everything that was to be done was done.
fn after_success(fleet: FleetDesired, view: &View) -> Facts {
    let look = look(&owner(), &fleet, view);
    facts(fleet, look, Vec::new())
}

fn called(id: &str, name: Option<&str>) -> (PrincipalId, rbac::Named) {
    let subject = |name: &str| Subject { kind: SubjectKind::User, name: name.to_owned() };
    let refusal = name.is_none().then(|| "it has no name".to_owned());
    (PrincipalId::stored(id), rbac::Named { subjects: name.map(subject).into_iter().collect(), refusal })
}

fn states(facts: &Facts) -> BTreeMap<String, (State, String)> {
    let mut tracker = Tracker::default();
    for (grant, aim, placement) in facts.grants() {
        tracker.see(grant, aim, &placement.slots);
        let round = tracker.get(&grant.id).unwrap().round;
        tracker.answered(&grant.id, round, Verdict::Confirmed, tokio::time::Instant::now());
    }
    let updates = facts.updates(&tracker).into_iter();
    updates.map(|update| (update.grant.to_string(), (update.state, update.reason))).collect()
}

fn in_generation(grant: Grant, generation: i64) -> Grant {
    Grant { generation, ..grant }
}

fn revoked_in(grant: Grant, generation: i64) -> Grant {
    Grant { revoked_at: Some(Timestamp::from_millis(1)), generation, ..grant }
}

fn without_users(mut grant: Grant) -> Grant {
    grant.spec.principals.ids.clear();
    grant
}

#[tokio::test]
async fn whoever_cannot_be_removed_holds_every_grant_that_may_have_named_him() {
    let ann = || grant("g", "ann", Role::Viewer);
    let other = || grant("other", "eve", Role::Viewer);
    // Another user, another role, nobody, and nothing at all any more.
    for now in [
        in_generation(grant("g", "bob", Role::Viewer), 2),
        in_generation(grant("g", "ann", Role::Developer), 2),
        in_generation(without_users(ann()), 2),
    ] {
        let found = states(&after_refusal(vec![ann(), other()], vec![now.clone(), other()], Vec::new()));
        assert_eq!(found["g"].0, State::Failed, "{now:?}");
        assert!(found["g"].1.starts_with("ann still has view"), "{}", found["g"].1);
        assert_eq!(found["other"].0, State::Effective, "it was never changed");
    }
    for now in [
        revoked_in(ann(), 2),
        revoked_in(without_users(ann()), 2),
        revoked_in(in_generation(grant("g", "bob", Role::Developer), 3), 3),
    ] {
        let found = states(&after_refusal(vec![ann()], vec![other()], vec![now.clone()]));
        assert_eq!(found["g"].0, State::Failed, "{now:?}");
    }
}

#[tokio::test]
async fn a_revoke_that_cannot_be_done_is_not_held_against_another_grant() {
    let ann = || grant("g", "ann", Role::Viewer);
    let other = || in_generation(grant("other", "eve", Role::Viewer), 2);
    let found = states(&after_refusal(vec![ann(), other()], vec![other()], vec![revoked_in(ann(), 2)]));
    assert_eq!((found["g"].0, found["other"].0), (State::Failed, State::Effective));
}

#[test]
fn the_names_of_what_is_ours_by_labels_alone_are_to_be_written_down() {
    let view = view_of(vec![grant("g", "ann", Role::Viewer)]);
    let mut fleet = fleet(Vec::new(), Vec::new());
    let labelled = look(&owner(), &fleet, &view).labelled;
    assert_eq!(labelled.len(), 1);
    fleet.recorded.extend(labelled);
    assert!(look(&owner(), &fleet, &view).labelled.is_empty());
}

#[tokio::test]
async fn a_name_that_somebody_else_holds_is_told_in_the_states_of_the_grants_that_it_was_for() {
    let grants = || vec![grant("g", "ann", Role::Viewer), grant("other", "ann", Role::Developer)];
    let mut view = view_of(Vec::new());
    let change = look(&owner(), &fleet(grants(), Vec::new()), &view).plan.grow.into_iter();
    let mut squats = change.filter_map(|change| match change {
        Change::Apply(binding) if binding.role == Role::Viewer => Some(binding),
        Change::Apply(_) | Change::Empty { .. } | Change::Delete { .. } => None,
    });
    let squat = Binding { labels: BTreeMap::new(), ..squats.next().unwrap() };
    view.observe(Object::Binding(stored(&squat))).unwrap();
    let found = states(&after_success(fleet(grants(), Vec::new()), &view));
    assert_eq!(found["g"].0, State::Effective, "by another name");
    assert!(found["g"].1.contains(&format!("name taken: {}", squat.object)), "{}", found["g"].1);
    assert_eq!(found["other"], (State::Effective, String::new()));
}

#[tokio::test]
async fn who_has_no_name_here_is_told_and_a_grant_to_nobody_else_failed() {
    let mut mixed = grant("mixed", "ann", Role::Viewer);
    mixed.spec.principals.ids.push(PrincipalId::stored("bob"));
    let mut fleet = fleet(vec![mixed, grant("alone", "bob", Role::Viewer)], Vec::new());
    for (id, named) in [called("ann", Some("a1")), called("bob", None)] {
        fleet.names.insert(id, named);
    }
    let found = states(&after_success(fleet, &view_of(Vec::new())));
    let told = "not bound here: bob (it has no name)";
    assert_eq!(found["mixed"], (State::Effective, told.to_owned()));
    assert_eq!(found["alone"], (State::Failed, told.to_owned()));
}

#[tokio::test]
async fn a_revoke_says_who_keeps_its_name() {
    let revoked = || revoked_in(grant("gone", "ann", Role::Viewer), 2);
    for (other, role, expected) in [
        ("bob", Role::Viewer, State::RevokedResidual),
        ("bob", Role::Developer, State::Revoked),
        ("eve", Role::Viewer, State::Revoked),
        ("ann", Role::Viewer, State::Revoked),
    ] {
        let mut fleet = fleet(vec![grant("stays", other, role)], vec![revoked()]);
        for (id, named) in [called("ann", Some("x")), called("bob", Some("x")), called("eve", Some("y"))] {
            fleet.names.insert(id, named);
        }
        let found = states(&after_success(fleet, &view_of(Vec::new())));
        assert_eq!(found["gone"].0, expected, "{other}");
        assert_eq!(found["gone"].1.contains("grant stays"), expected == State::RevokedResidual);
    }
}

#[tokio::test]
async fn an_old_name_that_cannot_be_removed_holds_the_grants_in_its_place() {
    let ann = || grant("g", "ann", Role::Viewer);
    let view = view_of(vec![ann()]);
    let mut fleet = fleet(vec![ann(), grant("other", "ann", Role::Developer)], Vec::new());
    let (id, named) = called("ann", Some("x"));
    fleet.names.insert(id, named);
    let look = look(&owner(), &fleet, &view);
    let failure = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
    let refused = |change: &Change| (change.object().clone(), Outcome::Failed(failure.clone()));
    let outcomes = look.plan.shrink.iter().map(refused).collect();
    let left = leftovers(&owner(), &look.desired, &view, &BTreeSet::new(), &outcomes);
    let found = states(&facts(fleet, look, left));
    assert_eq!((found["g"].0, found["other"].0), (State::Failed, State::Effective));
    assert!(found["g"].1.starts_with("ann still has view"), "{}", found["g"].1);
}

#[test]
fn what_exceeds_the_bindings_that_an_account_may_have_fails_and_what_was_applied_stays() {
    let before = vec![
        grant("g1", "ann", Role::Viewer),
        grant("g2", "ann", Role::Developer),
        grant("g3", "ann", Role::Operator),
    ];
    let view = view_of(before.clone());
    let mut more = before;
    more.push(grant("g0", "bob", Role::Administrator));
    more.push(grant("g4", "bob", Role::Viewer));
    let fleet = fleet(more, Vec::new());
    let look = look(&owner(), &fleet, &view);
    let Change::Apply(only) = &look.plan.grow[0] else { panic!("somebody is added") };
    assert_eq!((look.plan.grow.len(), &only.role), (1, &Role::Viewer), "what is there may change");
    assert!(look.plan.removals().next().is_none(), "nothing makes room for it");
    let troubles = troubles(&look, &BTreeMap::new(), &BTreeMap::new());
    let Trouble::Refused(why) = &troubles[&slot(Role::Administrator)] else { panic!("refused") };
    assert!(why.contains("the 3 bindings that it may have"), "{why}");
    let facts = Facts { troubles, ..facts(fleet, look, Vec::new()) };
    let found = states(&facts);
    assert_eq!((found["g0"].0, found["g1"].0), (State::Failed, State::Effective));
}
