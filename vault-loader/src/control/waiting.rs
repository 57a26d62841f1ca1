//! What commands ask of the quarantine: which keys wait, their events, and what becomes of them.
//!
//! In: a selection of events. Out: the waiting keys and events, and statements that remove, drop or redact them. Who
//! removes an event moves the partition's parking version first (`parking.rs`), in the same transaction.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, GenericClient, Row, Transaction};

use super::parking::{KeyHash, hash_at};
use crate::epoch::EpochNumber;

/// Which keys a command is about; what is not given, is not asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Kafka topic
    pub(crate) topic: Option<String>,
    /// hash of the record's key
    pub(crate) key: Option<KeyHash>,
    /// number of one of the key's events in the quarantine
    pub(crate) id: Option<i64>,
}

/// A key that waits, or one event without a key.
#[derive(Debug, Clone)]
pub(crate) struct WaitingKey {
    /// number of its first event in the quarantine
    pub(crate) id: i64,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// none for an event that parks nothing
    pub(crate) key_hash: Option<KeyHash>,
    pub(crate) event_count: i64,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    /// when its first event came
    pub(crate) since: DateTime<Utc>,
    /// why it waits: the reason of its first event that is at fault, or else of the first one
    pub(crate) reason: String,
    /// whether the content of an event was removed, so that the key cannot be retried
    pub(crate) is_redacted: bool,
}

/// An event in the quarantine.
#[derive(Debug, Clone)]
pub(crate) struct WaitingEvent {
    pub(crate) id: i64,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) epoch: EpochNumber,
    pub(crate) lsn: Option<i64>,
    pub(crate) tx_id: Option<i64>,
    pub(crate) key_hash: Option<KeyHash>,
    pub(crate) parent: Option<[u8; 32]>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) at_fault: bool,
    pub(crate) reason: String,
    pub(crate) sqlstate: Option<String>,
    pub(crate) quarantined_at: DateTime<Utc>,
    pub(crate) retried_at: Option<DateTime<Utc>>,
    pub(crate) redacted_at: Option<DateTime<Utc>>,
}

const EVENT_COLUMNS: &str =
    "q.id, q.topic, q.partition, q.kafka_offset, q.source_lsn, q.source_tx_id, q.key_hash, q.parent_hash_key, q.key,
     q.value, q.header_names, q.header_values, q.at_fault, q.reason, q.sqlstate, q.quarantined_at, q.retried_at,
     q.redacted_at, q.epoch";

fn event(row: &Row) -> WaitingEvent {
    let names: Vec<String> = row.get(10);
    WaitingEvent {
        id: row.get(0),
        topic: row.get(1),
        partition: row.get(2),
        offset: row.get(3),
        lsn: row.get(4),
        tx_id: row.get(5),
        key_hash: hash_at(row, 6),
        parent: hash_at(row, 7),
        key: row.get(8),
        value: row.get(9),
        headers: names.into_iter().zip(row.get::<_, Vec<Vec<u8>>>(11)).collect(),
        at_fault: row.get(12),
        reason: row.get(13),
        sqlstate: row.get(14),
        quarantined_at: row.get(15),
        retried_at: row.get(16),
        redacted_at: row.get(17),
        epoch: row.get(18),
    }
}

/// The keys that wait, in the order in which their first events came.
pub(crate) async fn waiting_keys(
    client: &Client,
    topics: &[&str],
    selection: &Selection,
) -> Result<Vec<WaitingKey>, Error> {
    // An event without a key is a group of its own.
    let rows = client
        .query(
            "SELECT (array_agg(q.id ORDER BY q.epoch, q.kafka_offset))[1] AS id, q.topic, q.partition, q.key_hash, count(*),
                    (array_agg(q.kafka_offset ORDER BY q.epoch, q.kafka_offset))[1],
                    (array_agg(q.kafka_offset ORDER BY q.epoch DESC, q.kafka_offset DESC))[1], min(q.quarantined_at),
                    (array_agg(q.reason ORDER BY q.at_fault DESC, q.epoch, q.kafka_offset))[1],
                    bool_or(q.redacted_at IS NOT NULL)
             FROM dwh_control.quarantine AS q
             WHERE q.topic = ANY ($1)
               AND ($2::text IS NULL OR q.topic = $2)
               AND ($3::bytea IS NULL OR q.key_hash = $3)
             GROUP BY q.topic, q.partition, q.key_hash, CASE WHEN q.key_hash IS NULL THEN q.id END
             HAVING $4::bigint IS NULL OR bool_or(q.id = $4)
             ORDER BY 1",
            &[
                &topics,
                &selection.topic,
                &selection.key.as_ref().map(<[u8; 32]>::as_slice),
                &selection.id,
            ],
        )
        .await?;
    let key = |row: &Row| WaitingKey {
        id: row.get(0),
        topic: row.get(1),
        partition: row.get(2),
        key_hash: hash_at(row, 3),
        event_count: row.get(4),
        first_offset: row.get(5),
        last_offset: row.get(6),
        since: row.get(7),
        reason: row.get(8),
        is_redacted: row.get(9),
    };
    Ok(rows.iter().map(key).collect())
}

/// The waiting events of these keys of a partition, in the order of their offsets.
pub(crate) async fn events_of_keys(
    transaction: &Transaction<'_>,
    topic: &str,
    partition: i32,
    keys: &[KeyHash],
) -> Result<Vec<WaitingEvent>, Error> {
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
    let sql = format!(
        "SELECT {EVENT_COLUMNS}
         FROM dwh_control.quarantine AS q
         WHERE q.topic = $1
           AND q.partition = $2
           AND q.key_hash = ANY ($3)
         ORDER BY q.epoch, q.kafka_offset"
    );
    let rows = transaction.query(&sql, &[&topic, &partition, &keys]).await?;
    Ok(rows.iter().map(event).collect())
}

