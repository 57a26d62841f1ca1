//! Configuration: one file, overridden by the environment, checked before anything starts.
//!
//! In: a file (TOML, YAML or JSON) and variables `VAULT_LOADER__SECTION__KEY`. Out: a [`Config`] whose values are in
//! range. Unknown keys are refused by name; what is required has no default. A value is never part of an error, because
//! it may be a secret in the wrong place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use serde::Deserialize;
use shared::authentication::{AllowedMethods, AuthenticationRules, AuthenticationWord};
use shared::debezium::heartbeat::{HEARTBEAT_PREFIX, heartbeat_topic};
use shared::kafka::{Cluster, Mechanism, Properties, Security, names, refused_property};
use shared::postgres::{ConnectOptions, is_this_machine};
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
    /// what the hash keys of hubs and links are made with beside the values, so that nobody without it can find a value
    /// by trying; it belongs to the warehouse, and only `rehash` changes it
    #[serde(default)]
    pub key_secret: Option<Secret>,
    /// for `rehash` alone: what the hash keys were made with before
    #[serde(default)]
    pub key_secret_before: Option<Secret>,
    /// address of `/health` and `/metrics`
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// consumer group; `vault-loader-<source>-<warehouse>` unless set
    #[serde(default)]
    pub group_id: Option<String>,
    /// static membership: a restarted loader of this name gets its partitions back at once, without waiting for a
    /// timeout
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// TLS and SASL by the names of Kafka's Java clients (`security.protocol`, `sasl.jaas.config`, …), and further
    /// properties of librdkafka
    #[serde(default)]
    pub kafka: Properties,
    /// topic of the sources' heartbeats; `{prefix}` stands for a source's topic prefix
    #[serde(default = "default_heartbeat_topic")]
    pub heartbeat_topic: String,
    /// whether a satellite grows a column by itself when the source's table gets one whose type the events tell
    #[serde(default = "default_grow_satellites")]
    pub grow_satellites: bool,
    /// how many writers load beside each other, each with a connection and partitions of its own. One, because one
    /// writer keeps two cores busy (it makes a batch ready while the warehouse writes the one before), and because
    /// further ones help only where the warehouse has processors and disks that are idle
    #[serde(default = "default_writers")]
    pub writers: u16,
    /// when a batch is full
    #[serde(default)]
    pub batch: BatchLimits,
    /// bounds of memory and patience
    #[serde(default)]
    pub limits: ResourceLimits,
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
    /// `disable` … `verify-full`; unless set, `prefer` for this machine and `verify-full` for another one
    #[serde(default)]
    pub sslmode: Option<String>,
    /// `disable`, `prefer` or `require`: whether SCRAM is bound to the TLS connection; `prefer` unless set
    #[serde(default)]
    pub channel_binding: Option<String>,
    /// the methods by which the warehouse may authenticate, as in libpq's `require_auth`; a password goes to an unknown
    /// server only when its method is named here
    #[serde(default)]
    pub require_auth: Option<String>,
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
pub struct BatchLimits {
    /// 10 000, of several writers down to 5 000 for each: larger transactions load no faster (measured: 5 000 to 50 000
    /// differ by less than 5 %)
    pub rows_max: usize,
    /// 16 MiB, which the writers share: up to four batches of each are in memory, two of them with their rows. With
    /// batches of 10 000 small rows, the caches and what Kafka sends ahead, the loader took 399 MiB where its caches
    /// held 400 000 states
    pub bytes_max: usize,
    /// 50 ms since the first event: half of what a person notices, long enough to fill a batch under load
    pub linger_ms: u64,
    /// an hour: how far a publish time may be ahead of this machine's clock. A load date never goes back, so a reader
    /// whose clock is ahead would leave it ahead for good
    pub clock_ahead_max_ms: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { rows_max: 10_000, bytes_max: 16 << 20, linger_ms: 50, clock_ahead_max_ms: 3_600_000 }
    }
}

/// Bounds of memory and patience.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceLimits {
    /// bytes that librdkafka may fetch ahead: two batches
    pub queue_bytes_max: usize,
    /// remembered states; four keys of a hub or link count as one. A state takes 130 bytes, and up to twice that in a
    /// map that has just grown: 110 000 are 14 to 28 MB
    pub cache_entries_max: usize,
    /// this many events of a source in quarantine mean that the fault lies in the loader or the model, and a table with
    /// one more is paused
    pub quarantine_events_max: u64,
    /// days after which an event in quarantine is reported as overdue, and `quarantine redact` removes its content
    pub quarantine_retention_days: u16,
    /// how long Kafka and the warehouse may take to answer when the loader starts
    pub start_wait_ms: u64,
    /// how long the batch in flight may take after a signal
    pub shutdown_wait_ms: u64,
    /// how long none of the model's topics may exist before the loader warns and is not ready
    pub topics_wait_ms: u64,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            queue_bytes_max: 32 << 20,
            cache_entries_max: 110_000,
            quarantine_events_max: 1_000,
            quarantine_retention_days: 30,
            start_wait_ms: 30_000,
            shutdown_wait_ms: 20_000,
            topics_wait_ms: 60_000,
        }
    }
}

