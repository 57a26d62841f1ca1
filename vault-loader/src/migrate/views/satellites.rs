//! The versions of each satellite: the latest one of each key, and all of them with their virtual ends.
//!
//! In: the plan of one source, whose satellites they are. Out: two views for each satellite that has a history. One
//! view for each that is not historized, whose only version of a key is its latest, and one for each record-tracking
//! satellite: the last event of each key, because an event does not last until the next one. The vault is insert-only,
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
use crate::model::{Plan, SatelliteKind, SatellitePlan, VAULT_SCHEMA};

/// The views of all satellites.
pub(super) fn views(plan: &Plan) -> Vec<ViewSpec> {
    let tables = ddl::tables(plan);
    let of_satellite = |satellite: &SatellitePlan| {
        let table = tables.iter().find(|table| table.name == satellite.name);
        table.map_or_else(Vec::new, |table| of_kind(satellite, table))
    };
    plan.satellites.iter().filter(|satellite| !satellite.is_link).flat_map(of_satellite).collect()
}

fn of_kind(satellite: &SatellitePlan, table: &ddl::TableSpec) -> Vec<ViewSpec> {
    match satellite.kind {
        SatelliteKind::Descriptive { .. } if !satellite.is_historized => vec![only(table)],
        SatelliteKind::Tracking => vec![latest(table, "the last event of each key")],
        SatelliteKind::Descriptive { .. }
        | SatelliteKind::Status
        | SatelliteKind::Effectivity { .. } => {
            vec![latest(table, "the latest version of each key, deleted or not"), history(table)]
        }
    }
}

fn columns(table: &ddl::TableSpec) -> Vec<ViewColumn> {
    table.columns.iter().map(|column| ViewColumn::new(&column.name, &column.comment)).collect()
}

fn names(table: &ddl::TableSpec) -> String {
    let names: Vec<String> =
        table.columns.iter().map(|column| format!("version.{}", quoted(&column.name))).collect();
    names.join(",\n    ")
}

/// Every version of a satellite whose keys have one each.
fn only(table: &ddl::TableSpec) -> ViewSpec {
    let name = &table.name;
    ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("current_", name),
        comment: format!("the only version of each key, deleted or not; {}", table.comment),
        columns: columns(table),
        query: format!(
            "SELECT\n    {}\nFROM {VAULT_SCHEMA}.{name} AS version\nWHERE version.record_source <> '{SYSTEM}'",
            names(table)
        ),
    }
}

fn latest(table: &ddl::TableSpec, what: &str) -> ViewSpec {
    let name = &table.name;
    ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("current_", name),
        comment: format!("{what}; {}", table.comment),
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
