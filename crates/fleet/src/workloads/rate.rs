//! How fast something may come: a bucket that is filled at a steady rate.

use tokio::time::Instant;

/// A bucket of tokens.
#[derive(Debug)]
pub(super) struct Rate {
    most: f64,
    per_second: f64,
    left: f64,
    filled_at: Instant,
}

impl Rate {
    /// A full one.
    pub(super) fn new(most: u32, per_second: u32, now: Instant) -> Self {
        let most = f64::from(most);
        Self { most, per_second: f64::from(per_second), left: most, filled_at: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.most);
        self.filled_at = now;
        let has_one = self.left >= 1.0;
        if has_one {
            self.left -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_comes_faster_than_the_bucket_is_filled_is_refused_until_it_is() {
        let now = Instant::now();
        let mut rate = Rate::new(3, 2, now);
        let taken = |rate: &mut Rate, at| (0..10).filter(|_| rate.take(at)).count();
        assert_eq!(taken(&mut rate, now), 3);
        assert_eq!(taken(&mut rate, now + Duration::from_secs(1)), 2);
        assert_eq!(taken(&mut rate, now + Duration::from_secs(100)), 3);
    }
}
