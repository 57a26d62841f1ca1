//! The keys of hubs and links that exist now, with their business keys.
//!
//! In: the models of all sources. Out: one view for each link and each hub. A key exists when the latest status of a
//! row that has it is not "deleted". System rows never show.
//!
//! A link gets its rows from the first table of each source that has the link as its parent: a model names the table
//! first on whose rows the others depend. When no table has it as its parent, the first table with an effectivity
//! satellite for it says which row of the link holds now. What is left is a link that the table's key determines: its
//! rows are found by the parent's keys. A hub's keys come from the tables whose parent the hub is, and, when there are
//! none, from the links and the rows of multi-active tables that name the hub. A hub or link that no table feeds has no
//! view. A reference's key stands in the satellites, and its views show it as those of a hub do. The views of a
//! non-historized link show its attributes, too.
//!
//! A business key has its own name. Where two would have the same name, or the name of a technical column, the role
//! stands in front of it, or alone where the same hub has several roles. Hubs are joined LEFT on their primary key, so
//! a query that does not name a business key does not read the hub.

use std::collections::BTreeSet;

use super::super::ddl::SYSTEM;
use super::{MART_SCHEMA, ViewColumn, ViewSpec, WAITING, WAITING_COMMENT};
use super::{beside, has_waiting_events, is_latest, quoted};
use crate::model::{Column, Hub, Link, LinkBindingId, Model, Parent, Table, VAULT_SCHEMA, ident};

/// The views of all links, and behind them those of all hubs.
pub(super) fn views(models: &[&Model]) -> Vec<ViewSpec> {
    let mut found = Vec::new();
    for name in link_names(models) {
        found.extend(link_view(models, &name));
    }
    for name in hub_names(models) {
        found.extend(hub_view(models, &name));
    }
    found
}

/// All links of all sources that have a table, once each.
pub(super) fn link_names(models: &[&Model]) -> BTreeSet<String> {
    let links = models.iter().flat_map(|model| &model.links).filter(|link| link.has_table());
    links.map(|link| link.name.clone()).collect()
}

/// All hubs and references of all sources, once each.
pub(super) fn hub_names(models: &[&Model]) -> BTreeSet<String> {
    models.iter().flat_map(|model| &model.hubs).map(|hub| hub.name.clone()).collect()
}

/// The view of a link or hub with a word before its name.
pub(super) fn view_name(prefix: &str, table: &str) -> String {
    let longest = 63 - prefix.len();
    format!("{prefix}{}", &table[table.len().saturating_sub(longest)..])
}

/// A table that says which rows of a link exist, and how.
#[derive(Clone)]
pub(in crate::migrate) struct Feed<'m> {
    pub(super) model: &'m Model,
    pub(in crate::migrate) table: &'m Table,
    pub(in crate::migrate) link: LinkBindingId,
    way: Way,
}

/// How the rows of a link are found from a row with the key of the table's parent.
#[derive(Clone)]
enum Way {
    /// this satellite says which row holds
    Effectivity(String),
    /// the key determines the rows: what stands between `FROM x AS` and the columns of `link`, with `{from}` for x
    Join(String),
}

impl<'m> Feed<'m> {
    /// The table of a source that decides about a link: the first one that has the link as its parent, or else the
    /// first one that has an effectivity satellite for it, or else the first one whose key determines the link.
    pub(in crate::migrate) fn of(model: &'m Model, link: &str) -> Option<Self> {
        let mut feeds = Self::all(model, link);
        feeds.sort_by_key(|feed| {
            let is_parent = feed.table.parent == Parent::Link(feed.link);
            (!is_parent, matches!(feed.way, Way::Join(_)))
        });
        feeds.into_iter().next()
    }

    /// All tables of a source that state a link.
    pub(in crate::migrate) fn all(model: &'m Model, link: &str) -> Vec<Self> {
        let of_table = |table: &'m Table| {
            let bound = table.links.find_id(|binding| model.links[binding.link].name == link)?;
            let way = way(model, table, bound)?;
            Some(Self { model, table, link: bound, way })
        };
        model.tables.iter().filter_map(of_table).collect()
    }

    /// The satellite that says which row of the link holds, when the table's key does not determine it.
    pub(in crate::migrate) fn effectivity(&self) -> Option<&str> {
        match &self.way {
            Way::Effectivity(satellite) => Some(satellite),
            Way::Join(_) => None,
        }
    }

    /// Joins that lead from `from`, a row with the key of the table's parent, to the rows of the link under the alias
    /// `link`.
    pub(in crate::migrate) fn joins(&self, from: &str) -> String {
        match &self.way {
            Way::Join(joins) => joins.replace("{from}", from),
            Way::Effectivity(satellite) => format!(
                "JOIN {VAULT_SCHEMA}.{satellite} AS latest\n    \
                 ON latest.hash_key = {from}.hash_key AND {}\n\
                 JOIN {VAULT_SCHEMA}.{} AS link ON link.hash_key = latest.link_hash_key",
                is_latest(satellite, "latest"),
                self.model.links[self.table.links[self.link].link].name,
            ),
        }
    }
}

