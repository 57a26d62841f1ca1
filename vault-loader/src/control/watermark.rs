//! The watermark: up to where every topic of a source is loaded.
//!
//! In: what a heartbeat claims, and the offsets that have to be loaded before it is true here. Out: the watermark has
//! moved, or the partitions that are behind. The write is one statement and never goes back. It runs under the locks
//! that loading takes: neither a change of the model nor a new epoch can come between the check and the write, and both
//! of them take the watermark away ([`forget_watermark`]).

use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::{Registered, instant};
use crate::epoch::EpochNumber;

/// Where a partition stands in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionStanding {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// the first offset that is not loaded
    pub(crate) next: i64,
    pub(crate) epoch: EpochNumber,
}

/// What has to be loaded of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// everything before this offset
    pub(crate) end: i64,
    /// the epoch in which the offset was noted; none when the warehouse did not know the partition
    pub(crate) epoch: Option<EpochNumber>,
}

/// What a heartbeat says: up to where every event stands in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// position in the source's log
    pub(crate) source_lsn: Option<i64>,
    /// timeline of that position
    pub(crate) timeline: Option<i32>,
    /// commit time there, microseconds since the epoch
    pub(crate) committed_us: Option<i64>,
    /// publish time, microseconds since the epoch; none when the heartbeat names only a position
    pub(crate) published_us: Option<i64>,
}

/// What became of an attempt to move the watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advance {
    /// The watermark says what the heartbeat says, or more.
    Moved,
    /// These partitions are behind.
    Waits(Vec<PartitionStanding>),
    /// A topic counts anew, so the noted offsets mean nothing.
    Anew,
    /// The source has another model than this loader, which may have further topics.
    OtherModel,
}

/// A source's watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredWatermark {
    pub(crate) source_system_id: i16,
    pub(crate) source_lsn: Option<i64>,
    pub(crate) source_committed: Option<DateTime<Utc>>,
    pub(crate) published: DateTime<Utc>,
}

/// Reads where every known partition of these topics stands.
pub(crate) async fn read_partition_standings(
    client: &impl GenericClient,
    topics: &[String],
) -> Result<Vec<PartitionStanding>, Error> {
    let sql = "SELECT topic, partition, next_offset, epoch FROM dwh_control.offsets WHERE topic = ANY ($1)";
    Ok(client.query(sql, &[&topics]).await?.iter().map(standing).collect())
}

fn standing(row: &tokio_postgres::Row) -> PartitionStanding {
    PartitionStanding {
        topic: row.get(0),
        partition: row.get(1),
        next: row.get(2),
        epoch: row.get(3),
    }
}

/// The watermarks of these sources that have one.
pub(crate) async fn read_watermarks(
    client: &impl GenericClient,
    system_ids: &[i16],
) -> Result<Vec<StoredWatermark>, Error> {
    let sql = "SELECT source_system_id, source_lsn, source_committed, published
               FROM dwh_control.watermark
               WHERE source_system_id = ANY ($1)
               ORDER BY source_system_id";
    let stored = |row: &tokio_postgres::Row| StoredWatermark {
        source_system_id: row.get(0),
        source_lsn: row.get(1),
        source_committed: row.get(2),
        published: row.get(3),
    };
    Ok(client.query(sql, &[&system_ids]).await?.iter().map(stored).collect())
}

/// Takes a source's watermark away. It comes back when everything is loaded.
pub(crate) async fn forget_watermark(
    transaction: &Transaction<'_>,
    system_id: i16,
) -> Result<(), Error> {
    let sql = "DELETE FROM dwh_control.watermark WHERE source_system_id = $1";
    transaction.execute(sql, &[&system_id]).await.map(drop)
}

/// Moves the watermark of a source when everything that is needed is loaded. The needed partitions are all partitions
/// of all topics of the model.
pub(crate) async fn advance_watermark(
    client: &mut Client,
    model: &Registered,
    system_id: i16,
    mark: Mark,
    needed: &[Needed],
) -> Result<Advance, Error> {
    let transaction = client.transaction().await?;
    share_locks(&transaction, &model.source, needed).await?;
    let sql = "SELECT max(id) FROM dwh_control.models WHERE source = $1";
    let last: Option<i64> = transaction.query_one(sql, &[&model.source]).await?.get(0);
    if last != Some(model.number) {
        return Ok(Advance::OtherModel);
    }
    match what_is_behind(&transaction, needed).await? {
        Some(behind) if behind.is_empty() => {}
        Some(behind) => return Ok(Advance::Waits(behind)),
        None => return Ok(Advance::Anew),
    }
    write(&transaction, system_id, mark).await?;
    transaction.commit().await?;
    Ok(Advance::Moved)
}

