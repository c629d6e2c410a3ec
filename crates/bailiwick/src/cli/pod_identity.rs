//! `bailiwick pod-identity`: which agency the pods of a service account act as.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::pod_identity_install::{self, InstallArgs, UninstallArgs};
use super::{Paging, Session, pod_identity_test};
use crate::client::path::{self, with_query};
use crate::failure::Failure;
use crate::output::{View, computed, field};

const CLUSTERS: &str = "clusters";
const BELOW: [&str; 2] = ["pod-identity", "associations"];

const VIEW: View = View {
    id: "id",
    plural: "pod identity associations",
    columns: &[
        field("ID", "id"),
        field("NAMESPACE", "namespace"),
        field("SERVICE ACCOUNT", "serviceAccount"),
        computed("AGENCY", agency),
        field("CHANGED", "updatedAt"),
    ],
    details: &[
        field("ID", "id"),
        field("CLUSTER", "clusterId"),
        field("NAMESPACE", "namespace"),
        field("SERVICE ACCOUNT", "serviceAccount"),
        computed("AGENCY", agency),
        field("TAGS", "tags"),
        field("CREATED", "createdAt"),
        field("CHANGED", "updatedAt"),
    ],
};

fn agency(association: &Value) -> String {
    association.pointer("/agency/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The verbs of `bailiwick pod-identity`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the associations of a cluster
    #[command(after_help = "Examples:\n  bailiwick pod-identity list --cluster prod\n  \
        bailiwick pod-identity list --cluster prod -n shop -o json")]
    List {
        /// The cluster's id or name
        #[arg(long)]
        cluster: String,
        /// Only in this namespace
        #[arg(short, long)]
        namespace: Option<String>,
        /// Only of service accounts with this name
        #[arg(long)]
        service_account: Option<String>,
        /// Only with this agency, by id or name
        #[arg(long)]
        agency: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },

    /// Let the pods of a service account act as an agency
    ///
    /// Whoever can run pods under the service account then has what the agency has, in short-lived credentials that the
    /// pods fetch by themselves. So it takes the right to pass the agency (`bailiwick:agency:pass`). Neither namespace nor
    /// service account need be there yet. A service account has one association; if the agency's trust policy speaks of
    /// pods, it must allow this one.
    #[command(after_help = "Examples:\n  \
        bailiwick pod-identity create --cluster prod -n shop --service-account cart --agency backup-writer\n  \
        bailiwick pod-identity create --cluster prod -n shop --service-account till --agency payer --tag team=pay")]
    Create {
        /// The cluster's id or name
        #[arg(long)]
        cluster: String,
        /// The service account's namespace
        #[arg(short, long)]
        namespace: String,
        /// The service account
        #[arg(long)]
        service_account: String,
        /// The agency's id or name
        #[arg(long)]
        agency: String,
        /// Tag, which policies may ask about; may be repeated
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
    },

    /// Give an association another agency
    ///
    /// The next credentials that pods fetch are the new agency's. Those that they hold go on until they end, so this revokes
    /// nothing by itself; with --end-vended they end at once, also if the agency is the one that it has.
    #[command(after_help = "Examples:\n  \
        bailiwick pod-identity update --cluster prod -n shop --service-account cart --agency reader\n  \
        bailiwick pod-identity update --cluster prod --agency reader --end-vended 402358e8-2e3a-4531-8ae7-0e9cb5e1c0de")]
    Update {
        #[command(flatten)]
        which: Which,
        /// The new agency's id or name
        #[arg(long)]
        agency: String,
        /// End at once what pods hold; they go on when they have fetched what is new
        #[arg(long)]
        end_vended: bool,
    },

    /// Delete an association: what pods got by it ends at once
    #[command(after_help = "Examples:\n  \
        bailiwick pod-identity delete --cluster prod -n shop --service-account cart\n  \
        bailiwick pod-identity delete --cluster prod 402358e8-2e3a-4531-8ae7-0e9cb5e1c0de")]
    Delete {
        #[command(flatten)]
        which: Which,
    },

    /// Tell what the pods of a service account would get, and if nothing, why
    ///
    /// Takes each step of vending but the last: nothing is issued. Fails if they would get nothing.
    #[command(after_help = pod_identity_test::EXAMPLES)]
    Test(pod_identity_test::TestArgs),

    /// Put the agents and the webhook into a cluster, with your own credential
    ///
    /// kubectl applies the manifests by the context that you name, which has to be one of a cluster's administrator. The
    /// agents get a key that vends for this cluster and does nothing else; repeating the command makes a new one.
    #[command(after_help = pod_identity_install::INSTALL_EXAMPLES)]
    Install(Box<InstallArgs>),

    /// Take the agents and the webhook out of a cluster again, and end their key
    #[command(after_help = pod_identity_install::UNINSTALL_EXAMPLES)]
    Uninstall(UninstallArgs),
}

/// An association, by its id or by its service account.
#[derive(Args, Debug)]
pub struct Which {
    /// The cluster's id or name
    #[arg(long)]
    cluster: String,
    /// The service account's namespace, instead of the id
    #[arg(short, long, requires = "service_account", conflicts_with = "id")]
    namespace: Option<String>,
    /// The service account, instead of the id
    #[arg(long, requires = "namespace", conflicts_with = "id")]
    service_account: Option<String>,
    /// The association's id
    #[arg(required_unless_present = "service_account")]
    id: Option<String>,
}

impl Which {
    /// The association's id; asked for if it was named by its service account.
    fn id(&self, session: &Session<'_, '_>) -> Result<String, Failure> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let (namespace, account) = (self.namespace.as_deref(), self.service_account.as_deref());
        let query = [("namespace", namespace), ("serviceAccount", account)];
        let found = session.client.get(&with_query(&path(&self.cluster, None)?, &query))?;
        let id = found.pointer("/items/0/id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| {
            let (namespace, account) = (namespace.unwrap_or_default(), account.unwrap_or_default());
            Failure::refused(format!(
                "service account `{namespace}/{account}` has no association that you may see"
            ))
            .hint(format!("bailiwick pod-identity list --cluster {}", self.cluster))
        })
    }
}