/// None when the table's key determines the link, and its parent has no hub in common with the link: then nothing leads
/// from the one to the other.
fn way(model: &Model, table: &Table, id: LinkBindingId) -> Option<Way> {
    let binding = &table.links[id];
    let link = &model.links[binding.link];
    let name = &link.name;
    if table.parent == Parent::Link(id) {
        let join =
            format!("JOIN {VAULT_SCHEMA}.{name} AS link ON link.hash_key = {{from}}.hash_key");
        return Some(Way::Join(join));
    }
    if let Some(effectivity) = &binding.effectivity {
        return Some(Way::Effectivity(effectivity.clone()));
    }
    let place_of = |id| binding.bindings.iter().position(|bound| *bound == id);
    match table.parent {
        Parent::Hub(parent) => {
            let role = link.roles[place_of(parent)?].column();
            let join =
                format!("JOIN {VAULT_SCHEMA}.{name} AS link ON link.{role} = {{from}}.hash_key");
            Some(Way::Join(join))
        }
        Parent::Link(parent) => {
            let parent = &table.links[parent];
            let of_parent = &model.links[parent.link];
            // Every satellite of a multi-active table holds the key of its parent.
            let held = if of_parent.has_table() { "parent" } else { "{from}" };
            let equal = parent.bindings.iter().zip(&of_parent.roles).filter_map(|(id, role)| {
                let own = &link.roles[place_of(*id)?];
                Some(format!("link.{} = {held}.{}", own.column(), role.column()))
            });
            let conditions: Vec<String> = equal.collect();
            let keys = parent.dependent_key.iter().zip(&of_parent.dependent_key);
            let dependent = keys.filter_map(|(column, key)| {
                let at = binding.dependent_key.iter().position(|own| own == column)?;
                let own = ident(&link.dependent_key[at].name);
                Some(format!("link.{own} = {held}.{}", ident(&key.name)))
            });
            (!conditions.is_empty()).then(|| {
                let conditions: Vec<String> = conditions.into_iter().chain(dependent).collect();
                let conditions = conditions.join(" AND ");
                let join = format!("JOIN {VAULT_SCHEMA}.{name} AS link ON {conditions}");
                Way::Join(if of_parent.has_table() {
                    format!(
                        "JOIN {VAULT_SCHEMA}.{} AS parent ON parent.hash_key = {{from}}.hash_key\n{join}",
                        of_parent.name
                    )
                } else {
                    join
                })
            })
        }
    }
}

/// What a view shows of a link's row.
pub(super) struct LinkColumns {
    /// the columns, in order
    pub(super) columns: Vec<ViewColumn>,
    /// the value of each, from the link under the alias `link` and the hubs that `joins` brings
    pub(super) values: Vec<String>,
    /// the joins of the hubs
    pub(super) joins: String,
}

/// The columns of a link's views: its hash key, those of its hubs, the business keys, the dependent child key. Names
/// follow from the link alone, so that a further source that feeds the link changes none.
pub(super) fn link_columns(model: &Model, link: &Link, technical: &[&str]) -> LinkColumns {
    let mut columns = vec![ViewColumn::new("hash_key", format!("hash key in {}", link.name))];
    let mut values = vec!["link.hash_key".to_owned()];
    for role in &link.roles {
        let hub = &model.hubs[role.hub].name;
        columns.push(ViewColumn::new(role.column(), format!("hash key in {hub}")));
        values.push(format!("link.{}", role.column()));
    }
    let mut keys = Vec::new();
    let mut joins = String::new();
    for (place, role) in link.roles.iter().enumerate() {
        let hub = &model.hubs[role.hub];
        let alias = format!("hub_{}", place + 1);
        joins.push_str(&format!(
            "LEFT JOIN {VAULT_SCHEMA}.{} AS {alias} ON {alias}.hash_key = link.{}\n",
            hub.name,
            role.column()
        ));
        let is_repeated = link.roles.iter().filter(|other| other.hub == role.hub).count() > 1;
        for key in &hub.key {
            let further = if is_repeated && hub.key.len() == 1 {
                role.role.clone()
            } else {
                format!("{}_{}", role.role, key.name)
            };
            let comment = format!("business key of {}, in the role {}", hub.name, role.role);
            keys.push((&key.name, further, format!("{alias}.{}", ident(&key.name)), comment));
        }
    }
    for key in &link.dependent_key {
        let comment = "dependent child key: part of the relationship, no concept of its own";
        let value = format!("link.{}", ident(&key.name));
        keys.push((&key.name, format!("dependent_{}", key.name), value, comment.to_owned()));
    }
    let is_clear = |name: &str| {
        !technical.contains(&name) && keys.iter().filter(|(other, ..)| *other == name).count() == 1
    };
    for (name, further, value, comment) in &keys {
        let name = if is_clear(name) { *name } else { further };
        columns.push(ViewColumn::new(beside(name, &columns), comment));
        values.push(value.clone());
    }
    for attribute in attributes(model, link) {
        let name = attribute.vault_name();
        columns.push(ViewColumn::new(beside(name, &columns), &attribute.comment));
        values.push(format!("link.{}", ident(name)));
    }
    LinkColumns { columns, values, joins }
}

