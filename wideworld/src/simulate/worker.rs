//! A worker: one connection on which transactions follow each other.
//!
//! In: events that are due. Out: transactions and counts. A worker ends between two transactions and never inside one.
//! It ends with an error only when the server refuses something and a new attempt would fail too.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::backoff::Backoff;
use shared::postgres::{ConnectError, ConnectOptions};
use synthetic::remedy::Remedy;
use synthetic::session::Session;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::error::SimulateError;
use super::floor::Floor;
use super::kind::Kind;
use super::tally::Tally;
use crate::connection::connect;

/// How long a worker waits before it looks again whether something is due.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Attempts for one transaction that keeps meeting conflicts.
const ATTEMPTS_MAX: u32 = 100;

/// How long the transactions under way may take when the run is over.
const LAST_TRANSACTION_WAIT: Duration = Duration::from_secs(10);

/// The first pause before a connection is opened again; it doubles up to [`RECONNECT_PAUSE_MAX`].
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What all workers share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) database: ConnectOptions,
    pub(super) control: Arc<Control>,
    pub(super) tally: Arc<Tally>,
    pub(super) floor: Floor,
    pub(super) deadline: Option<Instant>,
    pub(super) stop: CancellationToken,
}

/// What a transaction did before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It is to be committed.
    Commit,
    /// There was nothing for it to do.
    Nothing,
}

/// One connection's worker.
pub(super) struct Worker {
    pub(super) run: Arc<Run>,
    pub(super) session: Session,
    pub(super) rng: ChaCha8Rng,
    /// What the readings are drawn from.
    pub(super) seed: u64,
    /// An order that is picked when the transaction under way is committed.
    pub(super) picked: Option<i32>,
    /// An order that waits for its invoice again unless the transaction under way is committed.
    pub(super) returned: Option<i32>,
}

impl Run {
    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits until no further transaction may begin.
    async fn over(&self) {
        let Some(deadline) = self.deadline else {
            self.stop.cancelled().await;
            return;
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep_until(deadline) => {}
        }
    }

    async fn patience_is_over(&self) {
        self.over().await;
        sleep(LAST_TRANSACTION_WAIT).await;
    }
}

impl Worker {
    pub(super) async fn open(
        run: Arc<Run>,
        (seed, number): (u64, u16),
    ) -> Result<Self, ConnectError> {
        let session = Session::new(connect(&run.database).await?);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(number));
        Ok(Self { run, session, rng, seed, picked: None, returned: None })
    }

    /// Transactions until it is time to stop.
    pub(super) async fn run(mut self) -> Result<(), SimulateError> {
        let run = Arc::clone(&self.run);
        while !run.is_over() {
            match run.control.take(Instant::now()) {
                Some(kind) => {
                    if !self.event(kind).await? {
                        return Ok(());
                    }
                }
                None => {
                    tokio::select! {
                        () = run.over() => {}
                        () = sleep(LOOK_AGAIN) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets one event happen. Gives false when the run ended before that.
    async fn event(&mut self, kind: Kind) -> Result<bool, SimulateError> {
        let run = Arc::clone(&self.run);
        let mut attempt = 1;
        while !run.is_over() {
            let done = tokio::select! {
                biased;
                done = self.transact(kind) => done,
                // A server that accepts a statement and never answers must not delay the end of the run.
                () = run.patience_is_over() => {
                    tracing::warn!(
                        database = run.database.display(),
                        "the run is over and the database does not answer: the transaction under way is given up"
                    );
                    return Ok(false);
                }
            };
            match done {
                Ok(Some(row_count)) => {
                    run.control.changed(row_count);
                    run.tally.committed(kind, row_count);
                    return Ok(true);
                }
                Ok(None) => {
                    run.tally.nothing(kind);
                    return Ok(true);
                }
                Err(err) => match Remedy::of(&err, self.session.is_closed()) {
                    Remedy::DrawAnew if attempt < ATTEMPTS_MAX => {
                        tracing::debug!(error = %err, kind = kind.name(), "conflict, once more");
                        run.tally.conflict();
                        attempt += 1;
                    }
                    Remedy::Reconnect => {
                        if !self.reconnect(&err).await {
                            return Ok(false);
                        }
                    }
                    Remedy::DrawAnew | Remedy::Stop => {
                        return Err(SimulateError::Database { step: kind.title(), source: err });
                    }
                },
            }
        }
        Ok(false)
    }

    /// Runs one transaction to its end. Gives the number of rows that it changed; nothing if it found nothing to do.
    async fn transact(&mut self, kind: Kind) -> Result<Option<u64>, Error> {
        let outcome = self.whole(kind).await;
        let (picked, returned) = (self.picked.take(), self.returned.take());
        let queued = if matches!(outcome, Ok(Some(_))) { picked } else { returned };
        if let Some(order_id) = queued {
            self.run.floor.put_picked(order_id);
        }
        outcome
    }

    async fn whole(&mut self, kind: Kind) -> Result<Option<u64>, Error> {
        self.session.begin().await?;
        match self.body(kind).await {
            Ok(Done::Commit) => Ok(Some(self.session.commit().await?)),
            Ok(Done::Nothing) => {
                self.session.rollback().await?;
                Ok(None)
            }
            Err(err) => {
                self.session.rollback_after_error().await;
                Err(err)
            }
        }
    }

    async fn body(&mut self, kind: Kind) -> Result<Done, Error> {
        match kind {
            Kind::Order => self.order().await,
            Kind::Pick => self.pick().await,
            Kind::Invoice => self.invoice().await,
            Kind::Deliver => self.deliver().await,
            Kind::Payment => self.payment().await,
            Kind::PurchaseOrder => self.purchase_order().await,
            Kind::Receive => self.receive().await,
            Kind::SupplierPayment => self.supplier_payment().await,
            Kind::Stocktake => self.stocktake().await,
            Kind::ColdRoom => self.cold_room().await,
            Kind::Vehicle => self.vehicle().await,
            Kind::EditCustomer => self.edit_customer().await,
            Kind::EditPerson => self.edit_person().await,
            Kind::EditPrice => self.edit_price().await,
            Kind::Deal => self.deal().await,
        }
    }

    /// A new connection, however long that takes; false when the run ends before there is one.
    async fn reconnect(&mut self, cause: &Error) -> bool {
        let run = Arc::clone(&self.run);
        let database = run.database.display();
        let mut backoff = Backoff::new(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX);
        tracing::warn!(error = %cause, database, "connection lost, reconnecting");
        run.tally.disconnected();
        loop {
            let connected = tokio::select! {
                biased;
                () = run.over() => return false,
                connected = connect_after(backoff.next_delay(), &run.database) => connected,
            };
            match connected {
                Ok(client) => {
                    tracing::info!(database, "connected again");
                    run.tally.reconnected();
                    self.session = Session::new(client);
                    return true;
                }
                Err(err) => {
                    tracing::warn!(error = %err, "still no connection");
                }
            }
        }
    }
}

async fn connect_after(pause: Duration, database: &ConnectOptions) -> Result<Client, ConnectError> {
    sleep(pause).await;
    connect(database).await
}
