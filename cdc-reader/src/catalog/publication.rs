//! Publications: what one publishes, and under which table's name.
//!
//! In: a publication's name. Out: its operations, its tables as the stream announces them, and which rows and columns
//! of a table it holds back. The view `pg_publication_tables` would give the same answers. But it looks into every
//! table, and so waits for each table that somebody has locked exclusively.

use std::collections::{HashMap, HashSet};

use super::cells::{parsed, text};
use crate::replication::{Client, ReplicationError, quote_literal};

/// A table by its oid and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTable {
    /// Identifies it within its database.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl NamedTable {
    /// `schema.table`, for messages.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Operations that it publishes: insert, update, delete, truncate.
    pub operations: [bool; 4],
    /// Whether it was made `FOR ALL TABLES`.
    pub all_tables: bool,
    /// Whether changes of a partition are published as those of the topmost published table above it.
    pub via_root: bool,
    /// The tables under whose names changes are published, by schema and name.
    pub tables: Vec<NamedTable>,
    /// The tables that were added to it by name.
    pub members: Vec<NamedTable>,
}

/// The part of a table that a publication publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedPart {
    /// The condition that a row has to fulfil, as SQL.
    pub row_filter: Option<String>,
    /// The names of the published columns; none when all are published.
    pub columns: Option<HashSet<String>>,
}

/// Since this version a publication can name whole schemas, conditions on rows, and columns.
const SCHEMAS_AND_PARTS_SINCE: u32 = 150_000;

/// Reads a publication. `None` when no publication has that name.
///
/// # Errors
/// When a query fails.
pub fn publication(
    client: &mut Client,
    name: &str,
    version: u32,
) -> Result<Option<Publication>, ReplicationError> {
    let quoted = quote_literal(name);
    let rows = client.query(&format!(
        "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, puballtables, pubviaroot
         FROM pg_catalog.pg_publication
         WHERE pubname = {quoted}"
    ))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut operations = [false; 4];
    for (index, operation) in operations.iter_mut().enumerate() {
        *operation = text(row, index)? == "t";
    }
    let (all_tables, via_root) = (text(row, 4)? == "t", text(row, 5)? == "t");
    let members = named_tables(
        client,
        &format!(
            "SELECT c.oid, n.nspname, c.relname
             FROM pg_catalog.pg_publication p
             JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
             JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE p.pubname = {quoted}
             ORDER BY 2, 3"
        ),
    )?;
    let tables = named_tables(client, &published_tables(&quoted, version))?;
    Ok(Some(Publication { operations, all_tables, via_root, tables, members }))
}

/// The query for the tables of a publication. Partitions are published as themselves, or as the topmost table that is
/// published.
fn published_tables(quoted_name: &str, version: u32) -> String {
    let whole_schemas = if version >= SCHEMAS_AND_PARTS_SINCE {
        "UNION
         SELECT c.oid FROM publication p
         JOIN pg_catalog.pg_publication_namespace s ON s.pnpubid = p.oid
         JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid AND c.relkind IN ('r', 'p')"
    } else {
        ""
    };
    format!(
        "WITH RECURSIVE publication AS (
             SELECT oid, puballtables, pubviaroot FROM pg_catalog.pg_publication WHERE pubname = {quoted_name}
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
         SELECT c.oid, n.nspname, c.relname
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
         ORDER BY 2, 3"
    )
}

/// The parts of those tables of which the publication does not publish all rows and columns, by oid.
///
/// A publication of all tables, or of a table's whole schema, has no condition on its rows.
///
/// # Errors
/// When the query fails.
pub fn published_parts(
    client: &mut Client,
    name: &str,
    version: u32,
) -> Result<HashMap<u32, PublishedPart>, ReplicationError> {
    let mut parts: HashMap<u32, PublishedPart> = HashMap::new();
    if version < SCHEMAS_AND_PARTS_SINCE {
        return Ok(parts);
    }
    let rows = client.query(&format!(
        "SELECT r.prrelid, pg_catalog.pg_get_expr(r.prqual, r.prrelid), a.attname
         FROM pg_catalog.pg_publication p
         JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
         JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
         LEFT JOIN pg_catalog.pg_attribute a
                ON a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::smallint[]) AND NOT a.attisdropped
         WHERE p.pubname = {} AND NOT p.puballtables AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_publication_namespace s
               WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)",
        quote_literal(name)
    ))?;
    for row in &rows {
        let part = parts.entry(parsed(row, 0)?).or_default();
        part.row_filter = row.get(1).cloned().flatten();
        if let Some(column) = row.get(2).cloned().flatten() {
            part.columns.get_or_insert_default().insert(column);
        }
    }
    Ok(parts)
}

/// The table directly above each partition, by oid.
///
/// # Errors
/// When the query fails.
pub fn partition_parents(client: &mut Client) -> Result<HashMap<u32, u32>, ReplicationError> {
    client
        .query(
            "SELECT i.inhrelid, i.inhparent
             FROM pg_catalog.pg_inherits i
             JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition",
        )?
        .iter()
        .map(|row| Ok((parsed(row, 0)?, parsed(row, 1)?)))
        .collect()
}

/// Runs a query for oids, schemas and names.
pub(super) fn named_tables(
    client: &mut Client,
    sql: &str,
) -> Result<Vec<NamedTable>, ReplicationError> {
    client
        .query(sql)?
        .iter()
        .map(|row| {
            Ok(NamedTable {
                oid: parsed(row, 0)?,
                schema: text(row, 1)?.to_owned(),
                name: text(row, 2)?.to_owned(),
            })
        })
        .collect()
}
