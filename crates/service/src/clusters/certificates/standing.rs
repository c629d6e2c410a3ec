//! How people stand with a cluster's certificates: for each cluster, or for each holder, the one certificate that says it.

use std::collections::BTreeMap;

use domain::{Cluster, PrincipalId, PrincipalKind, Result, Timestamp};
use store::{Certificate, CertificateFilter, Page, ReadTx};

use super::listing::{CertificateState, LIST};
use super::{Holder, WhichCluster};
use crate::authz::{self, Thing};
use crate::call::Call;
use crate::service::Service;

/// How a holder stands in a cluster.
#[derive(Clone, Debug)]
pub struct InCluster {
    /// The cluster.
    pub cluster: Cluster,
    /// The certificate that says it, and how it stands; `None` if there never was one.
    pub best: Option<(Certificate, CertificateState)>,
}

/// How a holder stands with one cluster's certificates.
#[derive(Clone, Debug)]
pub struct OfHolder {
    /// The certificate that says it; it knows who the holder is, or was.
    pub best: Certificate,
    /// How that stands.
    pub state: CertificateState,
    /// What became of the holder.
    pub presence: Presence,
    /// Whether it is the root user.
    pub root: bool,
}

/// What became of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// They are there.
    Active,
    /// They may not act.
    Disabled,
    /// They were deleted.
    Gone,
}

impl Service {
    /// How somebody stands in each cluster of the account that the caller may see.
    ///
    /// # Errors
    /// `NotFound` naming `holder`, unless a certificate of one who is gone is known.
    pub async fn certificates_in_clusters(&self, call: &Call, holder: Holder<'_>) -> Result<Vec<InCluster>> {
        let right = authz::require_somewhere(call, LIST)?;
        let mut tx = self.store.read().await?;
        let holder = super::revoking::once_there(&mut tx, call, holder).await?;
        let filter = CertificateFilter { principal: Some(holder), cluster: None };
        let found = every(&mut tx, call, &filter, self.now()).await?;
        let clusters = tx.clusters(call.account()).await?;
        tx.end().await?;
        let in_cluster = |cluster: Cluster| {
            let of_cluster = found.iter().filter(|one| one.cluster == cluster.id);
            InCluster { best: self.best(of_cluster), cluster }
        };
        let seen = clusters.into_iter().filter(|cluster| right.holds_for(&Thing::cluster(cluster)));
        Ok(seen.map(in_cluster).collect())
    }

    /// How each holder of a cluster's certificates stands, by id. Whose certificates are all revoked is left out.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster.
    pub async fn certificates_of_holders(
        &self,
        call: &Call,
        cluster: impl Into<WhichCluster<'_>> + Send,
    ) -> Result<Vec<OfHolder>> {
        let right = authz::require_somewhere(call, LIST)?;
        let cluster = self.certifying(call, &right, cluster.into()).await?;
        let mut tx = self.store.read().await?;
        let filter = CertificateFilter { principal: None, cluster: Some(cluster.id) };
        let mut by_holder: BTreeMap<PrincipalId, Vec<Certificate>> = BTreeMap::new();
        for found in every(&mut tx, call, &filter, self.now()).await? {
            by_holder.entry(found.principal.clone()).or_default().push(found);
        }
        let mut all = Vec::new();
        for (holder, found) in by_holder {
            let Some((best, state)) = self.best(found.iter()) else { continue };
            if state == CertificateState::Revoked {
                continue;
            }
            let known = tx.principal(call.account(), holder.as_str()).await?;
            let presence = match &known {
                Some(known) if known.enabled => Presence::Active,
                Some(_) => Presence::Disabled,
                None => Presence::Gone,
            };
            let root = known.is_some_and(|known| known.root && known.kind == PrincipalKind::User);
            all.push(OfHolder { best, state, presence, root });
        }
        tx.end().await?;
        Ok(all)
    }

    /// The one that says how its holder stands: one that lives before all others, then the one that ends last.
    fn best<'a>(
        &self,
        found: impl Iterator<Item = &'a Certificate>,
    ) -> Option<(Certificate, CertificateState)> {
        let now = self.now();
        let with_state = found.map(|one| (one, CertificateState::of(one, now)));
        let rank = |state| match state {
            CertificateState::Live => 3,
            CertificateState::Signing => 2,
            CertificateState::Expired => 1,
            CertificateState::Revoked => 0,
        };
        let best = with_state.max_by_key(|(one, state)| (rank(*state), one.expires_at))?;
        Some((best.0.clone(), best.1))
    }
}

async fn every(
    tx: &mut ReadTx,
    call: &Call,
    filter: &CertificateFilter,
    now: Timestamp,
) -> Result<Vec<Certificate>> {
    tx.certificates(call.account(), filter, &Page { after: None, limit: i64::MAX }, now).await
}