/// One event.
pub(crate) async fn event_by_id(
    client: &impl GenericClient,
    id: i64,
) -> Result<Option<WaitingEvent>, Error> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM dwh_control.quarantine AS q WHERE q.id = $1");
    Ok(client.query_opt(&sql, &[&id]).await?.as_ref().map(event))
}

/// Removes events that were loaded.
pub(crate) async fn remove_events(transaction: &Transaction<'_>, ids: &[i64]) -> Result<(), Error> {
    let sql = "DELETE FROM dwh_control.quarantine WHERE id = ANY ($1)";
    transaction.execute(sql, &[&ids]).await.map(drop)
}

/// Removes an event that will never be loaded, and keeps who said so and why. `false` when the event is gone already.
pub(crate) async fn drop_event(
    transaction: &Transaction<'_>,
    id: i64,
    why: &str,
) -> Result<bool, Error> {
    let sql = "
        WITH dropped AS (
            DELETE FROM dwh_control.quarantine
            WHERE id = $1
            RETURNING *
        )
        INSERT INTO dwh_control.dropped_events
            (id, topic, partition, kafka_offset, source_lsn, source_tx_id, parent_hash_key, reason, quarantined_at, why)
        SELECT id, topic, partition, kafka_offset, source_lsn, source_tx_id, parent_hash_key, reason, quarantined_at, $2
        FROM dropped";
    Ok(transaction.execute(sql, &[&id, &why]).await? > 0)
}

/// Notes why a retry of these events failed. The one that is at fault gets the reason; those before it could be loaded.
pub(crate) async fn note_failure(
    client: &Client,
    ids: &[i64],
    at_fault: i64,
    reason: &str,
    sqlstate: Option<&str>,
) -> Result<(), Error> {
    let sql = "
        WITH fault AS (
            SELECT epoch, kafka_offset
            FROM dwh_control.quarantine
            WHERE id = $2
        )
        UPDATE dwh_control.quarantine AS q
        SET retried_at = clock_timestamp(),
            at_fault = CASE WHEN (q.epoch, q.kafka_offset) < (fault.epoch, fault.kafka_offset) THEN false ELSE q.at_fault OR q.id = $2 END,
            reason = CASE
                WHEN q.id = $2 THEN $3
                WHEN (q.epoch, q.kafka_offset) < (fault.epoch, fault.kafka_offset) AND q.at_fault
                    THEN 'can be loaded now, and waits for the event at offset ' || fault.kafka_offset
                ELSE q.reason
            END,
            sqlstate = CASE
                WHEN q.id = $2 THEN $4
                WHEN (q.epoch, q.kafka_offset) < (fault.epoch, fault.kafka_offset) THEN NULL
                ELSE q.sqlstate
            END
        FROM fault
        WHERE q.id = ANY ($1)";
    client.execute(sql, &[&ids, &at_fault, &reason, &sqlstate]).await.map(drop)
}

/// Removes key, value and headers of events that came more than `days` ago. Returns how many events it was.
pub(crate) async fn redact_events(
    client: &Client,
    topics: &[&str],
    selection: &Selection,
    days: i32,
) -> Result<u64, Error> {
    let sql = "
        UPDATE dwh_control.quarantine
        SET key = NULL,
            value = NULL,
            header_names = '{}',
            header_values = '{}',
            redacted_at = clock_timestamp()
        WHERE topic = ANY ($1)
          AND ($2::text IS NULL OR topic = $2)
          AND ($3::bytea IS NULL OR key_hash = $3)
          AND ($4::bigint IS NULL OR id = $4)
          AND quarantined_at <= clock_timestamp() - make_interval(days => $5)
          AND redacted_at IS NULL";
    let key = selection.key.as_ref().map(<[u8; 32]>::as_slice);
    client.execute(sql, &[&topics, &selection.topic, &key, &selection.id, &days]).await
}

/// What the quarantine holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct QuarantineSize {
    pub(crate) event_count: i64,
    pub(crate) key_count: i64,
    /// events that came longer ago than their content may be kept, and still have it
    pub(crate) overdue_count: i64,
    /// seconds since the oldest event came; 0 when there is none
    pub(crate) oldest_s: f64,
}

/// Measures what the quarantine holds of these topics.
pub(crate) async fn measure_quarantine(
    client: &Client,
    topics: &[String],
    retention_days: i32,
) -> Result<QuarantineSize, Error> {
    let row = client
        .query_one(
            "SELECT count(*), count(DISTINCT (topic, partition, key_hash)) FILTER (WHERE key_hash IS NOT NULL),
                    count(*) FILTER (
                        WHERE redacted_at IS NULL
                          AND quarantined_at <= clock_timestamp() - make_interval(days => $2)
                    ),
                    coalesce(
                        greatest(extract(epoch FROM clock_timestamp() - min(quarantined_at)), 0), 0
                    )::double precision
             FROM dwh_control.quarantine
             WHERE topic = ANY ($1)",
            &[&topics, &retention_days],
        )
        .await?;
    Ok(QuarantineSize {
        event_count: row.get(0),
        key_count: row.get(1),
        overdue_count: row.get(2),
        oldest_s: row.get(3),
    })
}
