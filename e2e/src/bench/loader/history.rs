//! What loading costs when the satellite already holds a long history.
//!
//! In: the prepared topics, a number of rows. Out: the loader's time with one writer for the same events onto a short
//! and onto a long history, and the ratio of the two.
//! Invariant: both warehouses differ in nothing but the number of rows that the satellite holds before. Each is made
//! once and copied for each round, so every round begins with the same files.
//!
//! The history is made inside the warehouse. Its keys are SHA-256 values, spread over the whole index as those of real
//! rows are, and each key has several versions. Rows come version after version, as time passes: the versions of a key
//! lie far apart. The primary key is made afterwards, with the free space that an index has which has grown row by row.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;

use super::Options;
use super::loading;
use super::place::Place;
use super::prepared::Prepared;
use super::run::{Measured, Team};
use super::scenario::Scenario;
use super::warehouse::{Template, Warehouse};
use super::work::Work;
use crate::bench::interrupt;
use crate::bench::report;
use crate::bench::say;

/// The shorter history.
const SHORT: u64 = 1_000_000;

/// Versions of a key.
const VERSIONS: u64 = 5;

/// Rows that one statement writes; between two of them the log can be taken away.
const CHUNK_ROWS: u64 = 5_000_000;

/// Space that a row of history takes with its index, in the original and in a copy, and in the log while it is made.
const BYTES_PER_ROW: u64 = 1000;

/// Space that must be left for everything else.
const BYTES_LEFT: u64 = 4 << 30;

/// What the satellite's primary key consists of, and how full its pages are after rows have come one by one.
const KEY: &str = "ALTER TABLE dwh_detailed.sat_ticket_flights
    ADD CONSTRAINT sat_ticket_flights_pkey PRIMARY KEY (hash_key, load_date) WITH (fillfactor = 70)";

/// Rows `$first` to `$last`: row `i` is version `i / keys` of key `i % keys`.
const ROWS: &str = "
INSERT INTO dwh_detailed.sat_ticket_flights (
    hash_key, load_date, record_source, source_system_id, applied_date, source_lsn, kafka_partition, source_epoch,
    kafka_offset, hashdiff, fare_conditions, amount
)
SELECT
    sha256(convert_to('history ' || i % {keys}, 'UTF8')),
    '2020-01-01 00:00:00+00'::timestamptz + i * interval '1 millisecond',
    'history.public.ticket_flights',
    1,
    '2020-01-01 00:00:00+00'::timestamptz + i * interval '1 millisecond',
    i,
    (i % 4)::integer,
    0,
    i,
    sha256(convert_to('content ' || i, 'UTF8')),
    'Economy',
    10000 + i % 5000
FROM generate_series({first}::bigint, {last}::bigint) AS i";

/// The scenarios that matter here: keys without a history, and then a change of each.
const SCENARIOS: [Scenario; 2] = [Scenario::First, Scenario::Updates];

/// One load.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    /// Rows that the satellite held before anything was loaded.
    pub(super) history_rows: u64,
    pub(super) scenario: Scenario,
    pub(super) round: u16,
    pub(super) events: u64,
    #[serde(flatten)]
    pub(super) measured: Measured,
}

/// A scenario's medians, short and long.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Ratio {
    pub(super) scenario: Scenario,
    pub(super) short_seconds: f64,
    pub(super) long_seconds: f64,
    /// How many times as long the load onto the longer history takes.
    pub(super) ratio: f64,
}

/// Loads onto both histories, round after round.
pub(super) fn measure(
    place: &Place,
    work: Work,
    prepared: &Prepared,
    options: &Options,
    long: u64,
) -> anyhow::Result<Vec<Run>> {
    require_space(place.dir.path(), (SHORT + long) * BYTES_PER_ROW + BYTES_LEFT)?;
    let mut bases = Vec::new();
    for rows in [SHORT, long] {
        say(&format!("making a history of {} rows", report::count(rows)));
        bases.push((rows, make(place, rows)?));
    }
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for (rows, base) in &bases {
            let head = format!("round {round} of {}", options.rounds);
            say(&format!("{head}: onto {} rows", report::count(*rows)));
            let warehouse = base.copy(&format!("onto_{rows}_{round}"))?;
            for scenario in SCENARIOS {
                prepared.give(place, &warehouse.prefix, scenario)?;
                let size = work.size(scenario);
                let measured = loading::load(&warehouse, Team::ONE, scenario, size)?;
                let events = size.events;
                runs.push(Run { history_rows: *rows, scenario, round, events, measured });
            }
            prepared.take_back(place, &warehouse.prefix)?;
            warehouse.drop()?;
        }
    }
    Ok(runs)
}

