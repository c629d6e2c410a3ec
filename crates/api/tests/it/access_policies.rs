//! Access policies over the wire: every rule of the documents, each refused naming its field.

use domain::PrincipalKind;
use serde_json::{Value, json};
use service::{NewCluster, NewPrincipal};

use crate::server::{Server, borrowed, origin};

const PATH: &str = "/api/v3/access-policies";

async fn server() -> Server {
    let server = Server::start().await;
    let call = server.app.service.call_by_token(&server.root_token().await, origin()).await.unwrap();
    for (kind, id) in
        [(PrincipalKind::User, "u1"), (PrincipalKind::Group, "g1"), (PrincipalKind::Agency, "a1")]
    {
        let new = NewPrincipal { id: Some(id.into()), ..NewPrincipal::named(kind, id.into()) };
        server.app.service.create_principal(&call, new).await.unwrap();
    }
    let new = NewCluster { id: Some("c1".into()), name: "c1".into(), ..NewCluster::default() };
    server.app.service.create_cluster(&call, new).await.unwrap();
    server
}

fn policy() -> Value {
    json!({
        "kind": "AccessPolicy", "apiVersion": "v3", "name": "p", "clusters": ["c1"],
        "accessScope": {"namespaces": ["default"]}, "policyType": "CCEViewPolicy",
        "principal": {"type": "user", "ids": ["u1"]}
    })
}

/// The policy with one thing changed; `null` takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut policy = policy();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let object = policy.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        object.remove(key)
    } else {
        object.insert(key.to_owned(), value)
    };
    policy
}

