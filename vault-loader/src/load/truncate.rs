//! A truncate: it closes every open key of a table, in a small transaction of its own.
//!
//! In: the event's position. Out: one status row for each key that was open before it. The truncate is stored, so that
//! it also closes keys whose older events arrive later. A truncate that is stored already has done its work, and does
//! nothing more.

use tokio_postgres::Transaction;

use super::outcome::Loaded;
use super::statements::{LoadingSession, satellite_columns};
use super::stretch::{Stretch, event_times, last_event};
use crate::control::{self, Minutes, OffsetMove, instant};
use crate::decode::EventPosition;
use crate::epoch::Epochs;
use crate::model::{Plan, STATUS_COLUMNS, SatellitePlan};
use crate::vault::versions::{BEFORE_THE_TOPIC, status_hash};
use crate::warehouse::WarehouseError;

/// Commits a stretch that is one truncate.
pub(super) async fn commit(
    stretch: Stretch<'_>,
    position: &EventPosition,
    session: &mut LoadingSession,
) -> Result<Loaded, WarehouseError> {
    let plan = stretch.plan;
    let first = stretch.records.first();
    let record = &stretch.batch.records[first];
    let from = record.from;
    let step = OffsetMove {
        from,
        epoch: stretch.batch.starts[&from].epoch,
        expected: stretch.offsets[&from],
        next: record.offset + 1,
        last_record: first,
        last: Some(last_event(position)),
    };
    let topic = &plan.tables[from.table].topic;
    let status = &plan.satellites[plan.status_of(from.table)];
    let times = event_times(position);
    let prepared = &session.statements.control;
    let transaction = session.client.transaction().await?;
    control::lock_topic(&transaction, topic).await?;
    let moves = std::slice::from_ref(&step);
    control::move_offsets(&transaction, prepared, plan, stretch.batch, moves).await?;
    let mut minutes = Minutes::default();
    minutes.add(from, times);
    minutes.write(&transaction, prepared, plan).await?;
    let lsn = position.streamed_lsn.unwrap_or_default();
    let mut closed = 0;
    let epoch = record.epoch.number;
    if control::note_truncation(&transaction, topic, epoch, lsn, times).await? {
        let epochs = stretch.batch.epochs_of(from.table);
        closed = close_keys(&transaction, plan, status, position, epochs).await?;
    }
    transaction.commit().await?;
    Ok(Loaded {
        moves: vec![(from, step.next)],
        events: stretch.count_events(),
        rows: vec![(status.name.clone(), closed)],
        last_applied_us: Some(position.applied_us),
        ..Loaded::default()
    })
}

/// Closes the keys that were open before the truncate, and returns how many there were.
pub(super) async fn close_keys(
    transaction: &Transaction<'_>,
    plan: &Plan,
    status: &SatellitePlan,
    position: &EventPosition,
    epochs: &Epochs,
) -> Result<u64, WarehouseError> {
    // This is the only statement that reads the whole table.
    transaction.batch_execute("SET LOCAL enable_seqscan = on").await?;
    // The version keeps the place of the key's own partition, so that a replay of that partition is recognised.
    let sql = format!(
        "INSERT INTO {table} ({satellite}, {own})
         SELECT last.hash_key,
                GREATEST($2, last.load_date + interval '1 microsecond'),
                $1,
                $3,
                $4,
                $5,
                last.kafka_partition,
                $9,
                CASE
                    WHEN last.source_epoch < $10 THEN {BEFORE_THE_TOPIC}
                    WHEN last.kafka_partition = $6 THEN GREATEST(last.kafka_offset, $7)
                    ELSE last.kafka_offset
                END,
                $8,
                't',
                true,
                $5
         FROM (
             SELECT DISTINCT ON (hash_key) *
             FROM {table}
             ORDER BY hash_key, load_date DESC
         ) AS last
         WHERE NOT last.is_deleted
           AND (last.source_epoch < $11 OR GREATEST(last.source_lsn, last.record_lsn) < $5 IS NOT FALSE)",
        table = status.qualified,
        satellite = satellite_columns(),
        own = STATUS_COLUMNS.join(", "),
    );
    let closed = transaction
        .execute(
            &sql,
            &[
                &plan.tables[status.table].record_source,
                &instant(position.published_us),
                &plan.model.source.system_id,
                &instant(position.applied_us),
                &position.streamed_lsn.unwrap_or_default(),
                &position.partition,
                &position.offset,
                &status_hash(true).as_slice(),
                &position.epoch.number,
                &epochs.first_of_topic(position.epoch),
                &epochs.first_of_source(position.epoch),
            ],
        )
        .await?;
    Ok(closed)
}
