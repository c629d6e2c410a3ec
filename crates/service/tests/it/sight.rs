//! What a right on some clusters shows of the others, and what decides where a cluster is.

use domain::{ConnectionState, ErrorKind, PrincipalKind, ProjectId, State};
use service::fleet::{FleetReport, StateUpdate};
use service::{Call, ClusterUpdate, NewCluster};

use crate::ladder::{assert_refused, attach};
use crate::rotation::kubeconfig;
use crate::world::{World, spec, worlds};

const OF_TEAM_A: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:cluster:*"],
     "Condition":{"StringEquals":{"bailiwick:ResourceTag/team":["a"]}}},
    {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:grant:*"],
     "Condition":{"StringEquals":{"bailiwick:ClusterId":["c1"]}}}]}"#;
const GROUPS: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:group:show"]}]}"#;

async fn cluster(world: &World, id: &str, name: &str, project: Option<&str>) {
    let project = project.map(str::to_owned);
    let new = NewCluster { id: Some(id.into()), name: name.into(), project, ..NewCluster::default() };
    world.service.create_cluster(&world.root, new).await.unwrap();
}

async fn caller(world: &World, document: &str) -> Call {
    let user = world.user("mallory").await;
    attach(world, "mallory", document).await;
    world.call_of(&user).await
}

#[tokio::test]
async fn a_refusal_does_not_tell_the_id_behind_a_name() {
    for world in worlds().await {
        let service = &world.service;
        cluster(&world, "hidden-id", "prod", None).await;
        let call = caller(&world, OF_TEAM_A).await;
        let update = ClusterUpdate::default;
        for refused in [
            service.show_cluster(&call, "prod").await.unwrap_err(),
            service.update_cluster(&call, "prod", update()).await.unwrap_err(),
            service.delete_cluster(&call, "prod", service::Removal::Abandon).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            let said = format!("{refused:?}");
            assert!(!said.contains("hidden-id"), "{}: {said}", world.on());
            assert!(said.contains("cluster/prod"), "{said}");
        }
    }
}

#[tokio::test]
async fn what_a_grant_left_in_other_clusters_is_not_shown_with_it() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        world.user("ada").await;
        for id in ["c1", "c2"] {
            let config = Some(kubeconfig(1, "one"));
            let new = NewCluster {
                id: Some(id.into()),
                name: id.into(),
                kubeconfig: config,
                ..NewCluster::default()
            };
            service.create_cluster(root, new).await.unwrap();
        }
        let grant = service.create_grant(root, spec(&["ada"], &["c1", "c2"], &[])).await.unwrap().id;
        let state = State::Effective;
        let states = vec![StateUpdate { grant: grant.clone(), generation: 1, state, reason: String::new() }];
        let report = FleetReport {
            connection: ConnectionState::Connected,
            reason: String::new(),
            version: None,
            states,
        };
        service.fleet_report(&world.lease("c2").await, report).await.unwrap();
        service.update_grant(root, grant.as_str(), spec(&["ada"], &["c1"], &[])).await.unwrap();
        let seen_by = async |call: &Call| {
            let (_, one) = service.show_grant_states(call, grant.as_str()).await.unwrap();
            let listed = service.list_grant_states(call).await.unwrap().remove(0).1;
            assert_eq!(one, listed);
            one.into_iter().map(|state| (state.cluster.to_string(), state.state)).collect::<Vec<_>>()
        };
        assert_eq!(seen_by(root).await.len(), 2, "{}", world.on());
        let call = caller(&world, OF_TEAM_A).await;
        assert_eq!(seen_by(&call).await, [("c1".to_owned(), State::Pending)], "{}", world.on());
    }
}

#[tokio::test]
async fn the_project_of_the_cluster_counts_and_not_the_one_that_the_caller_names() {
    for world in worlds().await {
        let (service, root) = (&world.service, &world.root);
        let dev = service.create_project(root, None, "dev").await.unwrap().id;
        cluster(&world, "c1", "mine", Some("dev")).await;
        cluster(&world, "c2", "other", None).await;
        let document = format!(
            r#"{{"Version":"5.0","Statement":[{{"Effect":"Allow","Resource":["*"],
                "Action":["bailiwick:cluster:*","bailiwick:grant:list"],
                "Condition":{{"StringEquals":{{"bailiwick:ProjectId":["{dev}"]}}}}}}]}}"#
        );
        let call = caller(&world, &document).await;
        let naming = |project: Option<&ProjectId>| Call { project: project.cloned(), ..call.clone() };
        for call in [naming(None), naming(Some(&dev))] {
            service.show_cluster(&call, "mine").await.unwrap();
            assert_refused(world.on(), service.show_cluster(&call, "other").await);
            assert_refused("no such", service.show_cluster(&call, "nope").await);
            let seen = service.list_clusters(&call).await.unwrap();
            assert_eq!(seen.len(), 1, "{}", world.on());
        }
        world.user("ada").await;
        service.create_grant(root, spec(&["ada"], &[], &[])).await.unwrap();
        let listed = service.list_grants(&naming(Some(&dev))).await.unwrap();
        assert!(listed.grants.is_empty(), "every cluster is more than a project");
    }
}

#[tokio::test]
async fn the_members_of_a_group_are_a_right_of_their_own() {
    for world in worlds().await {
        let call = caller(&world, GROUPS).await;
        world.service.show_principal(&call, PrincipalKind::Group, "administrators").await.unwrap();
        assert_refused(world.on(), world.service.list_members(&call, "administrators").await);
    }
}
