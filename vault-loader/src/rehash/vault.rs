//! The vault of all sources together: which tables hold which hash keys.
//!
//! In: the plans of all sources. Out: hubs and links once each, whatever number of sources feeds them, and every
//! satellite with what it hangs on. The models of a warehouse agree about what they share, because `migrate` refuses
//! them otherwise.

use std::collections::HashMap;

use shared::secret::Secret;

use crate::model::{
    Column, ColumnType, HubScope, Model, Parent, Plan, SatelliteKind, Table, VAULT_SCHEMA, ident,
};

/// What hash keys were made with, and what they are made with from now on.
pub(super) struct Secrets {
    pub(super) before: Option<Secret>,
    pub(super) after: Option<Secret>,
}

/// A column whose value is part of a hash key.
pub(super) struct KeyColumn {
    /// the name as it stands in statements
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) folded: bool,
}

/// What the keys of a hub are made of.
pub(super) struct HubKeys {
    pub(super) name: String,
    /// whether the name of the source is part of a key
    pub(super) is_of_source: bool,
    pub(super) columns: Vec<KeyColumn>,
}

/// What the keys of a link are made of.
pub(super) struct LinkKeys {
    pub(super) name: String,
    /// the columns of the hubs' keys, each with its hub's number
    pub(super) roles: Vec<(String, usize)>,
    pub(super) columns: Vec<KeyColumn>,
}

/// A hub or a link, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Hub(usize),
    Link(usize),
}

impl Place {
    /// The temporary table that has the new key beside each old one.
    pub(super) fn staged(self) -> String {
        match self {
            Self::Hub(number) => format!("pg_temp.new_hub_{number}"),
            Self::Link(number) => format!("pg_temp.new_link_{number}"),
        }
    }
}

/// A table with versions, and what its keys are.
pub(super) struct SatelliteKeys {
    pub(super) name: String,
    pub(super) parent: Place,
    /// the link whose rows an effectivity satellite names
    pub(super) link: Option<Place>,
}

/// A table of a source, and what its histories hang on.
pub(super) struct FedTable {
    /// place of its source among the plans
    pub(super) plan: usize,
    pub(super) topic: String,
    pub(super) record_source: String,
    pub(super) parent: Place,
}

/// All of it.
#[derive(Default)]
pub(super) struct Vault {
    pub(super) hubs: Vec<HubKeys>,
    pub(super) links: Vec<LinkKeys>,
    pub(super) satellites: Vec<SatelliteKeys>,
    pub(super) tables: Vec<FedTable>,
    /// for the source with this number, the name that its scoped hash keys are made with
    pub(super) sources: HashMap<i16, String>,
}

impl Vault {
    pub(super) fn new(plans: &[Plan]) -> Self {
        let mut vault = Self::default();
        for (number, plan) in plans.iter().enumerate() {
            vault.add_keys(&plan.model);
            vault.add_histories(number, plan);
            let source = &plan.model.source;
            vault.sources.insert(source.system_id, source.key_scope().to_owned());
        }
        vault
    }

    /// The vault's tables, with their schema.
    pub(super) fn all(&self) -> Vec<String> {
        let hubs = self.hubs.iter().map(|hub| &hub.name);
        let links = self.links.iter().map(|link| &link.name);
        let satellites = self.satellites.iter().map(|satellite| &satellite.name);
        let names = hubs.chain(links).chain(satellites);
        names.map(|name| format!("{VAULT_SCHEMA}.{name}")).collect()
    }

    /// Whether there is a hub of this name.
    pub(super) fn has_hub(&self, name: &str) -> bool {
        self.hub(name).is_some()
    }

    /// Whether a link's rows are named by an effectivity satellite.
    pub(super) fn has_effectivity(&self, link: usize) -> bool {
        self.satellites.iter().any(|satellite| satellite.link == Some(Place::Link(link)))
    }

    fn add_keys(&mut self, model: &Model) {
        for hub in &model.hubs {
            if self.hubs.iter().any(|known| known.name == hub.name) {
                continue;
            }
            let columns = hub.key.iter().zip(&hub.folded);
            self.hubs.push(HubKeys {
                name: hub.name.clone(),
                is_of_source: hub.scope == HubScope::Source,
                columns: columns.map(|(column, folded)| key_column(column, *folded)).collect(),
            });
        }
        for link in &model.links {
            if self.links.iter().any(|known| known.name == link.name) {
                continue;
            }
            let hub = |role: &crate::model::LinkRole| self.hub(&model.hubs[role.hub].name);
            let role = |role: &crate::model::LinkRole| {
                Some((ident(&role.column()).into_owned(), hub(role)?))
            };
            self.links.push(LinkKeys {
                name: link.name.clone(),
                roles: link.roles.iter().filter_map(role).collect(),
                columns: link.dependent_key.iter().map(|c| key_column(c, false)).collect(),
            });
        }
    }

    fn add_histories(&mut self, number: usize, plan: &Plan) {
        let model = &plan.model;
        for satellite in &plan.satellites {
            let table = &model.tables[satellite.table];
            let link = match satellite.kind {
                SatelliteKind::Effectivity { link } => {
                    self.link(&model.links[table.links[link].link].name)
                }
                SatelliteKind::Descriptive { .. }
                | SatelliteKind::Status
                | SatelliteKind::Tracking => None,
            };
            let Some(parent) = self.parent(model, table) else { continue };
            self.satellites.push(SatelliteKeys { name: satellite.name.clone(), parent, link });
        }
        for (id, projection) in plan.tables.with_ids() {
            let Some(parent) = self.parent(model, &model.tables[id]) else { continue };
            self.tables.push(FedTable {
                plan: number,
                topic: projection.topic.clone(),
                record_source: projection.record_source.clone(),
                parent,
            });
        }
    }

    fn parent(&self, model: &Model, table: &Table) -> Option<Place> {
        match table.parent {
            Parent::Hub(binding) => {
                self.hub(&model.hubs[table.hubs[binding].hub].name).map(Place::Hub)
            }
            Parent::Link(binding) => self.link(&model.links[table.links[binding].link].name),
        }
    }

    fn hub(&self, name: &str) -> Option<usize> {
        self.hubs.iter().position(|hub| hub.name == name)
    }

    fn link(&self, name: &str) -> Option<Place> {
        self.links.iter().position(|link| link.name == name).map(Place::Link)
    }
}

fn key_column(column: &Column, folded: bool) -> KeyColumn {
    KeyColumn { name: ident(&column.name).into_owned(), kind: column.kind, folded }
}
