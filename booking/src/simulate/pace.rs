//! The rate: when each transaction may begin, over all connections together.
//!
//! In: a rate. Out: permission to begin. Time that a slow server has cost is made up for only within [`CATCH_UP_MAX`],
//! so that no burst of transactions follows a pause.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How much lost time is made up for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Hands out the moments at which transactions begin.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    /// A pacer for `rate` transactions a second; zero means no limit.
    pub(crate) fn new(rate: f64) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::ZERO);
        Self { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next turn. Dropping the future loses one turn and nothing else.
    pub(crate) async fn turn(&self) {
        if !self.interval.is_zero() {
            sleep_until(self.reserve(Instant::now())).await;
        }
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().expect("nothing panics while it holds the pacer's lock");
        let oldest = now.checked_sub(CATCH_UP_MAX).unwrap_or(now);
        let turn = (*next).max(oldest);
        *next = turn + self.interval;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{CATCH_UP_MAX, Pacer};

    #[test]
    fn turns_are_an_interval_apart() {
        let pacer = Pacer::new(50.0);
        let now = Instant::now();
        let first = pacer.reserve(now);
        let second = pacer.reserve(now);
        assert_eq!(second - first, Duration::from_millis(20));
    }

    #[test]
    fn after_a_pause_at_most_a_second_is_made_up_for() {
        let pacer = Pacer::new(10.0);
        let later = Instant::now() + Duration::from_secs(3_600);
        let due = (0..).take_while(|_| pacer.reserve(later) <= later).count();
        assert_eq!(due, 11);
        assert_eq!(CATCH_UP_MAX, Duration::from_secs(1));
    }
}
