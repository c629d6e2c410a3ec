//! Grants of custom roles, from a view to plans and states.

use std::collections::BTreeSet;

use domain::{
    AccountId, ClusterId, ClusterRoleName, ClusterScope, GrantSpec, InstallationId, Namespace,
    NamespaceScope, PrincipalId, PrincipalKind, Principals, Timestamp,
};
use rbac::cluster_roles::ClusterRoleSpec;
use rbac::{Change, ObservedBinding, Owner};
use tokio::time::Instant;

use super::*;
use crate::apply::Outcome;
use crate::failure::{Failure, Refusal};
use crate::pass::{self, Facts, Look};
use crate::tracker::{self, Tracker};
use crate::view::{Kind, Object};

const ROLE: &str = "deployer";

fn owner() -> Owner {
    Owner { installation: InstallationId::stored("i"), cluster: ClusterId::stored("c") }
}

fn grant(id: &str, user: &str, namespaces: &[&str]) -> Grant {
    Grant {
        id: GrantId::stored(id),
        account: AccountId::stored("a"),
        spec: GrantSpec {
            name: id.into(),
            role: Role::Custom(ClusterRoleName::parse("role", ROLE).unwrap()),
            principals: Principals { kind: PrincipalKind::User, ids: vec![PrincipalId::stored(user)] },
            clusters: ClusterScope::All,
            namespaces: NamespaceScope::Listed(
                namespaces.iter().map(|name| Namespace::stored(name)).collect(),
            ),
        },
        generation: 1,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        of_owner: false,
        revoked_at: None,
    }
}

fn rule(verbs: &[&str]) -> Rule {
    Rule {
        api_groups: vec!["apps".into()],
        resources: vec!["deployments".into()],
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..Rule::default()
    }
}

fn fleet(grants: Vec<Grant>, accepted: Option<&[Rule]>) -> FleetDesired {
    let accepted = accepted.map(|rules| AcceptedRole {
        cluster_role: ROLE.into(),
        digest: Written::new(rules).unwrap().digest().to_owned(),
        rules: Some(rules.into()),
    });
    let of = |grant: &Grant| accepted.clone().map(|accepted| (grant.id.clone(), accepted));
    FleetDesired {
        revision: 1,
        installation: InstallationId::stored("i"),
        accepted: grants.iter().filter_map(of).collect(),
        role_growth: RoleGrowth::Hold,
        grants,
        revoked: Vec::new(),
        recorded: BTreeSet::new(),
        names: rbac::SubjectNames::default(),
        suspended: false,
        removed: false,
        stamp: None,
        hold: None,
        most_bindings: 100,
        stays_for: None,
    }
}

/// A view with namespaces `a` to `h`, and the role if it has these rules.
fn view(rules: Option<&[Rule]>) -> View {
    let mut view = View::default();
    let namespaces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let namespace =
        |name| Object::Namespace { name: Namespace::stored(name), ending: false, version: "1".into() };
    view.replace(Kind::Namespaces, namespaces.into_iter().map(namespace).collect(), "1").unwrap();
    view.replace(Kind::ClusterRoles, rules.map(role).into_iter().collect(), "1").unwrap();
    view
}

fn role(rules: &[Rule]) -> Object {
    let role = ClusterRoleSpec {
        name: ROLE.into(),
        labels: BTreeMap::new(),
        rules: rules.to_vec(),
        aggregate: Vec::new(),
    };
    Object::ClusterRole { role, version: "1".into() }
}

/// The same, holding everything that these grants ask for while the role is as it was accepted.
fn view_with(grants: &[Grant], before: &[Rule], now: Option<&[Rule]>) -> View {
    let bound = look(&fleet(grants.to_vec(), Some(before)), &view(Some(before)));
    let mut view = view(now);
    for change in bound.plan.grow {
        let Change::Apply(binding) = change else { panic!("nothing to delete") };
        let observed = ObservedBinding {
            object: binding.object.clone(),
            uid: "u".into(),
            resource_version: "1".into(),
            role_kind: "ClusterRole".into(),
            role_name: ROLE.into(),
            labels: binding.labels.clone(),
            subjects: binding.subjects_as_observed().collect(),
            deleting: false,
            finalizers: false,
        };
        view.observe(Object::Binding(observed)).unwrap();
    }
    view
}

fn look(fleet: &FleetDesired, view: &View) -> Look {
    pass::look(&owner(), fleet, view)
}

/// Where the one grant stands after a pass in which everything went well.
fn state(fleet: FleetDesired, view: &View) -> Option<(State, String)> {
    let look = look(&fleet, view);
    standing(fleet, look, Vec::new())
}

