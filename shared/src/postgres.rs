//! Options of a connection to PostgreSQL, and the ordinary SQL connection. The reader uses the options only, because it
//! has a client of its own.
//!
//! In: host, role and TLS mode. Out: a client whose session settings are fixed. The text of a value must not depend on
//! a server's or a role's configuration, because snapshot rows, streamed rows and comparisons have to print values
//! alike.

use std::io;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding as WireChannelBinding, SslMode as WireSslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::authentication::{AuthenticationRules, ChannelBinding, Peer};
use crate::guarded::{Bytes, Guarded, GuardedTls, Socket, SocketLimits};
use crate::secret::Secret;
use crate::tls::{SslMode, TlsError, TlsFiles, client_config, verifies};

/// Session settings of every connection, as `(name, value)`; the replication connection sends the same in its startup
/// packet.
pub const SESSION_SETTINGS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// How long one address may take to accept a connection: longer than the retry of a lost SYN, and shorter than a person
/// waits.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt may take in all, with TLS and authentication. The time is enough for a second address of the
/// same name. A frozen server accepts the connection, because its kernel does so, and then never answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the other side's kernel may take to acknowledge what was sent. After this time the other side counts as
/// gone.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Host name, address, or the directory of a Unix socket (begins with `/`).
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password; empty when the server needs none.
    pub password: Secret,
    /// TLS mode.
    pub ssl_mode: SslMode,
    /// Files for TLS.
    pub tls_files: TlsFiles,
    /// Which ways of authentication the server may ask for.
    pub authentication: AuthenticationRules,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

impl ConnectOptions {
    /// Options with the defaults of libpq for everything but the address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, database: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            database: database.into(),
            user: "postgres".to_owned(),
            password: Secret::default(),
            ssl_mode: SslMode::default(),
            tls_files: TlsFiles::default(),
            authentication: AuthenticationRules::default(),
            application_name: "vaultstream".to_owned(),
        }
    }

    /// Whether the host is a Unix socket's directory, where TLS does not exist.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The address for messages, without the password.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}:{}/{} as {}", self.host, self.port, self.database, self.user)
    }
}

/// Whether a host is this machine: a Unix socket's directory, or the loopback.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.starts_with('/') || host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TLS cannot be set up as asked.
    #[error("cannot set up TLS for PostgreSQL at {address}")]
    Tls {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// Nothing answers.
    #[error("cannot connect to PostgreSQL at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server refuses, or is refused.
    #[error("cannot connect to PostgreSQL at {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A server accepts connections there, and does not answer.
    #[error("PostgreSQL at {address} does not answer within {wait_s} s")]
    Silent {
        /// Where.
        address: String,
        /// How long it had, in seconds.
        wait_s: u64,
    },
}

impl ConnectError {
    /// The server's SQLSTATE, if it was the server that refused.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Connect { source, .. } => source.code().map(|code| code.code()),
            Self::Tls { .. } | Self::Unreachable { .. } | Self::Silent { .. } => None,
        }
    }
}

/// Connects, and drives the connection on a task that ends with the client.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(options: &ConnectOptions) -> Result<Client, ConnectError> {
    connect_within(options, CONNECT_TIMEOUT).await
}

/// Connects, unless that takes longer than `wait`.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect_within(
    options: &ConnectOptions,
    wait: Duration,
) -> Result<Client, ConnectError> {
    let wait = wait.min(CONNECT_TIMEOUT);
    match tokio::time::timeout(wait, connect_however_long(options)).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::Silent { address: options.display(), wait_s: wait.as_secs() }),
    }
}

/// Connects without a limit of its own: the driver limits only the connecting of the socket, so a server that has
/// accepted may stay silent for ever.
async fn connect_however_long(options: &ConnectOptions) -> Result<Client, ConnectError> {
    let config = wire_config(options);
    let failed = |source| ConnectError::Connect { address: options.display(), source };
    let Socket { bytes, peer } = open(options)
        .await
        .map_err(|source| ConnectError::Unreachable { address: options.display(), source })?;
    let rules = options.authentication.clone();
    if options.is_unix() || options.ssl_mode == SslMode::Disable {
        let plain = Guarded::plain(bytes, rules, peer);
        let (client, connection) = config.connect_raw(plain, NoTls).await.map_err(failed)?;
        tokio::spawn(drive(connection));
        return Ok(client);
    }
    let tls = client_config(options.ssl_mode, &options.tls_files)
        .map_err(|source| ConnectError::Tls { address: options.display(), source })?;
    let verified = verifies(options.ssl_mode, &options.tls_files);
    let Ok(inner) = MakeTlsConnect::<Guarded<Box<dyn Bytes>>>::make_tls_connect(
        &mut MakeRustlsConnect::new(tls),
        &options.host,
    );
    let tls = GuardedTls {
        inner,
        rules: rules.clone(),
        peer: if verified { Peer::Verified } else { peer },
    };
    let before_tls = Guarded::before_tls(bytes, rules, peer);
    let (client, connection) = config.connect_raw(before_tls, tls).await.map_err(failed)?;
    tokio::spawn(drive(connection));
    Ok(client)
}

async fn open(options: &ConnectOptions) -> io::Result<Socket> {
    if options.is_unix() {
        return Socket::unix(&options.host, options.port).await;
    }
    let limits = SocketLimits {
        accept: ACCEPT_TIMEOUT,
        unacknowledged: UNACKNOWLEDGED_TIMEOUT,
        idle: Duration::from_secs(30),
    };
    Socket::tcp(&options.host, options.port, limits).await
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // The client gets the same error at its next call and handles it there.
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to PostgreSQL ended");
    }
}

fn wire_config(options: &ConnectOptions) -> Config {
    let mut config = Config::new();
    let session: Vec<String> = SESSION_SETTINGS
        .iter()
        // tokio-postgres sets the encoding itself; spaces inside a value are escaped by a backslash.
        .filter(|(name, _)| *name != "client_encoding")
        .map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")))
        .collect();
    config
        .dbname(&options.database)
        .user(&options.user)
        .application_name(&options.application_name)
        .options(session.join(" "))
        .ssl_mode(match options.ssl_mode {
            SslMode::Disable => WireSslMode::Disable,
            SslMode::Allow | SslMode::Prefer => WireSslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => WireSslMode::Require,
        })
        .channel_binding(match options.authentication.channel_binding {
            ChannelBinding::Disable => WireChannelBinding::Disable,
            ChannelBinding::Prefer => WireChannelBinding::Prefer,
            ChannelBinding::Require => WireChannelBinding::Require,
        });
    if !options.password.is_empty() {
        config.password(options.password.expose());
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_shown_never_holds_the_password() {
        let mut options = ConnectOptions::new("db", 5432, "airline");
        options.password = Secret::new("hunter2");
        assert_eq!(options.display(), "db:5432/airline as postgres");
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
