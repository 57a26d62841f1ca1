//! Views that say when each key of a hub or link was first mentioned, by content.
//!
//! In: the models of all sources of a warehouse. Out: one view for each hub and link, over what all sources say about
//! it. The row of a hub or link keeps the mention that was loaded first,
//! which depends on the order in which topics were loaded. The views look at the versions of satellites instead. Those
//! are a function of the topics, and so are the views.
//!
//! A link is mentioned by every row of a table whose parent the link is, and by every version of an effectivity
//! satellite that names the link. A hub is mentioned by the rows of tables whose parent the hub is, and by the links
//! that it takes part in. The rows of a multi-active table mention the hub that their satellites name. A reference has
//! no row of its own, and so no view. A link that is neither (the key of a table determines it, and the table has
//! another parent) leaves no version of its own. Its row stands for it.

use std::collections::BTreeSet;

use super::super::ddl::{SYSTEM, shorten};
use super::current_keys::{find_hub, find_link, hub_names, link_names, multi_active_of_hub};
use super::{ViewColumn, ViewSpec};
use crate::model::{Hub, KEY_COLUMNS, Link, Model, Parent, VAULT_SCHEMA};

/// The views of all links and hubs of these models, in an order in which each uses only those before it.
#[must_use]
pub fn views(models: &[&Model]) -> Vec<ViewSpec> {
    let links = link_names(models).into_iter().filter_map(|name| {
        let (_, link) = find_link(models, &name)?;
        Some(view(&name, &of_link(models, link)))
    });
    let hubs = hub_names(models).into_iter().filter_map(|name| {
        let hub = find_hub(models, &name).filter(|hub| !hub.is_carried)?;
        Some(view(&name, &of_hub(models, hub)))
    });
    links.chain(hubs).collect()
}

/// The name of a hub's or link's view.
fn name_of(table: &str) -> String {
    shorten(table, "_first_mention")
}

fn view(table: &str, mentions: &[String]) -> ViewSpec {
    let query = format!(
        "SELECT DISTINCT ON (hash_key) hash_key, load_date, record_source, source_system_id\n\
         FROM (\n    {}\n) AS mentions\n\
         WHERE record_source <> '{SYSTEM}'\n\
         ORDER BY hash_key, load_date, record_source",
        mentions.join("\n    UNION ALL\n    "),
    );
    ViewSpec {
        schema: VAULT_SCHEMA,
        name: name_of(table),
        comment: format!("the earliest mention of each key of {table}, whatever was loaded first"),
        columns: KEY_COLUMNS.map(|name| ViewColumn::new(name, "")).to_vec(),
        query,
    }
}

/// Mentions of keys in `from`, where `key` names the column that holds the key.
fn mentions(key: &str, from: &str) -> String {
    format!(
        "SELECT {key} AS hash_key, m.load_date, m.record_source, m.source_system_id FROM {from}"
    )
}

fn of_link(models: &[&Model], link: &Link) -> Vec<String> {
    let name = &link.name;
    let mut found = Vec::new();
    for (model, table) in
        models.iter().flat_map(|model| model.tables.iter().map(move |t| (model, t)))
    {
        let bound = table.links.find_id(|binding| model.links[binding.link].name == *name);
        let Some(binding) = bound else { continue };
        if table.parent == Parent::Link(binding) {
            found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{} AS m", table.status)));
        } else if let Some(effectivity) = &table.links[binding].effectivity {
            let from = format!("{VAULT_SCHEMA}.{effectivity} AS m");
            found.push(mentions("m.link_hash_key", &from));
        } else {
            found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{name} AS m")));
        }
    }
    or_own_rows(found, name)
}

fn of_hub(models: &[&Model], hub: &Hub) -> Vec<String> {
    let mut found = Vec::new();
    let mut roles = BTreeSet::new();
    for model in models {
        let is_it = |id| model.hubs[id].name == hub.name;
        for table in &model.tables {
            if matches!(table.parent, Parent::Hub(binding) if is_it(table.hubs[binding].hub)) {
                found
                    .push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{} AS m", table.status)));
            }
        }
        for (table, column) in multi_active_of_hub(model, &hub.name) {
            let from = format!("{VAULT_SCHEMA}.{} AS m", table.status);
            found.push(mentions(&format!("m.{column}"), &from));
        }
        // A link that several sources feed has one view for all of them.
        for link in model.links.iter().filter(|link| link.has_table()) {
            let named = link.roles.iter().filter(|role| is_it(role.hub));
            roles.extend(named.map(|role| (link.name.clone(), role.column())));
        }
    }
    for (link, column) in roles {
        let view = name_of(&link);
        let from = format!(
            "{VAULT_SCHEMA}.{link} AS l JOIN {VAULT_SCHEMA}.{view} AS m ON m.hash_key = l.hash_key"
        );
        found.push(mentions(&format!("l.{column}"), &from));
    }
    or_own_rows(found, &hub.name)
}

/// A hub or link that no table of this model feeds has only its own rows.
fn or_own_rows(mut found: Vec<String>, table: &str) -> Vec<String> {
    if found.is_empty() {
        found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{table} AS m")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn a_hub_is_mentioned_by_its_own_table_and_by_its_links() {
        let text = include_str!("../../../../connectors/airline/vault.toml");
        let views = views(&[&model::parse(text).unwrap()]);
        assert_eq!(views.len(), 11);
        let of = |name: &str| {
            let view = views.iter().find(|view| view.name == name).unwrap();
            view.query.clone()
        };
        let airports = of("hub_airports_first_mention");
        assert!(airports.contains("dwh_detailed.sat_airports_status"));
        assert!(airports.contains("l.departure_airport_hash_key"));
        assert!(of("link_flight_routes_first_mention").contains("m.link_hash_key"));
    }
}
