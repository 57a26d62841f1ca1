//! A connection of its own asks the source how much WAL the slot keeps, for as long as the reader runs.
//!
//! In: the source and the slot. Out: the slot's two metrics, whether the source answers, whether it refuses new
//! connections, and whether a walsender that does not answer is at work. The watch is a thread beside the sessions: it
//! goes on during a snapshot, between two sessions, and while another process holds the slot, and a source that answers
//! slowly does not delay the stream. Invariant: what the source did not say when it was asked last is shown as unknown,
//! and no older value is shown.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::postgres::ConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, SlotWal};
use crate::clock;
use crate::observe::Observer;
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// SQLSTATE `cannot_connect_now`: the server starts or shuts down.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// The time during which the server has refused every new connection, as it does while it starts and shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// The first refusal.
    pub first: Instant,
    /// The last one so far.
    pub last: Instant,
}

/// The running watch. It ends when the reader is asked to stop.
#[derive(Debug, Clone, Default)]
pub struct SourceWatch(Arc<Seen>);

/// What the thread has seen, and what it has to look for.
#[derive(Debug, Default)]
struct Seen {
    refusals: Mutex<Option<Refusals>>,
    /// The process id of the stream's walsender; 0 when there is no stream yet.
    walsender: AtomicI32,
    /// The walsender owes an answer.
    is_silent: AtomicBool,
    /// When the server last said that the walsender works.
    at_work: Mutex<Option<Instant>>,
}

impl SourceWatch {
    /// Starts to watch a slot and its server, and reports to `observer` until `stop` is cancelled.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        source: &ConnectOptions,
        slot: &str,
        observer: &Arc<Observer>,
        stop: &CancellationToken,
    ) -> std::io::Result<Self> {
        let watch = Self::default();
        let mut watcher = Watcher {
            watch: watch.clone(),
            source: source.clone(),
            slot: slot.to_owned(),
            observer: Arc::clone(observer),
            stop: stop.clone(),
            client: None,
        };
        std::thread::Builder::new().name("source-watch".to_owned()).spawn(move || watcher.run())?;
        Ok(watch)
    }

    /// Since when the server has refused every new connection; none when it accepted the last one.
    #[must_use]
    pub fn refusals(&self) -> Option<Refusals> {
        *lock(&self.0.refusals)
    }

    /// Notes which process of the server sends the stream.
    pub fn of_walsender(&self, pid: i32) {
        self.0.walsender.store(pid, Ordering::Relaxed);
    }

    /// Notes whether the walsender owes an answer. If so, the server is asked whether the walsender works.
    pub fn note_silence(&self, is_silent: bool) {
        self.0.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// How long ago the server last said that the walsender works; none when it never has.
    #[must_use]
    pub fn since_at_work(&self) -> Option<Duration> {
        lock(&self.0.at_work).map(|seen| seen.elapsed())
    }

    fn note(&self, refused: bool, now: Instant) {
        let mut refusals = lock(&self.0.refusals);
        *refusals = refused.then(|| {
            let first = refusals.map_or(now, |refusals| refusals.first);
            Refusals { first, last: now }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No thread panics while it holds these. If one did, the data would still be consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread owns.
struct Watcher {
    watch: SourceWatch,
    source: ConnectOptions,
    slot: String,
    observer: Arc<Observer>,
    stop: CancellationToken,
    client: Option<Client>,
}

impl Watcher {
    fn run(&mut self) {
        while !self.stop.is_cancelled() {
            let measured = self.measure();
            if measured.is_ok() && self.watch.0.is_silent.load(Ordering::Relaxed) {
                self.look_for_walsender();
            }
            self.report(measured);
            clock::sleep(&self.stop, INTERVAL);
        }
    }

    fn measure(&mut self) -> Result<Option<SlotWal>, ReplicationError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let limit = WaitLimit::brief().or_stopped(&self.stop);
                none.insert(Client::connect(&self.source, Mode::Sql, limit)?)
            }
        };
        catalog::slot_wal(client, &self.slot)
    }

    /// Asks whether the silent walsender is at work. When the question fails, nothing is known, and the next one is
    /// asked soon.
    fn look_for_walsender(&mut self) {
        let Some(client) = &mut self.client else { return };
        let pid = self.watch.0.walsender.load(Ordering::Relaxed);
        match catalog::is_walsender_at_work(client, &self.slot, pid) {
            Ok(true) => *lock(&self.watch.0.at_work) = Some(Instant::now()),
            Ok(false) => tracing::debug!(pid, "the walsender is not at work"),
            Err(error) => tracing::debug!(%error, "cannot ask for the walsender"),
        }
    }

    fn report(&mut self, measured: Result<Option<SlotWal>, ReplicationError>) {
        let (wal, error) = match measured {
            Ok(wal) => (wal.unwrap_or_default(), None),
            Err(error) => (SlotWal::default(), Some(error)),
        };
        self.observer.slot_wal(&wal);
        let refused =
            error.as_ref().and_then(ReplicationError::sqlstate) == Some(CANNOT_CONNECT_NOW);
        self.watch.note(refused, Instant::now());
        if let Some(error) = &error {
            tracing::debug!(%error, "cannot measure the slot's WAL");
            // A late answer to this question would be taken for the answer to the next question.
            self.client = None;
        }
        // A server that refuses has answered.
        let silent = error.filter(|error| error.sqlstate().is_none());
        self.observer.source_asked(silent.map(|error| error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_last_from_the_first_one_until_a_connection_is_accepted() {
        let watch = SourceWatch::default();
        let start = Instant::now();
        let later = start + INTERVAL;
        assert_eq!(watch.refusals(), None);
        watch.note(true, start);
        watch.note(true, later);
        assert_eq!(watch.refusals(), Some(Refusals { first: start, last: later }));
        watch.note(false, later);
        assert_eq!(watch.refusals(), None);
    }
}
