//! `vault-loader rehash`: a vault whose secret has changed is the one that has had the new secret from the start.
//!
//! Two warehouses load the same topics, one without a secret and one with it. Their tables and views of the vault are
//! compared row by row, with all hash keys.

use devstack::wait_for_async;
use serde_json::json;
use tokio_postgres::Client;

use crate::carried::shop;
use crate::snapshots::{assert_right, daily, dates, snapshots};
use crate::support::queries::CITIES;
use crate::support::{
    Event, PATIENCE, World, airport, booking, create, delete, fingerprint, flight, read, rows,
    ticket, truncate, update,
};

const NAME: &str = "VAULT_LOADER__KEY_SECRET";
const BEFORE: &str = "VAULT_LOADER__KEY_SECRET_BEFORE";
const SECRET: &str = "hide-me-1f7a6f0c2b8e4d5996a1c3e5f7b9d0a2";
const OTHER: &str = "hide-me-too-0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// What the quarantine and the dropped events say about hash keys.
const EVENTS: &str = "
    SELECT topic, kafka_offset, encode(parent_hash_key, 'hex') FROM dwh_control.quarantine
    UNION ALL
    SELECT topic, kafka_offset, encode(parent_hash_key, 'hex') FROM dwh_control.dropped_events
    ORDER BY 1, 2";

const STARTED: &str = "SELECT encode(key_secret_fingerprint, 'hex') FROM dwh_control.warehouse";

/// Rows of every table, with histories: hubs that are scoped and that are not, links with a dependent key, effectivity,
/// deletes, a truncate, a NULL in an optional hub, and two events that cannot be loaded, of which one is of a key that
/// the vault does not know.
fn events() -> Vec<Event> {
    let mut unreadable = airport("OVB", "Novosibirsk");
    unreadable["longitude"] = "nowhere".into();
    let mut gone = airport("SVO", "Moscow");
    gone["latitude"] = "nowhere".into();
    let seat = |number: &str| json!({"aircraft_code": "773", "seat_no": number, "fare_conditions": "Economy"});
    let segment = |flight: i64| json!({"ticket_no": "0005432000001", "flight_id": flight, "fare_conditions": "Economy", "amount": "BNI="});
    let pass = |flight: i64| json!({"ticket_no": "0005432000001", "flight_id": flight, "boarding_no": 1, "seat_no": "1A"});
    let mut nobody = flight(9, "773", "Scheduled");
    nobody["aircraft_code"] = serde_json::Value::Null;
    vec![
        read("airports", airport("SVO", "Moscow")),
        create("airports", 10, airport("LED", "Petersburg")),
        update("airports", 11, airport("LED", "Saint Petersburg")),
        create("aircrafts", 12, json!({"aircraft_code": "773", "model": "Boeing", "range": 11100})),
        create("seats", 13, seat("1A")),
        create("seats", 14, seat("1B")),
        truncate("seats", 15),
        create("seats", 16, seat("1C")),
        create("flights", 20, flight(7, "773", "Scheduled")),
        update("flights", 21, flight(7, "320", "On Time")),
        create("flights", 22, flight(8, "773", "Scheduled")),
        delete("flights", 23, flight(8, "773", "Scheduled")),
        create("flights", 24, nobody),
        create("bookings", 30, booking("00000F", 1250)),
        create("tickets", 40, ticket("0005432000001", "1234 567890", &json!("{}"))),
        update("tickets", 41, ticket("0005432000001", "9999 000000", &json!("{\"phone\": 1}"))),
        create("ticket_flights", 50, segment(7)),
        create("ticket_flights", 51, segment(8)),
        create("boarding_passes", 60, pass(7)),
        update("airports", 70, gone),
        update("airports", 71, airport("SVO", "Khimki")),
        create("airports", 72, unreadable),
    ]
}

fn rehash(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = world.command_with(&[&["rehash"], arguments].concat(), variables);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!said.contains("hide-me"), "a secret is shown: {said}");
    (output.status.code().unwrap(), said)
}

#[track_caller]
fn rehashed(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (code, said) = rehash(world, arguments, variables);
    assert_eq!(code, 0, "{said}");
    said
}

async fn everything(client: &Client) -> Vec<String> {
    [fingerprint(client).await, rows(client, EVENTS).await].concat()
}

