//! What only the machine can say: the time, and a number that differs from one process to the next.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use domain::{Clock, Entropy, Timestamp};

/// The wall clock.
pub struct System;

#[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
impl Clock for System {
    fn now(&self) -> Timestamp {
        #[cfg(feature = "test-clock")]
        if let Some(told) = told_time() {
            return told;
        }
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

/// The time that `BAILIWICK_TEST_NOW` says (RFC 3339), or the file that it names: read at every look, so that a test moves
/// the clock of a running agent. Only in programs that are built for it.
#[cfg(feature = "test-clock")]
fn told_time() -> Option<Timestamp> {
    let told = std::env::var_os("BAILIWICK_TEST_NOW")?.into_string().ok()?;
    let told = if told.starts_with('/') { std::fs::read_to_string(told).ok()? } else { told };
    Timestamp::parse_rfc3339(told.trim())
}

/// Spreads in time what many agents, or many pods, would otherwise do at once. It makes no secrets.
pub struct Spread(Box<dyn Entropy>);

impl Spread {
    /// A spread that no second process has.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(Box::new(domain::entropy::Fixed::new(RandomState::new().hash_one("spread"))))
    }

    /// The spread that this source gives.
    #[must_use]
    pub fn new(source: Box<dyn Entropy>) -> Self {
        Self(source)
    }

    /// From half of it to all of it.
    #[must_use]
    pub fn of(&self, most: Duration) -> Duration {
        most.mul_f64(0.5 + self.share() / 2.0)
    }

    /// From 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(u32::from_le_bytes(domain::entropy::bytes::<4>(self.0.as_ref()))) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spread_lies_between_half_of_it_and_all_of_it() {
        let spread = Spread::of_this_process();
        let all: Vec<Duration> = (0..100).map(|_| spread.of(Duration::from_secs(10))).collect();
        assert!(all.iter().all(|wait| (5.0..=10.0).contains(&wait.as_secs_f64())), "{all:?}");
        assert!(all.iter().any(|wait| *wait != all[0]));
    }
}
