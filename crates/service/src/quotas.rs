//! How much one account may hold: what one tenant makes, every worker has to carry.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use domain::{AccountId, Error, Result};

/// The most of each thing that one account, or one user, may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Grants of an account that are not revoked.
    pub grants: u32,
    /// Clusters of an account.
    pub clusters: u32,
    /// Users, groups and agencies of an account together.
    pub principals: u32,
    /// Access keys of a user.
    pub access_keys_per_user: u32,
    /// Tokens and temporary keys of a user that are not over; of an agency, those that one caller began.
    pub sessions_per_principal: u32,
    /// Credentials of a pod that are not over; of a service account, those for tokens that are bound to no pod.
    pub sessions_per_pod: u32,
    /// Credentials of all pods of a cluster that are not over.
    pub pod_sessions_per_cluster: u32,
    /// Client certificates of a user or agency in one cluster that are not over.
    pub certificates_per_principal: u32,
    /// Bindings that the grants of an account ask for in one cluster.
    pub bindings_per_cluster: u32,
    /// Pod identity associations of a cluster.
    pub associations_per_cluster: u32,
    /// Identity policies of an account.
    pub policies: u32,
    /// Policies that one user, group or agency holds.
    pub policies_per_principal: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            grants: 10_000,
            clusters: 1_000,
            principals: 100_000,
            access_keys_per_user: 100,
            sessions_per_principal: 10_000,
            sessions_per_pod: 100,
            pod_sessions_per_cluster: 200_000,
            certificates_per_principal: 50,
            bindings_per_cluster: 20_000,
            associations_per_cluster: 5_000,
            policies: 1_500,
            policies_per_principal: 50,
        }
    }
}

/// Lets one more pass if there are fewer than `most`.
///
/// # Errors
/// `Conflict`, not `Limited`: trying again later does not help, and clients would.
pub(crate) fn room(what: &str, have: i64, most: u32) -> Result<()> {
    if have < i64::from(most) {
        return Ok(());
    }
    Err(Error::conflict(format!("{what} must be at most {most}: delete some, or have the quota raised")))
}

/// How many there are at most after some commit of an account. Counting anew with each write would make the ten thousandth
/// grant cost a thousand times what the tenth did; no commit adds more than some, so most of the time the old count is
/// enough. Where it is not, what was deleted meanwhile is found by counting.
pub(crate) struct Counted<K = AccountId> {
    counts: Mutex<HashMap<K, (i64, i64)>>,
}

impl<K> Default for Counted<K> {
    fn default() -> Self {
        Self { counts: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> Counted<K> {
    /// The most that there can be before the commit `revision`, if each that is not known added `each` at most; `None`
    /// if that is to be counted.
    pub(crate) fn at_most(&self, account: &K, revision: i64, each: i64) -> Option<i64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, count) = counts.get(account)?;
        // The numbers of commits that failed are given again.
        let unknown = revision.checked_sub(*at)?.checked_sub(1).filter(|commits| *commits >= 0)?;
        Some(count.saturating_add(unknown.saturating_mul(each)))
    }

    /// Forgets what was noted.
    pub(crate) fn forget(&self, account: &K) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    /// Notes how many there are at most after the commit `revision`.
    pub(crate) fn note(&self, account: &K, revision: i64, count: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(account.clone(), (revision, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_count_says_how_many_there_are_at_most() {
        let counted = Counted::default();
        let account = AccountId::stored("a");
        assert_eq!(counted.at_most(&account, 8, 1), None);
        counted.note(&account, 8, 100);
        assert_eq!(counted.at_most(&account, 8, 1), None, "what was counted there may have been taken back");
        assert_eq!(counted.at_most(&account, 9, 1), Some(100));
        assert_eq!(counted.at_most(&account, 11, 500), Some(1_100));
    }
}
