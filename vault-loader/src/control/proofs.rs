//! What proofs ask of the control schema: which tables the vault has, how far a source is loaded, which keys wait.

use shared::position::Lsn;
use tokio_postgres::{Client, Error};

/// The tables that `migrate` made, of all sources, and their columns, both in the order of their names.
pub(crate) async fn vault_columns(client: &Client) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT t.table_name, a.attname::text
               FROM dwh_control.vault_tables AS t
               JOIN pg_class AS c
                   ON c.relname = t.table_name
                   AND c.relnamespace = to_regnamespace('dwh_detailed')
                   AND c.relkind IN ('r', 'p')
               JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               ORDER BY t.table_name COLLATE \"C\", a.attname::text COLLATE \"C\"";
    Ok(client.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The text of each source's model that is in force, with the source's name.
pub(crate) async fn model_texts(client: &Client) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT DISTINCT ON (source) source, model
               FROM dwh_control.models
               ORDER BY source, id DESC";
    Ok(client.query(sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The position in this timeline of a source's log up to which every change is loaded; none when the warehouse does not
/// know.
pub(crate) async fn loaded_up_to(
    client: &Client,
    system_id: i16,
    timeline: i32,
) -> Result<Option<Lsn>, Error> {
    let sql = "SELECT source_lsn
               FROM dwh_control.watermark
               WHERE source_system_id = $1 AND source_timeline = $2";
    let row = client.query_opt(sql, &[&system_id, &timeline]).await?;
    let loaded = row.and_then(|row| row.get::<_, Option<i64>>(0));
    Ok(loaded.and_then(|lsn| u64::try_from(lsn).ok()).map(Lsn))
}

/// The hash keys of a source's table whose histories wait in the quarantine.
pub(crate) async fn waiting_parents(
    client: &Client,
    record_source: &str,
) -> Result<Vec<Vec<u8>>, Error> {
    let sql = "SELECT DISTINCT parent_hash_key
               FROM dwh_control.quarantine
               WHERE record_source = $1 AND parent_hash_key IS NOT NULL";
    let rows = client.query(sql, &[&record_source]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
