//! A new connection in the place of an old one. It may lead to the same cluster only: whoever could point a cluster's
//! connection at an API server of his own would have everything that is decided by asking it.

use std::collections::BTreeSet;

use domain::{Authority, Cluster, ClusterIdentity, ConnectionState, Error, Likeness, Result, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use store::{NewConnection, ReadTx};

use crate::authz;
use crate::call::Call;
use crate::clusters::connection::Connection;
use crate::clusters::remains::Remains;
use crate::service::Service;

/// What to do if the new connection leads to another cluster, or if that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfOther {
    /// Change nothing.
    Refuse,
    /// Take it, and suspend the cluster's grants.
    Replace,
}

/// What became of a rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The cluster as it is now.
    pub cluster: Cluster,
    /// What it meant.
    pub outcome: Outcome,
}

/// What a rotation meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the same cluster: grants stay in effect.
    Same,
    /// No cluster was reached before, so there was nothing to compare with.
    First,
    /// It is, or may be, another cluster: grants are suspended, and this stays in the former one.
    Replaced(Remains),
}

/// What a new connection is compared with.
#[derive(PartialEq)]
struct Known {
    version: i64,
    sealed: Option<String>,
    identity: Option<ClusterIdentity>,
    /// Whether something was applied there before it was known which cluster it is.
    worked: bool,
}

impl Known {
    async fn read(tx: &mut ReadTx, cluster: &Cluster) -> Result<Self> {
        let facts = tx.connection_facts(&cluster.id).await?;
        let facts = facts.ok_or_else(|| Error::not_found("cluster", cluster.id.as_str()))?;
        let worked = facts.identity.is_none() && !tx.applied_names(&cluster.id).await?.is_empty();
        Ok(Self { version: facts.version, sealed: facts.sealed, identity: facts.identity, worked })
    }
}

impl Service {
    /// Replaces a cluster's connection. The old one stays until the new one has proved to lead to the same cluster.
    ///
    /// # Errors
    /// `Invalid` naming `kubeconfig`; `NotFound`; `Conflict` if the new one does not answer, leads to another cluster
    /// or cannot be compared, or somebody else was faster.
    pub async fn rotate_connection(
        &self,
        call: &Call,
        cluster: &str,
        kubeconfig: &str,
        if_other: IfOther,
    ) -> Result<Rotated> {
        self.rotate_connection_until(call, cluster, kubeconfig, if_other, None).await
    }

