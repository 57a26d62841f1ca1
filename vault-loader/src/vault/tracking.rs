//! Record-tracking satellites: a row for each event of a key that is loaded, whatever the event changes.
//!
//! In: the last row of a key and the next event. Out: whether the event has its row already, and what tells events
//! apart.
//!
//! # Which events make a row
//!
//! Inserts, updates, deletes and reads of rows, and each of them once. An update that changes nothing makes a row, and
//! so does a read by a later snapshot. A truncate makes none, because it is about a table and names no key; the status
//! satellite says which keys it ended. Events in the quarantine make their rows when they are loaded, and events that
//! Kafka deleted before they were loaded make none.
//!
//! # What was tracked before
//!
//! Every event makes a row, so more is known here than in other satellites (`vault::fold`). Call the last row of the
//! key V and the greatest position of all changes of the key up to V its bound. Truncates have no part in that bound: a
//! truncate may arrive before or behind the changes of other partitions, and the rows must not depend on that.
//!
//! 1. A record at or before V in V's partition, and an event of an epoch before V's, were tracked before.
//! 2. An update or a delete was tracked before if and only if its position is at or below the bound. It is above the
//!    positions of all events of its key before it, and each of these made a row. So not even an update that changed
//!    nothing can come again unnoticed.
//! 3. An insert can lie below the bound although it is new. The status satellite knows its position if it was folded
//!    before. When the status has folded this very record, rule 1 tells: a record behind V in V's partition is missing
//!    here, because this satellite was made later and a replay fills it.
//! 4. A read has the position of its snapshot. A later snapshot has a greater one, or the same one at a later time when
//!    nothing happened in between. So a read with the position and the time of V was tracked before. A read without any
//!    position is known by its place alone.
//!
//! An event that is committed later than V and yet stands at a place or position of rules 1, 2 or 4 is a
//! [`Contradiction`], as in other satellites.
//!
//! # What tells events apart
//!
//! Two rows of a key differ in operation, commit time or position, or, where there is no position, in the place. The
//! hashdiff is made of these and nothing else. So equal hashdiffs of one key mean that an event was loaded twice, which
//! the rule `versions_differ` looks for.

use super::fold::{self, Contradiction, InsertVerdict, KeyState};
use super::hash::{Hash, Hasher};
use crate::decode::{EventPosition, RowOp, Value};

/// Whether an event has its row already. `insert` is what the status satellite says about an insert.
///
/// # Errors
/// When place, position and commit time contradict each other.
pub(super) fn is_repeat(
    last: Option<&KeyState>,
    position: &EventPosition,
    insert: Option<InsertVerdict>,
) -> Result<bool, Contradiction> {
    let Some(last) = last else { return Ok(insert == Some(InsertVerdict::Repeated)) };
    if fold::is_known_place(last, position)? {
        return Ok(true);
    }
    match insert {
        Some(InsertVerdict::First { .. }) => Ok(false),
        Some(InsertVerdict::Repeated) => Ok(true),
        Some(InsertVerdict::Replayed { .. }) => {
            let is_behind =
                position.epoch.has_topic_of(last.epoch) && position.partition == last.partition;
            Ok(!is_behind && last.covers(position.epoch, position.streamed_lsn))
        }
        None if position.streamed_lsn.is_some() => fold::is_known_position(last, position),
        None => Ok(fold::is_known_position(last, position)? || is_same_read(last, position)?),
    }
}

/// Whether a snapshot's read was tracked before. It does not lie below the bound.
fn is_same_read(last: &KeyState, read: &EventPosition) -> Result<bool, Contradiction> {
    let known = last.record_lsn.filter(|_| last.epoch.has_source_of(read.epoch));
    let (Some(known), Some(lsn)) = (known, read.record_lsn) else { return Ok(false) };
    let is_later = read.applied_us > last.applied_us;
    match lsn.cmp(&known) {
        std::cmp::Ordering::Less if is_later => Err(Contradiction::ReadBelow),
        std::cmp::Ordering::Less => Ok(true),
        std::cmp::Ordering::Equal => Ok(!is_later),
        std::cmp::Ordering::Greater => Ok(false),
    }
}

