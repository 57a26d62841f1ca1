//! Turns acknowledgements, which come in any order, into positions, which grow. Pure.

use std::collections::VecDeque;

use shared::position::Lsn;

/// The position that is confirmed when everything up to a commit is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// End of the commit, or of WAL without published changes: from here a stream starts again.
    pub end_lsn: Lsn,
    /// The last transaction before that end. `None` for WAL without any published change.
    pub transaction: Option<Transaction>,
}

/// A transaction that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// End of its commit record.
    pub end_lsn: Lsn,
    /// Transaction id.
    pub xid: u32,
    /// Commit time, microseconds since the epoch.
    pub commit_ts_us: i64,
}

/// Commits that may wait: 16 MB.
const COMMITS_MAX: usize = 500_000;

/// Words of 64 events that may wait: 64 million events in 8 MB.
const WORDS_MAX: usize = 1_000_000;

/// A list that has become empty keeps room for so many entries, and gives the rest back.
const ROOM_KEPT: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Commit {
    /// Every event with a number below this one belongs to this commit or an earlier one.
    events_before: u64,
    position: Position,
}

/// Numbers of events and the commits between them.
///
/// Events are numbered from 0 in the order in which they were sent. A set bit is an acknowledged event. Words at the
/// front whose bits are all set are dropped, so the window reaches from the first event that is not acknowledged to the
/// last event sent.
#[derive(Debug, Default)]
pub struct Ledger {
    words: VecDeque<u64>,
    first_word: u64,
    commits: VecDeque<Commit>,
    acknowledged: u64,
}

