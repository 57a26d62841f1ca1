//! Where the airline's database is, and connections to it.
//!
//! In: a connection string. Out: connected clients, each with its driver running in a task that ends with the client.
//! The connection string never appears in an error or a log, because it may hold a password.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

/// How long a connection attempt may take before the server counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A parsed connection string.
#[derive(Clone)]
pub struct Database {
    config: Config,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The string is no connection string.
    #[error(
        "the database URL cannot be read: write postgres://user:password@host:port/airline_tickets"
    )]
    Url(#[source] tokio_postgres::Error),
    /// The server did not answer or refused.
    #[error("cannot connect to the database at {place}")]
    Unreachable {
        /// Host, port and database, without user and password.
        place: String,
        /// What went wrong.
        #[source]
        source: tokio_postgres::Error,
    },
}

impl FromStr for Database {
    type Err = ConnectError;

    fn from_str(url: &str) -> Result<Self, ConnectError> {
        let mut config: Config = url.parse().map_err(ConnectError::Url)?;
        config.connect_timeout(CONNECT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("booking");
        }
        Ok(Self { config })
    }
}

impl Database {
    /// The parameters, for whoever drives a connection otherwise.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The same database for another role.
    pub(crate) fn with_role(&self, user: &str, password: &str) -> Self {
        let mut config = self.config.clone();
        config.user(user).password(password);
        Self { config }
    }

    /// The same role and password on another server's database.
    pub(crate) fn with_role_of(&self, other: &Self) -> Self {
        let mut config = self.config.clone();
        if let Some(user) = other.config.get_user() {
            config.user(user);
        }
        if let Some(password) = other.config.get_password() {
            config.password(password);
        }
        Self { config }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let (client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(|source| ConnectError::Unreachable { place: self.to_string(), source })?;
        // The driver ends when the client is dropped or the server goes away; the client then reports its error.
        tokio::spawn(async move {
            if let Err(err) = connection.await {
                tracing::debug!(error = %err, "connection ended");
            }
        });
        Ok(client)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let name = self.config.get_dbname().unwrap_or("");
        write!(out, "{}:{port}/{name}", hosts.join(","))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Database({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Database;

    #[test]
    fn a_database_is_shown_without_its_password() {
        let database: Database = "postgres://admin:hidden@db.example:5432/air".parse().unwrap();
        assert_eq!(
            format!("{database} {database:?}"),
            "db.example:5432/air Database(db.example:5432/air)"
        );
    }

    #[test]
    fn a_string_that_is_no_url_is_refused_and_not_repeated() {
        let refusal = "user=admin password".parse::<Database>().unwrap_err();
        assert!(refusal.to_string().contains("postgres://user:password@host"), "{refusal}");
        assert!(!refusal.to_string().contains("admin"), "{refusal}");
    }
}