/// What tells an event of a key from every other one.
pub(super) fn hashdiff(op: RowOp, position: &EventPosition) -> Hash {
    let number = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    let has_no_position = position.record_lsn.is_none();
    let place = |number: i64| has_no_position.then_some(number);
    let mut hasher = Hasher::default();
    hasher.diff();
    hasher.add_column("applied_date", &Value::Timestamp(position.applied_us));
    hasher.add_column("kafka_offset", &number(place(position.offset)));
    hasher.add_column("kafka_partition", &number(place(position.partition.into())));
    hasher.add_column("op", &Value::Text(op.letter().into()));
    hasher.add_column("record_lsn", &number(position.record_lsn));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::{Epoch, Epochs, StoredEpoch};

    /// A change at a position and a place of partition 0.
    fn change(lsn: i64, offset: i64) -> EventPosition {
        EventPosition {
            streamed_lsn: Some(lsn),
            record_lsn: Some(lsn),
            applied_us: lsn,
            offset,
            ..EventPosition::default()
        }
    }

    /// A read by the snapshot at a position, published at a place of partition 0.
    fn read(lsn: Option<i64>, applied_us: i64, offset: i64) -> EventPosition {
        EventPosition { record_lsn: lsn, applied_us, offset, ..EventPosition::default() }
    }

    fn last(position: &EventPosition) -> KeyState {
        fold::version(None, position, [0; 32])
    }

    /// The same record in a topic that was made again.
    fn in_another_topic(position: EventPosition) -> EventPosition {
        let starts = std::collections::HashMap::new();
        let next = StoredEpoch { number: 1, is_new_topic: true, is_source_back: false, starts };
        EventPosition { epoch: Epochs::new(vec![next]).current(), ..position }
    }

    #[test]
    fn a_read_by_a_later_snapshot_is_an_event_and_the_same_read_is_none() {
        let first = last(&read(Some(50), 7, 3));
        let verdict =
            |lsn, applied, offset| is_repeat(Some(&first), &read(lsn, applied, offset), None);
        assert_eq!(verdict(Some(50), 7, 9), Ok(true), "published twice");
        assert_eq!(verdict(Some(50), 8, 9), Ok(false), "nothing happened between two snapshots");
        assert_eq!(verdict(Some(60), 8, 9), Ok(false), "a later snapshot");
        assert_eq!(verdict(Some(40), 6, 9), Ok(true), "an earlier snapshot, published again");
        assert_eq!(verdict(Some(40), 8, 9), Err(Contradiction::ReadBelow), "a restored source");
        assert_eq!(verdict(Some(60), 8, 3), Ok(true), "its own place");
        assert_eq!(verdict(None, 7, 9), Ok(false), "known by its place alone");
        assert_eq!(verdict(None, 7, 3), Ok(true), "known by its place alone");
    }

    #[test]
    fn a_read_below_a_change_contradicts_it_unless_the_topic_is_another_one() {
        let changed = last(&change(50, 3));
        let below = read(Some(40), 10, 9);
        assert_eq!(is_repeat(Some(&changed), &below, None), Err(Contradiction::ReadBelow));
        assert_eq!(is_repeat(Some(&changed), &in_another_topic(below), None), Ok(true));
        assert_eq!(is_repeat(Some(&changed), &read(Some(60), 60, 9), None), Ok(false));
    }

    #[test]
    fn an_update_that_changed_nothing_is_known_by_its_position() {
        let changed = last(&change(50, 3));
        assert_eq!(is_repeat(Some(&changed), &change(50, 9), None), Ok(true));
        assert_eq!(is_repeat(Some(&changed), &change(60, 9), None), Ok(false));
        let restored = EventPosition { applied_us: 70, ..change(45, 9) };
        let contradiction = Err(Contradiction::KnownPosition);
        assert_eq!(is_repeat(Some(&changed), &restored, None), contradiction);
    }

    #[test]
    fn a_record_that_only_the_status_has_seen_is_tracked_by_a_replay() {
        let deleted = last(&change(50, 3));
        let late = |offset| change(20, offset);
        let seen = Some(InsertVerdict::Replayed { bound: 50 });
        assert_eq!(is_repeat(Some(&deleted), &late(4), seen), Ok(false), "missing here");
        assert_eq!(is_repeat(Some(&deleted), &late(2), seen), Ok(true), "its place is before V");
        let elsewhere = EventPosition { partition: 1, ..late(4) };
        assert_eq!(is_repeat(Some(&deleted), &elsewhere, seen), Ok(true));
        let again = Some(InsertVerdict::Repeated);
        assert_eq!(is_repeat(Some(&deleted), &late(4), again), Ok(true));
        assert_eq!(is_repeat(None, &late(4), again), Ok(true));
        assert_eq!(is_repeat(None, &late(4), seen), Ok(false));
    }

    #[test]
    fn a_hashdiff_is_made_of_what_tells_events_apart() {
        let here = change(50, 3);
        let same = hashdiff(RowOp::Update, &here);
        let moved = EventPosition { offset: 9, partition: 2, published_us: 5, ..here };
        assert_eq!(hashdiff(RowOp::Update, &moved), same, "published twice");
        let moved = EventPosition { epoch: Epoch::default(), ..moved };
        assert_eq!(hashdiff(RowOp::Update, &in_another_topic(moved)), same);
        for (op, other) in [
            (RowOp::Delete, here),
            (RowOp::Update, EventPosition { applied_us: 51, ..here }),
            (RowOp::Update, EventPosition { record_lsn: Some(51), ..here }),
            (RowOp::Update, EventPosition { record_lsn: None, ..here }),
        ] {
            assert_ne!(hashdiff(op, &other), same, "{op:?} {other:?}");
        }
        let [one, two] = [3, 4].map(|offset| hashdiff(RowOp::Read, &read(None, 7, offset)));
        assert_ne!(one, two);
    }
}
