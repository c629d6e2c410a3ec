//! `/v5/groups`.

use domain::{Principal, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, PrincipalUpdate, Which};

use super::super::everybody::asked;
use super::super::rules;
use super::page::{PageInfo, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v5/groups";
const ITEM: &str = "/v5/groups/{group_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.listGroupsV5",
            "Lists the account's groups, or those of a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.createGroupV5",
            "Creates a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showGroupV5",
            "Shows a group.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateGroupV5",
            "Changes a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteGroupV5",
            "Deletes a group; its places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "POST",
            "/v5/groups/{group_id}/add-user",
            "iam.addUserToGroupV5",
            "Puts a user into a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(add_user(app, call, input))),
        ),
        row(
            "POST",
            "/v5/groups/{group_id}/remove-user",
            "iam.removeUserFromGroupV5",
            "Takes a user out of a group.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(remove_user(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input.head)?;
    let found = match asked(&input.head, "user_id") {
        Some(user) => {
            let groups = app.service.list_groups_of(&call, Which::Id(user)).await?;
            request.slice(&groups, |group| (group.created_at, group.id.as_str().to_owned()))?
        }
        None => app.service.list_principals(&call, PrincipalKind::Group, &request).await?,
    };
    let page_info = PageInfo::of(&found);
    Reply::json(StatusCode::OK, &List { groups: found.items.iter().map(Wire::of).collect(), page_info })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let name = body.text("group_name")?;
    let description = body.optional_text("description")?.unwrap_or_default();
    rules::description("description", &description, 255)?;
    let new = NewPrincipal { description, ..NewPrincipal::named(PrincipalKind::Group, name) };
    let made = app.service.create_principal(&call, new).await;
    let made = made.map_err(super::spelled(&[("name", "group_name")]))?;
    Reply::json(StatusCode::CREATED, &Body { group: Wire::of(&made) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let group = app.service.show_principal(&call, PrincipalKind::Group, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { group: Wire::of(&group) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let name = body.optional_text("new_group_name")?;
    let description = body.optional_text("new_group_description")?;
    description.iter().try_for_each(|text| rules::description("new_group_description", text, 255))?;
    let change = PrincipalUpdate { name, description, ..PrincipalUpdate::default() };
    let group = app.service.update_principal(&call, PrincipalKind::Group, id(&input), change).await;
    let names = super::spelled(&[("name", "new_group_name"), ("description", "new_group_description")]);
    Reply::json(StatusCode::OK, &Body { group: Wire::of(&group.map_err(names)?) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::Group, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn add_user(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = input.json()?.text("user_id")?;
    app.service.add_member(&call, id(&input), Which::Id(&user)).await?;
    super::nothing()
}

async fn remove_user(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = input.json()?.text("user_id")?;
    app.service.remove_member(&call, id(&input), Which::Id(&user)).await?;
    super::nothing()
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("group_id"))
}

#[derive(Serialize)]
struct List<'a> {
    groups: Vec<Wire<'a>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Body<'a> {
    group: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    group_id: &'a str,
    group_name: &'a str,
    urn: String,
    description: &'a str,
    created_at: String,
}

impl<'a> Wire<'a> {
    fn of(group: &'a Principal) -> Self {
        Self {
            group_id: group.id.as_str(),
            group_name: &group.name,
            urn: super::super::urn(group),
            description: &group.description,
            created_at: group.created_at.rfc3339_micros(),
        }
    }
}
