//! The command `vault-loader`. In: arguments, configuration and model. Out: the outcome of a subcommand as an exit
//! code.

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use shared::telemetry::LogFormat;
use tikv_jemallocator::Jemalloc;
use vault_loader::config::Config;
use vault_loader::control::Gap;
use vault_loader::epochs_command::{self, Happened};
use vault_loader::exit;
use vault_loader::fleet::Fleet;
use vault_loader::gap;
use vault_loader::http::{Question, serve};
use vault_loader::migrate::{self, Comparison};
use vault_loader::model::{self, ModelText, Plan};
use vault_loader::model_command::{self, ModelCommand};
use vault_loader::proofs_command::{self, ProofCommand};
use vault_loader::quarantine::{self, QuarantineCommand};
use vault_loader::rebuild::{self, RebuildArguments};
use vault_loader::refresh;
use vault_loader::rehash::{self, Mode, Target, Wanted};
use vault_loader::snapshots::{self, SnapshotsCommand};
use vault_loader::status;

use crate::cli::arguments::{Cli, Command, EpochCommand, GapCommand};
use crate::cli::outcome::{Difference, NotCompared, Usage, exit_code};

/// For our own memory and librdkafka's. Batches are made by several threads and freed by others, of which the C
/// library's allocator keeps a part for each thread.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How many threads for blocking work there may be: two for each writer of each source, and some for everything else.
/// The runtime makes a thread only when there is work for it.
const BLOCKING_THREADS_MAX: usize = 8192;

fn main() -> ExitCode {
    let cli = Cli::parse();
    shared::telemetry::init(LogFormat::Auto);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let runtime = match runtime {
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

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Migrate { grant_to, reload } => migrate(&cli, grant_to, *reload).await,
        Command::Run { writers, accept_gap } => Box::pin(run(&cli, *writers, *accept_gap)).await,
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
        Command::Rebuild(arguments) => rebuild(&cli, arguments).await,
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
            for plan in &plans(&cli)? {
                model_command::look(command, plan).map_err(|error| Usage(error.to_string()))?;
            }
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

async fn run(cli: &Cli, writers: Option<u16>, accept_gap: bool) -> anyhow::Result<()> {
    if accept_gap {
        let usage = "run --accept-gap is gone: `vault-loader gap list` shows the gaps, and `vault-loader gap accept` accepts one of them";
        return Err(Usage(usage.to_owned()).into());
    }
    let plans = plans(cli)?;
    let mut config = Config::load(cli.config.as_deref())?;
    config.writers = writers.unwrap_or(config.writers);
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

async fn rebuild(cli: &Cli, arguments: &RebuildArguments) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref())?;
    config.require_kafka()?;
    let stop = shared::shutdown::on_signals().context("cannot listen for signals")?;
    Ok(Box::pin(rebuild::run(arguments, &config, &stop)).await?)
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
