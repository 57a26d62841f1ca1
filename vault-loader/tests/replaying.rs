//! The vault is a function of the topics: replays, rebuilds, other batch borders and kills change nothing.

use devstack::wait_for_async;
use serde_json::json;
use tokio_postgres::Client;

use crate::support::{
    PATIENCE, World, airport, booking, create, delete, fingerprint, flight, read, ticket, truncate,
    update,
};

/// A little of everything, several versions a key.
pub(crate) async fn publish_mixture(world: &mut World) {
    world.publish(read("airports", airport("SVO", "Moscow"))).await;
    for round in 0..40 {
        let lsn = 100 + round * 20;
        let code = format!("A{:02}", round % 7);
        world
            .publish(update("airports", lsn, airport(&code, &format!("city {}", round % 3))))
            .await;
        let status = if round % 2 == 0 { "Scheduled" } else { "Delayed" };
        let aircraft = if round % 3 == 0 { "773" } else { "SU9" };
        world.publish(update("flights", lsn + 1, flight(round % 5, aircraft, status))).await;
        world
            .publish(update("bookings", lsn + 2, booking(&format!("{:06}", round % 4), round)))
            .await;
        let contact = json!(format!("{{\"phone\": \"{}\"}}", round % 2));
        let passenger = format!("P{}", round % 6);
        world
            .publish(create("tickets", lsn + 3, ticket(&format!("T{round}"), &passenger, &contact)))
            .await;
        if round % 4 == 3 {
            world
                .publish(delete(
                    "tickets",
                    lsn + 4,
                    ticket(&format!("T{round}"), &passenger, &contact),
                ))
                .await;
        }
        if round == 20 {
            world.publish(truncate("bookings", lsn + 5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_the_beginning_adds_no_row() {
    let mut world = World::new("replay").await;
    publish_mixture(&mut world).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader_with("again", &[("VAULT_LOADER__BATCH__ROWS_MAX", "7")]);
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&world.client).await, before);
}

/// Loads what was published, and once more into a new warehouse, with other batches: both are the same to the last
/// byte. Returns what they hold.
pub(crate) async fn load_twice(world: &mut World) -> Vec<String> {
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let first = fingerprint(&world.client).await;
    let again = world.elsewhere("again").await;
    let variables = again.variables(&[
        ("VAULT_LOADER__BATCH__ROWS_MAX", "3"),
        ("VAULT_LOADER__LIMITS__CACHE_ENTRIES_MAX", "1"),
    ]);
    let mut loader = world.loader_with("second", &variables);
    world.loaded_into(&again.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&again.client).await, first);
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_with_other_batches_is_the_same_to_the_last_byte() {
    let mut world = World::new("rebuild").await;
    publish_mixture(&mut world).await;
    load_twice(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loads_everything_once() {
    let mut world = World::new("killed").await;
    for table in ["airports", "flights", "bookings", "tickets"] {
        world.create_topic(table, 1).await;
    }
    let variables =
        [("VAULT_LOADER__GROUP_INSTANCE_ID", "one"), ("VAULT_LOADER__BATCH__ROWS_MAX", "5")];
    let mut done = 0;
    for round in 0..4 {
        let mut loader = world.loader_with(&format!("killed{round}"), &variables);
        for number in 0..60 {
            if number == 30 {
                // It is killed in the middle of its work, not before it.
                wait_for_async(PATIENCE, "this loader to have loaded something", async || {
                    loaded_count(&world).await > done
                })
                .await;
            }
            let lsn = 10 + round * 100 + number;
            let city = format!("{round} {number}");
            world
                .publish(update("airports", lsn, airport(&format!("A{}", number % 3), &city)))
                .await;
        }
        loader.kill9();
        let before = done;
        done = loaded_count(&world).await;
        assert!(done > before, "the loader of round {round} loaded nothing before it was killed");
    }
    let mut loader = world.loader_with("last", &variables);
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(world.count("dwh_detailed.sat_airports").await, 240 + 1);
}

/// Events that are loaded of all topics.
async fn loaded_count(world: &World) -> i64 {
    let sql = "SELECT COALESCE(sum(next_offset), 0)::bigint FROM dwh_control.offsets";
    world.client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Loads what was published, the events of these tables before all others: the others wait as if they were loaded.
pub(crate) async fn load_first(
    world: &World,
    client: &Client,
    variables: &[(&str, &str)],
    first: [&str; 2],
) {
    let tables = ["airports", "bookings", "flights", "tickets"];
    let held: Vec<String> = tables
        .iter()
        .filter(|table| !first.contains(table))
        .map(|name| world.topic(name))
        .collect();
    for topic in &held {
        let next = world.published_in(topic);
        let sql = "INSERT INTO dwh_control.offsets VALUES ($1, 0, $2)";
        client.execute(sql, &[topic, &next]).await.unwrap();
    }
    load_rest(world, client, variables).await;
    let sql = "UPDATE dwh_control.offsets SET next_offset = 0 WHERE topic = ANY ($1)";
    client.execute(sql, &[&held]).await.unwrap();
}

/// Loads what waits.
pub(crate) async fn load_rest(world: &World, client: &Client, variables: &[(&str, &str)]) {
    let mut loader = world.loader_with("rest", variables);
    world.loaded_into(client).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_in_which_topics_are_loaded_does_not_show() {
    let mut world = World::new("order").await;
    publish_mixture(&mut world).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let first = fingerprint(&world.client).await;
    let elsewhere = world.elsewhere("flights_first").await;
    let (client, variables) = (&elsewhere.client, elsewhere.variables(&[]));
    // Hubs are first named by flights and tickets, with later dates.
    load_first(&world, client, &variables, ["flights", "tickets"]).await;
    assert_ne!(fingerprint(client).await, first);
    load_rest(&world, client, &variables).await;
    assert_eq!(fingerprint(client).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_rows_of_hubs_back_and_does_not_look_for_links() {
    let mut world = World::new("removed").await;
    let segment =
        json!({"ticket_no": "T1", "flight_id": 7, "fare_conditions": "Economy", "amount": "AA=="});
    world.publish(create("ticket_flights", 10, segment)).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    let before = fingerprint(&world.client).await;
    let removed = "DELETE FROM dwh_detailed.hub_tickets WHERE ticket_no = 'T1';
                   DELETE FROM dwh_detailed.link_ticket_flights WHERE record_source <> 'SYSTEM';
                   UPDATE dwh_control.offsets SET next_offset = 0";
    world.client.batch_execute(removed).await.unwrap();
    let mut loader = world.loader("again");
    world.loaded().await;
    world.end(&mut loader);
    world
        .assert_rows(
            "SELECT ticket_no FROM dwh_detailed.hub_tickets WHERE ticket_no = 'T1'",
            &["(T1)"],
        )
        .await;
    let links = "dwh_detailed.link_ticket_flights WHERE record_source <> 'SYSTEM'";
    assert_eq!(world.count(links).await, 0);
    let check = world.command(&["check"]);
    let said = [check.stderr, check.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains("1 rules are broken: satellite_parents_exist"), "{said}");
    let rebuild = world.command(&["rebuild"]);
    assert!(rebuild.status.success(), "{}", String::from_utf8_lossy(&rebuild.stderr));
    assert_eq!(fingerprint(&world.client).await, before);
}
