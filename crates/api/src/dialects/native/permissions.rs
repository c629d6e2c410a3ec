//! `/bailiwick/v1/users/{user}/permissions` and the same of agencies: what somebody holds, from where, and since when.

use std::collections::HashMap;

use domain::{Error, GrantId, Namespace, Permission, Place, PrincipalId, PrincipalKind, Result, Role};
use http::StatusCode;
use serde_json::{Value, json};
use service::Call;
use service::grants::permissions::{
    Activity, Asked, Change, Cleaning, Completeness, PastPermissions, PermissionChange, PermissionRow,
    Permissions, Purpose, Said, Sight, Through,
};

use super::grants::{cluster_id, missing};
use super::{items, page};
use crate::App;
use crate::json::Object;
use crate::operation::{BodyRule, Handler, Input, Operation};
use crate::reply::Reply;

/// More rows are not shown: a part of them would not be the truth.
const MOST_ROWS: usize = 20_000;

/// So many may be listed in one change.
const MOST_LISTED: usize = 1_000;

/// The rows.
pub(super) fn operations() -> Vec<Operation> {
    let row = |method, path, name, summary, body, handler| Operation {
        method,
        path,
        name,
        summary,
        body,
        handler: Handler::Authenticated(handler),
    };
    let see = "Lists what a user or an agency holds where, and from where it comes.";
    let replace =
        "Makes direct permissions exactly those that are listed, as far as the caller administers them.";
    let change = "Adds direct permissions, or removes them.";
    let clean = "Takes everything away, everywhere or in some clusters.";
    let past = "Lists the commits that changed direct permissions, the last one first.";
    let restore = "Gives again what was held directly after a commit.";
    let (none, json) = (BodyRule::None, BodyRule::Json);
    vec![
        row("GET", USER, "userPermissions.list", see, none, |app, call, input| {
            Box::pin(list(app, call, input, PrincipalKind::User))
        }),
        row("PUT", USER, "userPermissions.replace", replace, json, |app, call, input| {
            Box::pin(put(app, call, input, PrincipalKind::User))
        }),
        row("POST", USER, "userPermissions.change", change, json, |app, call, input| {
            Box::pin(post(app, call, input, PrincipalKind::User))
        }),
        row("DELETE", USER, "userPermissions.clean", clean, none, |app, call, input| {
            Box::pin(delete(app, call, input, PrincipalKind::User))
        }),
        row("GET", USER_HISTORY, "userPermissions.history", past, none, |app, call, input| {
            Box::pin(history(app, call, input, PrincipalKind::User))
        }),
        row("POST", USER_RESTORE, "userPermissions.restore", restore, none, |app, call, input| {
            Box::pin(bring_back(app, call, input, PrincipalKind::User))
        }),
        row("GET", AGENCY, "agencyPermissions.list", see, none, |app, call, input| {
            Box::pin(list(app, call, input, PrincipalKind::Agency))
        }),
        row("PUT", AGENCY, "agencyPermissions.replace", replace, json, |app, call, input| {
            Box::pin(put(app, call, input, PrincipalKind::Agency))
        }),
        row("POST", AGENCY, "agencyPermissions.change", change, json, |app, call, input| {
            Box::pin(post(app, call, input, PrincipalKind::Agency))
        }),
        row("DELETE", AGENCY, "agencyPermissions.clean", clean, none, |app, call, input| {
            Box::pin(delete(app, call, input, PrincipalKind::Agency))
        }),
        row("GET", AGENCY_HISTORY, "agencyPermissions.history", past, none, |app, call, input| {
            Box::pin(history(app, call, input, PrincipalKind::Agency))
        }),
        row("POST", AGENCY_RESTORE, "agencyPermissions.restore", restore, none, |app, call, input| {
            Box::pin(bring_back(app, call, input, PrincipalKind::Agency))
        }),
    ]
}

const USER: &str = "/bailiwick/v1/users/{user}/permissions";
const USER_HISTORY: &str = "/bailiwick/v1/users/{user}/permissions/history";
const USER_RESTORE: &str = "/bailiwick/v1/users/{user}/permissions/history/{revision}/restore";
const AGENCY: &str = "/bailiwick/v1/agencies/{agency}/permissions";
const AGENCY_HISTORY: &str = "/bailiwick/v1/agencies/{agency}/permissions/history";
const AGENCY_RESTORE: &str = "/bailiwick/v1/agencies/{agency}/permissions/history/{revision}/restore";

