//! Clusters that a vendor does not run, over the wire: shapes, limits and refusals.

use domain::ProjectId;
use serde_json::{Value, json};
use service::NewCluster;

use crate::server::{Answer, Server, borrowed, origin};

/// Vouched for by something that looks like a certificate.
const KUBECONFIG: &str = "current-context: c\ncontexts:\n- name: c\n  context: {cluster: c, user: u}\nclusters:\n- name: c\n  \
     cluster:\n    server: https://k8s.example:6443\n    certificate-authority-data: \
     LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=\nusers:\n- name: u\n  user: {token: \
     e30.eyJleHAiOjE4MTQwODA4NTl9.c2ln}\n";

/// When that token ends, in milliseconds.
const END: i64 = 1_814_080_859_000;

struct World {
    server: Server,
    root: String,
    project: ProjectId,
}

impl World {
    async fn start() -> Self {
        let server = Server::start().await;
        let call = server.app.service.call_by_token(&server.root_token().await, origin()).await.unwrap();
        let project = call.caller.projects[0].clone();
        let root = format!("/v5/{project}/container/kubernetes/multi-cloud");
        Self { server, root, project }
    }

    async fn get(&self, rest: &str, query: &[(&str, &str)]) -> Answer {
        let path = format!("{}{rest}", self.root);
        let headers = self.server.signed("GET", &path, query, b"");
        let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let target = if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) };
        self.server.send("GET", &target, &borrowed(&headers), b"").await
    }

    async fn send(&self, method: &str, rest: &str, body: Value) -> Answer {
        let path = format!("{}{rest}", self.root);
        self.server.as_root(method, &path, body.to_string().as_bytes()).await
    }
}

fn refusal(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["error_code"], body["errorCode"]);
    assert!(body.get("error").is_none(), "the identity service's shape: {body}");
    (answer.status, body["error_code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_imported_cluster_is_listed_with_the_end_of_its_credential() {
    let world = World::start().await;
    let made = world
        .send(
            "POST",
            "/clusters",
            json!({"kube_config": KUBECONFIG, "name": "one", "image_repo": "r.example"}),
        )
        .await;
    assert_eq!(made.status, 200);
    let id = made.json()["cluster_id"].as_str().unwrap().to_owned();
    let list = world.get("/clusters", &[]).await.json();
    assert_eq!(list["total_num"], 1);
    let row = &list["data_list"][0];
    assert_eq!(
        (&row["cluster_id"], &row["cluster_name"], &row["server"], &row["image_repo"], &row["status"]),
        (
            &json!(id),
            &json!("one"),
            &json!("https://k8s.example:6443"),
            &json!("r.example"),
            &json!("not_connect")
        )
    );
    assert_eq!(
        (&row["certificate_expiration_date"], &row["current_expiration_date"]),
        (&json!(END), &json!(END))
    );
    let said = json!({"current_expiration_date": 1_814_080_859_608_i64});
    let updated = world.send("PUT", &format!("/clusters/{id}"), said).await;
    assert_eq!((updated.status, updated.body.len()), (200, 0));
    let row = world.get("/clusters", &[("cluster_id", &id)]).await.json()["data_list"][0].clone();
    assert_eq!(row["current_expiration_date"], 1_814_080_859_608_i64);
    assert_eq!(row["certificate_expiration_date"], END);
    let removed = world.send("DELETE", &format!("/clusters/{id}"), json!({})).await;
    assert_eq!((removed.status, removed.body.len()), (200, 0));
    assert_eq!(world.get("/clusters", &[]).await.json(), json!({"total_num": 0, "data_list": []}));
}

#[tokio::test]
async fn a_kubeconfig_is_analyzed_in_either_spelling_and_nothing_is_kept() {
    let world = World::start().await;
    let found = json!({"total_num": 1, "data_list": [
        {"address": "https://k8s.example:6443", "certificate_expiration_date": END}]});
    for key in ["kube_config", "kubeconfig"] {
        assert_eq!(world.send("POST", "/config-analyze", json!({key: KUBECONFIG})).await.json(), found);
    }
    assert_eq!(world.get("/clusters", &[]).await.json()["total_num"], 0);
    for body in [json!({}), json!({"kube_config": "x"}), json!({"kube_config": "a", "kubeconfig": "b"})] {
        let answer = world.send("POST", "/config-analyze", body).await;
        assert_eq!(refusal(&answer), (400, "HSS.0003".into()));
        assert!(answer.json()["error_msg"].as_str().unwrap().contains("kube_config"));
    }
}

#[tokio::test]
async fn limits_of_parameters_are_the_documented_ones() {
    let world = World::start().await;
    let long = "x".repeat(257);
    let long_of_id = long.get(..65).unwrap();
    for query in [
        ("limit", "9"),
        ("limit", "201"),
        ("limit", "+50"),
        ("limit", ""),
        ("offset", "2000001"),
        ("offset", "-1"),
        ("enterprise_project_id", long.as_str()),
        ("cluster_id", long_of_id),
    ] {
        assert_eq!(refusal(&world.get("/clusters", &[query]).await), (400, "HSS.0003".into()), "{query:?}");
    }
    for query in [("limit", "10"), ("limit", "200"), ("offset", "2000000"), ("unknown", "1")] {
        assert_eq!(world.get("/clusters", &[query]).await.status, 200, "{query:?}");
    }
    let long_id = format!("/clusters/{long_of_id}");
    assert_eq!(world.send("DELETE", &long_id, json!({})).await.status, 400);
    assert_eq!(refusal(&world.send("DELETE", "/clusters/none", json!({})).await), (404, "HSS.0003".into()));
    let elsewhere = World { root: world.root.replace(world.project.as_str(), "elsewhere"), ..world };
    assert_eq!(refusal(&elsewhere.get("/clusters", &[]).await), (404, "HSS.0003".into()));
}

#[tokio::test]
async fn pages_are_cut_after_they_are_counted() {
    let world = World::start().await;
    let call =
        world.server.app.service.call_by_token(&world.server.root_token().await, origin()).await.unwrap();
    for n in 0..12 {
        let new = NewCluster { name: format!("c{n:02}"), ..NewCluster::default() };
        world.server.app.service.create_cluster(&call, new).await.unwrap();
    }
    let count = |answer: &Answer| {
        (answer.json()["total_num"].clone(), answer.json()["data_list"].as_array().unwrap().len())
    };
    assert_eq!(count(&world.get("/clusters", &[]).await), (json!(12), 10));
    assert_eq!(count(&world.get("/clusters", &[("limit", "10"), ("offset", "10")]).await), (json!(12), 2));
    assert_eq!(count(&world.get("/clusters", &[("limit", "200")]).await), (json!(12), 12));
}
