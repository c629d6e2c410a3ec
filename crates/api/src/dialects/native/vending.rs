//! `/bailiwick/v1/clusters/{cluster}/pod-identity/credentials`: credentials for a pod, as the agents of a cluster ask for
//! them.

use domain::Result;
use http::StatusCode;
use service::Call;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;
use crate::vended::Body;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/bailiwick/v1/clusters/{cluster}/pod-identity/credentials",
        "podIdentity.vend",
        "Issues a temporary access key of the agency that a pod's service account is associated with.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(vend(app, call, input))),
    )]
}

async fn vend(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let token = body.text("token")?;
    body.finish()?;
    let vended = app.service.vend(&call, input.parameters.get("cluster").into(), &token).await?;
    Reply::json(StatusCode::OK, &Body::for_agents(&vended))
}
