//! Which keys are parked: keys of which an event waits in the quarantine.
//!
//! In: partitions. Out: for each its parking version and its parked keys, of one moment. A key is known by the SHA-256
//! of the record's key, because a key may be longer than an index takes, and because the hash stays when the key's
//! content is removed. Whoever takes events out of the quarantine moves the version in the same transaction, and so
//! locks the partition's row against loaders until it commits.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tokio_postgres::{Error, GenericClient, Row, Transaction};

use crate::epoch::EpochNumber;
use crate::model::Schemas;

/// SHA-256 of a record's key.
pub(crate) type KeyHash = [u8; 32];

/// The hash by which a record's key is known.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
}

/// A place in a partition: epoch and offset. Places of a later epoch come later, whatever their offsets.
pub(crate) type Place = (EpochNumber, i64);

/// A key that an event in the quarantine parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParkedKey {
    /// hash of the record's key
    pub(crate) key_hash: KeyHash,
    /// hash key of the hub or link whose history waits; none when the record's key cannot be read
    pub(crate) parent: Option<[u8; 32]>,
}

/// What the warehouse says about a partition's parking.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredParking {
    /// how often a command took events out of the quarantine
    pub(crate) version: i64,
    /// first offset that is not loaded
    pub(crate) next_offset: i64,
    /// the table's epoch in which that offset is read
    pub(crate) epoch: EpochNumber,
    /// the parked keys, each with the place of its first event in the quarantine
    pub(crate) keys: Vec<(ParkedKey, Place)>,
}

/// Reads the parking of partitions, by topic and partition; one that the warehouse does not know is left out.
pub(crate) async fn read_parking(
    client: &impl GenericClient,
    schemas: Schemas,
    partitions: &[(&str, i32)],
) -> Result<HashMap<(String, i32), StoredParking>, Error> {
    let topics: Vec<&str> = partitions.iter().map(|(topic, _)| *topic).collect();
    let numbers: Vec<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
    // One statement, so that versions and keys are of one moment.
    let control = schemas.control;
    let sql = format!(
            "SELECT o.topic, o.partition, o.parking_version, o.next_offset, waiting.key_hash, waiting.parent_hash_key,
                    waiting.first_epoch, waiting.first_offset, o.epoch
             FROM unnest($1::text[], $2::integer[]) AS asked (topic, partition)
             JOIN {control}.offsets AS o USING (topic, partition)
             LEFT JOIN LATERAL (
                 SELECT q.key_hash,
                        (array_agg(q.parent_hash_key) FILTER (WHERE q.parent_hash_key IS NOT NULL))[1]
                            AS parent_hash_key,
                        (array_agg(q.epoch ORDER BY q.epoch, q.kafka_offset))[1] AS first_epoch,
                        (array_agg(q.kafka_offset ORDER BY q.epoch, q.kafka_offset))[1] AS first_offset
                 FROM {control}.quarantine AS q
                 WHERE q.topic = o.topic
                   AND q.partition = o.partition
                   AND q.key_hash IS NOT NULL
                 GROUP BY q.key_hash
             ) AS waiting ON true"
    );
    let rows = client.query(&sql, &[&topics, &numbers]).await?;
    let mut found: HashMap<(String, i32), StoredParking> = HashMap::new();
    for row in &rows {
        let parking = found.entry((row.get(0), row.get(1))).or_default();
        parking.version = row.get(2);
        parking.next_offset = row.get(3);
        parking.epoch = row.get(8);
        if let Some(key_hash) = hash_at(row, 4) {
            let parked = ParkedKey { key_hash, parent: hash_at(row, 5) };
            parking.keys.push((parked, (row.get(6), row.get(7))));
        }
    }
    Ok(found)
}

/// A hash in a row. Nothing but this program writes the columns, and it writes 32 bytes.
pub(super) fn hash_at(row: &Row, column: usize) -> Option<[u8; 32]> {
    row.get::<_, Option<&[u8]>>(column)?.try_into().ok()
}

/// Moves a partition's parking version, and keeps loaders from moving its offset until the transaction ends.
pub(crate) async fn move_parking_version(
    transaction: &Transaction<'_>,
    topic: &str,
    partition: i32,
) -> Result<(), Error> {
    transaction
        .execute(
            "UPDATE dwh_control.offsets
             SET parking_version = parking_version + 1
             WHERE topic = $1
               AND partition = $2",
            &[&topic, &partition],
        )
        .await
        .map(drop)
}

/// The hash keys of a topic's parked keys, as far as they are known. A truncate leaves them to the retry.
pub(crate) async fn parked_parents(
    transaction: &Transaction<'_>,
    schemas: Schemas,
    topic: &str,
) -> Result<Vec<Vec<u8>>, Error> {
    let sql = format!(
        "SELECT DISTINCT parent_hash_key
         FROM {}.quarantine
         WHERE topic = $1
           AND key_hash IS NOT NULL
           AND parent_hash_key IS NOT NULL",
        schemas.control
    );
    let rows = transaction.query(&sql, &[&topic]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