/// Does what was asked.
///
/// # Errors
/// If the server refuses or does not answer.
pub fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { cluster, namespace, service_account, agency, paging } => {
            let filters = [
                ("namespace", namespace.as_deref()),
                ("serviceAccount", service_account.as_deref()),
                ("agency", agency.as_deref()),
            ];
            let [noun, list] = BELOW;
            session.list_at(&[CLUSTERS, &cluster, noun, list], &VIEW, &filters, &paging)
        }
        Command::Create { cluster, namespace, service_account, agency, tags } => {
            let tags: Map<String, Value> =
                tags.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
            let body = json!({
                "namespace": namespace, "serviceAccount": service_account, "agency": agency, "tags": tags
            });
            let made = session.client.write("POST", &path(&cluster, None)?, body)?;
            session.print(&VIEW, &made)
        }
        Command::Update { which, agency, end_vended } => {
            let id = which.id(session)?;
            let path = path(&which.cluster, Some(&id))?;
            let changed =
                session.client.write("PATCH", &path, json!({"agency": agency, "endVended": end_vended}))?;
            session.print(&VIEW, &changed)
        }
        Command::Test(args) => pod_identity_test::run(&args, session),
        Command::Install(args) => pod_identity_install::install(&args, session),
        Command::Uninstall(args) => pod_identity_install::uninstall(&args, session),
        Command::Delete { which } => {
            let id = which.id(session)?;
            session.client.act("DELETE", &path(&which.cluster, Some(&id))?)?;
            session.say(&format!("deleted {id}"))
        }
    }
}

fn path(cluster: &str, id: Option<&str>) -> Result<String, Failure> {
    let [noun, list] = BELOW;
    let parts = [CLUSTERS, cluster, noun, list];
    path::native(&parts.into_iter().chain(id).collect::<Vec<_>>())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
