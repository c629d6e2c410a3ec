//! Grants through the door.

use domain::{ClusterScope, ErrorKind, Namespace, NamespaceScope, PrincipalKind, State};
use store::testing::number;

use crate::world::{spec, worlds};

#[tokio::test]
async fn a_grant_lives_from_create_to_revoke() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        world.user("u2").await;
        world.cluster("c1").await;
        let wanted = spec(&["u2", "u1"], &["c1"], &["z", "a"]);
        let made = service.create_grant(root, wanted.clone()).await.unwrap();
        assert_eq!(made.spec, wanted, "{}: the caller's order is kept", world.on());
        let listed = service.list_grants(root).await.unwrap();
        assert_eq!(listed.grants, std::slice::from_ref(&made));
        world.clock.advance_seconds(5);
        let same = service.update_grant(root, made.id.as_str(), wanted).await.unwrap();
        assert_eq!(same, made, "saying the same again changes nothing");
        let changed = service.update_grant(root, made.id.as_str(), spec(&["u1"], &[], &[])).await.unwrap();
        assert_eq!((changed.generation, changed.created_at), (2, made.created_at));
        assert!(changed.updated_at > made.updated_at);
        assert_eq!(service.show_grant(root, made.id.as_str()).await.unwrap(), changed);
        service.revoke_grant(root, made.id.as_str()).await.unwrap();
        assert!(service.list_grants(root).await.unwrap().grants.is_empty());
        for gone in [
            service.show_grant(root, made.id.as_str()).await.unwrap_err(),
            service.revoke_grant(root, made.id.as_str()).await.unwrap_err(),
            service.update_grant(root, made.id.as_str(), spec(&["u1"], &[], &[])).await.unwrap_err(),
        ] {
            assert_eq!(gone.kind(), ErrorKind::NotFound);
        }
        let (tombstone, _) = service.show_grant_states(root, made.id.as_str()).await.unwrap();
        assert!(tombstone.revoked_at.is_some(), "it stays readable by its id");
    }
}

#[tokio::test]
async fn what_a_grant_names_must_be_the_accounts_own_and_nothing_is_stored_otherwise() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        world.principal(PrincipalKind::Group, "g1").await;
        let foreign_cluster =
            service::NewCluster { id: Some("fc".into()), name: "fc".into(), ..Default::default() };
        service.create_cluster(&world.stranger, foreign_cluster).await.unwrap();
        let foreign_user = world.stranger.caller.principal.as_str();
        let many = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>();
        let names = many(501);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let too_many_clusters = names[..201].to_vec();
        let mut empty_clusters = spec(&["u1"], &[], &[]);
        empty_clusters.clusters = ClusterScope::Listed(Vec::new());
        let mut empty_namespaces = spec(&["u1"], &[], &[]);
        empty_namespaces.namespaces = NamespaceScope::Listed(Vec::new());
        let mut bad_name = spec(&["u1"], &[], &[]);
        bad_name.name = "Bad".into();
        for (wrong, field) in [
            (spec(&["nobody"], &[], &[]), "principals"),
            (spec(&[foreign_user], &[], &[]), "principals"),
            (spec(&["g1"], &[], &[]), "principals"),
            (spec(&[], &[], &[]), "principals"),
            (spec(&names, &[], &[]), "principals"),
            (spec(&["u1"], &["nowhere"], &[]), "clusters"),
            (spec(&["u1"], &["fc"], &[]), "clusters"),
            (spec(&["u1"], &too_many_clusters, &[]), "clusters"),
            (spec(&["u1"], &[], &names), "namespaces"),
            (empty_clusters, "clusters"),
            (empty_namespaces, "namespaces"),
            (bad_name, "name"),
        ] {
            let error = service.create_grant(root, wrong).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::Invalid, Some(field)),
                "{}: {error}",
                world.on()
            );
        }
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM grants").await, 0);
        let foreign = service.create_grant(root, spec(&["u1"], &["fc"], &[])).await.unwrap_err().to_string();
        let unknown = service.create_grant(root, spec(&["u1"], &["xx"], &[])).await.unwrap_err().to_string();
        assert_eq!(
            foreign.replace("fc", "xx"),
            unknown,
            "another account's id looks like one that never was"
        );
        let error = service.show_grant(&world.stranger, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn repeated_entries_count_once_and_names_need_not_be_unique() {
    for world in worlds().await {
        world.user("u1").await;
        let made =
            world.service.create_grant(&world.root, spec(&["u1", "u1"], &[], &["a", "a"])).await.unwrap();
        assert_eq!(made.spec, spec(&["u1"], &[], &["a"]));
        world.service.create_grant(&world.root, spec(&["u1"], &[], &["a"])).await.unwrap();
        assert_eq!(world.service.list_grants(&world.root).await.unwrap().grants.len(), 2);
    }
}

#[tokio::test]
async fn a_scope_that_is_emptied_is_empty_and_never_everything() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        world.user("u2").await;
        world.cluster("c1").await;
        let grant = service.create_grant(root, spec(&["u1"], &["c1"], &["a"])).await.unwrap();
        service.delete_cluster(root, "c1", service::Removal::Revoke).await.unwrap();
        let left = service.show_grant(root, grant.id.as_str()).await.unwrap();
        assert_eq!(left.spec.clusters, ClusterScope::Listed(Vec::new()), "{}", world.on());
        assert_eq!(left.generation, 2);
        assert!(!left.covers(&domain::ClusterId::stored("c2")));
        service.delete_principal(root, PrincipalKind::User, "u1").await.unwrap();
        let left = service.show_grant(root, grant.id.as_str()).await.unwrap();
        assert!(left.spec.principals.ids.is_empty());
        assert_eq!(left.generation, 3);
        assert_eq!(left.spec.namespaces, NamespaceScope::Listed(vec![Namespace::stored("a")]));
    }
}

#[tokio::test]
async fn a_grant_has_a_state_in_every_cluster_that_it_covers() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        world.cluster("c1").await;
        let grant = service.create_grant(root, spec(&["u1"], &[], &[])).await.unwrap();
        world.cluster("c2").await;
        let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
        let words: Vec<_> = states.iter().map(|state| (state.cluster.as_str(), state.state)).collect();
        assert_eq!(words, [("c1", State::Recorded), ("c2", State::Recorded)], "{}", world.on());
        assert!(
            states.iter().all(|state| state.observed_generation == grant.generation),
            "nothing to wait for"
        );
        let listed = service.list_grant_states(root).await.unwrap();
        assert_eq!(listed[0].1, states);
    }
}

/// Whoever made a grant at one server may go on with it at another at once: nobody has looked for others' commits there.
#[tokio::test]
async fn a_grant_that_was_made_at_another_server_is_there_at_once() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let user = world.user("ada").await;
        assert!(service.list_grants(root).await.unwrap().grants.is_empty(), "{}: a copy is kept", world.on());
        let made =
            world.another_server().create_grant(root, spec(&[user.id.as_str()], &[], &[])).await.unwrap();
        let shown = service.show_grant(root, made.id.as_str()).await.unwrap();
        assert_eq!(shown, made, "{}", world.on());
        let foreign = service.show_grant(&world.stranger, made.id.as_str()).await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound, "{}", world.on());
        world.another_server().revoke_grant(root, made.id.as_str()).await.unwrap();
        let revoked = service.show_grant(root, made.id.as_str()).await.unwrap_err();
        assert_eq!(revoked.kind(), ErrorKind::NotFound, "{}", world.on());
    }
}
