//! Computes what the warehouse must hold from what happened at the source.
//!
//! In: the workload's log, both databases. Out: nothing, or the first difference with its table and key.
//! Invariant: every comparison is of texts that PostgreSQL itself printed under the same session settings; the rules
//! for what makes a version are written here once more, from their definition, and not taken from the loader.

use std::collections::BTreeMap;

use anyhow::Context;
use devstack::vault;
use tokio_postgres::Client;

use crate::airline::TABLES;
use crate::sql::{Row, one, rows};
use crate::workload::{Key, Log};

/// Where a satellite's history stands and what it is a projection of.
struct Satellite {
    table: &'static str,
    name: &'static str,
    /// Columns of the source table.
    columns: &'static [&'static str],
    /// Key and payload of every version.
    select: &'static str,
}

/// Key columns of `link_ticket_flights`, for two satellites.
macro_rules! of_segment {
    ($payload:literal, $satellite:literal) => {
        concat!(
            "SELECT t.ticket_no, f.flight_id::text, ",
            $payload,
            " FROM dwh_detailed.",
            $satellite,
            " s JOIN dwh_detailed.link_ticket_flights l ON l.hash_key = s.hash_key
             JOIN dwh_detailed.hub_tickets t ON t.hash_key = l.ticket_hash_key
             JOIN dwh_detailed.hub_flights f ON f.hash_key = l.flight_hash_key
             ORDER BY s.hash_key, s.load_date"
        )
    };
}

/// Versions of a satellite on a hub.
macro_rules! of_hub {
    ($hub:literal, $key:literal, $payload:literal, $satellite:literal) => {
        concat!(
            "SELECT h.",
            $key,
            "::text, ",
            $payload,
            " FROM dwh_detailed.",
            $satellite,
            " s JOIN dwh_detailed.",
            $hub,
            " h ON h.hash_key = s.hash_key WHERE h.",
            $key,
            " IS NOT NULL ORDER BY s.hash_key, s.load_date"
        )
    };
}

/// Versions of a satellite on the seats' link.
macro_rules! of_seat {
    ($payload:literal, $satellite:literal) => {
        concat!(
            "SELECT a.aircraft_code, l.seat_no, ",
            $payload,
            " FROM dwh_detailed.",
            $satellite,
            " s JOIN dwh_detailed.link_aircraft_seats l ON l.hash_key = s.hash_key
             JOIN dwh_detailed.hub_aircrafts a ON a.hash_key = l.aircraft_hash_key
             WHERE a.aircraft_code IS NOT NULL ORDER BY s.hash_key, s.load_date"
        )
    };
}

