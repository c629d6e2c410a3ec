//! `bailiwick grant history` and `grant restore`: what a grant said before, or what somebody was given.

use serde_json::{Value, json};

use super::{Session, permissions};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{self, View, computed, field};

const VIEW: View = View {
    id: "generation",
    plural: "versions",
    columns: &[
        field("GENERATION", "generation"),
        field("AT", "at"),
        computed("BY", by),
        field("ROLE", "role"),
        computed("PRINCIPALS", super::grant::principals),
        field("CLUSTERS", "clusters"),
        field("NAMESPACES", "namespaces"),
        field("REVOKED", "revoked"),
    ],
    details: &[],
};

/// What somebody was given directly, commit by commit.
const OF_HOLDER: View = View {
    id: "revision",
    plural: "changes of permissions",
    columns: &[
        field("REVISION", "revision"),
        field("AT", "at"),
        computed("BY", by),
        field("IN", "dialect"),
        computed("ADDED", added),
        computed("REMOVED", removed),
        computed("AFTERWARDS", afterwards),
    ],
    details: &[],
};

/// What was restored.
pub enum Restored {
    /// A grant, as it is now.
    Grant(Value),
    /// Somebody's direct permissions, as they are now.
    Permissions(Value),
}

/// Whose history an argument names, and where it is.
enum Past {
    Grant(String),
    Holder(String),
}

/// Prints the versions of a grant, or the changes of what a user or an agency was given.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn history(of: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let (path, view) = match past(of, session)? {
        Past::Grant(path) => (path, &VIEW),
        Past::Holder(path) => (path, &OF_HOLDER),
    };
    let entries = session.client.list(&path, &[], None)?;
    Ok(output::many(session.world.out, session.style, view, entries)?)
}

/// Makes a grant say again what it said before, or gives somebody what they had; by default what was so before the last
/// change.
///
/// # Errors
/// If the server refuses or does not answer, or there is nothing earlier.
pub fn restore(of: &str, number: Option<u64>, session: &mut Session<'_, '_>) -> Result<Restored, Failure> {
    let past = past(of, session)?;
    let (path, key) = match &past {
        Past::Grant(path) => (path, "generation"),
        Past::Holder(path) => (path, "revision"),
    };
    let number = match number {
        Some(number) => number.to_string(),
        None => earlier(&session.client.list(path, &[], None)?, key)?,
    };
    let done = session.client.write("POST", &format!("{path}/{number}/restore"), json!({}))?;
    Ok(match past {
        Past::Grant(_) => Restored::Grant(done),
        Past::Holder(_) => Restored::Permissions(done),
    })
}

/// The number of the last entry but one: grants list the first version first, holders the last change.
fn earlier(entries: &[Value], key: &str) -> Result<String, Failure> {
    let number = |entry: &Value| entry.get(key).and_then(Value::as_u64);
    let mut numbers: Vec<u64> = entries.iter().filter_map(number).collect();
    numbers.sort_unstable();
    let earlier = numbers.iter().rev().nth(1).map(u64::to_string);
    earlier.ok_or_else(|| Failure::refused("there is nothing earlier to restore"))
}

/// What the argument names: a grant by its id, else a user or an agency by id or name.
fn past(of: &str, session: &mut Session<'_, '_>) -> Result<Past, Failure> {
    for (parts, make) in [
        (&["grants", of, "history"][..], Past::Grant as fn(String) -> Past),
        (&["users", of, "permissions", "history"], Past::Holder),
        (&["agencies", of, "permissions", "history"], Past::Holder),
    ] {
        let path = path::native(parts)?;
        if session.client.find(&format!("{path}?limit=1"))?.is_some() {
            return Ok(make(path));
        }
    }
    Err(Failure::refused(format!("`{of}` is the id of no grant, and the id or name of no user or agency")))
}

/// Who made a version: by name, else by id.
pub(super) fn by(version: &Value) -> String {
    let text = |key| version.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("actorName");
    if name.is_empty() { text("actor").to_owned() } else { name.to_owned() }
}

fn added(past: &Value) -> String {
    permissions_of(past, "added")
}

fn removed(past: &Value) -> String {
    permissions_of(past, "removed")
}

fn afterwards(past: &Value) -> String {
    permissions_of(past, "permissions")
}

fn permissions_of(past: &Value, key: &str) -> String {
    let list = past.get(key).and_then(Value::as_array);
    list.into_iter().flatten().map(permissions::permission).collect::<Vec<_>>().join(", ")
}
