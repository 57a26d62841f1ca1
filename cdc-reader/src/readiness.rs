//! Whether the reader is connected and makes progress.
//!
//! In: what the sessions and the watch of the source report. Out: yes, or the reason why not, in one line. The decision
//! is [`judge`], which is pure. [`Progress`] keeps the facts for it; the caller says what time it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the oldest record that waits for Kafka may be the same. One stuck partition is enough for that. A broker's
/// restart in a healthy cluster is shorter.
const STALLED_AFTER: Duration = Duration::from_secs(15);

/// How long a snapshot may make no progress. A table that is locked, or rows that Kafka does not take, make it longer.
const SNAPSHOT_IDLE_MAX: Duration = Duration::from_secs(30);

/// What the reader is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Source and Kafka have not both answered yet.
    Connecting,
    /// Source and Kafka have answered. The reader waits for the writer lock or for the server, makes the slot, or
    /// publishes the retractions after an interrupted snapshot.
    Preparing,
    /// The reader waits for something before it can begin.
    Waiting {
        /// For what.
        what: String,
    },
    /// The rows that exist are being published.
    Snapshot,
    /// Changes are being published.
    Streaming,
    /// A session failed, and the next one follows.
    Restarting {
        /// Why it failed.
        cause: String,
    },
    /// The reader ends by this failure.
    Failed {
        /// Why.
        cause: String,
    },
}

/// What decides whether the reader is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the reader is doing.
    pub phase: Phase,
    /// Why the source did not answer when it was asked last; none when it answered.
    pub source_silent: Option<String>,
    /// How long the oldest record that waits for Kafka has been the same; zero when none waits.
    pub publish_stalled: Duration,
    /// How long the snapshot has made no progress; zero when none runs.
    pub snapshot_idle: Duration,
}

