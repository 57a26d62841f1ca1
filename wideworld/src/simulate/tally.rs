//! What a simulation has done so far.
//!
//! In: counts of the workers. Out: the counters, at any time. Each counter is exact. Two counters that are read
//! together may differ by a transaction.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::kind::{KIND_COUNT, KINDS, Kind};

/// Counters of a running simulation.
#[derive(Debug, Default)]
pub struct Tally {
    committed: [AtomicU64; KIND_COUNT],
    nothing: [AtomicU64; KIND_COUNT],
    row_count: AtomicU64,
    conflict_count: AtomicU64,
    reconnect_count: AtomicU64,
    is_disconnected: AtomicBool,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Committed transactions of each kind, in the order of [`KINDS`].
    pub committed: [u64; KIND_COUNT],
    /// Events of each kind that found nothing to do.
    pub nothing: [u64; KIND_COUNT],
    /// Rows inserted, updated and deleted by statements. Versions that the database moves to archives come on top.
    pub row_count: u64,
    /// Transactions drawn anew after a conflict with another one.
    pub conflict_count: u64,
    /// Connections opened again.
    pub reconnect_count: u64,
    /// Whether a connection was lost and is not back.
    pub is_disconnected: bool,
}

impl Tally {
    pub(super) fn committed(&self, kind: Kind, row_count: u64) {
        self.committed[kind.index()].fetch_add(1, Ordering::Relaxed);
        self.row_count.fetch_add(row_count, Ordering::Relaxed);
    }

    pub(super) fn nothing(&self, kind: Kind) {
        self.nothing[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn conflict(&self) {
        self.conflict_count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.is_disconnected.store(true, Ordering::Relaxed);
    }

    pub(super) fn reconnected(&self) {
        self.is_disconnected.store(false, Ordering::Relaxed);
        self.reconnect_count.fetch_add(1, Ordering::Relaxed);
    }

    /// All counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            committed: self.committed.each_ref().map(read),
            nothing: self.nothing.each_ref().map(read),
            row_count: read(&self.row_count),
            conflict_count: read(&self.conflict_count),
            reconnect_count: read(&self.reconnect_count),
            is_disconnected: self.is_disconnected.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    /// Committed transactions of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.committed[kind.index()]
    }

    /// Committed transactions of all kinds.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.committed.iter().sum()
    }

    /// Kinds with their committed transactions.
    pub fn by_kind(&self) -> impl Iterator<Item = (Kind, u64)> {
        KINDS.into_iter().map(|(kind, _)| kind).zip(self.committed)
    }
}