impl Ledger {
    /// Notes that an event is durable. A number may be noted once only.
    pub fn acknowledge(&mut self, event: u64) {
        let Some(word) = (event / 64).checked_sub(self.first_word) else {
            debug_assert!(false, "event {event} was acknowledged before");
            return;
        };
        let Ok(word) = usize::try_from(word) else { return };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (event % 64);
        self.acknowledged += 1;
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.first_word += 1;
        }
        if self.words.is_empty() {
            self.words.shrink_to(ROOM_KEPT);
        }
    }

    /// Notes a commit after `events_sent` events. Positions must not go back.
    pub fn commit(&mut self, events_sent: u64, position: Position) {
        if let Some(last) = self.commits.back_mut()
            && last.events_before == events_sent
        {
            // A commit without events is confirmed together with the commit before it. So neither a quiet stream nor
            // transactions without events make the queue grow.
            last.position.end_lsn = last.position.end_lsn.max(position.end_lsn);
            last.position.transaction = position.transaction.or(last.position.transaction);
            return;
        }
        self.commits.push_back(Commit { events_before: events_sent, position });
    }

    /// The last position up to which every event is durable, if it is new.
    pub fn take_confirmed(&mut self) -> Option<Position> {
        let low_water = self.low_water();
        let mut confirmed: Option<Position> = None;
        while let Some(commit) = self.commits.front()
            && commit.events_before <= low_water
        {
            // WAL without published changes leaves the last transaction what it was.
            let before = confirmed.and_then(|position| position.transaction);
            let transaction = commit.position.transaction.or(before);
            confirmed = Some(Position { transaction, ..commit.position });
            self.commits.pop_front();
        }
        if self.commits.is_empty() {
            self.commits.shrink_to(ROOM_KEPT);
        }
        confirmed
    }

    /// Every event with a number below this one is durable.
    #[must_use]
    pub fn low_water(&self) -> u64 {
        let tail = self.words.front().map_or(0, |word| word.trailing_ones());
        self.first_word * 64 + u64::from(tail)
    }

    /// Whether an event that was sent is durable.
    #[must_use]
    pub fn is_acknowledged(&self, event: u64) -> bool {
        let Some(word) = (event / 64).checked_sub(self.first_word) else { return true };
        let word = usize::try_from(word).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|bits| bits >> (event % 64) & 1 == 1)
    }

    /// Forgets the commits that wait. Their events are still acknowledged.
    pub fn forget_commits(&mut self) {
        self.commits.clear();
    }

    /// How many events have been acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether so many events wait that nothing more should be read. One partition without a leader holds back
    /// everything after it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.commits.len() > COMMITS_MAX || self.words.len() > WORDS_MAX
    }

    /// How many commits wait for acknowledgements.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.commits.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(end: u64) -> Position {
        transaction(end, 1)
    }

    fn transaction(end: u64, xid: u32) -> Position {
        let transaction = Transaction { end_lsn: Lsn(end), xid, commit_ts_us: 0 };
        Position { end_lsn: Lsn(end), transaction: Some(transaction) }
    }

    #[test]
    fn a_commit_is_confirmed_only_when_everything_before_is_durable() {
        let mut ledger = Ledger::default();
        ledger.commit(2, position(100));
        ledger.commit(3, position(200));
        ledger.acknowledge(1);
        ledger.acknowledge(2);
        assert_eq!(ledger.take_confirmed(), None);
        ledger.acknowledge(0);
        assert_eq!(ledger.take_confirmed().map(|p| p.end_lsn), Some(Lsn(200)));
        assert_eq!(ledger.take_confirmed(), None);
    }

    #[test]
    fn a_quiet_stream_confirms_at_once_and_does_not_grow() {
        let mut ledger = Ledger::default();
        ledger.commit(1, position(100));
        for end in 101..1000 {
            ledger.commit(1, Position { end_lsn: Lsn(end), transaction: None });
        }
        assert_eq!(ledger.waiting(), 1);
        assert_eq!(ledger.take_confirmed(), None);
        ledger.acknowledge(0);
        let expected = Position { end_lsn: Lsn(999), ..position(100) };
        assert_eq!(ledger.take_confirmed(), Some(expected), "the last transaction is still known");
    }

    #[test]
    fn transactions_without_events_do_not_grow_the_queue() {
        let mut ledger = Ledger::default();
        ledger.commit(1, position(100));
        for end in 101..10_000 {
            ledger.commit(1, transaction(end, 7));
        }
        assert_eq!(ledger.waiting(), 1);
        ledger.acknowledge(0);
        assert_eq!(ledger.take_confirmed(), Some(transaction(9_999, 7)));
    }

    #[test]
    fn an_acknowledged_event_is_known_as_such_whatever_waits_before_it() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(70);
        assert!(ledger.is_acknowledged(70));
        for event in [0, 69, 71, 1_000] {
            assert!(!ledger.is_acknowledged(event), "{event}");
        }
        (0..70).for_each(|event| ledger.acknowledge(event));
        assert!(ledger.is_acknowledged(0) && ledger.is_acknowledged(63), "its word is gone");
    }

    #[test]
    fn the_last_transaction_is_known_behind_an_event_that_belongs_to_none() {
        let mut ledger = Ledger::default();
        ledger.commit(1, transaction(100, 7));
        // An offset's record, or a message outside a transaction.
        ledger.commit(2, Position { end_lsn: Lsn(200), transaction: None });
        ledger.acknowledge(0);
        ledger.acknowledge(1);
        let expected = Position { end_lsn: Lsn(200), ..transaction(100, 7) };
        assert_eq!(ledger.take_confirmed(), Some(expected));
    }

    #[test]
    fn a_forgotten_commit_is_never_confirmed() {
        let mut ledger = Ledger::default();
        ledger.commit(1, position(100));
        ledger.forget_commits();
        ledger.acknowledge(0);
        assert_eq!(ledger.take_confirmed(), None);
        ledger.commit(1, position(90));
        assert_eq!(ledger.take_confirmed(), Some(position(90)));
    }

    #[test]
    fn too_much_waiting_is_said() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(64 * u64::try_from(WORDS_MAX).unwrap() - 1);
        assert!(!ledger.is_full());
        ledger.acknowledge(64 * u64::try_from(WORDS_MAX).unwrap());
        assert!(ledger.is_full());
    }

    proptest! {
        #[test]
        fn any_order_of_acknowledgements_confirms_exactly_the_durable_prefix(
            sizes in proptest::collection::vec(0u64..100, 1..20),
            order in any::<u64>(),
        ) {
            let mut ledger = Ledger::default();
            let mut borders = vec![];
            let mut sent = 0;
            for (index, size) in sizes.iter().enumerate() {
                sent += size;
                borders.push(sent);
                ledger.commit(sent, position(u64::try_from(index).unwrap() + 1));
            }
            let mut events: Vec<u64> = (0..sent).collect();
            events.sort_by_key(|event| (event ^ order).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut durable = std::collections::BTreeSet::new();
            let mut confirmed = 0;
            for event in events {
                ledger.acknowledge(event);
                durable.insert(event);
                let prefix = (0..).find(|e| !durable.contains(e)).unwrap();
                let expected = borders.iter().filter(|&&border| border <= prefix).count();
                if let Some(position) = ledger.take_confirmed() {
                    confirmed = usize::try_from(position.end_lsn.0).unwrap();
                }
                prop_assert_eq!(confirmed, expected);
                prop_assert_eq!(ledger.low_water(), prefix);
            }
            prop_assert!(ledger.words.len() <= 1);
        }
    }
}
