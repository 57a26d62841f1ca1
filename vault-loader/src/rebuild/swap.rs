//! The rebuilt tables take the places of the live ones.
//!
//! In: a transaction that keeps all loads, while the rebuilt vault is exactly where the live one is. Out: the same
//! transaction, in which every name of the vault stands for the rebuilt table. It writes no row of the vault, so it
//! takes about as long as the catalog needs for that many tables and views.
//!
//! 1. The tables are locked. That waits for queries that read them, and whoever wants to read one meanwhile waits
//!    behind. So the locks are first asked for without waiting, again and again, and only then with a short wait.
//! 2. What hangs on the tables is looked for once more, because it may be new.
//! 3. The live tables go to a schema of their own, the rebuilt ones take their places, and get the same rights.
//! 4. Each view that reads them is made again.
//! 5. The control schema says what it says of the rebuilt vault. Snapshots become stale.
//! 6. The old tables are dropped without `CASCADE`. That fails if anything still hangs on them, and then nothing has
//!    changed.

use std::time::{Duration, Instant};

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::error::RebuildError;
use super::fresh::REPLACED;
use super::vault::Vault;
use super::{copies, dependents};
use crate::control;
use crate::model::Schemas;

const LIVE: Schemas = Schemas::LIVE;
const REBUILT: Schemas = Schemas::REBUILT;

/// How long the locks are asked for without waiting.
const ASK_FOR: Duration = Duration::from_secs(3);

/// The pause between two such questions.
const PAUSE: Duration = Duration::from_millis(50);

/// How long one lock is waited for then. Readers wait behind as long at most.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '2s'";

/// Puts the rebuilt vault in the place of the live one.
pub(super) async fn swap(transaction: &Transaction<'_>, vault: &Vault) -> Result<(), RebuildError> {
    let tables = &vault.tables;
    transaction.batch_execute(dependents::SEARCH_PATH).await?;
    lock(transaction, tables).await?;
    let strange = dependents::strange(transaction, LIVE.vault, tables).await?;
    if !strange.is_empty() {
        return Err(RebuildError::Refused(strange));
    }
    let views = dependents::views(transaction, LIVE.vault, tables).await?;
    let rights = copies::rights(transaction, LIVE.vault, tables).await?;
    for statement in copies::revocations(transaction, REBUILT.vault, tables).await? {
        transaction.batch_execute(&statement).await?;
    }
    for table in tables {
        let [live, rebuilt] = [LIVE, REBUILT].map(|schemas| schemas.vault);
        let table = copies::listed(live, std::slice::from_ref(table)).split_off(live.len() + 1);
        let sql = format!(
            "ALTER TABLE {live}.{table} SET SCHEMA {REPLACED}; ALTER TABLE {rebuilt}.{table} SET SCHEMA {live}"
        );
        transaction.batch_execute(&sql).await?;
    }
    for right in &rights {
        transaction.batch_execute(right).await?;
    }
    dependents::make_again(transaction, &views).await?;
    control::take_over(transaction, REBUILT, &vault.topics).await?;
    for plan in &vault.plans {
        control::note_late_load(transaction, &plan.model.source.name, 0).await?;
    }
    drop_old(transaction, tables).await
}

/// Locks the live tables against everybody.
async fn lock(transaction: &Transaction<'_>, tables: &[String]) -> Result<(), RebuildError> {
    let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", copies::listed(LIVE.vault, tables));
    let at_once = format!("{sql} NOWAIT");
    transaction.batch_execute("SAVEPOINT unlocked").await?;
    let begun = Instant::now();
    while begun.elapsed() < ASK_FOR {
        match transaction.batch_execute(&at_once).await {
            Ok(()) => return Ok(()),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                transaction.batch_execute("ROLLBACK TO SAVEPOINT unlocked").await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    transaction.batch_execute(LOCK_WAIT).await?;
    Ok(transaction.batch_execute(&sql).await?)
}

/// Drops the old tables and all schemas of the rebuild.
async fn drop_old(transaction: &Transaction<'_>, tables: &[String]) -> Result<(), RebuildError> {
    let controls: Vec<String> = control::LOADED_TABLES.map(str::to_owned).into();
    let sql = format!(
        "DROP TABLE {}; DROP TABLE {}; DROP SCHEMA {REPLACED}, {}, {}",
        copies::listed(REPLACED, tables),
        copies::listed(REBUILT.control, &controls),
        REBUILT.vault,
        REBUILT.control,
    );
    transaction.batch_execute(&sql).await.map_err(|error| match error.as_db_error() {
        Some(server) if *server.code() == SqlState::DEPENDENT_OBJECTS_STILL_EXIST => {
            RebuildError::Refused(vec![format!(
                "{}: {}: drop that, and make it again afterwards",
                server.message(),
                server.detail().unwrap_or_default()
            )])
        }
        _ => error.into(),
    })
}
