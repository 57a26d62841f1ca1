//! Events that Kafka deleted before they were loaded, and whose loss an operator accepted.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, Transaction};

use super::offsets::read_offsets;

/// Offsets of a partition that Kafka no longer has and that are not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Kafka topic
    pub topic: String,
    /// partition of it
    pub partition: i32,
    /// first offset of the gap
    pub first: i64,
    /// last offset of the gap
    pub last: i64,
}

impl Gap {
    /// How many offsets it has.
    #[must_use]
    pub fn offset_count(&self) -> i64 {
        self.last - self.first + 1
    }

    /// The words that tell how to accept the loss.
    #[must_use]
    pub fn acceptance(&self) -> String {
        let Self { topic, partition, first, last } = self;
        format!(
            "accept the loss with `vault-loader gap accept --topic {topic} --partition {partition} --from {first} --to {last}`"
        )
    }
}

/// A gap whose loss was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedGap {
    /// what is lost
    pub gap: Gap,
    /// when it was accepted, by the warehouse's clock
    pub accepted_at: DateTime<Utc>,
    /// database user who accepted it
    pub accepted_by: String,
}

/// Moves the offset over a gap and records the loss. Returns whether the warehouse stood at the gap; otherwise nothing
/// is written.
pub(crate) async fn accept_gap(
    transaction: &Transaction<'_>,
    source: &str,
    gap: &Gap,
) -> Result<bool, Error> {
    if gap.first == 0 {
        // Perhaps no loader has seen the partition yet.
        read_offsets(transaction, &[(gap.topic.clone(), gap.partition)]).await?;
    }
    let moved = transaction
        .execute(
            "UPDATE dwh_control.offsets
             SET next_offset = $4::bigint + 1, last_digest = NULL
             WHERE topic = $1
               AND partition = $2
               AND next_offset = $3",
            &[&gap.topic, &gap.partition, &gap.first, &gap.last],
        )
        .await?;
    if moved == 0 {
        return Ok(false);
    }
    transaction
        .execute(
            "INSERT INTO dwh_control.gaps (source, topic, partition, first_offset, last_offset)
             VALUES ($1, $2, $3, $4, $5)",
            &[&source, &gap.topic, &gap.partition, &gap.first, &gap.last],
        )
        .await?;
    Ok(true)
}

/// Reads the accepted gaps of these topics, in the order in which they were accepted.
pub(crate) async fn read_gaps(
    client: &Client,
    topics: &[String],
) -> Result<Vec<AcceptedGap>, Error> {
    let rows = client
        .query(
            "SELECT topic, partition, first_offset, last_offset, accepted_at, accepted_by
             FROM dwh_control.gaps
             WHERE topic = ANY ($1)
             ORDER BY id",
            &[&topics],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| AcceptedGap {
            gap: Gap {
                topic: row.get(0),
                partition: row.get(1),
                first: row.get(2),
                last: row.get(3),
            },
            accepted_at: row.get(4),
            accepted_by: row.get(5),
        })
        .collect())
}
