//! Which way the new rows of a hub or a link take: staged and merged, or copied straight into the table.
//!
//! In: how the batches before went. Out: the way of the next batch.
//!
//! A row that was copied straight in was new, because the primary key refuses one that the table holds. The refusal
//! ends the attempt, nothing of it is written, and the next attempt stages the table's rows. So the guess that all rows
//! are new costs time when it is wrong, and nothing else. Staging asks the table for each row before it inserts the
//! row, and a row goes through a temporary table: in a first load, that takes as long again as the inserts themselves.
//!
//! A table is taken for one that gets new rows alone after some batches of which every staged row was new. Each refusal
//! doubles the number of batches.

/// So many batches of new rows alone come before the first guess.
const BATCHES_FIRST: u32 = 2;

/// After refusals, so many at most.
const BATCHES_MAX: u32 = 1024;

/// What the batches of a table have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directness {
    /// batches in a row of which all staged rows were new
    seen: u32,
    /// so many of them are needed
    needed: u32,
}

impl Default for Directness {
    fn default() -> Self {
        Self { seen: 0, needed: BATCHES_FIRST }
    }
}

impl Directness {
    /// Whether the next rows are copied straight into the table.
    pub(super) fn is_direct(self) -> bool {
        self.seen >= self.needed
    }

    /// Notes how many rows were staged, and how many of them the table did not have.
    pub(super) fn staged(&mut self, staged_count: u64, added_count: u64) {
        self.seen = if staged_count == added_count { self.seen.saturating_add(1) } else { 0 };
    }

    /// Notes that the table has rows which the next batch brings again.
    pub(super) fn known(&mut self) {
        self.seen = 0;
    }

    /// Notes that the table had a row that was copied straight in.
    pub(super) fn refused(&mut self) {
        self.seen = 0;
        self.needed = self.needed.saturating_mul(2).min(BATCHES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_straight_in_after_batches_of_new_rows_and_less_often_after_each_refusal() {
        let mut way = Directness::default();
        let batches_until_direct = |way: &mut Directness| {
            (0..).find(|_| {
                let is_direct = way.is_direct();
                way.staged(5, 5);
                is_direct
            })
        };
        assert_eq!(batches_until_direct(&mut way), Some(2));
        way.refused();
        assert_eq!(batches_until_direct(&mut way), Some(4));
        way.staged(5, 4);
        assert!(!way.is_direct(), "a known row");
        (0..4).for_each(|_| way.staged(5, 5));
        way.known();
        assert!(!way.is_direct(), "a row that is known before it is staged");
        for _ in 0..20 {
            way.refused();
        }
        assert_eq!(batches_until_direct(&mut way), Some(1024));
    }
}
