//! Configuration: one file, overridden by the environment, checked before anything starts.
//!
//! In go a file (TOML, YAML or JSON) and variables `VAULT_LOADER__SECTION__KEY`, out comes a [`Config`] whose values are in
//! range. Unknown keys are refused by name; what is required has no default.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use shared::tls::{SslMode, TlsFiles};

/// Prefix of the environment's variables.
const ENV_PREFIX: &str = "VAULT_LOADER";

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Kafka's `host:port`, several separated by commas; needed by `run` and `status`
    #[serde(default)]
    pub bootstrap_servers: String,
    /// where the vault is
    pub database: Database,
    /// address of `/health` and `/metrics`
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// consumer group; `vault-loader-<source>` unless set
    #[serde(default)]
    pub group_id: Option<String>,
    /// static membership: a restarted loader of this name takes its partitions over at once, without waiting for a timeout
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// further properties of librdkafka, as they are (`security.protocol`, `sasl.username`, …)
    #[serde(default)]
    pub kafka: BTreeMap<String, Secret>,
    /// when a batch is full
    #[serde(default)]
    pub batch: Batch,
    /// bounds of memory and patience
    #[serde(default)]
    pub limits: Limits,
}

/// The warehouse.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// host name, address, or directory of a Unix socket
    pub host: String,
    /// TCP port
    #[serde(default = "default_port")]
    pub port: u16,
    /// database
    pub name: String,
    /// role
    pub user: String,
    /// its password
    #[serde(default)]
    pub password: Secret,
    /// `disable` … `verify-full`; `prefer` unless set
    #[serde(default)]
    pub sslmode: Option<String>,
    /// authorities to trust
    #[serde(default)]
    pub sslrootcert: Option<PathBuf>,
    /// our certificate
    #[serde(default)]
    pub sslcert: Option<PathBuf>,
    /// its key
    #[serde(default)]
    pub sslkey: Option<PathBuf>,
}

/// A batch ends with whichever comes first.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// 10 000 is where larger transactions stop paying (measured: 5 000 to 50 000 are within 5 %)
    pub rows_max: usize,
    /// 16 MiB: two batches and their rows stay far below 200 MB
    pub bytes_max: usize,
    /// 50 ms since the first event: half of what a person notices, long enough to fill a batch under load
    pub linger_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { rows_max: 10_000, bytes_max: 16 << 20, linger_ms: 50 }
    }
}

/// Bounds of memory and patience.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// bytes that librdkafka may fetch ahead: two batches
    pub queue_bytes_max: usize,
    /// remembered keys and states; 400 000 are about 60 MB
    pub cache_entries_max: usize,
    /// events in quarantine since the start before the loader takes the fault for its own
    pub quarantine_events_max: u64,
    /// how long Kafka and the warehouse may take to appear when the loader starts
    pub start_wait_ms: u64,
    /// how long the batch in flight may take after a signal
    pub shutdown_wait_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_bytes_max: 32 << 20,
            cache_entries_max: 400_000,
            quarantine_events_max: 1_000,
            start_wait_ms: 30_000,
            shutdown_wait_ms: 20_000,
        }
    }
}

/// Properties of librdkafka on which loading exactly once rests.
const OWN_PROPERTIES: [(&str, &str); 8] = [
    ("auto.offset.reset", "events that Kafka no longer has would be skipped silently"),
    ("partition.assignment.strategy", "partitions are taken over all at once or not at all"),
    ("isolation.level", "events of aborted transactions would be loaded"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("group.id", "use group_id"),
    ("group.instance.id", "use group_instance_id"),
];

const OFFSETS: &str = "the warehouse owns the offsets";

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8084))
}

