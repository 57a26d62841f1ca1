//! Values that the server does not send because they did not change: the loader carries them forward, also to a key's
//! new name.

use serde_json::{Value, json};

use crate::support::{Event, World, create, delete, ticket, update};

/// Versions of the tickets' phones, in the order of their load dates.
const PHONES: &str = "
    SELECT h.ticket_no, s.contact_data->>'phone' AS phone, s.source_lsn
    FROM dwh_detailed.sat_ticket_passengers AS s
    JOIN dwh_detailed.hub_tickets AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY s.load_date";

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_is_carried_forward() {
    let mut world = World::new("toast").await;
    let placeholder = json!("__debezium_unavailable_value");
    let contact = json!("{\"phone\": \"+70\"}");
    world.publish(create("tickets", 10, ticket("1", "P1", &contact))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let renamed = |name: &str| {
        let mut row = ticket("1", "P1", &placeholder);
        row["passenger_name"] = json!(name);
        row
    };
    // From the warehouse, then within one batch, then nothing new, then a real NULL, then carried NULL.
    world
        .publish_all([
            update("tickets", 20, renamed("B NAME")),
            update("tickets", 30, renamed("C NAME")),
            update("tickets", 40, renamed("C NAME")),
            update("tickets", 50, ticket("1", "P1", &Value::Null)),
            update("tickets", 60, renamed("D NAME")),
            // Nobody has ever seen this ticket's contact data.
            update("tickets", 70, ticket("2", "P2", &placeholder)),
            create("tickets", 80, ticket("3", "P3", &contact)),
        ])
        .await;
    world.loaded().await;
    world
        .assert_rows(
            "SELECT h.ticket_no, s.passenger_name, s.contact_data->>'phone' AS phone, s.source_lsn
             FROM dwh_detailed.sat_ticket_passengers AS s
             JOIN dwh_detailed.hub_tickets AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             ORDER BY s.load_date",
            &[
                "(1,\"A NAME\",+70,10)",
                "(1,\"B NAME\",+70,20)",
                "(1,\"C NAME\",+70,30)",
                "(1,\"A NAME\",,50)",
                "(1,\"D NAME\",,60)",
                "(3,\"A NAME\",+70,80)",
            ],
        )
        .await;
    world
        .assert_rows(
            "SELECT kafka_offset, source_lsn, source_tx_id, reason FROM dwh_control.quarantine",
            &["(6,70,70,\"unchanged TOAST value of column contact_data without an earlier version\")"],
        )
        .await;
    world.end(&mut loader);
}

/// A changed primary key: the value that stayed in place comes from the old key as it was then, whatever either key was
/// before or became later, in one batch as in several, and read again.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_moves_with_its_key() {
    let mut world = World::new("moved").await;
    world.create_topic("tickets", 2).await;
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    let old = |number: &str| Some(json!({ "ticket_no": number }));
    let moved = |lsn: i64, from: &str, to: &str| Event {
        old_key: old(from),
        ..create("tickets", lsn, ticket(to, "P1", &json!("__debezium_unavailable_value")))
    };
    // Ticket 2 had a life of its own; ticket 1 becomes ticket 2, and a new ticket 1 comes.
    let life = || {
        [
            create("tickets", 10, ticket("2", "P1", &contact("+2"))),
            delete("tickets", 20, ticket("2", "", &Value::Null)),
            create("tickets", 30, ticket("1", "P1", &contact("+1"))),
            delete("tickets", 40, ticket("1", "", &Value::Null)),
            moved(40, "1", "2"),
            create("tickets", 50, ticket("1", "P1", &contact("+9"))),
        ]
    };
    world.publish_all(life()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    // The reader publishes it all again; then ticket 2 moves on, from what the warehouse holds, and to another
    // partition.
    world.publish_all(life()).await;
    world.publish(delete("tickets", 60, ticket("2", "", &Value::Null))).await;
    world.publish(moved(60, "2", "3")).await;
    world.loaded().await;
    world.publish(Event { partition: 1, ..moved(70, "3", "4") }).await;
    world.loaded().await;
    world
        .assert_rows(PHONES, &["(2,+2,10)", "(1,+1,30)", "(2,+1,40)", "(1,+9,50)", "(3,+1,60)"])
        .await;
    world
        .assert_rows(
            "SELECT source_lsn, reason FROM dwh_control.quarantine",
            &["(70,\"unchanged TOAST value of column contact_data came with its row from a key in another partition; set REPLICA IDENTITY FULL\")"],
        )
        .await;
    world.end(&mut loader);
}

/// A moved row that does not tell where it came from must not take the value of the row that had its new key before.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_row_never_takes_a_value_of_another_row_s() {
    let mut world = World::new("nameless").await;
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    let moved = |lsn: i64, to: &str, old_key: Option<Value>| Event {
        old_key,
        ..create("tickets", lsn, ticket(to, "P1", &json!("__debezium_unavailable_value")))
    };
    for number in ["2", "4", "5"] {
        world.publish(create("tickets", 10, ticket(number, "P1", &contact("+2")))).await;
        world.publish(delete("tickets", 20, ticket(number, "", &Value::Null))).await;
    }
    world
        .publish_all([
            create("tickets", 30, ticket("1", "P1", &contact("+1"))),
            delete("tickets", 40, ticket("1", "", &Value::Null)),
            moved(40, "2", None),
            moved(41, "4", Some(json!({"schema": {}, "payload": {"ticket_no": "1"}}))),
            moved(42, "5", Some(json!({"ticket_no": 1}))),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    assert_eq!(world.count("dwh_detailed.sat_ticket_passengers").await, 4 + 1);
    world
        .assert_rows(
            "SELECT count(*), reason FROM dwh_control.quarantine GROUP BY reason",
            &["(3,\"unchanged TOAST value of column contact_data came with its row from a key that no readable header __debezium.oldkey names\")"],
        )
        .await;
    world.end(&mut loader);
}

/// The header has decimals as JSON numbers, the row as base64.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_moves_with_a_decimal_key() {
    let mut world = World::with_model("decimal", |model| {
        let before = model.matches("ticket_no\", type = \"char(13)\"").count()
            + model.matches("ticket_no = \"char(13)\"").count();
        assert_eq!(before, 4);
        model
            .replace("ticket_no\", type = \"char(13)\"", "ticket_no\", type = \"numeric(13,1)\"")
            .replace("ticket_no = \"char(13)\"", "ticket_no = \"numeric(13,1)\"")
    })
    .await;
    let (one, two) = ("Cg==", "FA==");
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    world
        .publish_all([
            create("tickets", 10, ticket(two, "P1", &contact("+2"))),
            delete("tickets", 20, ticket(two, "", &Value::Null)),
            create("tickets", 30, ticket(one, "P1", &contact("+1"))),
            delete("tickets", 40, ticket(one, "", &Value::Null)),
            Event {
                old_key: Some(json!({"ticket_no": 1.0})),
                ..create("tickets", 40, ticket(two, "P1", &json!("__debezium_unavailable_value")))
            },
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(PHONES, &["(2.0,+2,10)", "(1.0,+1,30)", "(2.0,+1,40)"]).await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}
