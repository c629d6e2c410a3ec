//! Every operation of every dialect, walked: by nobody, and by somebody without rights.

use api::actions::Bound;
use api::operation::{BodyRule, Handler, Operation};

use crate::server::Server;

/// Operations that need no credential. This list may only shrink.
/// `metrics.show` answers without one on loopback only.
const OPEN: [&str; 7] = [
    "health.live",
    "health.ready",
    "iam.createTemporaryAccessKey",
    "iam.keystoneCreateToken",
    "metrics.show",
    "openapi.show",
    "podIdentity.vendToPod",
];

/// Operations that answer whoever they are. This list may only shrink.
const ABOUT_ONESELF: [&str; 1] = ["sts.getCallerIdentity"];

/// Operations that ask for another right first than the one that the authorization tables bind them to. May only shrink.
const OTHERWISE: [(&str, &str); 2] =
    [("cce.updateAccessPolicy", "cce:accessPolicy:get"), ("grants.update", "bailiwick:grant:show")];

/// Operations that tell callers who they are, and need no right. This list may only shrink.
const UNASKED: [&str; 2] = ["ramSts.getCallerIdentity", "ramSts.postCallerIdentity"];

/// Operations for which a vendor asks no right, only that one belongs to the account. This list may only shrink.
const OF_MEMBERS: [&str; 5] = [
    "hss.listMultiCloudClusters",
    "hss.parseMultiCloudClusterConfig",
    "hss.showAgentAddress",
    "hss.showMultiCloudClusterAuth",
    "hss.showMultiCloudClusterImageCommand",
];

/// The code of a failure, wherever the dialect writes it.
fn code<'a>(dialect: &str, json: &'a serde_json::Value) -> &'a serde_json::Value {
    match dialect {
        "native" => &json["error"]["code"],
        "alibaba" => &json["Code"],
        _ => &json["error_code"],
    }
}

fn rows(server: &Server) -> Vec<(&'static str, Operation)> {
    let rows = |dialect: &std::sync::Arc<dyn api::operation::Dialect>| {
        let name = dialect.name();
        dialect.table().rows().iter().map(move |row| (name, *row)).collect::<Vec<_>>()
    };
    server.app.dialects().iter().flat_map(rows).collect()
}

