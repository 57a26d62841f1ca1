//! The commands: what each option means, and what is shown while they run.
//!
//! In: arguments and variables of the environment. Out: a line of the log now and then, and a table of results. The
//! first SIGINT or SIGTERM ends a simulation after the transactions under way. The second signal ends the process.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{NaiveDate, Utc};
use clap::{Args, Parser, Subcommand};
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use shared::source_url::source_options;
use shared::telemetry::LogFormat;
use synthetic::duration::parse_duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use wideworld::page::{self, PageOptions};
use wideworld::seed::{Existing, SeedOptions, SeedSummary, seed};
use wideworld::simulate::{
    Control, Counts, KINDS, Kind, Settings, SimulateOptions, Tally, simulate,
};

/// The wholesaler whose database is a second source: fill its database with a history, and simulate its life
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  wideworld seed --days 365
  wideworld simulate --speed 10 --duration 5m
  wideworld simulate --listen 127.0.0.1:4100

They work on the tables of sql/wideworld in the database that --database-url or WIDEWORLD_DATABASE_URL names.
RUST_LOG sets what is logged (default: info). Exit codes: 0 done, or stopped by a signal; 1 failed; 2 wrong usage;
130 ended by a second signal."
)]
pub(crate) struct Cli {
    /// Form of the log: auto (JSON unless on a terminal), json or text
    #[arg(long, env = "WIDEWORLD_LOG_FORMAT", default_value = "auto", global = true)]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill an empty database with a history that ends today, in one transaction
    Seed(SeedArgs),
    /// Run the life of the wholesaler in real time, with a page that shows and steers it
    Simulate(SimulateArgs),
}

/// Where the database is.
#[derive(Debug, Args)]
struct Target {
    /// PostgreSQL connection URL: postgres://user:password@host:port/database?sslmode=…&sslrootcert=…
    #[arg(long, env = "WIDEWORLD_DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[derive(Debug, Args)]
struct SeedArgs {
    /// Days of the history
    #[arg(long, env = "WIDEWORLD_DAYS", default_value_t = 365)]
    days: u64,

    /// Size: 1 is about 400 orders a day and 600 customers; fractions are allowed
    #[arg(long, env = "WIDEWORLD_SCALE", default_value_t = 1.0)]
    scale: f64,

    /// Start of the random numbers: the same seed, scale and days give the same rows
    #[arg(long, env = "WIDEWORLD_SEED", default_value_t = 1)]
    seed: u64,

    /// The day after the last day of the history [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,

    /// Time between two readings of a cold room, before the last day
    #[arg(long, value_parser = parse_duration, default_value = "2m")]
    reading_interval: Duration,

    /// Time between two readings of a cold room on the last day
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    recent_reading_interval: Duration,

    /// First remove all rows, as the owner of the tables; without this option the database must be empty
    #[arg(long)]
    truncate: bool,

    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    /// Events a second of a kind at speed 1, as KIND=RATE; may be repeated
    #[arg(long = "rate", env = "WIDEWORLD_RATES", value_delimiter = ',', value_parser = parse_rate)]
    #[arg(value_name = "KIND=RATE", long_help = rates_help())]
    rates: Vec<(Kind, f64)>,

    /// By what all rates are multiplied
    #[arg(long, env = "WIDEWORLD_SPEED", default_value_t = 1.0)]
    speed: f64,

    /// Most rows that are changed in a second, up to 1000
    #[arg(long, env = "WIDEWORLD_CHANGES_MAX", default_value_t = 1000.0)]
    changes_max: f64,

    /// Begin in a pause
    #[arg(long)]
    paused: bool,

    /// How long to run, for example 30s, 5m or 1h [default: until SIGINT or SIGTERM]
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Start of the random numbers; with the seed of the history the cold rooms go on as they were
    #[arg(long, env = "WIDEWORLD_SEED", default_value_t = 1)]
    seed: u64,

