//! The rows: `COPY` out of each table, as `r` events.

use std::ops::ControlFlow;

use shared::debezium::envelope::{SnapshotMark, SourceInfo};

use super::locks::{self, Reading};
use super::mark::{Follower, Waiting};
use super::open::{Snapshot, SnapshotTable};
use super::progress::Progress;
use crate::clock::now_ns;
use crate::context::Context;
use crate::copy_text::RowBuffer;
use crate::emit::{Emitter, Scope, Stamp};
use crate::ended::Ended;
use crate::error::SessionError;
use crate::publish::Delivery;
use crate::replication::{Client, ReplicationError};

/// How many rows are read between two checks whether Kafka has failed and whether somebody asks for a stop.
const ROWS_PER_LOOK: u64 = 1024;

/// How often the connection is asked that keeps other instances of the connector waiting, in nanoseconds. It is much
/// less than the time that another instance leaves to this one after that connection has ended.
const LOCK_CHECK_INTERVAL_NS: i64 = 1_000_000_000;

/// Publishes every row and returns how many there were; none when somebody asked for a stop before all were read.
/// `lock` is the connection that keeps other instances of the connector waiting.
///
/// # Errors
/// What keeps a row from being read or published, and the end of that connection.
pub(crate) fn run(
    mut snapshot: Snapshot,
    context: &Context,
    delivery: &mut Delivery,
    lock: &mut Client,
) -> Result<Option<u64>, SessionError> {
    let tables = std::mem::take(&mut snapshot.tables);
    context.observer.snapshot_started(tables.len());
    let mut writer = Writer {
        context,
        delivery,
        emitter: Emitter::new(&context.connector.settings, &context.plan_options(), Scope::All),
        info: SourceInfo {
            ts_us: 0,
            snapshot: SnapshotMark::True,
            tx_id: Some(snapshot.tx_id),
            lsn: snapshot.exported.consistent_point,
            last_commit: None,
            origin: None,
        },
        row: RowBuffer::default(),
        reading: Reading::new(),
        held: Vec::new(),
        waiting: None,
        row_count: 0,
        lock,
        lock_checked_ns: now_ns(),
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

struct Writer<'c, 'p> {
    context: &'c Context,
    delivery: &'p mut Delivery,
    emitter: Emitter,
    info: SourceInfo<'static>,
    row: RowBuffer,
    reading: Reading,
    /// The row before, as COPY sent it.
    held: Vec<u8>,
    waiting: Option<Waiting>,
    row_count: u64,
    lock: &'p mut Client,
    lock_checked_ns: i64,
    progress: Progress,
}

impl Writer<'_, '_> {
    fn tables(
        &mut self,
        client: &mut Client,
        tables: &[SnapshotTable],
    ) -> Result<Ended, SessionError> {
        for (index, table) in tables.iter().enumerate() {
            let Some(rows) = self.table(client, tables, index)? else {
                return Ok(Ended::Stopped);
            };
            let name = table.table.info.display();
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
        tables: &[SnapshotTable],
        index: usize,
    ) -> Result<Option<u64>, SessionError> {
        let table = &tables[index];
        if table.is_locked {
            Reading::begin(client)?;
        } else {
            self.reading.begin_with_lock(self.context, client, &table.table)?;
        }
        let mut table_rows = 0u64;
        let read = client.copy_out(&table.copy, |row| -> Result<_, SessionError> {
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
        });
        let flow = read.map_err(|error| match error {
            SessionError::Replication(error) => locks::named(error, &table.table),
            other => other,
        })?;
        if flow.is_break() {
            return Ok(None);
        }
        Reading::end(client)?;
        tracing::info!(
            table = table.table.info.display(),
            rows = table_rows,
            "snapshot of the table complete"
        );
        Ok(Some(table_rows))
    }

    /// Publishes the row that waits, if there is one.
    fn release(
        &mut self,
        tables: &[SnapshotTable],
        follower: Follower,
    ) -> Result<Ended, SessionError> {
        let Some(waiting) = self.waiting.take() else { return Ok(Ended::Done) };
        let capture = &tables[waiting.table].capture;
        self.info.snapshot = waiting.mark(follower);
        self.row.read(&self.held).map_err(|_| {
            ReplicationError::Protocol("COPY sent a row that is not in its text format")
        })?;
        let now_ns = now_ns();
        if now_ns - self.lock_checked_ns >= LOCK_CHECK_INTERVAL_NS {
            self.lock.query("SELECT 1")?;
            self.lock_checked_ns = now_ns;
        }
        self.info.ts_us = now_ns / 1000;
        let stamp = Stamp { source: self.info, now_ns };
        let position = self.info.lsn;
        let read = self.emitter.read(capture, &self.row.columns(), &stamp);
        read.map_err(SessionError::row(position))?;
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
            self.context.observer.snapshot_moved();
        }
        Ok(Ended::Done)
    }
}