/// The attributes that a non-historized link has in its own table.
fn attributes<'m>(model: &'m Model, link: &'m Link) -> impl Iterator<Item = &'m Column> {
    model.tables.iter().flat_map(move |table| {
        let own = table.satellites.iter().filter(|held| held.name == link.name);
        own.flat_map(move |held| held.columns.iter().map(move |&column| &table.columns[column]))
    })
}

fn link_view(models: &[&Model], name: &str) -> Option<ViewSpec> {
    let feeds: Vec<Feed<'_>> = models.iter().filter_map(|model| Feed::of(model, name)).collect();
    let (model, link) = find_link(models, name)?;
    let LinkColumns { mut columns, values, joins } = link_columns(model, link, &[WAITING]);
    let values: Vec<String> =
        values.iter().zip(&columns).map(|(v, c)| format!("{v} AS {}", quoted(&c.name))).collect();
    let mut queries: Vec<String> = feeds
        .iter()
        .map(|feed| {
            format!(
                "SELECT\n    {},\n    {}\nFROM {VAULT_SCHEMA}.{status} AS live\n{way}\n{joins}WHERE {}",
                values.join(",\n    "),
                has_waiting_events("live", WAITING),
                exists_now(feed.table),
                status = feed.table.status,
                way = feed.joins("live"),
            )
        })
        .collect();
    let query = if queries.len() > 1 {
        let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
        let names = names.join(", ");
        format!(
            "SELECT {names}, bool_or({WAITING}) AS {WAITING}\nFROM (\n{}\n) AS row_of_a_source\nGROUP BY {names}",
            queries.join("\nUNION ALL\n")
        )
    } else {
        queries.pop()?
    };
    columns.push(ViewColumn::new(WAITING, WAITING_COMMENT));
    Some(ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("current_", name),
        comment: format!("rows of {name} that hold now: {}", link.comment),
        columns,
        query,
    })
}

/// The link by this name, as the first source has it.
pub(super) fn find_link<'m>(models: &[&'m Model], name: &str) -> Option<(&'m Model, &'m Link)> {
    models.iter().find_map(|&model| {
        let link = model.links.iter().find(|link| link.name == name)?;
        Some((model, link))
    })
}

fn exists_now(table: &Table) -> String {
    format!(
        "NOT live.is_deleted\n    AND live.record_source <> '{SYSTEM}'\n    AND {}",
        is_latest(&table.status, "live")
    )
}

/// The tables of all sources whose parent is this hub.
pub(super) fn tables_of_hub<'m>(models: &[&'m Model], hub: &str) -> Vec<&'m Table> {
    let of = |model: &&'m Model| {
        let model = *model;
        model.tables.iter().filter(move |table| {
            matches!(table.parent, Parent::Hub(binding) if model.hubs[table.hubs[binding].hub].name == hub)
        })
    };
    models.iter().flat_map(of).collect()
}

/// The multi-active tables of a source whose rows name a hub, and the column of its hash key in their satellites.
pub(super) fn multi_active_of_hub<'m>(
    model: &'m Model,
    hub: &str,
) -> impl Iterator<Item = (&'m Table, String)> {
    model.tables.iter().filter_map(move |table| {
        let link = model.parent_link(table).filter(|link| !link.has_table())?;
        let role = link.roles.iter().find(|role| model.hubs[role.hub].name == hub)?;
        Some((table, role.column()))
    })
}

