//! The vault's tables beyond one table on one disk: distributed over the nodes of a Citus cluster, or partitioned on
//! one machine.
//!
//! In: a [`Plan`], and which parents are small. Out: SQL that an operator runs behind `migrate`.
//!
//! `migrate` makes every table, because it remembers what it has made and refuses a table that somebody else made. So
//! both scripts change tables that are there. Citus distributes a table in place. A table of PostgreSQL cannot become
//! partitioned, so a satellite is dropped and made anew; the script refuses one that holds rows, and the `migrate` that
//! has to follow makes the views again that went with it.
//!
//! Everything is spread by `hash_key`. It is the first column of every primary key, which is what Citus and a
//! partitioned table ask for; it is evenly spread, because it is a SHA-256 value; and the loader asks for stored
//! versions by it alone, so a question goes to one shard or partition. Load dates would spread a key's versions over
//! all partitions, and every question with them.

use std::fmt::Write as _;

use super::business::{self, BUSINESS_SCHEMA};
use super::ddl::{self, TableSpec};
use crate::model::{Entity, Model, Pit, Plan, SatellitePlan, VAULT_SCHEMA};

/// Schema of the partitions. The vault's own schema has only what the model names.
pub const PARTITION_SCHEMA: &str = "dwh_partitions";

/// The model has no such parent or satellite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is no {kind} of the model; it has {}", .known.join(", "))]
pub struct UnknownName {
    name: String,
    kind: &'static str,
    known: Vec<String>,
}

/// The statements that distribute the vault and the business vault over a Citus cluster. Hubs and links of `small` are
/// copied to every node with their satellites.
///
/// # Errors
/// When the model has no such hub or link.
pub fn distributed(plan: &Plan, small: &[String]) -> Result<String, UnknownName> {
    let known = parents(plan);
    require(small, &known, "hub or link")?;
    let mut sql = "-- Run on the coordinator behind `vault-loader migrate`, as the owner of the vault. Tables of dwh_control stay local.\n"
        .to_owned();
    for parent in &known {
        let _ = writeln!(sql, "\n-- {parent} and what hangs on it");
        let is_small = small.contains(parent);
        spread(&mut sql, VAULT_SCHEMA, parent, Spread::of_parent(is_small));
        for satellite in satellites_of(plan, parent) {
            spread(&mut sql, VAULT_SCHEMA, &satellite.name, Spread::beside(is_small, parent));
        }
    }
    for (head, rest) in without_parent(plan) {
        let _ = writeln!(sql, "\n-- no table has the parent's key alone: {}", head.name);
        let is_small = is_reference(plan, head);
        spread(&mut sql, VAULT_SCHEMA, &head.name, Spread::of_parent(is_small));
        for satellite in rest {
            spread(&mut sql, VAULT_SCHEMA, &satellite.name, Spread::beside(is_small, &head.name));
        }
    }
    business_tables(&mut sql, &plan.model, small);
    Ok(sql)
}

/// The statements that replace satellites by empty partitioned ones: those of `named`, or all.
///
/// # Errors
/// When the model has no such satellite.
pub fn partitioned(plan: &Plan, count: u16, named: &[String]) -> Result<String, UnknownName> {
    let known: Vec<String> =
        plan.satellites.iter().map(|satellite| satellite.name.clone()).collect();
    require(named, &known, "satellite")?;
    let is_wanted = |table: &TableSpec| {
        known.contains(&table.name) && (named.is_empty() || named.contains(&table.name))
    };
    let mut sql = format!(
        "-- Run behind `vault-loader migrate` and before anything is loaded or built upon the vault, as its owner; then run\n\
         -- `vault-loader migrate` again, which makes the views anew. Apply sql/marts afterwards.\n\
         BEGIN;\nCREATE SCHEMA IF NOT EXISTS {PARTITION_SCHEMA};\n"
    );
    for table in ddl::tables(plan).iter().filter(|table| is_wanted(table)) {
        let _ = write!(
            sql,
            "\nLOCK TABLE {name} IN ACCESS EXCLUSIVE MODE;\nDO $$\nBEGIN\n    IF EXISTS (SELECT FROM {name} WHERE record_source <> '{system}') THEN\n        \
             RAISE EXCEPTION '{name} holds rows: build a new warehouse from the topics instead';\n    END IF;\n\
             END\n$$;\nDROP TABLE {name} CASCADE;\n{create}",
            name = table.qualified(),
            system = ddl::SYSTEM,
            create = table.create_partitioned(PARTITION_SCHEMA, count),
        );
    }
    sql.push_str("COMMIT;\n");
    Ok(sql)
}

