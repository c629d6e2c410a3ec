//! Clusters: registering, listing, describing. How a connection changes is in `rotation`, how it ends in `removal`.

pub mod activity;
pub(crate) mod arrivals;
pub mod certificates;
pub mod checks;
pub mod connection;
pub mod expiring;
pub(crate) mod probing;
pub mod remains;
pub mod removal;
pub mod rotation;

use std::collections::BTreeMap;

use domain::{
    Arrival, Cluster, ClusterId, ClusterScope, ConnectionState, Error, GroupMembers, NameTemplate,
    PrincipalId, PrincipalKind, Project, Result,
};
use store::{Declared, WriteTx};

use crate::authz::{self, Right, Thing};
use crate::call::Call;
use crate::clusters::connection::{Connection, Server, kubeconfig};
use crate::grants::administration::Territory;
use crate::installation::seal::Record;
use crate::quotas::room;
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
    /// Where somebody says that the kubeconfig leads: nothing else may be in it.
    pub server: Option<String>,
    /// The project, by id or name; the account's first otherwise.
    pub project: Option<String>,
    /// The enterprise project, by id or name.
    pub enterprise_project: Option<String>,
    /// Who runs it; empty if nobody says.
    pub provider: Option<String>,
    /// Where it runs; its project's name otherwise.
    pub region: Option<String>,
    /// The user who answers for it, by id or name, and becomes administrator there. Without one it is who registers it,
    /// who administers it here and is given nothing there.
    pub owner: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Under which names people arrive there; under their ids otherwise.
    pub arrival: ArrivalUpdate,
    /// What is said of it, to be shown again.
    pub declared: Declared,
}

/// What is to be changed about a cluster.
#[derive(Debug, Default)]
pub struct ClusterUpdate {
    /// The user who answers for it, and so administers it, by id or name.
    pub owner: Option<String>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Under which names people arrive there.
    pub arrival: ArrivalUpdate,
}

/// What is to be changed about the names under which people arrive. An empty list means `{id}`.
#[derive(Debug, Default)]
pub struct ArrivalUpdate {
    /// All templates for users and agencies.
    pub users: Option<Vec<String>>,
    /// All templates for groups.
    pub groups: Option<Vec<String>>,
    /// What a group's grant binds.
    pub members: Option<String>,
}

impl ArrivalUpdate {
    /// What `known` becomes.
    fn over(&self, known: Arrival) -> Result<Arrival> {
        let read = |field: &str, texts: &Option<Vec<String>>, known: Vec<NameTemplate>| match texts {
            None => Ok(known),
            Some(texts) => Arrival::templates(field, texts),
        };
        Ok(Arrival {
            users: read("userNameTemplates", &self.users, known.users)?,
            groups: read("groupNameTemplates", &self.groups, known.groups)?,
            members: match &self.members {
                None => known.members,
                Some(text) => GroupMembers::parse("groupMembers", text)?,
            },
        })
    }
}

impl Service {
    /// Registers a cluster. Its connection is tried by its worker, not here.
    ///
    /// # Errors
    /// `Invalid` naming the field; `Conflict` if the id was ever used, the name is taken, or the account
    /// may have no more.
    pub async fn create_cluster(&self, call: &Call, new: NewCluster) -> Result<Cluster> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:create")?;
        check(&new)?;
        let connection = new.kubeconfig.as_deref().map(|text| self.parse_kubeconfig(text)).transpose()?;
        check_server(new.server.as_deref(), connection.as_ref())?;
        let arrival = new.arrival.over(Arrival::default())?;
        let id = match &new.id {
            Some(text) => ClusterId::parse("id", text)?,
            None => ClusterId::random_uuid(&*self.entropy),
        };
        let mut tx = match self.begin(call).await {
            Ok(tx) => tx,
            Err(error) => {
                let cluster = self.repeated(call, error).await?.created_cluster(call).await?;
                return right.on(&Thing::cluster(&cluster)).map(|()| cluster);
            }
        };
        room("clusters", tx.count_clusters_of(call.account()).await?, self.settings.quotas.clusters)?;
        let project = project(&mut tx, call, new.project.as_deref()).await?;
        let enterprise_project = match &new.enterprise_project {
            None => None,
            Some(named) => {
                let found = tx.enterprise_project(call.account(), named).await?;
                let missing = || Error::invalid("enterpriseProject", format!("`{named}` does not exist"));
                Some(found.ok_or_else(missing)?.id)
            }
        };
        right.on(&Thing::new_cluster(&project.id, enterprise_project.as_ref()))?;
        let now = self.now();
        let cluster = Cluster {
            account: call.account().clone(),
            region: new.region.unwrap_or_else(|| project.name.clone()),
            project: project.id,
            enterprise_project,
            owner: match &new.owner {
                None => Some(call.caller.principal.clone()),
                Some(named) => Some(user(&mut tx, call, named).await?),
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
            identified_at: None,
            arrival,
            suspended_at: None,
            created_at: now,
            updated_at: now,
            id,
        };
        let sealed_connection = match &connection {
            Some(connection) => Some(self.seal_connection(&mut tx, &cluster, connection).await?),
            None => None,
        };
        tx.insert_cluster(&store::NewCluster { cluster: cluster.clone(), sealed_connection }).await?;
        if new.declared != Declared::default() {
            tx.declare(&cluster.id, &new.declared).await?;
        }
        if new.owner.is_some() {
            self.grant_to_owner(&mut tx, call, &cluster).await?;
        }
        self.commit_for_fleet(tx, call, "bailiwick:cluster:create", &format!("cluster/{}", cluster.id))
            .await?;
        Ok(cluster)
    }

