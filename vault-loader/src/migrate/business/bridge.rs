//! Bridges: for each snapshot the chains of keys that links formed, from one hub to another.
//!
//! In: the models. Out: the table, and the statement that writes a snapshot's rows. A chain holds at a snapshot when
//! each of its links holds: the row that states the link existed, and where an effectivity satellite places the link,
//! it placed it there. So a bridge has the rows that a join through the views `history_link_…` at that time has.
//!
//! A snapshot of a bridge is made from the vault alone. To derive it from the one before it, one would have to know
//! which chains a changed link takes part in, and a chain changes with any of its links.

use std::collections::HashSet;

use super::super::ddl::{ColumnSpec, SYSTEM, shorten};
use super::super::views::current_keys::Feed;
use super::{BUSINESS_SCHEMA, BusinessTable, NotFed, SNAPSHOT};
use crate::model::{Bridge, Hub, Model, VAULT_SCHEMA, ident};

/// A column, and its value in a row of the joined path.
struct Valued {
    column: ColumnSpec,
    value: String,
}

/// Gives each column a name of its own.
struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// The name, or the name with a number behind it.
    fn free(&mut self, name: &str) -> String {
        let mut free = shorten(name, "");
        let mut number = 1;
        while !self.taken.insert(free.clone()) {
            number += 1;
            free = shorten(name, &format!("_{number}"));
        }
        free
    }
}

/// A hub of the path: its role there, and where its hash key stands.
struct Stop<'m> {
    role: &'m str,
    hub: &'m Hub,
    key: String,
}

/// The hubs of the path in order. The link of step n has the alias `link_n`.
fn stops<'m>(model: &'m Model, bridge: &Bridge) -> Vec<Stop<'m>> {
    let mut found = Vec::with_capacity(bridge.steps.len() + 1);
    for (step, place) in bridge.steps.iter().zip(1usize..) {
        let roles = &model.links[step.link].roles;
        let ends = if place == 1 { vec![step.from, step.to] } else { vec![step.to] };
        found.extend(ends.into_iter().map(|end| Stop {
            role: &roles[end].role,
            hub: &model.hubs[roles[end].hub],
            key: format!("link_{place}.{}", roles[end].column()),
        }));
    }
    found
}

fn columns(model: &Model, bridge: &Bridge) -> Vec<Valued> {
    let mut names = Names { taken: HashSet::from([SNAPSHOT.to_owned()]) };
    let stops = stops(model, bridge);
    let mut found = Vec::new();
    for (place, stop) in stops.iter().enumerate() {
        if let Some(step) = place.checked_sub(1) {
            let link = &model.links[bridge.steps[step].link].name;
            let name = names.free(&shorten(link, "_hash_key"));
            let comment = format!("hash key in {link}");
            let column = ColumnSpec::new(&name, "bytea", true, &comment);
            found.push(Valued { column, value: format!("link_{place}.hash_key") });
        }
        let name = names.free(&shorten(stop.role, "_hash_key"));
        let comment = format!("hash key in {}", stop.hub.name);
        let column = ColumnSpec::new(&name, "bytea", true, &comment);
        found.push(Valued { column, value: stop.key.clone() });
    }
    let all = || stops.iter().flat_map(|stop| &stop.hub.key);
    for (place, stop) in stops.iter().enumerate() {
        for key in &stop.hub.key {
            let is_alone = all().filter(|other| other.name == key.name).count() == 1;
            let wanted =
                if is_alone { key.name.clone() } else { format!("{}_{}", stop.role, key.name) };
            let name = names.free(&wanted);
            let comment = format!("business key of {}", stop.hub.name);
            let column = ColumnSpec::new(&name, &key.kind.vault_type(), false, &comment).bytewise();
            found.push(Valued { column, value: format!("hub_{place}.{}", ident(&key.name)) });
        }
    }
    found
}

pub(super) fn table(model: &Model, bridge: &Bridge) -> BusinessTable {
    let path: Vec<&str> = bridge
        .steps
        .iter()
        .flat_map(|step| {
            let link = &model.links[step.link];
            [link.name.as_str(), model.hubs[link.roles[step.to].hub].name.as_str()]
        })
        .collect();
    let start = &model.hubs[bridge.start].name;
    let snapshot = "the time of which the row is: what was published by then counts";
    let date = "timestamp with time zone";
    let own = columns(model, bridge);
    let links = own.iter().filter(|valued| valued.value.ends_with(".hash_key"));
    let key = links.map(|valued| valued.column.name.clone());
    let primary_key = [SNAPSHOT.to_owned()].into_iter().chain(key).collect();
    let own = own.into_iter().map(|valued| valued.column);
    BusinessTable {
        name: bridge.name.clone(),
        comment: format!(
            "{}: one row for each snapshot and each chain {start}, {}",
            bridge.comment,
            path.join(", ")
        ),
        columns: [ColumnSpec::new(SNAPSHOT, date, true, snapshot)].into_iter().chain(own).collect(),
        primary_key,
    }
}

