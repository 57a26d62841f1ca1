//! A table as the stream announces it, from what the stream and the catalog say. Pure.

use std::collections::HashSet;

use super::tables::CatalogTable;
use crate::envelope::{ColumnInfo, TableInfo, TypeClass};
use crate::pgoutput::{Identity, Relation};

/// The table as the stream announces it, with what the catalog knows of columns of the same name.
///
/// The catalog may be ahead of the stream. A column that the catalog no longer knows counts as nullable and without a
/// default. Under the default identity the announced columns are the primary key of that moment, so the catalog's key
/// counts only as long as it consists of the same columns.
#[must_use]
pub fn merge(relation: &Relation<'_>, catalog: Option<&CatalogTable>) -> TableInfo {
    let known = |name: &str| {
        catalog.and_then(|table| table.info.columns.iter().find(|column| column.name == name))
    };
    let columns: Vec<ColumnInfo> = relation
        .columns
        .iter()
        .map(|column| ColumnInfo {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            type_class: TypeClass::BuiltIn,
            is_domain: false,
            not_null: known(column.name).is_some_and(|k| k.not_null),
            default: known(column.name).and_then(|k| k.default.clone()),
        })
        .collect();
    let position = |name: &str| columns.iter().position(|column| column.name == name);
    let from_catalog: Option<Vec<usize>> = catalog.and_then(|table| {
        table.info.key.iter().map(|&index| position(&table.info.columns[index].name)).collect()
    });
    let announced = || -> Vec<usize> {
        relation
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.in_identity)
            .map(|(index, _)| index)
            .collect()
    };
    // Under the default identity the announced columns are the primary key of that moment; the catalog only knows its
    // order. Without a primary key nothing is announced.
    let same_columns = |key: &Vec<usize>| {
        let mut sorted = key.clone();
        sorted.sort_unstable();
        sorted == announced()
    };
    let has_primary_key = catalog.is_some_and(|table| table.has_primary_key);
    let key = match (from_catalog, relation.identity) {
        (Some(key), Identity::Default) if has_primary_key && same_columns(&key) => key,
        (Some(key), Identity::Default) if !has_primary_key && announced().is_empty() => key,
        (Some(key), Identity::Full | Identity::Nothing | Identity::Index) => key,
        (_, Identity::Default | Identity::Index) => announced(),
        (None, Identity::Full | Identity::Nothing) => Vec::new(),
    };
    TableInfo {
        schema: if relation.namespace.is_empty() { "pg_catalog" } else { relation.namespace }
            .to_owned(),
        name: relation.name.to_owned(),
        columns,
        key,
    }
}

/// Takes away the columns that are not published. The key is that of the stream's announcement (see [`merge`]).
pub fn keep_published(table: &mut CatalogTable, published: &HashSet<String>) {
    let kept = |column: &ColumnInfo| published.contains(&column.name);
    let info = &mut table.info;
    let all_of_key = info.key.iter().all(|&column| kept(&info.columns[column]));
    // Under these identities the announced columns alone are the key when the catalog's key is not complete.
    let part_of_key = matches!(table.replica_identity, 'd' | 'i');
    let mut key: Vec<String> = info.key.iter().map(|&c| info.columns[c].name.clone()).collect();
    if !all_of_key && !part_of_key {
        key.clear();
    }
    info.columns.retain(kept);
    let place = |name: &String| info.columns.iter().position(|column| column.name == *name);
    info.key = key.iter().filter_map(place).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::RelationColumn;

    fn relation(identity: Identity) -> Relation<'static> {
        let column = |name, in_identity| RelationColumn {
            in_identity,
            name,
            type_oid: 23,
            type_modifier: -1,
        };
        Relation {
            oid: 1,
            namespace: "public",
            name: "t",
            identity,
            columns: vec![column("b", true), column("a", true), column("c", false)],
        }
    }

    fn catalog(names: &[&str], key: &[usize]) -> CatalogTable {
        let columns = names
            .iter()
            .map(|name| ColumnInfo {
                name: (*name).to_owned(),
                type_oid: 23,
                type_modifier: -1,
                type_class: TypeClass::BuiltIn,
                is_domain: false,
                not_null: true,
                default: None,
            })
            .collect();
        let info =
            TableInfo { schema: "public".into(), name: "t".into(), columns, key: key.to_vec() };
        CatalogTable {
            info,
            oid: 1,
            replica_identity: 'd',
            readable: true,
            has_primary_key: true,
            is_logged: true,
            is_partitioned: false,
            identity_has_key: true,
            is_identified: true,
        }
    }

    #[test]
    fn columns_that_are_not_published_are_taken_away_from_row_and_key() {
        let published = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut table = catalog(&["a", "b", "c"], &[2, 1]);
        keep_published(&mut table, &published(&["c", "b"]));
        let names: Vec<&str> = table.info.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names, table.info.key.as_slice()), (vec!["b", "c"], [1, 0].as_slice()));
        keep_published(&mut table, &published(&["c"]));
        assert_eq!(table.info.key, [0], "the stream announces this part of the key");
        let mut full = catalog(&["a", "b", "c"], &[2, 1]);
        full.replica_identity = 'f';
        keep_published(&mut full, &published(&["a", "b"]));
        assert_eq!(full.info.key, [0_usize; 0]);
    }

    #[test]
    fn the_keys_order_is_the_catalogs() {
        let merged = merge(&relation(Identity::Full), Some(&catalog(&["a", "b", "c"], &[0, 1])));
        assert_eq!(merged.key, [1, 0]);
        assert!(merged.columns[0].not_null);
    }

    #[test]
    fn a_key_that_changed_since_is_taken_from_the_stream() {
        let merged = merge(&relation(Identity::Default), Some(&catalog(&["a", "new"], &[1])));
        assert_eq!(merged.key, [0, 1]);
        assert!(!merged.columns[0].not_null);
        assert!(merge(&relation(Identity::Full), None).key.is_empty());
    }

    #[test]
    fn a_unique_index_stands_in_for_a_primary_key_that_is_not_there() {
        let mut table = catalog(&["a", "b", "c"], &[1]);
        table.has_primary_key = false;
        let mut announced = relation(Identity::Default);
        assert_eq!(merge(&announced, Some(&table)).key, [0, 1], "there was one at that moment");
        announced.columns.iter_mut().for_each(|column| column.in_identity = false);
        assert_eq!(merge(&announced, Some(&table)).key, [0]);
    }
}
