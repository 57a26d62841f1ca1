//! The hot path: frames to records, acknowledgements to confirmations, on one thread.
//!
//! For each frame: decode in place, encode into the emitter's arena, hand to librdkafka. Every few hundred frames, and whenever nothing comes, the same thread looks after the rest: which position is durable, what the server has to
//! be told, whether Kafka has failed, whether it is time to stop. When the producer's queue is full the socket is not read, and the
//! server is still answered.
//!
//! What may be confirmed: the end of the last transaction whose every event, and every event before it, Kafka has acknowledged; and,
//! with no transaction open, a keepalive's WAL end, which enters the ledger like an empty transaction and so waits for everything
//! before it. An idle source's WAL is thus released without any heartbeat table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::debezium::envelope::{SnapshotMark, SourceInfo};
use shared::position::Lsn;

use super::PipelineError;
use super::clock::{now_ns, now_us, unix_micros};
use super::emit::{Capture, Emitter, Scope, Stamp};
use super::session::{self, DRAIN_DEADLINE, Session};
use super::source_watch::SourceWatch;
use crate::catalog;
use crate::envelope::TablePlan;
use crate::observe::Sample;
use crate::pgoutput::{self, Begin, Message, Relation, Truncate};
use crate::publish::Position;
use crate::replication::{Client, Event, Mode, ReplicationError, Stream, WaitLimit};
use crate::transaction::TransactionOrder;

/// Frames between two looks at the clock; at the slowest rates the idle wait looks instead.
const FRAMES_PER_LOOK: u32 = 256;

/// How often acknowledgements are turned into a confirmed position.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(20);

/// How often a new confirmed position is told to the server. It only bounds what comes again after a crash.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// How often the server is told while changes flow, or wait for the producer's queue: its requests for a reply then lie unread behind them
/// in the socket, so the replies have to come unasked, well within any `wal_sender_timeout` that is in use.
const BUSY_STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The longest silence towards the server, whatever the configuration says: `wal_sender_timeout` is a minute by default.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// How often the offset is written: Kafka Connect's default is a minute, which is as much as a take-over would repeat.
const OFFSET_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two replies that say the same. A server that shuts down asks again as soon as it is answered, until
/// everything is confirmed.
const REPLY_INTERVAL: Duration = Duration::from_millis(20);

/// How often the offset is written when only WAL without published changes passes. The slot is confirmed past it, and real Debezium
/// refuses to take over from an offset that lies before the WAL which the slot keeps.
const QUIET_OFFSET_INTERVAL: Duration = Duration::from_secs(60);

/// How long a stop waits for the end of an open transaction, so that the next start does not send its beginning again.
const FINISH_DEADLINE: Duration = Duration::from_secs(5);

/// A relation as the stream announced it.
enum Announced {
    Captured(Box<Capture>),
    /// Published but not captured.
    Ignored,
}

/// A running stream with all it needs.
pub(super) struct Streaming<'c> {
    session: Session<'c>,
    stream: Option<Stream>,
    state: State,
}

/// What the stream has told so far.
struct State {
    emitter: Emitter,
    order: TransactionOrder,
    relations: HashMap<u32, Announced>,
    received: Lsn,
    confirmed: Lsn,
    confirmed_told: Lsn,
    /// The last transaction that became durable.
    last_transaction: Position,
    /// A transaction that became durable since the offset was last written.
    offset_due: Option<Position>,
    /// WAL without a published change that was passed since the offset was last written.
    quiet_offset_due: Option<Position>,
    commits: u64,
    behind_ms: Option<i64>,
    until: Option<Lsn>,
    /// Offsets say that everything before them is published; while only retractions are, that is not so.
    stores_offsets: bool,
    ended: Option<Ended>,
    frames: u32,
    /// The last thing that came was a change, not a pause.
    flowing: bool,
    last_confirm: Instant,
    last_status: Instant,
    last_offset: Instant,
    /// The server asked for a status and has not got one since.
    reply_owed: bool,
    watch: SourceWatch,
    /// When the stop was noticed that somebody asked for.
    stopping_since: Option<Instant>,
}

