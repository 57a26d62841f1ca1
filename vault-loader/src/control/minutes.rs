//! Events by the minute in which they were published, kept beside the offsets.
//!
//! In: the times of a stretch's events. Out: one upsert for all of them, in the transaction that moves the offsets. A
//! query on this table shows how many events come and how late, without reading the vault. The table has a fixed number
//! of rows for each partition (see `0002_event_minutes.sql`).

use std::collections::BTreeMap;

use tokio_postgres::{Error, Transaction};

use super::{ControlStatements, EventTimes, instant};
use crate::batch::Partition;
use crate::model::Plan;

const MINUTE_US: i64 = 60_000_000;
const MINUTES_A_DAY: i64 = 1_440;

/// Events of a partition by minute of the day.
#[derive(Debug, Default)]
pub(crate) struct Minutes(BTreeMap<(Partition, i32), Minute>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Minute {
    start_us: i64,
    events: i64,
    lag_max_us: i64,
}

impl Minutes {
    /// Counts an event.
    pub(crate) fn add(&mut self, from: Partition, times: EventTimes) {
        let number = times.published_us.div_euclid(MINUTE_US);
        let fresh = Minute {
            start_us: number * MINUTE_US,
            events: 1,
            // The clocks of the source and the reader may differ.
            lag_max_us: times.published_us.saturating_sub(times.applied_us).max(0),
        };
        let slot = i32::try_from(number.rem_euclid(MINUTES_A_DAY))
            .expect("a day has fewer minutes than an i32 holds");
        let known = self.0.entry((from, slot)).or_insert(Minute { events: 0, ..fresh });
        if known.start_us == fresh.start_us {
            known.events += 1;
            known.lag_max_us = known.lag_max_us.max(fresh.lag_max_us);
        } else if known.start_us < fresh.start_us {
            *known = fresh;
        }
    }

    /// Writes what was counted.
    pub(crate) async fn write(
        &self,
        transaction: &Transaction<'_>,
        statements: &ControlStatements,
        plan: &Plan,
    ) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let topics: Vec<&str> =
            self.0.keys().map(|(from, _)| plan.tables[from.table].topic.as_str()).collect();
        let partitions: Vec<i32> = self.0.keys().map(|(from, _)| from.partition).collect();
        let slots: Vec<i32> = self.0.keys().map(|&(_, slot)| slot).collect();
        let starts: Vec<_> = self.0.values().map(|minute| instant(minute.start_us)).collect();
        let events: Vec<i64> = self.0.values().map(|minute| minute.events).collect();
        let lags: Vec<i64> = self.0.values().map(|minute| minute.lag_max_us).collect();
        transaction
            .execute(
                &statements.add_minutes,
                &[&topics, &partitions, &slots, &starts, &events, &lags],
            )
            .await?;
        Ok(())
    }
}

/// Deletes the minutes of a topic, because events that are loaded again are counted again.
pub(crate) async fn forget_minutes(
    transaction: &Transaction<'_>,
    topic: &str,
) -> Result<(), Error> {
    let sql = "DELETE FROM dwh_control.event_minutes WHERE topic = $1";
    transaction.execute(sql, &[&topic]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, TableId};

    fn from() -> Partition {
        Partition { table: TableId::from_index(0), partition: 3 }
    }

    fn event(published_us: i64, lag_us: i64) -> EventTimes {
        EventTimes { published_us, applied_us: published_us - lag_us }
    }

    fn counted(events: &[EventTimes]) -> Vec<(i32, Minute)> {
        let mut minutes = Minutes::default();
        for &times in events {
            minutes.add(from(), times);
        }
        minutes.0.into_iter().map(|((_, slot), minute)| (slot, minute)).collect()
    }

    #[test]
    fn events_of_a_minute_are_one_row_with_the_longest_lag() {
        let base = 5 * MINUTE_US;
        let events = [event(base, 7), event(base + MINUTE_US - 1, 9), event(base + MINUTE_US, -3)];
        let minute = |start_us, events, lag_max_us| Minute { start_us, events, lag_max_us };
        assert_eq!(
            counted(&events),
            [(5, minute(base, 2, 9)), (6, minute(base + MINUTE_US, 1, 0))]
        );
    }

    #[test]
    fn the_same_minute_of_a_later_day_takes_the_place() {
        let day = MINUTES_A_DAY * MINUTE_US;
        let later = Minute { start_us: day, events: 1, lag_max_us: 4 };
        assert_eq!(counted(&[event(0, 1), event(0, 1), event(day, 4)]), [(0, later)]);
        assert_eq!(counted(&[event(day, 4), event(0, 1), event(0, 1)]), [(0, later)]);
    }
}
