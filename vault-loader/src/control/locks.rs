//! The advisory locks that keep loaders and migrations apart.
//!
//! - One migration runs at a time, and the others wait.
//! - Loaders of a source share the source's lock during each attempt, and a migration takes it alone when it changes
//!   the source's model. So no batch is written with one model while another model replaces it, and loaders of other
//!   sources go on.
//! - One build of snapshots runs at a time, and none while hash keys or tables of snapshots are made anew.
//! - One rebuild runs at a time. It has the lock of migrations, too, so that the models stay what they are; a migration
//!   and a rehash wait for its end. It keeps builders of snapshots out while it replaces the tables.
//! - Loaders of a topic's events share the topic's lock, and a truncate takes it alone.

use tokio_postgres::{Client, Error, Transaction};

use super::ControlStatements;
use crate::model::Schemas;

/// Key of the lock that keeps two migrations apart. The number may be any that nobody else uses.
const MIGRATION_LOCK: i64 = 0x7661_756c_7401;

/// Key of the lock that keeps to one build of snapshots in a warehouse. The number may be any that nobody else uses.
pub(crate) const SNAPSHOTS_LOCK: i64 = 0x7661_756c_7415;

/// Key of the lock that keeps to one rebuild in a warehouse. The number may be any that nobody else uses.
const REBUILD_LOCK: i64 = 0x7661_756c_7416;

/// Locks of a whole session, and what has them when they are taken.
pub(crate) const REBUILD_LOCKS: [(i64, &str); 2] = [
    (REBUILD_LOCK, "another `vault-loader rebuild`"),
    (MIGRATION_LOCK, "`vault-loader migrate` or `vault-loader rehash`"),
];

/// Tries to take a lock until the session ends.
pub(crate) async fn try_session_lock(client: &Client, key: i64) -> Result<bool, Error> {
    Ok(client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?.get(0))
}

/// Waits until nobody builds snapshots, and keeps builders out until the transaction ends.
pub(crate) async fn keep_builders_out(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&SNAPSHOTS_LOCK]).await.map(drop)
}

/// Waits until no other migration runs.
pub(crate) async fn lock_migrations(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await.map(drop)
}

/// Waits until no loader of the source is in an attempt, and keeps all of them out until the transaction ends.
pub(crate) async fn keep_loaders_out(
    transaction: &Transaction<'_>,
    source: &str,
) -> Result<(), Error> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 8))";
    transaction.execute(sql, &[&source]).await.map(drop)
}

/// The statement that takes a source's lock together with other loaders.
pub(super) fn share_source(source: &str) -> String {
    format!("SELECT pg_advisory_lock_shared(hashtextextended({}, 8))", quoted(source))
}

/// Gives a source's lock back.
pub(super) async fn release_source(client: &Client, source: &str) -> Result<(), Error> {
    let source = quoted(source);
    let sql = format!("SELECT pg_advisory_unlock_shared(hashtextextended({source}, 8))");
    client.batch_execute(&sql).await
}

/// A text as a literal of SQL. A source's name has no backslash.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Takes the locks of these topics together with other loaders. The topics are sorted.
pub(crate) async fn share_topics(
    transaction: &Transaction<'_>,
    statements: &ControlStatements,
    topics: &[&str],
) -> Result<(), Error> {
    transaction.query(&statements.share_topics, &[&topics]).await.map(drop)
}

/// Takes the lock of a topic alone.
pub(crate) async fn lock_topic(
    transaction: &Transaction<'_>,
    schemas: Schemas,
    topic: &str,
) -> Result<(), Error> {
    let seed = schemas.topic_lock_seed();
    let sql = format!("SELECT pg_advisory_xact_lock(hashtextextended($1, {seed}))");
    transaction.execute(&sql, &[&topic]).await.map(drop)
}
