//! `/bailiwick/v1/clusters`. How a connection changes and how a cluster ends is in `cluster_life`.

use std::collections::BTreeMap;

use domain::{Cluster, NameTemplate, Result};
use http::StatusCode;
use serde::Serialize;
use service::clusters::ArrivalUpdate;
use service::{Call, ClusterUpdate, NewCluster};

use super::{items, page};
use crate::App;
use crate::json::Object;
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
            "PATCH",
            ITEM,
            "clusters.update",
            "Changes what is said about a cluster; what is not given stays.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
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
        arrival: arrival(&mut body)?,
        ..NewCluster::default()
    };
    body.finish()?;
    let cluster = app.service.create_cluster(&call, new).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&cluster))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = app.service.show_cluster(&call, input.parameters.get("cluster")).await?;
    let uid = app.service.show_cluster_uid(&call, &cluster).await?;
    let identity = uid.map(|uid| Identity { uid });
    Reply::json(StatusCode::OK, &Wire { identity, ..Wire::new(&cluster) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let labels = if body.has("labels") { Some(body.text_map("labels")?) } else { None };
    let update = ClusterUpdate { owner: body.optional_text("owner")?, labels, arrival: arrival(&mut body)? };
    body.finish()?;
    let cluster = app.service.update_cluster(&call, input.parameters.get("cluster"), update).await?;
    Reply::json(StatusCode::OK, &Wire::new(&cluster))
}

fn arrival(body: &mut Object) -> Result<ArrivalUpdate> {
    Ok(ArrivalUpdate {
        users: body.optional_texts("userNameTemplates")?,
        groups: body.optional_texts("groupNameTemplates")?,
        members: body.optional_text("groupMembers")?,
    })
}

/// What tells a cluster from others. Whoever installs something there compares it first.
#[derive(Serialize)]
struct Identity {
    uid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
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
    user_name_templates: Vec<String>,
    group_name_templates: Vec<String>,
    group_members: &'static str,
    login: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identified_at: Option<String>,
    /// Only in what is shown of one cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl Wire {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let texts = |templates: &[NameTemplate]| templates.iter().map(ToString::to_string).collect();
        Self {
            id: cluster.id.to_string(),
            name: cluster.name.clone(),
            state: cluster.connection.as_str(),
            reason: reason(cluster),
            version: cluster.version.clone(),
            server: cluster.server.clone(),
            project: cluster.project.to_string(),
            enterprise_project: cluster.enterprise_project.as_ref().map(ToString::to_string),
            provider: cluster.provider.clone(),
            region: cluster.region.clone(),
            owner: cluster.owner.as_ref().map(ToString::to_string),
            labels: cluster.labels.clone(),
            user_name_templates: texts(&cluster.arrival.users),
            group_name_templates: texts(&cluster.arrival.groups),
            group_members: cluster.arrival.members.as_str(),
            login: cluster.arrival.sentence(),
            identified_at: cluster.identified_at.map(domain::Timestamp::rfc3339_seconds),
            identity: None,
            suspended_at: cluster.suspended_at.map(domain::Timestamp::rfc3339_seconds),
            created_at: cluster.created_at.rfc3339_seconds(),
            updated_at: cluster.updated_at.rfc3339_seconds(),
        }
    }
}

/// Why it is not as people expect it to be.
fn reason(cluster: &Cluster) -> String {
    match cluster.suspended_at {
        Some(_) if cluster.connection_reason.is_empty() => format!(
            "it leads to another cluster than before; its grants are suspended until `bailiwick cluster resume {}`",
            cluster.name
        ),
        Some(_) | None => cluster.connection_reason.clone(),
    }
}
