//! Why a stretch of a batch was not committed.
//!
//! The fault of one event is kept apart from the errors of the warehouse, because only the loader knows the events of
//! its batch.

use crate::batch::RecordId;
use crate::model::TableId;
use crate::warehouse::WarehouseError;

/// Why a stretch was not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StretchError {
    /// A known event cannot be loaded.
    #[error("{reason}")]
    Event {
        /// the record in its batch
        record: RecordId,
        /// why
        reason: String,
    },
    /// A table cannot go on, and all others can: nothing of this stretch that belongs to the table is loaded, and the
    /// rest of the stretch is tried again without it.
    #[error("{reason}")]
    PauseTable {
        /// the table
        table: TableId,
        /// what is wrong; never shows a value
        reason: String,
        /// what an operator has to do
        remedy: String,
    },
    /// Rows that were taken for new are in the warehouse. The stretch is tried again, and the table's rows are staged.
    #[error("{table} holds rows that were taken for new")]
    NotNew {
        /// the hub or link
        table: String,
    },
    /// The warehouse failed or refused.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl From<tokio_postgres::Error> for StretchError {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}
