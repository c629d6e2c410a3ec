//! `/v3/groups`: groups and who is in them.

use domain::{Principal, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, PrincipalUpdate, Which};

use super::links::Links;
use super::{everybody, rules, users};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v3/groups";
const ITEM: &str = "/v3/groups/{group_id}";
const MEMBER: &str = "/v3/groups/{group_id}/users/{user_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.keystoneListGroups",
            "Lists the account's groups.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.keystoneCreateGroup",
            "Creates a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.keystoneShowGroup",
            "Shows a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PATCH",
            ITEM,
            "iam.keystoneUpdateGroup",
            "Changes a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.keystoneDeleteGroup",
            "Deletes a group; its places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "GET",
            "/v3/groups/{group_id}/users",
            "iam.keystoneListUsersForGroupByAdmin",
            "Lists the users of a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list_members(app, call, input))),
        ),
        row(
            "PUT",
            MEMBER,
            "iam.keystoneAddUserToGroup",
            "Puts a user into a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(add_member(app, call, input))),
        ),
        row(
            "HEAD",
            MEMBER,
            "iam.keystoneCheckUserInGroup",
            "Says whether a user is in a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(check_member(app, call, input))),
        ),
        row(
            "DELETE",
            MEMBER,
            "iam.keystoneRemoveUserFromGroup",
            "Takes a user out of a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(remove_member(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = everybody::principals(app, &call, &input.head, PrincipalKind::Group).await?;
    wire_list(&found, &input.head.path)
}

/// Groups as a list.
pub(super) fn wire_list(groups: &[Principal], path: &str) -> Result<Reply> {
    let groups = groups.iter().map(Wire::of).collect();
    Reply::json(StatusCode::OK, &List { groups, links: Links::to(path) })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut group = input.json()?.object("group")?;
    rules::own_account(&mut group, "group.domain_id", call.account())?;
    let new = NewPrincipal {
        description: description(&mut group)?.unwrap_or_default(),
        ..NewPrincipal::named(PrincipalKind::Group, group.text("name")?)
    };
    let made = app.service.create_principal(&call, new).await.map_err(rules::inside("group"))?;
    Reply::json(StatusCode::CREATED, &Body { group: Wire::of(&made) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let group = app.service.show_principal(&call, PrincipalKind::Group, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { group: Wire::of(&group) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut group = input.json()?.object("group")?;
    rules::own_account(&mut group, "group.domain_id", call.account())?;
    let change = PrincipalUpdate {
        name: group.optional_text("name")?,
        description: description(&mut group)?,
        ..PrincipalUpdate::default()
    };
    let group = app.service.update_principal(&call, PrincipalKind::Group, id(&input), change).await;
    Reply::json(StatusCode::OK, &Body { group: Wire::of(&group.map_err(rules::inside("group"))?) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::Group, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn list_members(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_users_of(&call, id(&input)).await?;
    users::wire_list(&found, &input.head.path)
}

async fn add_member(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.add_member(&call, id(&input), user(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn check_member(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.show_member(&call, id(&input), user(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn remove_member(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.remove_member(&call, id(&input), user(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("group_id"))
}

fn user(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("user_id"))
}

fn description(group: &mut Object) -> Result<Option<String>> {
    let text = group.optional_text("description")?;
    text.iter().try_for_each(|text| rules::description("group.description", text, 255))?;
    Ok(text)
}

#[derive(Serialize)]
struct List<'a> {
    groups: Vec<Wire<'a>>,
    links: Links,
}

#[derive(Serialize)]
struct Body<'a> {
    group: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    name: &'a str,
    domain_id: &'a str,
    description: &'a str,
    /// Milliseconds, in this shape alone.
    create_time: i64,
    links: Links,
}

impl<'a> Wire<'a> {
    fn of(group: &'a Principal) -> Self {
        Self {
            id: group.id.as_str(),
            name: &group.name,
            domain_id: group.account.as_str(),
            description: &group.description,
            create_time: group.created_at.as_millis(),
            links: Links::to(format!("{LIST}/{}", group.id)),
        }
    }
}
