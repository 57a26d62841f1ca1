//! The validated model: plain data with ids instead of names.
//!
//! [`super::parse`] alone builds it, and every later stage reads it. Every id is in range, every list is in the order
//! in which the model's author wrote it, and that order is part of the hash keys.

use chrono::NaiveTime;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::debezium::topic::topic_name;

use super::ids::{ColumnId, HubBindingId, HubId, IdVec, LinkBindingId, LinkId, TableId};
use super::{Cast, ColumnType};

/// A named, typed column of a source table, hub key or dependent child key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// name in the source, or of a key's column in the vault
    pub name: String,
    /// name in the vault, where it is not the source's
    pub stored_as: Option<String>,
    /// type in the source
    pub kind: ColumnType,
    /// what it holds, for readers of the views; empty when nothing is said
    pub comment: String,
}

impl Column {
    /// Name in the vault. A hashdiff is made with this name, so it stays when a column gets another name at the source.
    #[must_use]
    pub fn vault_name(&self) -> &str {
        self.stored_as.as_deref().unwrap_or(&self.name)
    }
}

/// A model file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelText {
    /// where it is; names it in messages
    pub path: String,
    /// its text
    pub text: String,
}

/// The system whose tables are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSystem {
    /// the source's own name: part of every record source, and of scoped hash keys unless `keys_of` names another one
    pub name: String,
    /// what the topics' names begin with: the connector's `topic.prefix`
    pub topic_prefix: String,
    /// schema of the tables that name no other one
    pub schema: String,
    /// value of `source_system_id`
    pub system_id: i16,
    /// the source whose own numbers the keys are, where it is another one
    pub keys_of: Option<String>,
    /// what the system is
    pub comment: String,
}

impl SourceSystem {
    /// The name that hash keys of hubs with the scope `source` are made with.
    #[must_use]
    pub fn key_scope(&self) -> &str {
        self.keys_of.as_deref().unwrap_or(&self.name)
    }
}

/// Who shares a hub's keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HubScope {
    /// the same key means the same thing in every source
    #[default]
    Shared,
    /// the key is this source's own number, or that of the source which keys_of names
    Source,
}

/// A business concept known by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// table name, `hub_…`
    pub name: String,
    /// what it stands for
    pub comment: String,
    /// who shares the keys
    pub scope: HubScope,
    /// key columns in hash order
    pub key: Vec<Column>,
    /// for each key column, whether spellings that differ in case, in blanks at the ends or in Unicode form are one key
    pub folded: Vec<bool>,
    /// whether it is a reference: its key stands in the satellites that hang on it, and it has no table
    pub is_carried: bool,
}

impl Hub {
    /// Whether several spellings can be one key of this hub.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.folded.contains(&true)
    }
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRole {
    /// what the hub is in this link; names the column `<role>_hash_key`
    pub role: String,
    /// the hub
    pub hub: HubId,
}

impl LinkRole {
    /// Name of the column that holds the hub's hash key.
    #[must_use]
    pub fn column(&self) -> String {
        format!("{}_hash_key", self.role)
    }
}

/// Where the rows of a link stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// in a table of its own, which all sources share
    Ordinary,
    /// in the one satellite of the one table that feeds it, which has the link's name; a row never changes
    NonHistorized,
    /// in the satellites of one multi-active table: the rows of a hub's key, told apart by the dependent key; it has no
    /// table, and its name is no table's
    MultiActive,
}

/// A relationship between hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// table name, `link_…`
    pub name: String,
    /// what it states
    pub comment: String,
    /// the hubs in hash order
    pub roles: Vec<LinkRole>,
    /// key values that no hub has, in hash order
    pub dependent_key: Vec<Column>,
    /// where its rows stand
    pub kind: LinkKind,
}

impl Link {
    /// Whether its key stands in satellites, and nothing is written for the link itself.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.kind != LinkKind::Ordinary
    }

    /// Whether the vault has a table of its name, with a row for each key.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.kind != LinkKind::MultiActive
    }
}

/// Where a source table names a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubBinding {
    /// what the hub is for this table
    pub role: String,
    /// the hub
    pub hub: HubId,
    /// the table's columns that hold the hub's key, in the hub's order
    pub columns: Vec<ColumnId>,
    /// for each of them, how its values become those of the hub's key
    pub casts: Vec<Cast>,
}

