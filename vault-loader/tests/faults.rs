//! What goes wrong: bad events, values that the warehouse refuses, servers that vanish, loaders that come back late.

use std::time::Duration;

use devstack::{Postgres, StopMode, wait_for_async};
use serde_json::json;

use crate::support::{
    Event, OwnServer, PATIENCE, World, airport, booking, borrowed, create, flight, rows, update,
};

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_go_to_quarantine_and_loading_goes_on() {
    let mut world = World::new("bad").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.send("airports", 0, Some("key"), Some(b"no json, but a secret")).await;
    world.send("airports", 0, None, Some(b"{\"op\":\"c\"}")).await;
    let mut wrong = airport("BBB", "secret");
    wrong["longitude"] = json!("secret");
    world.publish(create("airports", 20, wrong)).await;
    world.publish(create("airports", 30, airport("CCC", "Perm"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT topic = 'x', partition, kafka_offset, convert_from(key, 'UTF8') = 'key', sqlstate,
                    convert_from(value, 'UTF8') LIKE '%secret%'
             FROM dwh_control.quarantine
             ORDER BY kafka_offset",
            &["(f,0,1,t,,t)", "(f,0,2,,,f)", "(f,0,3,f,,t)"],
        )
        .await;
    let reasons =
        world.rows("SELECT reason FROM dwh_control.quarantine ORDER BY kafka_offset").await;
    assert!(reasons[0].contains("not a Debezium envelope"), "{reasons:?}");
    assert!(reasons[1].contains("source"), "{reasons:?}");
    assert!(
        reasons[2].contains("column longitude: the value is no double precision"),
        "{reasons:?}"
    );
    assert!(!world.log("loader").contains("secret"));
    world
        .assert_rows(
            "SELECT airport_code FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL ORDER BY 1",
            &["(AAA)", "(CCC)"],
        )
        .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_warehouse_refuses_is_found_by_bisecting() {
    let mut world = World::new("bisect").await;
    for number in 0..100 {
        // The vault's column is numeric(10,2): eight digits before the point.
        let amount = if number == 37 || number == 81 { 12_345_678_901 } else { number };
        world
            .publish(create("bookings", 10 + number, booking(&format!("{number:06}"), amount)))
            .await;
    }
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT kafka_offset, sqlstate, source_lsn FROM dwh_control.quarantine ORDER BY kafka_offset",
            &["(37,22003,47)", "(81,22003,91)"],
        )
        .await;
    assert_eq!(world.count("dwh_detailed.sat_bookings").await, 98 + 1);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_server_is_the_event_s_fault() {
    use vault_loader::warehouse::WarehouseError;
    let world = World::unmigrated("limits").await;
    let refused = world.client.query_one("SELECT repeat('x', 1100000000)", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("54000"));
    let err = WarehouseError::from(refused);
    assert!(
        matches!(&err, WarehouseError::Data { sqlstate, .. } if sqlstate == "54000"),
        "{err:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bad_events_pause_their_table() {
    let mut world = World::new("limit").await;
    for _ in 0..4 {
        world.send("airports", 0, None, Some(b"no json")).await;
    }
    let mut loader =
        world.loader_with("loader", &[("VAULT_LOADER__LIMITS__QUARANTINE_EVENTS_MAX", "3")]);
    world.paused("airports", "dwh_control.quarantine would hold more than 3 events").await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_is_started_again_does_not_drain_a_bad_topic_into_quarantine() {
    let mut world = World::new("drain").await;
    let limit = [("VAULT_LOADER__LIMITS__QUARANTINE_EVENTS_MAX", "3")];
    for _ in 0..3 {
        world.send("airports", 0, None, Some(b"no json")).await;
    }
    let mut loader = world.loader_with("first", &limit);
    world.loaded().await;
    world.end(&mut loader);
    // A replay finds the three where they are, and may go on.
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader_with("replaying", &limit);
    world.loaded().await;
    world.end(&mut loader);
    world.send("airports", 0, None, Some(b"no json")).await;
    for name in ["second", "third"] {
        let mut loader = world.loader_with(name, &limit);
        world.paused("airports", "would hold more than 3 events").await;
        world.logged(name, "would hold more than 3 events").await;
        assert_eq!(world.count("dwh_control.quarantine").await, 3);
        world.end(&mut loader);
    }
    // Taking them out is the operator's word that they have been seen to.
    world.client.batch_execute("DELETE FROM dwh_control.quarantine").await.unwrap();
    let mut loader = world.loader_with("acknowledged", &limit);
    world.loaded().await;
    assert_eq!(world.count("dwh_control.quarantine").await, 1);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_added_later_is_null_in_older_events() {
    let mut world = World::with_model("later", |model| {
        model
            .replace("timezone = \"text\"\n", "timezone = \"text\"\nelevation = \"integer\"\n")
            .replace("\"latitude\", \"timezone\"]", "\"latitude\", \"timezone\", \"elevation\"]")
            .replace(
                "status = \"sat_airports_status\"",
                "status = \"sat_airports_status\"\nadded_later = [\"elevation\"]",
            )
    })
    .await;
    let mut wider = airport("AAA", "Omsk");
    wider["elevation"] = json!(null);
    let mut known = airport("AAA", "Omsk");
    known["elevation"] = json!(95);
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, wider),
            update("airports", 30, known),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT elevation, source_lsn FROM dwh_detailed.sat_airports WHERE city IS NOT NULL ORDER BY load_date",
            &["(,10)", "(95,30)"],
        )
        .await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loaders_share_partitions_and_hubs() {
    let mut world = World::new("two").await;
    world.create_topic("flights", 4).await;
    let mut loaders = [world.loader("one"), world.loader("two")];
    wait_for_async(PATIENCE, "both loaders to hold partitions", async || {
        let held = ["one", "two"].map(|name| held_partitions(&world.log(name)));
        if held == [2, 2] { Ok(true) } else { Err(format!("they hold {held:?}")) }
    })
    .await;
    for number in 0..400 {
        // Another one each time the same flight comes: an event that is lost or loaded twice shows in the count.
        let status = if number / 40 % 2 == 0 { "Scheduled" } else { "Delayed" };
        let id = i64::from(number % 40);
        let event = update("flights", 100 + i64::from(number), flight(id, "773", status));
        world.publish(Event { partition: number % 4, ..event }).await;
    }
    world.loaded().await;
    assert_eq!(world.count("dwh_detailed.hub_flights").await, 40 + 2);
    assert_eq!(world.count("dwh_detailed.hub_airports").await, 2 + 2);
    assert_eq!(world.count("dwh_detailed.link_flight_routes").await, 40 + 2);
    // 40 flights, 10 changes each.
    assert_eq!(world.count("dwh_detailed.sat_flight_operations").await, 400 + 1);
    let changes = "SELECT hash_key, count(*), count(DISTINCT source_lsn), min(kafka_partition) = max(kafka_partition)
                   FROM dwh_detailed.sat_flight_operations
                   WHERE status IS NOT NULL
                   GROUP BY 1
                   HAVING count(*) <> 10 OR count(DISTINCT source_lsn) <> 10";
    world.assert_rows(changes, &[]).await;
    for loader in &mut loaders {
        world.end(loader);
    }
}

/// How many partitions a loader took over last.
fn held_partitions(log: &str) -> u64 {
    let taken = devstack::log::lines_with(log, "partitions taken over");
    taken.last().map_or(0, |line| line["partition_count"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_the_warehouse_cannot_hold_goes_to_quarantine() {
    let mut world = World::new("times").await;
    for (outer, field) in [(true, "ts_us"), (false, "ts_us")] {
        for micros in [-300_000_000_000_000_000_i64, i64::MAX] {
            let mut event = world.envelope(&create("airports", 10, airport("AAA", "Omsk")));
            let place = if outer { &mut event[field] } else { &mut event["source"][field] };
            *place = json!(micros);
            world.send("airports", 0, Some("k"), Some(event.to_string().as_bytes())).await;
        }
    }
    let mut event = world.envelope(&Event { op: "t", ..create("airports", 20, json!(null)) });
    event["ts_us"] = json!(i64::MIN);
    world.send("airports", 0, None, Some(event.to_string().as_bytes())).await;
    world.send("airports", 0, None, None).await;
    world.publish(create("airports", 30, airport("BBB", "Perm"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let outer = "(\"ts_us is no time that the warehouse can hold\")";
    let inner = "(\"source.ts_us is no time that the warehouse can hold\")";
    let nothing = "(\"the record has neither key nor value\")";
    world
        .assert_rows(
            "SELECT reason FROM dwh_control.quarantine ORDER BY kafka_offset",
            &[outer, outer, inner, inner, outer, nothing],
        )
        .await;
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 1 + 1);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_kafka_no_longer_has_are_refused_unless_accepted() {
    let mut world = World::new("gap").await;
    for number in 0..5 {
        world
            .publish(create("airports", 10 + number, airport(&format!("A{number:02}"), "Omsk")))
            .await;
    }
    world.delete_before("airports", 3).await;
    let mut loader = world.loader("refusing");
    world.paused("airports", "refusing to skip 3 events").await;
    world.logged("refusing", "refusing to skip 3 events").await;
    world.end(&mut loader);
    let log = world.log("refusing");
    let remedy = format!(
        "vault-loader gap accept --topic {} --partition 0 --from 0 --to 2",
        world.topic("airports")
    );
    assert!(log.contains("refusing to skip 3 events") && log.contains(&remedy), "{log}");
    let words: Vec<&str> = remedy.split(' ').skip(1).collect();
    let accepted = world.command(&words);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    let mut loader = world.loader("accepting");
    world.loaded().await;
    world.end(&mut loader);
    world
        .assert_rows(
            "SELECT airport_code FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL ORDER BY 1",
            &["(A03)", "(A04)"],
        )
        .await;
    // Beyond the end: the topic was made again.
    world
        .client
        .batch_execute(
            "UPDATE dwh_control.offsets SET next_offset = 9, last_digest = NULL WHERE topic LIKE '%airports'",
        )
        .await
        .unwrap();
    let mut loader = world.loader("recreated");
    world.paused("airports", "but Kafka ends at").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_restarts_is_waited_for_and_quarantines_nothing() {
    let mut world = World::new("restart").await;
    let mut own = OwnServer::start();
    let variables = own.variables();
    let variables = borrowed(&variables);
    world.migrate(&variables);
    let mut loader = world.loader_with("loader", &variables);
    for number in 0..200 {
        let row = airport(&format!("{number:03}"), "Omsk");
        world.publish(create("airports", 10 + number, row)).await;
        if number == 50 || number == 120 {
            own.server.restart(StopMode::Immediate).unwrap();
        }
    }
    let client = own.client().await;
    world.loaded_into(&client).await;
    let counts =
        "SELECT (SELECT count(*) FROM dwh_detailed.sat_airports WHERE record_source <> 'SYSTEM'),
                         (SELECT count(*) FROM dwh_control.quarantine)";
    assert_eq!(rows(&client, counts).await, ["(200,0)"]);
    assert!(loader.is_alive());
    world.end(&mut loader);
    drop(client);
}

/// A warehouse that restarts ends the session in which a loader that starts asks its first questions.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_the_loader_starts_is_begun_again() {
    let mut world = World::new("starting").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let holder = world.database.connect().await.unwrap();
    let models = "BEGIN; LOCK TABLE dwh_control.models IN ACCESS EXCLUSIVE MODE";
    holder.batch_execute(models).await.unwrap();
    let mut loader = world.loader("loader");
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_for_async(PATIENCE, "the loader to ask for its model", async || {
        let found = world.rows(ended).await;
        if found == ["(t)"] { Ok(true) } else { Err(format!("{found:?} {}", world.log("loader"))) }
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    world.loaded().await;
    world.logged("loader", "the warehouse does not answer yet").await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_wakes_up_late_writes_nothing_of_what_it_had_in_hand() {
    let mut world = World::new("zombie").await;
    world.publish(create("airports", 10, airport("AAA", "0"))).await;
    let mut zombie = world.loader("zombie");
    world.loaded().await;
    // Whoever loads the topic shares this lock, so the loader waits with its next batch for as long as we hold it.
    let holder = world.database.connect().await.unwrap();
    let lock = "SELECT pg_advisory_lock(hashtextextended($1, 7))";
    holder.execute(lock, &[&world.topic("airports")]).await.unwrap();
    for number in 1..50 {
        world.publish(update("airports", 10 + number, airport("AAA", &number.to_string()))).await;
    }
    let waiting = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_for_async(PATIENCE, "the loader to be in the middle of a batch", async || {
        !world.rows(waiting).await.is_empty()
    })
    .await;
    zombie.pause();
    // While it is paused, its server process is ended: of the batch that it still holds nothing is committed.
    let ended = format!("SELECT pg_terminate_backend(pid) FROM ({waiting}) AS waiting");
    world.assert_rows(&ended, &["(t)"]).await;
    holder.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    let mut heir = world.loader("heir");
    world.loaded().await;
    zombie.resume();
    // Its partitions are lost, and are another loader's. It leaves the batch when the group tells it that before its
    // next attempt, and is fenced otherwise.
    wait_for_async(PATIENCE, "the loader that woke up late to leave its batch", async || {
        let log = world.log("zombie");
        log.contains("\"are_lost\":true")
            || log.contains("fenced: another loader moved the offsets")
    })
    .await;
    for number in 50..100 {
        world.publish(update("airports", 10 + number, airport("AAA", &number.to_string()))).await;
    }
    world.loaded().await;
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 100 + 1);
    world.end(&mut heir);
    // The zombie is a member again and goes on where the warehouse stands.
    world.publish(update("airports", 500, airport("AAA", "last"))).await;
    world.loaded().await;
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 101 + 1);
    world.end(&mut zombie);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_offsets_somebody_moved_writes_nothing() {
    let mut world = World::new("fenced").await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    // Somebody else loads the next record: here by hand, without any row, so that a second load would show.
    world
        .client
        .batch_execute("UPDATE dwh_control.offsets SET next_offset = 2, last_digest = NULL")
        .await
        .unwrap();
    world.publish(create("airports", 20, airport("BBB", "Tomsk"))).await;
    world.publish(create("airports", 30, airport("CCC", "Perm"))).await;
    world.loaded().await;
    world
        .assert_rows(
            "SELECT airport_code FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL ORDER BY 1",
            &["(AAA)", "(CCC)"],
        )
        .await;
    wait_for_async(Duration::from_secs(5), "the loader to say that it was fenced", async || {
        world.log("loader").contains("fenced")
    })
    .await;
    world.end(&mut loader);
}

/// A server's processes, stopped as a paused virtual machine is: its kernel accepts and acknowledges, and nobody
/// answers.
struct Frozen(Vec<String>);

impl Frozen {
    fn new(server: &Postgres) -> Self {
        let pid_file = std::fs::read_to_string(server.data_dir().join("postmaster.pid")).unwrap();
        let postmaster = pid_file.lines().next().unwrap().to_owned();
        let children = format!("/proc/{postmaster}/task/{postmaster}/children");
        let mut pids = vec![postmaster];
        // The postmaster first, or it would start children for those that do not answer.
        signal("-STOP", &pids);
        let children = std::fs::read_to_string(children).unwrap();
        pids.extend(children.split_ascii_whitespace().map(str::to_owned));
        signal("-STOP", &pids);
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(name: &str, pids: &[String]) {
    assert!(std::process::Command::new("kill").arg(name).args(pids).status().unwrap().success());
}

/// A migrated warehouse of one test, and the variables that lead a loader to it that does not wait long at its end.
fn own_warehouse(world: &World) -> (OwnServer, Vec<(&'static str, String)>) {
    let own = OwnServer::start();
    let mut variables = own.variables();
    let listen = format!("127.0.0.1:{}", devstack::free_port().unwrap());
    variables.push(("VAULT_LOADER__LISTEN", listen));
    variables.push(("VAULT_LOADER__LIMITS__SHUTDOWN_WAIT_MS", "2000".to_owned()));
    world.migrate(&borrowed(&variables));
    (own, variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_accepts_and_says_nothing_does_not_hold_the_start_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let world = World::unmigrated("silent").await;
    let variables = [
        ("VAULT_LOADER__DATABASE__HOST", "127.0.0.1"),
        ("VAULT_LOADER__DATABASE__PORT", port.as_str()),
        ("VAULT_LOADER__LIMITS__START_WAIT_MS", "2000"),
    ];
    let mut loader = world.loader_with("loader", &variables);
    assert_eq!(loader.wait_exit(PATIENCE).unwrap(), 1);
    let log = world.log("loader");
    assert!(log.contains("does not answer within"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_freezes_is_reported_and_holds_neither_the_end_nor_data_back() {
    let mut world = World::new("frozen").await;
    let (own, variables) = own_warehouse(&world);
    let variables = borrowed(&variables);
    let client = own.client().await;
    let mut loader = world.loader_with("loader", &variables);
    world.publish(create("airports", 10, airport("000", "Omsk"))).await;
    world.loaded_into(&client).await;
    let frozen = Frozen::new(&own.server);
    for number in 1..100 {
        let row = airport(&format!("{number:03}"), "Omsk");
        world.publish(create("airports", 10 + number, row)).await;
    }
    wait_for_async(PATIENCE, "the loader to say that it is not ready", async || {
        let asked = world.command_with(&["health", "--ready"], &variables);
        let said = String::from_utf8_lossy(&asked.stdout).into_owned();
        if said.contains("the warehouse does not answer") { Ok(true) } else { Err(said) }
    })
    .await;
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(10)).unwrap(), 4);
    assert!(world.log("loader").contains("did not end within 2000 ms"), "{}", world.log("loader"));
    drop(frozen);
    let mut heir = world.loader_with("heir", &variables);
    world.loaded_into(&client).await;
    let counts =
        "SELECT (SELECT count(*) FROM dwh_detailed.sat_airports WHERE record_source <> 'SYSTEM'),
                         (SELECT count(*) FROM dwh_control.quarantine)";
    assert_eq!(rows(&client, counts).await, ["(100,0)"]);
    world.end(&mut heir);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_takes_partitions_over_from_a_frozen_warehouse_can_be_ended() {
    let mut world = World::new("takeover").await;
    let (own, variables) = own_warehouse(&world);
    let variables = borrowed(&variables);
    let client = own.client().await;
    let mut loader = world.loader_with("loader", &variables);
    world.publish(create("airports", 10, airport("000", "Omsk"))).await;
    world.loaded_into(&client).await;
    let frozen = Frozen::new(&own.server);
    // A new topic is a new assignment, whose offsets only the warehouse knows.
    world.create_topic("seats", 1).await;
    wait_for_async(PATIENCE, "the partitions to be given back", async || {
        world.log("loader").contains("partitions given back")
    })
    .await;
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(10)).unwrap(), 0);
    drop(frozen);
}
