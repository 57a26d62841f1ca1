//! How fast the loader is: two readings of the same partitions, some time apart.
//!
//! In: the readings. Out: events per second and the time until nothing waits. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

/// A partition's two offsets at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// the warehouse's next offset
    pub(super) next: i64,
    /// end of the partition in Kafka
    pub(super) end: i64,
}

/// Readings by topic and partition.
pub(super) type Readings = HashMap<(String, i32), Reading>;

/// What happened between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// offsets loaded per second
    pub loaded_per_second: f64,
    /// offsets published per second
    pub published_per_second: f64,
    /// seconds until nothing waits, if both rates stay; none when more is published than loaded
    pub catch_up_seconds: Option<f64>,
}

/// Compares two readings. Partitions that only one of them has do not count.
#[allow(clippy::cast_precision_loss, reason = "an estimate for people")]
pub(super) fn rates(before: &Readings, after: &Readings, lag: i64, took: Duration) -> Rates {
    let seconds = took.as_secs_f64().max(0.001);
    let (mut loaded, mut published) = (0, 0);
    for (place, now) in after {
        if let Some(earlier) = before.get(place) {
            loaded += (now.next - earlier.next).max(0);
            published += (now.end - earlier.end).max(0);
        }
    }
    let (loaded, published) = (loaded as f64 / seconds, published as f64 / seconds);
    let gained = loaded - published;
    Rates {
        loaded_per_second: loaded,
        published_per_second: published,
        catch_up_seconds: (gained > 0.0).then(|| lag as f64 / gained),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(partitions: &[(i32, i64, i64)]) -> Readings {
        let reading = |&(number, next, end): &(i32, i64, i64)| {
            (("t".to_owned(), number), Reading { next, end })
        };
        partitions.iter().map(reading).collect()
    }

    #[test]
    fn a_loader_that_is_faster_than_the_source_catches_up() {
        let before = readings(&[(0, 100, 1000), (1, 0, 50)]);
        let after = readings(&[(0, 300, 1010), (1, 10, 60), (2, 7, 9)]);
        let found = rates(&before, &after, 760, Duration::from_secs(2));
        let expected = Rates {
            loaded_per_second: 105.0,
            published_per_second: 10.0,
            catch_up_seconds: Some(8.0),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_loader_that_stands_still_or_is_slower_never_catches_up() {
        let before = readings(&[(0, 100, 1000)]);
        let still = rates(&before, &before, 900, Duration::from_secs(2));
        assert_eq!((still.loaded_per_second, still.catch_up_seconds), (0.0, None));
        let slower = readings(&[(0, 110, 1020)]);
        assert_eq!(rates(&before, &slower, 910, Duration::from_secs(2)).catch_up_seconds, None);
    }
}
