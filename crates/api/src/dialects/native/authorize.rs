//! `POST /bailiwick/v1/authorize`: whether somebody may do something, and why.

use domain::{Error, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::authz::authorization::{Asked, Ground, Inquiry, Verdict};

use super::attachments::ScopeWire;
use crate::App;
use crate::json::{Object, Value};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::new(
        "POST",
        "/bailiwick/v1/authorize",
        "authorize.ask",
        "Says whether somebody may do something, and why. Nobody needs the right to ask about themselves.",
        BodyRule::Json,
        Handler::Authenticated(|app, call, input| Box::pin(ask(app, call, input))),
    )]
}

async fn ask(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let principal = match body.optional_object("principal")? {
        None => None,
        Some(mut principal) => {
            let kind = PrincipalKind::parse("principal.type", &principal.text("type")?)?;
            let id = principal.text("id")?;
            principal.finish()?;
            Some((kind, id))
        }
    };
    let action = body.text("action")?;
    let cluster = body.optional_text("cluster")?.map(|cluster| format!("cluster/{cluster}"));
    let resource = match (body.optional_text("resource")?, cluster) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("cluster", "and `resource` must not be given together"));
        }
        (resource, cluster) => resource.or(cluster),
    };
    let conditions = conditions(&mut body)?;
    body.finish()?;
    let verdict = app.service.authorize(&call, &Inquiry { principal, action, resource, conditions }).await?;
    Reply::json(StatusCode::OK, &Wire::from(verdict))
}

/// `{key: value or [values]}`.
fn conditions(body: &mut Object) -> Result<Vec<(String, Vec<String>)>> {
    let wrong = || Error::invalid("conditions", "must be an object of texts, or of lists of texts");
    let fields = match body.take("conditions") {
        None => return Ok(Vec::new()),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(wrong()),
    };
    let text = |value| match value {
        Value::Text(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => Err(wrong()),
    };
    let values = |value| match value {
        Value::List(values) if !values.is_empty() => values.into_iter().map(text).collect(),
        other => Ok(vec![text(other)?]),
    };
    fields.into_iter().map(|(key, value)| Ok((key, values(value)?))).collect()
}

#[derive(Serialize)]
struct Wire {
    allowed: bool,
    effect: &'static str,
    principal: Principal,
    action: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    statements: Vec<Statement>,
    nearest: Vec<Miss>,
    reasons: String,
}

#[derive(Serialize)]
struct Principal {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    attached_to: AttachedTo,
    scope: ScopeWire,
}

#[derive(Serialize)]
struct AttachedTo {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
}

#[derive(Serialize)]
struct Miss {
    #[serde(flatten)]
    statement: Statement,
    why: String,
}

impl From<Verdict> for Wire {
    fn from(verdict: Verdict) -> Self {
        let of = &verdict.principal;
        Self {
            allowed: verdict.allowed,
            effect: verdict.effect,
            principal: Principal { kind: of.kind.as_str(), id: of.id.to_string(), name: of.name.clone() },
            action: verdict.action,
            resource: verdict.resource,
            statements: verdict.statements.into_iter().map(|ground| Statement::new(ground, of)).collect(),
            nearest: verdict
                .nearest
                .into_iter()
                .map(|(ground, why)| Miss { statement: Statement::new(ground, of), why })
                .collect(),
            reasons: verdict.reasons,
        }
    }
}

impl Statement {
    fn new(ground: Ground, of: &Asked) -> Self {
        let attached_to = match ground.group {
            Some(name) => AttachedTo { kind: PrincipalKind::Group.as_str(), name },
            None => AttachedTo { kind: of.kind.as_str(), name: of.name.clone() },
        };
        Self {
            policy_id: ground.policy.map(|id| id.to_string()),
            policy: ground.name,
            statement: ground.statement,
            sid: ground.sid,
            attached_to,
            scope: (&ground.scope).into(),
        }
    }
}
