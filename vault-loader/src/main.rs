//! The command `vault-loader`. In: arguments, configuration and model. Out: the outcome of a subcommand as an exit
//! code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use shared::postgres::ConnectError;
use shared::source_url::AddressError;
use shared::telemetry::LogFormat;
use vault_loader::config::{Config, ConfigError};
use vault_loader::control::Gap;
use vault_loader::epochs_command::{self, EpochCommandError, Happened, Tables};
use vault_loader::exit;
use vault_loader::fleet::{Fleet, SameSource};
use vault_loader::gap::{self, GapError};
use vault_loader::http::{Question, serve};
use vault_loader::infer::InferError;
use vault_loader::migrate::{self, Comparison, MigrateError};
use vault_loader::model::{self, ModelError, ModelText, Plan};
use vault_loader::model_command::{self, ModelCommand, OutputError};
use vault_loader::pipeline::RunError;
use vault_loader::proof::ProofError;
use vault_loader::proofs_command::{self, ProofCommand};
use vault_loader::quarantine::{self, QuarantineCommand, QuarantineError};
use vault_loader::refresh;
use vault_loader::rehash::{self, Mode, RehashError, Target, Wanted};
use vault_loader::snapshots::{self, SnapshotsCommand, SnapshotsError};
use vault_loader::status::{self, StatusError};
use vault_loader::warehouse::WarehouseError;

const ABOUT: &str = "Loads Debezium change events from Kafka into a Data Vault on PostgreSQL, each event exactly once";

const HELP: &str = "\
Configuration: each key can be given in the file that --config names (TOML, YAML or JSON), or in the environment as
VAULT_LOADER__SECTION__KEY. The environment wins.

  VAULT_LOADER__BOOTSTRAP_SERVERS    Kafka's host:port, several separated by commas (run, status, gap)
  VAULT_LOADER__DATABASE__HOST       the warehouse's host, or the directory of its Unix socket
  VAULT_LOADER__DATABASE__PORT       5432
  VAULT_LOADER__DATABASE__NAME       database
  VAULT_LOADER__DATABASE__USER       vault_owner to migrate and for quarantine, epoch, gap accept and rehash; vault_loader to run;
                                     mart_refresher to refresh marts
  VAULT_LOADER__DATABASE__PASSWORD
  VAULT_LOADER__DATABASE__SSLMODE    disable, allow, prefer, require, verify-ca, verify-full (SSLROOTCERT, SSLCERT, SSLKEY);
                                     prefer for a Unix socket and the loopback, and verify-full for any other host
  VAULT_LOADER__DATABASE__CHANNEL_BINDING  prefer; require refuses a warehouse that cannot be bound to the TLS connection
  VAULT_LOADER__DATABASE__REQUIRE_AUTH     methods by which the warehouse may authenticate, as in libpq; password and md5 are
                                     answered over an unverified connection only when they are named here
  VAULT_LOADER__KEY_SECRET           a secret of at least 32 bytes that the hash keys are made with, for migrate, run and quarantine; the
                                     first migration of a warehouse decides about it, and `rehash` changes it (docs/HASHING.md)
  VAULT_LOADER__KEY_SECRET_BEFORE    the secret until now, for rehash
  VAULT_LOADER__LISTEN               address of /health, /ready and /metrics, 127.0.0.1:8084
  VAULT_LOADER__GROUP_ID             consumer group, vault-loader-<source>-<beginning of the warehouse's identity>; of several
                                     sources each has a group of its own, <group id>-<source>
  VAULT_LOADER__GROUP_INSTANCE_ID    static membership: a restarted loader gets its partitions back at once
  VAULT_LOADER__HEARTBEAT_TOPIC      __debezium-heartbeat.{prefix}: topic of the sources' heartbeats; {prefix} is a source's topic
                                     prefix (docs/WATERMARK.md)
  VAULT_LOADER__GROW_SATELLITES      true      a new column of the source is added to the table's first satellite when
                                     the events tell its type; false pauses the table instead
  VAULT_LOADER__BATCH__ROWS_MAX      10000     (BYTES_MAX 16 MiB, LINGER_MS 50)
  VAULT_LOADER__BATCH__CLOCK_AHEAD_MAX_MS  3600000   an event that was published later than that ahead pauses its table
  VAULT_LOADER__LIMITS__QUARANTINE_EVENTS_MAX  1000 events of a source in dwh_control.quarantine; a table with one more is paused
  VAULT_LOADER__LIMITS__QUARANTINE_RETENTION_DAYS  30: older events are reported, and `quarantine redact` removes their content
                                     (QUEUE_BYTES_MAX, CACHE_ENTRIES_MAX, START_WAIT_MS, SHUTDOWN_WAIT_MS, TOPICS_WAIT_MS)
  VAULT_LOADER__KAFKA__SECURITY_PROTOCOL  PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL. TLS and SASL have the names of Kafka's Java
                                     clients with _ for each dot: SASL_MECHANISM, SASL_JAAS_CONFIG, SSL_TRUSTSTORE_LOCATION
  [kafka]                            the same in the file, and further properties of librdkafka

