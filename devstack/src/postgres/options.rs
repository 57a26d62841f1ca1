//! What kind of PostgreSQL server to start.
//!
//! In: choices of the caller. Out: the server's configuration files.
//! Invariant: what the caller sets stands last in the file, so it wins over every default.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Archive;

/// Where the server's certificate comes from.
#[derive(Debug, Clone)]
pub enum Tls {
    /// An authority and a certificate for `localhost` and 127.0.0.1, made now.
    Generate,
    /// These files.
    Files {
        /// The authority a client trusts.
        ca: PathBuf,
        /// The server's certificate.
        cert: PathBuf,
        /// The server's private key.
        key: PathBuf,
    },
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAuth {
    /// SCRAM-SHA-256, with or without TLS.
    Scram,
    /// SCRAM-SHA-256, over TCP only with TLS.
    ScramOverTlsOnly,
}

/// Choices for a server. Start with [`PostgresOptions::new`].
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) port: u16,
    pub(crate) port_variable: Option<String>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) fsync: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) auth: PasswordAuth,
    pub(crate) access: Vec<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) archive: Option<Archive>,
}

impl PostgresOptions {
    /// A server of a major version, 14 to 18: on a free port, in a temporary directory, superuser `admin` /
    /// `adminpassword`, `wal_level = logical`, durable.
    pub fn new(version: u16) -> Self {
        Self {
            name: format!("postgresql {version}"),
            version,
            port: 0,
            port_variable: None,
            dir: None,
            user: "admin".to_owned(),
            password: "adminpassword".to_owned(),
            fsync: true,
            tls: None,
            auth: PasswordAuth::Scram,
            access: Vec::new(),
            settings: Vec::new(),
            archive: None,
        }
    }

    /// What messages call the server.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The TCP port; 0 is any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The environment variable that a message about a taken port names.
    #[must_use]
    pub fn port_variable(mut self, variable: &str) -> Self {
        self.port_variable = Some(variable.to_owned());
        self
    }

    /// The directory for data, socket and log, kept when the server stops (default: a temporary one, removed then).
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The superuser that is made with the data directory.
    #[must_use]
    pub fn superuser(mut self, user: &str, password: &str) -> Self {
        user.clone_into(&mut self.user);
        password.clone_into(&mut self.password);
        self
    }

    /// Whether commits survive a crash of the machine. A crash of the server they survive anyway: `synchronous_commit`
    /// stays on.
    #[must_use]
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Offers TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How clients prove who they are.
    #[must_use]
    pub fn auth(mut self, auth: PasswordAuth) -> Self {
        self.auth = auth;
        self
    }

    /// A line for `pg_hba.conf`; wins over the rules of [`PasswordAuth`].
    #[must_use]
    pub fn access(mut self, line: &str) -> Self {
        self.access.push(line.to_owned());
        self
    }

    /// A line for `postgresql.conf`; wins over the defaults.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hands the server's WAL to an archive. One archive is for one server and its replicas.
    #[must_use]
    pub fn archive(mut self, archive: &Archive) -> Self {
        self.archive = Some(archive.clone());
        self
    }

    /// The text of the file that `postgresql.conf` includes.
    pub(crate) fn settings_file(&self, socket_dir: &Path) -> String {
        let mut text = String::from("# Written anew at each start.\n");
        let socket_dir = socket_dir.display().to_string();
        let durable = if self.fsync { "on" } else { "off" };
        let defaults = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", socket_dir.as_str()),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("password_encryption", "scram-sha-256"),
            ("log_timezone", "UTC"),
            ("timezone", "UTC"),
            ("fsync", durable),
            ("full_page_writes", durable),
        ];
        let archive = self.archive.iter().flat_map(|archive| archive.settings(&self.name));
        let archive: Vec<_> = archive.collect();
        let archive = archive.iter().map(|(name, value)| (*name, value.as_str()));
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in defaults.into_iter().chain(archive).chain(own) {
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        text
    }

    /// The text of `pg_hba.conf`.
    pub(crate) fn access_file(&self) -> String {
        let tcp = match self.auth {
            PasswordAuth::Scram => "host",
            PasswordAuth::ScramOverTlsOnly => "hostssl",
        };
        let mut text: String = self.access.iter().map(|line| format!("{line}\n")).collect();
        for database in ["all", "replication"] {
            let _ = writeln!(text, "local {database} all scram-sha-256");
            let _ = writeln!(text, "{tcp} {database} all 127.0.0.1/32 scram-sha-256");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_caller_stands_after_the_default_it_overrides() {
        let text = PostgresOptions::new(15)
            .setting("wal_level", "replica")
            .settings_file(Path::new("/run"));
        let default = text.find("wal_level = 'logical'").unwrap();
        assert!(text.find("wal_level = 'replica'").unwrap() > default);
    }

    #[test]
    fn without_tls_nobody_gets_in_over_tcp_where_tls_is_demanded() {
        let text = PostgresOptions::new(15).auth(PasswordAuth::ScramOverTlsOnly).access_file();
        assert!(!text.lines().any(|line| line.starts_with("host ")), "{text}");
    }
}
