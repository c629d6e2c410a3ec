//! `bailiwick kubeconfig`: ways into clusters, for people and for programs.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Paging, Session};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{Format, Style, View, computed, field};

const KUBECONFIGS: &str = "kubeconfigs";

const VIEW: View = View {
    id: "id",
    plural: "kubeconfigs",
    columns: &[
        field("SERIAL", "id"),
        field("CLUSTER", "clusterName"),
        computed("HOLDER", holder),
        field("STATE", "state"),
        field("ISSUED", "issuedAt"),
        field("EXPIRES", "expiresAt"),
    ],
    details: &[field("SERIAL", "id")],
};

fn holder(issued: &Value) -> String {
    issued.pointer("/holder/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The verbs of `bailiwick kubeconfig`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Have a cluster sign a client certificate, and print the kubeconfig, with its key, this once
    ///
    /// It gives the rights that grants give to its holder, while it lasts; so it needs none of its own. Nothing of it is
    /// kept but its serial, by which it can be revoked.
    #[command(after_help = "Examples:\n  bailiwick kubeconfig issue prod > prod.kubeconfig\n  \
        bailiwick kubeconfig issue prod --user ada --minutes 60 > ada.kubeconfig\n  \
        kubectl --kubeconfig prod.kubeconfig auth can-i --list")]
    Issue {
        /// For this user or agency; only administrators ask for others [default: whose key it is]
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// How long it is good, in minutes [default: as long as was chosen for the holder, else three years]
        #[arg(long, value_name = "N", conflicts_with = "seconds")]
        minutes: Option<i64>,
        /// The same in seconds, at least 5
        #[arg(long, value_name = "N")]
        seconds: Option<i64>,
        /// Issue it although bindings of others in the cluster name the holder
        #[arg(long)]
        adopt: bool,
        /// The cluster's id or name
        cluster: String,
    },

    /// List kubeconfigs that were issued, and how they stand
    #[command(after_help = "Example:\n  bailiwick kubeconfig list --cluster prod --user ada")]
    List {
        /// Only those of this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only those of this user or agency
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },

    /// Revoke a kubeconfig; others of the same holder go on
    #[command(after_help = "Example:\n  bailiwick kubeconfig revoke 5e71a1c0de5e71a1")]
    Revoke {
        /// Its serial
        serial: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Issue { user, minutes, seconds, adopt, cluster } => {
            if session.style == Style::Ids {
                return Err(Failure::usage("`--quiet` would drop the key, which is shown only once")
                    .hint("use -o json and take id and kubeconfig from it"));
            }
            let adopt = adopt.then_some(true);
            let body = json!({ "holder": user, "minutes": minutes, "seconds": seconds, "adopt": adopt });
            let path = path::native(&["clusters", &cluster, KUBECONFIGS])?;
            let made = session.client.write("POST", &path, body)?;
            tell(session, &made)
        }
        Command::List { cluster, user, paging } => {
            let filters = [("cluster", cluster.as_deref()), ("holder", user.as_deref())];
            session.list(KUBECONFIGS, &VIEW, &filters, &paging)
        }
        Command::Revoke { serial } => {
            session.client.act("DELETE", &path::native(&[KUBECONFIGS, &serial])?)?;
            session.say(&format!("revoked {serial}"))
        }
    }
}

/// The kubeconfig goes to a file, what people should know about it to the terminal.
fn tell(session: &mut Session<'_, '_>, made: &Value) -> Result<(), Failure> {
    if session.style != Style::Full(Format::Table) {
        return session.print(&VIEW, made);
    }
    let text = |key: &str| made.get(key).and_then(Value::as_str).unwrap_or_default();
    write!(session.world.out, "{}", text("kubeconfig"))?;
    let line = format!("serial {}, good until {}", text("id"), text("expiresAt"));
    writeln!(session.world.err, "{}", crate::output::escape(&line))?;
    Ok(())
}
