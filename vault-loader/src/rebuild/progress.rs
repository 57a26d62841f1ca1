//! How far a rebuild is, for the person who waits.
//!
//! In: events as they are loaded, and how many there are. Out: a line on standard error every few seconds, with the
//! rate since the line before and an estimate from the rate of the whole round. Pure but for the clock and the
//! printing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts the events that are loaded in one round.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    loaded: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn add(&self, events: u64) {
        self.loaded.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Prints lines for ever.
    pub(super) async fn tell(&self, round: u32, total: u64) {
        let begun = Instant::now();
        let (mut told_at, mut told) = (begun, 0);
        loop {
            tokio::time::sleep(INTERVAL).await;
            let (now, loaded) = (Instant::now(), self.loaded());
            let rate = per_second(loaded - told, now - told_at);
            eprintln!("{}", line(round, loaded, total, rate, left(loaded, total, now - begun)));
            (told_at, told) = (now, loaded);
        }
    }
}

/// Events a second.
pub(super) fn per_second(events: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    events.saturating_mul(1000) / millis
}

/// The time that the rest takes, if it goes on as it went; none while nothing is known.
fn left(loaded: u64, total: u64, time: Duration) -> Option<Duration> {
    let rate = per_second(loaded, time);
    (rate > 0).then(|| Duration::from_secs(total.saturating_sub(loaded).div_ceil(rate)))
}

fn line(round: u32, loaded: u64, total: u64, rate: u64, left: Option<Duration>) -> String {
    let percent = loaded.saturating_mul(100) / total.max(1);
    let left = left.map_or_else(String::new, |left| format!(", about {} left", words(left)));
    format!("round {round}: {loaded} of {total} events ({percent} %), {rate} events/s{left}")
}

/// A time for people.
pub(super) fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_estimate() {
        let time = Duration::from_secs(10);
        assert_eq!(left(0, 100, time), None);
        assert_eq!(
            line(1, 2_000, 80_000, 300, left(2_000, 80_000, time)),
            "round 1: 2000 of 80000 events (2 %), 300 events/s, about 6 min 30 s left"
        );
        assert_eq!(line(2, 0, 0, 0, None), "round 2: 0 of 0 events (0 %), 0 events/s");
        assert_eq!(words(Duration::from_secs(7_265)), "2 h 1 min");
    }

    #[test]
    fn a_rate_is_known_at_once() {
        assert_eq!(per_second(50, Duration::ZERO), 50_000);
        assert_eq!(per_second(0, Duration::from_secs(1)), 0);
    }
}
