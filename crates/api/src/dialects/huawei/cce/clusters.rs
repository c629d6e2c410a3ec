//! `/api/v3/projects/{project_id}/clusters`: clusters in the vendor's shape, as far as it means anything for a
//! cluster that the vendor does not run.

use std::collections::BTreeMap;

use domain::{Cluster, ConnectionState, Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use crate::App;
use crate::dialects::huawei::path_project;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(in crate::dialects::huawei) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "GET",
            path: "/api/v3/projects/{project_id}/clusters",
            name: "cce.listClusters",
            summary: "Lists the clusters of a project.",
            body: BodyRule::None,
            handler: Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        },
        Operation {
            method: "GET",
            path: "/api/v3/projects/{project_id}/clusters/{cluster_id}",
            name: "cce.showCluster",
            summary: "Shows a cluster of a project.",
            body: BodyRule::None,
            handler: Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        },
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let clusters = app.service.list_clusters(&call).await?;
    let project = path_project(&call, &input)?;
    let (status, version) = (input.head.query("status"), input.head.query("version"));
    let wanted = |cluster: &&Cluster| {
        cluster.project == project
            && status.is_none_or(|status| status == phase(cluster))
            && version.is_none_or(|version| version == cluster.version)
    };
    let items = clusters.iter().filter(wanted).map(wire).collect();
    Reply::json(StatusCode::OK, &List { kind: "Cluster", api_version: "v3", items })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("cluster_id");
    let found = app.service.show_cluster(&call, id).await?;
    let project = path_project(&call, &input)?;
    // Names are no ids here, and a cluster is found in its own project only.
    if found.id.as_str() != id || found.project != project {
        return Err(Error::not_found("cluster", id));
    }
    Reply::json(StatusCode::OK, &wire(&found))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    items: Vec<Wire<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    alias: &'a str,
    uid: &'a str,
    creation_timestamp: String,
    update_timestamp: String,
    labels: &'a BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    category: &'static str,
    r#type: &'static str,
    version: &'a str,
    authentication: Authentication,
}

#[derive(Serialize)]
struct Authentication {
    mode: &'static str,
}

#[derive(Serialize)]
struct Status<'a> {
    phase: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    endpoints: Vec<Endpoint<'a>>,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    url: &'a str,
    r#type: &'static str,
}

fn wire(cluster: &Cluster) -> Wire<'_> {
    let mut annotations = BTreeMap::from([
        ("bailiwick.dev/connection", cluster.connection.as_str()),
        ("bailiwick.dev/region", cluster.region.as_str()),
    ]);
    if !cluster.provider.is_empty() {
        annotations.insert("bailiwick.dev/provider", &cluster.provider);
    }
    if let Some(project) = &cluster.enterprise_project {
        annotations.insert("enterpriseProjectId", project.as_str());
    }
    Wire {
        kind: "Cluster",
        api_version: "v3",
        metadata: Metadata {
            name: &cluster.name,
            alias: &cluster.name,
            uid: cluster.id.as_str(),
            creation_timestamp: timestamp(cluster.created_at),
            update_timestamp: timestamp(cluster.updated_at),
            labels: &cluster.labels,
            annotations,
        },
        spec: Spec {
            category: "CCE",
            r#type: "VirtualMachine",
            version: &cluster.version,
            authentication: Authentication { mode: "rbac" },
        },
        status: Status {
            phase: phase(cluster),
            reason: &cluster.connection_reason,
            endpoints: cluster.server.iter().map(|url| Endpoint { url, r#type: "External" }).collect(),
        },
    }
}

/// The vendor's word for how a cluster is. A detached cluster is one of which nothing is known.
fn phase(cluster: &Cluster) -> &'static str {
    match cluster.connection {
        ConnectionState::Connected => "Available",
        ConnectionState::Connecting => "Creating",
        ConnectionState::Unreachable => "Unavailable",
        ConnectionState::Detached => "Empty",
    }
}

fn timestamp(at: domain::Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S.%6f +0000 UTC")
}
