//! `bailiwick cluster`: the clusters of the fleet.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::cluster_check::{self, CheckArgs};
use super::cluster_life::{self, ConnectionArgs, RemoveArgs, RotateArgs};
use super::connector::Manifest;
use super::{ClientArgs, Paging, Session, World, activity, removals};
use crate::client::path;
use crate::failure::Failure;
use crate::output::{View, field};

const CLUSTERS: &str = "clusters";

pub(super) const VIEW: View = View {
    id: "id",
    plural: "clusters",
    columns: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("STATE", "state"),
        field("VERSION", "version"),
        field("PROVIDER", "provider"),
        field("REGION", "region"),
        field("REASON", "reason"),
    ],
    details: &[
        field("ID", "id"),
        field("NAME", "name"),
        field("STATE", "state"),
        field("REASON", "reason"),
        field("VERSION", "version"),
        field("SERVER", "server"),
        field("PROJECT", "project"),
        field("ENTERPRISE PROJECT", "enterpriseProject"),
        field("PROVIDER", "provider"),
        field("REGION", "region"),
        field("OWNER", "owner"),
        field("LABELS", "labels"),
        field("LOGIN", "login"),
        field("SUSPENDED", "suspendedAt"),
        field("CREATED", "createdAt"),
        field("UPDATED", "updatedAt"),
    ],
};

/// The verbs of `bailiwick cluster`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a cluster
    ///
    /// With --context a connector is made in the cluster: kubectl applies its manifest with your own credential,
    /// which stays here, and the connector's token alone goes to the server. With --kubeconfig the server gets what
    /// is in the file. With neither the cluster is detached: grants are recorded and take effect nowhere.
    #[command(after_help = "Examples:\n  bailiwick cluster add prod --context prod\n  \
        bailiwick cluster add kind --context kind-kind --connector administrator\n  \
        bailiwick cluster add cellar --kubeconfig connector.yaml --label tier=1\n  \
        bailiwick cluster add legacy --provider onprem --owner ada")]
    Add(Box<AddArgs>),

    /// Print a manifest of the connector, to apply it by hand
    #[command(after_help = "Examples:\n  bailiwick cluster manifest base > base.yaml\n  \
        bailiwick cluster manifest administrator")]
    Manifest {
        /// Which
        manifest: Manifest,
    },

    /// List clusters
    #[command(after_help = "Examples:\n  bailiwick cluster list\n  bailiwick cluster list -q --limit 10")]
    List {
        #[command(flatten)]
        paging: Paging,
    },

    /// Show a cluster
    #[command(after_help = "Example:\n  bailiwick cluster show prod -o yaml")]
    Show {
        /// The cluster's id or name
        cluster: String,
    },

    /// Ask a cluster what the credential of its connection may really do there
    ///
    /// Every right is asked of the cluster itself, in the name of that credential. Exits with 1 if something that is
    /// needed is not allowed, and if the cluster could not be asked.
    #[command(after_help = "Examples:\n  bailiwick cluster check prod\n  \
        bailiwick cluster check prod --manifest\n  \
        bailiwick cluster check prod --since last -o json")]
    Check(CheckArgs),

    /// List bindings that would go though no revoke of them is recorded; they wait
    #[command(after_help = "Example:\n  bailiwick cluster removals prod")]
    Removals {
        /// The cluster's id or name
        cluster: String,
    },

    /// Let those bindings go that wait now
    #[command(after_help = "Example:\n  bailiwick cluster confirm-removals prod")]
    ConfirmRemovals {
        /// The cluster's id or name
        cluster: String,
    },

    /// Change what is said about a cluster, and under which names people arrive there
    #[command(after_help = "Examples:\n  bailiwick cluster update prod --owner ada --label tier=1\n  \
        bailiwick cluster update prod --user-name-template 'oidc:{external.https://login.example}'\n  \
        bailiwick cluster update cellar --bind-group-members")]
    Update(Box<UpdateArgs>),

    /// Replace a cluster's connection by one that leads to the same cluster
    ///
    /// The old connection stays until the new one has proved itself, and grants stay in effect. What leads to another
    /// cluster is refused, unless --replace takes it: then its grants are suspended until `bailiwick cluster resume`.
    #[command(after_help = "Examples:\n  bailiwick cluster rotate prod --context prod\n  \
        bailiwick cluster rotate cellar --kubeconfig connector.yaml\n  \
        bailiwick cluster rotate cellar --kubeconfig rebuilt.yaml --replace")]
    Rotate(Box<RotateArgs>),

    /// Let the grants of a replaced cluster take effect
    #[command(after_help = "Example:\n  bailiwick cluster resume cellar")]
    Resume {
        /// The cluster's id or name
        cluster: String,
    },

    /// Read the audit log of a cluster's API server, to know who was active there lately
    ///
    /// `bailiwick user clean` without --force goes on only if that is known of the last 7 days, up to yesterday, without a
    /// gap. The log is one event of audit.k8s.io/v1 a line, in which no user's requests are left out; where a cluster has
    /// several API servers, bring the logs of all of them together. It is read here, whatever its size; the server gets when
    /// each name was last seen, and forgets names of nobody.
    #[command(
        after_help = "Examples:\n  bailiwick cluster import-audit-log prod /var/log/kubernetes/audit.log\n  \
        bailiwick cluster import-audit-log prod - < audit.log"
    )]
    ImportAuditLog(activity::ImportArgs),

    /// Forget a cluster and take back in it what its grants made
    ///
    /// Waits until nothing of ours is left there. A cluster that is gone is given up with --abandon.
    #[command(after_help = "Examples:\n  bailiwick cluster remove legacy\n  \
        bailiwick cluster remove legacy --no-wait\n  bailiwick cluster remove burnt --abandon")]
    Remove(RemoveArgs),
}

