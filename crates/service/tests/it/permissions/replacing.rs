//! Replacing, adding and taking away: by whom, and what is left standing.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{ErrorKind, Missing, PrincipalKind, Role};
use futures::future::join_all;
use service::grants::permissions::{Asked, Change, PermissionChange};
use service::{Call, Origin, SignedRequest};

use super::{change, custom, grant_of, kind, permission};
use crate::world::{World, allow, deny, worlds};

async fn start(world: &World) {
    for id in ["c1", "c2"] {
        world.cluster(id).await;
    }
    world.user("ada").await;
    world.user("bob").await;
}

#[tokio::test]
async fn replacing_changes_the_direct_rows_whoever_made_them_and_leaves_others_standing() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        world.principal(PrincipalKind::Group, "team").await;
        service.add_member(root, "team", "ada").await.unwrap();
        let (user, group) = (PrincipalKind::User, PrincipalKind::Group);
        for spec in [
            // One row of one user: as direct as any other.
            grant_of(Role::Developer, user, &["ada"], &["c1"], &["a"]),
            grant_of(Role::Viewer, user, &["ada"], &[], &[]),
            // These say more.
            grant_of(Role::Developer, user, &["ada"], &["c1"], &["b", "c"]),
            grant_of(Role::Developer, user, &["ada", "bob"], &["c1"], &["d"]),
            grant_of(Role::Developer, group, &["team"], &["c1"], &["e"]),
            grant_of(custom("x"), user, &["ada"], &[], &["f"]),
        ] {
            service.create_grant(root, spec).await.unwrap();
        }
        let left = world.changed(root, "ada", &change(Change::Replace, &[("c2", "operator")])).await.unwrap();
        assert_eq!(left, [permission(("c2", "operator"))], "{}: the direct rows are answered", world.on());
        let others =
            ["c1/b developer", "c1/c developer", "c1/d developer", "c1/e developer", "c1/f custom:x"];
        let expected = [&others[..], &["c2 operator", "c2/f custom:x"]].concat();
        assert_eq!(world.rows_of("ada").await, expected);
        assert_eq!(world.rows_of("bob").await, ["c1/d developer"]);
        // What others give as well is given directly too, and then stays when they stop.
        world.set("ada", Change::Replace, &[("c1/e", "developer")]).await;
        service.remove_member(root, "team", "ada").await.unwrap();
        assert!(world.rows_of("ada").await.contains(&"c1/e developer".to_owned()));
    }
}

#[tokio::test]
async fn saying_the_same_again_changes_nothing() {
    for world in worlds().await {
        start(&world).await;
        let rows = [("c1", "viewer"), ("c1", "custom:x"), ("c2/a", "developer")];
        world.set("ada", Change::Replace, &rows).await;
        let before = world.service.list_grants(&world.root).await.unwrap();
        for what in [Change::Replace, Change::Add] {
            world.set("ada", what, &rows).await;
        }
        world.set("ada", Change::Remove, &[("c2", "viewer")]).await;
        let after = world.service.list_grants(&world.root).await.unwrap();
        assert_eq!(before.grants, after.grants, "{}: not even made again", world.on());
    }
}

#[tokio::test]
async fn adding_puts_a_predefined_role_in_the_place_of_another_one_there_and_leaves_custom_ones() {
    for world in worlds().await {
        start(&world).await;
        let before =
            [("c1", "viewer"), ("c1", "custom:x"), ("c1/a", "viewer"), ("c2", "viewer"), ("*", "viewer")];
        world.set("ada", Change::Replace, &before).await;
        world.set("ada", Change::Add, &[("c1", "operator"), ("c1", "custom:y"), ("*", "developer")]).await;
        let expected =
            ["* developer", "c1 operator", "c1 custom:x", "c1 custom:y", "c1/a viewer", "c2 viewer"];
        assert_eq!(world.rows_of("ada").await, expected, "{}", world.on());
    }
}

