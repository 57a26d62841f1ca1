//! What proves that the vault is right: checksums that are equal for equal topics and differ after any edit, and the
//! rules of the vault.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::replaying::{load_first, load_rest, publish_mixture};
use crate::support::{World, airport, create, fingerprint, update};

/// The report of `checksum --format json`, kept in a file.
pub(crate) fn report(world: &World, name: &str, variables: &[(&str, &str)]) -> PathBuf {
    let output = world.command_with(&["checksum", "--format", "json"], variables);
    assert!(output.status.success(), "{}", told(&output));
    let path = world.dir.path().join(name);
    std::fs::write(&path, &output.stdout).unwrap();
    path
}

/// Compares the vault with a report: the exit code and what was said.
pub(crate) fn compare(world: &World, with: &Path, variables: &[(&str, &str)]) -> (i32, String) {
    let file = with.display().to_string();
    let output = world.command_with(&["checksum", "--compare", &file], variables);
    (output.status.code().unwrap(), told(&output))
}

pub(crate) fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(output)))
}

/// A loaded vault with a little of everything, and its report.
async fn loaded(name: &str) -> (World, PathBuf) {
    let mut world = World::new(name).await;
    publish_mixture(&mut world).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let before = report(&world, "before.json", &[]);
    (world, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_the_same_after_a_reload_with_other_batches() {
    let (world, before) = loaded("sum_reload").await;
    let (code, told) = compare(&world, &before, &[]);
    assert_eq!((code, told.contains("31 tables are equal")), (0, true), "{told}");
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader_with("again", &[("VAULT_LOADER__BATCH__ROWS_MAX", "7")]);
    world.loaded().await;
    world.end(&mut loader);
    let (code, told) = compare(&world, &before, &[]);
    assert_eq!(code, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_of_another_vault_from_the_same_topics_are_the_same_whatever_was_loaded_first() {
    let mut world = World::new("sum_rebuild").await;
    publish_mixture(&mut world).await;
    load_first(&world, &world.client, &[], ["airports", "bookings"]).await;
    load_rest(&world, &world.client, &[]).await;
    let before = report(&world, "before.json", &[]);
    let first = fingerprint(&world.client).await;
    let elsewhere = world.elsewhere("other").await;
    let variables = elsewhere.variables(&[("VAULT_LOADER__BATCH__ROWS_MAX", "3")]);
    // Hubs are first named by flights and tickets, with later dates.
    load_first(&world, &elsewhere.client, &variables, ["flights", "tickets"]).await;
    let (code, told) = compare(&world, &before, &variables);
    assert_eq!(code, 1, "half of the topics are loaded: {told}");
    assert!(
        told.contains("sat_airports: ") && !told.contains("sat_flight_operations: has"),
        "{told}"
    );
    load_rest(&world, &elsewhere.client, &variables).await;
    assert_eq!(fingerprint(&elsewhere.client).await, first);
    let dates = "SELECT hash_key, load_date FROM dwh_detailed.hub_airports ORDER BY 1";
    let other = crate::support::rows(&elsewhere.client, dates).await;
    assert_ne!(other, world.rows(dates).await, "the order of loading has to show in the hub");
    let (code, told) = compare(&world, &before, &variables);
    assert_eq!(code, 0, "{told}");
}

/// An edit of the vault, the table that it is in, and the edit that takes it back.
const EDITS: [(&str, &str, &str); 13] = [
    (
        "sat_airports",
        "UPDATE dwh_detailed.sat_airports SET city = city || ' ' WHERE city = 'Moscow'",
        "UPDATE dwh_detailed.sat_airports SET city = rtrim(city) WHERE city = 'Moscow '",
    ),
    (
        "sat_airports",
        "UPDATE dwh_detailed.sat_airports SET load_date = load_date + interval '1 us' WHERE city = 'Moscow'",
        "UPDATE dwh_detailed.sat_airports SET load_date = load_date - interval '1 us' WHERE city = 'Moscow'",
    ),
    (
        "sat_airports",
        "UPDATE dwh_detailed.sat_airports SET timezone = NULL WHERE city = 'Moscow'",
        "UPDATE dwh_detailed.sat_airports SET timezone = 'Europe/Moscow' WHERE city = 'Moscow'",
    ),
    (
        "sat_airports",
        "UPDATE dwh_detailed.sat_airports SET kafka_offset = kafka_offset + 1 WHERE city = 'Moscow'",
        "UPDATE dwh_detailed.sat_airports SET kafka_offset = kafka_offset - 1 WHERE city = 'Moscow'",
    ),
    (
        "sat_airports",
        "UPDATE dwh_detailed.sat_airports SET hashdiff = sha256(hashdiff), timezone = encode(hashdiff, 'hex') WHERE city = 'Moscow'",
        "UPDATE dwh_detailed.sat_airports SET hashdiff = decode(timezone, 'hex'), timezone = 'Europe/Moscow' WHERE city = 'Moscow'",
    ),
    (
        "sat_bookings",
        "UPDATE dwh_detailed.sat_bookings SET total_amount = total_amount + 0.01 WHERE hash_key IN (SELECT hash_key FROM dwh_detailed.hub_bookings WHERE book_ref = '000001')",
        "UPDATE dwh_detailed.sat_bookings SET total_amount = total_amount - 0.01 WHERE hash_key IN (SELECT hash_key FROM dwh_detailed.hub_bookings WHERE book_ref = '000001')",
    ),
    (
        "sat_bookings_status",
        "UPDATE dwh_detailed.sat_bookings_status SET is_deleted = NOT is_deleted WHERE record_source <> 'SYSTEM'",
        "UPDATE dwh_detailed.sat_bookings_status SET is_deleted = NOT is_deleted WHERE record_source <> 'SYSTEM'",
    ),
    (
        "sat_ticket_passengers",
        "UPDATE dwh_detailed.sat_ticket_passengers SET contact_data = contact_data || '{\"more\": 1}' WHERE contact_data IS NOT NULL",
        "UPDATE dwh_detailed.sat_ticket_passengers SET contact_data = contact_data - 'more' WHERE contact_data IS NOT NULL",
    ),
    (
        "sat_flight_routes_effectivity",
        "UPDATE dwh_detailed.sat_flight_routes_effectivity SET link_hash_key = sha256(link_hash_key), record_source = encode(link_hash_key, 'hex') WHERE record_source <> 'SYSTEM'",
        "UPDATE dwh_detailed.sat_flight_routes_effectivity AS s SET link_hash_key = decode(record_source, 'hex'), record_source = t.name FROM (SELECT min(record_source) AS name FROM dwh_detailed.sat_flight_operations WHERE record_source <> 'SYSTEM') AS t WHERE s.record_source <> 'SYSTEM'",
    ),
    (
        "hub_airports",
        "UPDATE dwh_detailed.hub_airports SET airport_code = 'SV0' WHERE airport_code = 'SVO'",
        "UPDATE dwh_detailed.hub_airports SET airport_code = 'SVO' WHERE airport_code = 'SV0'",
    ),
    (
        "hub_airports",
        "INSERT INTO dwh_detailed.hub_airports VALUES (sha256('x'), now(), 'by hand', 1, 'XXX')",
        "DELETE FROM dwh_detailed.hub_airports WHERE airport_code = 'XXX'",
    ),
    (
        "link_booking_tickets",
        "UPDATE dwh_detailed.link_booking_tickets SET booking_hash_key = ticket_hash_key, ticket_hash_key = booking_hash_key",
        "UPDATE dwh_detailed.link_booking_tickets SET booking_hash_key = ticket_hash_key, ticket_hash_key = booking_hash_key",
    ),
    (
        "sat_flight_operations",
        "CREATE TABLE public.kept AS SELECT * FROM dwh_detailed.sat_flight_operations ORDER BY load_date DESC LIMIT 1;
         DELETE FROM dwh_detailed.sat_flight_operations AS s USING public.kept AS k WHERE s.hash_key = k.hash_key AND s.load_date = k.load_date",
        "INSERT INTO dwh_detailed.sat_flight_operations SELECT * FROM public.kept; DROP TABLE public.kept",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_same_changes_in_other_numbers_of_partitions_make_the_same_vault_but_for_the_places() {
    let (mut world, _) = loaded("sum_places").await;
    let output = world.command_with(&["checksum", "--without-places", "--format", "json"], &[]);
    assert!(output.status.success(), "{}", told(&output));
    let file = world.dir.path().join("places.json");
    std::fs::write(&file, output.stdout).unwrap();
    let file = file.display().to_string();
    let strict = report(&world, "strict.json", &[]);
    // A truncate is at one place of one partition, so the bookings stay in one.
    world.forget_published();
    for (table, partitions) in [("airports", 3), ("flights", 5), ("bookings", 1), ("tickets", 2)] {
        world.spread(table, partitions).await;
    }
    publish_mixture(&mut world).await;
    let elsewhere = world.elsewhere("spread").await;
    let variables = elsewhere.variables(&[("VAULT_LOADER__BATCH__ROWS_MAX", "4")]);
    let mut loader = world.loader_with("spread", &variables);
    world.loaded_into(&elsewhere.client).await;
    world.end(&mut loader);
    let used =
        "SELECT count(DISTINCT (topic, partition)) FROM dwh_control.offsets WHERE next_offset > 0";
    let used: i64 = elsewhere.client.query_one(used, &[]).await.unwrap().get(0);
    assert!(used >= 9, "events lie in {used} partitions");
    let output =
        world.command_with(&["checksum", "--without-places", "--compare", &file], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let (code, said) = compare(&world, &strict, &variables);
    assert_eq!(
        (code, said.contains("sat_flights_status: as many rows, other content")),
        (1, true),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_the_vault_changes_the_checksum_of_its_table_alone() {
    let (world, before) = loaded("sum_edits").await;
    for (table, edit, back) in EDITS {
        world.client.batch_execute(edit).await.unwrap_or_else(|err| panic!("{edit}: {err:?}"));
        let (code, told) = compare(&world, &before, &[]);
        let named: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("other content") || line.contains("in the file"))
            .filter_map(|line| line.split(':').next())
            .collect();
        assert_eq!((code, named), (1, vec![table]), "{edit}\n{told}");
        world.client.batch_execute(back).await.unwrap_or_else(|err| panic!("{back}: {err:?}"));
        let (code, told) = compare(&world, &before, &[]);
        assert_eq!(code, 0, "{back}\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_names_what_counts_and_what_does_not() {
    let world = World::new("sum_report").await;
    let output = world.command(&["checksum", "--format", "json", "--table", "hub_airports"]);
    let report = json(&output);
    let table = &report["tables"][0];
    assert_eq!(report["tables"].as_array().unwrap().len(), 1);
    assert_eq!((table["table"].as_str(), table["rows"].as_u64()), (Some("hub_airports"), Some(2)));
    assert_eq!(table["columns"], serde_json::json!(["airport_code", "hash_key"]));
    let left_out = serde_json::json!(["load_date", "record_source", "source_system_id"]);
    assert_eq!(table["left_out"], left_out);
    let output = world.command(&["checksum", "--table", "hub_none"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let file = world.dir.path().join("vault.toml").display().to_string();
    let output = world.command(&["checksum", "--compare", &file]);
    assert!(
        output.status.code() == Some(2) && told(&output).contains("is no report"),
        "{}",
        told(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_ends_with_1_and_is_told_by_hash_keys() {
    let mut world = World::new("rules").await;
    let mut loader = world.loader("loader");
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    world.publish(update("airports", 20, airport("SVO", "Khimki"))).await;
    world.loaded().await;
    world.end(&mut loader);
    let output = world.command(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let output = world.command(&["check", "--rule", "no_such_rule"]);
    assert!(
        output.status.code() == Some(2) && told(&output).contains("versions_differ"),
        "{}",
        told(&output)
    );

    let break_it = "UPDATE dwh_detailed.sat_airports SET hashdiff = sha256('x') WHERE record_source <> 'SYSTEM';
                    DELETE FROM dwh_detailed.hub_airports WHERE airport_code = 'SVO'";
    world.client.batch_execute(break_it).await.unwrap();
    let output = world.command(&["check", "--format", "json", "--show", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let found = json(&output);
    let rule = |name: &str| {
        let rules = found["rules"].as_array().unwrap();
        rules.iter().find(|rule| rule["rule"] == name).unwrap().clone()
    };
    let differ = rule("versions_differ");
    assert_eq!(differ["violations"], 1);
    let detail = differ["shown"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("hash key ") && !detail.contains("Moscow"), "{detail}");
    let parents = rule("satellite_parents_exist");
    assert_eq!(
        (parents["violations"].as_u64(), parents["shown"].as_array().unwrap().len()),
        (Some(2), 1)
    );
    assert_eq!(rule("hash_keys")["violations"], 0);
    let output = world.command(&["check", "--rule", "hash_keys"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let output = world.command(&["check", "--rule", "versions_differ"]);
    let text = told(&output);
    assert!(
        text.contains("1 rules are broken: versions_differ")
            && text.contains("sat_airports: hash key "),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_of_somebody_else_shows_is_shown_on_demand() {
    let world = World::new("own_rule").await;
    let own = "CREATE VIEW dwh_checks.of_mine AS
               SELECT 'mine' AS rule, 'tickets' AS table_name, 'ticket 0005432000' AS detail";
    world.client.batch_execute(own).await.unwrap();
    let output = world.command(&["check", "--rule", "of_mine"]);
    let text = told(&output);
    assert!(output.status.code() == Some(1) && !text.contains("0005432000"), "{text}");
    let text = told(&world.command(&["check", "--rule", "of_mine", "--show-keys"]));
    assert!(text.contains("ticket 0005432000"), "{text}");
}
