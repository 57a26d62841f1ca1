//! The figures of a run of the bench: a table for people, JSON for programs.
//!
//! In: runs. Out: for each scenario and contender the run of median time, with its ratios to bare COPY and to the JDBC
//! sink; or, of histories, how much longer the longer one takes.

use serde_json::{Value, json};

use super::Options;
use super::history;
use super::run::{Contender, Measured, Run};
use super::scenario::Scenario;
use crate::bench::machine::{self, Machine};
use crate::bench::report;
use crate::bench::servers;

/// What was measured.
pub(super) enum Figures {
    /// All contenders in all scenarios.
    Contenders(Vec<Run>),
    /// One writer onto a short and onto a long history.
    History(Vec<history::Run>),
}

/// What stands in the table behind the names of a row.
const COLUMNS: [&str; 8] = [
    "seconds",
    "first commit s",
    "events/s",
    "CPU s",
    "warehouse CPU s",
    "broker CPU s",
    "resident MiB",
    "WAL bytes/event",
];

impl Figures {
    /// The table.
    pub(super) fn table(&self) -> String {
        match self {
            Self::Contenders(runs) => table(runs),
            Self::History(runs) => history_table(runs),
        }
    }

    /// The report.
    pub(super) fn describe(&self, options: &Options, machine: &Machine, versions: &Value) -> Value {
        let mut report = json!({
            "bench": "bench-loader",
            "at": chrono::Utc::now().to_rfc3339(),
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
            "build": servers::build_profile(),
            "machine": machine,
            "load_average_after": machine::load_average(),
            "versions": versions,
            "servers": servers::settings(options.partitions),
            "parameters": {
                "rows": options.rows,
                "rounds": options.rounds,
                "partitions": options.partitions,
                "history": options.history,
            },
        });
        match self {
            Self::Contenders(runs) => {
                report["medians"] = medians_of(runs);
                report["runs"] = json!(runs);
            }
            Self::History(runs) => {
                report["ratios"] = json!(history::ratios(runs));
                report["runs"] = json!(runs);
            }
        }
        report
    }
}

/// The runs of median time, in the order of scenarios and contenders.
fn medians(runs: &[Run]) -> Vec<&Run> {
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

fn medians_of(runs: &[Run]) -> Value {
    let medians = medians(runs);
    let lines = medians.iter().map(|run| {
        json!({
            "scenario": run.scenario,
            "contender": run.contender,
            "title": run.contender.title(),
            "seconds": run.measured.cost.seconds,
            "events_per_second": run.events as f64 / run.measured.cost.seconds,
            "against_copy": against(&medians, Contender::Copy, run),
            "against_sink_default": against(&medians, Contender::SinkDefault, run),
            "against_sink_tuned": against(&medians, Contender::SinkTuned, run),
            "peak_resident_bytes": run.measured.usage.peak_resident_bytes,
            "wal_bytes_per_event": run.measured.cost.wal_bytes as f64 / run.events as f64,
        })
    });
    lines.collect()
}

fn table(runs: &[Run]) -> String {
    let medians = medians(runs);
    let names = ["scenario, contender", "events", "rows added", "vs COPY", "vs sink", "vs tuned"];
    let head = [names.as_slice(), &COLUMNS].concat();
    let ratio = |contender, run: &Run| {
        against(&medians, contender, run).map_or_else(none, |ratio| format!("{ratio:.2} x"))
    };
    let row = |run: &&Run| {
        let mut row = vec![
            format!("{}, {}", run.scenario.title(), run.contender.title()),
            report::count(run.events),
            report::count(run.measured.rows),
            ratio(Contender::Copy, run),
            ratio(Contender::SinkDefault, run),
            ratio(Contender::SinkTuned, run),
        ];
        row.extend(cells(run.events, &run.measured));
        row
    };
    report::table(&head, &medians.iter().map(row).collect::<Vec<_>>())
}

fn history_table(runs: &[history::Run]) -> String {
    let head = [["scenario, rows before", "round", "events"].as_slice(), &COLUMNS].concat();
    let mut sorted: Vec<&history::Run> = runs.iter().collect();
    sorted.sort_by_key(|run| (run.scenario, run.history_rows, run.round));
    let row = |run: &&history::Run| {
        let before = report::count(run.history_rows);
        let mut row = vec![
            format!("{}, {before}", run.scenario.title()),
            run.round.to_string(),
            report::count(run.events),
        ];
        row.extend(cells(run.events, &run.measured));
        row
    };
    let mut text = report::table(&head, &sorted.iter().map(row).collect::<Vec<_>>());
    for ratio in history::ratios(runs) {
        text.push_str(&format!(
            "{}: {:.2} s onto the longer history, {:.2} s onto the shorter one: {:.2} x\n",
            ratio.scenario.title(),
            ratio.long_seconds,
            ratio.short_seconds,
            ratio.ratio
        ));
    }
    text
}

/// The cells of [`COLUMNS`].
fn cells(events: u64, measured: &Measured) -> [String; COLUMNS.len()] {
    let cost = &measured.cost;
    [
        format!("{:.2}", cost.seconds),
        measured.first_commit_seconds.map_or_else(none, |seconds| format!("{seconds:.2}")),
        report::rate(events, cost.seconds),
        format!("{:.2}", measured.usage.cpu_seconds()),
        format!("{:.2}", cost.warehouse_cpu_seconds),
        format!("{:.2}", cost.broker_cpu_seconds),
        match measured.usage.peak_resident_bytes {
            0 => none(),
            bytes => report::mib(bytes),
        },
        format!("{:.0}", cost.wal_bytes as f64 / events as f64),
    ]
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::loader::place::Cost;
    use crate::bench::usage::Usage;

    fn run(contender: Contender, scenario: Scenario, seconds: f64) -> Run {
        let cost =
            Cost { seconds, warehouse_cpu_seconds: 0.0, broker_cpu_seconds: 0.0, wal_bytes: 50 };
        let measured =
            Measured { cost, usage: Usage::default(), first_commit_seconds: None, rows: 0 };
        Run { contender, scenario, round: 1, events: 10, measured }
    }

    #[test]
    fn a_ratio_compares_the_medians_of_one_scenario() {
        let runs = [
            run(Contender::Copy, Scenario::First, 1.0),
            run(Contender::OneWriter, Scenario::First, 4.0),
            run(Contender::OneWriter, Scenario::First, 2.0),
            run(Contender::OneWriter, Scenario::First, 9.0),
            run(Contender::SinkDefault, Scenario::First, 12.0),
            run(Contender::OneWriter, Scenario::Updates, 7.0),
        ];
        let lines = medians_of(&runs);
        let line = |place: usize| &lines[place];
        assert_eq!((&line(1)["seconds"], &line(1)["against_copy"]), (&json!(4.0), &json!(0.25)));
        assert_eq!(line(1)["against_sink_default"], json!(3.0));
        assert_eq!(line(1)["wal_bytes_per_event"], json!(5.0));
        assert_eq!(
            (&line(3)["scenario"], &line(3)["against_copy"]),
            (&json!("updates"), &Value::Null)
        );
        assert!(table(&runs).contains("0.25 x"), "{}", table(&runs));
    }
}