#[tokio::test]
async fn what_does_not_come_from_direct_grants_alone_is_not_taken_away_and_neither_is_the_rest() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        world.principal(PrincipalKind::Group, "team").await;
        service.add_member(root, "team", "ada").await.unwrap();
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let shared = grant_of(Role::Viewer, PrincipalKind::User, &["ada"], &["c1", "c2"], &["a"]);
        let shared = service.create_grant(root, shared).await.unwrap().id;
        let team = grant_of(Role::Viewer, PrincipalKind::Group, &["team"], &["c2"], &[]);
        let team = service.create_grant(root, team).await.unwrap().id;
        let before = world.rows_of("ada").await;
        for (row, said) in [(("c1/a", "viewer"), shared.as_str()), (("c2", "viewer"), team.as_str())] {
            let remove = change(Change::Remove, &[("c1", "viewer"), row]);
            let refused = world.changed(root, "ada", &remove).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
            assert!(refused.message().contains(said), "{refused}");
            assert_eq!(world.rows_of("ada").await, before, "nothing of it was done");
        }
        world.set("ada", Change::Remove, &[("c1", "viewer"), ("c1", "operator"), ("c2/b", "viewer")]).await;
        assert_eq!(world.rows_of("ada").await, ["c1/a viewer", "c2 viewer", "c2/a viewer"]);
    }
}

#[tokio::test]
async fn who_administers_a_part_changes_that_part_and_is_refused_whole_beyond_it() {
    for world in worlds().await {
        start(&world).await;
        let all = [
            ("*", "viewer"),
            ("c1", "viewer"),
            ("c1/a", "developer"),
            ("c2", "viewer"),
            ("c2/a", "developer"),
        ];
        world.set("ada", Change::Replace, &all).await;
        let carol = world.administrator_of("carol", &["c1"]).await;
        let left =
            world.changed(&carol, "ada", &change(Change::Replace, &[("c1", "operator")])).await.unwrap();
        assert_eq!(left, [permission(("c1", "operator"))], "{}: what is not theirs is not shown", world.on());
        let expected = ["* viewer", "c1 operator", "c2 viewer", "c2/a developer"];
        assert_eq!(world.rows_of("ada").await, expected);
        for rows in [
            &[("c2", "viewer")][..],
            &[("c1", "viewer"), ("c2/a", "viewer")],
            &[("*", "viewer")],
            &[("c1", "viewer"), ("*", "viewer")],
        ] {
            for what in [Change::Replace, Change::Add, Change::Remove] {
                let refused = world.changed(&carol, "ada", &change(what, rows)).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Forbidden, "{rows:?}");
                assert_eq!(refused.denial().map(|denial| denial.missing), Some(Missing::Administration));
                assert_eq!(world.rows_of("ada").await, expected, "{what:?} {rows:?}");
            }
        }
        world.changed(&carol, "ada", &change(Change::Replace, &[])).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["* viewer", "c2 viewer", "c2/a developer"]);
    }
}

#[tokio::test]
async fn who_administers_a_namespace_gives_predefined_roles_there_and_nothing_else() {
    for world in worlds().await {
        start(&world).await;
        world
            .set("ada", Change::Replace, &[("c1", "viewer"), ("c1/a", "custom:x"), ("c1/b", "viewer")])
            .await;
        let carol = world.administrator_of("carol", &["c1/a"]).await;
        world.changed(&carol, "ada", &change(Change::Add, &[("c1/a", "developer")])).await.unwrap();
        // A custom role takes the cluster's administrator, to give it and to take it.
        for rows in [("c1/a", "custom:y"), ("c1/b", "viewer"), ("c1", "viewer"), ("c2/a", "viewer")] {
            for what in [Change::Add, Change::Remove, Change::Replace] {
                let refused = world.changed(&carol, "ada", &change(what, &[rows])).await;
                assert_eq!(kind(&refused), Some(ErrorKind::Forbidden), "{} {rows:?} {what:?}", world.on());
            }
        }
        world.changed(&carol, "ada", &change(Change::Replace, &[])).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c1 viewer", "c1/a custom:x", "c1/b viewer"]);
    }
}

