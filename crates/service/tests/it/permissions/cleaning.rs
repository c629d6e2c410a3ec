//! Taking everything away.

use domain::{ErrorKind, PrincipalKind, Role};
use service::ClusterUpdate;
use service::grants::permissions::{Activity, Change, Cleaning};

use super::{everywhere, grant_of, kind};
use crate::ladder::attach;
use crate::world::{World, allow, worlds};

fn forced(clusters: Option<&[&str]>) -> Cleaning {
    let clusters = clusters.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
    Cleaning { clusters, activity: Activity::Ignored }
}

async fn start(world: &World) {
    for id in ["c1", "c2"] {
        world.cluster(id).await;
    }
    for id in ["ada", "bob"] {
        world.user(id).await;
    }
}

#[tokio::test]
async fn everything_is_taken_from_one_and_others_keep_what_they_share() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        let user = PrincipalKind::User;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("*", "viewer")]).await;
        for spec in [
            grant_of(Role::Developer, user, &["ada", "bob"], &["c1"], &["d"]),
            grant_of(Role::Developer, user, &["ada"], &["c1", "c2"], &["b", "c"]),
        ] {
            service.create_grant(root, spec).await.unwrap();
        }
        service.clean_permissions(root, "ada", &forced(None)).await.unwrap();
        assert_eq!(world.rows_of("ada").await, [""; 0], "{}", world.on());
        assert_eq!(world.rows_of("bob").await, ["c1/d developer"]);
        service.clean_permissions(root, "ada", &forced(None)).await.unwrap();
    }
}

#[tokio::test]
async fn some_clusters_are_cut_out_of_a_grant_and_what_cannot_be_cut_is_refused() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        let user = PrincipalKind::User;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let spec = grant_of(Role::Developer, user, &["ada"], &["c1", "c2"], &["b"]);
        service.create_grant(root, spec).await.unwrap();
        service.clean_permissions(root, "ada", &forced(Some(&["c1"]))).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c2 viewer", "c2/b developer"], "{}", world.on());
        for spec in [
            grant_of(Role::Viewer, user, &["ada"], &[], &[]),
            grant_of(Role::Viewer, user, &["ada", "bob"], &["c1", "c2"], &[]),
        ] {
            let all = everywhere(&spec.clusters, &spec.namespaces);
            let id = service.create_grant(root, spec).await.unwrap().id;
            let before = world.rows_of("ada").await;
            let refused = service.clean_permissions(root, "ada", &forced(Some(&["c2"]))).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict, "all clusters: {all}");
            assert!(refused.message().contains(id.as_str()), "{refused}");
            assert_eq!(world.rows_of("ada").await, before);
            service.revoke_grant(root, id.as_str()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_would_stay_by_a_group_or_by_owning_the_cluster_is_said_and_nothing_is_done() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        world.principal(PrincipalKind::Group, "team").await;
        service.add_member(root, "team", "ada").await.unwrap();
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let team = grant_of(Role::Developer, PrincipalKind::Group, &["team"], &["c1"], &[]);
        service.create_grant(root, team).await.unwrap();
        let refused = service.clean_permissions(root, "ada", &forced(None)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        assert!(refused.message().contains("team"), "{refused}");
        service.clean_permissions(root, "ada", &forced(Some(&["c2"]))).await.unwrap();
        assert_eq!(world.rows_of("ada").await, ["c1 developer", "c1 viewer"]);
        service.remove_member(root, "team", "ada").await.unwrap();
        let update = ClusterUpdate { owner: Some("ada".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "c1", update).await.unwrap();
        let refused = service.clean_permissions(root, "ada", &forced(None)).await.unwrap_err();
        assert!(refused.message().contains("owning the cluster"), "{refused}");
        let update = ClusterUpdate { owner: Some("bob".into()), ..ClusterUpdate::default() };
        service.update_cluster(root, "c1", update).await.unwrap();
        service.clean_permissions(root, "ada", &forced(None)).await.unwrap();
        assert_eq!(world.rows_of("ada").await, [""; 0]);
    }
}

#[tokio::test]
async fn nobody_cleans_the_root_user_themselves_strangers_or_what_they_do_not_administer() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        start(&world).await;
        world.set("ada", Change::Replace, &[("c1", "viewer"), ("c2", "viewer")]).await;
        let carol = world.administrator_of("carol", &["c1"]).await;
        let own_root = root.caller.principal.as_str();
        for (call, holder, clusters, expected) in [
            (root, own_root, None, Some(ErrorKind::Invalid)),
            (&carol, own_root, None, Some(ErrorKind::Invalid)),
            (&carol, "carol", None, Some(ErrorKind::Invalid)),
            (&carol, "ada", None, Some(ErrorKind::Forbidden)),
            (&carol, "ada", Some(&["c1", "c2"][..]), Some(ErrorKind::Forbidden)),
            (root, "nobody", None, Some(ErrorKind::NotFound)),
            (root, "ada", Some(&["never"]), Some(ErrorKind::NotFound)),
            (&world.stranger, "ada", None, Some(ErrorKind::NotFound)),
            (&carol, "ada", Some(&["c1"]), None),
        ] {
            let cleaned = service.clean_permissions(call, holder, &forced(clusters)).await;
            assert_eq!(kind(&cleaned), expected, "{}: {holder} {clusters:?}", world.on());
        }
        assert_eq!(world.rows_of("ada").await, ["c2 viewer"]);
        let spared = service.clean_permissions(root, "ada", &Cleaning::default()).await.unwrap_err();
        assert_eq!(spared.kind(), ErrorKind::Conflict, "nobody knows whether they were active");
        assert_eq!(world.rows_of("ada").await, ["c2 viewer"]);
    }
}

#[tokio::test]
async fn who_administers_nothing_learns_nothing_about_what_somebody_holds() {
    for world in worlds().await {
        let service = &world.service;
        start(&world).await;
        let spec = grant_of(Role::Viewer, PrincipalKind::User, &["ada", "bob"], &["c1", "c2"], &[]);
        service.create_grant(&world.root, spec).await.unwrap();
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", &allow(&["bailiwick:grant:*"])).await;
        let call = world.call_of(&mallory).await;
        for clusters in [None, Some(&["c1"][..]), Some(&["c1", "c2"][..])] {
            let error = service.clean_permissions(&call, "ada", &forced(clusters)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{}: {error}", world.on());
        }
    }
}
