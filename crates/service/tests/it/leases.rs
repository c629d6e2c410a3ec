//! Several servers on one database: which works for which cluster, and what one may still write that lost it.

use domain::{ConnectionState, ErrorKind, State};
use rbac::{ObjectName, Scope};
use service::fleet::{FleetReport, StateUpdate};
use service::grants::accepted_roles::Acceptance;
use service::{NewCluster, Service};
use store::LeaseRow;
use store::testing::number;

use crate::clusters::KUBECONFIG;
use crate::world::{World, spec, worlds};

async fn connected(world: &World, names: &[&str]) {
    for name in names {
        let new = NewCluster {
            id: Some((*name).to_owned()),
            name: (*name).to_owned(),
            kubeconfig: Some(KUBECONFIG.to_owned()),
            ..NewCluster::default()
        };
        world.service.create_cluster(&world.root, new).await.unwrap();
    }
}

async fn held(service: &Service) -> Vec<String> {
    let clusters = service.fleet_clusters().await.unwrap();
    let share = service.fleet_share(&clusters).await.unwrap();
    for lease in &share.surplus {
        service.fleet_release(lease).await.unwrap();
    }
    let mut held: Vec<String> = share.held.keys().map(ToString::to_string).collect();
    held.sort();
    held
}

async fn seen(world: &World, cluster: &str) -> LeaseRow {
    world.store.leases().await.unwrap().into_iter().find(|row| row.cluster.as_str() == cluster).unwrap()
}

#[tokio::test]
async fn servers_of_one_database_share_its_clusters_evenly() {
    for world in worlds().await {
        connected(&world, &["c1", "c2", "c3", "c4", "c5"]).await;
        let (first, second) = (&world.service, world.another_server());
        if !world.store.is_shared() {
            assert_eq!(held(first).await.len(), 5, "an embedded database has one server");
            assert_eq!(number(&world.store, "SELECT COUNT(*) FROM leases").await, 0, "and needs no leases");
            continue;
        }
        assert_eq!(held(first).await, ["c1", "c2", "c3", "c4", "c5"]);
        assert!(held(&second).await.is_empty(), "nothing is free yet");
        assert_eq!(held(first).await, ["c1", "c2", "c3"], "the first gives back what is too much");
        assert_eq!(held(&second).await, ["c4", "c5"]);
        assert_eq!(held(first).await, ["c1", "c2", "c3"]);
        first.fleet_leave().await.unwrap();
        assert_eq!(held(&second).await, ["c1", "c2", "c3", "c4", "c5"], "who leaves is not waited for");
    }
}

#[tokio::test]
async fn who_lost_a_lease_writes_nothing_any_more() {
    for world in worlds().await {
        if !world.store.is_shared() {
            continue;
        }
        let service = &world.service;
        world.user("u1").await;
        connected(&world, &["c1"]).await;
        let grant = service.create_grant(&world.root, spec(&["u1"], &["c1"], &["a"])).await.unwrap();
        let lease = world.lease("c1").await;
        assert!(service.fleet_confirm(&lease).await.unwrap());
        assert!(world.store.take_lease("somebody-else", &seen(&world, "c1").await).await.unwrap());

        assert!(!service.fleet_confirm(&lease).await.unwrap());
        let names = [ObjectName { scope: Scope::Cluster, name: "x".into() }];
        let (id, generation) = (grant.id.clone(), grant.generation);
        let rules = service::grants::accepted_roles::Written::new(&[]).unwrap();
        let accepted = Acceptance { grant: id, generation, cluster_role: "x".into(), rules };
        let report = FleetReport {
            connection: ConnectionState::Connected,
            reason: String::new(),
            version: None,
            states: vec![StateUpdate {
                grant: grant.id.clone(),
                generation: 1,
                state: State::Effective,
                reason: String::new(),
            }],
        };
        for refused in [
            service.fleet_record(&lease, &names).await,
            service.fleet_accept(&lease, &[accepted]).await,
            service.fleet_forget(&lease, &names).await,
            service.fleet_report(&lease, report).await,
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        }
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM applied_names").await, 0);
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM grant_states").await, 0);
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM accepted_roles").await, 0);
        service.fleet_release(&lease).await.unwrap();
        assert_eq!(seen(&world, "c1").await.server, "somebody-else", "nor does it give back what it lost");
    }
}

#[tokio::test]
async fn a_lease_is_taken_only_as_it_was_seen() {
    for world in worlds().await {
        connected(&world, &["c1"]).await;
        let store = &world.store;
        store.beat("a").await.unwrap();
        assert!(store.take_lease("a", &seen(&world, "c1").await).await.unwrap());
        let first = seen(&world, "c1").await;
        assert!(!store.take_lease("b", &LeaseRow { epoch: 0, ..first.clone() }).await.unwrap());
        store.beat("a").await.unwrap();
        assert!(!store.take_lease("b", &first).await.unwrap(), "{}: its server lives", world.on());
        let beaten = seen(&world, "c1").await;
        assert!(store.confirm_lease("a", &beaten.cluster, beaten.epoch).await.unwrap());
        assert!(!store.take_lease("b", &beaten).await.unwrap(), "{}: the holder made sure", world.on());
        let confirmed = seen(&world, "c1").await;
        assert!(store.take_lease("b", &confirmed).await.unwrap());
        assert!(!store.take_lease("c", &confirmed).await.unwrap(), "{}: b was faster", world.on());
        assert!(!store.confirm_lease("a", &beaten.cluster, beaten.epoch).await.unwrap());
        assert_eq!(seen(&world, "c1").await.epoch, beaten.epoch + 1);
    }
}
