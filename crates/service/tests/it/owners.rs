//! Who may make themselves a cluster's administrator, or slip out of what a policy says about its labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ErrorKind;
use service::{Call, ClusterUpdate, NewCluster};

use crate::ladder::{assert_refused, attach};
use crate::world::{World, spec, worlds};

const CLUSTERS: &str = r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Resource":["*"],"Action":[
    "bailiwick:cluster:*","bailiwick:grant:*"]}]}"#;
const OF_TEAM_A: &str = r#"{"Version":"5.0","Statement":[
    {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:cluster:*"],
     "Condition":{"StringEquals":{"bailiwick:ResourceTag/team":["a"]}}}]}"#;

fn labels(team: &str) -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([("team".to_owned(), team.to_owned())]))
}

fn owner(id: &str) -> ClusterUpdate {
    ClusterUpdate { owner: Some(id.to_owned()), ..ClusterUpdate::default() }
}

fn relabel(team: &str) -> ClusterUpdate {
    ClusterUpdate { labels: labels(team), ..ClusterUpdate::default() }
}

fn arrive(template: &str) -> ClusterUpdate {
    let mut update = ClusterUpdate::default();
    update.arrival.users = Some(vec![template.to_owned()]);
    update
}

async fn caller(world: &World, name: &str, document: &str) -> Call {
    let user = world.user(name).await;
    attach(world, name, document).await;
    world.call_of(&user).await
}

#[tokio::test]
async fn whoever_may_update_a_cluster_does_not_make_themselves_its_administrator() {
    for world in worlds().await {
        let service = &world.service;
        world.cluster("prod").await;
        let call = caller(&world, "mallory", CLUSTERS).await;
        assert_refused("owner", service.update_cluster(&call, "prod", owner("mallory")).await);
        assert_refused("arrival", service.update_cluster(&call, "prod", arrive("{name}")).await);
        assert_refused("labels", service.update_cluster(&call, "prod", relabel("b")).await);
        assert_refused("grant", service.create_grant(&call, spec(&["mallory"], &["prod"], &[])).await);
        // Whose it is may give it away, and is then as others are.
        let new = NewCluster { id: Some("own".into()), name: "own".into(), ..NewCluster::default() };
        service.create_cluster(&call, new).await.unwrap();
        service.update_cluster(&call, "own", arrive("{name}")).await.unwrap();
        world.user("ada").await;
        service.update_cluster(&call, "own", owner("ada")).await.unwrap();
        assert_refused("back", service.update_cluster(&call, "own", owner("mallory")).await);
        // Nothing new is no change.
        service.update_cluster(&call, "own", owner("ada")).await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_is_not_relabelled_out_of_or_into_what_a_policy_covers() {
    for world in worlds().await {
        let service = &world.service;
        let call = caller(&world, "mallory", OF_TEAM_A).await;
        for (id, team) in [("ours", "a"), ("theirs", "b")] {
            let new = NewCluster {
                id: Some(id.into()),
                name: id.into(),
                labels: labels(team).unwrap_or_default(),
                owner: Some("mallory".into()),
                ..NewCluster::default()
            };
            service.create_cluster(&world.root, new).await.unwrap();
        }
        assert_refused("into", service.update_cluster(&call, "theirs", relabel("a")).await);
        let refused = service.update_cluster(&call, "ours", relabel("b")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{}", world.on());
        let kept = service.show_cluster(&world.root, "ours").await.unwrap();
        assert_eq!(Some(kept.labels), labels("a"));
        service.update_cluster(&call, "ours", owner("mallory")).await.unwrap();
    }
}

#[tokio::test]
async fn a_limited_session_makes_no_key_for_who_has_grants_or_clusters() {
    const KEYS: &str = r#"{"Version":"5.0","Statement":[
        {"Effect":"Allow","Resource":["*"],"Action":["bailiwick:accessKey:*"]}]}"#;
    for world in worlds().await {
        let service = &world.service;
        let call = caller(&world, "ada", KEYS).await;
        let key = service.issue_temporary_key(&call, 900, vec![vec![KEYS.to_owned()]]).await.unwrap();
        let limited = async || {
            let known = service.signing_key(key.id.as_str()).await.unwrap().unwrap();
            Call { caller: Arc::clone(&known.caller), ..call.clone() }
        };
        service
            .create_access_key(&limited().await, "ada", "nothing more than the session has")
            .await
            .unwrap();
        let new = NewCluster { name: "own".into(), owner: Some("ada".into()), ..NewCluster::default() };
        service.create_cluster(&world.root, new).await.unwrap();
        assert_refused(world.on(), service.create_access_key(&limited().await, "ada", "").await);
        service.create_access_key(&call, "ada", "").await.unwrap();
    }
}
