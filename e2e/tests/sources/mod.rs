//! Two databases with a reader each, one warehouse, and one loader for both: the airline, and an agency that names the
//! same airports.
//!
//! In: real servers, the built binaries, a seed. Out: everything of both sources in the vault, equal to what happened.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod bad_days;
mod booking_service;
mod entities;
mod inferred;
mod inferred_marts;
mod pipeline;
mod rehashed;
mod samples;
mod star;
mod wideworld;

use std::time::Duration;

use e2e::oracle::Repeats;
use e2e::rig::{Rig, RigOptions};
use e2e::workload::{Options, Workload, loosen};
use e2e::{oracle, sql};

const SEED: u64 = 20_260_901;

const AGENCY_TABLES: &str = "
    CREATE TABLE places (code text PRIMARY KEY, title text NOT NULL);
    CREATE TABLE visits (id integer PRIMARY KEY, place text NOT NULL, day date NOT NULL)";

/// The agency's model. Its airports are the airline's.
const AGENCY: &str = r#"
format_version = 1

[source]
name = "further"
schema = "public"
system_id = 2
comment = "a travel agency"

[[hub]]
name = "hub_visits"
comment = "a visit, as the agency numbers it"
scope = "source"
key = [{ name = "visit_id", type = "integer" }]

[[hub]]
name = "hub_airports"
comment = "an airport, known by its IATA-like code"
key = [{ name = "airport_code", type = "char(3)" }]

[[link]]
name = "link_visit_airports"
comment = "a visit with its airport"
hubs = [{ role = "visit", hub = "hub_visits" }, { role = "airport", hub = "hub_airports" }]

[[table]]
name = "places"
key = ["code"]
parent = "hub_airports"
status = "sat_agency_places_status"
hubs = [{ hub = "hub_airports", columns = ["code"] }]

[table.columns]
code = "text"
title = "text"

[[table.satellite]]
name = "sat_agency_places"
comment = "what the agency calls an airport"
columns = ["title"]

[[table]]
name = "visits"
key = ["id"]
parent = "hub_visits"
status = "sat_agency_visits_status"
hubs = [
  { role = "visit", hub = "hub_visits", columns = ["id"] },
  { role = "airport", hub = "hub_airports", columns = ["place"] },
]
links = [{ link = "link_visit_airports", effectivity = "sat_agency_visits_effectivity" }]

[table.columns]
id = "integer"
place = "text"
day = "date"

[[table.satellite]]
name = "sat_agency_visits"
comment = "the day of a visit"
columns = ["day"]
"#;

/// What the vault says about the agency's tables now.
const PLACES: &str = "
    SELECT h.airport_code, s.title
    FROM dwh_detailed.hub_airports AS h
    CROSS JOIN LATERAL (
        SELECT is_deleted FROM dwh_detailed.sat_agency_places_status AS v
        WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
    ) AS status
    CROSS JOIN LATERAL (
        SELECT title FROM dwh_detailed.sat_agency_places AS v
        WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
    ) AS s
    WHERE NOT status.is_deleted
    ORDER BY 1";

const VISITS: &str = "
    SELECT h.visit_id, a.airport_code, s.day
    FROM dwh_detailed.hub_visits AS h
    CROSS JOIN LATERAL (
        SELECT is_deleted FROM dwh_detailed.sat_agency_visits_status AS v
        WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
    ) AS status
    CROSS JOIN LATERAL (
        SELECT day FROM dwh_detailed.sat_agency_visits AS v
        WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT link_hash_key FROM dwh_detailed.sat_agency_visits_effectivity AS v
        WHERE v.hash_key = h.hash_key ORDER BY v.load_date DESC LIMIT 1
    ) AS held
    JOIN dwh_detailed.link_visit_airports AS l ON l.hash_key = held.link_hash_key
    JOIN dwh_detailed.hub_airports AS a ON a.hash_key = l.airport_hash_key
    WHERE NOT status.is_deleted
    ORDER BY 1";

