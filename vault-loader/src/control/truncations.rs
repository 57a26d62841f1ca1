//! Truncates that were loaded. They also close keys whose older events arrive later.

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt};
use tokio_postgres::{Error, Transaction};

use super::{ControlStatements, instant};
use crate::batch::Batch;
use crate::epoch::{Epoch, EpochNumber, SourcePosition};
use crate::model::{Plan, Schemas, TableId};

/// A truncate of a source table that was loaded before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncation {
    pub(crate) epoch: Epoch,
    pub(crate) lsn: i64,
    pub(crate) load_date_us: i64,
    pub(crate) applied_us: i64,
    /// place of its record: partition and offset; none when it was loaded before places were kept
    pub(crate) place: Option<(i32, i64)>,
}

impl Truncation {
    /// Where it stands among the changes of all epochs.
    pub(crate) fn position(&self) -> SourcePosition {
        self.epoch.position(self.lsn)
    }
}

/// The records of a topic that truncates are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicSpan<'t> {
    topic: &'t str,
    /// the least log position that a record names
    lowest: i64,
    /// the least epoch of these records
    epoch: EpochNumber,
}

impl<'t> TopicSpan<'t> {
    /// No record with a position yet. A record without a position is closed by no truncate that came before it.
    pub(crate) fn none(topic: &'t str) -> Self {
        Self { topic, lowest: i64::MAX, epoch: EpochNumber::MAX }
    }

    /// Records at any position.
    pub(crate) fn all(topic: &'t str) -> Self {
        Self { topic, lowest: i64::MIN, epoch: EpochNumber::MIN }
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, lsn: i64, epoch: EpochNumber) {
        self.lowest = self.lowest.min(lsn);
        self.epoch = self.epoch.min(epoch);
    }
}

/// What the warehouse knows about the truncates of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownTruncations {
    /// the number of the one that was loaded last
    pub(crate) last: Option<i64>,
    /// those that lie behind one of the records, in the order of their epochs and log positions
    pub(crate) closing: Vec<Truncation>,
}

/// Reads the truncates that can close what these records open.
pub(crate) async fn read_truncations(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    plan: &Plan,
    batch: &Batch,
    spans: &[TopicSpan<'_>],
) -> Result<HashMap<TableId, KnownTruncations>, Error> {
    let topics: Vec<&str> = spans.iter().map(|span| span.topic).collect();
    let lowest: Vec<i64> = spans.iter().map(|span| span.lowest).collect();
    let epochs: Vec<EpochNumber> = spans.iter().map(|span| span.epoch).collect();
    let rows = transaction.query(&statements.truncations, &[&topics, &lowest, &epochs]).await?;
    let mut found: HashMap<TableId, KnownTruncations> = HashMap::new();
    for row in rows {
        let topic: &str = row.get(0);
        let Some(table) = plan.tables.find_id(|table| table.topic == topic) else { continue };
        let known = found.entry(table).or_default();
        known.last = Some(row.get(1));
        if let Some(lsn) = row.get(2) {
            known.closing.push(Truncation {
                epoch: batch.epochs_of(table).numbered(row.get(5)),
                lsn,
                load_date_us: row.get::<_, DateTime<Utc>>(3).timestamp_micros(),
                applied_us: row.get::<_, DateTime<Utc>>(4).timestamp_micros(),
                place: row.get::<_, Option<i32>>(6).zip(row.get(7)),
            });
        }
    }
    Ok(found)
}

/// The greatest log position of the topic's truncates before this one that were loaded, among those of one history of
/// the source: `first` is the first epoch of that history.
pub(crate) async fn truncated_before(
    transaction: &Transaction<'_>,
    schemas: Schemas,
    topic: &str,
    first: EpochNumber,
    lsn: i64,
) -> Result<Option<i64>, Error> {
    let sql = format!(
        "SELECT max(source_lsn)
         FROM {}.truncations
         WHERE topic = $1
           AND source_lsn < $2
           AND epoch >= $3",
        schemas.control
    );
    Ok(transaction.query_one(&sql, &[&topic, &lsn, &first]).await?.get(0))
}

/// Stores a truncate. `false` when it is stored already and has done its work.
pub(crate) async fn note_truncation(
    transaction: &Transaction<'_>,
    schemas: Schemas,
    topic: &str,
    truncation: &Truncation,
) -> Result<bool, Error> {
    let (partition, offset) = truncation.place.unzip();
    let sql = format!(
        "INSERT INTO {}.truncations
             (topic, source_lsn, load_date, applied_date, kafka_partition, kafka_offset, epoch)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT truncations_pkey DO NOTHING",
        schemas.control
    );
    let new = transaction
        .execute(
            &sql,
            &[
                &topic,
                &truncation.lsn,
                &instant(truncation.load_date_us),
                &instant(truncation.applied_us),
                &partition,
                &offset,
                &truncation.epoch.number,
            ],
        )
        .await?;
    Ok(new > 0)
}
