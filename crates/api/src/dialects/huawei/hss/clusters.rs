//! The clusters of a project in the vendor's shape, and how they stand.

use domain::{Cluster, ClusterId, ConnectionState, Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, Imported};

use super::scope::{Part, Scope, length};
use crate::App;
use crate::operation::Input;
use crate::reply::Reply;

/// So many are looked at in one call, as many as a page has.
const MOST: usize = 200;

#[derive(Serialize)]
struct List<'a> {
    total_num: usize,
    data_list: Vec<Info<'a>>,
}

/// A cluster as it is listed. The last three keys are ours, and the SDK drops them.
#[derive(Serialize)]
struct Info<'a> {
    cluster_id: &'a str,
    cluster_name: &'a str,
    provider: &'a str,
    server: &'a str,
    image_repo: &'a str,
    status: &'static str,
    /// Of the vendor's agent, which there is not.
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_expiration_date: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_expiration_date: Option<i64>,
    status_reason: &'a str,
    status_time: i64,
    kubernetes_version: &'a str,
}

pub(super) async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_many(app, &call, &input)?;
    let part = Part::read(&input.head)?;
    let id = length("cluster_id", input.head.query("cluster_id"), 64)?;
    let call = app.service.call_of_member(&call);
    let found = app.service.list_clusters_of_members_account(&call, &scope.project, &scope.within).await;
    let mut found = found?;
    found.retain(|cluster| id.is_none_or(|id| cluster.id.as_str() == id));
    let shown = app.service.standing_of_members_clusters(&call, part.of(&found)).await?;
    let data_list = shown.iter().map(info).collect();
    Reply::json(StatusCode::OK, &List { total_num: found.len(), data_list })
}

pub(super) async fn synchronize(app: &App, call: Call, input: Input) -> Result<Reply> {
    let scope = Scope::of_one(app, &call, &input)?;
    let call = app.service.call_of_member(&call);
    let mut body = input.json()?;
    body.optional_integer("total_num")?;
    let mut ids = Vec::new();
    for mut named in body.objects("data_list")? {
        let id = named.text("cluster_id")?;
        length("data_list.cluster_id", Some(&id), 64)?;
        ids.push(ClusterId::stored(&id));
    }
    if !(1..=MOST).contains(&ids.len()) {
        return Err(Error::invalid("data_list", format!("must name 1 to {MOST} clusters")));
    }
    let among = app.service.clusters_of_members_account(&call, &scope.project, &scope.within).await?;
    app.service.probe_clusters(&call, &among, &ids).await?;
    Ok(Reply::empty(StatusCode::OK))
}

fn info(imported: &Imported) -> Info<'_> {
    let Imported { cluster, since, reason, credential_end, declared } = imported;
    Info {
        cluster_id: cluster.id.as_str(),
        cluster_name: &cluster.name,
        provider: &cluster.provider,
        server: cluster.server.as_deref().unwrap_or_default(),
        image_repo: &declared.image_repository,
        status: status(cluster),
        version: "",
        current_expiration_date: declared.end.or(*credential_end).map(domain::Timestamp::as_millis),
        certificate_expiration_date: credential_end.map(domain::Timestamp::as_millis),
        status_reason: reason,
        status_time: since.as_millis(),
        kubernetes_version: &cluster.version,
    }
}

/// The vendor's word for how the connection stands. One that works and leads to another cluster than before does not
/// count as working: nothing is done there.
fn status(cluster: &Cluster) -> &'static str {
    match (cluster.connection, cluster.suspended_at, cluster.identified_at) {
        (ConnectionState::Detached | ConnectionState::Connecting, _, _) => "not_connect",
        (ConnectionState::Connected, None, _) => "connect_success",
        (ConnectionState::Connected, Some(_), _) | (ConnectionState::Unreachable, _, Some(_)) => {
            "connect_disruption"
        }
        (ConnectionState::Unreachable, _, None) => "connect_fail",
    }
}
