//! Differences that somebody plants in the vault by hand, each found with its table and its key.

use std::collections::BTreeSet;

use e2e::rig::Rig;
use e2e::sql;
use e2e::workload::loosen;
use serde_json::Value;
use tokio_postgres::Client;

use super::{differing, report, rig, told};

/// Rows of the source before its snapshot.
const ROWS: &str = "
    INSERT INTO airports VALUES ('AAA', '', 'Omsk', 37.5, -1e-7, 'Asia/Omsk'), ('BBB', 'B', 'Tomsk', 0, 0, 'UTC'), ('DDD', 'D', 'x', 1, 1, 'UTC');
    INSERT INTO aircrafts VALUES ('773', 'Boeing', 11100), ('SU9', 'Sukhoi', 3000);
    INSERT INTO seats VALUES ('773', '1A', 'Business'), ('773', '2A', 'Economy');
    INSERT INTO flights VALUES (1, 'PG0001', '2026-01-02 03:04:05.678901+00', '2026-01-02 05:00+00', 'AAA', 'BBB', 'Scheduled', '773'),
                               (2, 'PG0002', '2026-01-03 03:00+00', '2026-01-03 05:00+00', 'BBB', 'AAA', 'Scheduled', 'SU9');
    INSERT INTO bookings VALUES ('B00001', '2026-01-01 00:00:00.000001+00', 12.50), ('B00002', '2026-01-01 12:00+00', 0);
    INSERT INTO tickets VALUES ('0000000000001', 'B00001', 'P 1', 'ANN', NULL), ('0000000000002', 'B00002', 'P 2', 'BOB', '{\"a\": [1, 2.50, null]}');
    INSERT INTO ticket_flights VALUES ('0000000000001', 1, 'Economy', 7.00), ('0000000000002', 1, 'Business', 8.01);
    INSERT INTO boarding_passes VALUES ('0000000000001', 1, 1, '1A')";

/// Changes of them afterwards.
const CHANGES: &str = "
    UPDATE airports SET city = 'Omsk 2' WHERE airport_code = 'AAA';
    UPDATE airports SET city = 'Omsk 3' WHERE airport_code = 'AAA';
    UPDATE airports SET city = 'Omsk 3' WHERE airport_code = 'AAA';
    DELETE FROM airports WHERE airport_code = 'DDD';
    UPDATE flights SET arrival_airport = 'AAA' WHERE flight_id = 2";

/// A difference: the table of the vault that is edited and in which it has to be found, the edit, as what it has to be
/// found, and the keys. `{key}` in an edit stands for the first of the keys.
struct Plant {
    edited: &'static str,
    edit: &'static str,
    as_what: &'static str,
    keys: &'static [&'static str],
}

const fn plant(
    edited: &'static str,
    edit: &'static str,
    as_what: &'static str,
    keys: &'static [&'static str],
) -> Plant {
    Plant { edited, edit, as_what, keys }
}

const AAA: &str = "SELECT hash_key FROM dwh_detailed.hub_airports WHERE airport_code = 'AAA'";
const DDD: &str = "SELECT hash_key FROM dwh_detailed.hub_airports WHERE airport_code = 'DDD'";
const BOEING: &str = "SELECT hash_key FROM dwh_detailed.hub_aircrafts WHERE aircraft_code = '773'";
const BOOKING_1: &str = "SELECT hash_key FROM dwh_detailed.hub_bookings WHERE book_ref = 'B00001'";
const BOOKING_2: &str = "SELECT hash_key FROM dwh_detailed.hub_bookings WHERE book_ref = 'B00002'";
const TICKET_1: &str =
    "SELECT hash_key FROM dwh_detailed.hub_tickets WHERE ticket_no = '0000000000001'";
const TICKET_2: &str =
    "SELECT hash_key FROM dwh_detailed.hub_tickets WHERE ticket_no = '0000000000002'";