    /// Connections that run transactions at the same time
    #[arg(long, env = "WIDEWORLD_CONNECTIONS", default_value = "4")]
    connections: NonZeroU16,

    /// Serve the page, /health and /metrics on this address and port; without it there is none
    #[arg(long, env = "WIDEWORLD_LISTEN")]
    listen: Option<SocketAddr>,

    /// What whoever steers has to enter on the page; needed when --listen is no loopback address
    #[arg(long, env = "WIDEWORLD_PAGE_TOKEN", hide_env_values = true)]
    page_token: Option<String>,

    #[command(flatten)]
    target: Target,
}

/// The help of `--rate`, with all kinds and what they are.
fn rates_help() -> String {
    let kinds: Vec<String> =
        KINDS.iter().map(|(kind, rate)| format!("{}={rate}", kind.name())).collect();
    format!(
        "Events a second of a kind at speed 1, as KIND=RATE; may be repeated. Kinds, with what they have when nothing is \
         set: {}",
        kinds.join(", ")
    )
}

fn parse_rate(text: &str) -> Result<(Kind, f64), String> {
    let usage = || format!("'{text}' is no rate: write a kind and a number, such as order=2.5");
    let (name, rate) = text.split_once('=').ok_or_else(usage)?;
    let kind = Kind::of_name(name).ok_or_else(|| {
        let names = KINDS.map(|(kind, _)| kind.name()).join(", ");
        format!("'{name}' is no kind of event: the kinds are {names}")
    })?;
    Ok((kind, rate.parse().map_err(|_| usage())?))
}

/// Reads the database's URL. The URL is never repeated, because it may hold a password.
fn target(url: &str) -> anyhow::Result<ConnectOptions> {
    source_options(url, "wideworld").map_err(|error| {
        let remedy = error.to_string().replace("--source", "it");
        anyhow::anyhow!("--database-url cannot be used: {remedy}")
    })
}

fn seconds(option: &str, interval: Duration) -> anyhow::Result<u32> {
    anyhow::ensure!(
        interval.subsec_nanos() == 0,
        "{option} takes whole seconds, because a history has readings at whole seconds"
    );
    u32::try_from(interval.as_secs()).with_context(|| format!("{option} is too long"))
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Seed(args) => Box::pin(args.run()).await,
            Command::Simulate(args) => Box::pin(args.run()).await,
        }
    }
}

impl SeedArgs {
    async fn run(self) -> anyhow::Result<()> {
        let database = target(&self.target.database_url)?;
        let options = SeedOptions {
            days: self.days,
            until: self.until.unwrap_or_else(|| Utc::now().date_naive()),
            scale: self.scale,
            seed: self.seed,
            reading_interval: seconds("--reading-interval", self.reading_interval)?,
            recent_interval: seconds("--recent-reading-interval", self.recent_reading_interval)?,
            existing: if self.truncate { Existing::Truncate } else { Existing::Refuse },
        };
        let started = Instant::now();
        let mut shown = Instant::now();
        let summary = seed(&database, &options, &mut |table, row_count| {
            if shown.elapsed() >= Duration::from_secs(2) {
                tracing::info!(table, row_count, "seeding");
                shown = Instant::now();
            }
        })
        .await?;
        print_summary(&summary);
        println!("seeded {} in {:.1} s", database.display(), started.elapsed().as_secs_f64());
        Ok(())
    }
}

fn print_summary(summary: &SeedSummary) {
    for (table, row_count) in &summary.row_counts {
        println!("{table:<40}{row_count:>12}");
    }
    println!("{:<40}{:>12}", "all", summary.row_count());
}

