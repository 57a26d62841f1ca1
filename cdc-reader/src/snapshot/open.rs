//! A connection that sees the database as it was at the slot's consistent point, with the captured tables locked
//! against changes.

use shared::position::Lsn;

use crate::catalog::{self, CatalogTable};
use crate::context::Context;
use crate::error::{SessionError, TableChange};
use crate::replication::{Client, Mode, Row, quote_identifier, quote_literal};
use crate::table::{Capture, captured_tables};

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
    pub(super) captures: Vec<Capture>,
    pub(super) exported: ExportedSnapshot,
    pub(super) tx_id: u32,
    pub(super) rows_estimate: u64,
}

impl Snapshot {
    pub(crate) fn open(
        context: &Context,
        tables: &[CatalogTable],
        exported: &ExportedSnapshot,
    ) -> Result<Self, SessionError> {
        let mut client = context.connect(Mode::Sql)?;
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        client.query(&format!("SET TRANSACTION SNAPSHOT {}", quote_literal(&exported.name)))?;
        let number = |rows: Vec<Row>| {
            rows.first().and_then(|row| row.first().cloned().flatten()).and_then(|n| n.parse().ok())
        };
        // The id that Debezium shows: that of the snapshot's own transaction, without the epoch. A standby gives none.
        let tx_id = number(client.query(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE pg_catalog.txid_current() % 4294967296 END",
        )?);
        let captured = captured_as_of_snapshot(&mut client, context, tables)?;
        let mut captures = Vec::new();
        let mut rows_estimate = 0;
        for table in &captured {
            let relation = relation_name(&table.info.schema, &table.info.name);
            let estimate = client.query(&format!(
                "SELECT greatest(reltuples, 0)::bigint FROM pg_catalog.pg_class WHERE oid = {}::regclass",
                quote_literal(&relation)
            ))?;
            rows_estimate += number(estimate).unwrap_or(0);
            captures.push(Capture::compile(context, table.info.clone())?);
        }
        let tx_id = tx_id.and_then(|id: u64| u32::try_from(id).ok()).unwrap_or(0);
        let exported = exported.clone();
        Ok(Self { client, captures, exported, tx_id, rows_estimate })
    }
}

/// The captured tables as they were at the snapshot, locked against changes.
///
/// Since the first look at the catalog, somebody may have made, changed or rewritten a table. A rewritten table would
/// look empty in the snapshot.
fn captured_as_of_snapshot(
    client: &mut Client,
    context: &Context,
    tables: &[CatalogTable],
) -> Result<Vec<CatalogTable>, SessionError> {
    catalog::lock_tables(client, tables)?;
    let captured = captured_tables(client, &context.connector.settings)?;
    let name = |table: &CatalogTable| (table.info.schema.clone(), table.info.name.clone());
    if !captured.iter().map(name).eq(tables.iter().map(name)) {
        return Err(SessionError::TablesChanged(TableChange::MadeOrDropped));
    }
    let rewritten = catalog::rewritten_tables(client)?;
    match captured.iter().find(|table| rewritten.contains(&name(table))) {
        None => Ok(captured),
        Some(table) => {
            let table = table.info.display();
            Err(SessionError::TablesChanged(TableChange::Rewritten { table }))
        }
    }
}

/// A table's name as it stands in a statement.
pub(super) fn relation_name(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(table))
}