Logs go to standard error, as text on a terminal and as JSON otherwise; RUST_LOG sets their level.

At LISTEN, /health says that the process lives, /ready that it is connected to Kafka and the warehouse and makes progress,
and /metrics has its metrics. Let an orchestrator restart the loader by /health alone.

Exit codes:
  0    done
  1    failed at run time; the last line of the log says why; of `model diff` and of the proofs (`checksum --compare`,
       `check`, `verify`): there is a difference
  2    usage, configuration, model or the set-up of the warehouse must be changed
  3    going on could lose or double data: an operator has to decide
  4    the batch in flight did not end in time after a signal; it was rolled back and will be loaded again
  130  ended by a second signal";

#[derive(Parser)]
#[command(version, about = ABOUT, after_help = HELP, max_term_width = 120)]
struct Cli {
    /// Configuration file; the environment alone is enough
    #[arg(long, global = true, env = "VAULT_LOADER_CONFIG")]
    config: Option<PathBuf>,
    /// Vault model of a source, for example connectors/airline/vault.toml; once for each source. The variable separates
    /// several with commas
    #[arg(long, global = true, env = "VAULT_LOADER_MODEL", value_delimiter = ',')]
    model: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create the control schema and the vault, or add what is new in the model; refuse a change that would destroy
    /// data
    Migrate {
        /// Role that gets the rights that `run` needs
        #[arg(long, default_value = "vault_loader")]
        grant_to: String,
        /// Set a topic back to its beginning when its table feeds something new in the model; no row is doubled
        #[arg(long)]
        reload: bool,
    },
    /// Load until a signal: SIGTERM or SIGINT ends in order, a second signal ends at once
    Run {
        /// Gone: `gap accept` takes its place
        #[arg(long, hide = true)]
        accept_gap: bool,
    },
    /// Events that Kafka deleted before they were loaded
    Gap {
        #[command(subcommand)]
        command: GapCommand,
    },
    /// Show how far each topic is loaded: what waits in events, bytes and seconds, how fast it becomes less, which
    /// topics are missing, and what is in quarantine
    Status {
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Show it again and again until a signal, so many seconds apart; 2 when no number is given
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
    },
    /// Look at events that could not be loaded, load them after the cause is mended, or drop them
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
    /// Checksums, rules, and a comparison with the source
    #[command(flatten)]
    Proof(ProofCommand),
    /// Bring the marts' tables up to date with the vault, again and again until a signal
    RefreshMarts {
        /// Milliseconds from one refresh to the next; a refresh that finds nothing new costs a few milliseconds
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
        interval_ms: u64,
        /// Refresh once, say what was done, and end
        #[arg(long)]
        once: bool,
    },
    /// Build the snapshots of point-in-time tables and bridges, list them, or build them again (docs/SNAPSHOTS.md). Runs
    /// with the rights of `run` or of `migrate`
    Snapshots {
        #[command(subcommand)]
        command: SnapshotsCommand,
    },
    /// Make all hash keys of the warehouse anew, without the topics: from VAULT_LOADER__KEY_SECRET_BEFORE, or no secret
    /// when that is not set, to VAULT_LOADER__KEY_SECRET. Stop the loaders before. Every hash key that stands there is
    /// checked first, everything happens in one transaction, and no secret reaches the warehouse
    Rehash {
        /// Check, say how many rows would get another hash key, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Make the keys without a secret; anybody who can read them can then find values by trying
        #[arg(long)]
        remove_secret: bool,
        /// Hub in which values were replaced to erase somebody: its rows get the keys of the values that stand there now;
        /// several times for several
        #[arg(long = "erased", value_name = "HUB")]
        erased: Vec<String>,
    },
    /// List the epochs of tables, start one, or close rows that a new snapshot does not have
    Epoch {
        #[command(subcommand)]
        command: EpochCommand,
    },
    /// Ask the running loader whether it lives, or with --ready whether it is connected to both servers and makes
    /// progress: exit code 0 for yes, 1 for no
    Health {
        /// Ask whether it is connected and makes progress
        #[arg(long)]
        ready: bool,
    },
    /// Look at a model, compare it with the warehouse, or infer one from a source
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
}

