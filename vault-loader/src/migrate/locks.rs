//! How long a migration waits for the lock of a table.

use std::time::Duration;

use tokio_postgres::{Error, Transaction};

/// How long the statements that change tables wait for one lock. Readers wait behind them for as long at most.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// From here on the transaction waits for a lock as long as it takes.
pub(super) async fn wait_long(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute("SET LOCAL lock_timeout = 0").await
}

/// From here on the transaction waits for a lock only for a short time.
pub(super) async fn wait_briefly(transaction: &Transaction<'_>) -> Result<(), Error> {
    let sql = format!("SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis());
    transaction.batch_execute(&sql).await
}
