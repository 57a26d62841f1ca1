//! Epochs of tables: which there are, and how another one begins.
//!
//! In: the source's tables. Out: their epochs. Beginning an epoch changes the epoch of the table's offsets in the same
//! transaction, so that every loader that knows the older epoch is fenced and reads the epochs anew.

use std::collections::HashMap;

use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::{forget_watermark, lock_topic};
use crate::epoch::{EpochNumber, Epochs, StoredEpoch};
use crate::model::Schemas;

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
        // The topic holds no record of the epochs before. Without their first offsets nothing belongs to them.
        let sql = "DELETE FROM dwh_control.epoch_starts WHERE record_source = $1";
        transaction.execute(sql, &[&new.record_source]).await?;
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

/// A source table and the topic that it has now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableTopic<'t> {
    pub(crate) record_source: &'t str,
    pub(crate) topic: &'t str,
}

/// Which of these tables were loaded from another topic last, each with that topic. One question answers for all of
/// them.
async fn topics_before<'t>(
    client: &impl GenericClient,
    tables: &[TableTopic<'t>],
) -> Result<Vec<(TableTopic<'t>, String)>, Error> {
    let sources: Vec<&str> = tables.iter().map(|table| table.record_source).collect();
    let rows = client
        .query(
            "SELECT DISTINCT ON (record_source) record_source, topic
             FROM (
                 SELECT record_source, topic, epoch FROM dwh_control.epochs
                 UNION ALL
                 SELECT record_source, topic, 0 FROM dwh_control.offsets WHERE next_offset > 0
             ) AS known
             WHERE record_source = ANY ($1)
             ORDER BY record_source, epoch DESC, topic",
            &[&sources],
        )
        .await?;
    let last: HashMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let other = |table: &TableTopic<'t>| {
        let before = *last.get(table.record_source)?;
        (before != table.topic).then(|| (*table, before.to_owned()))
    };
    Ok(tables.iter().filter_map(other).collect())
}

/// Begins an epoch of each of these tables that was loaded from another topic before. Returns these tables with the
/// topics before. The source is the one with this number.
pub(crate) async fn follow_topics<'t>(
    client: &mut Client,
    tables: &[TableTopic<'t>],
    system_id: i16,
) -> Result<Vec<(TableTopic<'t>, String)>, Error> {
    let mut followed = Vec::new();
    for (table, _) in topics_before(client, tables).await? {
        let TableTopic { record_source, topic } = table;
        let transaction = client.transaction().await?;
        lock_topic(&transaction, Schemas::LIVE, topic).await?;
        // Another loader may have done it meanwhile.
        let still = topics_before(&transaction, &[table]).await?;
        if !still.is_empty() {
            let reason = "the table has another topic than before";
            let is_source_back = false;
            let new = NewEpoch { record_source, topic, is_new_topic: true, is_source_back, reason };
            start_epoch(&transaction, new).await?;
            forget_watermark(&transaction, system_id).await?;
        }
        transaction.commit().await?;
        followed.extend(still);
    }
    Ok(followed)
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
