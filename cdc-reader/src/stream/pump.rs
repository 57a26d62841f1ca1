//! The loop. In: a frame. Out: its records. The periodic work is done in between.
//!
//! Every few hundred frames, and whenever nothing comes, the thread that reads the socket also does the periodic work.
//! It asks the ledger which position is durable, sends a status to the server, writes the offset, and checks whether
//! Kafka has failed and whether somebody asks for a stop. When the producer's queue is full, the socket is not read,
//! and the server is still answered.

use std::time::{Duration, Instant};

use shared::position::Lsn;

use super::changes::{Changes, Large, Next};
use super::confirm::{Confirmation, Offsets, Traffic};
use super::heartbeat::{Heartbeats, SessionBegin};
use super::overlap::Overlap;
use super::silence::Silence;
use super::source_shutdown::SourceShutdown;
use super::stop::Stop;
use crate::clock::now_us;
use crate::context::Context;
use crate::emit::Scope;
use crate::ended::Ended;
use crate::error::SessionError;
use crate::observe::Sample;
use crate::publish::{Beat, Delivery, Position};
use crate::replication::{Event, ReplicationError, Stream};
use crate::table::Relations;

/// How many frames are handled between two looks at the clock. When frames come slowly, the idle wait looks at the
/// clock instead.
const FRAMES_PER_LOOK: u32 = 256;

/// How often the periodic work is done. Acknowledgements become a confirmed position as often.
const PERIODIC_WORK_INTERVAL: Duration = Duration::from_millis(20);

/// How often the server gets a status while an orderly end waits for what is in flight.
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// A stream with all that it needs.
pub(crate) struct Streaming<'s> {
    context: &'s Context,
    delivery: &'s mut Delivery,
    changes: Changes<'s>,
    confirmation: Confirmation,
    /// None when no heartbeats are sent.
    heartbeats: Option<Heartbeats>,
    stop: Stop,
    silence: Silence,
    source_shutdown: SourceShutdown,
    traffic: Traffic,
    /// Frames since the last look at the clock.
    frames: u32,
    last_periodic_work: Instant,
}

impl<'s> Streaming<'s> {
    /// A stream that begins at `start`.
    pub(crate) fn new(
        context: &'s Context,
        delivery: &'s mut Delivery,
        relations: Relations<'s>,
        scope: Scope,
        start: Lsn,
    ) -> Self {
        let now = Instant::now();
        let settings = &context.connector.settings;
        let offsets = match scope {
            Scope::All => Offsets::Stored,
            Scope::Retractions => Offsets::NotStored,
        };
        Self {
            context,
            delivery,
            changes: Changes::new(context, scope, relations),
            confirmation: Confirmation::new(start, offsets, settings.status_update_interval, now),
            heartbeats: None,
            stop: Stop::on_request(),
            silence: Silence::new(),
            source_shutdown: SourceShutdown::new(now),
            traffic: Traffic::Quiet,
            frames: 0,
            last_periodic_work: now,
        }
    }

    /// The stream goes on after an earlier one, whose last published commit ended at `last_commit`: events name it.
    /// What of that stream comes again is `overlap`.
    pub(crate) fn after(mut self, last_commit: Option<Lsn>, overlap: Overlap) -> Self {
        self.changes.after(last_commit, overlap);
        self
    }

    /// The stream sends heartbeats, if the connector asks for them. Everything up to `published` is durable, and `begun`
    /// is what the session found when it began.
    pub(crate) fn with_heartbeats(mut self, published: Position, begun: SessionBegin) -> Self {
        let settings = self.context.connector.settings.heartbeats.as_ref();
        self.heartbeats =
            settings.map(|settings| Heartbeats::new(settings.interval, published, begun));
        self
    }

