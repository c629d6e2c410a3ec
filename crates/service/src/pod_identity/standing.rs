//! What is kept in memory of clusters and their associations, so that what thousands of pods ask at once is read once. A copy
//! counts while nothing but grants changed in the account; where it is used to write, that is looked at again.

use std::sync::{Arc, Mutex, PoisonError};

use domain::{Association, Cluster, ClusterId, ClusterIdentity, Error, Result};
use podidentity::{Claims, KeySet};
use store::{AgencyDetails, Ancestor, ReadTx};

use super::messenger::Messenger;
use super::refusal::{Refusal, Stopped};
use super::trust::{Narrowed, Pods};
use super::vending::VEND;
use super::workloads::{Reached, Signing};
use crate::authz::{self, Thing};
use crate::cache::Copy;
use crate::call::Call;
use crate::clusters::certificates::WhichCluster;
use crate::service::Service;

/// A cluster for which something may be vended.
pub(crate) struct Place {
    pub(super) cluster: Cluster,
    /// The way to it.
    pub(super) reached: Reached,
    /// Which cluster it is known to be.
    pub(super) identity: Option<ClusterIdentity>,
    /// Which of the keys that it says are known to be its own: finding that out takes longer than all else here.
    own: Mutex<Option<(Arc<Signing>, Arc<KeySet>)>>,
}

impl Place {
    fn new(cluster: Cluster, reached: Reached, identity: Option<ClusterIdentity>) -> Self {
        Self { cluster, reached, identity, own: Mutex::default() }
    }

    /// Of the keys that the cluster says, those that are known to be its own.
    pub(super) fn own_keys(&self, signing: &Arc<Signing>) -> Arc<KeySet> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match &*own {
            Some((of, keys)) if Arc::ptr_eq(of, signing) => Arc::clone(keys),
            Some(_) | None => {
                let keys = self.identity.as_ref().map(|identity| signing.keys.only(&identity.keys));
                let keys = Arc::new(keys.unwrap_or_default());
                *own = Some((Arc::clone(signing), Arc::clone(&keys)));
                keys
            }
        }
    }
}

/// What somebody is entitled to by an association.
pub(super) struct Entitled {
    pub(super) association: Association,
    pub(super) agency_name: String,
    pub(super) details: AgencyDetails,
    pub(super) agency: Ancestor,
}

/// What the pods of a service account would get from somebody.
pub(crate) struct Prospect {
    pub(super) entitled: Entitled,
    /// Who brings their tokens.
    pub(super) messenger: Option<Ancestor>,
    /// When the service account was last seen to be gone.
    pub(super) ended: i64,
}

impl Prospect {
    /// What it takes, roughly, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        let trust = self.entitled.details.trust_policy.as_ref().map_or(0, String::len);
        let tags: usize =
            self.entitled.association.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        u64::try_from(trust + tags + 1_000).unwrap_or(u64::MAX)
    }
}

/// The pods that proved these claims.
pub(super) fn pods<'a>(cluster: &'a Cluster, claims: &'a Claims) -> Pods<'a> {
    Pods { cluster, namespace: &claims.namespace, service_account: &claims.service_account.name }
}

impl Service {
    /// The cluster that a request means, if it is in memory and the caller may vend for it: nearly always all that is to
    /// be asked. Whoever gets nothing here is not refused yet.
    pub(super) fn known_place(
        &self,
        call: &Call,
        which: WhichCluster<'_>,
    ) -> Result<Option<Arc<Copy<Place>>>> {
        let (id, project) = match which {
            WhichCluster::IdOrName(id) | WhichCluster::Id(id) => (id, None),
            WhichCluster::InProject { project, id } => (id, Some(project)),
        };
        let Some(known) = self.places.get(&self.revisions, id) else { return Ok(None) };
        let cluster = &known.value.cluster;
        let is_meant = cluster.account == *call.account()
            && project.is_none_or(|project| cluster.project.as_str() == project);
        let may_vend = is_meant && authz::is_allowed(call, VEND, &Thing::cluster(cluster))?;
        Ok(may_vend.then_some(known))
    }

    /// The cluster of that id, whosever it is, if something may be vended for it; `None` if there is none.
    pub(super) async fn place_anywhere(&self, id: &str) -> Result<Option<Arc<Copy<Place>>>, Stopped> {
        if let Some(known) = self.places.get(&self.revisions, id) {
            return Ok(Some(known));
        }
        let mut tx = self.store.read().await?;
        let row = tx.cluster_row(&ClusterId::stored(id)).await?.filter(|row| !row.removed);
        let found = match row {
            Some(row) => tx.cluster(&row.account, id).await?,
            None => None,
        };
        tx.end().await?;
        match found {
            Some(cluster) => self.load_place(cluster).await.map(Some),
            None => Ok(None),
        }
    }

