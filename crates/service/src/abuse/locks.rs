//! Who guesses is locked out. A pair of a name (an access key, a user) and a source is locked after six failures in a row,
//! the name as a whole only after a hundred failures within a minute: else anybody could lock an honest user out.
//!
//! Names that do not exist are counted like those that do, so that nobody learns from a lock which exist, but apart: made-up
//! names push out nobody's count. Entries hold numbers and no text.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::Timestamp;

use super::{network_of, number};

/// Failures in a row that are answered as such; the next one locks the pair.
const ANSWERED: u32 = 5;
/// Failures within a minute that lock the name for every source.
const WHOLE: u32 = 100;
const MINUTE: i64 = 60_000;
/// How long a lock holds, and how long failures are remembered that another did not follow.
const HOLDS: i64 = 5 * MINUTE;

/// Parts of a table, so that one who fails does not keep others waiting.
const PARTS: usize = 16;
/// Entries of a part.
const CAPACITY: usize = 1_024;
/// So many are given up at once where all are in use.
const ROOM: usize = 64;

/// Whether the name exists that somebody failed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
}

/// What counts as one series.
#[derive(Clone, Copy)]
enum Series {
    Pair,
    Whole,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    since: i64,
    ends: i64,
    locked: bool,
}

/// The failures of one kind of name.
pub(crate) struct Guesses {
    hasher: RandomState,
    known: Table,
    unknown: Table,
    locks: AtomicU64,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            known: Table::default(),
            unknown: Table::default(),
            locks: AtomicU64::new(0),
        }
    }
}

