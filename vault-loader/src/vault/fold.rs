//! Folds histories: decides which events of a key are new versions, and with which load date.
//!
//! In: a key's last version and the next event. Out: [`Verdict`]. Folding any sequence of events in their order per
//! key, in any cut into batches, and with any part delivered again, gives the versions of the original sequence.
//!
//! # What orders the changes of one key
//!
//! The topic orders them: a partition holds a key's events in the order in which the source's transactions committed.
//! Log positions never change that order. They only tell which events were folded before, and what they tell depends on
//! the operation:
//!
//! - An **update** or a **delete** takes the row's lock before it writes WAL, so whatever happened to the key before is
//!   committed and lies below: its position is above those of all events of the key before it.
//! - An **insert** writes its row, and with it its position, before the unique check that may have to wait for another
//!   session's delete of the same key. It then commits behind that delete with a smaller position. So its position
//!   bounds nothing, but no other insert of the key has it. What its transaction does to the row afterwards comes
//!   behind the check, and so lies above everything again.
//! - A snapshot **read** has the snapshot's position: transactions that were open then commit behind it with smaller
//!   ones. It says nothing about any change.
//! - A **truncate** has its table to itself: every change of any key with a smaller position was committed before it,
//!   and every other one began behind it; a snapshot locks the table before it reads. So a truncate is ordered against
//!   changes and reads by the positions that their records name, and needs to be: it belongs to no partition.
//!
//! # What was folded before
//!
//! Call the last version V, its place in the topic P, and L, its bound, the greatest position of all events of the key
//! up to V. V's own position is L, but for a late insert: L is then that of the delete before it, which the key's
//! status holds.
//!
//! 1. A record at or before P in the same partition was folded before: only a replay of the topic brings it again.
//! 2. An update or a delete at or below L was folded before, although it stands at a new place: a reader that crashed
//!    publishes again what it had published since its last confirmed position.
//! 3. An insert above the status's L is new. At or below it, it was folded before if and only if the status holds an
//!    insert with its position; every insert makes a version there. All satellites of the table go by that one answer
//!    ([`InsertVerdict`]).
//! 4. An update that is published again can also lie above L, when it changed nothing the first time. It came behind V,
//!    and every event of the key behind V had V's content (otherwise it would have made a version), so it makes none
//!    again.
//! 5. An event of an earlier epoch than V's was folded before: only a replay of the topic brings it again. Rules 1 to 3
//!    compare places only within one topic, and positions only as long as the source went forward ([`crate::epoch`]).
//!
//! # What contradicts itself
//!
//! The rules take an event for a repeat by its place or by its position. When the topic was deleted and made again, or
//! the source was restored from a backup, new events would look like repeats and would be lost. Such an event was
//! committed later than V, and that cannot be: whatever was folded before V was committed before V. So an event that is
//! committed later than V, and stands at a place of rule 1 with a position above L, or at a position of rule 2, is a
//! [`Contradiction`]. So is a read by a snapshot below L, because a snapshot sees everything that was published before.
//! Nobody but an operator can tell what happened, and the table waits.
//!
//! Hence V and the inserts in the status decide, nothing but versions needs to be stored, and L does not move for an
//! event that changes nothing: were it to move in memory, the stored positions would depend on where a batch ended. A
//! read carries L on within an epoch.

use super::hash::Hash;
use crate::decode::EventPosition;
use crate::epoch::{Epoch, SourcePosition};

/// The last version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// when it was loaded, microseconds since the epoch
    pub load_date_us: i64,
    /// when the source committed it, microseconds since the epoch
    pub applied_us: i64,
    /// what it holds
    pub hashdiff: Hash,
    /// the greatest log position of the key's streamed events up to this version
    pub streamed_lsn: Option<i64>,
    /// of a status or a tracked event: log position that its record names
    pub record_lsn: Option<i64>,
    /// epoch of the table in which it was made
    pub epoch: Epoch,
    /// partition of the record that made it
    pub partition: i32,
    /// offset of that record
    pub offset: i64,
}

impl KeyState {
    /// The key's bound, as long as positions can be compared with those of this epoch.
    fn bound(&self, epoch: Epoch) -> Option<i64> {
        self.streamed_lsn.filter(|_| self.epoch.has_source_of(epoch))
    }

    /// Whether a position lies at or below the key's bound.
    pub(super) fn covers(&self, epoch: Epoch, lsn: Option<i64>) -> bool {
        lsn.zip(self.bound(epoch)).is_some_and(|(lsn, last)| lsn <= last)
    }

    /// The position that its record names.
    #[must_use]
    pub fn record_position(&self) -> Option<SourcePosition> {
        self.record_lsn.map(|lsn| self.epoch.position(lsn))
    }
}

/// Why an event can be neither new nor a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// its place says that it was loaded, and its position says that it was not
    KnownPlace,
    /// its position says that it was loaded, and its commit time says that it was not
    KnownPosition,
    /// a snapshot read it at a position below what was loaded
    ReadBelow,
}

/// An insert that a key's status holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredInsert {
    /// the key's bound with it
    pub bound: i64,
    /// partition of its record
    pub partition: i32,
    /// offset of its record
    pub offset: i64,
}

/// What a key's status satellite says about an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertVerdict {
    /// it was never seen
    First {
        /// the key's bound with it
        bound: i64,
    },
    /// this very record was folded; a satellite that was made since then may still lack it
    Replayed {
        /// the key's bound with it
        bound: i64,
    },
    /// another record of the same insert was folded before
    Repeated,
}

