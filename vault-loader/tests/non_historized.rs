//! Non-historized links: rows that never change, with their attributes in the link's own table.

use serde_json::{Value, json};

use crate::carried::{broken_rules, shop};
use crate::support::{Event, World, create, delete, read, truncate, update};

fn payment(id: i64, customer: Value, amount: i64) -> Value {
    json!({"payment_id": id, "customer_id": customer, "order_no": format!("O{id}"), "amount": amount, "currency": "EUR"})
}

/// What a delete says of a payment.
fn key_of(id: i64) -> Value {
    json!({"payment_id": id, "customer_id": null, "order_no": null, "amount": null, "currency": null})
}

const CURRENT: &str = "SELECT payment_id, customer_id, order_no, amount, currency FROM dwh_marts.current_payments ORDER BY 1";

const LINK: &str = "
    SELECT payment_id, customer_id, order_no, amount, currency, has_waiting_events
    FROM dwh_marts.current_link_payments
    ORDER BY 1";

const ROWS: &str = "
    SELECT payment_id, amount, source_lsn
    FROM dwh_detailed.link_payments
    WHERE record_source <> 'SYSTEM'
    ORDER BY 1";

const STATUS: &str = "
    SELECT l.payment_id, s.op, s.is_deleted
    FROM dwh_detailed.sat_payments_status AS s
    JOIN dwh_detailed.link_payments AS l USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY 1, s.load_date";

const WAITING: &str = "
    SELECT source_lsn, at_fault
    FROM dwh_control.quarantine
    ORDER BY kafka_offset";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stands_in_one_row_with_its_hubs_and_attributes() {
    let mut world = shop("events").await;
    world
        .publish_all([
            create("payments", 10, payment(1, json!(7), 500)),
            create("payments", 20, payment(2, Value::Null, 700)),
            create("payments", 30, payment(3, json!(8), 900)),
            // A repeat, and a new snapshot.
            update("payments", 40, payment(1, json!(7), 500)),
            Event { lsn: 100, ..read("payments", payment(2, Value::Null, 700)) },
            delete("payments", 110, key_of(3)),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(ROWS, &["(1,500,10)", "(2,700,20)", "(3,900,30)"]).await;
    world.assert_rows(CURRENT, &["(1,7,O1,500,EUR)", "(2,,O2,700,EUR)"]).await;
    world.assert_rows(LINK, &["(1,7,O1,500,EUR,f)", "(2,,O2,700,EUR,f)"]).await;
    let status = ["(1,c,f)", "(2,c,f)", "(2,r,f)", "(3,c,f)", "(3,d,t)"];
    world.assert_rows(STATUS, &status).await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    let keys = "
        SELECT payment_id,
               hash_key = sha256('\\x0202'::bytea || dwh_control.canonical(payment_id)),
               customer_hash_key = decode(repeat('00', 32), 'hex')
        FROM dwh_detailed.link_payments
        WHERE record_source <> 'SYSTEM'
        ORDER BY 1";
    world.assert_rows(keys, &["(1,t,f)", "(2,t,t)", "(3,t,f)"]).await;
    let customers = "SELECT customer_id FROM dwh_marts.current_hub_customers";
    world.assert_rows(customers, &["(7)"]).await;
    let mentioned = "SELECT customer_id FROM dwh_detailed.hub_customers_first_mention
         JOIN dwh_detailed.hub_customers USING (hash_key) WHERE customer_id IS NOT NULL ORDER BY 1";
    world.assert_rows(mentioned, &["(7)", "(8)"]).await;
    let periods =
        "SELECT payment_id, amount, is_current FROM dwh_marts.history_link_payments ORDER BY 1";
    world.assert_rows(periods, &["(1,500,t)", "(2,700,t)", "(3,900,f)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

/// Runs a command on the quarantine that must succeed.
#[track_caller]
fn quarantine(world: &World, arguments: &[&str]) {
    let output = world.command(&[&["quarantine"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_in_the_quarantine_and_says_what_to_do() {
    let mut world = shop("changed").await;
    world
        .publish_all([
            create("payments", 10, payment(1, json!(7), 500)),
            create("payments", 20, payment(2, json!(7), 700)),
            update("payments", 30, payment(1, json!(7), 501)),
            update("payments", 40, payment(2, json!(8), 700)),
            create("payments", 50, payment(3, json!(8), 900)),
            update("payments", 60, payment(1, json!(7), 500)),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    // A hub that the hash key is not made of is part of what never changes.
    world.assert_rows(WAITING, &["(30,t)", "(40,t)", "(60,f)"]).await;
    let reason: String = world
        .client
        .query_one("SELECT reason FROM dwh_control.quarantine WHERE source_lsn = 30", &[])
        .await
        .unwrap()
        .get(0);
    for word in
        ["table payments", "link_payments is non-historized", "with a satellite", "quarantine drop"]
    {
        assert!(reason.contains(word), "{reason}");
    }
    world.assert_rows(ROWS, &["(1,500,10)", "(2,700,20)", "(3,900,50)"]).await;
    let rows = ["(1,7,O1,500,EUR,t)", "(2,7,O2,700,EUR,t)", "(3,8,O3,900,EUR,f)"];
    world.assert_rows(LINK, &rows).await;
    for lsn in [30, 40] {
        let sql = format!("SELECT id FROM dwh_control.quarantine WHERE source_lsn = {lsn}");
        let id: i64 = world.client.query_one(&sql, &[]).await.unwrap().get(0);
        quarantine(&world, &["drop", &id.to_string(), "--why", "a mistake", "--yes"]);
    }
    quarantine(&world, &["retry", "--all"]);
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.assert_rows(ROWS, &["(1,500,10)", "(2,700,20)", "(3,900,50)"]).await;
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}

/// A row that comes back with other values after a delete is another event under the same number.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_used_again_waits_unless_it_says_the_same() {
    let mut world = shop("used_again").await;
    world.create_topic("payments", 2).await;
    let elsewhere = |event: Event| Event { partition: 1, ..event };
    world
        .publish_all([
            create("payments", 10, payment(1, json!(7), 500)),
            delete("payments", 20, key_of(1)),
            create("payments", 30, payment(1, json!(7), 500)),
            elsewhere(create("payments", 15, payment(2, json!(7), 700))),
            elsewhere(delete("payments", 25, key_of(2))),
            elsewhere(create("payments", 35, payment(2, json!(7), 701))),
            // A row that was never seen.
            elsewhere(delete("payments", 45, key_of(9))),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(WAITING, &["(35,t)"]).await;
    world.assert_rows(ROWS, &["(1,500,10)", "(2,700,15)"]).await;
    world.assert_rows(STATUS, &["(1,c,f)", "(1,d,t)", "(1,c,f)", "(2,c,f)", "(2,d,t)"]).await;
    world.assert_rows(CURRENT, &["(1,7,O1,500,EUR)"]).await;
    world.publish(truncate("payments", 60)).await;
    world.loaded().await;
    assert!(world.rows(CURRENT).await.is_empty());
    assert_eq!(world.count("dwh_detailed.link_payments").await, 1 + 2);
    assert_eq!(broken_rules(&world.client).await, Vec::<String>::new());
    world.end(&mut loader);
}
