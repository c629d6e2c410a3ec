//! `bailiwick cluster`: the clusters of the fleet.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::connector::{self, Manifest, Strength};
use super::{ClientArgs, Paging, Session, World, kubeconfig, removals, stdin};
use crate::failure::Failure;
use crate::output::{View, field};

const CLUSTERS: &str = "clusters";

const VIEW: View = View {
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

    /// Forget a cluster and take back in it what its grants made
    #[command(after_help = "Example:\n  bailiwick cluster remove legacy")]
    Remove {
        /// The cluster's id or name
        cluster: String,
    },
}

/// What `bailiwick cluster add` takes.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Name, unique in the account
    name: String,
    /// Id to keep, from a cloud that knows the cluster already [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// Kubeconfig to upload as it is; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    kubeconfig: Option<PathBuf>,
    /// Context of KUBECONFIG or ~/.kube/config: the connector is made there
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// What the connector may do: base (grant every role but administrator), or administrator (that too, which
    /// makes it as strong as cluster-admin)
    #[arg(long, value_name = "STRENGTH", value_enum, default_value = "base", hide_possible_values = true)]
    #[arg(hide_default_value = true, requires = "context", conflicts_with = "own_credential")]
    connector: Strength,
    /// Make no connector: upload the context's own credential, with the files that it names
    #[arg(long, requires = "context")]
    own_credential: bool,
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
        Command::Removals { cluster } => removals::list(&cluster, &mut Session::open(client, world)?),
        Command::ConfirmRemovals { cluster } => {
            removals::confirm(&cluster, &mut Session::open(client, world)?)
        }
        Command::Remove { cluster } => Session::open(client, world)?.delete(CLUSTERS, &cluster),
    }
}

/// What is uploaded to reach the cluster; `None` if it is to be detached.
fn connection(args: &AddArgs, world: &mut World<'_>) -> Result<Option<Zeroizing<String>>, Failure> {
    let text = match (&args.kubeconfig, &args.context) {
        (Some(file), _) => Zeroizing::new(stdin::file(world, file)?),
        (None, Some(context)) if args.own_credential => {
            Zeroizing::new(kubeconfig::flattened(&world.environment.kubeconfig_files(), context)?)
        }
        (None, Some(context)) => connector::install(world, context, args.connector)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(text))
}

fn body(args: AddArgs, world: &mut World<'_>) -> Result<Value, Failure> {
    let kubeconfig = connection(&args, world)?;
    let labels: Map<String, Value> =
        args.labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    Ok(json!({
        "name": args.name,
        "id": args.id,
        "kubeconfig": kubeconfig.as_deref(),
        "owner": args.owner,
        "project": args.project,
        "enterpriseProject": args.enterprise_project,
        "provider": args.provider,
        "region": args.region,
        "labels": if labels.is_empty() { Value::Null } else { Value::Object(labels) },
    }))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be KEY=VALUE".to_owned()),
    }
}
