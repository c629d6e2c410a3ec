//! How clusters sign the tokens of their service accounts, kept in memory and asked anew when a token shows that
//! something changed: at most once in a while for each cluster, by one at a time.
//!
//! Only keys count that are known to be the registered cluster's. A new one becomes known as the worker learns it, or here:
//! over the same connection, from the cluster with the same uid.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{ClusterId, ClusterIdentity, Error};
use podidentity::{Claims, Expected, KeySet, Rejected, Unverified};
use store::ConnectionFacts;
use tokio::time::Instant;

use super::refusal::{Refusal, Stopped};
use super::workloads::{Reached, Signing};
use crate::service::Service;

/// A cluster is asked at most so often because of tokens that its known keys do not prove.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// So often while nothing is known of it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What is known of each cluster.
#[derive(Default)]
pub(crate) struct KnownKeys {
    clusters: Mutex<HashMap<ClusterId, Arc<Entry>>>,
}

/// What is known of one cluster.
#[derive(Default)]
struct Entry {
    known: Mutex<Option<Known>>,
    /// Held by the one who asks. When that was, and what came of it if nothing did.
    asking: tokio::sync::Mutex<Option<(Instant, Option<Refusal>)>>,
}

/// How a cluster signs, and when it said so.
#[derive(Clone)]
pub(super) struct Known {
    /// Of which version of the connection.
    version: i64,
    pub(super) signing: Arc<Signing>,
    asked_at: Instant,
}

/// What is known about how a cluster signs.
pub(super) enum SigningNow {
    /// How it does.
    Known(Signing),
    /// This server did not ask it yet.
    Unknown,
    /// The cluster is suspended, detached or removed: whatever it signs counts for nothing.
    Never,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KnownKeys {
    fn entry(&self, cluster: &ClusterId) -> Arc<Entry> {
        Arc::clone(lock(&self.clusters).entry(cluster.clone()).or_default())
    }
}

impl Entry {
    fn known(&self, version: i64) -> Option<Known> {
        lock(&self.known).clone().filter(|known| known.version == version)
    }
}

impl Service {
    /// What a token proves about a workload of the cluster behind `reached`, which is known as `identity`.
    pub(super) async fn proved(
        &self,
        reached: &Reached,
        identity: Option<&ClusterIdentity>,
        token: &str,
    ) -> Result<Claims, Stopped> {
        let token = Unverified::read(token)?;
        let known = match self.known_keys.entry(&reached.cluster).known(reached.version) {
            Some(known) => known,
            None => self.ask_signing(reached, None).await?,
        };
        let keys = identity.map(|identity| known.signing.keys.only(&identity.keys)).unwrap_or_default();
        match self.verified(&token, &known.signing, &keys) {
            // Keys are rotated, and issuers renamed. Everything else is as wrong tomorrow.
            Err(Rejected::UnknownKey(_) | Rejected::Issuer) => {
                let known = self.ask_signing(reached, Some(known.asked_at)).await?;
                let keys = self.of_this_cluster(reached, &known.signing.keys).await?;
                Ok(self.verified(&token, &known.signing, &keys)?)
            }
            verified => Ok(verified?),
        }
    }

    fn verified(&self, token: &Unverified<'_>, signing: &Signing, keys: &KeySet) -> Result<Claims, Rejected> {
        let expected = Expected { issuer: &signing.issuer, audience: &self.settings.pod_identity.audience };
        token.verify(keys, &expected, self.now())
    }

