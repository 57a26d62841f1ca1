//! Loads stretches of partitions into the rebuilt vault, several at a time, with the loader's own code.
//!
//! In: for each source a plan that writes to the rebuilt schemas, and stretches of its partitions. Out: rows, and the
//! offsets of the rebuilt vault. Each writer has partitions of its own, so that writers are to each other what loaders
//! in one consumer group are. A thread reads a batch ahead.
//!
//! Nothing may stand still here: the live vault has taken every one of these events, or has it in the quarantine. A
//! table that pauses ends the rebuild with the reason. When the answer to a commit is lost, the writer cannot know
//! whether it was carried out. It ends, and the next round goes on where the warehouse stands.

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use rdkafka::ClientConfig;
use shared::backoff::Backoff;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::RebuildError;
use super::progress::Progress;
use crate::batch::Batch;
use crate::config::Config;
use crate::consume::{ConsumeError, Span, SpanOptions, SpanReader};
use crate::epoch::Epochs;
use crate::load::{Job, Loader, LoaderLimits, Step};
use crate::model::{Plan, TableId};
use crate::warehouse::WarehouseError;
use crate::writers::{batch_limits, cache_entries, spread};

/// How often a batch is tried again in a row.
const TRIES_MAX: u32 = 10;

/// What is to be loaded of one source.
pub(super) struct Work {
    pub(super) plan: Arc<Plan>,
    pub(super) epochs: Arc<HashMap<TableId, Epochs>>,
    pub(super) spans: Vec<Span>,
}

impl Work {
    /// Offsets that it has.
    pub(super) fn event_count(&self) -> u64 {
        self.spans.iter().map(|span| (span.end - span.start).unsigned_abs()).sum()
    }

    /// The same in so many parts of about one size, each with partitions of its own.
    fn parts(&self, count: usize) -> Vec<Vec<Span>> {
        spread(self.spans.clone(), count, |span| span.end - span.start)
    }
}

/// Those who load.
pub(super) struct Crew<'c> {
    pub(super) config: &'c Config,
    pub(super) kafka: ClientConfig,
    /// how many load at a time
    pub(super) writers: u16,
}

impl Crew<'_> {
    /// Loads everything, or as much as is possible until `stop`.
    pub(super) async fn load(
        &self,
        work: &[Work],
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<(), RebuildError> {
        let slots = Arc::new(Semaphore::new(usize::from(self.writers)));
        let ending = stop.child_token();
        let mut running = JoinSet::new();
        for of_source in work {
            for spans in of_source.parts(usize::from(self.writers)) {
                let writer = self.writer(of_source, spans, progress, &ending);
                let slots = Arc::clone(&slots);
                running.spawn(async move {
                    let _slot = slots.acquire_owned().await;
                    let runtime = Handle::current();
                    let written = tokio::task::spawn_blocking(move || {
                        runtime.block_on(Box::pin(writer.run()))
                    });
                    written.await.unwrap_or(Err(RebuildError::Kafka(ConsumeError::Cancelled)))
                });
            }
        }
        let mut first = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended.unwrap_or(Err(RebuildError::Kafka(ConsumeError::Cancelled)));
            if first.is_ok() && ended.is_err() {
                ending.cancel();
                first = ended;
            }
        }
        if stop.is_cancelled() { Err(RebuildError::Stopped) } else { first }
    }

    fn writer(
        &self,
        work: &Work,
        spans: Vec<Span>,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Writer {
        let Config { limits, batch, .. } = self.config;
        let options = SpanOptions {
            client: self.kafka.clone(),
            plan: Arc::clone(&work.plan),
            epochs: Arc::clone(&work.epochs),
            limits: batch_limits(*batch, self.writers),
            stop: stop.clone(),
        };
        let limits = LoaderLimits {
            cache_entries_max: cache_entries(limits, self.writers),
            quarantine_events_max: limits.quarantine_events_max,
        };
        let loader = Loader::new(self.config.connect_options(), Arc::clone(&work.plan), limits);
        Writer { options, spans, loader, progress: progress.clone() }
    }
}

/// One of those who load.
struct Writer {
    options: SpanOptions,
    spans: Vec<Span>,
    loader: Loader,
    progress: Progress,
}

impl Writer {
    async fn run(mut self) -> Result<(), RebuildError> {
        if self.options.stop.is_cancelled() {
            return Ok(());
        }
        let reader = SpanReader::new(self.options.clone(), &self.spans)?;
        let (batches, mut received) = tokio::sync::mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || reader.run(&batches));
        let mut outcome = Ok(true);
        while let Some(batch) = received.recv().await {
            outcome = self.load(&batch).await;
            if !matches!(outcome, Ok(true)) {
                break;
            }
        }
        drop(received); // the reader ends when it has nobody to read for
        let read = reading.await.unwrap_or(Err(ConsumeError::Cancelled));
        if outcome? { Ok(read?) } else { Ok(()) }
    }

    /// Loads a batch; `false` when the writer cannot know where it stands, or has to end.
    async fn load(&mut self, batch: &Batch) -> Result<bool, RebuildError> {
        let plan = Arc::clone(&self.options.plan);
        let mut job = Job::new(&plan, batch, |_| false);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut tries = 0;
        loop {
            if self.options.stop.is_cancelled() {
                return Ok(false);
            }
            match self.loader.advance(&mut job).await {
                Ok(Some(Step::Loaded(loaded))) => {
                    self.progress.add(loaded.events.iter().map(|(_, count)| count).sum());
                    tries = 0;
                }
                Ok(Some(Step::Paused { pause, .. })) => {
                    let topic = &plan.tables[pause.from.table].topic;
                    return Err(RebuildError::Refused(vec![format!(
                        "{topic} partition {}: the event at offset {} was loaded, and cannot be loaded again: {}: {}",
                        pause.from.partition, pause.offset, pause.reason, pause.remedy
                    )]));
                }
                Ok(None) => return Ok(true),
                Err(WarehouseError::Fenced) => return Ok(false),
                Err(error) if error.is_retry() && tries < TRIES_MAX => {
                    tries += 1;
                    self.loader.forget();
                    let delay = backoff.next_delay();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a batch failed, trying again"
                    );
                    tokio::select! {
                        () = self.options.stop.cancelled() => return Ok(false),
                        () = tokio::time::sleep(delay) => {}
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
