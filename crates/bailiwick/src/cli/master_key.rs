//! `bailiwick master-key`: the key that seals secrets in the database. Works on the server's machine, with its data.

use clap::Subcommand;
use serde_json::json;

use super::{World, block_on};
use crate::failure::Failure;
use crate::output::{self, Style, View, field};
use crate::serve::StorageArgs;
use crate::serve::rotate::{self, Rotated};

const KEYS: View = View {
    id: "id",
    plural: "master keys",
    columns: &[field("ID", "id"), field("GIVEN", "given"), field("USE", "use"), field("SEALED", "sealed")],
    details: &[],
};

const ROTATED: View = View {
    id: "id",
    plural: "master keys",
    columns: &[],
    details: &[
        field("SEALS NOW", "id"),
        field("SEALED BEFORE", "former"),
        field("SEALED ANEW", "resealed"),
        field("SERVERS ASKED", "servers"),
        field("RETIRED KEYS", "retired"),
    ],
};

/// The verbs of `bailiwick master-key`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say which keys the database needs and which are given
    #[command(after_help = "Example:\n  bailiwick master-key list --data-dir /var/lib/bailiwick")]
    List {
        #[command(flatten)]
        storage: StorageArgs,
    },

    /// Put a new key in the place of the one that seals, while servers go on
    ///
    /// Works on the server's data, not over the network: run it on the server's machine with the same data folder,
    /// database and master key as the server. A command that was interrupted is repeated to finish its work. Backups
    /// that were made before need the old key: it is kept in a file of its own.
    #[command(after_help = "Examples:\n  bailiwick master-key rotate --data-dir /var/lib/bailiwick\n  \
        bailiwick master-key rotate --database postgres:///bailiwick --to 3f786850e387550f")]
    Rotate {
        /// Id of a key that is given already, beside the one that seals [default: make one, in the key file]
        #[arg(long, value_name = "ID")]
        to: Option<String>,
        #[command(flatten)]
        storage: StorageArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the data cannot be reached, or a key is missing somewhere.
pub fn run(command: Command, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    match command {
        Command::List { storage } => list(&storage, style, world),
        Command::Rotate { to, storage } => {
            let rotated = block_on(rotate::rotate(&storage, to.as_deref()))??;
            show(&rotated, style, world)
        }
    }
}

fn list(storage: &StorageArgs, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    let listed = block_on(rotate::list(storage))??;
    let state = &listed.in_use.state;
    let mut ids = vec![&state.current];
    ids.extend(state.next.iter());
    ids.extend(listed.in_use.sealed.iter().map(|(id, _)| id));
    ids.extend(&listed.held);
    let mut rows = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        if ids.iter().take(at).any(|known| known == id) {
            continue;
        }
        let sealed = listed.in_use.sealed.iter().find(|(found, _)| found == *id).map_or(0, |(_, n)| *n);
        let role = match () {
            () if **id == state.current => "seals",
            () if Some(*id) == state.next.as_ref() => "is to seal",
            () if sealed > 0 => "opens what it sealed",
            () => "none",
        };
        let given = if listed.held.contains(id) { "yes" } else { "no" };
        rows.push(json!({"id": id, "given": given, "use": role, "sealed": sealed}));
    }
    Ok(output::many(world.out, style, &KEYS, rows)?)
}

fn show(rotated: &Rotated, style: Style, world: &mut World<'_>) -> Result<(), Failure> {
    let retired: Vec<String> = rotated.retired.iter().map(|path| path.display().to_string()).collect();
    let shown = json!({
        "id": rotated.key,
        "former": rotated.former,
        "resealed": rotated.resealed,
        "servers": rotated.servers,
        "retired": retired,
    });
    output::one(world.out, style, &ROTATED, &shown)?;
    let backups = "backups made before now open only with the key that sealed before";
    match (&rotated.not_retired, retired.first()) {
        (Some(why), _) => {
            writeln!(world.err, "note: take the old key away yourself: {why}; {backups}: keep a copy")?
        }
        (None, Some(path)) => writeln!(
            world.err,
            "note: {backups}: keep {path} where the backups' keys are, and not here; other machines keep the old key in \
             their copy of the key file until you copy it again"
        )?,
        (None, None) => {}
    }
    Ok(())
}
