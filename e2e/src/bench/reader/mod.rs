//! `bench-reader`: one WAL, read to its end by each contender in turn.
//!
//! In: options. Out: a table and a JSON report: seconds, events a second, CPU, memory.
//! Invariant: every contender reads the same bytes alone, from a slot with the same position. A contender that loses or
//! repeats an event makes the bench fail.

mod contender;
mod work;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use devstack::{binary, client_binary, workspace_root};
use serde_json::{Value, json};

pub use contender::Contender;

use self::contender::{Arena, Drained, start_connect};
use self::work::{Slot, Work};
use super::airline::DATABASE;
use super::interrupt::{self, wait};
use super::machine::{self, Machine};
use super::sql::Sql;
use super::topics::Topics;
use super::{report, say, servers};

const LONG_ABOUT: &str = "\
Measures how fast a database's changes can be read.

Starts a PostgreSQL 15 (fsync on) and a Kafka of its own on free ports, creates the airline's schema, and writes \
inserts and then updates of the table ticket_flights in transactions of equal size, behind a replication slot. \
Each contender then reads the same WAL to its end, one after the other, from a copy of that slot: pg_recvlogical \
throws the changes away, cdc-reader and Debezium publish them to Kafka. A run counts only if the topic holds exactly \
the expected events and the slot is confirmed up to the last commit (which Debezium does only when more changes come).

The table shows for each contender the run of median time. All runs, the machine, versions and parameters are \
written to bench-results/bench-reader-<time>.json.";

const EXAMPLES: &str = "\
Examples:
  make bench-reader
  bench-reader --rows 1000000 --runs 3 --with-debezium
  bench-reader --only recvlogical-tcp --only cdc-reader-tcp
  bench-reader --other ../before/target/release/cdc-reader

CPU is user and system time of the program alone; `server` and `broker` are what PostgreSQL and Kafka used meanwhile. \
Resident is the peak. Starting is part of the seconds and of events/s; `first event` tells how long it took. All share this machine's cores, so compare contenders of one run only.";

/// Options of `bench-reader`.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench-reader", version, about = "Measures how fast a database's changes can be read", long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Options {
    /// Inserts, and as many updates: twice as many events
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    rows: u64,
    /// Rows in a transaction
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    transaction_rows: u64,
    /// How often each contender runs; the table shows the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Let Debezium run, too, on a Kafka Connect of its own
    #[arg(long)]
    with_debezium: bool,
    /// Let another build of cdc-reader run, too, such as that of an earlier commit
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
    /// Only these contenders; repeatable [default: all but Debezium]
    #[arg(long, value_enum, value_name = "CONTENDER")]
    only: Vec<Contender>,
    /// Another setting of the Kafka producer, of cdc-reader and of Debezium, as buffer.memory=8388608; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    producer: Vec<(String, String)>,
    /// Seconds that one run may take
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

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((format!("producer.override.{name}"), value.to_owned()))
        }
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

impl Options {
    fn contenders(&self) -> Vec<Contender> {
        let mut contenders = if self.only.is_empty() {
            vec![
                Contender::RecvlogicalTcp,
                Contender::CdcReaderTcp,
                Contender::RecvlogicalUnix,
                Contender::CdcReaderUnix,
            ]
        } else {
            self.only.clone()
        };
        if self.other.is_some() && self.only.is_empty() {
            contenders.extend([Contender::OtherReaderTcp, Contender::OtherReaderUnix]);
        }
        if self.with_debezium && !contenders.contains(&Contender::Debezium) {
            contenders.push(Contender::Debezium);
        }
        contenders
    }
}

/// One contender's one run.
struct Run {
    contender: Contender,
    drained: Drained,
    server_cpu_seconds: f64,
    broker_cpu_seconds: f64,
}

/// Runs the bench.
pub fn run(options: &Options) -> anyhow::Result<()> {
    servers::require_release(options.any_build)?;
    let machine = Machine::look();
    say(&format!("on {}", machine.line()));
    let reader = binary("cdc-reader")?;
    let root = workspace_root();
    let dir = servers::run_dir(&options.run_dir.clone().unwrap_or_else(|| root.join(".run")))?;
    say("starting PostgreSQL and Kafka");
    let source = servers::postgres(dir.path(), "source")?;
    let kafka = servers::kafka(dir.path())?;
    interrupt::check()?;
    say(&format!("writing {} inserts and as many updates", report::count(options.rows)));
    let work = Work::write(&source, options.rows, options.transaction_rows)?;
    let contenders = options.contenders();
    let connect = if contenders.contains(&Contender::Debezium) {
        say("starting Kafka Connect with Debezium");
        Some(start_connect(&kafka, dir.path())?)
    } else {
        None
    };
    let topics = Topics::new(&kafka.bootstrap())?;
    let arena = Arena {
        source: &source,
        kafka: &kafka,
        connect: connect.as_ref(),
        topics: &topics,
        work: &work,
        reader: &reader,
        other_reader: options.other.as_deref(),
        producer: &options.producer,
        dir: dir.path(),
        patience: servers::patience(options.deadline),
    };
    let sql = Sql::connect(&source.address().superuser(DATABASE))?;
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        for &contender in &contenders {
            say(&format!("run {number} of {}: {}", options.runs, contender.title()));
            runs.push(measure(&arena, &sql, contender, number)?);
        }
    }
    print!("{}", table(&contenders, &runs, &work));
    let server_version: String = sql.value("SELECT version()")?;
    let text = describe(options, &machine, (&work, &server_version), &runs)?;
    let results = options.results.clone().unwrap_or_else(|| root.join("bench-results"));
    say(&format!("written: {}", report::write(&results, "bench-reader", &text)?.display()));
    Ok(())
}