fn default_port() -> u16 {
    5432
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown, missing or of the wrong type.
    #[error("configuration: {0}; see --help for files and variables")]
    Read(#[from] config::ConfigError),
    /// A value is out of range.
    #[error("configuration: {key}: {problem}")]
    Invalid {
        /// name of the key
        key: &'static str,
        /// what it must be
        problem: String,
    },
}

fn invalid(key: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { key, problem: problem.into() }
}

impl Config {
    /// Reads the file, if any, then the environment, and checks the result.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::read(file, config::Environment::with_prefix(ENV_PREFIX))
    }

    fn read(file: Option<&Path>, environment: config::Environment) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(config::File::from(file));
        }
        // No guessing of types: a password of digits stays a text.
        let environment = environment.prefix_separator("__").separator("__");
        let config: Self = builder.add_source(environment).build()?.try_deserialize()?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("database.host", &self.database.host),
            ("database.name", &self.database.name),
            ("database.user", &self.database.user),
        ] {
            if value.is_empty() {
                return Err(invalid(key, "must not be empty"));
            }
        }
        self.ssl_mode()?;
        for property in self.kafka.keys() {
            if let Some((_, why)) = OWN_PROPERTIES.iter().find(|(own, _)| own == property) {
                let problem = format!("{property} must not be set: {why}");
                return Err(invalid("kafka", problem));
            }
        }
        if !(1..=1_000_000).contains(&self.batch.rows_max) {
            return Err(invalid("batch.rows_max", "must be from 1 to 1000000"));
        }
        if !(1_024..=1 << 29).contains(&self.batch.bytes_max) {
            return Err(invalid("batch.bytes_max", "must be from 1 KiB to 512 MiB"));
        }
        if self.batch.linger_ms > 60_000 {
            return Err(invalid("batch.linger_ms", "must not exceed 60000"));
        }
        if !(1 << 20..=1 << 31).contains(&self.limits.queue_bytes_max) {
            return Err(invalid("limits.queue_bytes_max", "must be from 1 MiB to 2 GiB"));
        }
        Ok(())
    }

    /// What only a command that talks to Kafka needs.
    pub fn require_kafka(&self) -> Result<(), ConfigError> {
        if self.bootstrap_servers.trim().is_empty() {
            let problem = "is not set: give host:port of a Kafka broker";
            return Err(invalid("bootstrap_servers", problem));
        }
        Ok(())
    }

    fn ssl_mode(&self) -> Result<SslMode, ConfigError> {
        let word = self.database.sslmode.as_deref().unwrap_or("prefer");
        word.parse().map_err(|_| {
            invalid(
                "database.sslmode",
                "must be disable, allow, prefer, require, verify-ca or verify-full",
            )
        })
    }

    /// How to connect to the warehouse.
    #[must_use]
    pub fn connect_options(&self) -> ConnectOptions {
        let database = &self.database;
        let mut options = ConnectOptions::new(&database.host, database.port, &database.name);
        options.user.clone_from(&database.user);
        options.password = database.password.clone();
        options.ssl_mode = self.ssl_mode().unwrap_or_default();
        options.tls_files = TlsFiles {
            root_cert: database.sslrootcert.clone(),
            client_cert: database.sslcert.clone(),
            client_key: database.sslkey.clone(),
        };
        options.application_name = "vault-loader".to_owned();
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut source = std::collections::HashMap::new();
        for (name, value) in [
            ("VAULT_LOADER__DATABASE__HOST", "localhost"),
            ("VAULT_LOADER__DATABASE__NAME", "dwh"),
            ("VAULT_LOADER__DATABASE__USER", "vault_loader"),
        ]
        .iter()
        .chain(variables)
        {
            source.insert((*name).to_owned(), (*value).to_owned());
        }
        let environment = config::Environment::with_prefix(ENV_PREFIX).source(Some(source));
        Config::read(None, environment).map_err(|err| err.to_string())
    }

    #[test]
    fn variables_are_enough() {
        let config = read(&[
            ("VAULT_LOADER__DATABASE__PASSWORD", "007"),
            ("VAULT_LOADER__DATABASE__PORT", "5434"),
            ("VAULT_LOADER__BOOTSTRAP_SERVERS", "localhost:9092"),
            ("VAULT_LOADER__BATCH__ROWS_MAX", "500"),
            ("VAULT_LOADER__LISTEN", "127.0.0.1:1"),
        ])
        .unwrap();
        assert_eq!(config.database.password.expose(), "007");
        assert_eq!((config.database.port, config.batch.rows_max), (5434, 500));
        assert!(config.require_kafka().is_ok());
        assert!(!format!("{config:?}").contains("007"));
    }

    #[track_caller]
    fn check(name: &str, value: &str, expected: &str) {
        let message = read(&[(name, value)]).expect_err("refused");
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn properties_that_would_switch_a_guarantee_off_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loader.toml");
        let load = |property: &str| {
            let database = "[database]\nhost = \"h\"\nname = \"n\"\nuser = \"u\"\n";
            let text = format!("{database}[kafka]\n\"{property}\" = \"x\"\n");
            std::fs::write(&path, text).unwrap();
            Config::read(Some(&path), config::Environment::with_prefix(ENV_PREFIX))
        };
        for (property, _) in OWN_PROPERTIES {
            let message = load(property).expect_err(property).to_string();
            assert!(message.contains(&format!("kafka: {property} must not be set")), "{message}");
        }
        assert_eq!(load("sasl.username").unwrap().kafka["sasl.username"].expose(), "x");
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_named() {
        check("VAULT_LOADER__DATABASE__HOTS", "x", "hots");
        check("VAULT_LOADER__BATCH__ROWS_MAX", "0", "batch.rows_max: must be from 1");
        check("VAULT_LOADER__DATABASE__SSLMODE", "never", "database.sslmode: must be disable");
        check("VAULT_LOADER__DATABASE__USER", "", "database.user: must not be empty");
        assert!(read(&[]).unwrap().require_kafka().unwrap_err().to_string().contains("bootstrap"));
    }
}
