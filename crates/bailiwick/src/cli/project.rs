//! `bailiwick project`: parts of the account that are bound to a region.

use clap::Subcommand;
use serde_json::json;

use super::{Paging, Session};
use crate::failure::Failure;
use crate::output::{Column, View, field};

const COLLECTION: &str = "projects";
const FIELDS: &[Column] = &[field("ID", "id"), field("NAME", "name"), field("CREATED", "createdAt")];
const VIEW: View = View { id: "id", plural: "projects", columns: FIELDS, details: FIELDS };

/// The verbs of `bailiwick project`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project
    #[command(after_help = "Example:\n  bailiwick project create --id 05a1c7 eu-west-101")]
    Create {
        /// Id to keep, from a cloud that knows it already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Name: the region's, unique in the account
        name: String,
    },

    /// List projects
    #[command(after_help = "Example:\n  bailiwick project list")]
    List {
        #[command(flatten)]
        paging: Paging,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, name } => session.create(COLLECTION, &VIEW, json!({ "id": id, "name": name })),
        Command::List { paging } => session.list(COLLECTION, &VIEW, &[], &paging),
    }
}
