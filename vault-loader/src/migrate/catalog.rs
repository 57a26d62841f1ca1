//! The tables of the vault schema, as the warehouse's catalog describes them.
//!
//! In: a connection. Out: names, types and primary keys, spelled as in [`super::ddl`], so that they compare.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use crate::model::VAULT_SCHEMA;

/// A table as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Existing {
    /// name and type of each column
    pub(super) columns: Vec<(String, String)>,
    /// columns of the primary key, in order
    pub(super) primary_key: Vec<String>,
}

/// Reads all tables of the vault schema.
pub(super) async fn read(
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<String, Existing>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                    array_position(k.conkey, a.attnum)
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
             WHERE n.nspname = $1
               AND c.relkind IN ('r', 'p')
             ORDER BY c.relname, a.attnum",
            &[&VAULT_SCHEMA],
        )
        .await?;
    let mut tables: BTreeMap<String, Existing> = BTreeMap::new();
    let mut keys: BTreeMap<String, BTreeMap<i32, String>> = BTreeMap::new();
    for row in rows {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        if let Some(place) = row.get::<_, Option<i32>>(3) {
            keys.entry(table.clone()).or_default().insert(place, column.clone());
        }
        tables.entry(table).or_default().columns.push((column, row.get(2)));
    }
    for (table, key) in keys {
        if let Some(table) = tables.get_mut(&table) {
            table.primary_key = key.into_values().collect();
        }
    }
    Ok(tables)
}