/// Takes the locks that a loader takes for a batch: the source's, so that the model stays, and those of the topics, so
/// that no epoch begins and no truncate is under way. The last lock lets loaders move the watermark one after the other.
async fn share_locks(
    transaction: &Transaction<'_>,
    source: &str,
    needed: &[Needed],
) -> Result<(), Error> {
    let sql = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 8))";
    transaction.execute(sql, &[&source]).await?;
    let mut topics: Vec<&str> = needed.iter().map(|needed| needed.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let sql = "SELECT pg_advisory_xact_lock_shared(hashtextextended(topic, 7))
               FROM unnest($1::text[]) AS topics (topic)";
    transaction.query(sql, &[&topics]).await?;
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 9))";
    transaction.execute(sql, &[&source]).await.map(drop)
}

/// The partitions that are behind. None when one of them counts anew.
async fn what_is_behind(
    transaction: &Transaction<'_>,
    needed: &[Needed],
) -> Result<Option<Vec<PartitionStanding>>, Error> {
    let topics: Vec<&str> = needed.iter().map(|needed| needed.topic.as_str()).collect();
    let partitions: Vec<i32> = needed.iter().map(|needed| needed.partition).collect();
    let ends: Vec<i64> = needed.iter().map(|needed| needed.end).collect();
    let epochs: Vec<Option<EpochNumber>> = needed.iter().map(|needed| needed.epoch).collect();
    let rows = transaction
        .query(
            "SELECT n.topic, n.partition, COALESCE(o.next_offset, 0), COALESCE(o.epoch, n.epoch, 0),
                    o.epoch <> n.epoch IS TRUE
             FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[])
                 AS n (topic, partition, needed_end, epoch)
             LEFT JOIN dwh_control.offsets AS o USING (topic, partition)
             WHERE COALESCE(o.next_offset, 0) < n.needed_end
                OR o.epoch <> n.epoch
             ORDER BY n.topic, n.partition",
            &[&topics, &partitions, &ends, &epochs],
        )
        .await?;
    if rows.iter().any(|row| row.get(4)) {
        return Ok(None);
    }
    Ok(Some(rows.iter().map(standing).collect()))
}

/// Moves the watermark forward. Position, timeline and commit time belong together.
///
/// A position is greater than another one only on the same timeline. On a later timeline it begins anew, and one of an
/// earlier timeline changes nothing. A heartbeat without a position takes the position away, because nobody would move
/// it on; an older one of these changes nothing.
const MOVE: &str = "
    WITH known AS (
        SELECT source_lsn, source_timeline, source_committed, published
        FROM dwh_control.watermark
        WHERE source_system_id = $1::smallint
    ),
    new AS (
        SELECT $2::bigint AS source_lsn, $3::integer AS source_timeline, $4::timestamptz AS source_committed,
               $5::timestamptz AS published
    ),
    judged AS (
        SELECT new.source_lsn, new.source_timeline,
               COALESCE(
                   new.source_committed,
                   CASE WHEN known.source_timeline = new.source_timeline THEN known.source_committed END
               ) AS source_committed,
               GREATEST(new.published, known.published) AS published,
               CASE
                   WHEN new.source_lsn IS NULL THEN known.published IS NULL OR new.published >= known.published
                   WHEN known.source_lsn IS NULL THEN true
                   ELSE (new.source_timeline, new.source_lsn) >= (known.source_timeline, known.source_lsn)
               END AS is_further,
               known.source_lsn AS known_lsn, known.source_timeline AS known_timeline,
               known.source_committed AS known_committed
        FROM new
        LEFT JOIN known ON true
    )
    INSERT INTO dwh_control.watermark
        (source_system_id, source_lsn, source_timeline, source_committed, published, updated_at)
    SELECT $1::smallint,
           CASE WHEN is_further THEN source_lsn ELSE known_lsn END,
           CASE WHEN is_further THEN source_timeline ELSE known_timeline END,
           CASE WHEN NOT is_further THEN known_committed WHEN source_lsn IS NOT NULL THEN source_committed END,
           published,
           clock_timestamp()
    FROM judged
    WHERE published IS NOT NULL
    ON CONFLICT ON CONSTRAINT watermark_pkey DO UPDATE
    SET source_lsn = excluded.source_lsn,
        source_timeline = excluded.source_timeline,
        source_committed = excluded.source_committed,
        published = excluded.published,
        updated_at = excluded.updated_at";

async fn write(transaction: &Transaction<'_>, system_id: i16, mark: Mark) -> Result<(), Error> {
    let committed = mark.committed_us.and_then(instant);
    let published = mark.published_us.and_then(instant);
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&system_id, &mark.source_lsn, &mark.timeline, &committed, &published];
    transaction.execute(MOVE, &parameters).await.map(drop)
}
