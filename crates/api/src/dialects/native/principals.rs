//! `/bailiwick/v1/users`, `/groups` with their members, and `/agencies`.

use domain::{ExternalId, Principal, PrincipalKind, Result, Secret};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal};

use super::{items, page};
use crate::App;
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
    rows.extend(agency_rows());
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
        show_row("/bailiwick/v1/users/{user}", "users.show", "Shows a user.", |app, call, input| {
            Box::pin(show(app, call, input, User))
        }),
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
        delete_row(
            "/bailiwick/v1/groups/{group}",
            "groups.delete",
            "Deletes a group; its places in grants end.",
            |app, call, input| Box::pin(delete(app, call, input, Group)),
        ),
    ]
}

fn agency_rows() -> Vec<Operation> {
    use PrincipalKind::Agency;
    vec![
        list_row("/bailiwick/v1/agencies", "agencies.list", "Lists agencies.", |app, call, input| {
            Box::pin(list(app, call, input, Agency))
        }),
        create_row("/bailiwick/v1/agencies", "agencies.create", "Creates an agency.", |app, call, input| {
            Box::pin(create(app, call, input, Agency))
        }),
        show_row(
            "/bailiwick/v1/agencies/{agency}",
            "agencies.show",
            "Shows an agency.",
            |app, call, input| Box::pin(show(app, call, input, Agency)),
        ),
        delete_row(
            "/bailiwick/v1/agencies/{agency}",
            "agencies.delete",
            "Deletes an agency; its places in grants end.",
            |app, call, input| Box::pin(delete(app, call, input, Agency)),
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

fn show_row(path: &'static str, name: &'static str, summary: &'static str, run: Run) -> Operation {
    list_row(path, name, summary, run)
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
    let mut external_ids = Vec::new();
    let id = body.optional_text("id")?;
    let name = body.text("name")?;
    let password = body.optional_text("password")?.map(Secret::new);
    for mut external in body.objects("externalIds")? {
        external_ids
            .push(ExternalId { issuer: external.text("issuer")?, subject: external.text("subject")? });
        external.finish()?;
    }
    body.finish()?;
    let principal =
        app.service.create_principal(&call, NewPrincipal { kind, id, name, password, external_ids }).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&principal, None))
}

async fn show(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let principal = app.service.show_principal(&call, kind, named(&input, kind)).await?;
    Reply::json(StatusCode::OK, &Wire::new(&principal, None))
}

async fn show_group(app: &App, call: Call, input: Input) -> Result<Reply> {
    let group =
        app.service.show_principal(&call, PrincipalKind::Group, input.parameters.get("group")).await?;
    let members = app.service.list_members(&call, group.id.as_str()).await?;
    let members = members.into_iter().map(|(id, name)| Member { id: id.to_string(), name }).collect();
    Reply::json(StatusCode::OK, &Wire::new(&group, Some(members)))
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
struct Wire {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<bool>,
    external_ids: Vec<External>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    created_at: String,
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
    fn new(principal: &Principal, members: Option<Vec<Member>>) -> Self {
        let user = principal.kind == PrincipalKind::User;
        let external = |id: &ExternalId| External { issuer: id.issuer.clone(), subject: id.subject.clone() };
        Self {
            id: principal.id.to_string(),
            name: principal.name.clone(),
            enabled: user.then_some(principal.enabled),
            root: user.then_some(principal.root),
            external_ids: principal.external_ids.iter().map(external).collect(),
            members,
            created_at: principal.created_at.rfc3339_seconds(),
        }
    }
}
