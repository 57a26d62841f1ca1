//! Tables as the catalog describes them, and locks on them.
//!
//! In: oids, or nothing for the names of all tables. Out: columns, defaults, keys and replica identities.

use std::collections::HashMap;

use super::cells::{SHAPE, parsed, text};
use super::publication::{NamedTable, named_tables};
use crate::envelope::{ColumnInfo, TableInfo, TypeClass};
use crate::replication::{Client, ReplicationError, Row, quote_identifier};

/// How many tables one query reads. The answer has a row for each column, and takes several times the memory of what is
/// kept of it.
const TABLES_PER_QUERY: usize = 200;

/// A table's name and what a statement has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableHead {
    /// The name.
    pub named: NamedTable,
    /// Whether it is partitioned: its rows are those of its partitions.
    pub is_partitioned: bool,
}

impl TableHead {
    /// The rows of the table itself, as they stand in a statement: without those of tables that inherit from it, and
    /// with those of its partitions.
    #[must_use]
    pub fn in_statement(&self) -> String {
        let only = if self.is_partitioned { "" } else { "ONLY " };
        let NamedTable { schema, name, .. } = &self.named;
        format!("{only}{}.{}", quote_identifier(schema), quote_identifier(name))
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
    /// Whether it is partitioned: its rows are those of its partitions.
    pub is_partitioned: bool,
    /// Whether PostgreSQL can say which row an update or a delete concerns. It refuses both on a published table
    /// otherwise. Of a partitioned table, what its partitions say counts.
    pub is_identified: bool,
    /// Whether the old row of a delete holds the key: false when the replica identity is an index without it.
    pub identity_has_key: bool,
    /// Whether its key is a primary key, and not the unique index that stands in for one.
    pub has_primary_key: bool,
    /// Whether changes of the table are written to the WAL. A snapshot reads the rows of an unlogged table, and no
    /// change follows.
    pub is_logged: bool,
}

impl CatalogTable {
    /// What is to be remembered of the table when its columns are not.
    #[must_use]
    pub fn head(&self) -> TableHead {
        let (schema, name) = (self.info.schema.clone(), self.info.name.clone());
        let named = NamedTable { oid: self.oid, schema, name };
        TableHead { named, is_partitioned: self.is_partitioned }
    }

    /// See [`TableHead::in_statement`].
    #[must_use]
    pub fn in_statement(&self) -> String {
        self.head().in_statement()
    }
}

/// Locks tables, and the partitions of partitioned ones, against changes of their definition until the transaction
/// ends.
///
/// # Errors
/// When a table no longer exists, or the role may not read it.
pub fn lock_tables(client: &mut Client, tables: &[TableHead]) -> Result<(), ReplicationError> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(TableHead::in_statement).collect();
    client.query(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))?;
    Ok(())
}

/// The condition on a table `c` that was rewritten after the transaction's snapshot: the snapshot sees another file
/// than the present.
const REWRITTEN: &str = "c.relkind = 'r' AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM \
                         pg_catalog.pg_relation_filenode(c.oid)";

/// Tables that were rewritten after the transaction's snapshot: their rows are not visible in it.
///
/// # Errors
/// When the query fails.
pub fn rewritten_tables(client: &mut Client) -> Result<Vec<NamedTable>, ReplicationError> {
    named_tables(
        client,
        &format!(
            "SELECT c.oid, n.nspname, c.relname
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE {REWRITTEN}"
        ),
    )
}

/// The first table that was rewritten after the transaction's snapshot: this one, or one of its partitions.
///
/// # Errors
/// When the query fails.
pub fn rewritten_below(
    client: &mut Client,
    oid: u32,
) -> Result<Option<NamedTable>, ReplicationError> {
    let mut tables = named_tables(
        client,
        &format!(
            "SELECT c.oid, n.nspname, c.relname
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE (c.oid = {oid} OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree({oid})))
               AND {REWRITTEN}
             LIMIT 1"
        ),
    )?;
    Ok(tables.pop())
}

/// How many rows the server believes tables to have.
///
/// # Errors
/// When the query fails.
pub fn rows_estimate(client: &mut Client, oids: &[u32]) -> Result<u64, ReplicationError> {
    let rows = client.query(&format!(
        "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class WHERE oid = ANY ({})",
        oid_array(oids)
    ))?;
    parsed(rows.first().ok_or(SHAPE)?, 0)
}

/// How many locks the server has room for at least.
///
/// # Errors
/// When the query fails.
pub fn lock_room(client: &mut Client) -> Result<usize, ReplicationError> {
    let rows = client.query(
        "SELECT current_setting('max_locks_per_transaction')::bigint * current_setting('max_connections')::bigint",
    )?;
    parsed(rows.first().ok_or(SHAPE)?, 0)
}

/// The names of all ordinary and partitioned tables outside the system's schemas, by schema and name.
///
/// The query takes no lock on any of them, so it does not wait for a table that somebody rewrites, captured or not.
///
/// # Errors
/// When the query fails.
pub fn table_names(client: &mut Client) -> Result<Vec<NamedTable>, ReplicationError> {
    named_tables(
        client,
        "SELECT c.oid, n.nspname, c.relname
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
         ORDER BY 2, 3",
    )
}

