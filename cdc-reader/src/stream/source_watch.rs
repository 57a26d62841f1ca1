//! A second connection finds out how much WAL the slot holds back, and whether the server shuts down.
//!
//! It has a thread of its own, because a source that answers or connects slowly must not delay the stream.
//!
//! A server that shuts down waits until its walsenders' clients have confirmed everything (`WalSndDone` in PostgreSQL's
//! walsender.c). When Kafka is away, the server would wait until Kafka is back, and nobody could restart the source. So
//! the stream is given up after a while. The slot's position stays, and the next session sends again what was not
//! confirmed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::postgres::ConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::catalog;
use crate::clock;
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};

/// How often the source is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a server that shuts down may wait for the reader: well below the minute that `pg_ctl stop` waits by
/// default.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(10);

/// SQLSTATE `cannot_connect_now`. While the server's walsender still sends the stream, it can only mean a shutdown.
const CANNOT_CONNECT_NOW: &str = "57P03";

/// No measurement yet.
const UNKNOWN: i64 = -1;

/// What the thread has seen.
#[derive(Debug)]
struct Seen {
    slot_lag_bytes: AtomicI64,
    shutting_down_since: Mutex<Option<Instant>>,
}

/// The running watch; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct SourceWatch {
    seen: Arc<Seen>,
    stop: CancellationToken,
    warned: bool,
}

impl SourceWatch {
    /// Starts to watch a slot and its server.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(source: &ConnectOptions, slot: &str) -> Result<Self, ReplicationError> {
        let seen = Arc::new(Seen {
            slot_lag_bytes: AtomicI64::new(UNKNOWN),
            shutting_down_since: Mutex::new(None),
        });
        let stop = CancellationToken::new();
        let (source, slot) = (source.clone(), slot.to_owned());
        let watcher = (Arc::clone(&seen), stop.clone());
        std::thread::Builder::new().name("source-watch".to_owned()).spawn(move || {
            let (seen, stop) = watcher;
            watch(&source, &slot, &seen, &stop);
        })?;
        Ok(Self { seen, stop, warned: false })
    }

    /// WAL that the slot holds back, in bytes, once it has been measured.
    pub(super) fn slot_lag_bytes(&self) -> Option<u64> {
        u64::try_from(self.seen.slot_lag_bytes.load(Ordering::Relaxed)).ok()
    }

    /// Checks whether the source waits for the reader before it shuts down.
    ///
    /// # Errors
    /// When the source has waited long enough.
    pub(super) fn check_shutdown(&mut self, in_flight: u64) -> Result<(), ReplicationError> {
        let since = *self.seen.shutting_down_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = since else { return Ok(()) };
        if since.elapsed() >= SHUTDOWN_WAIT_MAX {
            return Err(ReplicationError::ShuttingDown);
        }
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                unacknowledged = in_flight,
                "the source is shutting down and waits for Kafka to acknowledge what was sent"
            );
        }
        Ok(())
    }
}

impl Drop for SourceWatch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn watch(source: &ConnectOptions, slot: &str, seen: &Seen, stop: &CancellationToken) {
    let mut client: Option<Client> = None;
    while !stop.is_cancelled() {
        let measured = measure(&mut client, source, slot, stop);
        let mut since = seen.shutting_down_since.lock().unwrap_or_else(PoisonError::into_inner);
        match measured {
            Ok(bytes) => {
                *since = None;
                if let Some(bytes) = bytes {
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    seen.slot_lag_bytes.store(bytes, Ordering::Relaxed);
                }
            }
            // The stream reports everything that is wrong, except a shutdown.
            Err(error) => {
                tracing::debug!(%error, "cannot measure the slot's lag");
                // A late answer to this question would be taken for the answer to the next question.
                client = None;
                if error.sqlstate() == Some(CANNOT_CONNECT_NOW) {
                    since.get_or_insert_with(Instant::now);
                }
            }
        }
        drop(since);
        clock::sleep(stop, INTERVAL);
    }
}

fn measure(
    client: &mut Option<Client>,
    source: &ConnectOptions,
    slot: &str,
    stop: &CancellationToken,
) -> Result<Option<u64>, ReplicationError> {
    if client.is_none() {
        let limit = WaitLimit::brief().or_stopped(stop);
        *client = Some(Client::connect(source, Mode::Sql, limit)?);
    }
    match client {
        Some(client) => catalog::slot_lag_bytes(client, slot),
        None => Ok(None),
    }
}
