//! `bailiwick hold`: what a server does with a database that may be an older copy of itself, and ending it. Works on the
//! server's machine, on its data, because while there is a hold the server lets nobody in.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Format, Style, View, field};
use crate::serve::{StorageArgs, backup};

const HOLD: View = View {
    id: "since",
    plural: "holds",
    columns: &[],
    details: &[field("SINCE", "since"), field("REASON", "reason")],
};

const PLANS: View = View {
    id: "clusterId",
    plural: "plans",
    columns: &[
        field("CLUSTER", "clusterId"),
        field("ADDS", "grows"),
        field("TAKES AWAY", "shrinks"),
        field("LOOKED AT", "at"),
    ],
    details: &[],
};

/// The verbs of `bailiwick hold`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show why the installation is held, and what would change in each cluster
    ///
    /// A server whose database is older than what its clusters or this machine saw, or which was restored, applies
    /// nothing and answers nobody. Its workers still look and plan; this shows their plans.
    #[command(after_help = "Example:\n  bailiwick hold show --data-dir /var/lib/bailiwick")]
    Show {
        #[command(flatten)]
        storage: StorageArgs,
    },

    /// Go on with this database: the plans are carried out, and people are let in
    ///
    /// Every token ends. Access keys stay as they are in this database: keys that were deleted after it was copied
    /// are valid again, and keys made since are gone. Look at `bailiwick key list` afterwards.
    #[command(after_help = "Example:\n  bailiwick hold confirm --data-dir /var/lib/bailiwick")]
    Confirm {
        #[command(flatten)]
        storage: StorageArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the data cannot be reached, or there is nothing to confirm.
pub fn run(command: Command, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    match command {
        Command::Show { storage } => show(&storage, style, world),
        Command::Confirm { storage } => {
            let confirmed = block_on(backup::confirm_hold(&storage))??;
            if style == Style::Full(Format::Table) {
                return Ok(writeln!(
                    world.out,
                    "confirmed: servers go on within a second; {} tokens ended, and {} client certificates; access \
                     keys are as they were in this database, those deleted since it was copied included: look at \
                     `bailiwick key list`",
                    confirmed.tokens, confirmed.certificates
                )?);
            }
            let shown = json!({
                "held": false,
                "since": confirmed.hold.since.rfc3339_seconds(),
                "reason": confirmed.hold.reason,
                "tokensEnded": confirmed.tokens,
                "certificatesEnded": confirmed.certificates,
            });
            Ok(output::one(world.out, style, &HOLD, &shown)?)
        }
    }
}

fn show(storage: &StorageArgs, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    let Some((hold, plans)) = block_on(backup::show_hold(storage))?? else {
        if style == Style::Full(Format::Table) {
            return Ok(writeln!(world.out, "the installation is not held")?);
        }
        return Ok(output::one(world.out, style, &HOLD, &json!({"held": false, "plans": []}))?);
    };
    let plans: Vec<Value> = plans
        .iter()
        .map(|plan| {
            json!({
                "clusterId": plan.cluster.as_str(),
                "at": plan.at.rfc3339_seconds(),
                "grows": plan.grows,
                "shrinks": plan.shrinks,
                "lines": plan.lines,
            })
        })
        .collect();
    let shown = json!({
        "held": true,
        "since": hold.since.rfc3339_seconds(),
        "reason": hold.reason,
        "plans": plans,
    });
    output::one(world.out, style, &HOLD, &shown)?;
    if style == Style::Full(Format::Table) {
        writeln!(world.out)?;
        output::many(world.out, style, &PLANS, plans.clone())?;
        for plan in &plans {
            lines(plan, world)?;
        }
    }
    Ok(())
}

fn lines(plan: &Value, world: &mut World<'_>) -> Result<(), Failure> {
    let lines = plan.get("lines").and_then(Value::as_array).cloned().unwrap_or_default();
    if lines.is_empty() {
        return Ok(());
    }
    let cluster = plan.get("clusterId").and_then(Value::as_str).unwrap_or_default();
    writeln!(world.out, "\n{}:", output::escape(cluster))?;
    for line in lines.iter().filter_map(Value::as_str) {
        writeln!(world.out, "  {}", output::escape(line))?;
    }
    Ok(())
}
