//! Moves a source's watermark: the log position and the publish time up to which all of its topics are loaded.
//!
//! In: the source's heartbeats, the ends of its partitions in Kafka, and the offsets in the warehouse. Out: the row of
//! the source in `dwh_control.watermark`, a gauge, and what holds the watermark up.
//!
//! ```text
//! heartbeat H ─► read the warehouse's offsets ─► ask Kafka for the end of every partition
//!             ─► wait until the warehouse's offsets have passed these ends ─► watermark := H
//! ```
//!
//! Every event that H speaks of was in Kafka before H was, so it stands before the ends that are asked for after H was
//! read. The offsets are those of all loaders together, so it does not matter which loader has which partition, and
//! every loader of a source does this by itself. While one heartbeat waits for its ends, later ones are only
//! remembered: the ends that are waited for stay the same, so a loader that is behind gets there.
//!
//! Hard cases:
//! - A table that stands still holds the watermark up, and so does a partition that nobody has. The log says which.
//! - An event in quarantine does not: its offset has been passed. The watermark is about offsets.
//! - A topic that ends before what was loaded of it is another topic of the same name. Nothing is concluded from it.
//! - A partition that Kafka or the warehouse once named is waited for, whatever a later answer leaves out.
//! - A leader that was just elected names no end before it knows what its predecessor has acknowledged (KIP-207).
//! - A further topic of another model, another epoch, another timeline of the source: `control/watermark.rs`.
//! - Debezium's heartbeats say nothing of positions. The time at which the heartbeat was sent stands for the publish
//!   time. Debezium does not wait for acknowledgements, so an event may be published earlier and arrive later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use shared::backoff::Backoff;
use shared::debezium::heartbeat::Heartbeat;
use shared::postgres::{ConnectOptions, connect};
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::consume::{ConsumeError, EndsAsker, HeartbeatReader, PartitionEnds, is_bare};
use crate::control::{
    Advance, Mark, Needed, PartitionStanding, Registered, advance_watermark,
    read_partition_standings, read_watermarks,
};
use crate::metrics::Metrics;
use crate::model::Plan;
use crate::warehouse::WarehouseError;

/// The pause between two looks at the offsets while a heartbeat waits.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How long one question to the warehouse may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings of the session. It takes the locks of a load, so a loader that is frozen or gone must not keep them, and a
/// question that nobody waits for any more must end at the server, too.
const SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET lock_timeout = '3s';
    SET statement_timeout = '8s';";

/// The pause after a failure, and between two looks for a topic that does not exist.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How soon the end of the loader is noticed in a pause.
const NOTICE_END: Duration = Duration::from_millis(100);

/// After so long without a heartbeat the topic is opened anew: it may have been made again, or the client has forgotten
/// its brokers.
const REOPEN_AFTER: Duration = Duration::from_secs(60);

/// After so long without a further heartbeat the log says so. Connectors have intervals of up to ten minutes.
const SILENT_MAX: Duration = Duration::from_secs(900);

/// How long a partition has to stand at one offset before it is read up to its end.
const STANDS_AFTER: Duration = Duration::from_secs(2);

/// How long the watermark may wait before the log says for what.
const WAIT_TOLD_AFTER: Duration = Duration::from_secs(60);

/// What moves a source's watermark.
pub(crate) struct WatermarkWatch {
    /// librdkafka's properties, those of the intake
    pub(crate) client: ClientConfig,
    /// topic of the source's heartbeats
    pub(crate) topic: String,
    pub(crate) plan: Arc<Plan>,
    pub(crate) model: Registered,
    pub(crate) warehouse: ConnectOptions,
    pub(crate) metrics: Arc<Metrics>,
    /// how long the first heartbeat may take before the log says that none comes
    pub(crate) wait: Duration,
    /// what was published later than this ahead of the machine's clock is not believed
    pub(crate) clock_ahead_max_ms: u64,
    /// cancelled when the loader ends
    pub(crate) ending: CancellationToken,
}

/// Why a turn ended early. All of it passes.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Kafka(#[from] ConsumeError),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("the loader ends")]
    Ending,
}

