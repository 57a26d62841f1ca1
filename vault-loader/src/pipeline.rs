//! Runs the stages: Kafka's thread, the writers, retries, and the end.
//!
//! In: a configuration. Out: a run that ends by a signal (in order) or by a reason to stop. A channel of one batch
//! connects the intake and each writer. So up to four batches of a writer are in memory: one is read, one waits, one is
//! made ready, and one is written.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shared::backoff::Backoff;
use shared::postgres::{ConnectOptions, connect_within};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::config::Config;
use crate::consume::{
    ConsumeError, Intake, IntakeCommand, IntakeOptions, TopicsWatch, consumer_config,
    probe_brokers, watch_topics,
};
use crate::control::{self, Gap, Registered};
use crate::crew;
use crate::health::Health;
use crate::load::{Loader, LoaderLimits};
use crate::model::{GrownColumn, Id, Plan};
use crate::quarantine_watch::QuarantineWatch;
use crate::run::{RunError, RunOptions};
use crate::stage::LoadStage;
use crate::vault::hash::{HASH_VERSION, fingerprint};
use crate::warehouse::WarehouseError;
use crate::warehouse_watch::ask_always;
use crate::watermark::WatermarkWatch;
use crate::writers::{WriterId, cache_entries};

/// Batches between the intake and a writer.
const CHANNEL_BATCHES: usize = 1;

/// Loads until `token` is cancelled.
///
/// # Errors
/// When a server refuses for good or does not answer at the start, the warehouse has another model, events are missing,
/// going on could lose or double data, or the batch in flight does not end in time after the signal.
pub async fn run(mut options: RunOptions, token: CancellationToken) -> Result<(), RunError> {
    let warehouse = options.config.connect_options();
    let (registered, grown) = tokio::select! {
        biased; // an end beats whatever the servers say
        () = token.cancelled() => return Ok(()),
        ready = check_servers(&options, &warehouse, &token) => ready?,
    };
    options.plan = Arc::new(options.plan.grown(&grown));
    let ending = CancellationToken::new();
    let (commands, incoming) = mpsc::channel();
    let writing = token.child_token();
    let (batches, stages) = writers(&options, &registered, &commands, &writing);
    let intake_options = intake_options(&options, &registered, &ending)?;
    start_topics_watch(&options, intake_options.client.clone(), &commands, &ending)?;
    start_watermark(&options, intake_options.client.clone(), &registered, &ending)?;
    let thread = start_intake(intake_options, batches, incoming)?;
    let asking = Box::pin(ask_always(warehouse.clone(), options.health.clone()));
    let watch = QuarantineWatch {
        warehouse,
        plan: Arc::clone(&options.plan),
        metrics: Arc::clone(&options.metrics),
        retention_days: options.config.limits.quarantine_retention_days,
    };
    let grace = options.config.limits.shutdown_wait_ms;
    options.health.set(Health::Healthy);
    tracing::info!(writers = stages.len(), "loading");
    let outcome = tokio::select! {
        biased; // finished writers beat the deadline
        outcome = crew::run(stages, &writing, Duration::from_millis(grace)) => outcome,
        never = asking => match never {},
        () = deadline(&token, grace) => Err(RunError::Forced(grace)),
        never = Box::pin(watch.run()) => match never {},
    };
    ending.cancel();
    // Leaving the group takes one round trip. The thread sees `ending` within one poll.
    let read = tokio::task::spawn_blocking(move || thread.join()).await;
    match (outcome, read) {
        (Err(err), _) => Err(err),
        (Ok(()), Ok(Ok(Err(err)))) => Err(err.into()),
        (Ok(()), Ok(Ok(Ok(())))) if token.is_cancelled() => Ok(()),
        (Ok(()), _) => Err(RunError::IntakeGone),
    }
}

/// The ways to the writers, and the writers.
type Writers = (Vec<Sender<Batch>>, Vec<(LoadStage, Receiver<Batch>)>);

