//! The checks of one source table: keys, hub bindings, links, parent, satellites, and that no column is forgotten.
//!
//! In: the table as written and the checked hubs and links. Out: a [`Table`]. The primary key determines the parent,
//! because events are ordered for each key only, and a history needs that order.

use std::collections::HashSet;

use super::file::{BoundColumnEntry, TableColumnEntry, TableEntry};
use super::ids::{ColumnId, HubBindingId, HubId, IdVec, LinkBindingId, LinkId};
use super::problems::Problems;
use super::types::{Column, Hub, HubBinding, Link, LinkBinding, Parent, Satellite, Table};
use super::{Cast, ColumnType, is_technical};

mod carried;

/// The hubs and links that a table may refer to.
#[derive(Clone, Copy)]
pub(super) struct Entities<'a> {
    pub(super) hubs: &'a IdVec<HubId, Hub>,
    pub(super) links: &'a IdVec<LinkId, Link>,
    /// the schema of a table that names none
    pub(super) schema: &'a str,
}

/// Checks one table; problems go to the list. A multi-active table comes with a link of its own, whose id is the next
/// one.
pub(super) fn resolve(
    problems: &mut Problems,
    table: &TableEntry,
    entities: Entities<'_>,
) -> Option<(Table, Option<Link>)> {
    let usual = entities.schema;
    let (schema, label) = match &table.schema {
        Some(schema) if schema != usual => (schema.clone(), format!("{schema}.{}", table.name)),
        _ => (usual.to_owned(), table.name.clone()),
    };
    let mut builder = Builder { problems, table, schema, label, entities, columns: IdVec::new() };
    builder.resolve()
}

struct Builder<'a> {
    problems: &'a mut Problems,
    table: &'a TableEntry,
    schema: String,
    label: String,
    entities: Entities<'a>,
    columns: IdVec<ColumnId, Column>,
}

