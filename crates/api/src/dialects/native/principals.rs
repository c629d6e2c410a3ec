//! `/bailiwick/v1/users`, and `/groups` with their members.

use domain::{ErrorKind, ExternalId, Principal, PrincipalId, PrincipalKind, Result, Secret};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, PrincipalUpdate, Which};

use super::{items, page};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    let mut rows = vec![
        row(
            "PUT",
            "/bailiwick/v1/users/{user}/password",
            "users.setPassword",
            "Sets a user's password and ends their tokens.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(set_password(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/users/{user}/password",
            "users.changePassword",
            "Changes the caller's own password, with the old one instead of a right.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(change_password(app, call, input))),
        ),
        row(
            "DELETE",
            "/bailiwick/v1/users/{user}/password",
            "users.deletePassword",
            "Takes a user's password away and ends their tokens; they can still sign.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete_password(app, call, input))),
        ),
        row(
            "GET",
            "/bailiwick/v1/users/{user}",
            "users.show",
            "Shows a user with their groups.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show_user(app, call, input))),
        ),
        row(
            "GET",
            "/bailiwick/v1/groups/{group}",
            "groups.show",
            "Shows a group with its members.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show_group(app, call, input))),
        ),
        row(
            "PUT",
            "/bailiwick/v1/groups/{group}/members/{user}",
            "groups.addMember",
            "Puts a user into a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(add_member(app, call, input))),
        ),
        row(
            "DELETE",
            "/bailiwick/v1/groups/{group}/members/{user}",
            "groups.removeMember",
            "Takes a user out of a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(remove_member(app, call, input))),
        ),
    ];
    rows.extend(user_rows());
    rows.extend(group_rows());
    rows
}

fn user_rows() -> Vec<Operation> {
    use PrincipalKind::User;
    vec![
        list_row("/bailiwick/v1/users", "users.list", "Lists users.", |app, call, input| {
            Box::pin(list(app, call, input, User))
        }),
        create_row("/bailiwick/v1/users", "users.create", "Creates a user.", |app, call, input| {
            Box::pin(create(app, call, input, User))
        }),
        update_row(
            "/bailiwick/v1/users/{user}",
            "users.update",
            "Changes a user; who is disabled is refused at once.",
            |app, call, input| Box::pin(update(app, call, input, User)),
        ),
        delete_row(
            "/bailiwick/v1/users/{user}",
            "users.delete",
            "Deletes a user; their keys, tokens and places in grants end.",
            |app, call, input| Box::pin(delete(app, call, input, User)),
        ),
    ]
}

fn group_rows() -> Vec<Operation> {
    use PrincipalKind::Group;
    vec![
        list_row("/bailiwick/v1/groups", "groups.list", "Lists groups.", |app, call, input| {
            Box::pin(list(app, call, input, Group))
        }),
        create_row("/bailiwick/v1/groups", "groups.create", "Creates a group.", |app, call, input| {
            Box::pin(create(app, call, input, Group))
        }),
        update_row(
            "/bailiwick/v1/groups/{group}",
            "groups.update",
            "Changes a group.",
            |app, call, input| Box::pin(update(app, call, input, Group)),
        ),
        delete_row(
            "/bailiwick/v1/groups/{group}",
            "groups.delete",
            "Deletes a group; its places in grants end.",
            |app, call, input| Box::pin(delete(app, call, input, Group)),
        ),
    ]
}

type Run = for<'a> fn(&'a App, Call, Input) -> crate::operation::Pending<'a, Result<Reply>>;

fn list_row(path: &'static str, name: &'static str, summary: &'static str, run: Run) -> Operation {
    Operation {
        method: "GET",
        path,
        name,
        summary,
        body: BodyRule::None,
        handler: Handler::Authenticated(run),
    }
}

fn create_row(path: &'static str, name: &'static str, summary: &'static str, run: Run) -> Operation {
    Operation {
        method: "POST",
        path,
        name,
        summary,
        body: BodyRule::Json,
        handler: Handler::Authenticated(run),
    }
}

fn update_row(path: &'static str, name: &'static str, summary: &'static str, run: Run) -> Operation {
    Operation {
        method: "PATCH",
        path,
        name,
        summary,
        body: BodyRule::Json,
        handler: Handler::Authenticated(run),
    }
}

fn delete_row(path: &'static str, name: &'static str, summary: &'static str, run: Run) -> Operation {
    Operation {
        method: "DELETE",
        path,
        name,
        summary,
        body: BodyRule::None,
        handler: Handler::Authenticated(run),
    }
}

/// The path's parameter is named for the kind.
fn named(input: &Input, kind: PrincipalKind) -> &str {
    input.parameters.get(kind.as_str())
}

