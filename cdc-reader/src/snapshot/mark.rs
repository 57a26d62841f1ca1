//! The mark of a snapshot's row: whether it is the first or the last of its table, or of all. Pure.
//!
//! A row's mark depends on what follows it, so a row waits until the next one is read, be it of another table.

use shared::debezium::envelope::SnapshotMark;

/// The row that is held back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Index of its table.
    pub(super) table: usize,
    pub(super) first_in_table: bool,
}

/// What comes after a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follower {
    SameTable,
    OtherTable,
    Nothing,
}

impl Waiting {
    /// The only row of a table is marked as the table's last row, unless the table is the first of all. Empty tables
    /// count as tables.
    pub(super) fn mark(self, follower: Follower) -> SnapshotMark {
        match (follower, self.first_in_table) {
            (Follower::Nothing, _) => SnapshotMark::Last,
            (_, true) if self.table == 0 => SnapshotMark::First,
            (Follower::OtherTable, _) => SnapshotMark::LastInDataCollection,
            (Follower::SameTable, true) => SnapshotMark::FirstInDataCollection,
            (Follower::SameTable, false) => SnapshotMark::True,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(table: usize, first_in_table: bool, follower: Follower, expected: SnapshotMark) {
        let waiting = Waiting { table, first_in_table };
        assert_eq!(waiting.mark(follower), expected, "{waiting:?} {follower:?}");
    }

    #[test]
    fn rows_of_the_first_table_begin_the_snapshot() {
        check(0, true, Follower::SameTable, SnapshotMark::First);
        check(0, false, Follower::SameTable, SnapshotMark::True);
        check(0, false, Follower::OtherTable, SnapshotMark::LastInDataCollection);
        // Its only row is the first of all before it is the last of its table.
        check(0, true, Follower::OtherTable, SnapshotMark::First);
    }

    #[test]
    fn rows_of_a_later_table_begin_and_end_their_table() {
        check(1, true, Follower::SameTable, SnapshotMark::FirstInDataCollection);
        check(1, false, Follower::SameTable, SnapshotMark::True);
        check(1, false, Follower::OtherTable, SnapshotMark::LastInDataCollection);
        check(1, true, Follower::OtherTable, SnapshotMark::LastInDataCollection);
    }

    #[test]
    fn the_last_row_of_all_is_the_last_whatever_else_it_is() {
        for (table, first_in_table) in [(0, true), (0, false), (1, true), (1, false)] {
            check(table, first_in_table, Follower::Nothing, SnapshotMark::Last);
        }
    }
}