#[tokio::test]
async fn a_deny_of_deleting_or_of_creating_holds_however_it_is_called() {
    for world in worlds().await {
        start(&world).await;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        for (name, denied, rows) in [
            ("no-delete", "bailiwick:grant:delete", &[("c1", "viewer")][..]),
            (
                "no-create",
                "bailiwick:grant:create",
                &[("c1", "viewer"), ("c2", "viewer"), ("c2/a", "viewer")],
            ),
        ] {
            let caller = world.user(name).await;
            world.give(&caller, &allow(&["bailiwick:grant:*"])).await;
            world.give(&caller, &deny(&[denied])).await;
            world.set(name, Change::Replace, &[("*", "administrator")]).await;
            let call = world.call_of(&caller).await;
            let refused = world.changed(&call, "ada", &change(Change::Replace, rows)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{} {name}", world.on());
            let denial = refused.denial().unwrap();
            assert_eq!((denial.action.as_str(), denial.missing), (denied, Missing::Nothing));
            assert_eq!(world.rows_of("ada").await, ["c1 viewer", "c2 viewer"], "{name}");
        }
        // What is asked for must be allowed by its name.
        let caller = world.user("updater").await;
        world.give(&caller, &allow(&["bailiwick:grant:update"])).await;
        world.set("updater", Change::Replace, &[("*", "administrator")]).await;
        let call = world.call_of(&caller).await;
        let granting = PermissionChange { asked: Asked::Grant, ..change(Change::Replace, &[]) };
        assert_eq!(kind(&world.changed(&call, "ada", &granting).await), Some(ErrorKind::Forbidden));
        world.changed(&call, "ada", &change(Change::Replace, &[])).await.unwrap();
    }
}

#[tokio::test]
async fn bad_lists_are_refused_naming_the_entry() {
    for world in worlds().await {
        start(&world).await;
        let (viewer, operator) = (("c1", "viewer"), ("c1", "operator"));
        let custom = ("c1", "custom:x");
        for (rows, field) in
            [(&[viewer, viewer][..], "permissions[1]"), (&[custom, viewer, custom], "permissions[2]")]
        {
            for what in [Change::Replace, Change::Add, Change::Remove] {
                let refused = world.changed(&world.root, "ada", &change(what, rows)).await.unwrap_err();
                assert_eq!(
                    (refused.kind(), refused.field()),
                    (ErrorKind::Invalid, Some(field)),
                    "{}",
                    world.on()
                );
            }
        }
        for what in [Change::Replace, Change::Add] {
            let two = change(what, &[viewer, custom, operator]);
            let refused = world.changed(&world.root, "ada", &two).await.unwrap_err();
            assert_eq!(refused.field(), Some("permissions[2]"), "two predefined roles in one place");
        }
        // What is there may be taken away together, however it came about.
        world.set("ada", Change::Remove, &[viewer, operator]).await;
        let few = PermissionChange { most: 1, ..change(Change::Replace, &[viewer, ("c2", "viewer")]) };
        let refused = world.changed(&world.root, "ada", &few).await.unwrap_err();
        assert_eq!(refused.field(), Some("permissions"));
        // Another account's cluster is as unknown as one that never was.
        let theirs =
            service::NewCluster { id: Some("theirs".into()), name: "c".into(), ..Default::default() };
        world.service.create_cluster(&world.stranger, theirs).await.unwrap();
        for unknown in ["theirs", "never"] {
            for what in [Change::Replace, Change::Add, Change::Remove] {
                let rows = [viewer, (unknown, "viewer")];
                let refused = world.changed(&world.root, "ada", &change(what, &rows)).await.unwrap_err();
                assert_eq!(refused.to_string(), format!("cluster `{unknown}` does not exist"));
            }
        }
        assert_eq!(world.rows_of("ada").await, [""; 0], "nothing of it was done");
    }
}

#[tokio::test]
async fn no_more_rows_go_at_once_than_may() {
    for world in worlds().await {
        start(&world).await;
        let rows = [("c1", "viewer"), ("c1/a", "viewer"), ("c2", "viewer")];
        world.set("ada", Change::Replace, &rows).await;
        let limited = |what, rows| PermissionChange { most_removed: Some(2), ..change(what, rows) };
        let refused = world.changed(&world.root, "ada", &limited(Change::Replace, &[])).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        assert!(refused.message().contains("3 permissions") && refused.message().contains("at most 2"));
        assert_eq!(world.rows_of("ada").await.len(), 3);
        // Who says what is to go knows it.
        world.changed(&world.root, "ada", &limited(Change::Remove, &rows)).await.unwrap();
        world.set("ada", Change::Replace, &rows).await;
        world.changed(&world.root, "ada", &limited(Change::Replace, &[("c2", "viewer")])).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c2 viewer"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_replace_at_once_each_set_is_whole_and_the_losers_are_told_to_come_again() {
    const MANY: usize = 24;
    for world in worlds().await {
        start(&world).await;
        world.set("ada", Change::Replace, &[("c1/start", "viewer")]).await;
        let servers = [Arc::clone(&world.service), world.another_server()];
        // Writer n writes rows of its own: a mix of two sets would show.
        let wanted = |n: usize| {
            let names: Vec<String> = (0..4).map(|row| format!("c1/n{n}-{row}")).collect();
            let rows: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "viewer")).collect();
            change(Change::Replace, &rows)
        };
        let tasks = (0..MANY).map(|n| {
            let (service, call, wanted) = (Arc::clone(&servers[n % 2]), world.root.clone(), wanted(n));
            tokio::spawn(async move { service.change_permissions(&call, "ada", &wanted).await })
        });
        let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(|joined| joined.unwrap()).collect();
        let winners: BTreeSet<usize> = (0..MANY).filter(|n| outcomes[*n].is_ok()).collect();
        assert!(!winners.is_empty() && winners.len() < MANY, "{}: {} won", world.on(), winners.len());
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(refused.kind(), ErrorKind::Contended, "{refused}");
        }
        world.service.follow_revisions().await.unwrap();
        let left = world.rows_of("ada").await;
        let of = |n: usize| -> Vec<String> { wanted(n).permissions.iter().map(super::shown).collect() };
        assert!(winners.iter().any(|n| of(*n) == left), "{}: {left:?}", world.on());
    }
}

