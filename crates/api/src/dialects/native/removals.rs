//! `/bailiwick/v1/clusters/{cluster}/removals`: bindings that would go though no revoke of them is recorded.

use domain::Result;
use http::StatusCode;
use serde_json::{Value, json};
use service::Call;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "GET",
            "/bailiwick/v1/clusters/{cluster}/removals",
            "clusters.removals",
            "Lists bindings that would go though no revoke of them is recorded, and that wait.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        Operation::new(
            "POST",
            "/bailiwick/v1/clusters/{cluster}/removals/confirm",
            "clusters.confirmRemovals",
            "Lets those bindings go that wait now.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(confirm(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let waiting = app.service.list_removals(&call, input.parameters.get("cluster")).await?;
    let items: Vec<Value> = waiting
        .into_iter()
        .map(|row| {
            json!({
                "namespace": row.object.namespace,
                "name": row.object.name,
                "what": row.what,
                "since": row.since.rfc3339_seconds(),
            })
        })
        .collect();
    Reply::json(StatusCode::OK, &json!({ "items": items }))
}

async fn confirm(app: &App, call: Call, input: Input) -> Result<Reply> {
    let count = app.service.confirm_removals(&call, input.parameters.get("cluster")).await?;
    Reply::json(StatusCode::OK, &json!({ "confirmed": count }))
}
