//! Which service accounts have an association, as the server tells it: kept in memory, and asked for what is not known.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Clock, Timestamp};
use podidentity::feed::{Feed, Verification};
use tokio::time::{Instant, timeout};

use crate::clock::Spread;
use crate::feed::{Follower, Known, Subject};
use crate::server::{Failure, Server};

/// As long may a pod be kept waiting because nobody knows its service account.
const PATIENCE: Duration = Duration::from_millis(1500);
/// So long nobody waits again after one has waited in vain.
const QUIET: Duration = Duration::from_secs(5);

/// A service account with an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// When its association was made; `None` if that is not understood.
    pub since: Option<Timestamp>,
}

/// What is known about a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has an association, and pods are told this.
    Associated(Box<Verification>),
    /// It has none.
    None,
    /// The server cannot be asked, and nothing is known of it.
    Unknown,
}

/// How we stand with the server: when it last answered, and when somebody last waited for it in vain.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    confirmed: Option<Instant>,
    in_vain: Option<Instant>,
    is_apart: bool,
}

impl Standing {
    fn confirmed_now(&mut self) {
        *self = Self { confirmed: Some(Instant::now()), ..Self::default() };
    }

    fn is_quiet(self) -> bool {
        self.in_vain.is_some_and(|at| at.elapsed() < QUIET)
    }

    fn is_confirmed_within(self, time: Duration) -> bool {
        self.confirmed.is_some_and(|at| at.elapsed() < time)
    }
}

/// The associations of this cluster.
pub struct Associations {
    server: Server,
    clock: Arc<dyn Clock>,
    spread: Spread,
    known: Mutex<Known>,
    standing: Mutex<Standing>,
    /// How long what was told last also counts for what it did not name, while the server is away.
    believed: Duration,
    /// How many questions for what is not known were begun.
    begun: AtomicU64,
    /// Held while one is asked; the number of the last that was answered.
    answered: tokio::sync::Mutex<u64>,
}

impl Associations {
    /// Knows nothing yet. What is told last counts for `believed` while the server is away.
    #[must_use]
    pub fn new(server: Server, clock: Arc<dyn Clock>, believed: Duration) -> Self {
        Self {
            server,
            clock,
            spread: Spread::of_this_process(),
            known: Mutex::default(),
            standing: Mutex::default(),
            believed,
            begun: AtomicU64::new(0),
            answered: tokio::sync::Mutex::new(0),
        }
    }

    /// What is known about a workload now. A server that answers was asked after the question came, if it is not known.
    pub async fn of(&self, namespace: &str, service_account: &str) -> Answer {
        let subject =
            Subject { namespace: namespace.to_owned(), service_account: service_account.to_owned() };
        if let Some(verification) = self.associated(&subject) {
            return Answer::Associated(Box::new(verification));
        }
        if !self.ask().await && !self.standing().is_confirmed_within(self.believed) {
            return Answer::Unknown;
        }
        self.associated(&subject)
            .map_or(Answer::None, |verification| Answer::Associated(Box::new(verification)))
    }

    fn associated(&self, subject: &Subject) -> Option<Verification> {
        let known = self.known();
        known.association(subject).and_then(|_| known.verification().cloned())
    }

    /// The service accounts that have an association, in the order of their namespaces.
    pub fn workloads(&self) -> Vec<Workload> {
        let known = self.known();
        let mut workloads: Vec<Workload> = known
            .associations()
            .map(|known| Workload {
                namespace: known.namespace.clone(),
                service_account: known.service_account.clone(),
                since: Timestamp::parse_rfc3339(&known.created_at),
            })
            .collect();
        drop(known);
        workloads.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        workloads
    }

    /// What pods are told, if the server has told anything.
    pub fn verification(&self) -> Option<Verification> {
        self.known().verification().cloned()
    }

    /// Whether the server has told anything.
    pub fn is_ready(&self) -> bool {
        self.known().verification().is_some()
    }

    /// Asks what is new, once for everybody who waits. Whether an answer came to a question that began after the call.
    async fn ask(&self) -> bool {
        if self.standing().is_quiet() {
            return false;
        }
        let before = self.begun.load(Ordering::SeqCst);
        let asking = async {
            let mut answered = self.answered.lock().await;
            if *answered > before {
                return true;
            }
            if self.standing().is_quiet() {
                return false;
            }
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let after = self.revision();
            let Ok(feed) = self.server.feed(after, Duration::ZERO).await else { return false };
            self.take(after, feed);
            *answered = number;
            true
        };
        let is_answered = timeout(PATIENCE, asking).await.unwrap_or(false);
        if !is_answered {
            let mut standing = self.standing();
            if !standing.is_quiet() {
                standing.in_vain = Some(Instant::now());
            }
        }
        is_answered
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower for Associations {
    fn server(&self) -> &Server {
        &self.server
    }

    fn spread(&self) -> &Spread {
        &self.spread
    }

    fn revision(&self) -> i64 {
        self.known().revision()
    }

    fn take(&self, asked: i64, feed: Feed) {
        self.known().take(asked, feed, self.clock.now());
        self.standing().confirmed_now();
    }

    fn apart(&self, _: &Failure) -> bool {
        !std::mem::replace(&mut self.standing().is_apart, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waited_in_vain_spares_the_next_and_what_was_just_told_counts() {
        let mut standing = Standing::default();
        assert!(!standing.is_quiet() && !standing.is_confirmed_within(Duration::from_secs(30)));
        standing.confirmed_now();
        standing.in_vain = Some(Instant::now());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(standing.is_quiet() && standing.is_confirmed_within(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!standing.is_quiet());
        tokio::time::advance(Duration::from_secs(25)).await;
        assert!(!standing.is_confirmed_within(Duration::from_secs(30)));
    }
}
