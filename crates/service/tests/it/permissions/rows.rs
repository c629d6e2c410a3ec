//! From grants to rows.

use std::sync::Arc;

use domain::{ErrorKind, PrincipalKind, Role};
use service::grants::permissions::{Change, Completeness, Sight};
use service::{ClusterUpdate, NewCluster, Removal};

use super::{MOST, change, custom, grant_of, kind};
use crate::world::{World, allow, worlds};

async fn clusters(world: &World) {
    for id in ["c1", "c2"] {
        world.cluster(id).await;
    }
    world.user("ada").await;
}

#[tokio::test]
async fn rows_are_merged_and_sorted_and_each_says_where_it_comes_from() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        clusters(&world).await;
        world.user("bob").await;
        world.principal(PrincipalKind::Group, "team").await;
        service.add_member(root, "team", "ada").await.unwrap();
        let (user, group) = (PrincipalKind::User, PrincipalKind::Group);
        world.set("ada", Change::Replace, &[("c1/b", "developer"), ("c1/b", "custom:x")]).await;
        for spec in [
            grant_of(Role::Developer, user, &["ada", "bob"], &["c1"], &["b"]),
            grant_of(Role::Developer, group, &["team"], &["c2", "c1"], &["b", "a"]),
            grant_of(Role::Viewer, user, &["ada"], &[], &[]),
            grant_of(custom("y"), user, &["ada"], &[], &["z"]),
        ] {
            service.create_grant(root, spec).await.unwrap();
        }
        let update = ClusterUpdate { owner: Some("ada".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "c2", update).await.unwrap();
        let seen = service.list_permissions(root, "ada", Sight::Administered, MOST).await.unwrap();
        assert_eq!(seen.complete, Completeness::Complete);
        let shown: Vec<String> = seen
            .rows
            .iter()
            .map(|row| {
                let mut through: Vec<&str> = row.through.iter().map(|one| one.kind.as_str()).collect();
                through.sort_unstable();
                format!("{} {}", super::shown(&row.permission), through.join(","))
            })
            .collect();
        let expected = [
            "* viewer direct",
            "c1/a developer group",
            "c1/b developer direct,group,shared",
            "c1/b custom:x direct",
            "c1/z custom:y shared",
            "c2 administrator owner",
            "c2/a developer group",
            "c2/b developer group",
            "c2/z custom:y shared",
        ];
        assert_eq!(shown, expected, "{}", world.on());
        let group = seen.rows[1].through[0].group.clone().unwrap();
        assert_eq!((group.0.as_str(), group.1.as_str()), ("team", "team"));
        assert!(seen.rows[5].is_of_owner() && !seen.rows[0].is_of_owner());
    }
}

#[tokio::test]
async fn the_same_rows_are_the_same_list_until_something_changes() {
    for world in worlds().await {
        clusters(&world).await;
        world.set("ada", Change::Replace, &[("c1", "viewer")]).await;
        let rows = async || {
            let listed = world.service.list_permissions(&world.root, "ada", Sight::Administered, MOST).await;
            listed.unwrap().rows
        };
        let first = rows().await;
        assert!(Arc::ptr_eq(&first, &rows().await), "{}: kept", world.on());
        // Another server's changes count as well.
        let other = world.another_server();
        other
            .change_permissions(&world.root, "ada", &change(Change::Add, &[("c2", "viewer")]))
            .await
            .unwrap();
        world.service.follow_revisions().await.unwrap();
        assert_eq!(rows().await.len(), 2);
    }
}

#[tokio::test]
async fn more_rows_than_there_may_be_are_an_error_and_never_a_cut_list() {
    for world in worlds().await {
        clusters(&world).await;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let listed =
            async |most| world.service.list_permissions(&world.root, "ada", Sight::Administered, most).await;
        for _ in 0..2 {
            assert_eq!(kind(&listed(1).await), Some(ErrorKind::Conflict), "{}", world.on());
            assert_eq!(listed(2).await.unwrap().rows.len(), 2);
        }
    }
}

#[tokio::test]
async fn only_users_and_agencies_of_the_account_have_rows() {
    for world in worlds().await {
        clusters(&world).await;
        world.principal(PrincipalKind::Group, "team").await;
        let foreign = world.stranger.caller.principal.as_str();
        for id in ["nobody", "team", foreign, "c1", ""] {
            let listed = world.service.list_permissions(&world.root, id, Sight::Administered, MOST).await;
            assert_eq!(kind(&listed), Some(ErrorKind::NotFound), "{}: {id}", world.on());
            let changed = world.changed(&world.root, id, &change(Change::Replace, &[])).await;
            assert_eq!(kind(&changed), Some(ErrorKind::NotFound), "{id}");
        }
    }
}

