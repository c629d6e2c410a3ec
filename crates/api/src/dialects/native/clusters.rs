//! `/bailiwick/v1/clusters`.

use std::collections::BTreeMap;

use domain::{Cluster, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewCluster};

use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/bailiwick/v1/clusters";
const ITEM: &str = "/bailiwick/v1/clusters/{cluster}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            COLLECTION,
            "clusters.list",
            "Lists clusters.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            COLLECTION,
            "clusters.create",
            "Registers a cluster, with its kubeconfig or detached.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "clusters.show",
            "Shows a cluster and how we stand with it.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "clusters.delete",
            "Removes a cluster from every grant and our bindings from the cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let paged = app.service.page_clusters(&call, &page(&input, &[])?).await?;
    items(paged, |cluster: Cluster| Wire::new(&cluster))
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let new = NewCluster {
        id: body.optional_text("id")?,
        name: body.text("name")?,
        kubeconfig: body.optional_text("kubeconfig")?,
        project: body.optional_text("project")?,
        enterprise_project: body.optional_text("enterpriseProject")?,
        provider: body.optional_text("provider")?,
        region: body.optional_text("region")?,
        owner: body.optional_text("owner")?,
        labels: body.text_map("labels")?,
    };
    body.finish()?;
    let cluster = app.service.create_cluster(&call, new).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&cluster))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = app.service.show_cluster(&call, input.parameters.get("cluster")).await?;
    Reply::json(StatusCode::OK, &Wire::new(&cluster))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_cluster(&call, input.parameters.get("cluster")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    name: String,
    state: &'static str,
    reason: String,
    version: String,
    server: Option<String>,
    project: String,
    enterprise_project: Option<String>,
    provider: String,
    region: String,
    owner: Option<String>,
    labels: BTreeMap<String, String>,
    created_at: String,
    updated_at: String,
}

impl Wire {
    fn new(cluster: &Cluster) -> Self {
        Self {
            id: cluster.id.to_string(),
            name: cluster.name.clone(),
            state: cluster.connection.as_str(),
            reason: cluster.connection_reason.clone(),
            version: cluster.version.clone(),
            server: cluster.server.clone(),
            project: cluster.project.to_string(),
            enterprise_project: cluster.enterprise_project.as_ref().map(ToString::to_string),
            provider: cluster.provider.clone(),
            region: cluster.region.clone(),
            owner: cluster.owner.as_ref().map(ToString::to_string),
            labels: cluster.labels.clone(),
            created_at: cluster.created_at.rfc3339_seconds(),
            updated_at: cluster.updated_at.rfc3339_seconds(),
        }
    }
}
