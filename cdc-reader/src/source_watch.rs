//! A connection of its own asks the source how much WAL the slot keeps, for as long as the reader runs.
//!
//! In: the source and the slot. Out: the slot's two metrics, whether the source answers, and whether it refuses new
//! connections. The watch is a thread beside the sessions: it goes on during a snapshot, between two sessions, and
//! while another process holds the slot, and a source that answers slowly does not delay the stream. Invariant: what
//! the source did not say when it was asked last is shown as unknown, and no older value is.

use std::sync::{Arc, Mutex, PoisonError};
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
pub struct SourceWatch(Arc<Mutex<Option<Refusals>>>);

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
            refusals: watch.clone(),
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
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, refused: bool, now: Instant) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals = refused.then(|| {
            let first = refusals.map_or(now, |refusals| refusals.first);
            Refusals { first, last: now }
        });
    }
}

/// What the thread owns.
struct Watcher {
    refusals: SourceWatch,
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

    fn report(&mut self, measured: Result<Option<SlotWal>, ReplicationError>) {
        let (wal, error) = match measured {
            Ok(wal) => (wal.unwrap_or_default(), None),
            Err(error) => (SlotWal::default(), Some(error)),
        };
        self.observer.slot_wal(&wal);
        let refused =
            error.as_ref().and_then(ReplicationError::sqlstate) == Some(CANNOT_CONNECT_NOW);
        self.refusals.note(refused, Instant::now());
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
