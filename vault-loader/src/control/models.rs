//! The models that the warehouse was migrated to, for each of its sources. The last one of a source is in force.

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error, SimpleQueryMessage, Transaction};

use super::locks::{quoted, release_source, share_source};
use crate::model::{FORMAT_VERSION, Model, ModelText};
use crate::warehouse::WarehouseError;

/// The hash by which a model is known: over what the model says, whatever its file looks like.
pub(crate) fn model_hash(model: &Model) -> Vec<u8> {
    Sha256::digest(model.meaning()).to_vec()
}

/// The model of a source that the warehouse was migrated to last.
#[derive(Clone)]
pub(crate) struct StoredModel {
    /// name of the source
    pub(crate) source: String,
    /// path of the model file, when it is known
    pub(crate) file: Option<String>,
    /// text of the model file
    pub(crate) text: String,
    /// version of the hash keys that were made by it
    pub(crate) hash_version: i32,
    /// hash of what it says
    pub(crate) hash: Vec<u8>,
}

/// The model of a source, as the warehouse knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    /// name of the source
    pub(crate) source: String,
    /// number of the model
    pub(crate) number: i64,
    /// identity of the warehouse
    pub(crate) warehouse: String,
}

/// The model of this source that the warehouse was last migrated to. `None` when that is another model, or when a build
/// with another version of hashes migrated it.
pub(crate) async fn registered(
    client: &Client,
    model: &Model,
    hash_version: u8,
) -> Result<Option<Registered>, Error> {
    let source = &model.source.name;
    let row = client
        .query_opt(
            "SELECT m.id, m.model_hash = $2 AND m.hash_version = $3, w.id::text
             FROM dwh_control.models AS m
             CROSS JOIN dwh_control.warehouse AS w
             WHERE m.source = $1
             ORDER BY m.id DESC
             LIMIT 1",
            &[source, &model_hash(model), &i32::from(hash_version)],
        )
        .await?;
    Ok(row.filter(|row| row.get(1)).map(|row| Registered {
        source: source.clone(),
        number: row.get(0),
        warehouse: row.get(2),
    }))
}

/// What to say when [`registered`] finds another model than this one.
pub(crate) fn made_from_another(model: &Model) -> String {
    format!(
        "what the warehouse holds of the source {} was made from another model: run `vault-loader migrate` with this one first",
        model.source.name
    )
}

/// The last model of every source that the warehouse was migrated to.
pub(crate) async fn last_models(transaction: &Transaction<'_>) -> Result<Vec<StoredModel>, Error> {
    let rows = transaction
        .query(
            "SELECT DISTINCT ON (source) source, file, model, hash_version, model_hash
             FROM dwh_control.models
             ORDER BY source, id DESC",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| StoredModel {
            source: row.get(0),
            file: row.get(1),
            text: row.get(2),
            hash_version: row.get(3),
            hash: row.get(4),
        })
        .collect())
}

/// Stores a model, with the path and the text of its file, unless the source's last one says the same. Returns whether
/// it stored the model.
pub(crate) async fn store_model(
    transaction: &Transaction<'_>,
    model: &Model,
    file: &ModelText,
    hash_version: u8,
) -> Result<bool, Error> {
    let stored = transaction
        .execute(
            "INSERT INTO dwh_control.models (format_version, hash_version, model_hash, model, source, file)
             SELECT $1, $2, $3, $4, $5, $6
             WHERE $3 IS DISTINCT FROM (
                 SELECT model_hash
                 FROM dwh_control.models
                 WHERE source = $5
                 ORDER BY id DESC
                 LIMIT 1
             )",
            &[
                &i32::try_from(FORMAT_VERSION).unwrap_or(i32::MAX),
                &i32::from(hash_version),
                &model_hash(model),
                &file.text,
                &model.source.name,
                &file.path,
            ],
        )
        .await?;
    Ok(stored > 0)
}

/// Keeps migrations of the model's source out until [`release_model`]. Stops when a migration was faster, because the
/// old model does not fill the new tables.
pub(crate) async fn hold_model(client: &Client, model: &Registered) -> Result<(), WarehouseError> {
    // Two statements: the second sees what was committed while the first waited.
    let sql = format!(
        "{}; SELECT max(id) FROM dwh_control.models WHERE source = {}",
        share_source(&model.source),
        quoted(&model.source)
    );
    let answers = client.simple_query(&sql).await?;
    let last = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if last == Some(model.number.to_string().as_str()) {
        return Ok(());
    }
    Err(WarehouseError::SetUp(format!(
        "the warehouse was migrated to another model of the source {}, or its hash keys were made anew: start the loader \
         with that model and with the secret of these hash keys",
        model.source
    )))
}

/// Lets migrations in again.
pub(crate) async fn release_model(client: &Client, model: &Registered) -> Result<(), Error> {
    release_source(client, &model.source).await
}
