//! Which tables are captured. Pure.
//!
//! In: all tables of the database, and what the operator wants. Out: the tables that are captured, and for each other
//! table of the wanted schemas why it is not. No table is left out silently but those that the operator excluded. A
//! partition belongs to its table.

use std::collections::{HashMap, HashSet};

use super::finding::{Missing, Note};
use crate::catalog::{CatalogTable, Relation};
use crate::envelope::{PlanError, form_of};
use crate::setup_problem::{TableName, TableWarning, table_warnings};
use crate::table::above;

/// What the operator wants.
pub(super) struct Wanted<'a> {
    /// Schemas; none for all.
    pub(super) schemas: &'a [String],
    /// Tables that are not to be captured, as `schema.table`.
    pub(super) excluded: &'a [String],
}

impl Wanted<'_> {
    pub(super) fn takes(&self, schema: &str) -> bool {
        self.schemas.is_empty() || self.schemas.iter().any(|wanted| wanted == schema)
    }
}

/// The tables, and what is to be said about those that are not among them.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) included: Vec<CatalogTable>,
    pub(super) missing: Vec<Missing>,
    pub(super) notes: Vec<Note>,
}

/// Chooses. `tables` has the wanted tables and all partitions, but no foreign ones.
pub(super) fn choose(
    relations: &[Relation],
    tables: &HashMap<u32, CatalogTable>,
    parents: &HashMap<u32, u32>,
    wanted: &Wanted<'_>,
) -> Choice {
    let mut choice = Choice::default();
    let mut below: HashMap<u32, Vec<&Relation>> = HashMap::new();
    for partition in relations.iter().filter(|relation| relation.is_partition) {
        if let Some(root) = above(partition.named.oid, parents).last() {
            below.entry(root).or_default().push(partition);
        }
    }
    let mut unknown: HashSet<&String> = wanted.excluded.iter().collect();
    for relation in relations.iter().filter(|relation| !relation.is_partition) {
        let (name, shown) = (TableName::from(&relation.named), relation.named.display());
        let is_excluded = unknown.remove(&shown) || wanted.excluded.contains(&shown);
        if is_excluded || !wanted.takes(&relation.named.schema) {
            continue;
        }
        let Some(table) = tables.get(&relation.named.oid) else {
            choice.missing.push(Missing::Foreign { table: name });
            continue;
        };
        let partitions = below.remove(&table.oid).unwrap_or_default();
        match why_not(table, &partitions, tables) {
            Some(missing) => choice.missing.push(missing),
            None => {
                let apart = partitions.into_iter().filter(|p| p.is_foreign || !p.is_logged);
                choice.notes.extend(apart.map(|partition| Note::PartitionApart {
                    partition: partition.named.display(),
                    table: shown.clone(),
                    is_foreign: partition.is_foreign,
                }));
                choice.included.push(table.clone());
            }
        }
    }
    let mut unknown: Vec<&String> = unknown.into_iter().collect();
    unknown.sort();
    choice.missing.extend(unknown.into_iter().cloned().map(|table| Missing::NotThere { table }));
    choice
}

/// Why a table cannot be captured.
fn why_not(
    table: &CatalogTable,
    partitions: &[&Relation],
    tables: &HashMap<u32, CatalogTable>,
) -> Option<Missing> {
    let name = || TableName::from(table);
    let warnings = table_warnings(table);
    if warnings.contains(&TableWarning::Unlogged) {
        return Some(Missing::Unlogged { table: name() });
    }
    // The rows of a partitioned table are those of its partitions, and so is what identifies them.
    let leaves = partitions.iter().filter_map(|partition| tables.get(&partition.named.oid));
    let without_identity = std::iter::once(table)
        .chain(leaves)
        .filter(|table| !table.is_partitioned)
        .find(|table| table_warnings(table).contains(&TableWarning::NoIdentity));
    if let Some(without) = without_identity {
        return Some(Missing::NoIdentity { table: name(), without: without.into() });
    }
    let left_out = table.info.key.iter().map(|&column| &table.info.columns[column]);
    let left_out = left_out.into_iter().find(|column| form_of(column).is_none())?;
    let (table, column) = (table.info.display(), left_out.name.clone());
    Some(Missing::Key(PlanError::KeyLeftOut { table, column }))
}