async fn post(server: &Server, body: &Value) -> crate::server::Answer {
    server.as_root("POST", PATH, body.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_policy_lives_through_all_five_operations() {
    let server = server().await;
    let made = post(&server, &policy()).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let id = made["policyId"].as_str().unwrap().to_owned();
    assert_eq!(made["createTime"], "2026-11-21T20:00:00Z");
    for (key, value) in policy().as_object().unwrap() {
        assert_eq!(made[key], *value, "{key}");
    }
    let item = format!("{PATH}/{id}");
    assert_eq!(server.as_root("GET", &item, b"").await.json(), made);
    let list = server.as_root("GET", PATH, b"").await.json();
    assert_eq!(list, json!({"kind": "List", "apiVersion": "v3", "accessPolicyList": [made]}));
    let mut changed = made.clone();
    changed["policyType"] = "CCEEditPolicy".into();
    let updated = server.as_root("PUT", &item, changed.to_string().as_bytes()).await;
    assert_eq!(
        (updated.status, &updated.json()["policyType"]),
        (200, &"CCEEditPolicy".into()),
        "what was read can be written back"
    );
    let deleted = server.as_root("DELETE", &item, b"").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for method in ["GET", "DELETE"] {
        let gone = server.as_root(method, &item, b"").await;
        assert_eq!((gone.status, &gone.json()["error_code"]), (404, &"CCE.01404001".into()));
    }
    let gone = server.as_root("PUT", &item, changed.to_string().as_bytes()).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn every_documented_rule_is_refused_naming_its_field_and_nothing_is_stored() {
    let server = server().await;
    let many = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>();
    for (body, field) in [
        (with("/kind", json!("Policy")), "kind"),
        (with("/apiVersion", json!("v1")), "apiVersion"),
        (with("/policyId", json!("x")), "policyId"),
        (with("/name", Value::Null), "name"),
        (with("/name", json!("")), "name"),
        (with("/name", json!("Upper")), "name"),
        (with("/name", json!("ends-")), "name"),
        (with("/name", json!("9a")), "name"),
        (with("/name", json!("x".repeat(57))), "name"),
        (with("/name", json!(7)), "name"),
        (with("/clusters", Value::Null), "clusters"),
        (with("/clusters", json!([])), "clusters"),
        (with("/clusters", json!("*")), "clusters"),
        (with("/clusters", json!(["*", "c1"])), "clusters"),
        (with("/clusters", json!(["nope"])), "clusters"),
        (with("/clusters", json!([""])), "clusters"),
        (with("/clusters", json!([1])), "clusters"),
        (with("/clusters", json!(many(201))), "clusters"),
        (with("/accessScope", Value::Null), "accessScope"),
        (with("/accessScope", json!([])), "accessScope"),
        (with("/accessScope/namespaces", Value::Null), "accessScope.namespaces"),
        (with("/accessScope/namespaces", json!([])), "accessScope.namespaces"),
        (with("/accessScope/namespaces", json!(["*", "a"])), "accessScope.namespaces"),
        (with("/accessScope/namespaces", json!(["Not_A_Label"])), "accessScope.namespaces"),
        (with("/accessScope/namespaces", json!(["a.b"])), "accessScope.namespaces"),
        (with("/accessScope/namespaces", json!(many(501))), "accessScope.namespaces"),
        (with("/policyType", Value::Null), "policyType"),
        (with("/policyType", json!("CCEOwnerPolicy")), "policyType"),
        (with("/policy", json!("CCEEditPolicy")), "policyType"),
        (with("/principal", Value::Null), "principal"),
        (with("/principal/type", Value::Null), "principal.type"),
        (with("/principal/type", json!("role")), "principal.type"),
        (with("/principal/ids", Value::Null), "principal.ids"),
        (with("/principal/ids", json!([])), "principal.ids"),
        (with("/principal/ids", json!(["nobody"])), "principal.ids"),
        (with("/principal/ids", json!(["g1"])), "principal.ids"),
        (with("/principal/ids", json!(["a b"])), "principal.ids"),
        (with("/principal/ids", json!(many(501))), "principal.ids"),
        (with("/principal/ids", json!(many(10_000))), "principal.ids"),
    ] {
        let answer = post(&server, &body).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["error_code"]), (400, &"CCE.01400001".into()), "{field}: {json}");
        let message = json["error_msg"].as_str().unwrap();
        assert!(message.starts_with(&format!("`{field}` ")), "{field}: {message}");
    }
    assert_eq!(server.grants().await, 0);
}

#[tokio::test]
async fn optional_keys_are_meant_where_they_are_absent_and_the_alias_is_understood() {
    let server = server().await;
    let mut short = policy();
    for key in ["kind", "apiVersion", "policyType"] {
        short.as_object_mut().unwrap().remove(key);
    }
    short["policy"] = "CCEAdminPolicy".into();
    let made = post(&server, &short).await;
    assert_eq!((made.status, &made.json()["policyType"]), (201, &"CCEAdminPolicy".into()));
    let mut both = policy();
    both["policy"] = "CCEViewPolicy".into();
    assert_eq!(post(&server, &both).await.status, 201, "alias and name agree");
    assert_eq!(post(&server, &with("/policyType", json!("custom:deployers"))).await.status, 201);
}

#[tokio::test]
async fn the_cluster_filter_shows_what_concerns_a_cluster() {
    let server = server().await;
    assert_eq!(post(&server, &with("/name", json!("listed"))).await.status, 201);
    server.clock.advance_seconds(1);
    assert_eq!(post(&server, &with("/clusters", json!(["*"]))).await.status, 201);
    let names = |query: &'static str, value: &'static str| {
        let server = &server;
        async move {
            let headers = server.signed("GET", PATH, &[(query, value)], b"");
            let answer =
                server.send("GET", &format!("{PATH}?{query}={value}"), &borrowed(&headers), b"").await;
            assert_eq!(answer.status, 200);
            let list = answer.json()["accessPolicyList"].as_array().unwrap().clone();
            list.iter().map(|policy| policy["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(names("cluster_id", "c1").await, ["listed", "p"]);
    assert_eq!(names("cluster_id", "unknown").await, ["p"], "only those on all clusters");
    let headers = server.signed("GET", PATH, &[("cluster_id", "")], b"");
    let answer = server.send("GET", &format!("{PATH}?cluster_id="), &borrowed(&headers), b"").await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error_msg"].as_str().unwrap().starts_with("`cluster_id` "));
}

#[tokio::test]
async fn yaml_is_for_those_who_ask_and_bodies_are_json() {
    let server = server().await;
    assert_eq!(post(&server, &policy()).await.status, 201);
    let token = server.root_token().await;
    let yaml =
        server.send("GET", PATH, &[("X-Auth-Token", &token), ("Accept", "application/yaml")], b"").await;
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    let text = String::from_utf8(yaml.body).unwrap();
    assert!(text.starts_with("kind: List\napiVersion: v3\naccessPolicyList:\n"), "{text}");
    assert!(text.contains("policyType: CCEViewPolicy"));
    let plain = server.send("GET", PATH, &[("X-Auth-Token", &token), ("Accept", "*/*")], b"").await;
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let body = policy().to_string();
    for kind in ["text/plain", "application/yaml", "application/x-www-form-urlencoded"] {
        let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", kind)];
        let answer = server.send("POST", PATH, &headers, body.as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["error_code"]), (415, &"CCE.01400006".into()), "{kind}");
    }
}

#[tokio::test]
async fn bodies_that_are_not_one_json_object_are_refused() {
    let server = server().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let twice = policy().to_string().replacen("\"name\"", "\"name\":\"q\",\"name\"", 1);
    for body in ["", "{", "[]", "null", deep.as_str(), twice.as_str()] {
        let answer = server.as_root("POST", PATH, body.as_bytes()).await;
        assert_eq!(
            (answer.status, &answer.json()["error_code"]),
            (400, &"CCE.01400001".into()),
            "{body:.30}"
        );
    }
    let answer = server.as_root("POST", PATH, b"{\"name\":\"\xff\"}").await;
    assert_eq!(answer.status, 400);
    assert_eq!(server.grants().await, 0);
}
