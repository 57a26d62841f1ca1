//! Events that could not be loaded, kept with their bytes and the reason.

use tokio_postgres::{Client, Error, Transaction};

use super::ControlStatements;
use super::parking::ParkedKey;
use crate::epoch::EpochNumber;
use crate::model::Schemas;

/// An event on its way into quarantine.
pub(crate) struct QuarantinedEvent<'e> {
    pub(crate) topic: &'e str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// epoch of the table to which the offset belongs
    pub(crate) epoch: EpochNumber,
    /// the source's table, as the vault names it
    pub(crate) record_source: &'e str,
    /// position of its change in the source's log, when it is known
    pub(crate) lsn: Option<i64>,
    /// transaction at the source, when it is known
    pub(crate) tx_id: Option<i64>,
    pub(crate) key: Option<&'e [u8]>,
    pub(crate) value: Option<&'e [u8]>,
    /// why it cannot be loaded
    pub(crate) reason: &'e str,
    /// the warehouse's SQLSTATE, when the warehouse refused it
    pub(crate) sqlstate: Option<&'e str>,
    /// what it parks; nothing when it has no key
    pub(crate) parked: Option<ParkedKey>,
    /// whether it cannot be loaded itself, and does not only wait behind another event
    pub(crate) at_fault: bool,
    /// headers that decoding reads
    pub(crate) headers: Vec<(&'static str, &'e [u8])>,
}

/// Puts an event into quarantine; one that is there already stays as it is.
pub(crate) async fn put_into_quarantine(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    event: &QuarantinedEvent<'_>,
) -> Result<(), Error> {
    let (names, values): (Vec<&str>, Vec<&[u8]>) = event.headers.iter().copied().unzip();
    let parent = event.parked.and_then(|parked| parked.parent);
    transaction
        .execute(
            &statements.quarantine,
            &[
                &event.topic,
                &event.partition,
                &event.offset,
                &event.lsn,
                &event.tx_id,
                &event.key,
                &event.value,
                &event.reason,
                &event.sqlstate,
                &event.parked.as_ref().map(|parked| parked.key_hash.as_slice()),
                &parent.as_ref().map(<[u8; 32]>::as_slice),
                &event.at_fault,
                &names,
                &values,
                &event.record_source,
                &event.epoch,
            ],
        )
        .await
        .map(drop)
}

/// Places of records in their topics, one list for each part.
#[derive(Debug, Default)]
pub(crate) struct RecordPlaces<'t> {
    pub(crate) topics: Vec<&'t str>,
    pub(crate) partitions: Vec<i32>,
    pub(crate) offsets: Vec<i64>,
    /// the epoch of each record
    pub(crate) epochs: Vec<i32>,
}

/// How many events of all topics the quarantine would hold once these records are in it; counted up to `held_max` of
/// those that it holds now. Events that are there already, in a replay, are not counted twice.
pub(crate) async fn count_quarantined(
    client: &Client,
    schemas: Schemas,
    all_topics: &[&str],
    added: &RecordPlaces<'_>,
    held_max: i64,
) -> Result<i64, Error> {
    let control = schemas.control;
    let sql = format!(
            "SELECT (SELECT count(*)
                     FROM (SELECT FROM {control}.quarantine WHERE topic = ANY ($1) LIMIT $5) AS held)
                    + (SELECT count(*)
                       FROM unnest($2::text[], $3::integer[], $4::bigint[], $6::integer[])
                           AS bad (topic, partition, kafka_offset, epoch)
                       WHERE NOT EXISTS (SELECT
                                         FROM {control}.quarantine AS held
                                         WHERE held.topic = bad.topic
                                           AND held.partition = bad.partition
                                           AND held.kafka_offset = bad.kafka_offset
                                           AND held.epoch = bad.epoch))"
    );
    let row = client
        .query_one(
            &sql,
            &[
                &all_topics,
                &added.topics,
                &added.partitions,
                &added.offsets,
                &held_max,
                &added.epochs,
            ],
        )
        .await?;
    Ok(row.get(0))
}
