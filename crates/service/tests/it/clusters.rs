//! Clusters, and what their workers ask and report.

use std::collections::BTreeMap;

use domain::{ClusterId, ConnectionState, ErrorKind, Namespace, State};
use rbac::{ObjectName, Scope};
use service::fleet::{FleetReport, StateUpdate};
use service::{NewCluster, Removal};
use store::testing::{number, text};

use crate::world::{World, spec, worlds};

pub const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
    contexts:\n- name: c\n  context: {cluster: c, user: u}\n\
    clusters:\n- name: c\n  cluster:\n    server: https://127.0.0.1:6443\n    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=\n\
    users:\n- name: u\n  user: {token: hunter2}\n";

async fn connected(world: &World) -> ClusterId {
    let new = NewCluster {
        id: Some("c1".into()),
        name: "one".into(),
        kubeconfig: Some(KUBECONFIG.into()),
        labels: BTreeMap::from([("env".into(), "dev".into())]),
        ..NewCluster::default()
    };
    world.service.create_cluster(&world.root, new).await.unwrap().id
}

fn name(namespace: Option<&str>, name: &str) -> ObjectName {
    let scope = namespace.map_or(Scope::Cluster, |namespace| Scope::Namespace(Namespace::stored(namespace)));
    ObjectName { scope, name: name.into() }
}

fn report(states: Vec<StateUpdate>) -> FleetReport {
    FleetReport {
        connection: ConnectionState::Connected,
        reason: String::new(),
        version: Some("v1.20.2".into()),
        states,
    }
}

#[tokio::test]
async fn a_connection_is_sealed_and_only_its_server_is_shown() {
    for world in worlds().await {
        let id = connected(&world).await;
        let shown = world.service.show_cluster(&world.root, "one").await.unwrap();
        assert_eq!(shown.server.as_deref(), Some("https://127.0.0.1:6443"), "{}", world.on());
        assert_eq!((shown.connection, shown.region.as_str()), (ConnectionState::Connecting, "default"));
        assert_eq!(shown.labels.get("env").map(String::as_str), Some("dev"));
        let sealed = text(&world.store, "SELECT sealed_connection FROM clusters WHERE id = 'c1'").await;
        assert!(!sealed.contains("hunter2") && !format!("{shown:?}").contains("hunter2"));
        let opened = world.service.fleet_connection(&id).await.unwrap().unwrap();
        assert_eq!(opened.server, "https://127.0.0.1:6443");
        let foreign = world.service.show_cluster(&world.stranger, "c1").await.unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_is_refused_naming_the_field() {
    for world in worlds().await {
        let base = || NewCluster { name: "n".into(), ..NewCluster::default() };
        let text = |text: &str| Some(text.to_owned());
        let metadata = KUBECONFIG.replace("127.0.0.1", "169.254.169.254");
        let exec = KUBECONFIG.replace("{token: hunter2}", "{exec: {command: id}}");
        for (new, field) in [
            (NewCluster { name: "a/b".into(), ..base() }, "name"),
            (NewCluster { id: text("a b"), ..base() }, "id"),
            (NewCluster { project: text("nope"), ..base() }, "project"),
            (NewCluster { project: text(world.stranger.caller.projects[0].as_str()), ..base() }, "project"),
            (NewCluster { enterprise_project: text("nope"), ..base() }, "enterpriseProject"),
            (NewCluster { owner: text("nope"), ..base() }, "owner"),
            (NewCluster { labels: BTreeMap::from([("a b".into(), "c".into())]), ..base() }, "labels"),
            (NewCluster { kubeconfig: Some(metadata), ..base() }, "kubeconfig"),
            (NewCluster { kubeconfig: Some(exec), ..base() }, "kubeconfig"),
            (NewCluster { kubeconfig: text("not yaml: ["), ..base() }, "kubeconfig"),
        ] {
            let error = world.service.create_cluster(&world.root, new).await.unwrap_err();
            assert!(
                error.field().is_some_and(|found| found.starts_with(field)),
                "{}: {field}: {error:?}",
                world.on()
            );
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        world.cluster("c").await;
        let twice =
            world.service.create_cluster(&world.root, NewCluster { name: "c".into(), ..base() }).await;
        assert_eq!(twice.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM clusters").await, 1);
    }
}

#[tokio::test]
async fn a_worker_sees_one_snapshot_and_its_reports_are_shown() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        assert_eq!(service.fleet_clusters().await.unwrap().len(), 1, "{}", world.on());
        let grant = service.create_grant(root, spec(&["u1"], &["c1"], &["a"])).await.unwrap();
        let names = [name(None, "x"), name(Some("a"), "y")];
        service.fleet_record(&world.lease(id.as_str()).await, &names).await.unwrap();
        service.fleet_record(&world.lease(id.as_str()).await, &names).await.unwrap();
        let desired = service.fleet_desired(&id).await.unwrap();
        assert_eq!(desired.grants, std::slice::from_ref(&grant));
        assert_eq!(desired.recorded.into_iter().collect::<Vec<_>>(), names);
        let update = |state, reason: &str| StateUpdate {
            grant: grant.id.clone(),
            generation: 1,
            state,
            reason: reason.into(),
        };
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(State::Applied, "")]))
            .await
            .unwrap();
        world.clock.advance_seconds(7);
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(State::Applied, "why")]))
            .await
            .unwrap();
        let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
        assert_eq!((states[0].state, states[0].reason.as_str()), (State::Applied, "why"));
        assert_eq!(states[0].since, grant.created_at, "the same state since then");
        let cluster = service.show_cluster(root, "c1").await.unwrap();
        assert_eq!((cluster.connection, cluster.version.as_str()), (ConnectionState::Connected, "v1.20.2"));
        let changed =
            service.update_grant(root, grant.id.as_str(), spec(&["u1"], &["c1"], &["b"])).await.unwrap();
        let (_, states) = service.show_grant_states(root, changed.id.as_str()).await.unwrap();
        assert_eq!(states[0].state, State::Pending, "nobody spoke about this generation yet");
    }
}

