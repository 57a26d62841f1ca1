//! The steps of a session: check, decide, make the slot, take the snapshot, stream.

use std::time::Instant;

use shared::position::Lsn;

use super::preflight::{self, Source};
use super::slot::{self, SlotKind};
use super::start::{Found, Start, decide};
use crate::catalog;
use crate::clock::now_us;
use crate::connector::SnapshotMode;
use crate::context::Context;
use crate::emit::Scope;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::publish::{Delivery, Position, StoredOffset};
use crate::replication::{Client, Mode, StartOptions, WaitLimit};
use crate::snapshot::{self, ExportedSnapshot, Snapshot};
use crate::stream::Streaming;
use crate::table::{Relations, topics};

/// Runs a session to its end; `connected` is called when the source and Kafka have both answered.
///
/// # Errors
/// What ends it before its work is done and before somebody asks for a stop.
pub(crate) fn run(context: &Context, mut connected: impl FnMut()) -> Result<Ended, SessionError> {
    let settings = &context.connector.settings;
    let mut sql = context.connect(Mode::Sql)?;
    // When somebody has locked a captured table, the log names the table again and again. The session does not wait in
    // silence.
    sql.query("SET lock_timeout = '5s'")?;
    let source = preflight::check(&mut sql, settings)?;
    topics::create_topics(context, &source.tables)?;
    let offset = context.offsets().load()?;
    connected();
    let slot = catalog::slot(&mut sql, &settings.slot_name, source.settings.version)?;
    let wal_end = catalog::wal_end(&mut sql)?;
    let offset_topic = &context.offset_topic;
    let found = Found { offset_topic, offset, slot: slot.as_ref(), wal_end };
    let start = decide(settings, &found)?;
    let delivery = context.delivery()?;
    // From here on the connection answers questions of the thread that streams.
    let sql = sql.with_wait_limit(WaitLimit::brief());
    let last_commit = match offset {
        StoredOffset::Resume { last_commit, .. } => last_commit,
        StoredOffset::None => None,
    };
    Session { context, source, sql, delivery, last_commit }.run(start)
}

/// A session under way.
struct Session<'c> {
    context: &'c Context,
    source: Source,
    sql: Client,
    delivery: Delivery,
    /// The `lsn_commit` of the stored offset. Events name it until the stream has seen a commit.
    last_commit: Option<Lsn>,
}

