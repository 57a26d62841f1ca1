//! What each table's histories hang on. Pure.
//!
//! In: tables with their keys and foreign keys. Out: for each table a hub or link of its own, that of another table, or
//! the reason why its events cannot be loaded. `shape` says why it is so.

use std::collections::HashSet;

use shared::debezium::topic::topic_name;

use super::catalog::{ForeignKey, SourceTable};
use crate::model::{Cast, ColumnType};

/// What a table's histories hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Events of the table cannot be loaded.
    Nowhere(String),
    /// A hub of its own.
    Hub,
    /// A link of the hubs behind these foreign keys.
    Link(Vec<usize>),
    /// That of the table behind this foreign key.
    Same(usize),
}

/// Whether two lists have the same columns.
fn is_same(one: &[usize], other: &[usize]) -> bool {
    one.len() == other.len() && one.iter().all(|column| other.contains(column))
}

/// Whether a foreign key refers to its target by the target's key.
pub(super) fn is_by_key(tables: &[SourceTable], key: &ForeignKey) -> bool {
    let target = &tables[key.target].key;
    !target.is_empty() && is_same(&key.target_columns, target)
}

/// What each table hangs on.
pub(super) fn places(tables: &[SourceTable]) -> Vec<Place> {
    let obstacles = obstacles(tables);
    let same = same_places(tables, &obstacles);
    let mut referenced: Vec<bool> = vec![false; tables.len()];
    for (place, table) in tables.iter().enumerate() {
        for (number, key) in table.foreign_keys.iter().enumerate() {
            // A hub's key can be cast to, and the dependent key of a link cannot.
            let is_cast =
                same[place] == Some(number) && binds_with_cast(tables, table, key) == Some(true);
            if (same[place] != Some(number) || is_cast) && is_by_key(tables, key) {
                referenced[key.target] = true;
            }
        }
    }
    // A table that refers to one which hangs on another refers to that other one, too.
    for _ in 0..tables.len() {
        for (place, table) in tables.iter().enumerate() {
            if let Some(number) = same[place].filter(|_| referenced[place]) {
                referenced[table.foreign_keys[number].target] = true;
            }
        }
    }
    let place = |(place, table): (usize, &SourceTable)| {
        if let Some(reason) = &obstacles[place] {
            return Place::Nowhere(reason.clone());
        }
        if let Some(number) = same[place] {
            return Place::Same(number);
        }
        let within =
            if referenced[place] { Vec::new() } else { keys_within(tables, &obstacles, table) };
        let covered: usize = within.iter().map(|&key| table.foreign_keys[key].columns.len()).sum();
        let relates = within.len() + (table.key.len() - covered) >= 2;
        if !within.is_empty() && relates { Place::Link(within) } else { Place::Hub }
    };
    tables.iter().enumerate().map(place).collect()
}

/// For each table why its events cannot be loaded, if they cannot.
fn obstacles(tables: &[SourceTable]) -> Vec<Option<String>> {
    let topic = |table: &SourceTable| topic_name("", &table.schema, &table.name);
    let of = |(place, table): (usize, &SourceTable)| {
        let same = tables[..place].iter().find(|other| topic(other) == topic(table));
        let clash = same.map(|other| format!("its events have the topic of {}", other.label()));
        obstacle(table).or(clash)
    };
    tables.iter().enumerate().map(of).collect()
}

/// Why events of a table alone cannot be loaded, if they cannot.
fn obstacle(table: &SourceTable) -> Option<String> {
    if table.is_unlogged {
        return Some("it is unlogged: its changes are in no write-ahead log".to_owned());
    }
    if table.key.is_empty() {
        return Some(
            "it has no primary key, and no unique index that tells every row: its events have no key, and Kafka keeps order \
             for each key only"
                .to_owned(),
        );
    }
    let mut key = table.key.iter().map(|&column| &table.columns[column]);
    key.find_map(|column| {
        let name = &column.name;
        if column.is_generated {
            return Some(format!(
                "its key has the column {name}, which PostgreSQL computes and does not publish"
            ));
        }
        let kind = &column.kind;
        let reason =
            format!("its key has the column {name} of type {kind}, which a model cannot have");
        column.column_type().is_none().then_some(reason)
    })
}

/// For each table the foreign key that is its whole key, if there is one. No circle of tables hangs on itself.
fn same_places(tables: &[SourceTable], obstacles: &[Option<String>]) -> Vec<Option<usize>> {
    let mut same: Vec<Option<usize>> = vec![None; tables.len()];
    for (place, table) in tables.iter().enumerate() {
        if obstacles[place].is_some() {
            continue;
        }
        let number = table.foreign_keys.iter().position(|key| {
            let is_key = is_same(&key.columns, &table.key) && is_by_key(tables, key);
            is_key
                && obstacles[key.target].is_none()
                && binds_with_cast(tables, table, key).is_some()
                && {
                    let mut at = key.target;
                    loop {
                        match same[at] {
                            _ if at == place => break false,
                            Some(next) => at = tables[at].foreign_keys[next].target,
                            None => break true,
                        }
                    }
                }
        });
        same[place] = number;
    }
    same
}

/// Foreign keys whose columns are a part of the table's key, and share none.
fn keys_within(
    tables: &[SourceTable],
    obstacles: &[Option<String>],
    table: &SourceTable,
) -> Vec<usize> {
    let mut used: HashSet<usize> = HashSet::new();
    let mut within = Vec::new();
    for (number, key) in table.foreign_keys.iter().enumerate() {
        let is_part =
            key.columns.iter().all(|column| table.key.contains(column) && !used.contains(column));
        let is_usable = is_by_key(tables, key) && obstacles[key.target].is_none();
        if is_part && is_usable && binds_with_cast(tables, table, key).is_some() {
            used.extend(&key.columns);
            within.push(number);
        }
    }
    // In the order of the key, whatever the foreign keys are called.
    let position = |number: &usize| {
        let first = table.foreign_keys[*number].columns.iter();
        first.filter_map(|column| table.key.iter().position(|key| key == column)).min()
    };
    within.sort_by_key(position);
    within
}

/// How a foreign key's columns feed the key that they refer to: whether one of them has to be cast; none when one
/// cannot be.
pub(super) fn binds_with_cast(
    tables: &[SourceTable],
    table: &SourceTable,
    key: &ForeignKey,
) -> Option<bool> {
    let mut pairs = key.columns.iter().zip(&key.target_columns);
    pairs.try_fold(false, |is_cast, (&from, &to)| {
        let from = &table.columns[from];
        let to = &tables[key.target].columns[to];
        let is_published = !from.is_generated;
        Some(cast(from.column_type().filter(|_| is_published)?, to.column_type()?)? || is_cast)
    })
}

/// How a column feeds a hub's key: whether it has to be cast; none when it cannot.
pub(super) fn cast(from: ColumnType, to: ColumnType) -> Option<bool> {
    if from.hashes_like(to) && from.vault_type() == to.vault_type() {
        return Some(false);
    }
    Cast::between(from, to).map(|_| true)
}
