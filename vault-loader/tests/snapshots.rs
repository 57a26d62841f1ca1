//! Snapshots of point-in-time tables and bridges, against what plain SQL over the vault says about each of them.

use std::process::Output;

use chrono::{DateTime, Utc};
use devstack::Process;
use serde_json::{Value, json};

use crate::support::{Event, PATIENCE, World, create, delete, fingerprint, flight, ticket, update};

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// From the world's beginning, 2026-09-21 14:13:20 UTC, to the next midnight.
pub(crate) const FIRST_MIDNIGHT: i64 = 35_200_000;

/// The lock of builds.
pub(crate) const BUILD_LOCK: i64 = 0x7661_756c_7415;

/// The shipped model with another calendar.
pub(crate) fn with_calendar(model: &str, zone: &str, times: &str, keep: &str) -> String {
    let (head, rest) = model.split_once("[snapshots]").unwrap();
    let tables = &rest[rest.find("[[pit]]").unwrap()..];
    format!("{head}[snapshots]\ntime_zone = \"{zone}\"\ntimes = {times}\n{keep}\n\n{tables}")
}

/// A world with a snapshot at each midnight of UTC, all of which are kept.
pub(crate) async fn daily(name: &str) -> World {
    World::with_model(name, |model| with_calendar(model, "UTC", "[\"00:00\"]", "keep_days = 1000"))
        .await
}

