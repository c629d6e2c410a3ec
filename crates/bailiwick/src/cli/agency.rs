//! `bailiwick agency`: identities without credentials, which others assume.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::permissions::{self, CleanArgs, PermissionArgs, SetArgs};
use super::{Paging, Session, World, stdin};
use crate::client::path::{self, with_query};
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

    /// Show what an agency holds in which clusters, and from where
    ///
    /// Each line is one way in which it is held: `direct` by a grant that says this and nothing else, `shared` by a grant
    /// that says more, `group` by a group, `owner` by owning the cluster. Everybody may see their own.
    #[command(
        after_help = "Examples:\n  bailiwick agency permissions backup-writer\n  bailiwick agency permissions backup-writer -o json"
    )]
    Permissions {
        /// The agency's id or name
        agency: String,
    },

    /// Grant an agency one role in one place
    ///
    /// A predefined role takes the place of another predefined one that was granted directly there.
    #[command(after_help = "Examples:\n  \
        bailiwick agency add-permission backup-writer --role developer --cluster prod -n shop\n  \
        bailiwick agency add-permission backup-writer --role viewer --all-clusters --all-namespaces")]
    AddPermission(PermissionArgs),

    /// Take one role in one place away from an agency
    ///
    /// Only what was granted directly: what comes from a group or a shared grant is changed there.
    #[command(after_help = "Example:\n  \
        bailiwick agency remove-permission backup-writer --role developer --cluster prod -n shop")]
    RemovePermission(PermissionArgs),

    /// Make direct permissions exactly those of a file, as far as you administer their places
    #[command(
        after_help = "Example:\n  bailiwick agency set-permissions backup-writer --file permissions.json"
    )]
    SetPermissions(SetArgs),

    /// Take everything away from an agency, for those who leave
    ///
    /// Refused if something would stay, by a group or by owning a cluster; and without --force if they were active in one
    /// of these clusters in the last 7 days, or that is not known: `bailiwick cluster import-audit-log` makes it known.
    #[command(after_help = "Examples:\n  bailiwick agency clean backup-writer\n  \
        bailiwick agency clean backup-writer --cluster prod --cluster staging --force")]
    Clean(CleanArgs),

    /// Delete an agency: the grants forget it, the id is never given again
    ///
    /// Refused while pod identity associations name it, because pods would lose their credentials at once; --force ends
    /// those too.
    #[command(after_help = "Examples:\n  bailiwick agency delete backup-writer\n  \
        bailiwick agency delete --force backup-writer")]
    Delete {
        /// End its pod identity associations, and at once what pods got by them
        #[arg(long)]
        force: bool,
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
        Command::Permissions { agency } => permissions::list(AGENCIES, &agency, session),
        Command::AddPermission(args) => permissions::change(AGENCIES, "add", args, session),
        Command::RemovePermission(args) => permissions::change(AGENCIES, "remove", args, session),
        Command::SetPermissions(args) => permissions::set(AGENCIES, &args, session),
        Command::Clean(args) => permissions::clean(AGENCIES, &args, session),
        Command::Delete { force, agency } => {
            let path = path::native(&[AGENCIES, &agency])?;
            let force = force.then_some("true");
            session.client.act("DELETE", &with_query(&path, &[("force", force)]))?;
            session.say(&format!("deleted {agency}"))
        }
    }
}
