//! What an operator does with a stored offset after the reader has ended with exit code 3: show it, delete it, or
//! replace it by the slot's position.
//!
//! In: the connector and the worker's settings. Out: a record in the offset topic, and a line that says which offset
//! stood there and which one stands there now. Invariant: nothing is written while the connector runs, because the
//! command holds the writer lock meanwhile. Only `delete --force` does without the lock.

use std::path::Path;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use crate::cli::{OffsetAction, OffsetArgs, WorkerArgs, WorkerError};
use crate::clock;
use crate::connector::{self, Connector, ConnectorError};
use crate::error::SessionError;
use crate::exit;
use crate::kafka_clients::{KafkaClients, KafkaProblems};
use crate::publish::{
    Offset, OffsetStore, Position, Publisher, PublisherOptions, Record, RecordHeaders, StoredOffset,
};
use crate::replication::{Client, Mode, ReplicationError, WaitLimit};
use crate::session::{Server, writer_lock};

/// How long Kafka may take to acknowledge the record.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Why the offset stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum OffsetCommandError {
    /// The worker's settings.
    #[error(transparent)]
    Worker(#[from] Box<WorkerError>),
    /// The connector file.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// TLS and SASL towards Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaProblems),
    /// The offset topic cannot be read or written, for a reason that would also end a session of the connector.
    #[error(transparent)]
    Session(Box<SessionError>),
    /// The source cannot be asked.
    #[error(
        "cannot ask the source whether the connector runs: {0}; when the source is gone, `cdc-reader offset delete --force` deletes the offset \
         without asking"
    )]
    Source(#[from] ReplicationError),
    /// The connector runs.
    #[error("the connector runs: {holder} captures with slot {slot}; stop that reader first")]
    Running {
        /// The connector's slot.
        slot: String,
        /// The session that holds the lock.
        holder: String,
    },
    /// There is no slot to go on at.
    #[error(
        "there is no slot {slot} to go on at, or the server has invalidated it: run `cdc-reader offset delete`, so that the next start \
         begins anew"
    )]
    NoSlot {
        /// The connector's slot.
        slot: String,
    },
    /// Only a deletion can do without asking.
    #[error("--force is for `cdc-reader offset delete` only")]
    Force,
    /// Kafka did not acknowledge the record.
    #[error("Kafka did not acknowledge the record within {} s: run the command again", WRITE_DEADLINE.as_secs())]
    NotAcknowledged,
}

impl OffsetCommandError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Worker(_) | Self::Connector(_) | Self::Kafka(_) | Self::Force => {
                exit::CONFIGURATION
            }
            Self::Session(error) => error.exit_code(),
            Self::Source(_)
            | Self::Running { .. }
            | Self::NoSlot { .. }
            | Self::NotAcknowledged => exit::FAILED,
        }
    }

    fn of_kafka(error: impl Into<SessionError>) -> Self {
        Self::Session(Box::new(error.into()))
    }
}

/// Runs the command and returns the line to print.
///
/// # Errors
/// Why the offset stays as it is.
pub fn run(args: OffsetArgs) -> Result<String, OffsetCommandError> {
    if args.force && args.action != OffsetAction::Delete {
        return Err(OffsetCommandError::Force);
    }
    let place = Place::of(&args.connector, args.worker)?;
    let (stored, shown) =
        place.store.load(&CancellationToken::new()).map_err(OffsetCommandError::of_kafka)?;
    let before =
        shown.map_or_else(|| "no offset was stored".to_owned(), |value| format!("it was {value}"));
    match args.action {
        OffsetAction::Show => Ok(match stored {
            StoredOffset::None if before.starts_with("no offset") => {
                "no offset is stored".to_owned()
            }
            StoredOffset::None | StoredOffset::Resume(_) => before.replacen("it was ", "", 1),
        }),
        OffsetAction::Delete => {
            let _lock = if args.force { None } else { Some(place.lock()?) };
            place.write(None)?;
            Ok(format!("the offset is deleted, the next start begins anew; {before}"))
        }
        OffsetAction::Accept => {
            let mut lock = place.lock()?;
            let offset = place.offset_of_slot(&mut lock)?;
            let value = offset.value().to_string();
            place.write(Some(value.as_bytes()))?;
            Ok(format!("the next start goes on at {value}; {before}"))
        }
    }
}

/// The connector's place in the offset topic, and its source.
struct Place {
    connector: Connector,
    kafka: KafkaClients,
    store: OffsetStore,
}

impl Place {
    fn of(file: &Path, worker: WorkerArgs) -> Result<Self, OffsetCommandError> {
        let worker = worker.resolve().map_err(Box::new)?;
        let connector = connector::load(file)?;
        let security = &connector.settings.kafka_security;
        let kafka = KafkaClients::new(&worker.bootstrap_servers, &worker.kafka, security)?;
        let store = OffsetStore::new(
            &kafka.consumer,
            &worker.offset_storage_topic,
            &connector.name,
            &connector.settings.topic_prefix,
        );
        Ok(Self { connector, kafka, store })
    }

    fn slot(&self) -> &str {
        &self.connector.settings.slot_name
    }

    /// A connection that holds the connector's lock.
    fn lock(&self) -> Result<Client, OffsetCommandError> {
        let (source, limit) = (&self.connector.settings.database, WaitLimit::brief());
        let mut client = Client::connect(source, Mode::Replication, limit)?;
        if writer_lock::try_take(&mut client, self.slot())? {
            return Ok(client);
        }
        let holder = writer_lock::holder(&mut client, self.slot())?;
        let holder = holder.unwrap_or_else(|| "another session".to_owned());
        Err(OffsetCommandError::Running { slot: self.slot().to_owned(), holder })
    }

    /// The offset that says that everything before the slot's position has been published.
    fn offset_of_slot(&self, client: &mut Client) -> Result<Offset, OffsetCommandError> {
        let server = Server::look(client, self.slot())?;
        let slot = server.slot.filter(|slot| slot.lost().is_none());
        let Some(end_lsn) = slot.and_then(|slot| slot.confirmed_flush) else {
            return Err(OffsetCommandError::NoSlot { slot: self.slot().to_owned() });
        };
        let position = Position { end_lsn, transaction: None };
        let (ts_us, source) = (clock::now_us(), server.identity);
        Ok(Offset { position, ts_us, source, sent_until: None })
    }

    /// Writes the offset's record, where Kafka Connect would write it; none deletes the offset.
    fn write(&self, value: Option<&[u8]>) -> Result<(), OffsetCommandError> {
        let mut publisher = Publisher::new(&PublisherOptions {
            cluster: self.kafka.producer.clone(),
            overrides: Vec::new(),
            context_headers: Vec::new(),
            stalled_seconds: Gauge::default(),
        })
        .map_err(OffsetCommandError::of_kafka)?;
        let key = self.store.key();
        let topic = self.store.topic();
        publisher
            .send(&Record { topic, key: Some(&key), value, headers: RecordHeaders::None })
            .map_err(OffsetCommandError::of_kafka)?;
        if publisher.flush(WRITE_DEADLINE) {
            return Ok(());
        }
        Err(publisher
            .failure()
            .map_or(OffsetCommandError::NotAcknowledged, OffsetCommandError::of_kafka))
    }
}
