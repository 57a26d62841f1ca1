//! Notices that Kafka acknowledges nothing of what waits, and finds out why.
//!
//! In: the ledger. Out: a gauge, warnings that come less and less often and name topics and reasons, and a call when
//! the producer itself stands still.
//!
//! librdkafka tries a batch again when a partition has no leader or too few in-sync replicas, and reports nothing,
//! because the fault may pass. So a thread of its own looks once a second whether the oldest record that waits is still
//! the same one. When that record has been the same for long, the thread asks the brokers for the state of the topics
//! that were written to.
//!
//! When the brokers go on to report no fault, the producer is at fault. A broker that is fenced for a moment answers
//! with an empty list of brokers. librdkafka then forgets all brokers, and asks none again
//! (<https://github.com/confluentinc/librdkafka/issues/5301>). Only another producer helps.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::ClientConfig;

use super::topics::QuietContext;

/// How often the thread looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A broker that restarts in order, or a partition that moves, is back sooner than this.
const WARN_AFTER: Duration = Duration::from_secs(10);

/// How often the brokers are asked for a reason after that.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long the brokers must have reported no fault before the producer is taken for the cause.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// How long the brokers may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How many topics a warning names, how many partitions of each, and for how many topics the brokers are asked for
/// `min.insync.replicas`.
const NAMED_MAX: usize = 5;

/// What waits at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Records without an acknowledgement.
    pub(super) records: u64,
    /// The number of the oldest of them.
    pub(super) oldest: u64,
}

/// Since when the oldest record has been the same. Pure: the caller gives the time.
#[derive(Debug)]
struct Progress {
    oldest: u64,
    since: Instant,
    warn_at: Duration,
    /// when the brokers are asked next for a reason
    ask_at: Duration,
    /// since when the brokers have reported no fault, each time that they were asked
    faultless_since: Option<Instant>,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self {
            oldest: 0,
            since: now,
            warn_at: WARN_AFTER,
            ask_at: WARN_AFTER,
            faultless_since: None,
        }
    }

    /// How long nothing of what waits has been acknowledged; zero when nothing waits.
    fn stalled(&mut self, waiting: Waiting, now: Instant) -> Duration {
        if waiting.records == 0 || waiting.oldest != self.oldest {
            *self = Self { oldest: waiting.oldest, ..Self::new(now) };
        }
        now.saturating_duration_since(self.since)
    }

    /// Whether to warn now. Each warning of a stall comes after twice the time of the one before.
    fn is_warning_due(&mut self, stalled: Duration) -> bool {
        let due = stalled >= self.warn_at;
        if due {
            self.warn_at = stalled * 2;
        }
        due
    }

    /// Whether to ask the brokers for a reason.
    fn is_question_due(&mut self, stalled: Duration) -> bool {
        let due = stalled >= self.ask_at;
        if due {
            self.ask_at = stalled + ASK_EVERY;
        }
        due
    }

    /// Whether the producer itself stands still, by what the brokers have answered now and before.
    fn is_stuck(&mut self, has_fault: bool, now: Instant) -> bool {
        if has_fault {
            self.faultless_since = None;
            return false;
        }
        let since = *self.faultless_since.get_or_insert(now);
        now.saturating_duration_since(since) >= STUCK_AFTER
    }
}

/// The topics that were written to.
#[derive(Debug, Default)]
pub(super) struct Topics(Mutex<BTreeSet<String>>);

impl Topics {
    /// Notes a topic.
    pub(super) fn note(&self, topic: &str) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains(topic) {
            topics.insert(topic.to_owned());
        }
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The running watch; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct StallWatch {
    _end: Sender<()>,
}

impl StallWatch {
    /// Starts to watch a producer of this configuration. `waiting` says what waits; `gauge` shows for how many seconds
    /// nothing of it has been acknowledged. `stuck` is called when the producer itself stands still.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        config: ClientConfig,
        gauge: Gauge,
        topics: Arc<Topics>,
        waiting: impl Fn() -> Waiting + Send + 'static,
        stuck: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new().name("stall-watch".to_owned()).spawn(move || {
            let mut progress = Progress::new(Instant::now());
            let mut warned = false;
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let waits = waiting();
                let stalled = progress.stalled(waits, Instant::now());
                gauge.set(i64::try_from(stalled.as_secs()).unwrap_or(i64::MAX));
                if progress.is_question_due(stalled) {
                    let fault = fault(&config, &topics.names());
                    if progress.is_warning_due(stalled) {
                        warned = true;
                        tracing::warn!(
                            seconds = stalled.as_secs(),
                            records = waits.records,
                            reason = fault.as_deref().unwrap_or(NO_FAULT),
                            "Kafka acknowledges nothing of what waits"
                        );
                    }
                    if progress.is_stuck(fault.is_some(), Instant::now()) {
                        stuck();
                    }
                } else if warned && stalled < WARN_AFTER {
                    warned = false;
                    tracing::info!("Kafka acknowledges again");
                }
            }
            gauge.set(0);
        })?;
        Ok(Self { _end: end })
    }
}

/// What is said when the brokers tell no reason.
const NO_FAULT: &str = "the brokers answer and report no fault: read the brokers' logs";