/// Joins the key of a hub to the hash key of `from`, under the alias `hub`. It stands in the hub's table, or for a
/// reference in the statuses of its tables. A row may name the hub "unknown", which is none.
pub(super) fn join_keys(models: &[&Model], hub: &Hub, from: &str) -> String {
    if !hub.is_carried {
        return format!(
            "JOIN {VAULT_SCHEMA}.{} AS hub ON hub.hash_key = {from}.hash_key AND hub.record_source <> '{SYSTEM}'",
            hub.name
        );
    }
    let names: Vec<_> = hub.key.iter().map(|key| ident(&key.name)).collect();
    let names = names.join(", ");
    let tables = tables_of_hub(models, &hub.name);
    let keys = tables.iter().map(|table| {
        format!(
            "SELECT hash_key, {names} FROM {VAULT_SCHEMA}.{} WHERE record_source <> '{SYSTEM}'",
            table.status
        )
    });
    let keys = keys.collect::<Vec<_>>().join("\n    UNION\n    ");
    format!(
        "JOIN (\n    SELECT DISTINCT hash_key, {names} FROM (\n    {keys}\n    ) AS keyed\n) AS hub \
         ON hub.hash_key = {from}.hash_key"
    )
}

/// The links with rows of some source in which a hub has a role, and the columns of its hash key there.
pub(super) fn roles_of_hub(models: &[&Model], hub: &str) -> BTreeSet<(String, String)> {
    let mut roles = BTreeSet::new();
    let is_fed = |link: &&Link| models.iter().any(|model| Feed::of(model, &link.name).is_some());
    for model in models {
        for link in model.links.iter().filter(|link| link.has_table()).filter(is_fed) {
            let named = link.roles.iter().filter(|role| model.hubs[role.hub].name == hub);
            roles.extend(named.map(|role| (link.name.clone(), role.column())));
        }
    }
    roles
}

/// The hub by this name, as the first source has it.
pub(super) fn find_hub<'m>(models: &[&'m Model], name: &str) -> Option<&'m Hub> {
    models.iter().flat_map(|model| &model.hubs).find(|hub| hub.name == name)
}

/// The hash key and the business keys of a hub, under the alias `hub`.
pub(super) fn hub_columns(hub: &Hub) -> (Vec<ViewColumn>, Vec<String>) {
    let mut columns = vec![ViewColumn::new("hash_key", format!("hash key in {}", hub.name))];
    let mut values = vec!["hub.hash_key".to_owned()];
    for key in &hub.key {
        columns.push(ViewColumn::new(&key.name, "business key"));
        values.push(format!("hub.{}", ident(&key.name)));
    }
    (columns, values)
}

fn hub_view(models: &[&Model], name: &str) -> Option<ViewSpec> {
    let hub = find_hub(models, name)?;
    let mut queries: Vec<String> = tables_of_hub(models, name)
        .into_iter()
        .map(|table| {
            format!(
                "SELECT live.hash_key, {} FROM {VAULT_SCHEMA}.{} AS live\n    WHERE {}",
                has_waiting_events("live", WAITING),
                table.status,
                exists_now(table)
            )
        })
        .collect();
    if queries.is_empty() {
        let roles = roles_of_hub(models, name).into_iter();
        queries.extend(roles.map(|(link, column)| {
            let view = view_name("current_", &link);
            format!(
                "SELECT link.{column} AS hash_key, link.{WAITING} FROM {MART_SCHEMA}.{view} AS link"
            )
        }));
        let rows = models.iter().flat_map(|model| multi_active_of_hub(model, name));
        queries.extend(rows.map(|(table, column)| {
            format!(
                "SELECT live.{column} AS hash_key, {} FROM {VAULT_SCHEMA}.{} AS live\n    WHERE {}",
                has_waiting_events("live", WAITING),
                table.status,
                exists_now(table)
            )
        }));
    }
    if queries.is_empty() {
        return None; // no table and no link says which keys exist, and a reference has no rows
    }
    let (columns, values) = hub_columns(hub);
    let waiting = beside(WAITING, &columns);
    let keys = if queries.len() == 1 && !tables_of_hub(models, name).is_empty() {
        queries.remove(0)
    } else {
        format!(
            "SELECT mention.hash_key, bool_or(mention.{WAITING}) AS {WAITING}\n    FROM (\n    {}\n    ) AS mention\n    \
             GROUP BY mention.hash_key",
            queries.join("\n    UNION ALL\n    ")
        )
    };
    let query = format!(
        "SELECT\n    {},\n    live.{WAITING} AS {waiting}\nFROM (\n    {keys}\n) AS live\n\
         {}",
        values.join(",\n    "),
        join_keys(models, hub, "live"),
    );
    Some(ViewSpec {
        schema: MART_SCHEMA,
        name: view_name("current_", name),
        comment: format!("keys of {name} that exist now: {}", hub.comment),
        columns: columns.into_iter().chain([ViewColumn::new(waiting, WAITING_COMMENT)]).collect(),
        query,
    })
}
