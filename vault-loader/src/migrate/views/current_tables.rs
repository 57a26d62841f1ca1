//! Views of the source's tables as they stand now, read from the vault.
//!
//! In: a model. Out: one view for each of its tables. When nothing is in flight, a view has the rows of the source's
//! table. It has the columns in the model's order, and behind them `has_waiting_events`. A row shows when the latest
//! status of its key is not "deleted". Its values are those of the latest version of each satellite, of the hubs' keys,
//! and of the links' dependent keys. A satellite or link is joined LEFT: a key without a version shows NULLs and is not
//! hidden.
//!
//! A column has the type of the vault: `char(n)` and `varchar(n)` are text. A column that is bound to a hub whose key
//! folds shows the first spelling that was loaded, and is not the source's own. Ghost rows never show.

use std::collections::HashSet;

use super::super::ddl::SYSTEM;
use super::current_keys::view_name;
use super::{MART_SCHEMA, ViewColumn, ViewSpec, WAITING, WAITING_COMMENT};
use super::{beside, has_waiting_events, is_latest, quoted};
use crate::model::{
    ColumnId, HubBindingId, Id, LinkBindingId, Model, Parent, Table, VAULT_SCHEMA, ident,
};

/// The views of all tables of a model.
#[must_use]
pub fn views(model: &Model) -> Vec<ViewSpec> {
    model.tables.iter().map(|table| view(model, table)).collect()
}

/// The name of a table's view: that of its status satellite, without `sat_` and `_status`.
fn name_of(table: &Table) -> String {
    let status = &table.status;
    let stem = status.strip_prefix("sat_").unwrap_or(status);
    view_name("current_", stem.strip_suffix("_status").unwrap_or(stem))
}

fn view(model: &Model, table: &Table) -> ViewSpec {
    let mut sources = Sources::new(model, table);
    let values: Vec<String> = table
        .columns
        .ids()
        .map(|column| {
            format!("{} AS {}", sources.value(column), quoted(&table.columns[column].name))
        })
        .collect();
    let mut columns: Vec<ViewColumn> =
        table.columns.iter().map(|column| ViewColumn::new(&column.name, &column.comment)).collect();
    let waiting = beside(WAITING, &columns);
    let query = format!(
        "SELECT\n    {},\n    {}\n\
         FROM {VAULT_SCHEMA}.{} AS live\n{}\
         WHERE NOT live.is_deleted\n    \
         AND live.record_source <> '{SYSTEM}'\n    \
         AND {}",
        values.join(",\n    "),
        has_waiting_events("live", &waiting),
        table.status,
        sources.joins,
        is_latest(&table.status, "live"),
    );
    columns.push(ViewColumn::new(waiting, WAITING_COMMENT));
    ViewSpec {
        schema: MART_SCHEMA,
        name: name_of(table),
        comment: format!(
            "rows of {}.{}.{} as they stand now",
            model.source.name, table.schema, table.name
        ),
        columns,
        query,
    }
}

/// A query for the primary keys of a table's rows, whatever their status: the hash key in hexadecimal digits, and
/// behind it the key's columns in the key's order. `hash_keys` are hexadecimal digits.
pub(crate) fn primary_keys(model: &Model, table: &Table, hash_keys: &[String]) -> String {
    let mut sources = Sources::new(model, table);
    let values: String =
        table.key.iter().map(|&column| format!(", {}", sources.value(column))).collect();
    let wanted: Vec<String> =
        hash_keys.iter().map(|digits| format!("decode('{digits}', 'hex')")).collect();
    format!(
        "SELECT encode(live.hash_key, 'hex'){values}\n\
         FROM {VAULT_SCHEMA}.{} AS live\n{}\
         WHERE live.hash_key = ANY (ARRAY[{}]::bytea[])\n    AND {}",
        table.status,
        sources.joins,
        wanted.join(", "),
        is_latest(&table.status, "live"),
    )
}

/// The alias of the hub or link that a table hangs on.
const PARENT: &str = "parent";

/// The alias of the status satellite. Where the parent has no table, it holds the parent's key.
const LIVE: &str = "live";

/// Where the values of a table's columns are, and the joins that bring them.
struct Sources<'m> {
    model: &'m Model,
    table: &'m Table,
    joins: String,
    /// aliases that are joined
    joined: HashSet<String>,
    /// the alias under which the parent's key stands
    parent: &'static str,
}

impl<'m> Sources<'m> {
    fn new(model: &'m Model, table: &'m Table) -> Self {
        let joined = HashSet::from([PARENT.to_owned()]);
        if model.has_no_parent_table(table) {
            return Self { model, table, joins: String::new(), joined, parent: LIVE };
        }
        let name = model.parent_name(table);
        let joins = format!(
            "JOIN {VAULT_SCHEMA}.{name} AS {PARENT} ON {PARENT}.hash_key = {LIVE}.hash_key\n"
        );
        Self { model, table, joins, joined, parent: PARENT }
    }

    /// Adds a join, unless its alias is joined.
    fn join(&mut self, alias: &str, join: &str) {
        if self.joined.insert(alias.to_owned()) {
            self.joins.push_str(join);
        }
    }

