//! Whether the models of two sources say the same about what both feed.
//!
//! In: the last model of another source of the warehouse and the new one. Out: every contradiction, as one line that
//! names both files. Hubs and links may stand in both models, and then with the same keys. A topic and a satellite
//! belong to one source.

use crate::model::{Column, Hub, HubScope, Link, Model, Table};

/// A model and how messages call it.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) model: &'a Model,
    pub(super) file: &'a str,
}

/// Lists what the two models contradict each other in.
pub(super) fn contradictions(other: Named<'_>, new: Named<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for hub in &new.model.hubs {
        let theirs = other.model.hubs.iter().find(|theirs| theirs.name == hub.name);
        let Some(theirs) = theirs else { continue };
        let name = &hub.name;
        if theirs.scope != hub.scope {
            found.push(differ(
                name,
                "scope",
                (new, scope(hub.scope)),
                (other, scope(theirs.scope)),
            ));
        }
        if theirs.folded != hub.folded {
            let (ours, others) = (folds(hub), folds(theirs));
            found.push(differ(name, "list of folded key columns", (new, &ours), (other, &others)));
        }
        if !same_columns(&theirs.key, &hub.key) {
            found.push(differ(name, "key", (new, &list(&hub.key)), (other, &list(&theirs.key))));
        }
    }
    // The link of a multi-active table belongs to that table.
    for link in new.model.links.iter().filter(|link| link.has_table()) {
        let theirs = other.model.links.iter().find(|theirs| theirs.name == link.name);
        let Some(theirs) = theirs else { continue };
        if theirs.kind != link.kind {
            let (ours, others) = (history(link), history(theirs));
            found.push(differ(&link.name, "history", (new, ours), (other, others)));
        }
        let (ours, others) = (hubs_of(new.model, link), hubs_of(other.model, theirs));
        if ours != others {
            found.push(differ(&link.name, "list of hubs", (new, &ours), (other, &others)));
        }
        if !same_columns(&theirs.dependent_key, &link.dependent_key) {
            let (ours, others) = (list(&link.dependent_key), list(&theirs.dependent_key));
            found.push(differ(&link.name, "dependent key", (new, &ours), (other, &others)));
        }
    }
    for table in &new.model.tables {
        one_source_each(other, new, table, &mut found);
    }
    found
}

/// Says whether the source whose numbers the keys are is none of the warehouse, or has keys of yet another one. Nobody
/// could mend that once keys are stored.
pub(super) fn unknown_owner(others: &[Model], new: Named<'_>) -> Option<String> {
    let owner = new.model.source.keys_of.as_deref()?;
    let file = new.file;
    let Some(known) = others.iter().find(|other| other.source.name == owner) else {
        return Some(format!(
            "source.keys_of: {file} names {owner}, and the warehouse has no source of that name: correct it, or migrate \
             the model of {owner} first"
        ));
    };
    let further = known.source.keys_of.as_deref()?;
    Some(format!(
        "source.keys_of: {file} names {owner}, whose own keys are those of {further}: name {further}"
    ))
}

/// Complains about what only one of the two sources may have.
fn one_source_each(other: Named<'_>, new: Named<'_>, table: &Table, found: &mut Vec<String>) {
    let topic = new.model.topic(table);
    let source = &other.model.source.name;
    let record_source = new.model.record_source(table);
    let same = |theirs: &Table| {
        other.model.topic(theirs) == topic || other.model.record_source(theirs) == record_source
    };
    if other.model.tables.iter().any(same) {
        found.push(format!(
            "topic {topic}: {} reads it, and so does {} of the source {source}: leave it in one of the two",
            new.file, other.file
        ));
    }
    for satellite in table.satellite_names() {
        if other
            .model
            .tables
            .iter()
            .any(|theirs| theirs.satellite_names().any(|name| name == satellite))
        {
            found.push(format!(
                "{satellite}: {} describes it, and so does {} of the source {source}: a satellite belongs to one source, \
                 so choose another name",
                new.file, other.file
            ));
        }
    }
}

/// A hub or link that the two files describe in two ways.
fn differ(name: &str, what: &str, ours: (Named<'_>, &str), theirs: (Named<'_>, &str)) -> String {
    format!(
        "{name}: its {what} is {} in {}, and {} in {} of the source {}: let the two agree, or choose another name",
        ours.1, ours.0.file, theirs.1, theirs.0.file, theirs.0.model.source.name
    )
}

fn scope(scope: HubScope) -> &'static str {
    match scope {
        HubScope::Shared => "\"shared\"",
        HubScope::Source => "\"source\"",
    }
}

fn history(link: &Link) -> &'static str {
    if link.is_carried() { "non_historized" } else { "in satellites" }
}

fn folds(hub: &Hub) -> String {
    let folded = hub.key.iter().zip(&hub.folded).filter(|(_, folded)| **folded);
    let names: Vec<&str> = folded.map(|(column, _)| column.name.as_str()).collect();
    format!("({})", names.join(", "))
}

