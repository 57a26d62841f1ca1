//! The vault's tables: who may write into them, whether their keys are known, and the replacing.
//!
//! In: the temporary tables with old and new keys. Out: how many rows of each satellite get another key, and then the
//! new keys. Every statement goes over a whole table, so the server joins by hashing.

use tokio_postgres::Transaction;

use super::error::RehashError;
use super::keys::system_keys;
use super::vault::{LinkKeys, Place, SatelliteKeys, Vault};
use crate::control;
use crate::migrate::business::BUSINESS_SCHEMA;
use crate::model::{EFFECTIVITY_COLUMN, VAULT_SCHEMA, ident};
use crate::warehouse::WarehouseError;

/// Lets nobody write into the vault until the transaction ends. Whoever reads goes on.
pub(super) async fn keep_writers_out(
    transaction: &Transaction<'_>,
    vault: &Vault,
) -> Result<(), RehashError> {
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", vault.all().join(", "));
    transaction.batch_execute(&lock).await?;
    Ok(control::keep_quarantine(transaction).await?)
}

/// Removes the snapshots of point-in-time tables and bridges, which hold the old keys. Returns how many there were. They
/// follow from the vault, so a build makes those anew that the calendar still keeps.
pub(super) async fn remove_snapshots(transaction: &Transaction<'_>) -> Result<u64, RehashError> {
    for table in control::snapshot_tables(transaction).await?.keys() {
        let delete = format!("DELETE FROM {BUSINESS_SCHEMA}.{}", ident(table));
        transaction.execute(&delete, &[]).await?;
    }
    Ok(control::forget_snapshots(transaction).await?)
}

/// Tables that hold hash keys and that no model describes: nobody knows what their keys are made of.
pub(super) async fn tables_of_nobody(
    transaction: &Transaction<'_>,
    vault: &Vault,
) -> Result<Vec<String>, RehashError> {
    let sql = "SELECT DISTINCT format('%s.%s', n.nspname, c.relname)
               FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
               WHERE n.nspname = $1
                 AND c.relkind IN ('r', 'p', 'm')
                 AND a.attname LIKE '%hash\\_key'
                 AND NOT a.attisdropped
               ORDER BY 1";
    let known = vault.all();
    let found = transaction.query(sql, &[&VAULT_SCHEMA]).await?;
    let names = found.iter().map(|row| row.get::<_, String>(0));
    let strange = names.filter(|name| !known.contains(name)).map(|name| {
        format!(
            "{name}: no model describes this table, so nobody knows what its hash keys are made of: drop it and make it \
             anew afterwards, or move it to another schema"
        )
    });
    Ok(strange.collect())
}

/// Counts the rows of every satellite, and notes those whose keys no row of the parent has.
pub(super) async fn check(
    transaction: &Transaction<'_>,
    vault: &Vault,
    strange: &mut Vec<String>,
) -> Result<Vec<(String, u64)>, RehashError> {
    let mut counts = Vec::new();
    for satellite in &vault.satellites {
        let name = &satellite.name;
        let statement = counting(satellite);
        let row = transaction.query_one(&statement, &[&system_keys().as_slice()]).await?;
        let [all, lost, wrong] = [0, 1, 2].map(|place| row.get::<_, i64>(place).unsigned_abs());
        let key = row.get::<_, Option<String>>(3).unwrap_or_default();
        if lost > 0 {
            strange.push(format!(
                "{VAULT_SCHEMA}.{name}: {lost} rows whose hash key no row of their hub or link has, for example \\x{key}"
            ));
        }
        if wrong > 0 {
            strange.push(format!(
                "{VAULT_SCHEMA}.{name}: {wrong} rows that name a row which their link does not have, or whose hashdiff is not that \
                 of its key, for example of \\x{key}"
            ));
        }
        tracing::info!(table = name, rows = all, "hash keys checked");
        counts.push((name.clone(), all));
    }
    Ok(counts)
}

/// How many rows there are; how many have an unknown key; how many name an unknown row of a link; one key of these.
fn counting(satellite: &SatelliteKeys) -> String {
    let parent = satellite.parent.staged();
    let (join, wrong) = match satellite.link {
        None => (String::new(), "false".to_owned()),
        Some(link) => (
            format!(
                "LEFT JOIN {} AS held ON held.old = v.{EFFECTIVITY_COLUMN} AND held.old_diff = v.hashdiff",
                link.staged()
            ),
            "held.old IS NULL".to_owned(),
        ),
    };
    format!(
        "SELECT count(*),
                count(*) FILTER (WHERE parent.old IS NULL),
                count(*) FILTER (WHERE {wrong}),
                min(encode(v.hash_key, 'hex')) FILTER (WHERE parent.old IS NULL OR {wrong})
         FROM {VAULT_SCHEMA}.{} AS v
         LEFT JOIN {parent} AS parent ON parent.old = v.hash_key
         {join}
         WHERE v.hash_key <> ALL ($1)",
        satellite.name
    )
}

/// Replaces all keys. `counts` says how many rows of each table there are.
pub(super) async fn replace(
    transaction: &Transaction<'_>,
    vault: &Vault,
    counts: &[(String, u64)],
) -> Result<(), RehashError> {
    let mut statements = Vec::new();
    for (number, hub) in vault.hubs.iter().enumerate() {
        let staged = Place::Hub(number).staged();
        let sql = format!(
            "UPDATE {VAULT_SCHEMA}.{} AS v SET hash_key = staged.new FROM {staged} AS staged WHERE staged.old = v.hash_key",
            hub.name
        );
        statements.push((&hub.name, sql));
    }
    for (number, link) in vault.links.iter().enumerate() {
        statements.push((&link.name, replacing_link(number, link)));
    }
    for satellite in &vault.satellites {
        statements.push((&satellite.name, replacing(satellite)));
    }
    for (table, sql) in statements {
        let rows = transaction.execute(&sql, &[]).await?;
        let expected = counts.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
        if expected != Some(rows) {
            let told = format!("{table}: {rows} rows were changed instead of {expected:?}");
            return Err(WarehouseError::Stop(told).into());
        }
        tracing::info!(table, rows, "hash keys replaced");
    }
    Ok(())
}

fn replacing_link(number: usize, link: &LinkKeys) -> String {
    let roles = link.roles.iter().enumerate();
    let roles: String =
        roles.map(|(role, (name, _))| format!(", {name} = staged.role_{role}")).collect();
    format!(
        "UPDATE {VAULT_SCHEMA}.{} AS v SET hash_key = staged.new{roles} FROM {} AS staged WHERE staged.old = v.hash_key",
        link.name,
        Place::Link(number).staged()
    )
}

fn replacing(satellite: &SatelliteKeys) -> String {
    let (name, parent) = (&satellite.name, satellite.parent.staged());
    let Some(link) = satellite.link else {
        return format!(
            "UPDATE {VAULT_SCHEMA}.{name} AS v SET hash_key = parent.new FROM {parent} AS parent WHERE parent.old = v.hash_key"
        );
    };
    format!(
        "UPDATE {VAULT_SCHEMA}.{name} AS v
         SET hash_key = parent.new, {EFFECTIVITY_COLUMN} = held.new, hashdiff = held.new_diff
         FROM {parent} AS parent, {} AS held
         WHERE parent.old = v.hash_key AND held.old = v.{EFFECTIVITY_COLUMN}",
        link.staged()
    )
}