    /// An expression for a column's value; the joins that it needs are added.
    fn value(&mut self, column: ColumnId) -> String {
        let table = self.table;
        for (place, satellite) in table.satellites.iter().enumerate() {
            if satellite.columns.contains(&column) {
                let alias = self.satellite(place);
                return format!("{alias}.{}", ident(table.columns[column].vault_name()));
            }
        }
        // The parent has all columns of the key. Every other link that holds a column has an effectivity satellite.
        let has = |id: &HubBindingId| table.hubs[*id].columns.contains(&column);
        if let Some(binding) = table.parent_bindings().into_iter().find(has) {
            return self.key_value(binding, column);
        }
        let mut links: Vec<LinkBindingId> = table.links.ids().collect();
        links.sort_by_key(|&link| table.parent != Parent::Link(link));
        for link in links {
            let binding = &table.links[link];
            let key = &self.model.links[binding.link].dependent_key;
            if let Some(place) = binding.dependent_key.iter().position(|own| *own == column) {
                return format!("{}.{}", self.link(link), ident(&key[place].name));
            }
        }
        match table.hubs.ids().find(has) {
            Some(binding) => self.key_value(binding, column),
            None => "NULL".to_owned(), // no valid model has such a column
        }
    }

    /// A column of a hub's key, as the type that the column has.
    fn key_value(&mut self, id: HubBindingId, column: ColumnId) -> String {
        let binding = &self.table.hubs[id];
        let key = &self.model.hubs[binding.hub].key;
        let place = binding.columns.iter().position(|own| *own == column).unwrap_or_default();
        let value = format!("{}.{}", self.hub(id), ident(&key[place].name));
        let (from, to) =
            (key[place].kind.vault_type(), self.table.columns[column].kind.vault_type());
        if from == to { value } else { format!("{value}::{to}") }
    }

    fn hub(&mut self, id: HubBindingId) -> String {
        // A link that the key determines has no join of its own: its hubs are those of the parent.
        let mut links: Vec<LinkBindingId> = self.table.links.ids().collect();
        links.retain(|&link| self.table.links[link].bindings.contains(&id));
        links.sort_by_key(|&link| {
            let is_parent = self.table.parent == Parent::Link(link);
            (!is_parent, self.table.links[link].effectivity.is_none())
        });
        let linked = links.first().copied();
        let Some(link_id) = linked.filter(|_| self.table.parent != Parent::Hub(id)) else {
            return self.parent.to_owned();
        };
        let from = self.link(link_id);
        let link = &self.table.links[link_id];
        let place = link.bindings.iter().position(|binding| *binding == id).unwrap_or_default();
        let role = self.model.links[link.link].roles[place].column();
        let hub = &self.model.hubs[self.table.hubs[id].hub].name;
        let alias = format!("hub_{}", id.to_index() + 1);
        let join = format!(
            "LEFT JOIN {VAULT_SCHEMA}.{hub} AS {alias} ON {alias}.hash_key = {from}.{role}\n"
        );
        self.join(&alias, &join);
        alias
    }

    /// The link row that holds now.
    fn link(&mut self, id: LinkBindingId) -> String {
        if self.table.parent == Parent::Link(id) {
            return self.parent.to_owned();
        }
        let binding = &self.table.links[id];
        let name = &self.model.links[binding.link].name;
        let alias = format!("link_{}", id.to_index() + 1);
        if let Some(effectivity) = &binding.effectivity {
            let latest = format!("effectivity_{}", id.to_index() + 1);
            let join = format!(
                "LEFT JOIN {VAULT_SCHEMA}.{effectivity} AS {latest}\n    \
                 ON {latest}.hash_key = live.hash_key AND {}\n\
                 LEFT JOIN {VAULT_SCHEMA}.{name} AS {alias} ON {alias}.hash_key = {latest}.link_hash_key\n",
                is_latest(effectivity, &latest)
            );
            self.join(&alias, &join);
        }
        alias
    }

    fn satellite(&mut self, place: usize) -> String {
        let name = &self.table.satellites[place].name;
        if self.model.is_link_table(self.table, name) {
            return PARENT.to_owned();
        }
        let alias = format!("satellite_{}", place + 1);
        let join = format!(
            "LEFT JOIN {VAULT_SCHEMA}.{name} AS {alias}\n    ON {alias}.hash_key = live.hash_key AND {}\n",
            is_latest(name, &alias)
        );
        self.join(&alias, &join);
        alias
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn each_table_has_a_view_with_its_columns_in_order() {
        let text = include_str!("../../../../connectors/airline/vault.toml");
        let views = views(&model::parse(text).unwrap());
        let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names[0], "current_airports");
        assert_eq!(names.len(), 8);
        let flights = views.iter().find(|view| view.name == "current_flights").unwrap();
        let columns: Vec<usize> = [
            "parent.flight_id AS flight_id",
            "satellite_1.flight_no AS flight_no",
            ".airport_code AS departure_airport",
            ".airport_code AS arrival_airport",
            "satellite_2.status AS status",
            ".aircraft_code AS aircraft_code",
            "has_waiting_events",
        ]
        .iter()
        .map(|part| {
            flights.query.find(part).unwrap_or_else(|| panic!("no {part} in {}", flights.query))
        })
        .collect();
        assert!(columns.is_sorted(), "{}", flights.query);
    }
}
