//! `bailiwick grant history` and `grant restore`: what a grant said before.

use serde_json::{Value, json};

use super::Session;
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

/// Prints the versions of a grant.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn history(id: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let versions = versions(id, session)?;
    Ok(output::many(session.world.out, session.style, &VIEW, versions)?)
}

/// Makes a grant say again what it said before, by default in the version before the present one. Answers the grant.
///
/// # Errors
/// If the server refuses or does not answer, or there is no earlier version.
pub fn restore(id: &str, generation: Option<u32>, session: &mut Session<'_, '_>) -> Result<Value, Failure> {
    let number = |version: &Value| version.get("generation").and_then(Value::as_i64).unwrap_or_default();
    let generation = match generation {
        Some(generation) => i64::from(generation),
        None => {
            let versions = versions(id, session)?;
            let earlier = versions.iter().rev().nth(1).map(number);
            earlier.ok_or_else(|| Failure::refused("the grant has no earlier version"))?
        }
    };
    let generation = generation.to_string();
    let path = path::native(&["grants", id, "history", &generation, "restore"])?;
    session.client.write("POST", &path, json!({}))
}

fn versions(id: &str, session: &mut Session<'_, '_>) -> Result<Vec<Value>, Failure> {
    session.client.list(&path::native(&["grants", id, "history"])?, &[], None)
}

/// Who made a version: by name, else by id.
fn by(version: &Value) -> String {
    let text = |key| version.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("actorName");
    if name.is_empty() { text("actor").to_owned() } else { name.to_owned() }
}
