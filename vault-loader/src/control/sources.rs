//! Which sources a warehouse holds, which of the vault's tables are theirs, and which warehouse it is.

use std::collections::BTreeMap;

use tokio_postgres::{Error, Transaction};

/// Notes a source and its number. Returns who has the number instead, when it is another source's.
pub(crate) async fn register_source(
    transaction: &Transaction<'_>,
    source: &str,
    system_id: i16,
) -> Result<Result<(), String>, Error> {
    let holder = transaction
        .query_opt(
            "SELECT source
             FROM dwh_control.sources
             WHERE source_system_id = $1
               AND source <> $2",
            &[&system_id, &source],
        )
        .await?;
    if let Some(holder) = holder {
        return Ok(Err(holder.get(0)));
    }
    // A source whose number changed is refused afterwards, when its models are compared.
    transaction
        .execute(
            "INSERT INTO dwh_control.sources (source, source_system_id)
             VALUES ($1, $2)
             ON CONFLICT ON CONSTRAINT sources_pkey DO NOTHING",
            &[&source, &system_id],
        )
        .await?;
    Ok(Ok(()))
}

/// The number of each source.
pub(crate) async fn source_numbers(
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<String, i16>, Error> {
    let sql = "SELECT source, source_system_id FROM dwh_control.sources";
    let rows = transaction.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The tables that migrations made, each with the source that it belongs to; `None` for a hub or link.
pub(crate) type MadeTables = BTreeMap<String, Option<String>>;

/// Reads which tables of the vault migrations made.
pub(crate) async fn made_tables(transaction: &Transaction<'_>) -> Result<MadeTables, Error> {
    let sql = "SELECT table_name, source FROM dwh_control.vault_tables";
    let rows = transaction.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Notes that a migration made a table, for one source or for all.
pub(crate) async fn note_made_table(
    transaction: &Transaction<'_>,
    table: &str,
    source: Option<&str>,
) -> Result<(), Error> {
    // A table that somebody dropped is made again.
    let sql = "INSERT INTO dwh_control.vault_tables (table_name, source)
               VALUES ($1, $2)
               ON CONFLICT ON CONSTRAINT vault_tables_pkey DO NOTHING";
    transaction.execute(sql, &[&table, &source]).await.map(drop)
}
