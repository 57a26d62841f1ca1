//! The rows that exist: `COPY` out of each table under the slot's exported snapshot, as `r` events.
//!
//! The snapshot is the database exactly at the slot's consistent point, so that streaming from that point neither
//! misses nor repeats a change. A row is held back until the next one is read, be it of another table, because the last
//! row of a table, and of all, is marked as such, and empty tables may follow it.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::debezium::envelope::{SnapshotMark, SourceInfo};
use shared::position::Lsn;

use crate::catalog::{self, CatalogTable};
use crate::clock::now_ns;
use crate::context::Context;
use crate::copy_text::RowBuffer;
use crate::emit::{Emitter, Scope, Stamp};
use crate::ended::Ended;
use crate::error::{SessionError, TableChange};
use crate::publish::Delivery;
use crate::replication::{Client, Mode, ReplicationError, quote_identifier, quote_literal};
use crate::table::{Capture, captured_tables};

/// Rows between two looks whether Kafka has failed and whether somebody asks for a stop.
const ROWS_PER_LOOK: u64 = 1024;

/// How often progress is logged where there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A snapshot that other sessions may look through as long as the connection stays as it is that made its slot.
#[derive(Debug, Clone)]
pub(crate) struct ExportedSnapshot {
    /// The stream goes on from here.
    pub(crate) consistent_point: Lsn,
    /// The snapshot's name, for `SET TRANSACTION SNAPSHOT`.
    pub(crate) name: String,
}

/// A connection that sees the database as it was at the consistent point.
pub(crate) struct Snapshot {
    client: Client,
    captures: Vec<Capture>,
    exported: ExportedSnapshot,
    tx_id: u32,
    rows_estimate: u64,
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
        let number = |rows: Vec<crate::replication::Row>| {
            rows.first().and_then(|row| row.first().cloned().flatten()).and_then(|n| n.parse().ok())
        };
        // The id that Debezium shows: the snapshot transaction's own, without its epoch.
        let tx_id = number(client.query("SELECT pg_catalog.txid_current() % 4294967296")?);
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
/// Between the first look at the catalog and now a table may have been made, changed or rewritten. A rewritten table
/// would look empty here.
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

fn relation_name(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(table))
}

/// Publishes every row and returns how many there were; none when somebody asked for a stop before all were read.
pub(crate) fn run(
    mut snapshot: Snapshot,
    context: &Context,
    delivery: &mut Delivery,
) -> Result<Option<u64>, SessionError> {
    let tables = std::mem::take(&mut snapshot.captures);
    context.observer.snapshot_started(tables.len());
    let mut writer = Writer {
        context,
        delivery,
        emitter: Emitter::new(&context.connector.settings, Scope::All),
        info: SourceInfo {
            ts_us: 0,
            snapshot: SnapshotMark::True,
            tx_id: snapshot.tx_id,
            lsn: snapshot.exported.consistent_point,
            last_commit: None,
        },
        row: RowBuffer::default(),
        held: Vec::new(),
        waiting: None,
        row_count: 0,
        progress: Progress::new(snapshot.rows_estimate),
    };
    let result = writer.tables(&mut snapshot.client, &tables);
    writer.progress.finish();
    context.observer.snapshot_ended(matches!(result, Ok(Ended::Done)));
    Ok(match result? {
        Ended::Done => Some(writer.row_count),
        Ended::Stopped => None,
    })
}

/// The row that is held back.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// Index of its table.
    table: usize,
    first_in_table: bool,
}

/// What comes after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follower {
    SameTable,
    OtherTable,
    Nothing,
}

impl Waiting {
    /// A table of one row is marked by its end, unless it is the first of all tables; empty tables count as tables.
    fn mark(self, follower: Follower) -> SnapshotMark {
        match (follower, self.first_in_table) {
            (Follower::Nothing, _) => SnapshotMark::Last,
            (_, true) if self.table == 0 => SnapshotMark::First,
            (Follower::OtherTable, _) => SnapshotMark::LastInDataCollection,
            (Follower::SameTable, true) => SnapshotMark::FirstInDataCollection,
            (Follower::SameTable, false) => SnapshotMark::True,
        }
    }
}

