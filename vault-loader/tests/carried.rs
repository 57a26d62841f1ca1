//! Parents without a table: references, and tables with several rows for one key of a hub. Their satellites hold the
//! parent's key, whatever writes them: an event, a truncate that comes first or last, a retry.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::replaying::load_twice;
use crate::support::{Event, World, create, delete, fingerprint, read, truncate, update};

pub(crate) const SHOP: &str = include_str!("support/shop.vault.toml");

/// A world with the shop's model.
pub(crate) async fn shop(name: &str) -> World {
    let world = World::unmigrated(name).await;
    let named = format!("name = \"{}\"", world.source);
    world.write_model(&SHOP.replacen("name = \"shop\"", &named, 1));
    world.migrate(&[]);
    world
}

/// The rules of the vault that rows break.
pub(crate) async fn broken_rules(client: &Client) -> Vec<String> {
    let rules = "SELECT relname::text FROM pg_class WHERE relnamespace = 'dwh_checks'::regnamespace AND relkind = 'v'";
    let mut broken = Vec::new();
    for row in client.query(rules, &[]).await.unwrap() {
        let rule: String = row.get(0);
        let rows = format!("SELECT table_name, detail FROM dwh_checks.{rule}");
        broken.extend(crate::support::rows(client, &rows).await);
    }
    broken
}

fn phone(customer: i64, kind: &str, number: &str, operator: &str) -> Value {
    json!({"customer_id": customer, "kind": kind, "number": number, "operator": operator})
}

/// What a delete says of a row.
fn key_of(customer: i64, kind: &str) -> Value {
    json!({"customer_id": customer, "kind": kind, "number": null, "operator": null})
}

fn currency(code: &str, title: &str) -> Value {
    json!({"code": code, "title": title, "digits": 2})
}

fn at(partition: i32, event: Event) -> Event {
    Event { partition, ..event }
}

fn read_at(lsn: i64, table: &'static str, row: Value) -> Event {
    Event { lsn, ..read(table, row) }
}

const CURRENT: &str =
    "SELECT customer_id, kind, number, operator FROM dwh_marts.current_phones ORDER BY 1, 2";

const STATUS: &str = "
    SELECT h.customer_id, s.kind, s.op, s.is_deleted
    FROM dwh_detailed.sat_phones_status AS s
    JOIN dwh_detailed.hub_customers AS h ON h.hash_key = s.customer_hash_key
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY 1, 2, s.load_date";

const NUMBERS: &str = "
    SELECT h.customer_id, s.kind, s.number
    FROM dwh_detailed.sat_phones AS s
    JOIN dwh_detailed.hub_customers AS h ON h.hash_key = s.customer_hash_key
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY 1, 2, s.load_date";

