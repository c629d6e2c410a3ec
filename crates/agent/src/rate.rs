//! How often something may be done.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// So many in a row, and so many in a second.
pub struct Rate {
    burst: f64,
    per_second: f64,
    level: Mutex<Option<(Instant, f64)>>,
}

impl Rate {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self { burst: burst.into(), per_second: per_second.into(), level: Mutex::new(None) }
    }

    /// Whether there is one left, which is taken.
    pub fn take(&self) -> bool {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, left) = level.unwrap_or((now, self.burst));
        let left = (left + now.duration_since(at).as_secs_f64() * self.per_second).min(self.burst);
        let is_there = left >= 1.0;
        *level = Some((now, if is_there { left - 1.0 } else { left }));
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_a_burst_and_what_comes_back_in_time() {
        let rate = Rate::new(2, 3);
        assert_eq!([rate.take(), rate.take(), rate.take()], [true, true, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([rate.take(), rate.take(), rate.take()], [true, true, false]);
    }
}
