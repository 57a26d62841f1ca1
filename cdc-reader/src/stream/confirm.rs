//! How far the stream is confirmed, when the server gets a status, and when an offset is due. Pure: the caller gives
//! the time.
//!
//! In: the positions that were received, those whose events became durable, and those whose offset became durable. Out:
//! the positions for the server and for the offset topic. The confirmed position never goes back.
//!
//! A position is confirmed to the server only when its offset is durable in Kafka. So when the slot's confirmed
//! position is greater than the stored offset, somebody else has moved the slot.

use std::time::{Duration, Instant};

use shared::position::Lsn;

use crate::publish::Position;

/// How soon the server learns of a new confirmed position. A crash repeats the changes of this interval at most.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// How often the server gets a status while changes arrive or wait for the producer's queue. The server's requests for
/// a reply then wait in the socket behind the changes. So the reader sends statuses without being asked, well within
/// any `wal_sender_timeout` that is in use.
const BUSY_STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The longest silence towards the server, whatever the configuration says: `wal_sender_timeout` is a minute by
/// default.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// The shortest time between two replies with the same position. A server that shuts down asks again as soon as it has
/// a reply, until everything is confirmed.
const REPLY_INTERVAL: Duration = Duration::from_millis(20);

/// How often the offset is written. Kafka Connect's default is a minute. A program that goes on at the offset repeats
/// the changes of this interval at most.
const OFFSET_INTERVAL: Duration = Duration::from_millis(500);

/// How often the offset is written when only WAL without published changes arrives. The slot is confirmed as often, so
/// that the server can remove that WAL.
const QUIET_OFFSET_INTERVAL: Duration = Duration::from_secs(5);

/// What comes from the server at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Changes, one after the other.
    Flowing,
    /// Nothing, for a moment.
    Quiet,
}

/// Whether a stream stores offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offsets {
    /// It does.
    Stored,
    /// It does not, because an offset says that everything before it is published, and this stream leaves changes out.
    NotStored,
}

/// The positions of one stream, and when they were last sent.
#[derive(Debug)]
pub(super) struct Confirmation {
    offsets: Offsets,
    status_interval: Duration,
    received: Lsn,
    /// The events of everything before are durable.
    durable: Lsn,
    confirmed: Lsn,
    /// The confirmed position in the last status.
    reported: Lsn,
    /// A transaction that became durable since the offset was last written.
    offset_due: Option<Position>,
    /// WAL without a published change that was passed since the offset was last written.
    quiet_offset_due: Option<Position>,
    /// The server asked for a status and has not got one since.
    reply_requested: bool,
    last_status: Instant,
    last_offset: Instant,
}

