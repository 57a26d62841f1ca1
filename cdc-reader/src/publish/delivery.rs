//! The only way to Kafka: for records, and for the offsets that say how far the records reach.
//!
//! In: records and positions. Out: the positions whose events are durable, and the positions whose offset is durable.
//! The record of an offset goes through the same producer's queue as every other record.
//!
//! A delivery lives as long as its connector, and so does its producer: when the connection to the source fails, the
//! records that are on their way arrive before those of the next session. Only a producer that has failed itself is
//! replaced.

use std::time::Duration;

use shared::position::Lsn;
use tokio_util::sync::CancellationToken;

use super::failure::PublishError;
use super::ledger::{Position, Transaction};
use super::maker::TopicMaker;
use super::offset::{History, Offset, Resume, StoredOffset};
use super::offsets::OffsetStore;
use super::producer::{Publisher, Record, RecordHeaders};
use crate::ended::Ended;

/// The wait between two attempts to hand a record to a full queue.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(1);

/// How often a wait for acknowledgements looks whether to go on.
const DRAIN_STEP: Duration = Duration::from_millis(200);

/// Sends records and offsets, and says what has become durable.
pub struct Delivery {
    publisher: Publisher,
    offsets: OffsetStore,
    topics: TopicMaker,
    /// The history that the events belong to, and the last transaction of it whose events are durable.
    history: History,
    /// The time for offsets without a transaction, microseconds since the epoch.
    started_us: i64,
    /// The offset that Kafka has not acknowledged yet, with the number of its record.
    offset_in_flight: Option<(u64, Offset)>,
    /// The last position of this session whose events are durable. A session that ends may not have stored it yet.
    confirmed: Option<Position>,
    /// The commit of the last transaction of which something was sent.
    reached: Lsn,
}

