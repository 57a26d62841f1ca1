//! The schemas beside the live vault: making them, and taking them away.
//!
//! In: the vault's tables. Out: an empty vault and empty control tables with everything that the live ones have but
//! their rights. What an earlier rebuild has left, because it was killed, is taken away first. A schema that somebody
//! else made is not touched: the comment of a schema says who made it.

use tokio_postgres::{Client, GenericClient};

use super::copies;
use super::error::RebuildError;
use crate::control;
use crate::migrate::ddl;
use crate::model::{Plan, Schemas};

/// Where the tables of the old vault stand until they are dropped, in the same transaction.
pub(super) const REPLACED: &str = "dwh_replaced";

const LIVE: Schemas = Schemas::LIVE;
const REBUILT: Schemas = Schemas::REBUILT;

/// The comment by which a schema of this command is known.
const MARK: &str = "made by `vault-loader rebuild`, which takes it away again";

/// All schemas of this command.
const ALL: [&str; 3] = [REBUILT.vault, REBUILT.control, REPLACED];

/// How long taking away waits for a session of a rebuild that was killed a moment ago.
const LEFTOVERS_WAIT: &str = "SET lock_timeout = '30s'";

/// Takes away what an earlier rebuild has left. Returns the names of these schemas.
pub(super) async fn remove(client: &Client) -> Result<Vec<&'static str>, RebuildError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text),
                      pg_catalog.obj_description(to_regnamespace($1::text)::oid, 'pg_namespace') = $2::text";
    let mut removed = Vec::new();
    for schema in ALL {
        let row = client.query_one(sql, &[&schema, &MARK]).await?;
        let (exists, is_ours): (bool, Option<bool>) = (row.get(0), row.get(1));
        if !exists {
            continue;
        }
        if is_ours != Some(true) {
            return Err(RebuildError::SetUp(format!(
                "the schema {schema} exists, and `vault-loader rebuild` did not make it: rename it, or drop it"
            )));
        }
        let drop = format!("{LEFTOVERS_WAIT}; DROP SCHEMA {schema} CASCADE; RESET lock_timeout");
        client.batch_execute(&drop).await?;
        removed.push(schema);
    }
    Ok(removed)
}

/// Makes an empty vault, with the rows that no event brings, and empty control tables.
pub(super) async fn make(
    client: &mut Client,
    plans: &[Plan],
    tables: &[String],
) -> Result<(), RebuildError> {
    let transaction = client.transaction().await?;
    for schema in ALL {
        let create = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{MARK}'");
        transaction.batch_execute(&create).await?;
    }
    for table in tables {
        copies::create(&transaction, (LIVE.vault, REBUILT.vault), table).await?;
    }
    for table in control::LOADED_TABLES {
        copies::create(&transaction, (LIVE.control, REBUILT.control), table).await?;
    }
    for table in plans.iter().flat_map(ddl::tables) {
        transaction.batch_execute(&table.insert_system_rows(REBUILT.vault)).await?;
    }
    Ok(transaction.commit().await?)
}

/// Gives the rebuilt vault the columns that satellites have grown since.
pub(super) async fn follow(client: &Client, tables: &[String]) -> Result<(), RebuildError> {
    let added = copies::follow(client, (LIVE.vault, REBUILT.vault), tables).await?;
    if added > 0 {
        tracing::info!(added, "satellites have grown columns meanwhile");
    }
    Ok(())
}

/// Lets the server know what the tables hold, so that the first queries on them are planned well.
pub(super) async fn analyze(client: &Client, tables: &[String]) -> Result<(), RebuildError> {
    let sql = format!("VACUUM (ANALYZE) {}", copies::listed(REBUILT.vault, tables));
    Ok(client.batch_execute(&sql).await?)
}

/// Tables and indexes of the live vault in bytes.
pub(super) async fn size(
    client: &impl GenericClient,
    tables: &[String],
) -> Result<i64, RebuildError> {
    let sql = "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint
               FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = $1::text
               WHERE c.relname = ANY ($2::text[])";
    Ok(client.query_one(sql, &[&LIVE.vault, &tables]).await?.get(0))
}
