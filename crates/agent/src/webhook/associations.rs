//! Which service accounts have an association, as the server tells it: kept in memory, and asked for what is not known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use podidentity::feed::{Feed, Known, Verification};
use tokio::time::{Instant, sleep, timeout};

use crate::server::Server;

/// As long may a pod be kept waiting because nobody knows its service account.
const PATIENCE: Duration = Duration::from_millis(1500);
/// So long nobody waits again after one has waited in vain.
const QUIET: Duration = Duration::from_secs(5);
/// As long does the server hold a question while nothing changes.
const WAIT: Duration = Duration::from_secs(20);
/// Between questions that failed: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// What was told so far.
#[derive(Debug, Default)]
pub struct Told {
    revision: i64,
    history: String,
    verification: Option<Verification>,
    by_id: BTreeMap<String, Known>,
    /// By namespace and service account, to the id.
    by_workload: BTreeMap<(String, String), String>,
}

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

impl Told {
    /// Takes an answer to what came after `asked`. One that another answer has overtaken is dropped.
    pub fn take(&mut self, asked: i64, feed: Feed) {
        let is_of_another_history = self.verification.is_some() && self.history != feed.history;
        let is_next = asked == self.revision || (asked <= self.revision && feed.revision > self.revision);
        if !is_next && !is_of_another_history {
            return;
        }
        if feed.complete || is_of_another_history {
            self.by_id.clear();
            self.by_workload.clear();
        }
        for id in &feed.ended {
            self.forget(id);
        }
        for known in feed.associations {
            self.forget(&known.id);
            let workload = (known.namespace.clone(), known.service_account.clone());
            self.by_workload.insert(workload, known.id.clone());
            self.by_id.insert(known.id.clone(), known);
        }
        // Changes to what another database held are no whole: everything is asked for next.
        self.revision = if is_of_another_history && !feed.complete { 0 } else { feed.revision };
        self.history = feed.history;
        self.verification = Some(feed.verification);
    }

    fn forget(&mut self, id: &str) {
        let Some(known) = self.by_id.remove(id) else { return };
        let workload = (known.namespace, known.service_account);
        if self.by_workload.get(&workload).is_some_and(|held| held == id) {
            self.by_workload.remove(&workload);
        }
    }

    fn has(&self, namespace: &str, service_account: &str) -> bool {
        self.by_workload.contains_key(&(namespace.to_owned(), service_account.to_owned()))
    }
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
}