/// The path with something in place of each parameter.
fn path(row: &Operation) -> String {
    let fill = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
    row.path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

/// A body that the operation would accept, so that rights decide.
fn body(row: &Operation) -> &'static str {
    match row.name {
        "cce.createAccessPolicy" | "cce.updateAccessPolicy" => {
            r#"{"name":"p","clusters":["*"],"accessScope":{"namespaces":["*"]},"policyType":"CCEViewPolicy","principal":{"type":"user","ids":["u"]}}"#
        }
        "cce.createPodIdentityAssociation" => r#"{"namespace":"n","serviceAccount":"s","agencyName":"a"}"#,
        "cce.updatePodIdentityAssociation" => r#"{"agencyName":"a"}"#,
        "associations.create" => r#"{"namespace":"n","serviceAccount":"s","agency":"a"}"#,
        "associations.update" => r#"{"agency":"a"}"#,
        "cce.assumeAgencyForPodIdentity" => r#"{"token":"a.b.c"}"#,
        "podIdentity.vend" => r#"{"tokens":["a.b.c"]}"#,
        "podIdentity.test" => r#"{"namespace":"n","serviceAccount":"s"}"#,
        "cce.createKubernetesClusterCert" => r#"{"duration":1}"#,
        "cce.revokeKubernetesClusterCert" => r#"{"userId":"u"}"#,
        "kubeconfigs.issue" => "{}",
        "ack.updateK8sClusterUserConfigExpire" => r#"{"expire_hour":1,"user":"u"}"#,
        "grants.create" | "grants.update" => {
            r#"{"role":"viewer","principals":{"type":"user","ids":["u"]},"clusters":["*"],"namespaces":["*"]}"#
        }
        "sts.assumeAgency" => r#"{"agency_urn":"iam::x:agency:x","agency_session_name":"s1"}"#,
        "sts.decodeAuthorizationMessage" => r#"{"encoded_message":"x"}"#,
        name if name.contains("Permissions.") => r#"{"change":"add","permissions":[]}"#,
        "activity.import" => "{}",
        "revocations.create" => r#"{"principal":"x"}"#,
        "users.setPassword" => r#"{"password":"long enough"}"#,
        "users.changePassword" => r#"{"oldPassword":"long ago","password":"long enough"}"#,
        // The vendor ignores what an operation does not know.
        name if name.starts_with("iam.") => {
            r#"{"name":"n","group_name":"n","agency_name":"n","trust_policy":"{}","user_id":"u","status":"active",
            "policy_name":"n","policy_document":"{}","group_id":"g","agency_id":"a","description":"d",
            "password":"long enough","old_password":"long ago","new_password":"long enough",
            "user":{"name":"n","original_password":"long ago","password":"long enough"},"group":{"name":"n"},
            "agency":{"name":"n","trust_domain_id":"a"},"credential":{"user_id":"u","status":"active"}}"#
        }
        name if name.starts_with("hss.") => {
            r#"{"kube_config":"x","current_expiration_date":1,"data_list":[{"cluster_id":"x"}]}"#
        }
        "ack.grantPermissions" | "ack.updateUserPermissions" => "[]",
        "accessKeys.create" => r#"{"user":"u"}"#,
        "accessKeys.update" => r#"{"enabled":false}"#,
        "clusters.check" => "{}",
        "clusters.update" => r#"{"labels":{}}"#,
        "clusters.rotate" => r#"{"kubeconfig":"x"}"#,
        "podIdentity.issueAgentKey" => "{}",
        "policies.create" => r#"{"name":"n","document":{}}"#,
        "policyVersions.create" => r#"{"document":{}}"#,
        "authorize.ask" => r#"{"principal":{"type":"user","id":"u"},"action":"bailiwick:grant:list"}"#,
        _ => r#"{"name":"n"}"#,
    }
}

#[tokio::test]
async fn without_a_credential_nothing_but_the_open_operations_answers() {
    let server = Server::start().await;
    let mut open = Vec::new();
    for (dialect, row) in rows(&server) {
        let answer = server
            .send(row.method, &path(&row), &[("Content-Type", "application/json")], body(&row).as_bytes())
            .await;
        match row.handler {
            Handler::Open(_) => open.push(row.name),
            Handler::Authenticated(_) => {
                let status = if dialect == "alibaba" { 400 } else { 401 };
                assert_eq!(answer.status, status, "{}", row.name);
                if row.method != "HEAD" {
                    let json = answer.json();
                    let code = code(dialect, &json);
                    assert!(code.as_str().is_some_and(|code| !code.is_empty()), "{}: {json}", row.name);
                }
            }
        }
    }
    open.sort_unstable();
    assert_eq!(open, OPEN);
}

