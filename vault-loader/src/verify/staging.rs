//! Brings what the source holds into temporary tables of the warehouse: hashes, and no values.
//!
//! In: the source's tables inside the snapshot. Out: for each of them a temporary table with the hash key of each row
//! and, for each satellite but the status, what that satellite has to hold: a hash of its columns, or the hash key of
//! the link row. Beside them stand the keys of the hubs and links that the rows name. Rows are decoded, projected and
//! hashed by the loader's own code, some thousand at a time, so memory stays bounded whatever a table's size; the
//! warehouse keeps the hashes on disk and joins them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::findings::WaitingKeys;
use super::source_tables::SourceTable;
use crate::batch::RecordId;
use crate::copy_out::{CopyError, TextRows};
use crate::decode::{EventPosition, RowChange, RowOp, Value, ValueId, Values, from_source};
use crate::model::{ColumnId, Id as _, Plan, SatelliteId, SatelliteKind, TableId};
use crate::proof::ProofError;
use crate::vault::hash::{Hash, Hasher};
use crate::vault::projection::{Projection, Projector};
use crate::vault::versions::{roles_of, row_hash};

/// Rows that are projected together.
const CHUNK_ROWS: usize = 5_000;

/// Bytes of rows that are projected together; a larger row comes alone.
const CHUNK_BYTES: usize = 8 << 20;

/// Keys of hubs and links that rows name. A place is the number of a hub, or behind them the number of a link.
pub(super) const MENTIONS: &str = "pg_temp.verify_mentions";

/// The temporary table of a source's table.
pub(super) fn rows_of(table: TableId) -> String {
    format!("pg_temp.verify_rows_{}", table.to_index())
}

/// The columns of a table's satellites that are compared: those that were not left out on demand, in the order of the
/// hashdiff.
pub(super) type ComparedColumns = HashMap<SatelliteId, Vec<ColumnId>>;

/// The satellites of a table that have a column in its temporary table, in that table's order. A status has none: that
/// the row is there says it all. Record tracking has none: a source does not know its past events.
pub(super) fn held_satellites(
    plan: &Plan,
    table: TableId,
) -> impl Iterator<Item = (usize, SatelliteId)> {
    let satellites = plan.tables[table].satellites.iter().copied();
    let is_held = |id: SatelliteId| {
        !matches!(plan.satellites[id].kind, SatelliteKind::Status | SatelliteKind::Tracking)
    };
    satellites.filter(move |&id| is_held(id)).enumerate()
}

/// What staging needs beside the tables.
pub(super) struct Staging<'s> {
    pub(super) source: &'s Client,
    pub(super) warehouse: &'s Client,
    pub(super) plan: &'s Plan,
    pub(super) columns: &'s ComparedColumns,
    /// whether business keys are to be shown
    pub(super) show_keys: bool,
}

impl Staging<'_> {
    /// Makes the temporary tables.
    pub(super) async fn make_tables(&self, tables: &[SourceTable]) -> Result<(), ProofError> {
        let mut sql = format!(
            "CREATE TEMPORARY TABLE {} (place integer, hash_key bytea);\n",
            plain(MENTIONS)
        );
        for SourceTable { table, .. } in tables {
            let held: String = held_satellites(self.plan, *table)
                .map(|(at, _)| format!(", d{at} bytea"))
                .collect();
            let name = rows_of(*table);
            let name = plain(&name);
            let _ =
                writeln!(sql, "CREATE TEMPORARY TABLE {name} (hash_key bytea, shown text{held});");
        }
        Ok(self.warehouse.batch_execute(&sql).await?)
    }

    /// Reads a table and returns how many rows it has. Rows whose events wait name nothing.
    pub(super) async fn read(
        &self,
        table: &SourceTable,
        waiting: &WaitingKeys,
    ) -> Result<u64, ProofError> {
        let mut rows = TextRows::of(self.source, &table.copy).await.map_err(ProofError::Source)?;
        let mut count = 0;
        let mut chunk = Chunk::default();
        while rows.next().await.map_err(copy_failed)? {
            chunk.add(self, table, &rows)?;
            count += 1;
            if chunk.is_full() {
                self.write(table, std::mem::take(&mut chunk), waiting).await?;
            }
        }
        self.write(table, chunk, waiting).await?;
        Ok(count)
    }

    /// Lets the server count the temporary tables' rows, so that it joins them well.
    pub(super) async fn finish(&self, tables: &[SourceTable]) -> Result<(), ProofError> {
        let names = tables.iter().map(|table| rows_of(table.table));
        let all: Vec<_> = names.chain([MENTIONS.to_owned()]).collect();
        Ok(self.warehouse.batch_execute(&format!("ANALYZE {}", all.join(", "))).await?)
    }

    async fn write(
        &self,
        table: &SourceTable,
        chunk: Chunk,
        waiting: &WaitingKeys,
    ) -> Result<(), ProofError> {
        if chunk.starts.is_empty() {
            return Ok(());
        }
        let parked = self.parked(table.table, &chunk, waiting);
        let all = self.project(table.table, &chunk, |_| true)?;
        self.copy_in(
            &format!("COPY {} FROM STDIN", rows_of(table.table)),
            self.lines(table.table, &chunk, &all),
        )
        .await?;
        let named = if parked.is_empty() {
            all
        } else {
            self.project(table.table, &chunk, |number| !parked.contains(&number))?
        };
        self.copy_in(&format!("COPY {MENTIONS} FROM STDIN"), mention_lines(&named)).await
    }

    /// The rows whose keys have events in the quarantine.
    fn parked(&self, table: TableId, chunk: &Chunk, waiting: &WaitingKeys) -> HashSet<usize> {
        if waiting.is_empty() {
            return HashSet::new();
        }
        let mut projector = Projector::new(self.plan, &chunk.values);
        let mut is_parked = |values: ValueId| {
            projector.parent(table, values).is_some_and(|key| waiting.contains(&key))
        };
        let rows = chunk.starts.iter().enumerate();
        rows.filter(|&(_, &values)| is_parked(values)).map(|(number, _)| number).collect()
    }

    fn project(
        &self,
        table: TableId,
        chunk: &Chunk,
        is_chosen: impl Fn(usize) -> bool,
    ) -> Result<Projection, ProofError> {
        let mut projector = Projector::new(self.plan, &chunk.values);
        for (number, &values) in
            chunk.starts.iter().enumerate().filter(|(number, _)| is_chosen(*number))
        {
            let added = projector.add(&read_of(table, values), RecordId::from_index(number));
            added.map_err(|err| ProofError::Usage(err.to_string()))?;
        }
        Ok(projector.finish())
    }

    /// A line of COPY's text format for each row.
    fn lines(&self, table: TableId, chunk: &Chunk, projection: &Projection) -> String {
        let mut hasher = Hasher::default();
        let columns = &self.plan.model.tables[table].columns;
        let status = &projection.satellites[self.plan.status_of(table)];
        let mut lines = String::new();
        for (number, candidate) in status.iter().enumerate() {
            push_hash(&mut lines, &candidate.key);
            lines.push('\t');
            match chunk.shown.get(number) {
                Some(key) => push_escaped(&mut lines, key),
                None => lines.push_str("\\N"),
            }
            for (_, id) in held_satellites(self.plan, table) {
                let hash = match &self.columns.get(&id) {
                    Some(order) => {
                        let start = candidate.change.values;
                        let satellite = &self.plan.satellites[id];
                        let candidate = &projection.satellites[id][number];
                        let roles = roles_of(satellite, projection, candidate);
                        row_hash(&mut hasher, columns, order, roles, |column| {
                            &chunk.values[start + column]
                        })
                    }
                    None => projection.satellites[id][number].link,
                };
                lines.push('\t');
                push_hash(&mut lines, &hash);
            }
            lines.push('\n');
        }
        lines
    }

    async fn copy_in(&self, sql: &str, lines: String) -> Result<(), ProofError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut sink = Box::pin(self.warehouse.copy_in(sql).await?);
        sink.send(Bytes::from(lines)).await?;
        sink.as_mut().finish().await?;
        Ok(())
    }
}

