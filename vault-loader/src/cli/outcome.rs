//! What the error of a command means to whoever started it.
//!
//! In: an error. Out: the exit code, as `--help` lists it.

use shared::postgres::ConnectError;
use shared::source_url::AddressError;
use vault_loader::config::ConfigError;
use vault_loader::epochs_command::EpochCommandError;
use vault_loader::exit;
use vault_loader::fleet::SameSource;
use vault_loader::gap::GapError;
use vault_loader::infer::InferError;
use vault_loader::migrate::MigrateError;
use vault_loader::model::ModelError;
use vault_loader::model_command::OutputError;
use vault_loader::proof::ProofError;
use vault_loader::quarantine::QuarantineError;
use vault_loader::rebuild::RebuildError;
use vault_loader::rehash::RehashError;
use vault_loader::run::RunError;
use vault_loader::snapshots::SnapshotsError;
use vault_loader::status::StatusError;
use vault_loader::warehouse::WarehouseError;

/// What the last error of a command means, as `--help` lists it.
pub(crate) fn exit_code(err: &anyhow::Error) -> u8 {
    // Code 1 of this command says that there is a difference.
    if err.is::<NotCompared>() {
        return exit::CONFIGURATION;
    }
    if let Some(err) = err.downcast_ref::<RunError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<StatusError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<ProofError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<RehashError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<RebuildError>() {
        return err.exit_code();
    }
    match err.downcast_ref() {
        Some(GapError::Kafka(err)) => return err.exit_code(),
        Some(GapError::Warehouse(err)) => return err.exit_code(),
        Some(GapError::Role | GapError::NotInModel(_)) => return exit::CONFIGURATION,
        _ => {}
    }
    if let Some(QuarantineError::Warehouse(err)) = err.downcast_ref() {
        return err.exit_code();
    }
    if let Some(EpochCommandError::Warehouse(err)) = err.downcast_ref() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<SnapshotsError>() {
        return err.exit_code();
    }
    if let Some(err) = err.downcast_ref::<ConnectError>() {
        return WarehouseError::exit_code_of_connecting(err);
    }
    let model = match err.downcast_ref::<MigrateError>() {
        Some(MigrateError::Model(_) | MigrateError::KeySecret(_)) => true,
        _ => err.is::<ModelError>(),
    };
    let epoch = matches!(
        err.downcast_ref(),
        Some(
            EpochCommandError::UnknownTopic(_)
                | EpochCommandError::NoEpoch(_)
                | EpochCommandError::NotRestored(_)
        )
    );
    let selection = matches!(err.downcast_ref(), Some(QuarantineError::Usage(_)));
    let infer = matches!(err.downcast_ref(), Some(InferError::NoTable(_) | InferError::Invalid(_)));
    let usage = infer
        || err.is::<AddressError>()
        || err.is::<OutputError>()
        || err.is::<ConfigError>()
        || err.is::<Usage>()
        || err.is::<SameSource>();
    if model || selection || epoch || usage { exit::CONFIGURATION } else { exit::FAILED }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// What `model diff` finds.
#[derive(Debug, thiserror::Error)]
#[error("the warehouse is not what the model says")]
pub(crate) struct Difference;

/// Why `model diff` finds nothing.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot be compared with the warehouse")]
pub(crate) struct NotCompared;