#[tokio::test]
async fn what_was_confirmed_stays_confirmed_while_the_cluster_does_not_answer() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        let confirmed = service.create_grant(root, spec(&["u1"], &["c1"], &[])).await.unwrap();
        let pending = service.create_grant(root, spec(&["u1"], &["c1"], &["a"])).await.unwrap();
        let update = |grant: &domain::Grant, state| StateUpdate {
            grant: grant.id.clone(),
            generation: 1,
            state,
            reason: String::new(),
        };
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(&confirmed, State::Effective)]))
            .await
            .unwrap();
        let down = vec![update(&confirmed, State::Unreachable), update(&pending, State::Unreachable)];
        service.fleet_report(&world.lease(id.as_str()).await, report(down)).await.unwrap();
        let state =
            |id: String| async move { service.show_grant_states(root, &id).await.unwrap().1[0].state };
        assert_eq!(state(confirmed.id.to_string()).await, State::Effective, "{}", world.on());
        assert_eq!(state(pending.id.to_string()).await, State::Unreachable);
    }
}

#[tokio::test]
async fn a_revoke_is_unfinished_until_the_worker_says_so() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        world.cluster("c2").await;
        let grant = service.create_grant(root, spec(&["u1"], &["c1"], &[])).await.unwrap();
        let update = |generation, state| StateUpdate {
            grant: grant.id.clone(),
            generation,
            state,
            reason: String::new(),
        };
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(1, State::Effective)]))
            .await
            .unwrap();
        service.update_grant(root, grant.id.as_str(), spec(&["u1"], &["c2"], &[])).await.unwrap();
        let desired = service.fleet_desired(&id).await.unwrap();
        assert!(desired.grants.is_empty(), "{}: it no longer covers the cluster", world.on());
        assert_eq!(desired.revoked.len(), 1);
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(2, State::Revoked)]))
            .await
            .unwrap();
        assert!(service.fleet_desired(&id).await.unwrap().revoked.is_empty());
        service.revoke_grant(root, grant.id.as_str()).await.unwrap();
        let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
        assert_eq!(states.iter().filter(|state| state.cluster.as_str() == "c1").count(), 1);
    }
}

#[tokio::test]
async fn a_removed_clusters_connection_stays_until_nothing_of_ours_is_left_there() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        service.create_grant(root, spec(&["u1"], &[], &[])).await.unwrap();
        service.fleet_record(&world.lease(id.as_str()).await, &[name(None, "x")]).await.unwrap();
        service.delete_cluster(root, "c1", Removal::Revoke).await.unwrap();
        assert!(service.list_clusters(root).await.unwrap().is_empty(), "{}", world.on());
        assert_eq!(service.fleet_clusters().await.unwrap().len(), 1, "its worker has something to do");
        assert!(
            service.fleet_desired(&id).await.unwrap().grants.is_empty(),
            "not even a grant on all clusters"
        );
        service.fleet_forget(&world.lease(id.as_str()).await, &[name(None, "x")]).await.unwrap();
        assert!(service.fleet_clusters().await.unwrap().is_empty());
        assert_eq!(
            number(&world.store, "SELECT COUNT(*) FROM clusters WHERE sealed_connection IS NOT NULL").await,
            0
        );
        let again = NewCluster { name: "one".into(), ..NewCluster::default() };
        assert!(service.create_cluster(root, again).await.is_ok(), "its name is free");
    }
}

