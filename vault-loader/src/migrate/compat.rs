//! Which changes of a model keep the stored vault valid.
//!
//! In: the model that the vault was made from and the new one. Out: every change that would destroy stored rows or make
//! their hash keys mean something else. New tables and new columns at the end of a satellite are allowed.

use crate::model::{ColumnId, HubScope, Link, LinkBinding, Model, Table, TableId};

/// Lists the changes that are not allowed. Each is one line that names the place.
pub(super) fn destructive(old: &Model, new: &Model) -> Vec<String> {
    let mut found = Vec::new();
    if old.source.system_id != new.source.system_id {
        found.push("source.system_id changed, but stored rows keep the old number".to_owned());
    }
    found.extend(other_scope(old, new));
    for hub in &old.hubs {
        match new.hubs.iter().find(|other| other.name == hub.name) {
            None => found.push(format!("{}: removed from the model", hub.name)),
            Some(other)
                if other.scope != hub.scope
                    || other.key != hub.key
                    || other.folded != hub.folded =>
            {
                found.push(format!(
                    "{}: its key or its scope changed; every hash key of it would change with it",
                    hub.name
                ));
            }
            Some(_) => {}
        }
    }
    for link in &old.links {
        match new.links.iter().find(|other| other.name == link.name) {
            Some(other) if other.kind != link.kind => {
                found.push(format!(
                    "{}: its rows would stand elsewhere, because non_historized changed",
                    link.name
                ));
            }
            None => found.push(format!("{}: removed from the model", link.name)),
            Some(other) if link_shape(old, link) != link_shape(new, other) => {
                let name = &link.name;
                found.push(format!(
                    "{name}: its hubs or its dependent key changed; every hash key of it would change with it"
                ));
            }
            Some(_) => {}
        }
    }
    for table in &old.tables {
        match new.tables.iter().find(|other| other.is(table)) {
            None => found.push(format!("table {}: removed from the model", table.label)),
            Some(other) => compare_tables(old, table, new, other, &mut found),
        }
    }
    found
}

/// The name that scoped hash keys are made with is another one.
fn other_scope(old: &Model, new: &Model) -> Option<String> {
    let (before, now) = (old.source.key_scope(), new.source.key_scope());
    let is_used = old.hubs.iter().any(|hub| hub.scope == HubScope::Source);
    (is_used && before != now).then(|| {
        format!(
            "source.keys_of: scoped hash keys are made with {before} and would be made with {now}, so every one of them would \
             change"
        )
    })
}

/// Source tables of both models that now feed hubs, links or satellites which they did not feed before. Their rows that
/// were loaded already are missing there. Each table comes as the new model knows it, with the names of what it feeds
/// now.
pub(super) fn newly_fed(old: &Model, new: &Model) -> Vec<(TableId, Vec<String>)> {
    let mut found = Vec::new();
    for (id, table) in new.tables.with_ids() {
        let Some(before) = old.tables.iter().find(|before| before.is(table)) else {
            continue;
        };
        let fed: Vec<String> = feeds(new, table);
        let fed_before = feeds(old, before);
        let fed: Vec<String> =
            fed.into_iter().filter(|target| !fed_before.contains(target)).collect();
        if !fed.is_empty() {
            found.push((id, fed));
        }
    }
    found
}

/// What a source table feeds. Hubs are listed by role, because one table can name a hub twice.
fn feeds(model: &Model, table: &Table) -> Vec<String> {
    let hubs = table.hubs.iter().map(|binding| {
        let hub = &model.hubs[binding.hub].name;
        if *hub == binding.role { hub.clone() } else { format!("{hub} as {}", binding.role) }
    });
    let links = table.links.iter().map(|binding| model.links[binding.link].name.clone());
    let satellites = table.satellites.iter().map(|satellite| satellite.name.clone());
    hubs.chain(links).chain(satellites).chain(table.tracking.clone()).collect()
}

fn link_shape<'a>(
    model: &'a Model,
    link: &'a Link,
) -> (Vec<(&'a str, &'a str)>, &'a [crate::model::Column]) {
    let roles =
        link.roles.iter().map(|role| (role.role.as_str(), model.hubs[role.hub].name.as_str()));
    (roles.collect(), &link.dependent_key)
}