const FLIGHT_1: &str = "SELECT hash_key FROM dwh_detailed.hub_flights WHERE flight_id = 1";
const FLIGHT_2: &str = "SELECT hash_key FROM dwh_detailed.hub_flights WHERE flight_id = 2";
const SEAT: &str = "SELECT hash_key FROM dwh_detailed.link_aircraft_seats WHERE seat_no = '1A'";
const SEGMENT: &str = "SELECT l.hash_key FROM dwh_detailed.link_ticket_flights AS l JOIN dwh_detailed.hub_tickets AS t ON t.hash_key = l.ticket_hash_key WHERE t.ticket_no = '0000000000002'";
const ROUTE: &str = "SELECT link_hash_key FROM dwh_detailed.sat_flight_routes_effectivity AS s JOIN dwh_detailed.hub_flights AS h USING (hash_key) WHERE h.flight_id = 1";
const NOWHERE: &str = "SELECT sha256('nowhere')";

const PLANTS: &[Plant] = &[
    // Rows that are not there, and rows too many.
    plant("sat_airports", "DELETE FROM {table} WHERE hash_key = {key}", "missing", &[AAA]),
    plant("sat_bookings_status", "DELETE FROM {table} WHERE hash_key = {key}", "missing", &[BOOKING_1]),
    plant(
        "sat_airports_status",
        "INSERT INTO {table} SELECT {key}, load_date, record_source, source_system_id, applied_date, source_lsn, kafka_partition,
             source_epoch, kafka_offset, hashdiff, op, is_deleted, record_lsn
         FROM {table} WHERE hash_key = (SELECT hash_key FROM dwh_detailed.hub_airports WHERE airport_code = 'BBB')",
        "extra",
        &[NOWHERE],
    ),
    plant("hub_aircrafts", "DELETE FROM {table} WHERE hash_key = {key}", "missing", &[BOEING]),
    plant("link_ticket_flights", "DELETE FROM {table} WHERE hash_key = {key}", "missing", &[SEGMENT]),
    // Values of several types.
    plant("sat_airports", "UPDATE {table} SET city = city || ' ' WHERE hash_key = {key}", "different", &[AAA]),
    plant("sat_airports", "UPDATE {table} SET airport_name = NULL WHERE hash_key = {key}", "different", &[AAA]),
    plant("sat_airports", "UPDATE {table} SET longitude = 37.50000000000001 WHERE hash_key = {key}", "different", &[AAA]),
    plant("sat_airports", "UPDATE {table} SET latitude = '1e-7' WHERE hash_key = {key}", "different", &[AAA]),
    plant("sat_aircrafts", "UPDATE {table} SET range = range + 1 WHERE hash_key = {key}", "different", &[BOEING]),
    plant("sat_bookings", "UPDATE {table} SET total_amount = total_amount / 10 WHERE hash_key = {key}", "different", &[BOOKING_1]),
    plant("sat_bookings", "UPDATE {table} SET total_amount = NULL WHERE hash_key = {key}", "different", &[BOOKING_2]),
    plant("sat_bookings", "UPDATE {table} SET book_date = book_date - interval '1 us' WHERE hash_key = {key}", "different", &[BOOKING_1]),
    plant("sat_flight_operations", "UPDATE {table} SET actual_departure = '2026-01-02+00' WHERE hash_key = {key}", "different", &[FLIGHT_1]),
    plant("sat_ticket_passengers", "UPDATE {table} SET contact_data = jsonb_set(contact_data, '{a,1}', '2.51') WHERE hash_key = {key}", "different", &[TICKET_2]),
    plant("sat_ticket_passengers", "UPDATE {table} SET contact_data = 'null' WHERE hash_key = {key}", "different", &[TICKET_1]),
    plant("sat_boarding_passes", "UPDATE {table} SET boarding_no = 2 WHERE boarding_no = 1", "different", &[
        "SELECT l.hash_key FROM dwh_detailed.link_ticket_flights AS l JOIN dwh_detailed.hub_tickets AS t ON t.hash_key = l.ticket_hash_key WHERE t.ticket_no = '0000000000001'",
    ]),
    // Hashdiffs alone.
    plant("sat_bookings", "UPDATE {table} SET hashdiff = sha256(hashdiff) WHERE hash_key = {key}", "different", &[BOOKING_1]),
    plant("sat_bookings_status", "UPDATE {table} SET hashdiff = sha256(hashdiff) WHERE hash_key = {key}", "different", &[BOOKING_1]),
    // A status that says the contrary, with the right hashdiff.
    plant(
        "sat_airports_status",
        "UPDATE {table} SET is_deleted = true, hashdiff = (SELECT hashdiff FROM {table} WHERE is_deleted LIMIT 1) WHERE hash_key = {key}",
        "missing",
        &[AAA],
    ),
    plant(
        "sat_airports_status",
        "UPDATE {table} SET is_deleted = false, hashdiff = (SELECT hashdiff FROM {table} WHERE NOT is_deleted AND record_source <> 'SYSTEM' LIMIT 1) WHERE hash_key = {key}",
        "extra",
        &[DDD],
    ),
    // Versions of the wrong key or in the wrong order.
    plant(
        "sat_bookings",
        "UPDATE {table} AS s SET book_date = o.book_date, total_amount = o.total_amount, hashdiff = o.hashdiff
         FROM {table} AS o WHERE s.record_source <> 'SYSTEM' AND o.record_source <> 'SYSTEM' AND s.hash_key <> o.hash_key",
        "different",
        &[BOOKING_1, BOOKING_2],
    ),
    plant(
        "sat_airports",
        "DELETE FROM {table} AS s USING (SELECT max(load_date) AS last FROM {table} WHERE hash_key = {key}) AS l
         WHERE s.hash_key = {key} AND s.load_date = l.last",
        "different",
        &[AAA],
    ),
    plant(
        "sat_airports",
        "UPDATE {table} AS s SET load_date = l.last + interval '1 s'
         FROM (SELECT min(load_date) AS first, max(load_date) AS last FROM {table} WHERE hash_key = {key}) AS l
         WHERE s.hash_key = {key} AND s.load_date = l.first",
        "different",
        &[AAA],
    ),
    plant(
        "sat_flight_routes_effectivity",
        "UPDATE {table} AS s SET link_hash_key = o.link_hash_key, hashdiff = o.hashdiff
         FROM {table} AS o WHERE s.hash_key = {key} AND o.hash_key = (SELECT hash_key FROM dwh_detailed.hub_flights WHERE flight_id = 1)",
        "different",
        &[FLIGHT_2],
    ),
    // Keys.
    plant("hub_bookings", "UPDATE {table} SET book_ref = 'B00003' WHERE hash_key = {key}", "different", &[BOOKING_1]),
    plant("link_aircraft_seats", "UPDATE {table} SET seat_no = '1B' WHERE hash_key = {key}", "different", &[SEAT]),
    plant("link_flight_routes", "UPDATE {table} SET arrival_airport_hash_key = departure_airport_hash_key WHERE hash_key = {key}", "different", &[ROUTE]),
    plant("sat_flights_status", "UPDATE {table} SET record_source = 'SYSTEM' WHERE hash_key = {key}", "missing", &[FLIGHT_1]),
];

