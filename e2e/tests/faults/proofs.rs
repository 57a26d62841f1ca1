//! What is proven when the faults are over, and the figures of a run.
//!
//! In: a run whose group has caught up, and work that still goes on. Out: the figures, or what is wrong.

use std::process::Output;
use std::time::Duration;

use anyhow::Context;
use e2e::oracle::{self, Repeats};
use e2e::rig::{Member, Rig};
use e2e::sql;
use serde_json::Value;

use super::{Run, Work, watch};

/// Another size of batches than the loaders of the group have.
const ROWS_OF_THE_SECOND: u32 = 1_001;

/// What the loaders say when they were fenced, and when a batch failed.
const FENCED: &str = "fenced: another loader moved the offsets, reading them anew";
const FAILED: &str = "a batch failed, trying again";

/// Proves everything, and ends the group in order.
pub(super) async fn prove(run: &mut Run<'_>, work: Work) -> anyhow::Result<String> {
    let rig = run.rig;
    // The source is at work.
    succeeded(&rig.prove(&["verify", "--format", "json"])?).context("verify")?;
    let workload = work.end().await?;
    run.group.tick()?;
    rig.settle().await?;
    run.group.tick()?;
    let seen = run.watch.seen()?;
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await?;
    watch::nobody_waits(&warehouse).await?;
    let source = sql::connect(&rig.source()).await?;
    let log = workload.log().await;
    oracle::verify(&log, &source, &warehouse, Repeats::None).await?;
    succeeded(&rig.check()?).context("check")?;
    run.group.end_all()?;
    let checksum = succeeded(&rig.prove(&["checksum", "--format", "json"])?).context("checksum")?;
    let rebuilt = rebuild(rig).await?;
    anyhow::ensure!(
        checksum == rebuilt,
        "one loader built another vault from the same topics: {}",
        difference(&checksum, &rebuilt)
    );
    let states: usize = log.values().map(Vec::len).sum();
    let events: i64 = rig.high_watermarks()?.values().sum();
    let rows: u64 = tables(&checksum).iter().filter_map(|table| table["rows"].as_u64()).sum();
    let deadlocks = watch::deadlocks(run.servers.warehouse.log())?;
    Ok(format!(
        "{} starts of loaders, {states} states of {} keys, {events} events, {rows} rows, {deadlocks} deadlocks, \
         {} times fenced, {} failed batches, {} looks at all rules; standstills of {:.1} s, the longest {:.1} s",
        run.group.starts(),
        log.len(),
        run.group.said(FENCED),
        run.group.said(FAILED),
        seen.rules_asked,
        seen.standstill.as_secs_f64(),
        seen.longest.as_secs_f64()
    ))
}

/// Lets one loader build a second vault, with other batches. Returns its checksums.
pub(crate) async fn rebuild(rig: &Rig) -> anyhow::Result<Value> {
    let second = format!("{}_rebuilt", rig.name());
    rig.create_warehouse(&second)?;
    let member = Member {
        database: &second,
        name: "rebuilder",
        is_static: false,
        rows_max: ROWS_OF_THE_SECOND,
        writers: 1,
    };
    let mut loader = rig.start_member(&member)?;
    rig.settle_loader(&second).await?;
    loader.terminate();
    let code = loader.wait_exit(Duration::from_secs(45))?;
    anyhow::ensure!(code == 0, "the loader of the second vault ended with {code}");
    succeeded(&rig.prove_in(&second, &["checksum", "--format", "json"])?)
}

/// What a proof printed as JSON, or null; an error when it found something.
pub(crate) fn succeeded(output: &Output) -> anyhow::Result<Value> {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    anyhow::ensure!(output.status.success(), "ended with {}: {out}{err}", output.status);
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn tables(report: &Value) -> &[Value] {
    report["tables"].as_array().map_or(&[], Vec::as_slice)
}

/// The tables whose checksums differ.
pub(crate) fn difference(one: &Value, other: &Value) -> String {
    let pairs = tables(one).iter().zip(tables(other));
    let lines = pairs.filter(|(one, other)| one != other).map(|(one, other)| {
        format!("{}: {} and {} rows; ", one["table"], one["rows"], other["rows"])
    });
    lines.collect()
}
