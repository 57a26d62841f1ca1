//! Which hubs, links and satellites tables become. Pure.
//!
//! In: tables with their keys and foreign keys. Out: the parts of a model, and notes about what the vault cannot hold.
//!
//! - A table has a hub with the columns of its key.
//! - A table whose key holds foreign keys, and to which no other table refers, has a link instead: of the hubs that the
//!   key refers to, with the rest of the key as dependent key. That is an m:n table, or a part that has no key of its
//!   own.
//! - A table whose whole key is a foreign key says more about what it refers to. It hangs on the same hub or link.
//! - Each other foreign key is a link between what the table has and the hub that it refers to. The link has an
//!   effectivity satellite, unless the row's key determines it.
//! - All other columns are in one satellite.
//!
//! A hub is shared with other sources when its key is text. A number or a UUID is the source's own, so the hub is
//! scoped by the source.

use std::collections::HashSet;

use super::catalog::{ForeignKey, SourceTable};
use super::names::{self, Taken};
use super::places::{Place, binds_with_cast, cast, is_by_key, places};
use crate::model::ColumnType;

/// A column with its type, as a model writes both.
pub(super) type Typed = (String, String);

/// The parts of a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) hubs: Vec<HubShape>,
    pub(super) links: Vec<LinkShape>,
    pub(super) tables: Vec<TableShape>,
    /// tables that the vault cannot hold, each with the reason
    pub(super) left_out: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct HubShape {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) is_of_source: bool,
    pub(super) key: Vec<Typed>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct LinkShape {
    pub(super) name: String,
    pub(super) comment: String,
    /// each role with its hub
    pub(super) roles: Vec<(String, String)>,
    pub(super) dependent_key: Vec<Typed>,
}