#[tokio::test]
async fn somebody_without_rights_is_refused_every_operation() {
    let server = Server::start().await;
    let token = server.ordinary_token().await;
    let key = server.key_of("ordinary").await;
    server.a_cluster_named_x().await;
    // Everybody may ask about the token that they show, and end it.
    let other = server.root_token().await;
    let tables = crate::actions::tables();
    let mut otherwise = Vec::new();
    for (dialect, row) in rows(&server) {
        if matches!(row.handler, Handler::Open(_)) {
            continue;
        }
        if dialect == "alibaba" {
            let version = if row.path.starts_with("/?") { "2015-04-01" } else { "2015-12-15" };
            let target = path(&row);
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let extra = [("x-acs-version", version), ("content-type", "application/json")];
            let body = if row.body == BodyRule::Json { body(&row).as_bytes() } else { b"" };
            let request = crate::acs3::Request { method: row.method, path, query, body, extra: &extra };
            let answer = server.send_acs3(&key, &request).await;
            let expected = if UNASKED.contains(&row.name) { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{}", row.name);
            continue;
        }
        let headers = [
            ("X-Auth-Token", token.as_str()),
            ("X-Subject-Token", other.as_str()),
            ("Content-Type", "application/json"),
        ];
        let answer = server.send(row.method, &path(&row), &headers, body(&row).as_bytes()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if ABOUT_ONESELF.contains(&row.name) {
            assert_eq!(answer.status, 200, "{}: {text}", row.name);
            continue;
        }
        if OF_MEMBERS.contains(&row.name) {
            // Of a cluster without a connection, and of a kubeconfig that is none.
            assert!([200, 400, 409].contains(&answer.status), "{}: {text}", row.name);
            continue;
        }
        // Nobody is named: it is the caller's own, and the old one is wrong.
        let expected = if row.name == "iam.changePasswordV5" { 401 } else { 403 };
        assert_eq!(answer.status, expected, "{}: {text}", row.name);
        if let (Bound::To(action), true) = (tables[dialect].of(&row), row.method != "HEAD") {
            let bound = &action.action;
            if !text.contains(&format!("`{bound}`")) {
                otherwise.push((row.name, text.split('`').nth(1).unwrap_or_default().to_owned()));
            }
        }
    }
    otherwise.sort();
    let expected = OTHERWISE.map(|(name, action)| (name, action.to_owned()));
    assert_eq!(otherwise, expected, "operations that ask for another right than the tables bind them to");
}

#[tokio::test]
async fn while_the_installation_is_held_nobody_is_let_in_and_only_the_process_tells_about_itself() {
    let server = Server::start().await;
    let token = server.root_token().await;
    let hold = store::Hold { since: server.app.service.now(), reason: "an older copy".to_owned() };
    assert!(server.store.insert_hold(&hold).await.unwrap());
    server.app.service.follow_revisions().await.unwrap();
    let bearer = format!("Bearer {token}");
    for (dialect, row) in rows(&server) {
        let nothing = String::from("x");
        let shown = match dialect {
            "native" => ("Authorization", &bearer),
            "alibaba" => ("x-acs-signature-nonce", &nothing),
            _ => ("X-Auth-Token", &token),
        };
        let headers = [(shown.0, shown.1.as_str()), ("Content-Type", "application/json")];
        let answer = server.send(row.method, &path(&row), &headers, body(&row).as_bytes()).await;
        let text = String::from_utf8_lossy(&answer.body);
        match row.name {
            "health.live" => assert_eq!(answer.status, 200),
            "metrics.show" => assert!(answer.status == 200 && text.contains("bailiwick_held 1"), "{text}"),
            "health.ready" => {
                assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("held")));
                assert_eq!(answer.json()["reason"], "an older copy", "this machine may know");
            }
            name if row.method == "HEAD" => assert_eq!(answer.status, 503, "{name}"),
            name => {
                assert_eq!(answer.status, 503, "{name}: {text}");
                let json = answer.json();
                let code = code(dialect, &json);
                assert!(code.is_string() && text.contains("bailiwick hold show"), "{name}: {text}");
            }
        }
    }
    let unknown = server.send("GET", "/bailiwick/v1/nowhere", &[], b"").await;
    assert_eq!(unknown.status, 503);
    let by_proxy = [("X-Forwarded-For", "192.0.2.1"), ("Authorization", bearer.as_str())];
    assert_eq!(
        server.send("GET", "/metrics", &by_proxy, b"").await.status,
        503,
        "a credential counts nowhere"
    );
    let ready = server.send("GET", "/readyz", &by_proxy[..1], b"").await;
    assert!(ready.status == 503 && ready.json()["reason"].is_null());
}

#[tokio::test]
async fn operation_names_are_unique_and_summaries_are_sentences() {
    let server = Server::start().await;
    let mut names: Vec<&str> = rows(&server).iter().map(|(_, row)| row.name).collect();
    let total = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), total);
    for (_, row) in rows(&server) {
        assert!(row.summary.ends_with('.'), "{}", row.name);
    }
}
