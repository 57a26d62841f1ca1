//! Why a vault is not rebuilt. No error shows a value.

use tokio_postgres::error::SqlState;

use crate::consume::ConsumeError;
use crate::exit;
use crate::model::ModelError;
use crate::proof::ProofError;
use crate::vault::hash::HASH_VERSION;
use crate::warehouse::WarehouseError;

/// Why the live vault stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The configuration or the set-up of the warehouse must be changed. The text names the remedy.
    #[error("{0}")]
    SetUp(String),
    /// Nothing was ever migrated.
    #[error("the warehouse has no vault: run `vault-loader migrate` and `vault-loader run`")]
    NoModel,
    /// An older build has migrated the warehouse.
    #[error("this build has migrations that the warehouse lacks: run `vault-loader migrate` first")]
    NotMigrated,
    /// A model of the warehouse cannot be read.
    #[error("the model of the source {0} in dwh_control.models cannot be read by this build")]
    Model(String, #[source] ModelError),
    /// The hash keys of a source are those of another build.
    #[error("the hash keys of the source {0} are of version {1}, this build makes {HASH_VERSION}")]
    Version(String, i32),
    /// What is there cannot be rebuilt as it is, or not without a loss. Each text names the remedy.
    #[error("nothing was changed: the vault cannot be rebuilt:\n{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// Somebody else has what this command needs for itself.
    #[error("{0}")]
    Busy(String),
    /// The rebuilt vault is another one.
    #[error("{0} tables of the rebuilt vault differ from the live ones")]
    Differs(usize),
    /// A signal came.
    #[error("ended by a signal; the live vault is as it was")]
    Stopped,
    /// The role may not do it.
    #[error(
        "this role may not rebuild: set VAULT_LOADER__DATABASE__USER to the role that runs `vault-loader migrate` ({0})"
    )]
    Role(String),
    /// Kafka does not answer, or refuses.
    #[error(transparent)]
    Kafka(#[from] ConsumeError),
    /// A table cannot be read for its checksum.
    #[error(transparent)]
    Checksum(#[from] ProofError),
    /// The warehouse does not answer, or refuses a statement.
    #[error(transparent)]
    Warehouse(WarehouseError),
}

impl RebuildError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::SetUp(_) | Self::NoModel | Self::NotMigrated | Self::Role(_) => {
                exit::CONFIGURATION
            }
            Self::Model(..) | Self::Version(..) => exit::CONFIGURATION,
            Self::Refused(_) => exit::OPERATOR,
            Self::Busy(_) | Self::Differs(_) | Self::Stopped => exit::FAILED,
            Self::Kafka(err) => err.exit_code(),
            Self::Checksum(err) => err.exit_code(),
            Self::Warehouse(err) => err.exit_code(),
        }
    }

    /// Whether somebody else has a lock that will be free later.
    pub(super) fn is_locked(&self) -> bool {
        let Self::Warehouse(WarehouseError::Retry(err)) = self else { return false };
        let codes = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        err.code().is_some_and(|code| codes.contains(code))
    }
}

impl From<tokio_postgres::Error> for RebuildError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) if *refusal.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::Role(refusal.message().to_owned())
            }
            _ => Self::Warehouse(error.into()),
        }
    }
}

impl From<WarehouseError> for RebuildError {
    fn from(error: WarehouseError) -> Self {
        Self::Warehouse(error)
    }
}
