//! Copies of what the database says, each marked with the revision of its account at which it was read.
//!
//! A copy counts while no later revision of its account is known: after every commit of ours and every poll of the
//! others' the known revision grows, and older copies are read anew at their next use. So no write needs to know
//! what it makes stale.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::AccountId;
use quick_cache::sync::Cache;

/// The latest known revision of each account.
#[derive(Default)]
pub(crate) struct Revisions {
    known: RwLock<HashMap<AccountId, i64>>,
}

impl Revisions {
    /// Learns that `account` has reached `revision`. Returns whether that is news.
    pub(crate) fn reached(&self, account: &AccountId, revision: i64) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(account.clone()).or_insert(-1);
        let news = *entry < revision;
        *entry = revision.max(*entry);
        news
    }

    /// Forgets what was known: the database has begun anew somewhere else. Every copy must be forgotten before.
    pub(crate) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every account with its latest known revision.
    pub(crate) fn snapshot(&self) -> Vec<(AccountId, i64)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(account, revision)| (account.clone(), *revision)).collect()
    }

    fn is_current(&self, account: &AccountId, revision: i64) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(account).is_none_or(|latest| revision >= *latest)
    }
}

/// Something that was read at a revision.
pub(crate) struct Copy<V> {
    pub(crate) account: AccountId,
    pub(crate) revision: i64,
    pub(crate) value: V,
}

/// A bounded set of copies by text key.
pub(crate) struct Copies<V> {
    entries: Cache<String, Arc<Copy<V>>>,
}

impl<V> Copies<V> {
    /// Keeps at most `capacity` copies.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity) }
    }

    /// The copy under `key`, if it still counts.
    pub(crate) fn get(&self, revisions: &Revisions, key: &str) -> Option<Arc<Copy<V>>> {
        self.entries.get(key).filter(|copy| revisions.is_current(&copy.account, copy.revision))
    }

    /// Forgets all copies.
    pub(crate) fn forget(&self) {
        self.entries.clear();
    }

    /// Keeps a copy.
    pub(crate) fn put(&self, key: &str, copy: Copy<V>) -> Arc<Copy<V>> {
        let copy = Arc::new(copy);
        self.entries.insert(key.to_owned(), Arc::clone(&copy));
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_until_a_later_revision_is_known() {
        let revisions = Revisions::default();
        let copies = Copies::new(10);
        let account = AccountId::stored("a");
        copies.put("k", Copy { account: account.clone(), revision: 3, value: 7 });
        assert!(copies.get(&revisions, "k").is_some());
        assert!(revisions.reached(&account, 3));
        assert!(copies.get(&revisions, "k").is_some(), "read at the latest revision");
        assert!(revisions.reached(&account, 4));
        assert!(copies.get(&revisions, "k").is_none(), "something changed since");
        assert!(!revisions.reached(&account, 2), "old news");
    }
}
