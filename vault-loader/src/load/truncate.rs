//! A truncate: it closes every open key of a table, in a small transaction of its own.
//!
//! In: the event's position. Out: one status row for each key that was open before it. The truncate is stored, so that
//! it also closes keys whose older events arrive later. A truncate that is stored already has done its work, and does
//! nothing more.

use tokio_postgres::Transaction;

use super::outcome::Loaded;
use super::statements::{LoadingSession, satellite_columns};
use super::stretch::{Stretch, event_times, last_event};
use crate::control::{self, Minutes, OffsetMove, Truncation, instant};
use crate::decode::EventPosition;
use crate::epoch::Epochs;
use crate::model::{Plan, STATUS_COLUMNS, SatellitePlan, TableId, ident};
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
        parking_version: stretch.parking_versions[&from],
        last: Some(last_event(position)),
    };
    let topic = &plan.tables[from.table].topic;
    let status = &plan.satellites[plan.status_of(from.table)];
    let times = event_times(position);
    let prepared = &session.statements.control;
    let transaction = session.client.transaction().await?;
    control::lock_topic(&transaction, plan.schemas, topic).await?;
    let moves = std::slice::from_ref(&step);
    control::move_offsets(&transaction, prepared, plan, stretch.batch, moves).await?;
    let mut minutes = Minutes::default();
    minutes.add(from, times);
    minutes.write(&transaction, prepared, plan).await?;
    let truncation = truncation(position);
    let mut closed = 0;
    if control::note_truncation(&transaction, plan.schemas, topic, &truncation).await? {
        let epochs = stretch.batch.epochs_of(from.table);
        let ending = Ending { plan, table: from.table, truncation: &truncation, epochs };
        closed = ending.close_all(&transaction).await?;
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

/// The truncate as it is stored.
pub(super) fn truncation(position: &EventPosition) -> Truncation {
    Truncation {
        epoch: position.epoch,
        lsn: position.streamed_lsn.unwrap_or_default(),
        load_date_us: position.published_us,
        applied_us: position.applied_us,
        place: Some((position.partition, position.offset)),
    }
}

/// Which keys a truncate may close.
#[derive(Debug, Clone, Copy)]
enum Keys<'k> {
    /// all keys of the table but these
    AllBut(&'k [Vec<u8>]),
    /// these keys
    Only(&'k [Vec<u8>]),
}

/// A truncate that ends what was open of its table before it. Each way of closing returns how many keys it closed.
///
/// Positions are compared within one history of the source. What is open from an earlier history is closed by every
/// truncate.
///
/// A truncate need not look at the whole history of its table, when another one of the same history of the source lies
/// before it and was loaded. Then every key that is open has a version whose record lies at or behind that earlier
/// truncate, or names no position: whatever lay before the earlier truncate was closed by it, or as soon as it came, or
/// by the retry of a key that was parked. The load dates of a key grow. So among all versions from the least load date
/// of these versions on, the last one of a key is its last one of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending<'e> {
    pub(super) plan: &'e Plan,
    pub(super) table: TableId,
    pub(super) truncation: &'e Truncation,
    /// epochs of the table
    pub(super) epochs: &'e Epochs,
}

/// The statements of [`Ending::close_all`] are the only ones that read many rows of a table. They take as long as they
/// need: the loader watches whether the warehouse still answers. The index by block ranges works through bitmap scans
/// alone.
const SETTINGS: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL enable_bitmapscan = on;";

/// Before every load date.
const FROM_THE_BEGINNING: &str = "-infinity";

impl Ending<'_> {
    /// Closes all keys but those that are parked: of these, events from before the truncate may wait, and the retry of
    /// a parked key closes it.
    pub(super) async fn close_all(
        self,
        transaction: &Transaction<'_>,
    ) -> Result<u64, WarehouseError> {
        let topic = &self.plan.tables[self.table].topic;
        let parked = control::parked_parents(transaction, self.plan.schemas, topic).await?;
        transaction.batch_execute(SETTINGS).await?;
        let since = self.since(transaction, topic).await?;
        self.close(transaction, Keys::AllBut(&parked), &since).await
    }

    /// Closes these keys, whose events from before the truncate were loaded later.
    pub(super) async fn close_only(
        self,
        transaction: &Transaction<'_>,
        keys: &[Vec<u8>],
    ) -> Result<u64, WarehouseError> {
        self.close(transaction, Keys::Only(keys), FROM_THE_BEGINNING).await
    }

    fn status(&self) -> &SatellitePlan {
        &self.plan.satellites[self.plan.status_of(self.table)]
    }

    /// The load date from which on the versions have to be looked at.
    async fn since(
        self,
        transaction: &Transaction<'_>,
        topic: &str,
    ) -> Result<String, WarehouseError> {
        let Truncation { epoch, lsn, .. } = *self.truncation;
        let first = self.epochs.first_of_source(epoch);
        let Some(before) =
            control::truncated_before(transaction, self.plan.schemas, topic, first, lsn).await?
        else {
            // The first truncate of a table reads all of it.
            transaction.batch_execute("SET LOCAL enable_seqscan = on").await?;
            return Ok(FROM_THE_BEGINNING.to_owned());
        };
        let sql = format!(
            "SELECT COALESCE(min(load_date), 'infinity')::text
             FROM {}
             WHERE record_lsn >= $1
               AND source_epoch >= $2",
            self.status().qualified
        );
        Ok(transaction.query_one(&sql, &[&before, &first]).await?.get(0))
    }

    /// Closes the keys whose last version is open and lies before the truncate. Only versions from a load date on are
    /// looked at, and the keys that have a version without a position.
    async fn close(
        self,
        transaction: &Transaction<'_>,
        keys: Keys<'_>,
        since: &str,
    ) -> Result<u64, WarehouseError> {
        let Ending { plan, truncation, epochs, .. } = self;
        let (restriction, keys) = match keys {
            Keys::AllBut(keys) => ("hash_key <> ALL ($13)", keys),
            Keys::Only(keys) => ("hash_key = ANY ($13)", keys),
        };
        let (partition, offset) = truncation.place.unzip();
        let closed = transaction
            .execute(
                &closing(self.status(), restriction),
                &[
                    &plan.tables[self.table].record_source,
                    &instant(truncation.load_date_us),
                    &plan.model.source.system_id,
                    &instant(truncation.applied_us),
                    &truncation.lsn,
                    &partition,
                    &offset,
                    &status_hash(true).as_slice(),
                    &truncation.epoch.number,
                    &epochs.first_of_topic(truncation.epoch),
                    &epochs.first_of_source(truncation.epoch),
                    &since,
                    &keys,
                ],
            )
            .await?;
        Ok(closed)
    }
}