impl Standing {
    fn confirmed_now(&mut self) {
        *self = Self { confirmed: Some(Instant::now()), in_vain: None };
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
    told: Mutex<Told>,
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
    pub fn new(server: Server, believed: Duration) -> Self {
        Self {
            server,
            told: Mutex::default(),
            standing: Mutex::default(),
            believed,
            begun: AtomicU64::new(0),
            answered: tokio::sync::Mutex::new(0),
        }
    }

    /// The server that tells.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What is known about a workload now. A server that answers was asked after the question came, if it is not known.
    pub async fn of(&self, namespace: &str, service_account: &str) -> Answer {
        if let Some(verification) = self.known(namespace, service_account) {
            return Answer::Associated(Box::new(verification));
        }
        if !self.ask().await && !self.standing().is_confirmed_within(self.believed) {
            return Answer::Unknown;
        }
        self.known(namespace, service_account)
            .map_or(Answer::None, |verification| Answer::Associated(Box::new(verification)))
    }

    /// What pods of a workload are told, if it is known to have an association.
    pub fn known(&self, namespace: &str, service_account: &str) -> Option<Verification> {
        let told = self.told();
        told.has(namespace, service_account).then(|| told.verification.clone()).flatten()
    }

    /// The service accounts that have an association, in the order of their namespaces.
    pub fn workloads(&self) -> Vec<Workload> {
        let told = self.told();
        let known = told.by_workload.values().filter_map(|id| told.by_id.get(id));
        known
            .map(|known| Workload {
                namespace: known.namespace.clone(),
                service_account: known.service_account.clone(),
                since: Timestamp::parse_rfc3339(&known.created_at),
            })
            .collect()
    }

    /// What pods are told, if the server has told anything.
    pub fn verification(&self) -> Option<Verification> {
        self.told().verification.clone()
    }

    /// Whether the server has told anything.
    pub fn is_ready(&self) -> bool {
        self.told().verification.is_some()
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
            let after = self.told().revision;
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

    fn take(&self, after: i64, feed: Feed) {
        self.told().take(after, feed);
        self.standing().confirmed_now();
    }

    /// Follows what the server tells, for ever.
    pub async fn follow(&self) {
        let mut pause = PAUSES.0;
        let mut was_away = false;
        loop {
            let after = self.told().revision;
            let wait = if self.is_ready() { WAIT } else { Duration::ZERO };
            let began = Instant::now();
            match self.server.feed(after, wait).await {
                Ok(feed) => {
                    if was_away {
                        tracing::info!("feed.resumed");
                    }
                    (was_away, pause) = (false, PAUSES.0);
                    let is_news = feed.revision != after;
                    self.take(after, feed);
                    // Who answers at once that nothing is new is not asked at once again.
                    if !is_news && began.elapsed() < PAUSES.0 {
                        sleep(PAUSES.0).await;
                    }
                }
                Err(failure) => {
                    if !was_away {
                        tracing::warn!(why = %failure, "feed.interrupted");
                    }
                    was_away = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, service_account: &str) -> Known {
        let (id, service_account) = (id.to_owned(), service_account.to_owned());
        Known {
            id,
            namespace: "shop".to_owned(),
            service_account,
            epoch: 1,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn feed(revision: i64, complete: bool, associations: &[Known], ended: &[&str]) -> Feed {
        let verification = Verification {
            state: podidentity::feed::State::Unknown,
            audience: "pods".to_owned(),
            issuer: None,
            keys: podidentity::KeySet::default(),
            uri_variable: "U".to_owned(),
            token_file_variable: "T".to_owned(),
        };
        let ended = ended.iter().map(|id| (*id).to_owned()).collect();
        let history = "h".to_owned();
        Feed { revision, history, complete, verification, associations: associations.to_vec(), ended }
    }

    #[test]
    fn changes_add_up_to_what_there_is() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[known("1", "till"), known("2", "web")], &[]));
        told.take(5, feed(6, false, &[known("3", "api")], &["1"]));
        assert!(!told.has("shop", "till") && told.has("shop", "web") && told.has("shop", "api"));
        assert!(!told.has("other", "web"));
        told.take(6, feed(7, true, &[known("4", "till")], &[]));
        assert_eq!(told.by_workload.len(), 1);
    }

    #[test]
    fn a_workload_that_is_associated_anew_in_one_answer_stays() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[known("1", "till")], &[]));
        told.take(5, feed(6, false, &[known("2", "till")], &["1"]));
        assert!(told.has("shop", "till"));
    }

    #[test]
    fn an_answer_that_was_overtaken_brings_nothing_back() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[], &[]));
        told.take(5, feed(7, false, &[], &["1"]));
        told.take(5, feed(6, false, &[known("1", "till")], &[]));
        assert!(!told.has("shop", "till"));
        told.take(5, feed(8, false, &[known("2", "till")], &["1"]));
        assert!(told.has("shop", "till"), "one that tells more than is known counts, whenever it was asked");
    }

    #[test]
    fn another_history_replaces_everything_and_is_asked_for_as_a_whole() {
        let mut told = Told::default();
        told.take(0, feed(50, true, &[known("1", "till")], &[]));
        let restored = Feed { history: "other".to_owned(), ..feed(7, false, &[known("2", "web")], &[]) };
        told.take(50, restored);
        assert!(!told.has("shop", "till") && told.has("shop", "web"));
        assert_eq!(told.revision, 0);
        told.take(0, Feed { history: "other".to_owned(), ..feed(7, true, &[known("3", "api")], &[]) });
        assert!(told.has("shop", "api") && !told.has("shop", "web"));
    }

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
