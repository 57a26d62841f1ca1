//! Which batches may be loaded, and which are being loaded now.
//!
//! In: the writers say when they begin with a batch and when they are done with it; the thread that polls Kafka says
//! when an assignment of partitions ends. Out: no batch of an assignment that has ended begins, and that thread can
//! wait for those that had begun.
//!
//! So partitions are given back when nothing of them is on its way to the warehouse, and whoever gets them next reads
//! offsets that nobody moves any more. The wait has an end, because the group waits too. If a batch is still being
//! loaded then, the offsets in the warehouse decide: either this loader or the next one is fenced.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How often a wait looks whether the loader ends.
const LOOK: Duration = Duration::from_millis(20);

/// The batches in flight of one source. Clones share them.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    loading: Mutex<Generations>,
    ended: Condvar,
    /// the current assignment
    generation: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Generations {
    /// how many writers load a batch of each assignment
    counts: BTreeMap<u64, usize>,
    /// batches of this assignment and those before it are not waited for: they were, for as long as possible
    forsaken: u64,
}

impl Generations {
    fn is_any_awaited(&self) -> bool {
        self.counts.keys().any(|&generation| generation > self.forsaken)
    }
}

/// A batch that is being loaded, until this is dropped.
#[derive(Debug)]
pub(crate) struct Loading {
    shared: Arc<Shared>,
    generation: u64,
}

impl Drop for Loading {
    fn drop(&mut self) {
        let mut loading = self.shared.lock();
        if let Some(count) = loading.counts.get_mut(&self.generation) {
            *count -= 1;
            if *count == 0 {
                loading.counts.remove(&self.generation);
            }
        }
        drop(loading);
        self.shared.ended.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self::new()
    }
}

impl InFlight {
    /// Nothing is in flight.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            loading: Mutex::default(),
            ended: Condvar::new(),
            generation: watch::Sender::new(0),
        }))
    }

    /// A writer begins with a batch of an assignment. `None` when the assignment has ended.
    pub(crate) fn begin(&self, generation: u64) -> Option<Loading> {
        let mut loading = self.0.lock();
        if generation < *self.0.generation.borrow() {
            return None;
        }
        *loading.counts.entry(generation).or_default() += 1;
        Some(Loading { shared: Arc::clone(&self.0), generation })
    }

    /// Whether an assignment has not ended.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        generation >= *self.0.generation.borrow()
    }

    /// Returns when an assignment has ended.
    pub(crate) async fn outdated(&self, generation: u64) {
        let mut current = self.0.generation.subscribe();
        // The sender lives as long as this.
        let _ = current.wait_for(|current| generation < *current).await;
    }

    /// Another assignment begins: no batch of those before it begins from now on.
    pub(crate) fn withdraw(&self, generation: u64) {
        let _loading = self.0.lock();
        self.0.generation.send_replace(generation);
    }

    /// Whether a batch is being loaded that is waited for.
    pub(crate) fn is_any(&self) -> bool {
        self.0.lock().is_any_awaited()
    }

    /// Waits until no batch is being loaded. `false` when that takes longer than `patience`, or `is_ending` says that
    /// the loader ends; the batches that are then in flight are never waited for again. This blocks the thread.
    pub(crate) fn wait(&self, patience: Duration, is_ending: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        let mut loading = self.0.lock();
        while loading.is_any_awaited() {
            if begun.elapsed() >= patience || is_ending() {
                loading.forsaken = loading.counts.keys().copied().max().unwrap_or_default();
                return false;
            }
            let waited = self.0.ended.wait_timeout(loading, LOOK);
            loading = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_of_an_assignment_that_has_ended_does_not_begin() {
        let in_flight = InFlight::new();
        in_flight.withdraw(3);
        assert!(in_flight.begin(2).is_none());
        assert!(in_flight.begin(3).is_some());
        assert!(in_flight.is_current(3) && !in_flight.is_current(2));
    }

    #[test]
    fn the_wait_ends_with_the_last_batch() {
        let in_flight = InFlight::new();
        let batches = [in_flight.begin(1).unwrap(), in_flight.begin(1).unwrap()];
        in_flight.withdraw(2);
        let waiting = {
            let in_flight = in_flight.clone();
            std::thread::spawn(move || in_flight.wait(LONG, || false))
        };
        for batch in batches {
            assert!(in_flight.is_any() && !waiting.is_finished());
            drop(batch);
        }
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn what_was_waited_for_in_vain_is_not_waited_for_again() {
        let in_flight = InFlight::new();
        let stuck = in_flight.begin(1).unwrap();
        in_flight.withdraw(2);
        assert!(!in_flight.wait(Duration::from_millis(1), || false));
        assert!(in_flight.wait(LONG, || false), "nothing else is in flight");
        let next = in_flight.begin(2).unwrap();
        assert!(!in_flight.wait(LONG, || true), "the loader ends");
        drop((stuck, next));
        let later = in_flight.begin(3).unwrap();
        assert!(in_flight.is_any());
        drop(later);
        assert!(in_flight.wait(LONG, || false));
    }

    #[tokio::test]
    async fn whoever_waits_with_a_batch_is_told_that_its_assignment_has_ended() {
        let in_flight = InFlight::new();
        let waiting = {
            let in_flight = in_flight.clone();
            tokio::spawn(async move { in_flight.outdated(4).await })
        };
        in_flight.withdraw(4);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        in_flight.withdraw(5);
        waiting.await.unwrap();
    }
}
