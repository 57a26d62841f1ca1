//! A model without an author: from the keys and foreign keys of a source database.
//!
//! In: a connection to the source. Out: the text of a model that [`crate::model::parse`] takes, with comments.
//! `catalog` reads the source's catalog, `places` and `shape` decide and are pure, `text` writes.
//!
//! Hard cases: composite keys; a table that refers to itself; m:n tables with and without a key of their own; several
//! foreign keys to one table; a foreign key that is the whole key; foreign keys to other columns than the key; tables
//! without a key; names in mixed case, of technical columns, of several schemas and too long; enumerations, domains,
//! arrays, ranges, generated columns; partitioned tables. `tests` tests the decisions. The `e2e` tests
//! `sources::inferred` and `sources::samples` load databases with all of that, so they test what the catalog says.

mod catalog;
mod names;
mod places;
mod shape;
#[cfg(test)]
mod tests;
mod text;

use tokio_postgres::Client;

pub(crate) use self::catalog::{COLUMNS, in_model};
use crate::model;

/// What the source does not say about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferOptions {
    /// the source's own name
    pub name: String,
    /// what its topics' names begin with
    pub topic_prefix: String,
    /// its number in the warehouse
    pub system_id: i16,
    /// a word before the names of all hubs, links and satellites, for a source whose tables are called like another's
    pub prefix: Option<String>,
    /// the schemas to look at; none for all
    pub schemas: Vec<String>,
    /// the database, for the model's comment
    pub database: String,
}

/// An inferred model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// the model file
    pub text: String,
    /// tables that it does not have, each with the reason
    pub left_out: Vec<(String, String)>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The catalog cannot be read.
    #[error("cannot read the source's catalog")]
    Source(#[from] tokio_postgres::Error),
    /// There is nothing to infer a model from.
    #[error(
        "{0} has no table that a vault can hold: look at --schema, and at the keys of the tables"
    )]
    NoTable(String),
    /// What was inferred is no model. This is a fault of this program, or a name that no model can have.
    #[error("what was inferred is no valid model: {0}")]
    Invalid(#[from] model::ModelError),
}

/// Infers a model.
///
/// # Errors
/// See [`InferError`].
pub async fn infer(client: &Client, options: &InferOptions) -> Result<Inferred, InferError> {
    let tables = catalog::read(client, &options.schemas).await?;
    let shape = shape::decide(&tables, options.prefix.as_deref());
    if shape.tables.is_empty() {
        return Err(InferError::NoTable(options.database.clone()));
    }
    let text = text::write(&tables, &shape, options);
    model::parse(&text)?;
    Ok(Inferred { text, left_out: shape.left_out })
}
