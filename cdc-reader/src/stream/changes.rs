//! Makes records of messages: the frames of the stream are decoded in place and encoded into the emitter's arena.
//!
//! In: the payload of a frame. Out: the records, which wait in the emitter until the loop has handed them to Kafka, and
//! news for the loop: that a transaction has ended, or that a wanted position is reached. Nothing here waits for Kafka.

use shared::debezium::envelope::{Origin, SnapshotMark, SourceInfo};
use shared::position::Lsn;

use super::overlap::Overlap;
use super::stop::Stop;
use crate::clock::{PublishClock, now_us, unix_micros};
use crate::connector::MessageFilter;
use crate::context::Context;
use crate::emit::{Emitter, Scope, Stamp};
use crate::envelope::RowError;
use crate::error::SessionError;
use crate::observe::Counts;
use crate::pgoutput::{self, Begin, Commit, LogicalMessage, Message, Truncate};
use crate::publish::{Delivery, Position, PublishError, Transaction, refused_row};
use crate::table::{Capture, Relations};
use crate::transaction::TransactionOrder;

/// What follows from a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The stream goes on.
    Continue,
    /// A transaction began that will commit at this position. Its events are sent from now on.
    Began(Lsn),
    /// A transaction, or a message outside of any, ended. It enters the ledger once its last record has been handed to
    /// Kafka.
    Committed(Position),
    /// Everything before the wanted position has been handled.
    Reached,
}

/// What the loop does with a large message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Large {
    /// It is read whole and applied.
    Wanted,
    /// It belongs to a table that is not captured.
    Skipped,
}

/// The changes of one stream, from messages to records.
pub(super) struct Changes<'s> {
    emitter: Emitter,
    order: TransactionOrder,
    overlap: Overlap,
    /// Whether the open transaction was published before.
    is_skipped: bool,
    /// For errors.
    slot: String,
    /// The stored offset's `lsn_commit`. Events name it until the stream has seen a commit.
    last_commit: Option<Lsn>,
    /// Where the open transaction comes from: name and position of a replication origin.
    origin: Option<(String, Lsn)>,
    /// The commit time of the last transaction, in microseconds since the epoch; before the first one, the time at
    /// which the stream began.
    last_commit_ts_us: i64,
    messages: MessageFilter,
    relations: Relations<'s>,
    clock: PublishClock,
    commits: u64,
    behind_ms: Option<i64>,
}

/// What has happened since the last call of [`Changes::take_counts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened {
    pub(super) counts: Counts,
    pub(super) commits: u64,
    /// How old the last commit was when it was read, in milliseconds; none when there was none.
    pub(super) behind_ms: Option<i64>,
}

impl<'s> Changes<'s> {
    pub(super) fn new(context: &Context, scope: Scope, relations: Relations<'s>) -> Self {
        let settings = &context.connector.settings;
        Self {
            emitter: Emitter::new(settings, &context.plan_options(), scope),
            order: TransactionOrder::default(),
            overlap: Overlap::none(),
            is_skipped: false,
            slot: settings.slot_name.clone(),
            last_commit: None,
            origin: None,
            last_commit_ts_us: now_us(),
            messages: settings.messages.clone(),
            relations,
            clock: context.publish_clock.clone(),
            commits: 0,
            behind_ms: None,
        }
    }

    /// Goes on after an earlier stream, whose last commit ended at `last_commit`. What both streams have is `overlap`.
    pub(super) fn after(&mut self, last_commit: Option<Lsn>, overlap: Overlap) {
        self.order = TransactionOrder::after(last_commit);
        self.last_commit = last_commit;
        self.overlap = overlap;
    }

    /// Whether everything before `wal_end` lies behind what an earlier stream has published.
    ///
    /// # Errors
    /// When the server's history is not the one that was published.
    pub(super) fn is_past_overlap(&mut self, wal_end: Lsn) -> Result<bool, SessionError> {
        let slot = &self.slot;
        self.overlap.is_past(wal_end).map_err(|gap| SessionError::gap(slot, gap))
    }

