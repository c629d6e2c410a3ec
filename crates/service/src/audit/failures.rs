//! Requests that did not prove who sent them: counted for each source, reason and minute, in a table that cannot grow.
//! When it is full, further sources of that minute are counted together: nothing that was counted is pushed out, so
//! that a flood from many addresses hides nobody who came before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::Timestamp;

/// At most so many sources and reasons are told apart in one minute, and so at most as many rows come of one (and one
/// more for each reason).
const CAPACITY: usize = 1_000;
const MINUTE: i64 = 60_000;
/// The source of what was counted together.
const OTHERS: &str = "others";

/// Why a request did not prove who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// It showed no credential.
    Nothing,
    /// It used a scheme that is not served there.
    Scheme,
    /// Its signature has not its form.
    Malformed,
    /// Its date is too far from ours, or none.
    Date,
    /// No such access key, or not enabled.
    UnknownKey,
    /// The signature is not the request's.
    Signature,
    /// The token is unknown or ended.
    Token,
    /// The user or the password is wrong.
    Password,
    /// Access key or user were locked for the source after failures; the credential was not looked at.
    Locked,
    /// The token that a pod showed by itself proves nothing, or nothing that gives it credentials.
    PodToken,
}

impl AuthFailure {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Scheme,
        Self::Malformed,
        Self::Date,
        Self::UnknownKey,
        Self::Signature,
        Self::Token,
        Self::Password,
        Self::Locked,
        Self::PodToken,
    ];

    /// As it is written down.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "no-credential",
            Self::Scheme => "unknown-scheme",
            Self::Malformed => "malformed-signature",
            Self::Date => "wrong-date",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "wrong-signature",
            Self::Token => "invalid-token",
            Self::Password => "wrong-password",
            Self::Locked => "locked",
            Self::PodToken => "pod-token",
        }
    }
}

/// What one minute brought from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) minute: Timestamp,
    pub(crate) source: String,
    pub(crate) reason: AuthFailure,
    pub(crate) times: u64,
}

type Counts = HashMap<(i64, String, AuthFailure), u64>;

/// The table.
#[derive(Default)]
pub(crate) struct Failures {
    counts: Mutex<Counts>,
    totals: [AtomicU64; AuthFailure::ALL.len()],
}

impl Failures {
    /// Counts one.
    pub(crate) fn count(&self, source: &str, reason: AuthFailure, now: Timestamp) {
        let at = AuthFailure::ALL.iter().position(|known| *known == reason);
        if let Some(total) = at.and_then(|at| self.totals.get(at)) {
            total.fetch_add(1, Ordering::Relaxed);
        }
        let minute = now.as_millis() - now.as_millis().rem_euclid(MINUTE);
        self.add(minute, network(source), reason, 1);
    }

    fn add(&self, minute: i64, source: String, reason: AuthFailure, times: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.len() >= CAPACITY;
        let key = (minute, source, reason);
        match counts.get_mut(&key) {
            Some(known) => *known += times,
            None if full => *counts.entry((minute, OTHERS.to_owned(), reason)).or_default() += times,
            None => drop(counts.insert(key, times)),
        }
    }

    /// Takes the minutes out that are over.
    pub(crate) fn take_ended(&self, now: Timestamp) -> Vec<Counted> {
        self.take(|minute| minute.saturating_add(MINUTE) <= now.as_millis())
    }

    /// Takes everything out.
    pub(crate) fn take_all(&self) -> Vec<Counted> {
        self.take(|_| true)
    }

    fn take(&self, wanted: impl Fn(i64) -> bool) -> Vec<Counted> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = counts.extract_if(|(minute, _, _), _| wanted(*minute));
        taken
            .map(|((minute, source, reason), times)| Counted {
                minute: Timestamp::from_millis(minute),
                source,
                reason,
                times,
            })
            .collect()
    }

    /// Counts again what could not be written.
    pub(crate) fn give_back(&self, counted: Vec<Counted>) {
        for entry in counted {
            self.add(entry.minute.as_millis(), entry.source, entry.reason, entry.times);
        }
    }

    pub(crate) fn totals(&self) -> Vec<(AuthFailure, u64)> {
        let totals = self.totals.iter().map(|total| total.load(Ordering::Relaxed));
        AuthFailure::ALL.into_iter().zip(totals).collect()
    }
}

/// The source as it is counted: of an IPv6 address the network, because one machine has as many addresses as it likes.
fn network(source: &str) -> String {
    match source.parse() {
        Ok(IpAddr::V6(address)) => {
            let prefix = address.to_bits() & (u128::MAX << 64);
            format!("{}/64", std::net::Ipv6Addr::from_bits(prefix))
        }
        Ok(IpAddr::V4(_)) | Err(_) => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_bad_signatures_make_a_bounded_number_of_rows_and_none_is_lost() {
        let failures = Failures::default();
        for n in 0..1_000_000_u32 {
            let source = std::net::Ipv4Addr::from_bits(n % 50_000).to_string();
            failures.count(&source, AuthFailure::Signature, Timestamp::from_millis(i64::from(n % 60_000)));
        }
        assert!(failures.take_ended(Timestamp::from_millis(59_999)).is_empty(), "the minute is not over");
        let rows = failures.take_ended(Timestamp::from_millis(60_000));
        assert!(rows.len() <= CAPACITY + AuthFailure::ALL.len(), "{} rows", rows.len());
        assert_eq!(rows.iter().map(|row| row.times).sum::<u64>(), 1_000_000);
        assert_eq!(rows.iter().filter(|row| row.source == OTHERS).count(), 1);
    }

    #[test]
    fn one_source_and_reason_is_one_row_a_minute() {
        let failures = Failures::default();
        for second in 0..120 {
            failures.count("192.0.2.1", AuthFailure::Token, Timestamp::from_millis(second * 1000));
        }
        let rows = failures.take_all();
        assert_eq!(rows.iter().map(|row| row.times).collect::<Vec<_>>(), [60, 60]);
        assert!(failures.totals().contains(&(AuthFailure::Token, 120)));
    }

    #[test]
    fn the_many_addresses_of_one_machine_are_one_source() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
