//! The model compiled for loading: all satellites of every kind in one flat list, with names and orders computed once.
//!
//! In: a [`Model`]. Out: a [`Plan`]; both share the ids of hubs, links and tables. Nothing is looked up by name while
//! rows flow.

use shared::secret::Secret;

use super::ids::{ColumnId, HubBindingId, HubId, IdVec, LinkBindingId, SatelliteId, TableId};
use super::types::{CarriedColumn, CarriedFrom, Column, HubScope, Model, Parent, Table};
use super::{ColumnType, EFFECTIVITY_COLUMN, STATUS_COLUMNS, Schemas, TRACKING_COLUMNS};

/// What a satellite-like table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SatelliteKind {
    /// attributes of the source row
    Descriptive {
        /// the source table's columns, in the vault table's order
        columns: Vec<ColumnId>,
        /// the same, by the names in the vault: the order of the hashdiff
        hash_order: Vec<ColumnId>,
    },
    /// whether the source row exists
    Status,
    /// the events of the source row, whatever they change
    Tracking,
    /// which row of a link holds
    Effectivity {
        /// the source table's binding of that link
        link: LinkBindingId,
    },
}

/// A table with versions per key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SatellitePlan {
    /// name in the vault
    pub name: String,
    /// name with its schema
    pub qualified: String,
    /// the source table
    pub table: TableId,
    /// what it holds
    pub kind: SatelliteKind,
    /// columns of the parent's key, which stand between the technical columns and its own
    pub carried: Vec<CarriedColumn>,
    /// those hubs of a non-historized link that its hash key is not made of, by name of the column, each with its place
    /// among the link's roles; they are part of the hashdiff
    pub hashed_roles: Vec<(String, usize)>,
    /// whether a key can have several versions
    pub is_historized: bool,
    /// whether it is the table of a non-historized link, and has the link's name
    pub is_link: bool,
}

/// How a source table's rows are projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProjection {
    /// the Kafka topic
    pub topic: String,
    /// the `record_source` of all its rows
    pub record_source: String,
    /// its satellites
    pub satellites: Vec<SatelliteId>,
    /// the hub bindings that the parent's hash key needs; a delete can compute only these
    pub parent_bindings: Vec<HubBindingId>,
}

/// A column that a satellite has grown because the source's table has got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrownColumn {
    /// the table's topic
    pub topic: String,
    /// the satellite
    pub satellite: String,
    /// the column, in the source and in the satellite
    pub column: String,
    /// its type in the source, as a model spells it
    pub kind: String,
}

/// A compiled model.
#[derive(Debug, Clone)]
pub struct Plan {
    /// what was compiled
    pub model: Model,
    /// satellites of every kind, of all tables
    pub satellites: IdVec<SatelliteId, SatellitePlan>,
    /// one for each table of the model
    pub tables: IdVec<TableId, TableProjection>,
    /// what the hash keys of hubs and links are made with beside the values, if anything
    pub key_secret: Option<Secret>,
    /// where the rows are written
    pub schemas: Schemas,
}

