//! `bailiwick check-config`: reads the server's settings as the server would, and says what is in force and what is wrong.

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Style, View, field};
use crate::serve::ServeArgs;
use crate::serve::check::{self, Verdict};

const SETTINGS: View = View {
    id: "setting",
    plural: "settings",
    columns: &[field("SETTING", "setting"), field("VALUE", "value"), field("FROM", "from")],
    details: &[],
};

/// Prints what is in force and what was found.
///
/// # Errors
/// If a server would not start with it.
pub fn run(args: &ServeArgs, world: &mut World<'_>) -> Result<(), Failure> {
    let report = block_on(check::run(args))??;
    let row = |(setting, value, from): &(String, String, String)| serde_json::json!({"setting": setting, "value": value, "from": from});
    let rows = report.settings.iter().map(row).collect();
    output::many(world.out, Style::Full(output::Format::Table), &SETTINGS, rows)?;
    writeln!(world.out)?;
    for finding in &report.findings {
        let verdict = match finding.verdict {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        writeln!(world.out, "{verdict:8} {}", output::escape(&finding.text))?;
    }
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::refused("a server would not start with this: see the problems above"))
}