    /// The cluster as it is now, if something may be vended for it.
    pub(super) async fn load_place(&self, cluster: Cluster) -> Result<Arc<Copy<Place>>, Stopped> {
        let mut tx = self.store.read().await?;
        let revision = tx.revision(&cluster.account).await?;
        // As it is at that revision: what policies ask about it may have changed since it was found.
        let now = tx.cluster(&cluster.account, cluster.id.as_str()).await?;
        let cluster = now.ok_or_else(|| Error::not_found("cluster", cluster.id.as_str()))?;
        let (reached, identity) = self.reached(&mut tx, &cluster).await?;
        tx.end().await?;
        let (id, account) = (cluster.id.clone(), cluster.account.clone());
        let value = Place::new(cluster, reached, identity);
        Ok(self.places.put(id.as_str(), Copy { account, revision, others: Vec::new(), value }))
    }

    /// The way to a cluster that may be believed, and which cluster it is known to be.
    pub(super) async fn reached(
        &self,
        tx: &mut ReadTx,
        cluster: &Cluster,
    ) -> Result<(Reached, Option<ClusterIdentity>), Stopped> {
        let row = tx.cluster_row(&cluster.id).await?.filter(|row| !row.removed);
        let row = row.ok_or(Refusal::Detached)?;
        if row.suspended {
            return Err(Refusal::Suspended.into());
        }
        let identity = tx.connection_facts(&cluster.id).await?.and_then(|facts| facts.identity);
        let connection = self.open_connection(&row.id, &row.account, &row.sealed_connection)?;
        Ok((Reached { cluster: row.id, version: row.connection_version, connection }, identity))
    }

    /// What the pods that proved these claims would get.
    pub(super) async fn prospect(
        &self,
        messenger: &Messenger,
        cluster: &Cluster,
        claims: &Claims,
    ) -> Result<Arc<Copy<Prospect>>, Stopped> {
        let Claims { namespace, service_account, .. } = claims;
        let (name, uid) = (&service_account.name, &service_account.uid);
        // None of these may hold a slash.
        let key = format!("{}/{namespace}/{name}/{uid}/{}", cluster.id, messenger.principal());
        if let Some(known) = self.prospects.get(&self.revisions, &key) {
            return Ok(known);
        }
        let mut tx = self.store.read().await?;
        let revision = tx.revision(&cluster.account).await?;
        let value = self.read_prospect(&mut tx, messenger, cluster, claims).await?;
        tx.end().await?;
        let account = cluster.account.clone();
        Ok(self.prospects.put(&key, Copy { account, revision, others: Vec::new(), value }))
    }

    pub(super) async fn read_prospect(
        &self,
        tx: &mut ReadTx,
        messenger: &Messenger,
        cluster: &Cluster,
        claims: &Claims,
    ) -> Result<Prospect, Stopped> {
        let entitled = self.entitled(tx, &pods(cluster, claims)).await?;
        let messenger = messenger.ancestor(tx).await?;
        let ended = tx.service_account_ended(&cluster.id, &claims.service_account.uid).await?;
        Ok(Prospect { entitled, messenger, ended })
    }

    /// What the pods of a service account are entitled to, if their agency's end and trust agree ([`Service::narrowed`]).
    pub(super) async fn entitled(&self, tx: &mut ReadTx, pods: &Pods<'_>) -> Result<Entitled, Stopped> {
        let Pods { cluster, namespace, service_account } = *pods;
        let association = tx.association_of(&cluster.id, namespace, service_account).await?;
        let association = association.ok_or(Refusal::NoAssociation)?;
        let agency = tx.principal_as_ancestor(&cluster.account, &association.agency).await?;
        let found = tx.principal(&cluster.account, association.agency.as_str()).await?;
        let (Some(agency), Some(found)) = (agency, found) else { return Err(Refusal::NoAgency.into()) };
        let details = tx.agency_details(&association.agency).await?;
        Ok(Entitled { association, agency_name: found.name, details, agency })
    }

    /// What the agency's own trust says now of the pods that are entitled to it; never that it refuses them.
    pub(super) fn narrowed(&self, entitled: &Entitled, pods: &Pods<'_>) -> Result<Narrowed, Refusal> {
        let details = &entitled.details;
        if details.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Refusal::NoAgency);
        }
        match self.trust_in_pods(details, pods) {
            Narrowed::Refused => Err(Refusal::Untrusted),
            narrowed @ (Narrowed::Allowed | Narrowed::Silent) => Ok(narrowed),
        }
    }
}
