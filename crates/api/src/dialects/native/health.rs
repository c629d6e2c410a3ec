//! `/healthz` and `/readyz`, open to everybody and saying nothing about anything but this process.

use domain::Result;
use http::StatusCode;
use serde_json::json;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            method: "GET",
            path: "/healthz",
            name: "health.live",
            summary: "Says that the process is alive.",
            body: BodyRule::None,
            handler: Handler::Open(|_, _| Box::pin(live())),
        },
        Operation {
            method: "GET",
            path: "/readyz",
            name: "health.ready",
            summary: "Says whether the database answers. Clusters never hold this up.",
            body: BodyRule::None,
            handler: Handler::Open(|app, input| Box::pin(ready(app, input))),
        },
    ]
}

async fn live() -> Result<Reply> {
    Reply::json(StatusCode::OK, &json!({"status": "ok"}))
}

async fn ready(app: &App, _input: Input) -> Result<Reply> {
    app.service.follow_revisions().await?;
    Reply::json(StatusCode::OK, &json!({"status": "ok"}))
}