/// A pipeline that has loaded the rows and their changes, and is at rest.
async fn loaded(name: &str) -> (Rig, Client, Vec<devstack::Process>) {
    let rig = rig(name, 1);
    let source = sql::connect(&rig.source()).await.unwrap();
    loosen(&source).await.unwrap();
    source.batch_execute(ROWS).await.unwrap();
    let reader = rig.start_reader().unwrap();
    let loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();
    source.batch_execute(CHANGES).await.unwrap();
    rig.settle().await.unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    (rig, warehouse, vec![reader, loader])
}

fn verify(rig: &Rig, more: &[&str]) -> std::process::Output {
    let command = [&["verify", "--format", "json", "--no-wait"], more].concat();
    rig.prove(&command).unwrap()
}

async fn keys_of(warehouse: &Client, plant: &Plant) -> Vec<String> {
    let mut keys = Vec::new();
    for key in plant.keys {
        let sql = format!("SELECT encode(({key}), 'hex')");
        keys.push(sql::one(warehouse, &sql).await.unwrap());
    }
    keys.sort_unstable();
    keys
}

/// The keys that a report shows for a table, each with how it differs.
fn shown(report: &Value, table: &str) -> Vec<(String, String)> {
    let tables = report["tables"].as_array().unwrap();
    let table = tables.iter().find(|found| found["vault_table"] == table).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = table["shown"].as_array().unwrap().iter();
    let mut shown: Vec<_> =
        shown.map(|finding| (text(&finding["hash_key"]), text(&finding["difference"]))).collect();
    shown.sort_unstable();
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_difference_is_found_with_its_table_and_its_key() {
    let (rig, warehouse, _processes) = loaded("verify_planted").await;
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    for plant in PLANTS {
        let table = format!("dwh_detailed.{}", plant.edited);
        let keys = keys_of(&warehouse, plant).await;
        let keep = format!("CREATE TABLE public.kept AS TABLE {table}");
        warehouse.batch_execute(&keep).await.unwrap();
        let edit = plant.edit.replace("{table}", &table);
        let edit = edit.replace("{key}", &format!("({})", plant.keys[0]));
        let count =
            warehouse.execute(&edit, &[]).await.unwrap_or_else(|err| panic!("{edit}: {err:?}"));
        assert!(count > 0, "{edit} changed nothing");
        let output = verify(&rig, &[]);
        assert_eq!(output.status.code(), Some(1), "{edit}\n{}", told(&output));
        let report = report(&output);
        let expected = BTreeSet::from([plant.edited.to_owned()]);
        assert_eq!(differing(&report), expected, "{edit}\n{report}");
        let expected: Vec<_> =
            keys.into_iter().map(|key| (key, plant.as_what.to_owned())).collect();
        assert_eq!(shown(&report, plant.edited), expected, "{edit}\n{report}");
        let back = format!(
            "TRUNCATE {table}; INSERT INTO {table} TABLE public.kept; DROP TABLE public.kept"
        );
        warehouse.batch_execute(&back).await.unwrap();
    }
    let output = verify(&rig, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    println!("{} planted differences were found", PLANTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_on_demand_and_columns_left_out_on_demand() {
    let (rig, warehouse, _processes) = loaded("verify_shown").await;
    let edit = "UPDATE dwh_detailed.sat_ticket_passengers SET passenger_name = 'EVE' WHERE passenger_name = 'ANN'";
    warehouse.execute(edit, &[]).await.unwrap();
    let text = told(&verify(&rig, &[]));
    assert!(text.contains("sat_ticket_passengers") && !text.contains("0000000000001"), "{text}");
    assert!(!text.contains("EVE") && !text.contains("ANN"), "no value is shown: {text}");
    let text = told(&verify(&rig, &["--show-keys"]));
    assert!(text.contains("ticket_no=0000000000001"), "{text}");
    let ignored = ["--ignore", "public.tickets.passenger_name"];
    // The stored hashdiff is that of the old name, so the edit is found all the same.
    let output = verify(&rig, &ignored);
    assert!(told(&output).contains("hashdiff is not that of its content"), "{}", told(&output));
    let edit = "UPDATE dwh_detailed.sat_ticket_passengers SET passenger_name = 'ANN' WHERE passenger_name = 'EVE'";
    warehouse.execute(edit, &[]).await.unwrap();
    let source = sql::connect(&rig.source()).await.unwrap();
    // What the reader would have masked.
    source
        .batch_execute(
            "ALTER PUBLICATION airline_publication DROP TABLE tickets;
             UPDATE tickets SET passenger_name = 'FAY' WHERE ticket_no = '0000000000001'",
        )
        .await
        .unwrap();
    assert_eq!(verify(&rig, &[]).status.code(), Some(1));
    let output = verify(&rig, &ignored);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let note = &report(&output)["not_compared"][0];
    assert_eq!(note, "public.tickets.passenger_name, by --ignore");
    let output = verify(&rig, &["--publication", "airline_publication"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let text = told(&output);
    assert!(text.contains("does not publish public.tickets"), "{text}");
    let some = ["--publication", "airline_publication", "--table", "public.airports"];
    let output = verify(&rig, &some);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    for (wrong, named) in [("--table", "public.none"), ("--ignore", "public.tickets.none")] {
        let output = verify(&rig, &[wrong, named]);
        assert!(
            output.status.code() == Some(2) && told(&output).contains(named),
            "{}",
            told(&output)
        );
    }
}
