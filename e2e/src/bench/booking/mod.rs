//! `bench-booking`: JMeter's customers against the booking service, with and without what may stand beside it.
//!
//! In: options. Out: a table and a JSON report: requests a second, percentiles, refusals, CPU, memory.
//! Invariant: every run begins with the same rows, in a database that is copied anew. A run with an answer that the
//! plan does not expect, or whose answers are not what the database holds, makes the bench fail.

mod figures;
mod place;
mod round;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use devstack::workspace_root;
use serde::Serialize;

use self::figures::{describe, table};
use self::place::Place;
use self::round::Round;
use super::machine::Machine;
use super::{interrupt, report, say, servers};

const LONG_ABOUT: &str = "\
Measures how many requests the booking service answers, and how fast.

Starts a PostgreSQL 15 (fsync on) of its own with a data set, and for each run a copy of its database, the booking \
service and JMeter with a plan of load-tests: `search` looks for flights and seats, `booking` signs up, books, \
changes and cancels. Each run is made directly on PostgreSQL, through PgBouncer, with Redis, and with both.

A run counts only if every answer was one that the plan expects and the database holds exactly the bookings that \
were confirmed. The table shows the run of median requests/s for each plan and variant. All runs, the machine, \
versions and parameters are written to bench-results/bench-booking-<time>.json.";

const EXAMPLES: &str = "\
Examples:
  make load-test
  bench-booking --threads 32 --duration 120 --runs 3
  bench-booking --plan booking --variant direct --variant pgbouncer

JMeter, service and servers share this machine's cores, so compare runs of one report only. 409 is the number of \
answers that a seat is taken or a class sold out: answers, not errors.";

/// Options of `bench-booking`.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench-booking", version, about = "Measures how many requests the booking service answers", long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Options {
    /// Only these plans; repeatable [default: both]
    #[arg(long = "plan", value_enum, value_name = "PLAN")]
    plans: Vec<Plan>,
    /// Only these variants; repeatable [default: all]
    #[arg(long = "variant", value_enum, value_name = "VARIANT")]
    variants: Vec<Variant>,
    /// Customers at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=2000))]
    threads: u16,
    /// Seconds of a run
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    duration: u16,
    /// Seconds at a run's begin that are in no figure, while programs become warm
    #[arg(long, default_value_t = 10)]
    warm_up: u16,
    /// How often each plan runs on each variant; the table shows the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Scale of the data set
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// What journeys and choices are drawn with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections of the service to its database at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pool_size: u16,
    /// Connections of PgBouncer to the database
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pooler_size: u16,
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

/// A file of load-tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// Customers who look for flights
    Search,
    /// Customers who book
    Booking,
}

impl Plan {
    const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Booking => "booking",
        }
    }
}

/// What stands beside the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Nothing: the service connects to PostgreSQL
    Direct,
    /// The service connects to PgBouncer in transaction mode
    Pgbouncer,
    /// Redis keeps what searches have found
    Redis,
    /// PgBouncer and Redis
    Both,
}

impl Variant {
    const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Pgbouncer => "PgBouncer",
            Self::Redis => "Redis",
            Self::Both => "PgBouncer and Redis",
        }
    }

    const fn has_pooler(self) -> bool {
        matches!(self, Self::Pgbouncer | Self::Both)
    }

    const fn has_redis(self) -> bool {
        matches!(self, Self::Redis | Self::Both)
    }
}

impl Options {
    fn plans(&self) -> Vec<Plan> {
        if self.plans.is_empty() { Plan::value_variants().to_vec() } else { self.plans.clone() }
    }

    fn variants(&self) -> Vec<Variant> {
        if self.variants.is_empty() {
            return Variant::value_variants().to_vec();
        }
        self.variants.clone()
    }
}

/// Runs the bench.
pub fn run(options: &Options) -> anyhow::Result<()> {
    servers::require_release(options.any_build)?;
    anyhow::ensure!(
        options.warm_up < options.duration,
        "--warm-up must be shorter than --duration, which is {} s",
        options.duration
    );
    let machine = Machine::look();
    say(&format!("on {}", machine.line()));
    let place = Place::start(options)?;
    let mut rounds: Vec<Round> = Vec::new();
    for number in 1..=options.runs {
        for plan in options.plans() {
            for variant in options.variants() {
                interrupt::check()?;
                say(&format!(
                    "run {number} of {}: {}, {}",
                    options.runs,
                    plan.name(),
                    variant.name()
                ));
                rounds.push(round::run(options, &place, (plan, variant), number)?);
            }
        }
    }
    print!("{}", table(&rounds));
    let text = describe(options, &machine, &place.server_version()?, &rounds)?;
    let results = options.results.clone().unwrap_or_else(|| workspace_root().join("bench-results"));
    say(&format!("written: {}", report::write(&results, "bench-booking", &text)?.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_asks_for_everything_unless_told_otherwise() {
        Options::command().debug_assert();
        let of = |words: &[&str]| Options::parse_from(["bench-booking"].iter().chain(words));
        assert_eq!((of(&[]).plans().len(), of(&[]).variants().len()), (2, 4));
        assert_eq!(of(&["--variant", "both"]).variants(), [Variant::Both]);
    }
}
