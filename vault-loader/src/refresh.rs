//! Keeps the incrementally refreshed tables of the marts in step with the vault.
//!
//! In: a warehouse and an interval. Out: calls of `dwh_marts.refresh_star()`, one after the other, each in a
//! transaction of its own that sees one snapshot of the vault. The function itself finds what has changed since the
//! last call, so a call that is missed, repeated or interrupted does no harm. The refresher is a process of its own, so
//! a failure in a mart never stops the loader.

use std::time::{Duration, Instant};

use shared::backoff::Backoff;
use shared::postgres::{ConnectError, ConnectOptions, connect};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

/// First and longest pause after a failure. The refresher notices within five seconds that the warehouse is back.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A refresh that takes longer than this is logged, because analysts see the delay.
const SLOW: Duration = Duration::from_secs(2);

/// The function belongs to the owner of the vault and runs with the owner's rights. The role that calls it needs no
/// other right.
const REFRESH: &str = "SELECT outcome, records, rows_changed FROM dwh_marts.refresh_star()";

/// What one call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// `incremental`, `full`, `idle` (the loader has loaded nothing since) or `busy` (another session is refreshing)
    pub outcome: String,
    /// Kafka records that the loader has loaded since the refresh before
    pub record_count: i64,
    /// rows of the marts that were written or removed
    pub row_count: i64,
}

/// Why the marts are not refreshed.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The marts do not exist.
    #[error(
        "the warehouse has no function dwh_marts.refresh_star() that this role may call: apply sql/marts as vault_owner"
    )]
    NoFunction(#[source] tokio_postgres::Error),
    /// The warehouse refused or went away.
    #[error("the warehouse cannot refresh the marts")]
    Warehouse(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for RefreshError {
    fn from(source: tokio_postgres::Error) -> Self {
        let missing = [
            SqlState::UNDEFINED_FUNCTION,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ];
        match source.code() {
            Some(code) if missing.contains(code) => Self::NoFunction(source),
            _ => Self::Warehouse(source),
        }
    }
}

/// Refreshes once.
///
/// # Errors
/// See [`RefreshError`].
pub async fn once(warehouse: &ConnectOptions) -> Result<Refreshed, RefreshError> {
    let mut client = connect(warehouse).await?;
    refresh(&mut client).await
}

/// Refreshes every `interval` until `stop`. A refresh under way is finished first. After a failure it tries again,
/// without an end.
pub async fn keep_fresh(warehouse: &ConnectOptions, interval: Duration, stop: CancellationToken) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    while !stop.is_cancelled() {
        let Err(err) = session(warehouse, interval, &stop, &mut backoff).await else { return };
        let delay = backoff.next_delay();
        if backoff.should_log() {
            let attempt = backoff.attempts();
            tracing::warn!(
                error = &err as &dyn std::error::Error,
                attempt,
                "the marts are not refreshed, trying again"
            );
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Refreshes over one connection until `stop` or the first failure.
async fn session(
    warehouse: &ConnectOptions,
    interval: Duration,
    stop: &CancellationToken,
    backoff: &mut Backoff,
) -> Result<(), RefreshError> {
    let mut client = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        connected = connect(warehouse) => connected?,
    };
    while !stop.is_cancelled() {
        let started = Instant::now();
        let done = refresh(&mut client).await?;
        let took = started.elapsed();
        if backoff.attempts() > 0 {
            tracing::info!("the marts are refreshed again");
            backoff.reset();
        }
        say(&done, took);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause_after(took, interval)) => {}
        }
    }
    Ok(())
}

/// Refreshes start every `interval`, and run half of the time at most. While the loader has a backlog, every refresh is
/// long, and takes time of the warehouse from the loader.
fn pause_after(took: Duration, interval: Duration) -> Duration {
    interval.saturating_sub(took).max(took)
}

fn say(done: &Refreshed, took: Duration) {
    let Refreshed { outcome, record_count, row_count } = done;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if outcome == "full" {
        tracing::info!(record_count, row_count, took_ms, "the marts were computed anew");
    } else if took > SLOW {
        tracing::warn!(
            outcome,
            record_count,
            row_count,
            took_ms,
            "a refresh of the marts was slow"
        );
    } else {
        tracing::debug!(outcome, record_count, row_count, took_ms, "refreshed");
    }
}

async fn refresh(client: &mut Client) -> Result<Refreshed, RefreshError> {
    // One snapshot for the whole call: the offsets and the versions that they cover must be of one moment.
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let row = transaction.query_one(REFRESH, &[]).await?;
    let done = Refreshed {
        outcome: row.try_get(0)?,
        record_count: row.try_get(1)?,
        row_count: row.try_get(2)?,
    };
    transaction.commit().await?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_start_every_interval_and_take_half_of_the_time_at_most() {
        let interval = Duration::from_millis(500);
        let pauses = [0, 100, 250, 400, 500, 3_000]
            .map(|took| pause_after(Duration::from_millis(took), interval).as_millis());
        assert_eq!(pauses, [500, 400, 250, 400, 500, 3_000]);
    }
}