async fn list(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    no_query(&input, &[])?;
    let id = holder(app, &call, &input, kind, Purpose::See).await?;
    let shown =
        app.service.list_permissions(&call, id.as_str(), Sight::AdministeredAndOwn, MOST_ROWS).await?;
    let said = app.service.permissions_said(&call, &shown).await?;
    Reply::json(StatusCode::OK, &wire(&shown, &said))
}

async fn put(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let body = input.json()?;
    let id = holder(app, &call, &input, kind, Purpose::Change(Asked::Update)).await?;
    change(app, &call, &id, Change::Replace, body).await
}

async fn post(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let mut body = input.json()?;
    let wanted = match body.text("change")?.as_str() {
        "add" => Change::Add,
        "remove" => Change::Remove,
        _ => return Err(Error::invalid("change", "must be `add` or `remove`; PUT replaces")),
    };
    let id = holder(app, &call, &input, kind, Purpose::Change(Asked::Update)).await?;
    change(app, &call, &id, wanted, body).await
}

async fn change(
    app: &App,
    call: &Call,
    holder: &PrincipalId,
    change: Change,
    mut body: Object,
) -> Result<Reply> {
    // A list that is absent is no empty list: that would take everything away.
    if !body.has("permissions") {
        return Err(Error::invalid("permissions", "must be given; [] is none"));
    }
    let listed = body.objects("permissions")?;
    body.finish()?;
    let mut permissions = Vec::with_capacity(listed.len().min(MOST_LISTED));
    for (index, entry) in listed.into_iter().take(MOST_LISTED + 1).enumerate() {
        permissions.push(read(app, call, entry, &format!("permissions[{index}]")).await?);
    }
    let wanted =
        PermissionChange { change, asked: Asked::Update, permissions, most: MOST_LISTED, most_removed: None };
    let direct = app.service.change_permissions(call, holder.as_str(), &wanted).await?;
    answer(&direct)
}

async fn delete(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    no_query(&input, &["cluster", "force"])?;
    let activity = match input.head.query("force") {
        None | Some("false") => Activity::Spares,
        Some("true") => Activity::Ignored,
        Some(_) => return Err(Error::invalid("force", "must be `true` or `false`")),
    };
    let id = holder(app, &call, &input, kind, Purpose::Clean).await?;
    let clusters = match input.head.query("cluster") {
        None => None,
        Some(named) => {
            let mut ids = Vec::new();
            // No id or name of a cluster holds a comma.
            for named in named.split(',') {
                ids.push(cluster_id(app, &call, named).await?.as_str().to_owned());
            }
            Some(ids)
        }
    };
    app.service.clean_permissions(&call, id.as_str(), &Cleaning { clusters, activity }).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn history(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let request = page(&input, &[])?;
    let id = holder(app, &call, &input, kind, Purpose::See).await?;
    let past = app.service.permission_history(&call, id.as_str(), &request).await?;
    items(past, |past| wire_past(&past))
}

async fn bring_back(app: &App, call: Call, input: Input, kind: PrincipalKind) -> Result<Reply> {
    let id = holder(app, &call, &input, kind, Purpose::Change(Asked::Update)).await?;
    // No commit has the number 0, so what is not a number is no commit either, for whoever may ask.
    let revision = input.parameters.get("revision").parse().unwrap_or(0);
    let direct = app.service.restore_permissions(&call, id.as_str(), revision, MOST_ROWS).await?;
    answer(&direct)
}

/// Whose permissions the path names.
async fn holder(
    app: &App,
    call: &Call,
    input: &Input,
    kind: PrincipalKind,
    purpose: Purpose,
) -> Result<PrincipalId> {
    let named = input.parameters.get(kind.as_str());
    // What one may do to oneself is for the use case to say; who one is needs no looking up.
    if call.caller.is_named(kind, named) {
        return Ok(call.caller.principal.clone());
    }
    app.service.permission_holder(call, purpose, kind, named).await
}

/// A misspelt parameter must not widen what is done.
fn no_query(input: &Input, known: &[&str]) -> Result<()> {
    match input.head.query.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) => Err(Error::invalid(key, "is not a known query parameter")),
        None => Ok(()),
    }
}

