//! Several writers of one process: what each of them gets of the partitions and of the memory.
//!
//! In: the partitions of an assignment, or stretches of partitions; the configuration. Out: a writer for each
//! partition, and bounds for each writer, so that all writers together stay within what one writer may take.
//!
//! A writer has a connection, caches and batches of its own. All events of a key are in one partition, and a partition
//! belongs to one writer at a time, so the order of a key's events is that of the topic. `run` and `rebuild` spread
//! partitions with the code of this file. To the warehouse, the writers of a process are what processes of one consumer
//! group are: what they share there is guarded by locks, keys and compare-and-set, and nothing depends on their memory.
//!
//! Two writers cannot wait for each other in a circle, because every transaction takes what others may hold in one
//! order:
//!
//! 1. The source's lock is shared, and only a migration takes it alone. It is taken before the transaction.
//! 2. The topics' locks come next, all in one statement and sorted by name. Loads share them. A truncate takes the lock
//!    of its topic alone, and takes no other topic's.
//! 3. Rows of offsets and minutes belong to one partition, so no two writers touch the same one. A command that takes
//!    events out of the quarantine may hold them; it takes the topics' locks first, too.
//! 4. Rows of hubs, in the order of the model's hubs and of the keys within each; then rows of links in the same way
//!    (`load/writer.rs`). These are the only rows that two writers insert for the same key: one waits for the other's
//!    end, and whoever waits for a key holds smaller keys or earlier tables alone. Two sources that share hubs keep to
//!    this only if their models list these hubs in the same order.
//! 5. Rows of satellites and of the quarantine belong to keys of one partition. A truncate adds rows to the keys of all
//!    partitions, and the lock of 2 keeps everybody else out meanwhile.
//!
//! A satellite that grows is altered outside of any transaction that holds something else, and that waits for two
//! seconds at most. If PostgreSQL should still find a circle, it ends one transaction with 40P01. That is an error like
//! a lost connection: nothing of the transaction is written, and the writer repeats it.

use std::collections::BTreeMap;

use crate::batch::Partition;
use crate::config::{BatchLimits, ResourceLimits};
use crate::model::{Id, ids};

ids! {
    /// One of the writers of a process.
    WriterId;
}

/// So many events of a batch load nearly as fast as more of them do (measured: 5 000 to 50 000 differ by less than 5
/// %).
const ROWS_ENOUGH: usize = 5_000;

/// Bytes that a batch has at least before it counts as full.
const BYTES_MIN: usize = 1_024;

/// When one writer's batch is full: the batches of all writers together are bounded as those of one writer alone, up to
/// the record that fills each. Fewer events than [`ROWS_ENOUGH`] make loading slower, so their number is divided down
/// to that.
pub(crate) fn batch_limits(limits: BatchLimits, writers: u16) -> BatchLimits {
    let writers = usize::from(writers.max(1));
    let rows_min = ROWS_ENOUGH.min(limits.rows_max);
    BatchLimits {
        rows_max: (limits.rows_max / writers).max(rows_min),
        bytes_max: (limits.bytes_max / writers).max(BYTES_MIN),
        ..limits
    }
}

/// How many states one writer may remember: its part of the memory that the process has for caches.
pub(crate) fn cache_entries(limits: &ResourceLimits, writers: u16) -> usize {
    limits.cache_entries_max / usize::from(writers.max(1))
}

/// Things in so many parts of about one size, the greatest first. Empty parts are left out.
pub(crate) fn spread<T>(
    mut things: Vec<T>,
    writers: usize,
    size: impl Fn(&T) -> i64,
) -> Vec<Vec<T>> {
    things.sort_by_key(|thing| std::cmp::Reverse(size(thing)));
    let mut parts: Vec<(i64, Vec<T>)> = (0..writers.max(1)).map(|_| (0, Vec::new())).collect();
    for thing in things {
        if let Some(smallest) = parts.iter_mut().min_by_key(|(size, _)| *size) {
            smallest.0 += size(&thing);
            smallest.1.push(thing);
        }
    }
    parts.into_iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect()
}

/// Which writer loads which partition. A partition keeps its writer from one assignment to the next, as long as no
/// writer has two partitions more than another one.
#[derive(Debug)]
pub(crate) struct Shares {
    writers: usize,
    of: BTreeMap<Partition, WriterId>,
}

impl Shares {
    pub(crate) fn new(writers: u16) -> Self {
        Self { writers: usize::from(writers.max(1)), of: BTreeMap::new() }
    }

    /// Spreads the partitions of an assignment. Those of one table go to different writers where that is possible.
    pub(crate) fn renew(&mut self, assigned: impl IntoIterator<Item = Partition>) {
        let mut assigned: Vec<Partition> = assigned.into_iter().collect();
        assigned.sort_unstable();
        assigned.dedup();
        let before = std::mem::take(&mut self.of);
        let quota = assigned.len().div_ceil(self.writers);
        let mut open = Vec::new();
        for from in assigned {
            match before.get(&from).filter(|&&writer| self.count(writer) < quota) {
                Some(&writer) => drop(self.of.insert(from, writer)),
                None => open.push(from),
            }
        }
        for from in open {
            let writer = self.ids().min_by_key(|&id| (self.count(id), self.of_table(id, from)));
            self.of.extend(writer.map(|writer| (from, writer)));
        }
        self.even_out();
    }

