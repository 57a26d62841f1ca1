//! What the vault's schema holds, as the warehouse's catalog describes it.
//!
//! In: a connection. Out: relations of every kind with names, types and primary keys, spelled as in [`super::ddl`], so
//! that they compare. Not all of them were made by migrations.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use crate::model::VAULT_SCHEMA;

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExistingColumn {
    /// name
    pub(super) name: String,
    /// type as `format_type` prints it
    pub(super) kind: String,
    /// whether it refuses NULL
    pub(super) not_null: bool,
}

/// A relation as it is: a table, or whatever else takes a name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Existing {
    /// its columns
    pub(super) columns: Vec<ExistingColumn>,
    /// columns of the primary key, in order
    pub(super) primary_key: Vec<String>,
}

/// Reads all relations of the vault schema.
pub(super) async fn read(
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<String, Existing>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                    array_position(k.conkey, a.attnum), a.attnotnull
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
             WHERE n.nspname = $1
             ORDER BY c.relname, a.attnum",
            &[&VAULT_SCHEMA],
        )
        .await?;
    let mut relations: BTreeMap<String, Existing> = BTreeMap::new();
    let mut keys: BTreeMap<String, BTreeMap<i32, String>> = BTreeMap::new();
    for row in rows {
        let relation: String = row.get(0);
        let columns = &mut relations.entry(relation.clone()).or_default().columns;
        let Some(name) = row.get::<_, Option<String>>(1) else { continue };
        if let Some(place) = row.get::<_, Option<i32>>(3) {
            keys.entry(relation).or_default().insert(place, name.clone());
        }
        columns.push(ExistingColumn { name, kind: row.get(2), not_null: row.get(4) });
    }
    for (relation, key) in keys {
        if let Some(relation) = relations.get_mut(&relation) {
            relation.primary_key = key.into_values().collect();
        }
    }
    Ok(relations)
}
