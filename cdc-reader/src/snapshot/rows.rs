//! The rows: `COPY` out of each table, as `r` events.
//!
//! A row is held back as columns until the next one comes, and is sent before any memory is taken for a large next one.
//! A large row itself is read when the producer's queue has room for it twice: once here, and once in the queue. So
//! what waits for Kafka and the row at hand together take no more than the queue may, or two rows if these are larger.

use std::ops::ControlFlow;
use std::rc::Rc;

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
use crate::publish::{Delivery, PublishError, refused_row, row_bytes_max};
use crate::replication::{Client, CopyRows, ReplicationError};
use crate::table::Capture;

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
        row_bytes_max: row_bytes_max(&context.connector.settings.producer_overrides),
        reading: Reading::new(snapshot.server.clone()),
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
    /// The row that waits.
    row: RowBuffer,
    /// Larger rows are not read.
    row_bytes_max: u64,
    reading: Reading,
    /// Its place, and the plan that writes it.
    waiting: Option<(Waiting, Rc<Capture>)>,
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
            let Some(rows) = self.table(client, table, index)? else {
                return Ok(Ended::Stopped);
            };
            let name = table.table.info.display();
            self.context.observer.snapshot_table_done(&name, rows, tables.len() - index - 1);
        }
        if self.release(Follower::Nothing)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        client.query("COMMIT")?;
        Ok(Ended::Done)
    }

    /// Reads a table and returns how many rows it has; none when somebody asked for a stop meanwhile.
    fn table(
        &mut self,
        client: &mut Client,
        table: &SnapshotTable,
        index: usize,
    ) -> Result<Option<u64>, SessionError> {
        if table.is_locked {
            Reading::begin(client)?;
        } else {
            self.reading.begin_with_lock(self.context, client, &table.table)?;
        }
        let capture = Rc::new(table.capture(self.context)?);
        let mut rows = TableRows { writer: self, capture, index, count: 0 };
        let read = client.copy_out(&table.copy(), &mut rows);
        let table_rows = rows.count;
        let flow = read.map_err(|error| match error {
            SessionError::Replication(error) => locks::named(error, || table.table.info.display()),
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
    fn release(&mut self, follower: Follower) -> Result<Ended, SessionError> {
        let Some((waiting, capture)) = self.waiting.take() else { return Ok(Ended::Done) };
        self.info.snapshot = waiting.mark(follower);
        let now_ns = self.context.publish_clock.now_ns();
        self.info.ts_us = now_ns / 1000;
        let stamp = Stamp { source: self.info, now_ns };
        let position = self.info.lsn;
        self.emitter.expect(self.row.len());
        let read = self.emitter.read(&capture, &self.row.columns(), &stamp);
        read.map_err(SessionError::row(position))?;
        self.row.clear();
        self.row_count += 1;
        if self.when_room(|emitter, delivery| emitter.flush(delivery))? == Ended::Stopped {
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

    /// Repeats `attempt` until it says true, or until somebody asks for a stop. Nothing is sent after the connection
    /// has ended that keeps other instances waiting, however long Kafka has to be waited for.
    fn when_room(
        &mut self,
        mut attempt: impl FnMut(&mut Emitter, &mut Delivery) -> Result<bool, PublishError>,
    ) -> Result<Ended, SessionError> {
        let Self { context, delivery, emitter, lock, lock_checked_ns, .. } = self;
        delivery.send_when_room(&context.cancel, |delivery| {
            let now_ns = now_ns();
            if now_ns - *lock_checked_ns >= LOCK_CHECK_INTERVAL_NS {
                lock.query("SELECT 1")?;
                *lock_checked_ns = now_ns;
            }
            Ok::<_, SessionError>(attempt(emitter, delivery)?)
        })
    }
}

/// The rows of one table as they come.
struct TableRows<'w, 'c, 'p> {
    writer: &'w mut Writer<'c, 'p>,
    capture: Rc<Capture>,
    index: usize,
    /// Rows that have come.
    count: u64,
}

impl TableRows<'_, '_, '_> {
    /// Publishes the row before the one that comes, which may be of an earlier table.
    fn release_before(&mut self) -> Result<Ended, SessionError> {
        let follower = if self.count == 0 { Follower::OtherTable } else { Follower::SameTable };
        self.writer.release(follower)
    }
}

impl CopyRows for TableRows<'_, '_, '_> {
    type Error = SessionError;

    fn large(&mut self, bytes: usize) -> Result<ControlFlow<()>, SessionError> {
        if self.release_before()? == Ended::Stopped {
            return Ok(ControlFlow::Break(()));
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes > self.writer.row_bytes_max {
            let topic = self.capture.plan.topic();
            return Err(refused_row(topic, bytes).into());
        }
        let room = bytes.saturating_mul(2);
        Ok(match self.writer.when_room(|_, delivery| Ok(delivery.has_room_for(room)))? {
            Ended::Done => ControlFlow::Continue(()),
            Ended::Stopped => ControlFlow::Break(()),
        })
    }

    fn row(&mut self, row: &[u8]) -> Result<ControlFlow<()>, SessionError> {
        if self.release_before()? == Ended::Stopped {
            return Ok(ControlFlow::Break(()));
        }
        self.writer.row.read(row).map_err(|_| {
            ReplicationError::Protocol("COPY sent a row that is not in its text format")
        })?;
        let waiting = Waiting { table: self.index, first_in_table: self.count == 0 };
        self.writer.waiting = Some((waiting, Rc::clone(&self.capture)));
        self.count += 1;
        Ok(ControlFlow::Continue(()))
    }
}
