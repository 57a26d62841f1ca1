//! The shape of a model file, exactly as its author writes it.
//!
//! TOML in, structs of names out; unknown keys are refused here, meaning is checked in `resolve`.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) format_version: u32,
    pub(super) source: Source,
    #[serde(default, rename = "hub")]
    pub(super) hubs: Vec<Hub>,
    #[serde(default, rename = "link")]
    pub(super) links: Vec<Link>,
    #[serde(default, rename = "table")]
    pub(super) tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) schema: String,
    pub(super) system_id: i16,
    pub(super) comment: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    #[default]
    Shared,
    Source,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hub {
    pub(super) name: String,
    pub(super) comment: String,
    #[serde(default)]
    pub(super) scope: Scope,
    pub(super) key: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRole {
    pub(super) role: String,
    pub(super) hub: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) hubs: Vec<LinkRole>,
    #[serde(default)]
    pub(super) dependent_key: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HubBinding {
    pub(super) role: Option<String>,
    pub(super) hub: String,
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkBinding {
    pub(super) link: String,
    #[serde(default)]
    pub(super) dependent_key: Vec<String>,
    pub(super) effectivity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Satellite {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) key: Vec<String>,
    pub(super) parent: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) hubs: Vec<HubBinding>,
    #[serde(default)]
    pub(super) links: Vec<LinkBinding>,
    pub(super) columns: toml::Table,
    #[serde(default)]
    pub(super) added_later: Vec<String>,
    #[serde(default, rename = "satellite")]
    pub(super) satellites: Vec<Satellite>,
}
