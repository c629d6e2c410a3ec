//! `/bailiwick/v1/access-keys`.

use domain::Result;
use http::StatusCode;
use serde::Serialize;
use service::{Call, KeyUpdate, NewKey};

use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/bailiwick/v1/access-keys";
const ITEM: &str = "/bailiwick/v1/access-keys/{id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            COLLECTION,
            "accessKeys.list",
            "Lists access keys, without their secrets.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            COLLECTION,
            "accessKeys.create",
            "Creates an access key; its secret is shown this once.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "accessKeys.show",
            "Shows an access key and when it was used last.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PATCH",
            ITEM,
            "accessKeys.update",
            "Enables or disables an access key, or writes another note about it.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "accessKeys.delete",
            "Deletes an access key.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &["user"])?;
    let paged = app.service.list_access_keys(&call, input.head.query("user"), &request).await?;
    items(paged, |key| Wire::new(&key, None))
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let user = body.text("user")?;
    let description = body.optional_text("description")?.unwrap_or_default();
    body.finish()?;
    let NewKey { key, secret } = app.service.create_access_key(&call, &user, &description).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&key, Some(secret.expose())))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let key = app.service.show_access_key(&call, input.parameters.get("id")).await?;
    Reply::json(StatusCode::OK, &Wire::new(&key, None))
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let change = KeyUpdate {
        enabled: body.optional_boolean("enabled")?,
        description: body.optional_text("description")?,
    };
    body.finish()?;
    let key = app.service.update_access_key(&call, input.parameters.get("id"), change).await?;
    Reply::json(StatusCode::OK, &Wire::new(&key, None))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_access_key(&call, input.parameters.get("id")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    access_key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<&'a str>,
    user: String,
    enabled: bool,
    description: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
}

impl<'a> Wire<'a> {
    fn new(key: &service::directory::access_keys::AccessKey, secret: Option<&'a str>) -> Self {
        Self {
            access_key_id: key.id.to_string(),
            secret_access_key: secret,
            user: key.user.to_string(),
            enabled: key.enabled,
            description: key.description.clone(),
            created_at: key.created_at.rfc3339_seconds(),
            last_used_at: key.last_used_at.map(domain::Timestamp::rfc3339_seconds),
            ends_at: key.ends_at.map(domain::Timestamp::rfc3339_seconds),
        }
    }
}