/// Rows that are projected together.
#[derive(Default)]
struct Chunk {
    values: Values<'static>,
    /// the first value of each row
    starts: Vec<ValueId>,
    /// the business keys, when they are to be shown
    shown: Vec<String>,
    bytes: usize,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.starts.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    fn add(
        &mut self,
        staging: &Staging<'_>,
        table: &SourceTable,
        row: &TextRows,
    ) -> Result<(), ProofError> {
        let columns = &staging.plan.model.tables[table.table].columns;
        self.starts.push(self.values.next_id());
        for ((column, &kind), field) in columns.iter().zip(&table.types).zip(row.fields()) {
            let value = match field {
                None => Value::Null,
                Some(text) => from_source(kind, text).map_err(|err| {
                    let (label, name) = (&table.label, &column.name);
                    ProofError::Usage(format!("the source prints a value of {label}.{name} that no event could hold: {err}"))
                })?,
            };
            self.bytes += field.map_or(0, str::len);
            self.values.push(value);
        }
        if staging.show_keys {
            let key = staging.plan.model.tables[table.table].key.iter().map(|&id| {
                let text = row.field(id.to_index()).unwrap_or("NULL");
                format!("{}={text}", columns[id].name)
            });
            self.shown.push(key.collect::<Vec<_>>().join(", "));
        }
        Ok(())
    }
}

/// A row as a snapshot reads it.
fn read_of(table: TableId, values: ValueId) -> RowChange {
    let position = EventPosition::default();
    RowChange { table, op: RowOp::Read, position, values, moved_from: None }
}

fn mention_lines(projection: &Projection) -> String {
    let mut lines = String::new();
    let hubs = projection.hubs.iter().map(|rows| rows.keys().collect::<Vec<_>>());
    let links = projection.links.iter().map(|rows| rows.keys().collect::<Vec<_>>());
    for (place, keys) in hubs.chain(links).enumerate() {
        for key in keys {
            let _ = write!(lines, "{place}\t");
            push_hash(&mut lines, key);
            lines.push('\n');
        }
    }
    lines
}

fn push_hash(lines: &mut String, hash: &Hash) {
    lines.push_str("\\\\x");
    lines.push_str(&hex::encode(hash));
}

fn push_escaped(lines: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => lines.push_str("\\\\"),
            '\t' => lines.push_str("\\t"),
            '\n' => lines.push_str("\\n"),
            '\r' => lines.push_str("\\r"),
            other => lines.push(other),
        }
    }
}

/// The name without the schema, as a statement that makes a temporary table has it.
fn plain(name: &str) -> &str {
    name.strip_prefix("pg_temp.").unwrap_or(name)
}

/// An error of reading the source.
fn copy_failed(err: CopyError) -> ProofError {
    match err {
        CopyError::Server(err) => ProofError::Source(err),
        CopyError::Form => {
            ProofError::Usage("the source's COPY is not in PostgreSQL's format".to_owned())
        }
    }
}
