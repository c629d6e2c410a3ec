//! `/v5/agencies`: agencies with a trust policy.

use domain::{Error, PrincipalKind, Result};
use http::StatusCode;
use serde::Serialize;
use service::{Agency, AgencyUpdate, Call, NewPrincipal, PrincipalUpdate, Which};

use super::super::everybody::asked;
use super::super::rules;
use super::page::{PageInfo, page};
use crate::App;
use crate::json::{Object, Value};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const LIST: &str = "/v5/agencies";
const ITEM: &str = "/v5/agencies/{agency_id}";

/// How our fields are spelled here.
const NAMES: &[(&str, &str)] = &[("name", "agency_name"), ("trustPolicy", "trust_policy")];

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            LIST,
            "iam.listAgenciesV5",
            "Lists the account's agencies.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            LIST,
            "iam.createAgencyV5",
            "Creates an agency with a trust policy.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "iam.getAgencyV5",
            "Shows an agency.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "iam.updateAgencyV5",
            "Changes an agency's note and its longest session.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "PUT",
            "/v5/agencies/{agency_id}/trust-policy",
            "iam.updateTrustPolicyV5",
            "Changes whom an agency trusts.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update_trust(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "iam.deleteAgencyV5",
            "Deletes an agency; its sessions and places in grants end.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut found = app.service.list_agencies(&call, &page(&input.head)?).await?;
    if let Some(prefix) = asked(&input.head, "path_prefix") {
        // A page may become shorter, or empty: only a missing marker ends a list.
        found.items.retain(|agency| agency.details.path.starts_with(prefix));
    }
    let page_info = PageInfo::of(&found);
    let agencies = found.items.iter().map(|agency| Wire::of(agency, None)).collect();
    Reply::json(StatusCode::OK, &List { agencies, page_info })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let name = body.text("agency_name")?;
    rules::agency_name("agency_name", &name)?;
    let change = AgencyUpdate {
        trust_policy: Some(Some(body.text("trust_policy")?)),
        path: body.optional_text("path")?,
        ..common(&mut body)?
    };
    let new = NewPrincipal::named(PrincipalKind::Agency, name);
    let made = app.service.create_agency(&call, new, change).await.map_err(super::spelled(NAMES))?;
    Reply::json(StatusCode::CREATED, &Body { agency: Wire::of(&made, None) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let agency = app.service.show_agency(&call, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { agency: Wire::of(&agency, Some([])) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let change = common(&mut input.json()?)?;
    apply(app, &call, &input, change).await
}

/// The policy is all the trust that there is from then on: the older interface's trust in an account ends, else whoever
/// narrows it by a policy would leave the whole account in.
async fn update_trust(app: &App, call: Call, input: Input) -> Result<Reply> {
    let trust_policy = Some(Some(input.json()?.text("trust_policy")?));
    let change = AgencyUpdate { trust_policy, trusted_account: Some(None), ..AgencyUpdate::default() };
    apply(app, &call, &input, change).await
}

async fn apply(app: &App, call: &Call, input: &Input, change: AgencyUpdate) -> Result<Reply> {
    let changed = app.service.update_agency(call, id(input), PrincipalUpdate::default(), change).await;
    changed.map_err(super::spelled(NAMES))?;
    super::nothing()
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_principal(&call, PrincipalKind::Agency, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("agency_id"))
}

/// What may be said at creation and later.
fn common(body: &mut Object) -> Result<AgencyUpdate> {
    let description = body.optional_text("description")?;
    description.iter().try_for_each(|text| rules::description("description", text, 1000))?;
    let seconds = body.take("max_session_duration").map(|value| match value {
        Value::Number(number) => number.as_i64().filter(|seconds| (3600..=43_200).contains(seconds)),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => None,
    });
    if seconds == Some(None) {
        return Err(Error::invalid("max_session_duration", "must be a number from 3600 to 43200"));
    }
    Ok(AgencyUpdate { description, max_session_seconds: seconds.flatten(), ..AgencyUpdate::default() })
}

#[derive(Serialize)]
struct List<'a> {
    agencies: Vec<Wire<'a>>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Body<'a> {
    agency: Wire<'a>,
}

#[derive(Serialize)]
struct Wire<'a> {
    agency_id: &'a str,
    agency_name: &'a str,
    urn: String,
    path: &'a str,
    max_session_duration: i64,
    description: &'a str,
    created_at: String,
    /// A document in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_policy: Option<&'a str>,
    /// Only of agencies that trust an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_domain_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_domain_name: Option<&'a str>,
    /// There are none here; only where one agency is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<[(); 0]>,
}

impl<'a> Wire<'a> {
    fn of(agency: &'a Agency, tags: Option<[(); 0]>) -> Self {
        let Agency { principal, details, trusted_account_name } = agency;
        Self {
            agency_id: principal.id.as_str(),
            agency_name: &principal.name,
            urn: super::super::urn(principal),
            path: &details.path,
            max_session_duration: details.max_session_seconds,
            description: &details.description,
            created_at: principal.created_at.rfc3339_micros(),
            trust_policy: details.trust_policy.as_deref(),
            trust_domain_id: details.trusted_account.as_ref().map(|id| id.as_str()),
            trust_domain_name: trusted_account_name.as_deref(),
            tags,
        }
    }
}
