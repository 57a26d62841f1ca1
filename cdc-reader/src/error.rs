//! Why a session failed, and what to do then.

use shared::position::Lsn;

use crate::disposition::Disposition;
use crate::envelope::{PlanError, RowError};
use crate::exit;
use crate::gap::Gap;
use crate::metrics::Peer;
use crate::pgoutput::DecodeError;
use crate::publish::{OffsetError, PublishError};
use crate::replication::{ReplicationError, SourceIdentity};
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
    #[error("at {position}: {source}")]
    Row {
        /// Where the change stands in the WAL; for a snapshot's row the consistent point.
        position: Lsn,
        /// Why not.
        source: RowError,
    },
    /// A row of a relation that was never announced.
    #[error("pgoutput sent a row of relation {oid} without announcing it")]
    UnknownRelation {
        /// The relation.
        oid: u32,
    },
    /// The source is not set up for capturing. Each problem is one line.
    #[error("{}", lines(.0))]
    Setup(Vec<SetupProblem>),
    /// The tables have changed since the session began. The next session begins with the changed tables.
    #[error("the source changed before the snapshot had read it: {0}")]
    TablesChanged(TableChange),
    /// Nobody can go on from the stored offset without a gap.
    #[error(
        "cannot go on from the stored offset without a gap: {gap}. {}",
        gap.remedy(.slot)
    )]
    Gap {
        /// The connector's slot.
        slot: String,
        /// Why not.
        gap: Gap,
    },
    /// The connection leads to a standby.
    #[error("the server is a standby ({server}): the next connection may lead to a primary")]
    Standby {
        /// Which one.
        server: SourceIdentity,
    },
    /// Two connections of one session reached different servers.
    #[error("the source has changed since the session began: it was {before}, and now it is {now}")]
    SourceChanged {
        /// What the session's first connection reached.
        before: SourceIdentity,
        /// What a later one reached.
        now: SourceIdentity,
    },
    /// Two connections of one session reached different servers.
    #[error(
        "two connections to the source reached different servers: behind database.hostname there is a load balancer, or there was a \
         failover just now; let database.hostname lead to one server, the primary"
    )]
    TwoServers,
    /// Nothing answered within the time that a first start may take.
    #[error("source and Kafka did not both answer within {seconds} s of the start: {cause}")]
    Startup {
        /// How long it was tried.
        seconds: u64,
        /// The last failure.
        cause: String,
    },
}

/// How the captured tables changed while a snapshot was being set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableChange {
    /// There are others.
    #[error("tables were made or dropped")]
    MadeOrDropped,
    /// The table has other columns, or is another one under the same name.
    #[error("table {table} was altered or made again")]
    Altered {
        /// The table.
        table: String,
    },
    /// The rows of a table are not visible in the snapshot any more.
    #[error("table {table} was rewritten")]
    Rewritten {
        /// The table.
        table: String,
    },
}

impl SessionError {
    /// Nobody can go on from the stored offset of the connector with this slot.
    pub(crate) fn gap(slot: &str, gap: Gap) -> Self {
        Self::Gap { slot: slot.to_owned(), gap }
    }

    /// A row that cannot be written, by its position.
    pub(crate) fn row(position: Lsn) -> impl Fn(RowError) -> Self {
        move |source| Self::Row { position, source }
    }

