//! `bailiwick policy`: documents that say who may perform which operations, who holds them, and why something is allowed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Paging, Session, stdin};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, computed, field};

const POLICIES: &str = "policies";

const VIEW: View = View {
    id: "id",
    plural: "policies",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ORIGIN", "origin"),
        field("VERSION", "defaultVersion"),
        field("HELD", "attachments"),
        field("DESCRIPTION", "description"),
    ],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("DESCRIPTION", "description"),
        field("ORIGIN", "origin"),
        field("VERSION", "defaultVersion"),
        field("HELD", "attachments"),
        field("CREATED", "createdAt"),
        field("UPDATED", "updatedAt"),
        computed("DOCUMENT", document),
    ],
};

const HELD: View = View {
    id: "id",
    plural: "policies",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ORIGIN", "origin"),
        computed("SCOPE", scope),
        field("SINCE", "since"),
    ],
    details: &[],
};

const HOLDER: View = View {
    id: "id",
    plural: "holders",
    columns: &[
        field("TYPE", "type"),
        field("ID", "id"),
        field("NAME", "name"),
        computed("SCOPE", scope),
        field("SINCE", "since"),
    ],
    details: &[],
};

const VERSION: View = View {
    id: "version",
    plural: "versions",
    columns: &[field("VERSION", "version"), field("DEFAULT", "default"), field("CREATED", "createdAt")],
    details: &[],
};

const VERDICT: View = View {
    id: "effect",
    plural: "verdicts",
    columns: &[],
    details: &[
        field("ALLOWED", "allowed"),
        computed("PRINCIPAL", principal),
        field("ACTION", "action"),
        field("RESOURCE", "resource"),
        field("EFFECT", "effect"),
        field("REASONS", "reasons"),
    ],
};

/// The verbs of `bailiwick policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a policy; nobody holds it yet
    #[command(
        after_help = "Examples:\n  bailiwick policy create fleet-reader --document fleet-reader.json\n  \
        bailiwick policy create fleet-reader --document - < fleet-reader.json"
    )]
    Create {
        /// Id to keep, from a cloud that knows the policy already [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// The document, JSON; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        document: PathBuf,
        /// Name, unique in the account and none of the shipped ones
        name: String,
    },

    /// Change a policy; a new document counts at once for everybody who holds it
    #[command(after_help = "Example:\n  bailiwick policy update fleet-reader --document fleet-reader.json")]
    Update {
        /// The policy's id or name
        policy: String,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Another document, JSON; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        document: Option<PathBuf>,
    },

    /// Let a user, group or agency hold a policy
    #[command(after_help = "Examples:\n  bailiwick policy attach fleet-reader --group developers\n  \
        bailiwick policy attach 'Tenant Guest' --user ada --project eu-west-101")]
    Attach {
        /// The policy's id or name
        policy: String,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        scope: Scope,
    },

    /// Take a policy from a user, group or agency
    #[command(after_help = "Example:\n  bailiwick policy detach fleet-reader --group developers")]
    Detach {
        /// The policy's id or name
        policy: String,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        scope: Scope,
    },

    /// List policies, or what a user, group or agency holds
    #[command(after_help = "Examples:\n  bailiwick policy list --own\n  bailiwick policy list --user ada")]
    List {
        /// Only those of the account, not those that are shipped
        #[arg(long)]
        own: bool,
        /// Only those that somebody holds
        #[arg(long)]
        attached: bool,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a policy with its document
    #[command(after_help = "Example:\n  bailiwick policy show 'Tenant Guest'")]
    Show {
        /// The policy's id or name
        policy: String,
    },

    /// List who holds a policy, and where
    #[command(after_help = "Example:\n  bailiwick policy holders fleet-reader")]
    Holders {
        /// The policy's id or name
        policy: String,
        #[command(flatten)]
        paging: Paging,
    },

    /// List a policy's versions, the latest first
    #[command(after_help = "Example:\n  bailiwick policy versions fleet-reader -o json")]
    Versions {
        /// The policy's id or name
        policy: String,
        #[command(flatten)]
        paging: Paging,
    },

    /// Make a version the one that counts
    #[command(after_help = "Example:\n  bailiwick policy set-default fleet-reader 1")]
    SetDefault {
        /// The policy's id or name
        policy: String,
        /// The version's number
        version: String,
    },

    /// Delete a version that is not the default
    #[command(after_help = "Example:\n  bailiwick policy delete-version fleet-reader 1")]
    DeleteVersion {
        /// The policy's id or name
        policy: String,
        /// The version's number
        version: String,
    },

    /// Delete a policy that nobody holds
    #[command(after_help = "Example:\n  bailiwick policy delete fleet-reader")]
    Delete {
        /// The policy's id or name
        policy: String,
    },

    /// Ask whether somebody may do something, and why
    ///
    /// Everybody may ask about themselves, which is the default. `allowed` of the answer says yes or no; the exit code
    /// says only whether there was an answer.
    #[command(after_help = "Examples:\n  bailiwick policy test --action bailiwick:grant:list\n  \
        bailiwick policy test --user ada --action bailiwick:cluster:show --resource cluster/prod\n  \
        bailiwick policy test --user ada --action bailiwick:grant:list --condition bailiwick:SourceIp=192.0.2.1")]
    Test(Test),
}

