//! `bailiwick account`: tenants. Only the server's operator makes them, on the server's machine, because no caller of
//! the API stands above accounts.

use clap::Subcommand;
use serde_json::json;

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Style, View, field};
use crate::serve::{StorageArgs, offline};

const VIEW: View = View {
    id: "id",
    plural: "accounts",
    columns: &[field("ID", "id"), field("NAME", "name")],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ROOT USER", "userId"),
        field("ACCESS KEY ID", "accessKeyId"),
        field("SECRET ACCESS KEY", "secretAccessKey"),
    ],
};

/// The verbs of `bailiwick account`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account with a root user, whose key is printed this once
    ///
    /// Works on the server's data, not over the network: run it on the server's machine with the same data folder,
    /// database and master key as the server. The server may be running.
    #[command(after_help = "Examples:\n  bailiwick account create --data-dir /var/lib/bailiwick acme\n  \
        bailiwick account create --database postgres:///bailiwick --id 9d0c3b acme")]
    Create {
        /// Id to keep, from a cloud that knows the account already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Name, unique in the installation; people log in by it
        name: String,
        #[command(flatten)]
        storage: StorageArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the data cannot be reached or the account may not be.
pub fn run(command: Command, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, name, storage } => {
            if style == Style::Ids {
                return Err(Failure::usage("`--quiet` would drop the secret, which is shown only once"));
            }
            let made = block_on(offline::create_account(&storage, id.as_deref(), &name))??;
            let shown = json!({
                "id": made.id.as_str(),
                "name": made.name,
                "userId": made.user_id,
                "accessKeyId": made.access_key_id,
                "secretAccessKey": made.secret_access_key.expose(),
            });
            Ok(output::one(world.out, style, &VIEW, &shown)?)
        }
    }
}
