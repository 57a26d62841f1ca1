//! Why hash keys are not made anew. No error shows a secret or a value.

use tokio_postgres::error::SqlState;

use crate::exit;
use crate::model::ModelError;
use crate::vault::hash::HASH_VERSION;
use crate::warehouse::WarehouseError;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RehashError {
    /// The secret before is not the one of the warehouse.
    #[error("{0}")]
    Secret(&'static str),
    /// Nothing was ever migrated.
    #[error(
        "the warehouse has no model: run `vault-loader migrate`, which takes the secret as it is set"
    )]
    NoModel,
    /// A model of the warehouse cannot be read.
    #[error("the model of the source {0} in dwh_control.models cannot be read by this build")]
    Model(String, #[source] ModelError),
    /// The hash keys of a source are those of another build.
    #[error("the hash keys of the source {0} are of version {1}, this build makes {HASH_VERSION}")]
    Version(String, i32),
    /// A key that stands in satellites alone.
    #[error(
        "{0} has no table of its own, its keys stand in satellites, and such keys cannot be made anew in place: build a new \
         warehouse from the topics, with the new secret"
    )]
    Carried(String),
    /// An older build has migrated the warehouse.
    #[error("this build has migrations that the warehouse lacks: run `vault-loader migrate` first")]
    NotMigrated,
    /// An erased hub that is none.
    #[error("--erased {0}: the warehouse has no hub of this name")]
    NoHub(String),
    /// What stands in the warehouse is not what the loader has written.
    #[error("nothing was changed, because what stands in the warehouse is not what the old rule gives:\n{}", .0.join("\n"))]
    Strange(Vec<String>),
    /// The role may not do it.
    #[error(
        "this role may not rehash: set VAULT_LOADER__DATABASE__USER to the role that runs `vault-loader migrate` ({0})"
    )]
    Role(String),
    /// The warehouse does not answer, or refuses a statement.
    #[error(transparent)]
    Warehouse(WarehouseError),
}

impl RehashError {
    /// The process's exit code when this ends it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Secret(_) | Self::NoModel | Self::NotMigrated | Self::Role(_) => {
                exit::CONFIGURATION
            }
            Self::Model(..) | Self::Version(..) | Self::Carried(_) | Self::NoHub(_) => {
                exit::CONFIGURATION
            }
            Self::Strange(_) => exit::OPERATOR,
            Self::Warehouse(err) => err.exit_code(),
        }
    }
}

impl From<tokio_postgres::Error> for RehashError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) if *refusal.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::Role(refusal.message().to_owned())
            }
            _ => Self::Warehouse(error.into()),
        }
    }
}

impl From<WarehouseError> for RehashError {
    fn from(error: WarehouseError) -> Self {
        Self::Warehouse(error)
    }
}