    /// Streams until everything before `until` has been handled or somebody asks for a stop, and ends the stream in
    /// order.
    ///
    /// # Errors
    /// What breaks the stream, or keeps a change from being published.
    pub(crate) fn run_until(mut self, stream: Stream, until: Lsn) -> Result<Ended, SessionError> {
        self.stop = Stop::at(until);
        self.run(stream)
    }

    /// Streams until somebody asks for a stop, and ends the stream in order.
    ///
    /// # Errors
    /// What breaks the stream, or keeps a change from being published.
    pub(crate) fn run(mut self, mut stream: Stream) -> Result<Ended, SessionError> {
        self.context.watch.of_walsender(stream.server_pid());
        let ended = self.pump(&mut stream);
        let result = ended.and_then(|ended| self.wind_up(&mut stream).map(|()| ended));
        match &result {
            Ok(_) => stream.finish(),
            Err(SessionError::Publish(_)) => {
                // The source still answers, so the slot is confirmed up to what Kafka has acknowledged, and that need
                // not come again. Failures of these two steps are not reported, because the session has failed already.
                let _ = self.confirm();
                let _ = self.send_status(&mut stream);
            }
            Err(_) => {}
        }
        self.report();
        result
    }

    fn pump(&mut self, stream: &mut Stream) -> Result<Ended, SessionError> {
        loop {
            self.frames += 1;
            let next = self.receive(stream)?;
            if let Some(ended) = self.follow(next, stream)? {
                return Ok(ended);
            }
        }
    }

    /// Takes what the server has sent, if it has sent anything.
    fn receive(&mut self, stream: &mut Stream) -> Result<Next, SessionError> {
        match stream.receive()? {
            Event::Data { start, payload } => {
                self.traffic = Traffic::Flowing;
                return self.changes.apply(start, payload, &self.stop);
            }
            Event::Keepalive { wal_end, reply_requested } => {
                return self.keepalive(wal_end, reply_requested);
            }
            Event::Idle { unanswered } => {
                self.traffic = Traffic::Quiet;
                self.frames = FRAMES_PER_LOOK;
                self.check_silence(unanswered)?;
            }
            Event::Partial { unanswered } => {
                self.traffic = Traffic::Flowing;
                self.frames = FRAMES_PER_LOOK;
                self.check_silence(unanswered)?;
            }
            Event::Large { bytes, head } => match self.changes.large(bytes, head)? {
                Large::Wanted => stream.want_large(),
                Large::Skipped => stream.skip_large(),
            },
            Event::End => return Err(ReplicationError::Closed.into()),
        }
        Ok(Next::Continue)
    }

    /// Does what follows from a frame, and gives how the stream ends, if it does.
    fn follow(&mut self, next: Next, stream: &mut Stream) -> Result<Option<Ended>, SessionError> {
        match next {
            Next::Began(commit) => self.delivery.reach(commit),
            Next::Committed(position) => self.confirmation.receive(position.end_lsn),
            Next::Continue | Next::Reached => {}
        }
        if self.send_records(stream)? == Ended::Stopped {
            return Ok(Some(Ended::Stopped));
        }
        // Entered before the wait for the ledger: a stop meanwhile must not send the transaction again.
        if let Next::Committed(position) = next {
            self.delivery.commit(position);
            self.probe();
        }
        while self.delivery.is_ledger_full() {
            if self.wait_for_kafka(stream)? == Ended::Stopped {
                return Ok(Some(Ended::Stopped));
            }
        }
        if self.is_stop_due() {
            return Ok(Some(Ended::Stopped));
        }
        if next == Next::Reached {
            return Ok(Some(Ended::Done));
        }
        if self.confirmation.is_reply_requested() {
            self.reply(stream)?;
        }
        if self.frames >= FRAMES_PER_LOOK {
            self.frames = 0;
            if self.periodic_work(stream)? == Ended::Stopped {
                return Ok(Some(Ended::Stopped));
            }
        }
        Ok(None)
    }