#[tokio::test]
async fn others_see_what_they_administer_and_their_own_only_where_that_is_offered() {
    for world in worlds().await {
        clusters(&world).await;
        world
            .set(
                "ada",
                Change::Replace,
                &[("*", "viewer"), ("c1", "viewer"), ("c1/a", "viewer"), ("c2", "viewer")],
            )
            .await;
        let bob = world.administrator_of("bob", &["c1", "c2/a"]).await;
        assert_eq!(world.seen(&bob, "ada").await, ["c1 viewer", "c1/a viewer"], "{}", world.on());
        let listed = world.service.list_permissions(&bob, "ada", Sight::Administered, MOST).await.unwrap();
        assert_eq!(listed.complete, Completeness::Partial);
        assert_eq!(world.seen(&bob, "bob").await, ["c1 administrator"], "their own are no exception");
        let own = world.service.list_permissions(&bob, "bob", Sight::AdministeredAndOwn, MOST).await.unwrap();
        assert_eq!(own.rows.len(), 2);
        // Without a policy one sees one's own where that is offered, and nothing else.
        let eve = world.user("eve").await;
        let eve = world.call_of(&eve).await;
        for (holder, sight, expected) in [
            ("eve", Sight::AdministeredAndOwn, None),
            ("eve", Sight::Administered, Some(ErrorKind::Forbidden)),
            ("ada", Sight::AdministeredAndOwn, Some(ErrorKind::Forbidden)),
            ("nobody", Sight::Administered, Some(ErrorKind::Forbidden)),
        ] {
            let listed = world.service.list_permissions(&eve, holder, sight, MOST).await;
            assert_eq!(kind(&listed), expected, "{holder} {sight:?}");
        }
        // Who administers everything sees everything, but only where the right to read holds.
        let carol = world.administrator_of("carol", &["*"]).await;
        assert_eq!(world.seen(&carol, "ada").await.len(), 4);
        let dave = world.user("dave").await;
        let document = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],
            "Action":["bailiwick:grant:list"],"Condition":{"StringEquals":{"bailiwick:ClusterId":["c2"]}}}]}"#;
        world.give(&dave, document).await;
        world.set("dave", Change::Replace, &[("*", "administrator")]).await;
        assert_eq!(world.seen(&world.call_of(&dave).await, "ada").await, ["c2 viewer"]);
    }
}

#[tokio::test]
async fn an_owners_right_comes_with_being_named_and_ends_with_another_owner_and_with_the_cluster() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        clusters(&world).await;
        world.user("bob").await;
        let new = |owner: Option<&str>, id: &str| NewCluster {
            id: Some(id.into()),
            name: id.into(),
            owner: owner.map(str::to_owned),
            ..NewCluster::default()
        };
        service.create_cluster(root, new(Some("ada"), "owned")).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["owned administrator"], "{}", world.on());
        // Asking for something else there is no error, and changes nothing.
        for what in [Change::Replace, Change::Add, Change::Remove] {
            for rows in
                [&[("owned", "viewer")][..], &[("owned/a", "developer")], &[("owned", "administrator")]]
            {
                world.set("ada", what, rows).await;
                assert_eq!(world.rows_of("ada").await, ["owned administrator"], "{what:?} {rows:?}");
            }
        }
        world.set("ada", Change::Replace, &[]).await;
        assert_eq!(world.rows_of("ada").await, ["owned administrator"]);
        // They may give there what they have.
        let ada = service.show_principal(root, PrincipalKind::User, "ada").await.unwrap();
        world.give(&ada, &allow(&["bailiwick:grant:*"])).await;
        let call = world.call_of(&ada).await;
        world.changed(&call, "bob", &change(Change::Replace, &[("owned", "operator")])).await.unwrap();

        let update = ClusterUpdate { owner: Some("bob".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "owned", update).await.unwrap();
        assert_eq!(world.rows_of("ada").await, [""; 0]);
        assert_eq!(world.rows_of("bob").await, ["owned administrator", "owned operator"]);
        let refused = world.changed(&call, "bob", &change(Change::Add, &[("owned", "viewer")])).await;
        assert_eq!(kind(&refused), Some(ErrorKind::Forbidden));
        service.delete_cluster(root, "owned", Removal::Abandon).await.unwrap();
        assert_eq!(world.rows_of("bob").await, [""; 0]);
        // Whoever only registers a cluster is given nothing there.
        service.create_cluster(root, new(None, "mine")).await.unwrap();
        assert_eq!(world.rows_of(root.caller.principal.as_str()).await, [""; 0]);
    }
}
