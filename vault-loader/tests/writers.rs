//! Several writers in one loader: each event exactly once, whatever happens to one of them, and none waits for another.

use devstack::{http, wait_for_async};
use serde_json::json;

use crate::growing::{GROWN, higher, typed};
use crate::support::queries::{CITIES, STATUS};
use crate::support::{
    Event, PATIENCE, World, airport, booking, create, delete, flight, ticket, truncate, update,
};

/// What the loader's metric at this address says.
pub(crate) fn metric(listen: &str, name: &str) -> Option<i64> {
    let page = http::get(&format!("http://{listen}/metrics")).ok()?.body;
    let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// An address for a loader.
pub(crate) fn listen() -> String {
    format!("127.0.0.1:{}", devstack::free_port().unwrap())
}

/// Whoever loads a topic shares a lock. Nobody does as long as what this returns lives.
pub(crate) async fn hold_back(world: &World, tables: &[&str]) -> tokio_postgres::Client {
    let holder = world.database.connect().await.unwrap();
    for table in tables {
        let lock = "SELECT pg_advisory_lock(hashtextextended($1, 7))";
        holder.execute(lock, &[&world.topic(table)]).await.unwrap();
    }
    holder
}

pub(crate) async fn let_go(holder: &tokio_postgres::Client) {
    holder.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
}

/// Sessions of loaders that wait for a topic's lock.
pub(crate) const WAITING: &str = "
    SELECT pid
    FROM pg_locks
    JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database()
      AND locktype = 'advisory'
      AND NOT granted";

/// Events of several tables that share hubs. Bookings are truncated and have one partition: in several ones an event
/// has no place relative to a truncate. All other tables have three.
async fn publish_mixed(world: &mut World, rounds: i64) {
    for round in 0..rounds {
        let place = i32::try_from(round % 3).unwrap();
        let at = |event: Event| Event { partition: place, ..event };
        let (code, lsn) = (format!("A{:02}", round % 30), 1000 + 10 * round);
        let reference = format!("{:06}", round % 12);
        // A key is always in the same partition: 30 is a multiple of 3.
        world.publish(at(update("airports", lsn, airport(&code, &round.to_string())))).await;
        world.publish(update("bookings", lsn + 1, booking(&reference, round))).await;
        if round % 50 == 40 {
            world.publish(truncate("bookings", lsn + 5)).await;
        }
        let mut row = ticket(&format!("{round:013}"), "P", &json!(null));
        row["book_ref"] = json!(format!("{:06}", (round + 5) % 12));
        world.publish(at(create("tickets", lsn + 2, row))).await;
        world.publish(at(create("flights", lsn + 3, flight(round, "773", "On Time")))).await;
        if round % 7 == 6 {
            world.publish(at(delete("airports", lsn + 4, airport(&code, "")))).await;
        }
    }
}

async fn make_topics(world: &World) {
    for table in ["airports", "tickets", "flights"] {
        world.create_topic(table, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_writer_and_four_build_the_same_vault() {
    let mut world = World::new("crew").await;
    make_topics(&world).await;
    publish_mixed(&mut world, 90).await;
    let report = world.dir.path().join("one.json");
    let mut one = world.loader("one");
    world.loaded().await;
    world.end(&mut one);
    let output = world.command(&["checksum", "--format", "json"]);
    assert!(output.status.success(), "{output:?}");
    std::fs::write(&report, &output.stdout).unwrap();
    for (writers, rows) in [("2", "10000"), ("4", "7")] {
        let elsewhere = world.elsewhere(writers).await;
        let variables = elsewhere.variables(&[("VAULT_LOADER__BATCH__ROWS_MAX", rows)]);
        let arguments = ["run", "--writers", writers];
        let mut crew = world.loader_arguments(&format!("crew{writers}"), &arguments, &variables);
        world.loaded_into(&elsewhere.client).await;
        world.end(&mut crew);
        assert!(!world.log(&format!("crew{writers}")).contains("fenced"));
        let compare = ["checksum", "--compare", &report.display().to_string()];
        let output = world.command_with(&compare, &variables);
        assert!(output.status.success(), "{writers} writers: {output:?}");
        let output = world.command_with(&["check"], &variables);
        assert!(output.status.success(), "{writers} writers: {output:?}");
    }
}

/// Two tables with one partition each have writers of their own. The first one cannot write.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_slow_does_not_stop_the_others() {
    let mut world = World::new("slow").await;
    let holder = hold_back(&world, &["airports"]).await;
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "5"), ("VAULT_LOADER__WRITERS", "2")];
    let mut loader = world.loader_with("loader", &variables);
    // Far more than what is on its way between the topic and the writer.
    for number in 0..150 {
        world.publish(update("airports", 10 + number, airport("AAA", &number.to_string()))).await;
        world.publish(create("bookings", 1000 + number, booking(&format!("{number:06}"), 1))).await;
    }
    world.loaded_up_to("bookings", 0, 150).await;
    world.loaded_up_to("airports", 0, 0).await;
    world.logged("loader", "the loader is busy").await;
    let_go(&holder).await;
    world.loaded().await;
    world.assert_rows("SELECT count(*) FROM dwh_detailed.sat_airports", &["(151)"]).await;
    world.end(&mut loader);
}

/// All writers are stuck, and far more waits in Kafka than they may have in memory.
#[tokio::test(flavor = "multi_thread")]
async fn the_batches_of_all_writers_together_are_bounded() {
    const BYTES_MAX: i64 = 48 << 10;
    let mut world = World::new("bound").await;
    let tables = ["airports", "bookings", "tickets"];
    let holder = hold_back(&world, &tables).await;
    let listen = listen();
    let variables = [
        ("VAULT_LOADER__LISTEN", listen.as_str()),
        ("VAULT_LOADER__BATCH__BYTES_MAX", &BYTES_MAX.to_string()),
        // A batch is handed over because it is full.
        ("VAULT_LOADER__BATCH__LINGER_MS", "2000"),
        ("VAULT_LOADER__WRITERS", "3"),
    ];
    for number in 0..400 {
        world.publish(update("airports", 10 + number, airport("AAA", &number.to_string()))).await;
        world.publish(update("bookings", 10 + number, booking("000001", number))).await;
        let row = ticket("0000000000001", &number.to_string(), &json!(null));
        world.publish(update("tickets", 10 + number, row)).await;
    }
    let mut loader = world.loader_with("loader", &variables);
    // Each of three writers has one batch in the channel and two in its lanes, each a third of the bound.
    let full = BYTES_MAX * 3;
    let record = 1 << 10;
    wait_for_async(PATIENCE, "the writers to have what they may have", async || {
        let held = metric(&listen, "vault_loader_held_bytes").unwrap_or_default();
        assert!(held <= full + 9 * record, "{held} bytes are held");
        if held >= full * 8 / 9 { Ok(true) } else { Err(format!("{held} of {full}")) }
    })
    .await;
    let_go(&holder).await;
    world.loaded().await;
    wait_for_async(PATIENCE, "the batches to be given back", async || {
        metric(&listen, "vault_loader_held_bytes") == Some(0)
    })
    .await;
    world.end(&mut loader);
}

/// One writer meets an event that cannot be loaded and then loses its session, twice. The others go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_trouble_of_one_writer_is_its_own() {
    let mut world = World::new("trouble").await;
    let listen = listen();
    let variables = [
        ("VAULT_LOADER__LISTEN", listen.as_str()),
        ("VAULT_LOADER__BATCH__ROWS_MAX", "5"),
        ("VAULT_LOADER__WRITERS", "2"),
    ];
    let mut loader = world.loader_with("loader", &variables);
    world.send("airports", 0, Some("key"), Some(b"no json")).await;
    world.publish(create("bookings", 1, booking("999999", 1))).await;
    world.loaded().await;
    world.assert_rows("SELECT count(*) FROM dwh_control.quarantine", &["(1)"]).await;
    for round in 0..2 {
        let holder = hold_back(&world, &["airports"]).await;
        for number in (40 * round)..(40 * round + 40) {
            let city = airport("AAA", &number.to_string());
            world.publish(update("airports", 10 + number, city)).await;
            let reference = format!("{number:06}");
            world.publish(create("bookings", 1000 + number, booking(&reference, 1))).await;
        }
        wait_for_async(PATIENCE, "a writer to be stuck", async || {
            !world.rows(WAITING).await.is_empty()
        })
        .await;
        let ended = format!("SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting");
        world.assert_rows(&ended, &["(t)"]).await;
        world.loaded_up_to("bookings", 0, 41 + 40 * round).await;
        world.loaded_up_to("airports", 0, 1 + 40 * round).await;
        let_go(&holder).await;
        world.loaded().await;
    }
    world
        .assert_rows(
            "SELECT count(*), count(DISTINCT source_lsn) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL",
            &["(80,80)"],
        )
        .await;
    world.logged("loader", "a batch failed, trying again").await;
    assert_eq!(metric(&listen, "vault_loader_fenced_total"), Some(0));
    world.end(&mut loader);
}