    fn keepalive(&mut self, wal_end: Lsn, reply_requested: bool) -> Result<Next, SessionError> {
        self.confirmation.receive(wal_end);
        if !self.changes.in_transaction() && self.changes.is_past_overlap(wal_end)? {
            if let Some(position) = self.confirmation.quiet_position(wal_end) {
                self.delivery.commit(position);
            }
            if self.stop.is_reached(wal_end) {
                return Ok(Next::Reached);
            }
        }
        if reply_requested {
            self.confirmation.request_reply();
        }
        Ok(Next::Continue)
    }

    /// Hands the records of the last frame to Kafka, however long the producer's queue is full.
    fn send_records(&mut self, stream: &mut Stream) -> Result<Ended, SessionError> {
        while !self.changes.flush(self.delivery)? {
            if self.wait_for_kafka(stream)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Done)
    }

    /// Waits a moment until the producer's queue or the ledger has room, and answers the server meanwhile.
    fn wait_for_kafka(&mut self, stream: &mut Stream) -> Result<Ended, SessionError> {
        if self.periodic_work(stream)? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        if self.confirmation.is_status_due(Instant::now(), Traffic::Flowing) {
            self.send_status(stream)?;
        }
        self.delivery.wait_for_room()?;
        Ok(Ended::Done)
    }

    /// Does everything that is not a frame, if it was last done [`PERIODIC_WORK_INTERVAL`] ago.
    fn periodic_work(&mut self, stream: &mut Stream) -> Result<Ended, SessionError> {
        let now = Instant::now();
        if now.saturating_duration_since(self.last_periodic_work) < PERIODIC_WORK_INTERVAL {
            return Ok(Ended::Done);
        }
        self.last_periodic_work = now;
        if self.context.cancel.is_cancelled() {
            self.stop.request(now);
            if self.is_stop_due() {
                return Ok(Ended::Stopped);
            }
        }
        self.confirm()?;
        if self.confirmation.is_offset_due(now) {
            self.write_offset()?;
        }
        if self.confirmation.is_status_due(now, self.traffic) {
            self.send_status(stream)?;
        }
        self.beat(stream, now)?;
        let refusals = self.context.watch.refusals();
        self.source_shutdown.check(refusals, self.delivery.in_flight(), now)?;
        self.report();
        Ok(Ended::Done)
    }

    /// Checks whether a server that has owed an answer for so long is still there.
    fn check_silence(&mut self, unanswered: Duration) -> Result<(), SessionError> {
        let watch = &self.context.watch;
        watch.note_silence(!unanswered.is_zero());
        Ok(self.silence.check(unanswered, watch.since_at_work())?)
    }

    fn is_stop_due(&self) -> bool {
        self.stop.is_requested() && self.stop.is_due(Instant::now(), self.changes.in_transaction())
    }

    /// Asks which events and which offset have become durable.
    fn confirm(&mut self) -> Result<(), SessionError> {
        if let Some(position) = self.delivery.take_confirmed() {
            if let Some(transaction) = position.transaction {
                self.context.observer.published(now_us() - transaction.commit_ts_us);
            }
            self.confirmation.events_are_durable(position);
            if let Some(heartbeats) = &mut self.heartbeats {
                heartbeats.events_are_durable(position);
            }
        }
        if let Some(offset) = self.delivery.take_stored() {
            self.context.observer.offset(&offset);
            self.confirmation.offset_is_durable(offset.position.end_lsn);
        }
        // What is durable stays durable, also when something after it has failed.
        Ok(self.delivery.check()?)
    }