/// A round of the agency's work. Its places are the airline's airports of that moment and one of its own.
async fn agency_works(
    agency: &tokio_postgres::Client,
    airline: &tokio_postgres::Client,
    round: i32,
) {
    let codes =
        sql::rows(airline, "SELECT airport_code::text FROM airports ORDER BY 1").await.unwrap();
    let codes = codes.iter().filter_map(|row| row.first()?.clone());
    for code in codes.chain([format!("Z{round:02}")]) {
        let place = "INSERT INTO places VALUES ($1, $2)
                     ON CONFLICT (code) DO UPDATE SET title = excluded.title";
        agency.execute(place, &[&code, &format!("{code} in round {round}")]).await.unwrap();
    }
    let visits = format!(
        "INSERT INTO visits
         SELECT {round} * 1000 + row_number() OVER (ORDER BY code), code, date '2026-09-01' + {round} FROM places;
         UPDATE visits SET place = 'Z{round:02}' WHERE id % 7 = {round} % 7;
         DELETE FROM visits WHERE id % 11 = {round} % 11;
         DELETE FROM places WHERE code = 'Z{:02}'",
        round - 2
    );
    agency.batch_execute(&visits).await.unwrap();
}

async fn agency(rig: &Rig, further: &str) -> tokio_postgres::Client {
    sql::connect(&rig.further_source(further)).await.unwrap()
}

/// What the vault says about the agency is what the agency holds.
async fn verify_agency(agency: &tokio_postgres::Client, warehouse: &tokio_postgres::Client) {
    for (at_source, in_vault) in [
        ("SELECT code, title FROM places ORDER BY code COLLATE \"C\"", PLACES),
        ("SELECT id, place, day FROM visits ORDER BY id", VISITS),
    ] {
        let there = sql::rows(agency, at_source).await.unwrap();
        assert!(there.len() > 5, "the agency works");
        assert_eq!(sql::rows(warehouse, in_vault).await.unwrap(), there);
    }
}

#[tokio::test]
async fn two_databases_feed_one_warehouse_and_share_a_hub() {
    let mut rig = Rig::create(RigOptions::of_stack("pair")).unwrap();
    let further = rig.add_source(AGENCY_TABLES, &["places", "visits"], AGENCY).await.unwrap();
    let airline = sql::connect(&rig.source()).await.unwrap();
    loosen(&airline).await.unwrap();
    let agency = agency(&rig, &further).await;
    let workload = Workload::default();
    let work = Options { seed: SEED, workers: 2, transactions: 20, truncates: true };
    workload.run(&rig.source(), work).await.unwrap();
    workload.forget_past().await;
    agency_works(&agency, &airline, 1).await;

    let mut readers = [rig.start_reader().unwrap(), rig.start_further_reader(&further).unwrap()];
    let mut loader = rig.start_loader().unwrap();
    for reader in &readers {
        rig.wait_until_streaming(reader).unwrap();
    }
    let airline_source = rig.source();
    for round in 2..6 {
        let work = Options { seed: SEED + u64::try_from(round).unwrap(), transactions: 40, ..work };
        let (done, ()) = tokio::join!(
            workload.run(&airline_source, work),
            agency_works(&agency, &airline, round),
        );
        done.unwrap();
    }
    rig.settle().await.unwrap();

    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let log = workload.log().await;
    if let Err(difference) = oracle::verify(&log, &airline, &warehouse, Repeats::None).await {
        let topics = rig.dump_topics().unwrap();
        panic!("{difference:#}\nthe topics stand in {}", topics.display());
    }
    verify_agency(&agency, &warehouse).await;
    let shared = "
        SELECT count(*) > 0
        FROM dwh_detailed.sat_airports AS ours
        JOIN dwh_detailed.sat_agency_places AS theirs USING (hash_key)
        WHERE ours.source_system_id = 1 AND theirs.source_system_id = 2";
    assert_eq!(sql::one(&warehouse, shared).await.unwrap(), "t", "no airport has both names");
    let models = "SELECT count(DISTINCT source) FROM dwh_control.models";
    assert_eq!(sql::one(&warehouse, models).await.unwrap(), "2");
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    for reader in &mut readers {
        reader.terminate();
        assert_eq!(reader.wait_exit(Duration::from_secs(60)).unwrap(), 0);
    }
}
