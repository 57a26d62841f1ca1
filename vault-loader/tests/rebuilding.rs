//! `vault-loader rebuild`: the vault that is loaded anew takes the place of the live one, and holds the same.

use std::path::{Path, PathBuf};

use devstack::{Process, wait_for_async};
use serde_json::json;

use crate::growing::{GROWN, higher, typed};
use crate::proving::{compare, report, told};
use crate::replaying::publish_mixture;
use crate::sources::{Agency, airline_model, publish_both};
use crate::support::queries::CITIES;
use crate::support::{
    Event, PATIENCE, World, airport, booking, create, delete, flight, read, update,
};

/// Which tables the names of the vault stand for.
const TABLES: &str = "SELECT relname, oid FROM pg_class
    WHERE relnamespace = 'dwh_detailed'::regnamespace AND relkind = 'r' ORDER BY 1";

/// Schemas that a rebuild makes for itself.
const SCHEMAS: &str = "SELECT nspname FROM pg_namespace
    WHERE nspname IN ('dwh_rebuild', 'dwh_rebuild_control', 'dwh_replaced') ORDER BY 1";

const WAITING: &str = "SELECT id, kafka_offset, at_fault, value IS NULL, quarantined_at
    FROM dwh_control.quarantine ORDER BY id";

fn rebuild_with(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = world.command_with(&[&["rebuild"], arguments].concat(), variables);
    (output.status.code().unwrap(), told(&output))
}

#[track_caller]
fn rebuilt(world: &World, arguments: &[&str]) -> String {
    let (code, said) = rebuild_with(world, arguments, &[]);
    assert_eq!(code, 0, "{said}");
    said
}

/// The vault's tables are others, and hold what the report says; nothing is left of the command.
async fn assert_replaced(world: &World, before: &Path, tables: &[String]) {
    let now = world.rows(TABLES).await;
    assert_eq!(now.len(), tables.len());
    assert!(now.iter().all(|table| !tables.contains(table)), "every table is another one");
    assert_equal(world, before);
    assert_eq!(world.rows(SCHEMAS).await, Vec::<String>::new());
}

#[track_caller]
fn assert_equal(world: &World, before: &Path) {
    let (code, told) = compare(world, before, &[]);
    assert_eq!(code, 0, "{told}");
}

/// Loads what was published, and returns the report of the vault.
async fn load(world: &World, name: &str) -> PathBuf {
    let mut loader = world.loader(name);
    world.loaded().await;
    world.end(&mut loader);
    report(world, &format!("{name}.json"), &[])
}

fn done(world: &World, arguments: &[&str]) {
    let output = world.command(arguments);
    assert!(output.status.success(), "{}", told(&output));
}

/// Events of airports and flights over three partitions, each key in one of them.
fn traffic(numbers: std::ops::Range<i64>) -> Vec<Event> {
    let event = |number: i64| {
        let (lsn, key) = (100 + number, number % 11);
        let partition = i32::try_from(key % 3).unwrap();
        let code = format!("B{key:02}");
        let event = match number % 4 {
            0 => {
                update("flights", lsn, flight(20 + key, "773", &format!("Delayed {}", number % 5)))
            }
            1 if number % 12 == 1 => delete("airports", lsn, airport(&code, "")),
            _ => update("airports", lsn, airport(&code, &format!("city {}", number % 7))),
        };
        Event { partition, ..event }
    };
    numbers.map(event).collect()
}

async fn with_partitions(name: &str) -> World {
    let world = World::new(name).await;
    world.create_topic("airports", 3).await;
    world.create_topic("flights", 3).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_vault_is_the_live_one_whatever_the_batches_and_writers() {
    let mut world = with_partitions("rb_equal").await;
    publish_mixture(&mut world).await;
    world.publish_all(traffic(1_000..1_120)).await;
    let before = load(&world, "first").await;
    let offsets =
        "SELECT topic, partition, next_offset, last_digest FROM dwh_control.offsets ORDER BY 1, 2";
    let stood = world.rows(offsets).await;
    for (writers, rows) in [("1", "3"), ("4", "10000")] {
        let tables = world.rows(TABLES).await;
        let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", rows)];
        let (code, said) = rebuild_with(&world, &["--writers", writers], &variables);
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains("31 tables of 1 sources") && said.contains("has taken the place"),
            "{said}"
        );
        assert_replaced(&world, &before, &tables).await;
        assert_eq!(world.rows(offsets).await, stood, "the loaders' offsets are not touched");
    }
    // The rules of the vault hold, and a loader goes on.
    done(&world, &["check"]);
    world.publish(update("airports", 5_000, airport("SVO", "Khimki"))).await;
    load(&world, "last").await;
    let cities = format!("SELECT city FROM ({CITIES}) AS c WHERE airport_code = 'SVO'");
    world.assert_rows(&cities, &["(Moscow)", "(Khimki)"]).await;
}

