//! The versions of each satellite: the latest one of each key, and all of them with their virtual ends.
//!
//! In: the plan of one source, whose satellites they are. Out: two views for each satellite. The vault is insert-only,
//! so a version has no end of its own; it ends where the next one of its key begins. The latest version ends at the end
//! of the year 9999. Two times are told apart: the load date, from when the vault shows a version, and the applied
//! date, when the change was committed at the source. One moment lies in exactly one version of a key that exists then:
//! `load_date <= moment AND moment < load_end_date`, or the same with the applied dates. Of two versions that were
//! committed together the earlier one has an empty applied period.
//!
//! Ghost rows never show. The table of a non-historized link has one version of each key, and the views of links show
//! it.

use super::super::ddl::{self, SYSTEM};
use super::current_keys::view_name;
use super::{END_OF_TIME, MART_SCHEMA, ViewColumn, ViewSpec, beside, is_latest, quoted};
use crate::model::{Plan, VAULT_SCHEMA};

/// The views of all satellites.
pub(super) fn views(plan: &Plan) -> Vec<ViewSpec> {
    let is_link = |name: &str| plan.model.links.iter().any(|link| link.name == name);
    let satellites = ddl::tables(plan).into_iter();
    let satellites = satellites.filter(|table| !table.is_shared() && !is_link(&table.name));
    satellites.flat_map(|table| [current(&table), history(&table)]).collect()
}

fn columns(table: &ddl::TableSpec) -> Vec<ViewColumn> {
    table.columns.iter().map(|column| ViewColumn::new(&column.name, &column.comment)).collect()
}

fn names(table: &ddl::TableSpec) -> String {
    let names: Vec<String> =
        table.columns.iter().map(|column| format!("version.{}", quoted(&column.name))).collect();
    names.join(",\n    ")
}

fn current(table: &ddl::TableSpec) -> ViewSpec {
    let name = &table.name;
    ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("current_", name),
        comment: format!("the latest version of each key, deleted or not; {}", table.comment),
        columns: columns(table),
        query: format!(
            "SELECT\n    {}\nFROM {VAULT_SCHEMA}.{name} AS version\n\
             WHERE version.record_source <> '{SYSTEM}'\n    AND {}",
            names(table),
            is_latest(name, "version")
        ),
    }
}

fn history(table: &ddl::TableSpec) -> ViewSpec {
    let name = &table.name;
    let further = [
        (
            "load_end_date",
            "load date of the next version; the end of the year 9999 of the latest one",
        ),
        (
            "applied_end_date",
            "applied date of the version that was committed next; the end of the year 9999 of the latest one",
        ),
        ("is_current", "whether it is the latest version by load date"),
    ];
    let columns = columns(table);
    let further = further.map(|(name, comment)| ViewColumn::new(beside(name, &columns), comment));
    let [load_end, applied_end, is_current] = further.each_ref().map(|column| &column.name);
    ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("history_", name),
        comment: format!("all versions with their virtual ends; {}", table.comment),
        columns: columns.into_iter().chain(further.clone()).collect(),
        query: format!(
            "SELECT\n    {},\n    \
             lead(version.load_date, 1, {END_OF_TIME}) OVER by_load AS {load_end},\n    \
             lead(version.applied_date, 1, {END_OF_TIME}) OVER by_commit AS {applied_end},\n    \
             lead(version.load_date) OVER by_load IS NULL AS {is_current}\n\
             FROM {VAULT_SCHEMA}.{name} AS version\n\
             WHERE version.record_source <> '{SYSTEM}'\n\
             WINDOW\n    by_load AS (PARTITION BY version.hash_key ORDER BY version.load_date),\n    \
             by_commit AS (PARTITION BY version.hash_key ORDER BY version.applied_date, version.load_date)",
            names(table),
        ),
    }
}
