//! Vending to a pod that asks by itself, without an agent on its node: nobody is authenticated but the token.
//!
//! Strangers reach this. So what costs something comes after what costs nothing: what the token says of itself is read before
//! the database is asked, a signature is checked before the cluster is, and an association is found before it is asked
//! whether the pod lives. And until the token is proved, every refusal that has to do with a cluster is the same one: whoever
//! has no credential does not learn from it which clusters there are, or how they are.
//!
//! **What bounds strangers.** A token cannot be guessed, so nothing has to be locked; what is bounded is what wrong ones cost:
//! a reading of the database and a signature each. An address may be wrong a thousand times at once, as when all pods of a
//! cluster ask for another audience, and a hundred times in a second for long; beyond that its tokens are not looked at.
//! Behind one address may be all pods of a cluster: so only what proves nothing is counted, nothing is held against the
//! address once it ends, and a token that this server has proved is looked at whatever else comes from there: pods that run
//! go on beside one that floods. New pods behind that address wait for it to end, which is the price of knowing nobody before
//! the signature was checked. Whoever is proved is bounded for themselves, by their uid, and before the signature when they
//! come again.

use std::sync::Arc;

use domain::Result;
use podidentity::{Claims, Rejected, Unverified};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::messenger::Messenger;
use super::refusal::{Refusal, Stopped};
use super::standing::Place;
use super::vending::Vended;
use crate::audit::AuthFailure;
use crate::cache::Copy;
use crate::call::Origin;
use crate::service::Service;

/// So many tokens are known to have been proved.
const KNOWN: usize = 20_000;

/// Tokens that this server has proved to be of a cluster, by the digest of both. They are proved again whenever they come: to
/// be among them only means to be looked at.
pub(crate) struct ProvedBefore {
    tokens: Cache<[u8; 32], ()>,
}

impl Default for ProvedBefore {
    fn default() -> Self {
        Self { tokens: Cache::new(KNOWN) }
    }
}

impl ProvedBefore {
    fn has(&self, mark: &[u8; 32]) -> bool {
        self.tokens.get(mark).is_some()
    }

    fn add(&self, mark: [u8; 32]) {
        self.tokens.insert(mark, ());
    }

    fn forget(&self, mark: &[u8; 32]) {
        self.tokens.remove(mark);
    }
}

impl Service {
    /// Credentials for a pod that shows its token itself. `cluster` is an id: names are an account's, and here is none.
    ///
    /// # Errors
    /// A [`Refusal`] with its word, `Refusal::NotDirect` if pods may not; `Limited` for a source that was wrong too often, or
    /// a pod that asks too often.
    pub async fn vend_to_pod(
        self: &Arc<Self>,
        origin: &Origin,
        cluster: &str,
        token: &str,
    ) -> Result<Vended> {
        let vended = self.vended_to_pod(origin, cluster, token).await;
        self.counters.vended(&vended);
        if matches!(vended, Err(Stopped::Refused(_))) {
            self.note_failure(origin, AuthFailure::PodToken);
        }
        Ok(vended?)
    }

    async fn vended_to_pod(
        self: &Arc<Self>,
        origin: &Origin,
        cluster: &str,
        token: &str,
    ) -> Result<Vended, Stopped> {
        if !self.settings.pod_identity.direct {
            return Err(Refusal::NotDirect.into());
        }
        let mark = mark(cluster, token);
        if self.proved_before.has(&mark) {
            self.limiter.look_at_pod(cluster, uid(&self.said(token)?))?;
        } else {
            self.limiter.look_at_token(origin)?;
        }
        let (place, claims) = match self.shown_by_pod(cluster, token).await {
            Err(Stopped::Refused(refusal)) => {
                self.proved_before.forget(&mark);
                self.limiter.wrong_pod_token(origin);
                return Err(refusal.into());
            }
            other => other?,
        };
        self.proved_before.add(mark);
        self.limiter.pod(&place.value.cluster.id, uid(&claims))?;
        self.vended_for(Messenger::Pod(origin.clone()), &place, claims).await
    }

    /// What a token proves, and of which cluster. What is refused here was not proved.
    async fn shown_by_pod(&self, cluster: &str, token: &str) -> Result<(Arc<Copy<Place>>, Claims), Stopped> {
        // What is wrong with it in every cluster may be told, and costs no look at any.
        self.said(token)?;
        let shown = match self.place_anywhere(cluster).await {
            Ok(None) => return Err(Refusal::Unproved.into()),
            Ok(Some(place)) => self.proved(&place.value, token).await.map(|claims| (place, claims)),
            Err(stopped) => Err(stopped),
        };
        match shown {
            Err(Stopped::Refused(refusal)) => {
                // Whoever runs the server may know more than a stranger.
                tracing::debug!(cluster, why = refusal.word(), "a pod's token was not proved");
                Err(Refusal::Unproved.into())
            }
            other => other,
        }
    }

    /// What a token says of itself, if it could be one for here.
    fn said(&self, token: &str) -> Result<Claims, Rejected> {
        let audience = &self.settings.pod_identity.audience;
        Unverified::read(token)?.claims_unproved(None, audience, self.now())
    }
}

/// By what a token is known that is shown for a cluster: no second pair of both has the same.
fn mark(cluster: &str, token: &str) -> [u8; 32] {
    let digest = Sha256::new().chain_update(cluster.len().to_be_bytes());
    digest.chain_update(cluster).chain_update(token).finalize().into()
}

/// Who asks: the pod, or for a token that is bound to none the service account.
fn uid(claims: &Claims) -> &str {
    claims.pod.as_ref().map_or(&claims.service_account.uid, |pod| &pod.uid)
}
