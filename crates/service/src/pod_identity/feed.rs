//! What the agents of a cluster are told: which associations there are, which changed, and how tokens are verified.
//!
//! An agent asks and is kept waiting until there is something to say, or its time is over. That costs no worker: who waits is
//! a future. A commit wakes all that wait; each then compares what is read once for all of a cluster.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{AccountId, Cluster, ClusterId, Error, ErrorKind, Result};
use podidentity::KeySet;
use podidentity::feed::{Feed, Known, State, Verification};
use store::ConnectionFacts;
use tokio::sync::watch;
use tokio::time::Instant;

use super::keys::SigningNow;
use super::workloads::Signing;
use crate::authz::{self, Thing};
use crate::cache::{Copies, Copy};
use crate::call::{Call, Caller, Proof};
use crate::service::Service;

pub(super) const FOLLOW: &str = "bailiwick:podIdentity:follow";

/// The longest that somebody may want to wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// So many agents of one cluster may wait at once: one on each of its nodes, and some.
const MOST_WAITING: usize = 2_500;
/// What workers write about a cluster counts no commit, so it is looked at again after so long.
const OBSERVED_EVERY: Duration = Duration::from_secs(2);
/// For so long it is known which associations ended.
const REMEMBERED_SECONDS: i64 = 7 * 24 * 3600;

/// Who waits for news, and what is known of those.
pub(crate) struct Followers {
    waiting: Mutex<HashMap<ClusterId, Waiting>>,
    /// Of each cluster, what those who wait for it compare.
    news: Copies<News>,
    over: watch::Sender<bool>,
    reads: AtomicU64,
}

/// What following costs a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLoad {
    /// So many wait.
    pub waiting: usize,
    /// So often it was read what is new, since the server began.
    pub reads: u64,
}

/// What is compared by all who wait for a cluster.
#[derive(Clone)]
struct News {
    /// At which revision an association was made, changed or ended last.
    newest: i64,
    verification: Arc<Verification>,
    read_at: Instant,
}

#[derive(Default)]
struct Waiting {
    count: usize,
    /// Of whose account.
    account: Option<AccountId>,
    /// Who reads what is newest, one at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Followers {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            news: Copies::of_directory(2_000),
            over: watch::Sender::new(false),
            reads: AtomicU64::new(0),
        }
    }
}

/// A place among those who wait.
struct Place<'a> {
    followers: &'a Followers,
    cluster: ClusterId,
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.followers.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = waiting.get_mut(&self.cluster) {
            found.count = found.count.saturating_sub(1);
            if found.count == 0 {
                waiting.remove(&self.cluster);
            }
        }
    }
}

impl Followers {
    /// Takes a place of which there are `most`. One account has three of four of them, so that it keeps no other out.
    fn enter(&self, cluster: &Cluster, most: usize) -> Result<Place<'_>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |of: &dyn Fn(&Waiting) -> bool| -> usize {
            waiting.values().filter(|one| of(one)).map(|one| one.count).sum()
        };
        let of_account = count(&|one| one.account.as_ref() == Some(&cluster.account));
        let here = waiting.get(&cluster.id).map_or(0, |one| one.count);
        let full = [
            (count(&|_| true) >= most, "agents of all clusters"),
            (of_account >= most - most / 4, "agents of the account's clusters"),
            (here >= MOST_WAITING, "agents of this cluster"),
        ];
        if let Some((_, whose)) = full.into_iter().find(|(is_full, _)| *is_full) {
            let message = format!("as many {whose} are waiting already as may; try again");
            return Err(Error::new(ErrorKind::Limited, message));
        }
        let found = waiting.entry(cluster.id.clone()).or_default();
        found.count += 1;
        found.account = Some(cluster.account.clone());
        let reading = Arc::clone(&found.reading);
        Ok(Place { followers: self, cluster: cluster.id.clone(), reading })
    }
}

