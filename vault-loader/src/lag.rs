//! How far one partition is behind: from where the warehouse stands to where Kafka's records end.
//!
//! In: the warehouse's next offset, the end of the partition, and what was read. Out: the events that wait, and when
//! the oldest of them was published. Pure: the caller says what time it is.
//!
//! Offsets are not events. A transactional producer writes a control record behind each of its transactions, and a
//! consumer of committed records never sees it, nor the records of aborted transactions. A range of offsets in which
//! nothing came is remembered as bare, and its offsets are no lag.

use std::collections::VecDeque;

/// Batches that are known at a time: one is read, one waits, one is loaded.
const BATCHES_MAX: usize = 8;

/// Offsets without an event: from the first to the one before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bare {
    from: i64,
    to: i64,
}

/// Where one partition stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// the warehouse's next offset
    next: Option<i64>,
    /// behind the last record that a consumer of committed records may read
    end: Option<i64>,
    bare: Option<Bare>,
    /// what may be bare, seen once
    suspected: Option<Bare>,
    /// the first event of each batch that was read and is perhaps not loaded: its offset and when it was published,
    /// milliseconds since the epoch
    batches: VecDeque<(i64, i64)>,
    /// since when events wait, milliseconds since the epoch; it counts where no batch is known
    behind_since_ms: Option<i64>,
}

impl Standing {
    /// The warehouse has loaded what is before this offset.
    pub(crate) fn moved(&mut self, next: i64, now_ms: i64) {
        self.next = Some(next);
        while self.batches.front().is_some_and(|&(offset, _)| offset < next) {
            self.batches.pop_front();
        }
        self.behind_since_ms = None;
        self.note_wait(now_ms);
    }

    /// Kafka's records end here.
    pub(crate) fn ends(&mut self, end: i64, now_ms: i64) {
        self.end = Some(end);
        self.note_wait(now_ms);
    }

    /// A consumer has read up to `read` and has nothing in hand, and the next thing it asks for is `end`. It counts
    /// when it is seen twice, because an event may just be on its way between the two.
    pub(crate) fn read_to_end(&mut self, read: i64, end: i64, now_ms: i64) {
        let bare = Bare { from: read, to: end };
        if self.suspected.replace(bare) == Some(bare) && read < end {
            self.bare = Some(bare);
            self.note_wait(now_ms);
        }
    }

    /// A batch begins with the event at this offset.
    pub(crate) fn batch_began(&mut self, offset: i64, published_ms: i64) {
        while self.batches.back().is_some_and(|&(last, _)| last >= offset) {
            self.batches.pop_back();
        }
        if self.batches.len() < BATCHES_MAX {
            self.batches.push_back((offset, published_ms));
        }
    }

    /// Offsets that wait and may hold events. None when one of the two ends is unknown.
    pub(crate) fn lag(&self) -> Option<i64> {
        let (next, end) = (self.next?, self.end?);
        let bare = self.bare.map_or(0, |bare| (bare.to.min(end) - bare.from.max(next)).max(0));
        Some((end - next - bare).max(0))
    }

    /// When the oldest event that waits was published, at the latest; milliseconds since the epoch. None when no event
    /// waits or nothing is known.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let waits = self.lag().is_some_and(|lag| lag > 0);
        let read = self.batches.front().map(|&(_, published_ms)| published_ms);
        read.or(self.behind_since_ms).filter(|_| waits)
    }

    fn note_wait(&mut self, now_ms: i64) {
        self.behind_since_ms = match self.lag() {
            Some(lag) if lag > 0 => self.behind_since_ms.or(Some(now_ms)),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(next: i64, end: i64) -> Standing {
        let mut standing = Standing::default();
        standing.moved(next, 100);
        standing.ends(end, 100);
        standing
    }

    #[test]
    fn lag_needs_both_ends() {
        let mut unknown = Standing::default();
        assert_eq!((unknown.lag(), unknown.oldest_ms()), (None, None));
        unknown.ends(7, 100);
        assert_eq!(unknown.lag(), None);
        assert_eq!(standing(3, 7).lag(), Some(4));
        // The end that was asked for before the last commit is older than the commit.
        assert_eq!(standing(8, 7).lag(), Some(0));
    }

    #[test]
    fn offsets_in_which_nothing_came_are_no_lag_once_they_were_seen_twice() {
        let mut control = standing(3, 4);
        control.read_to_end(3, 4, 100);
        assert_eq!(control.lag(), Some(1));
        control.read_to_end(3, 4, 102);
        assert_eq!((control.lag(), control.oldest_ms()), (Some(0), None));
        // The next transaction: two events and their control record.
        control.ends(7, 104);
        assert_eq!(control.lag(), Some(3));
        control.moved(6, 105);
        control.read_to_end(6, 7, 106);
        control.read_to_end(6, 7, 108);
        assert_eq!(control.lag(), Some(0));
    }

    #[test]
    fn an_event_on_its_way_is_not_taken_for_nothing() {
        let mut moving = standing(3, 5);
        moving.read_to_end(3, 5, 100);
        moving.read_to_end(4, 5, 102);
        assert_eq!(moving.lag(), Some(2));
        moving.read_to_end(4, 5, 104);
        // The event at offset 3 was read and is not loaded.
        assert_eq!(moving.lag(), Some(1));
    }

    #[test]
    fn the_oldest_event_is_the_first_of_the_batch_that_is_not_loaded() {
        let mut busy = standing(0, 20);
        assert_eq!(busy.oldest_ms(), Some(100));
        busy.batch_began(0, 40);
        busy.batch_began(10, 60);
        assert_eq!(busy.oldest_ms(), Some(40));
        busy.moved(10, 110);
        assert_eq!(busy.oldest_ms(), Some(60));
        // A part of the batch is loaded: the others have waited since then at least.
        busy.moved(15, 120);
        assert_eq!(busy.oldest_ms(), Some(120));
        busy.moved(20, 130);
        assert_eq!(busy.oldest_ms(), None);
    }

    #[test]
    fn batches_that_are_read_again_replace_the_dropped_ones() {
        let mut again = standing(0, 20);
        again.batch_began(0, 40);
        again.batch_began(10, 60);
        again.batch_began(0, 41);
        again.batch_began(12, 61);
        again.moved(12, 110);
        assert_eq!(again.oldest_ms(), Some(61));
    }
}
