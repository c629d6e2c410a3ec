//! What is vended now, and how much pods hold already. It is counted in memory, beginning with what the database says: a
//! burst of thousands of pods must not be counted thousands of times. Several servers of one database count each for itself
//! after their starts.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{AccountId, ClusterId, Result, Timestamp};
use store::{ReadTx, VendedSession, VendedUntil, WriteTx};

use crate::quotas::{Quotas, room};
use crate::service::Service;

/// The database is told of a service account so many seconds more than what is vended for it lasts, so that not every
/// session writes that down.
const NOTED_LONGER: i64 = 900;

/// What this server vends now, and what it counted.
#[derive(Default)]
pub(crate) struct Holding {
    counted: Mutex<HashMap<ClusterId, Held>>,
    under_way: Mutex<HashMap<(ClusterId, String), usize>>,
    hasher: RandomState,
}

/// What the pods of a cluster hold.
#[derive(Default)]
struct Held {
    /// Ends of what is not over, and whose it is.
    ends: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// How many each has.
    each: HashMap<u64, u32>,
    /// Whether what the database says is among it.
    is_whole: bool,
    /// Until when the database knows that something is vended for a service account, and at which commit it was told.
    noted: HashMap<String, (Timestamp, i64)>,
}

impl Held {
    fn add(&mut self, whose: u64, end: Timestamp) {
        self.ends.push(Reverse((end, whose)));
        *self.each.entry(whose).or_default() += 1;
    }

    /// Forgets what is over.
    fn forget(&mut self, now: Timestamp) {
        while let Some(Reverse((end, whose))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            if let Some(count) = self.each.get_mut(&whose) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.each.remove(&whose);
                }
            }
        }
        if self.noted.len() > self.ends.len().saturating_mul(2).saturating_add(100) {
            self.noted.retain(|_, (until, _)| *until > now);
        }
    }
}

/// Something is being vended for a service account, until this is dropped.
pub(super) struct UnderWay<'a> {
    holding: &'a Holding,
    whom: (ClusterId, String),
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.holding.under_way);
        if let Some(count) = under_way.get_mut(&self.whom) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.remove(&self.whom);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Holding {
    /// Notes, before the cluster is asked, that something is to be vended for a service account.
    pub(super) fn begin(&self, cluster: &ClusterId, uid: &str) -> UnderWay<'_> {
        let whom = (cluster.clone(), uid.to_owned());
        *lock(&self.under_way).entry(whom.clone()).or_default() += 1;
        UnderWay { holding: self, whom }
    }

    /// Whether something is being vended for a service account.
    pub(super) fn vends_for(&self, cluster: &ClusterId, uid: &str) -> bool {
        lock(&self.under_way).contains_key(&(cluster.clone(), uid.to_owned()))
    }

    /// Forgets what was counted: it is counted anew.
    pub(crate) fn forget(&self) {
        lock(&self.counted).clear();
    }

    /// The same of one cluster.
    pub(crate) fn forget_of(&self, cluster: &ClusterId) {
        lock(&self.counted).remove(cluster);
    }

    fn is_counted(&self, cluster: &ClusterId) -> bool {
        lock(&self.counted).get(cluster).is_some_and(|held| held.is_whole)
    }

    /// Whose a session is, where each has a number: the pod's, or the service account's where the token is bound to none.
    fn whose(&self, service_account: &str, pod: &str) -> u64 {
        self.hasher.hash_one((service_account, pod))
    }

    fn count(&self, cluster: &ClusterId, rows: &[VendedUntil]) {
        let mut held = Held { is_whole: true, ..Held::default() };
        for row in rows {
            held.add(self.whose(&row.service_account, &row.pod), row.expires_at);
        }
        lock(&self.counted).insert(cluster.clone(), held);
    }

    /// Counts one more, if the pod and all pods of the cluster have not as many as they may.
    fn take(&self, cluster: &ClusterId, one: &VendedUntil, now: Timestamp, quotas: &Quotas) -> Result<()> {
        let mut counted = lock(&self.counted);
        // If everything was forgotten in this moment, this one is counted alone, until all are counted again.
        let held = counted.entry(cluster.clone()).or_default();
        held.forget(now);
        let whose = self.whose(&one.service_account, &one.pod);
        let theirs = i64::from(held.each.get(&whose).copied().unwrap_or_default());
        room("credentials of a pod that are not over", theirs, quotas.sessions_per_pod)?;
        let all = i64::try_from(held.ends.len()).unwrap_or(i64::MAX);
        room("credentials of a cluster's pods that are not over", all, quotas.pod_sessions_per_cluster)?;
        held.add(whose, one.expires_at);
        Ok(())
    }

    /// Until when the database is to know that something is vended for a service account, unless it does. What it was told
    /// before `directory`, the last commit that may have made it forget that, does not count.
    fn to_note(&self, cluster: &ClusterId, uid: &str, end: Timestamp, directory: i64) -> Option<Timestamp> {
        let mut counted = lock(&self.counted);
        let noted = &mut counted.entry(cluster.clone()).or_default().noted;
        if noted.get(uid).is_some_and(|(until, at)| *until >= end && *at >= directory) {
            return None;
        }
        let until = end.plus_seconds(NOTED_LONGER);
        noted.insert(uid.to_owned(), (until, directory));
        Some(until)
    }
}

