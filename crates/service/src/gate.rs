//! Whether this server may answer at all, asked before any credential is looked at.
//!
//! It may not while the installation is held (its database may be an older copy, in which ended credentials live), and
//! not while it could not read the database for some seconds: then it cannot know which credentials still hold.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use domain::{AccountId, Error, Result};
use store::Hold;
use tokio::time::Instant;

use crate::service::Service;

/// How long what was read of the revisions counts, by this machine's monotonic clock.
const FRESH: Duration = Duration::from_secs(5);

/// What the gate knows.
#[derive(Default)]
pub(crate) struct Gate {
    hold: RwLock<Option<Hold>>,
    /// When the last reading of the revisions that succeeded was begun; `None` before the first.
    read_at: Mutex<Option<Instant>>,
}

impl Gate {
    /// Learns the hold. Returns whether that is news.
    pub(crate) fn set_hold(&self, hold: Option<Hold>) -> bool {
        let mut known = self.hold.write().unwrap_or_else(PoisonError::into_inner);
        let news = known.is_some() != hold.is_some();
        *known = hold;
        news
    }

    fn hold(&self) -> Option<Hold> {
        self.hold.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_stale(&self) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.is_some_and(|at| at.elapsed() > FRESH)
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
        if self.gate.is_stale() {
            return Err(Error::unavailable(
                "the database did not answer for 5 seconds, so nobody's credentials can be judged; try again",
                "stale revisions",
            ));
        }
        Ok(())
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
        let began = Instant::now();
        // Taken before the database is read: what was committed until now must be in what is read.
        let known = self.revisions.snapshot();
        let found = self.store.revisions().await?;
        if let Some(account) = known.into_iter().find_map(|known| fell_back(&known, &found)) {
            let reason = format!("the database went back while a server was running (account {account})");
            self.begin_hold(reason).await?;
        }
        let mut news = false;
        for (account, revision) in found {
            news |= self.revisions.reached(&account, revision);
        }
        news |= self.gate.set_hold(self.store.hold().await?);
        self.gate.was_read(began);
        if news {
            self.poke();
        }
        Ok(())
    }
}

/// The account, if the database has not come as far as it was known to have.
fn fell_back(known: &(AccountId, i64), found: &[(AccountId, i64)]) -> Option<AccountId> {
    let (account, revision) = known;
    let now = found.iter().find(|(id, _)| id == account).map_or(-1, |(_, now)| *now);
    (now < *revision).then(|| account.clone())
}
