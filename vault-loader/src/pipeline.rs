//! Runs the stages: Kafka's thread, the loader, retries, and the end.
//!
//! In: a configuration. Out: a run that ends by a signal (in order) or by a reason to stop. A channel of one batch
//! connects intake and loader: one batch is loaded while the next is read.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
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
use crate::decode::NewColumn;
use crate::exit;
use crate::health::{Health, HealthCell};
use crate::load::{Job, Loaded, Loader, LoaderLimits, Step};
use crate::metrics::Metrics;
use crate::model::{ColumnId, GrownColumn, Plan, TableId};
use crate::paused::{PausedTables, TablePause};
use crate::quarantine_watch::QuarantineWatch;
use crate::vault::hash::{HASH_VERSION, fingerprint};
use crate::warehouse::WarehouseError;
use crate::warehouse_watch::{ATTEMPT_MAX, ask_always, watch};
use crate::watermark::WatermarkWatch;

/// Batches between intake and loader.
const CHANNEL_BATCHES: usize = 1;

/// After this many conflicts in a row the loader stops: they would mean that two loaders have the same partition, which
/// must not happen.
const CONFLICTS_MAX: u32 = 5;

/// How long a fenced loader waits before it reads the offsets again and assigns its partitions anew. Another loader has
/// the partitions, so the group takes them from this loader with its next heartbeat, which comes within 3 s. When both
/// happen at once, librdkafka stops a partition twice and ends the process:
/// <https://github.com/confluentinc/librdkafka/issues/5573>.
const FENCED_WAIT: Duration = Duration::from_secs(4);

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Reading cannot go on.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// Loading cannot go on.
    #[error(transparent)]
    Load(#[from] WarehouseError),
    /// The warehouse does not fit this model.
    #[error("{0}")]
    NotMigrated(String),
    /// The secret of the hash keys is not the warehouse's.
    #[error("{0}")]
    KeySecret(&'static str),
    /// The batch in flight took too long after the signal.
    #[error(
        "the batch in flight did not end within {0} ms after the signal; it was rolled back and will be loaded again"
    )]
    Forced(u64),
    /// A stage panicked.
    #[error("the thread that reads Kafka ended without a reason")]
    IntakeGone,
}

impl RunError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Consume(err) => err.exit_code(),
            Self::Load(err) => err.exit_code(),
            Self::NotMigrated(_) | Self::KeySecret(_) => exit::CONFIGURATION,
            Self::Forced(_) => exit::FORCED,
            Self::IntakeGone => exit::FAILED,
        }
    }
}

/// What a run needs.
pub struct RunOptions {
    /// checked configuration
    pub config: Config,
    /// the compiled model
    pub plan: Arc<Plan>,
    /// what to count with
    pub metrics: Arc<Metrics>,
    /// what `/health` says
    pub health: HealthCell,
    /// the tables that stand still
    pub paused: PausedTables,
}

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
    let (batches, received) = tokio::sync::mpsc::channel(CHANNEL_BATCHES);
    let (commands, incoming) = mpsc::channel();
    let intake_options = intake_options(&options, &registered, &ending)?;
    start_topics_watch(&options, intake_options.client.clone(), &commands, &ending)?;
    start_watermark(&options, intake_options.client.clone(), &registered, &ending)?;
    let thread = start_intake(intake_options, batches, incoming)?;
    let asking = Box::pin(ask_always(warehouse.clone(), options.health.clone()));
    let limits = LoaderLimits {
        cache_entries_max: options.config.limits.cache_entries_max,
        quarantine_events_max: options.config.limits.quarantine_events_max,
    };
    let watch = QuarantineWatch {
        warehouse: warehouse.clone(),
        plan: Arc::clone(&options.plan),
        metrics: Arc::clone(&options.metrics),
        retention_days: options.config.limits.quarantine_retention_days,
    };
    let grace = options.config.limits.shutdown_wait_ms;
    let mut stage = LoadStage {
        loader: Loader::new(warehouse.clone(), Arc::clone(&options.plan), limits)
            .with_model(registered),
        warehouse,
        plan: options.plan,
        metrics: options.metrics,
        health: options.health,
        paused: options.paused,
        grows: options.config.grow_satellites,
        dropped: HashSet::new(),
        commands,
        token: token.clone(),
        fenced: None,
    };
    stage.health.set(Health::Healthy);
    tracing::info!("loading");
    let outcome = tokio::select! {
        biased; // a finished stage beats the deadline
        outcome = Box::pin(stage.run(received)) => outcome,
        never = asking => match never {},
        () = deadline(&token, grace) => Err(RunError::Forced(grace)),
        never = Box::pin(watch.run()) => match never {},
    };
    ending.cancel();
    // Leaving the group takes one round trip. The thread sees `ending` within one poll.
    let left = tokio::task::spawn_blocking(move || thread.join()).await;
    match (outcome, left) {
        (Ok(()), Ok(Err(_)) | Err(_)) => Err(RunError::IntakeGone),
        (outcome, _) => outcome,
    }
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
        ending: ending.clone(),
    })
}

