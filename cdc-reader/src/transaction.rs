//! The order of messages: which message may follow which. Pure.
//!
//! In: the messages that begin, change and commit transactions. Out: the transaction that is open, or an error when the
//! protocol does not allow the message at that place. Protocol version 1 delivers whole transactions, one after the
//! other, in the order of their commit records. A position is the end LSN of a commit. The LSN of a row is no position:
//! the rows of one multi-insert share an LSN, and the LSNs of concurrent transactions interleave.

use shared::position::Lsn;

use crate::pgoutput::{Begin, Commit};

/// The sequence of messages is not one that the protocol allows. Going on could lose or reorder changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A change or a commit with no transaction open.
    #[error("pgoutput sent {0} outside a transaction")]
    Outside(&'static str),
    /// A transaction inside another.
    #[error("pgoutput began transaction {inner} inside transaction {outer}")]
    Nested {
        /// The open one.
        outer: u32,
        /// The new one.
        inner: u32,
    },
    /// The commit is not the one that was announced.
    #[error("transaction announced commit at {announced} and committed at {actual}")]
    Mismatch {
        /// In its begin.
        announced: Lsn,
        /// In its commit.
        actual: Lsn,
    },
    /// The positions of commits must not go back.
    #[error("commit at {next} follows commit at {last}")]
    Backwards {
        /// The commit before.
        last: Lsn,
        /// This one.
        next: Lsn,
    },
}

/// Checks the order of the messages of one stream.
#[derive(Debug, Default)]
pub struct TransactionOrder {
    open: Option<Begin>,
    last_commit: Option<Commit>,
    /// The end of the last message outside a transaction, when it comes after the last commit.
    message_end: Option<Lsn>,
    /// The end of the last commit of an earlier stream.
    earlier_commit: Option<Lsn>,
}

impl TransactionOrder {
    /// A stream that goes on after an earlier one, whose last commit ended at `earlier_commit`.
    #[must_use]
    pub fn after(earlier_commit: Option<Lsn>) -> Self {
        Self { earlier_commit, ..Self::default() }
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// When one is open already, or it would commit before the last one.
    pub fn begin(&mut self, begin: Begin) -> Result<(), OrderError> {
        if let Some(open) = self.open {
            return Err(OrderError::Nested { outer: open.xid, inner: begin.xid });
        }
        if let Some(last) = self.last_commit
            && begin.final_lsn < last.end_lsn
        {
            return Err(OrderError::Backwards { last: last.end_lsn, next: begin.final_lsn });
        }
        self.open = Some(begin);
        Ok(())
    }

    /// The open transaction, for a change named `what`.
    ///
    /// # Errors
    /// When none is open.
    pub fn check_change(&self, what: &'static str) -> Result<Begin, OrderError> {
        self.open.ok_or(OrderError::Outside(what))
    }

    /// Closes the transaction and returns it.
    ///
    /// # Errors
    /// When none is open, or the commit is not the announced one.
    pub fn commit(&mut self, commit: Commit) -> Result<Begin, OrderError> {
        let open = self.open.take().ok_or(OrderError::Outside("a commit"))?;
        if commit.commit_lsn != open.final_lsn {
            return Err(OrderError::Mismatch {
                announced: open.final_lsn,
                actual: commit.commit_lsn,
            });
        }
        if commit.end_lsn <= commit.commit_lsn {
            return Err(OrderError::Backwards { last: commit.commit_lsn, next: commit.end_lsn });
        }
        self.last_commit = Some(commit);
        self.message_end = None;
        Ok(open)
    }

    /// Notes a logical decoding message that belongs to no transaction and ends at `lsn`.
    pub fn note_message(&mut self, lsn: Lsn) {
        self.message_end = Some(lsn);
    }

    /// End of the last commit seen on this stream. As in Debezium, a message outside a transaction counts as a commit.
    #[must_use]
    pub fn last_commit_end(&self) -> Option<Lsn> {
        self.message_end.or_else(|| self.last_commit_of_transaction())
    }

    fn last_commit_of_transaction(&self) -> Option<Lsn> {
        self.last_commit.map(|commit| commit.end_lsn).or(self.earlier_commit)
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(xid: u32, final_lsn: u64) -> Begin {
        Begin { final_lsn: Lsn(final_lsn), commit_time: 0, xid }
    }

    fn commit(lsn: u64, end: u64) -> Commit {
        Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(end), commit_time: 0 }
    }

    #[test]
    fn transactions_follow_each_other() {
        let mut order = TransactionOrder::default();
        order.begin(begin(1, 100)).unwrap();
        assert_eq!(order.check_change("an insert").unwrap().xid, 1);
        assert_eq!(order.commit(commit(100, 140)).unwrap().xid, 1);
        // The next transaction may begin exactly where the last one ended.
        order.begin(begin(2, 140)).unwrap();
        order.commit(commit(140, 150)).unwrap();
        assert_eq!(order.last_commit_end(), Some(Lsn(150)));
    }

    #[test]
    fn a_message_outside_a_transaction_counts_as_a_commit() {
        let mut order = TransactionOrder::after(Some(Lsn(50)));
        assert_eq!(order.last_commit_end(), Some(Lsn(50)));
        order.note_message(Lsn(90));
        assert_eq!(order.last_commit_end(), Some(Lsn(90)));
        order.begin(begin(1, 100)).unwrap();
        assert_eq!(order.last_commit_end(), Some(Lsn(90)));
        order.commit(commit(100, 140)).unwrap();
        assert_eq!(order.last_commit_end(), Some(Lsn(140)));
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_refused() {
        let mut order = TransactionOrder::default();
        assert_eq!(order.check_change("an insert").err(), Some(OrderError::Outside("an insert")));
        assert!(matches!(order.commit(commit(1, 2)), Err(OrderError::Outside(_))));
        order.begin(begin(1, 100)).unwrap();
        assert!(matches!(order.begin(begin(2, 200)), Err(OrderError::Nested { .. })));
        assert!(matches!(order.commit(commit(101, 140)), Err(OrderError::Mismatch { .. })));
        let mut order = TransactionOrder::default();
        order.begin(begin(1, 100)).unwrap();
        assert!(matches!(order.commit(commit(100, 100)), Err(OrderError::Backwards { .. })));
        let mut order = TransactionOrder::default();
        order.begin(begin(1, 100)).unwrap();
        order.commit(commit(100, 140)).unwrap();
        assert!(matches!(order.begin(begin(2, 139)), Err(OrderError::Backwards { .. })));
    }
}
