//! The time in the units that events need, and a wait that a stop ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::replication::POSTGRES_EPOCH_SECONDS;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// How long a wait goes on at most after a stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// Microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    now_ns() / 1000
}

/// The clock that stamps events with their publish time. It never says a time again that a heartbeat has called
/// complete, however the machine's clock is set. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PublishClock {
    /// Nanoseconds since the epoch.
    earliest_ns: Arc<AtomicI64>,
}

impl PublishClock {
    /// Nanoseconds since the epoch.
    pub(crate) fn now_ns(&self) -> i64 {
        now_ns().max(self.earliest_ns.load(Ordering::Relaxed))
    }

    /// Says only times after this one from now on, microseconds since the epoch.
    pub(crate) fn pass(&self, time_us: i64) {
        let next_ns = time_us.saturating_add(1).saturating_mul(1000);
        self.earliest_ns.fetch_max(next_ns, Ordering::Relaxed);
    }

    /// How far the machine's clock is behind the times that were passed.
    pub(crate) fn behind(&self) -> Duration {
        let behind_ns = self.earliest_ns.load(Ordering::Relaxed).saturating_sub(now_ns());
        Duration::from_nanos(u64::try_from(behind_ns).unwrap_or(0))
    }
}

/// PostgreSQL's microseconds since 2000 as microseconds since 1970.
pub(crate) fn unix_micros(postgres: i64) -> i64 {
    let epoch = i64::try_from(POSTGRES_EPOCH_SECONDS).unwrap_or(0) * MICROS_PER_SECOND;
    postgres.saturating_add(epoch)
}

/// Waits for `wait`, or until `stop` is cancelled.
pub(crate) fn sleep(stop: &CancellationToken, wait: Duration) {
    let until = Instant::now() + wait;
    while !stop.is_cancelled() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(STOP_CHECK_INTERVAL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresqls_epoch_is_the_year_2000() {
        let new_year = chrono::DateTime::from_timestamp_micros(unix_micros(0)).unwrap();
        assert_eq!(new_year.to_rfc3339(), "2000-01-01T00:00:00+00:00");
    }

    #[test]
    fn a_time_that_was_passed_is_not_said_again() {
        let clock = PublishClock::default();
        assert_eq!(clock.behind(), Duration::ZERO);
        let ahead_us = now_us() + 3_600_000_000;
        clock.pass(ahead_us);
        clock.pass(ahead_us - 5);
        assert_eq!(clock.clone().now_ns(), (ahead_us + 1) * 1000);
        let behind = clock.behind().as_secs();
        assert!((3500..=3600).contains(&behind), "{behind}");
    }

    #[test]
    fn a_stop_ends_a_wait() {
        let stop = CancellationToken::new();
        stop.cancel();
        let started = Instant::now();
        sleep(&stop, Duration::from_secs(60));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
