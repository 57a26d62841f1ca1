//! `bench-loader`: real topics into an empty vault, the same again, then changes.
//!
//! In: options. Out: a table and a JSON report: seconds, events and rows a second, CPU, memory, for each phase.
//! Invariant: a phase counts only if every event is loaded, none is in quarantine, and a replay has added no row.

mod fill;
mod warehouse;

use std::path::PathBuf;

use clap::Parser;
use devstack::{Kafka, Postgres, binary, workspace_root};
use serde_json::{Value, json};

use self::fill::{Source, topics_of};
use self::warehouse::{Loaded, Warehouse};
use super::airline::DATABASE;
use super::machine::{self, Machine};
use super::sql::Sql;
use super::topics::Topics;
use super::{interrupt, report, say, servers};

const LONG_ABOUT: &str = "\
Measures how fast events are loaded into the Data Vault.

Starts two PostgreSQL 15 (fsync on) and a Kafka of its own on free ports. A seeded airline is published by cdc-reader; \
then vault-loader is measured in three phases, each a new process with the delivered model: \
`initial` loads all events into an empty vault, `replay` loads the same events again and must add no row, `update` \
loads one change of every segment (ticket_flights), in transactions of about a thousand rows. A phase ends when the \
warehouse's own offsets have reached the end of the topics. \
Each run has topics and a warehouse database of its own.

The table shows for each phase the run of median time. All runs, the machine, versions and parameters are written to \
bench-results/bench-loader-<time>.json.";

const EXAMPLES: &str = "\
Examples:
  make bench-loader
  bench-loader --scale 10 --runs 3

Scale 1 is about 100 000 events. CPU is user and system time of vault-loader alone; `warehouse` is what its PostgreSQL used, all \
processes, meanwhile. Resident is the peak. Rows are those of hubs, links and satellites. The start of the process, joining the \
consumer group included, is part of the time.";

/// Options of `bench-loader`.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench-loader", version, about = "Measures how fast events are loaded into the Data Vault", long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Options {
    /// Size of the airline, as of `booking seed`
    #[arg(long, default_value_t = 3.0, value_parser = scale)]
    scale: f64,
    /// How often everything is loaded; the table shows the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Seconds that one phase may take
    #[arg(long, default_value_t = 900)]
    deadline: u64,
    /// Measure a debug build, too; such figures are for testing the bench
    #[arg(long)]
    any_build: bool,
    /// Where reports go [default: bench-results of the workspace]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Where servers and their logs live while the bench runs [default: .run of the workspace]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=1000.0).contains(&scale) => Ok(scale),
        _ => Err("must be a number from 0.001 to 1000".to_owned()),
    }
}

/// The phases, in order.
const PHASES: [&str; 3] = ["initial", "replay", "update"];

/// One phase of one run.
struct Run {
    phase: &'static str,
    events: u64,
    loaded: Loaded,
}

/// The servers of the bench.
struct Place {
    source: Postgres,
    warehouse: Postgres,
    kafka: Kafka,
    topics: Topics,
    dir: tempfile::TempDir,
}

impl Place {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let root = options.run_dir.clone().unwrap_or_else(|| workspace_root().join(".run"));
        let dir = servers::run_dir(&root)?;
        let source = servers::postgres(dir.path(), "source")?;
        let warehouse = servers::postgres(dir.path(), "warehouse")?;
        let kafka = servers::kafka(dir.path())?;
        let topics = Topics::new(&kafka.bootstrap())?;
        interrupt::check()?;
        Ok(Self { source, warehouse, kafka, topics, dir })
    }

    fn airline(&self, options: &Options) -> Source<'_> {
        Source {
            server: &self.source,
            kafka: &self.kafka,
            topics: &self.topics,
            dir: self.dir.path(),
            patience: servers::patience(options.deadline),
        }
    }
}

/// Runs the bench.
pub fn run(options: &Options) -> anyhow::Result<()> {
    servers::require_release(options.any_build)?;
    let machine = Machine::look();
    say(&format!("on {}", machine.line()));
    for program in ["cdc-reader", "vault-loader", "booking"] {
        binary(program)?;
    }
    say("starting two PostgreSQL and Kafka");
    let place = Place::start(options)?;
    let airline = place.airline(options);
    say(&format!("seeding the airline at scale {}", options.scale));
    airline.seed(options.scale)?;
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        runs.extend(measure(options, &place, &airline, number)?);
    }
    print!("{}", table(&runs));
    let server_version: String = Sql::connect(&place.warehouse.address().superuser("postgres"))?
        .value("SELECT version()")?;
    let text = describe(options, &machine, &server_version, &runs)?;
    let results = options.results.clone().unwrap_or_else(|| workspace_root().join("bench-results"));
    say(&format!("written: {}", report::write(&results, "bench-loader", &text)?.display()));
    Ok(())
}

