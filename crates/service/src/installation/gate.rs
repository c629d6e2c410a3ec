//! Whether this server may answer at all, asked before any credential is looked at.
//!
//! It may not while the installation is held (its database may be an older copy, in which ended credentials live), not
//! while it could not read the database for some seconds (then it cannot know which credentials still hold), and on a
//! machine that never saw the database not before its clusters were asked whether they know a later state of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use domain::{AccountId, ClusterId, Error, Result};
use store::{AccountRevision, Hold};
use tokio::time::Instant;

use crate::service::Service;

/// How long what was read of the revisions counts, by this machine's monotonic clock.
const FRESH: Duration = Duration::from_secs(5);
/// How long clusters are waited for. One that does not answer must not keep everybody out.
const ASKING: Duration = Duration::from_secs(5);

/// What the gate knows.
#[derive(Default)]
pub(crate) struct Gate {
    hold: RwLock<Option<Hold>>,
    /// When the last reading of the revisions that succeeded was begun; `None` before the first.
    read_at: Mutex<Option<Instant>>,
    /// Which clusters are waited for, and until when.
    asking: Mutex<Option<(BTreeSet<ClusterId>, Instant)>>,
    /// Held by whoever compares the database with what is known of it, or begins a hold: what one of them read before
    /// another one wrote must not be learned after it.
    turn: tokio::sync::Mutex<Followed>,
}

/// How the reading of the revisions went that was begun last.
#[derive(Default)]
pub(crate) struct Followed {
    last: Option<(Instant, Reading)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Done,
    Failed,
}

impl Gate {
    /// Learns the hold. Returns whether that is news.
    pub(crate) fn set_hold(&self, hold: Option<Hold>) -> bool {
        let mut known = self.hold.write().unwrap_or_else(PoisonError::into_inner);
        let news = known.is_some() != hold.is_some();
        *known = hold;
        news
    }

    /// Waits until nobody else compares or begins a hold.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, Followed> {
        self.turn.lock().await
    }

    fn hold(&self) -> Option<Hold> {
        self.hold.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_asking(&self, now: Instant) -> bool {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.as_ref().is_some_and(|(clusters, until)| !clusters.is_empty() && now < *until)
    }

    fn is_stale(&self, now: Instant) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.is_some_and(|at| now > at + FRESH)
    }

    fn ask_first(&self, clusters: BTreeSet<ClusterId>, now: Instant) {
        *self.asking.lock().unwrap_or_else(PoisonError::into_inner) = Some((clusters, now + ASKING));
    }

    fn was_asked(&self, id: &ClusterId) {
        if let Some((clusters, _)) = self.asking.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            clusters.remove(id);
        }
    }

    fn was_read(&self, at: Instant) {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

impl Service {
    /// Whether requests may be looked at.
    ///
    /// # Errors
    /// `Unavailable`, saying what the operator does about it.
    pub fn open_for_requests(&self) -> Result<()> {
        if self.gate.hold().is_some() {
            return Err(Error::unavailable(
                "this installation is held, because its database may be an older copy of itself: on the server's \
                 machine, `bailiwick hold show` says why and what would change, `bailiwick hold confirm` goes on",
                "held",
            ));
        }
        let now = Instant::now();
        if self.gate.is_stale(now) {
            return Err(Error::unavailable(
                "the database did not answer for 5 seconds, so nobody's credentials can be judged; try again",
                "stale revisions",
            ));
        }
        if self.gate.is_asking(now) {
            return Err(Error::unavailable(
                "this server never saw this database and asks its clusters first whether it is an older copy; try \
                 again in some seconds",
                "asking clusters",
            ));
        }
        Ok(())
    }

    /// Lets nobody in before the clusters were asked how far they know this database to have come; but waits for those
    /// that do not answer no longer than some seconds.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn ask_clusters_first(&self) -> Result<()> {
        let clusters = self.fleet_clusters().await?.into_iter().map(|cluster| cluster.id).collect();
        self.gate.ask_first(clusters, Instant::now());
        Ok(())
    }

    /// A cluster was asked, or does not answer.
    pub fn fleet_asked(&self, id: &ClusterId) {
        self.gate.was_asked(id);
    }

    /// Why nothing is applied and nobody is let in; `None` in good times.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.gate.hold()
    }

    /// Learns what other servers, or an offline command, wrote to the same database.
    ///
    /// # Errors
    /// `Unavailable` if the database does not answer.
    pub async fn follow_revisions(&self) -> Result<()> {
        let asked = Instant::now();
        let mut turn = self.gate.turn().await;
        // Many who ask at once are content with one answer. Else a database that hangs would be asked by them in turn.
        match turn.last {
            Some((began, Reading::Done)) if began > asked => return Ok(()),
            Some((began, Reading::Failed)) if began > asked => {
                return Err(Error::unavailable("the database does not answer; try again", "asked just now"));
            }
            Some(_) | None => {}
        }
        let began = Instant::now();
        let done = self.follow_in_turn(began).await;
        turn.last = Some((began, if done.is_ok() { Reading::Done } else { Reading::Failed }));
        done
    }

    async fn follow_in_turn(&self, began: Instant) -> Result<()> {
        // First: a hold that is confirmed while the database is read must not be found anew in what was known before.
        let was_held = self.gate.hold().is_some();
        // Taken before the database is read: what was committed until now must be in what is read.
        let known = self.revisions.snapshot();
        let found = self.store.revisions().await?;
        let back = known.into_iter().find_map(|known| fell_back(&known, &found)).filter(|_| !was_held);
        if let Some(account) = back {
            let reason = format!("the database went back while a server was running (account {account})");
            self.begin_hold_in_turn(reason).await?;
        }
        let hold = self.store.hold().await?;
        if was_held && hold.is_none() {
            // What is in memory may be of a later state, which does not count any more.
            self.signing_keys.forget();
            self.tokens.forget();
            self.grants.forget();
            self.holders.forget();
            self.places.forget();
            self.prospects.forget();
            self.holding.forget();
            self.revisions.forget();
        }
        let mut news = false;
        for revision in found {
            news |= self.revisions.reached(&revision.account, revision.latest);
            self.revisions.directory_reached(&revision.account, revision.directory);
        }
        news |= self.gate.set_hold(hold);
        self.gate.was_read(began);
        if news {
            self.poke();
        }
        Ok(())
    }
}

