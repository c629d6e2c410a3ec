//! Who holds which policy, as the newer clients ask: always for the whole account, which is the only scope that they know.

use domain::{Error, PolicyScope, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::policies::{AttachedPolicy, Holder, WhichPrincipal, WhichScope};
use service::{Call, Which};

use super::page::{self, PageInfo, page};
use super::{id, nothing, urn};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

use PrincipalKind::{Agency, Group, User};

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let mut rows = vec![Operation::new(
        "GET",
        "/v5/policies/{policy_id}/attached-entities",
        "iam.listEntitiesForPolicyV5",
        "Lists who holds a policy.",
        BodyRule::None,
        Handler::Authenticated(|app, call, input| Box::pin(entities(app, call, input))),
    )];
    rows.extend(attach_rows());
    rows.extend(detach_rows());
    rows.extend(attached_rows());
    rows
}

fn attach_rows() -> Vec<Operation> {
    let row =
        |path, name, summary, handler| Operation::new("POST", path, name, summary, BodyRule::Json, handler);
    vec![
        row(
            "/v5/policies/{policy_id}/attach-user",
            "iam.attachUserPolicyV5",
            "Lets a user hold a policy.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, User))),
        ),
        row(
            "/v5/policies/{policy_id}/attach-group",
            "iam.attachGroupPolicyV5",
            "Lets a group hold a policy.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, Group))),
        ),
        row(
            "/v5/policies/{policy_id}/attach-agency",
            "iam.attachAgencyPolicyV5",
            "Lets an agency hold a policy.",
            Handler::Authenticated(|app, call, input| Box::pin(attach(app, call, input, Agency))),
        ),
    ]
}

fn detach_rows() -> Vec<Operation> {
    let row =
        |path, name, summary, handler| Operation::new("POST", path, name, summary, BodyRule::Json, handler);
    vec![
        row(
            "/v5/policies/{policy_id}/detach-user",
            "iam.detachUserPolicyV5",
            "Takes a policy from a user.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, User))),
        ),
        row(
            "/v5/policies/{policy_id}/detach-group",
            "iam.detachGroupPolicyV5",
            "Takes a policy from a group.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, Group))),
        ),
        row(
            "/v5/policies/{policy_id}/detach-agency",
            "iam.detachAgencyPolicyV5",
            "Takes a policy from an agency.",
            Handler::Authenticated(|app, call, input| Box::pin(detach(app, call, input, Agency))),
        ),
    ]
}

fn attached_rows() -> Vec<Operation> {
    let row =
        |path, name, summary, handler| Operation::new("GET", path, name, summary, BodyRule::None, handler);
    vec![
        row(
            "/v5/users/{user_id}/attached-policies",
            "iam.listAttachedUserPoliciesV5",
            "Lists the policies that a user holds itself.",
            Handler::Authenticated(|app, call, input| Box::pin(attached(app, call, input, User))),
        ),
        row(
            "/v5/groups/{group_id}/attached-policies",
            "iam.listAttachedGroupPoliciesV5",
            "Lists the policies that a group holds.",
            Handler::Authenticated(|app, call, input| Box::pin(attached(app, call, input, Group))),
        ),
        row(
            "/v5/agencies/{agency_id}/attached-policies",
            "iam.listAttachedAgencyPoliciesV5",
            "Lists the policies that an agency holds.",
            Handler::Authenticated(|app, call, input| Box::pin(attached(app, call, input, Agency))),
        ),
    ]
}

async fn attach(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let to = named(&input, kind)?;
    let to = WhichPrincipal { kind, which: Which::Id(&to) };
    app.service.attach_policy(&call, id(&input), to, WhichScope::Account).await?;
    nothing()
}

async fn detach(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let from = named(&input, kind)?;
    let from = WhichPrincipal { kind, which: Which::Id(&from) };
    app.service.detach_policy(&call, id(&input), from, WhichScope::Account).await?;
    nothing()
}

/// The one that a body names: `{"user_id": …}`.
fn named(input: &Input, kind: PrincipalKind) -> Result<String> {
    let mut body = input.json()?;
    let named = body.text(key(kind))?;
    Ok(named)
}

fn key(kind: PrincipalKind) -> &'static str {
    match kind {
        User => "user_id",
        Group => "group_id",
        Agency => "agency_id",
    }
}

async fn attached(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let of = WhichPrincipal { kind, which: Which::Id(input.parameters.get(key(kind))) };
    let found = app.service.list_attached_policies(&call, of, &page(&input)?).await.map_err(page::named)?;
    let of_account = found.items.iter().filter(|held| held.scope == PolicyScope::Account);
    let attached_policies: Vec<_> = of_account.map(|held| AttachedWire::new(&call, held)).collect();
    let page_info = PageInfo::new(found.next.as_deref(), attached_policies.len());
    Reply::json(StatusCode::OK, &AttachedList { attached_policies, page_info })
}

async fn entities(app: &App, call: Call, input: Input) -> Result<Reply> {
    let wanted = match input.head.query("entity_type").filter(|kind| !kind.is_empty()) {
        None => None,
        Some(kind) => {
            let known = PrincipalKind::parse("entity_type", kind);
            Some(known.map_err(|_| Error::invalid("entity_type", "must be `user`, `group` or `agency`"))?)
        }
    };
    let found = app.service.list_policy_holders(&call, id(&input), &page(&input)?).await;
    let found = found.map_err(page::named)?;
    let shown = |holder: &&Holder| {
        holder.attachment.scope == PolicyScope::Account && wanted.is_none_or(|kind| holder.kind == kind)
    };
    let mut list = Entities::default();
    for holder in found.items.iter().filter(shown) {
        let (id, attached_at) =
            (holder.attachment.principal.to_string(), holder.attachment.created_at.rfc3339_seconds());
        match holder.kind {
            User => list.policy_users.push(PolicyUser { user_id: id, attached_at }),
            Group => list.policy_groups.push(PolicyGroup { group_id: id, attached_at }),
            Agency => list.policy_agencies.push(PolicyAgency { agency_id: id, attached_at }),
        }
    }
    let count = list.policy_users.len() + list.policy_groups.len() + list.policy_agencies.len();
    list.page_info = Some(PageInfo::new(found.next.as_deref(), count));
    Reply::json(StatusCode::OK, &list)
}

#[derive(Serialize)]
struct AttachedList {
    attached_policies: Vec<AttachedWire>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct AttachedWire {
    policy_name: String,
    policy_id: String,
    urn: String,
    attached_at: String,
}

impl AttachedWire {
    fn new(call: &Call, held: &AttachedPolicy) -> Self {
        Self {
            policy_name: held.policy.name.clone(),
            policy_id: held.policy.id.to_string(),
            urn: urn(call, &held.policy),
            attached_at: held.since.rfc3339_seconds(),
        }
    }
}

#[derive(Default, Serialize)]
struct Entities {
    policy_agencies: Vec<PolicyAgency>,
    policy_groups: Vec<PolicyGroup>,
    policy_users: Vec<PolicyUser>,
    page_info: Option<PageInfo>,
}

#[derive(Serialize)]
struct PolicyAgency {
    agency_id: String,
    attached_at: String,
}

#[derive(Serialize)]
struct PolicyGroup {
    group_id: String,
    attached_at: String,
}

#[derive(Serialize)]
struct PolicyUser {
    user_id: String,
    attached_at: String,
}
