//! Which certificates there are, and how they stand.

use domain::{Cluster, ClusterId, PrincipalId, Result, Timestamp};
use store::{Certificate, CertificateFilter};

use super::holder::Holder;
use crate::authz::{self, Thing};
use crate::call::Call;
use crate::service::{PageRequest, Paged, Service};
use crate::which::Which;

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// The cluster has yet to sign it.
    Signing,
    /// It lives.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked, its holder or its cluster is gone, or it never came to be.
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
        page: &PageRequest,
    ) -> Result<Paged<IssuedCertificate>> {
        let all = self.certificates_of(call, cluster, holder).await?;
        page.slice(&all, |issued| (issued.certificate.issued_at, issued.certificate.id.as_str().to_owned()))
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`Service::list_certificates`].
    pub async fn certificates_of(
        &self,
        call: &Call,
        cluster: Option<&str>,
        holder: Option<Which<'_>>,
    ) -> Result<Vec<IssuedCertificate>> {
        let right = authz::require_somewhere(call, LIST)?;
        let only = match cluster {
            Some(named) => Some(self.cluster_for(call, &right, named).await?.id),
            None => None,
        };
        let mut tx = self.store.read().await?;
        let principal = match holder {
            None => None,
            Some(which) => {
                let found = Holder::Named { kind: None, which }.find(&mut tx, call).await;
                Some(found.map_or_else(|_| PrincipalId::stored(which.text()), |found| found.id))
            }
        };
        let filter = CertificateFilter { cluster: only, principal };
        let clusters = tx.clusters(call.account()).await?;
        let every = store::Page { after: None, limit: i64::MAX };
        let found = tx.certificates(call.account(), &filter, &every).await?;
        tx.end().await?;
        let now = self.now();
        let is_seen = |id: &ClusterId| {
            let known = known(&clusters, id);
            right.holds_for(&known.map_or_else(|| Thing::unknown_cluster(id), Thing::cluster))
        };
        let issued = |certificate: Certificate| IssuedCertificate {
            state: CertificateState::of(&certificate, now),
            cluster_name: known(&clusters, &certificate.cluster)
                .map(|cluster| cluster.name.clone())
                .unwrap_or_default(),
            certificate,
        };
        let seen: Vec<_> = found.into_iter().filter(|found| is_seen(&found.cluster)).map(issued).collect();
        if seen.is_empty() {
            right.unless_denied_outright()?;
        }
        Ok(seen)
    }
}

fn known<'a>(clusters: &'a [Cluster], id: &ClusterId) -> Option<&'a Cluster> {
    clusters.iter().find(|cluster| cluster.id == *id)
}
