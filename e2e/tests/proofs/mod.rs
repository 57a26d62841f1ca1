//! `vault-loader verify` on a running pipeline: under a load that never stops it finds nothing, and it finds each
//! difference that is planted in the vault by hand.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

mod planted;
mod reconciling;

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use e2e::workload::{Options, Workload, loosen};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::workload::seed;

pub(crate) fn rig(name: &str, partitions: u32) -> Rig {
    Rig::create(RigOptions { partitions, ..RigOptions::of_stack(name) }).unwrap()
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

/// The least number of changes beside each comparison that counts as a load.
const CHANGES: f64 = 20.0;

/// Work at the source in tasks of its own, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(source: &str, options: Options, long: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_working(source.to_owned(), options, Arc::clone(&stop)));
        if long {
            tasks.spawn(keep_open(source.to_owned(), Arc::clone(&stop)));
        }
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}

async fn keep_working(source: String, options: Options, stop: Arc<AtomicBool>) {
    let workload = Workload::default();
    let mut seed = options.seed;
    while !stop.load(Ordering::Relaxed) {
        workload.run(&source, Options { seed, ..options }).await.unwrap();
        seed += 1;
    }
}

/// One row whose transaction is nearly always open, so that hardly any snapshot is without an open transaction.
async fn keep_open(source: String, stop: Arc<AtomicBool>) {
    let client = sql::connect(&source).await.unwrap();
    client.batch_execute("INSERT INTO aircrafts VALUES ('LNG', 'long', 1)").await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let transaction =
            "BEGIN; UPDATE aircrafts SET range = range % 1000 + 1 WHERE aircraft_code = 'LNG';
                           SELECT pg_sleep(0.3); COMMIT";
        client.batch_execute(transaction).await.unwrap();
    }
}

async fn changes(source: &tokio_postgres::Client) -> f64 {
    let sql = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables";
    sql::one(source, sql).await.unwrap().parse().unwrap()
}

async fn compare_under_load(name: &str, partitions: u32, truncates: bool, long: bool) {
    let rig = rig(name, partitions);
    let source = sql::connect(&rig.source()).await.unwrap();
    loosen(&source).await.unwrap();
    let full =
        "ALTER TABLE airports REPLICA IDENTITY FULL; ALTER TABLE tickets REPLICA IDENTITY FULL";
    source.batch_execute(full).await.unwrap();
    let reader = rig.start_reader().unwrap();
    let _loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();
    let options = Options { seed: seed(), workers: 4, transactions: 100, truncates };
    let load = Load::start(&rig.source(), options, long);
    let (begun, before) = (Instant::now(), changes(&source).await);
    let (mut exact, mut changing) = (0, 0);
    for run in 0..RUNS {
        let output = rig.prove(&["verify", "--format", "json"]).unwrap();
        assert_eq!(output.status.code(), Some(0), "run {run}: {}", told(&output));
        let report = report(&output);
        exact += u64::from(report["is_exact"] == true);
        let tables = report["tables"].as_array().unwrap();
        changing += tables.iter().map(|table| table["changing"].as_u64().unwrap()).sum::<u64>();
        let rows: u64 = tables.iter().map(|table| table["rows"].as_u64().unwrap()).sum();
        assert!(rows > 100, "{rows} rows were compared: {report}");
    }
    let changed = changes(&source).await - before;
    let rate = changed / begun.elapsed().as_secs_f64();
    load.end().await;
    println!(
        "{RUNS} comparisons, {exact} of them exact, {changing} keys changing, {rate:.0} changes a second"
    );
    assert!(changed >= RUNS as f64 * CHANGES, "{changed} changes are no load");
    // With a transaction that is nearly always open, snapshots are not exact, and keys change in them.
    assert!(!long || (exact < RUNS && changing > 0), "{exact} exact, {changing} changing");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_load_that_never_stops_nothing_differs() {
    compare_under_load("verify_live", 1, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_transactions_stay_open_and_topics_have_partitions_nothing_differs() {
    compare_under_load("verify_open", 3, false, true).await;
}
