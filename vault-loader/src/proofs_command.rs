//! The commands that prove something of the vault.
//!
//! In: arguments, the configuration and, for `verify` and `reconcile`, a compiled model. Out: what a proof prints, and
//! its outcome.

use clap::Subcommand;
use shared::postgres::ConnectOptions;

use crate::check_command::{self, CheckArguments};
use crate::checksum::{self, ChecksumArguments};
use crate::model::Plan;
use crate::verify::reconcile::{self, ReconcileArguments};
use crate::verify::{self, VerifyArguments};

/// A proof. It may hold a password, so it cannot be printed.
#[derive(Subcommand)]
pub enum ProofCommand {
    /// Print a digest of each table of the vault that does not depend on the order of its rows: two vaults that were
    /// loaded from the same topics have the same ones. It needs no --model. Exit codes: 1 when a table differs from the
    /// report that --compare names
    Checksum(ChecksumArguments),
    /// Check the rules of the vault, which are the views of dwh_checks: how many rows break each, and the first of
    /// them. It needs no --model. Exit codes: 1 when a rule is broken
    Check(CheckArguments),
    /// Compare every row of the running source with the vault as of one moment. Exit codes: 1 when a key is missing,
    /// extra or different
    Verify(VerifyArguments),
    /// Find the rows that the vault holds and the running source does not have any more, after changes were lost: how
    /// many, and the first of them. With --to they go into a file, from which `cdc-reader reconcile` publishes their
    /// deletes. Exit codes: 1 when there are such rows
    Reconcile(ReconcileArguments),
}

/// Carries out a proof. `plan` is asked for only where it is needed.
///
/// # Errors
/// When a proof cannot be carried out, and when it finds what must not be.
pub async fn carry_out(
    command: &ProofCommand,
    warehouse: &ConnectOptions,
    plan: impl FnOnce() -> anyhow::Result<Plan>,
) -> anyhow::Result<()> {
    match command {
        ProofCommand::Checksum(arguments) => Ok(checksum::run(arguments, warehouse).await?),
        ProofCommand::Check(arguments) => Ok(check_command::run(arguments, warehouse).await?),
        ProofCommand::Verify(arguments) => {
            Box::pin(verify::run(arguments, warehouse, &plan()?)).await
        }
        ProofCommand::Reconcile(arguments) => {
            Box::pin(reconcile::run(arguments, warehouse, &plan()?)).await
        }
    }
}