impl Session<'_> {
    fn run(self, start: Start) -> Result<Ended, SessionError> {
        match start {
            Start::Resume(lsn) => {
                self.context.observer.snapshot_skipped();
                self.stream(lsn)
            }
            Start::Done => {
                tracing::info!("snapshot.mode is initial_only and the snapshot was taken before");
                Ok(Ended::Done)
            }
            Start::FromNow => {
                let (replication, exported) = slot::create(self.context, SlotKind::Permanent)?;
                self.stream_from_now(replication, exported.consistent_point)
            }
            Start::FirstSnapshot => {
                let (replication, exported) = slot::create(self.context, SlotKind::Permanent)?;
                self.snapshot_and_stream(replication, &exported)
            }
            Start::SnapshotAgain(confirmed) => self.snapshot_again(confirmed),
        }
    }

    fn stream(self, start: Lsn) -> Result<Ended, SessionError> {
        let replication = self.context.connect(Mode::Replication)?;
        self.stream_on(replication, start)
    }

    fn stream_on(mut self, replication: Client, start: Lsn) -> Result<Ended, SessionError> {
        tracing::info!(slot = self.slot_name(), %start, "streaming");
        let stream =
            replication.start_replication(&self.start_options(start)).map_err(|error| {
                slot::why_refused(self.context, self.source.settings.version, error)
            })?;
        self.context.observer.streaming(true);
        self.streaming(Scope::All, start)?.run(stream)
    }

    fn streaming(&mut self, scope: Scope, start: Lsn) -> Result<Streaming<'_>, SessionError> {
        let relations = Relations::new(self.context, &mut self.sql, &self.source.tables);
        let streaming = Streaming::new(self.context, &mut self.delivery, relations, scope, start)?;
        Ok(streaming.after(self.last_commit))
    }

    fn start_options(&self, start: Lsn) -> StartOptions<'_> {
        StartOptions {
            slot: self.slot_name(),
            start,
            publication: &self.context.connector.settings.publication_name,
            // Logical messages are not published to Kafka yet, so they are not asked for.
            messages: false,
        }
    }

    fn slot_name(&self) -> &str {
        &self.context.connector.settings.slot_name
    }

    /// Streams without a snapshot. An offset is stored first, because a slot that is lost later must not look like a
    /// first start.
    fn stream_from_now(mut self, replication: Client, start: Lsn) -> Result<Ended, SessionError> {
        match self.store_offset(start)? {
            Ended::Done => self.stream_on(replication, start),
            Ended::Stopped => Ok(Ended::Stopped),
        }
    }

    fn snapshot_and_stream(
        mut self,
        replication: Client,
        exported: &ExportedSnapshot,
    ) -> Result<Ended, SessionError> {
        let snapshot = Snapshot::open(self.context, &self.source.tables, exported)?;
        if self.snapshot(snapshot, exported)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        if self.context.connector.settings.snapshot_mode == SnapshotMode::InitialOnly {
            tracing::info!("snapshot.mode is initial_only: the work is done");
            return Ok(Ended::Done);
        }
        self.stream_on(replication, exported.consistent_point)
    }

    /// An earlier start was interrupted before its snapshot was complete, so it may have published rows that the source
    /// has deleted since then.
    ///
    /// The slot has kept every change since then. The session first publishes the deletes and truncates among them up
    /// to a new snapshot's consistent point, then the new snapshot, and then streams from that point on. Each key's
    /// events stay in order, and no consumer keeps a row that the source does not have.
    fn snapshot_again(mut self, confirmed: Lsn) -> Result<Ended, SessionError> {
        tracing::warn!(
            slot = self.slot_name(),
            "the slot exists and no snapshot was finished: taking the snapshot again"
        );
        let (holder, exported) = slot::create(self.context, SlotKind::Temporary)?;
        let stream = self
            .context
            .connect(Mode::Replication)?
            .start_replication(&self.start_options(confirmed))?;
        // From here on the snapshot holds locks on its tables: a change of their definition has to wait until their
        // rows are read.
        let snapshot = Snapshot::open(self.context, &self.source.tables, &exported)?;
        let catch_up = self.streaming(Scope::Retractions, confirmed)?;
        if catch_up.run_until(stream, exported.consistent_point)? == Ended::Stopped
            || self.snapshot(snapshot, &exported)? == Ended::Stopped
        {
            return Ok(Ended::Stopped);
        }
        drop(holder);
        if self.context.connector.settings.snapshot_mode == SnapshotMode::InitialOnly {
            return Ok(Ended::Done);
        }
        self.stream(exported.consistent_point)
    }

    fn snapshot(
        &mut self,
        snapshot: Snapshot,
        exported: &ExportedSnapshot,
    ) -> Result<Ended, SessionError> {
        let started = Instant::now();
        let Some(rows) = snapshot::run(snapshot, self.context, &mut self.delivery)? else {
            return Ok(Ended::Stopped);
        };
        // The offset says that the snapshot is complete. So every row has to be durable before the offset is written,
        // and the offset has to be durable before streaming begins.
        if self.delivery.drain(&self.context.cancel)? == Ended::Stopped
            || self.store_offset(exported.consistent_point)? == Ended::Stopped
        {
            return Ok(Ended::Stopped);
        }
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(rows, seconds, consistent_point = %exported.consistent_point, "snapshot complete");
        Ok(Ended::Done)
    }

    /// Writes an offset that belongs to no transaction, and waits until Kafka has it.
    fn store_offset(&mut self, lsn: Lsn) -> Result<Ended, SessionError> {
        let stop = &self.context.cancel;
        let position = Position { end_lsn: lsn, tx_id: None, commit_ts_us: now_us() };
        if self.delivery.write_offset(&position, stop)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        self.context.observer.offset(&position);
        Ok(self.delivery.drain(stop)?)
    }
}