/// Reads `{"place": {"cluster": …, "namespace": …}, "role": …}`. A scope is never left out: `null` says that all are meant.
async fn read(app: &App, call: &Call, mut entry: Object, field: &str) -> Result<Permission> {
    let role = Role::parse(&format!("{field}.role"), &entry.text("role")?)?;
    let mut place = entry.object("place")?;
    let scope = |place: &mut Object, key: &str| -> Result<Option<String>> {
        let absent = || Error::invalid(&format!("{field}.place.{key}"), "must be given; null is all of them");
        place.optional_text_or_none(key)?.ok_or_else(absent)
    };
    let cluster = scope(&mut place, "cluster")?;
    let namespace = scope(&mut place, "namespace")?;
    place.finish()?;
    entry.finish()?;
    let namespace =
        namespace.map(|name| Namespace::parse(&format!("{field}.place.namespace"), &name)).transpose()?;
    let cluster = match cluster {
        None => None,
        Some(named) => Some(
            cluster_id(app, call, &named)
                .await
                .map_err(|error| missing(&format!("{field}.place.cluster"), error))?,
        ),
    };
    let place = match (cluster, namespace) {
        (None, None) => Place::Everywhere,
        (Some(cluster), None) => Place::Cluster(cluster),
        (Some(cluster), Some(namespace)) => Place::Namespace(cluster, namespace),
        (None, Some(_)) => {
            let rule =
                "must be one: a namespace of every cluster is a grant of its own, see /bailiwick/v1/grants";
            return Err(Error::invalid(&format!("{field}.place.cluster"), rule));
        }
    };
    Ok(Permission { place, role })
}

fn answer(direct: &[Permission]) -> Result<Reply> {
    Reply::json(StatusCode::OK, &json!({"permissions": wire_permissions(direct)}))
}

fn wire(shown: &Permissions, said: &[Said]) -> Value {
    let said: HashMap<&GrantId, &Said> = said.iter().map(|said| (&said.grant, said)).collect();
    let rows: Vec<Value> = shown.rows.iter().map(|row| wire_row(row, &said)).collect();
    json!({
        "holder": {
            "type": shown.holder.kind.as_str(), "id": shown.holder.id.as_str(), "name": shown.holder.name
        },
        "complete": shown.complete == Completeness::Complete,
        "items": rows,
    })
}

fn wire_row(row: &PermissionRow, said: &HashMap<&GrantId, &Said>) -> Value {
    let through: Vec<Value> =
        row.through.iter().map(|through| wire_through(through, said.get(&through.grant).copied())).collect();
    json!({
        "place": wire_place(&row.permission.place),
        "role": row.permission.role.to_string(),
        "owner": row.is_of_owner(),
        "through": through,
    })
}

fn wire_through(through: &Through, said: Option<&Said>) -> Value {
    let mut wire = json!({
        "grant": through.grant.as_str(),
        "grantName": through.grant_name,
        "kind": through.kind.as_str(),
    });
    let Value::Object(fields) = &mut wire else { return wire };
    if let Some((id, name)) = &through.group {
        fields.insert("group".to_owned(), json!({"id": id.as_str(), "name": name}));
    }
    // Nobody is known to have said what an older program wrote.
    if let Some(said) = said {
        fields.insert("actor".to_owned(), json!(said.actor));
        fields.insert("actorName".to_owned(), json!(said.actor_name));
        fields.insert("at".to_owned(), json!(said.at.rfc3339_seconds()));
        fields.insert("dialect".to_owned(), json!(said.dialect));
    }
    wire
}

fn wire_past(past: &PastPermissions) -> Value {
    json!({
        "revision": past.revision,
        "at": past.at.rfc3339_seconds(),
        "actor": past.actor,
        "actorName": past.actor_name,
        "dialect": past.dialect,
        "added": wire_permissions(&past.added),
        "removed": wire_permissions(&past.removed),
        "permissions": wire_permissions(&past.permissions),
    })
}

fn wire_permissions(permissions: &[Permission]) -> Vec<Value> {
    let wire = |permission: &Permission| json!({"place": wire_place(&permission.place), "role": permission.role.to_string()});
    permissions.iter().map(wire).collect()
}

fn wire_place(place: &Place) -> Value {
    json!({
        "cluster": place.cluster().map(domain::ClusterId::as_str),
        "namespace": place.namespace().map(Namespace::as_str),
    })
}
