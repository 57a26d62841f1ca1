//! `vault-loader quarantine`: after a retry the vault equals one that never saw the fault.
//!
//! The fault is a constraint that refuses the rows of some events. Another warehouse without it loads the same topics.

use std::process::Output;

use devstack::wait_for_async;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::growing::{GROWN, higher, typed};
use crate::support::queries::{CITIES, EVENTS, STATUS};
use crate::support::{
    Event, PATIENCE, World, airport, create, delete, fingerprint, rows, ticket, truncate, update,
};

/// The warehouse refuses the rows of changes at these positions.
async fn break_for(world: &World, tables: &[&str], lsns: &str) {
    for table in tables {
        let sql = format!(
            "ALTER TABLE dwh_detailed.{table} ADD CONSTRAINT fault CHECK (source_lsn NOT IN ({lsns})) NOT VALID"
        );
        world.client.batch_execute(&sql).await.unwrap();
    }
}

async fn mend(world: &World, tables: &[&str]) {
    for table in tables {
        let sql = format!("ALTER TABLE dwh_detailed.{table} DROP CONSTRAINT fault");
        world.client.batch_execute(&sql).await.unwrap();
    }
}

const AIRPORTS: [&str; 2] = ["sat_airports", "sat_airports_status"];

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// Runs a command on the quarantine, and returns what it said.
#[track_caller]
fn quarantine(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.command(&[&["quarantine"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

async fn waiting(world: &World) -> i64 {
    world.count("dwh_control.quarantine").await
}

/// Both warehouses hold the same, to the byte, and have counted the same events.
async fn assert_equal(world: &World, undisturbed: &Client) {
    assert_eq!(waiting(world).await, 0);
    for sql in [STATUS, CITIES, EVENTS] {
        assert_eq!(world.rows(sql).await, rows(undisturbed, sql).await, "{sql}");
    }
    assert_eq!(fingerprint(&world.client).await, fingerprint(undisturbed).await);
}

fn at(partition: i32, event: Event) -> Event {
    Event { partition, ..event }
}

/// Events with faults at 20, 60, 90, 115 and 170. Each step is loaded before the next one is published, because the
/// order of a truncate and other partitions' events is otherwise left to chance.
fn life_with_truncates() -> Vec<Vec<Event>> {
    vec![
        vec![
            at(0, create("airports", 10, airport("AAA", "Omsk"))),
            at(0, delete("airports", 20, airport("AAA", ""))),
            at(0, create("airports", 30, airport("AAA", "Omsk"))),
            at(0, update("airports", 40, airport("AAA", "Perm"))),
            at(1, create("airports", 50, airport("BBB", "Omsk"))),
            at(1, update("airports", 60, airport("BBB", "Tomsk"))),
            at(1, update("airports", 70, airport("BBB", "Tula"))),
            at(2, create("airports", 90, airport("CCC", "Omsk"))),
            at(2, update("airports", 100, airport("CCC", "Perm"))),
            at(0, create("airports", 105, airport("DDD", "Omsk"))),
            at(1, create("airports", 110, airport("EEE", "Omsk"))),
            at(1, delete("airports", 115, airport("EEE", ""))),
        ],
        vec![at(0, truncate("airports", 120))],
        vec![
            at(0, create("airports", 130, airport("AAA", "Kazan"))),
            at(1, create("airports", 140, airport("EEE", "Kazan"))),
            at(2, create("airports", 150, airport("CCC", "Kazan"))),
            at(0, create("airports", 160, airport("DDD", "Kazan"))),
            at(2, delete("airports", 170, airport("CCC", ""))),
        ],
        vec![at(2, truncate("airports", 180))],
        vec![at(1, create("airports", 190, airport("BBB", "Sochi")))],
    ]
}

/// Inserts, updates and deletes that fail, with truncates in between, on three partitions.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_retry_the_vault_equals_one_that_never_saw_the_fault() {
    let mut world = World::new("retry").await;
    world.create_topic("airports", 3).await;
    let elsewhere = world.elsewhere("undisturbed").await;
    let undisturbed = &elsewhere.client;
    break_for(&world, &AIRPORTS, "20, 60, 90, 115, 170").await;
    let mut loaders =
        [world.loader("disturbed"), world.loader_with("undisturbed", &elsewhere.variables(&[]))];
    for step in life_with_truncates() {
        world.publish_all(step).await;
        world.loaded().await;
        world.loaded_into(undisturbed).await;
    }
    world
        .assert_rows(
            "SELECT source_lsn, at_fault FROM dwh_control.quarantine WHERE at_fault ORDER BY 1",
            &["(20,t)", "(60,t)", "(90,t)", "(115,t)"],
        )
        .await;
    assert_eq!(waiting(&world).await, 13);
    // The parked keys are as they were before their faults, also behind the truncates.
    world
        .assert_rows(
            "SELECT h.airport_code
             FROM dwh_detailed.sat_airports_status AS s
             JOIN dwh_detailed.hub_airports AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             GROUP BY h.airport_code
             HAVING NOT bool_or(s.is_deleted)
             ORDER BY 1",
            &["(AAA)", "(BBB)", "(EEE)"],
        )
        .await;
    // As long as the cause is there, a retry changes nothing but what it found out.
    let before = fingerprint(&world.client).await;
    let said = quarantine(&world, &["retry", "--all"], 1);
    assert!(said.contains("still waits") && said.contains("23514"), "{said}");
    assert_eq!((waiting(&world).await, fingerprint(&world.client).await), (13, before));
    mend(&world, &AIRPORTS).await;
    let said = quarantine(&world, &["retry", "--all"], 0);
    assert_eq!(said.matches("loaded: ").count(), 4, "{said}");
    assert_equal(&world, undisturbed).await;
    // The keys go on at once, in the loader that knew them parked.
    world.publish(at(0, update("airports", 200, airport("AAA", "Ufa")))).await;
    world.publish(at(1, delete("airports", 210, airport("BBB", "")))).await;
    world.loaded().await;
    world.loaded_into(undisturbed).await;
    assert_equal(&world, undisturbed).await;
    let log = world.log("disturbed");
    assert!(log.contains("events were taken out of the quarantine"), "{log}");
    for loader in &mut loaders {
        world.end(loader);
    }
}

/// Values that the server does not send, and rows that change their keys, even two that change places.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_resolves_unchanged_values_and_moved_keys() {
    let mut world = World::new("retrymoved").await;
    let elsewhere = world.elsewhere("undisturbed").await;
    let tables = ["sat_ticket_passengers"];
    break_for(&world, &tables, "20, 70").await;
    let mut loaders =
        [world.loader("disturbed"), world.loader_with("undisturbed", &elsewhere.variables(&[]))];
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    let left_out = json!("__debezium_unavailable_value");
    let renamed = |number: &str, name: &str| {
        let mut row = ticket(number, "P1", &left_out);
        row["passenger_name"] = json!(name);
        row
    };
    let moved = |lsn: i64, from: &str, to: &str| Event {
        old_key: Some(json!({ "ticket_no": from })),
        ..create("tickets", lsn, ticket(to, "P1", &left_out))
    };
    let gone = |lsn: i64, number: &str| delete("tickets", lsn, ticket(number, "", &Value::Null));
    world
        .publish_all([
            create("tickets", 10, ticket("1", "P1", &contact("+1"))),
            update("tickets", 20, ticket("1", "P1", &contact("+2"))),
            update("tickets", 30, renamed("1", "B NAME")),
            gone(40, "1"),
            moved(40, "1", "2"),
            update("tickets", 50, renamed("2", "C NAME")),
            // Tickets 3 and 5 change places by way of each other.
            create("tickets", 60, ticket("3", "P1", &contact("+3"))),
            update("tickets", 70, ticket("3", "P1", &contact("+4"))),
            gone(80, "3"),
            moved(80, "3", "5"),
            gone(90, "5"),
            moved(90, "5", "3"),
        ])
        .await;
    world.loaded().await;
    world.loaded_into(&elsewhere.client).await;
    world
        .assert_rows(
            "SELECT source_lsn, at_fault, left(reason, 28), cardinality(header_values)
             FROM dwh_control.quarantine
             ORDER BY kafka_offset",
            &[
                "(20,t,\"the warehouse refuses a valu\",0)",
                "(30,f,\"waits behind the event at of\",0)",
                "(40,f,\"waits behind the event at of\",0)",
                "(40,f,\"waits for the key that the r\",1)",
                "(50,f,\"waits behind the event at of\",0)",
                "(70,t,\"the warehouse refuses a valu\",0)",
                "(80,f,\"waits behind the event at of\",0)",
                "(80,f,\"waits for the key that the r\",1)",
                "(90,f,\"waits behind the event at of\",0)",
                "(90,f,\"waits behind the event at of\",1)",
            ],
        )
        .await;
    mend(&world, &tables).await;
    // Ticket 2 was ticket 1, so both are loaded.
    let topic = world.topic("tickets");
    let said =
        quarantine(&world, &["retry", "--topic", &topic, "--key", "{\"ticket_no\":\"2\"}"], 0);
    assert!(said.contains("loaded: 5 events"), "{said}");
    assert_eq!(waiting(&world).await, 5);
    let said = quarantine(&world, &["retry", "--all", "--json"], 0);
    let outcomes: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(outcomes[0]["loaded_event_count"], 5, "{outcomes}");
    assert_eq!(outcomes[1]["outcome"], "gone", "{outcomes}");
    assert_equal(&world, &elsewhere.client).await;
    for loader in &mut loaders {
        world.end(loader);
    }
}

/// What the warehouse's sessions wait for.
const BLOCKED: &str = "
    SELECT pid
    FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY%'";

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_killed_in_the_middle_has_done_nothing() {
    let mut world = World::new("retrykill").await;
    let elsewhere = world.elsewhere("undisturbed").await;
    break_for(&world, &AIRPORTS, "10").await;
    let mut loaders =
        [world.loader("disturbed"), world.loader_with("undisturbed", &elsewhere.variables(&[]))];
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, airport("AAA", "Perm")),
        ])
        .await;
    world.loaded().await;
    world.loaded_into(&elsewhere.client).await;
    mend(&world, &AIRPORTS).await;
    let before = fingerprint(&world.client).await;
    let mut holder = world.database.connect().await.unwrap();
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE dwh_detailed.sat_airports IN SHARE MODE").await.unwrap();
    let mut retry = world.loader_arguments("retry", &["quarantine", "retry", "--all"], &[]);
    wait_for_async(PATIENCE, "the retry to be in the middle of its transaction", async || {
        !world.rows(BLOCKED).await.is_empty()
    })
    .await;
    assert!(retry.is_alive());
    retry.kill9();
    assert_eq!(retry.exit_code().unwrap(), Some(137), "ended by the kill, not by itself");
    lock.rollback().await.unwrap();
    wait_for_async(PATIENCE, "the warehouse to notice that the retry is gone", async || {
        world
            .rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND state <> 'idle'")
            .await
            .is_empty()
    })
    .await;
    assert_eq!((waiting(&world).await, fingerprint(&world.client).await), (2, before));
    // The loader goes on: another key is loaded, and the parked one waits as before.
    world.publish(create("airports", 30, airport("BBB", "Omsk"))).await;
    world.publish(update("airports", 40, airport("AAA", "Tula"))).await;
    world.loaded().await;
    world.loaded_into(&elsewhere.client).await;
    assert_eq!(waiting(&world).await, 3);
    quarantine(&world, &["retry", "--all"], 0);
    assert_equal(&world, &elsewhere.client).await;
    for loader in &mut loaders {
        world.end(loader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_beside_a_busy_loader_lose_and_double_nothing() {
    let mut world = World::new("retrybusy").await;
    world.create_topic("airports", 3).await;
    let elsewhere = world.elsewhere("undisturbed").await;
    break_for(&world, &AIRPORTS, "102, 203").await;
    let small = [("VAULT_LOADER__BATCH__ROWS_MAX", "7")];
    let mut loaders = [
        world.loader_with("disturbed", &small),
        world.loader_with("undisturbed", &elsewhere.variables(&[])),
    ];
    let mut retry_count = 0;
    for round in 0..60_i64 {
        for partition in 0..3 {
            let code = format!("{partition}{partition}{}", round % 2);
            let (lsn, city) = (i64::from(partition) * 100 + round, format!("city {round}"));
            world.publish(at(partition, update("airports", lsn, airport(&code, &city)))).await;
        }
        if round == 20 {
            wait_for_async(PATIENCE, "both faults to be met", async || waiting(&world).await >= 2)
                .await;
            mend(&world, &AIRPORTS).await;
        }
        // While the loader works, what waits is taken away under its hands.
        if round > 20 && round % 5 == 0 {
            quarantine(&world, &["retry", "--all"], 0);
            retry_count += 1;
        }
    }
    world.loaded().await;
    world.loaded_into(&elsewhere.client).await;
    quarantine(&world, &["retry", "--all"], 0);
    assert_eq!(retry_count, 7);
    assert_equal(&world, &elsewhere.client).await;
    let log = world.log("disturbed");
    assert!(log.contains("events were taken out of the quarantine"), "{log}");
    for loader in &mut loaders {
        world.end(loader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_recorded_without_content_and_the_rest_can_be_retried() {
    let mut world = World::new("drop").await;
    let mut loader = world.loader("loader");
    let key = "{\"airport_code\":\"AAA\"}";
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.send("airports", 0, Some(key), Some(b"no json, but secret")).await;
    world.publish(update("airports", 20, airport("AAA", "Perm"))).await;
    // Nothing of the second key is left to retry after the drop, so the drop closes it.
    world.publish(create("airports", 30, airport("BBB", "Omsk"))).await;
    world.send("airports", 0, Some("{\"airport_code\":\"BBB\"}"), Some(b"no json")).await;
    world.publish(truncate("airports", 40)).await;
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,c,f)", "(BBB,c,f)"]).await;
    let list: Value = serde_json::from_str(&quarantine(&world, &["list", "--json"], 0)).unwrap();
    let [first, other] = [0, 1].map(|place: usize| list[place]["id"].to_string());
    assert_eq!(
        (&list[0]["event_count"], &list[1]["event_count"]),
        (&json!(2), &json!(1)),
        "{list}"
    );
    let table = quarantine(&world, &["list"], 0);
    assert!(table.contains("3 events of 2 keys wait") && !table.contains("secret"), "{table}");
    let shown = quarantine(&world, &["show", &first], 0);
    assert!(shown.contains("not a Debezium envelope") && !shown.contains("secret"), "{shown}");
    assert!(!shown.contains("AAA"), "{shown}");
    let shown = quarantine(&world, &["show", &first, "--event"], 0);
    assert!(shown.contains("no json, but secret") && shown.contains(key), "{shown}");
    let refused = quarantine(&world, &["drop", &first, "--why", "broken by a tool"], 2);
    assert!(refused.contains("--yes"), "{refused}");
    let second = world.rows("SELECT id FROM dwh_control.quarantine WHERE NOT at_fault").await;
    let second = second[0].trim_matches(['(', ')']);
    let refused = quarantine(&world, &["drop", second, "--why", "x", "--yes"], 2);
    assert!(refused.contains("only the first one"), "{refused}");
    let said = quarantine(&world, &["drop", &first, "--why", "broken by a tool", "--yes"], 0);
    assert!(said.contains("1 events of its key wait"), "{said}");
    quarantine(&world, &["drop", &other, "--why", "broken by a tool", "--yes"], 0);
    world.assert_rows(STATUS, &["(AAA,c,f)", "(BBB,c,f)", "(BBB,t,t)"]).await;
    quarantine(&world, &["retry", "--id", second], 0);
    world.assert_rows(CITIES, &["(AAA,Omsk,10)", "(AAA,Perm,20)", "(BBB,Omsk,30)"]).await;
    world.assert_rows(STATUS, &["(AAA,c,f)", "(AAA,t,t)", "(BBB,c,f)", "(BBB,t,t)"]).await;
    world
        .assert_rows(
            "SELECT kafka_offset, dropped_by = session_user, why, strpos(dropped::text, 'secret')
             FROM dwh_control.dropped_events AS dropped
             ORDER BY 1",
            &["(1,t,\"broken by a tool\",0)", "(4,t,\"broken by a tool\",0)"],
        )
        .await;
    // Both keys are free again.
    world.publish(create("airports", 50, airport("AAA", "Tula"))).await;
    world.publish(create("airports", 60, airport("BBB", "Tula"))).await;
    world.loaded().await;
    assert_eq!(waiting(&world).await, 0);
    world.end(&mut loader);
}

/// The truncate left the key open, because the first event waited. Behind a drop nothing else closes the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_drop_closes_the_key_where_a_truncate_stands_before_the_next_waiting_event() {
    let mut world = World::new("droptruncate").await;
    let mut loader = world.loader("loader");
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.publish(create("airports", 20, airport("BBB", "Omsk"))).await;
    for code in ["AAA", "BBB"] {
        let key = format!("{{\"airport_code\":\"{code}\"}}");
        world.send("airports", 0, Some(&key), Some(b"no json")).await;
    }
    world.publish(truncate("airports", 40)).await;
    world.publish(create("airports", 50, airport("AAA", "Perm"))).await;
    world.publish(create("airports", 60, airport("BBB", "Perm"))).await;
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,c,f)", "(BBB,c,f)"]).await;
    let ids = world.rows("SELECT id FROM dwh_control.quarantine ORDER BY kafka_offset").await;
    let [first, other, kept, lost]: &[String; 4] = ids.as_slice().try_into().unwrap();
    // Of one key everything is dropped, and of the other one the rest is loaded.
    for id in [first, other, lost] {
        let id = id.trim_matches(['(', ')']);
        quarantine(&world, &["drop", id, "--why", "broken by a tool", "--yes"], 0);
    }
    world.assert_rows(STATUS, &["(AAA,c,f)", "(AAA,t,t)", "(BBB,c,f)", "(BBB,t,t)"]).await;
    quarantine(&world, &["retry", "--id", kept.trim_matches(['(', ')'])], 0);
    world
        .assert_rows(STATUS, &["(AAA,c,f)", "(AAA,t,t)", "(AAA,c,f)", "(BBB,c,f)", "(BBB,t,t)"])
        .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_event_keeps_place_and_reason_and_can_only_be_dropped() {
    let mut world = World::new("redact").await;
    break_for(&world, &AIRPORTS, "20").await;
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    let variables = [
        ("VAULT_LOADER__LISTEN", listen.as_str()),
        ("VAULT_LOADER__LIMITS__QUARANTINE_RETENTION_DAYS", "7"),
    ];
    let mut loader = world.loader_with("loader", &variables);
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, airport("AAA", "secret")),
            update("airports", 30, airport("AAA", "Perm")),
        ])
        .await;
    world.loaded().await;
    let redact = ["redact", "--older-than-days", "7"];
    let refused = quarantine(&world, &redact, 2);
    assert!(refused.contains("--yes"), "{refused}");
    let said = quarantine(&world, &[&redact[..], &["--yes"]].concat(), 0);
    assert!(said.contains("redacted: 0 events"), "{said}");
    let age = "UPDATE dwh_control.quarantine SET quarantined_at = quarantined_at - interval '8 days' WHERE source_lsn = 20";
    world.client.batch_execute(age).await.unwrap();
    wait_for_async(PATIENCE, "the loader to report the old event", async || {
        let metrics = devstack::http::get(&format!("http://{listen}/metrics"));
        let metrics = metrics.map_err(|err| err.to_string())?.body;
        let source = &world.source;
        let gauge = |name: &str, value: &str| {
            metrics.contains(&format!("vault_loader_{name}{{source=\"{source}\"}} {value}"))
        };
        let shown = gauge("quarantine_events", "2\n")
            && gauge("parked_keys", "1\n")
            && gauge("quarantine_overdue_events", "1\n");
        let is_old = gauge("quarantine_oldest_seconds", "69");
        if shown && is_old && world.log("loader").contains("older than their content may be kept") {
            Ok(true)
        } else {
            Err(metrics)
        }
    })
    .await;
    let said = quarantine(&world, &[&redact[..], &["--yes"]].concat(), 0);
    assert!(said.contains("redacted: 1 events"), "{said}");
    world
        .assert_rows(
            "SELECT kafka_offset, sqlstate, key IS NULL, value IS NULL, strpos(q::text, 'secret'), key_hash IS NOT NULL
             FROM dwh_control.quarantine AS q
             WHERE redacted_at IS NOT NULL",
            &["(1,23514,t,t,0,t)"],
        )
        .await;
    mend(&world, &AIRPORTS).await;
    let said = quarantine(&world, &["retry", "--all"], 1);
    assert!(said.contains("can only be dropped"), "{said}");
    // The key is parked as before.
    world.publish(update("airports", 40, airport("AAA", "Tula"))).await;
    world.loaded().await;
    assert_eq!(waiting(&world).await, 3);
    let list: Value = serde_json::from_str(&quarantine(&world, &["list", "--json"], 0)).unwrap();
    assert_eq!(list[0]["is_redacted"], true, "{list}");
    assert!(list[0]["reason"].as_str().unwrap().contains("23514"), "the reason stays: {list}");
    let id = list[0]["id"].to_string();
    quarantine(&world, &["drop", &id, "--why", "too old", "--yes"], 0);
    quarantine(&world, &["retry", "--all"], 0);
    world.assert_rows(CITIES, &["(AAA,Omsk,10)", "(AAA,Perm,30)", "(AAA,Tula,40)"]).await;
    world.end(&mut loader);
}

/// What waits may have columns that the model does not name.
#[tokio::test(flavor = "multi_thread")]
async fn events_with_a_grown_column_are_retried() {
    let mut world = World::new("retrygrown").await;
    break_for(&world, &AIRPORTS, "20").await;
    let mut loader = world.loader("loader");
    for event in [
        create("airports", 10, higher("AAA", &json!(94))),
        update("airports", 20, higher("AAA", &json!(95))),
        update("airports", 30, higher("AAA", &json!(96))),
    ] {
        world.publish(typed(event, &GROWN, &[])).await;
    }
    world.loaded().await;
    assert_eq!(waiting(&world).await, 2);
    mend(&world, &AIRPORTS).await;
    let said = quarantine(&world, &["retry", "--all"], 0);
    assert!(said.contains("loaded: 2 events"), "{said}");
    let heights =
        "SELECT elevation FROM dwh_detailed.sat_airports WHERE source_lsn > 0 ORDER BY source_lsn";
    world.assert_rows(heights, &["(94)", "(95)", "(96)"]).await;
    world.end(&mut loader);
}

#[test]
fn a_retry_without_a_choice_is_refused() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vault-loader"))
        .args(["quarantine", "drop", "1", "--yes"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--why"), "{}", said(&output));
}
