//! Three brokers with TLS and logins, of which some are killed, lost, restarted or away, under load: nothing is lost
//! and nothing is loaded twice, no program has to be restarted, and each says what it waits for.
//!
//! In: a seed (`VAULTSTREAM_TEST_SEED`). Out: for each disturbance how long who was not ready and why, and at the end
//! the project's own proofs: `verify` on the source at work, every state of every key against the workload's own log,
//! `check`, and the `checksum` of a second vault that one loader builds from the same topics.
//!
//! `make test-brokers` runs them. `make test` does not, because each takes minutes.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod health;
mod scene;

use e2e::sql;

use crate::workload::seed;
use scene::Scene;

/// So many events more show that loading goes on.
const SOME: i64 = 300;

/// Runs a disturbance on a pipeline under load, and proves that nothing came of it.
async fn under_load(name: &str, disturb: impl AsyncFnOnce(&mut Scene) -> anyhow::Result<()>) {
    let mut scene = Scene::start(name, seed()).await.unwrap();
    let outcome = disturb(&mut scene).await;
    if let Err(error) = outcome {
        panic!("{error:#}\n{}", scene.last_lines());
    }
    println!("{name}: {}", scene.prove().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_is_killed_and_comes_back_costs_nothing() {
    under_load("broker_killed", async |scene| {
        scene.cluster.kill9(1)?;
        let took = scene.load_on(SOME).await?;
        println!("without broker 1, {SOME} more events were loaded within {took:.1?}");
        scene.cluster.start_again(&[1])?;
        scene.cluster.wait_until_in_sync()?;
        scene.nothing_came_of("broker 1 killed, and back").await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_lost_its_disk_is_replaced_by_an_empty_one() {
    under_load("broker_lost", async |scene| {
        scene.cluster.kill9(2)?;
        scene.load_on(SOME).await?;
        scene.cluster.replace(2)?;
        scene.cluster.wait_until_whole()?;
        scene.nothing_came_of("broker 2 lost with its data, and replaced").await?;
        // The new one is a whole one: with it and one other, everything goes on.
        scene.cluster.kill9(3)?;
        scene.load_on(SOME).await?;
        scene.cluster.start_again(&[3])?;
        scene.cluster.wait_until_in_sync()?;
        scene.nothing_came_of("broker 3 killed beside the new one, and back").await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_brokers_are_restarted_in_turn_with_new_certificates() {
    under_load("brokers_restarted", async |scene| {
        scene.cluster.renew_certificates()?;
        scene.cluster.restart_in_turn(|number| {
            println!("broker {number} is back");
            Ok(())
        })?;
        scene.load_on(SOME).await?;
        scene.nothing_came_of("all brokers restarted in turn with new certificates").await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_one_broker_left_the_reader_waits_and_loses_nothing() {
    under_load("brokers_away", async |scene| {
        scene.cluster.stop(1)?;
        scene.cluster.stop(2)?;
        one_left(scene, "two brokers stopped").await?;
        scene.cluster.kill9(2)?;
        scene.cluster.kill9(3)?;
        one_left(scene, "two brokers killed").await
    })
    .await;
}

/// The reader and the slot wait, and go on when the brokers are back.
async fn one_left(scene: &mut Scene, what: &str) -> anyhow::Result<()> {
    let running = scene.cluster.running();
    anyhow::ensure!(running.len() == 1, "{running:?} run");
    scene.wait_until_not_ready("reader").await?;
    let confirmed = confirmed(scene).await?;
    let away: Vec<usize> =
        [1, 2, 3].into_iter().filter(|number| !running.contains(number)).collect();
    scene.cluster.start_again(&away)?;
    scene.wait_until_ready().await?;
    scene.load_on(SOME).await?;
    scene.cluster.wait_until_in_sync()?;
    let told = scene.nothing_came_of(what).await?;
    let reader = told.spells.iter().find(|spell| spell.who == "reader");
    anyhow::ensure!(reader.is_some_and(|spell| spell.ended.is_some()), "{:?}", told.spells);
    let now = self::confirmed(scene).await?;
    anyhow::ensure!(now != confirmed, "the slot stands still at {now}");
    Ok(())
}

/// Up to where the slot is confirmed.
async fn confirmed(scene: &Scene) -> anyhow::Result<String> {
    let source = sql::connect(&scene.rig.source()).await?;
    let slot = format!(
        "SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = '{}'",
        scene.rig.name()
    );
    sql::one(&source, &slot).await
}
