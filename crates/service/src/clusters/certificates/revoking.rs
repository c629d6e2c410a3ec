//! The end of certificates: revoked, or ended sooner or later than they were to.

use domain::{CertificateId, ClusterId, Error, PrincipalId, Result};
use store::{Certificate, CertificateFilter, Page, ReadTx, WriteTx};

use super::holder::{ForOthers, Holder};
use super::{MAX_HOURS, WhichCluster, resource};
use crate::authz::{self, Right, Thing};
use crate::call::Call;
use crate::directory::which::Which;
use crate::service::Service;

/// What it takes to revoke certificates.
const REVOKE: &str = "bailiwick:certificate:revoke";
/// What it takes to choose how long they are good.
const SET_LIFETIME: &str = "bailiwick:certificate:setLifetime";

impl Service {
    /// Revokes all certificates of somebody in a cluster, and forgets which lifetime was chosen for them. The holder may be
    /// gone. Returns how many certificates ended.
    ///
    /// # Errors
    /// `Forbidden`, also for somebody else's; `NotFound`.
    pub async fn revoke_certificates(
        &self,
        call: &Call,
        cluster: impl Into<WhichCluster<'_>> + Send,
        holder: Holder<'_>,
        for_others: ForOthers,
    ) -> Result<u64> {
        let right = authz::require_somewhere(call, REVOKE)?;
        let cluster = self.certifying(call, &right, cluster.into()).await?;
        for_others.allow(call, holder, REVOKE)?;
        let mut tx = self.begin(call).await?;
        let holder = once_there(&mut tx, call, holder).await?;
        let ended = tx.revoke_certificates_of(&cluster.id, &holder, self.now()).await?;
        let resource = format!("cluster/{}/principal/{holder}/certificates", cluster.id);
        self.commit_for_fleet(tx, call, REVOKE, &resource).await?;
        Ok(ended)
    }

    /// Revokes one certificate.
    ///
    /// # Errors
    /// `NotFound` if there is none of that serial; `Conflict` if it is over; `Forbidden`, also for somebody else's.
    pub async fn revoke_certificate(&self, call: &Call, serial: &str) -> Result<Certificate> {
        let right = authz::require_somewhere(call, REVOKE)?;
        let mut tx = self.begin(call).await?;
        let found = tx.certificate(call.account(), serial, self.now()).await?;
        let found = found.ok_or_else(|| Error::not_found("certificate", serial))?;
        on_cluster(&mut tx, call, &right, &found.cluster).await?;
        let holder = Holder::Named { kind: None, which: Which::Id(found.principal.as_str()) };
        ForOthers::Administrators.allow(call, holder, REVOKE)?;
        let now = self.now();
        if !tx.revoke_certificate(&CertificateId::stored(serial), now).await? {
            return Err(Error::conflict(format!("certificate `{serial}` is over already")));
        }
        self.commit_for_fleet(tx, call, REVOKE, &resource(&found)).await?;
        Ok(Certificate { revoked_at: Some(now), ..found })
    }

    /// Chooses for how many hours from now the lasting certificates of somebody are good in a cluster: those that they
    /// have, as far as these say so themselves, and those to come. Only the root user chooses.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`; `Invalid` naming `hours`.
    pub async fn set_certificate_lifetime(
        &self,
        call: &Call,
        cluster: impl Into<WhichCluster<'_>> + Send,
        holder: Holder<'_>,
        hours: i64,
    ) -> Result<()> {
        let right = authz::require_somewhere(call, SET_LIFETIME)?;
        let cluster = self.certifying(call, &right, cluster.into()).await?;
        ForOthers::RootAlone.allow(call, holder, SET_LIFETIME)?;
        if !(1..=MAX_HOURS).contains(&hours) {
            return Err(Error::invalid("hours", format!("must be 1 to {MAX_HOURS}")));
        }
        let mut tx = self.begin(call).await?;
        let holder = holder.find(&mut tx, call).await?;
        let now = self.now();
        tx.set_certificate_lifetime(&cluster.id, &holder.id, hours).await?;
        tx.set_certificates_end(&cluster.id, &holder.id, now.plus_seconds(hours * 3600), now).await?;
        let resource = format!("cluster/{}/{}/{}/certificates", cluster.id, holder.kind, holder.id);
        self.commit_for_fleet(tx, call, SET_LIFETIME, &resource).await
    }
}

/// The id of somebody who is there, or of whom certificates are known.
pub(super) async fn once_there(tx: &mut ReadTx, call: &Call, holder: Holder<'_>) -> Result<PrincipalId> {
    let missing = match holder.find(tx, call).await {
        Ok(found) => return Ok(found.id),
        Err(missing) => missing,
    };
    let Holder::Named { which, .. } = holder else { return Err(missing) };
    let id = PrincipalId::stored(which.text());
    let filter = CertificateFilter { principal: Some(id.clone()), cluster: None };
    let known =
        tx.certificates(call.account(), &filter, &Page { after: None, limit: 1 }, call.origin.at).await?;
    if known.is_empty() { Err(missing) } else { Ok(id) }
}

/// Lets the call pass if the right holds on the cluster, which may be removed.
async fn on_cluster(tx: &mut WriteTx, call: &Call, right: &Right<'_>, id: &ClusterId) -> Result<()> {
    let all = tx.clusters(call.account()).await?;
    let found = all.iter().find(|cluster| cluster.id == *id);
    right.on(&found.map_or_else(|| Thing::unknown_cluster(id), Thing::cluster))
}