#[tokio::test]
async fn a_revoke_that_overtakes_the_first_report_leaves_its_trace_in_every_connected_cluster() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        world.cluster("detached").await;
        for clusters in [&["c1"][..], &[][..]] {
            let grant = service.create_grant(root, spec(&["u1"], clusters, &[])).await.unwrap();
            service.revoke_grant(root, grant.id.as_str()).await.unwrap();
            let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
            let words: Vec<_> = states.iter().map(|state| (state.cluster.as_str(), state.state)).collect();
            assert_eq!(words, [("c1", State::Pending)], "{}: somebody must say that it is done", world.on());
            assert_eq!(service.fleet_desired(&id).await.unwrap().revoked.len(), 1);
            let done = StateUpdate {
                grant: grant.id.clone(),
                generation: 2,
                state: State::Revoked,
                reason: String::new(),
            };
            service.fleet_report(&world.lease(id.as_str()).await, report(vec![done])).await.unwrap();
            assert!(service.fleet_desired(&id).await.unwrap().revoked.is_empty());
            let (_, states) = service.show_grant_states(root, grant.id.as_str()).await.unwrap();
            assert_eq!(states[0].state, State::Revoked);
        }
    }
}

#[tokio::test]
async fn a_cluster_that_was_given_up_and_taken_again_is_given_up_anew() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("u1").await;
        let id = connected(&world).await;
        world.cluster("c2").await;
        let grant = service.create_grant(root, spec(&["u1"], &["c1"], &[])).await.unwrap();
        let update = |generation, state| StateUpdate {
            grant: grant.id.clone(),
            generation,
            state,
            reason: String::new(),
        };
        service.update_grant(root, grant.id.as_str(), spec(&["u1"], &["c2"], &[])).await.unwrap();
        service
            .fleet_report(&world.lease(id.as_str()).await, report(vec![update(2, State::Revoked)]))
            .await
            .unwrap();
        service.update_grant(root, grant.id.as_str(), spec(&["u1"], &["c1"], &[])).await.unwrap();
        service.update_grant(root, grant.id.as_str(), spec(&["u1"], &["c2"], &[])).await.unwrap();
        assert_eq!(service.fleet_desired(&id).await.unwrap().revoked.len(), 1, "{}", world.on());
    }
}

#[tokio::test]
async fn no_name_is_recorded_for_a_cluster_whose_connection_is_gone() {
    for world in worlds().await {
        let id = connected(&world).await;
        let names = [name(None, "x")];
        world.service.delete_cluster(&world.root, "c1", Removal::Revoke).await.unwrap();
        let refused = world.service.fleet_record(&world.lease(id.as_str()).await, &names).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{}: then nothing is applied", world.on());
        assert_eq!(number(&world.store, "SELECT COUNT(*) FROM applied_names").await, 0);
    }
}

#[tokio::test]
async fn workers_are_woken_by_what_clusters_must_follow_and_by_nothing_else() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let mut changes = service.changes();
        world.user("u1").await;
        service.create_project(root, None, "p").await.unwrap();
        service.create_access_key(root, "u1", "").await.unwrap();
        assert!(!changes.has_changed().unwrap(), "{}", world.on());
        for woken in ["create", "update", "revoke", "cluster", "principal"] {
            changes.mark_unchanged();
            match woken {
                "create" => drop(service.create_grant(root, spec(&["u1"], &[], &[])).await.unwrap()),
                "cluster" => drop(world.cluster("c9").await),
                "principal" => {
                    service.delete_principal(root, domain::PrincipalKind::User, "u1").await.unwrap()
                }
                change => {
                    let id = service.list_grants(root).await.unwrap().grants[0].id.to_string();
                    if change == "update" {
                        service.update_grant(root, &id, spec(&["u1"], &[], &["a"])).await.unwrap();
                    } else {
                        service.revoke_grant(root, &id).await.unwrap();
                    }
                }
            }
            assert!(changes.has_changed().unwrap(), "{woken}");
        }
    }
}
