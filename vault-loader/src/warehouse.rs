//! What can fail in the warehouse, and what to do then.
//!
//! In: the server's answer. Out: a [`WarehouseError`]. The loader tries again after a failure of the server or the
//! network. It finds an event that causes an error and puts the event into quarantine. A broken invariant stops the
//! loader, and so does an unknown error.

use shared::postgres::ConnectError;
use tokio_postgres::error::SqlState;

use crate::exit;

/// Why the warehouse did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// No connection to the warehouse.
    #[error("cannot reach the warehouse")]
    Connect(#[from] ConnectError),
    /// The warehouse or the network failed. The same batch can succeed later.
    #[error("the warehouse failed, and the same batch can succeed later")]
    Retry(#[source] tokio_postgres::Error),
    /// The warehouse keeps the connection open and does not answer. The same batch can succeed on another connection.
    #[error("the warehouse did not answer within {wait_s} s")]
    Silent {
        /// how long it had
        wait_s: u64,
    },
    /// Another loader wrote the same version first; its rows become visible on the next attempt.
    #[error("another loader wrote to {table} at the same time")]
    Conflict {
        /// the satellite
        table: String,
    },
    /// The warehouse refuses a value: some event of the batch is at fault.
    #[error("the warehouse refuses a value ({sqlstate}{})", at(.table.as_deref(), .column.as_deref()))]
    Data {
        /// its SQLSTATE
        sqlstate: String,
        /// table, when it says
        table: Option<String>,
        /// column, when it says
        column: Option<String>,
    },
    /// The offsets in the warehouse are not those at which this batch begins, because another loader has loaded it.
    #[error("fenced: the offsets of this batch were moved by another loader")]
    Fenced,
    /// Going on could lose or double data.
    #[error("{0}")]
    Stop(String),
    /// The warehouse is not set up for loading. The text names the remedy.
    #[error("{0}")]
    SetUp(String),
}

fn at(table: Option<&str>, column: Option<&str>) -> String {
    match (table, column) {
        (Some(table), Some(column)) => format!(", {table}.{column}"),
        (Some(table), None) => format!(", {table}"),
        _ => String::new(),
    }
}

impl WarehouseError {
    /// Whether the same batch may succeed on another attempt.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Retry(_) | Self::Silent { .. } | Self::Conflict { .. }
        )
    }
}

impl WarehouseError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::SetUp(_) => exit::CONFIGURATION,
            Self::Stop(_) => exit::OPERATOR,
            Self::Connect(err) => Self::exit_code_of_connecting(err),
            _ => exit::FAILED,
        }
    }

    /// The process's exit code when it ends because it cannot connect.
    #[must_use]
    pub fn exit_code_of_connecting(err: &ConnectError) -> u8 {
        if is_refusal(err) { exit::CONFIGURATION } else { exit::FAILED }
    }
}

/// Whether a connection fails because of its settings: TLS, or a login (class 28) or database (3D000) that the server
/// does not have.
fn is_refusal(err: &ConnectError) -> bool {
    matches!(err, ConnectError::Tls { .. })
        || err.sqlstate().is_some_and(|code| code.starts_with("28") || code == "3D000")
}

impl From<tokio_postgres::Error> for WarehouseError {
    fn from(err: tokio_postgres::Error) -> Self {
        let Some(server) = err.as_db_error() else {
            return Self::Retry(err); // the connection, not an answer
        };
        let code = server.code();
        let class = &code.code()[..2];
        let is_satellite = server.table().is_some_and(|table| table.starts_with("sat_"));
        if *code == SqlState::UNIQUE_VIOLATION && is_satellite {
            return Self::Conflict { table: server.table().unwrap_or_default().to_owned() };
        }
        match class {
            // Data, integrity, and limits that a value exceeds (a key too long for its index).
            "22" | "23" | "54" => Self::Data {
                sqlstate: code.code().to_owned(),
                table: server.table().map(str::to_owned),
                column: server.column().map(str::to_owned),
            },
            // Connection, transaction rolled back, resources, operator intervention, system; a standby that will be
            // promoted.
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => Self::Retry(err),
            // A right, a schema or a table is missing.
            "42" | "3F" => Self::SetUp(format!(
                "the warehouse refuses a statement with {} ({}): check that `vault-loader migrate` ran and that the role has its rights",
                code.code(),
                server.message()
            )),
            _ => Self::Stop(format!(
                "the warehouse refuses a statement with {} ({}): check that `vault-loader migrate` ran and that the role has its rights",
                code.code(),
                server.message()
            )),
        }
    }
}