/// How a table is spread.
enum Spread<'a> {
    /// a copy on every node
    Copies,
    /// by its hash key, in shards of its own
    Alone,
    /// by its hash key, each shard beside that of this table
    Beside(&'a str),
    /// by another column, each shard beside that of this table
    By(&'a str, &'a str),
}

impl<'a> Spread<'a> {
    fn of_parent(is_small: bool) -> Self {
        if is_small { Self::Copies } else { Self::Alone }
    }

    fn beside(is_small: bool, parent: &'a str) -> Self {
        if is_small { Self::Copies } else { Self::Beside(parent) }
    }
}

fn spread(sql: &mut String, schema: &str, table: &str, how: Spread<'_>) {
    let (column, beside) = match how {
        Spread::Copies => {
            let _ = writeln!(sql, "SELECT create_reference_table('{schema}.{table}');");
            return;
        }
        Spread::Alone => ("hash_key", "none".to_owned()),
        Spread::Beside(parent) => ("hash_key", format!("{VAULT_SCHEMA}.{parent}")),
        Spread::By(column, parent) => (column, format!("{VAULT_SCHEMA}.{parent}")),
    };
    let _ = writeln!(
        sql,
        "SELECT create_distributed_table('{schema}.{table}', '{column}', colocate_with => '{beside}');"
    );
}

/// Hubs and links that have a table. That of a non-historized link is written as a satellite.
fn parents(plan: &Plan) -> Vec<String> {
    let links = plan.satellites.iter().filter(|satellite| satellite.is_link);
    let links: Vec<&str> = links.map(|satellite| satellite.name.as_str()).collect();
    let tables = ddl::tables(plan).into_iter();
    let is_parent = |table: &TableSpec| table.is_shared() || links.contains(&table.name.as_str());
    tables.filter(is_parent).map(|table| table.name).collect()
}

fn satellites_of<'p>(plan: &'p Plan, parent: &str) -> impl Iterator<Item = &'p SatellitePlan> {
    plan.satellites.iter().filter(move |satellite| {
        let table = &plan.model.tables[satellite.table];
        let is_below = !satellite.is_link && !plan.model.has_no_parent_table(table);
        is_below && plan.model.parent_name(table) == parent
    })
}

/// The satellites whose parent has no table: of each source table the first one, and those that stand beside it.
fn without_parent(plan: &Plan) -> Vec<(&SatellitePlan, Vec<&SatellitePlan>)> {
    let mut groups: Vec<(&SatellitePlan, Vec<&SatellitePlan>)> = Vec::new();
    let alone = |satellite: &&SatellitePlan| {
        plan.model.has_no_parent_table(&plan.model.tables[satellite.table])
    };
    for satellite in plan.satellites.iter().filter(alone) {
        match groups.iter_mut().find(|(head, _)| head.table == satellite.table) {
            Some((_, rest)) => rest.push(satellite),
            None => groups.push((satellite, Vec::new())),
        }
    }
    groups
}

/// A reference holds codes, which are few and are joined with everything.
fn is_reference(plan: &Plan, satellite: &SatellitePlan) -> bool {
    plan.model.parent_link(&plan.model.tables[satellite.table]).is_none()
}

