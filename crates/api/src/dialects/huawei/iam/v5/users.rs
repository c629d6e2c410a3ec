//! `/v5/users`.

use domain::{Principal, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Call, NewPrincipal, Paged, PrincipalUpdate, Which};

use super::super::everybody::asked;
use super::super::rules;
use super::page::{PageInfo, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v5/users";
const ITEM: &str = "/v5/users/{user_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.listUsersV5",
            "Lists the account's users, or those of a group, or the one with an access key.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.createUserV5",
            "Creates a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showUserV5",
            "Shows a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateUserV5",
            "Changes a user.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteUserV5",
            "Deletes a user; their keys, tokens and places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input.head)?;
    let found = match (asked(&input.head, "group_id"), asked(&input.head, "access_key_id")) {
        (Some(group), _) => {
            let users = app.service.list_users_of(&call, Which::Id(group)).await?;
            request.slice(&users, |user| (user.created_at, user.id.as_str().to_owned()))?
        }
        (None, Some(key)) => {
            let key = app.service.show_access_key(&call, key).await?;
            let user = Which::Id(key.user.as_str());
            let user = app.service.show_principal(&call, PrincipalKind::User, user).await?;
            Paged { items: vec![user], next: None }
        }
        (None, None) => app.service.list_principals(&call, PrincipalKind::User, &request).await?,
    };
    let page_info = PageInfo::of(&found);
    Reply::json(StatusCode::OK, &List { users: found.items.iter().map(Wire::of).collect(), page_info })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let name = body.text("name")?;
    let description = body.optional_text("description")?.unwrap_or_default();
    rules::user_name("name", &name)?;
    rules::description("description", &description, 255)?;
    let new = NewPrincipal {
        description,
        enabled: body.optional_boolean("enabled")?.unwrap_or(true),
        ..NewPrincipal::named(PrincipalKind::User, name)
    };
    let made = app.service.create_principal(&call, new).await?;
    Reply::json(StatusCode::CREATED, &Body { user: Wire::of(&made) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = app.service.show_principal(&call, PrincipalKind::User, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { user: Wire { tags: Some([]), ..Wire::of(&user) } })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let name = body.optional_text("new_user_name")?;
    name.iter().try_for_each(|name| rules::user_name("new_user_name", name))?;
    let description = body.optional_text("new_description")?;
    description.iter().try_for_each(|text| rules::description("new_description", text, 255))?;
    let enabled = body.optional_boolean("enabled")?;
    let change = PrincipalUpdate { name, description, enabled, ..PrincipalUpdate::default() };
    let user = app.service.update_principal(&call, PrincipalKind::User, id(&input), change).await;
    let names = super::spelled(&[("name", "new_user_name"), ("description", "new_description")]);
    Reply::json(StatusCode::OK, &Body { user: Wire::of(&user.map_err(names)?) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::User, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// The user that a path names.
pub(super) fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("user_id"))
}

#[derive(Serialize)]
struct List<'a> {
    users: Vec<Wire<'a>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Body<'a> {
    user: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    user_id: &'a str,
    user_name: &'a str,
    urn: String,
    is_root_user: bool,
    enabled: bool,
    description: &'a str,
    created_at: String,
    /// There are none here; only where one user is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<[(); 0]>,
}

impl<'a> Wire<'a> {
    fn of(user: &'a Principal) -> Self {
        Self {
            user_id: user.id.as_str(),
            user_name: &user.name,
            urn: super::super::urn(user),
            is_root_user: user.root,
            enabled: user.enabled,
            description: &user.description,
            created_at: user.created_at.rfc3339_micros(),
            tags: None,
        }
    }
}