/// So many writers as the configuration says, each with a loader of its own.
fn writers(
    options: &RunOptions,
    registered: &Registered,
    commands: &mpsc::Sender<IntakeCommand>,
    token: &CancellationToken,
) -> Writers {
    let Config { limits, writers, .. } = &options.config;
    let limits = LoaderLimits {
        cache_entries_max: cache_entries(limits, *writers),
        quarantine_events_max: limits.quarantine_events_max,
    };
    let warehouse = options.config.connect_options();
    let writer = |index| {
        let writer = WriterId::from_index(index);
        let (batches, received) = tokio::sync::mpsc::channel(CHANNEL_BATCHES);
        let loader = Loader::new(warehouse.clone(), Arc::clone(&options.plan), limits)
            .with_model(registered.clone());
        let options = RunOptions { health: options.health.of_writer(writer), ..options.clone() };
        let (commands, token) = (commands.clone(), token.clone());
        let stage = LoadStage::new(loader, warehouse.clone(), options, commands, token);
        (batches, (stage, received))
    };
    (0..usize::from(*writers)).map(writer).unzip()
}

/// What the thread that polls Kafka needs.
fn intake_options(
    options: &RunOptions,
    registered: &Registered,
    ending: &CancellationToken,
) -> Result<IntakeOptions, RunError> {
    Ok(IntakeOptions {
        client: consumer_config(&options.config, &default_group(registered))?,
        mechanism: options.config.mechanism(),
        plan: Arc::clone(&options.plan),
        warehouse: options.config.connect_options(),
        batch: options.config.batch,
        metrics: Arc::clone(&options.metrics),
        health: options.health.clone(),
        paused: options.paused.clone(),
        in_flight: options.in_flight.clone(),
        ending: ending.clone(),
    })
}

/// Starts the thread that polls Kafka.
fn start_intake(
    options: IntakeOptions,
    batches: Vec<Sender<Batch>>,
    commands: mpsc::Receiver<IntakeCommand>,
) -> Result<JoinHandle<Result<(), ConsumeError>>, RunError> {
    let runtime = tokio::runtime::Handle::current();
    let intake = Intake::new(options, runtime, batches, commands)?;
    let span = tracing::Span::current();
    std::thread::Builder::new()
        .name("intake".to_owned())
        .spawn(move || span.in_scope(|| intake.run()))
        .map_err(|_| RunError::IntakeGone)
}

/// Starts the thread that looks at topics and group. It ends with the loader, and nobody waits for it.
fn start_topics_watch(
    options: &RunOptions,
    client: rdkafka::ClientConfig,
    commands: &mpsc::Sender<IntakeCommand>,
    ending: &CancellationToken,
) -> Result<(), RunError> {
    let watch = TopicsWatch {
        client,
        plan: Arc::clone(&options.plan),
        wait: Duration::from_millis(options.config.limits.topics_wait_ms),
        health: options.health.clone(),
        metrics: Arc::clone(&options.metrics),
        commands: commands.clone(),
        ending: ending.clone(),
    };
    let span = tracing::Span::current();
    let look = move || {
        let _in_source = span.enter();
        if let Err(error) = watch_topics(watch) {
            tracing::warn!(%error, "topics and group are not watched");
        }
    };
    let thread = std::thread::Builder::new().name("topics".to_owned()).spawn(look);
    thread.map(drop).map_err(|_| RunError::IntakeGone)
}

/// Starts the thread that moves the watermark. It ends with the loader, and nobody waits for it.
fn start_watermark(
    options: &RunOptions,
    client: rdkafka::ClientConfig,
    registered: &Registered,
    ending: &CancellationToken,
) -> Result<(), RunError> {
    let watch = WatermarkWatch {
        client,
        topic: options.config.heartbeat_topic(&options.plan.model.source.topic_prefix),
        plan: Arc::clone(&options.plan),
        model: registered.clone(),
        warehouse: options.config.connect_options(),
        metrics: Arc::clone(&options.metrics),
        wait: Duration::from_millis(options.config.limits.topics_wait_ms),
        clock_ahead_max_ms: options.config.batch.clock_ahead_max_ms,
        ending: ending.clone(),
    };
    let (span, runtime) = (tracing::Span::current(), tokio::runtime::Handle::current());
    let work = move || span.in_scope(|| watch.run(&runtime));
    let thread = std::thread::Builder::new().name("watermark".to_owned()).spawn(work);
    thread.map(drop).map_err(|_| RunError::IntakeGone)
}

/// The consumer group of a source's loaders, unless another one is set. It names the warehouse, so that loaders of two
/// warehouses do not share the partitions of one topic.
fn default_group(registered: &Registered) -> String {
    let warehouse: String = registered.warehouse.chars().take(8).collect();
    format!("vault-loader-{}-{warehouse}", registered.source)
}

