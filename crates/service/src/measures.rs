//! What this server measures about itself. Counting is an atomic addition: no lock, no allocation, and no label that
//! a caller, a cluster or an account could choose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{ConnectionState, Result, State, Timestamp};

use crate::abuse::Throttled;
use crate::audit::{AuditQueue, AuthFailure};
use crate::authz;
use crate::call::Call;
use crate::clusters::expiring::Soon;
use crate::pod_identity::refusal::Stopped;
use crate::service::Service;

/// What is asked of the database must be there by then; without it the other figures are shown alone.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How many bounds a histogram has.
const BOUNDS: usize = 8;

/// Bounds in seconds for what should take seconds.
const LAG: [f64; BOUNDS] = [0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0];

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    bounds: [f64; BOUNDS],
    buckets: [AtomicU64; BOUNDS + 1],
    micros: AtomicU64,
}

/// A histogram at one instant.
#[derive(Clone, Debug)]
pub struct HistogramView {
    /// The upper bound of each bucket in seconds, and how much is in it alone. The last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// All durations together, in seconds.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
}

impl Histogram {
    /// A histogram with these bounds, in seconds, growing.
    #[must_use]
    pub fn new(bounds: [f64; BOUNDS]) -> Self {
        Self { bounds, buckets: Default::default(), micros: AtomicU64::new(0) }
    }

    /// Adds one.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self) -> HistogramView {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        HistogramView { buckets, sum, count }
    }
}

/// What came of tokens for which credentials were asked.
const VENDED: [&str; 3] = ["given", "refused", "failed"];

/// What is counted about the workers, and about pods.
pub(crate) struct Counters {
    reached: AtomicU64,
    unreached: AtomicU64,
    lag: Histogram,
    vended: [AtomicU64; VENDED.len()],
}

impl Default for Counters {
    fn default() -> Self {
        let (reached, unreached) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { reached, unreached, lag: Histogram::new(LAG), vended: Default::default() }
    }
}

impl Counters {
    /// A worker reported.
    pub(crate) fn reported(&self, connection: ConnectionState) {
        let counter = match connection {
            ConnectionState::Connected => &self.reached,
            ConnectionState::Detached | ConnectionState::Connecting | ConnectionState::Unreachable => {
                &self.unreached
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Credentials were asked for.
    pub(crate) fn vended<T>(&self, outcome: &Result<T, Stopped>) {
        let [given, refused, failed] = &self.vended;
        let counter = match outcome {
            Ok(_) => given,
            Err(Stopped::Refused(_)) => refused,
            Err(Stopped::Failed(_)) => failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn all_vended(&self) -> Vec<(&'static str, u64)> {
        let counts = self.vended.iter().map(|count| count.load(Ordering::Relaxed));
        VENDED.into_iter().zip(counts).collect()
    }

    /// A change that was made at `changed` was confirmed by a cluster at `now`.
    pub(crate) fn confirmed(&self, changed: Timestamp, now: Timestamp) {
        let millis = now.as_millis().saturating_sub(changed.as_millis());
        self.lag.observe(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    }
}

/// Everything that is measured here, at one instant.
#[derive(Clone, Debug)]
pub struct Measures {
    /// What the database says; `None` if it does not answer.
    pub stored: Option<Stored>,
    /// Whether the installation is held.
    pub held: bool,
    /// Reports of workers that reached their cluster.
    pub passes_reached: u64,
    /// Reports of workers that did not.
    pub passes_unreached: u64,
    /// From a change to its first confirmation by each cluster.
    pub lag: HistogramView,
    /// Tokens for which credentials were asked, by what came of it.
    pub vended: Vec<(&'static str, u64)>,
    /// The audit's queue.
    pub audit: AuditQueue,
    /// Requests that proved nothing.
    pub failures: Vec<(AuthFailure, u64)>,
    /// How often access keys, and users, were locked after failures.
    pub locks: [(&'static str, u64); 2],
    /// Requests that came too fast, by what they had too many of.
    pub throttled: Vec<(Throttled, u64)>,
    /// Clusters whose credentials end soon, or ended.
    pub expiring: Vec<(Soon, i64)>,
}

/// What the database says.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Clusters by state.
    pub clusters: Vec<(ConnectionState, i64)>,
    /// Pairs of grant and cluster by state.
    pub grants: Vec<(State, i64)>,
}

impl Service {
    /// What is measured, for somebody who may know.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn show_measures(&self, call: &Call) -> Result<Measures> {
        authz::require(call, "bailiwick:metrics:show")?;
        Ok(self.measures().await)
    }

    /// What is measured, for whoever runs this server's machine.
    pub async fn measures(&self) -> Measures {
        let stored = tokio::time::timeout(TIME_LIMIT, self.stored()).await;
        Measures {
            stored: stored.ok().and_then(|stored| {
                stored.inspect_err(|error| tracing::warn!(?error, "cannot count for the metrics")).ok()
            }),
            held: self.hold().is_some(),
            passes_reached: self.counters.reached.load(Ordering::Relaxed),
            passes_unreached: self.counters.unreached.load(Ordering::Relaxed),
            lag: self.counters.lag.view(),
            vended: self.counters.all_vended(),
            audit: self.audit_queue(),
            failures: self.auth_failures(),
            locks: [("access-key", self.key_guesses.locks()), ("user", self.login_guesses.locks())],
            throttled: self.limiter.refused(),
            expiring: self.expiring_credentials(),
        }
    }

    async fn stored(&self) -> Result<Stored> {
        let mut tx = self.store.read().await?;
        let stored = Stored { clusters: tx.count_clusters().await?, grants: tx.count_grant_states().await? };
        tx.end().await?;
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::new(LAG);
        for millis in [0, 250, 251, 700_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let view = histogram.view();
        let counts: Vec<u64> = view.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((view.count, view.sum), (4, 700.501));
    }
}
