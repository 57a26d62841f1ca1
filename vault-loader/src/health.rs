//! What the stages report about themselves, for `/ready`.
//!
//! In: reports of the stages, each with its time where the time matters. Out: the [`Facts`] from which
//! [`crate::readiness::judge`] decides. Clones share what was reported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::readiness::Facts;
pub use crate::readiness::Health;
use crate::writers::WriterId;

/// Takes reports and gives facts. Each writer reports about its own work, with a clone of its own.
#[derive(Debug, Clone)]
pub struct HealthCell {
    reported: Arc<Mutex<Reported>>,
    /// whose work [`HealthCell::set`] is about; none is everything that belongs to no writer
    writer: Option<WriterId>,
}

#[derive(Debug)]
struct Reported {
    work: Health,
    /// why writers cannot go on
    failing: BTreeMap<WriterId, String>,
    warehouse_silent: Option<String>,
    /// when a broker was last known to have answered
    kafka_heard: Instant,
    /// whether the thread that polls Kafka waits for the loader, and so hears nothing of the brokers
    is_holding: bool,
    broker_trouble: Option<String>,
    was_assigned: bool,
    unassigned_since: Option<Instant>,
    topics: Option<String>,
    /// since when events wait without a commit and without an attempt
    standing_since: Option<Instant>,
    events_wait: bool,
    /// attempts to load that are going on
    trying: usize,
}

impl Reported {
    /// What all say together: one that cannot go on is enough.
    fn work(&self) -> Health {
        match (&self.work, self.failing.values().next()) {
            (Health::Healthy, Some(reason)) => Health::Failing(reason.clone()),
            (work, _) => work.clone(),
        }
    }
}

impl Default for HealthCell {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthCell {
    /// A loader that has just started.
    #[must_use]
    pub fn new() -> Self {
        let reported = Reported {
            work: Health::Starting,
            failing: BTreeMap::new(),
            warehouse_silent: None,
            kafka_heard: Instant::now(),
            is_holding: false,
            broker_trouble: None,
            was_assigned: false,
            unassigned_since: None,
            topics: None,
            standing_since: None,
            events_wait: false,
            trying: 0,
        };
        Self { reported: Arc::new(Mutex::new(reported)), writer: None }
    }

    /// The same for what a writer reports.
    #[must_use]
    pub(crate) fn of_writer(&self, writer: WriterId) -> Self {
        Self { reported: Arc::clone(&self.reported), writer: Some(writer) }
    }

    /// Sets what the loading side says.
    pub fn set(&self, work: Health) {
        let mut reported = self.lock();
        match (self.writer, work) {
            (None, work) => reported.work = work,
            (Some(writer), Health::Failing(reason)) => {
                reported.failing.insert(writer, reason);
            }
            (Some(writer), Health::Healthy | Health::Starting) => {
                reported.failing.remove(&writer);
            }
        }
    }

    /// Reads what the loading side says.
    #[must_use]
    pub fn get(&self) -> Health {
        self.lock().work()
    }

    /// The warehouse was asked: `silent` says why it did not answer.
    pub fn asked_warehouse(&self, silent: Option<String>) {
        self.lock().warehouse_silent = silent;
    }

    /// A broker has answered at this time; `trouble` says what is wrong with the brokers of assigned partitions.
    pub fn heard_kafka(&self, heard: Option<Instant>, trouble: Option<String>) {
        let mut reported = self.lock();
        if let Some(heard) = heard {
            reported.kafka_heard = reported.kafka_heard.max(heard);
        }
        reported.broker_trouble = trouble;
    }

    /// The thread that polls Kafka begins or ends to wait for the loader. The wait is not the brokers' silence.
    pub fn hold(&self, is_holding: bool, now: Instant) {
        let mut reported = self.lock();
        if reported.is_holding && !is_holding {
            reported.kafka_heard = now;
        }
        reported.is_holding = is_holding;
    }

    /// The group has given an assignment, or taken it away.
    pub fn assigned(&self, has_assignment: bool, now: Instant) {
        let mut reported = self.lock();
        reported.was_assigned |= has_assignment;
        reported.unassigned_since = match (has_assignment, reported.unassigned_since) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
        if has_assignment {
            reported.standing_since = reported.events_wait.then_some(now);
        }
    }

    /// What is wrong with the topics of the model; none when nothing is.
    pub fn topics(&self, problem: Option<String>) {
        self.lock().topics = problem;
    }

    /// Whether events wait in Kafka.
    pub fn waiting(&self, events_wait: bool, now: Instant) {
        let mut reported = self.lock();
        if events_wait && !reported.events_wait {
            reported.standing_since = Some(now);
        }
        reported.events_wait = events_wait;
    }