fn measure(
    options: &Options,
    place: &Place,
    airline: &Source<'_>,
    number: u16,
) -> anyhow::Result<Vec<Run>> {
    let patience = servers::patience(options.deadline);
    let prefix = format!("bench{number}");
    let head = format!("run {number} of {}", options.runs);
    let rows = airline.rows()?;
    say(&format!("{head}: publishing {} rows", report::count(rows)));
    airline.publish(&prefix, rows)?;
    let warehouse = Warehouse::create(&place.warehouse, &place.kafka, place.dir.path(), &prefix)?;
    say(&format!("{head}: initial"));
    let initial = warehouse.load(rows, patience)?;
    say(&format!("{head}: replay"));
    warehouse.rewind()?;
    let replay = warehouse.load(rows, patience)?;
    anyhow::ensure!(replay.rows == 0, "a replay has added {} rows", replay.rows);
    say(&format!("{head}: publishing a change of every segment"));
    let changes = airline.change_segments()?;
    airline.publish(&prefix, rows + changes)?;
    airline.forget(&prefix)?;
    say(&format!("{head}: update"));
    let update = warehouse.load(changes, patience)?;
    anyhow::ensure!(
        update.rows == changes,
        "{changes} changes have added {} rows instead of one each",
        update.rows
    );
    let events = place.topics.events_of_all(&topics_of(&prefix))?;
    anyhow::ensure!(events == rows + changes, "somebody has written to the bench's topics");
    let all = [(rows, initial), (rows, replay), (changes, update)];
    Ok(PHASES
        .into_iter()
        .zip(all)
        .map(|(phase, (events, loaded))| Run { phase, events, loaded })
        .collect())
}

fn table(runs: &[Run]) -> String {
    let head = [
        "phase",
        "events",
        "rows added",
        "seconds",
        "events/s",
        "rows/s",
        "CPU s",
        "warehouse CPU s",
        "resident MiB",
    ];
    let rows: Vec<Vec<String>> = PHASES
        .iter()
        .filter_map(|phase| {
            let own: Vec<&Run> = runs.iter().filter(|run| run.phase == *phase).collect();
            own.get(report::median_index(&own, |run| run.loaded.seconds)).copied()
        })
        .map(|run| {
            let loaded = &run.loaded;
            vec![
                run.phase.to_owned(),
                report::count(run.events),
                report::count(loaded.rows),
                format!("{:.2}", loaded.seconds),
                report::rate(run.events, loaded.seconds),
                report::rate(loaded.rows, loaded.seconds),
                format!("{:.2}", loaded.usage.cpu_seconds()),
                format!("{:.2}", loaded.server_cpu_seconds),
                report::mib(loaded.usage.peak_resident_bytes),
            ]
        })
        .collect();
    report::table(&head, &rows)
}

fn describe(
    options: &Options,
    machine: &Machine,
    server_version: &str,
    runs: &[Run],
) -> anyhow::Result<Value> {
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "phase": run.phase,
                "events": run.events,
                "rows_added": run.loaded.rows,
                "seconds": run.loaded.seconds,
                "events_per_second": run.events as f64 / run.loaded.seconds,
                "rows_per_second": run.loaded.rows as f64 / run.loaded.seconds,
                "usage": run.loaded.usage,
                "warehouse_cpu_seconds": run.loaded.server_cpu_seconds,
            })
        })
        .collect();
    Ok(json!({
        "bench": "bench-loader",
        "at": chrono::Utc::now().to_rfc3339(),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "machine": machine,
        "load_average_after": machine::load_average(),
        "versions": {
            "commit": machine::commit(&workspace_root()),
            "vault-loader": machine::version(&binary("vault-loader")?),
            "cdc-reader": machine::version(&binary("cdc-reader")?),
            "postgres": server_version,
            "kafka": devstack::KAFKA_VERSION,
        },
        "servers": servers::settings(),
        "parameters": { "scale": options.scale, "runs": options.runs, "source_database": DATABASE },
        "runs": runs,
    }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_scale_that_seeds_nothing_is_refused() {
        assert!(scale("0").is_err() && scale("NaN").is_err() && scale("0.01").is_ok());
    }
}
