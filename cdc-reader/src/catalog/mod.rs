//! What the reader asks the source's catalog: server settings, publication, slot, tables.
//!
//! The reader asks once at a start, and about a table again when the stream announces a new version of it. The
//! announcement decides which columns there are. The catalog adds what pgoutput does not say: NOT NULL, defaults, and
//! the order of the primary key.

mod cells;
mod merge;
mod publication;
mod survey;
mod tables;
mod types;

use shared::position::Lsn;

pub use merge::{keep_published, merge};
pub use publication::{
    NamedTable, Publication, PublishedPart, partition_parents, publication, published_parts,
};
pub use survey::{
    Access, ColumnDetail, Relation, Role, Room, access, column_details, relations, role, room,
    schema_names,
};
pub use tables::{
    CatalogTable, TableHead, lock_room, lock_tables, rewritten_below, rewritten_tables,
    rows_estimate, table, table_names, tables,
};
pub use types::resolve_types;

use cells::{SHAPE, parsed, text};

use crate::replication::{Client, ReplicationError, quote_literal};

/// Settings that decide whether streaming is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `server_version_num`.
    pub version: u32,
    /// `wal_level`.
    pub wal_level: String,
    /// How many slots may exist.
    pub slots: u32,
    /// How many WAL senders may run.
    pub wal_senders: u32,
    /// Whether the role may replicate.
    pub may_replicate: bool,
    /// `server_encoding`.
    pub encoding: String,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Output plugin. `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// The server keeps the WAL from here on.
    pub restart_lsn: Option<Lsn>,
    /// The confirmed flush LSN.
    pub confirmed_flush: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why the server has invalidated the slot, as PostgreSQL 16 and later say.
    pub invalidation: Option<String>,
    /// Whether a standby copied the slot from its primary. It can be read after a promotion.
    pub is_synchronized: bool,
    /// Whether standbys may copy it.
    pub is_failover: bool,
    /// Whether it hands out prepared transactions before they are committed.
    pub two_phase: bool,
}

impl Slot {
    /// The reason why nothing can be read from this slot any more.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        match (&self.invalidation, self.wal_status.as_deref()) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Some("lost")) => Some("wal_removed".to_owned()),
            _ => None,
        }
    }
}

/// Since this version a slot can hand out prepared transactions.
const TWO_PHASE_SINCE: u32 = 140_000;

/// Reads the server's settings. `role` is the role that captures; none stands for the role of the connection.
///
/// # Errors
/// When the query fails.
pub fn server_settings(
    client: &mut Client,
    role: Option<&str>,
) -> Result<ServerSettings, ReplicationError> {
    let role = role.map_or_else(|| "current_user".to_owned(), quote_literal);
    let rows = client.query(&format!(
        "SELECT current_setting('server_version_num'),
                current_setting('wal_level'),
                current_setting('max_replication_slots'),
                current_setting('max_wal_senders'),
                EXISTS (
                    SELECT FROM pg_catalog.pg_roles r
                    WHERE r.rolname = {role}
                      AND (r.rolreplication OR r.rolsuper OR EXISTS (
                          SELECT FROM pg_catalog.pg_roles g
                          WHERE g.rolname = 'rds_replication' AND pg_catalog.pg_has_role(r.oid, g.oid, 'member')))
                ),
                current_setting('server_encoding')"
    ))?;
    let row = rows.first().ok_or(SHAPE)?;
    Ok(ServerSettings {
        version: parsed(row, 0)?,
        wal_level: text(row, 1)?.to_owned(),
        slots: parsed(row, 2)?,
        wal_senders: parsed(row, 3)?,
        may_replicate: text(row, 4)? == "t",
        encoding: text(row, 5)?.to_owned(),
    })
}

/// Reads a slot. `None` when no slot has that name.
///
/// # Errors
/// When the query fails.
pub fn slot(
    client: &mut Client,
    name: &str,
    version: u32,
) -> Result<Option<Slot>, ReplicationError> {
    let invalidation = match version {
        170_000.. => "invalidation_reason",
        160_000.. => "CASE WHEN conflicting THEN 'rows_removed' END",
        _ => "NULL::text",
    };
    let [synchronized, failover] =
        if version >= 170_000 { ["synced", "failover"] } else { ["false"; 2] };
    let two_phase = if version >= TWO_PHASE_SINCE { "two_phase" } else { "false" };
    let rows = client.query(&format!(
        "SELECT plugin, database, confirmed_flush_lsn, wal_status, {invalidation}, restart_lsn, {synchronized},
                {two_phase}, {failover}
         FROM pg_catalog.pg_replication_slots
         WHERE slot_name = {}",
        quote_literal(name)
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let optional = |index: usize| row.get(index).cloned().flatten();
    Ok(Some(Slot {
        plugin: optional(0),
        database: optional(1),
        confirmed_flush: optional(2).and_then(|lsn| lsn.parse().ok()),
        wal_status: optional(3),
        invalidation: optional(4),
        restart_lsn: optional(5).and_then(|lsn| lsn.parse().ok()),
        is_synchronized: optional(6).as_deref() == Some("t"),
        two_phase: optional(7).as_deref() == Some("t"),
        is_failover: optional(8).as_deref() == Some("t"),
    }))
}

/// The server's version number, and whether the server is in recovery.
///
/// # Errors
/// When the query fails.
pub fn version_and_recovery(client: &mut Client) -> Result<(u32, bool), ReplicationError> {
    let rows = client
        .query("SELECT current_setting('server_version_num'), pg_catalog.pg_is_in_recovery()")?;
    let row = rows.first().ok_or(SHAPE)?;
    Ok((parsed(row, 0)?, text(row, 1)? == "t"))
}

/// The end of the server's WAL. On a standby it is the end of what the standby has replayed.
///
/// # Errors
/// When the query fails.
pub fn wal_end(client: &mut Client) -> Result<Lsn, ReplicationError> {
    let rows = client.query(
        "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                     ELSE pg_catalog.pg_current_wal_insert_lsn() END",
    )?;
    parsed(rows.first().ok_or(SHAPE)?, 0)
}

/// WAL that concerns a slot, in bytes. A part is none when the server does not say it, as for a slot that it has
/// invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotWal {
    /// From `restart_lsn` to the end of the WAL: what the server has to keep on its disk for the slot.
    pub retained: Option<u64>,
    /// From `confirmed_flush_lsn` to the end of the WAL: what the reader has not confirmed.
    pub unconfirmed: Option<u64>,
}

/// How much WAL a slot concerns now; none when there is no such slot.
///
/// # Errors
/// When the query fails.
pub fn slot_wal(client: &mut Client, name: &str) -> Result<Option<SlotWal>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT pg_catalog.pg_wal_lsn_diff(wal.current, restart_lsn)::bigint,
                pg_catalog.pg_wal_lsn_diff(wal.current, confirmed_flush_lsn)::bigint
         FROM pg_catalog.pg_replication_slots,
              (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                           ELSE pg_catalog.pg_current_wal_lsn() END AS current) AS wal
         WHERE slot_name = {}",
        quote_literal(name)
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let bytes = |index: usize| {
        let bytes: i64 = row.get(index)?.as_deref()?.parse().ok()?;
        // A confirmed position may lie beyond what a standby has replayed.
        Some(u64::try_from(bytes).unwrap_or(0))
    };
    Ok(Some(SlotWal { retained: bytes(0), unconfirmed: bytes(1) }))
}

/// Whether this walsender sends the slot's stream and works on something. A walsender that waits for its socket or for
/// new WAL reads what the client sends, so it would answer the client.
///
/// # Errors
/// When the query fails.
pub fn is_walsender_at_work(
    client: &mut Client,
    slot: &str,
    pid: i32,
) -> Result<bool, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT 1
         FROM pg_catalog.pg_replication_slots AS slot
         JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = slot.active_pid
         WHERE slot.slot_name = {} AND slot.active_pid = {pid}
           AND coalesce(activity.wait_event_type, '') NOT IN ('Activity', 'Client')",
        quote_literal(slot)
    ))?;
    Ok(!rows.is_empty())
}
