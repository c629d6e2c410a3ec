//! `/bailiwick/v1/audit-events`.

use domain::Result;
use serde::Serialize;
use service::{AuditFilter, AuditRow, Call};

use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "GET",
        "/bailiwick/v1/audit-events",
        "auditEvents.list",
        "Lists what was done and refused in the account, newest last.",
        BodyRule::None,
        Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
    )]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &["since", "until", "actor", "action", "resource", "explanation", "pod"])?;
    let text = |key: &str| input.head.query(key).map(str::to_owned);
    let instant =
        |key: &str| input.head.query(key).map(|text| service::audit::instant(key, text)).transpose();
    let filter = AuditFilter {
        since: instant("since")?,
        until: instant("until")?,
        actor: text("actor"),
        action: text("action"),
        resource: text("resource"),
        explanation: text("explanation"),
        pod: input.head.query("pod").map(|text| service::audit::pod("pod", text)).transpose()?,
    };
    let paged = app.service.list_audit_events(&call, &filter, &request).await?;
    items(paged, Wire::from)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    actor_name: String,
    action: String,
    resource: String,
    outcome: &'static str,
    occurrences: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    request_id: String,
    source: String,
    revision: i64,
}

#[derive(Serialize)]
struct Explanation {
    id: String,
    reasons: String,
}

impl From<AuditRow> for Wire {
    fn from(row: AuditRow) -> Self {
        let event = row.event;
        Self {
            id: event.id,
            at: event.at.rfc3339_micros(),
            actor: event.actor.map(|actor| actor.to_string()),
            actor_name: event.actor_name,
            action: event.action,
            resource: event.resource,
            outcome: event.outcome.as_str(),
            occurrences: event.occurrences,
            explanation: event.explanation.map(|found| Explanation { id: found.id, reasons: found.reasons }),
            request_id: event.request_id,
            source: event.source,
            revision: row.revision,
        }
    }
}
