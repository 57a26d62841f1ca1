//! The life of an airline, in real transactions at a chosen rate.
//!
//! In: options and a connection string. Out: transactions over several connections, and counts of them. Every
//! transaction keeps these invariants beside the database's own constraints:
//!
//! * a booking's `total_amount` is the sum of its segments' `amount`;
//! * no class of a flight is sold beyond its seats, and a flight that left has an `actual_departure`;
//! * rows that somebody else put in by hand are left alone, unless they are sold like any other flight;
//! * a seat that the booking service has sold is given to nobody else.
//!
//! A transaction that meets a conflict is drawn again at once. A lost connection is opened again with growing pauses. A
//! transaction whose commit was interrupted may have been committed or not, and is not counted.

mod airline;
mod changes;
mod clock;
mod error;
mod mix;
mod operations;
mod pace;
mod sales;
mod seating;
mod shared;
mod tally;
mod worker;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::clock::AirlineClock;
use self::pace::Pacer;
use self::shared::Shared;
use self::worker::Worker;
use crate::database::Database;

pub use self::error::SimulateError;
pub use self::mix::{Kind, MIX};
pub use self::tally::{Counts, Tally};

/// How a simulation runs.
#[derive(Debug, Clone)]
pub struct SimulateOptions {
    /// Transactions a second over all connections; zero means as fast as the server goes.
    pub rate: f64,
    /// When to stop. `None` means on cancellation only.
    pub duration: Option<Duration>,
    /// Stop after this many transactions. `None` means no limit.
    pub transaction_max: Option<u64>,
    /// Start of the random numbers. With one connection and a stopped clock a run can be repeated exactly.
    pub seed: u64,
    /// Connections; transactions run side by side on them.
    pub connections: NonZeroU16,
    /// Seconds of the airline's life in a second.
    pub time_factor: f64,
    /// The airline's time at the start. `None` means now, or the latest take-off or landing if that is later.
    pub now: Option<DateTime<Utc>>,
}

/// Runs until the duration or the number of transactions is reached, `stop` is cancelled, or a transaction fails for
/// good. Transactions under way are finished first, if the server answers within ten seconds. `tally` can be read all
/// the while.
pub async fn simulate(
    database: &Database,
    options: &SimulateOptions,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> Result<Counts, SimulateError> {
    for (name, value) in [("rate", options.rate), ("time factor", options.time_factor)] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(SimulateError::Number { name, value });
        }
    }
    let clock = start_clock(database, options).await?;
    let shared = Arc::new(Shared {
        database: database.clone(),
        pacer: Pacer::new(options.rate),
        tally: Arc::clone(&tally),
        transactions_left: AtomicU64::new(options.transaction_max.unwrap_or(u64::MAX)),
        deadline: options.duration.map(|duration| Instant::now() + duration),
        // A child token: one worker's failure stops the other workers, and not the caller's other tasks.
        stop: stop.child_token(),
    });
    let mut workers = JoinSet::new();
    for number in 0..options.connections.get() {
        let worker = Worker::open(Arc::clone(&shared), clock, (options.seed, number)).await?;
        workers.spawn(worker.run());
    }
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        let ended = ended.map_err(SimulateError::Worker).and_then(|result| result);
        if ended.is_err() {
            shared.stop.cancel();
        }
        // The first failure is the cause of the others.
        outcome = outcome.and(ended);
    }
    outcome.map(|()| tally.counts())
}

/// The clock begins now, or at the end of an earlier simulation if that is later.
async fn start_clock(
    database: &Database,
    options: &SimulateOptions,
) -> Result<AirlineClock, SimulateError> {
    let client = database.connect().await?;
    let row = client
        .query_one(
            "SELECT
                 count(*) > 0,
                 greatest(max(actual_departure), max(actual_arrival))
             FROM public.flights",
            &[],
        )
        .await
        .map_err(|source| SimulateError::Database { step: "read the flights", source })?;
    if !row.get::<_, bool>(0) {
        return Err(SimulateError::NoFlights);
    }
    let real_now = Utc::now();
    let latest: Option<DateTime<Utc>> = row.get(1);
    let origin = options.now.unwrap_or_else(|| latest.map_or(real_now, |at| at.max(real_now)));
    Ok(AirlineClock::start(origin, real_now, options.time_factor))
}
