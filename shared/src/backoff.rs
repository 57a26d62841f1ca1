//! How long to wait before another attempt, and which failures to log.

use std::time::Duration;

use rand::RngExt;

/// Exponential waits with full jitter between half and all of the step, capped.
///
/// The jitter spreads the attempts of many clients when their server comes back. The cap limits how late a client
/// notices that the server is back.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    /// Waits that start at `first` and never exceed `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, attempt: 0 }
    }

    /// The wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.attempt.min(20)).unwrap_or(u32::MAX);
        let step = self.first.saturating_mul(factor).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Attempts since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Whether to log this failure. The 1st, 2nd, 4th, 8th … failure in a row is logged, so that an outage of a day
    /// fills a page of the log and not the disk.
    #[must_use]
    pub fn should_log(&self) -> bool {
        self.attempt.is_power_of_two()
    }

    /// Starts again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let first = backoff.next_delay();
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100));
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(2));
        }
        assert!(backoff.next_delay() >= Duration::from_secs(1));
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn an_outage_is_reported_at_a_falling_rate() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        let said = (0..1000).filter(|_| {
            backoff.next_delay();
            backoff.should_log()
        });
        assert_eq!(said.count(), 10);
    }
}