/// What is to be done after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Reached,
}

impl<'c> Streaming<'c> {
    /// A stream that continues at `start`.
    ///
    /// # Errors
    /// When the source cannot be watched beside it.
    pub(super) fn new(
        session: Session<'c>,
        stream: Stream,
        scope: Scope,
        start: Lsn,
    ) -> Result<Self, PipelineError> {
        let now = Instant::now();
        let settings = &session.context.connector.settings;
        let state = State {
            emitter: Emitter::new(&session.context.connector.settings, scope),
            order: TransactionOrder::default(),
            relations: HashMap::new(),
            received: start,
            confirmed: start,
            confirmed_told: Lsn::INVALID,
            last_transaction: Position { end_lsn: start, tx_id: None, commit_ts_us: now_us() },
            offset_due: None,
            quiet_offset_due: None,
            commits: 0,
            behind_ms: None,
            until: None,
            stores_offsets: scope == Scope::All,
            ended: None,
            frames: 0,
            flowing: false,
            last_confirm: now,
            last_status: now,
            last_offset: now,
            reply_owed: false,
            watch: SourceWatch::start(&settings.database, &settings.slot_name)?,
            stopping_since: None,
        };
        Ok(Self { session, stream: Some(stream), state })
    }

    /// Streams until stopped, and ends the stream in order.
    pub(super) fn run(mut self) -> Result<(), PipelineError> {
        self.run_inner()
    }

    /// Streams until everything before `until` has been handled, ends the stream in order, and gives the session back.
    pub(super) fn run_until(mut self, until: Lsn) -> (Result<(), PipelineError>, Session<'c>) {
        self.state.until = Some(until);
        let result = self.run_inner();
        (result, self.session)
    }

    fn run_inner(&mut self) -> Result<(), PipelineError> {
        let Some(mut stream) = self.stream.take() else { return Err(PipelineError::Cancelled) };
        let result = self.pump(&mut stream);
        // A stop that somebody asked for, and a position that was reached, leave the stream intact: say what is durable, then end it.
        if matches!(result, Ok(_) | Err(PipelineError::Cancelled)) {
            self.wind_up(&mut stream)?;
            stream.finish();
        } else if matches!(result, Err(PipelineError::Publish(_))) {
            // The source is well: what Kafka has acknowledged by now need not come again. Neither failure would be news.
            let _ = self.confirm();
            let _ = self.tell(&mut stream);
        }
        self.report();
        result
    }

    fn pump(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        loop {
            self.state.frames += 1;
            let next = match stream.receive()? {
                Event::Data { start, payload } => {
                    self.state.flowing = true;
                    self.state.data(&mut self.session, start, payload)?
                }
                Event::Keepalive { wal_end, reply_requested } => {
                    self.state.keepalive(&self.session, wal_end, reply_requested)
                }
                Event::Idle => {
                    self.state.flowing = false;
                    self.state.frames = FRAMES_PER_LOOK;
                    Next::Go
                }
                Event::End => return Err(ReplicationError::Closed.into()),
            };
            while !self.state.emitter.flush(&mut self.session.delivery)?
                || self.session.delivery.is_ledger_full()
            {
                self.look_after(stream)?;
                if self.state.last_status.elapsed() >= BUSY_STATUS_INTERVAL {
                    self.tell(stream)?;
                }
                self.session.delivery.wait_for_room()?;
            }
            self.state.committed(&self.session);
            if self.state.stopping_since.is_some() {
                self.stop_between_transactions()?;
            }
            if next == Next::Reached {
                return Ok(());
            }
            if self.state.reply_owed {
                self.reply(stream)?;
            }
            if self.state.frames >= FRAMES_PER_LOOK {
                self.state.frames = 0;
                self.look_after(stream)?;
            }
        }
    }

