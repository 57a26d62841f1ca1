//! The life of the wholesaler in real time, in real transactions.
//!
//! In: settings that may change at any time, and a connection. Out: transactions over several connections, and counts
//! of them. Every transaction keeps these invariants beside the database's own constraints:
//!
//! * stock on hand is the sum of the movements of a stock item;
//! * an invoice's transaction is the sum of its lines;
//! * a payment is the sum of what it settles.
//!
//! A transaction that meets a conflict is done again. A lost connection is opened again with growing pauses.

mod control;
mod edits;
mod error;
mod floor;
mod kind;
mod payments;
mod purchasing;
mod sales;
mod sensors;
mod tally;
mod worker;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use shared::postgres::ConnectOptions;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::floor::Floor;
use self::worker::{Run, Worker};

pub use self::control::{
    BURST_MAX, Burst, CHANGES_MAX, Control, OutOfRange, RATE_MAX, SPEED_MAX, Settings,
};
pub use self::error::SimulateError;
pub use self::kind::{KIND_COUNT, KINDS, Kind};
pub use self::tally::{Counts, Tally};

/// How a simulation runs.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// When to stop. `None` means on cancellation only.
    pub duration: Option<Duration>,
    /// Start of the random numbers.
    pub seed: u64,
    /// Connections; transactions run side by side on them.
    pub connections: NonZeroU16,
}

/// Runs until the duration is over, `stop` is cancelled, or a transaction fails for good. Transactions under way are
/// finished first, if the server answers within ten seconds. `control` and `tally` can be used all the while.
///
/// # Errors
/// See [`SimulateError`].
pub async fn simulate(
    database: &ConnectOptions,
    options: &SimulateOptions,
    (control, tally): (Arc<Control>, Arc<Tally>),
    stop: CancellationToken,
) -> Result<Counts, SimulateError> {
    control.settings().checked()?;
    let floor = Floor::look(database).await?;
    let run = Arc::new(Run {
        database: database.clone(),
        control,
        tally: Arc::clone(&tally),
        floor,
        deadline: options.duration.map(|duration| Instant::now() + duration),
        // A child token: one worker's failure stops the other workers, and not the caller's other tasks.
        stop: stop.child_token(),
    });
    let mut workers = JoinSet::new();
    for number in 0..options.connections.get() {
        let worker = Worker::open(Arc::clone(&run), (options.seed, number)).await?;
        workers.spawn(worker.run());
    }
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.map_err(SimulateError::Worker).and_then(|result| result);
        if ended.is_err() {
            run.stop.cancel();
        }
        // The first failure is the cause of the others.
        outcome = outcome.and(ended);
    }
    outcome.map(|()| tally.counts())
}