/// Which tables a command is about.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct TopicArguments {
    /// Topic of a table; several times for several tables
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// All tables of the model
    #[arg(long)]
    all: bool,
}

impl TopicArguments {
    fn tables(&self) -> Tables {
        if self.all { Tables::All } else { Tables::Topics(self.topics.clone()) }
    }
}

#[derive(Subcommand)]
enum EpochCommand {
    /// Show all epochs of the model's tables
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Start an epoch. A running loader is fenced once and goes on; a paused table goes on at a start of the loader
    #[command(group = clap::ArgGroup::new("happened").required(true).multiple(true))]
    Start {
        #[command(flatten)]
        topics: TopicArguments,
        /// The topic was deleted and made again: it is read from its beginning
        #[arg(long, group = "happened")]
        topic_recreated: bool,
        /// The source was restored from a backup, or promoted without the end of its log: its positions count anew
        #[arg(long, group = "happened")]
        source_restored: bool,
        /// Why, for those who read dwh_control.epochs later
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Close the rows that the snapshot after --source-restored did not bring. Run it when that snapshot is loaded
    CloseMissing {
        #[command(flatten)]
        topics: TopicArguments,
        /// Close the rows; without it they are only counted
        #[arg(long)]
        apply: bool,
    },
}

#[derive(Subcommand)]
enum GapCommand {
    /// Show what Kafka deleted before it was loaded, and what was accepted as lost
    List,
    /// Go on behind a gap: its events are lost to the warehouse, and dwh_control.gaps says so. Needs the role that runs
    /// `migrate`
    Accept {
        /// Kafka topic, as the refusal names it
        #[arg(long)]
        topic: String,
        /// Partition of it
        #[arg(long)]
        partition: i32,
        /// First offset that is lost
        #[arg(long)]
        from: i64,
        /// Last offset that is lost
        #[arg(long)]
        to: i64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    shared::telemetry::init(LogFormat::Auto);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            eprintln!("vault-loader: cannot start the runtime: {err}");
            return ExitCode::from(exit::FAILED);
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("vault-loader: {err:#}");
            ExitCode::from(exit_code(&err))
        }
    }
}

