//! Which snapshots the tables of the business vault hold, up to when everything is loaded, and what was loaded late.
//!
//! A snapshot's row is written and removed together with the table's rows of that snapshot. A load of events that were
//! published long ago notes itself in its own transaction. So a build either sees the versions of that load or finds
//! its note later, and then marks the snapshots that the load has made stale.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use tokio_postgres::{Error, GenericClient, Transaction};

use super::instant;

/// A table that migrate has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotTable {
    /// the source whose model describes it
    pub(crate) source: String,
    /// what its definition is known by
    pub(crate) digest: Vec<u8>,
}

/// A snapshot that a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltSnapshot {
    pub(crate) table: String,
    pub(crate) date: DateTime<Utc>,
    /// the same by the clock of the calendar's time zone
    pub(crate) calendar_time: NaiveDateTime,
    pub(crate) derived_from: Option<DateTime<Utc>>,
    /// what the way of filling it is known by
    pub(crate) digest: Vec<u8>,
    /// none for a bridge
    pub(crate) versions_read: Option<i64>,
    pub(crate) rows_written: i64,
    /// events that waited in the quarantine
    pub(crate) waiting_events: i64,
    pub(crate) is_stale: bool,
    pub(crate) built_at: DateTime<Utc>,
}

/// Whether a table of the control schema exists: a warehouse may be older than this build.
async fn exists(client: &impl GenericClient, table: &str) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                              JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                              WHERE n.nspname = 'dwh_control' AND c.relname = $1)";
    Ok(client.query_one(sql, &[&table]).await?.get(0))
}

/// The tables that migrations made for snapshots.
pub(crate) async fn snapshot_tables(
    client: &impl GenericClient,
) -> Result<BTreeMap<String, SnapshotTable>, Error> {
    if !exists(client, "snapshot_tables").await? {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT table_name, source, digest FROM dwh_control.snapshot_tables";
    let rows = client.query(sql, &[]).await?;
    let table =
        |row: &tokio_postgres::Row| SnapshotTable { source: row.get(1), digest: row.get(2) };
    Ok(rows.iter().map(|row| (row.get(0), table(row))).collect())
}

/// Notes that a migration made a table. It holds no snapshot yet.
pub(crate) async fn note_snapshot_table(
    transaction: &Transaction<'_>,
    table: &str,
    source: &str,
    digest: &[u8],
) -> Result<(), Error> {
    forget_snapshot_table(transaction, table).await?;
    let sql =
        "INSERT INTO dwh_control.snapshot_tables (table_name, source, digest) VALUES ($1, $2, $3)";
    transaction.execute(sql, &[&table, &source, &digest]).await.map(drop)
}

/// Forgets a table and its snapshots.
pub(crate) async fn forget_snapshot_table(
    transaction: &Transaction<'_>,
    table: &str,
) -> Result<(), Error> {
    let snapshots = "DELETE FROM dwh_control.snapshots WHERE table_name = $1";
    transaction.execute(snapshots, &[&table]).await?;
    let sql = "DELETE FROM dwh_control.snapshot_tables WHERE table_name = $1";
    transaction.execute(sql, &[&table]).await.map(drop)
}

/// Forgets the snapshots of all tables. Returns how many there were.
pub(crate) async fn forget_snapshots(transaction: &Transaction<'_>) -> Result<u64, Error> {
    transaction.execute("DELETE FROM dwh_control.snapshots", &[]).await
}

/// Whether the server knows a time zone by this name.
pub(crate) async fn knows_time_zone(
    client: &impl GenericClient,
    name: &str,
) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_timezone_names WHERE name = $1)";
    Ok(client.query_one(sql, &[&name]).await?.get(0))
}