/// A user, group or agency that must be named.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// The user's id or name
    #[arg(long)]
    user: Option<String>,
    /// The group's id or name
    #[arg(long)]
    group: Option<String>,
    /// The agency's id or name
    #[arg(long)]
    agency: Option<String>,
}

/// A user, group or agency that may be named.
#[derive(Args, Debug)]
#[group(multiple = false, conflicts_with_all = ["own", "attached"])]
pub struct Of {
    /// What this user holds itself
    #[arg(long)]
    user: Option<String>,
    /// What this group holds
    #[arg(long)]
    group: Option<String>,
    /// What this agency holds
    #[arg(long)]
    agency: Option<String>,
}

/// Where a policy holds.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct Scope {
    /// Only for what belongs to this project
    #[arg(long)]
    project: Option<String>,
    /// Only for what belongs to this enterprise project
    #[arg(long)]
    enterprise_project: Option<String>,
}

/// What is asked.
#[derive(Args, Debug)]
pub struct Test {
    /// About this user, by id or name [default: yourself]
    #[arg(long, conflicts_with = "agency")]
    user: Option<String>,
    /// About this agency, by id or name
    #[arg(long)]
    agency: Option<String>,
    /// The action, under any name that policies know
    #[arg(long)]
    action: String,
    /// On what: cluster/NAME, policy/NAME, a name as policies write it, or `*` [default: everything]
    #[arg(long)]
    resource: Option<String>,
    /// Suppose this value of a condition key; repeat it for more
    #[arg(long = "condition", value_name = "KEY=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create { id, description, document, name } => {
            let document = stdin::file(session.world, &document)?;
            let body = json!({"id": id, "name": name, "description": description, "document": document});
            session.create(POLICIES, &VIEW, body)
        }
        Command::Update { policy, name, description, document } => {
            let document = document.map(|file| stdin::file(session.world, &file)).transpose()?;
            let body = json!({"name": name, "description": description, "document": document});
            let changed = session.client.write("PATCH", &path::native(&[POLICIES, &policy])?, body)?;
            session.print(&VIEW, &changed)
        }
        Command::Attach { policy, who, scope } => {
            let (path, name) = attachment(&policy, &who, &scope)?;
            session.client.act("PUT", &path)?;
            session.say(&format!("attached {policy} to {name}"))
        }
        Command::Detach { policy, who, scope } => {
            let (path, name) = attachment(&policy, &who, &scope)?;
            session.client.act("DELETE", &path)?;
            session.say(&format!("detached {policy} from {name}"))
        }
        Command::List { own, attached, of, paging } => list(session, (own, attached), &of, &paging),
        Command::Show { policy } => session.show(POLICIES, &VIEW, &policy),
        Command::Holders { policy, paging } => {
            session.list_at(&[POLICIES, &policy, "attachments"], &HOLDER, &[], &paging)
        }
        Command::Versions { policy, paging } => {
            session.list_at(&[POLICIES, &policy, "versions"], &VERSION, &[], &paging)
        }
        Command::SetDefault { policy, version } => {
            let path = path::native(&[POLICIES, &policy, "default-version", &version])?;
            session.client.act("PUT", &path)?;
            session.say(&format!("version {version} of {policy} counts"))
        }
        Command::DeleteVersion { policy, version } => {
            session.client.act("DELETE", &path::native(&[POLICIES, &policy, "versions", &version])?)?;
            session.say(&format!("deleted version {version} of {policy}"))
        }
        Command::Delete { policy } => session.delete(POLICIES, &policy),
        Command::Test(test) => ask(session, test),
    }
}

