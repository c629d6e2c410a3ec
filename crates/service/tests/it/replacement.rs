//! What stays in a cluster that was replaced by another is neither forgotten nor called revoked.

use domain::{ClusterId, ConnectionState, ErrorKind, GrantId, Namespace, State};
use rbac::{ObjectName, Scope};
use service::clusters::rotation::Outcome;
use service::fleet::{FleetReport, StateUpdate};
use service::{IfOther, NewCluster, Removal};

use crate::rotation::{address, kubeconfig};
use crate::world::{World, spec, worlds};

fn left() -> ObjectName {
    ObjectName { scope: Scope::Namespace(Namespace::stored("a")), name: "x".into() }
}

async fn report(world: &World, grant: &GrantId, generation: i64, state: State) {
    let update = StateUpdate { grant: grant.clone(), generation, state, reason: String::new() };
    let report = FleetReport {
        connection: ConnectionState::Connected,
        reason: String::new(),
        version: None,
        states: vec![update],
    };
    world.service.fleet_report(&world.lease("c1").await, report).await.unwrap();
}

/// A cluster with a binding and an effective grant, replaced by another.
pub async fn replaced(world: &World) -> (ClusterId, GrantId) {
    let (service, root) = (&world.service, &world.root);
    world.user("u1").await;
    let new = NewCluster {
        id: Some("c1".into()),
        name: "one".into(),
        kubeconfig: Some(kubeconfig(1, "one")),
        ..NewCluster::default()
    };
    let id = service.create_cluster(root, new).await.unwrap().id;
    let found = domain::ClusterIdentity { uid: Some("uid".into()), keys: ["key".to_owned()].into() };
    assert!(service.fleet_identified(&id, 1, &found).await.unwrap());
    let grant = service.create_grant(root, spec(&["u1"], &["c1"], &[])).await.unwrap().id;
    service.fleet_record(&world.lease("c1").await, &[left()]).await.unwrap();
    report(world, &grant, 1, State::Effective).await;
    world.api_servers.put(&address(2), "other", &["other"]);
    let done = service.rotate_connection(root, "one", &kubeconfig(2, "two"), IfOther::Replace).await.unwrap();
    assert!(matches!(done.outcome, Outcome::Replaced(_)));
    (id, grant)
}

#[tokio::test]
async fn a_grant_revoked_while_its_cluster_is_suspended_is_not_called_revoked_there() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let (id, grant) = replaced(&world).await;
        world.clock.advance_seconds(1);
        let young = service.create_grant(root, spec(&["u1"], &["c1"], &["b"])).await.unwrap().id;
        for one in [&grant, &young] {
            service.revoke_grant(root, one.as_str()).await.unwrap();
        }
        let (_, states) = service.show_grant_states(root, grant.as_str()).await.unwrap();
        let [state] = states.as_slice() else { panic!("{}: {states:?}", world.on()) };
        assert_eq!(state.state, State::Pending, "{}", world.on());
        assert!(state.reason.contains("not revoked in the cluster as it was"), "{}", state.reason);
        let (_, states) = service.show_grant_states(root, young.as_str()).await.unwrap();
        assert!(states.is_empty(), "{}: it never was in effect anywhere: {states:?}", world.on());

        // It was the same cluster after all: now it is revoked there.
        service.resume_cluster(root, "one").await.unwrap();
        let desired = service.fleet_desired(&id).await.unwrap();
        assert_eq!(desired.recorded, [left()].into(), "{}", world.on());
        let revoked: Vec<_> = desired.revoked.iter().map(|grant| grant.id.clone()).collect();
        assert_eq!(revoked, std::slice::from_ref(&grant), "{}", world.on());
        let (_, states) = service.show_grant_states(root, grant.as_str()).await.unwrap();
        assert_eq!((states[0].state, states[0].reason.as_str()), (State::Pending, ""), "{}", world.on());
        report(&world, &grant, desired.revoked[0].generation, State::Revoked).await;
        let (_, states) = service.show_grant_states(root, grant.as_str()).await.unwrap();
        assert_eq!(states[0].state, State::Revoked, "{}", world.on());
    }
}

#[tokio::test]
async fn a_suspended_cluster_is_not_removed_as_if_its_bindings_were_revoked() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let (id, _) = replaced(&world).await;
        let refused = service.delete_cluster(root, "one", Removal::Revoke).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", world.on());
        for said in [left().to_string().as_str(), "--abandon", "--keep-bindings"] {
            assert!(refused.message().contains(said), "{refused}");
        }
        assert!(service.show_cluster(root, "one").await.is_ok(), "nothing was changed");
        let ended = service.delete_cluster(root, "one", Removal::Abandon).await.unwrap();
        assert!(!ended.under_way && ended.remains.objects == [left()], "{}", world.on());
        assert!(ended.remains.command.contains(&format!("bailiwick.dev/cluster={id}")));
    }
}

#[tokio::test]
async fn a_suspended_cluster_in_which_nothing_was_applied_is_removed_at_once() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        replaced(&world).await;
        service.fleet_forget(&world.lease("c1").await, &[left()]).await.unwrap();
        let ended = service.delete_cluster(root, "one", Removal::Revoke).await.unwrap();
        assert!(!ended.under_way && ended.remains.objects.is_empty(), "{}", world.on());
        assert!(service.fleet_clusters().await.unwrap().is_empty(), "{}", world.on());
    }
}