pub(crate) fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// Runs a command on snapshots, and returns what it said.
#[track_caller]
pub(crate) fn snapshots(world: &World, arguments: &[&str], code: i32) -> String {
    let output = world.command(&[&["snapshots"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

/// Says that everything is loaded that was published until so many milliseconds behind the world's beginning.
pub(crate) async fn loaded_until(world: &World, milliseconds: i64) {
    let script = format!(
        "INSERT INTO dwh_control.watermark (source_system_id, published, updated_at)
         VALUES (1, to_timestamp(1790000000) + {milliseconds} * interval '1 millisecond', now())
         ON CONFLICT (source_system_id) DO UPDATE SET published = excluded.published"
    );
    world.client.batch_execute(&script).await.unwrap();
}

/// The snapshots of a table.
pub(crate) async fn dates(world: &World, table: &str) -> Vec<DateTime<Utc>> {
    let sql = "SELECT snapshot_date FROM dwh_control.snapshots WHERE table_name = $1 ORDER BY 1";
    let rows = world.client.query(sql, &[&table]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Points in time and satellites of the shipped model, each with the hub that they belong to.
const PITS: [(&str, &str, &[&str]); 2] = [
    (
        "pit_flights",
        "hub_flights",
        &["sat_flight_schedules", "sat_flight_operations", "sat_flights_status"],
    ),
    ("pit_tickets", "hub_tickets", &["sat_ticket_passengers", "sat_tickets_status"]),
];

/// Each row that a snapshot should have and has not, or has and should not have.
fn wrong_rows(date: DateTime<Utc>, pit: &str, hub: &str, satellites: &[&str]) -> String {
    let date = date.to_rfc3339();
    let ghost = "decode(repeat('00', 32), 'hex')";
    let pointers: Vec<String> = satellites
        .iter()
        .map(|name| {
            format!(
                "COALESCE({name}.hash_key, {ghost}), COALESCE({name}.load_date, '1900-01-01 00:00:00+00')"
            )
        })
        .collect();
    let latest: Vec<String> = satellites
        .iter()
        .map(|name| {
            format!(
                "LEFT JOIN LATERAL (SELECT v.hash_key, v.load_date FROM dwh_detailed.{name} AS v
                                    WHERE v.hash_key = key.hash_key AND v.load_date <= '{date}' AND v.record_source <> 'SYSTEM'
                                    ORDER BY v.load_date DESC LIMIT 1) AS {name} ON true"
            )
        })
        .collect();
    let wanted = format!(
        "SELECT timestamptz '{date}', key.hash_key, {}
         FROM (SELECT hash_key FROM dwh_detailed.{hub}_first_mention WHERE load_date <= '{date}') AS key {}",
        pointers.join(", "),
        latest.join(" ")
    );
    let found = format!("SELECT * FROM dwh_business.{pit} WHERE snapshot_date = '{date}'");
    format!("((({wanted}) EXCEPT ALL ({found})) UNION ALL (({found}) EXCEPT ALL ({wanted})))")
}

/// The same for the bridge, by the views of the links.
fn wrong_chains(date: DateTime<Utc>) -> String {
    let date = date.to_rfc3339();
    let held =
        |alias: &str| format!("{alias}.load_date <= '{date}' AND '{date}' < {alias}.load_end_date");
    let wanted = format!(
        "SELECT timestamptz '{date}', a.booking_hash_key, a.hash_key, a.ticket_hash_key, b.hash_key, b.flight_hash_key,
                a.book_ref, a.ticket_no, b.flight_id
         FROM dwh_marts.history_link_booking_tickets AS a
         JOIN dwh_marts.history_link_ticket_flights AS b ON b.ticket_hash_key = a.ticket_hash_key
         WHERE {} AND {}",
        held("a"),
        held("b")
    );
    let found =
        format!("SELECT * FROM dwh_business.bridge_booking_flights WHERE snapshot_date = '{date}'");
    format!("((({wanted}) EXCEPT ALL ({found})) UNION ALL (({found}) EXCEPT ALL ({wanted})))")
}

/// Every snapshot is what the vault says about its time.
pub(crate) async fn assert_right(world: &World) {
    for (pit, hub, satellites) in PITS {
        for date in dates(world, pit).await {
            let wrong = world.rows(&wrong_rows(date, pit, hub, satellites)).await;
            assert!(wrong.is_empty(), "{pit} at {date}: {wrong:#?}");
            for satellite in satellites {
                // An equi-join loses no row and doubles none.
                let sql = format!(
                    "SELECT count(*) = count(s.hash_key)
                     FROM dwh_business.{pit} AS p
                     LEFT JOIN dwh_detailed.{satellite} AS s
                         ON s.hash_key = p.{satellite}_hash_key AND s.load_date = p.{satellite}_load_date
                     WHERE p.snapshot_date = '{}'",
                    date.to_rfc3339()
                );
                world.assert_rows(&sql, &["(t)"]).await;
            }
        }
    }
    for date in dates(world, "bridge_booking_flights").await {
        let wrong = world.rows(&wrong_chains(date)).await;
        assert!(wrong.is_empty(), "the bridge at {date}: {wrong:#?}");
    }
}

/// All rows of all tables.
pub(crate) async fn contents(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for table in ["pit_flights", "pit_tickets", "bridge_booking_flights"] {
        lines.extend(
            world.rows(&format!("SELECT * FROM dwh_business.{table} ORDER BY 1, 2, 3, 4, 5")).await,
        );
    }
    lines
}

/// All tables hold these rows.
pub(crate) async fn assert_contents(world: &World, expected: &[String]) {
    let found = contents(world).await;
    let differing = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(differing.is_none(), "{differing:#?}");
    assert_eq!(found.len(), expected.len());
}

/// A small generator of numbers, so that each run has the same events.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn segment(ticket: u64, flight: u64) -> Value {
    json!({"ticket_no": format!("T{ticket}"), "flight_id": flight, "fare_conditions": "Economy", "amount": "AfQ="})
}

/// Which rows exist.
#[derive(Default)]
struct Rows {
    flights: std::collections::BTreeSet<u64>,
    tickets: std::collections::BTreeSet<u64>,
    segments: std::collections::BTreeSet<(u64, u64)>,
}

impl Rows {
    /// A change at random. A segment may name a ticket or a flight that has no row yet, or none any more.
    fn change(&mut self, dice: &mut Dice, lsn: i64) -> Event {
        let (a, b) = (dice.roll(12), dice.roll(9));
        let is_gone = dice.roll(5) == 0;
        let status = format!("S{}", dice.roll(4));
        let aircraft = ["773", "SU9"][usize::try_from(dice.roll(2)).unwrap()];
        let mut booked = ticket(&format!("T{a}"), &format!("P{}", dice.roll(6)), &Value::Null);
        booked["book_ref"] = format!("B{}", dice.roll(5)).into();
        match dice.roll(3) {
            0 => {
                let row = flight(i64::try_from(b).unwrap(), aircraft, &status);
                let known = self.flights.contains(&b);
                if known && is_gone {
                    self.flights.remove(&b);
                    return delete("flights", lsn, row);
                }
                self.flights.insert(b);
                if known { update("flights", lsn, row) } else { create("flights", lsn, row) }
            }
            1 => {
                let known = self.tickets.contains(&a);
                if known && is_gone {
                    self.tickets.remove(&a);
                    return delete("tickets", lsn, booked);
                }
                self.tickets.insert(a);
                if known { update("tickets", lsn, booked) } else { create("tickets", lsn, booked) }
            }
            _ => {
                let row = segment(a, b);
                let known = self.segments.contains(&(a, b));
                if known && is_gone {
                    self.segments.remove(&(a, b));
                    return delete("ticket_flights", lsn, row);
                }
                self.segments.insert((a, b));
                if known {
                    update("ticket_flights", lsn, row)
                } else {
                    create("ticket_flights", lsn, row)
                }
            }
        }
    }
}

/// Publishes events of some days, the first at the world's beginning. `behind` is called behind the events of each day.
async fn some_days(world: &mut World, days: i64, mut behind: impl AsyncFnMut(&World, i64)) {
    let (mut dice, mut rows) = (Dice(7), Rows::default());
    let mut lsn = 0;
    for day in 0..days {
        world.time_is(FIRST_MIDNIGHT + (day - 1) * DAY + 3_600_000);
        if day == 0 {
            world.time_is(1);
        }
        for _ in 0..40 {
            lsn += 10;
            let event = rows.change(&mut dice, lsn);
            world.publish(event).await;
        }
        behind(world, day).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_holds_what_held_then_whenever_it_is_built() {
    let mut world = daily("snapright").await;
    let mut loader = world.loader("loader");
    let days = 6;
    some_days(&mut world, days, async |world, day| {
        world.loaded().await;
        // The loader is a minute behind midnight: the snapshot of that midnight waits.
        let midnight = FIRST_MIDNIGHT + day * DAY;
        loaded_until(world, midnight - 60_000).await;
        let told = snapshots(world, &["build"], 1);
        assert!(told.contains("is loaded up to 2026-09-"), "{told}");
        assert_eq!(dates(world, "pit_flights").await.len(), usize::try_from(day).unwrap());
        loaded_until(world, midnight).await;
        snapshots(world, &["build"], 1); // later midnights wait
    })
    .await;
    world.end(&mut loader);
    let dates = dates(&world, "pit_flights").await;
    assert_eq!(dates.len(), usize::try_from(days).unwrap());
    assert_eq!(dates[0].to_rfc3339(), "2026-09-22T00:00:00+00:00");
    assert_right(&world).await;
    let (built, vault) = (contents(&world).await, fingerprint(&world.client).await);
    assert!(built.len() > 200, "{}", built.len());
    // Each version was read for one snapshot.
    for (pit, _, satellites) in PITS {
        let versions: Vec<String> = satellites
            .iter()
            .map(|name| format!("SELECT FROM dwh_detailed.{name} WHERE record_source <> 'SYSTEM'"))
            .collect();
        let mentions = " UNION ALL SELECT FROM dwh_detailed.sat_ticket_flights_status WHERE record_source <> 'SYSTEM'";
        let sql = format!(
            "SELECT sum(versions_read) = (SELECT count(*) FROM ({}{mentions}) AS v)
             FROM dwh_control.snapshots WHERE table_name = '{pit}'",
            versions.join(" UNION ALL ")
        );
        world.assert_rows(&sql, &["(t)"]).await;
    }
    // From the vault alone, with everything loaded.
    snapshots(&world, &["rebuild"], 1);
    assert_contents(&world, &built).await;
    snapshots(&world, &["rebuild", "--from", "2026-09-24"], 1);
    assert_contents(&world, &built).await;
    let forget = "TRUNCATE dwh_business.pit_flights, dwh_business.pit_tickets, dwh_business.bridge_booking_flights,
                           dwh_control.snapshots";
    world.client.batch_execute(forget).await.unwrap();
    snapshots(&world, &["build"], 1);
    assert_contents(&world, &built).await;
    assert_eq!(fingerprint(&world.client).await, vault);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_a_link_has_mentioned_points_to_ghosts() {
    let mut world = daily("snapghost").await;
    world.publish(create("ticket_flights", 10, segment(1, 7))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.time_is(FIRST_MIDNIGHT + 1_000);
    world.publish(create("flights", 20, flight(7, "773", "Scheduled"))).await;
    world.loaded().await;
    loaded_until(&world, FIRST_MIDNIGHT + DAY).await;
    snapshots(&world, &["build"], 1);
    let sql = "SELECT p.snapshot_date::date, h.flight_id, o.status, s.is_deleted,
                      p.sat_flight_operations_load_date < '1950-01-01'
               FROM dwh_business.pit_flights AS p
               JOIN dwh_detailed.hub_flights AS h USING (hash_key)
               JOIN dwh_detailed.sat_flight_operations AS o
                   ON o.hash_key = p.sat_flight_operations_hash_key AND o.load_date = p.sat_flight_operations_load_date
               JOIN dwh_detailed.sat_flights_status AS s
                   ON s.hash_key = p.sat_flights_status_hash_key AND s.load_date = p.sat_flights_status_load_date
               ORDER BY 1";
    world.assert_rows(sql, &["(2026-09-22,7,,,t)", "(2026-09-23,7,Scheduled,f,f)"]).await;
    assert_right(&world).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_s_word_builds_nothing_and_an_operator_s_word_builds() {
    let mut world = daily("snapword").await;
    let told = snapshots(&world, &["build"], 2);
    let unknown = format!("nobody knows up to when the source {} is loaded", world.source);
    assert!(told.contains(&unknown) && told.contains("heartbeat.interval.ms"), "{told}");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    snapshots(&world, &["build"], 2);
    assert!(dates(&world, "pit_flights").await.is_empty());
    let future = ["build", "--complete-until", "2926-09-23T11:00:00Z"];
    let told = snapshots(&world, &future, 2);
    assert!(told.contains("2926-09-23T11:00:00Z is in the future"), "{told}");
    assert!(dates(&world, "pit_flights").await.is_empty());
    let word = ["build", "--complete-until", "2026-09-23T11:00:00Z"];
    let told = snapshots(&world, &word, 1);
    assert!(told.contains("built 2026-09-22 00:00 UTC"), "{told}");
    assert_eq!(dates(&world, "pit_flights").await.len(), 2);
    assert_right(&world).await;
    let listed = world.command(&["snapshots", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let source = &listed["sources"][0];
    assert_eq!(source["snapshots"].as_array().unwrap().len(), 6, "{source}");
    assert_eq!(source["snapshots"][0]["rows"], 1);
    assert_eq!(source["sources_without_heartbeats"], json!([world.source]));
    let table = snapshots(&world, &["list"], 0);
    assert!(table.contains("2026-09-23 00:00  2026-09-23T00:00:00Z  pit_flights"), "{table}");
}

/// Midnights on which a thinned table has snapshots, when the newest is the first day of October.
#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_are_removed_and_a_late_build_makes_the_same() {
    let keep = "keep_days = 2\nkeep_weeks = 3\nkeep_months = 2";
    let change = |model: &str| with_calendar(model, "UTC", "[\"00:00\"]", keep);
    let mut world = World::with_model("snapthin", change).await;
    let mut loader = world.loader("loader");
    some_days(&mut world, 11, async |world, day| {
        world.loaded().await;
        loaded_until(world, FIRST_MIDNIGHT + day * DAY).await;
        snapshots(world, &["build"], 1);
    })
    .await;
    world.end(&mut loader);
    let found: Vec<String> = dates(&world, "pit_flights")
        .await
        .iter()
        .map(|date| date.date_naive().to_string())
        .collect();
    // The 28th is a Monday.
    assert_eq!(found, ["2026-09-28", "2026-10-01", "2026-10-02"]);
    assert_right(&world).await;
    let step_by_step = contents(&world).await;
    let rows = "SELECT DISTINCT snapshot_date FROM dwh_business.bridge_booking_flights";
    assert_eq!(world.rows(rows).await.len(), 3);
    // One build after a long stop.
    let forget = "TRUNCATE dwh_business.pit_flights, dwh_business.pit_tickets, dwh_business.bridge_booking_flights,
                           dwh_control.snapshots";
    world.client.batch_execute(forget).await.unwrap();
    let told = snapshots(&world, &["build"], 1);
    assert_eq!(told.lines().filter(|line| line.starts_with("built ")).count(), 3, "{told}");
    assert_contents(&world, &step_by_step).await;
    // A calendar that keeps less removes the rest.
    world.write_model(&with_calendar(&world.model, "UTC", "[\"00:00\"]", "keep_days = 1"));
    let migrated = world.command(&["migrate"]);
    assert!(said(&migrated).ends_with("nothing to do\n"), "{}", said(&migrated));
    snapshots(&world, &["build"], 1);
    assert_eq!(dates(&world, "pit_tickets").await.len(), 1);
    assert_eq!(world.rows(rows).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_which_clocks_change_has_one_snapshot_of_each_time() {
    let change = |model: &str| {
        with_calendar(model, "Europe/Berlin", "[\"02:30\", \"03:00\"]", "keep_days = 1000")
    };
    let mut world = World::with_model("snapzone", change).await;
    // 2026-03-28 00:00 UTC, and 2026-10-24 00:00 UTC.
    let day = |text: &str| {
        let at = DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        at - 1_790_000_000_000
    };
    let mut loader = world.loader("loader");
    let mut found = Vec::new();
    for (first, until) in [
        ("2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"),
        ("2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z"),
    ] {
        world.time_is(day(first));
        let lsn = if found.is_empty() { 10 } else { 20 };
        world.publish(create("flights", lsn, flight(lsn, "773", "Scheduled"))).await;
        world.loaded().await;
        loaded_until(&world, day(until)).await;
        snapshots(&world, &["build"], 1);
        let built = dates(&world, "pit_flights").await;
        let last =
            built.iter().filter(|date| date.timestamp_millis() - 1_790_000_000_000 > day(first));
        found.push(last.map(|date| date.format("%m-%d %H:%M").to_string()).collect::<Vec<_>>());
    }
    world.end(&mut loader);
    // There is no 02:30 on 29 March: the clocks show 03:30 then.
    let spring =
        ["03-28 01:30", "03-28 02:00", "03-29 01:00", "03-29 01:30", "03-30 00:30", "03-30 01:00"];
    assert_eq!(found[0], spring);
    // There are two on 25 October, and the second one counts.
    let autumn =
        ["10-24 00:30", "10-24 01:00", "10-25 01:30", "10-25 02:00", "10-26 01:30", "10-26 02:00"];
    assert_eq!(found[1], autumn);
}

/// Starts a build and waits until it says something.
async fn build_that_says(world: &World, name: &str, words: &str) -> Process {
    let build = world.loader_arguments(name, &["snapshots", "build"], &[]);
    world.logged(name, words).await;
    build
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_says_for_whom_it_waits() {
    let mut world = daily("snaptwo").await;
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, FIRST_MIDNIGHT).await;
    let pid: i32 = world.client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let lock = format!("SELECT pg_advisory_lock({BUILD_LOCK})");
    world.client.batch_execute(&lock).await.unwrap();
    let words = format!(
        "waiting for another build of snapshots, for `vault-loader rehash` or for `vault-loader migrate`: the session with process {pid} of the role"
    );
    let mut build = build_that_says(&world, "second", &words).await;
    assert!(dates(&world, "pit_flights").await.is_empty());
    // A build that waits ends at a signal.
    let mut third = build_that_says(&world, "third", &words).await;
    third.terminate();
    assert_eq!(third.wait_exit(PATIENCE).unwrap(), 0, "{}", world.log("third"));
    let unlock = format!("SELECT pg_advisory_unlock({BUILD_LOCK})");
    world.client.batch_execute(&unlock).await.unwrap();
    assert_eq!(build.wait_exit(PATIENCE).unwrap(), 1, "{}", world.log("second"));
    assert_eq!(dates(&world, "pit_flights").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_killed_in_the_middle_leaves_whole_snapshots() {
    let mut world = daily("snapkill").await;
    let mut loader = world.loader("loader");
    some_days(&mut world, 3, async |_, _| {}).await;
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, FIRST_MIDNIGHT).await;
    snapshots(&world, &["build"], 1);
    loaded_until(&world, FIRST_MIDNIGHT + 2 * DAY).await;
    // The next snapshot's pointers are written, and its chains wait for this lock.
    let other = world.database.connect().await.unwrap();
    other
        .batch_execute("BEGIN; LOCK TABLE dwh_business.bridge_booking_flights IN SHARE MODE")
        .await
        .unwrap();
    let mut build = world.loader_arguments("killed", &["snapshots", "build"], &[]);
    devstack::wait_for_async(PATIENCE, "the build to wait for the lock", async || {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted
                   AND relation = 'dwh_business.bridge_booking_flights'::regclass";
        let count: i64 = world.client.query_one(sql, &[]).await.unwrap().get(0);
        count > 0
    })
    .await;
    build.kill9();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(dates(&world, "pit_flights").await.len(), 1);
    let told = snapshots(&world, &["build"], 1);
    assert_eq!(told.lines().filter(|line| line.starts_with("built ")).count(), 2, "{told}");
    assert_right(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watching_build_builds_when_the_loader_gets_there() {
    let mut world = daily("snapwatch").await;
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    let mut build = world.loader_arguments("watch", &["snapshots", "build", "--watch", "1"], &[]);
    world.logged("watch", "nobody knows up to when the source").await;
    loaded_until(&world, FIRST_MIDNIGHT + DAY).await;
    world.logged("watch", "built a snapshot").await;
    devstack::wait_for_async(PATIENCE, "two snapshots", async || {
        dates(&world, "pit_flights").await.len() == 2
    })
    .await;
    world.end(&mut build);
}