/// A table and what it feeds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableShape {
    /// its place among the source's tables
    pub(super) table: usize,
    pub(super) parent: String,
    pub(super) status: String,
    pub(super) hubs: Vec<HubBindingShape>,
    pub(super) links: Vec<LinkBindingShape>,
    /// places of the columns that events have
    pub(super) columns: Vec<usize>,
    pub(super) satellite: Option<SatelliteShape>,
    /// places of the columns that the model leaves out
    pub(super) ignored: Vec<usize>,
    /// what the author of the model should know
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubBindingShape {
    pub(super) role: String,
    pub(super) hub: String,
    /// places of columns, each with the type that it is cast to
    pub(super) columns: Vec<(usize, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkBindingShape {
    pub(super) link: String,
    pub(super) dependent_key: Vec<usize>,
    pub(super) effectivity: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SatelliteShape {
    pub(super) name: String,
    /// places of columns, each with another name in the vault where it needs one
    pub(super) columns: Vec<(usize, Option<String>)>,
}

/// Decides about all tables.
pub(super) fn decide(tables: &[SourceTable], prefix: Option<&str>) -> Shape {
    let places = places(tables);
    let mut builder = Builder::new(tables, &places, prefix);
    for table in 0..tables.len() {
        builder.own(table);
    }
    // A table comes behind the one whose hub or link it hangs on: the first table decides which of its keys exist.
    let mut order: Vec<usize> = (0..tables.len()).collect();
    order.sort_by_key(|&table| builder.distance(table));
    for table in order {
        builder.table(table);
    }
    builder.shape
}

struct Builder<'a> {
    tables: &'a [SourceTable],
    places: &'a [Place],
    /// what each table's hub or link is called
    entities: Vec<String>,
    /// what the names of the table's parts are made of
    stems: Vec<String>,
    taken: Taken,
    shape: Shape,
}

/// What identifies a row: hubs by role, and the rest of the key.
struct Own {
    hubs: Vec<HubBindingShape>,
    /// places of columns, each with its column in the link
    dependent_key: Vec<(usize, Typed)>,
}

impl Own {
    /// A link of these hubs, and of the rest of the key.
    fn link(&self, name: &str, comment: String, hubs: &[HubBindingShape]) -> LinkShape {
        let roles = hubs.iter().map(|binding| (binding.role.clone(), binding.hub.clone()));
        LinkShape {
            name: name.to_owned(),
            comment,
            roles: roles.collect(),
            dependent_key: self.dependent_key.iter().map(|(_, typed)| typed.clone()).collect(),
        }
    }

    /// How the row states a link.
    fn states(&self, link: &str, effectivity: Option<String>) -> LinkBindingShape {
        let dependent_key = self.dependent_key.iter().map(|(column, _)| *column).collect();
        LinkBindingShape { link: link.to_owned(), dependent_key, effectivity }
    }
}

impl<'a> Builder<'a> {
    fn new(tables: &'a [SourceTable], places: &'a [Place], prefix: Option<&str>) -> Self {
        let plain: Vec<String> = tables.iter().map(|table| names::snake(&table.name)).collect();
        let is_alone = |name: &String| plain.iter().filter(|other| *other == name).count() == 1;
        let mut stems = Taken::default();
        let stem = |(table, name): (&SourceTable, &String)| {
            let with_schema = || format!("{}_{name}", names::snake(&table.schema));
            let own = if is_alone(name) { name.clone() } else { with_schema() };
            stems.take(&prefix.map_or(own.clone(), |prefix| format!("{prefix}_{own}")))
        };
        let stems = tables.iter().zip(&plain).map(stem).collect();
        let shape = Shape::default();
        Self { tables, places, entities: Vec::new(), stems, taken: Taken::default(), shape }
    }

    /// The hub or link that a table has of its own.
    fn own(&mut self, number: usize) {
        let table = &self.tables[number];
        let name = match &self.places[number] {
            Place::Hub => self.taken.take(&format!("hub_{}", self.stems[number])),
            Place::Link(_) => self.taken.take(&format!("link_{}", self.stems[number])),
            Place::Same(_) | Place::Nowhere(_) => String::new(),
        };
        if self.places[number] == Place::Hub {
            let is_text = |&column: &usize| {
                table.columns[column]
                    .column_type()
                    .is_some_and(|kind| kind.hashes_like(ColumnType::TEXT))
            };
            self.shape.hubs.push(HubShape {
                name: name.clone(),
                comment: comment(table),
                is_of_source: !table.key.iter().all(is_text),
                key: typed(table, &table.key),
            });
        }
        self.entities.push(name);
    }

    fn table(&mut self, number: usize) {
        let table = &self.tables[number];
        if let Place::Nowhere(reason) = &self.places[number] {
            self.shape.left_out.push((table.label(), reason.clone()));
            return;
        }
        let own = self.identity(number, &table.key);
        let owner = self.owner(number);
        let (parent, is_link) =
            (self.entities[owner].clone(), matches!(self.places[owner], Place::Link(_)));
        let mut shape = TableShape {
            table: number,
            parent: parent.clone(),
            status: self.taken.take(&format!("sat_{}_status", self.stems[number])),
            hubs: own.hubs.clone(),
            links: Vec::new(),
            columns: Vec::new(),
            satellite: None,
            ignored: Vec::new(),
            notes: table.outside.clone(),
        };
        if is_link {
            shape.links.push(own.states(&parent, None));
            if !self.shape.links.iter().any(|link| link.name == parent) {
                let comment = comment(&self.tables[owner]);
                self.shape.links.push(own.link(&parent, comment, &own.hubs));
            }
        }
        self.references(number, &own, &mut shape);
        self.columns(number, &mut shape);
        if table.is_partitioned {
            let note = "a partitioned table: the publication needs publish_via_partition_root = true, or its events have the \
                        topics of its partitions";
            shape.notes.push(note.to_owned());
        }
        self.shape.tables.push(shape);
    }

    /// Over how many tables the way leads to the one whose hub or link a table hangs on.
    fn distance(&self, number: usize) -> usize {
        match &self.places[number] {
            Place::Same(key) => 1 + self.distance(self.tables[number].foreign_keys[*key].target),
            Place::Nowhere(_) | Place::Hub | Place::Link(_) => 0,
        }
    }

    /// The table whose hub or link a table hangs on: mostly itself.
    fn owner(&self, number: usize) -> usize {
        match &self.places[number] {
            Place::Same(key) => self.owner(self.tables[number].foreign_keys[*key].target),
            Place::Nowhere(_) | Place::Hub | Place::Link(_) => number,
        }
    }

    /// What identifies a row of a table, for a table whose `columns` hold the values of its key, in the key's order.
    /// The casts are filled in later, because they depend on the columns of the table that has the values.
    fn identity(&self, number: usize, columns: &[usize]) -> Own {
        let table = &self.tables[number];
        let at = |column: &usize| {
            table.key.iter().position(|key| key == column).map(|place| columns[place])
        };
        match &self.places[number] {
            Place::Nowhere(_) => Own { hubs: Vec::new(), dependent_key: Vec::new() },
            Place::Hub => {
                let binding = HubBindingShape {
                    role: self.own_role(number),
                    hub: self.entities[number].clone(),
                    columns: columns.iter().map(|&column| (column, None)).collect(),
                };
                Own { hubs: vec![binding], dependent_key: Vec::new() }
            }
            Place::Same(key) => {
                let key = &table.foreign_keys[*key];
                let values: Vec<usize> = self.in_target_order(key, |column| at(&column));
                self.identity(key.target, &values)
            }
            Place::Link(keys) => {
                let mut hubs: Vec<HubBindingShape> = Vec::new();
                for &key in keys {
                    let key = &table.foreign_keys[key];
                    let values: Vec<usize> = self.in_target_order(key, |column| at(&column));
                    let role = self.role(table, key, &hubs);
                    for mut binding in self.identity(key.target, &values).hubs {
                        binding.role.clone_from(&role);
                        hubs.push(binding);
                    }
                }
                let covered = |column: &&usize| {
                    keys.iter().any(|&key| table.foreign_keys[key].columns.contains(column))
                };
                let rest: Vec<usize> =
                    table.key.iter().filter(|column| !covered(column)).copied().collect();
                let mut taken = Taken::default();
                hubs.iter().for_each(|hub| drop(taken.take(&format!("{}_hash_key", hub.role))));
                let named = typed_beside(table, &rest, &mut taken);
                let dependent_key =
                    rest.iter().zip(named).filter_map(|(column, typed)| Some((at(column)?, typed)));
                Own { hubs, dependent_key: dependent_key.collect() }
            }
        }
    }

    /// A foreign key's columns, or what stands for them, in the order of the target's key.
    fn in_target_order(
        &self,
        key: &ForeignKey,
        value: impl Fn(usize) -> Option<usize>,
    ) -> Vec<usize> {
        let of = |wanted: &usize| {
            let place = key.target_columns.iter().position(|column| column == wanted)?;
            value(key.columns[place])
        };
        self.tables[key.target].key.iter().filter_map(of).collect()
    }

    /// A role that none of these bindings has.
    fn role(&self, table: &SourceTable, key: &ForeignKey, others: &[HubBindingShape]) -> String {
        let by_column = match key.columns.as_slice() {
            [column] => names::role(&table.columns[*column].name),
            _ => None,
        };
        let target = names::singular(&self.stems[key.target]);
        let is_free =
            |role: &String| names::is_role(role) && others.iter().all(|other| other.role != *role);
        let by_both = by_column.as_ref().map(|role| format!("{role}_{target}"));
        let first = [by_column, by_both, Some(target.clone())].into_iter().flatten().find(is_free);
        first.unwrap_or_else(|| {
            // There are fewer bindings than numbers.
            let mut numbered = (2..).map(|number| names::numbered_role(&target, number));
            numbered.find(is_free).unwrap_or_default()
        })
    }

    /// The role of a table's own hub.
    fn own_role(&self, number: usize) -> String {
        let name = names::singular(&self.stems[number]);
        if names::is_role(&name) { name } else { names::numbered_role(&name, 1) }
    }

    /// Links for the foreign keys that are no part of what identifies the row.
    fn references(&mut self, number: usize, own: &Own, shape: &mut TableShape) {
        let table = &self.tables[number];
        let used: &[usize] = match &self.places[number] {
            Place::Same(key) => std::slice::from_ref(key),
            Place::Link(keys) => keys,
            Place::Hub | Place::Nowhere(_) => &[],
        };
        for (place, key) in table.foreign_keys.iter().enumerate() {
            let target = &self.tables[key.target];
            if used.contains(&place) {
                continue;
            }
            if let Some(reason) = self.unusable(table, key) {
                let columns = table.names(&key.columns).join(", ");
                shape.notes.push(format!(
                    "({columns}) refers to {}, and is no link: {reason}",
                    target.label()
                ));
                continue;
            }
            let nullable = key.columns.iter().filter(|&&column| table.columns[column].is_nullable);
            let nullable = nullable.count();
            if nullable > 0 && nullable < key.columns.len() {
                let columns = table.names(&key.columns).join(", ");
                let note = "where a part of it is NULL, the hub gets a row with that NULL";
                shape.notes.push(format!("({columns}): {note}"));
            }
            let role = self.role(table, key, &shape.hubs);
            let values = self.in_target_order(key, Some);
            let Some(mut binding) = self.identity(key.target, &values).hubs.pop() else { continue };
            binding.role = role;
            self.link(number, own, binding, shape);
        }
    }

    /// Why a foreign key is no link, if it is none.
    fn unusable(&self, table: &SourceTable, key: &ForeignKey) -> Option<&'static str> {
        if matches!(self.places[key.target], Place::Nowhere(_)) {
            return Some("the vault does not hold that table");
        }
        if !is_by_key(self.tables, key) {
            return Some("not by that table's key, and loading looks up nothing");
        }
        if binds_with_cast(self.tables, table, key).is_none() {
            return Some("its type cannot be cast to that of the key");
        }
        None
    }

    /// A link between what identifies the row and one more hub.
    fn link(&mut self, number: usize, own: &Own, binding: HubBindingShape, shape: &mut TableShape) {
        let table = &self.tables[number];
        let stem = format!("{}_{}", self.stems[number], binding.role);
        let name = self.taken.take(&format!("link_{stem}"));
        let mut hubs = own.hubs.clone();
        hubs.push(binding.clone());
        let is_determined = binding.columns.iter().all(|(column, _)| table.key.contains(column));
        let effectivity =
            (!is_determined).then(|| self.taken.take(&format!("sat_{stem}_effectivity")));
        let comment = format!("{}: its {}", comment(table), binding.role.replace('_', " "));
        self.shape.links.push(own.link(&name, comment, &hubs));
        shape.links.push(own.states(&name, effectivity));
        shape.hubs.push(binding);
    }

    /// The columns that events have, and the satellite of those that nothing else holds. Fills in the casts.
    fn columns(&mut self, number: usize, shape: &mut TableShape) {
        let table = &self.tables[number];
        for (place, column) in table.columns.iter().enumerate() {
            if column.is_generated {
                shape.notes.push(format!(
                    "{} is left out: PostgreSQL computes it, and publishes it in snapshots only, unless told otherwise",
                    column.name
                ));
                shape.ignored.push(place);
            } else if column.column_type().is_none() {
                shape.notes.push(format!(
                    "{} is left out: a model cannot have the type {}",
                    column.name, column.kind
                ));
                shape.ignored.push(place);
            } else {
                shape.columns.push(place);
            }
        }
        for binding in &mut shape.hubs {
            let Some(hub) = self.shape.hubs.iter().find(|hub| hub.name == binding.hub) else {
                continue;
            };
            for ((column, to), (_, kind)) in binding.columns.iter_mut().zip(&hub.key) {
                let from = table.columns[*column].column_type();
                let key = ColumnType::parse(kind);
                let is_cast = from.zip(key).and_then(|(from, key)| cast(from, key)) == Some(true);
                *to = is_cast.then(|| kind.clone());
            }
        }
        let mut held: HashSet<usize> = table.key.iter().copied().collect();
        held.extend(shape.hubs.iter().flat_map(|hub| &hub.columns).map(|(column, _)| *column));
        let rest: Vec<usize> =
            shape.columns.iter().copied().filter(|column| !held.contains(column)).collect();
        if rest.is_empty() {
            return;
        }
        let mut names = Taken::default();
        let columns = rest.into_iter().map(|place| {
            let name = &table.columns[place].name;
            let stored = names.take(&names::column(name));
            (place, (stored != *name).then_some(stored))
        });
        let columns = columns.collect();
        let name = self.taken.take(&format!("sat_{}", self.stems[number]));
        shape.satellite = Some(SatelliteShape { name, columns });
    }
}

fn comment(table: &SourceTable) -> String {
    table.comment.clone().unwrap_or_else(|| format!("a row of {}", table.label()))
}

/// Columns of a key as columns of the vault.
fn typed(table: &SourceTable, columns: &[usize]) -> Vec<Typed> {
    typed_beside(table, columns, &mut Taken::default())
}

/// The same, where some names are taken.
fn typed_beside(table: &SourceTable, columns: &[usize], names: &mut Taken) -> Vec<Typed> {
    let column = |&place: &usize| {
        let column = &table.columns[place];
        (names.take(&names::column(&column.name)), column.kind.clone())
    };
    columns.iter().map(column).collect()
}