/// The account, if the database has not come as far as it was known to have.
fn fell_back(known: &(AccountId, i64), found: &[AccountRevision]) -> Option<AccountId> {
    let (account, revision) = known;
    let now = found.iter().find(|found| found.account == *account).map_or(-1, |found| found.latest);
    (now < *revision).then(|| account.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_of_the_revisions_counts_for_five_seconds() {
        let (gate, start) = (Gate::default(), Instant::now());
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert!(!gate.is_stale(after(100.0)), "nobody follows yet");
        gate.was_read(start);
        assert!(!gate.is_stale(after(4.9)));
        assert!(gate.is_stale(after(5.1)));
        gate.was_read(after(6.0));
        assert!(!gate.is_stale(after(10.9)));
    }

    #[test]
    fn clusters_that_do_not_answer_are_waited_for_no_longer_than_some_seconds() {
        let (gate, start) = (Gate::default(), Instant::now());
        let (first, second) = (ClusterId::stored("first"), ClusterId::stored("second"));
        gate.ask_first(BTreeSet::from([first.clone(), second.clone()]), start);
        gate.was_asked(&first);
        assert!(gate.is_asking(start));
        assert!(gate.is_asking(start + Duration::from_secs(4)));
        assert!(!gate.is_asking(start + Duration::from_secs(6)));
        gate.was_asked(&second);
        assert!(!gate.is_asking(start));
    }

    #[test]
    fn a_database_falls_back_if_any_account_does_or_is_gone() {
        let (a, b) = (AccountId::stored("a"), AccountId::stored("b"));
        let found = [AccountRevision { account: a.clone(), latest: 5, directory: 0 }];
        assert_eq!(fell_back(&(a.clone(), 5), &found), None);
        assert_eq!(fell_back(&(a.clone(), 6), &found), Some(a));
        assert_eq!(fell_back(&(b.clone(), 0), &found), Some(b));
    }
}
