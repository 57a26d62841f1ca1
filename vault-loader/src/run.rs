//! What a run needs, and why one ended before it was told to.
//!
//! In: a checked configuration; the errors of the stages. Out: the process's exit code.

use std::sync::Arc;

use crate::config::Config;
use crate::consume::ConsumeError;
use crate::exit;
use crate::health::HealthCell;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::model::Plan;
use crate::paused::PausedTables;
use crate::warehouse::WarehouseError;

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Reading cannot go on.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// Loading cannot go on.
    #[error(transparent)]
    Load(#[from] WarehouseError),
    /// The warehouse does not fit this model.
    #[error("{0}")]
    NotMigrated(String),
    /// The secret of the hash keys is not the warehouse's.
    #[error("{0}")]
    KeySecret(&'static str),
    /// The batch in flight took too long after the signal.
    #[error(
        "the batch in flight did not end within {0} ms after the signal; it was rolled back and will be loaded again"
    )]
    Forced(u64),
    /// A stage panicked.
    #[error("the thread that reads Kafka ended without a reason")]
    IntakeGone,
}

impl RunError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Consume(err) => err.exit_code(),
            Self::Load(err) => err.exit_code(),
            Self::NotMigrated(_) | Self::KeySecret(_) => exit::CONFIGURATION,
            Self::Forced(_) => exit::FORCED,
            Self::IntakeGone => exit::FAILED,
        }
    }
}

/// What a run needs.
#[derive(Clone)]
pub struct RunOptions {
    /// checked configuration
    pub config: Config,
    /// the compiled model
    pub plan: Arc<Plan>,
    /// what to count with
    pub metrics: Arc<Metrics>,
    /// what `/health` says
    pub health: HealthCell,
    /// the tables that stand still
    pub paused: PausedTables,
    /// what is being loaded
    pub in_flight: InFlight,
}
