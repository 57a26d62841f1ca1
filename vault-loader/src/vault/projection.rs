//! Turns changes of rows into vault rows: hub keys, link keys, and one candidate for each satellite.
//!
//! In: a stretch of decoded changes. Out: a [`Projection`]: each hub and link key once, by the first change of the
//! stretch that names it, and every satellite's candidates in arrival order. A delete names its own key only, so it
//! makes the rows of its parent and no others. Thus every key of a satellite has its row in a hub or link.
//!
//! References, multi-active rows and non-historized links have no row of their own: the satellites hold their keys. Of
//! these the projection keeps the hash keys of the hubs, for the candidates.

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashMapExt};

use super::cast::cast;
use super::hash::{Hash, Hasher, UNKNOWN};
use crate::batch::RecordId;
use crate::decode::{RowChange, RowOp, Value, ValueId, Values};
use crate::model::{
    ColumnId, HubBinding, HubBindingId, HubId, Id, IdVec, LinkBindingId, LinkId, Parent, Plan,
    SatelliteId, SatelliteKind, TableId, ids,
};

ids! {
    /// A hub's hash key in a row of a link: the first of the row, in the link's order of roles.
    RoleKeyId;
}

/// Where and when a hub's or link's key was named. A row keeps the mention that was loaded first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    /// load date, microseconds since the epoch
    pub load_date_us: i64,
    /// the source table, whose topic is the record source
    pub table: TableId,
}

/// A row that a mention makes.
pub trait Mentioned {
    /// The mention.
    fn mention(&self) -> Mention;
}

impl Mentioned for HubRow {
    fn mention(&self) -> Mention {
        self.mention
    }
}

impl Mentioned for LinkRow {
    fn mention(&self) -> Mention {
        self.mention
    }
}

/// A hub's row to be written unless its key is there.
#[derive(Debug, Clone, Copy)]
pub struct HubRow {
    /// what made it
    pub mention: Mention,
    /// the table's hub binding
    pub binding: HubBindingId,
    /// the source row's first value
    pub values: ValueId,
}

/// A link's row to be written unless its key is there.
#[derive(Debug, Clone, Copy)]
pub struct LinkRow {
    /// what made it
    pub mention: Mention,
    /// the table's link binding
    pub binding: LinkBindingId,
    /// the source row's first value
    pub values: ValueId,
    /// the first role's hash key
    pub roles: RoleKeyId,
}

/// What may become a version of a satellite's key.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// hash key of the parent
    pub key: Hash,
    /// the change
    pub change: RowChange,
    /// the record in its batch
    pub record: RecordId,
    /// hash key of the link row that holds now; only in effectivity satellites
    pub link: Hash,
    /// hash key of the parent that the row had before, when its event left out values that this parent's history holds
    pub moved_from: Option<Hash>,
    /// the hash keys of the parent's hubs, where satellites hold them; a delete knows those alone that the hash key is
    /// made of
    pub roles: RoleKeyId,
}

/// The vault rows of a stretch of changes.
#[derive(Debug, Default)]
pub struct Projection {
    /// by hub
    pub hubs: IdVec<HubId, HashMap<Hash, HubRow>>,
    /// by link
    pub links: IdVec<LinkId, HashMap<Hash, LinkRow>>,
    /// hash keys of link roles
    role_keys: IdVec<RoleKeyId, Hash>,
    /// by satellite of the plan, in arrival order
    pub satellites: IdVec<SatelliteId, Vec<Candidate>>,
}

impl Projection {
    /// The hubs' hash keys of a link row, in the link's order of roles.
    pub fn role_keys(&self, row: &LinkRow) -> impl Iterator<Item = &Hash> {
        self.role_keys.iter().skip(row.roles.to_index())
    }

    /// The hash key of the hub in a role, counted from 0, of the row to which these roles belong.
    #[must_use]
    pub fn role_key(&self, roles: RoleKeyId, place: usize) -> &Hash {
        &self.role_keys[RoleKeyId::from_index(roles.to_index() + place)]
    }
}

