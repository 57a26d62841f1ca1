//! The advisory locks by which loaders and migrations keep out of each other's way.
//!
//! - Migrations queue up: one at a time.
//! - A loader shares the loading lock for each attempt; a migration that changes something has it alone. So no batch is
//!   written by one model while another takes its place.
//! - Whoever loads events of a topic shares the topic's lock; a truncate has it alone.

use tokio_postgres::{Client, Error, Transaction};

use super::ControlStatements;

/// Key of the lock that keeps two migrations apart; any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x7661_756c_7401;

/// Key of the loading lock; any number that nobody else uses.
pub(super) const LOADING_LOCK: i64 = 0x7661_756c_7402;

/// Waits until no other migration runs.
pub(crate) async fn lock_migrations(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await.map(drop)
}

/// Waits until no loader is in an attempt, and keeps all of them out until the transaction ends.
pub(crate) async fn keep_loaders_out(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOADING_LOCK]).await.map(drop)
}

/// Gives the loading lock back.
pub(super) async fn release_loading_lock(client: &Client) -> Result<(), Error> {
    client.batch_execute(&format!("SELECT pg_advisory_unlock_shared({LOADING_LOCK})")).await
}

/// Shares the locks of these topics, which are sorted.
pub(crate) async fn share_topics(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    topics: &[&str],
) -> Result<(), Error> {
    transaction.query(&statements.share_topics, &[&topics]).await.map(drop)
}

/// Takes the lock of a topic alone.
pub(crate) async fn lock_topic(transaction: &Transaction<'_>, topic: &str) -> Result<(), Error> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))";
    transaction.execute(sql, &[&topic]).await.map(drop)
}