    /// Reads a kubeconfig, and refuses one that leads where no cluster may be.
    pub(crate) fn parse_kubeconfig(&self, text: &str) -> Result<Connection> {
        let connection = kubeconfig::parse("kubeconfig", text)?;
        self.settings.addresses.check_literal(&connection.server).map_err(|refused| {
            tracing::info!(rule = refused.rule(), "refused the address of a cluster");
            Error::from(refused).at_field("kubeconfig")
        })?;
        Ok(connection)
    }

    pub(crate) async fn seal_connection(
        &self,
        tx: &mut WriteTx,
        cluster: &Cluster,
        connection: &Connection,
    ) -> Result<String> {
        let record = Record { kind: "connection", id: cluster.id.as_str(), account: &cluster.account };
        let sealing = self.master_key.sealing(tx).await?;
        sealing.seal(&*self.entropy, &record, &connection.to_json_bytes()?)
    }

    /// The account's clusters that the caller may see, oldest first.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn list_clusters(&self, call: &Call) -> Result<Vec<Cluster>> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:list")?;
        let mut clusters = self.clusters_of(call).await?;
        clusters.retain(|cluster| right.holds_for(&Thing::cluster(cluster)));
        if clusters.is_empty() {
            right.unless_denied_outright()?;
        }
        Ok(clusters)
    }

    /// All of the account's clusters, whoever asks.
    pub(crate) async fn clusters_of(&self, call: &Call) -> Result<Vec<Cluster>> {
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
        let right = authz::require_somewhere(call, "bailiwick:cluster:show")?;
        self.cluster_for(call, &right, id_or_name).await
    }

    /// The uid of a cluster's namespace `kube-system`, as its API server said it; `None` until it did.
    ///
    /// # Errors
    /// `Forbidden` for who may not see the cluster.
    pub async fn show_cluster_uid(&self, call: &Call, cluster: &Cluster) -> Result<Option<String>> {
        authz::require_somewhere(call, "bailiwick:cluster:show")?.on(&Thing::cluster(cluster))?;
        let mut tx = self.store.read().await?;
        let facts = tx.connection_facts(&cluster.id).await?;
        tx.end().await?;
        Ok(facts.and_then(|facts| facts.identity?.uid))
    }

    /// A cluster by id or name, on which the right must hold. Whether there is one is told to those only who would be
    /// let in.
    pub(crate) async fn cluster_for(
        &self,
        call: &Call,
        right: &Right<'_>,
        id_or_name: &str,
    ) -> Result<Cluster> {
        let found = self.find_cluster(call, id_or_name).await?;
        let Some(found) = found else {
            right.on(&Thing::unknown_cluster(&ClusterId::stored(id_or_name)))?;
            return Err(Error::not_found("cluster", id_or_name));
        };
        right.on(&Thing::cluster(&found).asked_for(id_or_name))?;
        Ok(found)
    }

    /// A cluster by id or name, if there is one, whoever asks.
    pub(crate) async fn find_cluster(&self, call: &Call, id_or_name: &str) -> Result<Option<Cluster>> {
        Ok(named_among(self.clusters_of(call).await?, id_or_name))
    }

    /// Changes what is said about a cluster. What is not given stays.
    ///
    /// # Errors
    /// `NotFound` if there is none in the account; `Invalid` naming the field; `Forbidden` for who does not administer the
    /// cluster, and for labels with which the caller could not have changed it.
    pub async fn update_cluster(
        &self,
        call: &Call,
        id_or_name: &str,
        update: ClusterUpdate,
    ) -> Result<Cluster> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:update")?;
        let cluster = self.cluster_for(call, &right, id_or_name).await?;
        let mut tx = self.begin(call).await?;
        // Again, now that nobody else can change it.
        let mut all = tx.clusters(call.account()).await?.into_iter();
        let before = all
            .find(|found| found.id == cluster.id)
            .ok_or_else(|| Error::not_found("cluster", id_or_name))?;
        right.on(&Thing::cluster(&before).asked_for(id_or_name))?;
        let mut cluster = before.clone();
        if let Some(owner) = &update.owner {
            cluster.owner = Some(user(&mut tx, call, owner).await?);
        }
        if let Some(labels) = update.labels {
            check_labels(&labels)?;
            cluster.labels = labels;
        }
        let arrival = update.arrival.over(cluster.arrival.clone())?;
        // The owner administers the cluster, arrival says who people are there, and labels what policies say of it.
        if (&cluster.owner, &cluster.labels, &arrival) != (&before.owner, &before.labels, &before.arrival) {
            right.on(&Thing::cluster(&cluster))?;
            let scope = ClusterScope::Listed(vec![cluster.id.clone()]);
            self.require_administration(&mut tx, call, right.action(), &[Territory::clusters(&scope)])
                .await?;
        }
        tx.describe_cluster(&cluster, self.now()).await?;
        let owner_named = update.owner.is_some() && cluster.owner != before.owner;
        if owner_named {
            self.grant_to_owner(&mut tx, call, &cluster).await?;
        }
        let action = "bailiwick:cluster:update";
        let resource = format!("cluster/{}", cluster.id);
        if arrival == cluster.arrival && !owner_named {
            self.commit(tx, call, action, &resource).await?;
        } else {
            if arrival != cluster.arrival {
                tx.set_arrival(&cluster.id, &arrival, self.now()).await?;
            }
            self.commit_for_fleet(tx, call, action, &resource).await?;
        }
        self.cluster_for(call, &right, cluster.id.as_str()).await
    }
}