/// Whether both make one column of the vault and one hash of each value.
fn same_columns(a: &[Column], b: &[Column]) -> bool {
    let same = |(a, b): (&Column, &Column)| {
        a.name == b.name && a.kind.hashes_like(b.kind) && a.kind.vault_type() == b.kind.vault_type()
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

fn list(columns: &[Column]) -> String {
    let columns =
        columns.iter().map(|column| format!("{} {}", column.name, column.kind.vault_type()));
    format!("({})", columns.collect::<Vec<_>>().join(", "))
}

fn hubs_of(model: &Model, link: &Link) -> String {
    let hubs =
        link.roles.iter().map(|role| format!("{} of {}", role.role, model.hubs[role.hub].name));
    format!("({})", hubs.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const AIRLINE: &str = include_str!("../../../connectors/airline/vault.toml");

    /// A second source with a hub and a link of the airline's.
    const AGENCY: &str = r#"
        format_version = 1
        [source]
        name = "agency"
        schema = "public"
        system_id = 2
        comment = "a travel agency"
        [[hub]]
        name = "hub_aircrafts"
        comment = "an aircraft"
        key = [{ name = "aircraft_code", type = "varchar(3)" }]
        [[link]]
        name = "link_aircraft_seats"
        comment = "a seat"
        hubs = [{ role = "aircraft", hub = "hub_aircrafts" }]
        dependent_key = [{ name = "seat_no", type = "text" }]
        [[table]]
        name = "chairs"
        key = ["plane", "seat"]
        parent = "link_aircraft_seats"
        status = "sat_agency_chairs_status"
        hubs = [{ role = "aircraft", hub = "hub_aircrafts", columns = ["plane"] }]
        links = [{ link = "link_aircraft_seats", dependent_key = ["seat"] }]
        columns = { plane = "text", seat = "text" }
    "#;

    fn found(agency: &str) -> Vec<String> {
        let airline = model::parse(AIRLINE).unwrap();
        let agency = model::parse(agency).unwrap();
        let other = Named { model: &airline, file: "airline.toml" };
        contradictions(other, Named { model: &agency, file: "agency.toml" })
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        assert!(AGENCY.contains(from), "the model no longer holds {from:?}");
        let found = found(&AGENCY.replace(from, to));
        let first = found.first().expect("a contradiction is found");
        assert!(first.contains(expected), "{found:?}");
        assert!(first.contains("agency.toml") && first.contains("airline.toml"), "{found:?}");
    }

    #[test]
    fn two_sources_share_hubs_and_links_that_they_describe_alike() {
        assert_eq!(found(AGENCY), Vec::<String>::new());
    }

    #[test]
    fn what_is_shared_is_described_alike() {
        check(
            "comment = \"an aircraft\"",
            "comment = \"an aircraft\"\nscope = \"source\"",
            "hub_aircrafts: its scope is \"source\" in agency.toml, and \"shared\" in airline.toml",
        );
        check("\"aircraft_code\"", "\"code\"", "hub_aircrafts: its key is (code text)");
        check(
            "role = \"aircraft\"",
            "role = \"plane\"",
            "list of hubs is (plane of hub_aircrafts)",
        );
        check("name = \"seat_no\"", "name = \"seat\"", "its dependent key is (seat text)");
    }

    #[test]
    fn a_key_is_folded_by_all_sources_or_by_none() {
        let airline = model::parse(AIRLINE).unwrap();
        let mut folding = airline.clone();
        folding.source.name = "folding".to_owned();
        folding.source.topic_prefix = "folding".to_owned();
        folding.tables.items_mut().clear();
        let tickets = folding.hubs.find_id(|hub| hub.name == "hub_tickets").unwrap();
        folding.hubs[tickets].folded = vec![true];
        let other = Named { model: &airline, file: "airline.toml" };
        let found = contradictions(other, Named { model: &folding, file: "folding.toml" });
        let expected = "hub_tickets: its list of folded key columns is (ticket_no) in folding.toml, and () in airline.toml";
        assert!(matches!(found.as_slice(), [one] if one.starts_with(expected)), "{found:?}");
    }

    #[test]
    fn a_link_is_non_historized_for_one_source_alone() {
        let shop = include_str!("../../tests/support/shop.vault.toml");
        let shop = model::parse(shop).unwrap();
        let mut other = shop.clone();
        other.source.name = "other".to_owned();
        other.source.topic_prefix = "other".to_owned();
        fn named(model: &Model) -> Named<'_> {
            Named { model, file: "a.toml" }
        }
        let both = contradictions(named(&shop), named(&other));
        assert!(
            both.iter().any(|line| line.starts_with("link_payments: a.toml describes it")),
            "{both:?}"
        );
        assert!(!both.iter().any(|line| line.contains("hub_customers by kind")), "{both:?}");
        let payments = other.links.find_id(|link| link.name == "link_payments").unwrap();
        other.links[payments].kind = model::LinkKind::Ordinary;
        let both = contradictions(named(&shop), named(&other));
        let expected =
            "link_payments: its history is in satellites in a.toml, and non_historized in a.toml";
        assert!(both.iter().any(|line| line.starts_with(expected)), "{both:?}");
    }

    #[test]
    fn topics_and_satellites_belong_to_one_source() {
        check("sat_agency_chairs_status", "sat_seats_status", "belongs to one source");
        check(
            "sat_agency_chairs_status",
            "sat_flight_routes_effectivity",
            "sat_flight_routes_effectivity: agency.toml describes it",
        );
    }
}
