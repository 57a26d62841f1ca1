//! Snapshots whose ground moves: events that are loaded long after they were published, models that change, and
//! satellites that are large.

use vault_loader::migrate::business;
use vault_loader::model;

use chrono::Utc;

use crate::snapshots::{
    DAY, FIRST_MIDNIGHT, assert_contents, assert_right, contents, daily, dates, loaded_until, said,
    snapshots, with_calendar,
};
use crate::support::{World, create, delete, flight, update};

/// The warehouse refuses flights of this status.
const FAULT: &str = "ALTER TABLE dwh_detailed.sat_flight_operations ADD CONSTRAINT fault CHECK (status <> 'bad') NOT VALID";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_retry_loads_late_makes_its_snapshots_stale_and_the_next_build_mends_them() {
    let mut world = daily("snaplate").await;
    world.client.batch_execute(FAULT).await.unwrap();
    let mut loader = world.loader("loader");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    world.publish(create("flights", 11, flight(2, "773", "Scheduled"))).await;
    world.time_is(FIRST_MIDNIGHT + 1_000);
    world.publish(update("flights", 20, flight(1, "773", "bad"))).await;
    world.publish(update("flights", 21, flight(2, "773", "Departed"))).await;
    world.time_is(FIRST_MIDNIGHT + DAY + 1_000);
    world.publish(update("flights", 30, flight(1, "SU9", "Arrived"))).await;
    world.time_is(FIRST_MIDNIGHT + 2 * DAY + 1_000);
    world.publish(delete("flights", 40, flight(1, "SU9", ""))).await;
    world.loaded().await;
    loaded_until(&world, FIRST_MIDNIGHT + 3 * DAY).await;
    snapshots(&world, &["build"], 1);
    assert_right(&world).await;
    let list = snapshots(&world, &["list"], 0);
    assert!(
        list.contains("3 events waited in the quarantine") && !list.contains("stale"),
        "{list}"
    );
    let incomplete = contents(&world).await;
    let mend = "ALTER TABLE dwh_detailed.sat_flight_operations DROP CONSTRAINT fault";
    world.client.batch_execute(mend).await.unwrap();
    let retried = world.command(&["quarantine", "retry", "--all"]);
    let told = said(&retried);
    let stale = "stale: 3 snapshots, from 2026-09-23T00:00:00Z to 2026-09-25T00:00:00Z; `vault-loader snapshots build`";
    assert!(told.contains("loaded: 3 events") && told.contains(stale), "{told}");
    let list = snapshots(&world, &["list"], 0);
    assert_eq!(list.lines().filter(|line| line.contains("stale")).count(), 9, "{list}");
    let told = snapshots(&world, &["build"], 1);
    assert_eq!(told.lines().filter(|line| line.starts_with("built ")).count(), 3, "{told}");
    assert!(!told.contains("built 2026-09-22"), "{told}");
    assert_right(&world).await;
    let mended = contents(&world).await;
    assert_ne!(mended, incomplete);
    snapshots(&world, &["rebuild"], 1);
    assert_contents(&world, &mended).await;
    assert_eq!(world.count("dwh_control.late_loads").await, 0);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_reads_the_versions_since_the_one_before_and_not_the_satellite() {
    let world = daily("snapread").await;
    // 300 000 versions of 30 000 flights in the order of their load dates, over ten days.
    let versions = "
        INSERT INTO dwh_detailed.sat_flight_operations (hash_key, load_date, record_source, source_system_id, status)
        SELECT sha256(int4send((n % 30000)::integer)), timestamptz '2026-09-01 00:00:00+00' + n * interval '2880 milliseconds',
               'airline.public.flights', 1, 'S'
        FROM generate_series(1, 299999) AS n";
    world.client.batch_execute(versions).await.unwrap();
    let settle = "SELECT brin_summarize_new_values('dwh_detailed.sat_flight_operations_brin')";
    world.client.batch_execute(settle).await.unwrap();
    world.client.batch_execute("ANALYZE dwh_detailed.sat_flight_operations").await.unwrap();
    let model = model::parse(&world.model).unwrap();
    let fillings = business::fillings(&model, &[]).unwrap();
    let filling = fillings.iter().find(|filling| filling.table.name == "pit_flights").unwrap();
    let explain = |date: &str, from: &str| {
        let sql =
            filling.sql.replace("$1", &format!("'{date}'")).replace("$2", &format!("'{from}'"));
        format!("EXPLAIN (ANALYZE, TIMING OFF) {sql}")
    };
    let mut plans = Vec::new();
    for (date, from) in
        [("2026-09-10 00:00+00", "1970-01-01"), ("2026-09-11 00:00+00", "2026-09-10 00:00+00")]
    {
        let rows = world.client.query(&explain(date, from), &[]).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        plans.push(lines.join("\n"));
    }
    let [first, second] = plans.as_slice() else { panic!("two plans") };
    let rows_of = |plan: &str, node: &str| {
        let line = plan.lines().find(|line| line.contains(node));
        let line = line.unwrap_or_else(|| panic!("no {node} in {plan}"));
        let actual = line.rsplit("(actual rows=").next().unwrap();
        actual.split([' ', '.']).next().unwrap().parse::<i64>().unwrap()
    };
    // The first snapshot has to read nine days of it.
    assert_eq!(rows_of(first, " on sat_flight_operations m"), 270_000, "{first}");
    // The second one looks up the last tenth by the index of block ranges.
    assert!(second.contains("Bitmap Index Scan on sat_flight_operations_brin"), "{second}");
    assert!(!second.contains("Seq Scan on sat_flight_operations"), "{second}");
    assert_eq!(rows_of(second, "Bitmap Heap Scan on sat_flight_operations m"), 29_999, "{second}");
    let passed_over = second.lines().find(|line| line.contains("Rows Removed by Index Recheck"));
    let passed_over =
        passed_over.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
    assert!(passed_over < 10_000, "{second}");
}

/// Runs `migrate` with a changed model, after `model diff` has foretold the same.
fn migrate(world: &World, from: &str, to: &str) -> String {
    let changed = world.model.replacen(from, to, 1);
    assert_ne!(changed, world.model);
    world.write_model(&changed);
    let foretold = said(&world.command(&["model", "diff"]));
    let told = said(&world.command(&["migrate"]));
    let lines = told.lines().filter(|line| line.contains("dwh_business"));
    lines.for_each(|line| assert!(foretold.contains(line.trim()), "{foretold} lacks {line}"));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_definition_changes_is_made_anew_and_filled_again() {
    let mut world = daily("snapmodel").await;
    let mut loader = world.loader("loader");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    world.loaded().await;
    loaded_until(&world, FIRST_MIDNIGHT + DAY).await;
    snapshots(&world, &["build"], 1);
    world.model = with_calendar(&world.model, "UTC", "[\"00:00\"]", "keep_days = 1000");
    let told = migrate(&world, "\"sat_flight_operations\", ", "");
    assert!(told.contains("made dwh_business.pit_flights anew"), "{told}");
    // The loader goes on: what it loads does not depend on snapshots.
    world.publish(update("flights", 20, flight(1, "773", "Departed"))).await;
    world.loaded().await;
    world.end(&mut loader);
    assert!(dates(&world, "pit_flights").await.is_empty());
    let told = snapshots(&world, &["build"], 1);
    assert!(told.contains("pit_flights 1 rows") && !told.contains("pit_tickets"), "{told}");
    assert_eq!(dates(&world, "pit_flights").await, dates(&world, "pit_tickets").await);
    // Somebody's view keeps a table from being made anew.
    let view = "CREATE VIEW dwh_marts.own AS SELECT hash_key FROM dwh_business.pit_flights";
    world.client.batch_execute(view).await.unwrap();
    world.write_model(&world.model);
    let told = said(&world.command(&["migrate"]));
    assert!(
        told.contains("view dwh_marts.own depends on table dwh_business.pit_flights"),
        "{told}"
    );
    let built = snapshots(&world, &["build"], 2);
    assert!(
        built.contains("dwh_business.pit_flights is not in the warehouse as the model"),
        "{built}"
    );
    world.client.batch_execute("DROP VIEW dwh_marts.own").await.unwrap();
    // A table that the model names no more is dropped.
    let from = world.model.find("[[bridge]]").unwrap();
    let bridge = world.model[from..].to_owned();
    let told = migrate(&world, &bridge, "");
    assert!(told.contains("dropped dwh_business.bridge_booking_flights"), "{told}");
    let gone = "SELECT to_regclass('dwh_business.bridge_booking_flights') IS NULL,
                       (SELECT count(*) FROM dwh_control.snapshots WHERE table_name LIKE 'bridge%')";
    world.assert_rows(gone, &["(t,0)"]).await;
    snapshots(&world, &["build"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_named_and_nothing_is_changed() {
    let world = World::unmigrated("snaprefused").await;
    let taken = "CREATE SCHEMA dwh_business; CREATE TABLE dwh_business.pit_flights (one integer)";
    world.client.batch_execute(taken).await.unwrap();
    let told = migrate(&world, "Europe/Moscow", "Europe/Moskau");
    for words in [
        "dwh_business.pit_flights exists, and migrate did not make it: rename it",
        "the warehouse knows no time zone Europe/Moskau: correct snapshots.time_zone",
    ] {
        assert!(told.contains(words), "{told}");
    }
    world.assert_rows("SELECT to_regnamespace('dwh_detailed') IS NULL", &["(t)"]).await;
    let without = world.model.split("[snapshots]").next().unwrap().to_owned();
    world.write_model(&without);
    let told = said(&world.command(&["migrate"]));
    assert!(!told.contains("dwh_business"), "{told}");
    let told = snapshots(&world, &["build"], 2);
    assert!(told.contains("no model has a point-in-time table or a bridge"), "{told}");
}

/// The role that `migrate` gives its rights to is enough, and nothing is left when the loader is not behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_loader_s_role_builds_and_nothing_is_left_for_exit_code_0() {
    let change = |model: &str| with_calendar(model, "UTC", "[\"00:00\"]", "keep_days = 2");
    let mut world = World::with_model("snaprole", change).await;
    let role = format!("builder_{}", std::process::id());
    let made = format!("CREATE ROLE {role} LOGIN PASSWORD 'password'");
    world.client.batch_execute(&made).await.unwrap();
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, Utc::now().timestamp_millis() - 1_790_000_000_000 + DAY).await;
    let variables = [
        ("VAULT_LOADER__DATABASE__USER", role.as_str()),
        ("VAULT_LOADER__DATABASE__PASSWORD", "password"),
    ];
    let refused = world.command_with(&["snapshots", "build"], &variables);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("the role has its rights"), "{}", said(&refused));
    let granted = world.command(&["migrate", "--grant-to", &role]);
    assert!(granted.status.success(), "{}", said(&granted));
    let built = world.command_with(&["snapshots", "build"], &variables);
    assert_eq!(built.status.code(), Some(0), "{}", said(&built));
    assert!(said(&built).contains("the next snapshot is that of"), "{}", said(&built));
    // Of all midnights since the first event, the calendar keeps the last two.
    assert_eq!(dates(&world, "pit_flights").await.len(), 2);
    assert_right(&world).await;
    let rebuilt = world.command_with(&["snapshots", "rebuild"], &variables);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", said(&rebuilt));
    let away = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    world.client.batch_execute(&away).await.unwrap();
}
