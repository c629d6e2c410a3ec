//! `bailiwick agency`: identities without credentials, which others assume.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Paging, Session, World, stdin};
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
        field("DESCRIPTION", "description"),
        field("PATH", "path"),
        field("TRUSTS ACCOUNT", "trustedAccount"),
        field("TRUST POLICY", "trustPolicy"),
        field("LONGEST SESSION (S)", "maxSessionSeconds"),
        field("EXPIRES", "expiresAt"),
        field("EXTERNAL IDS", "externalIds"),
        field("CREATED", "createdAt"),
        field("CHANGED", "updatedAt"),
    ],
};

/// The verbs of `bailiwick agency`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an agency
    ///
    /// Without trust nobody can assume it. A trust policy is a JSON document that says who may; see docs/policies.md.
    #[command(after_help = "Examples:\n  bailiwick agency create backup-writer\n  \
        bailiwick agency create --trust trust.json --max-session 7200 backup-writer\n  \
        bailiwick agency create --trust-account 0d5e8c auditor")]
    Create {
        /// Id to keep, from a cloud that knows the agency already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        facts: Facts,
        /// Name, unique among the account's agencies
        name: String,
    },

    /// Change an agency; another trust holds for whoever assumes it from then on
    #[command(after_help = "Examples:\n  bailiwick agency update backup-writer --trust trust.json\n  \
        bailiwick agency update auditor --expires 2027-01-31T00:00:00Z")]
    Update {
        /// Another name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        facts: Facts,
        /// The agency's id or name
        agency: String,
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

/// What can be said of an agency.
#[derive(Args, Debug)]
pub struct Facts {
    /// File with the trust policy, `-` for standard input
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Id of an account whose users may assume it, if their own policies allow it
    #[arg(long, value_name = "ACCOUNT")]
    trust_account: Option<String>,
    /// Longest session [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(900..=43_200))]
    max_session: Option<u32>,
    /// When it ends, like 2027-01-31T00:00:00Z, or `never`
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Where it is filed, like team/backup/
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Facts {
    fn body(self, world: &mut World<'_>, id: Option<&str>, name: Option<&str>) -> Result<Value, Failure> {
        let trust = self.trust.map(|file| stdin::file(world, &file)).transpose()?;
        Ok(json!({
            "id": id,
            "name": name,
            "trustPolicy": trust,
            "trustedAccount": self.trust_account,
            "maxSessionSeconds": self.max_session,
            "expiresAt": self.expires,
            "path": self.path,
            "description": self.description,
        }))
    }
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, facts, name } => {
            let body = facts.body(session.world, id.as_deref(), Some(&name))?;
            session.create(AGENCIES, &VIEW, body)
        }
        Command::Update { name, facts, agency } => {
            let mut body = facts.body(session.world, None, name.as_deref())?;
            if let Value::Object(fields) = &mut body {
                // Not even an empty one: the id of what exists never changes.
                fields.remove("id");
            }
            session.update(AGENCIES, &VIEW, &agency, body)
        }
        Command::List { paging } => session.list(AGENCIES, &VIEW, &[], &paging),
        Command::Show { agency } => session.show(AGENCIES, &VIEW, &agency),
        Command::Delete { agency } => session.delete(AGENCIES, &agency),
    }
}
