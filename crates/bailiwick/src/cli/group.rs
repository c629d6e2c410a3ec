//! `bailiwick group`: sets of users.

use clap::Subcommand;
use serde_json::{Value, json};

use super::user::Changes;
use super::{Paging, Session};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, computed, field};

const GROUPS: &str = "groups";

const VIEW: View = View {
    id: "id",
    plural: "groups",
    columns: &[field("ID", "id"), field("NAME", "name"), field("CREATED", "createdAt")],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("DESCRIPTION", "description"),
        computed("MEMBERS", members),
        field("EXTERNAL IDS", "externalIds"),
        field("CREATED", "createdAt"),
        field("CHANGED", "updatedAt"),
    ],
};

/// The verbs of `bailiwick group`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a group
    #[command(after_help = "Example:\n  bailiwick group create --id 77c1d0 developers")]
    Create {
        /// Id to keep, from a cloud that knows the group already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// What the group is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Name, unique among the account's groups
        name: String,
    },

    /// Change a group's name, description or names in other systems
    #[command(after_help = "Example:\n  bailiwick group update developers --name builders")]
    Update {
        #[command(flatten)]
        changes: Changes,
        /// The group's id or name
        group: String,
    },

    /// Add a user to a group
    #[command(after_help = "Example:\n  bailiwick group add-member developers ada")]
    AddMember {
        /// The group's id or name
        group: String,
        /// The user's id or name
        user: String,
    },

    /// Take a user out of a group
    #[command(after_help = "Example:\n  bailiwick group remove-member developers ada")]
    RemoveMember {
        /// The group's id or name
        group: String,
        /// The user's id or name
        user: String,
    },

    /// List groups
    #[command(after_help = "Example:\n  bailiwick group list")]
    List {
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a group and its members
    #[command(after_help = "Example:\n  bailiwick group show developers")]
    Show {
        /// The group's id or name
        group: String,
    },

    /// Delete a group: the grants forget it, the id is never given again
    #[command(after_help = "Example:\n  bailiwick group delete developers")]
    Delete {
        /// The group's id or name
        group: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, description, name } => {
            session.create(GROUPS, &VIEW, json!({ "id": id, "name": name, "description": description }))
        }
        Command::Update { changes, group } => session.update(GROUPS, &VIEW, &group, changes.body()),
        Command::AddMember { group, user } => {
            session.client.act("PUT", &path::native(&[GROUPS, &group, "members", &user])?)?;
            session.say(&format!("added {user} to {group}"))
        }
        Command::RemoveMember { group, user } => {
            session.client.act("DELETE", &path::native(&[GROUPS, &group, "members", &user])?)?;
            session.say(&format!("removed {user} from {group}"))
        }
        Command::List { paging } => session.list(GROUPS, &VIEW, &[], &paging),
        Command::Show { group } => session.show(GROUPS, &VIEW, &group),
        Command::Delete { group } => session.delete(GROUPS, &group),
    }
}

fn members(group: &Value) -> String {
    let members = group.get("members").and_then(Value::as_array);
    let names = members.into_iter().flatten().filter_map(|member| member.get("name")?.as_str());
    names.collect::<Vec<_>>().join(", ")
}