fn names(table: &Table, columns: &[ColumnId]) -> Vec<String> {
    columns.iter().map(|&column| table.columns[column].name.clone()).collect()
}

/// The names under which the vault stores columns.
fn stored(table: &Table, columns: &[ColumnId]) -> Vec<String> {
    columns.iter().map(|&column| table.columns[column].vault_name().to_owned()).collect()
}

/// Which of a table's hub bindings stands for each role of a link.
fn roles<'a>(table: &'a Table, binding: &LinkBinding) -> Vec<&'a str> {
    binding.bindings.iter().map(|&hub| table.hubs[hub].role.as_str()).collect()
}

fn compare_tables(old: &Model, a: &Table, new: &Model, b: &Table, found: &mut Vec<String>) {
    let mut complain = |what: &str| found.push(format!("table {}: {what}", a.label));
    if names(a, &a.key) != names(b, &b.key) {
        complain("its primary key changed");
    }
    if old.parent_name(a) != new.parent_name(b) {
        complain("its parent changed, so its satellites' hash keys would mean something else");
    }
    if a.status != b.status {
        complain("its status satellite changed");
    }
    if a.tracking.is_some() && a.tracking != b.tracking {
        complain("its record-tracking satellite was removed or renamed");
    }
    for binding in &a.hubs {
        let same = b.hubs.iter().any(|other| {
            other.role == binding.role
                && new.hubs[other.hub].name == old.hubs[binding.hub].name
                && names(b, &other.columns) == names(a, &binding.columns)
                && other.casts == binding.casts
        });
        if !same {
            complain(&format!("its binding of hub {} changed", binding.role));
        }
    }
    for binding in &a.links {
        let name = &old.links[binding.link].name;
        let same = b.links.iter().any(|other| {
            new.links[other.link].name == *name
                && other.effectivity == binding.effectivity
                && names(b, &other.dependent_key) == names(a, &binding.dependent_key)
                && roles(b, other) == roles(a, binding)
        });
        if !same {
            complain(&format!(
                "its link {name} changed: its effectivity, or what its keys are made of"
            ));
        }
    }
    for satellite in &a.satellites {
        let before = stored(a, &satellite.columns);
        match b.satellites.iter().find(|other| other.name == satellite.name) {
            None => complain(&format!("satellite {} was removed or renamed", satellite.name)),
            Some(other) => {
                let after = stored(b, &other.columns);
                let known =
                    |column: &&String| a.columns.iter().any(|known| known.vault_name() == *column);
                let is_fixed = !other.is_historized;
                let late =
                    |column: &&String| (known(column) || is_fixed) && !before.contains(column);
                if let Some(late) = after.iter().find(late) {
                    complain(&format!(
                        "column {late} came to satellite {}, whose stored versions lack it: give it a satellite of its own",
                        satellite.name
                    ));
                }
                if satellite.is_historized && !other.is_historized {
                    complain(&format!(
                        "satellite {} is not historized any more, but its keys may have several versions: \
                         give the model a satellite of another name",
                        satellite.name
                    ));
                }
                if let Some(gone) = before.iter().find(|column| !after.contains(column)) {
                    complain(&format!("column {gone} left satellite {}", satellite.name));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Id};

    #[track_caller]
    fn check(change: impl FnOnce(&mut Model), expected: &str) {
        let old = model::parse(include_str!("../../../connectors/airline/vault.toml")).unwrap();
        assert!(destructive(&old, &old).is_empty());
        let mut new = old.clone();
        change(&mut new);
        let found = destructive(&old, &new);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
    }

    fn table<'m>(model: &'m mut Model, name: &str) -> &'m mut Table {
        model.tables.iter_mut().find(|table| table.name == name).unwrap()
    }

    #[test]
    fn a_known_column_cannot_come_to_a_stored_satellite() {
        let late = |model: &mut Model| {
            let tickets = table(model, "tickets");
            let column = tickets.columns.find_id(|column| column.name == "passenger_id");
            tickets.satellites[0].columns.push(column.unwrap());
        };
        check(late, "column passenger_id came to satellite sat_ticket_passengers");
    }

    #[test]
    fn the_source_that_keys_belong_to_cannot_change() {
        let other = |model: &mut Model| model.source.keys_of = Some("other".to_owned());
        check(
            other,
            "source.keys_of: scoped hash keys are made with airline and would be made with other",
        );
    }

    #[test]
    fn where_keys_stand_cannot_change() {
        let text = include_str!("../../tests/support/shop.vault.toml");
        let shop = model::parse(text).unwrap();
        assert!(destructive(&shop, &shop).is_empty());
        let found = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            destructive(&shop, &model::parse(&text.replacen(from, to, 1)).unwrap()).join("\n")
        };
        let stored = found(
            "kind = \"text\"\nnumber",
            "kind = { type = \"text\", stored_as = \"sort\" }\nnumber",
        );
        assert!(stored.contains("table phones: its parent changed"), "{stored}");
        let mut ordinary = shop.clone();
        let payments = ordinary.links.find_id(|link| link.name == "link_payments").unwrap();
        ordinary.links[payments].kind = model::LinkKind::Ordinary;
        let found = destructive(&shop, &ordinary).join("\n");
        assert!(found.contains("link_payments: its rows would stand elsewhere"), "{found}");
    }

    #[test]
    fn a_satellite_may_become_historized_and_not_the_reverse() {
        let fix = |model: &mut Model| {
            table(model, "tickets").satellites[0].is_historized = false;
        };
        check(fix, "satellite sat_ticket_passengers is not historized any more");
        let new = model::parse(include_str!("../../../connectors/airline/vault.toml")).unwrap();
        let mut old = new.clone();
        fix(&mut old);
        assert!(destructive(&old, &new).is_empty());
        // What is stored lacks a column that comes now, for ever.
        let mut grown = old.clone();
        let tickets = table(&mut grown, "tickets");
        let mut late = (*tickets.columns)[0].clone();
        late.name = "late".to_owned();
        let late = tickets.columns.push(late);
        tickets.satellites[0].columns.push(late);
        let found = destructive(&old, &grown);
        let expected = "column late came to satellite sat_ticket_passengers";
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
    }

    #[test]
    fn what_a_table_feeds_only_now_is_named() {
        let new = model::parse(include_str!("../../../connectors/airline/vault.toml")).unwrap();
        assert!(newly_fed(&new, &new).is_empty());
        let mut old = new.clone();
        let tickets = old.tables.find_id(|table| table.name == "tickets").unwrap();
        let link = &new.links[old.tables[tickets].links.items_mut().remove(1).link].name;
        let role = old.tables[tickets].hubs.items_mut().pop().unwrap().role;
        old.tables[tickets].satellites.clear();
        let found = newly_fed(&old, &new);
        let fed = ["hub_passengers as passenger", link, "sat_ticket_passengers"];
        assert_eq!(role, "passenger");
        assert_eq!(found, [(tickets, fed.map(str::to_owned).to_vec())]);
        // A new table has no loaded events, so nothing of it is missing.
        old.tables.items_mut().remove(tickets.to_index());
        assert!(newly_fed(&old, &new).is_empty());
    }

    #[test]
    fn what_hash_keys_are_made_of_must_not_change() {
        let dependent = |model: &mut Model| {
            let seats = table(model, "seats");
            let seat = seats.links.first_mut().unwrap();
            let other = seats.columns.ids().find(|column| !seat.dependent_key.contains(column));
            seat.dependent_key[0] = other.unwrap();
        };
        check(dependent, "table seats: its link link_aircraft_seats changed");
        let roles = |model: &mut Model| {
            table(model, "flights").links.first_mut().unwrap().bindings.swap(1, 2);
        };
        check(roles, "table flights: its link link_flight_routes changed");
        let hub = |model: &mut Model| {
            let other = model.hubs.find_id(|hub| hub.name == "hub_tickets").unwrap();
            table(model, "airports").hubs.first_mut().unwrap().hub = other;
        };
        check(hub, "table airports: its binding of hub");
    }
}
