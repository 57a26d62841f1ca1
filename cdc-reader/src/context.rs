//! What every session needs from outside, and how it reaches the source and Kafka.
//!
//! In: the connector's and the worker's settings, once. Out: connections, producers and the place of the stored offset.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{self, PublishClock};
use crate::connector::{Connector, ConvertingFailures, Settings};
use crate::ended::Ended;
use crate::envelope::{PlanOptions, WithoutForm};
use crate::kafka_clients::KafkaClients;
use crate::observe::Observer;
use crate::publish::{
    Delivery, HeartbeatSender, HeartbeatTopic, History, NewTopics, OffsetStore, PublishError,
    Publisher, PublisherOptions, TopicMaker,
};
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};
use crate::source_watch::SourceWatch;

/// What a session needs from outside.
pub struct Context {
    /// The connector.
    pub connector: Connector,
    /// How each kind of client reaches Kafka.
    pub kafka: KafkaClients,
    /// Kafka Connect's `offset.storage.topic`.
    pub offset_topic: String,
    /// How long source and Kafka may take to answer for the first time; afterwards an outage is waited out however long
    /// it takes.
    pub startup_timeout: Duration,
    /// Cancelled when the process shall end.
    pub cancel: CancellationToken,
    /// Metrics and status.
    pub observer: Arc<Observer>,
    /// Asks the source beside the sessions.
    pub watch: SourceWatch,
    /// Identifies this start in the events' headers.
    pub run_id: String,
    /// Stamps events with their publish time.
    pub publish_clock: PublishClock,
    /// The way for heartbeats; none when the connector sends none.
    pub heartbeats: Option<HeartbeatSender>,
    /// For the few calls that are asynchronous.
    pub runtime: tokio::runtime::Handle,
}

impl Context {
    pub(crate) fn offsets(&self) -> OffsetStore {
        OffsetStore::new(
            &self.kafka.consumer,
            &self.offset_topic,
            &self.connector.name,
            &self.connector.settings.topic_prefix,
        )
    }

    pub(crate) fn plan_options(&self) -> PlanOptions {
        plan_options(&self.connector.settings)
    }

    /// A connection to the source for statements that may wait, which a stop ends.
    pub(crate) fn connect(&self, mode: Mode) -> Result<Client, ReplicationError> {
        let limit = WaitLimit::until_stopped(&self.cancel);
        Client::connect(&self.connector.settings.database, mode, limit)
    }

    /// Waits, and says whether somebody asked for a stop meanwhile.
    pub(crate) fn pause(&self, wait: Duration) -> Ended {
        clock::sleep(&self.cancel, wait);
        if self.cancel.is_cancelled() { Ended::Stopped } else { Ended::Done }
    }

    /// Makes the delivery of events that belong to `history`.
    pub(crate) fn delivery(&self, history: History) -> Result<Delivery, PublishError> {
        Ok(Delivery::new(
            self.publisher()?,
            self.offsets(),
            self.topic_maker(),
            history,
            clock::now_us(),
        ))
    }

    /// Makes a producer.
    pub(crate) fn publisher(&self) -> Result<Publisher, PublishError> {
        let settings = &self.connector.settings;
        let context_headers = context_headers(settings, &self.run_id);
        let publisher = Publisher::new(&PublisherOptions {
            cluster: self.kafka.producer.clone(),
            overrides: settings.producer_overrides.clone(),
            context_headers,
            stalled_seconds: self.observer.publish_stalled(),
        })?;
        self.observer.queue_bytes_max(publisher.queue_bytes_max());
        Ok(publisher)
    }

    fn topic_maker(&self) -> TopicMaker {
        TopicMaker::start(
            &self.kafka.admin,
            self.new_topics(),
            self.runtime.clone(),
            self.observer.on_first_record(),
        )
    }

    /// How missing topics are made.
    pub(crate) fn new_topics(&self) -> NewTopics {
        new_topics(&self.connector)
    }

    /// Where heartbeats go, when the connector sends any.
    pub(crate) fn heartbeat_topic(&self) -> Option<HeartbeatTopic> {
        heartbeat_topic(&self.connector)
    }
}

/// What the plans of tables take from the connector's settings.
pub(crate) fn plan_options(settings: &Settings) -> PlanOptions {
    PlanOptions {
        topic_prefix: settings.topic_prefix.clone(),
        database: settings.database.database.clone(),
        version: settings.version.clone(),
        unavailable_value_placeholder: settings.unavailable_value_placeholder.clone(),
        replace_null_with_default: settings.replace_null_with_default_value,
        column_types_header: settings.column_types_header,
        without_form: match settings.converting_failures {
            ConvertingFailures::Fail => WithoutForm::Error,
            ConvertingFailures::Warn | ConvertingFailures::Skip => WithoutForm::Null,
        },
    }
}

/// Debezium's headers of every event.
pub(crate) fn context_headers(settings: &Settings, run_id: &str) -> Vec<(String, String)> {
    if !settings.extended_headers {
        return Vec::new();
    }
    let context = |name: &str| format!("__debezium.context.{name}");
    vec![
        (context("connectorLogicalName"), settings.topic_prefix.clone()),
        (context("taskId"), "0".to_owned()),
        (context("connectorName"), "postgresql".to_owned()),
        (context("runId"), run_id.to_owned()),
    ]
}

fn new_topics(connector: &Connector) -> NewTopics {
    let creation = &connector.settings.topic_creation;
    NewTopics {
        partitions: creation.partitions,
        replication_factor: creation.replication_factor.map(i32::from),
        config: creation.config.clone(),
    }
}

/// Where the connector's heartbeats go, when it sends any.
pub(crate) fn heartbeat_topic(connector: &Connector) -> Option<HeartbeatTopic> {
    let heartbeats = connector.settings.heartbeats.as_ref()?;
    Some(HeartbeatTopic {
        name: heartbeats.topic.clone(),
        server: connector.settings.topic_prefix.clone(),
        new: new_topics(connector),
    })
}

/// Starts the thread that sends the connector's heartbeats, if it sends any.
///
/// # Errors
/// When no thread can be started.
pub fn start_heartbeats(
    connector: &Connector,
    kafka: &KafkaClients,
    observer: &Observer,
) -> std::io::Result<Option<HeartbeatSender>> {
    let Some(topic) = heartbeat_topic(connector) else { return Ok(None) };
    let (runtime, on_first_record) =
        (tokio::runtime::Handle::current(), observer.on_first_record());
    let clusters = [&kafka.admin, &kafka.producer];
    HeartbeatSender::start(topic, clusters, runtime, on_first_record).map(Some)
}