/// So many writers have as many connections to the warehouse, and two threads each.
pub const WRITERS_MAX: u16 = 64;

/// Stands for a source's topic prefix in the name of a topic.
const PREFIX: &str = "{prefix}";

/// As long as a hash: whoever knows one value and its key could find a shorter secret by trying.
const KEY_SECRET_BYTES_MIN: usize = 32;

/// Properties of librdkafka that loading exactly once depends on.
const OWN_PROPERTIES: [(&str, &str); 9] = [
    ("auto.offset.reset", "events that Kafka no longer has would be skipped silently"),
    ("partition.assignment.strategy", "partitions are taken over all at once or not at all"),
    ("isolation.level", "events of aborted transactions would be loaded"),
    ("statistics.interval.ms", "lag and readiness come from the statistics"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("group.id", "use group_id"),
    ("group.instance.id", "use group_instance_id"),
];

/// librdkafka's second name of `sasl.mechanism`.
const SECOND_NAME: &str = "sasl.mechanisms";

const OFFSETS: &str = "the warehouse owns the offsets";

fn default_heartbeat_topic() -> String {
    heartbeat_topic(HEARTBEAT_PREFIX, PREFIX)
}

fn default_writers() -> u16 {
    1
}

fn default_grow_satellites() -> bool {
    true
}

/// Another machine is spoken to by TLS unless somebody says otherwise.
const NO_ROOT: &str = "is not set: database.host is another machine, so sslmode is verify-full unless it is set; \
                       name the file with the authority's certificates, or set database.sslmode (disable, prefer, require)";

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8084))
}

fn default_port() -> u16 {
    5432
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be parsed, or a key is unknown, missing or of the wrong type.
    #[error("configuration: {0}; see --help for files and variables")]
    Read(String),
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

/// Says what is wrong, without the value or the line of the file that the library's own message quotes.
fn without_values(error: &config::ConfigError) -> String {
    use config::ConfigError as Library;
    match error {
        Library::FileParse { uri, cause } => {
            let file = uri.as_deref().unwrap_or("the file");
            format!("{file} cannot be parsed{}", place(&cause.to_string()))
        }
        Library::Type { unexpected, expected, key, .. } => {
            // The kind of what was found stands before the value and its quotes.
            let found = unexpected.to_string();
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            let key = key.as_deref().map_or(String::new(), |key| format!("{key}: "));
            format!("{key}expected {expected}, found {kind}")
        }
        Library::At { error, key, .. } => {
            let key = key.as_deref().map_or(String::new(), |key| format!("{key}: "));
            format!("{key}{}", without_values(error))
        }
        Library::Message(text) => match text.rsplit_once(", expected ") {
            Some((found, expected)) if found.starts_with("invalid ") => {
                format!("expected {expected}")
            }
            _ => text.clone(),
        },
        other => other.to_string(),
    }
}

/// Line and column that a parser's message names, and nothing else of the message.
fn place(message: &str) -> String {
    let number = |name: &str| {
        let (_, rest) = message.split_once(name)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    };
    match (number("line "), number("column ")) {
        (Some(line), Some(column)) => format!(" at line {line}, column {column}"),
        _ => String::new(),
    }
}

/// Refuses variables that are not UTF-8. The library's own error would show the value, and this one shows the name
/// only.
fn check_variables() -> Result<(), ConfigError> {
    let strange = std::env::vars_os().find_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(ENV_PREFIX))?;
        value.to_str().is_none().then_some(name)
    });
    match strange {
        Some(name) => Err(ConfigError::Read(format!("variable {name} is not UTF-8"))),
        None => Ok(()),
    }
}

