//! What an operator does after exit code 3, with the loader behind the reader: the vault goes on as the procedure says.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

use std::time::Duration;

use devstack::{shared, wait_for};
use e2e::rig::{Rig, RigOptions};
use e2e::{oracle, sql};
use tokio_postgres::Client;

const PATIENCE: Duration = Duration::from_secs(60);

fn rig(name: &str) -> Rig {
    let stack = shared::stack();
    let unique = format!("{name}_{}", std::process::id());
    Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&unique),
        name: unique,
        source: stack.postgres18.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions: 1,
    })
    .unwrap()
}

async fn insert_airport(source: &Client, code: &str) {
    let row = format!("INSERT INTO airports VALUES ('{code}', '{code}', 'Omsk', 1, 2, 'UTC')");
    source.batch_execute(&row).await.unwrap();
}

/// The codes of the airports that the marts show as current.
async fn current(warehouse: &Client) -> String {
    let codes = "SELECT string_agg(airport_code, ' ' ORDER BY airport_code) FROM dwh_marts.current_airports";
    sql::one(warehouse, codes).await.unwrap()
}

/// A pipeline that has loaded AAA and DDD. Its slot was dropped while the reader was stopped. Since then its source got
/// BBB and another city for AAA. The reader has ended with exit code 3.
struct Lost {
    rig: Rig,
    source: Client,
    warehouse: Client,
    _loader: devstack::Process,
    /// How often a reader of this rig has begun to stream.
    streams: usize,
}

impl Lost {
    async fn of(name: &str, remade: bool) -> Self {
        let rig = rig(name);
        let source = sql::connect(&rig.source()).await.unwrap();
        insert_airport(&source, "AAA").await;
        let mut reader = rig.start_reader().unwrap();
        let loader = rig.start_loader().unwrap();
        rig.wait_until_streaming(&reader).unwrap();
        insert_airport(&source, "DDD").await;
        rig.settle().await.unwrap();
        reader.terminate();
        assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 0);

        let slot = rig.name().to_owned();
        source.batch_execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).await.unwrap();
        insert_airport(&source, "BBB").await;
        source
            .batch_execute("UPDATE airports SET city = 'Perm' WHERE airport_code = 'AAA'")
            .await
            .unwrap();
        if remade {
            let make = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
            source.batch_execute(&make).await.unwrap();
        }
        let mut refused = rig.start_reader().unwrap();
        assert_eq!(refused.wait_exit(PATIENCE).unwrap(), 3, "{}", refused.printed());
        let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
        assert_eq!(current(&warehouse).await, "AAA DDD");
        let streams = refused.lines_with("streaming").len();
        Self { rig, source, warehouse, _loader: loader, streams }
    }

    /// Starts the reader again, and waits until it streams.
    fn start_reader(&self) -> devstack::Process {
        let reader = self.rig.start_reader().unwrap();
        wait_for(PATIENCE, "the reader to stream again", || {
            reader.lines_with("streaming").len() > self.streams
        });
        reader
    }

    async fn city_of_aaa(&self) -> String {
        let city = "SELECT city FROM dwh_marts.current_airports WHERE airport_code = 'AAA'";
        sql::one(&self.warehouse, city).await.unwrap()
    }
}

#[tokio::test]
async fn a_new_snapshot_brings_the_changes_of_the_gap_into_the_vault() {
    let lost = Lost::of("newsnapshot", false).await;
    lost.rig.offset("delete").unwrap();
    let _reader = lost.start_reader();
    insert_airport(&lost.source, "CCC").await;
    lost.rig.settle().await.unwrap();
    assert_eq!(current(&lost.warehouse).await, "AAA BBB CCC DDD");
    assert_eq!(lost.city_of_aaa().await, "Perm");
    oracle::verify_checks(&lost.warehouse).await.unwrap();
}

#[tokio::test]
async fn a_gap_that_was_accepted_is_missing_and_everything_after_it_is_there() {
    let lost = Lost::of("accepted", true).await;
    let text = lost.rig.offset("accept").unwrap();
    assert!(text.starts_with("the next start goes on at {"), "{text}");
    let _reader = lost.start_reader();
    insert_airport(&lost.source, "CCC").await;
    lost.rig.settle().await.unwrap();
    assert_eq!(current(&lost.warehouse).await, "AAA CCC DDD", "the gap is missing");
    assert_eq!(lost.city_of_aaa().await, "Omsk", "the gap is missing");
    // A later change of a row brings its whole state.
    lost.source.batch_execute("UPDATE airports SET city = 'Tver'").await.unwrap();
    lost.rig.settle().await.unwrap();
    assert_eq!(current(&lost.warehouse).await, "AAA BBB CCC DDD");
    assert_eq!(lost.city_of_aaa().await, "Tver");
    oracle::verify_checks(&lost.warehouse).await.unwrap();
}
