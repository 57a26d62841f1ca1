//! What the control schema holds of hash keys, for the command that makes all of them anew.
//!
//! In: a transaction. Out: the events that know to which hub's or link's row they belong, their new keys, and models
//! that count as stored again.

use tokio_postgres::{Error, Transaction};

use super::parking::hash_at;

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventTable {
    /// those that wait
    Quarantine,
    /// those that an operator has dropped
    Dropped,
}

impl EventTable {
    fn name(self) -> &'static str {
        match self {
            Self::Quarantine => "dwh_control.quarantine",
            Self::Dropped => "dwh_control.dropped_events",
        }
    }
}

/// An event that knows to which row it belongs.
#[derive(Debug, Clone)]
pub(crate) struct EventParent {
    pub(crate) id: i64,
    pub(crate) topic: String,
    /// the source's table, as the vault names it, if that is known
    pub(crate) record_source: Option<String>,
    /// hash key of the hub or link
    pub(crate) parent: [u8; 32],
    /// the record's key, unless its content was removed
    pub(crate) key: Option<Vec<u8>>,
}

/// Lets nobody add events or take them out until the transaction ends.
pub(crate) async fn keep_quarantine(transaction: &Transaction<'_>) -> Result<(), Error> {
    let [waiting, dropped] = [EventTable::Quarantine, EventTable::Dropped].map(EventTable::name);
    let lock = format!("LOCK TABLE {waiting}, {dropped} IN SHARE ROW EXCLUSIVE MODE");
    transaction.batch_execute(&lock).await
}

/// The events that know to which row they belong. The quarantine is bounded, so they are read at once.
pub(crate) async fn event_parents(
    transaction: &Transaction<'_>,
    table: EventTable,
) -> Result<Vec<EventParent>, Error> {
    let columns = match table {
        EventTable::Quarantine => "record_source, key",
        EventTable::Dropped => "NULL::text, NULL::bytea",
    };
    let name = table.name();
    let sql = format!(
        "SELECT id, topic, parent_hash_key, {columns} FROM {name} WHERE parent_hash_key IS NOT NULL ORDER BY id"
    );
    let rows = transaction.query(&sql, &[]).await?;
    let event = |row: &tokio_postgres::Row| {
        Some(EventParent {
            id: row.get(0),
            topic: row.get(1),
            parent: hash_at(row, 2)?,
            record_source: row.get(3),
            key: row.get(4),
        })
    };
    Ok(rows.iter().filter_map(event).collect())
}

/// Gives events other keys of the rows to which they belong. `None` where that is no longer known.
pub(crate) async fn replace_event_parents(
    transaction: &Transaction<'_>,
    table: EventTable,
    parents: &[(i64, Option<[u8; 32]>)],
) -> Result<(), Error> {
    let ids: Vec<i64> = parents.iter().map(|(id, _)| *id).collect();
    let keys: Vec<Option<&[u8]>> =
        parents.iter().map(|(_, key)| key.as_ref().map(<[u8; 32]>::as_slice)).collect();
    let sql = format!(
        "UPDATE {} AS event
         SET parent_hash_key = made.key
         FROM unnest($1::bigint[], $2::bytea[]) AS made (id, key)
         WHERE event.id = made.id",
        table.name()
    );
    transaction.execute(&sql, &[&ids, &keys]).await.map(drop)
}

/// Stores the last model of each source once more, under a new number. Loaders compare the number before they write, and
/// the star schema is built anew when it sees another one.
pub(crate) async fn store_models_again(transaction: &Transaction<'_>) -> Result<(), Error> {
    let sql = "
        INSERT INTO dwh_control.models (format_version, hash_version, model_hash, model, source, file)
        SELECT DISTINCT ON (source) format_version, hash_version, model_hash, model, source, file
        FROM dwh_control.models
        ORDER BY source, id DESC";
    transaction.execute(sql, &[]).await.map(drop)
}