/// Loaders come and go at full speed while the vault is rebuilt, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn loaders_go_on_and_change_hands_while_the_vault_is_rebuilt() {
    let mut world = with_partitions("rb_live").await;
    let twin = world.elsewhere("twin").await;
    let small = [("VAULT_LOADER__BATCH__ROWS_MAX", "5")];
    let mut first = world.loader_with("one", &small);
    let mut running: Option<Process> = None;
    let mut number = 0;
    for round in 0..3 {
        let next = number + 300;
        world.publish_all(traffic(number..next)).await;
        number = next;
        let mut rebuild = world.loader_arguments(
            &format!("rebuild{round}"),
            &["rebuild", "--writers", "3"],
            &[("VAULT_LOADER__BATCH__ROWS_MAX", "9")],
        );
        match running.take() {
            // Its partitions go to the first loader.
            Some(mut second) => second.kill9(),
            None => running = Some(world.loader_with(&format!("two{round}"), &small)),
        }
        while rebuild.exit_code().unwrap().is_none() {
            world.publish_all(traffic(number..number + 20)).await;
            number += 20;
        }
        assert_eq!(
            rebuild.wait_exit(PATIENCE).unwrap(),
            0,
            "{}",
            world.log(&format!("rebuild{round}"))
        );
    }
    world.loaded().await;
    if let Some(mut second) = running {
        world.end(&mut second);
    }
    world.end(&mut first);
    assert_eq!(world.rows(SCHEMAS).await, Vec::<String>::new());
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    let live = report(&world, "live.json", &[]);
    let mut loader = world.loader_with("twin", &twin.variables(&[]));
    world.loaded_into(&twin.client).await;
    world.end(&mut loader);
    let (code, said) = compare(&world, &live, &twin.variables(&[]));
    assert_eq!(code, 0, "as a warehouse that was never rebuilt, after {number} events: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_by_hand_is_named_and_mended() {
    let mut world = World::new("rb_mends").await;
    publish_mixture(&mut world).await;
    let before = load(&world, "first").await;
    for edit in [
        "UPDATE dwh_detailed.sat_airports SET city = 'Atlantis' WHERE city = 'Moscow'",
        "DELETE FROM dwh_detailed.hub_airports WHERE airport_code = 'A03'",
        "DELETE FROM dwh_detailed.sat_ticket_passengers WHERE kafka_offset % 3 = 1",
    ] {
        assert!(world.client.execute(edit, &[]).await.unwrap() > 0, "{edit}");
    }
    let tables = world.rows(TABLES).await;
    let (code, said) = rebuild_with(&world, &["--keep"], &[]);
    assert_eq!(code, 1, "{said}");
    let line =
        |table: &str| said.lines().find(|line| line.starts_with(&format!("{table} "))).unwrap();
    assert!(line("sat_airports").ends_with("as many rows, other content"), "{said}");
    assert!(
        line("hub_airports").ends_with("rows rebuilt")
            && line("sat_ticket_passengers").ends_with("rows rebuilt")
    );
    assert!(line("sat_bookings").ends_with("equal") && said.contains("3 tables"), "{said}");
    assert_eq!(world.rows(TABLES).await, tables, "the live vault is as it was");
    assert_eq!(compare(&world, &before, &[]).0, 1);
    world.assert_rows(SCHEMAS, &["(dwh_rebuild)", "(dwh_rebuild_control)", "(dwh_replaced)"]).await;
    let said = rebuilt(&world, &["--discard"]);
    assert!(said.contains("discarded dwh_rebuild, dwh_rebuild_control"), "{said}");
    assert_eq!(world.rows(SCHEMAS).await, Vec::<String>::new());
    assert!(rebuilt(&world, &["--discard"]).contains("nothing to discard"));
    rebuilt(&world, &[]);
    assert_replaced(&world, &before, &tables).await;
    assert!(
        rebuilt(&world, &["--keep"]).contains("the live one is as it was"),
        "no difference is left"
    );
}