/// What an agent was told last.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// The revision of the answer; 0 for who was told nothing.
    pub revision: i64,
    /// Its history, from who remembers it.
    pub history: Option<&'a str>,
}

impl From<i64> for After<'_> {
    fn from(revision: i64) -> Self {
        Self { revision, history: None }
    }
}

/// Why somebody waits no longer.
enum Woken {
    /// Something was committed somewhere.
    Change,
    /// Nothing more is waited for.
    Enough,
}

impl Service {
    /// What changed in a cluster after the revision `after` of its account; everything if that is 0, or longer ago than is
    /// remembered, or not yet reached, or of another history. Waits for a change no longer than `wait`.
    ///
    /// # Errors
    /// `NotFound` if there is no such cluster; `Forbidden`; `Limited` if too many wait; `Unauthenticated` for who lost
    /// their credential while they waited.
    pub async fn follow_pod_identity(
        &self,
        call: &Call,
        cluster: &str,
        after: impl Into<After<'_>>,
        wait: Duration,
    ) -> Result<Feed> {
        let right = authz::require_somewhere(call, FOLLOW)?;
        let after = after.into();
        let found = self.cluster_for(call, &right, cluster).await?;
        let mut changes = self.changes();
        changes.mark_unchanged();
        let place = self.followers.enter(&found, self.settings.pod_identity.most_waiting)?;
        let before = self.feed_news(&place, &found, after.revision).await?.verification;
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        let mut waited = false;
        while !self.has_news(&place, &found, after.revision, &before).await? {
            waited = true;
            match self.woken(&mut changes, deadline).await {
                Woken::Change => {}
                Woken::Enough => break,
            }
        }
        drop(place);
        if !waited {
            return self.feed(&found, after).await;
        }
        // Rights may have been lost meanwhile, and the cluster removed.
        let call = self.as_now(call).await?;
        let right = authz::require_somewhere(&call, FOLLOW)?;
        let found = self.cluster_for(&call, &right, found.id.as_str()).await?;
        right.on(&Thing::cluster(&found))?;
        self.feed(&found, after).await
    }

    /// Lets nobody wait any longer, because the server ends.
    pub fn stop_waiting(&self) {
        self.followers.over.send_replace(true);
    }

    /// How many wait, and what that costs.
    #[must_use]
    pub fn feed_load(&self) -> FeedLoad {
        let waiting = self.followers.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.values().map(|one| one.count).sum();
        FeedLoad { waiting, reads: self.followers.reads.load(Ordering::Relaxed) }
    }