impl WatchError {
    /// What went wrong. Kafka's own words stand for themselves, because all of it passes.
    fn reason(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Self::Kafka(ConsumeError::Refused(error)) => error,
            Self::Kafka(error) => error,
            Self::Warehouse(error) => error,
            Self::Ending => self,
        }
    }
}

/// A heartbeat that waits until everything before its ends is loaded.
struct Round {
    mark: Mark,
    needed: Vec<Needed>,
    noted: HashMap<(String, i32), PartitionEnds>,
    since: Instant,
    /// where each partition stood that was behind, and since when
    stands: HashMap<(String, i32), (i64, Instant)>,
}

/// What is known between two heartbeats.
struct State {
    reader: Option<HeartbeatReader>,
    asker: Option<EndsAsker>,
    warehouse: Option<Client>,
    newest: Option<Heartbeat>,
    round: Option<Round>,
    /// every partition that was ever named
    partitions: HashSet<(String, i32)>,
    heard: Instant,
    is_first_heard: bool,
    opened: Instant,
    /// turns in a row that ended early
    failures: Backoff,
    /// whether the log has said that no heartbeats come
    is_silence_told: bool,
    /// what the log has said last that holds the watermark up
    told: Option<Hold>,
}

/// What holds the watermark up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// A partition that was there is not named.
    Missing,
    /// A partition ends before what was loaded of it.
    Short,
    /// Something was published and is not loaded.
    Behind,
    /// A heartbeat is of the future.
    Ahead,
}

impl WatermarkWatch {
    /// Watches until the loader ends. This blocks the thread; `runtime` runs the questions to the warehouse.
    pub(crate) fn run(&self, runtime: &Handle) {
        let mut state = State {
            reader: None,
            asker: None,
            warehouse: None,
            newest: None,
            round: None,
            partitions: HashSet::new(),
            heard: Instant::now(),
            is_first_heard: false,
            opened: Instant::now(),
            is_silence_told: false,
            failures: Backoff::new(RETRY_PAUSE, RETRY_PAUSE),
            told: None,
        };
        while !self.ending.is_cancelled() {
            if let Err(error) = self.turn(&mut state, runtime) {
                let _delay = state.failures.next_delay();
                if state.failures.should_log() && !self.ending.is_cancelled() {
                    let attempts = state.failures.attempts();
                    let error = error.reason();
                    tracing::warn!(
                        error,
                        attempts,
                        "the watermark cannot be moved now, trying again; loading goes on"
                    );
                }
                // Whichever client has failed, all of them are made anew.
                (state.reader, state.asker, state.warehouse) = (None, None, None);
                state.round = None;
                self.pause(RETRY_PAUSE);
            } else {
                state.failures.reset();
            }
            self.tell_of_silence(&mut state);
        }
    }

    fn turn(&self, state: &mut State, runtime: &Handle) -> Result<(), WatchError> {
        let Some(reader) = self.reader(state)? else {
            self.pause(RETRY_PAUSE);
            return Ok(());
        };
        if let Some(heartbeat) = reader.newest()? {
            if self.is_ahead(&heartbeat) {
                let reason = "a heartbeat is further ahead of this machine's clock than batch.clock_ahead_max_ms allows: correct the \
                              clocks, and restart the reader";
                self.tell_of_hold(state, Hold::Ahead, reason);
            } else {
                state.newest = Some(heartbeat);
            }
            state.heard = Instant::now();
            state.is_first_heard = true;
            state.is_silence_told = false;
        } else if state.heard.max(state.opened).elapsed() > REOPEN_AFTER {
            state.reader = None;
        }
        if state.round.is_none()
            && let Some(heartbeat) = state.newest.take()
        {
            state.round = self.begin(state, &heartbeat, runtime)?;
        }
        if let Some(round) = state.round.take() {
            state.round = self.advance(state, round, runtime)?;
            if state.round.is_some() {
                self.pause(LOOK_PAUSE);
            }
        }
        Ok(())
    }

    /// Whether a heartbeat claims a publish time that no event may have. A watermark never goes back, so it would stand
    /// there until the clocks have come so far.
    fn is_ahead(&self, heartbeat: &Heartbeat) -> bool {
        let allowed_us = self.clock_ahead_max_ms.saturating_mul(1000).cast_signed();
        let latest_us = chrono::Utc::now().timestamp_micros().saturating_add(allowed_us);
        mark(heartbeat).published_us.is_some_and(|published_us| published_us > latest_us)
    }

