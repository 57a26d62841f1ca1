//! Loaders that come and go while others load: nobody is fenced, and nothing is loaded twice.
//!
//! What counts is the number of fences that the loaders report, and never a time.

use devstack::wait_for_async;

use crate::operating::ready_says;
use crate::support::{Event, PATIENCE, World, airport, update};
use crate::writers::{WAITING, hold_back, let_go, listen, metric};

const TAKEN: &str = "partitions taken over";
const FENCED: &str = "vault_loader_fenced_total";

fn city(partition: i32, number: i64) -> Event {
    let row = airport(&format!("{partition}"), &number.to_string());
    Event { partition, ..update("airports", 10 + number, row) }
}

/// The first loader is in the middle of a batch when the second one comes. It gives its partitions back when the batch
/// is loaded.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_given_back_when_their_batches_are_loaded() {
    for writers in ["1", "2"] {
        let mut world = World::new("arrival").await;
        world.create_topic("airports", 4).await;
        let listens = [listen(), listen()];
        let variables = |listen: &'static str| {
            [
                ("VAULT_LOADER__LISTEN", listen),
                ("VAULT_LOADER__BATCH__ROWS_MAX", "3"),
                ("VAULT_LOADER__WRITERS", writers),
            ]
        };
        let [one, two] = listens.map(|listen| &*listen.leak());
        let mut first = world.loader_with("first", &variables(one));
        world.publish(city(0, 0)).await;
        world.loaded().await;
        let holder = hold_back(&world, &["airports"]).await;
        for number in 1..10 {
            for partition in 0..4 {
                world.publish(city(partition, number)).await;
            }
        }
        wait_for_async(PATIENCE, "a batch to be in flight", async || {
            !world.rows(WAITING).await.is_empty()
        })
        .await;
        // The writer is in trouble, and its next attempt waits as the first one did.
        let ended = format!("SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting");
        assert!(!world.rows(&ended).await.is_empty());
        wait_for_async(PATIENCE, "the next attempt", async || {
            let trying = !world.rows(WAITING).await.is_empty();
            trying && world.log("first").contains("trying again")
        })
        .await;
        let mut second = world.loader_with("second", &variables(two));
        world.logged("first", "waiting for the batches in flight").await;
        assert!(!world.log("second").contains(TAKEN), "the partitions are still the first one's");
        let_go(&holder).await;
        world.logged("second", TAKEN).await;
        world.loaded().await;
        assert_eq!((metric(one, FENCED), metric(two, FENCED)), (Some(0), Some(0)));
        // The trouble is over, also for a writer that gets nothing more to load.
        for listen in [one, two] {
            ready_says(&world, listen, 200, "ready").await;
        }
        world
            .assert_rows(
                "SELECT count(*), count(DISTINCT (hash_key, source_lsn)) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL",
                &["(37,37)"],
            )
            .await;
        world.end(&mut first);
        world.end(&mut second);
    }
}

/// Loaders come and go again and again while events come without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn loaders_that_come_and_go_under_load_fence_nobody() {
    let mut world = World::new("comings").await;
    world.create_topic("airports", 4).await;
    let [one, two] = [listen(), listen()];
    let variables = |listen| {
        [
            ("VAULT_LOADER__LISTEN", listen),
            ("VAULT_LOADER__BATCH__ROWS_MAX", "5"),
            ("VAULT_LOADER__WRITERS", "2"),
        ]
    };
    let (one, two): (&str, &str) = (&one, &two);
    let mut first = world.loader_with("first", &variables(one));
    let mut number = 0;
    for round in 1..=3 {
        let name = format!("second{round}");
        let mut second = world.loader_with(&name, &variables(two));
        // Both have partitions for a while before the second one goes.
        let mut left = 100;
        while left > 0 {
            for partition in 0..4 {
                world.publish(city(partition, number)).await;
            }
            number += 1;
            left -= i32::from(world.log(&name).contains(TAKEN));
        }
        assert_eq!(metric(two, FENCED), Some(0), "round {round}");
        world.end(&mut second);
    }
    world.loaded().await;
    assert_eq!(metric(one, FENCED), Some(0));
    let expected = format!("({0},{0})", number * 4);
    world
        .assert_rows(
            "SELECT count(*), count(DISTINCT (hash_key, source_lsn)) FROM dwh_detailed.sat_airports WHERE city IS NOT NULL",
            &[&expected],
        )
        .await;
    world.end(&mut first);
}
