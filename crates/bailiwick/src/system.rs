//! The two things that only the machine can say: what time it is, and bytes that nobody can guess.
//!
//! Everything else in the workspace takes them as parameters ([`domain::Clock`], [`domain::Entropy`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::{Clock, Entropy, Timestamp};

/// The machine's wall clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        #[cfg(feature = "test-clock")]
        if let Some(told) = told_time() {
            return told;
        }
        // A clock before 1970 shows 1970: signatures made with it are refused, which is the right outcome.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The time that `BAILIWICK_TEST_NOW` says (RFC 3339), so that requests recorded long ago can be sent again. Only in
/// programs that are built for it: a server whose time can be told from outside would accept old signatures.
#[cfg(feature = "test-clock")]
fn told_time() -> Option<Timestamp> {
    std::env::var_os("BAILIWICK_TEST_NOW")?.to_str().and_then(Timestamp::parse_rfc3339)
}

/// The operating system's random generator.
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made, and there is nothing to go on with"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system must give random bytes");
    }
}

/// What people call this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

/// Waits, for commands that ask the server again until something has happened.
#[expect(
    clippy::disallowed_methods,
    reason = "a person waits at a terminal; the server has no way to call back"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_this_century() {
        assert!(SystemClock.now() > Timestamp::from_millis(1_700_000_000_000));
    }

    #[test]
    fn entropy_does_not_repeat_itself() {
        assert_ne!(domain::entropy::bytes::<16>(&OsEntropy), domain::entropy::bytes::<16>(&OsEntropy));
    }
}
