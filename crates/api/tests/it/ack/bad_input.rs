//! What no client should send: each is refused naming what is wrong, and nothing is changed.

use serde_json::{Value, json};

use super::{Ack, refusal, row};

const INVALID: &str = "InvalidParameter";

fn permission() -> Value {
    json!({"cluster": "c1", "role_type": "cluster", "role_name": "dev"})
}

/// The permission with these fields changed; `null` counts as absent.
fn with(changes: Value) -> Value {
    let mut changed = permission();
    for (key, value) in changes.as_object().unwrap() {
        changed[key] = value.clone();
    }
    changed
}

#[tokio::test]
async fn every_bad_row_is_refused_naming_its_field_and_nothing_is_changed() {
    let ack = Ack::start().await;
    assert_eq!(ack.grant("u1", &json!([permission()])).await.status, 200);
    let namespaced = |role: &str| json!({"role_type": "namespace", "namespace": "shop", "role_name": role});
    let everywhere = |cluster: Value, role: &str| json!({"role_type": "all-clusters", "cluster": cluster, "role_name": role});
    for (bad, field) in [
        (with(json!({"role_type": null})), "role_type"),
        (with(json!({"role_type": ""})), "role_type"),
        (with(json!({"role_type": "console"})), "role_type"),
        (with(json!({"role_type": "Cluster"})), "role_type"),
        (with(json!({"role_type": 1})), "role_type"),
        (with(json!({"role_name": null})), "role_name"),
        (with(json!({"role_name": ""})), "role_name"),
        (with(json!({"role_name": "owner"})), "role_name"),
        (with(json!({"role_name": "Admin"})), "role_name"),
        (with(json!({"role_name": ["dev"]})), "role_name"),
        (with(json!({"role_name": "", "is_custom": true})), "role_name"),
        (with(json!({"role_name": "a/b", "is_custom": true})), "role_name"),
        (with(json!({"role_name": "view", "is_custom": false})), "role_name"),
        (with(json!({"is_custom": 1})), "is_custom"),
        (with(json!({"is_custom": "true"})), "is_custom"),
        (with(json!({"is_ram_role": 0})), "is_ram_role"),
        (with(json!({"cluster": null})), "cluster"),
        (with(json!({"cluster": ""})), "cluster"),
        (with(json!({"cluster": 7})), "cluster"),
        (with(json!({"namespace": 7})), "namespace"),
        (with(json!({"role_type": "namespace"})), "namespace"),
        (with(json!({"role_type": "namespace", "namespace": ""})), "namespace"),
        (with(json!({"role_type": "namespace", "namespace": "Shop"})), "namespace"),
        (with(json!({"role_type": "namespace", "namespace": "a,b"})), "namespace"),
        (with(json!({"role_type": "namespace", "namespace": "shop", "cluster": ""})), "cluster"),
        (with(namespaced("admin")), "role_name"),
        (with(namespaced("admin-view")), "role_name"),
        (with(namespaced("ops")), "role_name"),
        (with(everywhere(json!("c1"), "dev")), "cluster"),
        (with(everywhere(json!("all-clusters"), "dev")), "cluster"),
        (with(everywhere(json!(""), "admin-view")), "role_name"),
        (with(json!({"namepsace": "shop"})), "namepsace"),
        (with(json!({"resource_id": "c1"})), "resource_id"),
    ] {
        let good = json!({"cluster": "c2", "role_type": "cluster", "role_name": "ops"});
        let body = json!([good, bad]);
        for target in ["/permissions/users/u1", "/permissions/users/u1/update?mode=patch"] {
            let (status, code, message) = refusal(&ack.post(target, &body).await);
            assert_eq!((status, code.as_str()), (400, INVALID), "{bad}: {message}");
            assert!(message.starts_with(&format!("`[1].{field}` ")), "{bad}: {message}");
        }
    }
    assert_eq!(ack.shown("u1").await, json!([row("c1", "cluster", "dev")]));
}

#[tokio::test]
async fn rows_that_do_not_go_together_are_refused_naming_the_second() {
    let ack = Ack::start().await;
    let custom = json!({"cluster": "c1", "role_type": "cluster", "role_name": "view", "is_custom": true});
    // A namespace beside a cluster means nothing, so these are the same.
    let same = with(json!({"namespace": "shop"}));
    for rows in [
        json!([permission(), permission()]),
        json!([permission(), same]),
        json!([permission(), with(json!({"role_name": "ops"}))]),
        json!([custom, custom]),
    ] {
        let (status, code, message) = refusal(&ack.grant("u1", &rows).await);
        assert_eq!((status, code.as_str()), (400, INVALID), "{rows}: {message}");
        assert!(message.starts_with("`[1]` "), "{message}");
    }
    let both = json!([permission(), custom]);
    assert_eq!(ack.grant("u1", &both).await.status, 200, "a predefined role and custom ones");
}