/// Starts the thread that polls Kafka.
fn start_intake(
    options: IntakeOptions,
    batches: Sender<Result<Batch, ConsumeError>>,
    commands: mpsc::Receiver<IntakeCommand>,
) -> Result<JoinHandle<()>, RunError> {
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

/// The loading side of the channel.
struct LoadStage {
    loader: Loader,
    /// to ask on another connection whether the warehouse answers
    warehouse: ConnectOptions,
    plan: Arc<Plan>,
    metrics: Arc<Metrics>,
    health: HealthCell,
    paused: PausedTables,
    /// whether satellites may grow
    grows: bool,
    /// columns of which the log has said that they were dropped
    dropped: HashSet<(TableId, ColumnId)>,
    commands: mpsc::Sender<IntakeCommand>,
    token: CancellationToken,
    /// batches up to this generation are dropped
    fenced: Option<u64>,
}

impl LoadStage {
    async fn run(
        &mut self,
        mut batches: Receiver<Result<Batch, ConsumeError>>,
    ) -> Result<(), RunError> {
        loop {
            let batch = tokio::select! {
                biased; // an end beats the next batch
                () = self.token.cancelled() => return Ok(()),
                batch = batches.recv() => batch,
            };
            match batch {
                Some(Ok(batch)) if self.fenced.is_some_and(|fenced| batch.generation <= fenced) => {
                }
                Some(Ok(batch)) => self.load(&batch).await?,
                Some(Err(err)) => return Err(err.into()),
                None => return Err(RunError::IntakeGone),
            }
        }
    }

    /// Loads one batch. A table of it that has got columns is decoded again once the vault has taken them in.
    async fn load(&mut self, batch: &Batch) -> Result<(), RunError> {
        let mut refused = HashSet::new();
        loop {
            let plan = Arc::clone(&self.plan);
            let is_paused = |table| self.paused.contains(&plan.tables[table].topic);
            let job = Job::new(&plan, batch, is_paused);
            let mut growths = job.growths().iter();
            let may_grow = |table| self.grows && !refused.contains(table);
            let Some((table, columns)) = growths.find(|(table, _)| may_grow(table)) else {
                self.tell_of_dropped(&job);
                return self.load_job(batch, job).await;
            };
            match self.grow(*table, columns).await {
                Some(true) => {}
                Some(false) => drop(refused.insert(*table)),
                None => return Ok(()),
            }
        }
    }

    /// Takes in the columns that a table has got. `Some(false)` when that is not possible, `None` when the loader is to
    /// end.
    async fn grow(&mut self, table: TableId, columns: &[NewColumn]) -> Option<bool> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            match self.loader.grow(table, columns).await {
                Ok(plan) => {
                    self.plan = plan;
                    return Some(true);
                }
                Err(err) if err.is_retry() => {
                    self.loader.forget();
                    if !self.wait(&err, &mut backoff).await {
                        return None;
                    }
                }
                Err(error) => {
                    let topic = &self.plan.tables[table].topic;
                    tracing::warn!(topic, %error, "no satellite of the table can grow by its new columns");
                    return Some(false);
                }
            }
        }
    }

    /// Says once of each column that the source has dropped it.
    fn tell_of_dropped(&mut self, job: &Job<'_>) {
        for &(table, column) in job.dropped() {
            if self.dropped.insert((table, column)) {
                let topic = &self.plan.tables[table].topic;
                let column = &self.plan.model.tables[table].columns[column].name;
                tracing::warn!(
                    topic,
                    column,
                    "the source has dropped a column: it is NULL from here on"
                );
            }
        }
    }

    /// Loads a decoded batch, and tries again until the warehouse is back.
    async fn load_job(&mut self, batch: &Batch, mut job: Job<'_>) -> Result<(), RunError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut conflict_count = 0;
        loop {
            match self.attempt(&mut job).await {
                Ok(Some(Step::Loaded(loaded))) => {
                    self.report(&loaded);
                    backoff.reset();
                    conflict_count = 0;
                }
                Ok(Some(Step::Paused { pause, since })) => self.pause(&pause, since),
                Ok(None) => {
                    self.metrics.batch_took(started.elapsed().as_secs_f64());
                    self.health.set(Health::Healthy);
                    return Ok(());
                }
                Err(WarehouseError::Fenced) => {
                    tracing::warn!(
                        generation = batch.generation,
                        "fenced: another loader moved the offsets, reading them anew"
                    );
                    self.metrics.fenced();
                    self.fenced = Some(batch.generation);
                    tokio::select! {
                        () = self.token.cancelled() => return Ok(()),
                        () = tokio::time::sleep(FENCED_WAIT) => {}
                    }
                    // A closed channel means the intake has ended, which the next receive reports.
                    let _ = self.commands.send(IntakeCommand::Reset(batch.generation));
                    return Ok(());
                }
                Err(err) if err.is_retry() => {
                    if matches!(err, WarehouseError::Conflict { .. }) {
                        conflict_count += 1;
                        if conflict_count >= CONFLICTS_MAX {
                            return Err(err.into());
                        }
                    }
                    if !self.wait(&err, &mut backoff).await {
                        return Ok(());
                    }
                }
                Err(err) => return Err(err.into()),
            }
        }
    }

    /// One attempt with a watch on it. A slow warehouse may go on, a warehouse that does not answer is reported, and
    /// the wait ends after a limit.
    async fn attempt(&mut self, job: &mut Job<'_>) -> Result<Option<Step>, WarehouseError> {
        self.health.trying(true, Instant::now());
        let is_truncate = job.is_at_truncate();
        let outcome = tokio::select! {
            biased; // an outcome beats the doubts
            outcome = self.loader.advance(job) => outcome,
            () = watch(&self.warehouse, &self.health, is_truncate) => {
                Err(WarehouseError::Silent { wait_s: ATTEMPT_MAX.as_secs() })
            }
        };
        self.health.trying(false, Instant::now());
        if matches!(outcome, Err(WarehouseError::Silent { .. })) {
            // The warehouse may still commit what was sent. A loader that repeats it is fenced by the offsets, and
            // reads them again.
            self.loader.forget();
        }
        outcome
    }

    /// Waits before the next attempt; `false` when the loader is to end instead.
    async fn wait(&self, err: &WarehouseError, backoff: &mut Backoff) -> bool {
        let delay = backoff.next_delay();
        self.metrics.retried("load");
        self.health.set(Health::Failing(err.to_string()));
        if backoff.should_log() {
            let attempt = backoff.attempts();
            tracing::warn!(
                error = err as &dyn std::error::Error,
                attempt,
                "a batch failed, trying again"
            );
        }
        tokio::select! {
            () = self.token.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }

    /// Makes known that a table stands still. Later batches leave the table out, and the intake does not read it.
    fn pause(&self, pause: &TablePause, since: DateTime<Utc>) {
        let topic = &self.plan.tables[pause.from.table].topic;
        self.paused.pause(topic, pause, since);
        // A closed channel means the intake has ended, which the next receive reports.
        let _ = self.commands.send(IntakeCommand::Pause);
    }

    fn report(&self, loaded: &Loaded) {
        self.count(loaded);
        for event in loaded.quarantined.iter().filter(|event| event.at_fault) {
            let topic = &self.plan.tables[event.from.table].topic;
            tracing::error!(
                topic,
                partition = event.from.partition,
                offset = event.offset,
                reason = event.reason,
                "event put into quarantine"
            );
        }
        let waiting = loaded.quarantined.iter().filter(|event| !event.at_fault).count();
        if waiting > 0 {
            tracing::warn!(
                event_count = waiting,
                "events wait in the quarantine behind others of their keys"
            );
        }
        // A closed channel means the intake has ended, which the next receive reports.
        let _ = self.commands.send(IntakeCommand::Commit(loaded.moves.clone()));
    }

    fn count(&self, loaded: &Loaded) {
        self.metrics.committed(loaded.repeat_count);
        for (table, count) in &loaded.rows {
            self.metrics.rows_written(table, *count);
        }
        for event in &loaded.quarantined {
            self.metrics.quarantined(&self.plan.tables[event.from.table].topic);
        }
        for (table, count) in &loaded.events {
            self.metrics.events_loaded(&self.plan.tables[*table].topic, *count);
        }
        if let Some(applied_us) = loaded.last_applied_us {
            self.metrics.last_applied(applied_us);
        }
        for (from, next) in &loaded.moves {
            self.metrics.moved(&self.plan, *from, *next);
        }
    }
}
