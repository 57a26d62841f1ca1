//! How a migration waits for locks.
//!
//! An `ALTER TABLE` waits for every query that reads the table, and whoever wants to read the table meanwhile waits
//! behind it. So the statements that change tables wait for a short time only. When a lock is not free by then, the
//! whole migration is rolled back, lets the waiting readers go on, and is tried again.

use std::time::Duration;

use shared::secret::Secret;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::apply::{self, MigrateError, MigrationOutcome};
use crate::model::ModelText;

/// How often a migration is tried.
const TRIES_MAX: u32 = 15;

/// How long the readers have for themselves after a try: as long as they have waited, and longer after each further
/// try.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Changes the warehouse so that it fits the model. Only what the model's source owns is changed, and hubs and links
/// are made that no source has fed before. `grantee` gets the rights that `run` needs for this source. With `reload`,
/// topics whose tables feed something new are set back to their beginning. Without it, such topics are a reason to
/// refuse. `key_secret` is what the hash keys are made with; it is decided by the first migration of a warehouse.
///
/// While somebody else holds a lock on a table that has to change, the migration is tried again, a bounded number of
/// times.
///
/// # Errors
/// When the model is invalid, contradicts the model of another source, or wants what somebody else made; when the
/// secret is not the warehouse's; when the change would destroy or reinterpret stored rows or leave something new
/// incomplete; or when the warehouse refuses a statement. Then nothing was changed.
pub async fn migrate(
    client: &mut Client,
    file: &ModelText,
    grantee: &str,
    reload: bool,
    key_secret: Option<&Secret>,
) -> Result<MigrationOutcome, MigrateError> {
    let mut pause = PAUSE;
    for attempt in 1..TRIES_MAX {
        match apply::migrate_once(client, file, grantee, reload, key_secret).await {
            Err(MigrateError::Sql { step, source }) if is_locked(&source) => {
                tracing::warn!(
                    attempt,
                    step,
                    "a table is in use by a long query or by another transaction, trying again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
    apply::migrate_once(client, file, grantee, reload, key_secret).await
}

fn is_locked(err: &Error) -> bool {
    let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
    err.code().is_some_and(|code| codes.contains(code))
}