async fn list(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let paged = app.service.list_principals(&call, kind, &page(&input, &[])?).await?;
    items(paged, |principal: Principal| Wire::new(&principal, None))
}

async fn create(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let mut body = input.json()?;
    let new = NewPrincipal {
        kind,
        id: body.optional_text("id")?,
        name: body.text("name")?,
        password: body.optional_text("password")?.map(Secret::new),
        external_ids: external_ids(&mut body)?.unwrap_or_default(),
        description: body.optional_text("description")?.unwrap_or_default(),
        enabled: body.optional_boolean("enabled")?.unwrap_or(true),
    };
    body.finish()?;
    let principal = app.service.create_principal(&call, new).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&principal, None))
}

async fn update(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let mut body = input.json()?;
    let change = PrincipalUpdate {
        name: body.optional_text("name")?,
        description: body.optional_text("description")?,
        enabled: body.optional_boolean("enabled")?,
        password: None,
        external_ids: external_ids(&mut body)?,
    };
    body.finish()?;
    let principal = app.service.update_principal(&call, kind, named(&input, kind), change).await?;
    Reply::json(StatusCode::OK, &Wire::new(&principal, None))
}

/// The external ids of a body; none at all if it does not speak of them.
pub(super) fn external_ids(body: &mut Object) -> Result<Option<Vec<ExternalId>>> {
    if !body.has("externalIds") {
        return Ok(None);
    }
    let mut found = Vec::new();
    for mut external in body.objects("externalIds")? {
        found.push(ExternalId { issuer: external.text("issuer")?, subject: external.text("subject")? });
        external.finish()?;
    }
    Ok(Some(found))
}

async fn show_user(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (user, groups) = app.service.show_user(&call, Which::from(input.parameters.get("user"))).await?;
    let named = |group: Principal| Member { id: group.id.to_string(), name: group.name };
    let groups = Some(groups.into_iter().map(named).collect());
    Reply::json(StatusCode::OK, &Wire { groups, ..Wire::new(&user, None) })
}

async fn show_group(app: &App, call: Call, input: Input) -> Result<Reply> {
    let group =
        app.service.show_principal(&call, PrincipalKind::Group, input.parameters.get("group")).await?;
    let wire = |(id, name): (PrincipalId, String)| Member { id: id.to_string(), name };
    let members = match app.service.list_members(&call, group.id.as_str()).await {
        Ok(members) => Some(members.into_iter().map(wire).collect()),
        // Who is in the group is a right of its own: without it the group is shown alone.
        Err(error) if error.kind() == ErrorKind::Forbidden => None,
        Err(error) => return Err(error),
    };
    Reply::json(StatusCode::OK, &Wire::new(&group, members))
}

async fn delete(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    app.service.delete_principal(&call, kind, named(&input, kind)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn set_password(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let password = Secret::new(body.text("password")?);
    body.finish()?;
    app.service.set_password(&call, input.parameters.get("user"), &password).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn change_password(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let (old, new) = (Secret::new(body.text("oldPassword")?), Secret::new(body.text("password")?));
    body.finish()?;
    let user = Which::from(input.parameters.get("user"));
    app.service.change_own_password(&call, user, &old, &new).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn delete_password(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_password(&call, input.parameters.get("user")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn add_member(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.add_member(&call, input.parameters.get("group"), input.parameters.get("user")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn remove_member(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.remove_member(&call, input.parameters.get("group"), input.parameters.get("user")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_password: Option<bool>,
    description: String,
    external_ids: Vec<External>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<Member>>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct External {
    issuer: String,
    subject: String,
}

#[derive(Serialize)]
struct Member {
    id: String,
    name: String,
}

impl Wire {
    /// One whose note is kept elsewhere.
    pub(super) fn described(principal: &Principal, description: &str) -> Self {
        Self { description: description.to_owned(), ..Self::new(principal, None) }
    }

    fn new(principal: &Principal, members: Option<Vec<Member>>) -> Self {
        let user = principal.kind == PrincipalKind::User;
        let external = |id: &ExternalId| External { issuer: id.issuer.clone(), subject: id.subject.clone() };
        Self {
            id: principal.id.to_string(),
            name: principal.name.clone(),
            enabled: user.then_some(principal.enabled),
            root: user.then_some(principal.root),
            has_password: user.then_some(principal.password_set_at.is_some()),
            description: principal.description.clone(),
            external_ids: principal.external_ids.iter().map(external).collect(),
            members,
            groups: None,
            created_at: principal.created_at.rfc3339_seconds(),
            updated_at: principal.updated_at.rfc3339_seconds(),
        }
    }
}
