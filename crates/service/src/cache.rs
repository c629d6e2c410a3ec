//! Copies of what the database says, each marked with the revision of its account at which it was read.
//!
//! A copy counts while no later revision of its account is known: after every commit of ours and every poll of the
//! others' the known revision grows, and older copies are read anew at their next use. A write need not know what it
//! makes stale; only one that says that it changes grants alone leaves copies about callers as they are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::AccountId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The latest known revisions of each account.
#[derive(Default)]
pub(crate) struct Revisions {
    known: RwLock<HashMap<AccountId, Known>>,
}

/// How far an account is known to have come.
#[derive(Clone, Copy)]
struct Known {
    latest: i64,
    /// The last commit that changed more than grants.
    directory: i64,
}

/// Which commits put a copy out of date.
#[derive(Clone, Copy)]
enum Follows {
    Everything,
    Directory,
}

impl Revisions {
    /// Learns that `account` has reached `revision`. Returns whether that is news.
    pub(crate) fn reached(&self, account: &AccountId, revision: i64) -> bool {
        self.learn(account, |known| {
            let news = known.latest < revision;
            known.latest = known.latest.max(revision);
            news
        })
    }

    /// Forgets what was known: the database has begun anew somewhere else. Every copy must be forgotten before.
    pub(crate) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every account with its latest known revision.
    pub(crate) fn snapshot(&self) -> Vec<(AccountId, i64)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(account, revision)| (account.clone(), revision.latest)).collect()
    }

    /// Learns that the commit `revision` of `account` changed more than grants.
    pub(crate) fn directory_reached(&self, account: &AccountId, revision: i64) {
        self.learn(account, |known| known.directory = known.directory.max(revision));
    }

    fn learn<T>(&self, account: &AccountId, learn: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        learn(known.entry(account.clone()).or_insert(Known { latest: -1, directory: -1 }))
    }

    fn is_current<V>(&self, follows: Follows, copy: &Copy<V>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of = |account: &AccountId, revision: i64| {
            known.get(account).is_none_or(|known| match follows {
                Follows::Everything => revision >= known.latest,
                Follows::Directory => revision >= known.directory,
            })
        };
        of(&copy.account, copy.revision)
            && copy.others.iter().all(|(account, revision)| of(account, *revision))
    }
}

/// Something that was read at a revision.
pub(crate) struct Copy<V> {
    pub(crate) account: AccountId,
    pub(crate) revision: i64,
    /// Other accounts that had a part in it, and how far they were.
    pub(crate) others: Vec<(AccountId, i64)>,
    pub(crate) value: V,
}

/// A bounded set of copies by text key.
pub(crate) struct Copies<V> {
    entries: Cache<String, Arc<Copy<V>>, Weight<V>>,
    follows: Follows,
}

/// How much of the bound a copy takes.
struct Weight<V>(fn(&V) -> u64);

impl<V> Clone for Weight<V> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<V> Weighter<String, Arc<Copy<V>>> for Weight<V> {
    fn weight(&self, _: &String, copy: &Arc<Copy<V>>) -> u64 {
        // One that weighs nothing would never be put out.
        (self.0)(&copy.value).max(1)
    }
}

impl<V> Copies<V> {
    /// Keeps at most `capacity` copies of anything.
    pub(crate) fn new(capacity: usize) -> Self {
        let most = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self { entries: Cache::with_weighter(capacity, most, Weight(|_| 1)), follows: Follows::Everything }
    }

    /// Keeps copies, about `capacity` of them, that together weigh at most `most`.
    pub(crate) fn weighed(capacity: usize, most: u64, weight: fn(&V) -> u64) -> Self {
        Self { entries: Cache::with_weighter(capacity, most, Weight(weight)), follows: Follows::Everything }
    }

    /// Keeps at most `capacity` copies of what grants have no part in.
    pub(crate) fn of_directory(capacity: usize) -> Self {
        Self::new(capacity).without_grants()
    }

    /// The same copies of what grants have no part in.
    pub(crate) fn without_grants(self) -> Self {
        Self { follows: Follows::Directory, ..self }
    }

    /// The copy under `key`, if it still counts.
    pub(crate) fn get(&self, revisions: &Revisions, key: &str) -> Option<Arc<Copy<V>>> {
        self.entries.get(key).filter(|copy| revisions.is_current(self.follows, copy))
    }

    /// Forgets all copies.
    pub(crate) fn forget(&self) {
        self.entries.clear();
    }

    /// Forgets the copy under `key`.
    pub(crate) fn remove(&self, key: &str) {
        self.entries.remove(key);
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
        copies.put("k", Copy { account: account.clone(), revision: 3, others: Vec::new(), value: 7 });
        assert!(copies.get(&revisions, "k").is_some());
        assert!(revisions.reached(&account, 3));
        assert!(copies.get(&revisions, "k").is_some(), "read at the latest revision");
        assert!(revisions.reached(&account, 4));
        assert!(copies.get(&revisions, "k").is_none(), "something changed since");
        assert!(!revisions.reached(&account, 2), "old news");
    }

    #[test]
    fn a_copy_in_which_several_accounts_have_a_part_counts_until_any_of_them_goes_on() {
        let revisions = Revisions::default();
        let copies = Copies::of_directory(10);
        let (own, other) = (AccountId::stored("a"), AccountId::stored("b"));
        let copy = Copy { account: own, revision: 3, others: vec![(other.clone(), 8)], value: 7 };
        copies.put("k", copy);
        revisions.directory_reached(&other, 8);
        assert!(copies.get(&revisions, "k").is_some());
        revisions.directory_reached(&other, 9);
        assert!(copies.get(&revisions, "k").is_none());
    }

    #[test]
    fn a_copy_of_the_directory_outlives_commits_of_grants_alone() {
        let revisions = Revisions::default();
        let copies = Copies::of_directory(10);
        let account = AccountId::stored("a");
        copies.put("k", Copy { account: account.clone(), revision: 3, others: Vec::new(), value: 7 });
        revisions.reached(&account, 4);
        assert!(copies.get(&revisions, "k").is_some());
        revisions.directory_reached(&account, 4);
        assert!(copies.get(&revisions, "k").is_none());
    }
}
