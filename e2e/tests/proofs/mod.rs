//! `vault-loader verify` on a running pipeline: under a load that never stops it finds nothing, and it finds each
//! difference that is planted in the vault by hand.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod planted;

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use devstack::shared;
use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use e2e::workload::{Options, Workload, loosen};
use serde_json::Value;

use crate::workload::seed;

pub(crate) fn rig(name: &str, partitions: u32) -> Rig {
    let stack = shared::stack();
    let unique = format!("{name}_{}", std::process::id());
    Rig::create(RigOptions {
        dir: stack.dir.join("e2e").join(&unique),
        name: unique,
        source: stack.postgres15.clone(),
        warehouse: stack.warehouse.clone(),
        bootstrap: stack.kafka_bootstrap.clone(),
        partitions,
    })
    .unwrap()
}

pub(crate) fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// The report of a run with `--format json`.
pub(crate) fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(output)))
}

/// The tables of the vault in which a key differs.
pub(crate) fn differing(report: &Value) -> BTreeSet<String> {
    let tables = report["tables"].as_array().unwrap().iter();
    let count = |table: &Value, name: &str| table[name].as_u64().unwrap();
    let differs = |table: &&Value| {
        ["missing", "extra", "different", "waiting"].iter().any(|name| count(table, name) > 0)
    };
    tables.filter(differs).map(|table| table["vault_table"].as_str().unwrap().to_owned()).collect()
}

/// How often the running source is compared.
const RUNS: u64 = 10;

/// One row whose transaction stays open for as long as nobody else's does, so that a snapshot is hardly ever without an
/// open transaction.
async fn keep_open(rig: &Rig, stop: &AtomicBool) {
    let client = sql::connect(&rig.source()).await.unwrap();
    client
        .batch_execute("INSERT INTO aircrafts VALUES ('LNG', 'long', 1) ON CONFLICT DO NOTHING")
        .await
        .unwrap();
    while !stop.load(Ordering::Relaxed) {
        client
            .batch_execute(
                "BEGIN; UPDATE aircrafts SET range = range % 1000 + 1 WHERE aircraft_code = 'LNG';
                 SELECT pg_sleep(0.3); COMMIT",
            )
            .await
            .unwrap();
    }
}

async fn compare_under_load(name: &str, partitions: u32, truncates: bool, long: bool) {
    let rig = rig(name, partitions);
    let source = sql::connect(&rig.source()).await.unwrap();
    loosen(&source).await.unwrap();
    let full =
        "ALTER TABLE airports REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL";
    source.batch_execute(full).await.unwrap();
    let workload = Workload::default();
    let seed = seed();
    let options = Options { seed, workers: 4, transactions: 20, truncates };
    workload.run(&rig.source(), options).await.unwrap();
    let reader = rig.start_reader().unwrap();
    let _loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();

    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let written = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables";
    let work = async {
        while !stop.load(Ordering::Relaxed) {
            let round = rounds.fetch_add(1, Ordering::Relaxed) + 1;
            workload.run(&rig.source(), Options { seed: seed + round, ..options }).await.unwrap();
        }
    };
    let open = async {
        if long {
            keep_open(&rig, &stop).await;
        }
    };
    let proofs = async {
        let (mut exact, mut changing) = (0, 0);
        for run in 0..RUNS {
            let output = tokio::task::block_in_place(|| rig.prove(&["verify", "--format", "json"]));
            let output = output.unwrap();
            let before = rounds.load(Ordering::Relaxed);
            assert_eq!(output.status.code(), Some(0), "run {run}: {}", told(&output));
            let report = report(&output);
            assert!(before > 0, "nothing was written meanwhile");
            exact += u32::from(report["is_exact"] == true);
            let tables = report["tables"].as_array().unwrap();
            changing += tables.iter().map(|table| table["changing"].as_u64().unwrap()).sum::<u64>();
            let rows: u64 = tables.iter().map(|table| table["rows"].as_u64().unwrap()).sum();
            assert!(rows > 100, "{rows} rows were compared: {report}");
        }
        stop.store(true, Ordering::Relaxed);
        (exact, changing)
    };
    let ((), (), (exact, changing)) = tokio::join!(work, open, proofs);
    let count: f64 = sql::one(&source, written).await.unwrap().parse().unwrap();
    println!(
        "{RUNS} comparisons, {exact} of them exact, {changing} keys changing, {:.0} changes a second",
        count / begun.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_load_that_never_stops_nothing_differs() {
    compare_under_load("verify_live", 1, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_transactions_stay_open_and_topics_have_partitions_nothing_differs() {
    compare_under_load("verify_open", 3, false, true).await;
}