/// What the server has in store of what is secret.
async fn assert_no_secret(client: &Client) {
    let seen = "SELECT query FROM pg_stat_activity WHERE query LIKE '%hide-me%' AND query NOT LIKE '%pg_stat_activity%'";
    assert_eq!(rows(client, seen).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehashed_vault_is_the_one_with_the_secret_from_the_start() {
    let mut world = World::new("rehash").await;
    let with_secret = [(NAME, SECRET)];
    let twin = world.elsewhere_with("twin", &with_secret).await;
    world.publish_all(events()).await;
    let mut loaders =
        [world.loader("plain"), world.loader_with("twin", &twin.variables(&with_secret))];
    world.loaded().await;
    world.loaded_into(&twin.client).await;
    loaders.iter_mut().for_each(|loader| world.end(loader));
    for variables in [vec![], twin.variables(&with_secret)] {
        let drop = ["quarantine", "drop", "1", "--why", "a test", "--yes"];
        let dropped = world.command_with(&drop, &variables);
        assert!(dropped.status.success(), "{dropped:?}");
    }
    let (plain, secret) = (everything(&world.client).await, everything(&twin.client).await);
    assert_ne!(plain, secret);
    assert_eq!(rows(&world.client, EVENTS).await.len(), 3, "two wait and one was dropped");

    // A trial counts and changes nothing.
    let told = rehashed(&world, &["--dry-run"], &with_secret);
    assert!(told.contains("dwh_detailed.hub_airports: 2 rows"), "{told}");
    assert!(told.contains("would get new hash keys; nothing was changed"), "{told}");
    assert_eq!(everything(&world.client).await, plain);

    let told = rehashed(&world, &[], &with_secret);
    assert!(told.contains("dwh_detailed.sat_tickets_status: 1 rows"), "{told}");
    assert!(told.contains("rows of 31 tables have new hash keys"), "{told}");
    assert_eq!(everything(&world.client).await, secret);
    assert_eq!(rows(&world.client, STARTED).await, rows(&twin.client, STARTED).await);
    let told = rehashed(&world, &[], &with_secret);
    assert!(told.starts_with("nothing to do"), "{told}");

    // To another secret, and to none: the first vault again.
    let other = rehashed(&world, &[], &[(NAME, OTHER), (BEFORE, SECRET)]);
    assert!(other.contains("have new hash keys"), "{other}");
    let found = everything(&world.client).await;
    assert!(found != secret && found != plain);
    rehashed(&world, &["--remove-secret"], &[(BEFORE, OTHER)]);
    assert_eq!(everything(&world.client).await, plain);

    // Loading goes on with the secret, and the loader without it is refused.
    rehashed(&world, &[], &with_secret);
    let mut refused = world.loader("refused");
    assert_eq!(refused.wait_exit(PATIENCE).unwrap(), 2);
    assert!(world.log("refused").contains("key_secret is not set"), "{}", world.log("refused"));
    world
        .publish_all([
            update("airports", 80, airport("LED", "Leningrad")),
            update("flights", 81, flight(7, "773", "Departed")),
            create("flights", 82, flight(10, "773", "Scheduled")),
            update("tickets", 83, ticket("0005432000001", "1234 567890", &json!("{}"))),
            update("airports", 84, airport("SVO", "Sheremetyevo")),
            truncate("seats", 85),
        ])
        .await;
    let mut loaders = [
        world.loader_with("again", &with_secret),
        world.loader_with("twin again", &twin.variables(&with_secret)),
    ];
    world.loaded().await;
    world.loaded_into(&twin.client).await;
    loaders.iter_mut().for_each(|loader| world.end(loader));
    assert_eq!(everything(&world.client).await, everything(&twin.client).await);
    for variables in [with_secret.to_vec(), twin.variables(&with_secret)] {
        let retried = world.command_with(&["quarantine", "retry", "--all"], &variables);
        assert_eq!(retried.status.code(), Some(1), "the other key waits still: {retried:?}");
    }
    assert_eq!(everything(&world.client).await, everything(&twin.client).await);
    for table in
        ["hash_keys", "link_hubs_exist", "satellite_parents_exist", "effectivity_links_exist"]
    {
        assert_eq!(world.count(&format!("dwh_checks.{table}")).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_runs_on_writes_nothing_with_the_old_secret() {
    let mut world = World::new("rehashrunning").await;
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    let mut running = world.loader("running");
    world.loaded().await;
    rehashed(&world, &[], &[(NAME, SECRET)]);
    world.publish(update("airports", 20, airport("SVO", "Khimki"))).await;
    assert_eq!(running.wait_exit(PATIENCE).unwrap(), 2);
    let log = world.log("running");
    assert!(log.contains("or its hash keys were made anew"), "{log}");
    world.assert_rows(CITIES, &["(SVO,Moscow,10)"]).await;
    let mut loader = world.loader_with("loader", &[(NAME, SECRET)]);
    world.loaded().await;
    world.end(&mut loader);
    world.assert_rows(CITIES, &["(SVO,Moscow,10)", "(SVO,Khimki,20)"]).await;
    assert_eq!(world.count("dwh_detailed.hub_airports").await, 3, "no key has two hashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_go_with_the_old_keys_and_are_built_anew() {
    let mut world = daily("rehashsnapshots").await;
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let build = ["build", "--complete-until", "2026-09-23T11:00:00Z"];
    snapshots(&world, &build, 1);
    let built = dates(&world, "pit_flights").await;
    assert!(!built.is_empty());
    rehashed(&world, &["--dry-run"], &[(NAME, SECRET)]);
    assert_eq!(dates(&world, "pit_flights").await, built);
    rehashed(&world, &[], &[(NAME, SECRET)]);
    assert!(dates(&world, "pit_flights").await.is_empty());
    assert_eq!(world.count("dwh_business.pit_flights").await, 0);
    snapshots(&world, &build, 1);
    assert_eq!(dates(&world, "pit_flights").await, built);
    assert_right(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_stand_in_satellites_alone_are_refused_by_name() {
    let world = shop("rehashcarried").await;
    let (code, said) = rehash(&world, &[], &[(NAME, SECRET)]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("has no table of its own"), "{said}");
    assert_eq!(rows(&world.client, STARTED).await, ["()"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rehash_has_changed_nothing() {
    let mut world = World::new("rehashkilled").await;
    world.publish_all(events()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let before = everything(&world.client).await;
    // The fingerprint is what is written behind all hash keys.
    let holder = world.database.connect().await.unwrap();
    holder.batch_execute("BEGIN; SELECT id FROM dwh_control.warehouse FOR UPDATE").await.unwrap();
    let mut command = world.loader_arguments("rehash", &["rehash"], &[(NAME, SECRET)]);
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'
                   AND query LIKE 'UPDATE dwh_control.warehouse%'";
    wait_for_async(PATIENCE, "the command to be at its end", async || {
        rows(&world.client, waits).await == ["(1)"]
    })
    .await;
    // Its statements are seen at the server, and none of them tells the secret.
    assert_no_secret(&world.client).await;
    // Who reads meanwhile sees the old keys and does not wait.
    assert_eq!(everything(&world.client).await, before);
    command.kill9();
    holder.batch_execute("ROLLBACK").await.unwrap();
    wait_for_async(PATIENCE, "the server to notice", async || {
        let others = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND application_name = 'vault-loader'";
        rows(&world.client, others).await == ["(0)"]
    })
    .await;
    assert_eq!(everything(&world.client).await, before);
    world.assert_rows(STARTED, &["()"]).await;
    let told = rehashed(&world, &[], &[(NAME, SECRET)]);
    assert!(told.contains("have new hash keys"), "{told}");
}

/// Keeps what the cases change.
const KEEP: &str = "
        CREATE SCHEMA kept;
        CREATE TABLE kept.hub_bookings AS TABLE dwh_detailed.hub_bookings;
        CREATE TABLE kept.hub_flights AS TABLE dwh_detailed.hub_flights;
        CREATE TABLE kept.hub_aircrafts AS TABLE dwh_detailed.hub_aircrafts;
        CREATE TABLE kept.link_aircraft_seats AS TABLE dwh_detailed.link_aircraft_seats;
        CREATE TABLE kept.sat_bookings AS TABLE dwh_detailed.sat_bookings;
        CREATE TABLE kept.sat_booking_tickets_effectivity AS TABLE dwh_detailed.sat_booking_tickets_effectivity;
        CREATE TABLE kept.quarantine AS SELECT id, parent_hash_key FROM dwh_control.quarantine";

/// Brings it back.
const RESTORE: &str = "
        DROP TABLE IF EXISTS dwh_detailed.mine;
        TRUNCATE dwh_detailed.hub_bookings, dwh_detailed.hub_flights, dwh_detailed.hub_aircrafts, dwh_detailed.link_aircraft_seats,
            dwh_detailed.sat_bookings, dwh_detailed.sat_booking_tickets_effectivity;
        INSERT INTO dwh_detailed.hub_bookings TABLE kept.hub_bookings;
        INSERT INTO dwh_detailed.hub_flights TABLE kept.hub_flights;
        INSERT INTO dwh_detailed.hub_aircrafts TABLE kept.hub_aircrafts;
        INSERT INTO dwh_detailed.link_aircraft_seats TABLE kept.link_aircraft_seats;
        INSERT INTO dwh_detailed.sat_bookings TABLE kept.sat_bookings;
        INSERT INTO dwh_detailed.sat_booking_tickets_effectivity TABLE kept.sat_booking_tickets_effectivity;
        UPDATE dwh_control.quarantine AS q SET parent_hash_key = k.parent_hash_key FROM kept.quarantine AS k WHERE k.id = q.id";

/// What somebody does to the warehouse, and what the command says about it.
fn cases() -> [(String, &'static str); 9] {
    let other = "sha256('other')";
    [
        (
            format!(
                "UPDATE dwh_detailed.hub_bookings SET hash_key = {other} WHERE book_ref IS NOT NULL"
            ),
            "dwh_detailed.hub_bookings: 1 rows whose hash key is not that of their values",
        ),
        (
            "UPDATE dwh_detailed.hub_flights SET flight_id = 70 WHERE flight_id = 7".to_owned(),
            "dwh_detailed.hub_flights: 1 rows whose hash key is not that of their values",
        ),
        (
            "DELETE FROM dwh_detailed.hub_aircrafts WHERE aircraft_code = '773'".to_owned(),
            "dwh_detailed.link_aircraft_seats: 3 hash keys of hubs that no row of the hub has",
        ),
        (
            "UPDATE dwh_detailed.link_aircraft_seats SET seat_no = '9Z' WHERE seat_no = '1A'"
                .to_owned(),
            "dwh_detailed.link_aircraft_seats: 1 rows whose hash key is not that of their values",
        ),
        (
            format!(
                "UPDATE dwh_detailed.sat_bookings SET hash_key = {other} WHERE record_source <> 'SYSTEM'"
            ),
            "dwh_detailed.sat_bookings: 1 rows whose hash key no row of their hub or link has",
        ),
        (
            format!(
                "UPDATE dwh_detailed.sat_booking_tickets_effectivity SET link_hash_key = {other} WHERE record_source <> 'SYSTEM'"
            ),
            "dwh_detailed.sat_booking_tickets_effectivity: 1 rows that name a row which their link does not have",
        ),
        (
            format!(
                "UPDATE dwh_detailed.sat_booking_tickets_effectivity SET hashdiff = {other} WHERE record_source <> 'SYSTEM'"
            ),
            "dwh_detailed.sat_booking_tickets_effectivity: 1 rows that name a row",
        ),
        (
            format!("UPDATE dwh_control.quarantine SET parent_hash_key = {other}"),
            "the quarantine: 3 events whose hash key is not that of their record's key",
        ),
        (
            "CREATE TABLE dwh_detailed.mine AS SELECT hash_key FROM dwh_detailed.hub_flights"
                .to_owned(),
            "dwh_detailed.mine: no model describes this table",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_old_rule_does_not_give_is_reported() {
    let mut world = World::new("rehashstrange").await;
    world.publish_all(events()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    world.client.batch_execute(KEEP).await.unwrap();
    for (change, words) in cases() {
        world.client.batch_execute(&change).await.unwrap();
        let changed = everything(&world.client).await;
        for arguments in [&["--dry-run"][..], &[]] {
            let (code, said) = rehash(&world, arguments, &[(NAME, SECRET)]);
            assert_eq!(code, 3, "{change}: {said}");
            assert!(
                said.contains(words) && said.contains("nothing was changed"),
                "{change}: {said}"
            );
        }
        assert_eq!(everything(&world.client).await, changed, "{change}");
        world.client.batch_execute(RESTORE).await.unwrap();
    }
    rehashed(&world, &[], &[(NAME, SECRET)]);
}

/// Who was erased has the old key and another value.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_passenger_gets_the_key_of_what_stands_there() {
    let mut world = World::new("rehasherased").await;
    world.publish_all(events()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let erase = "UPDATE dwh_detailed.hub_passengers SET passenger_id = '!0f1e' WHERE passenger_id = '1234 567890'";
    world.client.batch_execute(erase).await.unwrap();
    let (code, said) = rehash(&world, &[], &[(NAME, SECRET)]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("--erased hub_passengers gives such rows"), "{said}");
    let (code, said) = rehash(&world, &["--erased", "hub_people"], &[(NAME, SECRET)]);
    assert_eq!(code, 2, "{said}");
    rehashed(&world, &["--erased", "hub_passengers"], &[(NAME, SECRET)]);
    world.client.batch_execute(&format!("SET dwh_control.key_secret = '{SECRET}'")).await.unwrap();
    let keys = "
        SELECT p.passenger_id, p.hash_key = dwh_control.hub_key(NULL, dwh_control.canonical(p.passenger_id)), count(l.hash_key)
        FROM dwh_detailed.hub_passengers AS p
        LEFT JOIN dwh_detailed.link_ticket_passengers AS l ON l.passenger_hash_key = p.hash_key
        WHERE p.record_source <> 'SYSTEM'
        GROUP BY p.hash_key
        ORDER BY 1";
    world.assert_rows(keys, &["(!0f1e,t,1)", "(\"9999 000000\",t,1)"]).await;
    // What everybody else has is as before.
    rehashed(&world, &["--dry-run"], &[(NAME, OTHER), (BEFORE, SECRET)]);
}

/// An event whose content is gone, of a row that the vault does not know, may be anybody's from then on.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_content_forgets_a_key_that_nobody_knows() {
    let mut world = World::new("rehashredacted").await;
    world.publish_all(events()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let redact = ["quarantine", "redact", "--older-than-days", "0", "--yes"];
    let redacted = world.command_with(&redact, &[]);
    assert!(redacted.status.success(), "{redacted:?}");
    let told = rehashed(&world, &[], &[(NAME, SECRET)]);
    assert!(told.contains("note: 1 events"), "{told}");
    let known = "SELECT count(*), count(parent_hash_key), count(h.hash_key)
                 FROM dwh_control.quarantine AS q
                 LEFT JOIN dwh_detailed.hub_airports AS h ON h.hash_key = q.parent_hash_key";
    world.assert_rows(known, &["(3,2,2)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_secret_is_refused() {
    let world = World::unmigrated("rehashwrong").await;
    let refused = |arguments: &[&str], variables: &[(&str, &str)], words: &str| {
        let (code, said) = rehash(&world, arguments, variables);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(words), "{said}");
    };
    refused(&[], &[(NAME, SECRET)], "the warehouse has no model");
    world.migrate(&[(NAME, SECRET)]);
    refused(&[], &[], "key_secret is not set");
    refused(&[], &[(NAME, OTHER)], "key_secret_before is not set");
    refused(
        &[],
        &[(NAME, SECRET), (BEFORE, "short")],
        "key_secret_before: must have at least 32 bytes",
    );
    refused(&[], &[(NAME, OTHER), (BEFORE, OTHER)], "key_secret_before is not the secret");
    refused(&["--remove-secret"], &[(NAME, SECRET)], "--remove-secret was given");
    refused(&["--remove-secret"], &[], "key_secret_before is not set");
    let told = rehashed(&world, &["--remove-secret"], &[(BEFORE, SECRET)]);
    assert!(told.contains("0 rows of 31 tables have new hash keys"), "{told}");
    world.assert_rows(STARTED, &["()"]).await;
}

/// A rehash keeps the loaders out first, then whoever writes to the vault or to the quarantine. A drop that held the
/// quarantine while it waited for the vault would wait in a circle with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drop_waits_for_a_rehash_and_holds_nothing_that_the_rehash_wants() {
    let mut world = World::new("rehashdrop").await;
    let mut unreadable = airport("OVB", "Novosibirsk");
    unreadable["longitude"] = "nowhere".into();
    world.publish(create("airports", 10, unreadable)).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let id = world.rows("SELECT id::text FROM dwh_control.quarantine").await.remove(0);
    let id = id.trim_matches(['(', ')']);

    let rehash = world.database.connect().await.unwrap();
    rehash.batch_execute("BEGIN").await.unwrap();
    let alone = "SELECT pg_advisory_xact_lock(hashtextextended($1, 8))";
    rehash.execute(alone, &[&world.source]).await.unwrap();
    let arguments = ["quarantine", "drop", id, "--why", "broken by a tool", "--yes"];
    let mut drop = world.loader_arguments("drop", &arguments, &[]);
    let waits = "SELECT pid > 0 FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    wait_for_async(PATIENCE, "the drop to wait", async || {
        let code = drop.exit_code().map_err(|err| format!("{err:#}"))?;
        assert_eq!(code, None, "the drop did not wait: {}", world.log("drop"));
        Ok::<_, String>(world.rows(waits).await == ["(t)"])
    })
    .await;
    let vault_and_quarantine = "
        LOCK TABLE dwh_detailed.sat_airports_status, dwh_control.quarantine, dwh_control.dropped_events
        IN SHARE ROW EXCLUSIVE MODE NOWAIT;
        ROLLBACK";
    rehash.batch_execute(vault_and_quarantine).await.unwrap();
    assert_eq!(drop.wait_exit(PATIENCE).unwrap(), 0, "{}", world.log("drop"));
    assert_eq!(world.count("dwh_control.dropped_events").await, 1);
}
