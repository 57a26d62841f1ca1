//! A server's place on disk: directories, the data directory, its configuration.
//!
//! In: options. Out: a data directory ready to be started.
//! Invariant: everything belongs to the user the server runs as, and that user can reach it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::environment::clean_environment;
use super::{Postgres, PostgresAddress, PostgresOptions, Tls};
use crate::account::Account;
use crate::server::Server;
use crate::{artifacts, fs, tls};

impl Postgres {
    /// Finds binaries and directories. It changes nothing in a data directory.
    pub(super) fn prepare(options: PostgresOptions) -> anyhow::Result<Self> {
        let account = Account::for_postgres()?;
        let bin_dir = artifacts::postgres_bin(options.version)?;
        let mut temporary = Vec::new();
        let wanted = match &options.dir {
            Some(dir) => fs::make_dir(dir)?,
            None => {
                let dir = fs::temp_dir("vaultstream-postgres-")?;
                temporary.push(dir.clone());
                dir
            }
        };
        let bin_dir = match account {
            Some(_) => reachable_binaries(&bin_dir)?,
            None => bin_dir,
        };
        let home = match account {
            Some(_) if !fs::everybody_can_enter(&wanted) => {
                let place = fs::substitute(&wanted)?;
                temporary.extend(options.dir.is_none().then(|| place.clone()));
                place
            }
            _ => wanted.clone(),
        };
        let socket_dir = if fs::fits_socket(&home) {
            home.clone()
        } else {
            let dir = fs::temp_dir("vaultstream-socket-")?;
            temporary.push(dir.clone());
            dir
        };
        if let Some(account) = account {
            account.own(&home)?;
            account.own(&socket_dir)?;
        }
        let address = PostgresAddress {
            version: options.version,
            host: "127.0.0.1".to_owned(),
            port: options.port,
            socket_dir,
            user: options.user.clone(),
            password: options.password.clone(),
            bin_dir,
            log: wanted.join("postgres.log"),
            ca: None,
        };
        let server = Server::new(&options.name, address.log.clone());
        Ok(Self { options, account, address, data: home.join("data"), server, temporary })
    }

    pub(super) fn init(&mut self) -> anyhow::Result<()> {
        let secret = self.address.socket_dir.join(".password");
        fs::write_secret(&secret, &self.options.password)?;
        if let Some(account) = self.account {
            account.own(&secret)?;
        }
        let initdb = self.address.bin_dir.join("initdb");
        let mut words = vec![
            initdb.into_os_string(),
            "--pgdata".into(),
            self.data.clone().into(),
            "--pwfile".into(),
            secret.clone().into(),
        ];
        let fixed = [
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ];
        words.extend(fixed.map(Into::into));
        words.extend(["--username".into(), self.options.user.clone().into()]);
        let outcome = self.run_as_server(words);
        std::fs::remove_file(&secret).context("cannot remove the password file")?;
        outcome.context("initdb failed")
    }

    /// Runs a program of PostgreSQL's to its end, as the server's user.
    pub(super) fn run_as_server(&self, words: Vec<OsString>) -> anyhow::Result<()> {
        let words = match self.account {
            Some(account) => account.wrap(words),
            None => words,
        };
        let mut command = Command::new(&words[0]);
        clean_environment().for_each(|name| {
            command.env_remove(name);
        });
        let output = command
            .args(&words[1..])
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .output()
            .with_context(|| format!("cannot run {}", words[0].display()))?;
        anyhow::ensure!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Writes our settings and the rules of access beside initdb's.
    pub(super) fn configure(&mut self) -> anyhow::Result<()> {
        let mut settings = self.options.settings_file(&self.address.socket_dir);
        if let Some(tls) = &self.options.tls {
            let files = match tls {
                Tls::Generate => tls::generate(&self.data)?,
                Tls::Files { ca, cert, key } => tls::copy(ca, cert, key, &self.data)?,
            };
            for file in [&files.cert, &files.key] {
                if let Some(account) = self.account {
                    account.own(file)?;
                }
            }
            settings
                .push_str("ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n");
            // A copy for clients, because others cannot read the data directory.
            let ca = self.address.socket_dir.join("ca.crt");
            std::fs::copy(&files.ca, &ca).context("cannot copy the authority's certificate")?;
            self.address.ca = Some(ca);
        }
        let main = self.data.join("postgresql.conf");
        let text = std::fs::read_to_string(&main)
            .with_context(|| format!("cannot read {}", main.display()))?;
        if !text.contains("include 'devstack.conf'") {
            fs::write(&main, &format!("{text}\ninclude 'devstack.conf'\n"))?;
        }
        fs::write(&self.data.join("devstack.conf"), &settings)?;
        fs::write(&self.data.join("pg_hba.conf"), &self.options.access_file())
    }
}

/// Binaries that the server's user can execute: a copy, if the cache lies in a directory that is closed to others.
fn reachable_binaries(bin_dir: &Path) -> anyhow::Result<PathBuf> {
    if fs::everybody_can_enter(bin_dir) {
        return Ok(bin_dir.to_owned());
    }
    let root = bin_dir.parent().context("a bin directory without a parent")?;
    Ok(fs::public_copy(root)?.join("bin"))
}
