//! `/bailiwick/v1/grants/{id}/history`: what a grant said before, who made it say so, and bringing that back.

use domain::{ClusterScope, GrantSpec, NamespaceScope, Result};
use serde_json::{Value, json};
use service::{Call, PastGrant};

use super::{items, page};
use crate::App;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "GET",
            "/bailiwick/v1/grants/{id}/history",
            "grants.history",
            "Lists the versions of a grant, revoked or not, the first one that is kept first.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(history(app, call, input))),
        ),
        Operation::new(
            "POST",
            "/bailiwick/v1/grants/{id}/history/{generation}/restore",
            "grants.restore",
            "Makes a grant say again what it said in an earlier version.",
            BodyRule::None,
            Handler::Authenticated(|app, call, input| Box::pin(restore(app, call, input))),
        ),
    ]
}

async fn history(app: &App, call: Call, input: Input) -> Result<Reply> {
    let request = page(&input, &[])?;
    let versions = app.service.show_grant_history(&call, input.parameters.get("id"), &request).await?;
    items(versions, |version| wire(&version))
}

async fn restore(app: &App, call: Call, input: Input) -> Result<Reply> {
    // No version has the number 0, so what is not a number is no version either, for whoever may ask.
    let generation = input.parameters.get("generation").parse().unwrap_or(0);
    let grant = app.service.restore_grant(&call, input.parameters.get("id"), generation).await?;
    super::grants::shown(app, &call, grant.id.as_str()).await
}

fn wire(version: &PastGrant) -> Value {
    let GrantSpec { name, role, principals, clusters, namespaces } = &version.spec;
    let everything = || vec!["*".to_owned()];
    let ids: Vec<String> = principals.ids.iter().map(ToString::to_string).collect();
    json!({
        "generation": version.generation,
        "revision": version.revision,
        "at": version.at.rfc3339_seconds(),
        "actor": version.actor,
        "actorName": version.actor_name,
        "revoked": version.revoked,
        "name": name,
        "role": role.to_string(),
        "principals": {"type": principals.kind.as_str(), "ids": ids},
        "clusters": match clusters {
            ClusterScope::All => everything(),
            ClusterScope::Listed(ids) => ids.iter().map(ToString::to_string).collect(),
        },
        "namespaces": match namespaces {
            NamespaceScope::All => everything(),
            NamespaceScope::Listed(names) => names.iter().map(ToString::to_string).collect(),
        },
    })
}