    /// Takes the message of the frame whose record stands at `start`.
    pub(super) fn apply(
        &mut self,
        start: Lsn,
        payload: &[u8],
        stop: &Stop,
    ) -> Result<Next, SessionError> {
        match pgoutput::decode(payload)? {
            Message::Insert(insert) => {
                self.change("an insert", insert.relation, start, |emitter, capture, stamp| {
                    emitter.insert(capture, &insert.new, stamp)
                })?;
            }
            Message::Update(update) => {
                self.change("an update", update.relation, start, |emitter, capture, stamp| {
                    emitter.update(capture, update.old, &update.new, stamp)
                })?;
            }
            Message::Delete(delete) => {
                self.change("a delete", delete.relation, start, |emitter, capture, stamp| {
                    emitter.delete(capture, delete.old, stamp)
                })?;
            }
            Message::Truncate(truncate) => self.truncate(&truncate, start)?,
            Message::Begin(begin) => {
                if stop.is_reached(begin.final_lsn) {
                    return Ok(Next::Reached);
                }
                return self.begin(begin);
            }
            Message::Commit(commit) => return self.commit(commit),
            Message::Relation(relation) => self.relations.announce(&relation)?,
            Message::Origin(origin) => {
                self.origin = Some((origin.name.to_owned(), Lsn(origin.lsn)));
            }
            // The catalog says what the types of a relation's columns are.
            Message::Type(_) => {}
            Message::LogicalMessage(message) => return self.message(&message, start, stop),
        }
        Ok(Next::Continue)
    }

    fn begin(&mut self, begin: Begin) -> Result<Next, SessionError> {
        let slot = &self.slot;
        let is_skipped = self.overlap.skips(&begin).map_err(|gap| SessionError::gap(slot, gap))?;
        let was_skipped = std::mem::replace(&mut self.is_skipped, is_skipped);
        if was_skipped && !self.is_skipped {
            self.order = TransactionOrder::after(self.last_commit);
        }
        self.order.begin(begin)?;
        self.last_commit_ts_us = unix_micros(begin.commit_time);
        self.origin = None;
        Ok(if self.is_skipped { Next::Continue } else { Next::Began(begin.final_lsn) })
    }

    /// What to do with a message that is larger than any row whose event Kafka takes.
    ///
    /// # Errors
    /// When it is the row of a captured table: its event would be refused after it had been held twice.
    pub(super) fn large(&mut self, bytes: u64, head: &[u8]) -> Result<Large, SessionError> {
        let Some(relation) = pgoutput::changed_relation(head) else { return Ok(Large::Wanted) };
        self.order.check_change("a change of a row")?;
        let is_left_out = head.first() == Some(&b'I') && self.emitter.leaves_inserts_out();
        if self.is_skipped || is_left_out {
            return Ok(Large::Skipped);
        }
        let Some(capture) = self.relations.captured(relation)? else {
            self.emitter.counts.filtered += 1;
            return Ok(Large::Skipped);
        };
        Err(refused_row(capture.plan.topic(), bytes).into())
    }