impl Builder<'_> {
    fn resolve(&mut self) -> Option<(Table, Option<Link>)> {
        let before = self.problems.count();
        self.read_columns();
        let key = self.column_ids("key", &self.table.key);
        if self.schema.is_empty() {
            self.complain("schema", "is empty", "name the table's schema, or leave it out");
        }
        if key.is_empty() {
            self.complain("key", "names no column", "name the primary key's columns");
        }
        let added_later = self.column_ids("added_later", &self.table.added_later);
        if let Some(&late) = added_later.iter().find(|column| key.contains(column)) {
            let problem = format!("column {} is part of the primary key", self.columns[late].name);
            self.complain("added_later", problem, "remove it: a key was always there");
        }
        let also_named = self.other_names();
        let hubs = self.hub_bindings();
        let mut links = self.link_bindings(&hubs, &key);
        if self.problems.count() > before {
            return None; // what follows would complain about the consequences
        }
        let (parent, own_link) = if self.table.multi_active.is_empty() {
            (self.parent(&hubs, &links, &key)?, None)
        } else {
            let (parent, link) = self.multi_active(&hubs, &mut links, &key)?;
            (parent, Some(link))
        };
        self.exact_parent(&hubs, &links, parent);
        let carried = self.carried(&hubs, parent, &links, own_link.as_ref());
        self.problems.entity_name(&self.table.status, "sat_");
        if let Some(tracking) = &self.table.tracking {
            self.problems.entity_name(tracking, "sat_");
        }
        let satellites = self.satellites(&key);
        self.check_carried(&carried, &satellites);
        self.unused_bindings(&hubs, &links, parent);
        self.check_comments();
        self.check_ignored();
        self.forgotten_columns(&hubs, &links, &satellites);
        let table = Table {
            schema: self.schema.clone(),
            name: self.table.name.clone(),
            label: self.label.clone(),
            columns: std::mem::take(&mut self.columns),
            key,
            added_later,
            also_named,
            ignored: self.table.ignored.clone(),
            hubs,
            links,
            parent,
            carried,
            status: self.table.status.clone(),
            tracking: self.table.tracking.clone(),
            satellites,
        };
        Some((table, own_link))
    }

    fn complain(&mut self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let place = format!("table {} {field}", self.label);
        self.problems.complain(place, problem, remedy);
    }

    fn read_columns(&mut self) {
        for (name, kind) in &self.table.columns {
            let place = format!("table {} column {name}", self.label);
            match TableColumnEntry::read(kind) {
                Err(_) if !kind.is_table() => {
                    self.problems.complain(&place, "has no type", "write name = \"type\"");
                }
                Err(err) => {
                    let remedy =
                        "write name = { type = \"type\", stored_as = \"name in the vault\" }";
                    self.problems.complain(&place, err.message(), remedy);
                }
                Ok(written) => {
                    // A column without a type is kept, so that no further problem is reported where it is used.
                    let kind = self.problems.column_type(&place, &written.kind);
                    self.columns.push(Column {
                        name: name.clone(),
                        stored_as: written.stored_as,
                        kind: kind.unwrap_or(ColumnType::TEXT),
                        comment: self.table.comments.get(name).cloned().unwrap_or_default(),
                    });
                }
            }
        }
    }

    fn check_comments(&mut self) {
        for name in self.table.comments.keys() {
            if !self.table.columns.contains_key(name) {
                let place = format!("table {} comments", self.label);
                let problem = format!("the table has no column {name}");
                self.problems.complain(
                    &place,
                    &problem,
                    "correct the name, or leave the comment out",
                );
            }
        }
    }

    fn check_ignored(&mut self) {
        let ignored = &self.table.ignored;
        for (place, name) in ignored.iter().enumerate() {
            let problem = if self.table.columns.contains_key(name) {
                format!("{name} is a column of the model, too")
            } else if ignored[..place].contains(name) {
                format!("{name} stands there twice")
            } else {
                continue;
            };
            self.complain("ignored", problem, "remove one");
        }
    }

    /// The names that columns have in events beside their own.
    fn other_names(&mut self) -> Vec<(String, ColumnId)> {
        let mut found: Vec<(String, ColumnId)> = Vec::new();
        for (column, names) in &self.table.also_named {
            let Some(&column) = self.column_ids("also_named", std::slice::from_ref(column)).first()
            else {
                continue;
            };
            for name in names {
                let is_column = self.columns.iter().any(|column| column.name == *name);
                if is_column || found.iter().any(|(other, _)| other == name) {
                    let problem = format!("{name} is the name of another column, too");
                    self.complain("also_named", problem, "remove one");
                }
                found.push((name.clone(), column));
            }
        }
        found
    }

    fn column_ids(&mut self, field: &str, names: &[String]) -> Vec<ColumnId> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match self.columns.find_id(|column| column.name == *name) {
                None => {
                    let remedy = "correct the name, or add the column with its type";
                    self.complain(field, format!("the table has no column {name}"), remedy);
                }
                Some(column) if found.contains(&column) => {
                    self.complain(field, format!("column {name} is named twice"), "remove one");
                }
                Some(column) => found.push(column),
            }
        }
        found
    }

    fn hub_bindings(&mut self) -> IdVec<HubBindingId, HubBinding> {
        let mut bindings: IdVec<HubBindingId, HubBinding> = IdVec::new();
        for written in &self.table.hubs {
            let role = written.role.clone().unwrap_or_else(|| written.hub.clone());
            let field = format!("hub {role}");
            let Some(hub) = self.entities.hubs.find_id(|hub| hub.name == written.hub) else {
                let problem = format!("there is no hub {}", written.hub);
                self.complain(&field, problem, "describe the hub, or name another");
                continue;
            };
            if self.entities.hubs[hub].is_carried && self.table.parent != written.hub {
                let problem =
                    "a reference is bound by the tables whose parent it is, and by no others";
                let remedy = "leave the binding out and put the code into a satellite: people join by the code";
                self.complain(&field, problem, remedy);
            }
            if bindings.iter().any(|other| other.role == role) {
                self.complain(&field, "the role is bound twice", "give each use its own role");
            }
            let names: Vec<String> =
                written.columns.iter().map(|bound| bound.name().to_owned()).collect();
            let columns = self.column_ids(&field, &names);
            let key = &self.entities.hubs[hub].key;
            let casts = self.casts(&field, &columns, key, &written.columns);
            bindings.push(HubBinding { role, hub, columns, casts });
        }
        bindings
    }

    /// How each column becomes the hub's key column; a column without a cast must have the key's type already.
    fn casts(
        &mut self,
        field: &str,
        columns: &[ColumnId],
        key: &[Column],
        written: &[BoundColumnEntry],
    ) -> Vec<Cast> {
        if columns.len() != key.len() || columns.len() != written.len() {
            self.check_types(field, columns, key); // complains about the numbers of columns
            return Vec::new();
        }
        let mut casts = Vec::with_capacity(columns.len());
        for ((&column, key), bound) in columns.iter().zip(key).zip(written) {
            let BoundColumnEntry::Cast(written) = bound else {
                self.check_types(field, &[column], std::slice::from_ref(key));
                casts.push(Cast::Same);
                continue;
            };
            let place = format!("table {} {field} cast of {}", self.label, written.column);
            let Some(to) = self.problems.column_type(&place, &written.cast) else { continue };
            if !to.hashes_like(key.kind) || to.vault_type() != key.kind.vault_type() {
                let problem = format!("the key's {} is {}", key.name, key.kind.vault_type());
                self.problems.complain(&place, problem, "cast to the key's type");
                continue;
            }
            let from = self.columns[column].kind;
            match Cast::between(from, to) {
                Some(cast) => casts.push(cast),
                None => {
                    let (from, to) = (from.vault_type(), to.vault_type());
                    let problem =
                        format!("a cast from {from} to {to} could lose something, or fail");
                    let remedy = "give the hub's key a type that holds every value of the column";
                    self.problems.complain(&place, problem, remedy);
                }
            }
        }
        casts
    }

    /// The table's columns must hash like the key's, or one key would get two hashes.
    fn check_types(&mut self, field: &str, columns: &[ColumnId], key: &[Column]) {
        if columns.len() != key.len() {
            let problem = format!("{} columns for a key of {}", columns.len(), key.len());
            self.complain(field, problem, "name one column for each column of the key");
            return;
        }
        for (&column, key) in columns.iter().zip(key) {
            let column = self.columns[column].clone();
            if !column.kind.hashes_like(key.kind)
                || column.kind.vault_type() != key.kind.vault_type()
            {
                let problem = format!(
                    "column {} is {}, but the key's {} is {}",
                    column.name,
                    column.kind.vault_type(),
                    key.name,
                    key.kind.vault_type()
                );
                self.complain(field, problem, "make the two types agree, or cast the column");
            }
        }
    }

    fn link_bindings(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        key: &[ColumnId],
    ) -> IdVec<LinkBindingId, LinkBinding> {
        let mut bindings: IdVec<LinkBindingId, LinkBinding> = IdVec::new();
        for written in &self.table.links {
            let field = format!("link {}", written.link);
            let Some(link) = self.entities.links.find_id(|link| link.name == written.link) else {
                self.complain(&field, "there is no such link", "describe it, or name another");
                continue;
            };
            if bindings.iter().any(|other| other.link == link) {
                self.complain(&field, "named twice", "remove one");
            }
            let roles = self.link_roles(&field, &self.entities.links[link], hubs);
            let dependent_key = self.column_ids(&field, &written.dependent_key);
            self.check_types(&field, &dependent_key, &self.entities.links[link].dependent_key);
            let columns = link_columns(hubs, &roles, &dependent_key);
            let target = &self.entities.links[link];
            self.check_stated(&field, target, written.effectivity.as_deref());
            let determined = columns.iter().all(|column| key.contains(column));
            match (&written.effectivity, determined) {
                _ if target.is_carried() => {}
                (None, false) => self.complain(
                    &field,
                    "the row's key does not determine it, so it can change",
                    "name an effectivity satellite",
                ),
                (Some(_), true) => {
                    let problem = "the row's key determines it, so it never changes";
                    self.complain(&field, problem, "remove effectivity");
                }
                (Some(name), false) => self.problems.entity_name(name, "sat_"),
                (None, true) => {}
            }
            let effectivity = written.effectivity.clone();
            let keyed = self.keyed(target, &roles, hubs, key);
            bindings.push(LinkBinding { link, bindings: roles, keyed, dependent_key, effectivity });
        }
        bindings
    }

    fn link_roles(
        &mut self,
        field: &str,
        link: &Link,
        hubs: &IdVec<HubBindingId, HubBinding>,
    ) -> Vec<HubBindingId> {
        let mut roles = Vec::with_capacity(link.roles.len());
        for role in &link.roles {
            match hubs.find_id(|binding| binding.role == role.role) {
                None => {
                    let problem = format!("the table binds no hub as {}", role.role);
                    self.complain(field, problem, "add it to the table's hubs with that role");
                }
                Some(bound) if hubs[bound].hub != role.hub => {
                    let problem = format!("role {} is bound to another hub", role.role);
                    self.complain(field, problem, "bind the hub that the link names");
                }
                Some(bound) => roles.push(bound),
            }
        }
        roles
    }

    fn parent(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        links: &IdVec<LinkBindingId, LinkBinding>,
        key: &[ColumnId],
    ) -> Option<Parent> {
        let name = self.table.parent.clone();
        let same_as_key = |columns: &[ColumnId]| {
            let columns: HashSet<_> = columns.iter().collect();
            columns == key.iter().collect()
        };
        let named = |binding: &HubBinding| self.entities.hubs[binding.hub].name == name;
        if hubs.iter().any(named) {
            let found = hubs.find_id(|bound| named(bound) && same_as_key(&bound.columns));
            if found.is_none() {
                let remedy = "choose the hub or link whose columns are the primary key's";
                self.complain("parent", format!("the key does not determine {name}"), remedy);
            }
            return found.map(Parent::Hub);
        }
        let Some(link) = links.find_id(|bound| self.entities.links[bound.link].name == name) else {
            let remedy = "name one of the table's hubs or links";
            self.complain("parent", format!("the table feeds no {name}"), remedy);
            return None;
        };
        let binding = &links[link];
        if !same_as_key(&link_columns(hubs, &binding.keyed, &binding.dependent_key)) {
            let remedy = if self.entities.links[binding.link].is_carried() {
                "bind those columns of the primary key to its dependent key that are no whole key of a hub, and no others"
            } else {
                "choose the hub or link whose columns are the primary key's"
            };
            self.complain("parent", format!("the key does not determine {name}"), remedy);
            return None;
        }
        Some(Parent::Link(link))
    }

    /// Two rows whose keys differ in their spelling only must not share a history.
    fn exact_parent(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        links: &IdVec<LinkBindingId, LinkBinding>,
        parent: Parent,
    ) {
        let of_parent = match parent {
            Parent::Hub(binding) => vec![binding],
            Parent::Link(link) => links[link].keyed.clone(),
        };
        for binding in of_parent {
            let hub = &self.entities.hubs[hubs[binding].hub];
            if hub.is_folded() {
                let problem = format!(
                    "{} folds its key, so rows whose keys differ in spelling would share one history",
                    hub.name
                );
                let remedy = "remove fold from the hub, or choose a hub that holds the key exactly";
                self.complain("parent", problem, remedy);
            }
        }
    }

    fn satellites(&mut self, key: &[ColumnId]) -> Vec<Satellite> {
        let mut taken: HashSet<ColumnId> = HashSet::new();
        let mut satellites = Vec::with_capacity(self.table.satellites.len());
        for written in &self.table.satellites {
            // A satellite that is a non-historized link's table has the link's name.
            let is_named = |link: &Link| link.is_carried() && link.name == written.name;
            let is_parent = self.table.parent == written.name;
            let is_link = is_parent && self.entities.links.iter().any(is_named);
            if !is_link {
                self.problems.entity_name(&written.name, "sat_");
            }
            let columns = self.column_ids(&written.name, &written.columns);
            if columns.is_empty() {
                self.complain(&written.name, "holds no column", "name its columns, or remove it");
            }
            self.stored_names(&written.name, &columns);
            for &column in &columns {
                let name = self.columns[column].name.clone();
                if key.contains(&column) {
                    let problem = format!("column {name} is part of the primary key");
                    self.complain(&written.name, problem, "leave it out: the parent holds it");
                }
                if !taken.insert(column) {
                    let problem = format!("column {name} is in another satellite too");
                    self.complain(&written.name, problem, "leave it in one");
                }
            }
            let comment = written.comment.clone();
            satellites.push(Satellite {
                name: written.name.clone(),
                comment: comment.unwrap_or_else(|| format!("what {} says", self.label)),
                columns,
                is_historized: written.historized && !is_link,
            });
        }
        satellites
    }

    /// A satellite's columns need names that the vault can have.
    fn stored_names(&mut self, satellite: &str, columns: &[ColumnId]) {
        let mut seen: HashSet<String> = HashSet::new();
        for &column in columns {
            let stored = self.columns[column].vault_name().to_owned();
            let place = format!("table {} column {}", self.label, self.columns[column].name);
            self.problems.identifier(&place, &stored);
            let remedy = "store it under another name: write { type = \"…\", stored_as = \"…\" }";
            if is_technical(&stored) {
                let problem = format!("a technical column is called {stored}");
                self.problems.complain(&place, problem, remedy);
            }
            if !seen.insert(stored.clone()) {
                let problem = format!("two of its columns are called {stored}");
                self.complain(satellite, problem, remedy);
            }
        }
    }

    /// When neither a link nor the parent uses a hub, the relationship that the column states would be lost.
    fn unused_bindings(
        &mut self,
        hubs: &IdVec<HubBindingId, HubBinding>,
        links: &[LinkBinding],
        parent: Parent,
    ) {
        for (id, binding) in hubs.with_ids() {
            let linked = links.iter().any(|link| link.bindings.contains(&id));
            let is_used = linked || matches!(parent, Parent::Hub(used) if used == id);
            if !is_used && self.entities.hubs[binding.hub].is_carried {
                let problem =
                    "the table binds the reference by further columns, and no link can name one";
                let remedy = "remove the binding: people join by the code";
                self.complain(&format!("hub {}", binding.role), problem, remedy);
            } else if !is_used {
                let problem = "no link of the table uses it, so the relationship would be lost";
                self.complain(
                    &format!("hub {}", binding.role),
                    problem,
                    "add a link, or remove it",
                );
            }
        }
    }

    fn forgotten_columns(
        &mut self,
        hubs: &[HubBinding],
        links: &[LinkBinding],
        satellites: &[Satellite],
    ) {
        let accounted: HashSet<ColumnId> = hubs
            .iter()
            .flat_map(|binding| &binding.columns)
            .chain(links.iter().flat_map(|link| &link.dependent_key))
            .chain(satellites.iter().flat_map(|satellite| &satellite.columns))
            .copied()
            .collect();
        for column in self.columns.ids() {
            if !accounted.contains(&column) {
                let field = format!("column {}", self.columns[column].name);
                let remedy = "add it to a satellite, or bind it to a hub";
                self.complain(&field, "nothing in the vault would hold it", remedy);
            }
        }
    }
}

/// All columns of the table that a link is made of.
fn link_columns(
    hubs: &IdVec<HubBindingId, HubBinding>,
    roles: &[HubBindingId],
    dependent_key: &[ColumnId],
) -> Vec<ColumnId> {
    roles
        .iter()
        .flat_map(|&binding| hubs[binding].columns.iter())
        .chain(dependent_key)
        .copied()
        .collect()
}