/// The times at which the clocks of a time zone show these times. A time that clocks leave out is the one that they
/// show instead, and of a time that they show twice it is the second one.
pub(crate) async fn instants(
    client: &impl GenericClient,
    zone: &str,
    local: &[NaiveDateTime],
) -> Result<Vec<DateTime<Utc>>, Error> {
    let sql = "SELECT local AT TIME ZONE $1::text
               FROM unnest($2::timestamp[]) WITH ORDINALITY AS times (local, place)
               ORDER BY place";
    let rows = client.query(sql, &[&zone, &local]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What the clocks of a time zone show at a time.
pub(crate) async fn local_time(
    client: &impl GenericClient,
    zone: &str,
    time: DateTime<Utc>,
) -> Result<NaiveDateTime, Error> {
    let sql = "SELECT $2::timestamptz AT TIME ZONE $1::text";
    Ok(client.query_one(sql, &[&zone, &time]).await?.get(0))
}

/// The warehouse's clock.
pub(crate) async fn warehouse_now(client: &impl GenericClient) -> Result<DateTime<Utc>, Error> {
    Ok(client.query_one("SELECT clock_timestamp()", &[]).await?.get(0))
}

/// For each of these sources the time up to which everything that was published is loaded; none where nobody knows.
pub(crate) async fn published_up_to(
    client: &impl GenericClient,
    sources: &[&str],
) -> Result<BTreeMap<String, Option<DateTime<Utc>>>, Error> {
    if !exists(client, "watermark").await? {
        return Ok(sources.iter().map(|source| ((*source).to_owned(), None)).collect());
    }
    let sql = "SELECT asked.source, w.published
               FROM unnest($1::text[]) AS asked (source)
               LEFT JOIN dwh_control.sources AS s ON s.source = asked.source
               LEFT JOIN dwh_control.watermark AS w ON w.source_system_id = s.source_system_id";
    let rows = client.query(sql, &[&sources]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The snapshots that these tables hold, oldest first. One that lacks a late load is stale, marked or not.
pub(crate) async fn built_snapshots(
    client: &impl GenericClient,
    tables: &[&str],
) -> Result<Vec<BuiltSnapshot>, Error> {
    let sql = "SELECT s.table_name, s.snapshot_date, s.calendar_time, s.derived_from, s.digest, s.versions_read,
                      s.rows_written, s.waiting_events, s.built_at,
                      s.is_stale OR EXISTS (SELECT FROM dwh_control.late_loads AS l
                                            WHERE l.source = ANY (s.sources) AND l.load_date <= s.snapshot_date)
               FROM dwh_control.snapshots AS s
               WHERE s.table_name = ANY ($1::text[])
               ORDER BY s.snapshot_date, array_position($1::text[], s.table_name)";
    let rows = client.query(sql, &[&tables]).await?;
    let built = |row: &tokio_postgres::Row| BuiltSnapshot {
        table: row.get(0),
        date: row.get(1),
        calendar_time: row.get(2),
        derived_from: row.get(3),
        digest: row.get(4),
        versions_read: row.get(5),
        rows_written: row.get(6),
        waiting_events: row.get(7),
        built_at: row.get(8),
        is_stale: row.get(9),
    };
    Ok(rows.iter().map(built).collect())
}

/// Notes a snapshot that was built in this transaction from what these sources fed.
pub(crate) async fn note_snapshot(
    transaction: &Transaction<'_>,
    built: &BuiltSnapshot,
    sources: &[&str],
) -> Result<(), Error> {
    let sql = "INSERT INTO dwh_control.snapshots
                   (table_name, snapshot_date, calendar_time, derived_from, sources, digest, versions_read, rows_written,
                    waiting_events)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let BuiltSnapshot { table, date, calendar_time, derived_from, digest, versions_read, .. } =
        built;
    let (rows, waiting) = (&built.rows_written, &built.waiting_events);
    transaction
        .execute(
            sql,
            &[
                table,
                date,
                calendar_time,
                derived_from,
                &sources,
                digest,
                versions_read,
                rows,
                waiting,
            ],
        )
        .await
        .map(drop)
}

/// Forgets a snapshot whose rows are removed in this transaction.
pub(crate) async fn forget_snapshot(
    transaction: &Transaction<'_>,
    table: &str,
    date: DateTime<Utc>,
) -> Result<(), Error> {
    let sql = "DELETE FROM dwh_control.snapshots WHERE table_name = $1 AND snapshot_date = $2";
    transaction.execute(sql, &[&table, &date]).await.map(drop)
}

/// Events of these sources that wait in the quarantine.
pub(crate) async fn waiting_events(
    client: &impl GenericClient,
    record_sources: &[&str],
) -> Result<i64, Error> {
    let sql = "SELECT count(*) FROM dwh_control.quarantine WHERE record_source = ANY ($1::text[])";
    Ok(client.query_one(sql, &[&record_sources]).await?.get(0))
}

/// Marks snapshots of these tables as stale, from this one on. Returns how many there are.
pub(crate) async fn mark_stale(
    client: &impl GenericClient,
    tables: &[&str],
    from: DateTime<Utc>,
) -> Result<u64, Error> {
    let sql = "UPDATE dwh_control.snapshots SET is_stale = true
               WHERE table_name = ANY ($1::text[]) AND snapshot_date >= $2 AND NOT is_stale";
    client.execute(sql, &[&tables, &from]).await
}

/// Notes that this transaction loads events that were published at this time or later, and that a snapshot may lack.
pub(crate) async fn note_late_load(
    transaction: &Transaction<'_>,
    source: &str,
    from_us: i64,
) -> Result<(), Error> {
    let sql = "INSERT INTO dwh_control.late_loads (source, load_date)
               SELECT $1, $2 WHERE EXISTS (SELECT FROM dwh_control.snapshot_tables)";
    transaction.execute(sql, &[&source, &instant(from_us)]).await.map(drop)
}

/// Takes the notes about late loads, and marks the snapshots that lack them. Only one build may run at a time: it
/// would not be found here that another one is at work on such a snapshot.
pub(crate) async fn mark_late(client: &impl GenericClient) -> Result<(), Error> {
    let sql = "WITH taken AS (
                   DELETE FROM dwh_control.late_loads RETURNING source, load_date
               )
               UPDATE dwh_control.snapshots AS s
               SET is_stale = true
               WHERE NOT s.is_stale
                 AND EXISTS (SELECT FROM taken AS t WHERE t.source = ANY (s.sources) AND t.load_date <= s.snapshot_date)";
    client.execute(sql, &[]).await.map(drop)
}

/// The snapshots that the next build makes anew, because late loads have made them stale, oldest first.
pub(crate) async fn stale_snapshots(
    client: &impl GenericClient,
) -> Result<Vec<DateTime<Utc>>, Error> {
    if !exists(client, "late_loads").await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT DISTINCT s.snapshot_date
               FROM dwh_control.snapshots AS s
               WHERE s.is_stale
                  OR EXISTS (SELECT FROM dwh_control.late_loads AS l
                             WHERE l.source = ANY (s.sources) AND l.load_date <= s.snapshot_date)
               ORDER BY s.snapshot_date";
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