    /// The reader of heartbeats; none while their topic does not exist.
    fn reader<'s>(
        &self,
        state: &'s mut State,
    ) -> Result<Option<&'s HeartbeatReader>, ConsumeError> {
        if state.reader.is_none() {
            let server = &self.plan.model.source.topic_prefix;
            state.reader = HeartbeatReader::open(&self.client, &self.topic, server)?;
            state.opened = Instant::now();
        }
        Ok(state.reader.as_ref())
    }

    /// Notes what has to be loaded before a heartbeat is true for the warehouse; none when nothing can be concluded.
    fn begin(
        &self,
        state: &mut State,
        heartbeat: &Heartbeat,
        runtime: &Handle,
    ) -> Result<Option<Round>, WatchError> {
        let topics: Vec<String> =
            self.plan.tables.iter().map(|table| table.topic.clone()).collect();
        // Offsets are read before the ends are asked for, so no offset lies behind the end of its partition.
        let stored = self.ask(&mut state.warehouse, runtime, async |client| {
            read_partition_standings(client, &topics).await
        })?;
        let asker = match state.asker.take() {
            Some(asker) => asker,
            None => EndsAsker::new(&self.client)?,
        };
        let ends = state.asker.insert(asker).ends(&topics, &self.ending)?;
        let stored: HashMap<_, _> =
            stored.into_iter().map(|at| ((at.topic.clone(), at.partition), at)).collect();
        let named: HashSet<_> = ends.iter().map(place_of).collect();
        let known = state.partitions.iter().chain(stored.keys());
        if let Some((topic, partition)) = known.filter(|place| !named.contains(*place)).min() {
            let reason = format!("Kafka does not name {topic}[{partition}], which it had before");
            self.tell_of_hold(state, Hold::Missing, &reason);
            return Ok(None);
        }
        state.partitions.extend(named);
        if let Some(end) =
            ends.iter().find(|end| stored.get(&place_of(end)).is_some_and(|at| at.next > end.end))
        {
            let PartitionEnds { topic, partition, .. } = end;
            let reason = format!("{topic}[{partition}] ends before what was loaded of it");
            self.tell_of_hold(state, Hold::Short, &reason);
            return Ok(None);
        }
        let needed = ends.iter().map(|end| Needed {
            topic: end.topic.clone(),
            partition: end.partition,
            end: end.end,
            epoch: stored.get(&place_of(end)).map(|at| at.epoch),
        });
        Ok(Some(Round {
            mark: mark(heartbeat),
            needed: needed.collect(),
            noted: ends.iter().map(|end| (place_of(end), end.clone())).collect(),
            since: Instant::now(),
            stands: HashMap::new(),
        }))
    }

    /// Tries to move the watermark. Gives the round back while partitions are behind.
    fn advance(
        &self,
        state: &mut State,
        mut round: Round,
        runtime: &Handle,
    ) -> Result<Option<Round>, WatchError> {
        let system_id = self.plan.model.source.system_id;
        let (model, mark, needed) = (&self.model, round.mark, &round.needed);
        let outcome = self.ask(&mut state.warehouse, runtime, async |client| {
            advance_watermark(client, model, system_id, mark, needed).await
        })?;
        match outcome {
            Advance::Moved => {
                state.told = None;
                let published = self.ask(&mut state.warehouse, runtime, async |client| {
                    read_watermarks(client, &[system_id]).await
                })?;
                self.metrics.watermark(published.first().map(|at| at.published));
                Ok(None)
            }
            Advance::Anew | Advance::OtherModel => {
                // What was heard before the change may not be true after it.
                (state.newest, state.reader) = (None, None);
                self.metrics.watermark(None);
                Ok(None)
            }
            Advance::Waits(behind) => {
                self.look_at_ends(&mut round, &behind)?;
                if round.since.elapsed() > WAIT_TOLD_AFTER {
                    let places = behind.iter().map(|at| format!("{}[{}]", at.topic, at.partition));
                    let places: Vec<String> = places.take(5).collect();
                    let reason = format!("{} are behind", places.join(", "));
                    self.tell_of_hold(state, Hold::Behind, &reason);
                }
                Ok(Some(round))
            }
        }
    }

    /// Reads partitions that stand still up to their ends. What has no event there is not waited for.
    fn look_at_ends(
        &self,
        round: &mut Round,
        behind: &[PartitionStanding],
    ) -> Result<(), ConsumeError> {
        for at in behind {
            let place = (at.topic.clone(), at.partition);
            let (next, since) = round.stands.get(&place).copied().unwrap_or((-1, Instant::now()));
            if next != at.next {
                round.stands.insert(place, (at.next, Instant::now()));
                continue;
            }
            if since.elapsed() < STANDS_AFTER {
                continue;
            }
            let Some(noted) = round.noted.get(&place) else { continue };
            if is_bare(&self.client, noted, at.next, &self.ending)?
                && let Some(needed) = round
                    .needed
                    .iter_mut()
                    .find(|needed| (&needed.topic, needed.partition) == (&place.0, place.1))
            {
                needed.end = at.next;
            } else {
                // It is read again later.
                round.stands.insert(place, (at.next, Instant::now() + WAIT_TOLD_AFTER));
            }
        }
        Ok(())
    }

    /// Asks the warehouse on a connection that is kept.
    fn ask<T>(
        &self,
        kept: &mut Option<Client>,
        runtime: &Handle,
        question: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, WatchError> {
        let asked = async {
            let mut client = match kept.take() {
                Some(client) => client,
                None => {
                    let client = connect(&self.warehouse).await.map_err(WarehouseError::from)?;
                    client.batch_execute(SETTINGS).await.map_err(WarehouseError::from)?;
                    client
                }
            };
            let answer = question(&mut client).await.map_err(WarehouseError::from)?;
            *kept = Some(client);
            Ok::<_, WatchError>(answer)
        };
        let silent = WarehouseError::Silent { wait_s: PATIENCE.as_secs() };
        runtime.block_on(async {
            tokio::select! {
                biased; // the runtime may end with the loader
                () = self.ending.cancelled() => Err(WatchError::Ending),
                answered = tokio::time::timeout(PATIENCE, asked) => {
                    answered.unwrap_or(Err(WatchError::Warehouse(silent)))
                }
            }
        })
    }

    /// Says once that there is no watermark because no heartbeats come, and what to do about it.
    fn tell_of_silence(&self, state: &mut State) {
        let silent_max = if state.is_first_heard { SILENT_MAX } else { self.wait };
        if !state.is_silence_told && state.heard.elapsed() > silent_max {
            state.is_silence_told = true;
            tracing::warn!(
                topic = self.topic,
                "no heartbeats come from the source, so the watermark stands still. During an initial snapshot that is as it should be. \
                 Otherwise set heartbeat.interval.ms in the connector, and heartbeat_topic in this configuration when the topic has \
                 another name. Loading goes on"
            );
        }
    }

    /// Says once what holds the watermark up.
    fn tell_of_hold(&self, state: &mut State, hold: Hold, reason: &str) {
        if state.told.replace(hold) != Some(hold) {
            tracing::warn!(reason, "the watermark stands still");
        }
    }

    fn pause(&self, wait: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < wait && !self.ending.is_cancelled() {
            std::thread::sleep(NOTICE_END.min(wait));
        }
    }
}

fn place_of(end: &PartitionEnds) -> (String, i32) {
    (end.topic.clone(), end.partition)
}

/// What a heartbeat claims. One of Debezium claims nothing, and the time at which it was sent stands for the publish
/// time.
fn mark(heartbeat: &Heartbeat) -> Mark {
    match heartbeat.reached {
        Some(reached) => Mark {
            source_lsn: Some(reached.position.as_i64()),
            timeline: i32::try_from(reached.timeline).ok(),
            committed_us: reached.committed_us,
            published_us: reached.published_us,
        },
        None => Mark {
            source_lsn: None,
            timeline: None,
            committed_us: None,
            published_us: Some(heartbeat.sent_ms.saturating_mul(1000)),
        },
    }
}
