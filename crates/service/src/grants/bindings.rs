//! How many bindings an account's grants ask for in one cluster: one for each role in each namespace that is listed, or
//! for the whole cluster. A policy of a few kilobytes can ask for hundreds in each of hundreds of clusters.
//!
//! The worker of each cluster has the last word: which namespaces exist, and what came at the same moment, is known there
//! alone. Here is refused what is known to be too much. Others must never wait for the counting, so under the account's
//! lock there is arithmetic alone; whoever has to count does it before, and where others write faster than one can count,
//! a grant slips through that the worker then refuses.

use std::sync::Arc;

use domain::grant::MAX_NAMESPACES;
use domain::{AccountId, ClusterScope, GrantId, GrantSpec, NamespaceScope, Result};
use store::WriteTx;
use tokio::sync::OwnedSemaphorePermit;

use crate::call::Call;
use crate::grants::bindings_count::Asked;
use crate::service::Service;

/// So often is counted anew because others wrote meanwhile.
const TRIES: usize = 3;

/// Permission to write a grant.
pub(crate) struct Room {
    /// How many places the account lists at most with the grant, if that is known.
    places: Option<i64>,
    /// Who had to count is alone in the account until the grant is written: the next count is about that, too.
    _turn: Option<Turn>,
}

/// Permission to count. It lasts as long as the counting, even if nobody waits for that any more.
type Turn = Arc<Option<OwnedSemaphorePermit>>;

/// A note of what is about to be committed. Dropped without [`Noted::committed`], nothing is known any more: the number
/// of the commit may be given to another server's.
pub(crate) struct Noted<'a> {
    service: &'a Service,
    account: AccountId,
    room: Room,
    committed: bool,
}

impl Noted<'_> {
    /// The commit is durable.
    pub(crate) fn committed(mut self) {
        self.committed = true;
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if !self.committed && self.room.places.is_some() {
            self.service.counted_places.forget(&self.account);
        }
    }
}

impl Room {
    /// Notes what there is after the commit that is about to be made, for those who share it.
    pub(crate) fn note<'a>(self, service: &'a Service, tx: &WriteTx) -> Noted<'a> {
        let account = tx.account().clone();
        if let Some(places) = self.places {
            service.counted_places.note(&account, tx.revision(), places);
        }
        Noted { service, account, room: self, committed: false }
    }
}

/// What was counted before the lock was taken.
struct Count {
    /// When.
    revision: i64,
    /// The most bindings in one cluster with the grant.
    fullest: i64,
}

impl Service {
    /// Begins writing a grant that says `spec`, if its clusters have room for what it asks for.
    pub(crate) async fn begin_with_room(
        &self,
        call: &Call,
        spec: &GrantSpec,
        replaced: Option<&GrantId>,
    ) -> Result<(WriteTx, Room)> {
        let (mut turn, mut count, mut tries) = (None, None, TRIES);
        loop {
            let tx = self.begin_grants(call).await?;
            if let places @ Some(_) = self.surely_room(&tx, spec) {
                return Ok((tx, Room { places, _turn: None }));
            }
            if count.as_ref().is_some_and(|count| tries == 0 || self.still_room(&tx, count)) {
                return Ok((tx, Room { places: None, _turn: turn }));
            }
            drop(tx);
            match &turn {
                // Whoever had it before may have counted.
                None => turn = Some(Arc::new(self.counting.take(call.account()).await)),
                Some(turn) => {
                    count = Some(self.count(call, spec, replaced, turn).await?);
                    tries = tries.saturating_sub(1);
                }
            }
        }
    }

    /// Whether what others added since the count, at most, leaves room.
    fn still_room(&self, tx: &WriteTx, count: &Count) -> bool {
        let missed = tx.revision().saturating_sub(count.revision).saturating_sub(1);
        missed <= 0
            || count.fullest.saturating_add(missed.saturating_mul(most_places())) <= self.most_bindings()
    }

    /// How many places the account lists at most with `spec`, if one cluster could have bindings for all of them.
    fn surely_room(&self, tx: &WriteTx, spec: &GrantSpec) -> Option<i64> {
        let have = self.counted_places.at_most(tx.account(), tx.revision(), most_places())?;
        let places = have.saturating_add(size(spec));
        (places <= self.most_bindings()).then_some(places)
    }

    /// Counts, and refuses what is too much.
    async fn count(
        &self,
        call: &Call,
        spec: &GrantSpec,
        replaced: Option<&GrantId>,
        turn: &Turn,
    ) -> Result<Count> {
        let account = call.account();
        let mut tx = self.store.read().await?;
        let revision = tx.revision(account).await?;
        let places = tx.count_places_of(account).await?;
        self.counted_places.note(account, revision, places);
        let together = places.saturating_add(size(spec));
        if together <= self.most_bindings() {
            tx.end().await?;
            return Ok(Count { revision, fullest: together });
        }
        let grants = self.grants_at(&mut tx, account, revision).await?;
        let clusters = match &spec.clusters {
            ClusterScope::Listed(ids) => ids.clone(),
            ClusterScope::All => tx.clusters(account).await?.into_iter().map(|cluster| cluster.id).collect(),
        };
        tx.end().await?;
        let most = self.settings.quotas.bindings_per_cluster;
        let asked = Asked { spec: spec.clone(), replaced: replaced.cloned(), clusters, most };
        // Hundreds of clusters times thousands of grants: not on a thread that serves others.
        let turn = Arc::clone(turn);
        let counting = tokio::task::spawn_blocking(move || {
            let fullest = asked.fullest(&grants.grants);
            drop(turn);
            fullest
        });
        let fullest = counting.await.map_err(domain::Error::internal)??;
        Ok(Count { revision, fullest: i64::try_from(fullest).unwrap_or(i64::MAX) })
    }

    fn most_bindings(&self) -> i64 {
        i64::from(self.settings.quotas.bindings_per_cluster)
    }
}

/// How many places one commit adds at most.
fn most_places() -> i64 {
    i64::try_from(MAX_NAMESPACES).unwrap_or(i64::MAX)
}

fn size(spec: &GrantSpec) -> i64 {
    match &spec.namespaces {
        NamespaceScope::All => 1,
        NamespaceScope::Listed(names) => i64::try_from(names.len()).unwrap_or(i64::MAX),
    }
}