/// Point-in-time tables stand beside the parent whose keys they have, bridges beside the first link of their path.
fn business_tables(sql: &mut String, model: &Model, small: &[String]) {
    if business::tables(model).is_empty() {
        return;
    }
    sql.push_str("\n-- what is built at snapshots\n");
    for pit in &model.snapshots.pits {
        let parent = parent_of(model, pit);
        // One row for each key and snapshot is not small, even where the keys are few.
        let how = if small.contains(parent) { Spread::Alone } else { Spread::Beside(parent) };
        spread(sql, BUSINESS_SCHEMA, &pit.name, how);
    }
    for (bridge, table) in model
        .snapshots
        .bridges
        .iter()
        .zip(business::tables(model).iter().filter(|table| table.name.starts_with("bridge_")))
    {
        let Some((step, key)) = bridge.steps.first().zip(table.primary_key.get(1)) else {
            continue;
        };
        let link = &model.links[step.link].name;
        if small.contains(link) {
            let _ = writeln!(
                sql,
                "SELECT create_distributed_table('{BUSINESS_SCHEMA}.{}', '{key}', colocate_with => 'none');",
                table.name
            );
        } else {
            spread(sql, BUSINESS_SCHEMA, &table.name, Spread::By(key, link));
        }
    }
}

fn parent_of<'m>(model: &'m Model, pit: &Pit) -> &'m String {
    match pit.parent {
        Entity::Hub(hub) => &model.hubs[hub].name,
        Entity::Link(link) => &model.links[link].name,
    }
}

fn require(wanted: &[String], known: &[String], kind: &'static str) -> Result<(), UnknownName> {
    match wanted.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(UnknownName { name: name.clone(), kind, known: known.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    fn plan(text: &str) -> Plan {
        Plan::new(model::parse(text).unwrap())
    }

    fn airline() -> Plan {
        plan(include_str!("../../../connectors/airline/vault.toml"))
    }

    #[test]
    fn a_satellite_lies_beside_its_parent_and_a_small_parent_is_copied_with_its_satellites() {
        let sql = distributed(&airline(), &["hub_airports".to_owned()]).unwrap();
        for line in [
            "create_distributed_table('dwh_detailed.link_ticket_flights', 'hash_key', colocate_with => 'none')",
            "create_distributed_table('dwh_detailed.sat_ticket_flights', 'hash_key', colocate_with => 'dwh_detailed.link_ticket_flights')",
            "create_distributed_table('dwh_business.pit_tickets', 'hash_key', colocate_with => 'dwh_detailed.hub_tickets')",
            "create_reference_table('dwh_detailed.hub_airports')",
            "create_reference_table('dwh_detailed.sat_airports_status')",
        ] {
            assert!(sql.contains(line), "{line} is not in\n{sql}");
        }
    }

    #[test]
    fn satellites_without_a_parent_table_stand_together_and_codes_are_copied() {
        let plan = plan(include_str!("../../tests/support/shop.vault.toml"));
        let sql = distributed(&plan, &[]).unwrap();
        for line in [
            "create_distributed_table('dwh_detailed.sat_phones', 'hash_key', colocate_with => 'none')",
            "create_distributed_table('dwh_detailed.sat_phones_tracking', 'hash_key', colocate_with => 'dwh_detailed.sat_phones')",
            "create_reference_table('dwh_detailed.sat_currencies')",
            "create_distributed_table('dwh_detailed.link_payments', 'hash_key', colocate_with => 'none')",
            "create_distributed_table('dwh_detailed.sat_payments_status', 'hash_key', colocate_with => 'dwh_detailed.link_payments')",
        ] {
            assert!(sql.contains(line), "{line} is not in\n{sql}");
        }
    }

    #[test]
    fn every_table_is_spread_once() {
        for plan in [airline(), plan(include_str!("../../tests/support/shop.vault.toml"))] {
            let sql = distributed(&plan, &[]).unwrap();
            let all = ddl::tables(&plan).into_iter().map(|table| table.qualified());
            let business = business::tables(&plan.model).into_iter().map(|table| table.qualified());
            for table in all.chain(business) {
                assert_eq!(sql.matches(&format!("_table('{table}'")).count(), 1, "{table}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = distributed(&airline(), &["hub_airport".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("hub_airport is no hub or link") && error.contains("hub_airports"),
            "{error}"
        );
        assert!(partitioned(&airline(), 2, &["sat_none".to_owned()]).is_err());
    }
}