/// What the last error of a command means, as `--help` lists it.
fn exit_code(err: &anyhow::Error) -> u8 {
    // Code 1 of this command says that there is a difference.
    if err.is::<NotCompared>() {
        return exit::CONFIGURATION;
    }
    if let Some(err) = err.downcast_ref::<RunError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<StatusError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<ProofError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<RehashError>() {
        return err.exit_code();
    }
    match err.downcast_ref() {
        Some(GapError::Kafka(err)) => return err.exit_code(),
        Some(GapError::Warehouse(err)) => return err.exit_code(),
        Some(GapError::Role | GapError::NotInModel(_)) => return exit::CONFIGURATION,
        _ => {}
    }
    if let Some(QuarantineError::Warehouse(err)) = err.downcast_ref() {
        return err.exit_code();
    }
    if let Some(EpochCommandError::Warehouse(err)) = err.downcast_ref() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<SnapshotsError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<ConnectError>() {
        return WarehouseError::exit_code_of_connecting(err);
    }
    let model = match err.downcast_ref::<MigrateError>() {
        Some(MigrateError::Model(_) | MigrateError::KeySecret(_)) => true,
        _ => err.is::<ModelError>(),
    };
    let epoch = matches!(
        err.downcast_ref(),
        Some(
            EpochCommandError::UnknownTopic(_)
                | EpochCommandError::NoEpoch(_)
                | EpochCommandError::NotRestored(_)
        )
    );
    let selection = matches!(err.downcast_ref(), Some(QuarantineError::Usage(_)));
    let infer = matches!(err.downcast_ref(), Some(InferError::NoTable(_) | InferError::Invalid(_)));
    let usage = infer
        || err.is::<AddressError>()
        || err.is::<OutputError>()
        || err.is::<ConfigError>()
        || err.is::<Usage>()
        || err.is::<SameSource>();
    if model || selection || epoch || usage { exit::CONFIGURATION } else { exit::FAILED }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// What `model diff` finds.
#[derive(Debug, thiserror::Error)]
#[error("the warehouse is not what the model says")]
struct Difference;

/// Why `model diff` finds nothing.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot be compared with the warehouse")]
struct NotCompared;

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Migrate { grant_to, reload } => migrate(&cli, grant_to, *reload).await,
        Command::Run { accept_gap } => Box::pin(run(&cli, *accept_gap)).await,
        Command::Status { json, watch } => print_status(&cli, *json, *watch).await,
        Command::Quarantine { command } => quarantine(&cli, command).await,
        Command::Proof(command) => prove(&cli, command).await,
        Command::RefreshMarts { interval_ms, once } => {
            refresh_marts(&cli, Duration::from_millis(*interval_ms), *once).await
        }
        Command::Snapshots { command } => take_snapshots(&cli, command).await,
        Command::Rehash { dry_run, remove_secret, erased } => {
            let target = if *remove_secret { Target::NoSecret } else { Target::Secret };
            let mode = if *dry_run { Mode::DryRun } else { Mode::Apply };
            rehash(&cli, Wanted { target, mode, erased }).await
        }
        Command::Epoch { command } => epoch(&cli, command).await,
        Command::Gap { command } => gaps(&cli, command).await,
        Command::Health { ready } => health(&cli, *ready).await,
        Command::Model { command: ModelCommand::Infer(arguments) } => {
            Ok(model_command::infer_model(arguments).await?)
        }
        Command::Model { command: ModelCommand::Diff } => diff(&cli).await,
        Command::Model { command: ModelCommand::Docs(arguments) } => {
            Ok(model_command::write_docs(arguments, &one_plan(&cli)?)?)
        }
        Command::Model { command: ModelCommand::Schema } => {
            print!("{}", model::json_schema());
            Ok(())
        }
        Command::Model { command: ModelCommand::Look(command) } => {
            plans(&cli)?.iter().for_each(|plan| model_command::look(*command, plan));
            Ok(())
        }
    }
}

/// The text of each model, in the order of the command line.
fn model_texts(cli: &Cli) -> anyhow::Result<Vec<ModelText>> {
    if cli.model.is_empty() {
        let usage = "no model: give --model FILE or set VAULT_LOADER_MODEL";
        return Err(Usage(usage.to_owned()).into());
    }
    let read = |path: &PathBuf| {
        let named = path.display();
        let unreadable = |err| Usage(format!("cannot read the model {named}: {err}"));
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(ModelText { path: named.to_string(), text })
    };
    cli.model.iter().map(read).collect()
}

fn plans(cli: &Cli) -> anyhow::Result<Vec<Plan>> {
    let texts = model_texts(cli)?;
    let parsed = texts.iter().map(|file| model::parse(&file.text).map(Plan::new));
    Ok(parsed.collect::<Result<_, _>>()?)
}