/// What [`closing`] reads of a key's last version.
const READ: &str = "hash_key, load_date, source_lsn, record_lsn, kafka_partition, kafka_offset, source_epoch, is_deleted";

/// The statement of [`Ending::close`] for keys that a condition restricts.
fn closing(status: &SatellitePlan, restriction: &str) -> String {
    // The columns of the parent's key, where the satellite holds them, are the same in every version of a key.
    let carried: Vec<_> = status.carried.iter().map(|carried| ident(&carried.name)).collect();
    let read_carried: String = carried.iter().map(|name| format!(", {name}")).collect();
    let last_carried: String =
        carried.iter().map(|name| format!("last.{name},\n                ")).collect();
    // The version keeps the place of the key's own partition, so that a replay of that partition is recognised.
    format!(
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
                {last_carried}'t',
                true,
                $5
         FROM (
             (
                 SELECT DISTINCT ON (hash_key) {read}
                 FROM {table}
                 WHERE load_date >= $12::text::timestamptz
                   AND {restriction}
                 ORDER BY hash_key, load_date DESC
             )
             UNION ALL
             SELECT newest.*
             FROM (
                 SELECT DISTINCT hash_key
                 FROM {table}
                 WHERE record_lsn IS NULL
                   AND load_date < $12::text::timestamptz
                   AND {restriction}
             ) AS unplaced
             CROSS JOIN LATERAL (
                 SELECT {read}
                 FROM {table} AS version
                 WHERE version.hash_key = unplaced.hash_key
                 ORDER BY load_date DESC
                 LIMIT 1
             ) AS newest
             WHERE newest.load_date < $12::text::timestamptz
         ) AS last
         WHERE NOT last.is_deleted
           AND (last.source_epoch < $11 OR GREATEST(last.source_lsn, last.record_lsn) < $5 IS NOT FALSE)",
        table = status.qualified,
        satellite = satellite_columns(status),
        own = STATUS_COLUMNS.join(", "),
        read = format!("{READ}{read_carried}"),
    )
}
