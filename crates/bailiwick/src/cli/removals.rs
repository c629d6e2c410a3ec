//! `bailiwick cluster removals` and `cluster confirm-removals`: bindings that would go though nobody revoked them.

use serde_json::{Value, json};

use super::Session;
use crate::client::path;
use crate::failure::Failure;
use crate::output::{Format, Style, View, field};

const VIEW: View = View {
    id: "name",
    plural: "removals that wait",
    columns: &[
        field("NAMESPACE", "namespace"),
        field("BINDING", "name"),
        field("TAKES AWAY", "what"),
        field("SINCE", "since"),
    ],
    details: &[field("CONFIRMED", "confirmed")],
};

/// Prints what waits in a cluster.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn list(cluster: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let answer = session.client.get(&path::native(&["clusters", cluster, "removals"])?)?;
    let waiting = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if waiting.is_empty() && session.style == Style::Full(Format::Table) {
        writeln!(session.world.err, "no {}", VIEW.plural)?;
        return Ok(());
    }
    Ok(crate::output::many(session.world.out, session.style, &VIEW, waiting)?)
}

/// Lets go what waits in a cluster.
///
/// # Errors
/// If the server refuses or does not answer, or nothing waits.
pub fn confirm(cluster: &str, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let path = path::native(&["clusters", cluster, "removals", "confirm"])?;
    let answer = session.client.write("POST", &path, json!({}))?;
    session.print(&VIEW, &answer)
}