/// What an event means for a key's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// the content is the last version's
    NoChange,
    /// a new version
    Version(KeyState),
}

/// Decides about an insert by the key's last status and, when that status lies at or above the insert, by the status
/// that has the insert's position (rule 3).
#[must_use]
pub fn judge_insert(
    status: Option<&KeyState>,
    position: &EventPosition,
    lsn: i64,
    known: Option<&StoredInsert>,
) -> InsertVerdict {
    match known {
        None => {
            let before = status.and_then(|state| state.bound(position.epoch));
            InsertVerdict::First { bound: before.map_or(lsn, |before| before.max(lsn)) }
        }
        Some(known) if (known.partition, known.offset) == (position.partition, position.offset) => {
            InsertVerdict::Replayed { bound: known.bound }
        }
        Some(_) => InsertVerdict::Repeated,
    }
}

/// Whether an event was folded before (rules 1 to 3 and 5). `insert` is the decision about an insert.
///
/// # Errors
/// When place, position and commit time contradict each other.
pub fn is_repeat(
    previous: Option<&KeyState>,
    position: &EventPosition,
    insert: Option<InsertVerdict>,
) -> Result<bool, Contradiction> {
    let Some(state) = previous else { return Ok(insert == Some(InsertVerdict::Repeated)) };
    if is_known_place(state, position)? {
        return Ok(true);
    }
    match insert {
        Some(InsertVerdict::First { .. }) => Ok(false),
        Some(InsertVerdict::Replayed { bound }) => Ok(state.covers(position.epoch, Some(bound))),
        Some(InsertVerdict::Repeated) => Ok(true),
        None => is_known_position(state, position),
    }
}

/// Whether the place of an event says that it was folded before (rules 1 and 5).
pub(super) fn is_known_place(
    state: &KeyState,
    position: &EventPosition,
) -> Result<bool, Contradiction> {
    if position.epoch.number < state.epoch.number {
        return Ok(true);
    }
    let is_known = position.epoch.has_topic_of(state.epoch)
        && position.partition == state.partition
        && position.offset <= state.offset;
    let bound = state.bound(position.epoch);
    let is_above = position.streamed_lsn.zip(bound).is_some_and(|(lsn, last)| lsn > last);
    if is_known && is_above && position.applied_us > state.applied_us {
        return Err(Contradiction::KnownPlace);
    }
    Ok(is_known)
}

/// Whether the position of an update, a delete or a read says that it was folded before (rule 2).
pub(super) fn is_known_position(
    state: &KeyState,
    position: &EventPosition,
) -> Result<bool, Contradiction> {
    let bound = state.bound(position.epoch);
    let is_below = |lsn: i64| bound.is_some_and(|last| lsn < last);
    let is_covered = state.covers(position.epoch, position.streamed_lsn);
    let is_later = position.applied_us > state.applied_us;
    match position.streamed_lsn {
        Some(_) if is_covered && is_later => Err(Contradiction::KnownPosition),
        Some(_) => Ok(is_covered),
        None if !position.record_lsn.is_some_and(is_below) => Ok(false),
        // A topic that was made again from older records holds the snapshot of the topic before.
        None if !is_later && !position.epoch.has_topic_of(state.epoch) => Ok(true),
        None => Err(Contradiction::ReadBelow),
    }
}

/// The position, where the key's bound replaces the event's own position if an insert came late.
#[must_use]
pub fn bounded(position: &EventPosition, insert: Option<InsertVerdict>) -> EventPosition {
    match insert {
        Some(InsertVerdict::First { bound } | InsertVerdict::Replayed { bound }) => {
            EventPosition { streamed_lsn: Some(bound), ..*position }
        }
        Some(InsertVerdict::Repeated) | None => *position,
    }
}

/// Whether an event that is no repeat makes a version.
#[must_use]
pub fn verdict(previous: Option<&KeyState>, position: &EventPosition, hashdiff: Hash) -> Verdict {
    match previous {
        Some(state) if state.hashdiff == hashdiff => Verdict::NoChange,
        _ => Verdict::Version(version(previous, position, hashdiff)),
    }
}

/// The version that this event makes, whatever its content. The load dates of a key strictly grow, and its bound never
/// falls.
#[must_use]
pub fn version(previous: Option<&KeyState>, position: &EventPosition, hashdiff: Hash) -> KeyState {
    let after = previous.map_or(i64::MIN, |state| state.load_date_us.saturating_add(1));
    let bound = previous.and_then(|state| state.bound(position.epoch));
    KeyState {
        load_date_us: position.published_us.max(after),
        applied_us: position.applied_us,
        hashdiff,
        streamed_lsn: position.streamed_lsn.max(bound),
        record_lsn: position.record_lsn,
        epoch: position.epoch,
        partition: position.partition,
        offset: position.offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_dates_grow_even_when_the_publisher_s_clock_stands() {
        let at = |offset: i64| EventPosition {
            published_us: 7,
            applied_us: 0,
            streamed_lsn: Some(offset),
            record_lsn: Some(offset),
            tx_id: None,
            epoch: Epoch::default(),
            partition: 0,
            offset,
        };
        let first = version(None, &at(1), [1; 32]);
        let second = version(Some(&first), &at(2), [2; 32]);
        assert_eq!((first.load_date_us, second.load_date_us), (7, 8));
    }
}
