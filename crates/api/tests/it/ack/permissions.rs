//! What somebody may do where, in the second vendor's words.

use domain::{
    ClusterId, ClusterScope, GrantSpec, Namespace, NamespaceScope, PrincipalId, PrincipalKind, Principals,
    Role,
};
use serde_json::{Value, json};
use service::ClusterUpdate;

use super::{Ack, refusal, row};
use crate::server::Server;

fn spec(role: Role, kind: PrincipalKind, id: &str, clusters: &[&str], namespaces: &[&str]) -> GrantSpec {
    GrantSpec {
        name: "made-elsewhere".into(),
        role,
        principals: Principals { kind, ids: vec![PrincipalId::stored(id)] },
        clusters: match clusters {
            [] => ClusterScope::All,
            ids => ClusterScope::Listed(ids.iter().map(|id| ClusterId::stored(id)).collect()),
        },
        namespaces: match namespaces {
            [] => NamespaceScope::All,
            names => NamespaceScope::Listed(names.iter().map(|name| Namespace::stored(name)).collect()),
        },
    }
}

impl Ack {
    async fn grant_elsewhere(&self, spec: GrantSpec) {
        self.server.app.service.create_grant(&self.root().await, spec).await.unwrap();
    }
}

fn admin(cluster: &str) -> Value {
    json!({"cluster": cluster, "role_type": "cluster", "role_name": "admin"})
}

fn dev(cluster: &str) -> Value {
    json!({"cluster": cluster, "role_type": "cluster", "role_name": "dev"})
}

