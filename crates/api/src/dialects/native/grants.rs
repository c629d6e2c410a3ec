//! `/bailiwick/v1/grants`: grants in our own words, with where each stands in its clusters.

use domain::{
    ClusterGrantState, ClusterId, ClusterScope, Error, ErrorKind, Grant, GrantSpec, Namespace,
    NamespaceScope, PrincipalId, PrincipalKind, Principals, Result, Role,
};
use http::StatusCode;
use serde::Serialize;
use service::{Call, GrantFilter};

use super::{items, page};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

const COLLECTION: &str = "/bailiwick/v1/grants";
const ITEM: &str = "/bailiwick/v1/grants/{id}";

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = Operation::new;
    vec![
        row(
            "GET",
            COLLECTION,
            "grants.list",
            "Lists grants that are not revoked.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(list(app, call, input))),
        ),
        row(
            "POST",
            COLLECTION,
            "grants.create",
            "Creates a grant; its clusters follow by themselves.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(create(app, call, input))),
        ),
        row(
            "GET",
            ITEM,
            "grants.show",
            "Shows a grant, revoked or not, and where it stands in each cluster.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(show(app, call, input))),
        ),
        row(
            "PUT",
            ITEM,
            "grants.update",
            "Replaces a grant.",
            BodyRule::Json,
            Handler::Authenticated(|app, call, input| Box::pin(update(app, call, input))),
        ),
        row(
            "DELETE",
            ITEM,
            "grants.delete",
            "Revokes a grant.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(delete(app, call, input))),
        ),
        row(
            "POST",
            "/bailiwick/v1/grants/{id}/confirm",
            "grants.confirm",
            "Accepts what the custom role of a grant allows now: where the grant is held it is bound again.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(confirm(app, call, input))),
        ),
    ]
}

async fn list(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &["cluster", "principal"])?;
    let cluster = match input.head.query("cluster") {
        None => None,
        Some(named) => Some(cluster_id(app, &call, named).await?.as_str().to_owned()),
    };
    let filter = GrantFilter { cluster, principal: input.head.query("principal").map(str::to_owned) };
    let mut grants = app.service.list_grant_states(&call).await?;
    grants.retain(|(grant, _)| filter.matches(grant));
    let paged = request.slice(&grants, |(grant, _)| (grant.created_at, grant.id.to_string()))?;
    items(paged, |(grant, states)| Wire::new(&grant, &states))
}

async fn create(app: &App, call: Call, input: Input) -> Result<Reply> {
    let spec = read(app, &call, &input).await?;
    let grant = app.service.create_grant(&call, spec).await.map_err(field_names)?;
    let (grant, states) = app.service.show_grant_states(&call, grant.id.as_str()).await?;
    Reply::json(StatusCode::CREATED, &Wire::new(&grant, &states))
}

async fn show(app: &App, call: Call, input: Input) -> Result<Reply> {
    shown(app, &call, input.parameters.get("id")).await
}

/// A grant as an answer.
pub(super) async fn shown(app: &App, call: &Call, id: &str) -> Result<Reply> {
    let (grant, states) = app.service.show_grant_states(call, id).await?;
    Reply::json(StatusCode::OK, &Wire::new(&grant, &states))
}

async fn update(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("id");
    app.service.show_grant(&call, id).await?;
    let spec = read(app, &call, &input).await?;
    app.service.update_grant(&call, id, spec).await.map_err(field_names)?;
    shown(app, &call, id).await
}

async fn confirm(app: &App, call: Call, input: Input) -> Result<Reply> {
    let id = input.parameters.get("id");
    app.service.confirm_grant(&call, id).await?;
    shown(app, &call, id).await
}

