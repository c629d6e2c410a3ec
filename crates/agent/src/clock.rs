//! The system's clock: the only place of the agent that reads it.

use domain::{Clock, Timestamp};

/// The wall clock.
pub struct System;

#[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}
