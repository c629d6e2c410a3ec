//! `/bailiwick/v1/agencies`.

use domain::{Error, PrincipalKind, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use service::{Agency, AgencyUpdate, Call, NewPrincipal, PrincipalUpdate, TrustedAccount, Which};

use super::principals::{Wire as PrincipalWire, external_ids};
use super::{items, page};
use crate::App;
use crate::json::{Object, Value};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/bailiwick/v1/agencies";
const ITEM: &str = "/bailiwick/v1/agencies/{agency}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            COLLECTION,
            "agencies.list",
            "Lists agencies.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            COLLECTION,
            "agencies.create",
            "Creates an agency.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "agencies.show",
            "Shows an agency.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PATCH",
            ITEM,
            "agencies.update",
            "Changes an agency; another trust holds for whoever assumes it from then on.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "agencies.delete",
            "Deletes an agency; its sessions and places in grants end, and if forced its pod identity associations.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_agencies(&call, &page(&input, &[])?).await?;
    items(found, |agency| Wire::of(&agency))
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let new = NewPrincipal {
        id: body.optional_text("id")?,
        external_ids: external_ids(&mut body)?.unwrap_or_default(),
        ..NewPrincipal::named(PrincipalKind::Agency, body.text("name")?)
    };
    let change = change(&mut body)?;
    body.finish()?;
    let made = app.service.create_agency(&call, new, change).await?;
    Reply::json(StatusCode::CREATED, &Wire::of(&made))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let agency = app.service.show_agency(&call, which(&input)).await?;
    Reply::json(StatusCode::OK, &Wire::of(&agency))
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let common = PrincipalUpdate {
        name: body.optional_text("name")?,
        external_ids: external_ids(&mut body)?,
        ..PrincipalUpdate::default()
    };
    let change = change(&mut body)?;
    body.finish()?;
    let changed = app.service.update_agency(&call, which(&input), common, change).await?;
    Reply::json(StatusCode::OK, &Wire::of(&changed))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    for (key, _) in &input.head.query {
        if key != "force" {
            return Err(Error::invalid(key, "is not a known query parameter"));
        }
    }
    match input.head.query("force") {
        None | Some("false") => {
            app.service.delete_principal(&call, PrincipalKind::Agency, which(&input)).await?;
        }
        Some("true") => app.service.delete_agency_with_associations(&call, which(&input)).await?,
        Some(_) => return Err(Error::invalid("force", "must be `true` or `false`")),
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn which(input: &Input) -> Which<'_> {
    Which::from(input.parameters.get("agency"))
}

fn change(body: &mut Object) -> Result<AgencyUpdate> {
    Ok(AgencyUpdate {
        trust_policy: body.optional_text_or_none("trustPolicy")?,
        trusted_account: trusted_account(body)?,
        max_session_seconds: seconds(body.take("maxSessionSeconds"))?,
        description: body.optional_text("description")?,
        path: body.optional_text("path")?,
        expires_at: body.optional_text("expiresAt")?.map(|text| end(&text)).transpose()?,
    })
}

/// The account to trust, by id or by name; either may be `null` for none any more, and then the other says nothing else.
fn trusted_account(body: &mut Object) -> Result<Option<Option<TrustedAccount>>> {
    let id = body.optional_text_or_none("trustedAccount")?;
    let name = body.optional_text_or_none("trustedAccountName")?;
    match (id, name) {
        (None, None) => Ok(None),
        (Some(None), None | Some(None)) | (None, Some(None)) => Ok(Some(None)),
        (Some(Some(id)), None) => Ok(Some(Some(TrustedAccount::Id(id)))),
        (None, Some(Some(name))) => Ok(Some(Some(TrustedAccount::Name(name)))),
        (Some(_), Some(Some(_))) | (Some(Some(_)), Some(None)) => {
            Err(Error::invalid("trustedAccountName", "must be left out beside `trustedAccount`"))
        }
    }
}

fn seconds(value: Option<Value>) -> Result<Option<i64>> {
    let Some(value) = value else { return Ok(None) };
    let seconds = match value {
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => None,
    };
    let wrong = || Error::invalid("maxSessionSeconds", "must be a whole number");
    seconds.map(Some).ok_or_else(wrong)
}

fn end(text: &str) -> Result<Option<Timestamp>> {
    if text == "never" {
        return Ok(None);
    }
    let wrong = || Error::invalid("expiresAt", "must be `never` or a time like 2026-11-21T20:41:00Z");
    Timestamp::parse_rfc3339(text).map(Some).ok_or_else(wrong)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(flatten)]
    principal: PrincipalWire,
    /// The document as it was written, in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_account_name: Option<String>,
    max_session_seconds: i64,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Wire {
    fn of(agency: &Agency) -> Self {
        let details = &agency.details;
        Self {
            principal: PrincipalWire::described(&agency.principal, &details.description),
            trust_policy: details.trust_policy.clone(),
            trusted_account: details.trusted_account.as_ref().map(ToString::to_string),
            trusted_account_name: agency.trusted_account_name.clone(),
            max_session_seconds: details.max_session_seconds,
            path: details.path.clone(),
            expires_at: details.expires_at.map(Timestamp::rfc3339_seconds),
        }
    }
}
