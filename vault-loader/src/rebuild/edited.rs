//! Rows of hubs whose values somebody has replaced.
//!
//! In: the live and the rebuilt vault. Out: the hubs in which a hash key stands for other values in the live vault than
//! in the topics. An erasure of a person leaves such rows: the values were replaced and the hash key was kept. A
//! rebuild would bring the person back, so it has to be told that this is meant. Columns that fold are not compared,
//! because they keep the spelling that was loaded first.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::error::RebuildError;
use crate::model::{ColumnType, Hub, Plan, ScalarType, Schemas, ident};

/// A line for each hub with such rows.
pub(super) async fn hubs(client: &Client, plans: &[Plan]) -> Result<Vec<String>, RebuildError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let hubs = plans.iter().flat_map(|plan| plan.model.hubs.iter());
    for hub in hubs.filter(|hub| !hub.is_carried) {
        let columns = compared(hub);
        if columns.is_empty() || !seen.insert(hub.name.as_str()) {
            continue;
        }
        let sql = format!(
            "SELECT count(*), encode((array_agg(live.hash_key ORDER BY live.hash_key))[1], 'hex')
             FROM {live}.{hub} AS live
             JOIN {rebuilt}.{hub} AS rebuilt USING (hash_key)
             WHERE {differs}",
            live = Schemas::LIVE.vault,
            rebuilt = Schemas::REBUILT.vault,
            hub = hub.name,
            differs = columns.join(" OR "),
        );
        let row = client.query_one(&sql, &[]).await?;
        let (count, key): (i64, Option<&str>) = (row.get(0), row.get(1));
        if let Some(key) = key {
            found.push(format!(
                "dwh_detailed.{}: {count} rows have other values than the topics, for example \\x{key}: they were replaced by hand, perhaps to \
                 erase somebody. Give --restore-edited if the values of the topics are to come back",
                hub.name
            ));
        }
    }
    Ok(found)
}

/// What is compared of a hub's key. PostgreSQL cannot compare `json` and `point`.
fn compared(hub: &Hub) -> Vec<String> {
    let comparable = |kind| {
        !matches!(
            kind,
            ColumnType::Scalar(ScalarType::Json | ScalarType::Point) | ColumnType::Array(_)
        )
    };
    let exact = hub
        .key
        .iter()
        .zip(&hub.folded)
        .filter(|(column, folded)| !**folded && comparable(column.kind));
    let names = exact.map(|(column, _)| ident(&column.name));
    names.map(|name| format!("live.{name} IS DISTINCT FROM rebuilt.{name}")).collect()
}