impl SimulateArgs {
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings {
            speed: self.speed,
            changes_max: self.changes_max,
            is_paused: self.paused,
            ..Settings::default()
        };
        for (kind, rate) in &self.rates {
            settings.rates[kind.index()] = *rate;
        }
        Ok(settings.checked()?)
    }

    async fn run(self) -> anyhow::Result<()> {
        let database = target(&self.target.database_url)?;
        let control = Arc::new(Control::new(self.settings()?));
        let tally = Arc::new(Tally::default());
        let stop = shared::shutdown::on_signals().context("cannot watch for signals")?;
        let page = match self.listen {
            Some(listen) => Some(self.open_page(listen, (&control, &tally)).await?),
            None => None,
        };
        let options = SimulateOptions {
            duration: self.duration,
            seed: self.seed,
            connections: self.connections,
        };
        tracing::info!(seed = self.seed, database = database.display(), "simulating");
        let started = Instant::now();
        let serving = page
            .map(|(listener, page)| tokio::spawn(page::serve(listener, page, stop.child_token())));
        let reporter = tokio::spawn(report(Arc::clone(&tally)));
        let parts = (Arc::clone(&control), Arc::clone(&tally));
        let outcome = simulate(&database, &options, parts, stop.clone()).await;
        stop.cancel();
        reporter.abort();
        if let Some(serving) = serving {
            serving.await.context("the page ended unexpectedly")?;
        }
        print_counts(&outcome?, started.elapsed());
        Ok(())
    }

    async fn open_page(
        &self,
        listen: SocketAddr,
        (control, tally): (&Arc<Control>, &Arc<Tally>),
    ) -> anyhow::Result<(TcpListener, PageOptions)> {
        anyhow::ensure!(
            listen.ip().is_loopback() || self.page_token.is_some(),
            "--listen {listen} can be reached from other machines: set WIDEWORLD_PAGE_TOKEN, or listen on 127.0.0.1"
        );
        let token = self.page_token.as_deref().map(Secret::new);
        anyhow::ensure!(
            token.as_ref().is_none_or(|token| token.expose().len() >= 8),
            "WIDEWORLD_PAGE_TOKEN has fewer than 8 characters: choose a longer one"
        );
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}: is another service there?"))?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "serving the page");
        Ok((listener, PageOptions::new(Arc::clone(control), Arc::clone(tally), token)))
    }
}

/// Logs a line every five seconds.
async fn report(tally: Arc<Tally>) {
    const INTERVAL: Duration = Duration::from_secs(5);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.tick().await;
    let mut before = tally.counts();
    loop {
        ticks.tick().await;
        let now = tally.counts();
        tracing::info!(
            tx_per_s = (now.all() - before.all()) / INTERVAL.as_secs(),
            changes_per_s = (now.row_count - before.row_count) / INTERVAL.as_secs(),
            committed = now.all(),
            conflict_count = now.conflict_count,
            "progress"
        );
        before = now;
    }
}

fn print_counts(counts: &Counts, elapsed: Duration) {
    for (kind, committed) in counts.by_kind() {
        println!("{:<22}{committed:>10}", kind.title());
    }
    println!(
        "{} transactions and {} rows in {:.1} s; {} found nothing to do, {} conflicts, {} reconnects",
        counts.all(),
        counts.row_count,
        elapsed.as_secs_f64(),
        counts.nothing.iter().sum::<u64>(),
        counts.conflict_count,
        counts.reconnect_count
    );
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_url_is_refused_and_not_repeated() {
        let refusal = target("postgres://annabel:hidden@db.example/x").unwrap_err().to_string();
        assert!(refusal.contains("--database-url") && refusal.contains("sslrootcert"), "{refusal}");
        assert!(!refusal.contains("hidden"), "{refusal}");
    }

    #[test]
    fn rates_have_a_kind_and_a_number() {
        assert_eq!(parse_rate("order=2.5"), Ok((Kind::Order, 2.5)));
        assert!(parse_rate("strike=1").unwrap_err().contains("purchase_order"));
        assert!(parse_rate("order").unwrap_err().contains("order=2.5"));
        assert!(parse_rate("order=often").is_err());
    }
}