async fn delete(app: &App, call: Call, input: Input) -> Result<Reply> {
    app.service.revoke_grant(&call, input.parameters.get("id")).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Reads a grant. Principals and clusters may be named by id or by name.
async fn read(app: &App, call: &Call, input: &Input) -> Result<GrantSpec> {
    let mut body = input.json()?;
    let name = body.optional_text("name")?;
    let role = Role::parse("role", &body.text("role")?)?;
    let (kind, named) = read_principals(&mut body)?;
    let clusters = body.texts("clusters")?;
    let namespaces = body.texts("namespaces")?;
    body.finish()?;
    let mut ids = Vec::with_capacity(named.len().min(domain::grant::MAX_PRINCIPALS));
    for named in named.iter().take(domain::grant::MAX_PRINCIPALS + 1) {
        ids.push(principal_id(app, call, kind, named).await?);
    }
    let clusters = match star("clusters", &clusters)? {
        Star::All => ClusterScope::All,
        Star::Listed => {
            let mut ids = Vec::new();
            for named in clusters.iter().take(domain::grant::MAX_CLUSTERS + 1) {
                ids.push(cluster_id(app, call, named).await.map_err(|error| missing("clusters", error))?);
            }
            ClusterScope::Listed(ids)
        }
    };
    let namespaces = match star("namespaces", &namespaces)? {
        Star::All => NamespaceScope::All,
        Star::Listed => {
            let read = |name: &String| Namespace::parse("namespaces", name);
            NamespaceScope::Listed(namespaces.iter().map(read).collect::<Result<_>>()?)
        }
    };
    let name = name.unwrap_or_else(|| derived_name(app, &role));
    Ok(GrantSpec { name, role, principals: Principals { kind, ids }, clusters, namespaces })
}

fn read_principals(body: &mut Object) -> Result<(PrincipalKind, Vec<String>)> {
    let mut principals = body.object("principals")?;
    let kind = PrincipalKind::parse("principals.type", &principals.text("type")?)?;
    let ids = principals.texts("ids")?;
    principals.finish()?;
    Ok((kind, ids))
}

/// A name for those who do not care: the role and a few random digits.
fn derived_name(app: &App, role: &Role) -> String {
    let word = match role {
        Role::Custom(_) => "custom".to_owned(),
        Role::Administrator | Role::AdministratorView | Role::Operator | Role::Developer | Role::Viewer => {
            role.to_string()
        }
    };
    let digits: [u8; 4] = domain::entropy::bytes(&*app.entropy);
    format!("{word}-{:08x}", u32::from_be_bytes(digits))
}

async fn principal_id(app: &App, call: &Call, kind: PrincipalKind, named: &str) -> Result<PrincipalId> {
    match app.service.show_principal(call, kind, named).await {
        Ok(principal) => Ok(principal.id),
        // Who may not look people up may still name them by id.
        Err(error) if error.kind() == ErrorKind::Forbidden => PrincipalId::parse("principals.ids", named),
        Err(error) => Err(missing("principals.ids", error)),
    }
}

/// The id of a cluster that is named by id or name.
pub(super) async fn cluster_id(app: &App, call: &Call, named: &str) -> Result<ClusterId> {
    match app.service.show_cluster(call, named).await {
        Ok(cluster) => Ok(cluster.id),
        // Who may not look clusters up may still name them by id.
        Err(error) if error.kind() == ErrorKind::Forbidden => ClusterId::parse("clusters", named),
        Err(error) => Err(error),
    }
}

/// What a body names and does not exist is a fault of the body.
pub(super) fn missing(field: &str, error: Error) -> Error {
    if error.kind() == domain::ErrorKind::NotFound {
        return Error::invalid(field, error.message().to_owned());
    }
    error
}

fn field_names(error: Error) -> Error {
    if error.field() == Some("principals") { error.at_field("principals.ids") } else { error }
}

enum Star {
    All,
    Listed,
}

fn star(field: &str, list: &[String]) -> Result<Star> {
    match list {
        [only] if only == "*" => Ok(Star::All),
        _ if list.iter().any(|entry| entry == "*") => {
            Err(Error::invalid(field, "must hold `*` alone or no `*` at all"))
        }
        _ => Ok(Star::Listed),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    name: String,
    role: String,
    principals: WirePrincipals,
    clusters: Vec<String>,
    namespaces: Vec<String>,
    generation: i64,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    states: Vec<WireState>,
}

#[derive(Serialize)]
struct WirePrincipals {
    r#type: &'static str,
    ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireState {
    cluster_id: String,
    state: &'static str,
    reason: String,
    since: String,
    observed_generation: i64,
}

impl Wire {
    fn new(grant: &Grant, states: &[ClusterGrantState]) -> Self {
        let spec = &grant.spec;
        let state = |state: &ClusterGrantState| WireState {
            cluster_id: state.cluster.to_string(),
            state: state.state.as_str(),
            reason: state.reason.clone(),
            since: state.since.rfc3339_micros(),
            observed_generation: state.observed_generation,
        };
        Self {
            id: grant.id.to_string(),
            name: spec.name.clone(),
            role: spec.role.to_string(),
            principals: WirePrincipals {
                r#type: spec.principals.kind.as_str(),
                ids: spec.principals.ids.iter().map(ToString::to_string).collect(),
            },
            clusters: match &spec.clusters {
                ClusterScope::All => vec!["*".to_owned()],
                ClusterScope::Listed(ids) => ids.iter().map(ToString::to_string).collect(),
            },
            namespaces: match &spec.namespaces {
                NamespaceScope::All => vec!["*".to_owned()],
                NamespaceScope::Listed(names) => names.iter().map(ToString::to_string).collect(),
            },
            generation: grant.generation,
            created_at: grant.created_at.rfc3339_seconds(),
            updated_at: grant.updated_at.rfc3339_seconds(),
            revoked_at: grant.revoked_at.map(domain::Timestamp::rfc3339_seconds),
            states: states.iter().map(state).collect(),
        }
    }
}