/// An unchanged TOASTed value cannot be part of a key, because it was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {0}, which a hub or link is made of, is an unchanged TOAST value")]
pub struct UnchangedKey(pub String);

/// Projects changes one after the other.
#[derive(Debug)]
pub struct Projector<'a> {
    plan: &'a Plan,
    values: &'a Values<'a>,
    hasher: Hasher,
    hub_keys: IdVec<HubBindingId, Hash>,
    link_keys: IdVec<LinkBindingId, Hash>,
    projection: Projection,
}

impl<'a> Projector<'a> {
    /// A projector over the values that the changes point into.
    #[must_use]
    pub fn new(plan: &'a Plan, values: &'a Values<'a>) -> Self {
        let projection = Projection {
            hubs: plan.model.hubs.map(|_| HashMap::new()),
            links: plan.model.links.map(|_| HashMap::new()),
            role_keys: IdVec::new(),
            satellites: plan.satellites.map(|_| Vec::new()),
        };
        let hasher = Hasher::with_secret(plan.key_secret.clone());
        Self { plan, values, hasher, hub_keys: IdVec::new(), link_keys: IdVec::new(), projection }
    }

    /// What was projected.
    #[must_use]
    pub fn finish(self) -> Projection {
        self.projection
    }

    /// Adds one change.
    ///
    /// # Errors
    /// When a value that a key is made of was left out of the event. Then nothing of the change was added.
    pub fn add(&mut self, change: &RowChange, record: RecordId) -> Result<(), UnchangedKey> {
        let whole = change.op != RowOp::Delete;
        let moved_from = match change.moved_from {
            None => None,
            Some(values) => {
                self.compute_keys(&RowChange { values, ..*change }, false)?;
                Some(self.parent_key(change.table))
            }
        };
        self.compute_keys(change, whole)?;
        self.add_hubs(change, whole);
        self.add_links(change, whole);
        let key = self.parent_key(change.table);
        let roles = self.carried_roles(change.table);
        for &satellite in &self.plan.tables[change.table].satellites {
            let link = match self.plan.satellites[satellite].kind {
                SatelliteKind::Status | SatelliteKind::Tracking => UNKNOWN,
                SatelliteKind::Descriptive { .. } if whole => UNKNOWN,
                SatelliteKind::Effectivity { link } if whole => self.link_keys[link],
                SatelliteKind::Descriptive { .. } | SatelliteKind::Effectivity { .. } => continue,
            };
            let candidate = Candidate { key, change: *change, record, link, moved_from, roles };
            self.projection.satellites[satellite].push(candidate);
        }
        Ok(())
    }

    /// The hash key to which a row's history belongs. Only the key's columns need values. `None` when the event left
    /// out a value of the key.
    pub fn parent(&mut self, table: TableId, row: ValueId) -> Option<Hash> {
        self.compute_keys(&RowChange::of_key(table, row), false).ok()?;
        Some(self.parent_key(table))
    }

    fn parent_key(&self, table: TableId) -> Hash {
        match self.plan.model.tables[table].parent {
            Parent::Hub(binding) => self.hub_keys[binding],
            Parent::Link(binding) => self.link_keys[binding],
        }
    }

    /// Keeps the hash keys of the parent's hubs, if satellites hold them.
    fn carried_roles(&mut self, table: TableId) -> RoleKeyId {
        let first = self.projection.role_keys.next_id();
        let table = &self.plan.model.tables[table];
        if let Parent::Link(id) = table.parent
            && self.plan.model.links[table.links[id].link].is_carried()
        {
            let roles = table.links[id].bindings.iter().map(|&role| self.hub_keys[role]);
            self.projection.role_keys.items_mut().extend(roles);
        }
        first
    }

