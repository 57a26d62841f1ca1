//! The offsets in the warehouse, which alone say what is loaded.
//!
//! In: partitions. Out: the offsets from which to read. A partition that is seen for the first time gets a row with
//! offset 0, so that its offset is moved by the same compare-and-set as any other.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::{ControlStatements, instant};
use crate::batch::{Batch, Digest, Partition, RecordId};
use crate::epoch::EpochNumber;
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// The two times that an event names, microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTimes {
    /// when the event was published
    pub(crate) published_us: i64,
    /// when the source committed the change
    pub(crate) applied_us: i64,
}

/// The last event of a partition that a commit loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastEvent {
    /// its position in the source's log; of a snapshot read that of the streamed event before it, if any
    pub(crate) streamed_lsn: Option<i64>,
    /// its times
    pub(crate) times: EventTimes,
}

/// How far one partition moves, and the last event of that move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetMove {
    /// the partition
    pub(crate) from: Partition,
    /// the table's epoch that the warehouse must hold
    pub(crate) epoch: EpochNumber,
    /// the offset that the warehouse must hold
    pub(crate) expected: i64,
    /// the offset that takes its place
    pub(crate) next: i64,
    /// the record before that offset
    pub(crate) last_record: RecordId,
    /// how often a command took events of the partition out of the quarantine, as far as the loader knows
    pub(crate) parking_version: i64,
    /// none when no event of the partition is loaded, only quarantined or skipped
    pub(crate) last: Option<LastEvent>,
}

/// Where a partition stands in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredOffset {
    /// the first offset that is not loaded
    pub(crate) next: i64,
    /// of the record before it, when that record was loaded
    pub(crate) last_digest: Option<Digest>,
    /// whether the partition is seen for the first time, and other partitions of its topic were loaded before
    pub(crate) is_further: bool,
}

/// Reads where every given partition stands, in the order asked; inserts what is missing, in the epoch that the topic's
/// other partitions have.
pub(crate) async fn read_offsets(
    client: &impl GenericClient,
    partitions: &[(String, i32)],
) -> Result<Vec<StoredOffset>, Error> {
    let topics: Vec<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    let numbers: Vec<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
    let inserted = client
        .query(
            "INSERT INTO dwh_control.offsets (topic, partition, next_offset, epoch)
             SELECT topic, partition, 0,
                    COALESCE((SELECT max(e.epoch) FROM dwh_control.epochs AS e WHERE e.topic = asked.topic), 0)
             FROM unnest($1::text[], $2::integer[]) AS asked (topic, partition)
             ORDER BY topic, partition
             ON CONFLICT ON CONSTRAINT offsets_pkey DO NOTHING
             RETURNING topic, partition",
            &[&topics, &numbers],
        )
        .await?;
    let inserted: HashSet<(String, i32)> =
        inserted.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = client
        .query(
            "SELECT o.next_offset, o.last_digest,
                    EXISTS (SELECT FROM dwh_control.offsets AS other
                            WHERE other.topic = o.topic AND other.next_offset > 0)
             FROM unnest($1::text[], $2::integer[]) WITH ORDINALITY AS asked (topic, partition, place)
             JOIN dwh_control.offsets AS o USING (topic, partition)
             ORDER BY asked.place",
            &[&topics, &numbers],
        )
        .await?;
    let stored = |(asked, row): (&(String, i32), &tokio_postgres::Row)| StoredOffset {
        next: row.get(0),
        last_digest: row.get::<_, Option<&[u8]>>(1).and_then(|digest| digest.try_into().ok()),
        is_further: row.get::<_, bool>(2) && inserted.contains(asked),
    };
    Ok(partitions.iter().zip(&rows).map(stored).collect())
}

/// What the warehouse says about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarehouseOffset {
    /// Kafka topic
    pub topic: String,
    /// partition of it
    pub partition: i32,
    /// first offset that is not loaded
    pub next_offset: i64,
    /// commit time at the source of the last event loaded
    pub source_committed: Option<DateTime<Utc>>,
}

