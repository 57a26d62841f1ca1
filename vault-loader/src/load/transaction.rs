//! One attempt to commit a stretch of a batch.
//!
//! In goes a stretch of changes without a truncate, out comes a commit with rows, quarantined events and offsets, or an
//! error and nothing. The order is: locks and offsets first (whoever is fenced writes nothing), then what is stored, then
//! the fold, then hubs and links in key order, satellites last.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;

use super::cache::{Caches, KnownRow};
use super::error::LoadError;
use super::minutes::Minutes;
use super::statements::{Session, Statements};
use super::versions::Truncation;
use super::writer::Writer;
use crate::batch::{Batch, Decoded, Partition, RecordId, RecordRange};
use crate::decode::{Change, Position};
use crate::model::{HubId, LinkId, Plan, SatelliteId, TableId};
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

/// How far one partition moves, and the last event behind that.
pub(super) struct Move {
    pub(super) from: Partition,
    pub(super) expected: i64,
    pub(super) next: i64,
    pub(super) last: Option<Position>,
}

pub(super) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

/// Moves offsets by compare-and-set; anything but all of them is fenced.
pub(super) async fn move_offsets(
    transaction: &Transaction<'_>,
    statements: &Statements,
    plan: &Plan,
    moves: &[Move],
) -> Result<(), LoadError> {
    let topics: Vec<&str> =
        moves.iter().map(|m| plan.tables[m.from.table].topic.as_str()).collect();
    let partitions: Vec<i32> = moves.iter().map(|m| m.from.partition).collect();
    let expected: Vec<i64> = moves.iter().map(|m| m.expected).collect();
    let next: Vec<i64> = moves.iter().map(|m| m.next).collect();
    let lsns: Vec<Option<i64>> =
        moves.iter().map(|m| m.last.and_then(|last| last.streamed_lsn)).collect();
    let committed: Vec<_> =
        moves.iter().map(|m| m.last.and_then(|last| instant(last.applied_us))).collect();
    let published: Vec<_> =
        moves.iter().map(|m| m.last.and_then(|last| instant(last.published_us))).collect();
    let moved = transaction
        .execute(
            &statements.move_offsets,
            &[&topics, &partitions, &expected, &next, &lsns, &committed, &published],
        )
        .await?;
    if usize::try_from(moved) == Ok(moves.len()) { Ok(()) } else { Err(LoadError::Fenced) }
}

impl<'a> Attempt<'a> {
    /// Runs the attempt.
    pub(super) async fn run(
        &self,
        session: &mut Session,
        caches: &mut Caches,
    ) -> Result<Committed, LoadError> {
        let projection = self.project()?;
        let moves = self.moves();
        let statements = &session.statements;
        let transaction = session.client.transaction().await?;
        let topics = self.topics(&moves);
        let minutes = self.minutes();
        let (_, (), (), truncations) = tokio::try_join!(
            async { Ok(transaction.query(&statements.lock, &[&topics]).await?) },
            move_offsets(&transaction, statements, self.plan, &moves),
            minutes.write(&transaction, statements, self.plan),
            async { Ok(transaction.query(&statements.truncations, &[&topics]).await?) },
        )?;
        let truncations = truncations_by_table(self.plan, &truncations);
        for table in moves.iter().map(|m| m.from.table) {
            caches.note_truncations(self.plan, table, truncations.get(&table).map_or(0, Vec::len));
        }
        let mut committed = Committed {
            moves: moves.iter().map(|m| (m.from, m.next)).collect(),
            last_applied_us: moves.iter().filter_map(|m| m.last).map(|last| last.applied_us).max(),
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

    fn project(&self) -> Result<Projection, LoadError> {
        let mut projector = Projector::new(self.plan, &self.decoded.values);
        for record in self.range.iter() {
            if self.rejected.contains_key(&record) {
                continue;
            }
            if let Ok(Change::Row(change)) = &self.decoded.changes[record] {
                projector
                    .add(change, record)
                    .map_err(|err| LoadError::Event { record, reason: err.to_string() })?;
            }
        }
        Ok(projector.finish())
    }

    /// Where each partition of the stretch moves, in one order for all loaders.
    fn moves(&self) -> Vec<Move> {
        let mut moves: BTreeMap<Partition, Move> = BTreeMap::new();
        for record in self.range.iter() {
            let from = self.batch.records[record].from;
            let entry = moves.entry(from).or_insert_with(|| Move {
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
                let mut last = change.position;
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
                minutes.add(self.batch.records[record].from, &change.position);
            }
        }
        minutes
    }

    fn topics(&self, moves: &[Move]) -> Vec<&'a str> {
        let mut topics: Vec<&str> =
            moves.iter().map(|m| self.plan.tables[m.from.table].topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

fn truncations_by_table(
    plan: &Plan,
    rows: &[tokio_postgres::Row],
) -> HashMap<TableId, Vec<Truncation>> {
    let mut found: HashMap<TableId, Vec<Truncation>> = HashMap::new();
    for row in rows {
        let topic: &str = row.get(0);
        if let Some(table) = plan.tables.find_id(|table| table.topic == topic) {
            found.entry(table).or_default().push(Truncation {
                lsn: row.get(1),
                load_date_us: row.get::<_, DateTime<Utc>>(2).timestamp_micros(),
                applied_us: row.get::<_, DateTime<Utc>>(3).timestamp_micros(),
            });
        }
    }
    found
}
