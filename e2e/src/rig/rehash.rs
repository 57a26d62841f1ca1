//! Another secret for the hash keys of the rig's warehouse.
//!
//! In: the new secret, or none. Out: what `vault-loader rehash` said. Loaders that are started afterwards have the new
//! secret.

use std::process::Command;

use anyhow::Context;
use devstack::programs;

use super::{PASSWORD, Rig};

impl Rig {
    /// Makes all hash keys anew; no loader may run.
    ///
    /// # Errors
    /// When the command ends with another exit code than 0.
    pub fn rehash(&mut self, secret: Option<&str>) -> anyhow::Result<String> {
        let told = self.run_rehash(secret, &[])?;
        self.key_secret = secret.map(str::to_owned);
        Ok(told)
    }

    /// Checks every hash key of the warehouse, and changes nothing. Loaders may run.
    ///
    /// # Errors
    /// When the command ends with another exit code than 0.
    pub fn try_rehash(&self, secret: &str) -> anyhow::Result<String> {
        self.run_rehash(Some(secret), &["--dry-run"])
    }

    fn run_rehash(&self, secret: Option<&str>, arguments: &[&str]) -> anyhow::Result<String> {
        let (server, name) = (&self.options.warehouse, &self.options.name);
        let mut command = Command::new(devstack::binary("vault-loader")?);
        command
            .arg("rehash")
            .args(arguments)
            .envs(programs::loader_database(server, name, "vault_owner", PASSWORD))
            .env_remove("RUST_LOG");
        match secret {
            Some(secret) => command.env("VAULT_LOADER__KEY_SECRET", secret),
            None => command.arg("--remove-secret"),
        };
        if let Some(before) = &self.key_secret {
            command.env("VAULT_LOADER__KEY_SECRET_BEFORE", before);
        }
        let output = command.output().context("cannot run vault-loader rehash")?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        anyhow::ensure!(output.status.success(), "vault-loader rehash failed: {said}");
        for secret in [secret, self.key_secret.as_deref()].into_iter().flatten() {
            anyhow::ensure!(!said.contains(secret), "vault-loader rehash shows a secret");
        }
        Ok(said)
    }
}
