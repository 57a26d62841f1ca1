//! The tables of the business vault: point-in-time tables and bridges, which the vault determines at each snapshot.
//!
//! In: the models. Out: [`BusinessTable`]s with the SQL that makes them, and the SQL that fills them for one snapshot.
//! Nobody loads these tables: `snapshots` fills them. A table is cheap to lose, because the vault is insert-only and
//! every snapshot can be made from it again. So a table whose definition has changed is dropped and made anew.
//!
//! A table is not partitioned. A snapshot is removed by `DELETE`, which needs no more rights than the filling and
//! takes no lock that a reader sees; a partition is dropped under a lock that waits for every reader of the table. A
//! snapshot's rows are written together and removed together, so the room of a removed snapshot is free for the next
//! one.

mod bridge;
mod make;
mod pit;

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

pub(super) use make::{Refused, foretell, make, replaces};

use super::ddl::{ColumnSpec, quote, shorten};
use super::views::current_keys::Feed;
use crate::model::{Model, Plan, VAULT_SCHEMA};

/// The schema of these tables.
pub const BUSINESS_SCHEMA: &str = "dwh_business";

/// What the schema is for.
const SCHEMA_COMMENT: &str =
    "the business vault: which versions and which chains of keys held at each snapshot";

/// The column that every table begins with.
const SNAPSHOT: &str = "snapshot_date";

/// A point-in-time table or a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessTable {
    /// name in the schema
    pub name: String,
    /// what it holds
    pub comment: String,
    /// columns in order
    pub columns: Vec<ColumnSpec>,
    /// columns of the primary key
    pub primary_key: Vec<String>,
}

impl BusinessTable {
    /// Name with schema.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("{BUSINESS_SCHEMA}.{}", self.name)
    }

    /// The statements that make the table, with its comments.
    #[must_use]
    pub fn create(&self) -> String {
        self.definition() + &self.comment_on()
    }

    fn definition(&self) -> String {
        let mut lines: Vec<String> = self.columns.iter().map(ColumnSpec::definition).collect();
        let key = shorten(&self.name, "_pkey");
        lines.push(format!("CONSTRAINT {key} PRIMARY KEY ({})", self.primary_key.join(", ")));
        format!("CREATE TABLE {} (\n    {}\n);\n", self.qualified(), lines.join(",\n    "))
    }

    /// The statements that set its comments.
    fn comment_on(&self) -> String {
        let qualified = self.qualified();
        let own = format!("COMMENT ON TABLE {qualified} IS {};\n", quote(&self.comment));
        self.columns.iter().fold(own, |sql, column| sql + &column.comment_on(&qualified))
    }

    /// What the table is known by: another definition has another digest. Comments do not count.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        Sha256::digest(self.definition()).to_vec()
    }
}

/// All tables of a model: point-in-time tables, and bridges behind them.
#[must_use]
pub fn tables(model: &Model) -> Vec<BusinessTable> {
    let pits = model.snapshots.pits.iter().map(|pit| pit::table(model, pit));
    let bridges = model.snapshots.bridges.iter().map(|bridge| bridge::table(model, bridge));
    pits.chain(bridges).collect()
}

/// The statements that make them all; empty for a model without any.
#[must_use]
pub fn script(plan: &Plan) -> String {
    let tables = tables(&plan.model);
    if tables.is_empty() {
        return String::new();
    }
    let schema = format!("\nCREATE SCHEMA IF NOT EXISTS {BUSINESS_SCHEMA};\n");
    tables.iter().fold(schema, |sql, table| sql + "\n" + &table.create())
}

/// The statements that give a role what building snapshots needs: these tables, and what their fillings read of the
/// vault, which may belong to other sources.
pub(super) fn grants(model: &Model, others: &[Model], role: &str) -> String {
    let tables = tables(model);
    let schema = format!("GRANT USAGE ON SCHEMA {BUSINESS_SCHEMA} TO {role};\n");
    let of_schema = if tables.is_empty() { String::new() } else { schema };
    let of_tables = tables.iter().fold(of_schema, |sql, table| {
        sql + &format!("GRANT SELECT, INSERT, DELETE ON {} TO {role};\n", table.qualified())
    });
    // A model with a bridge that nothing fills was refused.
    let fillings = fillings(model, others).unwrap_or_default();
    let read: BTreeSet<&str> = fillings.iter().flat_map(Filling::reads).collect();
    read.iter().fold(of_tables, |sql, name| {
        sql + &format!("GRANT SELECT ON {VAULT_SCHEMA}.{name} TO {role};\n")
    })
}

/// How one table gets the rows of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filling {
    /// the table
    pub table: BusinessTable,
    /// One statement. `$1` is the snapshot. It answers with the number of versions that it read and the number of rows
    /// that it wrote.
    pub sql: String,
    /// whether `$2` is the snapshot that the new one is derived from; without it every snapshot is made from the vault
    pub is_derived: bool,
    /// the sources whose events can change it
    pub sources: BTreeSet<String>,
}

impl Filling {
    /// What a snapshot is known to be made by: another statement or other sources have another digest.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new_with_prefix(&self.sql);
        for source in &self.sources {
            digest.update([0]);
            digest.update(source);
        }
        digest.finalize().to_vec()
    }

    /// Names of the vault's tables that the statement reads.
    fn reads(&self) -> impl Iterator<Item = &str> {
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        self.sql.split(VAULT_SCHEMA).skip(1).filter_map(move |rest| {
            let rest = rest.strip_prefix('.')?;
            Some(&rest[..rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len())])
        })
    }
}

