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

/// The clock that stamps events with their publish time. However the machine's clock is set, each time lies at least a
/// microsecond after the one before, and after every time that a heartbeat has called complete. So the order of publish
/// times is the order in which events are published, and two events never share one. Clones share the clock.
#[derive(Debug, Clone, Default)]
pub struct PublishClock {
    /// Nanoseconds since the epoch.
    earliest_ns: Arc<AtomicI64>,
}

impl PublishClock {
    /// Nanoseconds since the epoch, for the stamp of one event.
    pub(crate) fn now_ns(&self) -> i64 {
        let now_ns = now_ns();
        let earlier = |earliest_ns: i64| Some(next_micro_ns(now_ns.max(earliest_ns)));
        let earliest_ns =
            self.earliest_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
        now_ns.max(earliest_ns.unwrap_or_else(|last| last))
    }

    /// A time after every stamp that was given, and before every one that will be given, microseconds since the epoch.
    pub(crate) fn cut_us(&self) -> i64 {
        let cut_us = self.now_ns() / 1000;
        self.pass(cut_us);
        cut_us
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

/// The first nanosecond of the microsecond after this time.
fn next_micro_ns(time_ns: i64) -> i64 {
    time_ns.div_euclid(1000).saturating_add(1).saturating_mul(1000)
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
        assert_eq!(clock.clone().now_ns(), (ahead_us + 2) * 1000);
        let behind = clock.behind().as_secs();
        assert!((3500..=3600).contains(&behind), "{behind}");
    }

    #[test]
    fn no_two_stamps_share_a_microsecond_and_a_cut_lies_between_stamps() {
        let clock = PublishClock::default();
        let mut last_us = 0;
        for round in 0..10_000 {
            let stamp_us = clock.now_ns() / 1000;
            assert!(stamp_us > last_us, "{stamp_us} after {last_us}");
            last_us = stamp_us;
            if round % 7 == 0 {
                last_us = clock.cut_us();
                assert!(last_us > stamp_us, "{last_us} after {stamp_us}");
            }
        }
        // Stamps of a second are not used up faster than the second goes by.
        assert!(last_us <= now_us() + 20_000, "{last_us}");
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
