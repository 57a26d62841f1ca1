//! What a simulation has done so far.
//!
//! In: counts of the workers. Out: the counters, at any time. Each counter is exact. Two counters that are read
//! together may differ by a transaction.

use std::sync::atomic::{AtomicU64, Ordering};

use super::mix::{Kind, MIX};

/// Counters of a running simulation.
#[derive(Debug, Default)]
pub struct Tally {
    committed: [AtomicU64; MIX.len()],
    row_count: AtomicU64,
    rolled_back: AtomicU64,
    conflict_count: AtomicU64,
    reconnect_count: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Committed transactions by kind, in the order of [`MIX`].
    pub committed_by_kind: Vec<(Kind, u64)>,
    /// Committed transactions.
    pub committed: u64,
    /// Rows inserted, updated and deleted by them. Rows of a savepoint that was rolled back count too.
    pub row_count: u64,
    /// Transactions rolled back on purpose.
    pub rolled_back: u64,
    /// Transactions drawn anew after a conflict with another one.
    pub conflict_count: u64,
    /// Connections opened again.
    pub reconnect_count: u64,
}

impl Tally {
    pub(super) fn committed(&self, kind: Kind, row_count: u64) {
        self.committed[kind.index()].fetch_add(1, Ordering::Relaxed);
        self.row_count.fetch_add(row_count, Ordering::Relaxed);
    }

    pub(super) fn rolled_back(&self) {
        self.rolled_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn conflict(&self) {
        self.conflict_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.reconnect_count.fetch_add(1, Ordering::Relaxed);
    }

    /// All counters now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let committed_by_kind: Vec<_> = MIX
            .iter()
            .zip(&self.committed)
            .map(|((kind, _), counter)| (*kind, read(counter)))
            .collect();
        Counts {
            committed: committed_by_kind.iter().map(|(_, count)| count).sum(),
            committed_by_kind,
            row_count: read(&self.row_count),
            rolled_back: read(&self.rolled_back),
            conflict_count: read(&self.conflict_count),
            reconnect_count: read(&self.reconnect_count),
        }
    }
}

impl Counts {
    /// Committed transactions of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.committed_by_kind[kind.index()].1
    }
}
