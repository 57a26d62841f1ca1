//! The shape of a model file, exactly as its author writes it.
//!
//! In: TOML. Out: structs of names. Unknown keys are refused here. `resolve` checks what the names mean. The comments
//! of the types and fields below are the descriptions in the JSON Schema that [`super::json_schema`] makes, so they
//! speak to the author of a model.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::HubScope;

/// A Data Vault over the tables of one source: which hubs, links and satellites each table feeds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelFile {
    /// Version of this format.
    #[schemars(extend("const" = super::FORMAT_VERSION))]
    pub(super) format_version: u32,
    /// The system whose tables are captured.
    pub(super) source: SourceEntry,
    /// The hubs.
    #[serde(default, rename = "hub")]
    pub(super) hubs: Vec<HubEntry>,
    /// The references: codes by which people join, each with a history and without a hub.
    #[serde(default, rename = "reference")]
    pub(super) references: Vec<ReferenceEntry>,
    /// The links.
    #[serde(default, rename = "link")]
    pub(super) links: Vec<LinkEntry>,
    /// The source's tables: at least one.
    #[serde(default, rename = "table")]
    #[schemars(length(min = 1))]
    pub(super) tables: Vec<TableEntry>,
    /// When snapshots are taken and how long they are kept. Needed where the model has a point-in-time table or a
    /// bridge.
    pub(super) snapshots: Option<SnapshotsEntry>,
    /// The point-in-time tables.
    #[serde(default, rename = "pit")]
    pub(super) pits: Vec<PitEntry>,
    /// The bridges.
    #[serde(default, rename = "bridge")]
    pub(super) bridges: Vec<BridgeEntry>,
}

/// The system whose tables are captured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceEntry {
    /// The source's own name in the warehouse: part of hash keys that are scoped by source, and of every
    /// record_source. Letters, digits, '.', '_' and '-'.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub(super) name: String,
    /// Schema of the tables that name no other one.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub(super) schema: String,
    /// The source's number in the warehouse, the value of source_system_id. Each source has another one; 0 is the
    /// warehouse itself.
    #[schemars(range(min = 1))]
    pub(super) system_id: i16,
    /// Name of the source whose own numbers this source's keys are, where both capture tables of one database: hash
    /// keys that are scoped by source are made with that name instead of this source's.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub(super) keys_of: Option<String>,
    /// What the system is.
    pub(super) comment: Option<String>,
    /// The connector's topic.prefix, where it is not the source's name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub(super) topic_prefix: Option<String>,
}

/// A key column in the vault.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnEntry {
    /// Name of the column in the vault.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// Type at the source, as PostgreSQL prints it: integer, numeric(10,2), timestamptz, text[].
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A key column of a hub.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubKeyEntry {
    /// Name of the column in the vault.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// Type at the source, as PostgreSQL prints it: integer, numeric(10,2), timestamptz, text[].
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Whether spellings that differ in case, in blanks at the ends or in Unicode form are one key. For text only.
    #[serde(default)]
    pub(super) fold: bool,
}

impl HubKeyEntry {
    /// The column without what only a hub's key can say.
    pub(super) fn column(&self) -> ColumnEntry {
        ColumnEntry { name: self.name.clone(), kind: self.kind.clone() }
    }
}

/// A business concept known by its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubEntry {
    /// Name of the table in the vault: hub_….
    #[schemars(regex(pattern = r"^hub_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it stands for.
    pub(super) comment: Option<String>,
    /// Who shares the keys.
    #[serde(default)]
    pub(super) scope: HubScope,
    /// The key's columns. Their order is part of the hash key.
    #[schemars(length(min = 1))]
    pub(super) key: Vec<HubKeyEntry>,
}

/// A list of codes, such as currencies or countries. It has no table: the satellites hold the code itself, and people
/// join by the code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferenceEntry {
    /// Name of the reference: ref_….
    #[schemars(regex(pattern = r"^ref_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it lists.
    pub(super) comment: Option<String>,
    /// The code's columns. Their order is part of the hash key.
    #[schemars(length(min = 1))]
    pub(super) key: Vec<ColumnEntry>,
}

