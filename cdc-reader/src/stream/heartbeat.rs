//! What a heartbeat may claim, and when the next one is due. Pure: the caller gives the times.
//!
//! In: positions whose events are durable, counts of records that were sent and acknowledged, and signs of life of the
//! server. Out: the claim of the next heartbeat. It never says more than what is acknowledged, and it never goes back.
//!
//! - **Position**: the last position up to which every event is durable. It begins at the position up to which earlier
//!   streams have published everything. WAL without published changes moves it too, so an idle source moves on.
//! - **Publish time**: a probe notes a time and how many records were sent by then. When these are acknowledged, every
//!   event that was stamped at or before that time is durable. The time lies after every stamp that was given and
//!   before every one that will be given.
//!
//! A probe is noted between two transactions only. The stream has transactions one after the other, so the events that
//! were stamped at or before a claimed time are those of whole transactions: all of the first ones in the order of
//! their commits. Who reads the vault as of this time sees no transaction in part.
//!
//! Two things keep the publish time back. An earlier process may have left records on their way, which arrive late, and
//! it may have published a transaction in part. Their transactions come again, because nobody has confirmed them. So
//! no probe is noted before everything is durable that the source had committed when the session began. And another
//! instance may have taken the stream over, with records of its own on their way. While the server answers on this
//! stream, nobody else reads the slot. So what is claimed was durable when the last question was asked that the server
//! has answered.

use std::time::{Duration, Instant};

use shared::debezium::heartbeat::Reached;
use shared::position::Lsn;

use crate::publish::Position;
use crate::replication::Timeline;

/// WAL is written in pages of this size, unless the server was built otherwise.
const WAL_PAGE_BYTES: u64 = 8192;

/// The longest header of a page. The position of the next record lies behind the header, and the end of the last record
/// before it. No commit record is so short that it fits in between.
const WAL_PAGE_HEADER_BYTES_MAX: u64 = 40;

/// A time with the number of records that were sent by then.
#[derive(Debug, Clone, Copy)]
struct Probe {
    at_us: i64,
    sent: u64,
}

/// A question to the server.
#[derive(Debug, Clone, Copy)]
struct Question {
    at: Instant,
    /// The publish time up to which everything was durable by then.
    durable_us: Option<i64>,
}

/// What a session found when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionBegin {
    /// The end of the source's WAL.
    pub(crate) wal_end: Lsn,
    /// The timeline of that WAL.
    pub(crate) timeline: Timeline,
}

/// What the heartbeats of one stream claim.
#[derive(Debug)]
pub(super) struct Heartbeats {
    interval: Duration,
    last: Option<Instant>,
    position: Lsn,
    timeline: Timeline,
    committed_us: Option<i64>,
    /// The end of the source's WAL when the session began.
    wal_end: Lsn,
    /// Whether everything before that is durable.
    is_caught_up: bool,
    probe: Option<Probe>,
    /// Every event that was stamped at or before this time is durable.
    durable_us: Option<i64>,
    question: Option<Question>,
    published_us: Option<i64>,
}

impl Heartbeats {
    /// A stream before which everything up to `published` is durable. `begun` is what the session found at its begin.
    pub(super) fn new(interval: Duration, published: Position, begun: SessionBegin) -> Self {
        let SessionBegin { wal_end, timeline } = begun;
        let mut heartbeats = Self {
            interval,
            last: None,
            position: Lsn::INVALID,
            timeline,
            committed_us: None,
            wal_end,
            is_caught_up: false,
            probe: None,
            durable_us: None,
            question: None,
            published_us: None,
        };
        heartbeats.events_are_durable(published);
        heartbeats
    }

    /// Notes that the events of everything before `position` are durable.
    pub(super) fn events_are_durable(&mut self, position: Position) {
        if position.end_lsn < self.position {
            return;
        }
        self.position = position.end_lsn;
        let committed_us = position.transaction.map(|transaction| transaction.commit_ts_us);
        self.committed_us = committed_us.or(self.committed_us);
        self.is_caught_up |= is_reached(self.wal_end, self.position);
    }

    /// Whether the next probe can be noted.
    pub(super) fn wants_probe(&self) -> bool {
        self.is_caught_up && self.probe.is_none()
    }

    /// Notes, between two transactions, that `sent` records were sent up to now, and that every event that was stamped
    /// is among them. `cut_us` lies after these stamps and before all further ones.
    pub(super) fn probe(&mut self, cut_us: i64, sent: u64) {
        self.probe = Some(Probe { at_us: cut_us, sent });
    }

    /// Notes that the first `acknowledged` records are durable.
    pub(super) fn acknowledged(&mut self, acknowledged: u64) {
        if let Some(probe) = self.probe.take_if(|probe| probe.sent <= acknowledged) {
            self.durable_us = self.durable_us.max(Some(probe.at_us));
        }
    }

    /// Notes when the server was last heard.
    pub(super) fn heard(&mut self, heard: Instant) {
        if let Some(question) = self.question.take_if(|question| question.at < heard) {
            self.published_us = self.published_us.max(question.durable_us);
        }
    }

    /// Whether the server is to be asked. It is asked once, because a server that is busy does not read what it is
    /// sent.
    pub(super) fn wants_question(&self) -> bool {
        self.question.is_none()
    }

    /// Notes that the server was asked for an answer.
    pub(super) fn asked(&mut self, now: Instant) {
        self.question = Some(Question { at: now, durable_us: self.durable_us });
    }

