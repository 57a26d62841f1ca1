//! The offsets in the warehouse: the one truth about what is loaded.
//!
//! In go partitions, out come the offsets from which to read. A partition that is seen for the first time gets a row with
//! offset 0, so that moving it is the same compare-and-set as ever.

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use super::error::LoadError;

/// Reads the next offset of every given partition, in the order asked; inserts what is missing.
pub async fn read_offsets(
    client: &Client,
    partitions: &[(String, i32)],
) -> Result<Vec<i64>, LoadError> {
    let topics: Vec<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    let numbers: Vec<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
    client
        .execute(
            "INSERT INTO dwh_control.offsets (topic, partition, next_offset)
             SELECT topic, partition, 0
             FROM unnest($1::text[], $2::integer[]) AS asked (topic, partition)
             ORDER BY topic, partition
             ON CONFLICT ON CONSTRAINT offsets_pkey DO NOTHING",
            &[&topics, &numbers],
        )
        .await?;
    let rows = client
        .query(
            "SELECT o.next_offset
             FROM unnest($1::text[], $2::integer[]) WITH ORDINALITY AS asked (topic, partition, place)
             JOIN dwh_control.offsets AS o USING (topic, partition)
             ORDER BY asked.place",
            &[&topics, &numbers],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What the warehouse says about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
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
pub async fn read_progress(
    client: &Client,
    topics: &[String],
) -> Result<Vec<StoredOffset>, tokio_postgres::Error> {
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
        .map(|row| StoredOffset {
            topic: row.get(0),
            partition: row.get(1),
            next_offset: row.get(2),
            source_committed: row.get(3),
        })
        .collect())
}
