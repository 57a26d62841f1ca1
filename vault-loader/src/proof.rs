//! What the commands that prove something share: how they print, and how they end.
//!
//! In: nothing. Out: [`Format`], and [`ProofError`] with its exit code. A proof that finds something ends with the same
//! code as a run that fails, and its last line says what was found.

use clap::ValueEnum;
use shared::postgres::ConnectError;

use crate::copy_out::CopyError;
use crate::exit;
use crate::warehouse::WarehouseError;

/// How a proof prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// lines for people
    Text,
    /// one JSON object
    Json,
}

/// Why a proof does not end with 0.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It found what must not be.
    #[error("{0}")]
    Found(String),
    /// It cannot be carried out as it was asked for. The text names the remedy.
    #[error("{0}")]
    Usage(String),
    /// It could not be carried out in time. The text names what it waited for.
    #[error("{0}")]
    Late(String),
    /// The warehouse.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// The source cannot be reached.
    #[error("cannot reach the source")]
    SourceConnect(#[source] ConnectError),
    /// The source refused a statement or the connection to it ended.
    #[error("the source failed, or refuses a statement")]
    Source(#[source] tokio_postgres::Error),
}

impl ProofError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Found(_) | Self::Late(_) | Self::Source(_) => exit::FAILED,
            Self::Usage(_) => exit::CONFIGURATION,
            Self::Warehouse(err) => err.exit_code(),
            Self::SourceConnect(err) => WarehouseError::exit_code_of_connecting(err),
        }
    }
}

impl From<tokio_postgres::Error> for ProofError {
    /// An error of the warehouse. One of the source is wrapped where it comes up.
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}

impl From<CopyError> for ProofError {
    /// As for any other error of the warehouse.
    fn from(err: CopyError) -> Self {
        match err {
            CopyError::Server(err) => err.into(),
            CopyError::Form => WarehouseError::Stop(err.to_string()).into(),
        }
    }
}

/// A name from a catalog, which may be anything, as it may stand in a statement.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
