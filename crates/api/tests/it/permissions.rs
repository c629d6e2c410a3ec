//! Permissions in our own words: their form, their sources, and what is refused.

use serde_json::{Value, json};

use crate::server::{Answer, Server};

const USER: &str = "/bailiwick/v1/users/ada/permissions";

async fn call(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.as_root(method, path, &body).await
}

/// A server with a user `ada`, a group of hers and a cluster `prod`.
async fn started() -> Server {
    let server = Server::start().await;
    for (path, body) in [
        ("users", json!({"id": "ada", "name": "Ada"})),
        ("groups", json!({"id": "ops", "name": "ops"})),
        ("agencies", json!({"id": "backup", "name": "backup"})),
        ("clusters", json!({"id": "prod", "name": "prod"})),
    ] {
        let made = call(&server, "POST", &format!("/bailiwick/v1/{path}"), &body).await;
        assert_eq!(made.status, 201, "{path}: {}", made.json());
    }
    let added = call(&server, "PUT", "/bailiwick/v1/groups/ops/members/ada", &Value::Null).await;
    assert_eq!(added.status, 204);
    server
}

fn permission(cluster: Value, namespace: Value, role: &str) -> Value {
    json!({"place": {"cluster": cluster, "namespace": namespace}, "role": role})
}

#[tokio::test]
async fn a_row_says_where_it_comes_from_and_who_said_it_when() {
    let server = started().await;
    let wanted = json!({"permissions": [permission(json!("prod"), json!("shop"), "developer")]});
    let put = call(&server, "PUT", USER, &wanted).await;
    assert_eq!((put.status, put.json()), (200, wanted));
    let grant = json!({
        "role": "viewer", "principals": {"type": "group", "ids": ["ops"]}, "clusters": ["*"], "namespaces": ["*"],
        "name": "all"
    });
    let of_group = call(&server, "POST", "/bailiwick/v1/grants", &grant).await.json()["id"].clone();
    let shown = call(&server, "GET", "/bailiwick/v1/users/Ada/permissions", &Value::Null).await.json();
    assert_eq!(shown["holder"], json!({"type": "user", "id": "ada", "name": "Ada"}));
    assert_eq!(shown["complete"], true);
    let root = server.root.root.id.as_str();
    let said = json!({
        "actor": root, "actorName": shown["items"][0]["through"][0]["actorName"], "at": "2026-11-21T20:00:00Z",
        "dialect": "native"
    });
    let mut everywhere = json!({
        "grant": of_group, "grantName": "all", "kind": "group", "group": {"id": "ops", "name": "ops"}
    });
    everywhere.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    assert_eq!(
        shown["items"][0],
        json!({"place": {"cluster": null, "namespace": null}, "role": "viewer", "owner": false, "through": [everywhere]})
    );
    let direct = &shown["items"][1];
    assert_eq!(direct["place"], json!({"cluster": "prod", "namespace": "shop"}));
    assert_eq!(direct["through"][0]["kind"], "direct");
    assert!(direct["through"][0].get("group").is_none(), "{direct}");
}

#[tokio::test]
async fn a_change_says_all_it_means_and_nothing_is_taken_for_everything_or_nothing() {
    let server = started().await;
    let place = |place: Value| json!({"permissions": [{"place": place, "role": "viewer"}]});
    for (method, body, field) in [
        ("PUT", json!({}), "permissions"),
        ("PUT", json!({"permissions": null}), "permissions"),
        ("PUT", json!({"permissions": [], "change": "add"}), "change"),
        ("PUT", place(json!({"namespace": null})), "permissions[0].place.cluster"),
        ("PUT", place(json!({"cluster": "prod"})), "permissions[0].place.namespace"),
        ("PUT", place(json!({"cluster": null, "namespace": "shop"})), "permissions[0].place.cluster"),
        ("PUT", place(json!({"cluster": "nowhere", "namespace": null})), "permissions[0].place.cluster"),
        ("PUT", place(json!({"cluster": "prod", "namespace": "No"})), "permissions[0].place.namespace"),
        (
            "PUT",
            json!({"permissions": [permission(json!("prod"), json!(null), "king")]}),
            "permissions[0].role",
        ),
        ("POST", json!({"permissions": []}), "change"),
        ("POST", json!({"change": "replace", "permissions": []}), "change"),
    ] {
        let answer = call(&server, method, USER, &body).await;
        assert_eq!((answer.status, answer.json()["error"]["field"].as_str()), (400, Some(field)), "{body}");
    }
    let empty = server.as_root("PUT", USER, b"").await;
    assert_eq!(empty.status, 400, "{}", empty.json());
    assert_eq!(server.grants().await, 0);
    for query in ["?force=yes", "?forced=true", "?cluster=nowhere&force=true"] {
        let headers: Vec<(&str, &str)> =
            query.trim_start_matches('?').split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let signed = server.signed("DELETE", USER, &headers, b"");
        let answer =
            server.send("DELETE", &format!("{USER}{query}"), &crate::server::borrowed(&signed), b"").await;
        assert!([400, 404].contains(&answer.status), "{query}: {}", answer.json());
    }
}

