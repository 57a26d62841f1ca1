//! When a stream ends without a failure. Pure: the caller says what time it is.
//!
//! A stream ends at a position that was wanted, or because somebody asked for a stop. A stop waits a while for the end
//! of the open transaction, so that the next start does not publish the beginning of that transaction again.

use std::time::Instant;

use shared::position::Lsn;

use crate::orderly_end::OrderlyEnd;

/// What ends a stream.
#[derive(Debug, Default)]
pub(super) struct Stop {
    until: Option<Lsn>,
    requested_at: Option<Instant>,
}

impl Stop {
    /// The stream goes on until somebody asks for a stop.
    pub(super) fn on_request() -> Self {
        Self::default()
    }

    /// The stream ends when everything before `until` has been handled, or when somebody asks for a stop.
    pub(super) fn at(until: Lsn) -> Self {
        Self { until: Some(until), requested_at: None }
    }

    /// Whether everything that was wanted has been handled, when nothing before `lsn` is still to come and no
    /// transaction is open.
    pub(super) fn is_reached(&self, lsn: Lsn) -> bool {
        self.until.is_some_and(|until| lsn >= until)
    }

    /// Whether a message outside a transaction, which ends at `lsn`, comes after everything that was wanted.
    pub(super) fn is_before_message(&self, lsn: Lsn) -> bool {
        self.until.is_some_and(|until| lsn > until)
    }

    /// Somebody asks for a stop. Only the first call counts.
    pub(super) fn request(&mut self, now: Instant) {
        self.requested_at.get_or_insert(now);
    }

    /// Whether somebody has asked for a stop.
    pub(super) fn is_requested(&self) -> bool {
        self.requested_at.is_some()
    }

    /// Whether the stream ends now: a stop was asked for, and no transaction is open or the open one takes too long.
    pub(super) fn is_due(&self, now: Instant, in_transaction: bool) -> bool {
        self.requested_at.is_some_and(|since| {
            !in_transaction || now >= OrderlyEnd::began(since).transaction_until()
        })
    }

    /// The times of the stream's end, which came `now`. A stop that was asked for earlier has used up a part of them.
    pub(super) fn orderly_end(&self, now: Instant) -> OrderlyEnd {
        OrderlyEnd::began(self.requested_at.map_or(now, |requested| requested.min(now)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stop_between_transactions_is_due_at_once() {
        let now = Instant::now();
        let mut stop = Stop::on_request();
        assert!(!stop.is_due(now, false), "nobody asked");
        stop.request(now);
        assert!(stop.is_due(now, false));
    }

    #[test]
    fn a_stop_waits_for_an_open_transaction_but_not_for_ever() {
        let start = Instant::now();
        let mut stop = Stop::on_request();
        stop.request(start);
        // Asking again does not prolong the wait.
        stop.request(start + Duration::from_secs(4));
        assert!(!stop.is_due(start + Duration::from_millis(4_999), true));
        assert!(stop.is_due(start + Duration::from_secs(5), true));
    }

    #[test]
    fn the_wait_for_a_transaction_is_part_of_the_whole_end() {
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut stop = Stop::on_request();
        assert_eq!(stop.orderly_end(later), OrderlyEnd::began(later));
        stop.request(start);
        assert_eq!(stop.orderly_end(later), OrderlyEnd::began(start));
    }

    #[test]
    fn a_wanted_position_is_reached_when_nothing_before_it_is_to_come() {
        let stop = Stop::at(Lsn(100));
        assert!(!stop.is_reached(Lsn(99)));
        assert!(stop.is_reached(Lsn(100)));
        assert!(stop.is_reached(Lsn(101)));
        assert!(!Stop::on_request().is_reached(Lsn(u64::MAX)));
        assert!(!stop.is_before_message(Lsn(100)), "it ends where the wanted part ends");
        assert!(stop.is_before_message(Lsn(101)));
        assert!(!Stop::on_request().is_before_message(Lsn(u64::MAX)));
    }
}
