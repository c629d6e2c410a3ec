//! The end of a cluster: revoked and waited for, given up, or left as it is.

use domain::{Cluster, ClusterId, Error, Result, Timestamp};
use store::{ClusterRow, ReadTx};

use crate::authz::{self, Right, Thing};
use crate::call::Call;
use crate::clusters::named_among;
use crate::clusters::remains::Remains;
use crate::grants::history;
use crate::service::Service;

/// So many bindings are named in a refusal.
const MAX_NAMED: usize = 10;

/// What becomes of our bindings in a cluster that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They are deleted there, and the connection is kept until they are.
    Revoke,
    /// The cluster is gone or out of reach: nothing more is tried.
    Abandon,
    /// They stay on purpose.
    Keep,
}

impl Removal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Abandon, Self::Keep];

    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Abandon => "abandon",
            Self::Keep => "keep",
        }
    }

    /// Reads [`Removal::as_str`].
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|removal| removal.as_str() == text);
        found.ok_or_else(|| Error::invalid(field, "must be `revoke`, `abandon` or `keep`"))
    }

    fn action(self) -> &'static str {
        match self {
            Self::Revoke => "bailiwick:cluster:delete",
            Self::Abandon => "bailiwick:cluster:abandon",
            Self::Keep => "bailiwick:cluster:keep",
        }
    }
}

/// How far a removal has come.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The cluster.
    pub id: ClusterId,
    /// Whether its worker is still at it.
    pub under_way: bool,
    /// Why that does not get on; empty if nothing stands in the way.
    pub reason: String,
    /// What is, or was, left there.
    pub remains: Remains,
}

impl Service {
    /// Removes a cluster from the account and from every grant. A removal that is under way can be found by the
    /// cluster's id, to be given up.
    ///
    /// # Errors
    /// `NotFound` if there is none in the account, or nothing of its removal is left to be done; `Conflict` if bindings
    /// are to be revoked that are in the cluster as it was before it was replaced, or are to stay and name certificates.
    pub async fn delete_cluster(&self, call: &Call, id_or_name: &str, removal: Removal) -> Result<Removed> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:delete")?;
        let mut tx = self.store.read().await?;
        self.to_be_removed(&mut tx, call, &right, id_or_name).await?;
        tx.end().await?;
        let mut tx = self.begin(call).await?;
        // Again, now that nobody else can change it.
        let found = self.to_be_removed(&mut tx, call, &right, id_or_name).await?;
        let missing = || Error::not_found("cluster", id_or_name);
        let id = found.cluster.id.clone();
        let row = tx.cluster_row(&id).await?;
        let remains = Remains::read(&mut tx, &self.installation, &id, self.now()).await?;
        if let (Removal::Revoke, Some(row)) = (removal, &row) {
            refuse_out_of_reach(row, &remains)?;
        }
        if removal == Removal::Keep {
            refuse_certified(&mut tx, &found, self.now()).await?;
        }
        if found.is_active {
            let grants = tx.grants_of_cluster(&id).await?;
            self.revoke_owners_grant(&mut tx, &id).await?;
            let associations = tx.associations_of_cluster(&id, 0).await?;
            self.audit_ends(&mut tx, call, &associations).await?;
            tx.remove_cluster(&id, self.now()).await?;
            tx.revoke_certificates_of_cluster(&id, self.now()).await?;
            history::record_changed(&mut tx, call, &grants).await?;
        } else if row.is_none() {
            // Nothing of its removal is left to be done.
            return Err(missing());
        }
        match removal {
            Removal::Revoke => drop(tx.forget_removed_connection(&id).await?),
            Removal::Abandon | Removal::Keep => tx.abandon_connection(&id).await?,
        }
        let after = tx.connection_facts(&id).await?.ok_or_else(missing)?;
        let under_way = after.sealed.is_some();
        self.commit_for_fleet(tx, call, removal.action(), &format!("cluster/{id}")).await?;
        if !under_way && !remains.objects.is_empty() {
            let (objects, command) = (remains.objects.len(), &remains.command);
            let certificates = remains.certificates.len();
            tracing::warn!(cluster = %id, objects, certificates, "what stays in the removed cluster is deleted by: {command}");
        }
        Ok(Removed { id, under_way, reason: after.reason, remains })
    }

    /// A cluster of the account by id or name, or a removed one by id, on which the right must hold. What is removed keeps
    /// its project and its labels, so that policies go on to cover it.
    async fn to_be_removed(
        &self,
        tx: &mut ReadTx,
        call: &Call,
        right: &Right<'_>,
        id_or_name: &str,
    ) -> Result<Found> {
        let named = ClusterId::stored(id_or_name);
        let active = named_among(tx.clusters(call.account()).await?, id_or_name);
        let is_active = active.is_some();
        let found = match active {
            Some(cluster) => Some(cluster),
            None => tx.removed_cluster(call.account(), &named).await?,
        };
        let thing = found.as_ref().map_or_else(|| Thing::unknown_cluster(&named), Thing::cluster);
        right.on(&thing.asked_for(id_or_name))?;
        let cluster = found.ok_or_else(|| Error::not_found("cluster", id_or_name))?;
        Ok(Found { cluster, is_active })
    }

    /// How far the removal of a cluster has come, by the cluster's id.
    ///
    /// # Errors
    /// `NotFound` if no cluster with that id was removed from the account.
    pub async fn show_removal(&self, call: &Call, id: &str) -> Result<Removed> {
        let right = authz::require_somewhere(call, "bailiwick:cluster:show")?;
        let id = ClusterId::stored(id);
        let missing = || Error::not_found("removal of cluster", id.as_str());
        let mut tx = self.store.read().await?;
        let removed = tx.removed_cluster(call.account(), &id).await?;
        right.on(&removed.as_ref().map_or_else(|| Thing::unknown_cluster(&id), Thing::cluster))?;
        removed.ok_or_else(missing)?;
        let facts = tx.connection_facts(&id).await?.ok_or_else(missing)?;
        let remains = Remains::read(&mut tx, &self.installation, &id, self.now()).await?;
        tx.end().await?;
        let reason = if facts.sealed.is_some() { facts.reason } else { String::new() };
        Ok(Removed { under_way: facts.sealed.is_some(), reason, remains, id })
    }
}