fn standing(
    fleet: FleetDesired,
    look: Look,
    leftovers: Vec<crate::states::Leftover>,
) -> Option<(State, String)> {
    let facts = Facts::new(fleet, owner(), look, BTreeMap::new(), leftovers);
    let mut tracker = Tracker::default();
    for (grant, aim, placement) in facts.grants() {
        tracker.see(grant, aim, &placement.slots);
        let round = tracker.get(&grant.id).unwrap().round;
        tracker.answered(&grant.id, round, tracker::Verdict::Confirmed, Instant::now());
    }
    facts.updates(&tracker).into_iter().next().map(|update| (update.state, update.reason))
}

#[tokio::test]
async fn a_role_that_is_not_there_is_not_bound_and_the_grant_failed_until_it_appears() {
    let fleet = || fleet(vec![grant("g", "ann", &["a"])], None);
    let absent = view(None);
    assert!(look(&fleet(), &absent).plan.is_empty());
    let (found, reason) = state(fleet(), &absent).unwrap();
    assert_eq!(found, State::Failed);
    assert!(reason.contains("ClusterRole deployer does not exist"), "{reason}");

    let present = view(Some(&[rule(&["get"])]));
    let look = look(&fleet(), &present);
    assert_eq!(look.plan.grow.len(), 1);
    let new = &look.judged.new;
    assert_eq!(
        (new.len(), new[0].generation, &new[0].rules),
        (1, 1, &Written::new(&[rule(&["get"])]).unwrap())
    );
    assert_eq!(state(fleet(), &present).unwrap().0, State::Effective);
}

#[tokio::test]
async fn what_is_bound_goes_when_the_role_goes_and_comes_back_with_no_more_than_was_accepted() {
    let (grants, before) = (vec![grant("g", "ann", &["a"])], [rule(&["get"])]);
    let fleet = || fleet(grants.clone(), Some(&before));
    assert_eq!(look(&fleet(), &view_with(&grants, &before, None)).plan.removals().count(), 1);
    assert_eq!(state(fleet(), &view(Some(&before))).unwrap().0, State::Effective);
    assert_eq!(state(fleet(), &view(Some(&[rule(&["*"])]))).unwrap().0, State::Held);
}

#[tokio::test]
async fn nobody_accepts_that_a_role_is_empty_or_could_not_be_read() {
    let fleet = || fleet(vec![grant("g", "ann", &["a"])], None);
    for (rules, expected) in [(Vec::new(), State::Pending), (cluster_roles::unread(), State::Failed)] {
        let view = view(Some(&rules));
        let look = look(&fleet(), &view);
        assert!(look.plan.is_empty() && look.judged.new.is_empty(), "{rules:?}");
        assert_eq!(state(fleet(), &view).unwrap().0, expected, "{rules:?}");
    }
    let mut large = role(&[]);
    large.mark_unread();
    assert_eq!(large, role(&cluster_roles::unread()));
}

#[tokio::test]
async fn a_role_that_grew_is_taken_away_and_the_state_says_what_is_new_and_how_to_accept_it() {
    let (grants, before) = (vec![grant("g", "ann", &["a"])], [rule(&["get"])]);
    let view = view_with(&grants, &before, Some(&[rule(&["get", "delete"])]));
    let fleet = || fleet(grants.clone(), Some(&before));
    let look = look(&fleet(), &view);
    assert!(look.plan.grow.is_empty() && look.judged.new.is_empty());
    assert_eq!(look.plan.removals().count(), 1);
    let expected = "role grew: ClusterRole deployer now also allows delete deployments.apps; \
                    `bailiwick grant confirm g` accepts it";
    assert_eq!(state(fleet(), &view), Some((State::Held, expected.to_owned())));
    let mut forgotten = fleet();
    forgotten.accepted.values_mut().for_each(|accepted| accepted.rules = None);
    let (found, reason) = state(forgotten, &view).unwrap();
    assert_eq!(found, State::Held);
    assert!(reason.contains("more than can be compared"), "{reason}");
}

#[tokio::test]
async fn the_way_out_is_told_however_much_a_cluster_writes_into_a_role() {
    let wide = Rule {
        resources: vec!["x".repeat(5_000), "y".repeat(5_000)],
        api_groups: vec!["z".repeat(5_000)],
        verbs: vec!["\u{1b}[31m".repeat(1_000)],
        ..Rule::default()
    };
    let fleet = fleet(vec![grant("g", "ann", &["a"])], Some(&[rule(&["get"])]));
    let (_, reason) = state(fleet, &view(Some(&[wide]))).unwrap();
    assert!(reason.ends_with("…; `bailiwick grant confirm g` accepts it"), "{reason}");
    assert!(!reason.contains('\u{1b}'));
}

