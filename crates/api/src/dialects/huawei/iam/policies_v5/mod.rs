//! `/v5/policies`: identity policies and their versions, as the newer clients call them. Documents are JSON as a text.

mod attachments;
mod page;

use domain::{Error, Result};
use http::StatusCode;
use serde::Serialize;
use service::policies::{
    Attached, Becomes, NewPolicy, Origin, PolicyFilter, PolicyUpdate, PolicyView, VersionView,
};
use service::{Call, Which};

use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;
use page::{PageInfo, page};

const LIST: &str = "/v5/policies";
const ITEM: &str = "/v5/policies/{policy_id}";
const VERSIONS: &str = "/v5/policies/{policy_id}/versions";
const VERSION: &str = "/v5/policies/{policy_id}/versions/{version_id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    let none = BodyRule::None;
    let mut rows = vec![
        row("GET", LIST, "iam.listPoliciesV5", "Lists policies: those of the system first.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input)))
        }),
        row("POST", LIST, "iam.createPolicyV5", "Creates a policy.", BodyRule::Json, {
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input)))
        }),
        row("GET", ITEM, "iam.getPolicyV5", "Shows a policy without its document.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input)))
        }),
        row("PUT", ITEM, "iam.updatePolicyV5", "Changes a policy's description.", BodyRule::Json, {
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input)))
        }),
        row("DELETE", ITEM, "iam.deletePolicyV5", "Deletes a policy that nobody holds.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input)))
        }),
    ];
    rows.extend(version_rows());
    rows.extend(attachments::operations());
    rows
}

