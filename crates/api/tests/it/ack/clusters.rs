//! Clusters in the second vendor's shape.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use service::NewCluster;

use super::Ack;

async fn ack() -> Ack {
    let ack = Ack::start().await;
    let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    let new = NewCluster {
        id: Some("c3".into()),
        name: "shop".into(),
        region: Some("cn-hangzhou".into()),
        labels,
        ..NewCluster::default()
    };
    ack.cluster(new).await;
    ack
}

async fn ids(ack: &Ack, target: &str) -> Vec<String> {
    let answer = ack.get(target).await;
    assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
    let body = answer.json();
    let list = body.get("clusters").unwrap_or(&body).as_array().unwrap();
    list.iter().map(|cluster| cluster["cluster_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cluster_has_the_fields_that_are_known_and_no_others() {
    let ack = ack().await;
    let shown = ack.get("/clusters/c3").await;
    assert_eq!(shown.header("content-type"), Some("application/json; charset=utf-8"));
    let expected = json!({
        "cluster_id": "c3", "name": "shop", "region_id": "cn-hangzhou", "state": "waiting",
        "cluster_type": "ExternalKubernetes", "profile": "Default",
        "created": "2026-11-21T20:00:00Z", "updated": "2026-11-21T20:00:00Z",
        "tags": [{"key": "team", "value": "shop"}]
    });
    assert_eq!(shown.json(), expected);
    let listed = ack.get("/clusters").await.json();
    assert!(listed.as_array().unwrap().contains(&expected), "the same in a list");
}

#[tokio::test]
async fn lists_are_narrowed_by_what_a_cluster_has_and_a_filter_is_never_ignored() {
    let ack = ack().await;
    for (target, expected) in [
        ("/clusters", &["c1", "c2", "c3"][..]),
        ("/clusters?RegionId=cn-hangzhou&other=1", &["c1", "c2", "c3"]),
        ("/clusters?name=name-", &["c1", "c2"]),
        ("/clusters?name=", &["c1", "c2", "c3"]),
        ("/clusters?name=NAME", &[]),
        ("/clusters?clusterType=ExternalKubernetes", &["c1", "c2", "c3"]),
        ("/clusters?clusterType=ManagedKubernetes", &[]),
        ("/clusters?resource_group_id=rg", &[]),
        ("/api/v1/clusters?cluster_id=c2", &["c2"]),
        ("/api/v1/clusters?cluster_id=name-c2", &[]),
        ("/api/v1/clusters?region_id=cn-hangzhou", &["c3"]),
        ("/api/v1/clusters?region_id=elsewhere", &[]),
        ("/api/v1/clusters?cluster_type=ExternalKubernetes&profile=default", &["c1", "c2", "c3"]),
        ("/api/v1/clusters?profile=Serverless", &[]),
        ("/api/v1/clusters?cluster_spec=ack.pro.small", &[]),
        ("/regions/cn-hangzhou/clusters", &["c3"]),
        ("/regions/cn-hangzhou/clusters?region_id=default", &["c3"]),
        ("/regions/elsewhere/clusters", &[]),
        ("/regions/cn-hangzhou/clusters?name=sho", &["c3"]),
    ] {
        let mut found = ids(&ack, target).await;
        found.sort();
        assert_eq!(found, expected, "{target}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_one_after_the_end_is_empty() {
    let ack = ack().await;
    let mut seen = Vec::new();
    for number in 1..=3 {
        let page = ids(&ack, &format!("/api/v1/clusters?page_number={number}&page_size=2")).await;
        assert_eq!(page.len(), [2, 1, 0][number - 1]);
        seen.extend(page);
    }
    seen.sort();
    assert_eq!(seen, ["c1", "c2", "c3"]);
    let info = ack.get("/api/v1/clusters?page_number=9&page_size=2").await.json();
    let expected = json!({"page_number": 9, "page_size": 2, "total_count": 3});
    assert_eq!((&info["clusters"], &info["page_info"]), (&json!([]), &expected));
    let info = ack.get("/regions/cn-hangzhou/clusters").await.json()["page_info"].clone();
    assert_eq!(info, json!({"page_number": 1, "page_size": 50, "total_count": 1}));
}

#[tokio::test]
async fn somebody_without_rights_learns_of_no_cluster() {
    let ack = ack().await;
    let key = ack.server.key_of("u1").await;
    for (target, action) in [
        ("/clusters", "cs:DescribeClusters"),
        ("/api/v1/clusters", "cs:DescribeClustersV1"),
        ("/regions/cn-hangzhou/clusters", "cs:DescribeClustersForRegion"),
        ("/clusters/c1", "cs:DescribeClusterDetail"),
        ("/clusters/c9", "cs:DescribeClusterDetail"),
        ("/api/v2/k8s/c1/namespaces", "cs:DescribeUserClusterNamespaces"),
        ("/api/v2/k8s/c9/namespaces", "cs:DescribeUserClusterNamespaces"),
    ] {
        let answer = ack.by(&key, "GET", target, b"").await;
        let message = format!("RAM policy Forbidden for action {action}");
        assert_eq!(super::refusal(&answer), (403, "StatusForbidden".to_owned(), message), "{target}");
        assert_eq!(answer.json()["accessDeniedDetail"]["AuthAction"], Value::from(action));
    }
}

#[tokio::test]
async fn namespaces_are_asked_of_a_cluster_by_its_id_for_who_has_a_role_there() {
    let ack = ack().await;
    let namespaces = "/api/v2/k8s/c1/namespaces";
    let (status, code, message) = super::refusal(&ack.get(namespaces).await);
    assert_eq!((status, code.as_str()), (409, "Conflict"));
    assert!(message.contains("has no connection"), "{message}");
    for unknown in ["c9", "name-c1"] {
        let answer = ack.get(&format!("/api/v2/k8s/{unknown}/namespaces")).await;
        assert_eq!(super::refusal(&answer).1, "ErrorClusterNotFound", "{unknown}");
    }
    let key = ack.allowed("u1", &["cs:*"]).await;
    let refused = ack.by(&key, "GET", namespaces, b"").await;
    assert_eq!(
        (refused.status, super::refusal(&refused).1.as_str()),
        (403, "ForbiddenQueryClusterNamespace")
    );
    let role = json!([{"cluster": "c1", "role_type": "namespace", "namespace": "a", "role_name": "dev"}]);
    assert_eq!(ack.grant("u1", &role).await.status, 200);
    assert_eq!(ack.by(&key, "GET", namespaces, b"").await.status, 409, "with a role it is asked");
}