/// One end of a link.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRoleEntry {
    /// What the hub is in this link; names the column, which ends with _hash_key.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]*$"), length(max = 54))]
    pub(super) role: String,
    /// The hub.
    pub(super) hub: String,
}

/// A relationship between hubs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkEntry {
    /// Name of the table in the vault: link_….
    #[schemars(regex(pattern = r"^link_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it states.
    pub(super) comment: Option<String>,
    /// The hubs, each with its role. Their order is part of the hash key.
    pub(super) hubs: Vec<LinkRoleEntry>,
    /// Key columns that no hub has.
    #[serde(default)]
    pub(super) dependent_key: Vec<ColumnEntry>,
    /// Whether its rows are events that never change. The link's table then holds the attributes as well: the one table
    /// that has it as its parent has one satellite, with the link's name.
    #[serde(default)]
    pub(super) non_historized: bool,
}

/// A column of a table: its type alone, or with what else is to be said about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TableColumnEntry {
    /// Type at the source, as PostgreSQL prints it: integer, numeric(10,2), timestamptz, text[].
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Name in the vault, where it cannot be the source's.
    #[serde(default)]
    pub(super) stored_as: Option<String>,
}

impl TableColumnEntry {
    /// Reads `"type"` or `{ type = "type", … }`.
    pub(super) fn read(value: &toml::Value) -> Result<Self, toml::de::Error> {
        match value.as_str() {
            Some(kind) => Ok(Self { kind: kind.to_owned(), stored_as: None }),
            None => value.clone().try_into(),
        }
    }
}

/// What [`TableColumnEntry::read`] takes, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes values and is never one")]
enum TableColumnShape {
    /// Type at the source, as PostgreSQL prints it: integer, numeric(10,2), timestamptz, text[].
    Kind(String),
    Entry(TableColumnEntry),
}

/// A column that a hub's key is made of, as it is or cast to the key's type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum BoundColumnEntry {
    /// Name of the column.
    Plain(String),
    Cast(CastColumnEntry),
}

impl BoundColumnEntry {
    /// The column's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Plain(name) => name,
            Self::Cast(cast) => &cast.column,
        }
    }
}

/// A column whose values are cast to the type of the hub's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CastColumnEntry {
    /// Name of the column.
    pub(super) column: String,
    /// The type of the hub's key. Only casts are taken that every value survives.
    pub(super) cast: String,
}

/// Where a table names a hub.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubBindingEntry {
    /// What the hub is for this table; the hub's name when it is left out.
    pub(super) role: Option<String>,
    /// The hub, or the reference that is the table's parent.
    pub(super) hub: String,
    /// The table's columns that hold the hub's key, in the hub's order.
    pub(super) columns: Vec<BoundColumnEntry>,
}

/// A link that a table states.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkBindingEntry {
    /// The link.
    pub(super) link: String,
    /// The table's columns that hold the link's dependent key, in the link's order.
    #[serde(default)]
    pub(super) dependent_key: Vec<String>,
    /// Satellite that says which link row holds from when: sat_…. Needed unless the row's key determines the link.
    #[schemars(regex(pattern = r"^sat_[a-z0-9_]*$"), length(max = 63))]
    pub(super) effectivity: Option<String>,
}

/// Attributes with a history.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SatelliteEntry {
    /// Name of the table in the vault: sat_…. The satellite that is the table of a non-historized link has the link's
    /// name.
    #[schemars(regex(pattern = r"^(sat|link)_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it holds.
    pub(super) comment: Option<String>,
    /// The source table's columns that it holds.
    #[schemars(length(min = 1))]
    pub(super) columns: Vec<String>,
    /// Whether a key can have several versions. With false a key has one version for ever, and an event with other
    /// values goes to the quarantine.
    #[serde(default = "historized")]
    pub(super) historized: bool,
}

/// A satellite has a history unless its author says otherwise.
fn historized() -> bool {
    true
}