fn measure(arena: &Arena<'_>, sql: &Sql, contender: Contender, number: u16) -> anyhow::Result<Run> {
    let slot = Slot::copy(sql, &format!("bench_{}_{number}", contender.word()))?;
    let server = servers::postgres_cpu_seconds(arena.source)?;
    let broker = servers::kafka_cpu_seconds(arena.kafka)?;
    let drained = arena.drain(contender, &slot).with_context(|| contender.title().to_owned())?;
    let server_cpu_seconds = servers::postgres_cpu_seconds(arena.source)? - server;
    let broker_cpu_seconds = servers::kafka_cpu_seconds(arena.kafka)? - broker;
    wait(arena.patience, "the slot to be free", || Ok(slot.is_free()?.then_some(())))?;
    Ok(Run { contender, drained, server_cpu_seconds, broker_cpu_seconds })
}

/// The run of median time of each contender.
fn medians<'r>(contenders: &[Contender], runs: &'r [Run]) -> Vec<&'r Run> {
    contenders
        .iter()
        .filter_map(|contender| {
            let own: Vec<&Run> = runs.iter().filter(|run| run.contender == *contender).collect();
            own.get(report::median_index(&own, |run| run.drained.seconds)).copied()
        })
        .collect()
}

fn table(contenders: &[Contender], runs: &[Run], work: &Work) -> String {
    let medians = medians(contenders, runs);
    let yardstick = medians
        .iter()
        .find(|run| run.contender == Contender::RecvlogicalTcp)
        .map(|run| run.drained.seconds);
    let head = [
        "contender",
        "seconds",
        "first event s",
        "events/s",
        "vs recvlogical TCP",
        "CPU s",
        "server CPU s",
        "broker CPU s",
        "resident MiB",
    ];
    let rows: Vec<Vec<String>> = medians
        .iter()
        .map(|run| {
            let seconds = run.drained.seconds;
            vec![
                run.contender.title().to_owned(),
                format!("{seconds:.2}"),
                run.drained
                    .first_event_seconds
                    .map_or_else(|| "-".to_owned(), |s| format!("{s:.2}")),
                report::rate(work.events(), seconds),
                yardstick.map_or_else(|| "-".to_owned(), |y| format!("{:.2} x", y / seconds)),
                format!("{:.2}", run.drained.usage.cpu_seconds()),
                format!("{:.2}", run.server_cpu_seconds),
                format!("{:.2}", run.broker_cpu_seconds),
                report::mib(run.drained.usage.peak_resident_bytes),
            ]
        })
        .collect();
    report::table(&head, &rows)
}

fn describe(
    options: &Options,
    machine: &Machine,
    (work, server_version): (&Work, &str),
    runs: &[Run],
) -> anyhow::Result<Value> {
    let runs: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "contender": run.contender,
                "seconds": run.drained.seconds,
                "first_event_seconds": run.drained.first_event_seconds,
                "confirmed_seconds": run.drained.confirmed_seconds,
                "events_per_second": work.events() as f64 / run.drained.seconds,
                "usage": run.drained.usage,
                "server_cpu_seconds": run.server_cpu_seconds,
                "broker_cpu_seconds": run.broker_cpu_seconds,
            })
        })
        .collect();
    Ok(json!({
        "bench": "bench-reader",
        "at": chrono::Utc::now().to_rfc3339(),
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "build": servers::build_profile(),
        "machine": machine,
        "load_average_after": machine::load_average(),
        "versions": {
            "commit": machine::commit(&workspace_root()),
            "cdc-reader": machine::version(&binary("cdc-reader")?),
            "other cdc-reader": options.other.as_deref().map(machine::version),
            "pg_recvlogical": machine::version(&client_binary("pg_recvlogical")?),
            "postgres": server_version,
            "kafka": devstack::KAFKA_VERSION,
            "debezium": devstack::DEBEZIUM_VERSION,
        },
        "servers": servers::settings(1),
        "parameters": { "producer": options.producer, "rows": options.rows, "transaction_rows": options.transaction_rows, "runs": options.runs },
        "work": work,
        "events": work.events(),
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
    fn a_producer_setting_becomes_an_override_and_needs_a_name() {
        let expected = ("producer.override.linger.ms".to_owned(), "1".to_owned());
        assert_eq!(setting("linger.ms=1"), Ok(expected));
        assert!(setting("linger.ms").is_err() && setting("=1").is_err());
    }

    #[test]
    fn debezium_runs_only_when_it_is_asked_for() {
        let of =
            |words: &[&str]| Options::parse_from(["bench-reader"].iter().chain(words)).contenders();
        assert!(!of(&[]).contains(&Contender::Debezium));
        assert_eq!(of(&["--with-debezium"]).last(), Some(&Contender::Debezium));
        assert_eq!(of(&["--only", "debezium", "--with-debezium"]), [Contender::Debezium]);
    }

    #[test]
    fn another_build_runs_over_both_kinds_of_connection() {
        let of =
            |words: &[&str]| Options::parse_from(["bench-reader"].iter().chain(words)).contenders();
        assert!(!of(&[]).contains(&Contender::OtherReaderTcp));
        let both = [Contender::OtherReaderTcp, Contender::OtherReaderUnix];
        assert!(of(&["--other", "x"]).ends_with(&both));
    }
}