fn version_rows() -> Vec<Operation> {
    let row = Operation::new;
    let none = BodyRule::None;
    vec![
        row("GET", VERSIONS, "iam.listPolicyVersionsV5", "Lists a policy's versions.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(list_versions(app, call, input)))
        }),
        row("POST", VERSIONS, "iam.createPolicyVersionV5", "Adds a version to a policy.", BodyRule::Json, {
            Handler::Authenticated(|app, call, input| Box::pin(create_version(app, call, input)))
        }),
        row("GET", VERSION, "iam.getPolicyVersionV5", "Shows a version with its document.", none, {
            Handler::Authenticated(|app, call, input| Box::pin(show_version(app, call, input)))
        }),
        row(
            "DELETE",
            VERSION,
            "iam.deletePolicyVersionV5",
            "Deletes a version that does not count.",
            none,
            Handler::Authenticated(|app, call, input| Box::pin(delete_version(app, call, input))),
        ),
        row(
            "POST",
            "/v5/policies/{policy_id}/versions/{version_id}/set-default",
            "iam.setDefaultPolicyVersionV5",
            "Makes a version the one that counts.",
            none,
            Handler::Authenticated(|app, call, input| Box::pin(set_default(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let asked = |key: &str| input.head.query(key).filter(|value| !value.is_empty());
    let origin = match asked("policy_type") {
        None => None,
        Some("system") => Some(Origin::Shipped),
        Some("custom") => Some(Origin::Own),
        Some(_) => return Err(Error::invalid("policy_type", "must be `system` or `custom`")),
    };
    let attached = match asked("only_attached") {
        None | Some("false") => None,
        Some("true") => Some(Attached),
        Some(_) => return Err(Error::invalid("only_attached", "must be `true` or `false`")),
    };
    no_path("path_prefix", asked("path_prefix"))?;
    let found = app.service.list_policies(&call, PolicyFilter { origin, attached }, &page(&input)?).await;
    let found = found.map_err(page::named)?;
    let policies: Vec<_> = found.items.iter().map(|policy| Wire::new(&call, policy)).collect();
    let page_info = PageInfo::new(found.next.as_deref(), policies.len());
    Reply::json(StatusCode::OK, &List { policies, page_info })
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let new = NewPolicy {
        id: None,
        name: body.text("policy_name")?,
        description: body.optional_text("description")?.unwrap_or_default(),
        document: body.text("policy_document")?,
    };
    no_path("path", body.optional_text("path")?.as_deref().filter(|path| !path.is_empty()))?;
    let policy = app.service.create_policy(&call, new).await.map_err(spelled)?;
    Reply::json(StatusCode::CREATED, &Body { policy: Wire::new(&call, &policy) })
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    let (policy, _) = app.service.show_policy(&call, id(&input)).await?;
    Reply::json(StatusCode::OK, &Body { policy: Wire::new(&call, &policy) })
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let update = PolicyUpdate { description: body.optional_text("description")?, ..PolicyUpdate::default() };
    app.service.update_policy(&call, id(&input), update).await?;
    nothing()
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_policy(&call, id(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn list_versions(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input)?;
    let found = app.service.list_policy_versions(&call, id(&input)).await?;
    let key = |version: &VersionView| (domain::Timestamp::from_millis(-version.version), String::new());
    let found = request.slice(&found, key).map_err(page::named)?;
    let versions: Vec<_> = found.items.iter().map(Version::new).collect();
    let page_info = PageInfo::new(found.next.as_deref(), versions.len());
    Reply::json(StatusCode::OK, &Versions { versions, page_info })
}

async fn create_version(app: &App, call: Call, input: Input) -> Result<Reply> {
    let mut body = input.json()?;
    let document = body.text("policy_document")?;
    let becomes = match body.optional_boolean("set_as_default")? {
        Some(true) => Becomes::Default,
        Some(false) | None => Becomes::Spare,
    };
    let version = app.service.create_policy_version(&call, id(&input), &document, becomes).await;
    let version = version.map_err(spelled)?;
    Reply::json(StatusCode::CREATED, &VersionBody { policy_version: Version::new(&version) })
}

async fn show_version(app: &App, call: Call, input: Input) -> Result<Reply> {
    let found = app.service.list_policy_versions(&call, id(&input)).await?;
    let found = found.iter().find(|version| version.version == number(&input));
    let found = found.ok_or_else(|| Error::not_found("version", input.parameters.get("version_id")))?;
    Reply::json(StatusCode::OK, &VersionBody { policy_version: Version::new(found) })
}

async fn delete_version(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.delete_policy_version(&call, id(&input), number(&input)).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn set_default(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.set_default_policy_version(&call, id(&input), number(&input)).await?;
    nothing()
}

/// The paths hold ids and no names.
fn id(input: &Input) -> Which<'_> {
    Which::Id(input.parameters.get("policy_id"))
}

/// `v3` is 3. What does not look like a version is one that is not there: rights are asked first.
fn number(input: &Input) -> i64 {
    let text = input.parameters.get("version_id");
    text.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap_or(-1)
}

/// Policies have no paths here, which is the vendor's default too.
fn no_path(field: &str, path: Option<&str>) -> Result<()> {
    match path {
        None => Ok(()),
        Some(_) => Err(Error::invalid(field, "must be left out: policies have no paths here")),
    }
}

/// The failure with the names that the bodies have for its field.
fn spelled(error: Error) -> Error {
    let field = match error.field() {
        Some("name") => "policy_name".to_owned(),
        Some(field) => match field.strip_prefix("document") {
            Some(within) => format!("policy_document{within}"),
            None => return error,
        },
        None => return error,
    };
    error.at_field(&field)
}

/// An answer that says nothing but that it was done.
fn nothing() -> Result<Reply> {
    #[derive(Serialize)]
    struct Nothing {}
    Reply::json(StatusCode::OK, &Nothing {})
}

/// The name that policies have for a policy.
fn urn(call: &Call, policy: &PolicyView) -> String {
    match policy.origin {
        Origin::Shipped => format!("iam::system:policy:{}", policy.name),
        Origin::Own => format!("iam::{}:policy:{}", call.account(), policy.name),
    }
}

#[derive(Serialize)]
struct List {
    policies: Vec<Wire>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct Body {
    policy: Wire,
}

#[derive(Serialize)]
struct Wire {
    policy_type: &'static str,
    policy_name: String,
    policy_id: String,
    urn: String,
    path: &'static str,
    default_version_id: String,
    attachment_count: i64,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl Wire {
    fn new(call: &Call, policy: &PolicyView) -> Self {
        Self {
            policy_type: match policy.origin {
                Origin::Shipped => "system",
                Origin::Own => "custom",
            },
            policy_name: policy.name.clone(),
            policy_id: policy.id.to_string(),
            urn: urn(call, policy),
            path: "",
            default_version_id: format!("v{}", policy.default_version),
            attachment_count: policy.attachments,
            description: policy.description.clone(),
            created_at: policy.created_at.map(|at| at.rfc3339_seconds()),
            updated_at: policy.updated_at.map(|at| at.rfc3339_seconds()),
        }
    }
}

#[derive(Serialize)]
struct Versions {
    versions: Vec<Version>,
    page_info: PageInfo,
}

#[derive(Serialize)]
struct VersionBody {
    policy_version: Version,
}

#[derive(Serialize)]
struct Version {
    document: String,
    version_id: String,
    is_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

impl Version {
    fn new(version: &VersionView) -> Self {
        Self {
            document: version.document.clone(),
            version_id: format!("v{}", version.version),
            is_default: version.is_default,
            created_at: version.created_at.map(|at| at.rfc3339_seconds()),
        }
    }
}
