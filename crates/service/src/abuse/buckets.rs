//! Token buckets in a table that never grows: each is one number, the instant at which it will be full again. Taking is a
//! few atomic operations in one cache line, whatever others do meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A key's bucket is in one of so many places.
const WAYS: usize = 8;
/// The upper bits of a place say whose it is, the lower ones when it is full, in microseconds: enough for nine years.
const TIME_BITS: u32 = 48;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// Who loses so many races for a place is let through: it costs nobody anything.
const TRIES: usize = 16;

/// Buckets that fill at one rate.
pub(super) struct Buckets {
    places: Box<[AtomicU64]>,
    /// Microseconds in which one more may pass.
    interval: u64,
    /// How far ahead of the present a bucket may be: the interval times the burst.
    depth: u64,
}

impl Buckets {
    /// Room for `sets` times eight keys, a power of two. A rate of 0 was ruled out by the caller.
    pub(super) fn new(sets: usize, per_second: u32, burst: u32) -> Self {
        let interval = 1_000_000_u64.div_ceil(u64::from(per_second.max(1)));
        let places = (0..sets.next_power_of_two() * WAYS).map(|_| AtomicU64::new(0)).collect();
        Self { places, interval, depth: interval.saturating_mul(u64::from(burst.max(1))) }
    }

    /// Takes one for `key` at `now`, microseconds since the start.
    ///
    /// # Errors
    /// How long to wait if there is none.
    pub(super) fn take(&self, key: u64, now: u64) -> Result<(), Duration> {
        let tag = (key >> TIME_BITS).max(1);
        for _ in 0..TRIES {
            let Some((place, found)) = self.place(key, tag) else { return Ok(()) };
            let full = if found >> TIME_BITS == tag { found & TIME } else { 0 };
            let next = full.max(now).saturating_add(self.interval);
            if let Some(wait) = next.checked_sub(now.saturating_add(self.depth)).filter(|wait| *wait > 0) {
                return Err(Duration::from_micros(wait));
            }
            let new = (tag << TIME_BITS) | (next & TIME);
            if place.compare_exchange(found, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there is one for `key` at `now`, without taking it.
    ///
    /// # Errors
    /// How long to wait if there is none.
    pub(super) fn look(&self, key: u64, now: u64) -> Result<(), Duration> {
        let tag = (key >> TIME_BITS).max(1);
        let found = self.place(key, tag).map(|(_, found)| found).filter(|found| found >> TIME_BITS == tag);
        let next = found.map_or(0, |found| found & TIME).max(now).saturating_add(self.interval);
        match next.checked_sub(now.saturating_add(self.depth)).filter(|wait| *wait > 0) {
            Some(wait) => Err(Duration::from_micros(wait)),
            None => Ok(()),
        }
    }

    /// The key's place and what is in it; else the one that loses least by being taken: the fullest bucket.
    fn place(&self, key: u64, tag: u64) -> Option<(&AtomicU64, u64)> {
        let sets = self.places.len() / WAYS;
        let at = (usize::try_from(key & u64::from(u32::MAX)).unwrap_or_default() & (sets - 1)) * WAYS;
        let set = self.places.get(at..at + WAYS)?;
        let mut fullest: Option<(&AtomicU64, u64)> = None;
        for place in set {
            let found = place.load(Ordering::Relaxed);
            if found >> TIME_BITS == tag {
                return Some((place, found));
            }
            if fullest.is_none_or(|(_, known)| found & TIME < known & TIME) {
                fullest = Some((place, found));
            }
        }
        fullest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 0xABCD_0000_0000_0007;
    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_passes_at_once_and_then_what_the_rate_allows() {
        let buckets = Buckets::new(1, 10, 5);
        for n in 0..5 {
            assert!(buckets.take(KEY, SECOND).is_ok(), "{n}");
        }
        assert_eq!(buckets.take(KEY, SECOND), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take(KEY, SECOND + 40_000), Err(Duration::from_millis(60)));
        assert!(buckets.take(KEY, SECOND + 100_000).is_ok());
        assert!(buckets.take(KEY, SECOND + 100_000).is_err());
        let later = 100 * SECOND;
        assert_eq!(
            (0..9).filter(|_| buckets.take(KEY, later).is_ok()).count(),
            5,
            "it fills up to the burst"
        );
    }

    #[test]
    fn who_looks_takes_nothing_and_sees_what_takers_left() {
        let buckets = Buckets::new(1, 10, 2);
        assert!((0..100).all(|_| buckets.look(KEY, SECOND).is_ok()));
        assert!(buckets.take(KEY, SECOND).is_ok() && buckets.look(KEY, SECOND).is_ok());
        assert!(buckets.take(KEY, SECOND).is_ok());
        assert_eq!(buckets.look(KEY, SECOND), Err(Duration::from_millis(100)));
        assert!(buckets.look(KEY, SECOND + 100_000).is_ok());
        assert!(buckets.look(1 << TIME_BITS, SECOND).is_ok(), "another one's");
    }

    #[test]
    fn what_one_takes_another_does_not_lack() {
        let buckets = Buckets::new(64, 1, 1);
        for key in 0..100_u64 {
            assert!(buckets.take((key << TIME_BITS) | key, SECOND).is_ok(), "{key}");
        }
    }

    #[test]
    fn a_flood_of_keys_pushes_out_the_fullest_and_not_who_is_being_held_back() {
        let buckets = Buckets::new(1, 1, 100);
        let greedy = (0..100).filter(|_| buckets.take(KEY, SECOND).is_ok()).count();
        assert_eq!(greedy, 100);
        for other in 2..5_000_u64 {
            assert!(buckets.take(other << TIME_BITS, SECOND).is_ok());
        }
        assert!(buckets.take(KEY, SECOND).is_err(), "still empty");
    }

    #[test]
    fn eight_threads_together_take_what_one_may() {
        let buckets = Buckets::new(1, 1, 1_000);
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| buckets.take(KEY, SECOND).is_ok()).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // A thread that lost many races is let through; that is rare.
        assert!((1_000..1_100).contains(&taken), "{taken}");
    }
}