    /// How the cluster signs, asked now unless somebody did after `than`, or did so very recently.
    pub(super) async fn ask_signing(
        &self,
        reached: &Reached,
        than: Option<Instant>,
    ) -> Result<Known, Stopped> {
        let entry = self.known_keys.entry(&reached.cluster);
        let mut asking = entry.asking.lock().await;
        let known = entry.known(reached.version);
        if let Some(known) = &known
            && (than.is_none_or(|than| known.asked_at > than) || known.asked_at.elapsed() < ASK_EVERY)
        {
            return Ok(known.clone());
        }
        if let (None, Some((at, Some(refusal)))) = (&known, &*asking)
            && at.elapsed() < ASK_AGAIN
        {
            return Err(refusal.clone().into());
        }
        let asked_at = Instant::now();
        let answer = self.workloads.signing(reached).await.map_err(Stopped::by_cluster);
        let found = match (answer, known) {
            (Ok(signing), _) => Known { version: reached.version, signing: Arc::new(signing), asked_at },
            // What was true a while ago still is, as far as anybody knows; it is asked again soon enough.
            (Err(_), Some(known)) => Known { asked_at, ..known },
            (Err(stopped), None) => {
                let refusal = match &stopped {
                    Stopped::Refused(refusal) => Some(refusal.clone()),
                    Stopped::Failed(_) => None,
                };
                *asking = Some((asked_at, refusal));
                return Err(stopped);
            }
        };
        *lock(&entry.known) = Some(found.clone());
        Ok(found)
    }

    /// Those of the keys that are the registered cluster's: what is new is learned from the cluster itself.
    async fn of_this_cluster(&self, reached: &Reached, keys: &KeySet) -> Result<KeySet, Stopped> {
        let identity = self.identity_of(&reached.cluster).await?;
        let known = identity.as_ref().map(|identity| keys.only(&identity.keys)).unwrap_or_default();
        if known == *keys {
            return Ok(known);
        }
        let found = self.prober.identify(&reached.connection).await.map_err(Stopped::by_cluster)?;
        if !self.fleet_identified(&reached.cluster, reached.version, &found).await? {
            return Err(Refusal::OtherCluster.into());
        }
        let identity = self.identity_of(&reached.cluster).await?;
        Ok(identity.map(|identity| keys.only(&identity.keys)).unwrap_or_default())
    }

    async fn identity_of(&self, cluster: &ClusterId) -> Result<Option<ClusterIdentity>, Error> {
        Ok(self.connection_facts(cluster).await?.and_then(|facts| facts.identity))
    }

    async fn connection_facts(&self, cluster: &ClusterId) -> Result<Option<ConnectionFacts>, Error> {
        let mut tx = self.store.read().await?;
        let facts = tx.connection_facts(cluster).await?;
        tx.end().await?;
        Ok(facts)
    }

    /// How a cluster signs, as far as it is known and counts. Nobody is asked: whoever watches the cluster asks.
    pub(super) fn signing_now(&self, cluster: &ClusterId, facts: Option<&ConnectionFacts>) -> SigningNow {
        let counts = |facts: &&ConnectionFacts| !facts.removed && !facts.suspended && facts.sealed.is_some();
        let Some(facts) = facts.filter(counts) else { return SigningNow::Never };
        let (known, identity) = (self.known_keys.entry(cluster).known(facts.version), &facts.identity);
        let (Some(known), Some(identity)) = (known, identity) else { return SigningNow::Unknown };
        let keys = known.signing.keys.only(&identity.keys);
        SigningNow::Known(Signing { issuer: known.signing.issuer.clone(), keys })
    }

    /// Asks a cluster how it signs, unless that is known well enough, and learns its new keys.
    ///
    /// # Errors
    /// As a refusal with its word if the cluster does not say it.
    pub async fn learn_pod_keys(&self, reached: &Reached) -> Result<(), Error> {
        Ok(self.keys_of(reached).await?)
    }

    /// The same.
    pub(super) async fn keys_of(&self, reached: &Reached) -> Result<(), Stopped> {
        let before = self.known_keys.entry(&reached.cluster).known(reached.version);
        let known = self.ask_signing(reached, before.map(|known| known.asked_at)).await?;
        self.of_this_cluster(reached, &known.signing.keys).await?;
        Ok(())
    }
}
