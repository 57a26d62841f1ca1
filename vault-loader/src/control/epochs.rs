//! Epochs of tables: which there are, and how another one begins.
//!
//! In: the source's tables. Out: their epochs. Beginning an epoch changes the epoch of the table's offsets in the same
//! transaction, so that every loader that knows the older epoch is fenced and reads the epochs anew.

use std::collections::HashMap;

use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::lock_topic;
use crate::epoch::{EpochNumber, Epochs, StoredEpoch};

/// Reads the epochs of these source tables.
pub(crate) async fn read_epochs(
    client: &impl GenericClient,
    record_sources: &[&str],
) -> Result<HashMap<String, Epochs>, Error> {
    let rows = client
        .query(
            "SELECT e.record_source, e.epoch, e.is_new_topic, e.is_source_back,
                    COALESCE(array_agg(s.partition) FILTER (WHERE s.partition IS NOT NULL), '{}'),
                    COALESCE(array_agg(s.first_offset) FILTER (WHERE s.partition IS NOT NULL), '{}')
             FROM dwh_control.epochs AS e
             LEFT JOIN dwh_control.epoch_starts AS s USING (record_source, epoch)
             WHERE e.record_source = ANY ($1)
             GROUP BY e.record_source, e.epoch
             ORDER BY e.record_source, e.epoch",
            &[&record_sources],
        )
        .await?;
    let mut stored: HashMap<String, Vec<StoredEpoch>> = HashMap::new();
    for row in rows {
        let partitions: Vec<i32> = row.get(4);
        let offsets: Vec<i64> = row.get(5);
        stored.entry(row.get(0)).or_default().push(StoredEpoch {
            number: row.get(1),
            is_new_topic: row.get(2),
            is_source_back: row.get(3),
            starts: partitions.into_iter().zip(offsets).collect(),
        });
    }
    Ok(stored.into_iter().map(|(source, epochs)| (source, Epochs::new(epochs))).collect())
}

/// An epoch that is to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEpoch<'e> {
    pub(crate) record_source: &'e str,
    pub(crate) topic: &'e str,
    /// whether the topic is another one than before; it is then read from its beginning
    pub(crate) is_new_topic: bool,
    /// whether the source went back
    pub(crate) is_source_back: bool,
    pub(crate) reason: &'e str,
}

/// Begins an epoch. Returns its number. The caller holds the topic's lock alone.
pub(crate) async fn start_epoch(
    transaction: &Transaction<'_>,
    new: NewEpoch<'_>,
) -> Result<EpochNumber, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO dwh_control.epochs (record_source, epoch, topic, is_new_topic, is_source_back, reason)
             SELECT $1, COALESCE(max(epoch), 0) + 1, $2, $3, $4, $5
             FROM dwh_control.epochs
             WHERE record_source = $1
             RETURNING epoch",
            &[&new.record_source, &new.topic, &new.is_new_topic, &new.is_source_back, &new.reason],
        )
        .await?;
    let epoch: EpochNumber = row.get(0);
    transaction
        .execute(
            "UPDATE dwh_control.offsets
             SET epoch = $2,
                 record_source = $3,
                 next_offset = CASE WHEN $4 THEN 0 ELSE next_offset END,
                 last_digest = CASE WHEN $4 THEN NULL ELSE last_digest END
             WHERE topic = $1",
            &[&new.topic, &epoch, &new.record_source, &new.is_new_topic],
        )
        .await?;
    if new.is_new_topic {
        // Records of the epochs before are not in the topic any more.
        let sql = "DELETE FROM dwh_control.epoch_starts WHERE record_source = $1";
        transaction.execute(sql, &[&new.record_source]).await?;
        // Epochs before have no first offsets now, so nothing of the topic belongs to them, and this one begins at 0.
    }
    transaction
        .execute(
            "INSERT INTO dwh_control.epoch_starts (record_source, epoch, partition, first_offset)
             SELECT $1, $2, partition, next_offset
             FROM dwh_control.offsets
             WHERE topic = $3",
            &[&new.record_source, &epoch, &new.topic],
        )
        .await?;
    Ok(epoch)
}

/// The topic from which this source table was loaded last, unless it is this one. `None` when nothing of the table was
/// ever loaded.
async fn topic_before<C: GenericClient>(
    client: &C,
    record_source: &str,
    topic: &str,
) -> Result<Option<String>, Error> {
    let row = client
        .query_opt(
            "SELECT topic
             FROM (
                 SELECT topic, epoch FROM dwh_control.epochs WHERE record_source = $1
                 UNION ALL
                 SELECT topic, 0 FROM dwh_control.offsets WHERE record_source = $1 AND next_offset > 0
             ) AS known
             ORDER BY epoch DESC, topic
             LIMIT 1",
            &[&record_source],
        )
        .await?;
    Ok(row.map(|row| row.get(0)).filter(|before| before != topic))
}

/// Begins an epoch when this source table was loaded from another topic before. Returns that topic.
pub(crate) async fn follow_topic(
    client: &mut Client,
    record_source: &str,
    topic: &str,
) -> Result<Option<String>, Error> {
    if topic_before(client, record_source, topic).await?.is_none() {
        return Ok(None);
    }
    let transaction = client.transaction().await?;
    lock_topic(&transaction, topic).await?;
    // Another loader may have done it meanwhile.
    let before = topic_before(&transaction, record_source, topic).await?;
    if before.is_some() {
        let reason = "the table has another topic than before";
        let new =
            NewEpoch { record_source, topic, is_new_topic: true, is_source_back: false, reason };
        start_epoch(&transaction, new).await?;
    }
    transaction.commit().await?;
    Ok(before)
}

/// An epoch, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EpochLine {
    /// the source's table
    pub record_source: String,
    /// number of the epoch
    pub epoch: EpochNumber,
    /// topic of the table in this epoch
    pub topic: String,
    /// what began anew: `topic`, `source`, or both
    pub kind: String,
    /// why
    pub reason: String,
    /// role that started it
    pub started_by: String,
    /// when
    pub started_at: String,
}

/// All epochs of these source tables.
pub(crate) async fn list_epochs(
    client: &Client,
    record_sources: &[&str],
) -> Result<Vec<EpochLine>, Error> {
    let rows = client
        .query(
            "SELECT record_source, epoch, topic,
                    concat_ws(', ', CASE WHEN is_new_topic THEN 'topic' END, CASE WHEN is_source_back THEN 'source' END),
                    reason, started_by, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             FROM dwh_control.epochs
             WHERE record_source = ANY ($1)
             ORDER BY record_source, epoch",
            &[&record_sources],
        )
        .await?;
    let line = |row: &tokio_postgres::Row| EpochLine {
        record_source: row.get(0),
        epoch: row.get(1),
        topic: row.get(2),
        kind: row.get(3),
        reason: row.get(4),
        started_by: row.get(5),
        started_at: row.get(6),
    };
    Ok(rows.iter().map(line).collect())
}