#[tokio::test]
async fn a_signed_replacing_that_comes_again_does_not_undo_a_later_one() {
    for world in worlds().await {
        start(&world).await;
        // Each sending of a request has an id of its own.
        let sent = std::sync::atomic::AtomicU64::new(0);
        let signed = |n: u8| {
            let id = sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let origin = Origin { request_id: Arc::from(format!("r-{id}")), ..world.root.origin.clone() };
            let request = SignedRequest::new("AK", &[n], world.clock_in(900));
            Call { origin, signed: Some(request), ..world.root.clone() }
        };
        let wanted = change(Change::Replace, &[("c1", "administrator")]);
        let (a, b) = (Arc::clone(&world.service), world.another_server());
        let first = a.change_permissions(&signed(1), "ada", &wanted).await.unwrap();
        for server in [&a, &b] {
            let again = server.change_permissions(&signed(1), "ada", &wanted).await.unwrap();
            assert_eq!(again, first, "{}: while it stands", world.on());
        }
        // One that changes nothing is remembered too.
        a.change_permissions(&signed(2), "ada", &wanted).await.unwrap();
        world.set("ada", Change::Replace, &[("c2", "viewer")]).await;
        for server in [&a, &b] {
            for n in [1, 2] {
                let late = server.change_permissions(&signed(n), "ada", &wanted).await;
                assert_eq!(kind(&late), Some(ErrorKind::Conflict), "{}: request {n}", world.on());
            }
        }
        assert_eq!(world.rows_of("ada").await, ["c2 viewer"]);
    }
}
