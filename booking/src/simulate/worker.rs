//! A worker: one connection on which transactions follow each other.
//!
//! In: turns of the pacer. Out: transactions and counts. A worker ends between two transactions and never inside one.
//! It ends with an error only when the server refuses something and a new attempt would fail too.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::backoff::Backoff;
use synthetic::remedy::Remedy;
use synthetic::session::Session;
use tokio_postgres::{Client, Error};

use super::airline::{Airline, Outcome};
use super::clock::AirlineClock;
use super::error::SimulateError;
use super::mix::Kind;
use super::shared::Shared;
use crate::database::{ConnectError, Database};

/// Attempts for one transaction that keeps meeting conflicts. Keys are drawn from millions, so even a run that draws
/// the keys of an earlier run soon finds new ones. This many conflicts in a row mean that something else is wrong.
const ATTEMPTS_MAX: u32 = 100;

/// The first pause before a connection is opened again; it doubles up to [`RECONNECT_PAUSE_MAX`].
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause: a server that comes back is noticed within it.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// One connection's worker.
pub(super) struct Worker {
    shared: Arc<Shared>,
    airline: Airline,
}

impl Worker {
    pub(super) async fn open(
        shared: Arc<Shared>,
        clock: AirlineClock,
        (seed, number): (u64, u16),
    ) -> Result<Self, ConnectError> {
        let session = Session::new(shared.database.connect().await?);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(number));
        Ok(Self { shared, airline: Airline::new(session, rng, clock) })
    }

    /// Transactions until it is time to stop.
    pub(super) async fn run(mut self) -> Result<(), SimulateError> {
        let shared = Arc::clone(&self.shared);
        loop {
            // Looks for a stop first, because a pacer without a limit is always ready.
            let due = tokio::select! {
                biased;
                () = shared.over() => false,
                () = shared.pacer.turn() => true,
            };
            if !due || !shared.take_transaction() {
                return Ok(());
            }
            match self.one_transaction().await? {
                Some(worker) => self = worker,
                None => return Ok(()),
            }
        }
    }

    /// Runs one transaction, drawn again after conflicts. Returns nothing when the run ended before the transaction was
    /// done.
    async fn one_transaction(mut self) -> Result<Option<Self>, SimulateError> {
        let mut kind = self.airline.draw();
        let mut attempt = 1;
        while !self.shared.is_over() {
            let done = tokio::select! {
                biased;
                done = self.airline.transact(kind) => done,
                // A server that accepts a statement and never answers must not delay the end of the run.
                () = self.shared.patience_is_over() => {
                    tracing::warn!(
                        database = %self.shared.database,
                        "the run is over and the database does not answer: the transaction under way is given up"
                    );
                    return Ok(None);
                }
            };
            match done {
                Ok(Outcome::Committed { row_count }) => {
                    self.shared.tally.committed(kind, row_count);
                    break;
                }
                Ok(Outcome::RolledBack) => {
                    self.shared.tally.rolled_back();
                    break;
                }
                // The kind found nothing to do, so another kind is tried: a booking, or a new flight that can be
                // booked.
                Ok(Outcome::NothingToDo) => kind = instead(kind)?,
                Err(err) => match Remedy::of(&err, self.airline.is_closed()) {
                    Remedy::DrawAnew if attempt < ATTEMPTS_MAX => {
                        tracing::debug!(error = %err, kind = kind.as_str(), "conflict, drawing anew");
                        self.shared.tally.conflict();
                        attempt += 1;
                    }
                    Remedy::Reconnect => match self.reconnect(&err).await {
                        Some(connected) => self = connected,
                        None => return Ok(None),
                    },
                    Remedy::DrawAnew | Remedy::Stop => {
                        return Err(SimulateError::Database { step: kind.as_str(), source: err });
                    }
                },
            }
        }
        Ok(Some(self))
    }

    /// A new connection, however long that takes; nothing when the run ends before there is one.
    async fn reconnect(mut self, cause: &Error) -> Option<Self> {
        let mut backoff = Backoff::new(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX);
        tracing::warn!(error = %cause, database = %self.shared.database, "connection lost, reconnecting");
        loop {
            let database = &self.shared.database;
            let connected = tokio::select! {
                biased;
                () = self.shared.over() => return None,
                connected = connect_after(backoff.next_delay(), database) => connected,
            };
            match connected {
                Ok(client) => {
                    tracing::info!(database = %self.shared.database, "connected again");
                    self.shared.tally.reconnected();
                    self.airline = self.airline.reconnected(Session::new(client));
                    return Some(self);
                }
                Err(err) => {
                    tracing::warn!(error = %err, "still no connection");
                }
            }
        }
    }
}

/// What to do when a kind finds nothing to do.
fn instead(kind: Kind) -> Result<Kind, SimulateError> {
    match kind {
        Kind::ScheduleFlight => Err(SimulateError::NoFlights),
        Kind::Book => Ok(Kind::ScheduleFlight),
        _ => Ok(Kind::Book),
    }
}

async fn connect_after(pause: Duration, database: &Database) -> Result<Client, ConnectError> {
    tokio::time::sleep(pause).await;
    database.connect().await
}