#[tokio::test]
async fn every_permission_comes_back_in_the_words_of_answers() {
    let ack = Ack::start().await;
    let at = |scope: &str, cluster: &str, namespace: &str, role: &str| json!({"role_type": scope, "cluster": cluster, "namespace": namespace, "role_name": role});
    let custom = |mut row: Value| {
        row["is_custom"] = true.into();
        row
    };
    let own = |resource_id: &str, resource_type: &str, name: &str| {
        let mut row = row(resource_id, resource_type, "custom");
        row["role_name"] = name.into();
        row
    };
    for (sent, expected) in [
        (at("cluster", "c1", "", "admin"), row("c1", "cluster", "admin")),
        (at("cluster", "c1", "", "admin-view"), row("c1", "cluster", "admin-view")),
        (at("cluster", "c1", "", "ops"), row("c1", "cluster", "ops")),
        (at("cluster", "c1", "", "restricted"), row("c1", "cluster", "restricted")),
        // The vendor's own example.
        (at("cluster", "c1", "test", "dev"), row("c1", "cluster", "dev")),
        (at("namespace", "c1", "shop", "dev"), row("c1/shop", "namespace", "dev")),
        (at("namespace", "c1", "shop", "restricted"), row("c1/shop", "namespace", "restricted")),
        (at("all-clusters", "", "", "admin"), row("all-clusters", "console", "admin")),
        (at("all-clusters", "", "shop", "ops"), row("all-clusters", "console", "ops")),
        (custom(at("cluster", "c1", "", "view")), own("c1", "cluster", "view")),
        (custom(at("cluster", "c1", "", "admin")), own("c1", "cluster", "admin")),
        (custom(at("namespace", "c1", "shop", "team:x")), own("c1/shop", "namespace", "team:x")),
        (
            custom(at("all-clusters", "", "", "terway-pod-reader")),
            own("all-clusters", "console", "terway-pod-reader"),
        ),
        (json!({"role_type": "all-clusters", "role_name": "dev"}), row("all-clusters", "console", "dev")),
        (
            json!({"role_type": "all-clusters", "role_name": "dev", "cluster": null, "is_custom": null}),
            row("all-clusters", "console", "dev"),
        ),
    ] {
        let answer = ack.grant("u1", &json!([sent])).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{sent}");
        assert_eq!(ack.shown("u1").await, json!([expected]), "{sent}");
    }
    let answer = ack.get("/permissions/users/u1").await;
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn whether_it_is_a_role_is_told_by_the_id_and_not_by_the_request() {
    let ack = Ack::start().await;
    for (uid, said, expected) in [("u1", true, 0), ("a1", false, 1), ("a1", true, 1)] {
        let mut sent = dev("c1");
        sent["is_ram_role"] = said.into();
        assert_eq!(ack.grant(uid, &json!([sent])).await.status, 200);
        assert_eq!(ack.shown(uid).await[0]["is_ram_role"], expected, "{uid}");
    }
}

#[tokio::test]
async fn rows_from_everywhere_are_merged_in_the_order_of_cluster_namespace_and_role() {
    let ack = Ack::start().await;
    let (service, root) = (&ack.server.app.service, ack.root().await);
    service.add_member(&root, "g1", "u1").await.unwrap();
    let (user, group) = (PrincipalKind::User, PrincipalKind::Group);
    ack.grant_elsewhere(spec(Role::Developer, group, "g1", &["c2", "c1"], &["b", "a"])).await;
    ack.grant_elsewhere(spec(Role::Developer, user, "u1", &["c1"], &["a"])).await;
    ack.grant_elsewhere(spec(Role::Administrator, user, "u1", &["c1"], &["a"])).await;
    ack.grant_elsewhere(spec(Role::Viewer, user, "u1", &[], &[])).await;
    let update = ClusterUpdate { owner: Some("u1".into()), ..ClusterUpdate::default() };
    service.update_cluster(&root, "c2", update).await.unwrap();
    let mut owned = row("c2", "cluster", "admin");
    owned["is_owner"] = 1.into();
    let expected = json!([
        row("all-clusters", "console", "restricted"),
        row("c1/a", "namespace", "admin"),
        row("c1/a", "namespace", "dev"),
        row("c1/b", "namespace", "dev"),
        owned,
        row("c2/a", "namespace", "dev"),
        row("c2/b", "namespace", "dev"),
    ]);
    assert_eq!(ack.shown("u1").await, expected);
    // What others gave stays, and what the owner has is not changed, though the request succeeds.
    assert_eq!(ack.grant("u1", &json!([dev("c2")])).await.status, 200);
    let after = ack.shown("u1").await;
    let rows: Vec<&str> =
        after.as_array().unwrap().iter().map(|row| row["resource_id"].as_str().unwrap()).collect();
    assert_eq!(rows, ["c1/a", "c1/b", "c2", "c2/a", "c2/b"]);
    let (status, code, message) = refusal(
        &ack.post(
            "/permissions/users/u1/update?mode=delete",
            &json!([{
                "cluster": "c1", "role_type": "namespace", "namespace": "a", "role_name": "dev"
            }]),
        )
        .await,
    );
    assert_eq!((status, code.as_str()), (409, "Conflict"));
    assert!(message.contains("g1"), "{message}");
}

#[tokio::test]
async fn the_three_modes_replace_add_and_take_away() {
    let ack = Ack::start().await;
    let update = async |mode: &str, rows: Value| {
        let answer = ack.post(&format!("/permissions/users/u1/update{mode}"), &rows).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{mode} {rows}");
        ack.shown("u1").await
    };
    let rows = |roles: &[(&str, &str)]| -> Value {
        roles.iter().map(|(cluster, role)| row(cluster, "cluster", role)).collect()
    };
    let both = rows(&[("c1", "dev"), ("c2", "dev")]);
    assert_eq!(update("", json!([dev("c1"), dev("c2")])).await, both, "without a mode it replaces");
    assert_eq!(update("?mode=patch", json!([admin("c1")])).await, rows(&[("c1", "admin"), ("c2", "dev")]));
    assert_eq!(update("?mode=patch", json!([])).await, rows(&[("c1", "admin"), ("c2", "dev")]));
    assert_eq!(update("?mode=delete", json!([dev("c1")])).await, rows(&[("c1", "admin"), ("c2", "dev")]));
    assert_eq!(update("?mode=delete", json!([admin("c1")])).await, rows(&[("c2", "dev")]));
    assert_eq!(update("?mode=delete", json!([])).await, rows(&[("c2", "dev")]));
    assert_eq!(update("?RegionId=r&mode=apply", json!([dev("c1")])).await, rows(&[("c1", "dev")]));
    assert_eq!(update("?mode=apply", json!([])).await, json!([]));
}

#[tokio::test]
async fn a_list_that_was_kept_as_text_is_written_again_after_any_change() {
    let ack = Ack::start().await;
    ack.grant("u1", &json!([dev("c1")])).await;
    let first = ack.shown("u1").await;
    assert_eq!(ack.shown("u1").await, first);
    ack.grant("u2", &json!([admin("c2")])).await;
    assert_eq!(ack.shown("u1").await, first);
    assert_eq!(ack.shown("u2").await, json!([row("c2", "cluster", "admin")]));
    ack.grant_elsewhere(spec(Role::Viewer, PrincipalKind::User, "u1", &["c2"], &[])).await;
    assert_eq!(
        ack.shown("u1").await,
        json!([row("c1", "cluster", "dev"), row("c2", "cluster", "restricted")])
    );
}

#[tokio::test]
async fn a_caller_sees_and_changes_only_where_they_administer() {
    let ack = Ack::start().await;
    ack.grant("u1", &json!([dev("c1"), dev("c2"), {"role_type": "all-clusters", "role_name": "restricted"}]))
        .await;
    let key = ack.allowed("u2", &["cs:*"]).await;
    let shown = async || ack.by(&key, "GET", "/permissions/users/u1", b"").await.json();
    assert_eq!(shown().await, json!([]), "a policy is not enough");
    // Their own are no exception.
    assert_eq!(ack.by(&key, "GET", "/permissions/users/u2", b"").await.json(), json!([]));
    let send =
        async |rows: Value| ack.by(&key, "POST", "/permissions/users/u1", rows.to_string().as_bytes()).await;
    let refused = send(json!([dev("c1")])).await;
    let (status, code, message) = refusal(&refused);
    assert_eq!((status, code.as_str()), (403, "ForbiddenGrantPermissions"));
    assert!(message.contains("`cluster/c1`") && message.contains("administering"), "{message}");
    assert_eq!(refused.json()["accessDeniedDetail"]["AuthAction"], "cs:GrantPermission");
    assert!(refused.json()["accessDeniedDetail"]["Explanation"].is_string());

    ack.grant("u2", &json!([admin("c1")])).await;
    assert_eq!(shown().await, json!([row("c1", "cluster", "dev")]));
    assert_eq!(send(json!([])).await.status, 200, "replaces what they administer, and nothing else");
    assert_eq!(shown().await, json!([]));
    let left = json!([row("all-clusters", "console", "restricted"), row("c2", "cluster", "dev")]);
    assert_eq!(ack.shown("u1").await, left);
    for rows in [
        json!([dev("c2")]),
        json!([{"role_type": "all-clusters", "role_name": "dev"}]),
        json!([dev("c1"), dev("c2")]),
    ] {
        assert_eq!(refusal(&send(rows).await).1, "ForbiddenGrantPermissions");
    }
    assert_eq!(ack.shown("u1").await, left, "nothing of a refused list was granted");
    let clean = ack.by(&key, "DELETE", "/users/u1/permissions?Force=true", b"").await;
    assert_eq!(refusal(&clean).1, "ForbiddenGrantPermissions");
    // Who administers all clusters sees all there is.
    ack.grant("u2", &json!([{"role_type": "all-clusters", "role_name": "admin"}])).await;
    assert_eq!(shown().await, left);
}

#[tokio::test]
async fn a_refusal_names_the_action_and_whether_a_session_asked() {
    let ack = Ack::start().await;
    let key = ack.server.key_of("u2").await;
    let body = b"[]";
    for (method, target, body, action) in [
        ("GET", "/permissions/users/u1", &b""[..], "cs:GetUserPermissions"),
        ("GET", "/permissions/users/nobody", b"", "cs:GetUserPermissions"),
        ("GET", "/permissions/users/u2", b"", "cs:GetUserPermissions"),
        ("POST", "/permissions/users/u1", body, "cs:GrantPermission"),
        ("POST", "/permissions/users/nobody", body, "cs:GrantPermission"),
        ("POST", "/permissions/users/u1/update", body, "cs:UpdateUserPermissions"),
        ("POST", "/permissions/users/u1/update?mode=delete", body, "cs:UpdateUserPermissions"),
        ("DELETE", "/users/u1/permissions", b"", "cs:CleanUserPermissions"),
        ("DELETE", "/cluster/c1/user/u1/permissions", b"", "cs:CleanClusterUserPermissions"),
        ("DELETE", "/cluster/c9/user/u1/permissions", b"", "cs:CleanClusterUserPermissions"),
    ] {
        let answer = ack.by(&key, method, target, body).await;
        let message = format!("RAM policy Forbidden for action {action}");
        assert_eq!(refusal(&answer), (403, "StatusForbidden".to_owned(), message), "{method} {target}");
        let detail = &answer.json()["accessDeniedDetail"];
        assert_eq!(
            (&detail["AuthAction"], &detail["NoPermissionType"]),
            (&action.into(), &"ImplicitDeny".into())
        );
    }
}

#[tokio::test]
async fn everything_is_taken_from_who_leaves_and_the_answer_has_an_id_of_the_request() {
    let ack = Ack::start().await;
    let all = json!([dev("c1"), dev("c2"), {"cluster": "c2", "role_type": "namespace", "namespace": "a", "role_name": "dev"}]);
    ack.grant("u1", &all).await;
    let unforced = refusal(&ack.delete("/users/u1/permissions").await);
    assert_eq!((unforced.0, unforced.1.as_str()), (409, "Conflict"));
    assert!(unforced.2.contains("7 days"), "{}", unforced.2);
    assert_eq!(refusal(&ack.delete("/users/u1/permissions?Force=False").await).0, 409);

    let answer = ack.delete("/cluster/c1/user/u1/permissions?Force=True").await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    assert_eq!(ack.shown("u1").await, json!([row("c2", "cluster", "dev"), row("c2/a", "namespace", "dev")]));
    ack.grant("u1", &all).await;
    for target in
        ["/users/u1/permissions?ClusterIds=c2&Force=true", "/users/u1/permissions?ClusterIds.1=c2&Force=TRUE"]
    {
        assert_eq!(ack.delete(target).await.status, 200);
        assert_eq!(ack.shown("u1").await, json!([row("c1", "cluster", "dev")]), "{target}");
        ack.grant("u1", &all).await;
    }
    assert_eq!(ack.delete("/users/u1/permissions?ClusterIds=c1%2Cc2&Force=true").await.status, 200);
    assert_eq!(ack.shown("u1").await, json!([]));

    let answer = ack.delete("/users/u1/permissions?Force=true").await;
    let body = answer.json();
    let id = body["request_id"].as_str().unwrap();
    assert_eq!(answer.header("x-acs-request-id"), Some(id));
    let hex = id.replace('-', "").to_lowercase();
    assert_eq!(body["task_id"], format!("clean-user-permissions-u1-{hex}"));
    assert_eq!(
        answer.header("x-request-id"),
        Some(hex.as_str()),
        "the id under which the log and the audit have it"
    );

    let root = ack.server.root.root.id.to_string();
    let (status, code, message) =
        refusal(&ack.delete(&format!("/users/{root}/permissions?Force=true")).await);
    assert_eq!((status, code.as_str()), (400, "InvalidParameter"));
    assert!(message.starts_with("`uid` must not be"), "{message}");
}

#[tokio::test]
async fn what_a_signed_request_granted_does_not_come_back_when_it_is_sent_again() {
    let ack = Ack::start().await;
    let body = json!([admin("c1")]).to_string();
    let request = crate::acs3::Request {
        method: "POST",
        path: "/permissions/users/u1",
        query: "",
        body: body.as_bytes(),
        extra: &[("x-acs-version", super::VERSION), ("content-type", "application/json")],
    };
    let headers = ack.server.acs3(&ack.key, &request);
    let send = async || {
        let headers = crate::server::borrowed(&headers);
        ack.server.send("POST", "/permissions/users/u1", &headers, body.as_bytes()).await
    };
    assert_eq!(send().await.status, 200);
    assert_eq!(send().await.status, 200, "a client that heard nothing asks again");
    ack.grant("u1", &json!([])).await;
    assert_eq!(refusal(&send().await).0, 409);
    assert_eq!(ack.shown("u1").await, json!([]));
}

#[tokio::test]
async fn settings_bound_lists_and_what_one_replacing_takes_away() {
    let server = Server::start_set(|dialects| {
        dialects.ack =
            api::dialects::alibaba::ack::settings::Settings { max_rows: 3, max_removed_per_replace: Some(1) };
    });
    let ack = Ack::of(server.await).await;
    let at = |name: &str| json!({"cluster": "c1", "role_type": "namespace", "namespace": name, "role_name": "dev"});
    let update = "/permissions/users/u1/update";
    let (status, code, message) =
        refusal(&ack.grant("u1", &json!([at("a"), at("b"), at("c"), at("d")])).await);
    assert_eq!((status, code.as_str()), (400, "InvalidParameter"));
    assert!(message.contains("at most 3"), "{message}");
    assert_eq!(ack.grant("u1", &json!([at("a"), at("b"), at("c")])).await.status, 200);
    for target in ["/permissions/users/u1", update] {
        let (status, code, message) = refusal(&ack.post(target, &json!([at("a")])).await);
        assert_eq!((status, code.as_str()), (409, "Conflict"), "{target}");
        assert!(message.contains("take away 2"), "{message}");
    }
    assert_eq!(ack.grant("u1", &json!([at("a"), at("b")])).await.status, 200);
    let both = ack.post(&format!("{update}?mode=delete"), &json!([at("a"), at("b")])).await;
    assert_eq!(both.status, 200, "what is named may go");
    ack.grant_elsewhere(spec(Role::Viewer, PrincipalKind::User, "u1", &["c1"], &["a", "b", "c", "d"])).await;
    let (status, code, _) = refusal(&ack.get("/permissions/users/u1").await);
    assert_eq!((status, code.as_str()), (409, "Conflict"), "an error, and never a part of the list");
}
