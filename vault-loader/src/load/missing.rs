//! Closes the rows of a table that a new snapshot did not bring, after the table's source went back.
//!
//! In: a table and its epochs. Out: one status row for each key whose last status is of an epoch before the source went
//! back. That is a truncate at the very beginning of the epoch: whatever the new snapshot has read lies behind it. Like
//! any truncate it is stored, so that it also closes what comes late.

use tokio_postgres::Client;

use super::truncate::close_keys;
use crate::control;
use crate::decode::EventPosition;
use crate::epoch::Epochs;
use crate::model::{Plan, TableId};
use crate::warehouse::WarehouseError;

/// What is to be closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'c> {
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
    closing: Closing<'_>,
) -> Result<u64, WarehouseError> {
    let Closing { plan, table, epochs, apply } = closing;
    let topic = &plan.tables[table].topic;
    let status = &plan.satellites[plan.status_of(table)];
    let transaction = client.transaction().await?;
    control::lock_topic(&transaction, topic).await?;
    let times = control::last_times(&transaction, topic).await?;
    let epoch = epochs.numbered(epochs.first_of_source(epochs.current()));
    let position = EventPosition {
        published_us: times.published_us,
        applied_us: times.applied_us,
        streamed_lsn: Some(0),
        record_lsn: Some(0),
        tx_id: None,
        epoch,
        partition: -1,
        offset: -1,
    };
    control::note_truncation(&transaction, topic, epoch.number, 0, times).await?;
    let closed = close_keys(&transaction, plan, status, &position, epochs).await?;
    if apply {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(closed)
}
