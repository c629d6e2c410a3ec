//! `/v3.0/OS-AGENCY/agencies`: agencies that trust an account, for ever or for some days.

use domain::{Error, PrincipalKind, Result, Timestamp};
use http::StatusCode;
use serde::Serialize;
use service::{
    Agency, AgencyUpdate, Call, NewPrincipal, PageRequest, PrincipalUpdate, TrustedAccount, Which,
};

use super::everybody::asked;
use super::extended_users::time;
use super::part::Part;
use super::rules;
use crate::App;
use crate::json::{Object, Value};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v3.0/OS-AGENCY/agencies";
const ITEM: &str = "/v3.0/OS-AGENCY/agencies/{agency_id}";

const DAY: i64 = 24 * 3600;

const HOUR_MILLIS: i64 = 3_600_000;

/// The longest time that can be asked for, in days.
const MAX_DAYS: i64 = 36_500;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.listAgencies",
            "Lists the account's agencies.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.createAgency",
            "Creates an agency that trusts an account.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.showAgency",
            "Shows an agency.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateAgency",
            "Changes an agency.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteAgency",
            "Deletes an agency; its sessions and places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let head = &input.head;
    let part = Part::read(head, 500)?;
    let mut found = all(app, &call).await?;
    found.retain(|agency| {
        let trusted = agency.details.trusted_account.as_ref().map(|id| id.as_str());
        asked(head, "domain_id").is_none_or(|id| id == call.account().as_str())
            && asked(head, "trust_domain_id").is_none_or(|id| trusted == Some(id))
            && asked(head, "name").is_none_or(|name| agency.principal.name == name)
    });
    let agencies = part.of(&found).iter().map(|agency| Wire::of(agency, Urn::Told)).collect();
    Reply::json(StatusCode::OK, &List { agencies })
}

async fn all(app: &App, call: &Call) -> Result<Vec<Agency>> {
    let mut request = PageRequest { limit: Some(1000), cursor: None };
    let mut found = Vec::new();
    loop {
        let page = app.service.list_agencies(call, &request).await?;
        found.extend(page.items);
        request.cursor = page.next;
        if request.cursor.is_none() {
            return Ok(found);
        }
    }
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut agency = input.json()?.object("agency")?;
    rules::own_account(&mut agency, "agency.domain_id", call.account())?;
    let name = agency.text("name")?;
    rules::agency_name("agency.name", &name)?;
    let change = change(&mut agency, app.service.now())?;
    if change.trusted_account.is_none() {
        return Err(agency.missing("trust_domain_id"));
    }
    let new = NewPrincipal::named(PrincipalKind::Agency, name);
    let made = app.service.create_agency(&call, new, change).await.map_err(spelled)?;
    Reply::json(StatusCode::CREATED, &Body { agency: Wire::of(&made, Urn::Untold) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let agency = app.service.show_agency(&call, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { agency: Wire::of(&agency, Urn::Told) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut agency = input.json()?.object("agency")?;
    let change = change(&mut agency, app.service.now())?;
    if change.is_nothing() {
        return Err(Error::invalid(
            "agency",
            "must hold `trust_domain_id`, `trust_domain_name`, `description` or `duration`",
        ));
    }
    let changed = app.service.update_agency(&call, id(&input), PrincipalUpdate::default(), change).await;
    Reply::json(StatusCode::OK, &Body { agency: Wire::of(&changed.map_err(spelled)?, Urn::Untold) })
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::Agency, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("agency_id"))
}

/// What a body says about an agency. Where it names the trusted account twice, the name counts.
fn change(agency: &mut Object, now: Timestamp) -> Result<AgencyUpdate> {
    let description = agency.optional_text("description")?;
    description.iter().try_for_each(|text| rules::description("agency.description", text, 255))?;
    let account_id = agency.optional_text("trust_domain_id")?.map(TrustedAccount::Id);
    let account_name = agency.optional_text("trust_domain_name")?.map(TrustedAccount::Name);
    Ok(AgencyUpdate {
        description,
        trusted_account: account_name.or(account_id).map(Some),
        expires_at: agency.take("duration").map(|value| end(&value, now)).transpose()?,
        ..AgencyUpdate::default()
    })
}

/// When an agency ends that is to last so long from now on.
fn end(duration: &Value, now: Timestamp) -> Result<Option<Timestamp>> {
    let days = match duration {
        Value::Text(text) if text == "FOREVER" => return Ok(None),
        Value::Text(text) if text == "ONEDAY" => Some(1),
        Value::Text(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_) => None,
    };
    match days {
        Some(days @ 1..=MAX_DAYS) => Ok(Some(now.plus_seconds(days * DAY))),
        Some(_) | None => {
            let rule = format!("must be `FOREVER`, `ONEDAY` or a number of days from 1 to {MAX_DAYS}");
            Err(Error::invalid("agency.duration", rule))
        }
    }
}

fn spelled(error: Error) -> Error {
    match error.field() {
        Some("trustedAccount") => error.at_field("agency.trust_domain_name"),
        Some(_) | None => rules::inside("agency")(error),
    }
}

#[derive(Serialize)]
struct List<'a> {
    agencies: Vec<Wire<'a>>,
}

#[derive(Serialize)]
struct Body<'a> {
    agency: Wire<'a>,
}

/// Whether an answer tells the name that policies have for the agency.
enum Urn {
    Told,
    Untold,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    name: &'a str,
    domain_id: &'a str,
    trust_domain_id: Option<&'a str>,
    trust_domain_name: Option<&'a str>,
    description: &'a str,
    /// `FOREVER`, or hours: the answer does not count in the days of the question.
    duration: String,
    create_time: String,
    expire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agency_urn: Option<String>,
}

impl<'a> Wire<'a> {
    fn of(agency: &'a Agency, urn: Urn) -> Self {
        let Agency { principal, details, trusted_account_name } = agency;
        let millis = |end: Timestamp| end.as_millis() - principal.created_at.as_millis();
        // The nearest: asking and creating are not the same instant.
        let hours = |end: Timestamp| ((millis(end) + HOUR_MILLIS / 2) / HOUR_MILLIS).to_string();
        Self {
            id: principal.id.as_str(),
            name: &principal.name,
            domain_id: principal.account.as_str(),
            trust_domain_id: details.trusted_account.as_ref().map(|id| id.as_str()),
            trust_domain_name: trusted_account_name.as_deref(),
            description: &details.description,
            duration: details.expires_at.map_or_else(|| "FOREVER".to_owned(), hours),
            create_time: time(principal.created_at),
            expire_time: details.expires_at.map(time),
            agency_urn: match urn {
                Urn::Told => Some(super::urn(principal)),
                Urn::Untold => None,
            },
        }
    }
}