/// Reads tables by their oids, in this order, with their defaults. A table that no longer exists is left out.
///
/// # Errors
/// When a query fails.
pub fn tables(client: &mut Client, oids: &[u32]) -> Result<Vec<CatalogTable>, ReplicationError> {
    let mut tables = Vec::with_capacity(oids.len());
    for oids in oids.chunks(TABLES_PER_QUERY) {
        let mut part = read_tables(client, &oid_array(oids))?;
        let places: HashMap<u32, usize> =
            oids.iter().enumerate().map(|(place, oid)| (*oid, place)).collect();
        part.sort_by_key(|table| places.get(&table.oid).copied());
        read_defaults(client, &mut part)?;
        tables.append(&mut part);
    }
    Ok(tables)
}

/// Reads one table with its defaults. `None` when the table no longer exists.
///
/// A name could mean another table than the stream does, because the catalog may be ahead of the stream.
///
/// # Errors
/// When a query fails.
pub fn table(client: &mut Client, oid: u32) -> Result<Option<CatalogTable>, ReplicationError> {
    Ok(tables(client, &[oid])?.pop())
}

/// An array of oids, as SQL.
pub(super) fn oid_array(oids: &[u32]) -> String {
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

/// The query for the columns of tables, one row for each of them, with its place in the key. The key is the primary key
/// or what Debezium takes instead: the first unique index of plain columns, where a clustered index comes before the
/// others and the rest are ordered by name. Columns that a primary key only includes are not part of the key.
fn columns_query(oids: &str) -> String {
    format!(
        "SELECT n.nspname, c.relname, c.oid, c.relreplident,
                pg_catalog.has_table_privilege(c.oid, 'SELECT'), coalesce(k.indisprimary, false),
                a.attname, a.atttypid, a.atttypmod, a.attnotnull,
                coalesce(pg_catalog.array_position(k.columns, a.attnum), 0), c.relpersistence = 'p', c.relkind = 'p',
                coalesce(c.relreplident <> 'i' OR k.columns <@ identity.columns, true),
                CASE c.relreplident
                    WHEN 'f' THEN true
                    WHEN 'n' THEN false
                    ELSE EXISTS (
                        SELECT FROM pg_catalog.pg_index i
                        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END)
                END
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
         LEFT JOIN LATERAL (
             SELECT i.indkey::smallint[] AS columns FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident
         ) identity ON true
         WHERE c.relkind IN ('r', 'p') AND c.oid = ANY ({oids})
         ORDER BY 1, 2, a.attnum"
    )
}

/// Reads the tables with these oids, by schema and name.
fn read_tables(client: &mut Client, oids: &str) -> Result<Vec<CatalogTable>, ReplicationError> {
    let mut tables: Vec<CatalogTable> = Vec::new();
    let mut key: Vec<(u32, usize)> = Vec::new();
    for row in &client.query(&columns_query(oids))? {
        let oid: u32 = parsed(row, 2)?;
        if tables.last().is_none_or(|table| table.oid != oid) {
            close_key(&mut tables, &mut key);
            tables.push(table_of(row, oid)?);
        }
        let Some(table) = tables.last_mut() else { return Err(SHAPE) };
        let position: u32 = parsed(row, 10)?;
        if position > 0 {
            key.push((position, table.info.columns.len()));
        }
        table.info.columns.push(column_of(row)?);
    }
    close_key(&mut tables, &mut key);
    Ok(tables)
}

/// The table of a row of [`columns_query`], without columns yet.
fn table_of(row: &Row, oid: u32) -> Result<CatalogTable, ReplicationError> {
    let (schema, name) = (text(row, 0)?.to_owned(), text(row, 1)?.to_owned());
    Ok(CatalogTable {
        info: TableInfo { schema, name, columns: Vec::new(), key: Vec::new() },
        oid,
        replica_identity: text(row, 3)?.chars().next().unwrap_or('d'),
        readable: text(row, 4)? == "t",
        has_primary_key: text(row, 5)? == "t",
        is_logged: text(row, 11)? == "t",
        is_partitioned: text(row, 12)? == "t",
        identity_has_key: text(row, 13)? == "t",
        is_identified: text(row, 14)? == "t",
    })
}

/// The column of a row of [`columns_query`], without its default yet.
fn column_of(row: &Row) -> Result<ColumnInfo, ReplicationError> {
    Ok(ColumnInfo {
        name: text(row, 6)?.to_owned(),
        type_oid: parsed(row, 7)?,
        type_modifier: parsed(row, 8)?,
        type_class: TypeClass::BuiltIn,
        is_domain: false,
        not_null: text(row, 9)? == "t",
        default: None,
    })
}

/// Fills in the columns' defaults.
///
/// The server looks into a table to print its defaults, so this waits for a table that somebody has locked exclusively.
///
/// # Errors
/// When the query fails.
fn read_defaults(client: &mut Client, tables: &mut [CatalogTable]) -> Result<(), ReplicationError> {
    let places: HashMap<u32, usize> =
        tables.iter().enumerate().map(|(place, table)| (table.oid, place)).collect();
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = client.query(&format!(
        "SELECT a.attrelid, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
         FROM pg_catalog.pg_attrdef d
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated = ''
         WHERE d.adrelid = ANY ({})",
        oid_array(&oids)
    ))?;
    for row in &rows {
        let (oid, name): (u32, &str) = (parsed(row, 0)?, text(row, 1)?);
        let column = places
            .get(&oid)
            .and_then(|place| tables.get_mut(*place))
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