/// A link that a source table states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkBinding {
    /// the link
    pub link: LinkId,
    /// for each role of the link, the table's hub binding that stands there
    pub bindings: Vec<HubBindingId>,
    /// those of them that the link's hash key is made of: all, but in a non-historized link only those that the row's
    /// primary key determines, because a delete names nothing else
    pub keyed: Vec<HubBindingId>,
    /// the table's columns that hold the dependent child key
    pub dependent_key: Vec<ColumnId>,
    /// satellite that says which link row holds from when; none when the row's key determines the link
    pub effectivity: Option<String>,
}

/// Where a satellite's column of its parent's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedFrom {
    /// the hash key of the hub in this role of the parent, counted from 0
    Role(usize),
    /// a column of the source's table, as the type of the parent's key
    Value {
        /// the column
        column: ColumnId,
        /// how its values become those of the key
        cast: Cast,
        /// the key's type
        kind: ColumnType,
    },
}

/// A column of the parent's key that satellites hold, because the parent has no table. Its values are the same in all
/// versions of a key, so it is no part of a hashdiff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedColumn {
    /// name in the vault
    pub name: String,
    /// where its values come from
    pub from: CarriedFrom,
    /// what it holds
    pub comment: String,
}

/// What a table's histories hang on: the hub or link that the row's primary key determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// the hub of this hub binding of the table
    Hub(HubBindingId),
    /// the link of this link binding of the table
    Link(LinkBindingId),
}

/// Attributes with a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Satellite {
    /// table name, `sat_…`
    pub name: String,
    /// what it holds
    pub comment: String,
    /// the table's columns that it holds
    pub columns: Vec<ColumnId>,
    /// whether a key can have several versions
    pub is_historized: bool,
}

/// A source table and all that it feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// schema in the source
    pub schema: String,
    /// name in the source
    pub name: String,
    /// how messages call it: by its name, and with its schema where that is not the source's usual one
    pub label: String,
    /// every column of the source table
    pub columns: IdVec<ColumnId, Column>,
    /// the primary key's columns
    pub key: Vec<ColumnId>,
    /// columns that older events lack: there they are NULL
    pub added_later: Vec<ColumnId>,
    /// other names that columns have in events, because the source renamed them
    pub also_named: Vec<(String, ColumnId)>,
    /// columns of events that the vault does not take in
    pub ignored: Vec<String>,
    /// the hubs that a row names
    pub hubs: IdVec<HubBindingId, HubBinding>,
    /// the links that a row states
    pub links: IdVec<LinkBindingId, LinkBinding>,
    /// what the satellites hang on
    pub parent: Parent,
    /// the parent's key, where the parent has no table of its own; none otherwise
    pub carried: Vec<CarriedColumn>,
    /// status satellite: whether the row exists
    pub status: String,
    /// record-tracking satellite, if there is one: the events of the row
    pub tracking: Option<String>,
    /// descriptive satellites
    pub satellites: Vec<Satellite>,
}

/// For how long the snapshots of a calendar are kept, counted back from the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// days of which every snapshot is kept
    pub days: u16,
    /// weeks of which the first snapshot of Monday is kept
    pub weeks: u16,
    /// months of which the first snapshot of the first day is kept
    pub months: u16,
    /// years of which the first snapshot of the first day is kept
    pub years: u16,
}

/// When snapshots are taken, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// name of the time zone in which its times are meant
    pub time_zone: String,
    /// times of the day, in order; at least one
    pub times: Vec<NaiveTime>,
    /// how long snapshots are kept
    pub keep: Keep,
}

/// A hub or a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// this hub
    Hub(HubId),
    /// this link
    Link(LinkId),
}

/// A point-in-time table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pit {
    /// table name, `pit_…`
    pub name: String,
    /// what it is for
    pub comment: String,
    /// whose keys it has
    pub parent: Entity,
    /// names of the parent's satellites that it points into
    pub satellites: Vec<String>,
}

