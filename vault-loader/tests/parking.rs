//! Parking: behind an event that cannot be loaded its key waits, and everything else goes on.
//!
//! The fault is a constraint of the warehouse that refuses an event's row. Another warehouse without the constraint
//! loads the same topics: after a retry both have to be equal.

use crate::support::queries::{CITIES, STATUS};
use crate::support::{World, airport, create, delete, fingerprint, record_key, update};

/// What waits, in order.
const WAITING: &str = "
    SELECT partition, kafka_offset, at_fault, sqlstate, reason
    FROM dwh_control.quarantine
    ORDER BY topic, partition, kafka_offset";

/// The warehouse refuses cities of this name.
const NO_BAD_CITY: &str =
    "ALTER TABLE dwh_detailed.sat_airports ADD CONSTRAINT fault CHECK (city <> 'bad') NOT VALID";

#[tokio::test(flavor = "multi_thread")]
async fn later_events_of_a_key_wait_behind_a_bad_one_and_other_keys_go_on() {
    let mut world = World::new("behind").await;
    world.client.batch_execute(NO_BAD_CITY).await.unwrap();
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, airport("AAA", "bad")),
            create("airports", 30, airport("BBB", "Tomsk")),
            update("airports", 40, airport("AAA", "Perm")),
        ])
        .await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    // The next loader learns from the warehouse what is parked. A tombstone does not wait.
    let mut loader = world.loader("second");
    world.publish(delete("airports", 50, airport("AAA", ""))).await;
    world.publish(update("airports", 60, airport("BBB", "Tula"))).await;
    world.loaded().await;
    let fault = "(0,1,t,23514,\"the warehouse refuses a value (23514, sat_airports)\")";
    let behind =
        |offset| format!("(0,{offset},f,,\"waits behind the event at offset 1 of the same key\")");
    let (third, fourth) = (behind(3), behind(4));
    world.assert_rows(WAITING, &[fault, &third, &fourth]).await;
    world.assert_rows(CITIES, &["(AAA,Omsk,10)", "(BBB,Tomsk,30)", "(BBB,Tula,60)"]).await;
    world.assert_rows(STATUS, &["(AAA,c,f)", "(BBB,c,f)"]).await;
    // All of them belong to one history.
    world
        .assert_rows(
            "SELECT count(*), airport_code
             FROM dwh_control.quarantine AS waiting
             JOIN dwh_detailed.hub_airports AS airport ON airport.hash_key = waiting.parent_hash_key
             GROUP BY airport_code",
            &["(3,AAA)"],
        )
        .await;
    // A replay adds nothing, neither to the vault nor to the quarantine.
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader("replaying");
    world.loaded().await;
    assert_eq!(fingerprint(&world.client).await, before);
    world.assert_rows(WAITING, &[fault, &third, &fourth]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_decoded_parks_its_key_and_one_without_key_parks_nothing() {
    let mut world = World::new("undecodable").await;
    let key = |code: &str| format!("{{\"airport_code\":\"{code}\"}}");
    let with_schema = format!("{{\"schema\":{{}},\"payload\":{}}}", key("BBB"));
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.send("airports", 0, Some(&key("AAA")), Some(b"no json")).await;
    world.send("airports", 0, Some(&with_schema), Some(b"no json")).await;
    world.send("airports", 0, Some("no json"), Some(b"no json")).await;
    world.send("airports", 0, None, Some(b"no json")).await;
    world.publish(update("airports", 20, airport("AAA", "Perm"))).await;
    world.publish(create("airports", 30, airport("CCC", "Tula"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT kafka_offset, at_fault, key_hash IS NOT NULL AS parks, parent_hash_key IS NOT NULL AS is_known
             FROM dwh_control.quarantine
             ORDER BY kafka_offset",
            &["(1,t,t,t)", "(2,t,t,t)", "(3,t,t,f)", "(4,t,f,f)", "(5,f,t,t)"],
        )
        .await;
    world.assert_rows(CITIES, &["(AAA,Omsk,10)", "(CCC,Tula,30)"]).await;
    world.end(&mut loader);
}

/// Another table's event on the topic has a key of that other table.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_table_parks_no_key_of_this_one() {
    let mut world = World::new("neighbour").await;
    let mut event = world.envelope(&create("ticket_flights", 10, serde_json::json!({})));
    event["source"]["table"] = serde_json::json!("ticket flights");
    let row = serde_json::json!({"ticket_no": "1", "flight_id": 1, "fare_conditions": "Economy", "amount": "AA=="});
    let real = create("ticket_flights", 20, row);
    let key = record_key(&real).unwrap().to_string();
    world.send("ticket_flights", 0, Some(&key), Some(event.to_string().as_bytes())).await;
    world.publish(real).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT kafka_offset, key_hash IS NULL AS parks_nothing FROM dwh_control.quarantine",
            &["(0,t)"],
        )
        .await;
    assert_eq!(world.count("dwh_detailed.sat_ticket_flights").await, 1 + 1);
    world.end(&mut loader);
}
