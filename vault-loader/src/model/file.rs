//! The shape of a model file, exactly as its author writes it.
//!
//! In: TOML. Out: structs of names. Unknown keys are refused here. `resolve` checks what the names mean.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::types::HubScope;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelFile {
    pub(super) format_version: u32,
    pub(super) source: SourceEntry,
    #[serde(default, rename = "hub")]
    pub(super) hubs: Vec<HubEntry>,
    #[serde(default, rename = "link")]
    pub(super) links: Vec<LinkEntry>,
    #[serde(default, rename = "table")]
    pub(super) tables: Vec<TableEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceEntry {
    pub(super) name: String,
    pub(super) schema: String,
    pub(super) system_id: i16,
    pub(super) comment: Option<String>,
    pub(super) topic_prefix: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnEntry {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HubKeyEntry {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) fold: bool,
}

impl HubKeyEntry {
    /// The column without what only a hub's key can say.
    pub(super) fn column(&self) -> ColumnEntry {
        ColumnEntry { name: self.name.clone(), kind: self.kind.clone() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HubEntry {
    pub(super) name: String,
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) scope: HubScope,
    pub(super) key: Vec<HubKeyEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRoleEntry {
    pub(super) role: String,
    pub(super) hub: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkEntry {
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) hubs: Vec<LinkRoleEntry>,
    #[serde(default)]
    pub(super) dependent_key: Vec<ColumnEntry>,
}

/// A column of a table: its type alone, or with what else is to be said about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableColumnEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// name in the vault, where it cannot be the source's
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

/// A column that a hub's key is made of, as it is or cast to the key's type.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum BoundColumnEntry {
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CastColumnEntry {
    pub(super) column: String,
    pub(super) cast: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HubBindingEntry {
    pub(super) role: Option<String>,
    pub(super) hub: String,
    pub(super) columns: Vec<BoundColumnEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkBindingEntry {
    pub(super) link: String,
    #[serde(default)]
    pub(super) dependent_key: Vec<String>,
    pub(super) effectivity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SatelliteEntry {
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableEntry {
    pub(super) name: String,
    /// schema at the source, where it is not that of `source.schema`
    #[serde(default)]
    pub(super) schema: Option<String>,
    pub(super) key: Vec<String>,
    pub(super) parent: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) hubs: Vec<HubBindingEntry>,
    #[serde(default)]
    pub(super) links: Vec<LinkBindingEntry>,
    pub(super) columns: toml::Table,
    /// what columns hold, for readers of the views
    #[serde(default)]
    pub(super) comments: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) added_later: Vec<String>,
    #[serde(default)]
    pub(super) also_named: BTreeMap<String, Vec<String>>,
    #[serde(default, rename = "satellite")]
    pub(super) satellites: Vec<SatelliteEntry>,
}