pub(super) fn fill(model: &Model, bridge: &Bridge, models: &[&Model]) -> Result<String, NotFed> {
    let own = columns(model, bridge);
    let names: Vec<String> =
        own.iter().map(|valued| ident(&valued.column.name).into_owned()).collect();
    let values: Vec<&str> = own.iter().map(|valued| valued.value.as_str()).collect();
    let mut joins = String::new();
    for (step, place) in bridge.steps.iter().zip(1usize..) {
        let link = &model.links[step.link];
        let held = held_rows(models, &link.name)
            .ok_or_else(|| NotFed { table: bridge.name.clone(), link: link.name.clone() })?;
        let rows = format!(
            "(\n    SELECT link.*\n    FROM (\n    {held}\n    ) AS held\n    \
             JOIN {VAULT_SCHEMA}.{} AS link ON link.hash_key = held.hash_key\n) AS link_{place}",
            link.name
        );
        if let Some(before) = place.checked_sub(2) {
            let last = &bridge.steps[before];
            let behind = model.links[last.link].roles[last.to].column();
            let own = link.roles[step.from].column();
            joins.push_str(&format!(
                "\nJOIN {rows} ON link_{place}.{own} = link_{}.{behind}",
                place - 1
            ));
        } else {
            joins.push_str(&rows);
        }
    }
    for (place, stop) in stops(model, bridge).iter().enumerate() {
        joins.push_str(&format!(
            "\nJOIN {VAULT_SCHEMA}.{} AS hub_{place} ON hub_{place}.hash_key = {}",
            stop.hub.name, stop.key
        ));
    }
    Ok(format!(
        "WITH written AS (\nINSERT INTO {BUSINESS_SCHEMA}.{} ({SNAPSHOT}, {})\n\
         SELECT $1::timestamptz, {}\nFROM {joins}\nRETURNING 1\n)\n\
         SELECT NULL::bigint, count(*) FROM written",
        bridge.name,
        names.join(", "),
        values.join(", "),
    ))
}

/// The hash keys of a link's rows that held at `$1`, by all sources that feed the link.
fn held_rows(models: &[&Model], link: &str) -> Option<String> {
    let feeds: Vec<Feed<'_>> = models.iter().filter_map(|model| Feed::of(model, link)).collect();
    let rows: Vec<String> = feeds.iter().map(rows_of_source).collect();
    match rows.as_slice() {
        [] => None,
        [only] => Some(format!("SELECT DISTINCT hash_key FROM (\n    {only}\n    ) AS stated")),
        several => Some(several.join("\n    UNION\n    ")),
    }
}

fn rows_of_source(feed: &Feed<'_>) -> String {
    let life = format!("{} AND NOT v.is_deleted", latest(&feed.table.status, "v.hash_key"));
    match feed.effectivity() {
        Some(effectivity) => format!(
            "SELECT placed.link_hash_key AS hash_key\n    FROM (\n    {}\n    ) AS placed\n    \
             JOIN (\n    {life}\n    ) AS life ON life.hash_key = placed.hash_key",
            latest(effectivity, "v.hash_key, v.link_hash_key")
        ),
        None => {
            format!(
                "SELECT link.hash_key\n    FROM (\n    {life}\n    ) AS life\n    {}",
                feed.joins("life")
            )
        }
    }
}

/// The latest version of each key with the load date `$1` or an earlier one. Conditions on `v` may follow.
fn latest(satellite: &str, columns: &str) -> String {
    format!(
        "SELECT {columns} FROM {VAULT_SCHEMA}.{satellite} AS v\n    \
         WHERE v.load_date <= $1::timestamptz AND v.record_source <> '{SYSTEM}' AND NOT EXISTS (\n        \
         SELECT FROM {VAULT_SCHEMA}.{satellite} AS newer\n        \
         WHERE newer.hash_key = v.hash_key AND newer.load_date > v.load_date AND newer.load_date <= $1::timestamptz\n    )"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const AIRLINE: &str = include_str!("../../../../connectors/airline/vault.toml");

    fn columns_of(path: &str) -> Vec<String> {
        let text = format!("{AIRLINE}\n[[bridge]]\nname = \"bridge_x\"\npath = {path}\n");
        let model = model::parse(&text).unwrap();
        let bridge = model.snapshots.bridges.last().unwrap();
        table(&model, bridge).columns.into_iter().map(|column| column.name).collect()
    }

    #[test]
    fn columns_follow_the_path_and_business_keys_stand_behind_them() {
        assert_eq!(
            columns_of("[\"hub_bookings\", \"link_booking_tickets\", \"hub_tickets\"]"),
            [
                "snapshot_date",
                "booking_hash_key",
                "link_booking_tickets_hash_key",
                "ticket_hash_key",
                "book_ref",
                "ticket_no"
            ]
        );
    }

    #[test]
    fn a_hub_that_comes_twice_has_columns_of_two_names() {
        let path = "[\"hub_airports\", { link = \"link_flight_routes\", from = \"departure_airport\" }, \"hub_airports\"]";
        assert_eq!(
            columns_of(path),
            [
                "snapshot_date",
                "departure_airport_hash_key",
                "link_flight_routes_hash_key",
                "arrival_airport_hash_key",
                "departure_airport_airport_code",
                "arrival_airport_airport_code"
            ]
        );
        let back = "[\"hub_flights\", \"link_ticket_flights\", \"hub_tickets\", \"link_ticket_flights\", \"hub_flights\"]";
        let columns = columns_of(back);
        assert_eq!(columns[4], "link_ticket_flights_hash_key_2");
        assert_eq!(columns[5], "flight_hash_key_2");
        assert_eq!(columns[6..], ["flight_flight_id", "ticket_no", "flight_flight_id_2"]);
    }

    #[test]
    fn the_key_is_the_chain_of_links() {
        let model = model::parse(AIRLINE).unwrap();
        let table = table(&model, &model.snapshots.bridges[0]);
        assert_eq!(
            table.primary_key,
            ["snapshot_date", "link_booking_tickets_hash_key", "link_ticket_flights_hash_key"]
        );
    }
}
