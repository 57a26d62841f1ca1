//! What the control schema holds for a vault that is loaded anew beside the live one.
//!
//! In: the topics of all sources. Out: how far the live vault is loaded, what operators have decided, and, when the
//! rebuilt vault takes the place of the live one, the rows of those control tables that follow from loading. The
//! offsets of the live vault stay, because both vaults are loaded up to them. docs/REBUILD.md says for each table what
//! becomes of it.

use std::collections::HashMap;

use tokio_postgres::{Error, GenericClient, Transaction};

use crate::epoch::EpochNumber;
use crate::model::Schemas;

/// The control tables that the load path writes. A rebuilt vault has its own.
pub(crate) const LOADED_TABLES: [&str; 5] =
    ["offsets", "event_minutes", "quarantine", "truncations", "paused_tables"];

/// Lets no loader and no command move anything that a rebuilt vault depends on, until the transaction ends. The offsets
/// come first, as in a loader's transaction. Reading goes on.
const KEEP: &str = "
    LOCK TABLE dwh_control.offsets IN EXCLUSIVE MODE;
    LOCK TABLE dwh_control.truncations, dwh_control.quarantine, dwh_control.dropped_events, dwh_control.epochs,
        dwh_control.epoch_starts, dwh_control.gaps, dwh_control.grown_columns IN EXCLUSIVE MODE";

/// A partition of which something is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedPartition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) epoch: EpochNumber,
}

/// Keeps everything as it is; see [`KEEP`].
pub(crate) async fn keep_loads(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute(KEEP).await
}

/// The partitions of these topics of which something is loaded.
pub(crate) async fn loaded_partitions(
    client: &impl GenericClient,
    schemas: Schemas,
    topics: &[String],
) -> Result<Vec<LoadedPartition>, Error> {
    let sql = format!(
        "SELECT topic, partition, next_offset, epoch
         FROM {}.offsets
         WHERE topic = ANY ($1) AND next_offset > 0
         ORDER BY topic, partition",
        schemas.control
    );
    let rows = client.query(&sql, &[&topics]).await?;
    let loaded = |row: &tokio_postgres::Row| LoadedPartition {
        topic: row.get(0),
        partition: row.get(1),
        next_offset: row.get(2),
        epoch: row.get(3),
    };
    Ok(rows.iter().map(loaded).collect())
}

/// Lets the rebuilt vault know these partitions, at the offsets at which it begins with each, unless it knows them.
pub(crate) async fn begin_partitions(
    client: &impl GenericClient,
    schemas: Schemas,
    partitions: &[(LoadedPartition, i64)],
) -> Result<(), Error> {
    let topics: Vec<&str> = partitions.iter().map(|(at, _)| at.topic.as_str()).collect();
    let numbers: Vec<i32> = partitions.iter().map(|(at, _)| at.partition).collect();
    let epochs: Vec<EpochNumber> = partitions.iter().map(|(at, _)| at.epoch).collect();
    let starts: Vec<i64> = partitions.iter().map(|(_, start)| *start).collect();
    let sql = format!(
        "INSERT INTO {}.offsets (topic, partition, next_offset, epoch)
         SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[])
         ON CONFLICT ON CONSTRAINT offsets_pkey DO NOTHING",
        schemas.control
    );
    client.execute(&sql, &[&topics, &numbers, &starts, &epochs]).await.map(drop)
}

/// Where the rebuilt vault stands in each partition.
pub(crate) async fn rebuilt_offsets(
    client: &impl GenericClient,
    schemas: Schemas,
) -> Result<HashMap<(String, i32), i64>, Error> {
    let sql = format!("SELECT topic, partition, next_offset FROM {}.offsets", schemas.control);
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
}

/// Offsets of a partition whose events are lost, and that an operator has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// What operators have decided, and no topic says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decisions {
    /// epochs of tables, each with whether it began with another topic
    pub(crate) epochs: Vec<(String, EpochNumber, bool)>,
    /// accepted gaps, in the order of their offsets
    pub(crate) gaps: Vec<Lost>,
    /// events that were dropped: topic, partition, offset
    pub(crate) dropped: Vec<(String, i32, i64)>,
    /// topics of which rows were closed, because a new snapshot did not bring them
    pub(crate) closed: Vec<String>,
}

