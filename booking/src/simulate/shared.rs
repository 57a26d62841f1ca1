//! What the workers of a simulation share: the database, the pace, the counts, and when the run is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pacer;
use super::tally::Tally;
use crate::database::Database;

/// How long the transactions under way may take when the run is over. A transaction takes milliseconds, but a
/// checkpoint on a slow disk can delay it by seconds.
const LAST_TRANSACTION_WAIT: Duration = Duration::from_secs(10);

/// What all workers share.
pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) pacer: Pacer,
    pub(super) tally: Arc<Tally>,
    pub(super) transactions_left: AtomicU64,
    pub(super) deadline: Option<Instant>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// Takes one transaction from those that may still run.
    pub(super) fn take_transaction(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.transactions_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Whether no further transaction may begin.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits until no further transaction may begin.
    pub(super) async fn over(&self) {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = deadline => {}
        }
    }

    /// Waits until the run is over and a transaction under way has had [`LAST_TRANSACTION_WAIT`] to end.
    pub(super) async fn patience_is_over(&self) {
        self.over().await;
        tokio::time::sleep(LAST_TRANSACTION_WAIT).await;
    }
}
