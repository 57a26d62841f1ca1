//! The only way to Kafka: for records, and for the offsets that say how far the records reach.
//!
//! In: records and positions. Out: the positions that are durable. The record of an offset goes through the same
//! producer's queue as every other record.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::PublishError;
use super::ledger::Position;
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
}

impl Delivery {
    /// Sends by `publisher`, and writes the offsets of `offsets`.
    #[must_use]
    pub fn new(publisher: Publisher, offsets: OffsetStore) -> Self {
        Self { publisher, offsets }
    }

    /// Hands one record to the producer, which copies it.
    ///
    /// # Errors
    /// [`PublishError::QueueFull`] when there is no room, else what makes the record impossible.
    pub fn send(&mut self, record: &Record<'_>) -> Result<(), PublishError> {
        self.publisher.send(record)
    }

    /// Enters the end of a transaction, or of WAL without changes, into the ledger. Everything that belongs to it was
    /// sent before.
    pub fn commit(&self, position: Position) {
        self.publisher.ledger().commit(self.publisher.events_sent(), position);
    }

    /// The last position that has become durable since the last call, if there is one.
    #[must_use]
    pub fn take_confirmed(&self) -> Option<Position> {
        self.publisher.ledger().take_confirmed()
    }

    /// Hands the record of an offset to the producer; false when the producer's queue is full.
    ///
    /// # Errors
    /// What makes the record impossible.
    pub fn try_write_offset(&mut self, position: &Position) -> Result<bool, PublishError> {
        let key = self.offsets.key();
        let value = OffsetStore::value(position).to_string();
        let record = Record {
            topic: self.offsets.topic(),
            key: Some(&key),
            value: Some(value.as_bytes()),
            headers: RecordHeaders::None,
        };
        match self.publisher.send(&record) {
            Ok(()) => Ok(true),
            Err(PublishError::QueueFull) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands the record of an offset to the producer, however long the producer's queue is full, unless `stop` is
    /// cancelled.
    ///
    /// # Errors
    /// What makes the record impossible, and what else fails meanwhile.
    pub fn write_offset(
        &mut self,
        position: &Position,
        stop: &CancellationToken,
    ) -> Result<Ended, PublishError> {
        self.send_when_room(stop, |delivery| delivery.try_write_offset(position))
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
        self.publisher.failure().map_or(Ok(()), Err)
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

    /// Bytes of keys and values that wait for Kafka.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.publisher.in_flight_bytes()
    }
}