    /// Fills `hub_keys` and `link_keys`. For a delete, only those that its own key determines are filled.
    fn compute_keys(&mut self, change: &RowChange, whole: bool) -> Result<(), UnchangedKey> {
        let table = &self.plan.model.tables[change.table];
        let parents = &self.plan.tables[change.table].parent_bindings;
        self.hub_keys.reset(&table.hubs, UNKNOWN);
        for (id, binding) in table.hubs.with_ids() {
            if whole || parents.contains(&id) {
                self.hub_keys[id] = self.hub_key(change, binding)?;
            }
        }
        self.link_keys.reset(&table.links, UNKNOWN);
        for id in table.links.ids() {
            if whole || table.parent == Parent::Link(id) {
                self.link_keys[id] = self.link_key(change, id)?;
            }
        }
        Ok(())
    }

    fn hub_key(&mut self, change: &RowChange, binding: &HubBinding) -> Result<Hash, UnchangedKey> {
        let mut known = false;
        self.hasher.hub(self.plan.hub_scope(binding.hub));
        let folded = &self.plan.model.hubs[binding.hub].folded;
        for ((&column, &to), &folded) in binding.columns.iter().zip(&binding.casts).zip(folded) {
            let value = cast(self.key_value(change, column)?, to);
            known |= *value != Value::Null;
            if folded {
                self.hasher.add_folded(&value);
            } else {
                self.hasher.add(&value);
            }
        }
        Ok(if known { self.hasher.finish() } else { UNKNOWN })
    }

    fn link_key(&mut self, change: &RowChange, id: LinkBindingId) -> Result<Hash, UnchangedKey> {
        let binding = &self.plan.model.tables[change.table].links[id];
        self.hasher.link();
        for &role in &binding.keyed {
            self.hasher.add_hash(&self.hub_keys[role]);
        }
        for &column in &binding.dependent_key {
            let value = self.key_value(change, column)?;
            self.hasher.add(value);
        }
        Ok(self.hasher.finish())
    }

    fn key_value(
        &self,
        change: &RowChange,
        column: ColumnId,
    ) -> Result<&'a Value<'a>, UnchangedKey> {
        match &self.values[change.values + column] {
            Value::Unchanged => {
                let table = &self.plan.model.tables[change.table];
                Err(UnchangedKey(table.columns[column].name.clone()))
            }
            value => Ok(value),
        }
    }

    /// Adds the hub rows that a change names; for a delete, those of its parent.
    fn add_hubs(&mut self, change: &RowChange, whole: bool) {
        let table = &self.plan.model.tables[change.table];
        let parents = &self.plan.tables[change.table].parent_bindings;
        for (id, binding) in table.hubs.with_ids() {
            let key = self.hub_keys[id];
            // The warehouse has the row "unknown" from the start.
            if key == UNKNOWN || !(whole || parents.contains(&id)) {
                continue;
            }
            if self.plan.model.hubs[binding.hub].is_carried {
                continue;
            }
            let row = HubRow { mention: mention(change), binding: id, values: change.values };
            self.projection.hubs[binding.hub].entry(key).or_insert(row);
        }
    }

    /// Adds the link rows that a change states; for a delete, its parent's.
    fn add_links(&mut self, change: &RowChange, whole: bool) {
        let table = &self.plan.model.tables[change.table];
        for (id, binding) in table.links.with_ids() {
            let is_carried = self.plan.model.links[binding.link].is_carried();
            if is_carried || !(whole || table.parent == Parent::Link(id)) {
                continue;
            }
            if let Entry::Vacant(place) =
                self.projection.links[binding.link].entry(self.link_keys[id])
            {
                place.insert(LinkRow {
                    mention: mention(change),
                    binding: id,
                    values: change.values,
                    roles: self.projection.role_keys.next_id(),
                });
                let roles = binding.bindings.iter().map(|&role| self.hub_keys[role]);
                self.projection.role_keys.items_mut().extend(roles);
            }
        }
    }
}

fn mention(change: &RowChange) -> Mention {
    Mention { load_date_us: change.position.published_us, table: change.table }
}
