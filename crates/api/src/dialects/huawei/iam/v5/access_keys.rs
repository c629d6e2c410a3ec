//! `/v5/users/{user_id}/access-keys`.

use domain::Result;
use http::StatusCode;
use serde::Serialize;
use service::directory::access_keys::AccessKey;
use service::{Call, KeyUpdate, NewKey, WhichKey};

use super::super::credentials::{is_active, status};
use super::page::{PageInfo, page};
use super::users::id;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v5/users/{user_id}/access-keys";
const ITEM: &str = "/v5/users/{user_id}/access-keys/{access_key_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.listAccessKeysV5",
            "Lists the access keys of a user.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        // The vendor's clients send a content type and no body here.
        row(
            "POST",
            LIST,
            "iam.createAccessKeyV5",
            "Creates an access key; its secret is shown this once.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateAccessKeyV5",
            "Enables or disables an access key.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteAccessKeyV5",
            "Deletes an access key.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "GET",
            "/v5/users/{user_id}/access-keys/{access_key_id}/last-used",
            "iam.showAccessKeyLastUsedV5",
            "Says when an access key was used last.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(last_used(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_access_keys_of(&call, id(&input), &page(&input.head)?).await?;
    let page_info = PageInfo::of(&found);
    let access_keys = found.items.iter().map(|key| Wire::of(key, None)).collect();
    Reply::json(StatusCode::OK, &List { access_keys, page_info })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let NewKey { key, secret } = app.service.create_access_key(&call, id(&input), "").await?;
    Reply::json(StatusCode::CREATED, &Body { access_key: Wire::of(&key, Some(secret.expose())) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let enabled = is_active("status", &input.json()?.text("status")?)?;
    let change = KeyUpdate { enabled: Some(enabled), description: None };
    let key = app.service.update_access_key(&call, key_id(&input), change).await?;
    Reply::json(StatusCode::OK, &Body { access_key: Wire::of(&key, None) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_access_key(&call, key_id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn last_used(app: &App, call: Call, input: Input) -> Result<Reply> {
    let key = app.service.show_access_key(&call, key_id(&input)).await?;
    let last_used_at = key.last_used_at.map(domain::Timestamp::rfc3339_micros);
    Reply::json(StatusCode::OK, &LastUsedBody { access_key_last_used: LastUsed { last_used_at } })
}

fn key_id(input: &Input) -> WhichKey<'_> {
    WhichKey { id: input.parameters.get("access_key_id"), user: Some(input.parameters.get("user_id")) }
}

#[derive(Serialize)]
struct List<'a> {
    access_keys: Vec<Wire<'a>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Body<'a> {
    access_key: Wire<'a>,
}

#[derive(Serialize)]
struct LastUsedBody {
    access_key_last_used: LastUsed,
}

/// Without the field, the key was never used.
#[derive(Serialize)]
struct LastUsed {
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct Wire<'a> {
    user_id: &'a str,
    access_key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<&'a str>,
    status: &'static str,
    created_at: String,
}

impl<'a> Wire<'a> {
    fn of(key: &'a AccessKey, secret: Option<&'a str>) -> Self {
        Self {
            user_id: key.user.as_str(),
            access_key_id: key.id.as_str(),
            secret_access_key: secret,
            status: status(key),
            created_at: key.created_at.rfc3339_micros(),
        }
    }
}
