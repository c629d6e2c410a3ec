//! `/v3.0/OS-CREDENTIAL/credentials`: permanent access keys.

use domain::{Error, ErrorKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::directory::access_keys::AccessKey;
use service::{Call, KeyUpdate, NewKey, PageRequest, Which};

use super::everybody::asked;
use super::rules;
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v3.0/OS-CREDENTIAL/credentials";
const ITEM: &str = "/v3.0/OS-CREDENTIAL/credentials/{access_key}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "POST",
            LIST,
            "iam.createPermanentAccessKey",
            "Creates an access key; its secret is shown this once.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            LIST,
            "iam.listPermanentAccessKeys",
            "Lists the access keys of a user, the caller if none is named.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showPermanentAccessKey",
            "Shows an access key and when it was used last.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updatePermanentAccessKey",
            "Enables or disables an access key, or writes another note about it.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deletePermanentAccessKey",
            "Deletes an access key.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut credential = input.json()?.object("credential")?;
    let user = credential.text("user_id")?;
    let description = credential.optional_text("description")?.unwrap_or_default();
    let made = app.service.create_access_key(&call, Which::Id(&user), &description).await;
    let NewKey { key, secret } = made.map_err(rules::inside("credential"))?;
    let credential = Wire { secret: Some(secret.expose()), ..Wire::of(&key) };
    Reply::json(StatusCode::CREATED, &Body { credential })
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let user = asked(&input.head, "user_id").unwrap_or(call.caller.principal.as_str());
    let mut request = PageRequest { limit: Some(1000), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = app.service.list_access_keys_of(&call, Which::Id(user), &request).await?;
        found.extend(page.items);
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
    }
    Reply::json(StatusCode::OK, &List { credentials: found.iter().map(Wire::of).collect() })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let key = app.service.show_access_key(&call, id(&input)).await?;
    let last_use_time = Some(key.last_used_at.map(domain::Timestamp::rfc3339_micros));
    Reply::json(StatusCode::OK, &Body { credential: Wire { last_use_time, ..Wire::of(&key) } })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut credential = input.json()?.object("credential")?;
    let enabled = credential.optional_text("status")?;
    let enabled = enabled.map(|status| is_active("credential.status", &status)).transpose()?;
    let description = credential.optional_text("description")?;
    if enabled.is_none() && description.is_none() {
        return Err(Error::new(ErrorKind::Invalid, "`credential` must hold `status` or `description`"));
    }
    let change = KeyUpdate { enabled, description };
    let key = app.service.update_access_key(&call, id(&input), change).await;
    let key = key.map_err(rules::inside("credential"))?;
    Reply::json(StatusCode::OK, &Body { credential: Wire::of(&key) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_access_key(&call, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(input: &Input) -> &str {
    input.parameters.get("access_key")
}

/// Reads the state of a key.
pub(super) fn is_active(field: &str, status: &str) -> Result<bool> {
    match status {
        "active" => Ok(true),
        "inactive" => Ok(false),
        _ => Err(Error::invalid(field, "must be `active` or `inactive`")),
    }
}

/// Spells the state of a key.
pub(super) fn status(key: &AccessKey) -> &'static str {
    if key.enabled { "active" } else { "inactive" }
}

#[derive(Serialize)]
struct List<'a> {
    credentials: Vec<Wire<'a>>,
}

#[derive(Serialize)]
struct Body<'a> {
    credential: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    access: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    status: &'static str,
    user_id: &'a str,
    create_time: String,
    description: &'a str,
    /// Told only where one key is shown; `null` if it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use_time: Option<Option<String>>,
}

impl<'a> Wire<'a> {
    fn of(key: &'a AccessKey) -> Self {
        Self {
            access: key.id.as_str(),
            secret: None,
            status: status(key),
            user_id: key.user.as_str(),
            create_time: key.created_at.rfc3339_micros(),
            description: &key.description,
            last_use_time: None,
        }
    }
}
