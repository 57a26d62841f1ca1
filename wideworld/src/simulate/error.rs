//! Why a simulation ended early.

use shared::postgres::ConnectError;

use super::control::OutOfRange;

/// Why a simulation ended early.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] OutOfRange),
    /// The server could not be reached at the start.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no wholesaler to simulate.
    #[error(
        "the database holds no customers, no stock items or no staff: run `wideworld seed` first"
    )]
    NotSeeded,
    /// The server refused a statement, and a new attempt would fail too.
    #[error("cannot {step}")]
    Database {
        /// What was being done.
        step: &'static str,
        /// The server's answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A worker panicked: a defect.
    #[error("a worker of the simulation ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
}