impl Delivery {
    /// Sends by `publisher` to topics that `topics` makes, and writes the offsets of `offsets`. Events belong to
    /// `history`, as long as nobody says otherwise; an offset without a transaction has the time `started_us`.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        offsets: OffsetStore,
        topics: TopicMaker,
        history: History,
        started_us: i64,
    ) -> Self {
        Self {
            publisher,
            offsets,
            topics,
            history,
            started_us,
            offset_in_flight: None,
            confirmed: None,
            reached: Lsn::INVALID,
        }
    }

    /// Begins a session: events belong to `history` from now on. What earlier sessions sent must be settled before.
    pub fn begin(&mut self, history: History) {
        self.publisher.ledger().forget_commits();
        self.offset_in_flight = None;
        self.confirmed = None;
        self.history = history;
    }

    /// Replaces a producer that has failed. Records that it still holds are dropped; their changes come again.
    ///
    /// # Errors
    /// When `make` cannot make another one.
    pub fn replace_if_failed(
        &mut self,
        make: impl FnOnce() -> Result<Publisher, PublishError>,
    ) -> Result<(), PublishError> {
        if self.publisher.failure().is_some() {
            self.publisher = make()?;
            self.topics.forget();
            self.offset_in_flight = None;
        }
        Ok(())
    }

    /// Replaces the producer, whatever it still holds: another session has published meanwhile, and nothing of this one
    /// may come after that. The changes come again, or the other session has published them.
    ///
    /// # Errors
    /// When `make` cannot make another one.
    pub fn abandon(
        &mut self,
        make: impl FnOnce() -> Result<Publisher, PublishError>,
    ) -> Result<(), PublishError> {
        self.publisher = make()?;
        self.topics.forget();
        self.offset_in_flight = None;
        self.confirmed = None;
        Ok(())
    }

    /// Stores the position up to which everything is durable that earlier sessions sent, when it lies behind the stored
    /// offset of the same history. Everything has been drained before. True when an offset was stored.
    ///
    /// Without a stored offset no stream has gone on from one: what was sent are retractions before a snapshot, and an
    /// offset would say that the snapshot is complete.
    ///
    /// # Errors
    /// What fails meanwhile.
    pub fn settle(
        &mut self,
        stored: &StoredOffset,
        stop: &CancellationToken,
    ) -> Result<bool, PublishError> {
        // A session takes a position at once, and stores it up to half a second later. It may have ended in between.
        let _noted = self.take_confirmed();
        let Some(position) = self.confirmed else { return Ok(false) };
        let StoredOffset::Resume(stored) = stored else { return Ok(false) };
        let is_ours = stored.history.is_some_and(|history| history.source == self.history.source);
        if !is_ours || position.end_lsn <= stored.position {
            return Ok(false);
        }
        Ok(self.store_offset(&position, stop)? == Ended::Done)
    }

    /// Makes these topics before they have a record, as far as that is done within a short while.
    pub fn prepare_topics(
        &mut self,
        topics: impl Iterator<Item = String>,
        stop: &CancellationToken,
    ) {
        self.topics.prepare(topics, stop);
    }

    /// Hands one record to the producer, which copies it.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] when there is no room, else what makes the record impossible.
    pub fn send(&mut self, record: &Record<'_>) -> Result<(), PublishError> {
        self.topics.need(record.topic);
        self.publisher.send(record)
    }

    /// Notes that events of a transaction are sent from now on, which commits at `commit`.
    pub fn reach(&mut self, commit: Lsn) {
        self.reached = self.reached.max(commit);
    }

    /// The commit of the last transaction of which events were sent since the start of the process.
    #[must_use]
    pub fn reached(&self) -> Lsn {
        self.reached
    }

    /// Enters the end of a transaction, or of WAL without changes, into the ledger. Everything that belongs to it was
    /// sent before.
    pub fn commit(&self, position: Position) {
        self.publisher.ledger().commit(self.publisher.events_sent(), position);
    }

    /// The last position whose events have become durable since the last call, if there is one.
    #[must_use]
    pub fn take_confirmed(&mut self) -> Option<Position> {
        let position = self.publisher.ledger().take_confirmed()?;
        self.history.transaction = position.transaction.or(self.history.transaction);
        self.confirmed = Some(position);
        Some(position)
    }

    /// Forgets the positions whose events have become durable: a snapshot stores a position of its own.
    pub fn forget_confirmed(&mut self) {
        let _forgotten = self.take_confirmed();
        self.confirmed = None;
    }

    /// The offset that has become durable since the last call, if there is one.
    #[must_use]
    pub fn take_stored(&mut self) -> Option<Offset> {
        let (number, offset) = self.offset_in_flight?;
        if !self.publisher.ledger().is_acknowledged(number) {
            return None;
        }
        self.offset_in_flight = None;
        Some(offset)
    }

    /// Hands the record of an offset to the producer; false when the producer's queue is full, or an earlier offset is
    /// not durable yet.
    ///
    /// # Errors
    /// What makes the record impossible.
    pub fn try_write_offset(&mut self, position: &Position) -> Result<bool, PublishError> {
        let offset = self.offset(position);
        self.try_write(offset)
    }

    fn try_write(&mut self, offset: Offset) -> Result<bool, PublishError> {
        if self.offset_in_flight.is_some() {
            return Ok(false);
        }
        let key = self.offsets.key();
        let value = offset.value().to_string();
        let record = Record {
            topic: self.offsets.topic(),
            key: Some(&key),
            value: Some(value.as_bytes()),
            headers: RecordHeaders::None,
        };
        let number = self.publisher.events_sent();
        match self.publisher.send(&record) {
            Ok(()) => {
                self.offset_in_flight = Some((number, offset));
                Ok(true)
            }
            Err(PublishError::QueueFull) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn offset(&self, position: &Position) -> Offset {
        let transaction = position.transaction.or(self.history.transaction);
        Offset {
            position: Position { transaction, ..*position },
            ts_us: transaction
                .map_or(self.started_us, |Transaction { commit_ts_us, .. }| commit_ts_us),
            source: self.history.source,
            sent_until: None,
        }
    }

    /// Stores the offset once more, with the commit up to which something was sent, so that a later process knows it
    /// too. The wait ends when `stop` is cancelled.
    ///
    /// # Errors
    /// What makes the record impossible, and what else fails meanwhile.
    pub fn store_sent_until(
        &mut self,
        stored: &Resume,
        sent_until: Lsn,
        stop: &CancellationToken,
    ) -> Result<Ended, PublishError> {
        let Some(history) = stored.history else { return Ok(Ended::Done) };
        let position = Position { end_lsn: stored.position, transaction: history.transaction };
        let offset = Offset {
            source: history.source,
            sent_until: Some(sent_until),
            ..self.offset(&position)
        };
        self.store(stop, &offset)
    }

    /// Stores an offset, and waits until Kafka has it, unless `stop` is cancelled.
    ///
    /// # Errors
    /// What makes the record impossible, and what else fails meanwhile.
    pub fn store_offset(
        &mut self,
        position: &Position,
        stop: &CancellationToken,
    ) -> Result<Ended, PublishError> {
        let offset = self.offset(position);
        self.store(stop, &offset)
    }

    fn store(&mut self, stop: &CancellationToken, offset: &Offset) -> Result<Ended, PublishError> {
        let handed_over = self.send_when_room(stop, |delivery| {
            let _stored_before = delivery.take_stored();
            delivery.try_write(*offset)
        })?;
        if handed_over == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
        self.drain(stop)
    }

    /// Repeats `attempt`, which says false while the queue is full, until it says true or `stop` is cancelled.
    ///
    /// # Errors
    /// The attempt's own, and what else fails meanwhile.
    pub fn send_when_room<E: From<PublishError>>(
        &mut self,
        stop: &CancellationToken,
        mut attempt: impl FnMut(&mut Self) -> Result<bool, E>,
    ) -> Result<Ended, E> {
        while !attempt(self)? {
            if stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            self.wait_for_room()?;
        }
        Ok(Ended::Done)
    }

    /// Whether so much memory can be taken beside what waits for Kafka. Everything has room when nothing waits.
    #[must_use]
    pub fn has_room_for(&self, bytes: u64) -> bool {
        let waiting = self.publisher.in_flight_bytes();
        waiting == 0 || waiting.saturating_add(bytes) <= self.publisher.queue_bytes_max()
    }

    /// Waits a moment while the queue is full.
    ///
    /// # Errors
    /// The failure that ends the session, if one is known: then there will be no room.
    pub fn wait_for_room(&self) -> Result<(), PublishError> {
        self.check()?;
        std::thread::sleep(QUEUE_FULL_WAIT);
        Ok(())
    }

    /// Waits until Kafka has acknowledged everything, however long that takes, unless `stop` is cancelled.
    ///
    /// # Errors
    /// What fails meanwhile.
    pub fn drain(&self, stop: &CancellationToken) -> Result<Ended, PublishError> {
        while !self.publisher.flush(DRAIN_STEP) {
            self.check()?;
            if stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Done)
    }

    /// Waits until Kafka has acknowledged everything, a failure is known, or `deadline` has passed; true when nothing
    /// is in flight.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        self.publisher.flush(deadline)
    }

    /// Whether a failure is known.
    ///
    /// # Errors
    /// The failure that ends the session. What has become durable before it stays so.
    pub fn check(&self) -> Result<(), PublishError> {
        self.publisher.failure().or_else(|| self.topics.failure()).map_or(Ok(()), Err)
    }

    /// Whether so much waits for acknowledgements that nothing more should be read.
    #[must_use]
    pub fn is_ledger_full(&self) -> bool {
        self.publisher.is_ledger_full()
    }

    /// Commits that wait for acknowledgements.
    #[must_use]
    pub fn commits_waiting(&self) -> usize {
        self.publisher.ledger().waiting()
    }

    /// Records that wait for Kafka.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.publisher.in_flight()
    }

    /// How many records were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.publisher.events_sent()
    }

    /// How many records Kafka has acknowledged without a gap. One partition that is stuck holds the number back.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.publisher.ledger().low_water()
    }

    /// The memory of the records that wait for Kafka, in bytes.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.publisher.in_flight_bytes()
    }
}