/// A truncate closes keys of all partitions, whichever writer has them, and none behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_reaches_the_partitions_of_all_writers() {
    let mut world = World::new("empty").await;
    world.create_topic("airports", 3).await;
    let place = |number: i64| i32::try_from(number % 3).unwrap();
    let at = |number: i64, event: Event| Event { partition: place(number), ..event };
    let code = |number: i64| format!("A{number:02}");
    for number in 0..30 {
        let event = create("airports", 10 + number, airport(&code(number), "Omsk"));
        world.publish(at(number, event)).await;
    }
    world.publish(truncate("airports", 1000)).await;
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "4")];
    let mut loader = world.loader_arguments("loader", &["run", "--writers", "3"], &variables);
    world.loaded().await;
    // A writer that has loaded what comes behind the truncate before another one loads the truncate closes nothing.
    for number in 0..15 {
        let event = create("airports", 2000 + number, airport(&code(number), "Perm"));
        world.publish(at(number, event)).await;
    }
    world.loaded().await;
    let again = |number: i64| {
        let code = code(number);
        let closed = [format!("({code},c,f)"), format!("({code},t,t)")];
        let opened = (number < 15).then(|| format!("({code},c,f)"));
        closed.into_iter().chain(opened)
    };
    let expected: Vec<String> = (0..30).flat_map(again).collect();
    assert_eq!(world.rows(STATUS).await, expected);
    world.end(&mut loader);
}

