//! Why a session failed, and what follows from it.

use shared::position::Lsn;

use crate::disposition::Disposition;
use crate::envelope::{PlanError, RowError};
use crate::exit;
use crate::metrics::Peer;
use crate::pgoutput::DecodeError;
use crate::publish::{OffsetError, PublishError};
use crate::replication::ReplicationError;
use crate::setup_problem::SetupProblem;
use crate::transaction::OrderError;

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection to the source.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// Kafka.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The stored offsets.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The stream's order.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A message of the stream.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A table that cannot be captured.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A row that cannot be written.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A row of a relation that was never announced.
    #[error("pgoutput sent a row of relation {oid} without announcing it")]
    UnknownRelation {
        /// The relation.
        oid: u32,
    },
    /// The source is not set up for it; one line a problem.
    #[error("{}", lines(.0))]
    Setup(Vec<SetupProblem>),
    /// The tables are not any more what they were when the session began; the next one begins with what they are now.
    #[error("the source changed while the snapshot was being set up: {0}")]
    TablesChanged(TableChange),
    /// Changes are gone for good.
    #[error(
        "replication slot {slot} is lost: {reason}; changes since then are gone: drop the slot, delete the connector's stored offset and \
         start again, so that a new snapshot is taken"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// Why.
        reason: LostSlot,
    },
    /// Nothing answered within the time that a first start may take.
    #[error("{what} within {seconds} s of the start: {cause}")]
    Startup {
        /// What did not happen.
        what: &'static str,
        /// How long it was tried.
        seconds: u64,
        /// The last failure.
        cause: String,
    },
}

/// Why a replication slot is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LostSlot {
    /// Somebody dropped it.
    #[error(
        "it does not exist, and the offset stored in topic {topic} says that changes were published up to {offset}"
    )]
    Missing {
        /// The topic of the stored offset.
        topic: String,
        /// The stored offset.
        offset: Lsn,
    },
    /// The server's WAL ends before what was published.
    #[error(
        "the offset stored in topic {topic} is {offset}, beyond the server's WAL, which ends at {wal_end}: this is another server, or one \
         that was set back"
    )]
    BehindOffset {
        /// The topic of the stored offset.
        topic: String,
        /// The stored offset.
        offset: Lsn,
        /// The end of the server's WAL.
        wal_end: Lsn,
    },
    /// The server gave it up.
    #[error("the server has invalidated it ({reason})")]
    Invalidated {
        /// The server's word for the reason.
        reason: String,
    },
}

/// How the captured tables changed while a snapshot was being set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableChange {
    /// There are others.
    #[error("tables were made or dropped")]
    MadeOrDropped,
    /// The rows of a table are not visible in the snapshot any more.
    #[error("table {table} was rewritten")]
    Rewritten {
        /// The table.
        table: String,
    },
}

impl SessionError {
    /// Whether another session may succeed.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Replication(error) => error.disposition(),
            Self::Publish(error) => error.disposition(),
            Self::Offsets(OffsetError::Read { .. }) | Self::TablesChanged(_) => Disposition::Retry,
            Self::Offsets(OffsetError::Malformed { .. })
            | Self::Order(_)
            | Self::Decode(_)
            | Self::Plan(_)
            | Self::Row(_)
            | Self::UnknownRelation { .. }
            | Self::Setup(_)
            | Self::SlotLost { .. }
            | Self::Startup { .. } => Disposition::Stop,
        }
    }

    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setup(_) | Self::Plan(_) | Self::Publish(PublishError::Configuration(_)) => {
                exit::CONFIGURATION
            }
            Self::Replication(error) if is_login_failure(error) => exit::CONFIGURATION,
            Self::Replication(
                ReplicationError::Tls { .. } | ReplicationError::TlsRefused { .. },
            ) => exit::CONFIGURATION,
            Self::SlotLost { .. } => exit::OPERATOR,
            _ => exit::FAILED,
        }
    }

    /// Which connection it was.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Publish(_) | Self::Offsets(_) => Peer::Kafka,
            _ => Peer::Postgres,
        }
    }

    /// The error and its causes on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let line = error.to_string();
            // A transparent layer says what its cause says.
            if !text.ends_with(&line) {
                text.push_str(": ");
                text.push_str(&line);
            }
            cause = error.source();
        }
        text
    }
}

fn lines(problems: &[SetupProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(SetupProblem::to_string).collect();
    lines.join("\n")
}

/// Class 28: wrong password or role; 3D000: no such database.
fn is_login_failure(error: &ReplicationError) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("28") || code == "3D000")
}