    /// Everything that is not a frame.
    fn look_after(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        if self.state.last_confirm.elapsed() < CONFIRM_INTERVAL {
            return Ok(());
        }
        self.state.last_confirm = Instant::now();
        if self.session.context.cancel.is_cancelled() {
            self.stop_between_transactions()?;
        }
        self.confirm()?;
        let since_status = self.state.last_status.elapsed();
        let moved = self.state.confirmed > self.state.confirmed_told;
        let settings = &self.session.context.connector.settings;
        let interval = if self.state.flowing {
            BUSY_STATUS_INTERVAL
        } else {
            settings.status_update_interval.min(STATUS_INTERVAL_MAX)
        };
        if (moved && since_status >= STATUS_INTERVAL) || since_status >= interval {
            self.tell(stream)?;
        }
        let since_offset = self.state.last_offset.elapsed();
        if (self.state.offset_due.is_some() && since_offset >= OFFSET_INTERVAL)
            || (self.state.quiet_offset_due.is_some() && since_offset >= QUIET_OFFSET_INTERVAL)
        {
            self.write_offset()?;
        }
        self.state.watch.check_shutdown(self.session.delivery.in_flight())?;
        self.report();
        Ok(())
    }

    /// Ends the stream once somebody asked for it and no transaction is open, or when an open one takes too long to end.
    fn stop_between_transactions(&mut self) -> Result<(), PipelineError> {
        let since = *self.state.stopping_since.get_or_insert_with(Instant::now);
        if self.state.order.is_open() && since.elapsed() < FINISH_DEADLINE {
            return Ok(());
        }
        Err(PipelineError::Cancelled)
    }

    /// Takes what became durable over from the ledger.
    fn confirm(&mut self) -> Result<(), PipelineError> {
        let confirmed = self.session.delivery.take_confirmed();
        if let Some(position) = confirmed {
            self.take_over(position);
        }
        // What is durable stays so, whatever became of what was sent after it.
        Ok(self.session.delivery.check()?)
    }

    fn take_over(&mut self, position: Position) {
        debug_assert!(position.end_lsn >= self.state.confirmed, "confirmed positions only grow");
        self.state.confirmed = self.state.confirmed.max(position.end_lsn);
        if position.tx_id.is_some() {
            let age_us = now_us() - position.commit_ts_us;
            self.session.context.observer.published(age_us);
            self.state.last_transaction = position;
            self.state.offset_due = Some(position);
        } else {
            let quiet = Position { end_lsn: position.end_lsn, ..self.state.last_transaction };
            self.state.quiet_offset_due = Some(quiet);
        }
    }

    /// Answers the server's request with the position that is durable by now. When the server has been told that position already, the
    /// answer waits until [`REPLY_INTERVAL`] has passed since the last one.
    fn reply(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        self.confirm()?;
        let news = self.state.confirmed > self.state.confirmed_told;
        if news || self.state.last_status.elapsed() >= REPLY_INTERVAL {
            self.tell(stream)?;
        }
        Ok(())
    }

    fn tell(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        stream.send_status(self.state.received, self.state.confirmed, false)?;
        self.state.reply_owed = false;
        self.state.confirmed_told = self.state.confirmed;
        self.state.last_status = Instant::now();
        Ok(())
    }

    /// Hands the furthest offset to the producer; when its queue is full, the offset stays due.
    fn write_offset(&mut self) -> Result<(), PipelineError> {
        self.state.last_offset = Instant::now();
        let due = [self.state.offset_due, self.state.quiet_offset_due];
        let furthest = due.into_iter().flatten().max_by_key(|position| position.end_lsn);
        if let Some(position) = furthest.filter(|_| self.state.stores_offsets) {
            if !self.session.delivery.try_write_offset(&position)? {
                return Ok(());
            }
            self.session.context.observer.offset(&position);
        }
        (self.state.offset_due, self.state.quiet_offset_due) = (None, None);
        Ok(())
    }

