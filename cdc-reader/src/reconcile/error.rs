//! Why the deletes of vanished rows are not published, each with its remedy, and the exit code.

use std::path::PathBuf;

use shared::vanished::VanishedError;

use crate::cli::WorkerError;
use crate::connector::ConnectorError;
use crate::envelope::{PlanError, RowError};
use crate::error::SessionError;
use crate::exit;
use crate::kafka_clients::KafkaProblems;
use crate::publish::PublishError;
use crate::replication::{ReplicationError, SourceIdentity};

/// Why the deletes are not published, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The worker's settings.
    #[error(transparent)]
    Worker(#[from] Box<WorkerError>),
    /// The connector file.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// TLS and SASL towards Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaProblems),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is no such file.
    #[error("{path}: {source}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VanishedError,
    },
    /// It has more rows than were allowed.
    #[error(
        "the file has {rows} rows, which is more than --max-deletes {most}: read the file, and allow as many"
    )]
    TooMany {
        /// Rows of the file.
        rows: usize,
        /// Rows that were allowed.
        most: usize,
    },
    /// The file is about other topics.
    #[error(
        "the file is about topics that begin with {file}, and the connector writes topics that begin with {connector}"
    )]
    OtherTopics {
        /// The prefix in the file.
        file: String,
        /// The connector's.
        connector: String,
    },
    /// The file is about another source, or another history of it.
    #[error(
        "the file is about {file}, and the connector's source is {source_now}: write the file again with `vault-loader reconcile` on \
         that source"
    )]
    OtherSource {
        /// In the file.
        file: SourceIdentity,
        /// The server that was reached.
        source_now: SourceIdentity,
    },
    /// The server is a standby.
    #[error("the source is a standby, or recovers: give the connector the primary")]
    Standby,
    /// The connector publishes no deletes.
    #[error("the connector has skipped.operations with d: its topics have no deletes at all")]
    DeletesSkipped,
    /// The connector runs.
    #[error(
        "the connector runs: {holder} captures with slot {slot}; stop it, run this command, and start it again, so that no insert of a row \
         is published before the row's delete"
    )]
    Running {
        /// The connector's slot.
        slot: String,
        /// The session that holds the lock, or the process that reads from the slot.
        holder: String,
    },
    /// Somebody's transaction is open for too long.
    #[error(
        "a transaction of the source that is older than number {number} has been open for {seconds} s: run the command again when it has \
         ended, or wait longer with --wait"
    )]
    Open {
        /// The number that was taken.
        number: u64,
        /// How long was waited.
        seconds: u64,
    },
    /// The connector does not capture a table of the file.
    #[error("the connector does not capture {table}, or its changes arrive under another name")]
    NotCaptured {
        /// `schema.table`.
        table: String,
    },
    /// A table has another key than the vault's.
    #[error(
        "the key of {table} is ({found}), and the file has ({expected}): the vault does not know the key that the table's events have"
    )]
    OtherKey {
        /// `schema.table`.
        table: String,
        /// In the events.
        found: String,
        /// In the file.
        expected: String,
    },
    /// A key's column has become narrower.
    #[error(
        "{table}: the row with hash key {hash_key} has a key that the columns' types at the source do not hold as it is"
    )]
    OtherType {
        /// `schema.table`.
        table: String,
        /// The row's.
        hash_key: String,
    },
    /// The source cannot be asked.
    #[error("the source fails: {0}")]
    Source(#[from] ReplicationError),
    /// The source cannot be captured as it is.
    #[error(transparent)]
    Session(#[from] Box<SessionError>),
    /// A table has no form in events.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A key has no form in events.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Kafka refused a record.
    #[error(
        "Kafka did not take every delete: {0}; run the command again: what was published before changes nothing"
    )]
    Publish(#[from] PublishError),
    /// Kafka did not answer.
    #[error(
        "Kafka has not acknowledged every delete within {seconds} s: run the command again, what was published before changes nothing"
    )]
    NotAcknowledged {
        /// How long was waited.
        seconds: u64,
    },
}

impl ReconcileError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Worker(_)
            | Self::Connector(_)
            | Self::Kafka(_)
            | Self::File { .. }
            | Self::Form { .. }
            | Self::OtherTopics { .. }
            | Self::OtherSource { .. }
            | Self::Standby
            | Self::DeletesSkipped
            | Self::NotCaptured { .. }
            | Self::OtherKey { .. }
            | Self::OtherType { .. }
            | Self::Plan(_)
            | Self::Row(_) => exit::CONFIGURATION,
            Self::Session(error) => error.exit_code(),
            Self::TooMany { .. }
            | Self::Running { .. }
            | Self::Open { .. }
            | Self::Source(_)
            | Self::Publish(_)
            | Self::NotAcknowledged { .. } => exit::FAILED,
        }
    }
}

impl From<SessionError> for ReconcileError {
    fn from(error: SessionError) -> Self {
        Self::Session(Box::new(error))
    }
}
