//! `bailiwick audit`: what was done in the account and what was refused.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Paging, Session};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, computed, field};

const EVENTS: &str = "audit-events";

const VIEW: View = View {
    id: "id",
    plural: "audit events",
    columns: &[
        field("AT", "at"),
        field("ACTOR", "actorName"),
        field("ACTION", "action"),
        field("RESOURCE", "resource"),
        field("OUTCOME", "outcome"),
        field("TIMES", "occurrences"),
        field("SOURCE", "source"),
        computed("EXPLANATION", explanation),
    ],
    details: &[],
};

/// The verbs of `bailiwick audit`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what was done and refused, newest last
    ///
    /// Refusals appear within seconds. Requests without valid credentials are counted for each source, reason and
    /// minute; only the account that the first start made sees them.
    #[command(after_help = "Examples:\n  bailiwick audit list --since 2026-11-21T00:00:00Z\n  \
        bailiwick audit list --actor ada --action bailiwick:token:issue\n  \
        bailiwick audit list --explanation 5f2d0c7a91b3e648 -o json\n  \
        bailiwick audit list --pod prod/web-5d8f")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },

    /// Print events as JSON, one a line, for other systems to keep
    #[command(
        after_help = "Example:\n  bailiwick audit export --since 2026-11-01T00:00:00Z > november.jsonl"
    )]
    Export {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paging: Paging,
    },
}

/// Which events are wanted.
#[derive(Args, Debug)]
pub struct Filter {
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By this user, by id or name
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// This action only
    #[arg(long)]
    action: Option<String>,
    /// To this resource only
    #[arg(long)]
    resource: Option<String>,
    /// What a refused caller was told this id for
    #[arg(long, value_name = "ID")]
    explanation: Option<String>,
    /// Credentials that were vended to this pod
    #[arg(long, value_name = "NAMESPACE/NAME|UID")]
    pod: Option<String>,
}

impl Filter {
    fn query(&self) -> [(&str, Option<&str>); 7] {
        [
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("actor", self.actor.as_deref()),
            ("action", self.action.as_deref()),
            ("resource", self.resource.as_deref()),
            ("explanation", self.explanation.as_deref()),
            ("pod", self.pod.as_deref()),
        ]
    }
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { filter, paging } => session.list(EVENTS, &VIEW, &filter.query(), &paging),
        Command::Export { filter, paging } => {
            let (client, out) = (&session.client, &mut session.world.out);
            client.each(&path::native(&[EVENTS])?, &filter.query(), paging.limit(), &mut |event| {
                Ok(writeln!(out, "{event}")?)
            })
        }
    }
}

/// The id under which the whole is found, and why it was refused.
fn explanation(event: &Value) -> String {
    let text = |key| event.get("explanation").and_then(|found| found.get(key)).and_then(Value::as_str);
    match (text("id"), text("reasons")) {
        (Some(id), Some(reasons)) => format!("{id}: {reasons}"),
        (Some(id), None) => id.to_owned(),
        (None, _) => String::new(),
    }
}