/// A source table and all that it feeds. It accounts for every one of its columns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TableEntry {
    /// Name at the source.
    pub(super) name: String,
    /// Schema at the source, where it is not that of source.schema.
    #[serde(default)]
    pub(super) schema: Option<String>,
    /// Columns of the primary key.
    pub(super) key: Vec<String>,
    /// The hub, reference or link that the row's primary key determines. The table's satellites hang on it.
    pub(super) parent: String,
    /// Columns of the primary key that tell several rows of one key of the parent apart, beside the columns that hold
    /// the parent's key. The parent is a hub.
    #[serde(default)]
    pub(super) multi_active: Vec<String>,
    /// Satellite that says whether the row exists: sat_….
    #[schemars(regex(pattern = r"^sat_[a-z0-9_]*$"), length(max = 63))]
    pub(super) status: String,
    /// Satellite that has a row for each event of a row, also for those that change nothing: sat_….
    #[schemars(regex(pattern = r"^sat_[a-z0-9_]*$"), length(max = 63))]
    pub(super) tracking: Option<String>,
    /// Where a row names hubs.
    #[serde(default)]
    pub(super) hubs: Vec<HubBindingEntry>,
    /// The links that a row states.
    #[serde(default)]
    pub(super) links: Vec<LinkBindingEntry>,
    /// Every column of the table, by name.
    #[schemars(with = "BTreeMap<String, TableColumnShape>")]
    pub(super) columns: toml::Table,
    /// What columns hold, by name, for readers of the views.
    #[serde(default)]
    pub(super) comments: BTreeMap<String, String>,
    /// Columns that older events lack: there they are NULL.
    #[serde(default)]
    pub(super) added_later: Vec<String>,
    /// Columns of events that the vault does not take in.
    #[serde(default)]
    pub(super) ignored: Vec<String>,
    /// For a column that the source renamed, the other names that it has in events.
    #[serde(default)]
    pub(super) also_named: BTreeMap<String, Vec<String>>,
    /// The satellites that hold the row's attributes.
    #[serde(default, rename = "satellite")]
    pub(super) satellites: Vec<SatelliteEntry>,
}

/// The calendar of snapshots.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotsEntry {
    /// Time zone of the calendar, by its name in the IANA database: Europe/Moscow, UTC.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    pub(super) time_zone: String,
    /// Times of the day at which snapshots are taken, as HH:MM. The first one of a day is the one that is kept for
    /// weeks, months and years.
    #[schemars(length(min = 1))]
    pub(super) times: Vec<String>,
    /// For how many days every snapshot is kept, the newest one's day among them.
    #[schemars(range(min = 1))]
    pub(super) keep_days: u16,
    /// For how many weeks the first snapshot of each Monday is kept.
    #[serde(default)]
    pub(super) keep_weeks: u16,
    /// For how many months the first snapshot of each month is kept.
    #[serde(default)]
    pub(super) keep_months: u16,
    /// For how many years the first snapshot of each year is kept.
    #[serde(default)]
    pub(super) keep_years: u16,
}

/// A point-in-time table: which version of each satellite held for each key at each snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PitEntry {
    /// Name of the table in the schema dwh_business: pit_….
    #[schemars(regex(pattern = r"^pit_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it is for.
    pub(super) comment: Option<String>,
    /// The hub or link whose keys it has.
    pub(super) parent: String,
    /// Satellites of the parent, of any kind: sat_….
    #[schemars(length(min = 1))]
    pub(super) satellites: Vec<String>,
}

/// A bridge: the chains of keys that links formed at each snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BridgeEntry {
    /// Name of the table in the schema dwh_business: bridge_….
    #[schemars(regex(pattern = r"^bridge_[a-z0-9_]*$"), length(max = 63))]
    pub(super) name: String,
    /// What it is for.
    pub(super) comment: Option<String>,
    /// A hub, a link of it, a further hub of that link, and so on; a hub at the end.
    #[schemars(length(min = 3))]
    pub(super) path: Vec<StepEntry>,
}

/// A hub or a link in a bridge's path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum StepEntry {
    /// Name of the hub or link.
    Plain(String),
    Link(LinkStepEntry),
}

/// A link in a bridge's path that names one of the hubs beside it in several roles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkStepEntry {
    /// The link.
    pub(super) link: String,
    /// Role of the hub that stands before it in the path.
    pub(super) from: Option<String>,
    /// Role of the hub that stands behind it.
    pub(super) to: Option<String>,
}
