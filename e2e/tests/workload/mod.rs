//! Random work at the source, whatever happens on the way: the vault holds exactly what happened.
//!
//! In: real servers, the built binaries, a seed. Out: current rows and every key's versions equal to the workload's own
//! log.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod altered;
mod as_of_watermark;
mod waiting;
mod watermark;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use devstack::{Kafka, KafkaOptions, PostgresAddress, shared};
use e2e::oracle::Repeats;
use e2e::rig::{Rig, RigOptions};
use e2e::workload::{Options, Workload, loosen};
use e2e::{oracle, sql};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KILLS: u32 = 20;

/// The seed, printed so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("VAULTSTREAM_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("seed {seed}: run again with VAULTSTREAM_TEST_SEED={seed}");
    seed
}

fn rig(name: &str, source: &PostgresAddress, bootstrap: &str, partitions: u32) -> Rig {
    let stack = shared::stack();
    let unique = format!("{name}_{}", std::process::id());
    Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&unique),
        name: unique,
        source: source.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: bootstrap.to_owned(),
        partitions,
    })
    .unwrap()
}

/// Work before the snapshot, work after it, and everything compared.
async fn random_work(rig: &Rig, options: Options, prepare: &str) {
    let workload = Workload::default();
    let source = sql::connect(&rig.source()).await.unwrap();
    loosen(&source).await.unwrap();
    source.batch_execute(prepare).await.unwrap();
    workload.run(&rig.source(), Options { transactions: 20, ..options }).await.unwrap();
    workload.forget_past().await;

    let mut reader = rig.start_reader().unwrap();
    let mut loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let refreshing = keep_refreshing(rig).await;
    workload.run(&rig.source(), Options { seed: options.seed + 1, ..options }).await.unwrap();
    rig.settle().await.unwrap();
    refreshing.abort();
    verify(rig, &workload, &source, &warehouse).await;
    let incremental = "SELECT refreshes > 3 AND outcome <> 'full' FROM dwh_marts.mart_refreshes";
    assert_eq!(
        sql::one(&warehouse, incremental).await.unwrap(),
        "t",
        "the star was built once only"
    );

    reader.terminate();
    assert_eq!(reader.wait_exit(Duration::from_secs(30)).unwrap(), 0);
    replay_adds_nothing(rig, &mut loader, &warehouse).await;
    rebuild_is_identical(rig, &warehouse).await;
}

/// Refreshes the star schema all the time, so that it is made of many small refreshes when it is compared with the
/// vault.
async fn keep_refreshing(rig: &Rig) -> tokio::task::JoinHandle<()> {
    let refresher = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    oracle::refresh_star(&refresher).await.unwrap();
    tokio::spawn(async move {
        loop {
            oracle::refresh_star(&refresher).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

async fn verify(
    rig: &Rig,
    workload: &Workload,
    source: &tokio_postgres::Client,
    warehouse: &tokio_postgres::Client,
) {
    let log = workload.log().await;
    if let Err(difference) = oracle::verify(&log, source, warehouse, Repeats::None).await {
        let topics = rig.dump_topics().unwrap();
        panic!("{difference:#}\nthe topics stand in {}", topics.display());
    }
}

/// All topics once more from the beginning into the same warehouse.
async fn replay_adds_nothing(
    rig: &Rig,
    loader: &mut devstack::Process,
    warehouse: &tokio_postgres::Client,
) {
    loader.terminate();
    assert_eq!(loader.wait_exit(Duration::from_secs(30)).unwrap(), 0);
    let before = oracle::checksum(warehouse).await.unwrap();
    warehouse.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut again = rig.start_loader().unwrap();
    rig.settle_loader(rig.name()).await.unwrap();
    assert_eq!(before, oracle::checksum(warehouse).await.unwrap(), "a replay changed the vault");
    again.terminate();
    assert_eq!(again.wait_exit(Duration::from_secs(30)).unwrap(), 0);
}

/// A second warehouse from the same topics is the same to the last byte.
async fn rebuild_is_identical(rig: &Rig, warehouse: &tokio_postgres::Client) {
    let second = format!("{}_rebuilt", rig.name());
    rig.create_warehouse(&second).unwrap();
    let _loader = rig.start_loader_on(&second).unwrap();
    rig.settle_loader(&second).await.unwrap();
    let rebuilt = sql::connect(&rig.warehouse(&second)).await.unwrap();
    assert_eq!(
        oracle::checksum(warehouse).await.unwrap(),
        oracle::checksum(&rebuilt).await.unwrap(),
        "the rebuilt vault differs"
    );
}

const WORK: Options = Options { seed: 0, workers: 3, transactions: 250, truncates: true };

#[tokio::test]
async fn every_state_of_every_key_arrives_from_postgresql_15() {
    let stack = shared::stack();
    let rig = rig("work15", &stack.postgres15, &stack.kafka_bootstrap, 1);
    random_work(&rig, Options { seed: seed(), ..WORK }, "").await;
}

#[tokio::test]
async fn every_state_of_every_key_arrives_from_postgresql_18() {
    let stack = shared::stack();
    let rig = rig("work18", &stack.postgres18, &stack.kafka_bootstrap, 1);
    random_work(&rig, Options { seed: seed(), ..WORK }, "").await;
}

/// Order is per key only: with several partitions a table's truncate may overtake or be overtaken, so there is none
/// here; and a value that the server does not send with a moved key must come with the old row.
#[tokio::test]
async fn partitions_do_not_change_what_arrives() {
    let stack = shared::stack();
    let rig = rig("partitions", &stack.postgres15, &stack.kafka_bootstrap, 3);
    let prepare =
        "ALTER TABLE airports REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL";
    random_work(&rig, Options { seed: seed(), truncates: false, ..WORK }, prepare).await;
}

#[tokio::test]
async fn kills_and_a_broker_restart_lose_and_repeat_nothing() {
    let stack = shared::stack();
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let rig = rig("kills", &stack.postgres15, &kafka.bootstrap(), 1);
    let seed = seed();
    let workload = Workload::default();
    let source = sql::connect(&rig.source()).await.unwrap();
    loosen(&source).await.unwrap();
    let options = Options { seed, ..WORK };
    workload.run(&rig.source(), Options { transactions: 20, ..options }).await.unwrap();
    workload.forget_past().await;
    let mut reader = rig.start_reader().unwrap();
    let mut loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();

    let killed = AtomicBool::new(false);
    let work = async {
        // As long as there are kills: each of them meets traffic.
        let mut round = 1;
        while !killed.load(Ordering::Relaxed) {
            let options = Options { seed: seed + round, transactions: 20, ..options };
            workload.run(&rig.source(), options).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            round += 1;
        }
    };
    let kills = async {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for kill in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(rng.random_range(200..1500))).await;
            if kill == KILLS / 2 {
                kafka.restart().unwrap();
            }
            if kill % 2 == 0 {
                reader.kill9();
                reader = rig.start_reader().unwrap();
            } else {
                loader.kill9();
                loader = rig.start_loader().unwrap();
            }
        }
        killed.store(true, Ordering::Relaxed);
    };
    let started = Instant::now();
    tokio::join!(work, kills);
    // Some more work that nobody disturbs, so that the last kill has something behind it.
    let calm = Options { seed: seed + 1_000_000, transactions: 20, ..options };
    workload.run(&rig.source(), calm).await.unwrap();
    rig.settle().await.unwrap();
    println!("{KILLS} kills and a broker restart in {:?}", started.elapsed());
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    verify(&rig, &workload, &source, &warehouse).await;
}
