//! The figures of a run of the bench: a table for people, JSON for programs.
//!
//! In: runs. Out: for each scenario and contender the run of median time, with its ratio to bare COPY.

use serde_json::{Value, json};

use super::Options;
use super::run::{Contender, Run};
use super::scenario::Scenario;
use crate::bench::machine::{self, Machine};
use crate::bench::report;
use crate::bench::servers;

/// The runs of median time, in the order of scenarios and contenders.
pub(super) fn medians(runs: &[Run]) -> Vec<&Run> {
    let mut medians = Vec::new();
    for scenario in Scenario::ALL {
        for contender in Contender::ALL {
            let is_own = |run: &&Run| (run.scenario, run.contender) == (scenario, contender);
            let own: Vec<&Run> = runs.iter().filter(is_own).collect();
            let median = report::median_index(&own, |run| run.measured.cost.seconds);
            medians.extend(own.get(median));
        }
    }
    medians
}

/// How many times the events a second of `contender` a run's are, in the run's scenario.
fn against(medians: &[&Run], contender: Contender, run: &Run) -> Option<f64> {
    let is_other = |other: &&&Run| (other.scenario, other.contender) == (run.scenario, contender);
    let other = medians.iter().find(is_other)?;
    Some(other.measured.cost.seconds / run.measured.cost.seconds)
}

/// The table.
pub(super) fn table(runs: &[Run]) -> String {
    let medians = medians(runs);
    let head = [
        "scenario, contender",
        "events",
        "rows added",
        "seconds",
        "first commit s",
        "events/s",
        "vs COPY",
        "CPU s",
        "warehouse CPU s",
        "broker CPU s",
        "resident MiB",
        "WAL bytes/event",
    ];
    let rows: Vec<Vec<String>> = medians.iter().map(|run| row(&medians, run)).collect();
    report::table(&head, &rows)
}

fn row(medians: &[&Run], run: &Run) -> Vec<String> {
    let (measured, cost) = (&run.measured, &run.measured.cost);
    let none = || "-".to_owned();
    vec![
        format!("{}, {}", run.scenario.title(), run.contender.title()),
        report::count(run.events),
        report::count(measured.rows),
        format!("{:.2}", cost.seconds),
        measured.first_commit_seconds.map_or_else(none, |seconds| format!("{seconds:.2}")),
        report::rate(run.events, cost.seconds),
        against(medians, Contender::Copy, run).map_or_else(none, |ratio| format!("{ratio:.2} x")),
        format!("{:.2}", measured.usage.cpu_seconds()),
        format!("{:.2}", cost.warehouse_cpu_seconds),
        format!("{:.2}", cost.broker_cpu_seconds),
        match measured.usage.peak_resident_bytes {
            0 => none(),
            bytes => report::mib(bytes),
        },
        format!("{:.0}", cost.wal_bytes as f64 / run.events as f64),
    ]
}

/// The report.
pub(super) fn describe(
    options: &Options,
    machine: &Machine,
    versions: &Value,
    runs: &[Run],
) -> anyhow::Result<Value> {
    let medians = medians(runs);
    let ratios: Vec<Value> = medians
        .iter()
        .map(|run| {
            json!({
                "scenario": run.scenario,
                "contender": run.contender,
                "events_per_second": run.events as f64 / run.measured.cost.seconds,
                "against_copy": against(&medians, Contender::Copy, run),
                "wal_bytes_per_event": run.measured.cost.wal_bytes as f64 / run.events as f64,
            })
        })
        .collect();
    Ok(json!({
        "bench": "bench-loader",
        "at": chrono::Utc::now().to_rfc3339(),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "build": servers::build_profile(),
        "machine": machine,
        "load_average_after": machine::load_average(),
        "versions": versions,
        "servers": servers::settings(options.partitions),
        "parameters": { "rows": options.rows, "rounds": options.rounds, "partitions": options.partitions },
        "medians": ratios,
        "runs": runs,
    }))
}