/// Why nothing is acknowledged, if the brokers tell a reason.
fn fault(config: &ClientConfig, topics: &BTreeSet<String>) -> Option<String> {
    let admin: AdminClient<QuietContext> = match config.create_with_context(QuietContext) {
        Ok(admin) => admin,
        Err(error) => return Some(format!("the brokers cannot be asked: {error}")),
    };
    let metadata = match admin.inner().fetch_metadata(None, ASK_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(error) => return Some(format!("no broker answers: {error}")),
    };
    let mut found = Vec::new();
    let mut few = Vec::new();
    for topic in topics {
        let Some(known) = metadata.topics().iter().find(|known| known.name() == topic) else {
            found.push(format!("topic {topic} does not exist"));
            continue;
        };
        let leaderless: Vec<String> = known
            .partitions()
            .iter()
            .filter(|partition| partition.leader() < 0)
            .map(|partition| partition.id().to_string())
            .take(NAMED_MAX)
            .collect();
        if !leaderless.is_empty() {
            let list = leaderless.join(", ");
            found.push(format!("topic {topic} has no leader for partition {list}"));
        }
        let led = known.partitions().iter().filter(|partition| partition.leader() >= 0);
        few.extend(led.map(|led| (topic.as_str(), led.isr().len(), led.replicas().len())));
    }
    few.sort_by_key(|(topic, in_sync, _)| (*in_sync, *topic));
    few.dedup_by_key(|(topic, ..)| *topic);
    few.truncate(NAMED_MAX);
    found.extend(too_few_in_sync(&admin, &few));
    if found.is_empty() {
        return None;
    }
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    if more > 0 {
        found.push(format!("{more} more"));
    }
    Some(found.join("; "))
}

/// Topics that ask for more in-sync replicas than they have. The broker asks for no more than there are replicas.
fn too_few_in_sync(
    admin: &AdminClient<QuietContext>,
    topics: &[(&str, usize, usize)],
) -> Vec<String> {
    let asked: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|(topic, ..)| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let answers = runtime.block_on(admin.describe_configs(&asked, &options)).unwrap_or_default();
    topics
        .iter()
        .zip(answers)
        .filter_map(|((topic, in_sync, replicas), answer)| {
            let config = answer.ok()?;
            let wanted = config.get("min.insync.replicas")?.value.as_ref()?;
            (wanted.parse::<usize>().ok()?.min(*replicas) > *in_sync).then(|| {
                format!("topic {topic} has {in_sync} in-sync replicas, and min.insync.replicas is {wanted}")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stall_lasts_as_long_as_the_oldest_record_waits() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let waiting = |records, oldest| Waiting { records, oldest };
        assert_eq!(progress.stalled(waiting(0, 0), start + 5 * SECOND), Duration::ZERO);
        assert_eq!(progress.stalled(waiting(3, 0), start + 8 * SECOND), 3 * SECOND);
        // Records of other partitions come and go, and the oldest one waits.
        assert_eq!(progress.stalled(waiting(9, 0), start + 20 * SECOND), 15 * SECOND);
        assert_eq!(progress.stalled(waiting(9, 1), start + 21 * SECOND), Duration::ZERO);
        assert_eq!(progress.stalled(waiting(0, 10), start + 30 * SECOND), Duration::ZERO);
    }

    #[test]
    fn the_brokers_are_asked_again_and_again() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let mut questions = Vec::new();
        for second in 0..32u32 {
            let waiting = Waiting { records: 1, oldest: u64::from(second >= 26) };
            let stalled = progress.stalled(waiting, start + SECOND * second);
            if progress.is_question_due(stalled) {
                questions.push(second);
            }
        }
        assert_eq!(questions, [10, 15, 20, 25]);
    }

    #[test]
    fn warnings_come_less_and_less_often_and_a_new_stall_begins_anew() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        let mut warnings = Vec::new();
        for second in 0..100u32 {
            let now = start + SECOND * second;
            let stalled = progress.stalled(Waiting { records: 1, oldest: 0 }, now);
            if progress.is_warning_due(stalled) {
                warnings.push(second);
            }
        }
        assert_eq!(warnings, [10, 20, 40, 80]);
        let mut again = |second: u32, oldest| {
            let stalled = progress.stalled(Waiting { records: 1, oldest }, start + SECOND * second);
            progress.is_warning_due(stalled)
        };
        assert!(!again(101, 1));
        assert!(again(111, 1));
    }

    #[test]
    fn a_producer_is_stuck_when_the_brokers_go_on_to_report_no_fault() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let waits = |oldest| Waiting { records: 3, oldest };
        let mut progress = Progress::new(start);
        progress.stalled(waits(7), start);
        assert!(!progress.is_stuck(false, at(10)));
        assert!(!progress.is_stuck(false, at(29)));
        assert!(progress.is_stuck(false, at(30)));
        // A fault of the brokers, and an acknowledgement, begin the time anew.
        assert!(!progress.is_stuck(true, at(40)));
        assert!(!progress.is_stuck(false, at(41)));
        progress.stalled(waits(8), at(50));
        assert!(!progress.is_stuck(false, at(70)));
    }
}