    /// Keeps what heartbeats claim up to date, and offers one when it is due.
    fn beat(&mut self, stream: &mut Stream, now: Instant) -> Result<(), SessionError> {
        let Some(heartbeats) = &mut self.heartbeats else { return Ok(()) };
        heartbeats.acknowledged(self.delivery.acknowledged());
        heartbeats.heard(stream.last_received());
        self.probe();
        let (Some(heartbeats), Some(sender)) = (&mut self.heartbeats, &self.context.heartbeats)
        else {
            return Ok(());
        };
        if !heartbeats.is_due(now) {
            return Ok(());
        }
        let reached = heartbeats.beat(now);
        // Nobody waits for a heartbeat: while the one before is on its way, this one is left out.
        sender.offer(Beat { sent_ms: now_us() / 1000, reached });
        if heartbeats.wants_question() {
            heartbeats.asked(Instant::now());
            let (received, confirmed) =
                (self.confirmation.received(), self.confirmation.confirmed());
            stream.send_status(received, confirmed, true)?;
            self.confirmation.status_sent(Instant::now());
        }
        Ok(())
    }

    /// Notes what a heartbeat may claim, unless a transaction is open: a claim lies between two transactions.
    fn probe(&mut self) {
        let Some(heartbeats) =
            self.heartbeats.as_mut().filter(|heartbeats| heartbeats.wants_probe())
        else {
            return;
        };
        if !self.changes.in_transaction() && !self.changes.has_pending() {
            heartbeats.probe(self.context.publish_clock.cut_us(), self.delivery.sent());
        }
    }

    /// Answers the server's request with the position that is confirmed by now, if the answer is due.
    fn reply(&mut self, stream: &mut Stream) -> Result<(), SessionError> {
        self.confirm()?;
        if self.confirmation.is_offset_due(Instant::now()) {
            self.write_offset()?;
        }
        if self.confirmation.is_reply_due(Instant::now()) {
            self.send_status(stream)?;
        }
        Ok(())
    }

    fn send_status(&mut self, stream: &mut Stream) -> Result<(), SessionError> {
        stream.send_status(self.confirmation.received(), self.confirmation.confirmed(), false)?;
        self.confirmation.status_sent(Instant::now());
        Ok(())
    }

    /// Hands the furthest offset to the producer. When the producer's queue is full, or the offset before is not
    /// durable yet, the offset stays due.
    fn write_offset(&mut self) -> Result<(), SessionError> {
        self.confirmation.offset_tried(Instant::now());
        let Some(position) = self.confirmation.offset() else { return Ok(()) };
        if self.delivery.try_write_offset(&position)? {
            self.confirmation.offset_written();
        }
        Ok(())
    }

    /// Waits for what is in flight, writes the offset, and sends a status, so that the next start repeats nothing.
    fn wind_up(&mut self, stream: &mut Stream) -> Result<(), SessionError> {
        let end = self.stop.orderly_end(Instant::now());
        while !self.delivery.flush(DRAIN_STEP) && Instant::now() < end.drain_until() {
            self.confirm()?;
            self.send_status(stream)?;
            self.report();
        }
        self.confirm()?;
        let left = self.delivery.in_flight();
        if left > 0 {
            tracing::warn!(
                records = left,
                "Kafka did not acknowledge everything in time; the next start publishes it again"
            );
        }
        if self.confirmation.offset().is_some() {
            self.write_offset()?;
            let patience = end.last_offset_until().saturating_duration_since(Instant::now());
            if !self.delivery.flush(patience) {
                tracing::warn!(
                    "the offset was not acknowledged before the end; the next start publishes again what follows the offset before"
                );
            }
            self.confirm()?;
        }
        self.send_status(stream)
    }

    /// Hands what has happened since the last time to the metrics.
    fn report(&mut self) {
        let happened = self.changes.take_counts();
        self.context.observer.sample(&Sample {
            counts: happened.counts,
            commits: happened.commits,
            received: self.confirmation.received(),
            confirmed: self.confirmation.confirmed(),
            in_flight: self.delivery.in_flight(),
            in_flight_bytes: self.delivery.in_flight_bytes(),
            acknowledged: self.delivery.acknowledged(),
            ledger_waiting: self.delivery.commits_waiting(),
            behind_ms: happened.behind_ms,
        });
    }
}
