//! `bailiwick user`: people and programs with credentials of their own.

use clap::Subcommand;
use serde_json::json;

use super::{Paging, Session, stdin};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, field};

const USERS: &str = "users";

const VIEW: View = View {
    id: "id",
    plural: "users",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ENABLED", "enabled"),
        field("ROOT", "root"),
        field("CREATED", "createdAt"),
    ],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ENABLED", "enabled"),
        field("ROOT", "root"),
        field("EXTERNAL IDS", "externalIds"),
        field("CREATED", "createdAt"),
    ],
};

/// The verbs of `bailiwick user`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a user
    ///
    /// A user without password calls with access keys only: `bailiwick key create`.
    #[command(after_help = "Examples:\n  bailiwick user create ada\n  \
        bailiwick user create --id 5f2c0a1e --password-stdin ada < password.txt")]
    Create {
        /// Id to keep, from a cloud that knows the user already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// Name, unique among the account's users
        name: String,
    },

    /// Set a user's password, read from standard input
    #[command(after_help = "Example:\n  bailiwick user set-password ada < password.txt")]
    SetPassword {
        /// Accepted for symmetry with `create`: the password always comes from standard input
        #[arg(long, hide = true)]
        password_stdin: bool,
        /// The user's id or name
        user: String,
    },

    /// List users
    #[command(after_help = "Examples:\n  bailiwick user list\n  bailiwick user list -o json")]
    List {
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a user
    #[command(after_help = "Example:\n  bailiwick user show ada")]
    Show {
        /// The user's id or name
        user: String,
    },

    /// Delete a user: the keys die, the grants forget the user, the id is never given again
    #[command(after_help = "Example:\n  bailiwick user delete ada")]
    Delete {
        /// The user's id or name
        user: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, password_stdin, name } => {
            let password = if password_stdin { Some(stdin::password(session.world)?) } else { None };
            let password = password.as_deref();
            session.create(USERS, &VIEW, json!({ "id": id, "name": name, "password": password }))
        }
        Command::SetPassword { password_stdin: _, user } => {
            let password = stdin::password(session.world)?;
            let path = path::native(&[USERS, &user, "password"])?;
            session.client.write("PUT", &path, json!({ "password": password.as_str() }))?;
            session.say(&format!("set the password of {user}"))
        }
        Command::List { paging } => session.list(USERS, &VIEW, &[], &paging),
        Command::Show { user } => session.show(USERS, &VIEW, &user),
        Command::Delete { user } => session.delete(USERS, &user),
    }
}