    /// An attempt to load begins or ends. Both are progress.
    pub fn trying(&self, is_trying: bool, now: Instant) {
        let mut reported = self.lock();
        reported.trying = match is_trying {
            true => reported.trying + 1,
            false => reported.trying.saturating_sub(1),
        };
        reported.standing_since = Some(now);
    }

    /// The facts at this moment.
    #[must_use]
    pub fn facts(&self, now: Instant) -> Facts {
        let reported = self.lock();
        let since = |at: Instant| now.saturating_duration_since(at);
        let stands = reported.events_wait && reported.trying == 0;
        Facts {
            work: reported.work(),
            warehouse_silent: reported.warehouse_silent.clone(),
            kafka_silent: if reported.is_holding {
                Duration::ZERO
            } else {
                since(reported.kafka_heard)
            },
            broker_trouble: reported.broker_trouble.clone(),
            was_assigned: reported.was_assigned,
            unassigned: reported.unassigned_since.map_or(Duration::ZERO, since),
            topics: reported.topics.clone(),
            standing: reported.standing_since.filter(|_| stands).map_or(Duration::ZERO, since),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wait_for_the_loader_is_not_the_silence_of_the_brokers() {
        let (cell, start) = (HealthCell::new(), Instant::now());
        cell.heard_kafka(Some(start), None);
        let silent = |at: Instant| cell.facts(at).kafka_silent;
        assert_eq!(silent(start + 5 * SECOND), 5 * SECOND);
        cell.hold(true, start + 5 * SECOND);
        assert_eq!(silent(start + 60 * SECOND), Duration::ZERO);
        cell.hold(false, start + 60 * SECOND);
        assert_eq!(silent(start + 63 * SECOND), 3 * SECOND);
        // Nothing new was heard.
        cell.heard_kafka(None, None);
        cell.hold(false, start + 64 * SECOND);
        assert_eq!(silent(start + 65 * SECOND), 5 * SECOND);
    }

    #[test]
    fn the_time_without_an_assignment_counts_from_its_loss() {
        let (cell, start) = (HealthCell::new(), Instant::now());
        assert!(!cell.facts(start).was_assigned);
        cell.assigned(true, start);
        cell.assigned(false, start + SECOND);
        cell.assigned(false, start + 4 * SECOND);
        let facts = cell.facts(start + 6 * SECOND);
        assert_eq!((facts.was_assigned, facts.unassigned), (true, 5 * SECOND));
        cell.assigned(true, start + 7 * SECOND);
        assert_eq!(cell.facts(start + 9 * SECOND).unassigned, Duration::ZERO);
    }

    #[test]
    fn a_writer_that_cannot_go_on_is_told_until_it_can() {
        let cell = HealthCell::new();
        let [first, second] = [0, 1].map(|index| cell.of_writer(WriterId::from_index(index)));
        cell.set(Health::Healthy);
        first.set(Health::Failing("gone".to_owned()));
        second.set(Health::Healthy);
        assert_eq!(cell.get(), Health::Failing("gone".to_owned()));
        first.set(Health::Healthy);
        assert_eq!(cell.get(), Health::Healthy);
    }

    #[test]
    fn one_attempt_among_several_is_progress() {
        let (cell, start) = (HealthCell::new(), Instant::now());
        cell.waiting(true, start);
        cell.trying(true, start);
        cell.trying(true, start);
        cell.trying(false, start);
        assert_eq!(cell.facts(start + 90 * SECOND).standing, Duration::ZERO);
        cell.trying(false, start);
        assert_eq!(cell.facts(start + 90 * SECOND).standing, 90 * SECOND);
    }

    #[test]
    fn events_stand_only_while_nothing_is_tried() {
        let (cell, start) = (HealthCell::new(), Instant::now());
        let standing = |at: Instant| cell.facts(at).standing;
        cell.waiting(false, start);
        assert_eq!(standing(start + 90 * SECOND), Duration::ZERO);
        cell.waiting(true, start + 90 * SECOND);
        cell.waiting(true, start + 95 * SECOND);
        assert_eq!(standing(start + 99 * SECOND), 9 * SECOND);
        cell.trying(true, start + 100 * SECOND);
        assert_eq!(standing(start + 900 * SECOND), Duration::ZERO);
        cell.trying(false, start + 900 * SECOND);
        assert_eq!(standing(start + 902 * SECOND), 2 * SECOND);
        cell.waiting(false, start + 903 * SECOND);
        assert_eq!(standing(start + 990 * SECOND), Duration::ZERO);
    }
}
