//! `bailiwick grant`: who may do what in which clusters and namespaces.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::grant_history::Restored;
use super::{Paging, Session, grant_history, grant_wait, permissions};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{self, Format, Style, View, computed, field};

const GRANTS: &str = "grants";

const VIEW: View = View {
    id: "id",
    plural: "grants",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ROLE", "role"),
        computed("PRINCIPALS", principals),
        field("CLUSTERS", "clusters"),
        field("NAMESPACES", "namespaces"),
        computed("STATES", states),
    ],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("ROLE", "role"),
        computed("PRINCIPALS", principals),
        field("CLUSTERS", "clusters"),
        field("NAMESPACES", "namespaces"),
        field("GENERATION", "generation"),
        field("CREATED", "createdAt"),
        field("UPDATED", "updatedAt"),
        field("REVOKED", "revokedAt"),
        computed("STATES", states),
    ],
};

/// Where a grant stands in each cluster, shown below the grant.
const STATES: View = View {
    id: "clusterId",
    plural: "states",
    columns: &[
        field("CLUSTER", "clusterId"),
        field("STATE", "state"),
        field("SINCE", "since"),
        field("GENERATION", "observedGeneration"),
        field("REASON", "reason"),
    ],
    details: &[],
};

/// The verbs of `bailiwick grant`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Grant a role to users, groups or agencies
    ///
    /// Roles: administrator, administrator-view, operator, developer, viewer, or custom:CLUSTERROLE for any ClusterRole
    /// by its name. A scope is never left out: name clusters and namespaces, or say that all are meant.
    #[command(after_help = "Examples:\n  \
        bailiwick grant create --user ada --role viewer --cluster prod -n shop -n checkout\n  \
        bailiwick grant create --group developers --role developer --all-clusters -n sandbox --wait\n  \
        bailiwick grant create --agency auditor --role custom:audit-reader --cluster prod --all-namespaces")]
    Create(CreateArgs),

    /// List grants
    #[command(after_help = "Examples:\n  bailiwick grant list\n  \
        bailiwick grant list --cluster prod --principal ada -o json")]
    List {
        /// Only those that cover this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only those that name this user, group or agency
        #[arg(long)]
        principal: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a grant and where it stands in each cluster
    ///
    /// A deleted grant is still shown, to say where its revoke stands.
    #[command(after_help = "Example:\n  bailiwick grant show 3f0e6f5a-7f0d-4c3e-9d57-0a4f6f1c2b11")]
    Show {
        /// The grant's id
        id: String,
    },

    /// Show what a grant said before, or what somebody was given, and who did it
    ///
    /// Of a grant, its versions; of a user or an agency, the changes of what was granted to them alone, with what they
    /// had afterwards.
    #[command(after_help = "Examples:\n  bailiwick grant history 3f0e6f5a-7f0d-4c3e-9d57-0a4f6f1c2b11\n  \
        bailiwick grant history ada")]
    History {
        /// The grant's id, else the id or name of a user or an agency
        of: String,
    },

    /// Make a grant say again what it said, or give somebody again what they had
    ///
    /// What somebody was given since goes with it, as far as you administer it. `bailiwick grant history` shows the numbers.
    #[command(after_help = "Examples:\n  \
        bailiwick grant restore 3f0e6f5a-7f0d-4c3e-9d57-0a4f6f1c2b11 2\n  \
        bailiwick grant restore ada 1042")]
    Restore {
        /// The grant's id, else the id or name of a user or an agency
        of: String,
        /// Generation of the grant, or revision of the change after which they had it [default: before the last change]
        #[arg(value_name = "GENERATION|REVISION")]
        number: Option<u64>,
        /// Generation of the grant
        #[arg(long, value_name = "N", conflicts_with = "number")]
        generation: Option<u64>,
    },

    /// Accept what the custom role of a grant allows now, where the grant is held because the role grew
    ///
    /// What it now allows stands in the reason of the state `held`. What is accepted is what the role holds when the
    /// cluster is next looked at, moments later.
    #[command(after_help = "Example:\n  bailiwick grant confirm 3f0e6f5a-7f0d-4c3e-9d57-0a4f6f1c2b11")]
    Confirm {
        /// The grant's id
        id: String,
    },

    /// Delete a grant: what it allowed is revoked in every cluster
    #[command(after_help = "Example:\n  bailiwick grant delete 3f0e6f5a-7f0d-4c3e-9d57-0a4f6f1c2b11")]
    Delete {
        /// The grant's id
        id: String,
    },
}