#[tokio::test]
async fn names_are_of_their_own_kind() {
    let server = started().await;
    for path in ["users/backup", "users/ops", "agencies/ada", "agencies/Ada", "users/nobody"] {
        let path = format!("/bailiwick/v1/{path}/permissions");
        for method in ["GET", "DELETE"] {
            assert_eq!(call(&server, method, &path, &Value::Null).await.status, 404, "{method} {path}");
        }
        let put = call(&server, "PUT", &path, &json!({"permissions": []})).await;
        assert_eq!(put.status, 404, "{path}");
    }
    let agency = call(&server, "GET", "/bailiwick/v1/agencies/backup/permissions", &Value::Null).await;
    assert_eq!((agency.status, agency.json()["items"].clone()), (200, json!([])));
}

#[tokio::test]
async fn what_was_taken_away_is_in_the_history_and_comes_back() {
    let server = started().await;
    let one = permission(json!("prod"), json!(null), "viewer");
    let add = json!({"change": "add", "permissions": [one]});
    assert_eq!(call(&server, "POST", USER, &add).await.status, 200);
    let history = format!("{USER}/history");
    let given = call(&server, "GET", &history, &Value::Null).await.json()["items"][0].clone();
    assert_eq!((&given["added"], &given["permissions"]), (&json!([one]), &json!([one])));
    let cleaned = call(&server, "PUT", USER, &json!({"permissions": []})).await;
    assert_eq!(cleaned.json(), json!({"permissions": []}));
    let past = call(&server, "GET", &history, &Value::Null).await.json();
    assert_eq!(past["items"][0]["removed"], json!([one]));
    assert_eq!(past["items"][1], given);
    let restore = |revision: &str| format!("{history}/{revision}/restore");
    let back = call(&server, "POST", &restore(&given["revision"].to_string()), &Value::Null).await;
    assert_eq!((back.status, back.json()), (200, json!({"permissions": [one]})));
    for wrong in ["0", "x", "99999999"] {
        let answer = call(&server, "POST", &restore(wrong), &Value::Null).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["field"].as_str()),
            (400, Some("revision")),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn one_sees_ones_own_permissions_without_any_right_and_changes_nothing() {
    let server = started().await;
    let token = server.ordinary_token().await;
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/json")];
    let own = server.send("GET", "/bailiwick/v1/users/ordinary/permissions", &headers, b"").await;
    assert_eq!((own.status, own.json()["holder"]["id"].clone()), (200, json!("ordinary")));
    for (method, path, body) in [
        ("GET", "users/ada/permissions", ""),
        ("GET", "agencies/ordinary/permissions", ""),
        ("PUT", "users/ordinary/permissions", r#"{"permissions":[]}"#),
        ("DELETE", "users/ordinary/permissions", ""),
        ("GET", "users/ordinary/permissions/history", ""),
    ] {
        let answer = server.send(method, &format!("/bailiwick/v1/{path}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.json());
    }
}

#[tokio::test]
async fn activity_is_taken_in_parts_and_the_time_that_it_covers_is_said_whole_or_not_at_all() {
    let server = started().await;
    let path = "/bailiwick/v1/clusters/prod/activity";
    let at = "2026-11-21T19:00:00Z";
    // Who has nothing there is not told apart from who does not exist.
    let users = json!({"users": [{"name": "ada", "lastSeen": at}]});
    assert_eq!(call(&server, "POST", path, &users).await.json(), json!({"known": 0, "unknown": 1}));
    let permissions = json!({"permissions": [permission(json!("prod"), Value::Null, "viewer")]});
    assert_eq!(call(&server, "PUT", "/bailiwick/v1/users/ada/permissions", &permissions).await.status, 200);
    let body = json!({"users": [{"name": "ada", "lastSeen": at}, {"name": "who", "lastSeen": at}]});
    let done = call(&server, "POST", path, &body).await;
    assert_eq!((done.status, done.json()), (200, json!({"known": 1, "unknown": 1})));
    let covered = call(&server, "POST", path, &json!({"from": "2026-11-01T00:00:00Z", "to": at})).await;
    assert_eq!(covered.status, 200, "{}", covered.json());
    for (body, field) in [
        (json!({"from": at}), "to"),
        (json!({"to": at}), "from"),
        (json!({"from": "now", "to": at}), "from"),
        (json!({"from": at, "to": "2026-11-22T00:00:00Z"}), "to"),
        (json!({"users": [{"name": "ada", "lastSeen": "1969-01-01T00:00:00Z"}]}), "users.lastSeen"),
        (json!({"users": [{"name": "ada"}]}), "lastSeen"),
    ] {
        let answer = call(&server, "POST", path, &body).await;
        let named = answer.json()["error"]["field"].as_str().map(str::to_owned);
        assert_eq!(answer.status, 400, "{body}");
        assert!(named.is_some_and(|named| named.ends_with(field)), "{body}: {}", answer.json());
    }
}
