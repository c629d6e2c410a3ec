//! Which service accounts have an association, as the server tells it: kept in memory, and asked for what is not known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::{Clock, Timestamp};
use podidentity::feed::{Feed, Known, Verification};
use tokio::time::{sleep, timeout};

use crate::clock::System;
use crate::server::Server;

/// As long may a pod be kept waiting because nobody knows its service account.
const PATIENCE: Duration = Duration::from_millis(1500);
/// As long does the server hold a question while nothing changes.
const WAIT: Duration = Duration::from_secs(20);
/// Between questions that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What was told so far.
#[derive(Debug, Default)]
pub struct Told {
    revision: i64,
    verification: Option<Verification>,
    by_id: BTreeMap<String, Known>,
    /// By namespace and service account, to the id.
    by_workload: BTreeMap<(String, String), String>,
    /// By id, when it was first told of; `None` if it was there when the first answer came.
    since: BTreeMap<String, Option<Timestamp>>,
}

/// A service account with an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// When its association was first told of; `None` if it was there before this program.
    pub since: Option<Timestamp>,
}

impl Told {
    /// Takes an answer to what came after `asked`. One that another answer has overtaken is dropped.
    pub fn take(&mut self, asked: i64, feed: Feed, now: Timestamp) {
        let is_next = asked == self.revision || (asked <= self.revision && feed.revision > self.revision);
        if !is_next {
            return;
        }
        let since = self.verification.is_some().then_some(now);
        if feed.complete {
            self.by_id.clear();
            self.by_workload.clear();
        }
        for id in &feed.ended {
            self.forget(id);
        }
        for known in feed.associations {
            self.forget(&known.id);
            let workload = (known.namespace.clone(), known.service_account.clone());
            self.since.entry(known.id.clone()).or_insert(since);
            self.by_workload.insert(workload, known.id.clone());
            self.by_id.insert(known.id.clone(), known);
        }
        self.since.retain(|id, _| self.by_id.contains_key(id));
        self.revision = feed.revision;
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

/// The associations of this cluster.
pub struct Associations {
    server: Server,
    told: Mutex<Told>,
    /// How many questions for what is not known were begun.
    begun: AtomicU64,
    /// Held while one is asked; the number of the last that was answered.
    answered: tokio::sync::Mutex<u64>,
}

impl Associations {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(server: Server) -> Self {
        let answered = tokio::sync::Mutex::new(0);
        Self { server, told: Mutex::default(), begun: AtomicU64::new(0), answered }
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
        if !self.ask().await {
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
        let workload = |((namespace, service_account), id): (&(String, String), &String)| Workload {
            namespace: namespace.clone(),
            service_account: service_account.clone(),
            since: told.since.get(id).copied().flatten(),
        };
        told.by_workload.iter().map(workload).collect()
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
        let before = self.begun.load(Ordering::SeqCst);
        let asking = async {
            let mut answered = self.answered.lock().await;
            if *answered > before {
                return true;
            }
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let after = self.told().revision;
            let Ok(feed) = self.server.feed(after, Duration::ZERO).await else { return false };
            self.told().take(after, feed, System.now());
            *answered = number;
            true
        };
        timeout(PATIENCE, asking).await.unwrap_or(false)
    }

    /// Follows what the server tells, for ever.
    pub async fn follow(&self) {
        let mut was_away = false;
        loop {
            let after = self.told().revision;
            let wait = if self.is_ready() { WAIT } else { Duration::ZERO };
            match self.server.feed(after, wait).await {
                Ok(feed) => {
                    if was_away {
                        tracing::info!("feed.resumed");
                    }
                    was_away = false;
                    self.told().take(after, feed, System.now());
                }
                Err(failure) => {
                    let why = failure.to_string();
                    if !was_away {
                        tracing::warn!(why, "feed.interrupted");
                    }
                    was_away = true;
                    sleep(PAUSE).await;
                }
            }
        }
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

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
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
        told.take(0, feed(5, true, &[known("1", "till"), known("2", "web")], &[]), at(1));
        told.take(5, feed(6, false, &[known("3", "api")], &["1"]), at(1));
        assert!(!told.has("shop", "till") && told.has("shop", "web") && told.has("shop", "api"));
        assert!(!told.has("other", "web"));
        told.take(6, feed(7, true, &[known("4", "till")], &[]), at(1));
        assert_eq!(told.by_workload.len(), 1);
    }

    #[test]
    fn a_workload_that_is_associated_anew_in_one_answer_stays() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[known("1", "till")], &[]), at(1));
        told.take(5, feed(6, false, &[known("2", "till")], &["1"]), at(1));
        assert!(told.has("shop", "till"));
    }

    #[test]
    fn an_answer_that_was_overtaken_brings_nothing_back() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[], &[]), at(1));
        told.take(5, feed(7, false, &[], &["1"]), at(1));
        told.take(5, feed(6, false, &[known("1", "till")], &[]), at(1));
        assert!(!told.has("shop", "till"));
        told.take(5, feed(8, false, &[known("2", "till")], &["1"]), at(1));
        assert!(told.has("shop", "till"), "one that tells more than is known counts, whenever it was asked");
    }

    #[test]
    fn an_association_that_was_there_first_is_older_than_every_pod() {
        let mut told = Told::default();
        told.take(0, feed(5, true, &[known("1", "till")], &[]), at(1));
        told.take(5, feed(6, false, &[known("2", "web")], &[]), at(2));
        told.take(6, feed(7, true, &[known("1", "till"), known("2", "web")], &[]), at(3));
        assert_eq!(told.since, BTreeMap::from([("1".to_owned(), None), ("2".to_owned(), Some(at(2)))]));
        told.take(7, feed(8, false, &[], &["1", "2"]), at(4));
        assert!(told.since.is_empty());
    }
}