impl Plan {
    /// Compiles a model.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let mut satellites = IdVec::new();
        let mut tables = IdVec::new();
        for (id, table) in model.tables.with_ids() {
            let mut of_table = Vec::new();
            let mut push = |name: &str, kind: SatelliteKind| {
                let is_link = model.is_link_table(table, name);
                let carries = is_link || model.has_no_parent_table(table);
                of_table.push(satellites.push(SatellitePlan {
                    name: name.to_owned(),
                    qualified: format!("{}.{name}", Schemas::LIVE.vault),
                    table: id,
                    kind,
                    carried: if carries { table.carried.clone() } else { Vec::new() },
                    hashed_roles: if is_link { hashed_roles(table) } else { Vec::new() },
                    is_historized: table.is_historized(name),
                    is_link,
                }));
            };
            for satellite in &table.satellites {
                let columns = satellite.columns.clone();
                let mut hash_order = columns.clone();
                hash_order.sort_by(|&a, &b| {
                    table.columns[a].vault_name().cmp(table.columns[b].vault_name())
                });
                push(&satellite.name, SatelliteKind::Descriptive { columns, hash_order });
            }
            push(&table.status, SatelliteKind::Status);
            if let Some(tracking) = &table.tracking {
                push(tracking, SatelliteKind::Tracking);
            }
            for (link, binding) in table.links.with_ids() {
                if let Some(name) = &binding.effectivity {
                    push(name, SatelliteKind::Effectivity { link });
                }
            }
            tables.push(TableProjection {
                topic: model.topic(table),
                record_source: model.record_source(table),
                satellites: of_table,
                parent_bindings: table.parent_bindings(),
            });
        }
        Self { model, satellites, tables, key_secret: None, schemas: Schemas::LIVE }
    }

    /// The plan that writes to other schemas.
    #[must_use]
    pub fn in_schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = schemas;
        for satellite in self.satellites.iter_mut() {
            satellite.qualified = format!("{}.{}", schemas.vault, satellite.name);
        }
        self
    }

    /// The plan with a secret for the hash keys of hubs and links.
    #[must_use]
    pub fn with_key_secret(self, key_secret: Option<Secret>) -> Self {
        Self { key_secret, ..self }
    }

    /// The plan with columns that satellites have grown and that the model does not name. A column that the model names
    /// meanwhile stays as the model says.
    #[must_use]
    pub fn grown(&self, columns: &[GrownColumn]) -> Self {
        let mut model = self.model.clone();
        for grown in columns {
            let Some(table) = self.tables.find_id(|table| table.topic == grown.topic) else {
                continue;
            };
            let table = &mut model.tables[table];
            let is_known = table.columns.iter().any(|column| column.name == grown.column);
            let satellite = table.satellites.iter_mut().find(|held| held.name == grown.satellite);
            let (Some(satellite), Some(kind), false) =
                (satellite, ColumnType::parse(&grown.kind), is_known)
            else {
                continue;
            };
            let column = table.columns.push(Column {
                name: grown.column.clone(),
                kind,
                stored_as: None,
                comment: String::new(),
            });
            table.added_later.push(column);
            satellite.columns.push(column);
        }
        Self::new(model).with_key_secret(self.key_secret.clone()).in_schemas(self.schemas)
    }

    /// The satellite that takes in the new columns of a table: its first one that is historized. A column that comes
    /// later would change the versions of a satellite that is not.
    #[must_use]
    pub fn growing_satellite(&self, table: TableId) -> Option<&str> {
        let mut satellites = self.model.tables[table].satellites.iter();
        satellites.find(|satellite| satellite.is_historized).map(|found| found.name.as_str())
    }

    /// Name of the source whose own numbers a hub's keys are.
    #[must_use]
    pub fn hub_scope(&self, hub: HubId) -> Option<&str> {
        match self.model.hubs[hub].scope {
            HubScope::Shared => None,
            HubScope::Source => Some(self.model.source.key_scope()),
        }
    }

    /// The satellite that holds a table's status.
    ///
    /// # Panics
    /// Never: every table has one.
    #[must_use]
    pub fn status_of(&self, table: TableId) -> SatelliteId {
        let mut satellites = self.tables[table].satellites.iter().copied();
        satellites
            .find(|&id| self.satellites[id].kind == SatelliteKind::Status)
            .expect("every table has a status satellite")
    }

    /// Names and types of a satellite's own columns, behind the technical ones.
    #[must_use]
    pub fn payload(&self, satellite: &SatellitePlan) -> Vec<(String, PayloadType)> {
        match &satellite.kind {
            SatelliteKind::Descriptive { columns, .. } => columns
                .iter()
                .map(|&column| &self.model.tables[satellite.table].columns[column])
                .map(|column| (column.vault_name().to_owned(), PayloadType::Column(column.kind)))
                .collect(),
            SatelliteKind::Status => {
                let types = [PayloadType::Letter, PayloadType::Flag, PayloadType::Position];
                STATUS_COLUMNS.map(str::to_owned).into_iter().zip(types).collect()
            }
            SatelliteKind::Tracking => {
                let types = [PayloadType::Operation, PayloadType::Position];
                TRACKING_COLUMNS.map(str::to_owned).into_iter().zip(types).collect()
            }
            SatelliteKind::Effectivity { .. } => {
                vec![(EFFECTIVITY_COLUMN.to_owned(), PayloadType::Key)]
            }
        }
    }
}

/// The hubs of a table's parent link that its hash key is not made of, in the order of the columns' names.
fn hashed_roles(table: &Table) -> Vec<(String, usize)> {
    let Parent::Link(link) = table.parent else { return Vec::new() };
    let link = &table.links[link];
    let mut roles: Vec<(String, usize)> = table
        .carried
        .iter()
        .filter_map(|column| match column.from {
            CarriedFrom::Role(place) => Some((column.name.clone(), place)),
            CarriedFrom::Value { .. } => None,
        })
        .filter(|(_, place)| !link.keyed.contains(&link.bindings[*place]))
        .collect();
    roles.sort();
    roles
}

impl CarriedColumn {
    /// Its type in the vault.
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        match self.from {
            CarriedFrom::Role(_) => PayloadType::Key,
            CarriedFrom::Value { kind, .. } => PayloadType::Column(kind),
        }
    }
}

/// Type of a satellite's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadType {
    /// a source column's
    Column(ColumnType),
    /// one letter of an operation that changed a status
    Letter,
    /// one letter of an operation on a row
    Operation,
    /// a boolean
    Flag,
    /// a log position
    Position,
    /// a hash key
    Key,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

    #[test]
    fn a_satellite_that_is_not_historized_grows_no_column() {
        let growing = |model: &str, table: &str| {
            let plan = Plan::new(model::parse(model).unwrap());
            let table = plan.model.tables.find_id(|found| found.name == table).unwrap();
            plan.growing_satellite(table).map(str::to_owned)
        };
        let fix = |satellite: &str| {
            let name = format!("name = \"{satellite}\"\n");
            assert!(AIRLINE.contains(&name));
            AIRLINE.replacen(&name, &format!("{name}historized = false\n"), 1)
        };
        assert_eq!(growing(AIRLINE, "flights").unwrap(), "sat_flight_schedules");
        let fixed = fix("sat_flight_schedules");
        assert_eq!(growing(&fixed, "flights").unwrap(), "sat_flight_operations");
        assert_eq!(growing(&fix("sat_seats"), "seats"), None);
    }
}