#[tokio::test]
async fn who_has_the_same_role_by_another_grant_keeps_it() {
    let (both, before) = ([grant("g", "ann", &["a"]), grant("later", "ann", &["a"])], [rule(&["get"])]);
    let now = [rule(&["get", "delete"])];
    let view = view_with(&both, &before, Some(&now));
    let mut fleet = fleet(both.to_vec(), Some(&before));
    fleet.accepted.remove(&GrantId::stored("later"));
    let look = look(&fleet, &view);
    assert!(look.plan.is_empty(), "{:?}", look.plan);
    assert_eq!(look.judged.withheld.keys().collect::<Vec<_>>(), [&GrantId::stored("g")]);
    assert_eq!(look.judged.new.len(), 1, "the later grant accepts what is there");
}

#[tokio::test]
async fn what_a_role_loses_stays_accepted() {
    let accepted = [rule(&["get", "delete"])];
    for now in [rule(&["get"]), rule(&["delete", "get"])] {
        let fleet = fleet(vec![grant("g", "ann", &["a"])], Some(&accepted));
        let look = look(&fleet, &view(Some(std::slice::from_ref(&now))));
        assert_eq!((look.plan.grow.len(), look.judged.new.len()), (1, 0), "{now:?}");
        assert_eq!(state(fleet, &view(Some(&[now]))).unwrap().0, State::Effective);
    }
    let empty = look(&fleet(vec![grant("g", "ann", &["a"])], Some(&accepted)), &view(Some(&[])));
    assert_eq!(empty.plan.grow.len(), 1, "nor is it taken away when nothing is left of it");
}

#[tokio::test]
async fn where_roles_may_grow_only_one_that_is_not_there_is_withheld() {
    let follow = |accepted| FleetDesired {
        role_growth: RoleGrowth::Follow,
        ..fleet(vec![grant("g", "ann", &["a"])], accepted)
    };
    let (before, now) = ([rule(&["get"])], [rule(&["*"])]);
    for accepted in [None, Some(&before[..])] {
        let look = look(&follow(accepted), &view(Some(&now)));
        assert_eq!((look.plan.grow.len(), look.judged.new.len()), (1, 0));
        assert_eq!(state(follow(accepted), &view(Some(&now))).unwrap().0, State::Effective);
        assert_eq!(state(follow(accepted), &view(None)).unwrap().0, State::Failed);
    }
}

#[test]
fn what_was_accepted_of_another_role_counts_for_nothing() {
    let mut fleet = fleet(vec![grant("g", "ann", &["a"])], Some(&[rule(&["*"])]));
    for accepted in fleet.accepted.values_mut() {
        accepted.cluster_role = "other".into();
    }
    let view = view(Some(&[rule(&["get"])]));
    assert!(differing(&fleet, &view).is_empty());
    assert_eq!(judge(&fleet, &view).new.len(), 1);
}

#[test]
fn accepted_rules_are_asked_for_only_where_the_role_is_not_the_same_any_more() {
    let fleet = fleet(vec![grant("g", "ann", &["a"])], Some(&[rule(&["get", "list"]), rule(&["watch"])]));
    let same = [rule(&["watch"]), rule(&["list", "get"])];
    assert!(differing(&fleet, &view(Some(&same))).is_empty());
    let accepted = fleet.accepted.values().map(|accepted| accepted.digest.clone()).collect();
    assert_eq!(differing(&fleet, &view(Some(&same[..1]))), accepted);
    assert!(differing(&fleet, &view(None)).is_empty());
}

/// A role of about ten megabytes.
fn large() -> Vec<Rule> {
    let words = |length: usize| (0..100_000).map(|n| format!("{n:0length$}")).collect::<Vec<_>>();
    vec![Rule { resources: words(100), ..rule(&["get"]) }]
}

#[test]
fn many_grants_of_a_large_role_share_what_is_known_of_it() {
    let grants: Vec<Grant> = (0..5_000).map(|n| grant(&format!("g{n}"), "ann", &["a"])).collect();
    let view = view(Some(&large()));
    let new = judge(&fleet(grants.clone(), None), &view).new;
    assert_eq!(new.len(), grants.len());
    let first = new[0].rules.digest().as_ptr();
    assert!(new.iter().all(|acceptance| acceptance.rules.digest().as_ptr() == first));
    let held = judge(&fleet(grants, Some(&[rule(&["list"])])), &view).withheld;
    assert_eq!(held.len(), 5_000);
    let told = |held: &Withheld| held.state == State::Held && held.reason.contains("now also allows get ");
    assert!(held.values().all(told), "it is compared once for all");
}

