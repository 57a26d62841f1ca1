//! The control schema's statements that every attempt to load repeats, prepared once for each session.
//!
//! Each is carried out by the function of the same subject in the modules beside this one.

use tokio_postgres::{Client, Error, Statement};

use crate::model::Schemas;

/// Loads lock a table together, and a truncate locks it alone. The caller sorts the topics, so that loaders never wait
/// for each other in a circle.
fn share_topics(seed: i64) -> String {
    format!(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(topic, {seed}))
         FROM unnest($1::text[]) AS topics (topic)"
    )
}

/// Moves the offsets that stand where they are expected.
fn move_offsets(control: &str) -> String {
    format!(
        "
        UPDATE {control}.offsets AS o
        SET next_offset = n.next_offset,
            source_lsn = COALESCE(n.source_lsn, o.source_lsn),
            source_committed = COALESCE(n.source_committed, o.source_committed),
            last_published = COALESCE(n.last_published, o.last_published),
            last_digest = n.last_digest,
            record_source = n.record_source,
            loaded_at = clock_timestamp()
        FROM unnest(
            $1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[],
            $8::integer[], $9::bytea[], $10::text[], $11::bigint[]
        ) AS n (
            topic, partition, expected, next_offset, source_lsn, source_committed, last_published,
            epoch, last_digest, record_source, parking_version
        )
        WHERE o.topic = n.topic
          AND o.partition = n.partition
          AND o.next_offset = n.expected
          AND o.epoch = n.epoch
          AND o.parking_version = n.parking_version"
    )
}

/// Adds up events by minute. A minute replaces the same minute of an earlier day.
fn add_minutes(control: &str) -> String {
    format!(
        "
        INSERT INTO {control}.event_minutes AS known
            (topic, partition, minute_of_day, minute, events, publish_lag_max_us)
        SELECT topic, partition, minute_of_day, minute, events, publish_lag_max_us
        FROM unnest($1::text[], $2::integer[], $3::integer[], $4::timestamptz[], $5::bigint[], $6::bigint[])
            AS new (topic, partition, minute_of_day, minute, events, publish_lag_max_us)
        ON CONFLICT ON CONSTRAINT event_minutes_pkey DO UPDATE
        SET minute = excluded.minute,
            events = excluded.events + CASE WHEN known.minute = excluded.minute THEN known.events ELSE 0 END,
            publish_lag_max_us = GREATEST(
                excluded.publish_lag_max_us,
                CASE WHEN known.minute = excluded.minute THEN known.publish_lag_max_us END
            )
        WHERE known.minute <= excluded.minute"
    )
}

/// Of each topic: the number of its last truncate, and the truncates that can close what a batch opens. The batch's
/// records lie at or behind a log position, and belong to an epoch or a later one.
fn truncations(control: &str) -> String {
    format!(
        "
        SELECT asked.topic, last.number, close.source_lsn, close.load_date, close.applied_date, close.epoch,
               close.kafka_partition, close.kafka_offset
        FROM unnest($1::text[], $2::bigint[], $3::integer[]) AS asked (topic, lowest, epoch)
        CROSS JOIN LATERAL (
            SELECT number
            FROM {control}.truncations AS t
            WHERE t.topic = asked.topic
            ORDER BY number DESC
            LIMIT 1
        ) AS last
        LEFT JOIN LATERAL (
            SELECT t.source_lsn, t.load_date, t.applied_date, t.epoch, t.kafka_partition, t.kafka_offset
            FROM {control}.truncations AS t
            WHERE t.topic = asked.topic
              AND t.source_lsn > asked.lowest
            UNION ALL
            SELECT t.source_lsn, t.load_date, t.applied_date, t.epoch, t.kafka_partition, t.kafka_offset
            FROM {control}.truncations AS t
            WHERE t.topic = asked.topic
              AND t.source_lsn <= asked.lowest
              AND t.epoch > asked.epoch
        ) AS close ON true
        ORDER BY asked.topic, close.epoch, close.source_lsn"
    )
}

/// Puts an event into quarantine; one that is there already stays as it is.
fn quarantine(control: &str) -> String {
    format!(
        "
        INSERT INTO {control}.quarantine
            (topic, partition, kafka_offset, source_lsn, source_tx_id, key, value, reason, sqlstate, key_hash,
             parent_hash_key, at_fault, header_names, header_values, record_source, epoch)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        ON CONFLICT ON CONSTRAINT quarantine_place_key DO NOTHING"
    )
}

/// Prepared statements.
pub(crate) struct ControlStatements {
    pub(super) share_topics: Statement,
    pub(super) move_offsets: Statement,
    pub(super) add_minutes: Statement,
    pub(super) truncations: Statement,
    pub(super) quarantine: Statement,
}

impl ControlStatements {
    /// Prepares all of them on the tables of these schemas.
    pub(crate) async fn prepare(client: &Client, schemas: Schemas) -> Result<Self, Error> {
        let control = schemas.control;
        Ok(Self {
            share_topics: client.prepare(&share_topics(schemas.topic_lock_seed())).await?,
            move_offsets: client.prepare(&move_offsets(control)).await?,
            add_minutes: client.prepare(&add_minutes(control)).await?,
            truncations: client.prepare(&truncations(control)).await?,
            quarantine: client.prepare(&quarantine(control)).await?,
        })
    }
}
