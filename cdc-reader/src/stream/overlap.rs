//! The overlap: the WAL between the slot's confirmed position and the stored offset. The server sends it again, and
//! nothing of it is published again. Pure.
//!
//! In: the transactions of that WAL, as the server sends them. Out: which of them are skipped, or that the server's
//! history is not the one that was published. The offset names the last transaction that was published: its end, its
//! id and its commit time. A server that was restored from an older copy of its data directory has other transactions
//! at these positions, and its system identifier and timeline are the same.

use shared::position::Lsn;

use crate::clock::unix_micros;
use crate::gap::Gap;
use crate::pgoutput::{Begin, Commit};
use crate::publish::Transaction;

/// What is skipped at the beginning of a stream, and what must be found there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlap {
    /// Everything that committed before has been published; none once the stream is past this position.
    until: Option<Lsn>,
    /// The published transaction that has to come.
    expected: Option<Transaction>,
    /// The published transaction after which no other one ends in the overlap.
    last: Option<Transaction>,
}

impl Overlap {
    /// The stream begins where everything before has been published.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The stream begins at `from`, everything before `until` has been published, and the last transaction of it was
    /// `last`, if that is known.
    pub(crate) fn between(from: Lsn, until: Lsn, last: Option<Transaction>) -> Self {
        Self {
            until: (from < until).then_some(until),
            expected: last.filter(|last| last.end_lsn > from),
            last,
        }
    }

    /// Whether a transaction that begins now is skipped, because it was published before.
    ///
    /// # Errors
    /// When the stream is past the overlap, and the last published transaction did not come.
    pub(super) fn skips(&mut self, begin: &Begin) -> Result<bool, Gap> {
        match self.until {
            Some(until) if begin.final_lsn < until => Ok(true),
            Some(_) => self.end().map(|()| false),
            None => Ok(false),
        }
    }

    /// Whether a message outside a transaction, which ends at `lsn`, is skipped, because it was published before.
    ///
    /// # Errors
    /// As [`Overlap::skips`].
    pub(super) fn skips_message(&mut self, lsn: Lsn) -> Result<bool, Gap> {
        match self.until {
            Some(until) if lsn <= until => Ok(true),
            Some(_) => self.end().map(|()| false),
            None => Ok(false),
        }
    }

    /// Takes the end of a transaction that was skipped.
    ///
    /// # Errors
    /// When it is not what was published at this position.
    pub(super) fn check(&mut self, begin: &Begin, commit: &Commit) -> Result<(), Gap> {
        let Some(last) = self.last else { return Ok(()) };
        let found = Transaction {
            end_lsn: commit.end_lsn,
            xid: begin.xid,
            commit_ts_us: unix_micros(commit.commit_time),
        };
        if found.end_lsn < last.end_lsn {
            return Ok(());
        }
        if found != last {
            return Err(Gap::OtherHistory { published: last, found: Some(found) });
        }
        self.expected = None;
        Ok(())
    }

    /// Whether everything before `wal_end` lies behind the overlap.
    ///
    /// # Errors
    /// When it does, and the last published transaction did not come.
    pub(super) fn is_past(&mut self, wal_end: Lsn) -> Result<bool, Gap> {
        match self.until {
            Some(until) if wal_end < until => Ok(false),
            Some(_) => self.end().map(|()| true),
            None => Ok(true),
        }
    }

    fn end(&mut self) -> Result<(), Gap> {
        match self.expected {
            Some(published) => Err(Gap::OtherHistory { published, found: None }),
            None => {
                self.until = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds from 1970 to 2000.
    const EPOCH_US: i64 = 946_684_800_000_000;

    /// A transaction whose commit record has ten bytes.
    fn messages(end: u64, xid: u32, time: i64) -> (Begin, Commit) {
        let final_lsn = Lsn(end - 10);
        (
            Begin { final_lsn, commit_time: time, xid },
            Commit { commit_lsn: final_lsn, end_lsn: Lsn(end), commit_time: time },
        )
    }

    fn published(end: u64) -> Option<Transaction> {
        Some(Transaction { end_lsn: Lsn(end), xid: 7, commit_ts_us: EPOCH_US + 5 })
    }

    #[track_caller]
    fn check_skipped(overlap: &mut Overlap, end: u64, xid: u32, time: i64) -> Result<(), Gap> {
        let (begin, commit) = messages(end, xid, time);
        assert_eq!(overlap.skips(&begin), Ok(true));
        overlap.check(&begin, &commit)
    }

    #[test]
    fn what_was_published_is_skipped_and_what_follows_is_not() {
        let mut overlap = Overlap::between(Lsn(100), Lsn(300), published(250));
        check_skipped(&mut overlap, 200, 6, 4).unwrap();
        assert_eq!(overlap.is_past(Lsn(260)), Ok(false));
        check_skipped(&mut overlap, 250, 7, 5).unwrap();
        let (begin, _) = messages(310, 8, 6);
        assert_eq!(overlap.skips(&begin), Ok(false));
        assert_eq!(overlap.is_past(Lsn(310)), Ok(true));
    }

    #[test]
    fn quiet_wal_behind_the_last_transaction_is_passed() {
        let mut overlap = Overlap::between(Lsn(250), Lsn(300), published(250));
        assert_eq!(overlap.is_past(Lsn(299)), Ok(false));
        assert_eq!(overlap.is_past(Lsn(300)), Ok(true));
        let mut none = Overlap::none();
        assert_eq!(none.is_past(Lsn(1)), Ok(true));
        assert_eq!(none.skips(&messages(20, 1, 1).0), Ok(false));
    }

    #[test]
    fn another_transaction_at_the_place_of_the_last_one_is_another_history() {
        // In turn: another id, another commit time, and a transaction that ends later, where nothing was published.
        for (end, xid, time) in [(250, 8, 5), (250, 7, 6), (260, 7, 5), (300, 9, 9)] {
            let mut overlap = Overlap::between(Lsn(100), Lsn(300), published(250));
            let result = check_skipped(&mut overlap, end, xid, time);
            assert!(matches!(result, Err(Gap::OtherHistory { found: Some(_), .. })), "{result:?}");
        }
    }

    #[test]
    fn a_last_transaction_that_does_not_come_is_another_history() {
        let missing = Err(Gap::OtherHistory { published: published(250).unwrap(), found: None });
        let overlap = || Overlap::between(Lsn(100), Lsn(300), published(250));
        assert_eq!(overlap().is_past(Lsn(300)), missing.clone().map(|()| true));
        assert_eq!(overlap().skips(&messages(310, 8, 6).0), missing.map(|()| true));
    }

    #[test]
    fn an_offset_without_its_transaction_skips_without_a_check() {
        let mut overlap = Overlap::between(Lsn(100), Lsn(300), None);
        check_skipped(&mut overlap, 250, 9, 9).unwrap();
        check_skipped(&mut overlap, 300, 9, 9).unwrap();
        assert_eq!(overlap.is_past(Lsn(300)), Ok(true));
    }
}