const SATELLITES: [Satellite; 12] = [
    Satellite {
        table: "airports",
        name: "sat_airports",
        columns: &["airport_name", "city", "longitude", "latitude", "timezone"],
        select: of_hub!(
            "hub_airports",
            "airport_code",
            "s.airport_name, s.city, s.longitude::text, s.latitude::text, s.timezone",
            "sat_airports"
        ),
    },
    Satellite {
        table: "aircrafts",
        name: "sat_aircrafts",
        columns: &["model", "range"],
        select: of_hub!(
            "hub_aircrafts",
            "aircraft_code",
            "s.model, s.range::text",
            "sat_aircrafts"
        ),
    },
    Satellite {
        table: "seats",
        name: "sat_seats",
        columns: &["fare_conditions"],
        select: of_seat!("s.fare_conditions", "sat_seats"),
    },
    Satellite {
        table: "flights",
        name: "sat_flight_schedules",
        columns: &["flight_no", "scheduled_departure", "scheduled_arrival"],
        select: of_hub!(
            "hub_flights",
            "flight_id",
            "s.flight_no, s.scheduled_departure::text, s.scheduled_arrival::text",
            "sat_flight_schedules"
        ),
    },
    Satellite {
        table: "flights",
        name: "sat_flight_operations",
        columns: &["status", "actual_departure", "actual_arrival"],
        select: of_hub!(
            "hub_flights",
            "flight_id",
            "s.status, s.actual_departure::text, s.actual_arrival::text",
            "sat_flight_operations"
        ),
    },
    Satellite {
        table: "flights",
        name: "sat_flight_routes_effectivity",
        columns: &["departure_airport", "arrival_airport", "aircraft_code"],
        select: "SELECT h.flight_id::text, d.airport_code, a.airport_code, c.aircraft_code
                 FROM dwh_detailed.sat_flight_routes_effectivity s
                 JOIN dwh_detailed.hub_flights h ON h.hash_key = s.hash_key
                 JOIN dwh_detailed.link_flight_routes l ON l.hash_key = s.link_hash_key
                 JOIN dwh_detailed.hub_airports d ON d.hash_key = l.departure_airport_hash_key
                 JOIN dwh_detailed.hub_airports a ON a.hash_key = l.arrival_airport_hash_key
                 JOIN dwh_detailed.hub_aircrafts c ON c.hash_key = l.aircraft_hash_key
                 WHERE h.flight_id IS NOT NULL
                 ORDER BY s.hash_key, s.load_date",
    },
    Satellite {
        table: "bookings",
        name: "sat_bookings",
        columns: &["book_date", "total_amount"],
        select: of_hub!(
            "hub_bookings",
            "book_ref",
            "s.book_date::text, s.total_amount::text",
            "sat_bookings"
        ),
    },
    Satellite {
        table: "tickets",
        name: "sat_ticket_passengers",
        columns: &["passenger_name", "contact_data"],
        select: of_hub!(
            "hub_tickets",
            "ticket_no",
            "s.passenger_name, s.contact_data::text",
            "sat_ticket_passengers"
        ),
    },
    Satellite {
        table: "tickets",
        name: "sat_booking_tickets_effectivity",
        columns: &["book_ref"],
        select: "SELECT h.ticket_no, b.book_ref
                 FROM dwh_detailed.sat_booking_tickets_effectivity s
                 JOIN dwh_detailed.hub_tickets h ON h.hash_key = s.hash_key
                 JOIN dwh_detailed.link_booking_tickets l ON l.hash_key = s.link_hash_key
                 JOIN dwh_detailed.hub_bookings b ON b.hash_key = l.booking_hash_key
                 WHERE h.ticket_no IS NOT NULL
                 ORDER BY s.hash_key, s.load_date",
    },
    Satellite {
        table: "tickets",
        name: "sat_ticket_passengers_effectivity",
        columns: &["passenger_id"],
        select: "SELECT h.ticket_no, p.passenger_id
                 FROM dwh_detailed.sat_ticket_passengers_effectivity s
                 JOIN dwh_detailed.hub_tickets h ON h.hash_key = s.hash_key
                 JOIN dwh_detailed.link_ticket_passengers l ON l.hash_key = s.link_hash_key
                 JOIN dwh_detailed.hub_passengers p ON p.hash_key = l.passenger_hash_key
                 WHERE h.ticket_no IS NOT NULL
                 ORDER BY s.hash_key, s.load_date",
    },
    Satellite {
        table: "ticket_flights",
        name: "sat_ticket_flights",
        columns: &["fare_conditions", "amount"],
        select: of_segment!("s.fare_conditions, s.amount::text", "sat_ticket_flights"),
    },
    Satellite {
        table: "boarding_passes",
        name: "sat_boarding_passes",
        columns: &["boarding_no", "seat_no"],
        select: of_segment!("s.boarding_no::text, s.seat_no", "sat_boarding_passes"),
    },
];

/// Status satellites: the history of being there.
const STATUSES: [(&str, &str); 8] = [
    (
        "airports",
        of_hub!("hub_airports", "airport_code", "s.is_deleted::text", "sat_airports_status"),
    ),
    (
        "aircrafts",
        of_hub!("hub_aircrafts", "aircraft_code", "s.is_deleted::text", "sat_aircrafts_status"),
    ),
    ("seats", of_seat!("s.is_deleted::text", "sat_seats_status")),
    ("flights", of_hub!("hub_flights", "flight_id", "s.is_deleted::text", "sat_flights_status")),
    ("bookings", of_hub!("hub_bookings", "book_ref", "s.is_deleted::text", "sat_bookings_status")),
    ("tickets", of_hub!("hub_tickets", "ticket_no", "s.is_deleted::text", "sat_tickets_status")),
    ("ticket_flights", of_segment!("s.is_deleted::text", "sat_ticket_flights_status")),
    ("boarding_passes", of_segment!("s.is_deleted::text", "sat_boarding_passes_status")),
];

