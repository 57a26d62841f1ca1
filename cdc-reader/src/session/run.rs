//! The steps of a session: take the writer lock, settle what earlier sessions sent, wait for the server, check, decide
//! where to begin, make the slot, take the snapshot, stream.

use std::time::Instant;

use shared::debezium::topic::topic_name;
use shared::position::Lsn;

use super::preflight::{self, Source};
use super::published_times::pass_published_times;
use super::ready::{self, Looked};
use super::server::{self, Server};
use super::slot::{self, NewSlot, SlotKind};
use super::start::{Found, ResumeAt, Start, decide};
use super::writer_lock;
use crate::catalog::TableHead;
use crate::connector::SnapshotMode;
use crate::context::Context;
use crate::emit::Scope;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::gap::Gap;
use crate::one_server::OneServer;
use crate::publish::{Delivery, History, Position, StoredOffset, row_bytes_max};
use crate::replication::{Client, Mode, StartOptions, WaitLimit};
use crate::snapshot::{self, ExportedSnapshot, Snapshot};
use crate::stream::{Overlap, SessionBegin, Streaming};
use crate::table::{Relations, topics};

/// Since this version pgoutput sends logical decoding messages, to clients that ask for them.
const MESSAGES_SINCE: u32 = 140_000;

/// Runs a session to its end. The delivery to Kafka is made by the first session that gets so far, and later sessions
/// go on with it. `connected` is called when the source and Kafka have both answered.
///
/// # Errors
/// What ends it before its work is done and before somebody asks for a stop.
pub(crate) fn run(
    context: &Context,
    delivery: &mut Option<Delivery>,
    mut connected: impl FnMut(),
) -> Result<Ended, SessionError> {
    let mut replication =
        context.connect(Mode::Replication).map_err(|error| preflight::explain(context, error))?;
    topics::prepare_offset_topic(context)?;
    connected();
    if take_lock(&mut replication, context, delivery)? == Ended::Stopped {
        return Ok(Ended::Stopped);
    }
    let Some((offset, server)) = look(&mut replication, context, delivery)? else {
        return Ok(Ended::Stopped);
    };
    let reached = reached(delivery.as_ref());
    let settings = &context.connector.settings;
    slot::warn_of_no_copies(settings, &server);
    let one_server = OneServer::of(&mut replication)?;
    let mut sql = one_server.connect(context)?;
    // When somebody has locked a captured table, the log names the table again and again. The session does not wait in
    // silence.
    sql.query("SET lock_timeout = '5s'")?;
    let source = preflight::check(&mut sql, settings)?;
    source.judge(offset.into(), &context.observer)?;
    let found = Found { offset_topic: &context.offset_topic, offset, reached, server: &server };
    let start = match decide(settings, &found) {
        Ok(start) => start,
        Err(error) => {
            remember(&error, &found, context, delivery.as_mut())?;
            return Err(error);
        }
    };
    topics::warn_of_shared_topics(context, &source.tables);
    if let Some(topic) = context.heartbeat_topic() {
        pass_published_times(
            &context.publish_clock,
            &context.kafka.consumer,
            &topic,
            &context.cancel,
        );
    }
    let history = History { source: server.identity, transaction: offset.transaction() };
    let delivery = match delivery {
        Some(delivery) => {
            delivery.begin(history);
            delivery
        }
        None => delivery.insert(context.delivery(history)?),
    };
    let topic = |table: &TableHead| {
        topic_name(&settings.topic_prefix, &table.named.schema, &table.named.name)
    };
    delivery.prepare_topics(source.tables.iter().map(topic), &context.cancel);
    // From here on the connection answers questions of the thread that streams.
    let sql = sql.with_wait_limit(WaitLimit::brief());
    let is_adopted = !matches!(&offset, StoredOffset::Resume(stored)
        if stored.history.is_some_and(|stored| stored.source == server.identity));
    Session { context, server, one_server, source, sql, delivery, is_adopted }
        .run(replication, start)
}

/// Takes the lock that excludes other instances, and waits until what earlier sessions of this process sent is durable.
fn take_lock(
    replication: &mut Client,
    context: &Context,
    delivery: &mut Option<Delivery>,
) -> Result<Ended, SessionError> {
    if !writer_lock::take_at_once(replication, context)? {
        // It is shown while this instance waits.
        context.observer.stored_offset(context.offsets().load(&context.cancel)?.1);
        if let Some(delivery) = delivery.as_mut() {
            delivery.abandon(|| context.publisher())?;
        }
        if writer_lock::wait(replication, context)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
    }
    let Some(delivery) = delivery else { return Ok(Ended::Done) };
    delivery.replace_if_failed(|| context.publisher())?;
    context.observer.waiting("Kafka has to acknowledge what the session before has sent");
    let drained = delivery.drain(&context.cancel)?;
    context.observer.preparing();
    Ok(drained)
}