#[tokio::test]
async fn every_bad_body_is_refused_and_an_absent_one_is_no_empty_list() {
    let ack = Ack::start().await;
    assert_eq!(ack.grant("u1", &json!([permission()])).await.status, 200);
    let twice = r#"[{"cluster":"c1","cluster":"c2","role_type":"cluster","role_name":"dev"}]"#;
    let many = |count: usize| {
        let names: Vec<Value> = (0..count)
            .map(|n| with(json!({"role_type": "namespace", "namespace": format!("n{n}")})))
            .collect();
        json!(names).to_string()
    };
    let (crowded, far_too_many) = (many(5_001), many(10_000));
    for (body, said) in [
        ("", "`body` is required"),
        ("null", "the body is not acceptable JSON"),
        ("{}", "the body is not acceptable JSON"),
        (r#"{"body":[]}"#, "the body is not acceptable JSON"),
        ("[", "the body is not acceptable JSON"),
        ("[] []", "the body is not acceptable JSON"),
        ("[1]", "`[0]` must be an object"),
        ("[null]", "`[0]` must be an object"),
        ("[[]]", "`[0]` must be an object"),
        (twice, "the key `cluster` is given twice"),
        (crowded.as_str(), "at most 5000 entries"),
        (far_too_many.as_str(), "at most 5000 entries"),
    ] {
        for target in ["/permissions/users/u1", "/permissions/users/u1/update"] {
            let answer = ack.by(&ack.key, "POST", target, body.as_bytes()).await;
            let (status, code, message) = refusal(&answer);
            assert_eq!((status, code.as_str()), (400, INVALID), "{body:.60}: {message}");
            assert!(message.contains(said), "{body:.60}: {message}");
        }
    }
    assert_eq!(ack.shown("u1").await, json!([row("c1", "cluster", "dev")]));
    let nonce = [("x-acs-version", super::VERSION), ("content-type", "text/plain")];
    let plain = crate::acs3::Request {
        method: "POST",
        path: "/permissions/users/u1",
        query: "",
        body: b"[]",
        extra: &nonce,
    };
    let answer = ack.server.send_acs3(&ack.key, &plain).await;
    assert_eq!(refusal(&answer).1, "UnsupportedMediaType");
    assert_eq!(ack.grant("u1", &json!([])).await.status, 200, "an empty list is one");
    assert_eq!(ack.shown("u1").await, json!([]));
}

#[tokio::test]
async fn every_bad_query_is_refused_naming_its_parameter() {
    let ack = Ack::start().await;
    assert_eq!(ack.grant("u1", &json!([permission()])).await.status, 200);
    for (method, target, field) in [
        ("POST", "/permissions/users/u1/update?mode=", "mode"),
        ("POST", "/permissions/users/u1/update?mode=replace", "mode"),
        ("POST", "/permissions/users/u1/update?mode=Delete", "mode"),
        ("DELETE", "/users/u1/permissions?Force=", "Force"),
        ("DELETE", "/users/u1/permissions?Force=1", "Force"),
        ("DELETE", "/users/u1/permissions?Force=yes", "Force"),
        ("DELETE", "/cluster/c1/user/u1/permissions?Force=on", "Force"),
        ("DELETE", "/users/u1/permissions?ClusterIds=&Force=true", "ClusterIds"),
        ("DELETE", "/users/u1/permissions?ClusterIds=c1%2C&Force=true", "ClusterIds"),
        ("DELETE", "/users/u1/permissions?ClusterIds.1=&Force=true", "ClusterIds"),
        ("DELETE", "/users/u1/permissions?ClusterIds=c1&ClusterIds.1=c2&Force=true", "ClusterIds"),
        ("GET", "/api/v1/clusters?page_number=0", "page_number"),
        ("GET", "/api/v1/clusters?page_number=x", "page_number"),
        ("GET", "/api/v1/clusters?page_size=0", "page_size"),
        ("GET", "/api/v1/clusters?page_size=101", "page_size"),
        ("GET", "/regions/r/clusters?page_size=-1", "page_size"),
    ] {
        let body: &[u8] = if method == "POST" { b"[]" } else { b"" };
        let (status, code, message) = refusal(&ack.by(&ack.key, method, target, body).await);
        assert_eq!((status, code.as_str()), (400, INVALID), "{target}: {message}");
        assert!(message.starts_with(&format!("`{field}` ")), "{target}: {message}");
    }
    assert_eq!(ack.shown("u1").await, json!([row("c1", "cluster", "dev")]));
}

#[tokio::test]
async fn who_is_not_there_has_nothing_and_is_given_nothing() {
    let ack = Ack::start().await;
    // A group holds nothing by itself here, and names are no ids.
    for unknown in ["nobody", "g1", "name-u1", "c1"] {
        assert_eq!(ack.shown(unknown).await, json!([]), "{unknown}");
        let rows = json!([permission()]).to_string();
        for (method, target, body) in [
            ("POST", format!("/permissions/users/{unknown}"), rows.as_str()),
            ("POST", format!("/permissions/users/{unknown}/update?mode=delete"), rows.as_str()),
            ("DELETE", format!("/users/{unknown}/permissions?Force=true"), ""),
            ("DELETE", format!("/cluster/c1/user/{unknown}/permissions?Force=true"), ""),
        ] {
            let answer = ack.by(&ack.key, method, &target, body.as_bytes()).await;
            let (status, code, message) = refusal(&answer);
            assert_eq!((status, code.as_str()), (400, "ErrorUserNotFound"), "{target}");
            assert_eq!(message, format!("user or agency `{unknown}` does not exist"));
        }
    }
    let rows = json!([permission(), with(json!({"cluster": "c9"}))]);
    for (method, target, body) in [
        ("POST", "/permissions/users/u1", rows.to_string()),
        ("POST", "/permissions/users/u1/update?mode=delete", rows.to_string()),
        ("DELETE", "/users/u1/permissions?ClusterIds=c1%2Cc9&Force=true", String::new()),
        ("DELETE", "/cluster/c9/user/u1/permissions?Force=true", String::new()),
        ("GET", "/clusters/c9", String::new()),
        // A name is no id.
        ("GET", "/clusters/name-c1", String::new()),
    ] {
        let (status, code, message) = refusal(&ack.by(&ack.key, method, target, body.as_bytes()).await);
        assert_eq!((status, code.as_str()), (404, "ErrorClusterNotFound"), "{target}: {message}");
    }
    assert_eq!(ack.shown("u1").await, json!([]), "nothing of what was there with it was granted");
}
