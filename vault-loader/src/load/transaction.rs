//! One attempt to commit a stretch of a batch.
//!
//! In goes a stretch of changes without a truncate, out comes a commit with rows, quarantined events and offsets, or an
//! error and nothing. The order is: locks and offsets first (whoever is fenced writes nothing), then what is stored, then
//! the fold, then hubs and links in key order, satellites last.

use std::collections::{BTreeMap, HashMap};

use super::cache::{Caches, KnownRow};
use super::error::StretchError;
use super::statements::Session;
use super::writer::Writer;
use crate::batch::{Batch, Partition, RecordId, RecordRange};
use crate::control::{self, EventTimes, LastEvent, Minutes, OffsetMove};
use crate::decode::{Change, Decoded, Position};
use crate::model::{HubId, LinkId, Plan, SatelliteId};
use crate::vault::fold::State;
use crate::vault::hash::Hash;
use crate::vault::projection::{Projection, Projector};

/// Why an event goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) reason: String,
    pub(super) sqlstate: Option<String>,
}

/// A stretch of a batch, and what is known about it.
pub(super) struct Attempt<'a> {
    pub(super) plan: &'a Plan,
    pub(super) batch: &'a Batch,
    pub(super) decoded: &'a Decoded<'a>,
    pub(super) range: RecordRange,
    pub(super) rejected: &'a BTreeMap<RecordId, Rejection>,
    pub(super) positions: &'a HashMap<Partition, i64>,
}

/// What a commit did.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) moves: Vec<(Partition, i64)>,
    pub(super) rows: Vec<(String, u64)>,
    pub(super) quarantined: Vec<RecordId>,
    pub(super) repeat_count: u64,
    pub(super) last_applied_us: Option<i64>,
    pub(super) learned: Learned,
}

/// What may be remembered once the commit is through.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pub(super) hubs: Vec<(HubId, Hash, KnownRow)>,
    pub(super) links: Vec<(LinkId, Hash, KnownRow)>,
    pub(super) states: Vec<(SatelliteId, Hash, State)>,
}

impl Committed {
    pub(super) fn remember(&mut self, caches: &mut Caches) {
        for (hub, key, row) in self.learned.hubs.drain(..) {
            caches.hubs[hub].insert(key, row);
        }
        for (link, key, row) in self.learned.links.drain(..) {
            caches.links[link].insert(key, row);
        }
        for (satellite, key, state) in self.learned.states.drain(..) {
            caches.states[satellite].insert(key, state);
        }
    }
}

/// The two times that an event names.
pub(super) fn event_times(position: &Position) -> EventTimes {
    EventTimes { published_us: position.published_us, applied_us: position.applied_us }
}

/// What the offsets' table keeps of the last event.
pub(super) fn last_event(position: &Position) -> LastEvent {
    LastEvent { streamed_lsn: position.streamed_lsn, times: event_times(position) }
}

impl<'a> Attempt<'a> {
    /// Runs the attempt.
    pub(super) async fn run(
        &self,
        session: &mut Session,
        caches: &mut Caches,
    ) -> Result<Committed, StretchError> {
        let projection = self.project()?;
        let moves = self.moves();
        let statements = &session.statements;
        let prepared = &statements.control;
        let transaction = session.client.transaction().await?;
        let topics = self.topics(&moves);
        let minutes = self.minutes();
        // Sent at once, carried out in this order.
        let ((), (), (), truncations) = tokio::try_join!(
            async { Ok(control::share_topics(&transaction, prepared, &topics).await?) },
            control::move_offsets(&transaction, prepared, self.plan, &moves),
            async { Ok(minutes.write(&transaction, prepared, self.plan).await?) },
            async {
                Ok(control::read_truncations(&transaction, prepared, self.plan, &topics).await?)
            },
        )?;
        for table in moves.iter().map(|m| m.from.table) {
            caches.note_truncations(self.plan, table, truncations.get(&table).map_or(0, Vec::len));
        }
        let mut committed = Committed {
            moves: moves.iter().map(|m| (m.from, m.next)).collect(),
            last_applied_us: moves
                .iter()
                .filter_map(|m| m.last)
                .map(|last| last.times.applied_us)
                .max(),
            ..Committed::default()
        };
        let mut writer = Writer { attempt: self, transaction: &transaction, statements };
        writer.hubs(&projection, caches, &mut committed).await?;
        writer.links(&projection, caches, &mut committed).await?;
        writer.satellites(&projection, caches, &truncations, &mut committed).await?;
        writer.quarantine(&mut committed).await?;
        transaction.commit().await?;
        Ok(committed)
    }

    fn project(&self) -> Result<Projection, StretchError> {
        let mut projector = Projector::new(self.plan, &self.decoded.values);
        for record in self.range.iter() {
            if self.rejected.contains_key(&record) {
                continue;
            }
            if let Ok(Change::Row(change)) = &self.decoded.changes[record] {
                projector
                    .add(change, record)
                    .map_err(|err| StretchError::Event { record, reason: err.to_string() })?;
            }
        }
        Ok(projector.finish())
    }

    /// Where each partition of the stretch moves, in one order for all loaders.
    fn moves(&self) -> Vec<OffsetMove> {
        let mut moves: BTreeMap<Partition, OffsetMove> = BTreeMap::new();
        for record in self.range.iter() {
            let from = self.batch.records[record].from;
            let entry = moves.entry(from).or_insert_with(|| OffsetMove {
                from,
                expected: self.positions[&from],
                next: 0,
                last: None,
            });
            entry.next = self.batch.records[record].offset + 1;
            if let Ok(Change::Row(change)) = &self.decoded.changes[record]
                && !self.rejected.contains_key(&record)
            {
                let streamed = entry.last.and_then(|last| last.streamed_lsn);
                let mut last = last_event(&change.position);
                last.streamed_lsn = last.streamed_lsn.or(streamed);
                entry.last = Some(last);
            }
        }
        moves.into_values().collect()
    }

    fn minutes(&self) -> Minutes {
        let mut minutes = Minutes::default();
        for record in self.range.iter() {
            if let Ok(Change::Row(change)) = &self.decoded.changes[record]
                && !self.rejected.contains_key(&record)
            {
                minutes.add(self.batch.records[record].from, event_times(&change.position));
            }
        }
        minutes
    }

    fn topics(&self, moves: &[OffsetMove]) -> Vec<&'a str> {
        let mut topics: Vec<&str> =
            moves.iter().map(|m| self.plan.tables[m.from.table].topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}
