//! `bailiwick revoke`: credentials ended at once, for when something leaked.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Session, stdin};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{Format, Style, View, field};

const VIEW: View = View {
    id: "id",
    plural: "sessions",
    columns: &[
        field("ID", "id"),
        field("KIND", "kind"),
        field("ACCOUNT", "account"),
        field("PRINCIPAL", "principal"),
    ],
    details: &[field("REVOKED", "revoked")],
};

/// What a principal is, where a name alone does not say it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// A user
    User,
    /// An agency
    Agency,
}

/// The verbs of `bailiwick revoke`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// End everything of a user or an agency: tokens, temporary keys, access keys, and what came from them
    ///
    /// A user is disabled as well, so that nobody logs in as them either. An agency can be assumed again by those whom it
    /// trusts.
    #[command(after_help = "Examples:\n  bailiwick revoke principal ada\n  \
        bailiwick revoke principal ada --keep-enabled\n  bailiwick revoke principal build --kind agency -o json")]
    Principal {
        /// Let a user log in and be given new keys, for instance after a new password was set
        #[arg(long)]
        keep_enabled: bool,
        /// What it is, if a user and an agency have the same name
        #[arg(long, value_enum, value_name = "KIND")]
        kind: Option<Kind>,
        /// The principal's id or name
        principal: String,
    },

    /// End an access key, lasting or temporary, and what came from it; one that lasts is disabled
    #[command(after_help = "Example:\n  bailiwick revoke key AKEXAMPLE")]
    Key {
        /// The key's id
        access_key_id: String,
    },

    /// End a token and what came from it: by its id, or the token itself from standard input
    #[command(after_help = "Examples:\n  bailiwick revoke token 3f1c9ab2d0e54f6f8a7b6c5d4e3f2a1b\n  \
        bailiwick revoke token --stdin < leaked.txt")]
    Token {
        /// Read the token itself from standard input: arguments are visible to everybody on the machine
        #[arg(long, conflicts_with = "id")]
        stdin: bool,
        /// The token's id, as the audit shows it
        #[arg(required_unless_present = "stdin")]
        id: Option<String>,
    },
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let body = match command {
        Command::Principal { keep_enabled, kind, principal } => {
            let kind = kind.map(|kind| match kind {
                Kind::User => "user",
                Kind::Agency => "agency",
            });
            json!({ "principal": principal, "kind": kind, "keepEnabled": keep_enabled })
        }
        Command::Key { access_key_id } => json!({ "accessKey": access_key_id }),
        Command::Token { id: Some(id), .. } => json!({ "tokenId": id }),
        Command::Token { id: None, .. } => {
            json!({ "token": stdin::secret(session.world, "token")?.as_str() })
        }
    };
    let receipt = session.client.write("POST", &path::native(&["revocations"])?, body)?;
    if session.style == Style::Full(Format::Table) {
        return tell(session, &receipt);
    }
    session.print(&VIEW, &receipt)
}

/// The receipt for people.
fn tell(session: &mut Session<'_, '_>, receipt: &Value) -> Result<(), Failure> {
    let text =
        |pointer: &str| receipt.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |pointer: &str| receipt.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (kind, id) = (text("/revoked/kind"), text("/revoked/id"));
    let disabled = receipt.pointer("/revoked/disabled").and_then(Value::as_bool) == Some(true);
    session.say(&format!("revoked {kind} {id}{}", if disabled { ", which is disabled now" } else { "" }))?;
    session.say(&format!(
        "ended: {} tokens, {} temporary keys, {} access keys, {} kubeconfigs",
        number("/ended/tokens"),
        number("/ended/temporaryKeys"),
        number("/ended/accessKeys"),
        number("/ended/certificates")
    ))?;
    let sessions = receipt.get("sessions").and_then(Value::as_array).cloned().unwrap_or_default();
    if sessions.is_empty() {
        return Ok(());
    }
    Ok(crate::output::many(session.world.out, session.style, &VIEW, sessions)?)
}