/// A fault in one partition stops the partitions of all writers, and no other table.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_pauses_for_all_writers() {
    let mut world = World::new("halt").await;
    world.create_topic("airports", 3).await;
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "5"), ("VAULT_LOADER__WRITERS", "3")];
    let at = |partition: i32, event: Event| Event { partition, ..event };
    let mut wider = airport("XXX", "Tomsk");
    wider["elevation"] = json!(5);
    world.publish(at(1, create("airports", 10, wider))).await;
    let mut loader = world.loader_with("loader", &variables);
    world.paused("airports", "a column elevation that the model does not name").await;
    world.logged("loader", "a table is paused").await;
    for number in 0..120 {
        let partition = i32::try_from(number % 3).unwrap();
        let event = create("airports", 100 + number, airport(&format!("A{number:02}"), "Omsk"));
        world.publish(at(partition, event)).await;
        world.publish(create("bookings", 1000 + number, booking(&format!("{number:06}"), 1))).await;
    }
    world.loaded_up_to("bookings", 0, 120).await;
    for partition in 0..3 {
        world.loaded_up_to("airports", partition, 0).await;
    }
    assert_eq!(world.log("loader").matches("a table is paused").count(), 1);
    world.end(&mut loader);
    let model = world
        .model
        .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n");
    let model = model
        .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]")
        .replace(
            "status = \"sat_airports_status\"",
            "status = \"sat_airports_status\"\nadded_later = [\"elevation\"]",
        );
    world.write_model(&model);
    world.migrate(&[]);
    let mut loader = world.loader_with("wider", &variables);
    world.loaded().await;
    assert_eq!(world.rows(CITIES).await.len(), 121);
    world.end(&mut loader);
}