    /// Forgets associations that ended long ago. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn forget_association_ends(&self) -> Result<u64> {
        self.store.forget_association_ends(self.now().plus_seconds(-REMEMBERED_SECONDS)).await
    }

    async fn woken(&self, changes: &mut watch::Receiver<u64>, deadline: Instant) -> Woken {
        let mut over = self.followers.over.subscribe();
        tokio::select! {
            changed = changes.changed() => if changed.is_ok() { Woken::Change } else { Woken::Enough },
            _ = over.wait_for(|over| *over) => Woken::Enough,
            () = tokio::time::sleep_until(deadline) => Woken::Enough,
        }
    }

    async fn has_news(
        &self,
        place: &Place<'_>,
        cluster: &Cluster,
        after: i64,
        before: &Verification,
    ) -> Result<bool> {
        if after <= 0 {
            return Ok(true);
        }
        let news = self.feed_news(place, cluster, after).await?;
        Ok(news.newest > after || *news.verification != *before)
    }

    /// What changed last in the cluster; later than ever if the account has not come as far as `after`.
    async fn feed_news(&self, place: &Place<'_>, cluster: &Cluster, after: i64) -> Result<News> {
        let key = cluster.id.as_str();
        let news = &self.followers.news;
        // A copy may be older than what the agent was told, by commits that it need not follow, or by another server.
        let is_new =
            |copy: &Arc<Copy<News>>| copy.revision >= after && copy.value.read_at.elapsed() < OBSERVED_EVERY;
        let known = || news.get(&self.revisions, key).filter(is_new).map(|copy| copy.value.clone());
        if let Some(known) = known() {
            return Ok(known);
        }
        let _turn = place.reading.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        self.followers.reads.fetch_add(1, Ordering::Relaxed);
        let read_at = Instant::now();
        let mut tx = self.store.read().await?;
        let revision = tx.revision(&cluster.account).await?;
        let newest = tx.newest_association(&cluster.id).await?;
        let facts = tx.connection_facts(&cluster.id).await?;
        tx.end().await?;
        let verification = Arc::new(self.verification(&cluster.id, facts.as_ref()));
        let value = News { newest, verification, read_at };
        let account = cluster.account.clone();
        news.put(key, Copy { account, revision, others: Vec::new(), value: value.clone() });
        Ok(if revision < after { News { newest: i64::MAX, ..value } } else { value })
    }

    async fn feed(&self, cluster: &Cluster, after: After<'_>) -> Result<Feed> {
        let mut tx = self.store.read().await?;
        let facts = tx.connection_facts(&cluster.id).await?;
        let verification = self.verification(&cluster.id, facts.as_ref());
        let revision = tx.revision(&cluster.account).await?;
        let forgotten = tx.association_ends_forgotten(&cluster.id).await?;
        let history = tx.history().await?;
        let other = after.history.is_some_and(|known| known != history);
        let after = after.revision;
        let complete = after <= 0 || after > revision || after < forgotten || other;
        let associations = tx.associations_of_cluster(&cluster.id, if complete { 0 } else { after }).await?;
        let ended = match complete {
            true => Vec::new(),
            false => tx.association_ends(&cluster.id, after).await?,
        };
        tx.end().await?;
        let known = |one: domain::Association| Known {
            id: one.id.to_string(),
            namespace: one.namespace.to_string(),
            service_account: one.service_account.to_string(),
            epoch: one.epoch,
            created_at: one.created_at.rfc3339_micros(),
        };
        Ok(Feed {
            revision,
            history,
            complete,
            verification,
            associations: associations.into_iter().map(known).collect(),
            ended: ended.iter().map(ToString::to_string).collect(),
        })
    }

    fn verification(&self, cluster: &ClusterId, facts: Option<&ConnectionFacts>) -> Verification {
        let settings = &self.settings.pod_identity;
        let (state, issuer, keys) = match self.signing_now(cluster, facts) {
            SigningNow::Known(Signing { issuer, keys }) => (State::Known, Some(issuer), keys),
            SigningNow::Unknown => (State::Unknown, None, KeySet::default()),
            SigningNow::Never => (State::None, None, KeySet::default()),
        };
        Verification {
            state,
            audience: settings.audience.clone(),
            issuer,
            keys,
            uri_variable: settings.uri_variable.clone(),
            token_file_variable: settings.token_file_variable.clone(),
            direct: settings.direct,
        }
    }

    /// The same call by somebody as they are now, after they waited.
    async fn as_now(&self, call: &Call) -> Result<Call> {
        let caller = &call.caller;
        let ended =
            || Error::new(ErrorKind::Unauthenticated, "the credential ended while the request was waiting");
        let now = match &caller.proof {
            Proof::AccessKey(id) => {
                let key = self.signing_key(id.as_str()).await?.ok_or_else(ended)?;
                Arc::clone(&key.caller)
            }
            Proof::Session(_) | Proof::Server => {
                let mut tx = self.store.read().await?;
                if let Some(session) = caller.session() {
                    let living = tx.living_ancestors(session.id.as_str(), self.now()).await?;
                    living.ok_or_else(ended)?;
                }
                let now = self.caller(&mut tx, &caller.account, &caller.principal).await?;
                tx.end().await?;
                let now = now.ok_or_else(ended)?.within(caller.rights.limits.clone());
                Arc::new(Caller { proof: caller.proof.clone(), ..now })
            }
        };
        Ok(Call { caller: now, ..call.clone() })
    }
}
