//! `bailiwick user permissions`, `add-permission`, `remove-permission`, `set-permissions` and `clean`, and the same of
//! agencies: what one of them holds, and changing that.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{Session, stdin};
use crate::client::path::{self, with_query};
use crate::failure::Failure;
use crate::output::{self, Format, Style, View, computed, field};

/// One line for each way in which somebody holds something.
const VIEW: View = View {
    id: "grant",
    plural: "permissions",
    columns: &[
        computed("CLUSTER", cluster),
        computed("NAMESPACE", namespace),
        field("ROLE", "role"),
        computed("SOURCE", source),
        field("GRANT", "grant"),
        field("NAME", "grantName"),
        computed("BY", super::grant_history::by),
        field("IN", "dialect"),
        field("AT", "at"),
    ],
    details: &[],
};

/// Permissions as they are listed to be changed.
const DIRECT: View = View {
    id: "role",
    plural: "direct permissions",
    columns: &[computed("CLUSTER", cluster), computed("NAMESPACE", namespace), field("ROLE", "role")],
    details: &[],
};

/// One permission.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("permission_cluster").required(true)),
    group(ArgGroup::new("permission_namespace").required(true))
)]
pub struct PermissionArgs {
    /// The user's or agency's id or name
    holder: String,
    /// What they may do there: administrator, administrator-view, operator, developer, viewer, custom:CLUSTERROLE
    #[arg(long)]
    role: String,
    /// Cluster by id or name
    #[arg(long, value_name = "CLUSTER", group = "permission_cluster")]
    cluster: Option<String>,
    /// Every cluster of the account, later ones too
    #[arg(long, group = "permission_cluster", conflicts_with = "namespace")]
    all_clusters: bool,
    /// Namespace, which need not exist yet
    #[arg(short, long, value_name = "NAMESPACE", group = "permission_namespace")]
    namespace: Option<String>,
    /// Every namespace, and the cluster's own resources
    #[arg(long, group = "permission_namespace")]
    all_namespaces: bool,
}

/// What `set-permissions` takes.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The user's or agency's id or name
    holder: String,
    /// JSON: {"permissions": [{"place": {"cluster": "prod", "namespace": null}, "role": "viewer"}]}; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

/// What `clean` takes.
#[derive(Args, Debug)]
pub struct CleanArgs {
    /// The user's or agency's id or name
    holder: String,
    /// In this cluster, by id or name; may be repeated [default: everywhere]
    #[arg(long = "cluster", value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// Even if they may have been active in the last 7 days
    #[arg(long)]
    force: bool,
}

/// Prints what somebody holds and from where.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn list(holders: &str, holder: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let held = session.client.get(&path::native(&[holders, holder, "permissions"])?)?;
    let complete = held.get("complete").and_then(Value::as_bool).unwrap_or_default();
    let lines = lines(&held);
    match session.style {
        Style::Full(Format::Json | Format::Yaml) => {
            output::one(session.world.out, session.style, &VIEW, &held)?
        }
        Style::Full(Format::Table) if lines.is_empty() => writeln!(session.world.err, "no permissions")?,
        Style::Full(Format::Table) | Style::Ids => {
            output::many(session.world.out, session.style, &VIEW, lines)?;
        }
    }
    if !complete {
        writeln!(session.world.err, "note: there may be more, in clusters that you do not administer")?;
    }
    Ok(())
}

/// Adds or removes one direct permission.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn change(
    holders: &str,
    change: &str,
    args: PermissionArgs,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let place = json!({"cluster": args.cluster, "namespace": args.namespace});
    let body = json!({"change": change, "permissions": [{"place": place, "role": args.role}]});
    let path = path::native(&[holders, &args.holder, "permissions"])?;
    let done = session.client.write("POST", &path, body)?;
    print(session, &done)
}

/// Replaces all direct permissions.
///
/// # Errors
/// If the file cannot be read, or the server refuses or does not answer.
pub fn set(holders: &str, args: &SetArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let text = stdin::file(session.world, &args.file)?;
    let body: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("`{}` is not JSON: {error}", args.file.display())))?;
    let path = path::native(&[holders, &args.holder, "permissions"])?;
    let done = session.client.json("PUT", &path, Some(body))?;
    print(session, &done)
}

/// Takes everything away.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn clean(holders: &str, args: &CleanArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let clusters = (!args.clusters.is_empty()).then(|| args.clusters.join(","));
    let query = [("cluster", clusters.as_deref()), ("force", args.force.then_some("true"))];
    let path = path::native(&[holders, &args.holder, "permissions"])?;
    session.client.act("DELETE", &with_query(&path, &query))?;
    session.say(&format!(
        "{} holds nothing any more{}",
        args.holder,
        if args.clusters.is_empty() { "" } else { " there" }
    ))
}

/// Prints direct permissions as a change left them.
///
/// # Errors
/// If the output cannot be written.
pub fn print(session: &mut Session<'_, '_>, done: &Value) -> Result<(), Failure> {
    let permissions = done.get("permissions").and_then(Value::as_array).cloned().unwrap_or_default();
    match session.style {
        Style::Full(Format::Table) if permissions.is_empty() => {
            writeln!(session.world.err, "no direct permissions")?;
        }
        Style::Full(Format::Table) => {
            output::many(session.world.out, session.style, &DIRECT, permissions)?;
        }
        // Nothing of them has an id.
        Style::Ids => {}
        Style::Full(Format::Json | Format::Yaml) => {
            output::one(session.world.out, session.style, &DIRECT, done)?;
        }
    }
    Ok(())
}

/// Each row once for each way in which it is held.
fn lines(held: &Value) -> Vec<Value> {
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for row in list(held, "items") {
        for mut through in list(&row, "through") {
            if let Some(fields) = through.as_object_mut() {
                for key in ["place", "role"] {
                    fields.insert(key.to_owned(), row.get(key).cloned().unwrap_or_default());
                }
            }
            lines.push(through);
        }
    }
    lines
}

/// A place in a few words, for lists of changes.
pub(super) fn permission(permission: &Value) -> String {
    let role = permission.get("role").and_then(Value::as_str).unwrap_or_default();
    match (scope(permission, "cluster"), scope(permission, "namespace")) {
        (None, _) => format!("{role} *"),
        (Some(cluster), None) => format!("{role} {cluster}"),
        (Some(cluster), Some(namespace)) => format!("{role} {cluster}/{namespace}"),
    }
}

fn scope<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get("place").and_then(|place| place.get(key)).and_then(Value::as_str)
}

fn cluster(row: &Value) -> String {
    scope(row, "cluster").unwrap_or("*").to_owned()
}

fn namespace(row: &Value) -> String {
    scope(row, "namespace").unwrap_or("*").to_owned()
}

/// For example `group ops`.
fn source(through: &Value) -> String {
    let kind = through.get("kind").and_then(Value::as_str).unwrap_or_default();
    let group = through.get("group").and_then(|group| group.get("name")).and_then(Value::as_str);
    group.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
}