    /// Waits for what is in flight, writes the offset, and tells the server: the next start repeats nothing.
    fn wind_up(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        let deadline = Instant::now() + DRAIN_DEADLINE;
        let step = Duration::from_millis(100);
        while !self.session.delivery.flush(step) && Instant::now() < deadline {
            self.confirm()?;
            self.tell(stream)?;
        }
        self.confirm()?;
        let left = self.session.delivery.in_flight();
        if left > 0 {
            tracing::warn!(
                records = left,
                "Kafka did not acknowledge everything in time; the next start publishes it again"
            );
        }
        if self.state.offset_due.is_some() || self.state.quiet_offset_due.is_some() {
            self.write_offset()?;
            if !self.session.delivery.flush(Duration::from_secs(5)) {
                tracing::warn!(
                    "the offset was not acknowledged before the end; the slot's confirmed position stands"
                );
            }
        }
        self.tell(stream)
    }

    fn report(&mut self) {
        if let Some(bytes) = self.state.watch.slot_lag_bytes() {
            self.session.context.observer.slot_lag(bytes);
        }
        self.session.context.observer.sample(&Sample {
            counts: std::mem::take(&mut self.state.emitter.counts),
            commits: std::mem::take(&mut self.state.commits),
            received: self.state.received,
            confirmed: self.state.confirmed,
            in_flight: self.session.delivery.in_flight(),
            in_flight_bytes: self.session.delivery.in_flight_bytes(),
            ledger_waiting: self.session.delivery.commits_waiting(),
            behind_ms: self.state.behind_ms.take(),
        });
    }
}

/// A transaction that ended with the frame at hand: entered into the ledger once its last event has been sent.
#[derive(Debug, Clone, Copy)]
struct Ended {
    position: Position,
}

impl State {
    fn data(
        &mut self,
        session: &mut Session<'_>,
        start: Lsn,
        payload: &[u8],
    ) -> Result<Next, PipelineError> {
        match pgoutput::decode(payload)? {
            Message::Insert(insert) => {
                let open = self.order.check_change("an insert")?;
                if let Some(capture) = captured(&self.relations, insert.relation)? {
                    let stamp = stamp(open, start, self.order.last_commit_end());
                    self.emitter.insert(capture, &insert.new, &stamp)?;
                } else {
                    self.emitter.counts.filtered += 1;
                }
            }
            Message::Update(update) => {
                let open = self.order.check_change("an update")?;
                if let Some(capture) = captured(&self.relations, update.relation)? {
                    let stamp = stamp(open, start, self.order.last_commit_end());
                    self.emitter.update(capture, update.old, &update.new, &stamp)?;
                } else {
                    self.emitter.counts.filtered += 1;
                }
            }
            Message::Delete(delete) => {
                let open = self.order.check_change("a delete")?;
                if let Some(capture) = captured(&self.relations, delete.relation)? {
                    let stamp = stamp(open, start, self.order.last_commit_end());
                    self.emitter.delete(capture, delete.old, &stamp)?;
                } else {
                    self.emitter.counts.filtered += 1;
                }
            }
            Message::Truncate(truncate) => self.truncate(&truncate, start)?,
            Message::Begin(begin) => {
                if self.until.is_some_and(|until| begin.final_lsn >= until) {
                    return Ok(Next::Reached);
                }
                self.order.begin(begin)?;
            }
            Message::Commit(commit) => {
                let open = self.order.commit(commit)?;
                self.commits += 1;
                self.received = self.received.max(commit.end_lsn);
                let commit_ts_us = unix_micros(commit.commit_time);
                self.behind_ms = Some((now_us() - commit_ts_us) / 1000);
                self.ended = Some(Ended {
                    position: Position {
                        end_lsn: commit.end_lsn,
                        tx_id: Some(open.xid),
                        commit_ts_us,
                    },
                });
            }
            Message::Relation(relation) => self.relation(session, &relation)?,
            // Types that are not built in are refused with their relation; origins do not change what is published.
            Message::Type(_) | Message::Origin(_) => {}
            // Not asked for.
            Message::LogicalMessage(_) => self.emitter.counts.filtered += 1,
        }
        Ok(Next::Go)
    }

