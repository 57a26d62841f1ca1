//! A connection that sees the database as it was at the slot's consistent point, and what is read over it.
//!
//! In: the captured tables and an exported snapshot. Out: the tables as the snapshot sees them, each with its plan and
//! the statement that reads it as soon as its turn comes. Thousands of plans would take more memory than everything
//! else. The statement reads the part of the table that the publication publishes: the rows and columns that the stream
//! would send.

use std::collections::{HashMap, HashSet};

use shared::position::Lsn;

use super::locks;
use crate::catalog::{self, CatalogTable, PublishedPart, TableHead};
use crate::context::Context;
use crate::error::{SessionError, TableChange};
use crate::one_server::OneServer;
use crate::replication::{Client, Row, quote_identifier, quote_literal};
use crate::table::{Capture, above, captured_tables, with_changes_of_their_own};

/// A snapshot that other sessions can use as long as the connection that made its slot runs no other statement.
#[derive(Debug, Clone)]
pub(crate) struct ExportedSnapshot {
    /// The stream goes on from here.
    pub(crate) consistent_point: Lsn,
    /// The snapshot's name, for `SET TRANSACTION SNAPSHOT`.
    pub(crate) name: String,
}

/// A connection that sees the database as it was at the consistent point.
pub(crate) struct Snapshot {
    pub(super) client: Client,
    pub(super) server: OneServer,
    pub(super) tables: Vec<SnapshotTable>,
    pub(super) exported: ExportedSnapshot,
    pub(super) tx_id: u32,
    pub(super) rows_estimate: u64,
}

/// A table that a snapshot reads.
pub(super) struct SnapshotTable {
    /// The table as the snapshot sees it.
    pub(super) table: CatalogTable,
    /// The part of it that is published; none for all of it.
    part: Option<PublishedPart>,
    /// Whether it is locked until the snapshot ends, and not only while it is read.
    pub(super) is_locked: bool,
}

impl Snapshot {
    pub(crate) fn open(
        context: &Context,
        server: &OneServer,
        tables: &[TableHead],
        server_version: u32,
        exported: &ExportedSnapshot,
    ) -> Result<Self, SessionError> {
        let mut client = server.connect(context)?;
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        client.query(&format!("SET TRANSACTION SNAPSHOT {}", quote_literal(&exported.name)))?;
        let number = |rows: Vec<Row>| {
            rows.first().and_then(|row| row.first().cloned().flatten()).and_then(|n| n.parse().ok())
        };
        // The id that Debezium shows: that of the snapshot's own transaction, without the epoch. A standby gives none.
        let tx_id = number(client.query(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE pg_catalog.txid_current() % 4294967296 END",
        )?);
        let locked = locks::lock_first(&mut client, tables)?;
        let captured = captured_as_of_snapshot(&mut client, context, tables, server_version)?;
        let settings = &context.connector.settings;
        let mut parts =
            catalog::published_parts(&mut client, &settings.publication_name, server_version)?;
        let oids: Vec<u32> = captured.iter().map(|table| table.oid).collect();
        let rows_estimate = catalog::rows_estimate(&mut client, &oids)?;
        let of_table = |(index, table): (usize, CatalogTable)| {
            let part = parts.remove(&table.oid);
            SnapshotTable { table, part, is_locked: index < locked }
        };
        let tables: Vec<SnapshotTable> = captured.into_iter().enumerate().map(of_table).collect();
        for table in &tables {
            // A table that cannot be captured ends the snapshot before it has begun.
            table.capture(context)?;
        }
        let tx_id = tx_id.and_then(|id: u64| u32::try_from(id).ok()).unwrap_or(0);
        let exported = exported.clone();
        let server = server.clone();
        Ok(Self { client, server, tables, exported, tx_id, rows_estimate })
    }
}

impl SnapshotTable {
    /// The table with the columns that are published.
    fn published(&self) -> CatalogTable {
        let mut published = self.table.clone();
        if let Some(columns) = self.part.as_ref().and_then(|part| part.columns.as_ref()) {
            catalog::keep_published(&mut published, columns);
        }
        published
    }

    /// The plan that writes its rows.
    pub(super) fn capture(&self, context: &Context) -> Result<Capture, SessionError> {
        Ok(Capture::compile(context, self.published().info)?)
    }

    /// The statement that reads its rows.
    pub(super) fn copy(&self) -> String {
        let published = self.published();
        let columns: Vec<String> =
            published.info.columns.iter().map(|c| quote_identifier(&c.name)).collect();
        let filter = self.part.as_ref().and_then(|part| part.row_filter.as_ref());
        let condition = filter.map(|filter| format!(" WHERE {filter}"));
        format!(
            "COPY (SELECT {} FROM {}{}) TO STDOUT",
            columns.join(", "),
            self.table.in_statement(),
            condition.unwrap_or_default()
        )
    }
}

/// The captured tables as they were at the snapshot.
///
/// Since the first look at the catalog, somebody may have made, changed or rewritten a table. A rewritten table would
/// look empty in the snapshot.
fn captured_as_of_snapshot(
    client: &mut Client,
    context: &Context,
    tables: &[TableHead],
    server_version: u32,
) -> Result<Vec<CatalogTable>, SessionError> {
    let settings = &context.connector.settings;
    let mut captured = captured_tables(client, settings)?;
    let parents = catalog::partition_parents(client)?;
    if let Some(publication) =
        catalog::publication(client, &settings.publication_name, server_version)?
    {
        captured = with_changes_of_their_own(captured, &publication, &parents);
    }
    if !captured.iter().map(|table| table.oid).eq(tables.iter().map(|table| table.named.oid)) {
        return Err(SessionError::TablesChanged(TableChange::MadeOrDropped));
    }
    check_rewritten(client, &captured, &parents)?;
    Ok(captured)
}

/// Fails when a table, or a partition of one, was rewritten since the snapshot.
fn check_rewritten(
    client: &mut Client,
    captured: &[CatalogTable],
    parents: &HashMap<u32, u32>,
) -> Result<(), SessionError> {
    let oids: HashSet<u32> = captured.iter().map(|table| table.oid).collect();
    let rewritten = catalog::rewritten_tables(client)?;
    let is_read =
        |oid: u32| oids.contains(&oid) || above(oid, parents).any(|oid| oids.contains(&oid));
    match rewritten.iter().find(|table| is_read(table.oid)) {
        None => Ok(()),
        Some(table) => {
            let table = table.display();
            Err(SessionError::TablesChanged(TableChange::Rewritten { table }))
        }
    }
}
