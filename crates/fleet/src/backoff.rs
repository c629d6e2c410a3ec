//! How long to wait after a failure: doubling, to a minute, with a spread that differs from cluster to cluster.
//!
//! The spread is computed from a seed instead of being random: clusters that fail together still come back apart,
//! and tests see the same delays each time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// A sequence of delays.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    seed: u64,
    failures: u32,
}

impl Backoff {
    /// A sequence that belongs to `name`.
    pub(crate) fn new(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self { seed: hasher.finish(), failures: 0 }
    }

    /// The delay after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between three quarters and all of it.
        let spread = (self.seed.rotate_left(self.failures % 64) & 0xff) as u32;
        whole - (whole / 4).saturating_mul(spread) / 255
    }

    /// Starts again, after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_minute_and_start_again_after_a_success() {
        let mut backoff = Backoff::new("cluster");
        let delays: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(delays[0] <= FIRST && delays[0] >= FIRST * 3 / 4);
        assert!(delays.iter().all(|delay| *delay <= LONGEST));
        assert!(delays.iter().skip(8).all(|delay| *delay >= LONGEST * 3 / 4), "{delays:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn clusters_that_fail_together_come_back_apart() {
        let third = |name: &str| {
            let mut backoff = Backoff::new(name);
            (0..8).map(|_| backoff.next()).last()
        };
        assert_ne!(third("a"), third("b"));
    }
}
