//! An account's share of the database while its workers read and report: a thousand clusters of one account must not
//! stand before the one cluster of another. Writers take turns by account in `store`; here it is about who reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{AccountId, ClusterId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many workers of one account may use the database at once. Connections are few, and each reading is short.
const WORKERS: usize = 2;

/// The share of each account, and which account a cluster belongs to: that never changes.
pub(crate) struct Shares {
    at_once: usize,
    shares: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
    accounts: Mutex<HashMap<ClusterId, AccountId>>,
}

impl Default for Shares {
    fn default() -> Self {
        Self::of(WORKERS)
    }
}

impl Shares {
    /// Shares of so many at once.
    pub(crate) fn of(at_once: usize) -> Self {
        Self { at_once, shares: Mutex::default(), accounts: Mutex::default() }
    }

    /// Waits until a worker of `account` may use the database. What is returned is its permission.
    pub(crate) async fn take(&self, account: &AccountId) -> Option<OwnedSemaphorePermit> {
        let share = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            let share =
                shares.entry(account.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.at_once)));
            Arc::clone(share)
        };
        // It is never closed.
        share.acquire_owned().await.ok()
    }

    /// The account of a cluster, if it was noted.
    pub(crate) fn account_of(&self, cluster: &ClusterId) -> Option<AccountId> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(cluster).cloned()
    }

    /// Notes the account of a cluster.
    pub(crate) fn note(&self, cluster: &ClusterId, account: &AccountId) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(cluster.clone(), account.clone());
    }

    /// Keeps only what is about these clusters.
    pub(crate) fn retain(&self, is_there: impl Fn(&ClusterId) -> bool) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|cluster, _| is_there(cluster));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_account_that_uses_its_share_leaves_that_of_another() {
        let shares = Shares::default();
        let (a, b) = (AccountId::stored("a"), AccountId::stored("b"));
        let held = [shares.take(&a).await, shares.take(&a).await];
        assert!(futures::poll!(std::pin::pin!(shares.take(&a))).is_pending());
        assert!(shares.take(&b).await.is_some());
        drop(held);
        assert!(shares.take(&a).await.is_some());
    }
}
