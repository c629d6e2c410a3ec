//! `/bailiwick/v1/clusters/{cluster}`: another connection in the place of the old one, and the cluster's end.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::clusters::rotation::Outcome;
use service::{Call, IfOther, Remains, Removal, Removed};

use super::clusters::Wire;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const ITEM: &str = "/bailiwick/v1/clusters/{cluster}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "PUT",
            "/bailiwick/v1/clusters/{cluster}/connection",
            "clusters.rotate",
            "Replaces a cluster's connection by one that leads to the same cluster.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(rotate(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/resume",
            "clusters.resume",
            "Ends the suspension of the grants of a cluster that was replaced by another.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(resume(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "clusters.delete",
            "Removes a cluster from every grant and, unless told otherwise, our bindings from the cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "GET",
            "/bailiwick/v1/clusters/{cluster}/removal",
            "clusters.showRemoval",
            "Shows how far the removal of a cluster has come, by the cluster's id.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(removal(app, call, input))),
        ),
    ]
}

async fn rotate(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let kubeconfig = body.text("kubeconfig")?;
    let if_other = match body.optional_boolean("replace")? {
        Some(true) => IfOther::Replace,
        Some(false) | None => IfOther::Refuse,
    };
    body.finish()?;
    let cluster = input.parameters.get("cluster");
    let rotated = app.service.rotate_connection(&call, cluster, &kubeconfig, if_other).await?;
    let (outcome, remains) = match &rotated.outcome {
        Outcome::Same => ("same", None),
        Outcome::First => ("first", None),
        Outcome::Replaced(remains) => ("replaced", Some(remains)),
    };
    let (remaining, command) = remains.map(left).unwrap_or_default();
    let cluster = Wire::new(&rotated.cluster);
    Reply::json(StatusCode::OK, &WireRotation { outcome, cluster, remaining, command })
}

async fn resume(app: &App, call: Call, input: Input) -> Result<Reply> {
    let cluster = app.service.resume_cluster(&call, input.parameters.get("cluster")).await?;
    Reply::json(StatusCode::OK, &Wire::new(&cluster))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut removal = Removal::Revoke;
    for (key, value) in &input.head.query {
        match key.as_str() {
            "mode" => removal = Removal::parse("mode", value)?,
            // A misspelt one must not make something else of it.
            key => return Err(Error::invalid(key, "is not a known query parameter")),
        }
    }
    let removed = app.service.delete_cluster(&call, input.parameters.get("cluster"), removal).await?;
    Reply::json(StatusCode::OK, &WireRemoval::new(&removed))
}

async fn removal(app: &App, call: Call, input: Input) -> Result<Reply> {
    let removed = app.service.show_removal(&call, input.parameters.get("cluster")).await?;
    Reply::json(StatusCode::OK, &WireRemoval::new(&removed))
}

#[derive(Serialize)]
struct WireRotation {
    outcome: &'static str,
    cluster: Wire,
    remaining: Vec<WireBinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

#[derive(Serialize)]
struct WireRemoval {
    id: String,
    state: &'static str,
    reason: String,
    remaining: Vec<WireBinding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

#[derive(Serialize)]
struct WireBinding {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
}

impl WireRemoval {
    fn new(removed: &Removed) -> Self {
        let (remaining, command) = left(&removed.remains);
        Self {
            id: removed.id.to_string(),
            state: if removed.under_way { "revoking" } else { "done" },
            reason: removed.reason.clone(),
            remaining,
            certificates: removed.remains.certificates.clone(),
            command,
        }
    }
}

/// What is left, and if anything is, what deletes it.
fn left(remains: &Remains) -> (Vec<WireBinding>, Option<String>) {
    let binding = |(kind, namespace, name): (&'static str, Option<&str>, &str)| WireBinding {
        kind,
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let remaining: Vec<_> = remains.objects().map(binding).collect();
    let command = (!remaining.is_empty()).then(|| remains.command.clone());
    (remaining, command)
}