impl Service {
    /// Counts what the pods of a cluster hold, unless that was done.
    pub(super) async fn count_held(
        &self,
        tx: &mut ReadTx,
        account: &AccountId,
        cluster: &ClusterId,
    ) -> Result<()> {
        if !self.holding.is_counted(cluster) {
            let rows = tx.vended_in(account, cluster, self.now()).await?;
            self.holding.count(cluster, &rows);
        }
        Ok(())
    }

    /// Lets one more pass if the pod, and all pods of the cluster, have not as many as they may.
    pub(super) fn room_for_vended(&self, session: &VendedSession) -> Result<()> {
        let one = VendedUntil {
            service_account: session.to.service_account_uid.clone(),
            pod: session.to.pod.as_ref().map(|(_, uid)| uid.clone()).unwrap_or_default(),
            expires_at: session.expires_at,
        };
        let (now, cluster) = (self.now(), &session.to.cluster);
        self.holding.take(cluster, &one, now, &self.settings.quotas)
    }

    /// What the database is to be told about the service account for which something is vended.
    pub(super) fn noted_for(
        &self,
        tx: &WriteTx,
        session: &VendedSession,
    ) -> Option<(ClusterId, String, Timestamp)> {
        let directory = tx.directory().unwrap_or(i64::MAX);
        let (cluster, uid) = (&session.to.cluster, &session.to.service_account_uid);
        let until = self.holding.to_note(cluster, uid, session.expires_at, directory)?;
        Some((cluster.clone(), uid.clone(), until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn until(pod: &str, end: i64) -> VendedUntil {
        VendedUntil { service_account: "u".into(), pod: pod.into(), expires_at: at(end) }
    }

    #[test]
    fn what_is_over_is_not_counted_whatever_the_order_in_which_it_ends() {
        let (holding, cluster) = (Holding::default(), ClusterId::stored("c"));
        let quotas = Quotas { sessions_per_pod: 2, pod_sessions_per_cluster: 3, ..Quotas::default() };
        holding.count(&cluster, &[until("a", 90)]);
        let take = |pod, end, now| holding.take(&cluster, &until(pod, end), at(now), &quotas);
        take("a", 10, 0).unwrap();
        assert!(take("a", 20, 9).is_err(), "one that ends later was there first");
        take("b", 20, 9).unwrap();
        assert!(take("c", 20, 9).is_err(), "all together");
        take("a", 20, 10).unwrap();
        assert!(take("a", 20, 19).is_err());
        take("c", 30, 20).unwrap();
        take("a", 30, 20).unwrap();
        assert!(take("b", 30, 20).is_err());
    }

    #[test]
    fn the_database_is_told_once_in_a_while_and_after_it_may_have_forgotten() {
        let (holding, cluster) = (Holding::default(), ClusterId::stored("c"));
        holding.count(&cluster, &[]);
        let note = |end, directory| holding.to_note(&cluster, "u", at(end), directory);
        assert_eq!(note(100, 5), Some(at(1000)));
        assert_eq!(note(1000, 5), None);
        assert_eq!(note(1001, 5), Some(at(1901)));
        assert_eq!(note(1002, 6), Some(at(1902)));
    }

    #[test]
    fn what_is_taken_while_all_is_forgotten_is_not_taken_for_all() {
        let (holding, cluster) = (Holding::default(), ClusterId::stored("c"));
        holding.count(&cluster, &[until("a", 90)]);
        assert!(holding.is_counted(&cluster));
        holding.forget();
        holding.take(&cluster, &until("b", 90), at(0), &Quotas::default()).unwrap();
        assert_eq!(
            holding.to_note(&cluster, "u", at(90), 1),
            Some(at(990)),
            "and it is written down for whom"
        );
        assert!(!holding.is_counted(&cluster));
        holding.count(&cluster, &[]);
        assert!(holding.is_counted(&cluster));
    }
}