/// Two customers with three telephone numbers.
fn numbers() -> Vec<Event> {
    vec![
        create("phones", 10, phone(1, "home", "11", "A")),
        create("phones", 20, phone(1, "work", "12", "B")),
        create("phones", 30, phone(2, "home", "21", "A")),
        update("phones", 40, phone(1, "home", "13", "A")),
        delete("phones", 50, key_of(1, "work")),
        update("phones", 60, phone(2, "home", "21", "B")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_hub_s_key_has_a_history_of_its_own() {
    let mut world = shop("several").await;
    world.publish_all(numbers()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(CURRENT, &["(1,home,13,A)", "(2,home,21,B)"]).await;
    let versions = ["(1,home,11)", "(1,home,13)", "(1,work,12)", "(2,home,21)"];
    world.assert_rows(NUMBERS, &versions).await;
    let status = ["(1,home,c,f)", "(1,work,c,f)", "(1,work,d,t)", "(2,home,c,f)"];
    world.assert_rows(STATUS, &status).await;
    let events = "
        SELECT h.customer_id, s.kind, string_agg(s.op, '' ORDER BY s.load_date)
        FROM dwh_detailed.sat_phones_tracking AS s
        JOIN dwh_detailed.hub_customers AS h ON h.hash_key = s.customer_hash_key
        GROUP BY 1, 2
        ORDER BY 1, 2";
    world.assert_rows(events, &["(1,home,cu)", "(1,work,cd)", "(2,home,cu)"]).await;
    // The hash key is that of a link of the hub with a dependent key, in every satellite.
    let keys = ["sat_phones", "sat_phones_status", "sat_phone_operators_effectivity"];
    let keys = keys.map(|name| {
        format!("SELECT hash_key, customer_hash_key, kind FROM dwh_detailed.{name} WHERE record_source <> 'SYSTEM'")
    });
    let keys = format!(
        "SELECT count(*), bool_and(hash_key = dwh_control.link_key(ARRAY[customer_hash_key], dwh_control.canonical(kind)))
         FROM ({}) AS k",
        keys.join(" UNION ALL ")
    );
    world.assert_rows(&keys, &["(12,t)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_and_links_that_several_rows_name_exist_while_a_row_does() {
    let mut world = shop("named").await;
    world.publish_all(numbers()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let customers = "SELECT customer_id FROM dwh_marts.current_hub_customers ORDER BY 1";
    world.assert_rows(customers, &["(1)", "(2)"]).await;
    let operators = "SELECT operator_code FROM dwh_marts.current_hub_operators ORDER BY 1";
    world.assert_rows(operators, &["(A)", "(B)"]).await;
    let link = "SELECT customer_id, operator_code, kind FROM dwh_marts.current_link_phone_operators ORDER BY 1, 3";
    world.assert_rows(link, &["(1,A,home)", "(2,B,home)"]).await;
    world.publish(delete("phones", 70, key_of(2, "home"))).await;
    world.loaded().await;
    world.assert_rows(customers, &["(1)"]).await;
    let periods = "SELECT customer_id, count(*), bool_or(is_current) FROM dwh_marts.history_hub_customers GROUP BY 1 ORDER BY 1";
    world.assert_rows(periods, &["(1,1,t)", "(2,1,f)"]).await;
    let mentions = "
        SELECT h.customer_id, m.load_date = (
            SELECT min(s.load_date) FROM dwh_detailed.sat_phones_status AS s WHERE s.customer_hash_key = h.hash_key
        )
        FROM dwh_detailed.hub_customers_first_mention AS m
        JOIN dwh_detailed.hub_customers AS h USING (hash_key)
        ORDER BY 1";
    world.assert_rows(mentions, &["(1,t)", "(2,t)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

/// The group of customer 1 as of a moment, by a pair of columns that say from when to when a version holds.
fn group(moment: &str, from: &str, until: &str) -> String {
    format!(
        "SELECT number.kind, number.number
         FROM dwh_marts.history_sat_phones AS number
         JOIN dwh_marts.history_sat_phones_status AS life USING (hash_key)
         JOIN dwh_detailed.hub_customers AS customer ON customer.hash_key = number.customer_hash_key
         CROSS JOIN (SELECT {moment} AS moment) AS asked
         WHERE customer.customer_id = 1
           AND number.{from} <= asked.moment AND asked.moment < number.{until}
           AND life.{from} <= asked.moment AND asked.moment < life.{until}
           AND NOT life.is_deleted
         ORDER BY 1"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_as_of_a_moment_is_the_rows_that_were_valid_then() {
    let mut world = shop("group").await;
    world.publish_all(numbers()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let of = |column: &str, table: &str, lsn: i64| {
        format!("(SELECT {column} FROM dwh_detailed.{table} WHERE source_lsn = {lsn})")
    };
    let by_load = |moment: &str| group(moment, "load_date", "load_end_date");
    let by_commit = |moment: &str| group(moment, "applied_date", "applied_end_date");
    let first = of("load_date", "sat_phones_status", 10);
    world.assert_rows(&by_load(&first), &["(home,11)"]).await;
    let third = of("load_date", "sat_phones_status", 30);
    world.assert_rows(&by_load(&third), &["(home,11)", "(work,12)"]).await;
    let deleted = of("load_date", "sat_phones_status", 50);
    world.assert_rows(&by_load(&deleted), &["(home,13)"]).await;
    // The change was committed before it was published.
    let changed = of("applied_date", "sat_phones", 40);
    world.assert_rows(&by_load(&changed), &["(home,11)", "(work,12)"]).await;
    world.assert_rows(&by_commit(&changed), &["(home,13)", "(work,12)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_ends_rows_in_every_partition_whichever_comes_first() {
    let mut world = shop("truncated").await;
    world.create_topic("phones", 2).await;
    let mut loader = world.loader("loader");
    world
        .publish_all([
            at(0, create("phones", 10, phone(1, "home", "11", "A"))),
            at(1, create("phones", 20, phone(2, "work", "21", "A"))),
        ])
        .await;
    world.loaded().await;
    world.publish(at(0, truncate("phones", 40))).await;
    world.loaded().await;
    world
        .publish_all([
            at(1, create("phones", 30, phone(3, "home", "31", "A"))),
            at(0, create("phones", 50, phone(1, "home", "99", "B"))),
        ])
        .await;
    world.loaded().await;
    let expected = [
        "(1,home,c,f)",
        "(1,home,t,t)",
        "(1,home,c,f)",
        "(2,work,c,f)",
        "(2,work,t,t)",
        "(3,home,c,f)",
        "(3,home,t,t)",
    ];
    world.assert_rows(STATUS, &expected).await;
    world.assert_rows(CURRENT, &["(1,home,99,B)"]).await;
    let customers = "SELECT customer_id FROM dwh_marts.current_hub_customers";
    world.assert_rows(customers, &["(1)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_gets_another_key_ends_and_begins() {
    let mut world = shop("moved").await;
    let moved = Event {
        old_key: Some(json!({"customer_id": 1, "kind": "home"})),
        ..create("phones", 21, phone(1, "mobile", "11", "A"))
    };
    world
        .publish_all([
            create("phones", 10, phone(1, "home", "11", "A")),
            delete("phones", 20, key_of(1, "home")),
            moved,
            // A new snapshot reads what is there.
            read_at(100, "phones", phone(1, "mobile", "11", "A")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(CURRENT, &["(1,mobile,11,A)"]).await;
    let status = ["(1,home,c,f)", "(1,home,d,t)", "(1,mobile,c,f)", "(1,mobile,r,f)"];
    world.assert_rows(STATUS, &status).await;
    world.assert_rows(NUMBERS, &["(1,home,11)", "(1,mobile,11)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

/// The fault is a constraint that refuses one row. The truncate comes while the key waits, so the retry ends the row.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_ends_a_row_as_a_truncate_would_have_done() {
    let mut world = shop("waits").await;
    let elsewhere = world.elsewhere("undisturbed").await;
    let constraint = "ALTER TABLE dwh_detailed.sat_phones ADD CONSTRAINT fault CHECK (source_lsn <> 20) NOT VALID";
    world.client.batch_execute(constraint).await.unwrap();
    let mut loaders =
        [world.loader("disturbed"), world.loader_with("undisturbed", &elsewhere.variables(&[]))];
    for step in [
        vec![
            create("phones", 10, phone(1, "home", "11", "A")),
            update("phones", 20, phone(1, "home", "12", "A")),
        ],
        vec![truncate("phones", 30)],
        vec![create("phones", 40, phone(1, "home", "13", "B"))],
    ] {
        world.publish_all(step).await;
        world.loaded().await;
        world.loaded_into(&elsewhere.client).await;
    }
    assert_eq!(world.count("dwh_control.quarantine").await, 2);
    let mend = "ALTER TABLE dwh_detailed.sat_phones DROP CONSTRAINT fault";
    world.client.batch_execute(mend).await.unwrap();
    let retried = world.command(&["quarantine", "retry", "--all"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.assert_rows(STATUS, &["(1,home,c,f)", "(1,home,t,t)", "(1,home,c,f)"]).await;
    assert_eq!(fingerprint(&world.client).await, fingerprint(&elsewhere.client).await);
    loaders.iter_mut().for_each(|loader| world.end(loader));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_joined_by_its_code() {
    let mut world = shop("reference").await;
    world
        .publish_all([
            create("currencies", 10, currency("EUR", "euro")),
            create("currencies", 20, currency("USD", "dollar")),
            update("currencies", 30, currency("USD", "US dollar")),
            create("currencies", 40, currency("XXX", "none")),
            delete("currencies", 50, json!({"code": "XXX", "title": null, "digits": null})),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let current = "SELECT code, title, digits FROM dwh_marts.current_currencies ORDER BY 1";
    world.assert_rows(current, &["(EUR,euro,2)", "(USD,\"US dollar\",2)"]).await;
    let keys = "SELECT currency_code FROM dwh_marts.current_ref_currencies ORDER BY 1";
    world.assert_rows(keys, &["(EUR)", "(USD)"]).await;
    let periods =
        "SELECT currency_code, is_current FROM dwh_marts.history_ref_currencies ORDER BY 1";
    world.assert_rows(periods, &["(EUR,t)", "(USD,t)", "(XXX,f)"]).await;
    let versions = "
        SELECT currency_code, title, hash_key = dwh_control.hub_key(NULL, dwh_control.canonical(currency_code))
        FROM dwh_detailed.sat_currencies
        WHERE record_source <> 'SYSTEM'
        ORDER BY 1, load_date";
    let expected = ["(EUR,euro,t)", "(USD,dollar,t)", "(USD,\"US dollar\",t)", "(XXX,none,t)"];
    world.assert_rows(versions, &expected).await;
    world.assert_rows("SELECT to_regclass('dwh_detailed.ref_currencies') IS NULL", &["(t)"]).await;
    world.publish(truncate("currencies", 60)).await;
    world.loaded().await;
    assert!(world.rows(keys).await.is_empty());
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

/// What the shop's tables live through.
async fn publish_mixture(world: &mut World) {
    let payment = |id: i64, customer: Value, amount: i64| json!({"payment_id": id, "customer_id": customer, "order_no": format!("O{}", id % 3), "amount": amount, "currency": "EUR"});
    for round in 0..30_i64 {
        let lsn = 100 + round * 20;
        let kind = ["home", "work", "mobile"][usize::try_from(round % 3).unwrap()];
        let row = phone(
            round % 4,
            kind,
            &format!("{}", round % 5),
            ["A", "B"][usize::try_from(round % 2).unwrap()],
        );
        world.publish(update("phones", lsn, row)).await;
        if round % 7 == 6 {
            world.publish(delete("phones", lsn + 1, key_of(round % 4, kind))).await;
        }
        let code = ["EUR", "USD", "XXX"][usize::try_from(round % 3).unwrap()];
        world
            .publish(update("currencies", lsn + 2, currency(code, &format!("t{}", round % 4))))
            .await;
        let customer = if round % 5 == 0 { Value::Null } else { json!(round % 4) };
        world.publish(create("payments", lsn + 3, payment(round, customer.clone(), round))).await;
        if round % 6 == 5 {
            world.publish(update("payments", lsn + 4, payment(round, customer.clone(), -1))).await;
        }
        if round % 6 == 4 {
            let gone = json!({"payment_id": round, "customer_id": null, "order_no": null, "amount": null, "currency": null});
            world.publish(delete("payments", lsn + 5, gone)).await;
        }
        if round == 15 {
            world.publish(truncate("phones", lsn + 6)).await;
            world.publish(truncate("payments", lsn + 7)).await;
            world.publish(read_at(lsn + 8, "payments", payment(3, json!(3), 3))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_a_rebuild_make_the_same_rows() {
    let mut world = shop("again").await;
    publish_mixture(&mut world).await;
    let first = load_twice(&mut world).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader_with("third", &[("VAULT_LOADER__BATCH__ROWS_MAX", "7")]);
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&world.client).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_migration_finds_no_difference() {
    let world = shop("carried_diff").await;
    let diff = world.command(&["model", "diff"]);
    let told = String::from_utf8_lossy(&diff.stdout) + String::from_utf8_lossy(&diff.stderr);
    assert!(diff.status.success() && told.contains("no difference"), "{told}");
    let again = world.command(&["migrate"]);
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && !told.contains("created"), "{told}");
}
