//! Views that say when each key of a hub or link was first mentioned, by content.
//!
//! In: a [`Plan`]. Out: one view for each hub and link. The row of a hub or link keeps the mention that was loaded
//! first, which depends on the order in which topics were loaded. The views look at the versions of satellites instead.
//! Those are a function of the topics, and so are the views.
//!
//! A link is mentioned by every row of a table whose parent the link is, and by every version of an effectivity
//! satellite that names the link. A hub is mentioned by the rows of tables whose parent the hub is, and by the links
//! that it takes part in. A link that is neither (the key of a table determines it, and the table has another parent)
//! leaves no version of its own. Its row stands for it.

use super::ddl::{SYSTEM, quote, shorten};
use crate::model::{HubId, LinkId, Parent, Plan, VAULT_SCHEMA};

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSpec {
    /// its name with the schema
    pub qualified: String,
    /// the statements that make it or replace it
    pub create: String,
}

/// The views of all links and hubs, in an order in which each uses only those before it.
#[must_use]
pub fn views(plan: &Plan) -> Vec<ViewSpec> {
    let links = plan.model.links.with_ids().map(|(id, link)| view(&link.name, &of_link(plan, id)));
    let hubs = plan.model.hubs.with_ids().map(|(id, hub)| view(&hub.name, &of_hub(plan, id)));
    links.chain(hubs).collect()
}

/// The name of a hub's or link's view.
fn name_of(table: &str) -> String {
    format!("{VAULT_SCHEMA}.{}", shorten(table, "_first_mention"))
}

fn view(table: &str, mentions: &[String]) -> ViewSpec {
    let qualified = name_of(table);
    let comment = format!("the earliest mention of each key of {table}, whatever was loaded first");
    let create = format!(
        "CREATE OR REPLACE VIEW {qualified} AS\n\
         SELECT DISTINCT ON (hash_key) hash_key, load_date, record_source, source_system_id\n\
         FROM (\n    {}\n) AS mentions\n\
         WHERE record_source <> '{SYSTEM}'\n\
         ORDER BY hash_key, load_date, record_source;\n\
         COMMENT ON VIEW {qualified} IS {};\n",
        mentions.join("\n    UNION ALL\n    "),
        quote(&comment)
    );
    ViewSpec { qualified, create }
}

/// Mentions of keys in `from`, where `key` names the column that holds the key.
fn mentions(key: &str, from: &str) -> String {
    format!(
        "SELECT {key} AS hash_key, m.load_date, m.record_source, m.source_system_id FROM {from}"
    )
}

fn of_link(plan: &Plan, link: LinkId) -> Vec<String> {
    let mut found = Vec::new();
    for table in &plan.model.tables {
        let Some(binding) = table.links.find_id(|binding| binding.link == link) else { continue };
        if table.parent == Parent::Link(binding) {
            found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{} AS m", table.status)));
        } else if let Some(effectivity) = &table.links[binding].effectivity {
            let from = format!("{VAULT_SCHEMA}.{effectivity} AS m");
            found.push(mentions("m.link_hash_key", &from));
        } else {
            let name = &plan.model.links[link].name;
            found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{name} AS m")));
        }
    }
    or_own_rows(found, &plan.model.links[link].name)
}

fn of_hub(plan: &Plan, hub: HubId) -> Vec<String> {
    let mut found = Vec::new();
    for table in &plan.model.tables {
        let is_parent =
            matches!(table.parent, Parent::Hub(binding) if table.hubs[binding].hub == hub);
        if is_parent {
            found.push(mentions("m.hash_key", &format!("{VAULT_SCHEMA}.{} AS m", table.status)));
        }
    }
    for link in &plan.model.links {
        for role in link.roles.iter().filter(|role| role.hub == hub) {
            let from = format!(
                "{VAULT_SCHEMA}.{} AS l JOIN {} AS m ON m.hash_key = l.hash_key",
                link.name,
                name_of(&link.name)
            );
            found.push(mentions(&format!("l.{}", role.column()), &from));
        }
    }
    or_own_rows(found, &plan.model.hubs[hub].name)
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
        let text = include_str!("../../../connectors/airline/vault.toml");
        let views = views(&Plan::new(model::parse(text).unwrap()));
        assert_eq!(views.len(), 11);
        let of = |name: &str| {
            let view = views.iter().find(|view| view.qualified.ends_with(name)).unwrap();
            view.create.clone()
        };
        let airports = of(".hub_airports_first_mention");
        assert!(airports.contains("dwh_detailed.sat_airports_status"));
        assert!(airports.contains("l.departure_airport_hash_key"));
        assert!(of(".link_flight_routes_first_mention").contains("m.link_hash_key"));
    }
}