impl Guesses {
    /// Whether `name` may not be tried from `source`.
    pub(crate) fn is_locked(&self, name: &str, source: &str, now: Timestamp) -> bool {
        let tables = [&self.known, &self.unknown];
        if tables.iter().all(|table| table.is_empty()) {
            return false;
        }
        let [pair, whole] = self.numbers(name, source);
        tables.iter().any(|table| table.is_locked(pair, now) || table.is_locked(whole, now))
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, known: Known, name: &str, source: &str, now: Timestamp) {
        let table = match known {
            Known::Yes => &self.known,
            Known::No => &self.unknown,
        };
        let [pair, whole] = self.numbers(name, source);
        for (at, series) in [(pair, Series::Pair), (whole, Series::Whole)] {
            if table.fail(at, series, now) {
                self.locks.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Forgets the failures of the pair: it was not guessing.
    pub(crate) fn succeeded(&self, name: &str, source: &str) {
        if !self.known.is_empty() {
            let [pair, _] = self.numbers(name, source);
            self.known.forget(pair);
        }
    }

    /// How many locks there were since the start.
    pub(crate) fn locks(&self) -> u64 {
        self.locks.load(Ordering::Relaxed)
    }

    fn numbers(&self, name: &str, source: &str) -> [u64; 2] {
        [number(&self.hasher, (name, Some(network_of(source)))), number(&self.hasher, (name, None::<u128>))]
    }
}

/// A bounded table.
#[derive(Default)]
struct Table {
    parts: [Mutex<HashMap<u64, Entry>>; PARTS],
    entries: AtomicUsize,
}

impl Table {
    fn is_empty(&self) -> bool {
        self.entries.load(Ordering::Relaxed) == 0
    }

    fn with<T>(&self, at: u64, work: impl FnOnce(&mut HashMap<u64, Entry>) -> T) -> Option<T> {
        let index = usize::try_from(at % PARTS as u64).unwrap_or_default();
        let mut part = self.parts.get(index)?.lock().unwrap_or_else(PoisonError::into_inner);
        let before = part.len();
        let outcome = work(&mut part);
        if part.len() >= before {
            self.entries.fetch_add(part.len() - before, Ordering::Relaxed);
        } else {
            self.entries.fetch_sub(before - part.len(), Ordering::Relaxed);
        }
        Some(outcome)
    }

    fn is_locked(&self, at: u64, now: Timestamp) -> bool {
        let look = |part: &mut HashMap<u64, Entry>| match part.get(&at) {
            Some(entry) if entry.ends <= now.as_millis() => {
                part.remove(&at);
                false
            }
            Some(entry) => entry.locked,
            None => false,
        };
        self.with(at, look).unwrap_or_default()
    }

    fn forget(&self, at: u64) {
        self.with(at, |part| part.remove(&at));
    }

    /// Counts a failure; whether it locks.
    fn fail(&self, at: u64, series: Series, now: Timestamp) -> bool {
        let now = now.as_millis();
        let count = |part: &mut HashMap<u64, Entry>| {
            if part.len() >= CAPACITY && !part.contains_key(&at) {
                make_room(part, now);
            }
            let new = Entry { failures: 0, since: now, ends: now, locked: false };
            let entry = part.entry(at).or_insert(new);
            let over = match series {
                Series::Pair => false,
                Series::Whole => now.saturating_sub(entry.since) >= MINUTE && !entry.locked,
            };
            if over || entry.ends <= now {
                *entry = new;
            }
            if entry.locked {
                return false;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.ends = now.saturating_add(HOLDS);
            entry.locked = match series {
                Series::Pair => entry.failures > ANSWERED,
                Series::Whole => entry.failures >= WHOLE,
            };
            entry.locked
        };
        self.with(at, count).unwrap_or_default()
    }
}

/// Drops what is over; if nothing is, some of what will be over first, so that a flood does not look through a part for
/// each name.
fn make_room(part: &mut HashMap<u64, Entry>, now: i64) {
    part.retain(|_, entry| entry.ends > now);
    let Some(mut surplus) = (part.len() + ROOM).checked_sub(CAPACITY).filter(|surplus| *surplus > 0) else {
        return;
    };
    let mut ends: Vec<i64> = part.values().map(|entry| entry.ends).collect();
    let (_, last, _) = ends.select_nth_unstable(surplus.min(part.len()) - 1);
    let last = *last;
    part.retain(|_, entry| {
        let goes = surplus > 0 && entry.ends <= last;
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";
    const THERE: &str = "192.0.2.2";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn fail(guesses: &Guesses, times: u32, source: &str, second: i64) {
        for _ in 0..times {
            guesses.failed(Known::Yes, "AK", source, at(second));
        }
    }

    #[test]
    fn more_than_five_failures_in_a_row_lock_the_pair_for_five_minutes() {
        let guesses = Guesses::default();
        fail(&guesses, 5, HERE, 0);
        assert!(!guesses.is_locked("AK", HERE, at(0)));
        fail(&guesses, 1, HERE, 10);
        assert!(guesses.is_locked("AK", HERE, at(10)));
        assert!(!guesses.is_locked("AK", THERE, at(10)), "another source");
        assert!(!guesses.is_locked("OTHER", HERE, at(10)), "another key");
        assert!(guesses.is_locked("AK", HERE, at(309)));
        assert!(!guesses.is_locked("AK", HERE, at(310)));
        fail(&guesses, 5, HERE, 310);
        assert!(!guesses.is_locked("AK", HERE, at(310)), "counted anew");
        assert_eq!(guesses.locks(), 1);
    }

    #[test]
    fn a_success_ends_the_series() {
        let guesses = Guesses::default();
        for _ in 0..15 {
            fail(&guesses, 5, HERE, 0);
            guesses.succeeded("AK", HERE);
        }
        fail(&guesses, 4, THERE, 0);
        assert!(!guesses.is_locked("AK", HERE, at(0)));
    }

    #[test]
    fn a_name_is_locked_for_everybody_only_by_a_hundred_failures_within_a_minute() {
        let guesses = Guesses::default();
        let sources: Vec<String> = (0..100).map(|n| format!("198.51.100.{n}")).collect();
        for (second, source) in sources.iter().enumerate() {
            fail(&guesses, 1, source, second as i64);
        }
        assert!(!guesses.is_locked("AK", THERE, at(100)), "a hundred in more than a minute");
        for source in &sources {
            assert!(!guesses.is_locked("AK", THERE, at(200)));
            fail(&guesses, 1, source, 200);
        }
        assert!(guesses.is_locked("AK", THERE, at(200)));
        assert!(!guesses.is_locked("AK", THERE, at(500)));
    }

    #[test]
    fn made_up_names_are_locked_too_and_push_out_no_real_one() {
        let guesses = Guesses::default();
        fail(&guesses, 6, HERE, 0);
        for n in 0..40_000 {
            guesses.failed(Known::No, &format!("made-up-{n}"), HERE, at(1));
        }
        let entries = guesses.unknown.entries.load(Ordering::Relaxed);
        assert!(entries <= PARTS * CAPACITY, "{entries}");
        assert!(guesses.is_locked("AK", HERE, at(1)));
        for _ in 0..6 {
            guesses.failed(Known::No, "nobody", HERE, at(2));
        }
        assert!(guesses.is_locked("nobody", HERE, at(2)), "as if it existed");
    }

    #[test]
    fn the_addresses_of_one_network_are_one_source() {
        let guesses = Guesses::default();
        for n in 0..6 {
            fail(&guesses, 1, &format!("2001:db8::{n}"), 0);
        }
        assert!(guesses.is_locked("AK", "2001:db8::ffff", at(0)));
        assert!(!guesses.is_locked("AK", "2001:db8:1::1", at(0)));
    }
}
