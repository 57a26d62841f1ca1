//! The airline's clock: real time made faster, so that flights leave and land while somebody watches.
//!
//! In: an origin and a factor. Out: the airline's time. It never goes back, and never runs further ahead of real time
//! than [`LEAD_MAX`], so the data stays near today however long a simulation runs.

use chrono::{DateTime, Duration, DurationRound, Utc};
use tokio::time::Instant;

/// How far the airline may be ahead of real time: a day. With less time nobody would see a flight from check-in to
/// landing. With more the marts' "last 30 days" would contain the future.
pub(crate) const LEAD_MAX: Duration = Duration::days(1);

/// The clock of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AirlineClock {
    started: Instant,
    origin: DateTime<Utc>,
    /// The airline's time at the start minus real time.
    lead: Duration,
    factor: f64,
}

impl AirlineClock {
    /// A clock that shows `origin` now. `real_now` is the real time of this moment.
    pub(crate) fn start(origin: DateTime<Utc>, real_now: DateTime<Utc>, factor: f64) -> Self {
        Self { started: Instant::now(), origin, lead: origin - real_now, factor }
    }

    /// The airline's time, in whole seconds.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let shown = self.origin + self.gained(self.started.elapsed());
        shown.duration_trunc(Duration::seconds(1)).unwrap_or(shown)
    }

    /// Airline time that passes in `elapsed` real time.
    fn gained(&self, elapsed: std::time::Duration) -> Duration {
        let of_std = |span| Duration::from_std(span).unwrap_or(Duration::MAX);
        let fast = std::time::Duration::try_from_secs_f64(elapsed.as_secs_f64() * self.factor)
            .map_or(Duration::MAX, of_std);
        if self.factor <= 1.0 {
            return fast;
        }
        // The clock is ahead by the limit already, so it goes on at real speed.
        let real = of_std(elapsed);
        let slowed = real + (LEAD_MAX - self.lead).max(Duration::zero());
        fast.min(slowed)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, Utc};

    use super::{AirlineClock, LEAD_MAX};

    #[track_caller]
    fn check(lead_hours: i64, factor: f64, elapsed_s: u64, expected: Duration) {
        let real: DateTime<Utc> = "2026-06-15T12:00:00Z".parse().unwrap();
        let clock = AirlineClock::start(real + Duration::hours(lead_hours), real, factor);
        assert_eq!(clock.gained(std::time::Duration::from_secs(elapsed_s)), expected);
    }

    #[test]
    fn a_minute_of_running_is_an_hour_at_factor_sixty() {
        check(0, 60.0, 60, Duration::hours(1));
    }

    #[test]
    fn the_lead_is_limited_and_time_then_goes_on_at_real_speed() {
        check(0, 60.0, 86_400, LEAD_MAX + Duration::days(1));
        check(48, 60.0, 100, Duration::seconds(100));
    }

    #[test]
    fn factor_zero_stops_the_clock() {
        check(0, 0.0, 1_000, Duration::zero());
    }
}