/// A table that no statement can fill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no row of a source leads to the link {link}, so {table} cannot be filled: take the link out of its path"
)]
pub struct NotFed {
    /// the bridge
    pub table: String,
    /// the link
    pub link: String,
}

/// How the tables of `model` are filled. `others` are the models of the other sources of the warehouse.
///
/// # Errors
/// When a bridge names a link to which no source's rows lead.
pub fn fillings(model: &Model, others: &[Model]) -> Result<Vec<Filling>, NotFed> {
    let mut models: Vec<&Model> = others.iter().chain([model]).collect();
    models.sort_by(|one, other| one.source.name.cmp(&other.source.name));
    let own = BTreeSet::from([model.source.name.clone()]);
    let mut found: Vec<Filling> = Vec::new();
    for pit in &model.snapshots.pits {
        let (table, sql) = (pit::table(model, pit), pit::fill(model, pit));
        found.push(Filling { table, sql, is_derived: true, sources: own.clone() });
    }
    for bridge in &model.snapshots.bridges {
        let (table, sql) = (bridge::table(model, bridge), bridge::fill(model, bridge, &models)?);
        let links = bridge.steps.iter().map(|step| model.links[step.link].name.as_str());
        let feeding = links
            .flat_map(|link| models.iter().filter(move |model| Feed::of(model, link).is_some()));
        let sources = feeding.map(|model| model.source.name.clone()).chain(own.clone()).collect();
        found.push(Filling { table, sql, is_derived: false, sources });
    }
    Ok(found)
}

/// The earliest load date up to `$1` in these tables' satellites, as SQL: before it there is nothing to be seen. It
/// reads the versions up to then, which an index of block ranges finds.
#[must_use]
pub fn earliest(model: &Model) -> String {
    let satellites: BTreeSet<&str> =
        model.tables.iter().map(|table| table.status.as_str()).collect();
    let dates: Vec<String> = satellites
        .into_iter()
        .map(|name| {
            format!(
                "(SELECT min(load_date) FROM {VAULT_SCHEMA}.{name} WHERE load_date > '{}' AND load_date <= $1::timestamptz)",
                super::ddl::BEGINNING
            )
        })
        .collect();
    format!("SELECT LEAST({})", dates.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const AIRLINE: &str = include_str!("../../../../connectors/airline/vault.toml");

    #[test]
    fn the_airline_s_tables_have_comments_and_legal_names() {
        let model = model::parse(AIRLINE).unwrap();
        let tables = tables(&model);
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["pit_flights", "pit_tickets", "bridge_booking_flights"]);
        for table in &tables {
            assert!(!table.comment.is_empty());
            for column in &table.columns {
                assert!(!column.comment.is_empty(), "{}.{}", table.name, column.name);
                assert!(column.name.len() <= 63);
            }
        }
        assert!(script(&Plan::new(model)).contains("CREATE TABLE dwh_business.pit_flights (\n"));
    }

    #[test]
    fn another_definition_has_another_digest() {
        let digest = |text: &str| tables(&model::parse(text).unwrap())[0].digest();
        let changed = AIRLINE.replacen("\"sat_flight_schedules\", ", "", 1);
        assert_ne!(changed, AIRLINE);
        assert_ne!(digest(&changed), digest(AIRLINE));
        assert_eq!(digest(&AIRLINE.replacen("keep_days = ", "keep_days = 1", 1)), digest(AIRLINE));
        let commented = AIRLINE.replacen("\"what was planned for a flight, ", "\"corrected: ", 1);
        assert_ne!(commented, AIRLINE);
        assert_eq!(digest(&commented), digest(AIRLINE));
    }

    #[test]
    fn a_bridge_waits_for_every_source_that_feeds_its_links_and_a_point_in_time_table_for_its_own()
    {
        let model = model::parse(AIRLINE).unwrap();
        let other = AIRLINE.replacen("name = \"airline\"", "name = \"other\"", 1);
        let fillings = fillings(&model, &[model::parse(&other).unwrap()]).unwrap();
        let [pit, _, bridge] = fillings.as_slice() else { panic!("three tables") };
        assert_eq!(pit.sources, BTreeSet::from(["airline".to_owned()]));
        assert_eq!(bridge.sources, BTreeSet::from(["airline".to_owned(), "other".to_owned()]));
        assert!(pit.is_derived && pit.sql.contains("$2") && !bridge.sql.contains("$2"));
        // The role that builds may read what each of the sources has.
        let read: BTreeSet<&str> = bridge.reads().collect();
        for name in ["link_booking_tickets", "sat_ticket_flights_status", "hub_bookings"] {
            assert!(read.contains(name), "{read:?}");
        }
        // One source more is another way of filling.
        let alone = super::fillings(&model, &[]).unwrap();
        assert_ne!(alone[2].digest(), bridge.digest());
        assert_eq!(alone[0].digest(), pit.digest());
        // A row of a link holds when one of the sources states it.
        assert_eq!(bridge.sql.matches("\n    UNION\n").count(), 2, "{}", bridge.sql);
    }
}
