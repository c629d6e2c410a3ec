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
use super::standing::Place;
use super::workloads::{Reached, Signing};
use crate::service::Service;

/// A cluster is asked at most so often because of tokens that its known keys do not prove.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// So often while nothing is known of it.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a cluster said so long ago is asked anew: a key that was given up must not go on.
const FRESH: Duration = Duration::from_secs(300);

/// What was said so long ago counts no more, though the cluster does not answer.
const COUNTS: Duration = Duration::from_secs(3600);

/// Why keys are not believed that nobody else says.
const UNPROVED: &str = "the cluster has new keys for service accounts' tokens and does not prove that it is the one that was \
                        registered: let the connector read its namespace `kube-system`";

/// What is known of each cluster.
#[derive(Default)]
pub(crate) struct KnownKeys {
    clusters: Mutex<HashMap<ClusterId, Arc<Entry>>>,
}

/// What is known of one cluster.
#[derive(Default)]
struct Entry {
    known: Mutex<Option<Known>>,
    /// Held by the one who asks. When somebody had asked, and what came of it if nothing did.
    asking: tokio::sync::Mutex<Option<(Instant, Option<Refusal>)>>,
}

/// How a cluster signs, and when it said so.
#[derive(Clone)]
pub(super) struct Known {
    /// Of which version of the connection.
    version: i64,
    pub(super) signing: Arc<Signing>,
    /// When the cluster said so.
    said_at: Instant,
    /// When it was asked last, whatever it answered.
    asked_at: Instant,
    /// What is wrong with keys that are new.
    doubt: Option<Refusal>,
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
        let counts = |known: &Known| known.version == version && known.said_at.elapsed() < COUNTS;
        lock(&self.known).clone().filter(counts)
    }
}

impl Service {
    /// What a token proves about a workload of a cluster.
    pub(super) async fn proved(&self, place: &Place, token: &str) -> Result<Claims, Stopped> {
        let token = Unverified::read(token)?;
        let reached = &place.reached;
        let known = self.known_signing(reached).await?;
        let keys = place.own_keys(&known.signing);
        match self.verified(&token, &known.signing, &keys) {
            // Keys are rotated, and issuers renamed. Everything else is as wrong tomorrow.
            Err(Stopped::Refused(Refusal::Token(Rejected::UnknownKey(_) | Rejected::Issuer))) => {
                let known = self.ask_signing(reached, Some(known.asked_at)).await?;
                let identity = self.identity_of(&reached.cluster).await?;
                if identity != place.identity {
                    // More is known of it now.
                    self.places.remove(reached.cluster.as_str());
                }
                let keys =
                    identity.map(|identity| known.signing.keys.only(&identity.keys)).unwrap_or_default();
                let verified = self.verified(&token, &known.signing, &keys);
                match known.doubt {
                    Some(doubt) if verified.is_err() && known.signing.keys.has(token.kid()) => {
                        Err(doubt.into())
                    }
                    Some(_) | None => verified,
                }
            }
            verified => verified,
        }
    }

    /// How the cluster signs, as it said lately.
    async fn known_signing(&self, reached: &Reached) -> Result<Known, Stopped> {
        let entry = self.known_keys.entry(&reached.cluster);
        match entry.known(reached.version) {
            Some(known) if known.said_at.elapsed() < FRESH => Ok(known),
            // While somebody else asks again, it counts.
            Some(known) if known.asked_at.elapsed() < ASK_EVERY || entry.asking.try_lock().is_err() => {
                Ok(known)
            }
            Some(known) => self.ask_signing(reached, Some(known.asked_at)).await,
            None => self.ask_signing(reached, None).await,
        }
    }

    fn verified(&self, token: &Unverified<'_>, signing: &Signing, keys: &KeySet) -> Result<Claims, Stopped> {
        let audience = &self.settings.pod_identity.audience;
        if *audience == signing.issuer {
            return Err(Refusal::EveryToken.into());
        }
        let expected = Expected { issuer: &signing.issuer, audience };
        Ok(token.verify(keys, &expected, self.now())?)
    }

    /// How the cluster signs, asked now unless somebody did after `than`, or did so very recently. New keys are learned on
    /// the way, so that whatever tokens show, a cluster is asked one time.
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
        let answer = self.workloads.signing(reached).await.map_err(Stopped::by_cluster);
        let answer = match answer {
            Ok(signing) => self.learned(reached, &signing.keys).await.map(|doubt| (signing, doubt)),
            Err(stopped) => Err(stopped),
        };
        // After the answer: whoever waited for it meanwhile has it, though it took its time.
        let now = Instant::now();
        let found = match (answer, &known) {
            (Ok((signing, doubt)), _) => {
                let signing = Arc::new(signing);
                Known { version: reached.version, signing, said_at: now, asked_at: now, doubt }
            }
            // What was true a while ago still is, as far as anybody knows; it is asked again soon enough.
            (Err(_), Some(known)) => Known { asked_at: now, ..known.clone() },
            (Err(stopped), None) => {
                let refusal = match &stopped {
                    Stopped::Refused(refusal) => Some(refusal.clone()),
                    Stopped::Failed(_) => None,
                };
                *asking = Some((now, refusal));
                return Err(stopped);
            }
        };
        let is_news = known.is_none_or(|known| known.signing != found.signing);
        *lock(&entry.known) = Some(found.clone());
        if is_news {
            // Agents wait to be told.
            self.poke();
        }
        Ok(found)
    }

    /// Learns those of the keys that are new, from the cluster itself. Returns why they are not believed.
    async fn learned(&self, reached: &Reached, keys: &KeySet) -> Result<Option<Refusal>, Stopped> {
        let identity = self.identity_of(&reached.cluster).await?;
        if identity.as_ref().is_some_and(|identity| keys.only(&identity.keys) == *keys) {
            return Ok(None);
        }
        let found = self.prober.identify(&reached.connection).await.map_err(Stopped::by_cluster)?;
        if !self.fleet_identified(&reached.cluster, reached.version, &found).await? {
            return Ok(Some(Refusal::OtherCluster));
        }
        let identity = self.identity_of(&reached.cluster).await?;
        let knows_all = identity.is_some_and(|identity| keys.only(&identity.keys) == *keys);
        Ok((!knows_all).then(|| Refusal::Silent(UNPROVED.to_owned())))
    }

    pub(super) async fn identity_of(&self, cluster: &ClusterId) -> Result<Option<ClusterIdentity>, Error> {
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
        known.doubt.map_or(Ok(()), |doubt| Err(doubt.into()))
    }
}
