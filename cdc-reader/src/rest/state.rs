//! What the REST interface shows, as the sessions report it.
//!
//! In: the connector's identity, once, and its states, topics and offset as they change. Out: the same for the answers.
//! Setting them is cheap and never waits, so a session may do it anywhere.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::readiness::Progress;

/// The states of a connector or task that Kafka Connect knows and that occur here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectorState {
    /// Not started yet.
    Unassigned,
    /// At work.
    Running,
    /// Paused on purpose.
    Paused,
    /// Ended by an error.
    Failed {
        /// The error and its causes, one a line; without row values and secrets.
        trace: String,
    },
    /// Waiting for the next attempt, after an error that may pass.
    Restarting,
}

impl ConnectorState {
    /// Kafka Connect's word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed { .. } => "FAILED",
            Self::Restarting => "RESTARTING",
        }
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        match self {
            Self::Failed { trace } => Some(trace),
            Self::Unassigned | Self::Running | Self::Paused | Self::Restarting => None,
        }
    }
}

/// The connector's state and that of its one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Of the connector.
    pub connector: ConnectorState,
    /// Of task 0.
    pub task: ConnectorState,
}

/// What does not change while the program runs.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The connector's name.
    pub name: String,
    /// Its properties as they may be shown.
    pub config: Vec<(String, String)>,
    /// The version in events and answers.
    pub version: String,
    /// `topic.prefix`: the server's name in the stored offset's key.
    pub topic_prefix: String,
    /// The address by which others reach this program, `host:port`.
    pub worker_id: String,
}

/// The handle that the sessions report to and that the answers read. Clones share their state.
#[derive(Debug, Clone)]
pub struct RestState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    identity: Identity,
    metrics: Metrics,
    progress: Progress,
    status: watch::Sender<Status>,
    kafka_cluster_id: OnceLock<String>,
    topics: RwLock<Vec<String>>,
    offset: RwLock<Option<serde_json::Value>>,
}

impl RestState {
    /// A connector that has not started yet.
    #[must_use]
    pub fn new(identity: Identity, metrics: Metrics) -> Self {
        let unassigned =
            Status { connector: ConnectorState::Unassigned, task: ConnectorState::Unassigned };
        Self(Arc::new(Shared {
            identity,
            metrics,
            progress: Progress::new(Instant::now()),
            status: watch::Sender::new(unassigned),
            kafka_cluster_id: OnceLock::new(),
            topics: RwLock::default(),
            offset: RwLock::default(),
        }))
    }

    /// Puts connector and task into one state.
    pub fn set(&self, state: ConnectorState) {
        self.0.status.send_replace(Status { connector: state.clone(), task: state });
    }

    /// Puts the task into a state. In a worker, a connector goes on running when its task fails.
    pub fn set_task(&self, state: ConnectorState) {
        self.0.status.send_modify(|status| status.task = state);
    }

    /// Notes the cluster that the broker belongs to. Only the first call counts.
    pub fn set_kafka_cluster_id(&self, id: &str) {
        // A cluster's id never changes, so the first call said the same.
        let _known = self.0.kafka_cluster_id.set(id.to_owned());
    }

    /// Notes that a topic has been written to.
    pub fn note_topic(&self, topic: &str) {
        let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
        if !topics.iter().any(|known| known == topic) {
            topics.push(topic.to_owned());
        }
    }

    /// Notes the offset that was stored last, as it stands in the offset topic.
    pub fn set_offset(&self, offset: serde_json::Value) {
        *self.0.offset.write().unwrap_or_else(PoisonError::into_inner) = Some(offset);
    }

    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }

    /// The state and its changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }

    /// Where the facts are kept that decide whether the reader is ready.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.0.progress
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn kafka_cluster_id(&self) -> Option<&str> {
        self.0.kafka_cluster_id.get().map(String::as_str)
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.0.topics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn offset(&self) -> Option<serde_json::Value> {
        self.0.offset.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