/// Reads what operators have decided about these topics and source tables.
pub(crate) async fn read_decisions(
    client: &impl GenericClient,
    topics: &[String],
    record_sources: &[String],
) -> Result<Decisions, Error> {
    let epochs = "SELECT record_source, epoch, is_new_topic
                  FROM dwh_control.epochs
                  WHERE record_source = ANY ($1)
                  ORDER BY record_source, epoch";
    let gaps = "SELECT topic, partition, first_offset, last_offset
                FROM dwh_control.gaps
                WHERE topic = ANY ($1)
                ORDER BY topic, partition, first_offset";
    let dropped = "SELECT topic, partition, kafka_offset
                   FROM dwh_control.dropped_events
                   WHERE topic = ANY ($1)
                   ORDER BY topic, partition, kafka_offset";
    // Closing what a new snapshot lacks is stored as a truncate at the beginning of the epoch, without a record.
    let closed = "SELECT DISTINCT topic
                  FROM dwh_control.truncations
                  WHERE topic = ANY ($1) AND kafka_partition IS NULL AND source_lsn = 0 AND epoch > 0
                  ORDER BY topic";
    let epochs = client.query(epochs, &[&record_sources]).await?;
    let gaps = client.query(gaps, &[&topics]).await?;
    let dropped = client.query(dropped, &[&topics]).await?;
    let closed = client.query(closed, &[&topics]).await?;
    let lost = |row: &tokio_postgres::Row| Lost {
        topic: row.get(0),
        partition: row.get(1),
        first: row.get(2),
        last: row.get(3),
    };
    Ok(Decisions {
        epochs: epochs.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
        gaps: gaps.iter().map(lost).collect(),
        dropped: dropped.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
        closed: closed.iter().map(|row| row.get(0)).collect(),
    })
}

/// Lets the control schema say of the live vault what it says of the rebuilt one, in the transaction in which that one
/// takes the place. An event that waits in both keeps its row, with its number, its age, and without its content where
/// that was removed. Loaders see by the parking version that what they remember is of another vault.
pub(crate) async fn take_over(
    transaction: &Transaction<'_>,
    rebuilt: Schemas,
    topics: &[String],
) -> Result<(), Error> {
    let other = rebuilt.control;
    let same_event = "q.topic = r.topic AND q.partition = r.partition AND q.epoch = r.epoch
                      AND q.kafka_offset = r.kafka_offset";
    let columns = "topic, partition, kafka_offset, source_lsn, source_tx_id, key, value, reason, sqlstate, record_source,
                   epoch, key_hash, parent_hash_key, at_fault, header_names, header_values";
    let same_truncate = "t.topic = r.topic AND t.epoch = r.epoch AND t.source_lsn = r.source_lsn";
    let truncate =
        "topic, source_lsn, load_date, applied_date, kafka_partition, kafka_offset, epoch";
    let statements = [
        format!(
            "DELETE FROM dwh_control.quarantine AS q
             WHERE q.topic = ANY ($1) AND NOT EXISTS (SELECT FROM {other}.quarantine AS r WHERE {same_event})"
        ),
        format!(
            "UPDATE dwh_control.quarantine AS q
             SET key_hash = r.key_hash, parent_hash_key = r.parent_hash_key, at_fault = r.at_fault,
                 reason = r.reason, sqlstate = r.sqlstate
             FROM {other}.quarantine AS r
             WHERE q.topic = ANY ($1) AND {same_event}"
        ),
        format!(
            "INSERT INTO dwh_control.quarantine ({columns})
             SELECT {columns}
             FROM {other}.quarantine AS r
             WHERE r.topic = ANY ($1)
               AND NOT EXISTS (SELECT FROM dwh_control.quarantine AS q WHERE {same_event})
             ORDER BY r.id"
        ),
        format!(
            "DELETE FROM dwh_control.truncations AS t
             WHERE t.topic = ANY ($1) AND NOT EXISTS (SELECT FROM {other}.truncations AS r WHERE {same_truncate})"
        ),
        format!(
            "UPDATE dwh_control.truncations AS t
             SET load_date = r.load_date, applied_date = r.applied_date, kafka_partition = r.kafka_partition,
                 kafka_offset = r.kafka_offset
             FROM {other}.truncations AS r
             WHERE t.topic = ANY ($1)
               AND {same_truncate}
               AND (t.load_date, t.applied_date, t.kafka_partition, t.kafka_offset)
                   IS DISTINCT FROM (r.load_date, r.applied_date, r.kafka_partition, r.kafka_offset)"
        ),
        format!(
            "INSERT INTO dwh_control.truncations ({truncate})
             SELECT {truncate}
             FROM {other}.truncations AS r
             WHERE r.topic = ANY ($1)
               AND NOT EXISTS (SELECT FROM dwh_control.truncations AS t WHERE {same_truncate})
             ORDER BY r.number"
        ),
        "UPDATE dwh_control.offsets SET parking_version = parking_version + 1 WHERE topic = ANY ($1)".to_owned(),
    ];
    for sql in &statements {
        transaction.execute(sql, &[&topics]).await?;
    }
    Ok(())
}
