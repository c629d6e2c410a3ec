//! Time as a parameter. The wall clock is read in one place, the `bailiwick` binary.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// An instant, in milliseconds since 1970 UTC. Wire forms are RFC 3339 in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// An instant from milliseconds since 1970 UTC.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `seconds`.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// `2026-11-21T20:41:00Z`, cut to the second.
    #[must_use]
    pub fn rfc3339_seconds(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// `2026-11-21T20:41:00.123000Z`.
    #[must_use]
    pub fn rfc3339_micros(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S.%6fZ")
    }

    /// This instant in UTC in a `strftime` layout.
    #[must_use]
    pub fn format(self, layout: &str) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map(|t| t.strftime(layout).to_string())
            .unwrap_or_else(|_| "out of range".to_owned())
    }

    /// Reads RFC 3339. `None` if it is not that.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_seconds())
    }
}

/// Tells what time it is.
///
/// Two implementations: the system's (in the `bailiwick` binary) and [`Fixed`] (in tests).
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is moved.
pub struct Fixed(AtomicI64);

impl Fixed {
    /// A clock that shows `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_millis()))
    }

    /// Moves the clock forward.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_back_what_they_print() {
        let at = Timestamp::from_millis(1_795_293_660_123);
        assert_eq!(at.rfc3339_seconds(), "2026-11-21T20:41:00Z");
        assert_eq!(at.rfc3339_micros(), "2026-11-21T20:41:00.123000Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21T20:41:00.123Z"), Some(at));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }
}
