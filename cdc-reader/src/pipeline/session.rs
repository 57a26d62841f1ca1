//! One session: from a connection to its end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use shared::position::Lsn;

use super::clock::now_us;
use super::emit::Scope;
use super::preflight::{self, Source};
use super::snapshot::{self, Snapshot};
use super::stream::{Relations, Streaming};
use super::{Context, PipelineError, topics};
use crate::catalog;
use crate::connector::SnapshotMode;
use crate::ended::Ended;
use crate::publish::{Delivery, Position, StoredOffset};
use crate::replication::{
    Client, Mode, ReplicationError, StartOptions, WaitLimit, quote_identifier,
};

/// Where a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Stream from here.
    Resume(Lsn),
    /// Make the slot, send the rows that exist, stream on.
    FirstSnapshot,
    /// A slot is there and no finished snapshot: an earlier start was interrupted.
    SnapshotAgain(Lsn),
    /// Make the slot and stream.
    FromNow,
    /// The snapshot was all that is wanted, and it was taken.
    Done,
}

/// Runs a session to its end; `connected` is called when the source and Kafka have both answered.
pub(super) fn run(context: &Context, mut connected: impl FnMut()) -> Result<(), PipelineError> {
    let mut sql = context.connect(Mode::Sql)?;
    // A captured table that somebody has locked is named in an error, again and again, instead of being waited for in silence.
    sql.query("SET lock_timeout = '5s'")?;
    let source = preflight::check(&mut sql, &context.connector.settings)?;
    topics::create_topics(context, &source.tables)?;
    let stored = context.offsets().load()?;
    connected();
    let slot = catalog::slot(&mut sql, slot_name(context), source.settings.version)?;
    let wal_end = catalog::wal_end(&mut sql)?;
    let start = decide(context, stored, slot.as_ref(), wal_end)?;
    let delivery = context.delivery()?;
    // From here on it answers questions of the thread that streams.
    let sql = sql.with_wait_limit(WaitLimit::brief());
    let session = Session { context, source, sql, delivery };
    match start {
        Start::Resume(lsn) => {
            context.observer.snapshot_skipped();
            session.stream(lsn)
        }
        Start::Done => {
            tracing::info!("snapshot.mode is initial_only and the snapshot was taken before");
            Ok(())
        }
        Start::FromNow => {
            let (replication, exported) = create_slot(context, SlotKind::Permanent)?;
            session.stream_from_now(replication, exported.consistent_point)
        }
        Start::FirstSnapshot => {
            let (replication, exported) = create_slot(context, SlotKind::Permanent)?;
            session.snapshot_and_stream(replication, &exported)
        }
        Start::SnapshotAgain(confirmed) => session.snapshot_again(confirmed),
    }
}

fn slot_name(context: &Context) -> &str {
    &context.connector.settings.slot_name
}

fn slot_lost(context: &Context, reason: String) -> PipelineError {
    PipelineError::SlotLost {
        slot: slot_name(context).to_owned(),
        reason,
        remedy: "changes since then are gone: drop the slot, delete the connector's stored offset \
                 and start again, so that a new snapshot is taken"
            .to_owned(),
    }
}

fn invalidated(context: &Context, reason: &str) -> PipelineError {
    slot_lost(context, format!("the server has invalidated it ({reason})"))
}