/// Whether the reader is connected and makes progress.
///
/// # Errors
/// The reason why not: one line, without row values and secrets.
pub fn judge(facts: &Facts) -> Result<(), String> {
    match &facts.phase {
        Phase::Connecting => return Err("connecting to the source and to Kafka".to_owned()),
        Phase::Preparing => {
            return Err(
                "preparing: the slot is being made, or an interrupted snapshot is cleared up"
                    .to_owned(),
            );
        }
        Phase::Waiting { what } => return Err(format!("waiting: {what}")),
        Phase::Restarting { cause } => {
            return Err(format!("connecting again after a failure: {}", first_line(cause)));
        }
        Phase::Failed { cause } => return Err(format!("failed: {}", first_line(cause))),
        Phase::Snapshot | Phase::Streaming => {}
    }
    if let Some(cause) = &facts.source_silent {
        return Err(format!("the source does not answer: {}", first_line(cause)));
    }
    if facts.publish_stalled >= STALLED_AFTER {
        let seconds = facts.publish_stalled.as_secs();
        return Err(format!(
            "records wait, and Kafka has not acknowledged the oldest of them for {seconds} s"
        ));
    }
    if facts.phase == Phase::Snapshot && facts.snapshot_idle >= SNAPSHOT_IDLE_MAX {
        let seconds = facts.snapshot_idle.as_secs();
        return Err(format!("the snapshot has made no progress for {seconds} s"));
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The facts, as they are reported. Clones share them.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Reported>>);

#[derive(Debug)]
struct Reported {
    phase: Phase,
    source_silent: Option<String>,
    acknowledged: u64,
    /// Since when the oldest record that waits has been the same.
    waiting_since: Option<Instant>,
    snapshot_moved: Instant,
}

impl Progress {
    /// A reader that has just started.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Reported {
            phase: Phase::Connecting,
            source_silent: None,
            acknowledged: 0,
            waiting_since: None,
            snapshot_moved: now,
        })))
    }

    /// The reader begins to do something else. What waited for Kafka is forgotten: the next session reports it again.
    pub fn enter(&self, phase: Phase, now: Instant) {
        let mut reported = self.lock();
        reported.phase = phase;
        reported.waiting_since = None;
        reported.snapshot_moved = now;
    }

    /// What the reader is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// The source was asked: `silent` says why it did not answer.
    pub fn asked_source(&self, silent: Option<String>) {
        self.lock().source_silent = silent;
    }

    /// So many records wait for Kafka, and it has acknowledged so many without a gap.
    pub fn published(&self, in_flight: u64, acknowledged: u64, now: Instant) {
        let mut reported = self.lock();
        if in_flight == 0 {
            reported.waiting_since = None;
        } else if acknowledged == reported.acknowledged {
            reported.waiting_since.get_or_insert(now);
        } else {
            reported.waiting_since = Some(now);
        }
        reported.acknowledged = acknowledged;
    }

    /// The snapshot has read further rows.
    pub fn snapshot_moved(&self, now: Instant) {
        self.lock().snapshot_moved = now;
    }

    /// The facts at this moment.
    #[must_use]
    pub fn facts(&self, now: Instant) -> Facts {
        let reported = self.lock();
        let since = |at: Instant| now.saturating_duration_since(at);
        let snapshot_idle = match reported.phase {
            Phase::Snapshot => since(reported.snapshot_moved),
            _ => Duration::ZERO,
        };
        Facts {
            phase: reported.phase.clone(),
            source_silent: reported.source_silent.clone(),
            publish_stalled: reported.waiting_since.map_or(Duration::ZERO, since),
            snapshot_idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn facts(phase: Phase) -> Facts {
        Facts {
            phase,
            source_silent: None,
            publish_stalled: Duration::ZERO,
            snapshot_idle: Duration::ZERO,
        }
    }

    #[track_caller]
    fn check(facts: &Facts, reason: Option<&str>) {
        let judged = judge(facts);
        assert_eq!(judged.as_ref().err().map(String::as_str), reason, "{facts:?}");
    }

    #[test]
    fn only_a_snapshot_and_a_stream_are_ready() {
        check(&facts(Phase::Snapshot), None);
        check(&facts(Phase::Streaming), None);
        check(&facts(Phase::Connecting), Some("connecting to the source and to Kafka"));
        assert!(judge(&facts(Phase::Preparing)).is_err());
        let cause = "connection to PostgreSQL broke\nand more".to_owned();
        check(
            &facts(Phase::Restarting { cause: cause.clone() }),
            Some("connecting again after a failure: connection to PostgreSQL broke"),
        );
        check(&facts(Phase::Failed { cause }), Some("failed: connection to PostgreSQL broke"));
    }

    #[test]
    fn a_source_that_does_not_answer_is_named() {
        let silent =
            Facts { source_silent: Some("silent for 10 s".to_owned()), ..facts(Phase::Streaming) };
        check(&silent, Some("the source does not answer: silent for 10 s"));
    }

    #[test]
    fn records_that_wait_too_long_are_named_and_a_short_wait_is_not() {
        let stalled = |wait| Facts { publish_stalled: wait, ..facts(Phase::Streaming) };
        check(&stalled(STALLED_AFTER - SECOND), None);
        check(
            &stalled(STALLED_AFTER),
            Some("records wait, and Kafka has not acknowledged the oldest of them for 15 s"),
        );
    }

    #[test]
    fn a_snapshot_that_reads_rows_is_ready_and_one_that_stands_still_is_not() {
        let idle = |phase, wait| Facts { snapshot_idle: wait, ..facts(phase) };
        check(&idle(Phase::Snapshot, SNAPSHOT_IDLE_MAX - SECOND), None);
        check(
            &idle(Phase::Snapshot, SNAPSHOT_IDLE_MAX),
            Some("the snapshot has made no progress for 30 s"),
        );
    }

    #[test]
    fn each_acknowledgement_begins_the_wait_anew_and_nothing_in_flight_ends_it() {
        let start = Instant::now();
        let progress = Progress::new(start);
        progress.enter(Phase::Streaming, start);
        let stalled = |at: Instant| progress.facts(at).publish_stalled;
        progress.published(0, 0, start);
        assert_eq!(stalled(start + 60 * SECOND), Duration::ZERO);
        progress.published(5, 0, start + 60 * SECOND);
        progress.published(7, 0, start + 70 * SECOND);
        assert_eq!(stalled(start + 71 * SECOND), 11 * SECOND);
        progress.published(7, 3, start + 72 * SECOND);
        assert_eq!(stalled(start + 73 * SECOND), SECOND);
        progress.published(0, 10, start + 74 * SECOND);
        assert_eq!(stalled(start + 90 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_snapshot_s_rows_count_from_its_beginning_and_only_while_it_runs() {
        let start = Instant::now();
        let progress = Progress::new(start);
        assert_eq!(progress.facts(start + 90 * SECOND).snapshot_idle, Duration::ZERO);
        progress.enter(Phase::Snapshot, start + 90 * SECOND);
        assert_eq!(progress.facts(start + 95 * SECOND).snapshot_idle, 5 * SECOND);
        progress.snapshot_moved(start + 96 * SECOND);
        assert_eq!(progress.facts(start + 98 * SECOND).snapshot_idle, 2 * SECOND);
        progress.enter(Phase::Streaming, start + 99 * SECOND);
        assert_eq!(progress.facts(start + 200 * SECOND).snapshot_idle, Duration::ZERO);
    }

    #[test]
    fn a_new_phase_forgets_what_waited() {
        let start = Instant::now();
        let progress = Progress::new(start);
        progress.published(5, 0, start);
        progress.enter(Phase::Connecting, start + SECOND);
        assert_eq!(progress.facts(start + 60 * SECOND).publish_stalled, Duration::ZERO);
        assert_eq!(progress.phase(), Phase::Connecting);
    }
}
