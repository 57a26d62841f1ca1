//! A stretch of a batch: one commit writes all of it, or nothing is written.
//!
//! In: the batch's changes and what was found out about them. Out: the answers that every step of an attempt needs: how
//! far the partitions move, which topics are touched, what is counted. A stretch without a truncate also has its vault
//! rows. They are computed once for all attempts.

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::batch::{Batch, Partition, RecordId, RecordRange};
use crate::control::{EventTimes, LastEvent, Minutes, OffsetMove, ParkedKey, TopicSpan};
use crate::decode::{Change, Decoded, EventPosition, RowChange};
use crate::model::{Plan, TableId};

/// Why an event goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) reason: String,
    pub(super) sqlstate: Option<String>,
    /// whether the event itself cannot be loaded; otherwise it waits behind another one
    pub(super) at_fault: bool,
    /// the key whose later events wait behind this one; none when the event has no key
    pub(super) parks: Option<ParkedKey>,
}

impl Rejection {
    /// An event that cannot be loaded.
    pub(super) fn fault(reason: String, sqlstate: Option<String>) -> Self {
        Self { reason, sqlstate, at_fault: true, parks: None }
    }
}

/// A stretch of a batch, and what is known about it.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) plan: &'a Plan,
    pub(super) batch: &'a Batch,
    pub(super) decoded: &'a Decoded<'a>,
    pub(super) records: RecordRange,
    /// events that go to quarantine
    pub(super) rejected: &'a BTreeMap<RecordId, Rejection>,
    /// the parking version that the warehouse must hold for each partition
    pub(super) parking_versions: &'a HashMap<Partition, i64>,
    /// the offset that the warehouse must hold for each partition
    pub(super) offsets: &'a HashMap<Partition, i64>,
}

impl<'a> Stretch<'a> {
    /// The row change of a record. `None` for a record that is no row change or goes to quarantine.
    pub(super) fn row(&self, record: RecordId) -> Option<&'a RowChange> {
        match &self.decoded.changes[record] {
            Ok(Change::Row(change)) if !self.rejected.contains_key(&record) => Some(change),
            _ => None,
        }
    }

    /// The table that the stretch empties, and the place of the truncate.
    pub(super) fn truncate(&self) -> Option<(TableId, &'a EventPosition)> {
        let first = self.records.first();
        match &self.decoded.changes[first] {
            Ok(Change::Truncate { table, position }) if !self.rejected.contains_key(&first) => {
                Some((*table, position))
            }
            _ => None,
        }
    }

    /// The offsets to which the partitions of the stretch move, in the same order for all loaders.
    pub(super) fn moves(&self) -> Vec<OffsetMove> {
        let mut moves: BTreeMap<Partition, OffsetMove> = BTreeMap::new();
        for record in self.going_on() {
            let from = self.batch.records[record].from;
            let entry = moves.entry(from).or_insert_with(|| OffsetMove {
                from,
                epoch: self.batch.starts[&from].epoch,
                expected: self.offsets[&from],
                next: 0,
                last_record: record,
                parking_version: self.parking_versions[&from],
                last: None,
            });
            entry.next = self.batch.records[record].offset + 1;
            entry.last_record = record;
            if let Some(change) = self.row(record) {
                let streamed = entry.last.and_then(|last| last.streamed_lsn);
                let mut last = last_event(&change.position);
                last.streamed_lsn = last.streamed_lsn.or(streamed);
                entry.last = Some(last);
            }
        }
        moves.into_values().collect()
    }

    /// The stretch's events by minute.
    pub(super) fn minutes(&self) -> Minutes {
        let mut minutes = Minutes::default();
        for record in self.records.iter() {
            if let Some(change) = self.row(record) {
                minutes.add(self.batch.records[record].from, event_times(&change.position));
            }
        }
        minutes
    }

    /// Which positions the stretch's records name, by topic. The topics are sorted.
    pub(super) fn spans<'t>(&self, topics: &[&'t str]) -> Vec<TopicSpan<'t>> {
        let mut spans: Vec<TopicSpan<'_>> = topics.iter().copied().map(TopicSpan::none).collect();
        for record in self.records.iter() {
            let Some(lsn) = self.row(record).and_then(|change| change.position.record_lsn) else {
                continue;
            };
            let record = &self.batch.records[record];
            let topic = self.plan.tables[record.from.table].topic.as_str();
            if let Ok(place) = topics.binary_search(&topic) {
                spans[place].add(lsn, record.epoch.number);
            }
        }
        spans
    }

    /// Topics of these moves, sorted, each once.
    pub(super) fn topics(&self, moves: &[OffsetMove]) -> Vec<&'a str> {
        let mut topics: Vec<&str> =
            moves.iter().map(|m| self.plan.tables[m.from.table].topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// Records by table.
    pub(super) fn count_events(&self) -> Vec<(TableId, u64)> {
        let mut counts: BTreeMap<TableId, u64> = BTreeMap::new();
        for record in self.going_on() {
            *counts.entry(self.batch.records[record].from.table).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    /// Records that go to quarantine, each with the reason.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = (RecordId, Rejection)> {
        let rejected = |record| Some((record, self.rejected.get(&record).cloned()?));
        self.going_on().filter_map(rejected)
    }

    /// The records of tables that do not stand still.
    fn going_on(&self) -> impl Iterator<Item = RecordId> {
        self.records.iter().filter(|&record| !self.decoded.is_held(record))
    }
}

/// The two times that an event names.
pub(super) fn event_times(position: &EventPosition) -> EventTimes {
    EventTimes { published_us: position.published_us, applied_us: position.applied_us }
}

/// What the offsets' table keeps of the last event.
pub(super) fn last_event(position: &EventPosition) -> LastEvent {
    LastEvent { streamed_lsn: position.streamed_lsn, times: event_times(position) }
}
