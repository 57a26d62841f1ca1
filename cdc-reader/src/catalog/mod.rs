//! What the reader asks the source's catalog: server settings, publication, slot, tables.
//!
//! The reader asks once at a start, and about a table again when the stream announces a new version of it. The
//! announcement decides which columns there are. The catalog adds what pgoutput does not say: NOT NULL, defaults, and
//! the order of the primary key.

mod cells;
mod types;

use shared::position::Lsn;

pub use types::resolve_types;

use cells::{SHAPE, parsed, text};

use crate::envelope::{ColumnInfo, TableInfo, TypeClass};
use crate::pgoutput::{Identity, Relation};
use crate::replication::{Client, ReplicationError, quote_identifier, quote_literal};

/// Settings that decide whether streaming is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `server_version_num`.
    pub version: u32,
    /// `wal_level`.
    pub wal_level: String,
    /// How many slots may exist, and how many do.
    pub slots: (u32, u32),
    /// How many WAL senders may run.
    pub wal_senders: u32,
    /// Whether our role may replicate.
    pub may_replicate: bool,
    /// `server_encoding`.
    pub encoding: String,
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Operations that it publishes: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// Its tables, as `(schema, table)`.
    pub tables: Vec<(String, String)>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Output plugin. `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// The process that streams from the slot.
    pub active_pid: Option<u32>,
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

/// A table in the catalog, as a candidate for capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// Columns, key.
    pub info: TableInfo,
    /// Identifies it within its database.
    pub oid: u32,
    /// `relreplident`: d, n, f, i.
    pub replica_identity: char,
    /// Whether our role may read it.
    pub readable: bool,
    /// Whether its key is a primary key, and not the unique index that stands in for one.
    pub has_primary_key: bool,
    /// Whether changes of the table are written to the WAL. A snapshot reads the rows of an unlogged table, and no
    /// change follows.
    pub is_logged: bool,
}

/// Since this version a publication can name whole schemas.
const SCHEMA_PUBLICATIONS_SINCE: u32 = 150_000;

/// Reads the server's settings.
///
/// # Errors
/// When the query fails.
pub fn server_settings(client: &mut Client) -> Result<ServerSettings, ReplicationError> {
    let rows = client.query(
        "SELECT current_setting('server_version_num'),
                current_setting('wal_level'),
                current_setting('max_replication_slots'),
                (SELECT count(*) FROM pg_catalog.pg_replication_slots),
                current_setting('max_wal_senders'),
                (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
                OR EXISTS (
                    SELECT FROM pg_catalog.pg_roles
                    WHERE rolname = 'rds_replication' AND pg_catalog.pg_has_role(current_user, oid, 'member')
                ),
                current_setting('server_encoding')",
    )?;
    let row = rows.first().ok_or(SHAPE)?;
    Ok(ServerSettings {
        version: parsed(row, 0)?,
        wal_level: text(row, 1)?.to_owned(),
        slots: (parsed(row, 2)?, parsed(row, 3)?),
        wal_senders: parsed(row, 4)?,
        may_replicate: text(row, 5)? == "t",
        encoding: text(row, 6)?.to_owned(),
    })
}

/// Reads a publication. `None` when no publication has that name.
///
/// The view `pg_publication_tables` would give the same answer. But it looks into every table, and so waits for each
/// table that somebody has locked exclusively.
///
/// # Errors
/// When the query fails.
pub fn publication(
    client: &mut Client,
    name: &str,
    version: u32,
) -> Result<Option<Publication>, ReplicationError> {
    let name = quote_literal(name);
    let rows = client.query(&format!(
        "SELECT pubinsert, pubupdate, pubdelete, pubtruncate
         FROM pg_catalog.pg_publication
         WHERE pubname = {name}"
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut operations = [false; 4];
    for (index, operation) in operations.iter_mut().enumerate() {
        *operation = text(row, index)? == "t";
    }
    let whole_schemas = if version >= SCHEMA_PUBLICATIONS_SINCE {
        "UNION
         SELECT c.oid FROM publication p
         JOIN pg_catalog.pg_publication_namespace s ON s.pnpubid = p.oid
         JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid AND c.relkind IN ('r', 'p')"
    } else {
        ""
    };
    // Partitions are published as themselves, or as the topmost table that is published.
    let tables = client
        .query(&format!(
            "WITH RECURSIVE publication AS (
                 SELECT oid, puballtables, pubviaroot FROM pg_catalog.pg_publication WHERE pubname = {name}
             ), named AS (
                 SELECT c.oid FROM publication p JOIN pg_catalog.pg_class c ON p.puballtables AND c.relkind IN ('r', 'p')
                 UNION
                 SELECT r.prrelid FROM publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
                 {whole_schemas}
             ), published AS (
                 SELECT oid FROM named
                 UNION
                 SELECT c.oid FROM published
                 JOIN pg_catalog.pg_inherits i ON i.inhparent = published.oid
                 JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition
             )
             SELECT n.nspname, c.relname
             FROM published
             JOIN pg_catalog.pg_class c USING (oid)
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN publication p
             WHERE pg_catalog.pg_relation_is_publishable(c.oid)
               AND CASE WHEN p.pubviaroot
                        THEN NOT c.relispartition OR NOT EXISTS (
                            SELECT FROM pg_catalog.pg_inherits i JOIN published parent ON parent.oid = i.inhparent
                            WHERE i.inhrelid = c.oid)
                        ELSE c.relkind = 'r' END
             ORDER BY 1, 2"
        ))?
        .iter()
        .map(|row| Ok((text(row, 0)?.to_owned(), text(row, 1)?.to_owned())))
        .collect::<Result<_, ReplicationError>>()?;
    Ok(Some(Publication { operations, tables }))
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
    let synchronized = if version >= 170_000 { "synced" } else { "false" };
    let rows = client.query(&format!(
        "SELECT plugin, database, active_pid, confirmed_flush_lsn, wal_status, {invalidation}, restart_lsn, {synchronized}
         FROM pg_catalog.pg_replication_slots
         WHERE slot_name = {}",
        quote_literal(name)
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let optional = |index: usize| row.get(index).cloned().flatten();
    Ok(Some(Slot {
        plugin: optional(0),
        database: optional(1),
        active_pid: optional(2).and_then(|pid| pid.parse().ok()),
        confirmed_flush: optional(3).and_then(|lsn| lsn.parse().ok()),
        wal_status: optional(4),
        invalidation: optional(5),
        restart_lsn: optional(6).and_then(|lsn| lsn.parse().ok()),
        is_synchronized: optional(7).as_deref() == Some("t"),
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

/// Locks tables against changes of their definition until the transaction ends.
///
/// # Errors
/// When a table no longer exists, or the role may not read it.
pub fn lock_tables(client: &mut Client, tables: &[CatalogTable]) -> Result<(), ReplicationError> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables
        .iter()
        .map(|t| format!("{}.{}", quote_identifier(&t.info.schema), quote_identifier(&t.info.name)))
        .collect();
    client.query(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))?;
    Ok(())
}

/// Tables that were rewritten after the transaction's snapshot: their rows are not visible in it.
///
/// # Errors
/// When the query fails.
pub fn rewritten_tables(client: &mut Client) -> Result<Vec<(String, String)>, ReplicationError> {
    client
        .query(
            "SELECT n.nspname, c.relname
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r'
               AND c.relfilenode <> 0
               AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)",
        )?
        .iter()
        .map(|row| Ok((text(row, 0)?.to_owned(), text(row, 1)?.to_owned())))
        .collect()
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

/// Reads every ordinary and partitioned table outside the system's schemas, without defaults.
///
/// The query takes no lock on any of them, so it does not wait for a table that somebody rewrites, captured or not.
///
/// # Errors
/// When the query fails.
pub fn tables(client: &mut Client) -> Result<Vec<CatalogTable>, ReplicationError> {
    read_tables(
        client,
        "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'",
    )
}

/// Reads one table by name, with its defaults. `None` when the table no longer exists.
///
/// # Errors
/// When a query fails.
pub fn table(
    client: &mut Client,
    schema: &str,
    name: &str,
) -> Result<Option<CatalogTable>, ReplicationError> {
    let filter =
        format!("n.nspname = {} AND c.relname = {}", quote_literal(schema), quote_literal(name));
    let Some(mut table) = read_tables(client, &filter)?.pop() else { return Ok(None) };
    read_defaults(client, std::slice::from_mut(&mut table))?;
    Ok(Some(table))
}

/// The query gives one row for each column, with the column's place in the key. The key is the primary key or what
/// Debezium takes instead: the first unique index of plain columns, where a clustered index comes before the others and
/// the rest are ordered by name. Columns that a primary key only includes are not part of the key.
fn read_tables(client: &mut Client, filter: &str) -> Result<Vec<CatalogTable>, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT n.nspname, c.relname, c.oid, c.relreplident,
                pg_catalog.has_table_privilege(c.oid, 'SELECT'), coalesce(k.indisprimary, false),
                a.attname, a.atttypid, a.atttypmod, a.attnotnull,
                coalesce(pg_catalog.array_position(k.columns, a.attnum), 0), c.relpersistence = 'p'
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN LATERAL (
             SELECT i.indisprimary,
                    -- A slice counts from 1, whatever the vector counts from.
                    (i.indkey::smallint[])[0:CASE WHEN i.indisprimary THEN i.indnkeyatts ELSE i.indnatts END - 1] AS columns
             FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = c.oid AND i.indisunique AND (i.indisprimary OR 0 <> ALL (i.indkey::smallint[]))
             ORDER BY i.indisprimary DESC, i.indisclustered DESC, x.relname
             LIMIT 1
         ) k ON true
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u') AND {filter}
         ORDER BY 1, 2, a.attnum"
    ))?;
    let mut tables: Vec<CatalogTable> = Vec::new();
    let mut key: Vec<(u32, usize)> = Vec::new();
    for row in &rows {
        let oid: u32 = parsed(row, 2)?;
        if tables.last().is_none_or(|table| table.oid != oid) {
            close_key(&mut tables, &mut key);
            tables.push(CatalogTable {
                info: TableInfo {
                    schema: text(row, 0)?.to_owned(),
                    name: text(row, 1)?.to_owned(),
                    columns: Vec::new(),
                    key: Vec::new(),
                },
                oid,
                replica_identity: text(row, 3)?.chars().next().unwrap_or('d'),
                readable: text(row, 4)? == "t",
                has_primary_key: text(row, 5)? == "t",
                is_logged: text(row, 11)? == "t",
            });
        }
        let Some(table) = tables.last_mut() else { return Err(SHAPE) };
        let position: u32 = parsed(row, 10)?;
        if position > 0 {
            key.push((position, table.info.columns.len()));
        }
        table.info.columns.push(ColumnInfo {
            name: text(row, 6)?.to_owned(),
            type_oid: parsed(row, 7)?,
            type_modifier: parsed(row, 8)?,
            type_class: TypeClass::BuiltIn,
            is_domain: false,
            not_null: text(row, 9)? == "t",
            default: None,
        });
    }
    close_key(&mut tables, &mut key);
    Ok(tables)
}

/// Fills in the columns' defaults.
///
/// The server looks into a table to print its defaults, so this waits for a table that somebody has locked exclusively.
///
/// # Errors
/// When the query fails.
pub fn read_defaults(
    client: &mut Client,
    tables: &mut [CatalogTable],
) -> Result<(), ReplicationError> {
    if tables.is_empty() {
        return Ok(());
    }
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    let rows = client.query(&format!(
        "SELECT a.attrelid, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
         FROM pg_catalog.pg_attrdef d
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
         WHERE d.adrelid IN ({})",
        oids.join(", ")
    ))?;
    for row in &rows {
        let (oid, name): (u32, &str) = (parsed(row, 0)?, text(row, 1)?);
        let column = tables
            .iter_mut()
            .find(|table| table.oid == oid)
            .and_then(|table| table.info.columns.iter_mut().find(|column| column.name == name));
        // A column that is missing here was made between the two queries.
        if let Some(column) = column {
            column.default = row.get(2).cloned().flatten();
        }
    }
    Ok(())
}

/// The columns of the key collected so far become the key of the last table, in the key's order.
fn close_key(tables: &mut [CatalogTable], key: &mut Vec<(u32, usize)>) {
    key.sort_unstable();
    if let Some(table) = tables.last_mut() {
        table.info.key = key.iter().map(|(_, column)| *column).collect();
    }
    key.clear();
}

/// The table as the stream announces it, with what the catalog knows of columns of the same name.
///
/// The catalog may be ahead of the stream. A column that the catalog no longer knows counts as nullable and without a
/// default. Under the default identity the announced columns are the primary key of that moment, so the catalog's key
/// counts only as long as it consists of the same columns.
#[must_use]
pub fn merge(relation: &Relation<'_>, catalog: Option<&CatalogTable>) -> TableInfo {
    let known = |name: &str| {
        catalog.and_then(|table| table.info.columns.iter().find(|column| column.name == name))
    };
    let columns: Vec<ColumnInfo> = relation
        .columns
        .iter()
        .map(|column| ColumnInfo {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            type_class: TypeClass::BuiltIn,
            is_domain: false,
            not_null: known(column.name).is_some_and(|k| k.not_null),
            default: known(column.name).and_then(|k| k.default.clone()),
        })
        .collect();
    let position = |name: &str| columns.iter().position(|column| column.name == name);
    let from_catalog: Option<Vec<usize>> = catalog.and_then(|table| {
        table.info.key.iter().map(|&index| position(&table.info.columns[index].name)).collect()
    });
    let announced = || -> Vec<usize> {
        relation
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.in_identity)
            .map(|(index, _)| index)
            .collect()
    };
    // Under the default identity the announced columns are the primary key of that moment; the catalog only knows its
    // order. Without a primary key nothing is announced.
    let same_columns = |key: &Vec<usize>| {
        let mut sorted = key.clone();
        sorted.sort_unstable();
        sorted == announced()
    };
    let has_primary_key = catalog.is_some_and(|table| table.has_primary_key);
    let key = match (from_catalog, relation.identity) {
        (Some(key), Identity::Default) if has_primary_key && same_columns(&key) => key,
        (Some(key), Identity::Default) if !has_primary_key && announced().is_empty() => key,
        (Some(key), Identity::Full | Identity::Nothing | Identity::Index) => key,
        (_, Identity::Default | Identity::Index) => announced(),
        (None, Identity::Full | Identity::Nothing) => Vec::new(),
    };
    TableInfo {
        schema: if relation.namespace.is_empty() { "pg_catalog" } else { relation.namespace }
            .to_owned(),
        name: relation.name.to_owned(),
        columns,
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::RelationColumn;

    fn relation(identity: Identity) -> Relation<'static> {
        let column = |name, in_identity| RelationColumn {
            in_identity,
            name,
            type_oid: 23,
            type_modifier: -1,
        };
        Relation {
            oid: 1,
            namespace: "public",
            name: "t",
            identity,
            columns: vec![column("b", true), column("a", true), column("c", false)],
        }
    }

    fn catalog(names: &[&str], key: &[usize]) -> CatalogTable {
        let columns = names
            .iter()
            .map(|name| ColumnInfo {
                name: (*name).to_owned(),
                type_oid: 23,
                type_modifier: -1,
                type_class: TypeClass::BuiltIn,
                is_domain: false,
                not_null: true,
                default: None,
            })
            .collect();
        let info =
            TableInfo { schema: "public".into(), name: "t".into(), columns, key: key.to_vec() };
        CatalogTable {
            info,
            oid: 1,
            replica_identity: 'd',
            readable: true,
            has_primary_key: true,
            is_logged: true,
        }
    }

    #[test]
    fn the_keys_order_is_the_catalogs() {
        let merged = merge(&relation(Identity::Full), Some(&catalog(&["a", "b", "c"], &[0, 1])));
        assert_eq!(merged.key, [1, 0]);
        assert!(merged.columns[0].not_null);
    }

    #[test]
    fn a_key_that_changed_since_is_taken_from_the_stream() {
        let merged = merge(&relation(Identity::Default), Some(&catalog(&["a", "new"], &[1])));
        assert_eq!(merged.key, [0, 1]);
        assert!(!merged.columns[0].not_null);
        assert!(merge(&relation(Identity::Full), None).key.is_empty());
    }

    #[test]
    fn a_unique_index_stands_in_for_a_primary_key_that_is_not_there() {
        let mut table = catalog(&["a", "b", "c"], &[1]);
        table.has_primary_key = false;
        let mut announced = relation(Identity::Default);
        assert_eq!(merge(&announced, Some(&table)).key, [0, 1], "there was one at that moment");
        announced.columns.iter_mut().for_each(|column| column.in_identity = false);
        assert_eq!(merge(&announced, Some(&table)).key, [0]);
    }
}