/// The plans of a command that makes hash keys.
fn with_secret(plans: Vec<Plan>, config: &Config) -> Vec<Plan> {
    plans.into_iter().map(|plan| plan.with_key_secret(config.key_secret.clone())).collect()
}

/// The plan of a command that is about one source.
fn one_plan(cli: &Cli) -> anyhow::Result<Plan> {
    let usage = || Usage("this command is about one source: give one --model".to_owned());
    match <[Plan; 1]>::try_from(plans(cli)?) {
        Ok([plan]) => Ok(plan),
        Err(_) => Err(usage().into()),
    }
}

async fn migrate(cli: &Cli, grant_to: &str, reload: bool) -> anyhow::Result<()> {
    let files = model_texts(cli)?;
    for file in &files {
        model::parse(&file.text)?; // all of them before the first one changes anything
    }
    let config = Config::load(cli.config.as_deref())?;
    let secret = config.key_secret.as_ref();
    let mut client = shared::postgres::connect(&config.connect_options()).await?;
    for file in &files {
        let outcome = migrate::migrate(&mut client, file, grant_to, reload, secret).await?;
        for note in &outcome.notes {
            println!("note: {note}");
        }
        for step in &outcome.steps {
            println!("{step}");
        }
        if outcome.steps.is_empty() {
            println!("nothing to do");
        }
    }
    Ok(())
}

/// Prints how the warehouse differs from the models. A difference is an error of its own exit code.
async fn diff(cli: &Cli) -> anyhow::Result<()> {
    let compared = compare(cli).await.context(NotCompared)?;
    compared.iter().for_each(|compared| print!("{compared}"));
    anyhow::ensure!(!compared.iter().any(Comparison::differs), Difference);
    Ok(())
}