#[test]
fn what_all_comparisons_of_a_pass_take_is_bounded_and_what_is_left_over_is_held() {
    let resources = |from: usize| (from..from + 900).map(|n| format!("r{n}")).collect::<Vec<_>>();
    let each = |verbs: &[&str], extra: usize| -> Vec<Rule> {
        let named = |resource| Rule { resources: vec![resource], ..rule(verbs) };
        resources(0).into_iter().chain([format!("extra-{extra}")]).map(named).collect()
    };
    let grants: Vec<Grant> = (0..200).map(|n| grant(&format!("g{n}"), "ann", &["a"])).collect();
    let mut fleet = fleet(grants, Some(&[]));
    for (n, accepted) in fleet.accepted.values_mut().enumerate() {
        let rules = each(&["get", "list"], n);
        accepted.digest = Written::new(&rules).unwrap().digest().to_owned();
        accepted.rules = Some(rules.into());
    }
    let now: Vec<Rule> = each(&["get"], 0).into_iter().take(900).collect();
    let judged = judge(&fleet, &view(Some(&now)));
    assert!((100..200).contains(&judged.withheld.len()), "{}", judged.withheld.len());
    let mut reasons = judged.withheld.values().map(|held| &held.reason);
    assert!(reasons.all(|reason| reason.contains("more than can be compared")));
}

#[test]
fn a_role_beyond_what_a_pass_reads_is_too_large_and_leaves_room_for_others() {
    let words = (0..1_100_000).map(|n| n.to_string()).collect();
    let huge = vec![Rule { resources: words, ..rule(&["get"]) }];
    let mut view = view(Some(&huge));
    let mut other = grant("other", "ann", &["a"]);
    other.spec.role = Role::Custom(ClusterRoleName::parse("role", "small").unwrap());
    let small = ClusterRoleSpec {
        name: "small".into(),
        labels: BTreeMap::new(),
        rules: vec![rule(&["get"])],
        aggregate: Vec::new(),
    };
    view.observe(Object::ClusterRole { role: small, version: "1".into() }).unwrap();
    let judged = judge(&fleet(vec![grant("g", "ann", &["a"]), other], None), &view);
    assert_eq!(judged.withheld[&GrantId::stored("g")].state, State::Failed);
    assert_eq!(judged.new.len(), 1);
}

#[test]
fn a_role_that_grew_in_many_namespaces_is_no_unexplained_loss() {
    let namespaces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let (grants, before) = (vec![grant("g", "ann", &namespaces)], [rule(&["get"])]);
    let view = view_with(&grants, &before, Some(&[rule(&["*"])]));
    let fleet = fleet(grants, Some(&before));
    let look = look(&fleet, &view);
    let mut evidence = rbac::Evidence::about(&look.plan, view.bindings());
    let version = rbac::RecordedVersion { spec: fleet.grants[0].spec.clone(), ended: false };
    evidence.add(&version, &fleet.names);
    let (desired, bindings) = (&look.desired, view.bindings());
    let mut lost = rbac::unexplained(&look.plan, desired, bindings, &view.namespaces(), &evidence);
    assert_eq!(lost.len(), namespaces.len(), "to who does not know why");
    let eve = rbac::Subject { kind: rbac::SubjectKind::User, name: "eve".into() };
    lost.values_mut().next().unwrap().insert(eve.clone());
    look.drop_withheld(&mut lost, &view);
    assert_eq!(lost.into_values().collect::<Vec<_>>(), [BTreeSet::from([eve])]);
}

#[tokio::test]
async fn a_grown_role_that_cannot_be_taken_away_failed_and_says_both() {
    let (grants, before) = (vec![grant("g", "ann", &["a"])], [rule(&["get"])]);
    let view = view_with(&grants, &before, Some(&[rule(&["*"])]));
    let fleet = fleet(grants, Some(&before));
    let look = look(&fleet, &view);
    let failure = Failure::Refused(Refusal { status: 403, message: "no".into(), ..Refusal::default() });
    let refused = |change: &Change| (change.object().clone(), Outcome::Failed(failure.clone()));
    let outcomes = look.plan.removals().map(refused).collect();
    let left = pass::leftovers(&owner(), &look.desired, &view, &BTreeSet::new(), &outcomes);
    let (found, reason) = standing(fleet, look, left).unwrap();
    assert_eq!(found, State::Failed);
    assert!(reason.starts_with("ann still has deployer"), "{reason}");
}
