//! `/bailiwick/v1/policies`: identity policies and their versions. Who holds them is in `attachments`.

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::Call;
use service::policies::{
    Attached, Becomes, NewPolicy, Origin, PolicyFilter, PolicyUpdate, PolicyView, VersionView,
};

use super::{items, page};
use crate::App;
use crate::json::{Object, Value};
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const POLICIES: &str = "/bailiwick/v1/policies";
const POLICY: &str = "/bailiwick/v1/policies/{policy}";
const VERSIONS: &str = "/bailiwick/v1/policies/{policy}/versions";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    let none = BodyRule::None;
    let mut rows = vec![
        row("GET", POLICIES, "policies.list", "Lists policies: those that are shipped first.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input)))
        }),
        row("POST", POLICIES, "policies.create", "Creates a policy.", BodyRule::Json, {
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input)))
        }),
        row("GET", POLICY, "policies.show", "Shows a policy with its document.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input)))
        }),
        row(
            "PATCH",
            POLICY,
            "policies.update",
            "Changes a policy; another document counts at once for all who hold it.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row("DELETE", POLICY, "policies.delete", "Deletes a policy that nobody holds.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input)))
        }),
    ];
    rows.extend(version_rows());
    rows
}

fn version_rows() -> Vec<Operation> {
    let row = Operation::new;
    let none = BodyRule::None;
    vec![
        row("GET", VERSIONS, "policyVersions.list", "Lists a policy's versions, the latest first.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(list_versions(app, call, input)))
        }),
        row(
            "POST",
            VERSIONS,
            "policyVersions.create",
            "Adds a version to a policy, and makes it the default if that is asked for.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create_version(app, call, input))),
        ),
        row(
            "DELETE",
            "/bailiwick/v1/policies/{policy}/versions/{version}",
            "policyVersions.delete",
            "Deletes a version that is not the default.",
            none,
            Handler::Authenticated(|app, call, input| Box::pin(delete_version(app, call, input))),
        ),
        row(
            "PUT",
            "/bailiwick/v1/policies/{policy}/default-version/{version}",
            "policyVersions.setDefault",
            "Makes a version the one that counts.",
            none,
            Handler::Authenticated(|app, call, input| Box::pin(set_default(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &["origin", "attached"])?;
    let origin = match input.head.query("origin") {
        None => None,
        Some("shipped") => Some(Origin::Shipped),
        Some("own") => Some(Origin::Own),
        Some(_) => return Err(Error::invalid("origin", "must be `shipped` or `own`")),
    };
    let attached = match input.head.query("attached") {
        None => None,
        Some("true") => Some(Attached),
        Some(_) => return Err(Error::invalid("attached", "must be `true` or left out")),
    };
    let paged = app.service.list_policies(&call, PolicyFilter { origin, attached }, &request).await?;
    items(paged, |policy| Wire::new(&policy))
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let new = NewPolicy {
        id: body.optional_text("id")?,
        name: body.text("name")?,
        description: body.optional_text("description")?.unwrap_or_default(),
        document: document(&mut body)?.ok_or_else(|| body.missing("document"))?,
    };
    body.finish()?;
    let policy = app.service.create_policy(&call, new).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&policy))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (policy, version) = app.service.show_policy(&call, input.parameters.get("policy")).await?;
    Reply::json(
        StatusCode::OK,
        &WithDocument { policy: Wire::new(&policy), document: raw(&version.document) },
    )
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let update = PolicyUpdate {
        name: body.optional_text("name")?,
        description: body.optional_text("description")?,
        document: document(&mut body)?,
    };
    body.finish()?;
    let policy = app.service.update_policy(&call, input.parameters.get("policy"), update).await?;
    Reply::json(StatusCode::OK, &Wire::new(&policy))
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_policy(&call, input.parameters.get("policy")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn list_versions(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_policy_versions(&call, input.parameters.get("policy")).await?;
    let all = service::Paged { items: found, next: None };
    items(all, |version| Version::new(&version))
}

async fn create_version(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let text = document(&mut body)?.ok_or_else(|| body.missing("document"))?;
    let becomes = match body.optional_boolean("default")? {
        Some(true) => Becomes::Default,
        Some(false) | None => Becomes::Spare,
    };
    body.finish()?;
    let policy = input.parameters.get("policy");
    let version = app.service.create_policy_version(&call, policy, &text, becomes).await?;
    Reply::json(StatusCode::CREATED, &Version::new(&version))
}

async fn delete_version(app: &App, call: Call, input: Input) -> Result<Reply> {
    let policy = input.parameters.get("policy");
    app.service.delete_policy_version(&call, policy, version(&input)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn set_default(app: &App, call: Call, input: Input) -> Result<Reply> {
    let policy = input.parameters.get("policy");
    app.service.set_default_policy_version(&call, policy, version(&input)?).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// A version that does not look like one is one that is not there: rights are asked first.
fn version(input: &Input) -> Result<i64> {
    Ok(input.parameters.get("version").parse().unwrap_or(-1))
}

/// A document: as text, or as the object that it is.
fn document(body: &mut Object) -> Result<Option<String>> {
    match body.take("document") {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(value @ Value::Object(_)) => Ok(Some(serde_json::Value::from(value).to_string())),
        Some(_) => Err(Error::invalid("document", "must be an object, or a text with one")),
    }
}

/// A stored document as the object that it is; as text if it cannot be read.
fn raw(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    id: String,
    name: String,
    description: String,
    origin: &'static str,
    default_version: i64,
    attachments: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

#[derive(Serialize)]
struct WithDocument {
    #[serde(flatten)]
    policy: Wire,
    document: serde_json::Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: i64,
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    document: serde_json::Value,
}

impl Wire {
    pub(super) fn new(policy: &PolicyView) -> Self {
        Self {
            id: policy.id.to_string(),
            name: policy.name.clone(),
            description: policy.description.clone(),
            origin: match policy.origin {
                Origin::Shipped => "shipped",
                Origin::Own => "own",
            },
            default_version: policy.default_version,
            attachments: policy.attachments,
            created_at: policy.created_at.map(|at| at.rfc3339_seconds()),
            updated_at: policy.updated_at.map(|at| at.rfc3339_seconds()),
        }
    }
}

impl Version {
    fn new(version: &VersionView) -> Self {
        Self {
            version: version.version,
            default: version.is_default,
            created_at: version.created_at.map(|at| at.rfc3339_seconds()),
            document: raw(&version.document),
        }
    }
}
