//! Every operation of every dialect, walked: by nobody, and by somebody without rights.

use api::operation::{Handler, Operation};

use crate::server::Server;

/// Operations that need no credential. This list may only shrink.
/// `metrics.show` answers without one on loopback only.
const OPEN: [&str; 5] =
    ["health.live", "health.ready", "iam.keystoneCreateToken", "metrics.show", "openapi.show"];

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
        "grants.create" | "grants.update" => {
            r#"{"role":"viewer","principals":{"type":"user","ids":["u"]},"clusters":["*"],"namespaces":["*"]}"#
        }
        "users.setPassword" => r#"{"password":"long enough"}"#,
        "accessKeys.create" => r#"{"user":"u"}"#,
        "accessKeys.update" => r#"{"enabled":false}"#,
        "clusters.update" => r#"{"labels":{}}"#,
        "clusters.rotate" => r#"{"kubeconfig":"x"}"#,
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
                assert_eq!(answer.status, 401, "{}", row.name);
                if row.method != "HEAD" {
                    let json = answer.json();
                    let code = if dialect == "native" { &json["error"]["code"] } else { &json["error_code"] };
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
    for (_, row) in rows(&server) {
        if matches!(row.handler, Handler::Open(_)) {
            continue;
        }
        let headers = [
            ("X-Auth-Token", token.as_str()),
            ("X-Subject-Token", token.as_str()),
            ("Content-Type", "application/json"),
        ];
        let answer = server.send(row.method, &path(&row), &headers, body(&row).as_bytes()).await;
        assert_eq!(answer.status, 403, "{}: {}", row.name, String::from_utf8_lossy(&answer.body));
    }
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