/// The stored offset, and the server as soon as it can be read. None when somebody asked for a stop meanwhile.
fn look(
    replication: &mut Client,
    context: &Context,
    delivery: &mut Option<Delivery>,
) -> Result<Option<(StoredOffset, Server)>, SessionError> {
    loop {
        let (mut offset, shown) = context.offsets().load(&context.cancel)?;
        context.observer.stored_offset(shown);
        if let Some(delivery) = delivery.as_mut()
            && delivery.settle(&offset, &context.cancel)?
        {
            offset = context.offsets().load(&context.cancel)?.0;
        }
        let reached = reached(delivery.as_ref());
        match ready::look_until_ready(replication, context, &offset, reached)? {
            Looked::Ready(server) => return Ok(Some((offset, server))),
            // Another instance may have published while this one waited.
            Looked::Changed => {}
            Looked::Stopped => return Ok(None),
        }
    }
}

/// Stores what only this process knows of a gap: that it has sent a part of a transaction which the source lacks. A
/// supervisor may start the reader again before an operator has decided, and that start must find the gap too.
fn remember(
    error: &SessionError,
    found: &Found<'_>,
    context: &Context,
    delivery: Option<&mut Delivery>,
) -> Result<(), SessionError> {
    let (SessionError::Gap { gap: Gap::LostWal { reached, .. }, .. }, StoredOffset::Resume(stored)) =
        (error, &found.offset)
    else {
        return Ok(());
    };
    let is_known = stored.published().max(stored.sent_until.unwrap_or_default()) >= *reached;
    if let Some(delivery) = delivery.filter(|_| !is_known) {
        delivery.store_sent_until(stored, *reached, &context.cancel)?;
    }
    Ok(())
}

fn reached(delivery: Option<&Delivery>) -> Lsn {
    delivery.map_or(Lsn::INVALID, Delivery::reached)
}

/// Where a stream begins.
struct Beginning {
    /// Where the server begins to send.
    start: Lsn,
    /// The end of the last commit that was published before.
    last_commit: Option<Lsn>,
    overlap: Overlap,
    /// Everything up to here was published before.
    published: Position,
}

/// A session under way.
struct Session<'c> {
    context: &'c Context,
    server: Server,
    one_server: OneServer,
    source: Source,
    sql: Client,
    delivery: &'c mut Delivery,
    /// Whether the stored offset does not name the server's history: it names an earlier timeline, or none.
    is_adopted: bool,
}

