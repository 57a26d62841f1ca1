//! Point-in-time tables: for each snapshot and each key, which version of each satellite held.
//!
//! In: the model. Out: the table, and the statement that writes a snapshot's rows. The snapshot is derived from the
//! one before it and from the versions that came since then, so a build reads a span of load dates and not the
//! satellites.
//!
//! The version that holds at a snapshot is the latest one with its load date or an earlier one. Where a key has none,
//! the pointer leads to the ghost record. So every join of the table to a satellite is an equi-join that loses no row.
//!
//! A key is there from the first mention on that its own source makes: a row of the table whose parent it is, or a row
//! that names it in a link. The hub's own load date tells which mention was loaded first, which depends on the order
//! of loading, so it is not asked.

use super::super::ddl::{BEGINNING, ColumnSpec, shorten};
use super::super::views::current_keys::Feed;
use super::{BUSINESS_SCHEMA, BusinessTable, SNAPSHOT};
use crate::model::{Entity, HubId, Link, Model, Parent, Pit, VAULT_SCHEMA};

/// The key of the ghost record.
const GHOST_KEY: &str = "decode(repeat('00', 32), 'hex')";

/// The columns that point to a satellite's version: its key and its load date.
fn pointer(satellite: &str) -> [String; 2] {
    [shorten(satellite, "_hash_key"), shorten(satellite, "_load_date")]
}

pub(super) fn table(model: &Model, pit: &Pit) -> BusinessTable {
    let parent = model.entity_name(pit.parent);
    let date = "timestamp with time zone";
    let snapshot =
        "the time of which the row is: versions with this load date or an earlier one count";
    let key = format!("hash key in {parent}");
    let mut columns = vec![
        ColumnSpec::new(SNAPSHOT, date, true, snapshot),
        ColumnSpec::new("hash_key", "bytea", true, &key),
    ];
    for satellite in &pit.satellites {
        let [key, load_date] = pointer(satellite);
        let held = format!("of the version in {satellite} that held");
        let key_comment = format!("hash key {held}, or of its ghost record");
        columns.push(ColumnSpec::new(&key, "bytea", true, &key_comment));
        columns.push(ColumnSpec::new(&load_date, date, true, &format!("load date {held}")));
    }
    BusinessTable {
        name: pit.name.clone(),
        comment: format!("{}: one row for each snapshot and each key of {parent}", pit.comment),
        columns,
        primary_key: vec![SNAPSHOT.to_owned(), "hash_key".to_owned()],
    }
}

pub(super) fn fill(model: &Model, pit: &Pit) -> String {
    let table = format!("{BUSINESS_SCHEMA}.{}", pit.name);
    let (mut names, mut held, mut known, mut new) = (vec![], vec![], vec![], vec![]);
    for (satellite, place) in pit.satellites.iter().zip(1..) {
        let [key, load_date] = pointer(satellite);
        held.push(format!(
            "CASE WHEN max(date_{place}) IS NULL THEN {GHOST_KEY} ELSE known.hash_key END,\n        \
             COALESCE(max(date_{place}), '{BEGINNING}')"
        ));
        known.push(format!("NULLIF({load_date}, '{BEGINNING}') AS date_{place}"));
        new.push(format!("CASE place WHEN {place} THEN load_date END"));
        names.extend([key, load_date]);
    }
    format!(
        "WITH news AS MATERIALIZED (\n    {news}\n), written AS (\n    \
         INSERT INTO {table} ({SNAPSHOT}, hash_key, {names})\n    \
         SELECT\n        $1::timestamptz,\n        known.hash_key,\n        {held}\n    \
         FROM (\n        \
         SELECT hash_key, {known} FROM {table} WHERE {SNAPSHOT} = $2::timestamptz\n        \
         UNION ALL\n        SELECT hash_key, {new} FROM news\n    ) AS known\n    \
         GROUP BY known.hash_key\n    ORDER BY known.hash_key\n    RETURNING 1\n)\n\
         SELECT (SELECT count(*) FROM news), (SELECT count(*) FROM written)",
        news = news(model, pit).join("\n    UNION ALL\n    "),
        names = names.join(", "),
        held = held.join(",\n        "),
        known = known.join(", "),
        new = new.join(", "),
    )
}

/// What came behind the snapshot `$2` and up to the snapshot `$1`: versions, each with the place of its satellite
/// among those of the table, and mentions, with place 0.
fn news(model: &Model, pit: &Pit) -> Vec<String> {
    let since = |key: &str, place: usize, from: &str| {
        format!(
            "SELECT {key} AS hash_key, m.load_date, {place} AS place FROM {from}\n    \
             WHERE m.load_date > $2::timestamptz AND m.load_date <= $1::timestamptz"
        )
    };
    let satellites = pit.satellites.iter().zip(1..).map(|(satellite, place)| {
        since("m.hash_key", place, &format!("{VAULT_SCHEMA}.{satellite} AS m"))
    });
    let mentions = match pit.parent {
        Entity::Hub(hub) => hub_mentions(model, pit, hub),
        Entity::Link(link) => link_mentions(model, pit, &model.links[link]),
    };
    satellites.chain(mentions.iter().map(|(key, from)| since(key, 0, from))).collect()
}

