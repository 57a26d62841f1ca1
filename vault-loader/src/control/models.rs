//! The models that the warehouse was migrated to. The last one is in force.

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error, SimpleQueryMessage, Transaction};

use super::locks::{LOADING_LOCK, release_loading_lock};
use crate::model::FORMAT_VERSION;
use crate::warehouse::WarehouseError;

/// The hash by which a model file is known.
pub(crate) fn model_hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// The model that the warehouse was migrated to last.
pub(crate) struct StoredModel {
    /// text of the model file
    pub(crate) text: String,
    /// version of the hash keys that were made by it
    pub(crate) hash_version: i32,
    /// hash of the text
    pub(crate) hash: Vec<u8>,
}

/// Number of the model that the warehouse was last migrated to. `None` when that is another model, or when a build with
/// another version of hashes migrated it.
pub(crate) async fn registered(
    client: &Client,
    text: &str,
    hash_version: u8,
) -> Result<Option<i64>, Error> {
    let row = client
        .query_opt(
            "SELECT id, model_hash = $1 AND hash_version = $2
             FROM dwh_control.models
             ORDER BY id DESC
             LIMIT 1",
            &[&model_hash(text), &i32::from(hash_version)],
        )
        .await?;
    Ok(row.filter(|row| row.get(1)).map(|row| row.get(0)))
}

/// The last model. `None` in a warehouse that was never migrated.
pub(crate) async fn last_model(
    transaction: &Transaction<'_>,
) -> Result<Option<StoredModel>, Error> {
    let row = transaction
        .query_opt(
            "SELECT model, hash_version, model_hash
             FROM dwh_control.models
             ORDER BY id DESC
             LIMIT 1",
            &[],
        )
        .await?;
    Ok(row.map(|row| StoredModel { text: row.get(0), hash_version: row.get(1), hash: row.get(2) }))
}

/// Stores a model unless it is the last one already. Returns whether it stored the model.
pub(crate) async fn store_model(
    transaction: &Transaction<'_>,
    text: &str,
    hash_version: u8,
) -> Result<bool, Error> {
    let stored = transaction
        .execute(
            "INSERT INTO dwh_control.models (format_version, hash_version, model_hash, model)
             SELECT $1, $2, $3, $4
             WHERE $3 IS DISTINCT FROM (
                 SELECT model_hash
                 FROM dwh_control.models
                 ORDER BY id DESC
                 LIMIT 1
             )",
            &[
                &i32::try_from(FORMAT_VERSION).unwrap_or(i32::MAX),
                &i32::from(hash_version),
                &model_hash(text),
                &text,
            ],
        )
        .await?;
    Ok(stored > 0)
}

/// Keeps migrations out until [`release_model`]. Stops when a migration was faster, because the old model does not fill
/// the new tables.
pub(crate) async fn hold_model(client: &Client, model: i64) -> Result<(), WarehouseError> {
    // Two statements: the second sees what was committed while the first waited.
    let sql = format!(
        "SELECT pg_advisory_lock_shared({LOADING_LOCK}); SELECT max(id) FROM dwh_control.models"
    );
    let answers = client.simple_query(&sql).await?;
    let last = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if last == Some(model.to_string().as_str()) {
        return Ok(());
    }
    Err(WarehouseError::Stop(
        "the warehouse was migrated to another model: start the loader with that one".to_owned(),
    ))
}

/// Lets migrations in again.
pub(crate) async fn release_model(client: &Client) -> Result<(), Error> {
    release_loading_lock(client).await
}
