//! The time in the units that events need, and a wait that a stop ends.

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
    fn a_stop_ends_a_wait() {
        let stop = CancellationToken::new();
        stop.cancel();
        let started = Instant::now();
        sleep(&stop, Duration::from_secs(60));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
