//! The commands: what each option means, and what is shown while they run.
//!
//! In: arguments. Out: a progress line each second, and a table of results. The first SIGINT or SIGTERM ends a
//! simulation after the transactions under way. The second signal ends the process.

mod menu;
mod staff;

use std::io::IsTerminal as _;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use booking::database::Database;
use booking::seed::{Existing, SeedOptions, SeedProgress, seed};
use booking::simulate::{Counts, SimulateOptions, Tally, simulate};
use chrono::{NaiveDate, Utc};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use synthetic::duration::parse_duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::menu::MenuArgs;
use self::staff::StaffArgs;
use crate::serve_command::ServeArgs;

/// The airline whose database is captured: fill its database, simulate its life, serve its customers, and watch its
/// replicas
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  booking seed --scale 1
  booking simulate --rate 50 --duration 1m
  booking menu --replica replica_one=postgres://read_replica:PASSWORD@HOST/airline_tickets
  booking serve

They work on the eight tables of sql/source in the database that --database-url or
BOOKING_DATABASE_URL names. RUST_LOG sets what is logged (default: info)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill an empty database with a realistic data set around today, in one transaction
    Seed(SeedArgs),
    /// Run the life of the airline: bookings, changes, check-in, flights, refunds
    Simulate(SimulateArgs),
    /// Write to the primary, read from its replicas, and see how far they are behind
    Menu(MenuArgs),
    /// Let an account see the reports and edit reference data, or take that back
    Staff(StaffArgs),
    /// Serve customers: a REST interface to search, book, change, cancel and check in
    Serve(Box<ServeArgs>),
}

/// Where the database is.
#[derive(Debug, Args)]
struct Target {
    /// PostgreSQL connection string: postgres://user:password@host:port/database
    #[arg(long, env = "BOOKING_DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[derive(Debug, Args)]
struct SeedArgs {
    /// Size of the data set: 1 is about 10 000 bookings, 14 000 tickets, 40 000 segments; fractions are allowed
    #[arg(long, default_value_t = 1.0)]
    scale: f64,

    /// Start of the random numbers: the same seed, scale and day give the same rows
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The day whose first moment (UTC) the data set is a snapshot of [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    today: Option<NaiveDate>,

    /// First remove all rows of the eight tables, as their owner; without this option the database must be empty, or
    /// hold only airports and aircraft models of your own
    #[arg(long)]
    truncate: bool,

    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    /// Transactions per second over all connections; 0 means as many as the server can take
    #[arg(long, default_value_t = 50.0)]
    rate: f64,

    /// How long to run, for example 30s, 5m or 1h [default: until SIGINT or SIGTERM]
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Stop after this many transactions
    #[arg(long)]
    transactions: Option<u64>,

    /// Start of the random numbers [default: a different one for each run, so that one run can follow another]
    #[arg(long)]
    seed: Option<u64>,

    /// Connections that run transactions at the same time
    #[arg(long, default_value = "4")]
    connections: NonZeroU16,

    /// Seconds of the airline's time in one second; the airline's time runs at most a day ahead of real time
    #[arg(long, default_value_t = 300.0)]
    time_factor: f64,

    #[command(flatten)]
    target: Target,
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Seed(args) => args.run().await,
            Command::Simulate(args) => args.run().await,
            Command::Menu(args) => args.run().await,
            Command::Staff(args) => args.run().await,
            Command::Serve(args) => args.run().await,
        }
    }

    /// Whether the command runs until it is stopped, and logs as services do.
    pub(crate) const fn is_service(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }
}

impl SeedArgs {
    async fn run(self) -> anyhow::Result<()> {
        let database: Database = self.target.database_url.parse()?;
        let existing = if self.truncate { Existing::Truncate } else { Existing::Refuse };
        let options = SeedOptions {
            scale: self.scale,
            seed: self.seed,
            today: self.today.unwrap_or_else(|| Utc::now().date_naive()),
            existing,
        };
        let started = Instant::now();
        let bar = seed_bar();
        let on_terminal = !bar.is_hidden();
        let mut shown = None;
        let summary = seed(&database, &options, |at: SeedProgress| {
            if on_terminal {
                bar.set_length(at.row_count_max);
                bar.set_message(at.table.name());
                bar.set_position(at.row_count);
            } else if shown != Some(at.table) {
                tracing::info!(table = at.table.name(), row_count = at.row_count, "seeding");
                shown = Some(at.table);
            }
        })
        .await?;
        bar.finish_and_clear();
        for (table, row_count) in &summary.row_counts {
            println!("{:<16}{row_count:>12}", table.name());
        }
        println!("seeded {database} in {:.1} s", started.elapsed().as_secs_f64());
        Ok(())
    }
}

impl SimulateArgs {
    async fn run(self) -> anyhow::Result<()> {
        let database: Database = self.target.database_url.parse()?;
        let seed = self.seed.unwrap_or_else(rand::random);
        tracing::info!(seed, rate = self.rate, %database, "simulating");
        let options = SimulateOptions {
            rate: self.rate,
            duration: self.duration,
            transaction_max: self.transactions,
            seed,
            connections: self.connections,
            time_factor: self.time_factor,
            now: None,
        };
        let stop = CancellationToken::new();
        let signals = tokio::spawn(stop_on_signal(stop.clone())?);
        let tally = Arc::new(Tally::default());
        let started = Instant::now();
        let reporter = tokio::spawn(report(Arc::clone(&tally)));
        let outcome = simulate(&database, &options, tally, stop).await;
        reporter.abort();
        signals.abort();
        // Waits until the reporter has ended, so that its progress line does not mix with the results.
        reporter.await.ok();
        print_counts(&outcome?, started.elapsed());
        Ok(())
    }
}

fn seed_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} rows  {msg}")
        .expect("the template is a constant that is known to be right");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

/// Cancels at the first signal. The second signal ends the process at once.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping after the transactions under way");
            stop.cancel();
        }
    })
}

/// Shows a line each second: always the same line on a terminal, a new line elsewhere.
async fn report(tally: Arc<Tally>) {
    let line = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let mut before = tally.counts();
    loop {
        ticks.tick().await;
        let now = tally.counts();
        let tx_per_s = now.committed - before.committed;
        let rows_per_s = now.row_count - before.row_count;
        if line.is_hidden() {
            tracing::info!(
                tx_per_s,
                rows_per_s,
                committed = now.committed,
                conflict_count = now.conflict_count,
                "progress"
            );
        } else {
            line.set_message(format!(
                "{tx_per_s} tx/s  {rows_per_s} rows/s  {} committed  {} conflicts",
                now.committed, now.conflict_count
            ));
            line.tick();
        }
        before = now;
    }
}

fn print_counts(counts: &Counts, elapsed: Duration) {
    for (kind, count) in &counts.committed_by_kind {
        println!("{:<22}{count:>10}", kind.as_str());
    }
    println!(
        "{} transactions and {} rows in {:.1} s; {} rolled back on purpose, {} conflicts, {} reconnects",
        counts.committed,
        counts.row_count,
        elapsed.as_secs_f64(),
        counts.rolled_back,
        counts.conflict_count,
        counts.reconnect_count
    );
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