/// All writers meet the new column of a table at about the same time. Each takes it in, and it is added once.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_a_table_has_got_is_taken_in_by_all_writers() {
    let mut world = World::new("column").await;
    world.create_topic("airports", 3).await;
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "2"), ("VAULT_LOADER__WRITERS", "3")];
    for number in 0..45 {
        let partition = i32::try_from(number % 3).unwrap();
        let code = format!("A{number:02}");
        let event = if number < 15 {
            typed(create("airports", 10 + number, airport(&code, "Omsk")), &[], &[])
        } else {
            typed(create("airports", 10 + number, higher(&code, &json!(number))), &GROWN, &[])
        };
        world.publish(Event { partition, ..event }).await;
    }
    let mut loader = world.loader_with("loader", &variables);
    world.loaded().await;
    world
        .assert_rows(
            "SELECT count(*), count(elevation), sum(elevation) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL",
            &["(45,30,885)"],
        )
        .await;
    world.assert_rows("SELECT count(*) FROM dwh_control.grown_columns", &["(1)"]).await;
    world.end(&mut loader);
}

/// Writers that are killed or ended in the middle of their batches lose and repeat nothing.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_end_in_the_middle_lose_and_repeat_nothing() {
    let mut world = World::new("middle").await;
    make_topics(&world).await;
    let variables = [("VAULT_LOADER__BATCH__ROWS_MAX", "3"), ("VAULT_LOADER__WRITERS", "3")];
    let loaded = "SELECT COALESCE(sum(next_offset), 0) FROM dwh_control.offsets";
    publish_mixed(&mut world, 120).await;
    for round in 0..6 {
        let before = world.rows(loaded).await;
        let mut loader = world.loader_with("loader", &variables);
        wait_for_async(PATIENCE, "something to be loaded", async || {
            world.rows(loaded).await != before
        })
        .await;
        if round % 2 == 0 {
            loader.kill9();
        } else {
            world.end(&mut loader);
        }
        publish_mixed_behind(&mut world, 120 + 15 * round).await;
    }
    let mut loader = world.loader_with("last", &variables);
    world.loaded().await;
    world.end(&mut loader);
    // Every update of an airport has another city, every ticket is new.
    let counts = "SELECT (SELECT count(*) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL),
                         (SELECT count(DISTINCT source_lsn) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL),
                         (SELECT count(*) FROM dwh_detailed.sat_ticket_passengers WHERE record_source <> 'SYSTEM')";
    world.assert_rows(counts, &["(210,210,210)"]).await;
    let output = world.command(&["check"]);
    assert!(output.status.success(), "{output:?}");
}

/// Further rounds of airports and tickets, behind those that were published.
async fn publish_mixed_behind(world: &mut World, first: i64) {
    for round in first..first + 15 {
        let place = i32::try_from(round % 3).unwrap();
        let at = |event: Event| Event { partition: place, ..event };
        let (code, lsn) = (format!("A{:02}", round % 30), 1000 + 10 * round);
        world.publish(at(update("airports", lsn, airport(&code, &round.to_string())))).await;
        let row = ticket(&format!("{round:013}"), "P", &json!(null));
        world.publish(at(create("tickets", lsn + 2, row))).await;
    }
}