    /// Moves partitions until no writer has two more than another one.
    fn even_out(&mut self) {
        loop {
            let most = self.ids().max_by_key(|&id| self.count(id));
            let least = self.ids().min_by_key(|&id| self.count(id));
            let (Some(most), Some(least)) = (most, least) else { return };
            if self.count(most) <= self.count(least) + 1 {
                return;
            }
            if let Some(writer) = self.of.values_mut().rev().find(|writer| **writer == most) {
                *writer = least;
            }
        }
    }

    /// The writer of a partition; the first one when the partition belongs to nobody.
    pub(crate) fn writer_of(&self, from: Partition) -> WriterId {
        self.of.get(&from).copied().unwrap_or_else(|| WriterId::from_index(0))
    }

    /// How many partitions a writer has.
    pub(crate) fn count(&self, writer: WriterId) -> usize {
        self.of.values().filter(|&&other| other == writer).count()
    }

    fn of_table(&self, writer: WriterId, from: Partition) -> usize {
        let own = self.of.iter().filter(|(_, other)| **other == writer);
        own.filter(|(other, _)| other.table == from.table).count()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WriterId> + use<> {
        (0..self.writers).map(WriterId::from_index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableId;

    fn partitions(tables: usize, each: i32) -> Vec<Partition> {
        let of_table = |table| {
            let table = TableId::from_index(table);
            (0..each).map(move |partition| Partition { table, partition })
        };
        (0..tables).flat_map(of_table).collect()
    }

    fn counts(shares: &Shares) -> Vec<usize> {
        shares.ids().map(|id| shares.count(id)).collect()
    }

    #[test]
    fn every_partition_has_one_writer_and_no_writer_two_more_than_another() {
        for writers in 1..=5 {
            let mut shares = Shares::new(writers);
            let mut before: Vec<Partition> = Vec::new();
            for (tables, each) in [(3, 4), (1, 1), (7, 3), (2, 8), (0, 0), (5, 2)] {
                let assigned = partitions(tables, each);
                shares.renew(assigned.iter().copied().rev().chain(before.clone()));
                shares.renew(assigned.clone());
                let counts = counts(&shares);
                assert_eq!(counts.iter().sum::<usize>(), assigned.len());
                let (most, least) = (counts.iter().max(), counts.iter().min());
                assert!(
                    most.zip(least).is_some_and(|(most, least)| most - least <= 1),
                    "{counts:?}"
                );
                before = assigned;
            }
        }
    }

    #[test]
    fn the_partitions_of_a_table_go_to_different_writers() {
        let mut shares = Shares::new(4);
        shares.renew(partitions(3, 4));
        for table in partitions(3, 1) {
            let of_table = (0..4).map(|partition| Partition { partition, ..table });
            let mut writers: Vec<WriterId> = of_table.map(|from| shares.writer_of(from)).collect();
            writers.sort_unstable();
            writers.dedup();
            assert_eq!(writers.len(), 4);
        }
    }

    #[test]
    fn a_partition_keeps_its_writer_when_others_come_and_go() {
        let mut shares = Shares::new(3);
        let all = partitions(4, 3);
        shares.renew(all.clone());
        let writers: Vec<WriterId> = all.iter().map(|from| shares.writer_of(*from)).collect();
        let mut half = all.clone();
        half.truncate(6);
        shares.renew(half.clone());
        shares.renew(all.clone());
        let kept = half.iter().zip(&writers).filter(|(from, id)| shares.writer_of(**from) == **id);
        assert_eq!(kept.count(), 6);
        assert_eq!(counts(&shares), [4, 4, 4]);
    }

    #[test]
    fn the_bounds_of_all_writers_together_are_those_of_one() {
        let limits = BatchLimits { rows_max: 10_000, bytes_max: 1 << 20, ..BatchLimits::default() };
        let of = |writers| {
            let limits = batch_limits(limits, writers);
            (limits.rows_max, limits.bytes_max)
        };
        assert_eq!((of(1), of(2), of(4)), ((10_000, 1 << 20), (5_000, 1 << 19), (5_000, 1 << 18)));
        let small = batch_limits(BatchLimits { rows_max: 7, ..limits }, 3);
        assert_eq!(small.rows_max, 7, "a bound that somebody has set low stays");
        let resources = ResourceLimits { cache_entries_max: 900, ..ResourceLimits::default() };
        assert_eq!(cache_entries(&resources, 3), 300);
    }

    #[test]
    fn stretches_are_spread_by_their_size() {
        let parts = spread(vec![1, 9, 2, 3, 4], 2, |size| *size);
        let sums: Vec<i64> = parts.iter().map(|part| part.iter().sum()).collect();
        assert_eq!(sums, [10, 9]);
        assert_eq!(spread(vec![5], 3, |size| *size), [[5]]);
    }
}
