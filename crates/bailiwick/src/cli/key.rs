//! `bailiwick key`: the access keys with which users sign their calls.

use clap::Subcommand;
use serde_json::json;

use super::{Paging, Session};
use crate::failure::Failure;
use crate::output::{Style, View, field};

const KEYS: &str = "access-keys";

const VIEW: View = View {
    id: "accessKeyId",
    plural: "access keys",
    columns: &[
        field("ACCESS KEY ID", "accessKeyId"),
        field("USER", "user"),
        field("ENABLED", "enabled"),
        field("DESCRIPTION", "description"),
        field("CREATED", "createdAt"),
        field("ENDS", "endsAt"),
    ],
    details: &[
        field("ACCESS KEY ID", "accessKeyId"),
        field("USER", "user"),
        field("ENABLED", "enabled"),
        field("DESCRIPTION", "description"),
        field("CREATED", "createdAt"),
        field("LAST USED", "lastUsedAt"),
        field("ENDS", "endsAt"),
    ],
};

/// As [`VIEW`], with the secret, which only `create` ever sees.
const NEW: View = View {
    details: &[
        field("ACCESS KEY ID", "accessKeyId"),
        field("SECRET ACCESS KEY", "secretAccessKey"),
        field("USER", "user"),
    ],
    ..VIEW
};

/// The verbs of `bailiwick key`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an access key for a user. The secret is printed this once
    #[command(after_help = "Examples:\n  bailiwick key create ada\n  \
        bailiwick key create ada --description laptop -o json")]
    Create {
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// The user's id or name
        user: String,
    },

    /// List access keys
    #[command(after_help = "Example:\n  bailiwick key list --user ada")]
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },

    /// Show an access key and when it was used last, to some minutes
    #[command(after_help = "Example:\n  bailiwick key show AKEXAMPLE")]
    Show {
        /// The key's id
        access_key_id: String,
    },

    /// Write another description of an access key
    #[command(after_help = "Example:\n  bailiwick key describe AKEXAMPLE 'the old laptop'")]
    Describe {
        /// The key's id
        access_key_id: String,
        /// What it is for
        #[arg(value_name = "TEXT")]
        description: String,
    },

    /// Refuse an access key from now on; it can be enabled again
    #[command(after_help = "Example:\n  bailiwick key disable AKEXAMPLE")]
    Disable {
        /// The key's id
        access_key_id: String,
    },

    /// Accept a disabled access key again
    #[command(after_help = "Example:\n  bailiwick key enable AKEXAMPLE")]
    Enable {
        /// The key's id
        access_key_id: String,
    },

    /// Delete an access key
    #[command(after_help = "Example:\n  bailiwick key delete AKEXAMPLE")]
    Delete {
        /// The key's id
        access_key_id: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { description, user } => {
            if session.style == Style::Ids {
                return Err(Failure::usage("`--quiet` would drop the secret, which is shown only once")
                    .hint("use -o json and take accessKeyId and secretAccessKey from it"));
            }
            session.create(KEYS, &NEW, json!({ "user": user, "description": description }))
        }
        Command::List { user, paging } => session.list(KEYS, &VIEW, &[("user", user.as_deref())], &paging),
        Command::Show { access_key_id } => session.show(KEYS, &VIEW, &access_key_id),
        Command::Describe { access_key_id, description } => {
            session.update(KEYS, &VIEW, &access_key_id, json!({ "description": description }))
        }
        Command::Disable { access_key_id } => switch(session, &access_key_id, Switch::Off),
        Command::Enable { access_key_id } => switch(session, &access_key_id, Switch::On),
        Command::Delete { access_key_id } => session.delete(KEYS, &access_key_id),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

fn switch(session: &mut Session<'_, '_>, id: &str, to: Switch) -> Result<(), Failure> {
    session.update(KEYS, &VIEW, id, json!({ "enabled": to == Switch::On }))
}