/// A link in a bridge's path, and the hub behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// the link
    pub link: LinkId,
    /// place among the link's roles of the hub before it
    pub from: usize,
    /// place among the link's roles of the hub behind it
    pub to: usize,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// table name, `bridge_…`
    pub name: String,
    /// what it is for
    pub comment: String,
    /// the hub at which its path begins
    pub start: HubId,
    /// the path; at least one step
    pub steps: Vec<Step>,
}

/// What is built at each snapshot. Loading does not depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// when; there is one where anything is to be built
    pub calendar: Option<Calendar>,
    /// point-in-time tables in file order
    pub pits: Vec<Pit>,
    /// bridges in file order
    pub bridges: Vec<Bridge>,
}

/// A whole model, valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// the captured system
    pub source: SourceSystem,
    /// hubs in file order
    pub hubs: IdVec<HubId, Hub>,
    /// links in file order
    pub links: IdVec<LinkId, Link>,
    /// tables in file order
    pub tables: IdVec<TableId, Table>,
    /// what is built at each snapshot
    pub snapshots: Snapshots,
}

impl Table {
    /// The hub bindings that the parent's hash key needs.
    #[must_use]
    pub fn parent_bindings(&self) -> Vec<HubBindingId> {
        match self.parent {
            Parent::Hub(binding) => vec![binding],
            Parent::Link(link) => self.links[link].keyed.clone(),
        }
    }

    /// Whether a key can have several versions in the satellite of this name.
    #[must_use]
    pub fn is_historized(&self, satellite: &str) -> bool {
        self.satellites.iter().all(|held| held.is_historized || held.name != satellite)
    }

    /// The names of its satellites: descriptive ones, the status, record tracking, and those of effectivity.
    pub fn satellite_names(&self) -> impl Iterator<Item = &str> {
        let effectivity = self.links.iter().filter_map(|link| link.effectivity.as_deref());
        let described = self.satellites.iter().map(|satellite| satellite.name.as_str());
        described.chain([self.status.as_str()]).chain(self.tracking.as_deref()).chain(effectivity)
    }

    /// Whether both are the same table of the source: the same schema and the same name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.schema == other.schema && self.name == other.name
    }
}

impl Model {
    /// Kafka topic of a table.
    #[must_use]
    pub fn topic(&self, table: &Table) -> String {
        topic_name(&self.source.topic_prefix, &table.schema, &table.name)
    }

    /// The `record_source` of everything that a table feeds. The topics' prefix is no part of it, so that another
    /// prefix changes no stored row.
    #[must_use]
    pub fn record_source(&self, table: &Table) -> String {
        topic_name(&self.source.name, &table.schema, &table.name)
    }

    /// Name of a hub or link.
    #[must_use]
    pub fn entity_name(&self, entity: Entity) -> &str {
        match entity {
            Entity::Hub(hub) => &self.hubs[hub].name,
            Entity::Link(link) => &self.links[link].name,
        }
    }

    /// The link that a table's satellites hang on, unless they hang on a hub.
    #[must_use]
    pub fn parent_link(&self, table: &Table) -> Option<&Link> {
        match table.parent {
            Parent::Hub(_) => None,
            Parent::Link(binding) => Some(&self.links[table.links[binding].link]),
        }
    }

    /// Whether the parent of a table has no table in the vault, so that all satellites hold its key.
    #[must_use]
    pub fn has_no_parent_table(&self, table: &Table) -> bool {
        match table.parent {
            Parent::Hub(binding) => self.hubs[table.hubs[binding].hub].is_carried,
            Parent::Link(binding) => !self.links[table.links[binding].link].has_table(),
        }
    }

    /// The satellite of a table that is the table of the non-historized link on which it hangs.
    #[must_use]
    pub fn is_link_table(&self, table: &Table, satellite: &str) -> bool {
        self.parent_link(table).is_some_and(|link| link.is_carried() && link.name == satellite)
    }

    /// Name of the hub or link that a table's satellites hang on.
    #[must_use]
    pub fn parent_name(&self, table: &Table) -> &str {
        match table.parent {
            Parent::Hub(binding) => &self.hubs[table.hubs[binding].hub].name,
            Parent::Link(binding) => &self.links[table.links[binding].link].name,
        }
    }
}