fn decide(
    context: &Context,
    stored: StoredOffset,
    slot: Option<&catalog::Slot>,
    wal_end: Lsn,
) -> Result<Start, PipelineError> {
    let settings = &context.connector.settings;
    let lost = |reason| slot_lost(context, reason);
    if let Some(reason) = slot.and_then(catalog::Slot::lost) {
        return Err(invalidated(context, &reason));
    }
    if let Some(slot) = slot {
        preflight::check_slot(settings, slot)?;
    }
    let takes_snapshot = settings.snapshot_mode != SnapshotMode::NoData;
    match (stored, slot) {
        (StoredOffset::Resume(lsn), None) => Err(lost(format!(
            "it does not exist, and the offset stored in topic {} says that changes were published up to {lsn}",
            context.offset_topic
        ))),
        (StoredOffset::Resume(lsn), Some(_)) if lsn > wal_end => Err(lost(format!(
            "the offset stored in topic {} is {lsn}, beyond the server's WAL, which ends at {wal_end}: this is another server, or \
             one that was set back",
            context.offset_topic
        ))),
        (StoredOffset::Resume(_), Some(_))
            if settings.snapshot_mode == SnapshotMode::InitialOnly =>
        {
            Ok(Start::Done)
        }
        (StoredOffset::Resume(lsn), Some(slot)) => {
            Ok(Start::Resume(slot.confirmed_flush.unwrap_or_default().max(lsn)))
        }
        (StoredOffset::None, None) if takes_snapshot => Ok(Start::FirstSnapshot),
        (StoredOffset::None, None) => Ok(Start::FromNow),
        (StoredOffset::None, Some(slot)) => {
            let confirmed = slot.confirmed_flush.unwrap_or_default();
            Ok(if takes_snapshot {
                Start::SnapshotAgain(confirmed)
            } else {
                Start::Resume(confirmed)
            })
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotKind {
    Permanent,
    /// Ends with its connection; made only for the snapshot that it exports.
    Temporary,
}

/// A snapshot that another session may look through while this connection stays as it is.
#[derive(Debug, Clone)]
pub(super) struct Exported {
    pub(super) consistent_point: Lsn,
    pub(super) name: String,
}

fn create_slot(context: &Context, kind: SlotKind) -> Result<(Client, Exported), PipelineError> {
    let settings = &context.connector.settings;
    let mut client = context.connect(Mode::Replication)?;
    let (name, temporary) = match kind {
        SlotKind::Permanent => (settings.slot_name.clone(), ""),
        SlotKind::Temporary => {
            // Slot names have 63 bytes at most. Each attempt has a name of its own: a server may still hold the last one's.
            static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
            let prefix: String = settings.slot_name.chars().take(30).collect();
            let run: String = context.run_id.chars().rev().take(12).collect();
            let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
            (format!("{prefix}_snapshot_{run}_{attempt}"), " TEMPORARY")
        }
    };
    tracing::info!(
        slot = name,
        temporary = kind == SlotKind::Temporary,
        "creating the replication slot; this waits for transactions that are open on the source"
    );
    let rows = client.query(&format!(
        "CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput EXPORT_SNAPSHOT",
        quote_identifier(&name)
    ))?;
    let cell = |index: usize| rows.first().and_then(|row| row.get(index).cloned().flatten());
    let exported = cell(1)
        .and_then(|lsn| lsn.parse().ok())
        .zip(cell(2))
        .map(|(consistent_point, name)| Exported { consistent_point, name });
    let exported = exported.ok_or(PipelineError::Replication(ReplicationError::Protocol(
        "no consistent point for a new slot",
    )))?;
    Ok((client, exported))
}

/// A session under way.
struct Session<'c> {
    context: &'c Context,
    source: Source,
    sql: Client,
    delivery: Delivery,
}

impl Session<'_> {
    fn stream(self, start: Lsn) -> Result<(), PipelineError> {
        let replication = self.context.connect(Mode::Replication)?;
        self.stream_on(replication, start)
    }

    fn stream_on(mut self, replication: Client, start: Lsn) -> Result<(), PipelineError> {
        tracing::info!(slot = slot_name(self.context), %start, "streaming");
        let stream = replication
            .start_replication(&self.start_options(start))
            .map_err(|error| self.refused(error))?;
        self.context.observer.streaming(true);
        self.streaming(Scope::All, start)?.run(stream).map(|_| ())
    }

    fn streaming(&mut self, scope: Scope, start: Lsn) -> Result<Streaming<'_>, PipelineError> {
        let relations = Relations::new(self.context, &mut self.sql, &self.source.tables);
        Streaming::new(self.context, &mut self.delivery, relations, scope, start)
    }

    /// Why the server does not stream: it may have given the slot up since we looked at it, as during a long snapshot.
    fn refused(&self, error: ReplicationError) -> PipelineError {
        let slot = self.context.connect(Mode::Sql).and_then(|mut sql| {
            catalog::slot(&mut sql, slot_name(self.context), self.source.settings.version)
        });
        match slot.ok().flatten().and_then(|slot| slot.lost()) {
            Some(reason) => invalidated(self.context, &reason),
            None => error.into(),
        }
    }

    fn start_options(&self, start: Lsn) -> StartOptions<'_> {
        let settings = &self.context.connector.settings;
        StartOptions {
            slot: &settings.slot_name,
            start,
            publication: &settings.publication_name,
            // Logical messages are not published to Kafka yet, so they are not asked for.
            messages: false,
        }
    }

    /// Without a snapshot. That the stream has begun is stored first: a slot that is lost later must not look like a first start.
    fn stream_from_now(mut self, replication: Client, start: Lsn) -> Result<(), PipelineError> {
        self.write_offset(&Position { end_lsn: start, tx_id: None, commit_ts_us: now_us() })?;
        self.drain()?;
        self.stream_on(replication, start)
    }

    fn snapshot_and_stream(
        mut self,
        replication: Client,
        exported: &Exported,
    ) -> Result<(), PipelineError> {
        let snapshot = Snapshot::open(self.context, &self.source, exported)?;
        self.snapshot(snapshot, exported)?;
        if self.context.connector.settings.snapshot_mode == SnapshotMode::InitialOnly {
            tracing::info!("snapshot.mode is initial_only: the work is done");
            return Ok(());
        }
        self.stream_on(replication, exported.consistent_point)
    }

    /// An earlier start was interrupted before its snapshot was complete, so rows may have been published that are gone by now.
    ///
    /// The slot has kept every change since. The deletes and truncates among them, up to a new snapshot's consistent point, are
    /// published first; then the new snapshot; then the stream goes on from that point. Each key's events thus stay in order, and no
    /// row stays behind that the source does not have.
    fn snapshot_again(mut self, confirmed: Lsn) -> Result<(), PipelineError> {
        tracing::warn!(
            slot = slot_name(self.context),
            "the slot is there but no finished snapshot: taking the snapshot again"
        );
        let (holder, exported) = create_slot(self.context, SlotKind::Temporary)?;
        let stream = self
            .context
            .connect(Mode::Replication)?
            .start_replication(&self.start_options(confirmed))?;
        // The snapshot holds its tables from here on: what changes them has to wait until their rows are read.
        let snapshot = Snapshot::open(self.context, &self.source, &exported)?;
        let catch_up = self.streaming(Scope::Retractions, confirmed)?;
        unless_stopped(catch_up.run_until(stream, exported.consistent_point)?)?;
        self.snapshot(snapshot, &exported)?;
        drop(holder);
        if self.context.connector.settings.snapshot_mode == SnapshotMode::InitialOnly {
            return Ok(());
        }
        self.stream(exported.consistent_point)
    }

    fn snapshot(&mut self, snapshot: Snapshot, exported: &Exported) -> Result<(), PipelineError> {
        let started = Instant::now();
        let rows = snapshot::run(snapshot, self.context, &mut self.delivery)?;
        // The offset says that the snapshot is complete, so every row has to be durable before it, and it before streaming begins.
        self.drain()?;
        self.write_offset(&Position {
            end_lsn: exported.consistent_point,
            tx_id: None,
            commit_ts_us: now_us(),
        })?;
        self.drain()?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(rows, seconds, consistent_point = %exported.consistent_point, "snapshot complete");
        Ok(())
    }

    /// Waits until Kafka has everything, however long that takes.
    fn drain(&self) -> Result<(), PipelineError> {
        unless_stopped(self.delivery.drain(&self.context.cancel)?)
    }

    /// Hands an offset record to the producer, however long its queue is full.
    fn write_offset(&mut self, position: &Position) -> Result<(), PipelineError> {
        unless_stopped(self.delivery.write_offset(position, &self.context.cancel)?)?;
        self.context.observer.offset(position);
        Ok(())
    }
}

fn unless_stopped(ended: Ended) -> Result<(), PipelineError> {
    match ended {
        Ended::Done => Ok(()),
        Ended::Stopped => Err(PipelineError::Cancelled),
    }
}
