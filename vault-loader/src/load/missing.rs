//! Closes the rows of a table that a new snapshot did not bring, after the table's source went back.
//!
//! In: a table and its epochs. Out: one status row for each key whose last status is of an epoch before the source went
//! back. That is a truncate at the very beginning of the epoch: whatever the new snapshot has read lies behind it. Like
//! any truncate it is stored, so that it also closes what comes late.

use tokio_postgres::Client;

use super::truncate::Ending;
use crate::control::{self, Truncation};
use crate::epoch::Epochs;
use crate::model::{Plan, TableId};
use crate::warehouse::WarehouseError;

/// What is to be closed.
#[derive(Debug, Clone, Copy)]
pub struct Missing<'c> {
    /// the model
    pub plan: &'c Plan,
    /// the table
    pub table: TableId,
    /// its epochs
    pub epochs: &'c Epochs,
    /// whether the rows are closed, and not only counted
    pub apply: bool,
}

/// Returns how many rows are closed, or would be.
///
/// # Errors
/// When the warehouse does not answer or refuses.
pub async fn close_missing(
    client: &mut Client,
    missing: Missing<'_>,
) -> Result<u64, WarehouseError> {
    let Missing { plan, table, epochs, apply } = missing;
    let topic = &plan.tables[table].topic;
    let transaction = client.transaction().await?;
    control::lock_topic(&transaction, plan.schemas, topic).await?;
    let times = control::last_times(&transaction, topic).await?;
    let epoch = epochs.numbered(epochs.first_of_source(epochs.current()));
    let truncation = Truncation {
        epoch,
        lsn: 0,
        load_date_us: times.published_us,
        applied_us: times.applied_us,
        place: None,
    };
    control::note_truncation(&transaction, plan.schemas, topic, &truncation).await?;
    let ending = Ending { plan, table, truncation: &truncation, epochs };
    let closed = ending.close_all(&transaction).await?;
    let source = &plan.model.source.name;
    control::note_late_load(&transaction, source, truncation.load_date_us).await?;
    if apply {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(closed)
}
