//! `bailiwick cluster`: the clusters of the fleet.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Paging, Session, World, kubeconfig, stdin};
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
    /// With --kubeconfig or --context the server connects to it and makes its grants true. With neither the cluster
    /// is detached: grants are recorded and take effect nowhere.
    #[command(
        after_help = "Examples:\n  bailiwick cluster add prod --kubeconfig prod.yaml --label tier=1\n  \
        bailiwick cluster add kind --context kind-kind\n  \
        bailiwick cluster add legacy --provider onprem --owner ada"
    )]
    Add(Box<AddArgs>),

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
    /// Context of KUBECONFIG or ~/.kube/config: it alone is uploaded, with the files it names
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
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
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Add(args) => {
            let body = body(*args, session.world)?;
            session.create(CLUSTERS, &VIEW, body)
        }
        Command::List { paging } => session.list(CLUSTERS, &VIEW, &[], &paging),
        Command::Show { cluster } => session.show(CLUSTERS, &VIEW, &cluster),
        Command::Remove { cluster } => session.delete(CLUSTERS, &cluster),
    }
}

fn body(args: AddArgs, world: &mut World<'_>) -> Result<Value, Failure> {
    let kubeconfig = match (&args.kubeconfig, &args.context) {
        (Some(file), _) => Some(stdin::file(world, file)?),
        (None, Some(context)) => Some(kubeconfig::flattened(&world.environment.kubeconfig_files(), context)?),
        (None, None) => None,
    };
    let labels: Map<String, Value> =
        args.labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    Ok(json!({
        "name": args.name,
        "id": args.id,
        "kubeconfig": kubeconfig,
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