/// Waits for both servers, as long as the start may take. Returns the warehouse's model of the source, which is the
/// model of this run, and the columns that satellites have grown beside it.
async fn check_servers(
    options: &RunOptions,
    warehouse: &ConnectOptions,
    token: &CancellationToken,
) -> Result<(Registered, Vec<GrownColumn>), RunError> {
    let wait = Duration::from_millis(options.config.limits.start_wait_ms);
    let registered = check_warehouse(warehouse, options, wait).await?;
    let (config, ending) = (options.config.clone(), token.clone());
    match tokio::task::spawn_blocking(move || probe_brokers(&config, wait, &ending)).await {
        Ok(probed) => Ok(probed.map(|()| registered)?),
        Err(_) => Err(RunError::IntakeGone),
    }
}

async fn deadline(token: &CancellationToken, grace_ms: u64) {
    token.cancelled().await;
    tokio::time::sleep(Duration::from_millis(grace_ms)).await;
}

/// Makes the first connection, and asks. A refusal is an error at once. When nobody answers, or the session ends before
/// the answer, the loader waits a little.
async fn check_warehouse(
    warehouse: &ConnectOptions,
    options: &RunOptions,
    wait: Duration,
) -> Result<(Registered, Vec<GrownColumn>), RunError> {
    let started = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        let left = wait.saturating_sub(started.elapsed()).max(Duration::from_secs(1));
        let err = match connect_within(warehouse, left).await {
            Ok(client) => match tokio::time::timeout(left, ask_warehouse(&client, options)).await {
                Ok(Err(RunError::Load(err))) if err.is_retry() => err,
                Ok(answer) => return answer,
                Err(_) => WarehouseError::Silent { wait_s: left.as_secs() },
            },
            // 57P03: starting up; 53300: too many connections. Any other answer is a refusal.
            Err(err) if err.sqlstate().is_some_and(|code| !matches!(code, "57P03" | "53300")) => {
                return Err(RunError::Load(err.into()));
            }
            Err(err) => err.into(),
        };
        if started.elapsed() >= wait {
            return Err(RunError::Load(err));
        }
        let delay = backoff.next_delay();
        if backoff.should_log() {
            tracing::warn!(
                error = &err as &dyn std::error::Error,
                "the warehouse does not answer yet"
            );
        }
        tokio::time::sleep(delay).await;
    }
}

/// The questions of a start: whether the model is the warehouse's, what satellites have grown, and what is lost.
async fn ask_warehouse(
    client: &tokio_postgres::Client,
    options: &RunOptions,
) -> Result<(Registered, Vec<GrownColumn>), RunError> {
    let registered = check_model(client, &options.plan).await?;
    let grown = control::read_grown(client).await.map_err(WarehouseError::from)?;
    let topics: Vec<String> = options.plan.tables.iter().map(|table| table.topic.clone()).collect();
    let gaps = control::read_gaps(client, &topics).await.map_err(WarehouseError::from)?;
    for topic in &topics {
        let lost = gaps.iter().map(|accepted| &accepted.gap).filter(|gap| gap.topic == *topic);
        options.metrics.lost(topic, lost.map(Gap::offset_count).sum());
    }
    Ok((registered, grown))
}

async fn check_model(client: &tokio_postgres::Client, plan: &Plan) -> Result<Registered, RunError> {
    let model = &plan.model;
    let secret = plan.key_secret.as_ref().map(fingerprint);
    let secret = secret.as_ref().map(<[u8; 32]>::as_slice);
    let answers = tokio::try_join!(
        control::registered(client, model, HASH_VERSION),
        control::key_secret_problem(client, secret)
    );
    match answers {
        Ok((Some(_), Some(problem))) => Err(RunError::KeySecret(problem)),
        Ok((Some(registered), None)) => Ok(registered),
        Ok((None, _)) => Err(RunError::NotMigrated(control::made_from_another(model))),
        Err(err) => Err(match WarehouseError::from(err) {
            WarehouseError::SetUp(_) => RunError::NotMigrated(
                "the warehouse has no vault, or this role may not read it: run `vault-loader migrate` first".to_owned(),
            ),
            err => RunError::Load(err),
        }),
    }
}
