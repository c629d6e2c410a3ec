//! `bailiwick recover`: back into an account whose root user's credentials are lost. Works on the server's machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Style, View, field};
use crate::serve::{StorageArgs, offline};

const VIEW: View = View {
    id: "id",
    plural: "accounts",
    columns: &[],
    details: &[
        field("ACCOUNT ID", "id"),
        field("ACCOUNT", "name"),
        field("ROOT USER ID", "userId"),
        field("ROOT USER", "userName"),
        field("PASSWORD", "password"),
        field("ACCESS KEY ID", "accessKeyId"),
        field("SECRET ACCESS KEY", "secretAccessKey"),
        field("WRITTEN TO", "file"),
        field("KEYS DISABLED", "disabledKeys"),
    ],
};

/// The arguments of `bailiwick recover`.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Account, by id or name [default: the only one]
    #[arg(long)]
    account: Option<String>,

    /// New file (mode 0600) for what is made; else it is printed, this once
    #[arg(long, value_name = "FILE")]
    write_to: Option<PathBuf>,

    /// Disable the keys that the root user has
    #[arg(long)]
    disable_keys: bool,

    #[command(flatten)]
    storage: StorageArgs,
}

/// Examples for the help.
pub const EXAMPLES: &str = "Examples:\n  bailiwick recover --data-dir /var/lib/bailiwick --write-to recovered.env\n  \
    bailiwick recover --database postgres:///bailiwick --account acme --disable-keys";

/// Does what was asked.
///
/// # Errors
/// If the data cannot be reached, or there is no such account.
pub fn run(args: &RecoverArgs, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    if style == Style::Ids && args.write_to.is_none() {
        return Err(Failure::usage(
            "`--quiet` would drop the secrets, which are shown only once: give `--write-to`",
        ));
    }
    let old_keys = if args.disable_keys {
        service::installation::recovery::OldKeys::AreDisabled
    } else {
        service::installation::recovery::OldKeys::Stay
    };
    let work = offline::recover(&args.storage, args.account.as_deref(), args.write_to.as_deref(), old_keys);
    let (made, disabled) = block_on(work)??;
    let mut shown = json!({
        "id": made.account.id.as_str(),
        "name": made.account.name,
        "userId": made.user_id,
        "userName": made.user_name,
        "accessKeyId": made.access_key_id.as_str(),
        "disabledKeys": disabled,
    });
    if let Some(shown) = shown.as_object_mut() {
        match &args.write_to {
            Some(file) => {
                shown.insert("file".into(), file.display().to_string().into());
            }
            None => {
                shown.insert("password".into(), made.password.expose().into());
                shown.insert("secretAccessKey".into(), made.secret_access_key.expose().into());
            }
        }
    }
    Ok(output::one(world.out, style, &VIEW, &shown)?)
}
