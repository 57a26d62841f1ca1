//! How a replica reaches the server that it follows: as which role, by which name, over which slot.
//!
//! In: a role of the primary that may replicate, and the replica's name. Out: a connection string and a password file.
//! Invariant: the password stands in a file that the server's user alone can read, so it is in no argument list and in
//! no setting of the replica.

use std::path::{Path, PathBuf};

use super::{Postgres, PostgresAddress};
use crate::fs;

/// A role that may replicate, and the name of one replica: `application_name` on the primary, and the name of the
/// replica's physical slot there.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(super) name: String,
    user: String,
    password: String,
}

impl Upstream {
    /// The replica `name` replicates as `user`. The name must be fit for a slot: lower-case letters, digits, `_`.
    pub fn new(name: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
        anyhow::ensure!(
            !name.is_empty() && name.len() < 64 && name.chars().all(fits),
            "'{name}' cannot be the name of a replica's slot: use lower-case letters, digits and _"
        );
        let (name, user, password) = (name.to_owned(), user.to_owned(), password.to_owned());
        Ok(Self { name, user, password })
    }

    /// Makes the role on the primary, or gives it this password and no right but that to replicate.
    pub fn ensure_role(&self, primary: &PostgresAddress) -> anyhow::Result<()> {
        let literal = |text: &str| text.replace('\'', "''");
        let identifier = format!("\"{}\"", self.user.replace('"', "\"\""));
        let (name, password) = (literal(&self.user), literal(&self.password));
        primary.execute(
            "postgres",
            &format!(
                "BEGIN;
                 SET LOCAL log_statement = 'none';
                 SET LOCAL standard_conforming_strings = on;
                 DO $make$ BEGIN
                     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
                         CREATE ROLE {identifier};
                     END IF;
                 END $make$;
                 ALTER ROLE {identifier} LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT
                     PASSWORD '{password}';
                 COMMIT"
            ),
        )
    }

    /// What `primary_conninfo` says.
    pub(super) fn conninfo(&self, primary: &PostgresAddress, passfile: &Path) -> String {
        format!(
            "host={} port={} user={} passfile='{}' application_name={}",
            primary.host,
            primary.port,
            self.user,
            passfile.display(),
            self.name
        )
    }

    /// Writes the password beside the replica's data, for the replica's user alone.
    pub(super) fn write_passfile(&self, replica: &Postgres) -> anyhow::Result<PathBuf> {
        let file = replica.data.with_file_name("upstream.pgpass");
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
        let line = format!("*:*:*:{}:{}\n", escaped(&self.user), escaped(&self.password));
        fs::write_secret(&file, &line)?;
        if let Some(account) = replica.account {
            account.own(&file)?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_slot_can_have_is_refused_and_named() {
        for name in ["", "Replica-1", "replica one", &"x".repeat(64)] {
            let error = Upstream::new(name, "replicator", "secret").unwrap_err().to_string();
            assert!(error.contains(&format!("'{name}'")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Upstream::new("replica_one", "replicator", "secret").is_ok());
    }
}
