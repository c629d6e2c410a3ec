//! `/bailiwick/v1/clusters/{cluster}/pod-identity/credentials`: credentials for pods, as the agents of a cluster ask for
//! them; `…/pod`, as a pod asks by itself; and `…/test`, what a pod would get, as people ask.

use domain::{Error, ErrorKind, Result};
use http::StatusCode;
use podidentity::vending::{self, Answered, Answers};
use serde::Serialize;
use service::pod_identity::{Trial, Tried, Vended};
use service::{Call, Origin};

use super::{NAME, fault};
use crate::App;
use crate::authn::{self, Shown};
use crate::dispatch;
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
            "Issues temporary access keys of the agencies that pods' service accounts are associated with.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(vend(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/pod-identity/pod",
            "podIdentity.vendToPod",
            "Issues one to the pod itself, whose token is the whole `Authorization` header.",
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
    let tokens = body.texts("tokens")?;
    body.finish()?;
    if !(1..=vending::MOST).contains(&tokens.len()) {
        return Err(Error::invalid("tokens", format!("must be 1 to {} tokens", vending::MOST)));
    }
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let mut vended = app.service.vend_each(&call, input.parameters.get("cluster").into(), &tokens).await?;
    if let Some(at) = vended.iter().position(is_about_caller)
        && let Err(error) = vended.swap_remove(at)
    {
        return Err(error);
    }
    let answers = vended.iter().map(|vended| answered(vended, &call.origin)).collect();
    Reply::json(StatusCode::OK, &Answers { answers })
}

/// Whether somebody was refused who asks, whose rights or key may have ended meanwhile: then so is the whole request. What
/// is refused for the sake of a token has a word for it.
fn is_about_caller(vended: &Result<Vended>) -> bool {
    vended.as_ref().is_err_and(|error| {
        error.reason().is_none() && matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Unauthenticated)
    })
}

/// What is said about one of the tokens.
fn answered<'a>(vended: &'a Result<Vended>, origin: &'a Origin) -> Answered<Outcome<'a>> {
    match vended {
        Ok(vended) => {
            let body = Outcome::Given(Body::for_agents(vended));
            Answered { status: StatusCode::OK.as_u16(), retry_after: None, body }
        }
        Err(error) => {
            dispatch::log(NAME, &http::Method::POST, &origin.request_id, error);
            let (status, body) = fault::status_and_body(error, &origin.request_id);
            let retry_after = (error.kind() == ErrorKind::Limited).then_some(dispatch::RETRY_AFTER_SECONDS);
            Answered { status: status.as_u16(), retry_after, body: Outcome::Failed(body) }
        }
    }
}

/// What one token comes to.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Given(Body<'a>),
    Failed(fault::Body<'a>),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_who_asks_is_told_from_what_is_about_a_token() {
        let about_caller = |error: Error| is_about_caller(&Err::<Vended, _>(error));
        for kind in [ErrorKind::Forbidden, ErrorKind::Unauthenticated] {
            assert!(about_caller(Error::new(kind, "your rights changed")));
            assert!(!about_caller(Error::new(kind, "the pod is gone").because("gone")));
        }
        assert!(!about_caller(Error::new(ErrorKind::Unavailable, "too late")));
    }
}