    fn truncate(&mut self, truncate: &Truncate<'_>, start: Lsn) -> Result<(), PipelineError> {
        let open = self.order.check_change("a truncate")?;
        let stamp = stamp(open, start, self.order.last_commit_end());
        for relation in truncate.relations() {
            if let Some(capture) = captured(&self.relations, relation)? {
                self.emitter.truncate(capture, &stamp)?;
            }
        }
        Ok(())
    }

    /// A new version of a table: its plan is compiled anew.
    fn relation(
        &mut self,
        session: &mut Session<'_>,
        relation: &Relation<'_>,
    ) -> Result<(), PipelineError> {
        let settings = &session.context.connector.settings;
        if !settings.tables.captures(relation.namespace, relation.name) {
            self.relations.insert(relation.oid, Announced::Ignored);
            return Ok(());
        }
        let known = match catalog::table(&mut session.sql, relation.namespace, relation.name) {
            Ok(known) => known,
            Err(ReplicationError::Io(_) | ReplicationError::Closed) => {
                // The connection for SQL may have been idle for days; the stream's own is alive.
                session.sql = Client::connect(&settings.database, Mode::Sql, WaitLimit::brief())?;
                catalog::table(&mut session.sql, relation.namespace, relation.name)?
            }
            Err(error) => return Err(error.into()),
        };
        let mut table = catalog::merge(relation, known.as_ref());
        catalog::resolve_types(&mut session.sql, [&mut table])?;
        let plan = TablePlan::new(table, &session.context.plan_options())?;
        tracing::debug!(table = plan.table().display(), topic = plan.topic(), "table announced");
        let known = |table: &catalog::CatalogTable| {
            table.info.schema == relation.namespace && table.info.name == relation.name
        };
        if !session.source.tables.iter().any(known) {
            session::create_topic(session.context, plan.topic())?;
        }
        let topic = Arc::from(plan.topic());
        let observer = &session.context.observer;
        observer.topics(&[plan.topic().to_owned()]);
        observer.columns_left_out(&plan.table().display(), plan.left_out());
        let capture = Box::new(Capture { plan, topic });
        self.relations.insert(relation.oid, Announced::Captured(capture));
        Ok(())
    }

    fn keepalive(&mut self, session: &Session<'_>, wal_end: Lsn, reply_requested: bool) -> Next {
        self.received = self.received.max(wal_end);
        if !self.order.is_open() {
            let position = Position { end_lsn: wal_end, tx_id: None, commit_ts_us: 0 };
            if wal_end > self.confirmed {
                session.delivery.commit(position);
            }
            if self.until.is_some_and(|until| wal_end >= until) {
                return Next::Reached;
            }
        }
        self.reply_owed |= reply_requested;
        Next::Go
    }

    /// Enters a transaction into the ledger after its last event has been handed to the producer.
    fn committed(&mut self, session: &Session<'_>) {
        if let Some(Ended { position }) = self.ended.take() {
            session.delivery.commit(position);
        }
    }
}

/// The plan of a relation; none when it is not captured.
fn captured(
    relations: &HashMap<u32, Announced>,
    oid: u32,
) -> Result<Option<&Capture>, PipelineError> {
    match relations.get(&oid) {
        Some(Announced::Captured(capture)) => Ok(Some(capture)),
        Some(Announced::Ignored) => Ok(None),
        None => Err(PipelineError::UnknownRelation(oid)),
    }
}

fn stamp(open: Begin, lsn: Lsn, last_commit: Option<Lsn>) -> Stamp {
    let source = SourceInfo {
        ts_us: unix_micros(open.commit_time),
        snapshot: SnapshotMark::Streaming,
        tx_id: open.xid,
        lsn,
        last_commit,
    };
    Stamp { source, now_ns: now_ns() }
}
