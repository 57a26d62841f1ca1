//! Loaders with a fixed `group.instance.id`: one that Kafka takes for its own namesake loads on, and of two with one
//! name one is left.

use std::time::Duration;

use devstack::wait_for_async;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::{PATIENCE, World, airport, create};

const TAKEN: &str = "partitions taken over";
const AGAIN: &str = "another loader has this one's group.instance.id";

fn named(group: &str) -> [(&'static str, &str); 2] {
    [("VAULT_LOADER__GROUP_ID", group), ("VAULT_LOADER__GROUP_INSTANCE_ID", "loader-0")]
}

/// After an outage of the group's coordinator a member may be known under another id than it knows itself, and is then
/// fenced although nobody else has its name. Here a member of that name comes for a moment, with the same effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_is_fenced_and_has_no_namesake_loads_on() {
    let mut world = World::new("namesake").await;
    world.create_topic("airports", 3).await;
    let group = world.database.name.clone();
    let mut loader = world.loader_with("loader", &named(&group));
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    let ghost: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.bootstrap)
        .set("group.id", &group)
        .set("group.instance.id", "loader-0")
        .set("session.timeout.ms", "6000")
        .create()
        .unwrap();
    ghost.subscribe(&[&world.topic("airports")]).unwrap();
    wait_for_async(PATIENCE, "the loader to be fenced", async || {
        let _polled = ghost.poll(Duration::from_millis(50));
        world.log("loader").contains(AGAIN)
    })
    .await;
    drop(ghost);
    wait_for_async(PATIENCE, "the loader to have partitions again", async || {
        world.log("loader").matches(TAKEN).count() > 1
    })
    .await;
    world.publish(create("airports", 20, airport("BBB", "Perm"))).await;
    world.loaded().await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_loaders_with_one_name_one_ends_and_the_other_loads() {
    let mut world = World::new("twins").await;
    world.create_topic("airports", 3).await;
    let group = world.database.name.clone();
    let mut loaders = ["one", "two"].map(|name| (name, world.loader_with(name, &named(&group))));
    let ended = wait_for_async(PATIENCE, "one of the two to end", async || {
        let codes: anyhow::Result<Vec<_>> =
            loaders.iter_mut().map(|(_, loader)| loader.exit_code()).collect();
        let codes = codes.map_err(|err| format!("{err:#}"))?;
        let logs = || world.log("one") + &world.log("two");
        codes.iter().position(Option::is_some).map(Some).ok_or_else(logs)
    })
    .await;
    let [(name, fenced), (_, left)] = &mut loaders;
    let (name, fenced, left) =
        if ended == 0 { (*name, fenced, left) } else { ("two", left, fenced) };
    assert_eq!(fenced.exit_code().unwrap(), Some(1));
    let log = world.log(name);
    assert!(log.contains("FencedInstanceId"), "{log}");
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    world.loaded().await;
    world.end(left);
}
