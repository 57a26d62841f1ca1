//! Why a simulation ended early.

use crate::database::ConnectError;

/// Why a simulation ended early.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A number is out of range.
    #[error("{name} {value} is not a finite number of zero or more")]
    Number {
        /// The option.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The server could not be reached at the start.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no airline to simulate.
    #[error("the database holds no flights: run `booking seed` first")]
    NoFlights,
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