struct Writer<'c, 'p> {
    context: &'c Context,
    delivery: &'p mut Delivery,
    emitter: Emitter,
    info: SourceInfo,
    row: RowBuffer,
    /// The row before, as COPY sent it.
    held: Vec<u8>,
    waiting: Option<Waiting>,
    row_count: u64,
    progress: Progress,
}

impl Writer<'_, '_> {
    fn tables(&mut self, client: &mut Client, tables: &[Capture]) -> Result<Ended, SessionError> {
        for (index, table) in tables.iter().enumerate() {
            let Some(rows) = self.table(client, tables, index)? else {
                return Ok(Ended::Stopped);
            };
            let name = table.plan.table().display();
            self.context.observer.snapshot_table_done(&name, rows, tables.len() - index - 1);
        }
        if self.release(tables, Follower::Nothing)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        client.query("COMMIT")?;
        Ok(Ended::Done)
    }

    /// Reads a table and returns how many rows it has; none when somebody asked for a stop meanwhile.
    fn table(
        &mut self,
        client: &mut Client,
        tables: &[Capture],
        index: usize,
    ) -> Result<Option<u64>, SessionError> {
        let table = tables[index].plan.table();
        let columns: Vec<String> =
            table.columns.iter().map(|c| quote_identifier(&c.name)).collect();
        let sql = format!(
            "COPY (SELECT {} FROM {}) TO STDOUT",
            columns.join(", "),
            relation_name(&table.schema, &table.name)
        );
        let mut table_rows = 0u64;
        let flow = client.copy_out(&sql, |row| -> Result<_, SessionError> {
            let first_in_table = table_rows == 0;
            let follower = if first_in_table { Follower::OtherTable } else { Follower::SameTable };
            if self.release(tables, follower)? == Ended::Stopped {
                return Ok(ControlFlow::Break(()));
            }
            table_rows += 1;
            self.held.clear();
            self.held.extend_from_slice(row);
            self.waiting = Some(Waiting { table: index, first_in_table });
            Ok(ControlFlow::Continue(()))
        })?;
        if flow.is_break() {
            return Ok(None);
        }
        tracing::info!(
            table = table.display(),
            rows = table_rows,
            "snapshot of the table complete"
        );
        Ok(Some(table_rows))
    }

    /// Publishes the row that waits, if there is one.
    fn release(&mut self, tables: &[Capture], follower: Follower) -> Result<Ended, SessionError> {
        let Some(waiting) = self.waiting.take() else { return Ok(Ended::Done) };
        let capture = &tables[waiting.table];
        self.info.snapshot = waiting.mark(follower);
        self.row.read(&self.held).map_err(|_| {
            ReplicationError::Protocol("COPY sent a row that is not in its text format")
        })?;
        let now_ns = now_ns();
        self.info.ts_us = now_ns / 1000;
        let stamp = Stamp { source: self.info, now_ns };
        self.emitter.read(capture, &self.row.columns(), &stamp)?;
        self.row_count += 1;
        let emitter = &mut self.emitter;
        let sent = self
            .delivery
            .send_when_room(&self.context.cancel, |delivery| emitter.flush(delivery))?;
        if sent == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        if self.row_count.is_multiple_of(ROWS_PER_LOOK) {
            self.delivery.check()?;
            if self.context.cancel.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            self.progress.at(self.row_count);
        }
        Ok(Ended::Done)
    }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    started: Instant,
    logged: Instant,
    estimate: u64,
}

impl Progress {
    fn new(estimate: u64) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(estimate), target);
        if let Ok(style) =
            ProgressStyle::with_template("snapshot {bar:30} {pos}/{len} rows {per_sec} eta {eta}")
        {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, started: now, logged: now, estimate }
    }

    fn at(&mut self, rows: u64) {
        self.bar.set_position(rows);
        if self.bar.is_hidden() && self.logged.elapsed() >= PROGRESS_INTERVAL {
            self.logged = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            tracing::info!(rows, estimate = self.estimate, seconds, "snapshot under way");
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