/// A column with a key, and the `FROM` in which it stands. The versions that tell when have the alias `m`.
type Mention = (String, String);

fn hub_mentions(model: &Model, pit: &Pit, hub: HubId) -> Vec<Mention> {
    let mut found = Vec::new();
    for table in &model.tables {
        let is_parent =
            matches!(table.parent, Parent::Hub(binding) if table.hubs[binding].hub == hub);
        if is_parent && !pit.satellites.contains(&table.status) {
            let from = format!("{VAULT_SCHEMA}.{} AS m", table.status);
            found.push(("m.hash_key".to_owned(), from));
        }
        // The satellites of a parent without rows of its own name the hubs.
        let carried = model.parent_link(table).filter(|link| link.is_carried());
        let roles = carried.into_iter().flat_map(|link| link.roles.iter().map(move |r| (link, r)));
        for (link, role) in roles.filter(|(_, role)| role.hub == hub) {
            let named_by = if link.has_table() { &link.name } else { &table.status };
            let from = format!("{VAULT_SCHEMA}.{named_by} AS m");
            found.push((format!("m.{}", role.column()), from));
        }
    }
    for link in model.links.iter().filter(|link| !link.is_carried()) {
        for feed in Feed::all(model, &link.name) {
            for (place, role) in link.roles.iter().enumerate().filter(|(_, role)| role.hub == hub) {
                // A row that has the hub as its parent has mentioned it by its status already.
                let bound = feed.table.links[feed.link].bindings[place];
                if feed.table.parent != Parent::Hub(bound) {
                    found.push((format!("link.{}", role.column()), rows_of(&feed, &link.name)));
                }
            }
        }
    }
    found
}

fn link_mentions(model: &Model, pit: &Pit, link: &Link) -> Vec<Mention> {
    let mut found = Vec::new();
    for feed in Feed::all(model, &link.name) {
        let status = &feed.table.status;
        if let Some(effectivity) = feed.effectivity() {
            let from = format!("{VAULT_SCHEMA}.{effectivity} AS m");
            found.push(("m.link_hash_key".to_owned(), from));
        } else if feed.table.parent == Parent::Link(feed.link) {
            if !pit.satellites.contains(status) {
                let from = format!("{VAULT_SCHEMA}.{status} AS m");
                found.push(("m.hash_key".to_owned(), from));
            }
        } else {
            found.push(("link.hash_key".to_owned(), rows_of(&feed, &link.name)));
        }
    }
    found
}

/// The rows of a link, under the alias `link`, beside the versions that mention them.
fn rows_of(feed: &Feed<'_>, link: &str) -> String {
    match feed.effectivity() {
        Some(effectivity) => format!(
            "{VAULT_SCHEMA}.{effectivity} AS m\n    \
             JOIN {VAULT_SCHEMA}.{link} AS link ON link.hash_key = m.link_hash_key"
        ),
        None => format!("{VAULT_SCHEMA}.{} AS m\n    {}", feed.table.status, feed.joins("m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    const AIRLINE: &str = include_str!("../../../../connectors/airline/vault.toml");

    fn news_of(name: &str) -> Vec<String> {
        let model = model::parse(AIRLINE).unwrap();
        let pit = model.snapshots.pits.iter().find(|pit| pit.name == name).unwrap();
        news(&model, pit)
            .iter()
            .map(|sql| sql.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn a_key_is_mentioned_by_its_own_table_and_by_links_of_other_tables() {
        let found = news_of("pit_flights");
        let from = |key: &str, place: u8, table: &str| {
            let beginning =
                format!("SELECT {key} AS hash_key, m.load_date, {place} AS place FROM {table}");
            assert!(
                found.iter().any(|sql| sql.starts_with(&beginning)),
                "{beginning} in {found:#?}"
            );
        };
        for (place, satellite) in
            [(1, "sat_flight_schedules"), (2, "sat_flight_operations"), (3, "sat_flights_status")]
        {
            from("m.hash_key", place, &format!("dwh_detailed.{satellite} AS m"));
        }
        // By a segment and by a boarding pass, and not a second time by the flight's own route.
        for status in ["sat_ticket_flights_status", "sat_boarding_passes_status"] {
            from(
                "link.flight_hash_key",
                0,
                &format!(
                    "dwh_detailed.{status} AS m JOIN dwh_detailed.link_ticket_flights AS link ON link.hash_key = m.hash_key"
                ),
            );
        }
        assert_eq!(found.len(), 5, "{found:#?}");
    }

    #[test]
    fn every_span_has_both_ends() {
        for name in ["pit_flights", "pit_tickets"] {
            for sql in news_of(name) {
                let span = "m.load_date > $2::timestamptz AND m.load_date <= $1::timestamptz";
                assert!(sql.ends_with(span), "{sql}");
            }
        }
    }
}