    /// Whether a heartbeat is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval)
    }

    /// The claim of a heartbeat that is sent now.
    pub(super) fn beat(&mut self, now: Instant) -> Reached {
        self.last = Some(now);
        Reached {
            position: self.position,
            timeline: self.timeline.0,
            committed_us: self.committed_us,
            published_us: self.published_us,
        }
    }
}

/// Whether everything that was written before `wal_end` lies before `position`.
fn is_reached(wal_end: Lsn, position: Lsn) -> bool {
    let is_at_page = position.0.is_multiple_of(WAL_PAGE_BYTES);
    let missing = position.bytes_behind(wal_end);
    missing == 0 || (is_at_page && missing <= WAL_PAGE_HEADER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Transaction;

    const SECOND: Duration = Duration::from_secs(1);

    fn position(end: u64, commit_ts_us: Option<i64>) -> Position {
        let transaction = commit_ts_us.map(|commit_ts_us| Transaction {
            end_lsn: Lsn(end),
            xid: 1,
            commit_ts_us,
        });
        Position { end_lsn: Lsn(end), transaction }
    }

    fn heartbeats() -> Heartbeats {
        let begun = SessionBegin { wal_end: Lsn(150), timeline: Timeline(2) };
        Heartbeats::new(SECOND, position(100, Some(5)), begun)
    }

    fn claim(heartbeats: &mut Heartbeats) -> (u64, Option<i64>, Option<i64>) {
        let reached = heartbeats.beat(Instant::now());
        (reached.position.0, reached.committed_us, reached.published_us)
    }

    /// A stream that has caught up.
    fn caught_up() -> Heartbeats {
        let mut heartbeats = heartbeats();
        heartbeats.events_are_durable(position(150, None));
        heartbeats
    }

    /// The server answers a question.
    fn answer(heartbeats: &mut Heartbeats) {
        let now = Instant::now();
        heartbeats.asked(now);
        heartbeats.heard(now + SECOND);
    }

    #[test]
    fn the_position_begins_where_earlier_streams_ended_and_moves_on_with_quiet_wal() {
        let mut heartbeats = heartbeats();
        assert_eq!(claim(&mut heartbeats), (100, Some(5), None));
        heartbeats.events_are_durable(position(200, None));
        assert_eq!(claim(&mut heartbeats), (200, Some(5), None));
        heartbeats.events_are_durable(position(300, Some(7)));
        heartbeats.events_are_durable(position(250, Some(6)));
        assert_eq!(claim(&mut heartbeats), (300, Some(7), None));
    }

    #[test]
    fn a_publish_time_is_claimed_once_all_that_was_sent_by_then_is_acknowledged() {
        let mut heartbeats = caught_up();
        heartbeats.probe(50, 3);
        assert!(!heartbeats.wants_probe());
        heartbeats.acknowledged(2);
        answer(&mut heartbeats);
        assert_eq!(claim(&mut heartbeats).2, None);
        heartbeats.acknowledged(3);
        answer(&mut heartbeats);
        assert_eq!(claim(&mut heartbeats).2, Some(50));
        heartbeats.probe(70, 9);
        heartbeats.acknowledged(8);
        answer(&mut heartbeats);
        assert_eq!(claim(&mut heartbeats).2, Some(50));
    }

    #[test]
    fn no_publish_time_is_noted_before_the_stream_has_caught_up() {
        let mut heartbeats = heartbeats();
        assert!(!heartbeats.wants_probe());
        heartbeats.events_are_durable(position(149, None));
        assert!(!heartbeats.wants_probe());
        heartbeats.events_are_durable(position(150, None));
        assert!(heartbeats.wants_probe());
    }

    #[test]
    fn no_publish_time_is_claimed_that_was_not_durable_when_the_answered_question_was_asked() {
        let mut heartbeats = caught_up();
        let now = Instant::now();
        heartbeats.probe(50, 0);
        heartbeats.asked(now);
        heartbeats.acknowledged(0);
        heartbeats.heard(now + SECOND);
        assert_eq!(claim(&mut heartbeats).2, None);
        heartbeats.asked(now);
        assert!(!heartbeats.wants_question());
        heartbeats.heard(now);
        assert_eq!(claim(&mut heartbeats).2, None, "that was heard before");
        heartbeats.probe(60, 0);
        heartbeats.acknowledged(0);
        heartbeats.heard(now + SECOND);
        assert_eq!(
            claim(&mut heartbeats).2,
            Some(50),
            "the question was asked before 60 was durable"
        );
    }

    #[test]
    fn a_header_of_a_page_is_no_change_that_is_missing() {
        assert!(is_reached(Lsn(8192 + 24), Lsn(8192)));
        assert!(is_reached(Lsn(8192 + 40), Lsn(8192)));
        assert!(!is_reached(Lsn(8192 + 41), Lsn(8192)));
        assert!(!is_reached(Lsn(8193 + 24), Lsn(8193)));
        assert!(is_reached(Lsn(8191), Lsn(8192)));
    }

    #[test]
    fn one_heartbeat_is_due_in_each_interval() {
        let mut heartbeats = heartbeats();
        let start = Instant::now();
        assert!(heartbeats.is_due(start));
        heartbeats.beat(start);
        assert!(!heartbeats.is_due(start + SECOND / 2));
        assert!(heartbeats.is_due(start + SECOND));
    }
}
