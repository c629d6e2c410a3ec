//! Clusters: registering, listing, removing.

use std::collections::BTreeMap;

use domain::{Cluster, ClusterId, ConnectionState, Error, PrincipalKind, Project, Result};
use store::WriteTx;

use crate::authz;
use crate::call::Call;
use crate::connection::{Connection, kubeconfig};
use crate::history;
use crate::quotas::room;
use crate::seal::Record;
use crate::service::{PageRequest, Paged, Service};

/// A cluster to be registered.
#[derive(Default)]
pub struct NewCluster {
    /// An id of one's own choice; a UUID otherwise.
    pub id: Option<String>,
    /// Unique in the account.
    pub name: String,
    /// How to reach it; without it the cluster is detached.
    pub kubeconfig: Option<String>,
    /// The project, by id or name; the account's first otherwise.
    pub project: Option<String>,
    /// The enterprise project, by id or name.
    pub enterprise_project: Option<String>,
    /// Who runs it; empty if nobody says.
    pub provider: Option<String>,
    /// Where it runs; its project's name otherwise.
    pub region: Option<String>,
    /// The user who answers for it, by id or name.
    pub owner: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Service {
    /// Registers a cluster. Its connection is tried by its worker, not here.
    ///
    /// # Errors
    /// `Invalid` naming the field; `Conflict` if the id was ever used, the name is taken, or the account
    /// may have no more.
    pub async fn create_cluster(&self, call: &Call, new: NewCluster) -> Result<Cluster> {
        authz::require(call, "bailiwick:cluster:create")?;
        check(&new)?;
        let connection = self.parse_connection(new.kubeconfig.as_deref())?;
        let id = match &new.id {
            Some(text) => ClusterId::parse("id", text)?,
            None => ClusterId::random_uuid(&*self.entropy),
        };
        let mut tx = self.begin(call).await?;
        room("clusters", tx.count_clusters_of(call.account()).await?, self.settings.quotas.clusters)?;
        let project = project(&mut tx, call, new.project.as_deref()).await?;
        let now = self.now();
        let cluster = Cluster {
            account: call.account().clone(),
            region: new.region.unwrap_or_else(|| project.name.clone()),
            project: project.id,
            enterprise_project: match &new.enterprise_project {
                None => None,
                Some(named) => {
                    let found = tx.enterprise_project(call.account(), named).await?;
                    let missing = || Error::invalid("enterpriseProject", format!("`{named}` does not exist"));
                    Some(found.ok_or_else(missing)?.id)
                }
            },
            owner: match &new.owner {
                None => Some(call.caller.user.clone()),
                Some(named) => {
                    let found = tx.principal_named(call.account(), PrincipalKind::User, named).await?;
                    Some(
                        found
                            .ok_or_else(|| Error::invalid("owner", format!("user `{named}` does not exist")))?
                            .id,
                    )
                }
            },
            name: new.name,
            provider: new.provider.unwrap_or_default(),
            labels: new.labels,
            server: connection.as_ref().map(|connection| connection.server.clone()),
            connection: match connection {
                Some(_) => ConnectionState::Connecting,
                None => ConnectionState::Detached,
            },
            connection_reason: String::new(),
            version: String::new(),
            created_at: now,
            updated_at: now,
            id,
        };
        let sealed_connection = match &connection {
            Some(connection) => Some(self.seal_connection(&cluster, connection)?),
            None => None,
        };
        tx.insert_cluster(&store::NewCluster { cluster: cluster.clone(), sealed_connection }).await?;
        self.commit_for_fleet(tx, call, "bailiwick:cluster:create", &format!("cluster/{}", cluster.id))
            .await?;
        Ok(cluster)
    }

    fn parse_connection(&self, text: Option<&str>) -> Result<Option<Connection>> {
        let Some(text) = text else { return Ok(None) };
        let connection = kubeconfig::parse("kubeconfig", text)?;
        self.settings.addresses.check_literal(&connection.server).map_err(|refused| {
            tracing::info!(rule = refused.rule(), "refused the address of a cluster");
            Error::from(refused).at_field("kubeconfig")
        })?;
        Ok(Some(connection))
    }

    fn seal_connection(&self, cluster: &Cluster, connection: &Connection) -> Result<String> {
        let record = Record { kind: "connection", id: cluster.id.as_str(), account: &cluster.account };
        self.master_key.seal(&*self.entropy, &record, &connection.to_json_bytes()?)
    }

    /// The account's clusters, oldest first.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn list_clusters(&self, call: &Call) -> Result<Vec<Cluster>> {
        authz::require(call, "bailiwick:cluster:list")?;
        let mut tx = self.store.read().await?;
        let clusters = tx.clusters(call.account()).await?;
        tx.end().await?;
        Ok(clusters)
    }

    /// A page of the account's clusters.
    ///
    /// # Errors
    /// `Invalid` naming `limit` or `cursor`.
    pub async fn page_clusters(&self, call: &Call, page: &PageRequest) -> Result<Paged<Cluster>> {
        let clusters = self.list_clusters(call).await?;
        page.slice(&clusters, |cluster| (cluster.created_at, cluster.id.as_str().to_owned()))
    }

    /// A cluster by id or name.
    ///
    /// # Errors
    /// `NotFound` if there is none in the account.
    pub async fn show_cluster(&self, call: &Call, id_or_name: &str) -> Result<Cluster> {
        let clusters = self.list_clusters(call).await?;
        let by_id = clusters.iter().find(|cluster| cluster.id.as_str() == id_or_name);
        by_id
            .or_else(|| clusters.iter().find(|cluster| cluster.name == id_or_name))
            .cloned()
            .ok_or_else(|| Error::not_found("cluster", id_or_name))
    }

    /// Removes a cluster: it leaves every grant, and its worker removes our bindings there before the connection is
    /// forgotten.
    ///
    /// # Errors
    /// `NotFound` if there is none in the account.
    pub async fn delete_cluster(&self, call: &Call, id_or_name: &str) -> Result<()> {
        authz::require(call, "bailiwick:cluster:delete")?;
        let cluster = self.show_cluster(call, id_or_name).await?;
        let mut tx = self.begin(call).await?;
        if !tx.cluster_exists(call.account(), &cluster.id).await? {
            return Err(Error::not_found("cluster", id_or_name));
        }
        let grants = tx.grants_of_cluster(&cluster.id).await?;
        tx.remove_cluster(&cluster.id, self.now()).await?;
        history::record_changed(&mut tx, call, &grants).await?;
        tx.forget_removed_connection(&cluster.id).await?;
        self.commit_for_fleet(tx, call, "bailiwick:cluster:delete", &format!("cluster/{}", cluster.id)).await
    }
}

fn check(new: &NewCluster) -> Result<()> {
    crate::names::check("name", &new.name)?;
    crate::names::check_text("provider", new.provider.as_deref().unwrap_or_default(), 64)?;
    crate::names::check_text("region", new.region.as_deref().unwrap_or_default(), 64)?;
    if new.labels.len() > 64 {
        return Err(Error::invalid("labels", "must be at most 64"));
    }
    new.labels.iter().try_for_each(|(key, value)| crate::names::check_label("labels", key, value))
}

/// The project that is named, else the account's first.
async fn project(tx: &mut WriteTx, call: &Call, named: Option<&str>) -> Result<Project> {
    match named {
        Some(named) => tx
            .project(call.account(), named)
            .await?
            .ok_or_else(|| Error::invalid("project", format!("`{named}` does not exist"))),
        None => tx
            .projects(call.account(), &store::Page { after: None, limit: 1 })
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| Error::invalid("project", "must be given: the account has none yet")),
    }
}
