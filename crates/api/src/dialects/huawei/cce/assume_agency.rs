//! `/api/v3/projects/{project_id}/clusters/{cluster_id}/assume-agency-for-pod-identity`: credentials for a pod.

use domain::Result;
use http::StatusCode;
use service::Call;
use service::clusters::certificates::WhichCluster;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;
use crate::vended::Body;

/// The rows.
pub(in crate::dialects::huawei) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/api/v3/projects/{project_id}/clusters/{cluster_id}/assume-agency-for-pod-identity",
        "cce.assumeAgencyForPodIdentity",
        "Issues a temporary access key of the agency that a pod's service account is associated with.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(assume(app, call, input))),
    )]
}

async fn assume(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let token = body.text("token")?;
    body.finish()?;
    let cluster = WhichCluster::InProject {
        project: input.parameters.get("project_id"),
        id: input.parameters.get("cluster_id"),
    };
    let vended = app.service.vend(&call, cluster, &token).await?;
    Reply::json(StatusCode::OK, &Body::new(&vended))
}
