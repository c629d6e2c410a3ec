//! `/bailiwick/v1/clusters/{cluster}/pod-identity/credentials`: credentials for a pod, as the agents of a cluster ask for
//! them; `…/pod`, as a pod asks by itself; and `…/test`, what a pod would get, as people ask.

use domain::Result;
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::pod_identity::{Trial, Tried};

use crate::App;
use crate::authn::{self, Shown};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;
use crate::vended::Body;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/credentials",
            "podIdentity.vend",
            "Issues a temporary access key of the agency that a pod's service account is associated with.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(vend(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/pod",
            "podIdentity.vendToPod",
            "Issues the same to the pod itself, whose token is the whole `Authorization` header.",
            // Clients send `{}`, and nothing in it would count.
            BodyRule::None,
            Handler::Open(|app, input| Box::pin(vend_to_pod(app, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/test",
            "podIdentity.test",
            "Tells what the pods of a service account would get, and if nothing, why.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(test(app, call, input))),
        ),
    ]
}

async fn vend(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let token = body.text("token")?;
    body.finish()?;
    let vended = app.service.vend(&call, input.parameters.get("cluster").into(), &token).await?;
    Reply::json(StatusCode::OK, &Body::for_agents(&vended))
}

async fn vend_to_pod(app: &App, input: Input) -> Result<Reply> {
    let token = match authn::shown(&input.head)? {
        Shown::Authorization { scheme: token, parameters: "" } => token,
        // A scheme before it, or a credential of ours: it is no pod that asks, and who it is counts for nothing here.
        Shown::Authorization { .. } | Shown::Token(_) | Shown::Nothing => "",
    };
    let cluster = input.parameters.get("cluster");
    let vended = app.service.vend_to_pod(&input.head.origin, cluster, token).await?;
    Reply::json(StatusCode::OK, &Body::for_agents(&vended))
}

async fn test(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let tried = Tried {
        namespace: body.text("namespace")?,
        service_account: body.text("serviceAccount")?,
        pod: body.optional_text("pod")?,
    };
    body.finish()?;
    let trial = app.service.try_vending(&call, input.parameters.get("cluster").into(), &tried).await?;
    Reply::json(StatusCode::OK, &Tested::from(trial))
}

#[derive(Serialize)]
struct Tested {
    audience: String,
    agency: Option<String>,
    allowed: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl From<Trial> for Tested {
    fn from(trial: Trial) -> Self {
        Self {
            audience: trial.audience,
            agency: trial.agency,
            allowed: trial.refusal.is_none(),
            reason: trial.refusal.as_ref().map(service::pod_identity::Refusal::word),
            message: trial.refusal.as_ref().map(service::pod_identity::Refusal::sentence),
        }
    }
}
