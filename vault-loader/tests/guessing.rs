//! Rows of hubs and links that are taken for new go straight into their tables. A wrong guess costs an attempt and
//! nothing else.

use serde_json::{Value, json};

use crate::support::{World, airport, create, delete, fingerprint, update};

/// A cache that forgets everything with each batch, and a batch for every few events: the loader has to guess.
const FORGETFUL: [(&str, &str); 2] =
    [("VAULT_LOADER__BATCH__ROWS_MAX", "5"), ("VAULT_LOADER__LIMITS__CACHE_ENTRIES_MAX", "1")];

/// What the log says about a wrong guess.
const WRONG_GUESS: &str = "holds rows that were taken for new";

/// Airports that nobody has seen before.
async fn publish_new(world: &mut World, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let event = create("airports", 10 + number, airport(&format!("A{number:02}"), "Omsk"));
        world.publish(event).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_taken_for_new_and_are_known_are_loaded_as_they_are() {
    let mut world = World::new("guessing").await;
    world.create_topic("airports", 1).await;
    publish_new(&mut world, 0..40).await;
    let mut loader = world.loader_with("first", &FORGETFUL);
    world.loaded().await;
    assert!(!world.log("first").contains(WRONG_GUESS), "all were new");
    // Known keys come again by inserts, which look like new keys.
    for number in 0..10 {
        let code = format!("A{number:02}");
        world.publish(delete("airports", 100 + number, airport(&code, "Omsk"))).await;
    }
    publish_new(&mut world, 40..80).await;
    for number in 0..10 {
        let code = format!("A{number:02}");
        world.publish(create("airports", 150 + number, airport(&code, "Tomsk"))).await;
    }
    world.loaded().await;
    assert!(world.log("first").contains(WRONG_GUESS), "{}", world.log("first"));
    for number in 0..10 {
        world
            .publish(create("airports", 200 + number, airport(&format!("B{number}"), "Omsk")))
            .await;
        let code = format!("A{:02}", 2 * number);
        world.publish(update("airports", 220 + number, airport(&code, "Kursk"))).await;
    }
    world.loaded().await;
    world.end(&mut loader);
    let loaded = fingerprint(&world.client).await;
    let known = world.count("dwh_detailed.hub_airports WHERE length(airport_code) = 3").await;
    assert_eq!(known, 80);
    let versions = "dwh_detailed.sat_airports WHERE city IN ('Omsk', 'Tomsk', 'Kursk')";
    assert_eq!(world.count(versions).await, 80 + 10 + 10 + 10);
    // A loader that never guesses, because all events are in one batch, makes the same vault.
    let again = world.elsewhere("staged").await;
    let mut loader = world.loader_with("staged", &again.variables(&[]));
    world.loaded_into(&again.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&again.client).await, loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_publishes_again_is_guessed_wrong_and_adds_no_row() {
    let mut world = World::new("guessing_again").await;
    world.create_topic("airports", 1).await;
    publish_new(&mut world, 0..60).await;
    let mut loader = world.loader_with("first", &FORGETFUL);
    world.loaded().await;
    let before = fingerprint(&world.client).await;
    // The loader goes on with what it has learned: that the table gets new rows alone.
    publish_new(&mut world, 0..60).await;
    world.loaded().await;
    world.end(&mut loader);
    assert!(world.log("first").contains(WRONG_GUESS), "{}", world.log("first"));
    assert_eq!(fingerprint(&world.client).await, before);
}

fn segment(number: i64) -> Value {
    json!({"ticket_no": format!("T{number}"), "flight_id": 7, "fare_conditions": "Economy", "amount": "AfQ="})
}

/// The loader knows a link's key by the key's status. It must not take the key for new in the link's other satellite.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_status_is_remembered_is_not_taken_for_new() {
    let mut world = World::new("guessing_links").await;
    world.create_topic("ticket_flights", 1).await;
    for number in 0..20 {
        world.publish(create("ticket_flights", 10 + number, segment(number))).await;
    }
    let small = [("VAULT_LOADER__BATCH__ROWS_MAX", "5")];
    let mut loader = world.loader_with("first", &small);
    world.loaded().await;
    world.end(&mut loader);
    // A loader that remembers nothing learns of the old segment by its delete, and reads its status alone.
    let mut loader = world.loader_with("second", &small);
    world.publish(delete("ticket_flights", 100, segment(0))).await;
    world.loaded().await;
    for number in 20..60 {
        world.publish(create("ticket_flights", 100 + number, segment(number))).await;
    }
    world.loaded().await;
    world.publish(create("ticket_flights", 200, segment(0))).await;
    world.loaded().await;
    world.end(&mut loader);
    let loaded = fingerprint(&world.client).await;
    let versions = "dwh_detailed.sat_ticket_flights WHERE record_source <> 'SYSTEM'";
    assert_eq!(world.count(versions).await, 60, "the segment has the values that it had");
    let again = world.elsewhere("staged").await;
    let mut loader = world.loader_with("staged", &again.variables(&[]));
    world.loaded_into(&again.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&again.client).await, loaded);
}
