//! Every way in which a grant or a revoke may stand, as tables.

use domain::{AccountId, ClusterScope, GrantId, GrantSpec, NamespaceScope, PrincipalId, PrincipalKind};
use domain::{Principals, Role, Timestamp};
use rbac::{Scope, SubjectKind};
use tokio::time::Instant;

use super::*;
use crate::tracker::{Aim, Tracker};

fn grant(users: &[&str]) -> Grant {
    Grant {
        id: GrantId::stored("g"),
        account: AccountId::stored("a"),
        spec: GrantSpec {
            name: "g".into(),
            role: Role::Viewer,
            principals: Principals {
                kind: PrincipalKind::User,
                ids: users.iter().map(|user| PrincipalId::stored(user)).collect(),
            },
            clusters: ClusterScope::All,
            namespaces: NamespaceScope::All,
        },
        generation: 1,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        of_owner: false,
        revoked_at: None,
    }
}

fn slot(namespace: &str) -> Slot {
    Slot { role: Role::Viewer, scope: Scope::Namespace(Namespace::stored(namespace)) }
}

fn placement(slots: &[&str], missing: &[&str]) -> Placement {
    Placement {
        slots: slots.iter().map(|name| slot(name)).collect(),
        missing: missing.iter().map(|name| Namespace::stored(name)).collect(),
    }
}

fn tracked(verdict: Verdict, changed: bool) -> Tracked {
    let mut tracker = Tracker::default();
    let grant = grant(&["ann"]);
    tracker.see(&grant, Aim::Granted, &[]);
    if changed {
        tracker.changed(&grant.id, Vec::new());
    }
    let round = tracker.get(&grant.id).unwrap().round;
    tracker.answered(&grant.id, round, verdict, Instant::now());
    tracker.get(&grant.id).unwrap().clone()
}

fn refused() -> Trouble {
    Trouble::Refused("may not".into())
}

fn no_answer() -> Trouble {
    Trouble::NoAnswer("silent".into())
}

#[tokio::test]
async fn a_grant_stands_where_its_slots_and_the_cluster_s_answers_put_it() {
    use Verdict::{Confirmed, Contradicted, Unaskable, Unasked};
    let missing_c = "namespaces that do not exist yet: c";
    let both = "namespaces that do not exist yet: a, b";
    let no = || Contradicted("still no".into());
    for (slots, missing, troubles, verdict, changed, expected) in [
        (vec!["a"], vec![], vec![], Confirmed, true, Some((State::Effective, ""))),
        (vec!["a"], vec!["c"], vec![], Confirmed, true, Some((State::Effective, missing_c))),
        (vec!["a"], vec![], vec![], Unasked, true, Some((State::Applied, ""))),
        (vec!["a"], vec![], vec![], Unasked, false, None),
        (vec!["a"], vec![], vec![], no(), true, Some((State::Applied, "still no"))),
        (
            vec!["a"],
            vec![],
            vec![],
            Unaskable("may not ask".into()),
            false,
            Some((State::Applied, "may not ask")),
        ),
        (vec![], vec!["a", "b"], vec![], Unasked, true, Some((State::Pending, both))),
        (vec!["a", "b"], vec![], vec![("b", refused())], Confirmed, true, Some((State::Failed, "may not"))),
        (
            vec!["b"],
            vec!["c"],
            vec![("b", refused())],
            Unasked,
            true,
            Some((State::Failed, "may not; namespaces that do not exist yet: c")),
        ),
        (vec!["a"], vec![], vec![("a", no_answer())], Unasked, true, Some((State::Unreachable, "silent"))),
        (vec!["a"], vec![], vec![("a", no_answer())], Confirmed, true, None),
        (vec!["a"], vec![], vec![("a", Trouble::Waiting)], Unasked, true, None),
        (
            vec!["a", "c"],
            vec![],
            vec![("c", Trouble::NamespaceGone)],
            Confirmed,
            true,
            Some((State::Effective, missing_c)),
        ),
        (
            vec!["c"],
            vec![],
            vec![("c", Trouble::NamespaceGone)],
            Unasked,
            true,
            Some((State::Pending, missing_c)),
        ),
        (
            vec![],
            vec![],
            vec![],
            Unasked,
            true,
            Some((State::Applied, "it lists no namespaces, so it allows nothing")),
        ),
    ] {
        let troubles = troubles.into_iter().map(|(name, trouble)| (slot(name), trouble)).collect();
        let placement = placement(&slots, &missing);
        let found = granted(
            &grant(&["ann"]),
            &placement,
            &troubles,
            None,
            &tracked(verdict, changed),
            &Remarks::default(),
        );
        assert_eq!(
            found,
            expected.map(|(state, reason)| (state, reason.to_owned())),
            "{slots:?} {missing:?}"
        );
    }
}