impl Config {
    /// Reads the file, if any, then the environment, and checks the result.
    ///
    /// # Errors
    /// When the file or a variable cannot be read, a key is unknown or missing, or a value is out of range.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        check_variables()?;
        Self::read(file, config::Environment::with_prefix(ENV_PREFIX))
    }

    fn read(file: Option<&Path>, environment: config::Environment) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(config::File::from(file));
        }
        // Types are not guessed, so a password of digits stays text.
        let environment = environment.prefix_separator("__").separator("__");
        let built = builder.add_source(environment).build();
        let config: Self = built
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError::Read(without_values(&error)))?;
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
        if self.ssl_mode()? == SslMode::VerifyFull
            && self.database.sslmode.is_none()
            && self.database.sslrootcert.is_none()
        {
            return Err(invalid("database.sslrootcert", NO_ROOT));
        }
        self.authentication()?;
        for (key, secret) in
            [("key_secret", &self.key_secret), ("key_secret_before", &self.key_secret_before)]
        {
            let length = secret.as_ref().map(|secret| secret.expose().len());
            if length.is_some_and(|length| length < KEY_SECRET_BYTES_MIN) {
                let problem = "must have at least 32 bytes: take 32 random bytes or more, as text; without a secret, do not set it";
                return Err(invalid(key, problem));
            }
        }
        for (property, _) in self.kafka.iter() {
            if let Some((_, why)) = OWN_PROPERTIES.iter().find(|(own, _)| *own == property) {
                let problem = format!("{property} must not be set: {why}");
                return Err(invalid("kafka", problem));
            }
        }
        if !(1..=WRITERS_MAX).contains(&self.writers) {
            return Err(invalid("writers", format!("must be from 1 to {WRITERS_MAX}")));
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

    /// Checks what only a command that talks to Kafka needs.
    ///
    /// # Errors
    /// When no broker is named, TLS or SASL are not set up as a whole, or librdkafka does not take a property.
    pub fn require_kafka(&self) -> Result<(), ConfigError> {
        if self.bootstrap_servers.trim().is_empty() {
            let problem = "is not set: give host:port of a Kafka broker";
            return Err(invalid("bootstrap_servers", problem));
        }
        self.kafka_client("vault-loader")?.create_native_config().map(drop).map_err(|error| {
            // Any other error means a zero byte in a name or a value.
            let problem = refused_property(&error);
            invalid("kafka", problem.unwrap_or_else(|| "a property holds a zero byte".to_owned()))
        })
    }

    /// The topic of the heartbeats of the source with this topic prefix.
    #[must_use]
    pub fn heartbeat_topic(&self, topic_prefix: &str) -> String {
        self.heartbeat_topic.replace(PREFIX, topic_prefix)
    }

    /// What every client of Kafka begins with: the brokers, TLS and SASL.
    ///
    /// # Errors
    /// When TLS or SASL are not set up as a whole; a text for each problem, none of which shows a secret.
    pub fn cluster(&self) -> Result<Cluster, ConfigError> {
        let properties = self.kafka.iter().map(|(name, value)| {
            // librdkafka knows the mechanism by a second name.
            let name = if name == SECOND_NAME { "sasl.mechanism" } else { name };
            (name, value.clone())
        });
        let known = properties.filter(|(name, _)| names::treatment(name).is_some());
        let security = Security::read(&known.collect())
            .map_err(|problems| invalid("kafka", problems.join("; ")))?;
        Ok(Cluster::new(&self.bootstrap_servers, security))
    }

    /// How the loader proves itself to the brokers; `None` without SASL.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.cluster().ok()?.security().mechanism()
    }

    /// A client of this name, with the file's further properties, which win.
    ///
    /// # Errors
    /// As [`Config::cluster`].
    pub fn kafka_client(&self, client_id: &str) -> Result<ClientConfig, ConfigError> {
        let mut client = self.cluster()?.client(client_id);
        self.set_further_properties(&mut client);
        Ok(client)
    }

    /// Sets the properties that are librdkafka's own.
    pub(crate) fn set_further_properties(&self, client: &mut ClientConfig) {
        for (name, value) in self.kafka.iter() {
            if names::treatment(name).is_none() && name != SECOND_NAME {
                if name == "ssl.ca.pem" {
                    client.remove("ssl.ca.location");
                }
                client.set(name, value.expose());
            }
        }
    }

    fn ssl_mode(&self) -> Result<SslMode, ConfigError> {
        let Some(word) = self.database.sslmode.as_deref() else {
            let is_here = is_this_machine(&self.database.host);
            return Ok(if is_here { SslMode::Prefer } else { SslMode::VerifyFull });
        };
        word.parse().map_err(|_| {
            invalid(
                "database.sslmode",
                "must be disable, allow, prefer, require, verify-ca or verify-full",
            )
        })
    }

    fn authentication(&self) -> Result<AuthenticationRules, ConfigError> {
        let channel_binding = self.database.channel_binding.as_deref().unwrap_or("prefer");
        let allowed: AllowedMethods = self
            .database
            .require_auth
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|why: AuthenticationWord| invalid("database.require_auth", why.0))?;
        let channel_binding = channel_binding
            .parse()
            .map_err(|why: AuthenticationWord| invalid("database.channel_binding", why.0))?;
        Ok(AuthenticationRules { channel_binding, allowed })
    }

    /// How to connect to the warehouse.
    #[must_use]
    pub fn connect_options(&self) -> ConnectOptions {
        let database = &self.database;
        let mut options = ConnectOptions::new(&database.host, database.port, &database.name);
        options.user.clone_from(&database.user);
        options.password = database.password.clone();
        options.ssl_mode = self.ssl_mode().unwrap_or_default();
        options.authentication = self.authentication().unwrap_or_default();
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
mod tests;