fn list(
    session: &mut Session<'_, '_>,
    (own, attached): (bool, bool),
    of: &Of,
    paging: &Paging,
) -> Result<(), Failure> {
    if let Some((collection, name)) = named(of.user.as_ref(), of.group.as_ref(), of.agency.as_ref()) {
        return session.list_at(&[collection, name, POLICIES], &HELD, &[], paging);
    }
    let query = [("origin", own.then_some("own")), ("attached", attached.then_some("true"))];
    session.list(POLICIES, &VIEW, &query, paging)
}

fn ask(session: &mut Session<'_, '_>, test: Test) -> Result<(), Failure> {
    let principal = match (test.user, test.agency) {
        (Some(user), _) => json!({"type": "user", "id": user}),
        (None, Some(agency)) => json!({"type": "agency", "id": agency}),
        (None, None) => Value::Null,
    };
    let mut conditions: Map<String, Value> = Map::new();
    for (key, value) in test.conditions {
        let values = conditions.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    let body = json!({
        "principal": principal,
        "action": test.action,
        "resource": test.resource,
        "conditions": conditions,
    });
    let verdict = session.client.write("POST", &path::native(&["authorize"])?, body)?;
    session.print(&VERDICT, &verdict)
}

/// The path of an attachment, and the name of who holds it.
fn attachment<'a>(policy: &str, who: &'a Who, scope: &Scope) -> Result<(String, &'a str), Failure> {
    let named = named(who.user.as_ref(), who.group.as_ref(), who.agency.as_ref());
    let (collection, name) = named.ok_or_else(|| Failure::usage("say who: --user, --group or --agency"))?;
    let path = path::native(&[POLICIES, policy, collection, name])?;
    let query =
        [("project", scope.project.as_deref()), ("enterpriseProject", scope.enterprise_project.as_deref())];
    Ok((path::with_query(&path, &query), name))
}

fn named<'a>(
    user: Option<&'a String>,
    group: Option<&'a String>,
    agency: Option<&'a String>,
) -> Option<(&'static str, &'a str)> {
    let of = |collection, name: Option<&'a String>| name.map(|name| (collection, name.as_str()));
    of("users", user).or(of("groups", group)).or(of("agencies", agency))
}

fn condition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE".to_owned()),
    }
}

fn document(policy: &Value) -> String {
    policy.get("document").map(Value::to_string).unwrap_or_default()
}

fn scope(held: &Value) -> String {
    let text = |key| held.get("scope").and_then(|scope| scope.get(key)).and_then(Value::as_str);
    match (text("type"), text("id")) {
        (Some(kind), Some(id)) => format!("{kind}/{id}"),
        (kind, _) => kind.unwrap_or_default().to_owned(),
    }
}

fn principal(verdict: &Value) -> String {
    let text = |key| {
        let found = verdict.get("principal").and_then(|principal| principal.get(key)).and_then(Value::as_str);
        found.unwrap_or_default()
    };
    format!("{} {} ({})", text("type"), text("name"), text("id"))
}
