//! Why snapshots are not built, and the exit code of each reason.

use shared::postgres::ConnectError;

use crate::exit;
use crate::warehouse::WarehouseError;

/// Why snapshots are not built.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
    /// The models have nothing to be built.
    #[error(
        "no model has a point-in-time table or a bridge: add [snapshots] with [[pit]] or [[bridge]] to a model, and migrate"
    )]
    Nothing,
    /// The model does not fit the warehouse.
    #[error("{0}")]
    Model(String),
    /// A table is missing, or has another definition.
    #[error(
        "{0} is not in the warehouse as the model describes it: run `vault-loader migrate` first"
    )]
    NotMigrated(String),
    /// Up to when a source is loaded is not known.
    #[error(
        "snapshots cannot be built: nobody knows up to when the source {} is loaded, because no heartbeat of it was loaded, or none \
         since its model changed or its topics began anew: wait until the loader has loaded its topics and a heartbeat behind them; \
         let the reader write heartbeats (heartbeat.interval.ms) if it does not; or give --complete-until TIME when everything that \
         was published until then is loaded",
        .0.join(", ")
    )]
    Unknown(Vec<String>),
    /// An operator's word is about the future.
    #[error(
        "--complete-until {word} is in the future, for the warehouse's clock shows {now}: nobody has published anything of that \
         time; correct the time"
    )]
    Future {
        /// what was given
        word: String,
        /// the warehouse's clock
        now: String,
    },
    /// The warehouse does not answer, or refuses.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl SnapshotsError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Nothing
            | Self::Model(_)
            | Self::NotMigrated(_)
            | Self::Unknown(_)
            | Self::Future { .. } => exit::CONFIGURATION,
            Self::Warehouse(err) => err.exit_code(),
        }
    }
}

impl From<tokio_postgres::Error> for SnapshotsError {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Warehouse(err.into())
    }
}

impl From<ConnectError> for SnapshotsError {
    fn from(err: ConnectError) -> Self {
        Self::Warehouse(err.into())
    }
}
