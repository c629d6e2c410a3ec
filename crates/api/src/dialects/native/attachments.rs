//! Who holds which policy: under a policy its holders, under a user, group or agency what they hold.

use domain::{Error, PolicyScope, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::policies::{AttachedPolicy, Holder, WhichPrincipal, WhichScope};

use super::policies::Wire;
use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let mut rows = vec![Operation::new(
        "GET",
        "/bailiwick/v1/policies/{policy}/attachments",
        "policyAttachments.list",
        "Lists who holds a policy, and where.",
        BodyRule::None,
        Handler::Authenticated(|app, call, input| Box::pin(holders(app, call, input))),
    )];
    rows.extend(attach_rows());
    rows.extend(detach_rows());
    rows.extend(held_rows());
    rows
}

fn attach_rows() -> Vec<Operation> {
    use PrincipalKind::{Agency, Group, User};
    let row =
        |path, name, summary, handler| Operation::new("PUT", path, name, summary, BodyRule::None, handler);
    vec![
        row(
            "/bailiwick/v1/policies/{policy}/users/{user}",
            "policies.attachToUser",
            "Lets a user hold a policy, in the whole account, a project or an enterprise project.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, User))),
        ),
        row(
            "/bailiwick/v1/policies/{policy}/groups/{group}",
            "policies.attachToGroup",
            "Lets a group's members hold a policy.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, Group))),
        ),
        row(
            "/bailiwick/v1/policies/{policy}/agencies/{agency}",
            "policies.attachToAgency",
            "Lets an agency hold a policy.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, Agency))),
        ),
    ]
}

fn detach_rows() -> Vec<Operation> {
    use PrincipalKind::{Agency, Group, User};
    let row =
        |path, name, summary, handler| Operation::new("DELETE", path, name, summary, BodyRule::None, handler);
    vec![
        row(
            "/bailiwick/v1/policies/{policy}/users/{user}",
            "policies.detachFromUser",
            "Takes a policy from a user.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, User))),
        ),
        row(
            "/bailiwick/v1/policies/{policy}/groups/{group}",
            "policies.detachFromGroup",
            "Takes a policy from a group.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, Group))),
        ),
        row(
            "/bailiwick/v1/policies/{policy}/agencies/{agency}",
            "policies.detachFromAgency",
            "Takes a policy from an agency.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, Agency))),
        ),
    ]
}

fn held_rows() -> Vec<Operation> {
    use PrincipalKind::{Agency, Group, User};
    let row =
        |path, name, summary, handler| Operation::new("GET", path, name, summary, BodyRule::None, handler);
    vec![
        row(
            "/bailiwick/v1/users/{user}/policies",
            "userPolicies.list",
            "Lists the policies that a user holds itself.",
            Handler::Authenticated(|app, call, input| Box::pin(held(app, call, input, User))),
        ),
        row(
            "/bailiwick/v1/groups/{group}/policies",
            "groupPolicies.list",
            "Lists the policies that a group holds.",
            Handler::Authenticated(|app, call, input| Box::pin(held(app, call, input, Group))),
        ),
        row(
            "/bailiwick/v1/agencies/{agency}/policies",
            "agencyPolicies.list",
            "Lists the policies that an agency holds.",
            Handler::Authenticated(|app, call, input| Box::pin(held(app, call, input, Agency))),
        ),
    ]
}

async fn attach(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let (policy, to) = (input.parameters.get("policy"), which(&input, kind));
    app.service.attach_policy(&call, policy, to, scope(&input)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn detach(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let (policy, from) = (input.parameters.get("policy"), which(&input, kind));
    app.service.detach_policy(&call, policy, from, scope(&input)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn holders(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (policy, request) = (input.parameters.get("policy"), page(&input, &[])?);
    items(app.service.list_policy_holders(&call, policy, &request).await?, |holder| HolderWire::new(&holder))
}

async fn held(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let (of, request) = (which(&input, kind), page(&input, &[])?);
    items(app.service.list_attached_policies(&call, of, &request).await?, |held| HeldWire::new(&held))
}

/// The path's parameter is named for the kind.
fn which(input: &Input, kind: PrincipalKind) -> WhichPrincipal<'_> {
    WhichPrincipal { kind, which: input.parameters.get(kind.as_str()).into() }
}

/// Where the policy is to hold: the query says it, so that the same words attach and detach.
fn scope(input: &Input) -> Result<WhichScope<'_>> {
    for (key, _) in &input.head.query {
        if !["project", "enterpriseProject"].contains(&key.as_str()) {
            return Err(Error::invalid(key, "is not a known query parameter"));
        }
    }
    match (input.head.query("project"), input.head.query("enterpriseProject")) {
        (None, None) => Ok(WhichScope::Account),
        (Some(project), None) => Ok(WhichScope::Project(project)),
        (None, Some(project)) => Ok(WhichScope::EnterpriseProject(project)),
        (Some(_), Some(_)) => {
            Err(Error::invalid("project", "and `enterpriseProject` must not be given together"))
        }
    }
}

#[derive(Serialize)]
pub(super) struct ScopeWire {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Serialize)]
struct HolderWire {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: String,
    scope: ScopeWire,
    since: String,
}

#[derive(Serialize)]
struct HeldWire {
    #[serde(flatten)]
    policy: Wire,
    scope: ScopeWire,
    since: String,
}

impl From<&PolicyScope> for ScopeWire {
    fn from(scope: &PolicyScope) -> Self {
        let id = Some(scope.id()).filter(|id| !id.is_empty());
        Self { kind: scope.kind(), id: id.map(str::to_owned) }
    }
}

impl HolderWire {
    fn new(holder: &Holder) -> Self {
        Self {
            kind: holder.kind.as_str(),
            id: holder.attachment.principal.to_string(),
            name: holder.name.clone(),
            scope: (&holder.attachment.scope).into(),
            since: holder.attachment.created_at.rfc3339_seconds(),
        }
    }
}

impl HeldWire {
    fn new(held: &AttachedPolicy) -> Self {
        Self {
            policy: Wire::new(&held.policy),
            scope: (&held.scope).into(),
            since: held.since.rfc3339_seconds(),
        }
    }
}
