//! Snapshots whose models change behind them: a table that comes, another calendar, comments, a migration beside a
//! build; and keys that tables without rows of their own mention.

use chrono::Utc;
use serde_json::{Value, json};

use crate::snapshots::{
    BUILD_LOCK, DAY, FIRST_MIDNIGHT, assert_right, daily, dates, loaded_until, said, snapshots,
    with_calendar,
};
use crate::support::{PATIENCE, World, create, flight, update};

const SHOP: &str = include_str!("support/shop.vault.toml");

/// The model without the table of boarding passes.
fn without_passes(model: &str) -> String {
    let from = model.find("[[table]]\nname = \"boarding_passes\"").unwrap();
    let until = model.find("[snapshots]").unwrap();
    format!("{}{}", &model[..from], &model[until..])
}

fn built_lines(told: &str) -> usize {
    told.lines().filter(|line| line.starts_with("built ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_comes_to_the_model_makes_snapshots_stale_until_it_is_loaded() {
    let two_days = |model: &str| with_calendar(model, "UTC", "[\"00:00\"]", "keep_days = 2");
    let mut world = World::with_model("snapcome", |model| without_passes(&two_days(model))).await;
    let mut loader = world.loader("loader");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    world.loaded().await;
    world.end(&mut loader);
    let now = Utc::now().timestamp_millis() - 1_790_000_000_000;
    loaded_until(&world, now).await;
    assert_eq!(built_lines(&snapshots(&world, &["build"], 0)), 2);
    assert_eq!(built_lines(&snapshots(&world, &["build"], 0)), 0);
    // What passes mention was published long ago.
    let pass = json!({"ticket_no": "T1", "flight_id": 7, "boarding_no": 1, "seat_no": "1A"});
    world.publish(create("boarding_passes", 20, pass)).await;
    world.write_model(&two_days(&world.model));
    world.migrate(&[]);
    assert_eq!(world.count("dwh_control.late_loads").await, 1);
    let list = snapshots(&world, &["list"], 0);
    assert_eq!(list.lines().filter(|line| line.ends_with("stale")).count(), 6, "{list}");
    let told = snapshots(&world, &["build"], 2);
    assert!(told.contains("or none since its model changed"), "{told}");
    let mut loader = world.loader("again");
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, now).await;
    // The way of filling is enough to see it, without the note.
    world.client.batch_execute("UPDATE dwh_control.snapshots SET is_stale = false").await.unwrap();
    let list = snapshots(&world, &["list"], 0);
    let stale = list.lines().filter(|line| line.ends_with("stale"));
    assert!(stale.clone().count() > 0 && stale.clone().any(|line| line.contains("pit_flights")));
    let told = snapshots(&world, &["build"], 0);
    assert_eq!(built_lines(&told), 2, "{told}");
    assert!(told.contains("pit_flights 2 rows"), "{told}");
    assert_right(&world).await;
    assert_eq!(built_lines(&snapshots(&world, &["build"], 0)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_makes_the_bridges_of_its_links_stale_and_the_role_may_read_it() {
    let two_days = |model: &str| with_calendar(model, "UTC", "[\"00:00\"]", "keep_days = 2");
    let mut world = World::with_model("snapsecond", two_days).await;
    let mut loader = world.loader("loader");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    world.loaded().await;
    world.end(&mut loader);
    let now = Utc::now().timestamp_millis() - 1_790_000_000_000;
    loaded_until(&world, now).await;
    assert_eq!(built_lines(&snapshots(&world, &["build"], 0)), 2);
    // Another airline feeds the same links.
    let other = format!("{}-other", world.source);
    let model = world.model.split("[snapshots]").next().unwrap();
    let model = model
        .replacen(&format!("\"{}\"", world.source), &format!("\"{other}\""), 1)
        .replacen("system_id = 1 ", "system_id = 2 ", 1)
        .replace("\"sat_", "\"sat_other_");
    let path = world.write_further_model("other.toml", &model);
    let migrated = world.command(&["migrate", "--model", &path]);
    assert!(migrated.status.success(), "{}", said(&migrated));
    let told = snapshots(&world, &["build"], 2);
    assert!(told.contains(&format!("up to when the source {other} is loaded")), "{told}");
    let list = snapshots(&world, &["list"], 0);
    let stale: Vec<&str> = list.lines().filter(|line| line.ends_with("stale")).collect();
    assert_eq!(stale.len(), 2, "{list}");
    assert!(stale.iter().all(|line| line.contains("bridge_booking_flights")), "{list}");
    let known = "INSERT INTO dwh_control.watermark (source_system_id, published, updated_at)
                 SELECT 2, published, now() FROM dwh_control.watermark";
    world.client.batch_execute(known).await.unwrap();
    let told = snapshots(&world, &["build"], 0);
    assert!(built_lines(&told) == 2 && !told.contains("pit_"), "{told}");
    assert_right(&world).await;
    // The role of the bridge's own source reads what the other one has, and writes none of it.
    let role = format!("reader_{}", std::process::id());
    let made = format!("CREATE ROLE {role}");
    world.client.batch_execute(&made).await.unwrap();
    let granted = world.command(&["migrate", "--grant-to", &role]);
    assert!(granted.status.success(), "{}", said(&granted));
    let status = "dwh_detailed.sat_other_ticket_flights_status";
    let rights = format!(
        "SELECT has_table_privilege('{role}', '{status}', 'SELECT'), has_table_privilege('{role}', '{status}', 'INSERT')"
    );
    world.assert_rows(&rights, &["(t,f)"]).await;
    let away = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    world.client.batch_execute(&away).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_first_time_of_the_day_makes_the_snapshots_that_are_kept_long_anew() {
    let keep = "keep_days = 2\nkeep_weeks = 3\nkeep_months = 2";
    let change = |model: &str| with_calendar(model, "UTC", "[\"00:00\"]", keep);
    let mut world = World::with_model("snaptimes", change).await;
    let mut loader = world.loader("loader");
    for day in 0..10 {
        world.time_is(FIRST_MIDNIGHT + (day - 1) * DAY + 40_000_000);
        let row = flight(day, "773", "Scheduled");
        world.publish(create("flights", 10 + day, row)).await;
    }
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, FIRST_MIDNIGHT + 10 * DAY).await;
    snapshots(&world, &["build"], 1);
    let found = async |world: &World| -> Vec<String> {
        let dates = dates(world, "pit_flights").await;
        dates.iter().map(|date| date.format("%m-%d %H:%M").to_string()).collect()
    };
    assert_eq!(found(&world).await, ["09-28 00:00", "10-01 00:00", "10-02 00:00"]);
    world.write_model(&with_calendar(&world.model, "UTC", "[\"06:00\"]", keep));
    let told = snapshots(&world, &["build"], 1);
    assert_eq!(built_lines(&told), 2, "{told}");
    let expected = ["09-28 06:00", "10-01 00:00", "10-01 06:00", "10-02 00:00"];
    assert_eq!(found(&world).await, expected);
    assert_right(&world).await;
    assert_eq!(built_lines(&snapshots(&world, &["build"], 1)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_comment_keeps_the_table_and_a_migration_waits_for_a_build() {
    let mut world = daily("snapwords").await;
    let mut loader = world.loader("loader");
    world.publish(create("flights", 10, flight(1, "773", "Scheduled"))).await;
    world.publish(update("flights", 20, flight(1, "773", "Departed"))).await;
    world.loaded().await;
    world.end(&mut loader);
    loaded_until(&world, FIRST_MIDNIGHT).await;
    snapshots(&world, &["build"], 1);
    let full = with_calendar(&world.model, "UTC", "[\"00:00\"]", "keep_days = 1000");
    let corrected = full.replacen("\"what was planned for a flight, ", "\"corrected, ", 1);
    assert_ne!(corrected, full);
    world.write_model(&corrected);
    let lock = format!("SELECT pg_advisory_lock({BUILD_LOCK})");
    world.client.batch_execute(&lock).await.unwrap();
    // Comments need no lock.
    let told = said(&world.command(&["migrate"]));
    assert!(told.contains("corrected the comments of dwh_business.pit_flights"), "{told}");
    assert!(!told.contains("anew"), "{told}");
    let comment =
        "SELECT obj_description('dwh_business.pit_flights'::regclass) LIKE 'corrected, %'";
    world.assert_rows(comment, &["(t)"]).await;
    assert_eq!(dates(&world, "pit_flights").await.len(), 1);
    assert_eq!(world.count("dwh_business.pit_flights").await, 1);
    let told = said(&world.command(&["migrate"]));
    assert!(told.ends_with("nothing to do\n"), "{told}");
    // A table that is dropped waits until nobody builds.
    world.write_model(&corrected.replacen("\"sat_flight_operations\", ", "", 1));
    let mut migration = world.loader_arguments("migration", &["migrate"], &[]);
    world.logged("migration", "to wait for the end of a build of snapshots").await;
    assert_eq!(world.count("dwh_business.pit_flights").await, 1);
    let unlock = format!("SELECT pg_advisory_unlock({BUILD_LOCK})");
    world.client.batch_execute(&unlock).await.unwrap();
    let code = migration.wait_exit(PATIENCE).unwrap();
    assert_eq!(code, 0, "{}", world.log("migration"));
    assert_eq!(world.count("dwh_business.pit_flights").await, 0);
}

/// A point-in-time table of customers, who have rows of their own, telephone numbers and payments.
const CUSTOMERS: &str = r#"
[[table]]
name = "customers"
key = ["customer_id"]
parent = "hub_customers"
status = "sat_customers_status"
hubs = [{ hub = "hub_customers", columns = ["customer_id"] }]

[table.columns]
customer_id = "integer"
title = "text"

[[table.satellite]]
name = "sat_customers"
columns = ["title"]

[snapshots]
time_zone = "UTC"
times = ["00:00"]
keep_days = 1000

[[pit]]
name = "pit_customers"
parent = "hub_customers"
satellites = ["sat_customers"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_mentioned_by_multi_active_rows_and_by_non_historized_links() {
    let mut world = World::unmigrated("snapshop").await;
    let named = format!("name = \"{}\"", world.source);
    world.write_model(&(SHOP.replacen("name = \"shop\"", &named, 1) + CUSTOMERS));
    world.migrate(&[]);
    let indexed = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'dwh_detailed' AND indexdef LIKE '%USING brin%load_date%'
                   AND tablename IN ('link_payments', 'sat_customers', 'sat_phones_status', 'sat_phone_operators_effectivity')";
    world.assert_rows(indexed, &["(4)"]).await;
    let phone = |customer: i64| json!({"customer_id": customer, "kind": "home", "number": "1", "operator": "A"});
    let payment = |id: i64, customer: Value| json!({"payment_id": id, "customer_id": customer, "order_no": "O1", "amount": 5, "currency": "EUR"});
    let customer = |id: i64| json!({"customer_id": id, "title": "X"});
    let mut loader = world.loader("loader");
    world.publish(create("phones", 10, phone(1))).await;
    world.publish(create("payments", 11, payment(1, json!(2)))).await;
    world.publish(create("payments", 12, payment(2, Value::Null))).await;
    world.time_is(FIRST_MIDNIGHT + 1_000);
    world.publish(create("customers", 20, customer(2))).await;
    world.publish(create("phones", 21, phone(3))).await;
    world.publish(create("customers", 22, customer(4))).await;
    world.time_is(FIRST_MIDNIGHT + DAY + 1_000);
    world.publish(create("payments", 30, payment(3, json!(5)))).await;
    world.loaded().await;
    world.end(&mut loader);
    let known = format!(
        "INSERT INTO dwh_control.watermark (source_system_id, published, updated_at)
         SELECT 3, to_timestamp(1790000000) + {} * interval '1 millisecond', now()",
        FIRST_MIDNIGHT + 2 * DAY
    );
    world.client.batch_execute(&known).await.unwrap();
    let told = snapshots(&world, &["build"], 1);
    assert_eq!(built_lines(&told), 3, "{told}");
    // The day, customers without the key "unknown", and how many have a row of their own.
    let sql =
        "SELECT p.snapshot_date::date, string_agg(h.customer_id::text, '-' ORDER BY h.customer_id),
                      count(*) FILTER (WHERE p.sat_customers_load_date > '1950-01-01')
               FROM dwh_business.pit_customers AS p
               JOIN dwh_detailed.hub_customers AS h USING (hash_key)
               GROUP BY 1 ORDER BY 1";
    let expected = ["(2026-09-22,1-2,0)", "(2026-09-23,1-2-3-4,2)", "(2026-09-24,1-2-3-4-5,2)"];
    world.assert_rows(sql, &expected).await;
    let differing = "
        WITH wanted AS (
            SELECT s.snapshot_date, m.hash_key
            FROM dwh_control.snapshots AS s
            JOIN dwh_detailed.hub_customers_first_mention AS m ON m.load_date <= s.snapshot_date
        ), found AS (SELECT snapshot_date, hash_key FROM dwh_business.pit_customers)
        (SELECT 'lacks', * FROM (TABLE wanted EXCEPT ALL TABLE found) AS a)
        UNION ALL
        (SELECT 'has', * FROM (TABLE found EXCEPT ALL TABLE wanted) AS b)";
    world.assert_rows(differing, &[]).await;
    // A satellite without a table of its parent has nothing to point from.
    let impossible = SHOP.replacen("name = \"shop\"", &named, 1)
        + &CUSTOMERS.replacen("[\"sat_customers\"]", "[\"sat_phones\", \"sat_customers\"]", 1);
    world.write_model(&impossible);
    let refused = said(&world.command(&["migrate"]));
    assert!(refused.contains("have no table of their own"), "{refused}");
}
