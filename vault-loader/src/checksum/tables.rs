//! Which tables and which of their columns a checksum is made of.
//!
//! In: the warehouse's catalog and the models that it was migrated to. Out: a [`CountedTable`] for each table that
//! `migrate` made. A column counts when its values are a function of the topics. The others are named:
//!
//! | table | column | depends on |
//! |---|---|---|
//! | hub, link | `load_date`, `record_source`, `source_system_id` | which mention of the key was loaded first |
//! | hub that folds | the columns that fold | which spelling of the key was loaded first |
//! | satellite | `source_epoch` | epochs that an operator started in this warehouse |
//!
//! On demand the partition and the offset of each version are left out of satellites, too.
//!
//! Columns are read in the order of their names, so that a column that a satellite has grown may stand anywhere.

use std::collections::HashSet;

use tokio_postgres::Client;

use crate::control;
use crate::model::{self, KEY_COLUMNS};
use crate::proof::{ProofError, quoted};

/// What a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Hub,
    Link,
    Satellite,
}

/// A table and the columns of it that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountedTable {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) columns: Vec<String>,
    pub(super) left_out: Vec<String>,
}

impl CountedTable {
    /// The statement that reads its rows, or those of the table of the same name in another schema.
    pub(super) fn copy(&self, schema: &str) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| quoted(column)).collect();
        let table = quoted(&self.name);
        // A partitioned table cannot be copied by its name.
        let columns = columns.join(", ");
        format!("COPY (SELECT {columns} FROM {schema}.{table}) TO STDOUT (FORMAT binary)")
    }
}

/// Whether the places of versions in their topics count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    Count,
    /// The same changes may be in topics with another number of partitions.
    LeftOut,
}

/// The columns that hold the place of a version's record.
const PLACE_COLUMNS: [&str; 2] = ["kafka_partition", "kafka_offset"];

/// What the epoch of a version depends on is no part of the topics.
const EPOCH_COLUMN: &str = "source_epoch";

/// The column that every table with versions has.
const HASHDIFF: &str = "hashdiff";

/// The tables in the order of their names.
pub(super) async fn read(client: &Client, places: Places) -> Result<Vec<CountedTable>, ProofError> {
    let folded = folded_columns(client).await?;
    let all = control::vault_columns(client).await?;
    let versioned: HashSet<String> =
        all.iter().filter(|(_, column)| column == HASHDIFF).map(|(name, _)| name.clone()).collect();
    let mut tables: Vec<CountedTable> = Vec::new();
    for (name, column) in all {
        if tables.last().is_none_or(|table| table.name != name) {
            let kind = kind(&name, versioned.contains(&name));
            let (columns, left_out) = (Vec::new(), Vec::new());
            tables.push(CountedTable { name: name.clone(), kind, columns, left_out });
        }
        let Some(table) = tables.last_mut() else { continue };
        let is_folded = folded.contains(&(name, column.clone()));
        let counts = !is_folded && counts(table.kind, &column, places);
        if counts { &mut table.columns } else { &mut table.left_out }.push(column);
    }
    Ok(tables)
}

/// What a table is. A table with versions is a satellite, also where it is the table of a non-historized link.
fn kind(table: &str, has_versions: bool) -> Kind {
    match table {
        _ if has_versions => Kind::Satellite,
        hub if hub.starts_with("hub_") => Kind::Hub,
        link if link.starts_with("link_") => Kind::Link,
        _ => Kind::Satellite,
    }
}

fn counts(kind: Kind, column: &str, places: Places) -> bool {
    match kind {
        // The first of them is the hash key.
        Kind::Hub | Kind::Link => !KEY_COLUMNS[1..].contains(&column),
        Kind::Satellite => {
            let is_left_out = places == Places::LeftOut && PLACE_COLUMNS.contains(&column);
            column != EPOCH_COLUMN && !is_left_out
        }
    }
}

/// The columns of hubs that hold the spelling of the mention that was loaded first.
async fn folded_columns(client: &Client) -> Result<HashSet<(String, String)>, ProofError> {
    let mut folded = HashSet::new();
    for (source, text) in control::model_texts(client).await? {
        let parsed = model::parse(&text).map_err(|_| {
            ProofError::Usage(format!(
                "the model of the source {source} in dwh_control.models cannot be read by this build: run `vault-loader migrate` with it"
            ))
        })?;
        for hub in &parsed.hubs {
            let columns = hub.key.iter().zip(&hub.folded).filter(|(_, folded)| **folded);
            folded.extend(columns.map(|(column, _)| (hub.name.clone(), column.name.clone())));
        }
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_from_the_topics_counts() {
        let counts = |kind, column| counts(kind, column, Places::Count);
        for column in ["load_date", "record_source", "source_system_id"] {
            assert!(!counts(Kind::Hub, column) && !counts(Kind::Link, column), "{column}");
            assert!(counts(Kind::Satellite, column), "{column}");
        }
        assert!(counts(Kind::Hub, "hash_key") && counts(Kind::Link, "seat_no"));
        assert!(
            counts(Kind::Satellite, "kafka_offset") && !counts(Kind::Satellite, "source_epoch")
        );
        let without = |column| super::counts(Kind::Satellite, column, Places::LeftOut);
        assert!(!without("kafka_offset") && !without("kafka_partition") && without("source_lsn"));
        assert_eq!(
            [("hub_a", false), ("link_a", false), ("link_a", true), ("sat_a_status", true)]
                .map(|(table, has_versions)| kind(table, has_versions)),
            [Kind::Hub, Kind::Link, Kind::Satellite, Kind::Satellite]
        );
    }
}