#[tokio::test]
async fn a_grant_that_names_nobody_is_applied_and_says_so() {
    let (state, reason) = granted(
        &grant(&[]),
        &placement(&[], &[]),
        &BTreeMap::new(),
        None,
        &tracked(Verdict::Unasked, false),
        &Remarks::default(),
    )
    .unwrap();
    assert_eq!(state, State::Applied);
    assert!(reason.contains("names nobody"));
}

#[tokio::test]
async fn a_changed_grant_is_not_effective_while_what_it_allowed_before_cannot_be_removed() {
    let found = |trouble| {
        let left = leftover(trouble);
        let tracked = tracked(Verdict::Confirmed, true);
        granted(
            &grant(&["ann"]),
            &placement(&["a"], &[]),
            &BTreeMap::new(),
            Some(&left),
            &tracked,
            &Remarks::default(),
        )
    };
    let told = "ann still has view, which nothing grants any more: may not";
    assert_eq!(found(Some(refused())), Some((State::Failed, told.into())));
    assert_eq!(found(None), Some((State::Effective, String::new())));
}

#[tokio::test]
async fn a_grant_that_names_nobody_any_more_is_failed_while_somebody_of_before_is_still_allowed() {
    let left = leftover(Some(refused()));
    let found = granted(
        &grant(&[]),
        &placement(&[], &[]),
        &BTreeMap::new(),
        Some(&left),
        &tracked(Verdict::Unasked, false),
        &Remarks::default(),
    );
    assert_eq!(found.map(|(state, _)| state), Some(State::Failed));
}

fn leftover(trouble: Option<Trouble>) -> Leftover {
    Leftover {
        subject: Subject { kind: SubjectKind::User, name: "ann".into() },
        role: "view".into(),
        scope: Scope::Cluster,
        trouble,
    }
}

#[tokio::test]
async fn a_revoke_is_done_only_when_nothing_of_ours_is_left_and_the_cluster_says_no() {
    let left = |trouble| Some(leftover(trouble));
    let told_may_not = "ann still has view, which nothing grants any more: may not";
    let told_silent = "ann still has view, which nothing grants any more: silent";
    for (left, verdict, expected) in [
        (None, Verdict::Confirmed, Some((State::Revoked, ""))),
        (None, Verdict::Contradicted("x allows".into()), Some((State::RevokedResidual, "x allows"))),
        (None, Verdict::Unaskable("may not ask".into()), Some((State::Revoked, "may not ask"))),
        (None, Verdict::Unasked, None),
        (left(Some(refused())), Verdict::Confirmed, Some((State::Failed, told_may_not))),
        (left(Some(no_answer())), Verdict::Confirmed, Some((State::Unreachable, told_silent))),
        (left(None), Verdict::Confirmed, None),
    ] {
        let found = revoked(left.as_ref(), &tracked(verdict.clone(), true), None);
        assert_eq!(found, expected.map(|(state, reason)| (state, reason.to_owned())), "{left:?} {verdict:?}");
    }
}

#[tokio::test]
async fn what_was_confirmed_stays_so_while_the_cluster_does_not_answer() {
    let unreachable_now = Some((State::Unreachable, "silent".to_owned()));
    assert_eq!(unreachable(Some(&tracked(Verdict::Confirmed, true)), "silent"), None);
    assert_eq!(unreachable(Some(&tracked(Verdict::Unasked, true)), "silent"), unreachable_now);
    assert_eq!(unreachable(None, "silent"), unreachable_now);
}

#[test]
fn many_missing_namespaces_are_named_only_in_part() {
    let names: Vec<Namespace> = (0..500).map(|n| Namespace::stored(&format!("namespace-{n}"))).collect();
    let text = missing_text(&names.iter().collect::<Vec<_>>());
    assert!(text.ends_with(", namespace-9 and 490 more"), "{text}");
}