impl Session<'_> {
    fn run(mut self, mut replication: Client, start: Start) -> Result<Ended, SessionError> {
        match start {
            Start::Resume(at) => {
                self.context.observer.snapshot_skipped();
                self.resume(replication, at)
            }
            Start::Done => {
                tracing::info!("snapshot.mode is initial_only and the snapshot was taken before");
                Ok(Ended::Done)
            }
            Start::FromNow => {
                let new = self.create_slot(&mut replication, SlotKind::Permanent)?;
                self.stream_from_now(replication, new.exported.consistent_point)
            }
            Start::OnlySnapshot => {
                let new = self.create_slot(&mut replication, SlotKind::Temporary)?;
                self.snapshot_and_stream(replication, &new.exported)
            }
            Start::FirstSnapshot => {
                let new = self.create_slot(&mut replication, SlotKind::Permanent)?;
                self.snapshot_and_stream(replication, &new.exported)
            }
            Start::SnapshotAgain(confirmed) => self.snapshot_again(replication, confirmed),
        }
    }

    fn create_slot(
        &mut self,
        replication: &mut Client,
        kind: SlotKind,
    ) -> Result<NewSlot, SessionError> {
        slot::create(replication, self.context, kind, self.server.version)
    }

    /// Goes on where an earlier stream ended. From then on the stored offset names this server's history.
    fn resume(mut self, replication: Client, at: ResumeAt) -> Result<Ended, SessionError> {
        if self.is_adopted {
            tracing::info!(source = %self.server.identity, position = %at.until, "the stored offset belongs to this history from now on");
            if self.store_offset(at.until)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        let overlap = Overlap::between(at.from, at.until, at.transaction);
        let published = Position { end_lsn: at.until, transaction: at.transaction };
        let ResumeAt { from: start, last_commit, .. } = at;
        self.stream(replication, Beginning { start, last_commit, overlap, published })
    }

    /// Streams what follows on a snapshot or on a new slot.
    fn stream_on(self, replication: Client, start: Lsn) -> Result<Ended, SessionError> {
        let published = Position { end_lsn: start, transaction: None };
        let overlap = Overlap::none();
        self.stream(replication, Beginning { start, last_commit: None, overlap, published })
    }

    fn stream(mut self, replication: Client, beginning: Beginning) -> Result<Ended, SessionError> {
        let Beginning { start, last_commit, overlap, published } = beginning;
        tracing::info!(slot = self.slot_name(), source = %self.server.identity, %start, "streaming");
        let stream = replication
            .start_replication(&self.start_options(start))
            .map_err(|error| slot::why_refused(self.context, self.server.version, error))?;
        self.context.observer.streaming(true);
        let begun =
            SessionBegin { wal_end: self.server.wal_end, timeline: self.server.identity.timeline };
        self.streaming(Scope::All, start)
            .after(last_commit, overlap)
            .with_heartbeats(published, begun)
            .run(stream)
    }

    fn streaming(&mut self, scope: Scope, start: Lsn) -> Streaming<'_> {
        let tables = &self.source.tables;
        let relations = Relations::new(self.context, &self.one_server, &mut self.sql, tables);
        Streaming::new(self.context, self.delivery, relations, scope, start)
    }

    fn start_options(&self, start: Lsn) -> StartOptions<'_> {
        StartOptions {
            slot: self.slot_name(),
            start,
            publication: &self.context.connector.settings.publication_name,
            messages: self.server.version >= MESSAGES_SINCE,
            message_bytes_max: row_bytes_max(&self.context.connector.settings.producer_overrides),
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
        mut replication: Client,
        exported: &ExportedSnapshot,
    ) -> Result<Ended, SessionError> {
        let snapshot = self.open_snapshot(exported)?;
        if self.snapshot(&mut replication, snapshot, exported)? == Ended::Stopped {
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
    fn snapshot_again(
        mut self,
        mut replication: Client,
        confirmed: Lsn,
    ) -> Result<Ended, SessionError> {
        tracing::warn!(
            slot = self.slot_name(),
            "the slot exists and no snapshot was finished: taking the snapshot again"
        );
        let new = self.create_slot(&mut replication, SlotKind::Temporary)?;
        let mut second = self.context.connect(Mode::Replication)?;
        server::require_same(&mut second, self.server.identity)?;
        let stream = second
            .start_replication(&self.start_options(confirmed))
            .map_err(|error| slot::why_refused(self.context, self.server.version, error))?;
        // From here on the snapshot holds locks on its tables: a change of their definition has to wait until their
        // rows are read.
        let snapshot = self.open_snapshot(&new.exported)?;
        let catch_up = self.streaming(Scope::Retractions, confirmed);
        if catch_up.run_until(stream, new.exported.consistent_point)? == Ended::Stopped
            || self.snapshot(&mut replication, snapshot, &new.exported)? == Ended::Stopped
        {
            return Ok(Ended::Stopped);
        }
        slot::drop_temporary(&mut replication, &new)?;
        if self.context.connector.settings.snapshot_mode == SnapshotMode::InitialOnly {
            return Ok(Ended::Done);
        }
        self.stream_on(replication, new.exported.consistent_point)
    }

    fn open_snapshot(&self, exported: &ExportedSnapshot) -> Result<Snapshot, SessionError> {
        let (tables, version) = (&self.source.tables, self.server.version);
        Snapshot::open(self.context, &self.one_server, tables, version, exported)
    }

    /// Publishes the rows, and stores the offset that says that all of them are published. `replication` holds the lock
    /// that excludes other instances.
    fn snapshot(
        &mut self,
        replication: &mut Client,
        snapshot: Snapshot,
        exported: &ExportedSnapshot,
    ) -> Result<Ended, SessionError> {
        let started = Instant::now();
        let rows = snapshot::run(snapshot, self.context, self.delivery, replication)?;
        let Some(rows) = rows else { return Ok(Ended::Stopped) };
        // When this connection has ended meanwhile, another instance may have begun.
        replication.query("SELECT 1")?;
        // The offset says that the snapshot is complete. So every row has to be durable before the offset is written,
        // and the offset has to be durable before streaming begins.
        let drained = self.delivery.drain(&self.context.cancel)?;
        // What was sent before are retractions: their positions say nothing of the snapshot.
        self.delivery.forget_confirmed();
        if drained == Ended::Stopped
            || self.store_offset(exported.consistent_point)? == Ended::Stopped
        {
            return Ok(Ended::Stopped);
        }
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(rows, seconds, consistent_point = %exported.consistent_point, "snapshot complete");
        Ok(Ended::Done)
    }

    /// Stores an offset that belongs to no transaction, and waits until Kafka has it.
    fn store_offset(&mut self, lsn: Lsn) -> Result<Ended, SessionError> {
        let position = Position { end_lsn: lsn, transaction: None };
        let ended = self.delivery.store_offset(&position, &self.context.cancel)?;
        if let Some(offset) = self.delivery.take_stored() {
            self.context.observer.offset(&offset);
        }
        Ok(ended)
    }
}