/// What `bailiwick cluster add` takes.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Name, unique in the account
    name: String,
    /// Id to keep, from a cloud that knows the cluster already [default: a new one]
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// User who answers for it
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// Project it belongs to, by id or name [default: the account's first]
    #[arg(long)]
    project: Option<String>,
    /// Enterprise project it belongs to, by id or name
    #[arg(long, value_name = "PROJECT")]
    enterprise_project: Option<String>,
    /// Who runs it, for example onprem
    #[arg(long)]
    provider: Option<String>,
    /// Where it runs [default: the project's name]
    #[arg(long)]
    region: Option<String>,
    /// Label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    arrival: ArrivalArgs,
}

/// Under which names people arrive in a cluster.
#[derive(Args, Debug)]
pub struct ArrivalArgs {
    /// Name of users and agencies there, of {id}, {name} and {external.ISSUER}; may be repeated [default: {id}]
    #[arg(long = "user-name-template", value_name = "TEMPLATE")]
    user_names: Vec<String>,
    /// The same for groups
    #[arg(long = "group-name-template", value_name = "TEMPLATE")]
    group_names: Vec<String>,
    /// Bind each member with its group, for people who arrive by certificates, which name no groups
    #[arg(long)]
    bind_group_members: bool,
}

impl ArrivalArgs {
    /// The fields of a body; null for what was not given.
    fn fields(&self) -> [(&'static str, Value); 3] {
        let list = |texts: &Vec<String>| if texts.is_empty() { Value::Null } else { json!(texts) };
        [
            ("userNameTemplates", list(&self.user_names)),
            ("groupNameTemplates", list(&self.group_names)),
            ("groupMembers", if self.bind_group_members { json!("bind") } else { Value::Null }),
        ]
    }
}

/// What `bailiwick cluster update` takes.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// The cluster's id or name
    cluster: String,
    /// User who answers for it
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// Label, in place of all that it has; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    arrival: ArrivalArgs,
    /// Bind groups alone again: who presents a group has what it was granted
    #[arg(long, conflicts_with = "bind_group_members")]
    no_bind_group_members: bool,
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, client: ClientArgs, world: &mut World<'_>) -> Result<(), Failure> {
    match command {
        // It is part of the program, so no server is asked.
        Command::Manifest { manifest } => Ok(write!(world.out, "{}", manifest.text())?),
        Command::Add(args) => {
            let mut session = Session::open(client, world)?;
            let body = body(*args, session.world)?;
            session.create(CLUSTERS, &VIEW, body)
        }
        Command::List { paging } => Session::open(client, world)?.list(CLUSTERS, &VIEW, &[], &paging),
        Command::Show { cluster } => Session::open(client, world)?.show(CLUSTERS, &VIEW, &cluster),
        Command::Update(args) => {
            let mut session = Session::open(client, world)?;
            let path = path::native(&[CLUSTERS, &args.cluster])?;
            let updated = session.client.write("PATCH", &path, update_body(*args))?;
            session.print(&VIEW, &updated)
        }
        Command::Rotate(args) => cluster_life::rotate(*args, &mut Session::open(client, world)?),
        Command::Resume { cluster } => cluster_life::resume(&cluster, &mut Session::open(client, world)?),
        Command::Check(args) => cluster_check::run(&args, &mut Session::open(client, world)?),
        Command::Removals { cluster } => removals::list(&cluster, &mut Session::open(client, world)?),
        Command::ConfirmRemovals { cluster } => {
            removals::confirm(&cluster, &mut Session::open(client, world)?)
        }
        Command::ImportAuditLog(args) => activity::import(&args, &mut Session::open(client, world)?),
        Command::Remove(args) => cluster_life::remove(args, &mut Session::open(client, world)?),
    }
}

fn update_body(args: UpdateArgs) -> Value {
    let mut body = json!({"owner": args.owner, "labels": labels(args.labels)});
    add(&mut body, args.arrival.fields());
    if args.no_bind_group_members {
        add(&mut body, [("groupMembers", json!("as-presented"))]);
    }
    body
}

fn add<const N: usize>(body: &mut Value, fields: [(&'static str, Value); N]) {
    if let Value::Object(map) = body {
        map.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    }
}

fn labels(labels: Vec<(String, String)>) -> Value {
    let labels: Map<String, Value> =
        labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    if labels.is_empty() { Value::Null } else { Value::Object(labels) }
}

fn body(args: AddArgs, world: &mut World<'_>) -> Result<Value, Failure> {
    let kubeconfig = args.connection.read(world)?;
    let mut body = json!({
        "name": args.name,
        "id": args.id,
        "kubeconfig": kubeconfig.as_deref(),
        "owner": args.owner,
        "project": args.project,
        "enterpriseProject": args.enterprise_project,
        "provider": args.provider,
        "region": args.region,
        "labels": labels(args.labels),
    });
    add(&mut body, args.arrival.fields());
    Ok(body)
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE".to_owned()),
    }
}
