//! How often things really happen: measured over the last seconds.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::simulate::{Counts, KIND_COUNT};

/// Looks that are kept.
const LOOKS: usize = 11;

/// Looks at the counters.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<VecDeque<(Instant, Counts)>>);

/// Events a second of each kind, and changes a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) events: [f64; KIND_COUNT],
    pub(super) changes: f64,
}

impl Measured {
    /// Keeps a look, and forgets the oldest one.
    pub(super) fn add(&self, at: Instant, counts: Counts) {
        let mut looks = self.0.lock().expect("nothing panics while it holds the lock");
        looks.push_back((at, counts));
        while looks.len() > LOOKS {
            looks.pop_front();
        }
    }

    /// The pace over the looks that are kept.
    pub(super) fn pace(&self) -> Pace {
        let looks = self.0.lock().expect("nothing panics while it holds the lock");
        let nothing = Pace { events: [0.0; KIND_COUNT], changes: 0.0 };
        let (Some((from, before)), Some((to, after))) = (looks.front(), looks.back()) else {
            return nothing;
        };
        let passed = to.saturating_duration_since(*from).as_secs_f64();
        if passed <= 0.0 {
            return nothing;
        }
        let a_second = |before: u64, after: u64| {
            f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX)) / passed
        };
        let mut events = [0.0; KIND_COUNT];
        for (place, rate) in events.iter_mut().enumerate() {
            *rate = a_second(before.committed[place], after.committed[place]);
        }
        Pace { events, changes: a_second(before.row_count, after.row_count) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulate::Tally;

    #[test]
    fn the_pace_is_that_of_the_last_ten_seconds() {
        let (measured, now) = (Measured::default(), Instant::now());
        assert_eq!(measured.pace().changes, 0.0);
        for second in 0..60_u32 {
            let mut counts = Tally::default().counts();
            counts.row_count = u64::from(if second < 50 { 0 } else { (second - 49) * 100 });
            counts.committed[0] = u64::from(second * 3);
            measured.add(now + Duration::from_secs(1) * second, counts);
        }
        let pace = measured.pace();
        assert!(
            (pace.changes - 100.0).abs() < 0.01 && (pace.events[0] - 3.0).abs() < 0.01,
            "{pace:?}"
        );
    }
}
