//! A truncate: closes every open key of a table, in a small transaction of its own.
//!
//! In goes the event's position, out comes one status row for each key that was open before it. The truncate is written
//! down, so that it also closes keys whose older events arrive later; one that is written down already did its work.

use super::statements::{SATELLITE_COLUMNS, Session};
use super::transaction::event_times;
use super::versions::status_hash;
use crate::control::{self, Minutes, OffsetMove, instant};
use crate::decode::Position;
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// Applies one truncate; answers how many keys it closed.
pub(super) async fn apply(
    session: &mut Session,
    plan: &Plan,
    step: &OffsetMove,
    position: &Position,
) -> Result<u64, WarehouseError> {
    let topic = &plan.tables[step.from.table].topic;
    let lsn = position.streamed_lsn.unwrap_or_default();
    let published = instant(position.published_us);
    let applied = instant(position.applied_us);
    let transaction = session.client.transaction().await?;
    let prepared = &session.statements.control;
    control::lock_topic(&transaction, topic).await?;
    control::move_offsets(&transaction, prepared, plan, std::slice::from_ref(step)).await?;
    let mut minutes = Minutes::default();
    let times = event_times(position);
    minutes.add(step.from, times);
    minutes.write(&transaction, prepared, plan).await?;
    let mut closed = 0;
    if control::note_truncation(&transaction, topic, lsn, times).await? {
        let status = &plan.satellites[plan.status_of(step.from.table)];
        // The one statement that needs the whole table.
        transaction.batch_execute("SET LOCAL enable_seqscan = on").await?;
        // A key's own partition keeps its place, so that a replay of that partition is recognised.
        let sql = format!(
            "INSERT INTO {table} ({SATELLITE_COLUMNS}, op, is_deleted, record_lsn)
             SELECT last.hash_key,
                    GREATEST($2, last.load_date + interval '1 microsecond'),
                    $1,
                    $3,
                    $4,
                    $5,
                    last.kafka_partition,
                    CASE
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
               AND GREATEST(last.source_lsn, last.record_lsn) < $5 IS NOT FALSE",
            table = status.qualified,
        );
        closed = transaction
            .execute(
                &sql,
                &[
                    topic,
                    &published,
                    &plan.model.source.system_id,
                    &applied,
                    &lsn,
                    &position.partition,
                    &position.offset,
                    &status_hash(true).as_slice(),
                ],
            )
            .await?;
    }
    transaction.commit().await?;
    Ok(closed)
}