    /// The same, saying until when the new connection is meant to last. Nothing depends on that.
    ///
    /// # Errors
    /// As [`Service::rotate_connection`].
    pub async fn rotate_connection_until(
        &self,
        call: &Call,
        cluster: &str,
        kubeconfig: &str,
        if_other: IfOther,
        declared_end: Option<Timestamp>,
    ) -> Result<Rotated> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:rotate")?;
        let new = self.parse_kubeconfig(kubeconfig)?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.store.read().await?;
        let known = Known::read(&mut tx, &cluster).await?;
        tx.end().await?;
        let authority = self.authority(&cluster, known.sealed.as_deref(), &new)?;
        // Nothing is locked meanwhile: an API server may take its time.
        let found = self.prober.identify(&new).await?;
        let likeness = match &known.identity {
            Some(identity) => identity.likeness(&found, authority),
            None if known.worked => {
                Likeness::Unknown("the server has not yet learned which cluster it was before")
            }
            None => Likeness::Same,
        };
        refuse_other(&cluster, &likeness, if_other)?;
        let same = likeness == Likeness::Same;
        let state = match cluster.connection {
            ConnectionState::Connected if same => ConnectionState::Connected,
            ConnectionState::Detached
            | ConnectionState::Connecting
            | ConnectionState::Connected
            | ConnectionState::Unreachable => ConnectionState::Connecting,
        };
        let connection = NewConnection {
            server: new.server.clone(),
            sealed: String::new(),
            instead_of: known.version,
            state,
            declared_end,
            identity: if same { merged(known.identity.as_ref(), found) } else { found },
        };
        let remains = self.put_connection(call, &cluster, &known, (&new, connection), &likeness).await?;
        let outcome = match (remains, known.identity) {
            (Some(remains), _) => Outcome::Replaced(remains),
            (None, Some(_)) => Outcome::Same,
            (None, None) => Outcome::First,
        };
        Ok(Rotated { cluster: self.cluster_for(call, &right, cluster.id.as_str()).await?, outcome })
    }

    /// Whether nobody may vouch for the new address who did not for the old one. One more authority beside the old one is
    /// new, too: it could vouch alone for the connection after that.
    fn authority(&self, cluster: &Cluster, sealed: Option<&str>, new: &Connection) -> Result<Authority> {
        let Some(sealed) = sealed else { return Ok(Authority::New) };
        let old = self.open_connection(&cluster.id, &cluster.account, sealed)?;
        let (known, named) = (authorities(&old), authorities(new));
        Ok(if !named.is_empty() && named.is_subset(&known) { Authority::Known } else { Authority::New })
    }

    async fn put_connection(
        &self,
        call: &Call,
        cluster: &Cluster,
        known: &Known,
        (plain, connection): (&Connection, NewConnection),
        likeness: &Likeness,
    ) -> Result<Option<Remains>> {
        let mut tx = self.begin(call).await?;
        // From here on no worker writes about it: what was compared with must still be what is there.
        tx.holds_connection(&cluster.id, known.version).await?;
        let is_as_it_was = Known::read(&mut tx, cluster).await? == *known;
        let sealed = self.seal_connection(&mut tx, cluster, plain).await?;
        let connection = NewConnection { sealed, ..connection };
        if !is_as_it_was || !tx.replace_connection(&cluster.id, &connection, self.now()).await? {
            return Err(Error::conflict(
                "the cluster's connection changed meanwhile; look at it and try again",
            ));
        }
        let (remains, action) = match likeness {
            Likeness::Same => (None, "bailiwick:cluster:rotate"),
            Likeness::Other(_) | Likeness::Unknown(_) => {
                let remains = Remains::read(&mut tx, &self.installation, &cluster.id, self.now()).await?;
                tx.suspend_cluster(&cluster.id, self.now()).await?;
                tx.forget_activity(&cluster.id).await?;
                // What the pods of the former cluster proved is nothing that the new one vouches for.
                tx.end_vended_in_cluster(&cluster.id).await?;
                tx.end_agent_keys(&cluster.id).await?;
                // The former cluster signed them, and the new one does not know its authority.
                tx.revoke_certificates_of_cluster(&cluster.id, self.now()).await?;
                (Some(remains), "bailiwick:cluster:replace")
            }
        };
        self.commit_for_fleet(tx, call, action, &format!("cluster/{}", cluster.id)).await?;
        if let Some(remains) = &remains {
            tracing::warn!(
                cluster = %cluster.id,
                objects = remains.objects.len(),
                "the cluster was replaced by another; what stays in the former one is deleted by: {}",
                remains.command
            );
        }
        Ok(remains)
    }

    /// Ends the suspension of a cluster's grants: they take effect in the cluster that its connection leads to now.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the cluster is not suspended.
    pub async fn resume_cluster(&self, call: &Call, cluster: &str) -> Result<Cluster> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:resume")?;
        let cluster = self.cluster_for(call, &right, cluster).await?;
        let mut tx = self.begin(call).await?;
        if !tx.resume_cluster(&cluster.id, self.now()).await? {
            return Err(Error::conflict(format!("cluster `{}` is not suspended", cluster.name)));
        }
        self.commit_for_fleet(tx, call, "bailiwick:cluster:resume", &format!("cluster/{}", cluster.id))
            .await?;
        self.cluster_for(call, &right, cluster.id.as_str()).await
    }
}

/// The certificates that a connection trusts; none if they cannot be read.
fn authorities(connection: &Connection) -> BTreeSet<Vec<u8>> {
    let pem = connection.ca_pem.as_deref().unwrap_or_default();
    let all: std::result::Result<BTreeSet<_>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|one| one.map(|der| der.to_vec())).collect();
    all.unwrap_or_default()
}

fn refuse_other(cluster: &Cluster, likeness: &Likeness, if_other: IfOther) -> Result<()> {
    let message = match (likeness, if_other) {
        (Likeness::Same, _) | (_, IfOther::Replace) => return Ok(()),
        (Likeness::Other(what), IfOther::Refuse) => {
            format!("this is not the cluster that `{}` was: {what}", cluster.name)
        }
        (Likeness::Unknown(what), IfOther::Refuse) => {
            format!("whether this is the cluster that `{}` was cannot be told: {what}", cluster.name)
        }
    };
    tracing::warn!(cluster = %cluster.id, ?likeness, "a new connection of a cluster was refused");
    Err(Error::conflict(format!(
        "{message}; nothing was changed; `replace` takes it and suspends the cluster's grants"
    )))
}

/// What may not be read with the new connection is still known from the old one.
pub(crate) fn merged(known: Option<&ClusterIdentity>, found: ClusterIdentity) -> ClusterIdentity {
    let Some(known) = known else { return found };
    ClusterIdentity {
        uid: found.uid.or_else(|| known.uid.clone()),
        keys: if found.keys.is_empty() { known.keys.clone() } else { found.keys },
    }
}
