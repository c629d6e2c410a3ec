//! `/v3/users`: users, their groups and projects, and their own password.

use domain::{Principal, PrincipalKind, Result, Secret};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, PrincipalUpdate, Which};

use super::everybody::{self, asked};
use super::links::Links;
use super::{groups, projects, rules};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v3/users";
const ITEM: &str = "/v3/users/{user_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.keystoneListUsers",
            "Lists the account's users.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.keystoneCreateUser",
            "Creates a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.keystoneShowUser",
            "Shows a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PATCH",
            ITEM,
            "iam.keystoneUpdateUserByAdmin",
            "Changes a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.keystoneDeleteUser",
            "Deletes a user; their keys, tokens and places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "POST",
            "/v3/users/{user_id}/password",
            "iam.keystoneUpdateUserPassword",
            "Changes the caller's own password, with the old one instead of a right.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(change_password(app, call, input))),
        ),
        row(
            "GET",
            "/v3/users/{user_id}/groups",
            "iam.keystoneListGroupsForUser",
            "Lists the groups of a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list_groups(app, call, input))),
        ),
        row(
            "GET",
            "/v3/users/{user_id}/projects",
            "iam.keystoneListProjectsForUser",
            "Lists the projects of a user: all of the account.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list_projects(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut found = everybody::principals(app, &call, &input.head, PrincipalKind::User).await?;
    if let Some(enabled) = asked(&input.head, "enabled") {
        let enabled = enabled.eq_ignore_ascii_case("true");
        found.retain(|user| user.enabled == enabled);
    }
    if asked(&input.head, "password_expires_at").is_some() {
        // No password expires.
        found.clear();
    }
    wire_list(&found, &input.head.path)
}

/// Users as a list.
pub(super) fn wire_list(users: &[Principal], path: &str) -> Result<Reply> {
    let users = users.iter().map(Wire::of).collect();
    Reply::json(StatusCode::OK, &List { users, links: Links::to(path) })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut user = input.json()?.object("user")?;
    rules::own_account(&mut user, "user.domain_id", call.account())?;
    let new = NewPrincipal {
        password: password(&mut user)?,
        description: description(&mut user)?.unwrap_or_default(),
        enabled: user.optional_boolean("enabled")?.unwrap_or(true),
        ..NewPrincipal::named(PrincipalKind::User, name(&mut user)?.ok_or_else(|| user.missing("name"))?)
    };
    let made = app.service.create_principal(&call, new).await.map_err(rules::inside("user"))?;
    Reply::json(StatusCode::CREATED, &Body { user: Wire::of(&made) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = app.service.show_principal(&call, PrincipalKind::User, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { user: Wire::of(&user) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut user = input.json()?.object("user")?;
    rules::own_account(&mut user, "user.domain_id", call.account())?;
    let change = change(&mut user)?;
    let user = app.service.update_principal(&call, PrincipalKind::User, id(&input), change).await;
    Reply::json(StatusCode::OK, &Body { user: Wire::of(&user.map_err(rules::inside("user"))?) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::User, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn change_password(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut user = input.json()?.object("user")?;
    let old = Secret::new(user.text("original_password")?);
    let new = password(&mut user)?.ok_or_else(|| user.missing("password"))?;
    let changed = app.service.change_own_password(&call, id(&input), &old, &new).await;
    changed.map_err(rules::inside("user"))?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn list_groups(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_groups_of(&call, id(&input)).await?;
    groups::wire_list(&found, &input.head.path)
}

async fn list_projects(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = input.parameters.get("user_id").to_owned();
    let found = projects::list(app, call.clone(), input).await?;
    app.service.show_principal(&call, PrincipalKind::User, Which::Id(&user)).await?;
    Ok(found)
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("user_id"))
}

/// What a body changes about a user.
pub(super) fn change(user: &mut Object) -> Result<PrincipalUpdate> {
    Ok(PrincipalUpdate {
        name: name(user)?,
        description: description(user)?,
        enabled: user.optional_boolean("enabled")?,
        password: password(user)?,
        external_ids: None,
    })
}

pub(super) fn name(user: &mut Object) -> Result<Option<String>> {
    let name = user.optional_text("name")?;
    name.iter().try_for_each(|name| rules::user_name("user.name", name))?;
    Ok(name)
}

pub(super) fn description(user: &mut Object) -> Result<Option<String>> {
    let text = user.optional_text("description")?;
    text.iter().try_for_each(|text| rules::description("user.description", text, 255))?;
    Ok(text)
}

pub(super) fn password(user: &mut Object) -> Result<Option<Secret>> {
    let password = user.optional_text("password")?.map(Secret::new);
    password.iter().try_for_each(|password| rules::password("user.password", password))?;
    Ok(password)
}

#[derive(Serialize)]
struct List<'a> {
    users: Vec<Wire<'a>>,
    links: Links,
}

#[derive(Serialize)]
struct Body<'a> {
    user: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    name: &'a str,
    domain_id: &'a str,
    enabled: bool,
    description: &'a str,
    /// `null` means never.
    password_expires_at: Option<&'static str>,
    /// Whether the password must be changed at the next login, which is not asked of anybody here.
    pwd_status: bool,
    /// Not known: only the password's hash is.
    pwd_strength: Option<&'static str>,
    last_project_id: Option<&'static str>,
    access_mode: &'static str,
    links: Links,
}

impl<'a> Wire<'a> {
    fn of(user: &'a Principal) -> Self {
        Self {
            id: user.id.as_str(),
            name: &user.name,
            domain_id: user.account.as_str(),
            enabled: user.enabled,
            description: &user.description,
            password_expires_at: None,
            pwd_status: false,
            pwd_strength: None,
            last_project_id: None,
            access_mode: access_mode(user),
            links: Links::to(format!("{LIST}/{}", user.id)),
        }
    }
}

/// A user without password can only sign.
pub(super) fn access_mode(user: &Principal) -> &'static str {
    if user.password_set_at.is_some() { "default" } else { "programmatic" }
}
