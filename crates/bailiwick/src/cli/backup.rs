//! `bailiwick backup` and `bailiwick restore`: on the server's machine, on its data.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Style, View, field};
use crate::serve::StorageArgs;
use crate::serve::backup::{self, Manifest};

const VIEW: View = View {
    id: "installation",
    plural: "backups",
    columns: &[],
    details: &[
        field("INSTALLATION", "installation"),
        field("MADE AT", "madeAt"),
        field("MASTER KEY", "masterKeyId"),
        field("SCHEMA", "schema"),
        field("COMMITS", "commits"),
        field("SHA-256", "sha256"),
        field("MANIFEST", "manifestFile"),
        field("NOW RUN", "command"),
    ],
};

/// What `bailiwick backup` takes.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where to write it; its manifest is written beside it. Nothing that exists is overwritten
    file: PathBuf,
    #[command(flatten)]
    storage: StorageArgs,
}

/// What `bailiwick restore` takes.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup; its manifest must be beside it
    file: PathBuf,
    /// Where to keep the database that is there now
    #[arg(long, value_name = "FILE")]
    move_old_to: Option<PathBuf>,
    #[command(flatten)]
    storage: StorageArgs,
}

pub(super) const BACKUP_EXAMPLES: &str = "Examples:\n  \
    bailiwick backup --data-dir /var/lib/bailiwick /backup/bailiwick-monday.db\n  \
    bailiwick backup --database postgres://db/bailiwick /backup/bailiwick-monday.dump";

pub(super) const RESTORE_EXAMPLES: &str = "Examples:\n  \
    bailiwick restore --data-dir /var/lib/bailiwick /backup/bailiwick-monday.db\n  \
    bailiwick restore --move-old-to /backup/before.db --data-dir /var/lib/bailiwick /backup/bailiwick-monday.db";

/// Makes a backup.
///
/// # Errors
/// If it cannot be made.
pub fn backup(args: &BackupArgs, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    let made = block_on(backup::backup(&args.storage, &args.file))??;
    let mut shown = as_json(&made.manifest)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("manifestFile".to_owned(), json!(made.manifest_file.display().to_string()));
        fields.insert("command".to_owned(), json!(made.command));
    }
    Ok(output::one(world.out, style, &VIEW, &shown)?)
}

/// Puts a backup in place.
///
/// # Errors
/// If it may not be, or cannot be.
pub fn restore(args: &RestoreArgs, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    let manifest = block_on(backup::restore(&args.storage, &args.file, args.move_old_to.as_deref()))??;
    output::one(world.out, style, &VIEW, &as_json(&manifest)?)?;
    writeln!(
        world.err,
        "restored and held: start the server, look at `bailiwick hold show`, go on with `bailiwick hold confirm`"
    )?;
    Ok(())
}

fn as_json(manifest: &Manifest) -> Result<Value, Failure> {
    serde_json::to_value(manifest).map_err(|error| Failure::refused(error.to_string()))
}