    /// Whether another session may succeed.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Replication(error) => error.disposition(),
            Self::Publish(error) => error.disposition(),
            Self::Offsets(OffsetError::Read { .. })
            | Self::TablesChanged(_)
            | Self::Standby { .. }
            | Self::SourceChanged { .. }
            | Self::TwoServers => Disposition::Retry,
            Self::Offsets(OffsetError::Malformed { .. } | OffsetError::Denied { .. })
            | Self::Order(_)
            | Self::Decode(_)
            | Self::Plan(_)
            | Self::Row { .. }
            | Self::UnknownRelation { .. }
            | Self::Setup(_)
            | Self::Gap { .. }
            | Self::Startup { .. } => Disposition::Stop,
        }
    }

    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Setup(_)
            | Self::Plan(_)
            | Self::Publish(PublishError::Configuration(_))
            | Self::Offsets(OffsetError::Denied { .. }) => exit::CONFIGURATION,
            Self::Replication(error) if is_login_failure(error) => exit::CONFIGURATION,
            Self::Replication(
                ReplicationError::Tls { .. }
                | ReplicationError::TlsRefused { .. }
                | ReplicationError::Refused { .. }
                | ReplicationError::Unproven { .. },
            ) => exit::CONFIGURATION,
            Self::Gap { .. } => exit::OPERATOR,
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
            // A transparent error has the same text as its cause.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Breakage, ConfigurationProblem};
    use crate::replication::ServerError;

    fn server(code: &str) -> SessionError {
        let error = ServerError {
            code: code.to_owned(),
            message: "no".to_owned(),
            detail: None,
            hint: None,
        };
        ReplicationError::from(error).into()
    }

    #[track_caller]
    fn check(error: SessionError, disposition: Disposition, code: u8) {
        assert_eq!((error.disposition(), error.exit_code()), (disposition, code), "{error:?}");
    }

    #[test]
    fn outages_are_waited_out() {
        check(ReplicationError::Closed.into(), Disposition::Retry, exit::FAILED);
        check(ReplicationError::ShuttingDown.into(), Disposition::Retry, exit::FAILED);
        check(PublishError::Broken(Breakage::Batch).into(), Disposition::Retry, exit::FAILED);
        let read = OffsetError::Read { topic: "offsets".to_owned(), reason: "no".to_owned() };
        check(read.into(), Disposition::Retry, exit::FAILED);
        check(
            SessionError::TablesChanged(TableChange::MadeOrDropped),
            Disposition::Retry,
            exit::FAILED,
        );
        // In turn: the server shuts down, has no connection left, the slot is in use, a lock is not free, a table is
        // gone.
        for code in ["57P01", "53300", "55006", "55P03", "42P01"] {
            check(server(code), Disposition::Retry, exit::FAILED);
        }
    }

    #[test]
    fn what_somebody_has_to_configure_stops_the_reader() {
        // In turn: a wrong password, no such role, no such database.
        for code in ["28P01", "28000", "3D000"] {
            check(server(code), Disposition::Stop, exit::CONFIGURATION);
        }
        let refused = ReplicationError::TlsRefused { address: "db:5432".to_owned() };
        check(refused.into(), Disposition::Stop, exit::CONFIGURATION);
        check(
            SessionError::Setup(vec![SetupProblem::NoSlots]),
            Disposition::Stop,
            exit::CONFIGURATION,
        );
        let topics = ConfigurationProblem::Topics { reason: "no".to_owned() };
        check(PublishError::Configuration(topics).into(), Disposition::Stop, exit::CONFIGURATION);
    }

    #[test]
    fn a_gap_is_for_an_operator() {
        let reason = "wal_removed".to_owned();
        let error = SessionError::gap("inventory", Gap::Invalidated { reason });
        assert_eq!(
            error.to_string(),
            "cannot go on from the stored offset without a gap: the server has invalidated the replication slot (wal_removed), so the \
             changes after its position are gone. To begin anew, with a snapshot unless snapshot.mode is no_data, drop the slot inventory if it exists, run \
             `cdc-reader offset delete` for this connector, and start again"
        );
        check(error, Disposition::Stop, exit::OPERATOR);
    }

    #[test]
    fn what_could_lose_a_change_stops_the_reader() {
        check(SessionError::UnknownRelation { oid: 7 }, Disposition::Stop, exit::FAILED);
        check(OrderError::Outside("an insert").into(), Disposition::Stop, exit::FAILED);
        check(ReplicationError::Protocol("no").into(), Disposition::Stop, exit::FAILED);
        // A syntax error: an SQLSTATE that nobody expects.
        check(server("42601"), Disposition::Stop, exit::FAILED);
    }

    #[test]
    fn the_chain_names_each_cause_once() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let error: SessionError =
            ReplicationError::Connect { address: "db:5432".to_owned(), source: refused }.into();
        assert_eq!(error.chain(), "cannot connect to PostgreSQL at db:5432: refused");
        let error: SessionError = ReplicationError::Closed.into();
        assert_eq!(error.chain(), "PostgreSQL closed the connection");
    }
}
