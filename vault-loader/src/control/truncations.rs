//! Truncates that were loaded. They also close keys whose older events arrive later.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Error, Transaction};

use super::{ControlStatements, instant};
use crate::batch::Batch;
use crate::epoch::{Epoch, SourcePosition};
use crate::model::{Plan, TableId};

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

/// Reads the truncates of the tables behind these topics, each table's in the order of their log positions.
pub(crate) async fn read_truncations(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    plan: &Plan,
    batch: &Batch,
    topics: &[&str],
) -> Result<HashMap<TableId, Vec<Truncation>>, Error> {
    let mut found: HashMap<TableId, Vec<Truncation>> = HashMap::new();
    for row in transaction.query(&statements.truncations, &[&topics]).await? {
        let topic: &str = row.get(0);
        if let Some(table) = plan.tables.find_id(|table| table.topic == topic) {
            found.entry(table).or_default().push(Truncation {
                epoch: batch.epochs_of(table).numbered(row.get(4)),
                lsn: row.get(1),
                load_date_us: row.get::<_, DateTime<Utc>>(2).timestamp_micros(),
                applied_us: row.get::<_, DateTime<Utc>>(3).timestamp_micros(),
                place: row.get::<_, Option<i32>>(5).zip(row.get(6)),
            });
        }
    }
    Ok(found)
}

/// Stores a truncate. `false` when it is stored already and has done its work.
pub(crate) async fn note_truncation(
    transaction: &Transaction<'_>,
    topic: &str,
    truncation: &Truncation,
) -> Result<bool, Error> {
    let (partition, offset) = truncation.place.unzip();
    let new = transaction
        .execute(
            "INSERT INTO dwh_control.truncations
                 (topic, source_lsn, load_date, applied_date, kafka_partition, kafka_offset, epoch)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT ON CONSTRAINT truncations_pkey DO NOTHING",
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
