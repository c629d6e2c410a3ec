//! Clusters in the vendor's shape, with the fields that are known of a cluster which the vendor does not run.

use domain::{Cluster, ConnectionState, Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;

use super::{query, unknown_cluster};
use crate::App;
use crate::dialects::alibaba::reply;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The vendor's word for a cluster that it does not run.
const CLUSTER_TYPE: &str = "ExternalKubernetes";

/// The vendor's word for a cluster that is of no special kind.
const PROFILE: &str = "Default";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row =
        |path, name, summary, handler| Operation::new("GET", path, name, summary, BodyRule::None, handler);
    vec![
        row(
            "/clusters",
            "ack.describeClusters",
            "Lists the clusters.",
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "/api/v1/clusters",
            "ack.describeClustersV1",
            "Lists a page of the clusters.",
            Handler::Authenticated(|app, call, input| Box::pin(page(app, call, input))),
        ),
        row(
            "/regions/{region_id}/clusters",
            "ack.describeClustersForRegion",
            "Lists a page of the clusters of a region.",
            Handler::Authenticated(|app, call, input| Box::pin(page(app, call, input))),
        ),
        row(
            "/clusters/{ClusterId}",
            "ack.describeClusterDetail",
            "Shows a cluster.",
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let clusters = app.service.list_clusters(&call).await?;
    let filter = Filter::read(&input, "clusterType");
    let wanted: Vec<Wire<'_>> = clusters.iter().filter(|one| filter.matches(one)).map(Wire::new).collect();
    reply::json(StatusCode::OK, &wanted)
}

async fn page(app: &App, call: Call, input: Input) -> Result<Reply> {
    let clusters = app.service.list_clusters(&call).await?;
    let page_number = query::number(&input, "page_number", 1, 1_000_000)?;
    let page_size = query::number(&input, "page_size", 50, 100)?;
    let filter = Filter::read(&input, "cluster_type");
    let wanted: Vec<&Cluster> = clusters.iter().filter(|one| filter.matches(one)).collect();
    let before = (page_number - 1).saturating_mul(page_size);
    let shown = wanted.iter().skip(before).take(page_size).map(|one| Wire::new(one)).collect();
    let page_info = PageInfo { page_number, page_size, total_count: wanted.len() };
    reply::json(StatusCode::OK, &Page { clusters: shown, page_info })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("ClusterId");
    let found = app.service.show_cluster(&call, id).await.map_err(unknown_cluster)?;
    // Names are no ids here.
    if found.id.as_str() != id {
        return Err(unknown_cluster(Error::not_found("cluster", id)));
    }
    reply::json(StatusCode::OK, &Wire::new(&found))
}

/// What a list is narrowed to. A cluster that does not have what is asked for is left out.
struct Filter<'a> {
    cluster: Option<&'a str>,
    name: Option<&'a str>,
    region: Option<&'a str>,
    resource_group: Option<&'a str>,
    /// Whether a filter asks for something that no cluster here is.
    nothing: bool,
}

impl<'a> Filter<'a> {
    fn read(input: &'a Input, type_key: &str) -> Self {
        let given = |key: &str| input.head.query(key).filter(|value| !value.is_empty());
        let other = |key: &str, ours: &str| given(key).is_some_and(|value| !value.eq_ignore_ascii_case(ours));
        let path_region = Some(input.parameters.get("region_id")).filter(|region| !region.is_empty());
        Self {
            cluster: given("cluster_id"),
            name: given("name"),
            region: path_region.or_else(|| given("region_id")),
            resource_group: given("resource_group_id"),
            nothing: other(type_key, CLUSTER_TYPE) || other("profile", PROFILE) || other("cluster_spec", ""),
        }
    }

    fn matches(&self, cluster: &Cluster) -> bool {
        let group = cluster.enterprise_project.as_ref().map(domain::EnterpriseProjectId::as_str);
        !self.nothing
            && self.cluster.is_none_or(|id| cluster.id.as_str() == id)
            && self.name.is_none_or(|part| cluster.name.contains(part))
            && self.region.is_none_or(|region| cluster.region == region)
            && self.resource_group.is_none_or(|wanted| group == Some(wanted))
    }
}

#[derive(Serialize)]
struct Page<'a> {
    clusters: Vec<Wire<'a>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct PageInfo {
    page_number: usize,
    page_size: usize,
    total_count: usize,
}

/// A cluster. What is not known of it is not there.
#[derive(Serialize)]
struct Wire<'a> {
    cluster_id: &'a str,
    name: &'a str,
    region_id: &'a str,
    state: &'static str,
    cluster_type: &'static str,
    profile: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    current_version: &'a str,
    created: String,
    updated: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_id: Option<&'a str>,
    tags: Vec<Tag<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_url: Option<String>,
}

#[derive(Serialize)]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> Wire<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        // A text that holds JSON. At which of a cluster's addresses it is reached is not known to be an inner one.
        let endpoint = |server: &String| serde_json::json!({ "api_server_endpoint": server }).to_string();
        Self {
            cluster_id: cluster.id.as_str(),
            name: &cluster.name,
            region_id: &cluster.region,
            state: state(cluster.connection),
            cluster_type: CLUSTER_TYPE,
            profile: PROFILE,
            current_version: cluster.version.strip_prefix('v').unwrap_or(&cluster.version),
            created: cluster.created_at.rfc3339_seconds(),
            updated: cluster.updated_at.rfc3339_seconds(),
            resource_group_id: cluster.enterprise_project.as_ref().map(domain::EnterpriseProjectId::as_str),
            tags: cluster.labels.iter().map(|(key, value)| Tag { key, value }).collect(),
            master_url: cluster.server.as_ref().map(endpoint),
        }
    }
}

/// The vendor's word for how a cluster is. `waiting` is what it says of one that was registered and has no connection.
fn state(connection: ConnectionState) -> &'static str {
    match connection {
        ConnectionState::Detached => "waiting",
        ConnectionState::Connecting => "initial",
        ConnectionState::Connected => "running",
        ConnectionState::Unreachable => "unavailable",
    }
}
