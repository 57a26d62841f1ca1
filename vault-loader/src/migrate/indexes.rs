//! Indexes that an existing table may lack, because it was made before they were thought of.

use tokio_postgres::{Error, Transaction};

use super::ddl::TableSpec;
use crate::model::VAULT_SCHEMA;

/// The statements that add what is missing, each with what it does.
pub(super) async fn missing(
    transaction: &Transaction<'_>,
    tables: &[TableSpec],
) -> Result<Vec<(String, String)>, Error> {
    let mut steps = Vec::new();
    for table in tables {
        let Some((name, sql)) = table.block_index() else { continue };
        let qualified = format!("{VAULT_SCHEMA}.{name}");
        let row = transaction.query_one("SELECT to_regclass($1) IS NULL", &[&qualified]).await?;
        if row.get(0) {
            steps.push((format!("added index {qualified}"), sql));
        }
    }
    Ok(steps)
}