impl Confirmation {
    /// A stream that begins at `start` at the time `now`. `status_interval` is how often the configuration wants a
    /// status sent.
    pub(super) fn new(
        start: Lsn,
        offsets: Offsets,
        status_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            offsets,
            status_interval: status_interval.min(STATUS_INTERVAL_MAX),
            received: start,
            durable: start,
            confirmed: start,
            reported: Lsn::INVALID,
            offset_due: None,
            quiet_offset_due: None,
            reply_requested: false,
            last_status: now,
            last_offset: now,
        }
    }

    /// Everything before this position has been received.
    pub(super) fn received(&self) -> Lsn {
        self.received
    }

    /// Everything before this position is durable in Kafka, and so is the offset that says so.
    pub(super) fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Notes that everything before `lsn` has been received.
    pub(super) fn receive(&mut self, lsn: Lsn) {
        self.received = self.received.max(lsn);
    }

    /// What the ledger has to know about WAL that ends at `wal_end` and holds no published change, if that is new.
    pub(super) fn quiet_position(&self, wal_end: Lsn) -> Option<Position> {
        let position = Position { end_lsn: wal_end, transaction: None };
        (wal_end > self.durable).then_some(position)
    }

    /// Notes that the events of everything before `position` are durable.
    pub(super) fn events_are_durable(&mut self, position: Position) {
        // A commit of an earlier stream of this session may become durable after a later position was stored.
        if position.end_lsn < self.durable {
            return;
        }
        self.durable = position.end_lsn;
        match (self.offsets, position.transaction) {
            (Offsets::NotStored, _) => self.confirmed = position.end_lsn,
            (Offsets::Stored, Some(_)) => self.offset_due = Some(position),
            (Offsets::Stored, None) => self.quiet_offset_due = Some(position),
        }
    }

    /// Notes that an offset is durable which says that everything before `position` is.
    pub(super) fn offset_is_durable(&mut self, position: Lsn) {
        self.confirmed = self.confirmed.max(position);
    }

    /// Notes that the server asks for a status.
    pub(super) fn request_reply(&mut self) {
        self.reply_requested = true;
    }

    /// Whether the server waits for a status that it asked for.
    pub(super) fn is_reply_requested(&self) -> bool {
        self.reply_requested
    }

    /// Whether the server's request is answered now. When the server knows the confirmed position already, the reply
    /// waits until [`REPLY_INTERVAL`] has passed since the last status.
    pub(super) fn is_reply_due(&self, now: Instant) -> bool {
        let since_status = now.saturating_duration_since(self.last_status);
        self.reply_requested && (self.is_unreported() || since_status >= REPLY_INTERVAL)
    }

    /// Whether a status is sent now that nobody asked for.
    pub(super) fn is_status_due(&self, now: Instant, traffic: Traffic) -> bool {
        let since_status = now.saturating_duration_since(self.last_status);
        let interval = match traffic {
            Traffic::Flowing => BUSY_STATUS_INTERVAL,
            Traffic::Quiet => self.status_interval,
        };
        since_status >= interval || (self.is_unreported() && since_status >= STATUS_INTERVAL)
    }

    /// Notes that the server has got a status with the received and the confirmed position.
    pub(super) fn status_sent(&mut self, now: Instant) {
        self.reply_requested = false;
        self.reported = self.confirmed;
        self.last_status = now;
    }

    fn is_unreported(&self) -> bool {
        self.confirmed > self.reported
    }

    /// The position of the offset that is to be written at the latest when the stream ends; none when there is no news.
    pub(super) fn offset(&self) -> Option<Position> {
        let due = [self.offset_due, self.quiet_offset_due];
        due.into_iter().flatten().max_by_key(|position| position.end_lsn)
    }

    /// Whether the offset is written now. A server that asks for a status may be waiting for the confirmed position, so
    /// the offset is written soon.
    pub(super) fn is_offset_due(&self, now: Instant) -> bool {
        let since_offset = now.saturating_duration_since(self.last_offset);
        (self.offset_due.is_some() && since_offset >= OFFSET_INTERVAL)
            || (self.quiet_offset_due.is_some() && since_offset >= QUIET_OFFSET_INTERVAL)
            || (self.reply_requested && self.offset().is_some() && since_offset >= REPLY_INTERVAL)
    }

    /// Notes that writing the offset was tried. When the producer's queue was full, or the offset before is not durable
    /// yet, the offset stays due.
    pub(super) fn offset_tried(&mut self, now: Instant) {
        self.last_offset = now;
    }

    /// Notes that the offset was handed to the producer.
    pub(super) fn offset_written(&mut self) {
        (self.offset_due, self.quiet_offset_due) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Transaction;

    const START: Lsn = Lsn(100);

    fn confirmation(now: Instant) -> Confirmation {
        Confirmation::new(START, Offsets::Stored, Duration::from_secs(60), now)
    }

    fn transaction(end: u64) -> Position {
        let transaction = Transaction { end_lsn: Lsn(end), xid: 7, commit_ts_us: 9 };
        Position { end_lsn: Lsn(end), transaction: Some(transaction) }
    }

    fn quiet(end: u64) -> Position {
        Position { end_lsn: Lsn(end), transaction: None }
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn received_never_goes_back() {
        let mut stream = confirmation(Instant::now());
        stream.receive(Lsn(90));
        assert_eq!(stream.received(), Lsn(100));
        stream.receive(Lsn(120));
        assert_eq!((stream.received(), stream.confirmed()), (Lsn(120), Lsn(100)));
    }

    #[test]
    fn only_wal_beyond_the_confirmed_position_is_worth_a_commit() {
        let mut stream = confirmation(Instant::now());
        assert_eq!(stream.quiet_position(Lsn(100)), None);
        assert_eq!(stream.quiet_position(Lsn(101)), Some(quiet(101)));
        stream.events_are_durable(quiet(101));
        assert_eq!(stream.quiet_position(Lsn(101)), None);
    }

    #[test]
    fn a_position_is_confirmed_when_its_offset_is_durable_and_not_before() {
        let mut stream = confirmation(Instant::now());
        stream.events_are_durable(transaction(150));
        assert_eq!(stream.confirmed(), Lsn(100));
        stream.offset_is_durable(Lsn(150));
        assert_eq!(stream.confirmed(), Lsn(150));
        stream.offset_is_durable(Lsn(140));
        assert_eq!(stream.confirmed(), Lsn(150), "it never goes back");
    }

    #[test]
    fn a_new_confirmed_position_is_sent_soon_and_an_old_one_rarely() {
        let start = Instant::now();
        let mut stream = confirmation(start);
        stream.status_sent(start);
        assert!(!stream.is_status_due(start + ms(999), Traffic::Flowing));
        assert!(stream.is_status_due(start + ms(1_000), Traffic::Flowing));
        assert!(!stream.is_status_due(start + ms(9_999), Traffic::Quiet));
        assert!(stream.is_status_due(start + STATUS_INTERVAL_MAX, Traffic::Quiet));
        stream.events_are_durable(transaction(150));
        assert!(!stream.is_status_due(start + ms(500), Traffic::Flowing), "nothing is stored yet");
        stream.offset_is_durable(Lsn(150));
        for traffic in [Traffic::Flowing, Traffic::Quiet] {
            assert!(!stream.is_status_due(start + ms(499), traffic));
            assert!(stream.is_status_due(start + ms(500), traffic));
        }
        stream.status_sent(start + ms(500));
        assert!(!stream.is_status_due(start + ms(1_000), Traffic::Flowing));
    }

    #[test]
    fn the_configured_interval_counts_while_it_is_quiet() {
        let start = Instant::now();
        let mut stream = Confirmation::new(START, Offsets::Stored, ms(700), start);
        stream.status_sent(start);
        assert!(!stream.is_status_due(start + ms(699), Traffic::Quiet));
        assert!(stream.is_status_due(start + ms(700), Traffic::Quiet));
    }

    #[test]
    fn a_request_is_answered_at_once_with_news_and_a_moment_later_without() {
        let start = Instant::now();
        let mut stream = confirmation(start);
        stream.status_sent(start);
        assert!(!stream.is_reply_due(start + ms(20)), "nobody asked");
        stream.request_reply();
        assert!(!stream.is_reply_due(start + ms(19)));
        assert!(stream.is_reply_due(start + ms(20)));
        stream.events_are_durable(transaction(150));
        assert!(stream.is_offset_due(start + REPLY_INTERVAL), "the server may wait for it");
        stream.offset_is_durable(Lsn(150));
        assert!(stream.is_reply_due(start));
        stream.status_sent(start);
        assert!(!stream.is_reply_requested() && !stream.is_reply_due(start + ms(20)));
    }

    #[test]
    fn a_transactions_offset_is_written_every_half_second() {
        let start = Instant::now();
        let mut stream = confirmation(start);
        assert!(!stream.is_offset_due(start + QUIET_OFFSET_INTERVAL), "nothing happened");
        stream.events_are_durable(transaction(150));
        assert!(!stream.is_offset_due(start + ms(499)));
        assert!(stream.is_offset_due(start + ms(500)));
        assert_eq!(stream.offset(), Some(transaction(150)));
        // The queue was full: it stays due.
        stream.offset_tried(start + ms(500));
        assert!(!stream.is_offset_due(start + ms(999)));
        assert!(stream.is_offset_due(start + ms(1_000)));
        stream.offset_tried(start + ms(1_000));
        stream.offset_written();
        assert_eq!(stream.offset(), None);
        assert!(!stream.is_offset_due(start + QUIET_OFFSET_INTERVAL * 2));
    }

    #[test]
    fn the_offset_of_quiet_wal_is_written_less_often() {
        let start = Instant::now();
        let mut stream = confirmation(start);
        stream.events_are_durable(quiet(120));
        assert!(!stream.is_offset_due(start + ms(4_999)));
        assert!(stream.is_offset_due(start + ms(5_000)));
        assert_eq!(stream.offset(), Some(quiet(120)));
        stream.events_are_durable(transaction(150));
        stream.events_are_durable(quiet(160));
        assert_eq!(stream.offset(), Some(quiet(160)));
        // The transaction's offset is due after half a second, and the quiet WAL goes with it.
        assert!(stream.is_offset_due(start + ms(500)));
    }

    #[test]
    fn a_stream_that_leaves_changes_out_has_no_offset_and_confirms_all_the_same() {
        let start = Instant::now();
        let mut stream = Confirmation::new(START, Offsets::NotStored, ms(700), start);
        stream.events_are_durable(transaction(150));
        stream.events_are_durable(quiet(160));
        assert_eq!((stream.confirmed(), stream.offset()), (Lsn(160), None));
        assert!(!stream.is_offset_due(start + QUIET_OFFSET_INTERVAL));
    }
}
