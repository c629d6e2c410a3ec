//! Who may end a cluster, and who learns of its end.

use domain::{ErrorKind, Namespace};
use rbac::{ObjectName, Scope};
use service::{NewCluster, Removal};

use crate::ladder::{assert_refused, attach};
use crate::replacement::replaced;
use crate::rotation::kubeconfig;
use crate::world::worlds;

const ALL_BUT_PROD: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:cluster:*"]},
    {"Effect":"Deny","Resource":["*"],"Action":["bailiwick:cluster:*"],
     "Condition":{"StringEquals":{"bailiwick:ResourceTag/stage":["prod"]}}}]}"#;

#[tokio::test]
async fn the_cluster_of_another_account_ends_like_one_that_never_was() {
    for world in worlds().await {
        let service = &world.service;
        replaced(&world).await;
        for removal in Removal::ALL {
            let theirs = service.delete_cluster(&world.stranger, "c1", removal).await.unwrap_err();
            assert_eq!(theirs.kind(), ErrorKind::NotFound, "{}: {theirs}", world.on());
            let unknown = service.delete_cluster(&world.stranger, "c2", removal).await.unwrap_err();
            assert_eq!(theirs.message().replace("c1", "c2"), unknown.message());
        }
        assert!(service.delete_cluster(&world.root, "c1", Removal::Abandon).await.is_ok(), "untouched");
    }
}

#[tokio::test]
async fn a_cluster_on_its_way_out_is_still_what_policies_say_of_it() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        for (id, stage) in [("c1", "prod"), ("c2", "test")] {
            let new = NewCluster {
                id: Some(id.into()),
                name: id.into(),
                kubeconfig: Some(kubeconfig(1, "one")),
                labels: [("stage".to_owned(), stage.to_owned())].into(),
                ..NewCluster::default()
            };
            service.create_cluster(root, new).await.unwrap();
            let object = ObjectName { scope: Scope::Namespace(Namespace::stored("a")), name: "x".into() };
            service.fleet_record(&world.lease(id).await, &[object]).await.unwrap();
            assert!(service.delete_cluster(root, id, Removal::Revoke).await.unwrap().under_way);
        }
        let mallory = world.user("mallory").await;
        attach(&world, "mallory", ALL_BUT_PROD).await;
        let call = world.call_of(&mallory).await;
        assert_refused("show", service.show_removal(&call, "c1").await);
        assert_refused("abandon", service.delete_cluster(&call, "c1", Removal::Abandon).await);
        assert!(service.show_removal(&call, "c2").await.unwrap().under_way, "{}", world.on());
        assert!(!service.delete_cluster(&call, "c2", Removal::Abandon).await.unwrap().under_way);
        assert!(service.show_removal(root, "c1").await.unwrap().under_way, "still");
    }
}