/// A warehouse whose satellite has so many rows.
fn make(place: &Place, rows: u64) -> anyhow::Result<Template<'_>> {
    let base = Warehouse::create(place, "history", &format!("history_{rows}"))?;
    base.sql.execute(
        "SET maintenance_work_mem = '1GB';
         ALTER TABLE dwh_detailed.sat_ticket_flights DROP CONSTRAINT sat_ticket_flights_pkey",
    )?;
    let mut first = 0;
    while first < rows {
        interrupt::check()?;
        let last = (first + CHUNK_ROWS).min(rows) - 1;
        let statement = ROWS
            .replace("{keys}", &rows.div_ceil(VERSIONS).to_string())
            .replace("{first}", &first.to_string())
            .replace("{last}", &last.to_string());
        base.sql.execute(&statement)?;
        base.sql.execute("CHECKPOINT")?;
        first = last + 1;
    }
    base.sql.execute(KEY)?;
    base.sql.execute("ANALYZE dwh_detailed.sat_ticket_flights")?;
    base.sql.execute("CHECKPOINT")?;
    Ok(base.into_template())
}

fn require_space(dir: &Path, bytes: u64) -> anyhow::Result<()> {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(dir).output();
    let output = output.context("cannot run df")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok());
    let free = free.context("df does not say how much space there is")?;
    anyhow::ensure!(
        free >= bytes,
        "the history needs {} MiB below {}, and {} MiB are free; give a smaller --history, or another --run-dir",
        report::mib(bytes),
        dir.display(),
        report::mib(free)
    );
    Ok(())
}

/// The ratio of the medians of each scenario.
pub(super) fn ratios(runs: &[Run]) -> Vec<Ratio> {
    let median = |scenario: Scenario, is_long: bool| {
        let is_own =
            |run: &&Run| run.scenario == scenario && (run.history_rows != SHORT) == is_long;
        let own: Vec<&Run> = runs.iter().filter(is_own).collect();
        let median = report::median_index(&own, |run| run.measured.cost.seconds);
        own.get(median).map(|run| run.measured.cost.seconds)
    };
    let ratio = |scenario| {
        let (short, long) = (median(scenario, false)?, median(scenario, true)?);
        Some(Ratio { scenario, short_seconds: short, long_seconds: long, ratio: long / short })
    };
    SCENARIOS.into_iter().filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::loader::place::Cost;
    use crate::bench::usage::Usage;

    fn run(history_rows: u64, scenario: Scenario, seconds: f64) -> Run {
        let cost =
            Cost { seconds, warehouse_cpu_seconds: 0.0, broker_cpu_seconds: 0.0, wal_bytes: 0 };
        let measured =
            Measured { cost, usage: Usage::default(), first_commit_seconds: None, rows: 0 };
        Run { history_rows, scenario, round: 1, events: 1, measured }
    }

    #[test]
    fn a_ratio_is_that_of_the_medians_of_one_scenario() {
        let long = 2 * SHORT;
        let mut runs =
            vec![run(SHORT, Scenario::Updates, 100.0), run(long, Scenario::Updates, 50.0)];
        for seconds in [1.0, 9.0, 2.0] {
            runs.push(run(SHORT, Scenario::First, seconds));
            runs.push(run(long, Scenario::First, 2.0 * seconds));
        }
        let ratios: Vec<f64> = ratios(&runs).iter().map(|ratio| ratio.ratio).collect();
        assert_eq!(ratios, [2.0, 0.5]);
    }

    #[test]
    fn too_little_space_is_told_with_a_remedy() {
        let error = require_space(Path::new("/"), u64::MAX).unwrap_err().to_string();
        assert!(error.contains("--history") && require_space(Path::new("/"), 0).is_ok(), "{error}");
    }
}
