//! How to reach a PostgreSQL server.
//!
//! In: what the starter of the server knows. Out: connection strings.
//! Invariant: holds all a client needs, so it can be kept in a file and read by another process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sql;

/// Where a server is and who its superuser is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresAddress {
    /// Major version.
    pub version: u16,
    /// 127.0.0.1.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The directory of the Unix socket.
    pub socket_dir: PathBuf,
    /// The superuser.
    pub user: String,
    /// The superuser's password, of a server that only this machine reaches.
    pub password: String,
    /// The server's programs; a Maven one has only `initdb`, `pg_ctl` and `postgres`.
    pub bin_dir: PathBuf,
    /// The server's log.
    pub log: PathBuf,
    /// The authority that signed the server's certificate, when it offers TLS.
    pub ca: Option<PathBuf>,
}

impl PostgresAddress {
    /// A libpq connection string for TCP.
    pub fn connection_string(&self, database: &str, user: &str, password: &str) -> String {
        format!(
            "host={} port={} dbname={} user={} password={}",
            self.host,
            self.port,
            quoted(database),
            quoted(user),
            quoted(password)
        )
    }

    /// A libpq connection string for TCP, as the superuser.
    pub fn superuser(&self, database: &str) -> String {
        self.connection_string(database, &self.user, &self.password)
    }

    /// A libpq connection string for the Unix socket, as the superuser.
    pub fn superuser_on_socket(&self, database: &str) -> String {
        format!(
            "host={} port={} dbname={} user={} password={}",
            quoted(&self.socket_dir.display().to_string()),
            self.port,
            quoted(database),
            quoted(&self.user),
            quoted(&self.password)
        )
    }

    /// A `postgres://` URL for TCP. User, password and database must need no escapes.
    pub fn url(&self, database: &str, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@{}:{}/{database}", self.host, self.port)
    }

    /// Runs an SQL script as the superuser; several statements are one transaction unless they say otherwise.
    pub fn execute(&self, database: &str, script: &str) -> anyhow::Result<()> {
        // The Unix socket is used, because it works whatever TCP clients have to prove.
        sql::execute(&self.superuser_on_socket(database), script)
    }

    /// Makes an empty database.
    pub fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")))
    }

    /// Makes an empty database unless there is one of that name.
    pub(crate) fn ensure_database(&self, name: &str) -> anyhow::Result<()> {
        if self.execute(name, "SELECT 1").is_ok() {
            return Ok(());
        }
        self.create_database(name)
    }

    /// Removes a database together with its replication slots and sessions, which would prevent the removal.
    pub fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let literal = name.replace('\'', "''");
        self.execute(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(active_pid)
                 FROM pg_replication_slots
                 WHERE database = '{literal}' AND active"
            ),
        )?;
        crate::wait::try_wait_for(
            std::time::Duration::from_secs(10),
            "the slots of a dropped database to be free",
            || {
                self.execute(
                    "postgres",
                    &format!(
                        "SELECT pg_drop_replication_slot(slot_name)
                     FROM pg_replication_slots
                     WHERE database = '{literal}'"
                    ),
                )
                .map(|()| true)
            },
        )?;
        self.execute(
            "postgres",
            &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", name.replace('"', "\"\"")),
        )
    }
}

/// A value of a libpq connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_password_stays_in_the_password() {
        assert_eq!(quoted(r"it's \ok"), r"'it\'s \\ok'");
    }
}