/// Reads all partitions of the given topics.
pub(crate) async fn read_progress(
    client: &Client,
    topics: &[String],
) -> Result<Vec<WarehouseOffset>, Error> {
    let rows = client
        .query(
            "SELECT topic, partition, next_offset, source_committed
             FROM dwh_control.offsets
             WHERE topic = ANY ($1)
             ORDER BY topic, partition",
            &[&topics],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| WarehouseOffset {
            topic: row.get(0),
            partition: row.get(1),
            next_offset: row.get(2),
            source_committed: row.get(3),
        })
        .collect())
}

/// Moves offsets by compare-and-set. The loader is fenced unless all of them moved. The parking version is compared
/// too, because a command may have loaded or dropped events that keep others waiting.
pub(crate) async fn move_offsets(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    plan: &Plan,
    batch: &Batch,
    moves: &[OffsetMove],
) -> Result<(), WarehouseError> {
    let topics: Vec<&str> =
        moves.iter().map(|m| plan.tables[m.from.table].topic.as_str()).collect();
    let partitions: Vec<i32> = moves.iter().map(|m| m.from.partition).collect();
    let expected: Vec<i64> = moves.iter().map(|m| m.expected).collect();
    let next: Vec<i64> = moves.iter().map(|m| m.next).collect();
    let lsns: Vec<Option<i64>> =
        moves.iter().map(|m| m.last.and_then(|last| last.streamed_lsn)).collect();
    let committed: Vec<_> =
        moves.iter().map(|m| m.last.and_then(|last| instant(last.times.applied_us))).collect();
    let published: Vec<_> =
        moves.iter().map(|m| m.last.and_then(|last| instant(last.times.published_us))).collect();
    let epochs: Vec<EpochNumber> = moves.iter().map(|m| m.epoch).collect();
    let digests: Vec<Digest> = moves.iter().map(|m| batch.digest(m.last_record)).collect();
    let digests: Vec<&[u8]> = digests.iter().map(Digest::as_slice).collect();
    let sources: Vec<&str> =
        moves.iter().map(|m| plan.tables[m.from.table].record_source.as_str()).collect();
    let versions: Vec<i64> = moves.iter().map(|m| m.parking_version).collect();
    let moved = transaction
        .execute(
            &statements.move_offsets,
            &[
                &topics,
                &partitions,
                &expected,
                &next,
                &lsns,
                &committed,
                &published,
                &epochs,
                &digests,
                &sources,
                &versions,
            ],
        )
        .await?;
    if usize::try_from(moved) == Ok(moves.len()) { Ok(()) } else { Err(WarehouseError::Fenced) }
}

/// The last times that events of a topic named.
pub(crate) async fn last_times(
    transaction: &Transaction<'_>,
    topic: &str,
) -> Result<EventTimes, Error> {
    let row = transaction
        .query_one(
            "SELECT max(last_published), max(source_committed) FROM dwh_control.offsets WHERE topic = $1",
            &[&topic],
        )
        .await?;
    let micros = |place: usize| {
        row.get::<_, Option<DateTime<Utc>>>(place).map_or(0, |at| at.timestamp_micros())
    };
    Ok(EventTimes { published_us: micros(0), applied_us: micros(1) })
}

/// Whether any event of a topic is loaded.
pub(crate) async fn is_loaded(transaction: &Transaction<'_>, topic: &str) -> Result<bool, Error> {
    let sql = "SELECT FROM dwh_control.offsets WHERE topic = $1 AND next_offset > 0";
    Ok(transaction.execute(sql, &[&topic]).await? > 0)
}

/// Sets a topic back to its beginning. Returns whether any event of it was loaded.
pub(crate) async fn set_back(transaction: &Transaction<'_>, topic: &str) -> Result<bool, Error> {
    let sql = "UPDATE dwh_control.offsets SET next_offset = 0, last_digest = NULL WHERE topic = $1 AND next_offset > 0";
    Ok(transaction.execute(sql, &[&topic]).await? > 0)
}