/// What `bailiwick grant create` takes.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("principals").required(true)),
    group(ArgGroup::new("in_clusters").required(true)),
    group(ArgGroup::new("in_namespaces").required(true))
)]
pub struct CreateArgs {
    /// Name for people [default: one that the server makes]
    #[arg(long)]
    name: Option<String>,
    /// User by id or name; may be repeated
    #[arg(long = "user", value_name = "USER", group = "principals")]
    users: Vec<String>,
    /// Group by id or name; may be repeated
    #[arg(long = "group", value_name = "GROUP", group = "principals")]
    groups: Vec<String>,
    /// Agency by id or name; may be repeated
    #[arg(long = "agency", value_name = "AGENCY", group = "principals")]
    agencies: Vec<String>,
    /// What they may do
    #[arg(long)]
    role: String,
    /// Cluster by id or name; may be repeated
    #[arg(long = "cluster", value_name = "CLUSTER", group = "in_clusters")]
    clusters: Vec<String>,
    /// Every cluster of the account, later ones too
    #[arg(long, group = "in_clusters")]
    all_clusters: bool,
    /// Namespace, which need not exist yet; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", group = "in_namespaces")]
    namespaces: Vec<String>,
    /// Every namespace, and the cluster's own resources
    #[arg(long, group = "in_namespaces")]
    all_namespaces: bool,
    /// Wait until the clusters say that it is in effect; exit code 1 if one refuses
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout: u32,
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer, or a grant that was waited for did not come into effect.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create(args, session),
        Command::List { cluster, principal, paging } => {
            let query = [("cluster", cluster.as_deref()), ("principal", principal.as_deref())];
            session.list(GRANTS, &VIEW, &query, &paging)
        }
        Command::Show { id } => {
            let grant = session.client.get(&path::native(&[GRANTS, &id])?)?;
            print(session, &grant)
        }
        Command::History { of } => grant_history::history(&of, session),
        Command::Restore { of, number, generation } => {
            match grant_history::restore(&of, number.or(generation), session)? {
                Restored::Grant(grant) => print(session, &grant),
                Restored::Permissions(done) => permissions::print(session, &done),
            }
        }
        Command::Confirm { id } => {
            let grant = session.client.write("POST", &path::native(&[GRANTS, &id, "confirm"])?, json!({}))?;
            print(session, &grant)
        }
        Command::Delete { id } => session.delete(GRANTS, &id),
    }
}

fn create(args: CreateArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let (wait, timeout) = (args.wait, args.timeout);
    let made = session.client.write("POST", &path::native(&[GRANTS])?, body(args))?;
    if !wait {
        return print(session, &made);
    }
    let outcome = grant_wait::until_settled(session, made, timeout)?;
    print(session, &outcome.grant)?;
    outcome.verdict()
}

fn body(args: CreateArgs) -> Value {
    let (kind, ids) = match (args.users, args.groups, args.agencies) {
        (users, _, _) if !users.is_empty() => ("user", users),
        (_, groups, _) if !groups.is_empty() => ("group", groups),
        (_, _, agencies) => ("agency", agencies),
    };
    let everything = || vec!["*".to_owned()];
    json!({
        "name": args.name,
        "role": args.role,
        "principals": { "type": kind, "ids": ids },
        "clusters": if args.all_clusters { everything() } else { args.clusters },
        "namespaces": if args.all_namespaces { everything() } else { args.namespaces },
    })
}

/// The grant, and for people a table of its states below.
fn print(session: &mut Session<'_, '_>, grant: &Value) -> Result<(), Failure> {
    session.print(&VIEW, grant)?;
    let states = grant.get("states").and_then(Value::as_array).cloned().unwrap_or_default();
    if session.style == Style::Full(Format::Table) && !states.is_empty() {
        writeln!(session.world.out)?;
        output::many(session.world.out, session.style, &STATES, states)?;
    }
    Ok(())
}

/// For example `user ada, eve`.
pub(super) fn principals(grant: &Value) -> String {
    let principals = grant.get("principals");
    let kind = principals.and_then(|p| p.get("type")).and_then(Value::as_str).unwrap_or_default();
    let ids = principals.and_then(|p| p.get("ids")).and_then(Value::as_array);
    let ids: Vec<&str> = ids.into_iter().flatten().filter_map(Value::as_str).collect();
    format!("{kind} {}", ids.join(", ")).trim().to_owned()
}

/// How many clusters are in which state, for example `effective 3, failed 1`.
fn states(grant: &Value) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for entry in grant.get("states").and_then(Value::as_array).into_iter().flatten() {
        *counts.entry(entry.get("state").and_then(Value::as_str).unwrap_or("unknown")).or_default() += 1;
    }
    counts.iter().map(|(state, count)| format!("{state} {count}")).collect::<Vec<_>>().join(", ")
}