/// The one with that id, else the one with that name.
pub(crate) fn named_among(mut clusters: Vec<Cluster>, id_or_name: &str) -> Option<Cluster> {
    let by_id = clusters.iter().position(|cluster| cluster.id.as_str() == id_or_name);
    let at = by_id.or_else(|| clusters.iter().position(|cluster| cluster.name == id_or_name));
    at.map(|at| clusters.swap_remove(at))
}

fn check(new: &NewCluster) -> Result<()> {
    crate::directory::names::check("name", &new.name)?;
    crate::directory::names::check_text("provider", new.provider.as_deref().unwrap_or_default(), 64)?;
    crate::directory::names::check_text("region", new.region.as_deref().unwrap_or_default(), 64)?;
    crate::directory::names::check_text("imageRepository", &new.declared.image_repository, 256)?;
    check_labels(&new.labels)
}

/// Two addresses of which one counts would be a cluster that is not where people think it is.
fn check_server(said: Option<&str>, connection: Option<&Connection>) -> Result<()> {
    let Some(said) = said else { return Ok(()) };
    let read = Server::parse("server", said)?.to_string();
    match connection {
        Some(connection) if connection.server == read => Ok(()),
        Some(_) | None => Err(Error::invalid("server", "must be the kubeconfig's, or left out")),
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > 64 {
        return Err(Error::invalid("labels", "must be at most 64"));
    }
    labels.iter().try_for_each(|(key, value)| crate::directory::names::check_label("labels", key, value))
}

/// The user who is to answer for a cluster.
async fn user(tx: &mut WriteTx, call: &Call, named: &str) -> Result<PrincipalId> {
    let found = tx.principal_named(call.account(), PrincipalKind::User, named).await?;
    let missing = || Error::invalid("owner", format!("user `{named}` does not exist"));
    Ok(found.ok_or_else(missing)?.id)
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
