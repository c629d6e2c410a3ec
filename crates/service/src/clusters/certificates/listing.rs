//! Which certificates there are, and how they stand.

use domain::{Cluster, ClusterId, PrincipalId, Result, Timestamp};
use store::{Certificate, CertificateFilter};

use super::holder::Holder;
use crate::authz::{self, Thing};
use crate::call::Call;
use crate::directory::which::Which;
use crate::service::{PageRequest, Paged, Service};

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// The cluster has yet to sign it.
    Signing,
    /// It lives.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked, its holder, its cluster or that with which it was asked for is gone, or it never came to be.
    Revoked,
}

impl CertificateState {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    pub(super) fn of(certificate: &Certificate, now: Timestamp) -> Self {
        match (certificate.revoked_at, certificate.not_after) {
            (Some(_), _) => Self::Revoked,
            (None, _) if certificate.source_ended && certificate.expires_at > now => Self::Revoked,
            (None, None) if certificate.expires_at <= now => Self::Revoked,
            (None, None) => Self::Signing,
            (None, Some(_)) if certificate.expires_at <= now => Self::Expired,
            (None, Some(_)) => Self::Live,
        }
    }
}

/// A certificate in a list.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// What is known about it.
    pub certificate: Certificate,
    /// How it stands.
    pub state: CertificateState,
    /// The cluster's name; empty if it was removed.
    pub cluster_name: String,
}

/// What a list of certificates begins with.
pub(super) const LIST: &str = "bailiwick:certificate:list";

impl Service {
    /// A page of the account's certificates, the oldest first: of a cluster, of a holder, or all. Who is gone is named by id.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Invalid` naming `limit` or `cursor`.
    pub async fn list_certificates(
        &self,
        call: &Call,
        cluster: Option<&str>,
        holder: Option<Which<'_>>,
        request: &PageRequest,
    ) -> Result<Paged<IssuedCertificate>> {
        let right = authz::require_somewhere(call, LIST)?;
        let cluster = match cluster {
            Some(named) => Some(self.cluster_for(call, &right, named).await?.id),
            None => None,
        };
        let mut page = request.to_page()?;
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut tx = self.store.read().await?;
        let principal = match holder {
            None => None,
            Some(which) => {
                let found = Holder::Named { kind: None, which }.find(&mut tx, call).await;
                Some(found.map_or_else(|_| PrincipalId::stored(which.text()), |found| found.id))
            }
        };
        let filter = CertificateFilter { cluster, principal };
        let clusters = tx.clusters(call.account()).await?;
        let is_seen = |id: &ClusterId| {
            right.holds_for(&known(&clusters, id).map_or_else(|| Thing::unknown_cluster(id), Thing::cluster))
        };
        let mut seen = Vec::new();
        loop {
            let found = tx.certificates(call.account(), &filter, &page, self.now()).await?;
            let is_last = found.len() < wanted;
            page.after = found.last().map(key);
            seen.extend(found.into_iter().filter(|found| is_seen(&found.cluster)));
            if is_last || seen.len() >= wanted {
                break;
            }
        }
        tx.end().await?;
        seen.truncate(wanted);
        if seen.is_empty() {
            right.unless_denied_outright()?;
        }
        let now = self.now();
        let issued = |certificate: Certificate| IssuedCertificate {
            state: CertificateState::of(&certificate, now),
            cluster_name: known(&clusters, &certificate.cluster)
                .map(|cluster| cluster.name.clone())
                .unwrap_or_default(),
            certificate,
        };
        request.paged(seen.into_iter().map(issued).collect(), |issued| key(&issued.certificate))
    }
}

fn key(certificate: &Certificate) -> (Timestamp, String) {
    (certificate.issued_at, certificate.id.as_str().to_owned())
}

fn known<'a>(clusters: &'a [Cluster], id: &ClusterId) -> Option<&'a Cluster> {
    clusters.iter().find(|cluster| cluster.id == *id)
}
