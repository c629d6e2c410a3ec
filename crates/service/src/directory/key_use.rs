//! When access keys were used last. No request waits for that: it is noted in memory, written by the background task
//! that also writes refusals, and at most once per key in some minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::{AccountId, Result, Timestamp};
use quick_cache::sync::Cache;

use crate::call::Caller;
use crate::service::Service;

/// A use so soon after one that is known is not news.
const INTERVAL_SECONDS: i64 = 300;

/// Of more keys than this between two writes, some uses are not noted.
const MAX_WAITING: usize = 10_000;

type Waiting = HashMap<String, (AccountId, Timestamp)>;

/// What is known and what waits.
pub(crate) struct KeyUse {
    known: Cache<String, Timestamp>,
    waiting: Mutex<Waiting>,
}

impl Default for KeyUse {
    fn default() -> Self {
        Self { known: Cache::new(MAX_WAITING), waiting: Mutex::default() }
    }
}

impl KeyUse {
    fn note(&self, id: &str, account: &AccountId, now: Timestamp) {
        if self.known.get(id).is_some_and(|known| now < known.plus_seconds(INTERVAL_SECONDS)) {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.insert(id.to_owned(), (account.clone(), now));
            self.known.insert(id.to_owned(), now);
        }
    }

    /// Whether a use is known that may not be written yet.
    pub(crate) fn is_known(&self, id: &str) -> bool {
        self.known.get(id).is_some()
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, batch: Waiting) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, noted) in batch {
            waiting.entry(id).or_insert(noted);
        }
    }
}

impl Service {
    /// Notes that a signature with the key `id` proved that `caller` calls. Never waits: it is written by the next
    /// [`Service::flush_key_use`].
    pub fn note_key_use(&self, id: &str, caller: &Caller) {
        self.key_use.note(id, &caller.account, self.now());
    }

    /// Writes which keys were used.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer; what could not be written waits on.
    pub async fn flush_key_use(&self) -> Result<()> {
        let mut by_account: HashMap<AccountId, Waiting> = HashMap::new();
        for (id, (account, at)) in self.key_use.take() {
            by_account.entry(account.clone()).or_default().insert(id, (account, at));
        }
        let mut failed = None;
        for (account, batch) in by_account {
            if let Err(error) = self.write_key_use(&account, &batch).await {
                self.key_use.give_back(batch);
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn write_key_use(&self, account: &AccountId, batch: &Waiting) -> Result<()> {
        let mut tx = self.store.write_observed(account).await?;
        for (id, (_, at)) in batch {
            tx.set_access_key_used(id, *at, at.plus_seconds(-INTERVAL_SECONDS)).await?;
        }
        tx.commit().await
    }
}
