//! `bailiwick agency`: identities without credentials, which others assume.

use clap::Subcommand;
use serde_json::json;

use super::{Paging, Session};
use crate::failure::Failure;
use crate::output::{View, field};

const AGENCIES: &str = "agencies";

const VIEW: View = View {
    id: "id",
    plural: "agencies",
    columns: &[field("ID", "id"), field("NAME", "name"), field("CREATED", "createdAt")],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("EXTERNAL IDS", "externalIds"),
        field("CREATED", "createdAt"),
    ],
};

/// The verbs of `bailiwick agency`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an agency
    #[command(after_help = "Example:\n  bailiwick agency create backup-writer")]
    Create {
        /// Id to keep, from a cloud that knows the agency already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Name, unique among the account's agencies
        name: String,
    },

    /// List agencies
    #[command(after_help = "Example:\n  bailiwick agency list")]
    List {
        #[command(flatten)]
        paging: Paging,
    },

    /// Show an agency
    #[command(after_help = "Example:\n  bailiwick agency show backup-writer")]
    Show {
        /// The agency's id or name
        agency: String,
    },

    /// Delete an agency: the grants forget it, the id is never given again
    #[command(after_help = "Example:\n  bailiwick agency delete backup-writer")]
    Delete {
        /// The agency's id or name
        agency: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, name } => session.create(AGENCIES, &VIEW, json!({ "id": id, "name": name })),
        Command::List { paging } => session.list(AGENCIES, &VIEW, &[], &paging),
        Command::Show { agency } => session.show(AGENCIES, &VIEW, &agency),
        Command::Delete { agency } => session.delete(AGENCIES, &agency),
    }
}