    /// A row's change: `emit` encodes it when its table is captured.
    fn change(
        &mut self,
        name: &'static str,
        relation: u32,
        start: Lsn,
        emit: impl FnOnce(&mut Emitter, &Capture, &Stamp<'_>) -> Result<(), RowError>,
    ) -> Result<(), SessionError> {
        let open = self.order.check_change(name)?;
        if self.is_skipped {
            return Ok(());
        }
        if let Some(capture) = self.relations.captured(relation)? {
            let (last, origin) = (self.order.last_commit_end(), self.origin.as_ref());
            let stamp = stamp(open, start, last, origin, self.clock.now_ns());
            emit(&mut self.emitter, capture, &stamp).map_err(SessionError::row(start))?;
        } else {
            self.emitter.counts.filtered += 1;
        }
        Ok(())
    }

    /// A logical decoding message, in a transaction or outside of any.
    ///
    /// One outside of any transaction comes where its WAL record stands: after all transactions that committed before
    /// it, and before all others. So its end is a position from which a stream can start again, and it enters the
    /// ledger as a commit without a transaction.
    fn message(
        &mut self,
        message: &LogicalMessage<'_>,
        start: Lsn,
        stop: &Stop,
    ) -> Result<Next, SessionError> {
        let is_captured = self.messages.captures(message.prefix);
        if message.transactional {
            let open = self.order.check_change("a transactional message")?;
            if is_captured && !self.is_skipped {
                let last_commit = self.order.last_commit_end();
                let (origin, now_ns) = (self.origin.as_ref(), self.clock.now_ns());
                let stamp = stamp(open, start, last_commit, origin, now_ns);
                self.emitter.message(message, &stamp);
            }
            return Ok(Next::Continue);
        }
        if stop.is_before_message(message.lsn) {
            return Ok(Next::Reached);
        }
        let slot = &self.slot;
        if self.overlap.skips_message(message.lsn).map_err(|gap| SessionError::gap(slot, gap))? {
            return Ok(Next::Continue);
        }
        self.order.note_message(message.lsn);
        if is_captured {
            let stamp = Stamp {
                source: SourceInfo {
                    // As in Debezium, such a message has no time of its own.
                    ts_us: self.last_commit_ts_us,
                    tx_id: None,
                    ..streamed(start, self.order.last_commit_end(), self.origin.as_ref())
                },
                now_ns: self.clock.now_ns(),
            };
            self.emitter.message(message, &stamp);
        }
        if self.order.is_open() {
            return Ok(Next::Continue);
        }
        Ok(Next::Committed(Position { end_lsn: message.lsn, transaction: None }))
    }

    fn truncate(&mut self, truncate: &Truncate<'_>, start: Lsn) -> Result<(), SessionError> {
        let open = self.order.check_change("a truncate")?;
        if self.is_skipped {
            return Ok(());
        }
        let (last, origin) = (self.order.last_commit_end(), self.origin.as_ref());
        let stamp = stamp(open, start, last, origin, self.clock.now_ns());
        for relation in truncate.relations() {
            if let Some(capture) = self.relations.captured(relation)? {
                self.emitter.truncate(capture, &stamp).map_err(SessionError::row(start))?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<Next, SessionError> {
        let open = self.order.commit(commit)?;
        if self.is_skipped {
            let slot = &self.slot;
            self.overlap.check(&open, &commit).map_err(|gap| SessionError::gap(slot, gap))?;
            return Ok(Next::Continue);
        }
        self.commits += 1;
        let commit_ts_us = unix_micros(commit.commit_time);
        self.behind_ms = Some((now_us() - commit_ts_us) / 1000);
        let end_lsn = commit.end_lsn;
        let transaction = Transaction { end_lsn, xid: open.xid, commit_ts_us };
        Ok(Next::Committed(Position { end_lsn, transaction: Some(transaction) }))
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        self.order.is_open()
    }

    /// Whether records wait to be handed to Kafka.
    pub(super) fn has_pending(&self) -> bool {
        self.emitter.has_pending()
    }

    /// Hands the records that wait to Kafka; false when the producer's queue is full and the caller should wait and
    /// call again.
    pub(super) fn flush(&mut self, delivery: &mut Delivery) -> Result<bool, PublishError> {
        self.emitter.flush(delivery)
    }

    /// What has happened since the last call.
    pub(super) fn take_counts(&mut self) -> Happened {
        Happened {
            counts: std::mem::take(&mut self.emitter.counts),
            commits: std::mem::take(&mut self.commits),
            behind_ms: self.behind_ms.take(),
        }
    }
}

fn stamp(
    open: Begin,
    lsn: Lsn,
    last_commit: Option<Lsn>,
    origin: Option<&(String, Lsn)>,
    now_ns: i64,
) -> Stamp<'_> {
    let source = SourceInfo {
        ts_us: unix_micros(open.commit_time),
        tx_id: Some(open.xid),
        ..streamed(lsn, last_commit, origin)
    };
    Stamp { source, now_ns }
}

/// What the source block says of a streamed event beside its transaction.
fn streamed(lsn: Lsn, last_commit: Option<Lsn>, origin: Option<&(String, Lsn)>) -> SourceInfo<'_> {
    SourceInfo {
        ts_us: 0,
        snapshot: SnapshotMark::Streaming,
        tx_id: None,
        lsn,
        last_commit,
        origin: origin.map(|(name, lsn)| Origin { name, lsn: *lsn }),
    }
}
