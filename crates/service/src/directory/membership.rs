//! What belonging to an account is enough for: seeing which clusters it has and how they stand, where a vendor's interface
//! asks for no policy. Clusters of an enterprise project are listed for those whom a policy lets list them there.

use std::sync::Arc;

use domain::{Cluster, ClusterId, Error, ProjectId, Result, Timestamp};
use store::Declared;

use crate::authz::{self, Thing};
use crate::call::{Call, Caller};
use crate::clusters::connection::expiry;
use crate::service::Service;

/// What the vendor's interface asks of whoever changes a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterRequires {
    /// A policy that allows it, as everywhere.
    #[default]
    Right,
    /// Belonging to the account, unless a policy denies it.
    Membership,
}

/// What belonging to the account is enough for, where [`ClusterRequires::Membership`] says so.
const BY_MEMBERSHIP: [&str; 6] = [
    "bailiwick:cluster:create",
    "bailiwick:cluster:delete",
    "bailiwick:cluster:list",
    "bailiwick:cluster:probe",
    "bailiwick:cluster:rotate",
    "bailiwick:cluster:showConnector",
];

/// In which enterprise projects clusters are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// In all there are, and outside.
    Everywhere,
    /// In those where the caller may list clusters, and outside.
    Granted,
    /// In none.
    Default,
    /// In the one with this id.
    One(String),
}

impl Within {
    /// Whether a cluster is in there, for somebody who names it.
    fn holds(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Everywhere | Self::Granted => true,
            Self::Default => cluster.enterprise_project.is_none(),
            Self::One(id) => cluster.enterprise_project.as_ref().is_some_and(|its| its.as_str() == id),
        }
    }
}

/// A cluster with what is known of its connection.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The cluster.
    pub cluster: Cluster,
    /// Since when its connection stands as it does.
    pub since: Timestamp,
    /// Why, as far as the caller may know; empty if all is well.
    pub reason: String,
    /// When its credential ends; `None` if it says nothing about that.
    pub credential_end: Option<Timestamp>,
    /// What was said when it was registered.
    pub declared: Declared,
}

impl Service {
    /// The same call where belonging to the account is enough, if that is how this server is set.
    #[must_use]
    pub fn call_of_member(&self, call: &Call) -> Call {
        match self.settings.cluster_requires {
            ClusterRequires::Right => call.clone(),
            ClusterRequires::Membership => {
                let rights = Arc::new(call.caller.rights.by_membership(&BY_MEMBERSHIP));
                Call { caller: Arc::new(Caller { rights, ..(*call.caller).clone() }), ..call.clone() }
            }
        }
    }

    /// The clusters of a project of the account, oldest first. Whoever belongs to the account sees those of no enterprise
    /// project, and may name one.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn clusters_of_members_account(
        &self,
        call: &Call,
        project: &ProjectId,
        within: &Within,
    ) -> Result<Vec<Cluster>> {
        let mut found = Vec::new();
        for cluster in self.clusters_of(call).await? {
            let granted = *within != Within::Granted
                || cluster.enterprise_project.is_none()
                || authz::is_allowed(call, "bailiwick:cluster:list", &Thing::cluster(&cluster))?;
            if granted && cluster.project == *project && within.holds(&cluster) {
                found.push(cluster);
            }
        }
        Ok(found)
    }

    /// Those of them that may be shown to the caller: not what a policy denies them to list, and in a limited session only what
    /// that allows.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn list_clusters_of_members_account(
        &self,
        call: &Call,
        project: &ProjectId,
        within: &Within,
    ) -> Result<Vec<Cluster>> {
        let mut found = self.clusters_of_members_account(call, project, within).await?;
        found.retain(|cluster| {
            authz::require_of_member(call, "bailiwick:cluster:list", &Thing::cluster(cluster)).is_ok()
        });
        Ok(found)
    }

    /// A cluster of a project of the account, by its id. Names are no ids here.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn cluster_of_members_account(
        &self,
        call: &Call,
        project: &ProjectId,
        within: &Within,
        id: &str,
    ) -> Result<Cluster> {
        let mut all = self.clusters_of(call).await?.into_iter();
        let meant =
            |found: &Cluster| found.id.as_str() == id && found.project == *project && within.holds(found);
        all.find(meant).ok_or_else(|| Error::not_found("cluster", id))
    }

    /// How clusters stand that were found before.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn standing_of_members_clusters(
        &self,
        call: &Call,
        clusters: &[Cluster],
    ) -> Result<Vec<Imported>> {
        let mut tx = self.store.read().await?;
        let mut found = Vec::new();
        for cluster in clusters.iter().filter(|cluster| cluster.account == *call.account()) {
            let Some(standing) = tx.standing(&cluster.id).await? else { continue };
            let credential_end = standing.sealed.and_then(|sealed| {
                let opened = self.open_connection(&cluster.id, &cluster.account, &sealed);
                // One that does not open is its worker's trouble, which says so.
                expiry::of_credential(&opened.ok()?.credential)
            });
            found.push(Imported {
                reason: reason(call, cluster)?,
                since: standing.since.unwrap_or(cluster.created_at),
                credential_end,
                declared: standing.declared,
                cluster: cluster.clone(),
            });
        }
        tx.end().await?;
        Ok(found)
    }

    /// Where a kubeconfig leads and when its credential ends. Nothing is kept and nobody is asked. Why one is refused is
    /// told to those only who might import it: to others, which addresses are refused would tell about our network.
    ///
    /// # Errors
    /// `Invalid` naming `kubeconfig`.
    pub fn read_kubeconfig_of_member(
        &self,
        call: &Call,
        kubeconfig: &str,
    ) -> Result<(String, Option<Timestamp>)> {
        let read = self.parse_kubeconfig(kubeconfig).map_err(|error| {
            match authz::require_somewhere(call, "bailiwick:cluster:create") {
                Ok(_) => error,
                Err(_) => Error::invalid(
                    "kubeconfig",
                    "must be one that can be imported; why it is not is told to those who may import clusters",
                ),
            }
        })?;
        let end = expiry::of_credential(&read.credential);
        Ok((read.server, end))
    }

    /// A cluster for somebody who is to make our identity in it.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`.
    pub async fn show_connector(&self, call: &Call, id: &ClusterId) -> Result<Cluster> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:showConnector")?;
        self.cluster_for(call, &right, id.as_str()).await
    }

    /// Writes until when a cluster's connection is meant to last. Nothing depends on it.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`.
    pub async fn declare_end(&self, call: &Call, id: &ClusterId, end: Timestamp) -> Result<()> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:rotate")?;
        let cluster = self.cluster_for(call, &right, id.as_str()).await?;
        let mut tx = self.begin(call).await?;
        tx.declare(&cluster.id, &Declared { end: Some(end), ..Declared::default() }).await?;
        self.commit(tx, call, "bailiwick:cluster:declareEnd", &format!("cluster/{}", cluster.id)).await
    }
}

/// Why a connection stands as it does: in full for whoever may say where it leads. To others, what is found at an address
/// would tell about our network.
fn reason(call: &Call, cluster: &Cluster) -> Result<String> {
    let why = cluster.connection_reason.as_str();
    Ok(match cluster.suspended_at {
        Some(_) if why.is_empty() => {
            "it leads to another cluster than before: its grants are suspended".to_owned()
        }
        Some(_) | None if why.is_empty() => String::new(),
        Some(_) | None if authz::is_allowed(call, "bailiwick:cluster:rotate", &Thing::cluster(cluster))? => {
            why.to_owned()
        }
        Some(_) | None => "who may replace its connection is told why".to_owned(),
    })
}
