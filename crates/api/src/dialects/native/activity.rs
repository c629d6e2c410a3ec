//! `/bailiwick/v1/clusters/{cluster}/activity`: who was seen in a cluster, as its own audit log says.

use domain::activity::Span;
use domain::{Error, Result, Timestamp};
use http::StatusCode;
use serde_json::json;
use service::Call;
use service::clusters::activity::ActivityReport;

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/bailiwick/v1/clusters/{cluster}/activity",
        "activity.import",
        "Takes in a part of what a cluster's audit log says about who was active.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(import(app, call, input))),
    )]
}

async fn import(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let from = body.optional_text("from")?.map(|text| instant("from", &text)).transpose()?;
    let to = body.optional_text("to")?.map(|text| instant("to", &text)).transpose()?;
    let mut seen = Vec::new();
    for mut user in body.objects("users")? {
        let name = user.text("name")?;
        seen.push((name, instant("users.lastSeen", &user.text("lastSeen")?)?));
        user.finish()?;
    }
    body.finish()?;
    let covered = match (from, to) {
        (Some(from), Some(to)) => Some(Span { from, to }),
        (None, None) => None,
        (Some(_), None) => return Err(Error::invalid("to", "must be given with `from`")),
        (None, Some(_)) => return Err(Error::invalid("from", "must be given with `to`")),
    };
    let report = ActivityReport { covered, seen };
    let done = app.service.import_activity(&call, input.parameters.get("cluster"), &report).await?;
    Reply::json(StatusCode::OK, &json!({"known": done.known, "unknown": done.unknown}))
}

fn instant(field: &str, text: &str) -> Result<Timestamp> {
    let wrong = || Error::invalid(field, "must be a time like 2026-11-21T20:41:00Z");
    Timestamp::parse_rfc3339(text).ok_or_else(wrong)
}