/// An erased person has the hash key of the values that the topics still hold.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_does_not_come_back_unless_that_is_said() {
    let mut world = World::new("rb_erased").await;
    publish_mixture(&mut world).await;
    let before = load(&world, "first").await;
    let erase =
        "UPDATE dwh_detailed.hub_airports SET airport_code = 'XXX' WHERE airport_code = 'A02'";
    assert_eq!(world.client.execute(erase, &[]).await.unwrap(), 1);
    let tables = world.rows(TABLES).await;
    let (code, said) = rebuild_with(&world, &[], &[]);
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("dwh_detailed.hub_airports: 1 rows have other values than the topics"),
        "{said}"
    );
    assert!(said.contains("--restore-edited"), "{said}");
    assert_eq!(world.rows(TABLES).await, tables);
    assert_eq!(world.rows(SCHEMAS).await, Vec::<String>::new());
    rebuilt(&world, &["--restore-edited"]);
    assert_replaced(&world, &before, &tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_have_decided_holds_in_a_rebuilt_vault() {
    let mut world = World::new("rb_decided").await;
    let broken = |code: &str| {
        let mut row = airport(code, "Omsk");
        row["latitude"] = json!("nowhere");
        row
    };
    for number in 0..6 {
        let code = format!("G{number:02}");
        world.publish(create("bookings", 5 + number, booking(&format!("{code}000"), number))).await;
    }
    // What Kafka deleted before it was loaded, and what cannot be loaded.
    world.delete_before("bookings", 3).await;
    let topic = world.topic("bookings");
    done(
        &world,
        &["gap", "accept", "--topic", &topic, "--partition", "0", "--from", "0", "--to", "2"],
    );
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, broken("AAA")),
            update("airports", 30, airport("AAA", "Ufa")),
            create("airports", 40, broken("BBB")),
            update("airports", 50, airport("BBB", "Perm")),
            create("airports", 60, airport("CCC", "Tomsk")),
        ])
        .await;
    load(&world, "first").await;
    assert_eq!(world.count("dwh_control.quarantine").await, 4);
    // The first broken event is given up, so that the rest of its key is loaded; the other key waits without content.
    let first: i64 = world
        .client
        .query_one("SELECT min(id) FROM dwh_control.quarantine", &[])
        .await
        .unwrap()
        .get(0);
    done(&world, &["quarantine", "drop", &first.to_string(), "--why", "a test", "--yes"]);
    done(&world, &["quarantine", "retry", "--id", &(first + 1).to_string()]);
    done(&world, &["quarantine", "redact", "--older-than-days", "0", "--yes"]);
    // The source goes back, and its changes count anew.
    let topic = world.topic("airports");
    done(&world, &["epoch", "start", "--topic", &topic, "--source-restored"]);
    world.source_goes_back();
    world.publish(Event { lsn: 15, ..read("airports", airport("CCC", "Tomsk")) }).await;
    world.publish(update("airports", 16, airport("AAA", "Kazan"))).await;
    let before = load(&world, "second").await;
    let waiting = world.rows(WAITING).await;
    assert_eq!(waiting.len(), 2);
    let tables = world.rows(TABLES).await;
    assert!(rebuilt(&world, &["--keep"]).contains("the live one is as it was"));
    rebuilt(&world, &[]);
    assert_replaced(&world, &before, &tables).await;
    assert_eq!(
        world.rows(WAITING).await,
        waiting,
        "what waits keeps number and age, and no content comes back"
    );
    let cities = format!("SELECT airport_code, city FROM ({CITIES}) AS c");
    world.assert_rows(&cities, &["(AAA,Omsk)", "(AAA,Ufa)", "(AAA,Kazan)", "(CCC,Tomsk)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_again_waits_and_a_loader_forgets_what_it_knew() {
    let mut world = World::new("rb_waits").await;
    world.publish(create("airports", 10, airport("SVO", "Moscow"))).await;
    world.publish(update("airports", 30, airport("SVO", "Khimki"))).await;
    world.publish(create("airports", 40, airport("LED", "Petersburg"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let before = report(&world, "before.json", &[]);
    // The loader knows that the hub has SVO. The rebuilt vault cannot take the change at 10, and so has no SVO.
    for table in ["sat_airports", "sat_airports_status"] {
        let fault = format!(
            "ALTER TABLE dwh_detailed.{table} ADD CONSTRAINT fault CHECK (source_lsn <> 10) NOT VALID"
        );
        world.client.batch_execute(&fault).await.unwrap();
    }
    rebuilt(&world, &[]);
    let waiting = "SELECT kafka_offset, at_fault FROM dwh_control.quarantine ORDER BY 1";
    world.assert_rows(waiting, &["(0,t)", "(1,f)"]).await;
    let codes = "SELECT airport_code FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL ORDER BY 1";
    world.assert_rows(codes, &["(LED)"]).await;
    // A later event of the key waits behind them, and another table names the airport anew.
    world.publish(update("airports", 50, airport("SVO", "Moscow"))).await;
    world.publish(create("flights", 60, flight(7, "773", "Scheduled"))).await;
    world.loaded().await;
    world.logged("loader", "or the vault was rebuilt: looking at it again").await;
    world.assert_rows(waiting, &["(0,t)", "(1,f)", "(3,f)"]).await;
    world.assert_rows(codes, &["(LED)", "(SVO)"]).await;
    done(&world, &["check"]);
    for table in ["sat_airports", "sat_airports_status"] {
        world
            .client
            .batch_execute(&format!("ALTER TABLE dwh_detailed.{table} DROP CONSTRAINT fault"))
            .await
            .unwrap();
    }
    done(&world, &["quarantine", "retry", "--all"]);
    world
        .assert_rows(
            CITIES,
            &["(LED,Petersburg,40)", "(SVO,Moscow,10)", "(SVO,Khimki,30)", "(SVO,Moscow,50)"],
        )
        .await;
    world.end(&mut loader);
    assert_eq!(compare(&world, &before, &[]).0, 1, "more is loaded than before");
    assert!(rebuilt(&world, &["--keep"]).contains("the live one is as it was"));
}

#[tokio::test(flavor = "multi_thread")]
async fn satellites_that_have_grown_grow_again_also_meanwhile() {
    let mut world = World::new("rb_grows").await;
    world.publish(typed(create("airports", 10, airport("AAA", "Omsk")), &[], &[])).await;
    world.publish(typed(update("airports", 20, higher("AAA", &json!(95))), &GROWN, &[])).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let before = report(&world, "before.json", &[]);
    let tables = world.rows(TABLES).await;
    rebuilt(&world, &[]);
    assert_replaced(&world, &before, &tables).await;
    // The rebuild has made its tables and waits for a reader when another satellite grows.
    let reader = world.database.connect().await.unwrap();
    reader.batch_execute("BEGIN; SELECT FROM dwh_detailed.sat_aircrafts").await.unwrap();
    let mut rebuild = world.loader_arguments("rebuild", &["rebuild"], &[]);
    world.logged("rebuild", "somebody has a lock on what is to be replaced").await;
    let mut row = booking("000001", 1);
    row["channel"] = json!("web");
    world.publish(typed(create("bookings", 30, row), &[("channel", "t")], &[])).await;
    world.loaded().await;
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(rebuild.wait_exit(PATIENCE).unwrap(), 0, "{}", world.log("rebuild"));
    world
        .assert_rows(
            "SELECT channel FROM dwh_detailed.sat_bookings WHERE kafka_offset >= 0",
            &["(web)"],
        )
        .await;
    world.publish(typed(update("airports", 40, higher("AAA", &json!(96))), &GROWN, &[])).await;
    world.loaded().await;
    world.end(&mut loader);
    let elevations = "SELECT elevation FROM dwh_detailed.sat_airports WHERE kafka_offset >= 0 ORDER BY load_date";
    world.assert_rows(elevations, &["()", "(95)", "(96)"]).await;
    assert!(rebuilt(&world, &["--keep"]).contains("the live one is as it was"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sources_of_a_warehouse_are_rebuilt_together() {
    let mut world = World::new("rb_pair").await;
    let agency = Agency::beside(&world);
    agency.migrate(&world);
    publish_both(&mut world, &agency).await;
    let models = ["run", "--model", &airline_model(&world), "--model", &agency.path];
    let mut both = world.loader_arguments("both", &models, &[]);
    world.loaded().await;
    let before = report(&world, "before.json", &[]);
    let tables = world.rows(TABLES).await;
    let said = rebuilt(&world, &["--writers", "1"]);
    assert!(said.contains("of 2 sources"), "{said}");
    assert_replaced(&world, &before, &tables).await;
    world.publish(create("airports", 90, airport("KZN", "Kazan"))).await;
    world.loaded().await;
    world.end(&mut both);
    wait_for_async(PATIENCE, "the hub's new row", async || {
        let sql = "SELECT FROM dwh_detailed.hub_airports WHERE airport_code = 'KZN'";
        world.rows(sql).await.len() == 1
    })
    .await;
}