async fn compare(cli: &Cli) -> anyhow::Result<Vec<Comparison>> {
    let files = model_texts(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    let mut client = shared::postgres::connect(&config.connect_options()).await?;
    Ok(migrate::compare(&mut client, &files).await?)
}

async fn run(cli: &Cli, accept_gap: bool) -> anyhow::Result<()> {
    if accept_gap {
        let usage = "run --accept-gap is gone: `vault-loader gap list` shows the gaps, and `vault-loader gap accept` accepts one of them";
        return Err(Usage(usage.to_owned()).into());
    }
    let plans = plans(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    config.require_kafka()?;
    let plans = with_secret(plans, &config).into_iter().map(Arc::new).collect();
    let fleet = Fleet::new(&config, plans)?;
    let token = shared::shutdown::on_signals().context("cannot listen for signals")?;
    let served = fleet.served();
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|err| {
        Usage(format!("cannot listen on {}: {err}: set VAULT_LOADER__LISTEN", config.listen))
    })?;
    let closing = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(serve(listener, served, closing.clone()));
    let outcome = fleet.run(token).await;
    closing.cancel();
    server.abort(); // an idle keep-alive connection must not hold the end up
    outcome?;
    tracing::info!("ended in order");
    Ok(())
}

async fn print_status(cli: &Cli, json: bool, watch: Option<u64>) -> anyhow::Result<()> {
    let plans = plans(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    config.require_kafka()?;
    let shown = if json { status::Shown::Json } else { status::Shown::Table };
    let Some(seconds) = watch else {
        return status::show(&status::read(&config, &plans).await?, shown);
    };
    let stop = shared::shutdown::on_signals().context("cannot listen for signals")?;
    status::watch(&config, &plans, shown, Duration::from_secs(seconds), &stop).await
}

async fn quarantine(cli: &Cli, command: &QuarantineCommand) -> anyhow::Result<()> {
    let plans = plans(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    let plans = with_secret(plans, &config);
    let answer = quarantine::carry_out(command, &config, &plans).await?;
    print!("{}", answer.text);
    anyhow::ensure!(!answer.still_waits, "some events still wait in the quarantine");
    Ok(())
}

async fn prove(cli: &Cli, command: &ProofCommand) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref())?;
    let plan = || Ok(one_plan(cli)?.with_key_secret(config.key_secret.clone()));
    proofs_command::carry_out(command, &config.connect_options(), plan).await
}

async fn gaps(cli: &Cli, command: &GapCommand) -> anyhow::Result<()> {
    let plans = plans(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    config.require_kafka()?;
    match command {
        GapCommand::List => {
            let mut found = Vec::new();
            for plan in &plans {
                found.push(gap::list(&config, plan).await?);
            }
            print!("{}", gap::lines(&found));
        }
        GapCommand::Accept { topic, partition, from, to } => {
            let topic = topic.clone();
            let asked = Gap { topic, partition: *partition, first: *from, last: *to };
            gap::accept(&config, &plans, &asked).await?;
            let Gap { topic, partition, first, last } = asked;
            println!(
                "accepted: {topic} partition {partition} goes on at offset {}; the offsets {first} to {last} are lost",
                last + 1
            );
        }
    }
    Ok(())
}

async fn refresh_marts(cli: &Cli, interval: Duration, once: bool) -> anyhow::Result<()> {
    let warehouse = Config::load(cli.config.as_deref())?.connect_options();
    if once {
        let done = refresh::once(&warehouse).await?;
        println!(
            "{}: {} records, {} rows changed",
            done.outcome, done.record_count, done.row_count
        );
        return Ok(());
    }
    let stop = shared::shutdown::on_signals().context("cannot listen for signals")?;
    tracing::info!(warehouse = warehouse.display(), ?interval, "refreshing the marts");
    refresh::keep_fresh(&warehouse, interval, stop).await;
    tracing::info!("ended in order");
    Ok(())
}

async fn take_snapshots(cli: &Cli, command: &SnapshotsCommand) -> anyhow::Result<()> {
    let plans = plans(cli)?;
    let config = Config::load(cli.config.as_deref())?;
    let stop = shared::shutdown::on_signals().context("cannot listen for signals")?;
    let waits = snapshots::carry_out(command, &config, &plans, &stop).await?;
    anyhow::ensure!(!waits, "snapshots wait for the loader");
    Ok(())
}

async fn rehash(cli: &Cli, wanted: Wanted<'_>) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref())?;
    print!("{}", Box::pin(rehash::rehash(&config, wanted)).await?);
    Ok(())
}

async fn epoch(cli: &Cli, command: &EpochCommand) -> anyhow::Result<()> {
    let plan = one_plan(cli)?;
    let warehouse = Config::load(cli.config.as_deref())?.connect_options();
    match command {
        EpochCommand::List { json } => {
            let lines = epochs_command::list(&warehouse, &plan).await?;
            if *json {
                println!("{}", serde_json::to_string(&lines)?);
                return Ok(());
            }
            for line in lines {
                println!(
                    "{} epoch {} since {}: new {}, topic {}, by {}: {}",
                    line.record_source,
                    line.epoch,
                    line.started_at,
                    line.kind,
                    line.topic,
                    line.started_by,
                    line.reason
                );
            }
        }
        EpochCommand::Start { topics, topic_recreated, source_restored, reason } => {
            let happened =
                Happened { topic_recreated: *topic_recreated, source_restored: *source_restored };
            let tables = topics.tables();
            for (topic, epoch) in
                epochs_command::start(&warehouse, &plan, &tables, happened, reason).await?
            {
                println!("{topic}: epoch {epoch} started");
            }
        }
        EpochCommand::CloseMissing { topics, apply } => {
            let done = if *apply { "closed" } else { "would be closed" };
            let tables = topics.tables();
            for (topic, count) in epochs_command::close(&warehouse, &plan, &tables, *apply).await? {
                println!("{topic}: {count} rows {done}");
            }
        }
    }
    Ok(())
}

async fn health(cli: &Cli, ready: bool) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref())?;
    let question = if ready { Question::Ready } else { Question::Health };
    let answer = vault_loader::http::ask(config.listen, question).await?;
    println!("{}", answer.body);
    anyhow::ensure!(answer.is_yes, "not {}", if ready { "ready" } else { "healthy" });
    Ok(())
}