type Histories = BTreeMap<Key, Vec<Row>>;

/// Refreshes the star schema; answers what that did. While another session refreshes, waits for it.
pub async fn refresh_star(warehouse: &Client) -> anyhow::Result<String> {
    let refresh = "BEGIN ISOLATION LEVEL REPEATABLE READ;
                   SELECT outcome FROM dwh_marts.refresh_star();
                   COMMIT";
    loop {
        let outcome = one(warehouse, refresh).await?;
        if outcome != "busy" {
            return Ok(outcome);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Whether a status may stand in the vault twice in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It may not.
    None,
    /// A further snapshot was taken: for each of its rows it says once more that the row is there.
    OfSnapshots,
}

/// Compares everything: current rows three ways, every satellite's versions, the vault's checks, the star among them.
pub async fn verify(
    log: &Log,
    source: &Client,
    warehouse: &Client,
    repeats: Repeats,
) -> anyhow::Result<()> {
    verify_current(log, source, warehouse).await?;
    for satellite in &SATELLITES {
        let expected = expected_versions(log, satellite.table, satellite.columns)?;
        let actual = histories(warehouse, satellite.select, satellite.columns.len()).await?;
        compare(satellite.name, &expected, &actual)?;
    }
    for (table, select) in STATUSES {
        let expected = expected_statuses(log, table);
        let mut actual = histories(warehouse, select, 1).await?;
        if repeats == Repeats::OfSnapshots {
            let is_there = |status: &Row| status[0].as_deref() == Some("false");
            for statuses in actual.values_mut() {
                statuses.dedup_by(|next, before| is_there(next) && is_there(before));
            }
        }
        compare(&format!("status of {table}"), &expected, &actual)?;
    }
    let quarantined = one(warehouse, "SELECT count(*) FROM dwh_control.quarantine").await?;
    anyhow::ensure!(quarantined == "0", "{quarantined} events were quarantined");
    refresh_star(warehouse).await?;
    verify_checks(warehouse).await
}

/// Source, log and vault must show the same rows.
async fn verify_current(log: &Log, source: &Client, warehouse: &Client) -> anyhow::Result<()> {
    for table in &TABLES {
        let columns: Vec<String> = table.columns.iter().map(|c| format!("{c}::text")).collect();
        let columns = columns.join(", ");
        let mut truth =
            rows(source, &format!("SELECT {columns} FROM public.{}", table.name)).await?;
        let current = format!("SELECT {columns} FROM dwh_marts.current_{}", table.name);
        let mut vault = rows(warehouse, &current).await?;
        let mut noted: Vec<Row> = log
            .iter()
            .filter(|((name, _), _)| *name == table.name)
            .filter_map(|(_, states)| states.last().cloned().flatten())
            .collect();
        for rows in [&mut truth, &mut vault, &mut noted] {
            rows.sort();
        }
        anyhow::ensure!(truth == noted, "{}: the workload's own log is wrong", table.name);
        if truth != vault {
            let only = |these: &[Row], those: &[Row]| {
                let rows: Vec<Row> =
                    these.iter().filter(|row| !those.contains(row)).cloned().collect();
                shortened(&rows)
            };
            anyhow::bail!(
                "{}: only the source has {}; only the vault has {}",
                table.name,
                only(&truth, &vault),
                only(&vault, &truth)
            );
        }
    }
    Ok(())
}

/// The rules of a warehouse: the views of the schema `dwh_checks`, and the query of each.
pub async fn checks(warehouse: &Client) -> anyhow::Result<BTreeMap<String, String>> {
    let names = "SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'dwh_checks'";
    let names = rows(warehouse, names).await?;
    anyhow::ensure!(names.len() > 10, "the warehouse has too few rules: {names:?}");
    let query = |name: String| {
        let query = format!("SELECT rule, table_name, detail FROM dwh_checks.{name}");
        (name, query)
    };
    Ok(names.into_iter().flatten().flatten().map(query).collect())
}

/// Each rule of the warehouse holds.
pub async fn verify_checks(warehouse: &Client) -> anyhow::Result<()> {
    for (name, query) in checks(warehouse).await? {
        let violations = rows(warehouse, &query).await?;
        anyhow::ensure!(violations.is_empty(), "{name}: {violations:?}");
    }
    Ok(())
}

/// A version for every state that differs from the one before; being deleted is not content.
fn expected_versions(
    log: &Log,
    table: &'static str,
    columns: &[&str],
) -> anyhow::Result<Histories> {
    let spec = TABLES.iter().find(|spec| spec.name == table).context("no such table")?;
    let places: Vec<usize> = columns
        .iter()
        .map(|column| spec.columns.iter().position(|c| c == column).context("no such column"))
        .collect::<anyhow::Result<_>>()?;
    Ok(keys_of(log, table)
        .map(|(key, states)| {
            let mut versions: Vec<Row> = states
                .iter()
                .flatten()
                .map(|row| places.iter().map(|&place| row[place].clone()).collect())
                .collect();
            versions.dedup();
            (key.clone(), versions)
        })
        .filter(|(_, versions)| !versions.is_empty())
        .collect())
}

fn expected_statuses(log: &Log, table: &'static str) -> Histories {
    keys_of(log, table)
        .map(|(key, states)| {
            let mut statuses: Vec<Row> =
                states.iter().map(|state| vec![Some(state.is_none().to_string())]).collect();
            statuses.dedup();
            (key.clone(), statuses)
        })
        .collect()
}

fn keys_of<'l>(
    log: &'l Log,
    table: &'static str,
) -> impl Iterator<Item = (&'l Key, &'l Vec<Option<Row>>)> {
    log.iter().filter(move |((name, _), _)| *name == table).map(|((_, key), states)| (key, states))
}

async fn histories(client: &Client, select: &str, payload: usize) -> anyhow::Result<Histories> {
    let mut found = Histories::new();
    for mut row in rows(client, select).await? {
        let version = row.split_off(row.len() - payload);
        // Ghost rows have no key.
        if let Some(key) = row.into_iter().collect::<Option<Key>>() {
            found.entry(key).or_default().push(version);
        }
    }
    Ok(found)
}

fn compare(what: &str, expected: &Histories, actual: &Histories) -> anyhow::Result<()> {
    for (key, versions) in expected {
        let found = actual.get(key).map_or(&[][..], Vec::as_slice);
        if versions == found {
            continue;
        }
        let same =
            versions.iter().zip(found).take_while(|(expected, found)| expected == found).count();
        anyhow::bail!(
            "{what}, key {key:?}: {} versions expected, {} found, the first {same} are right; then expected {}, found {}",
            versions.len(),
            found.len(),
            shortened(&versions[same..]),
            shortened(&found[same..])
        );
    }
    let surplus = actual.keys().find(|key| !expected.contains_key(*key));
    anyhow::ensure!(surplus.is_none(), "{what}: a key that the source never had: {surplus:?}");
    Ok(())
}

fn shortened(versions: &[Row]) -> String {
    let short = |value: &Option<String>| match value {
        None => "NULL".to_owned(),
        Some(text) => text.chars().take(40).collect(),
    };
    let rows: Vec<String> =
        versions.iter().map(|row| row.iter().map(short).collect::<Vec<_>>().join("|")).collect();
    format!("{rows:?}")
}

/// The rows and their digest, of every table and view of the vault: equal if and only if the vaults are, whatever was
/// loaded first.
pub async fn checksum(warehouse: &Client) -> anyhow::Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for relation in rows(warehouse, vault::RELATIONS).await?.into_iter().flatten().flatten() {
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(line), '' ORDER BY md5(line))), '')
             FROM {}",
            vault::lines_of(&relation)
        );
        sums.insert(relation, one(warehouse, &sql).await?);
    }
    anyhow::ensure!(!sums.is_empty(), "the vault has no tables");
    Ok(sums)
}