/// What is kept is bound for ever, and the names of certificates with it: nobody would take them out when they end.
async fn refuse_certified(tx: &mut ReadTx, found: &Found, now: Timestamp) -> Result<()> {
    let names = tx.certificates_left(&found.cluster.id, now).await?;
    if names.is_empty() {
        return Ok(());
    }
    let named = names.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let others = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        others => format!(" and {others} others"),
    };
    let advice = match found.is_active {
        true => {
            let name = &found.cluster.name;
            format!(
                "revoke them first (`bailiwick kubeconfig list --cluster {name}`, `bailiwick kubeconfig revoke SERIAL`)"
            )
        }
        false => {
            "wait until nothing is left there, or give it up with `--abandon`, which names them".to_owned()
        }
    };
    Err(Error::conflict(format!(
        "bindings that stay would go on naming client certificates, and nobody could end those any more: {named}{others}; \
         nothing was changed; {advice}"
    )))
}

/// A cluster that may be removed, or whose removal may be given up.
struct Found {
    cluster: Cluster,
    is_active: bool,
}

/// After a replacement, and before grants are resumed, what is recorded as applied is where the connection led before.
/// Looking for it where it leads now would find nothing, and call that revoked.
fn refuse_out_of_reach(cluster: &ClusterRow, remains: &Remains) -> Result<()> {
    if !cluster.suspended || remains.objects.is_empty() {
        return Ok(());
    }
    let named =
        remains.objects.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let others = match remains.objects.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        others => format!(" and {others} others"),
    };
    Err(Error::conflict(format!(
        "the cluster was replaced by another, and what was applied in it as it was cannot be revoked over the \
         connection that it has now: {named}{others}; nothing was changed; `--abandon` gives them up and names the \
         command that deletes them there, `--keep-bindings` leaves them on purpose"
    )))
}
