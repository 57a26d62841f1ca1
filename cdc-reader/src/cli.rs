//! The command line, and the worker settings that it shares with the environment and a file.
//!
//! In: arguments, variables and a TOML file. Out: the settings that do not belong to a connector. An argument wins over
//! its variable, a variable over the file, the file over the default.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use shared::kafka::{Properties, names};
use shared::secret::Secret;
use shared::telemetry::LogFormat;

use crate::kafka_clients::without_kind;

/// The loopback only. An operator who wants to reach the interface from outside has to set the address.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8083";
/// Longer than a server takes to start, and shorter than a person waits for a wrong address.
pub const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(60);
/// Kafka Connect's usual name for the topic.
pub const DEFAULT_OFFSET_STORAGE_TOPIC: &str = "connect-offsets";

/// The beginning of the worker's variables in Debezium's image of Kafka Connect.
const CONNECT_PREFIX: &str = "CONNECT_";

/// What `--help` says first. Each paragraph is one line, which clap wraps to the width of the terminal.
const LONG_ABOUT: &str = "\
Captures a PostgreSQL database's changes and publishes them to Kafka, as Debezium does.

The connector file is the JSON that is posted to Kafka Connect for Debezium's PostgreSQL connector; \
${env:NAME} and ${file:/path:key} in it are resolved. http://<listen>/connectors shows the state as a \
Kafka Connect worker does. At the same address /health says whether the reader lives, /ready whether it is \
connected and makes progress, and /metrics has its metrics.

TLS and SASL towards Kafka are set by a worker's properties: security.protocol, sasl.mechanism, sasl.jaas.config, \
ssl.truststore.location and others, with producer., admin. or consumer. before them for one kind of client. They stand in \
the section [kafka] of the TOML file, or in variables as CONNECT_SECURITY_PROTOCOL or CONNECT_PRODUCER_SASL_JAAS_CONFIG; \
the connector overrides them with producer.override.*, admin.override.* and consumer.override.*.

Exit codes:
  0  the reader ended as asked
  1  it failed while it ran; the last line of the log says why
  2  the configuration, or the set-up of the source, must be changed; one line for each problem
  3  nobody can go on from the stored offset without a gap: an operator has to decide how to go on; see the command offset
  130  a second signal ended it";

/// What `init --help` says first.
const INIT_ABOUT: &str = "\
Looks at a source that is to be captured, and changes nothing there. It writes a connector file for `cdc-reader run`, and \
the SQL for the role, its rights and the publication, which an administrator runs with psql. Both hold no password: the \
file takes it from the variable CDC_READER_PASSWORD, and so does the SQL.

All tables are captured that can be. A line on standard error names each thing that is missing, with its remedy, and each \
table that is left out. --exclude-table accepts that a table is left out. Run the command again after the SQL, \
without --output-dir, to see whether anything is still missing.

Exit codes:
  0  nothing is missing
  1  something must be done: one line for each thing
  2  the source cannot be looked at, or a file cannot be written";

/// Captures a PostgreSQL database's changes and publishes them to Kafka, as Debezium does
#[derive(Debug, Parser)]
#[command(version, long_about = LONG_ABOUT)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture until a signal: SIGTERM or SIGINT drains, a second signal ends at once
    Run(RunArgs),
    /// Read a connector file and report every problem in it, without connecting to any server
    Check(CheckArgs),
    /// Ask a running reader whether it lives, or with --ready whether it is connected and makes progress: exit code 0
    /// for yes, 1 for no
    Health(HealthArgs),
    /// Show, delete or replace the stored offset, to decide how the connector goes on after exit code 3
    Offset(OffsetArgs),
    /// Publish the deletes of rows that vanished while changes were lost, from the file that `vault-loader reconcile`
    /// wrote. Without --publish nothing is published. Exit codes: 1 when rows are to be published or it failed
    Reconcile(ReconcileArgs),
    /// Look at a source that is to be captured: write its connector file and the SQL that it needs, and say what is
    /// missing
    #[command(long_about = INIT_ABOUT)]
    Init(InitArgs),
}

/// Arguments of `init`.
#[derive(Debug, Clone, Default, Args)]
pub struct InitArgs {
    /// The source: postgres://user:password@host:port/database?sslmode=…&sslrootcert=…; better in the variable, because
    /// every user of the machine sees arguments. The user needs the right to connect and no other
    #[arg(long, value_name = "URL", env = "CDC_READER_SOURCE", hide_env_values = true, value_parser = secret)]
    pub source: Secret,
    /// What the names of the topics begin with, and where the other names come from [default: the database's name]
    #[arg(long, value_name = "PREFIX")]
    pub topic_prefix: Option<String>,
    /// Schema to capture, as it is called, without quotes; several times for several [default: all but the system's]
    #[arg(long = "schema", value_name = "SCHEMA")]
    pub schemas: Vec<String>,
    /// Table not to capture, as schema.table without quotes; several times for several
    #[arg(long = "exclude-table", value_name = "SCHEMA.TABLE")]
    pub excluded: Vec<String>,
    /// The role that the reader connects as [default: cdc_reader]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// The replication slot, which the reader makes when it starts [default: PREFIX_slot]
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<String>,
    /// The publication [default: PREFIX_publication]
    #[arg(long, value_name = "PUBLICATION")]
    pub publication: Option<String>,
    /// Folder for connector.json and source.sql, which must not exist yet [default: both go to standard output]
    #[arg(long, value_name = "FOLDER")]
    pub output_dir: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Arguments of `offset`.
#[derive(Debug, Args)]
pub struct OffsetArgs {
    /// What to do with the offset
    #[arg(value_enum, value_name = "ACTION")]
    pub action: OffsetAction,
    /// With delete: do not ask the source whether the connector runs, because the source is gone
    #[arg(long)]
    pub force: bool,
    /// The connector file
    #[arg(long, value_name = "FILE", env = "CDC_READER_CONNECTOR")]
    pub connector: PathBuf,
    /// Settings of the worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// Arguments of `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// The file that `vault-loader reconcile --to` wrote
    #[arg(long, value_name = "FILE")]
    pub rows: PathBuf,
    /// Publish the deletes; the connector must not run
    #[arg(long)]
    pub publish: bool,
    /// Publish nothing when the file has more rows than this
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub max_deletes: usize,
    /// Seconds to wait for open transactions of the source
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// So many rows of each table are shown, as hash keys
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub show: usize,
    /// Show the primary keys beside the hash keys
    #[arg(long)]
    pub show_keys: bool,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t = OutcomeFormat::Text)]
    pub format: OutcomeFormat,
    /// The connector file
    #[arg(long, value_name = "FILE", env = "CDC_READER_CONNECTOR")]
    pub connector: PathBuf,
    /// Settings of the worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// How an outcome is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutcomeFormat {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// What to do with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OffsetAction {
    /// Print the stored offset
    Show,
    /// Delete the stored offset: the next start takes a new snapshot. The connector must not run
    Delete,
    /// Store the slot's position as the offset: the next start goes on there, and the changes before it are never read.
    /// The connector must not run
    Accept,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The connector file
    #[arg(long, value_name = "FILE", env = "CDC_READER_CONNECTOR")]
    pub connector: PathBuf,
    /// Settings of the worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The connector file
    #[arg(long, value_name = "FILE", env = "CDC_READER_CONNECTOR")]
    pub connector: PathBuf,
}

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The address that the reader listens on
    #[arg(long, value_name = "HOST:PORT", env = "CDC_READER_LISTEN", default_value = DEFAULT_LISTEN)]
    pub listen: String,
    /// Ask whether the reader is connected and makes progress, and not only whether it lives
    #[arg(long)]
    pub ready: bool,
}

/// Settings of the worker, as given; see [`WorkerArgs::resolve`].
#[derive(Debug, Default, Args)]
pub struct WorkerArgs {
    /// A TOML file with the settings below, named in snake_case; unknown names are refused
    #[arg(long, value_name = "FILE", env = "CDC_READER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to serve the REST interface [default: 127.0.0.1:8083]
    #[arg(long, value_name = "HOST:PORT", env = "CDC_READER_LISTEN")]
    pub listen: Option<String>,
    /// The host by which others reach the REST interface, shown as worker_id [default: the host of --listen]
    #[arg(long, value_name = "HOST", env = "CDC_READER_ADVERTISED_HOST_NAME")]
    pub advertised_host_name: Option<String>,
    /// Kafka brokers, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", env = "BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: Option<String>,
    /// The compacted topic in which Kafka Connect stores offsets [default: connect-offsets]
    #[arg(long, value_name = "TOPIC", env = "OFFSET_STORAGE_TOPIC")]
    pub offset_storage_topic: Option<String>,
    /// Seconds that the source and Kafka have to answer at the start; the reader waits out later outages [default: 60]
    #[arg(long, value_name = "SECONDS", env = "CDC_READER_STARTUP_TIMEOUT")]
    pub startup_timeout: Option<u64>,
    /// Form of the log lines: auto, json or text [default: auto]
    #[arg(long, value_name = "FORMAT", env = "LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Settings of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Where the REST interface is served.
    pub listen: String,
    /// The host to show in `worker_id`, if not the one listened on.
    pub advertised_host_name: Option<String>,
    /// Kafka brokers.
    pub bootstrap_servers: String,
    /// Where offsets are stored.
    pub offset_storage_topic: String,
    /// How long source and Kafka may take to answer at the start.
    pub startup_timeout: Duration,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// TLS and SASL towards Kafka.
    pub kafka: Properties,
}

/// What is wrong with the worker's settings.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The file cannot be read, or has an unknown setting. The message names the file and the setting.
    #[error("cannot use the settings in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: config::ConfigError,
    },
    /// Nobody has given the brokers, which have no default.
    #[error("no Kafka brokers are given: set BOOTSTRAP_SERVERS or --bootstrap-servers")]
    NoBootstrapServers,
}

/// The file's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerFile {
    listen: Option<String>,
    advertised_host_name: Option<String>,
    bootstrap_servers: Option<String>,
    offset_storage_topic: Option<String>,
    startup_timeout: Option<u64>,
    log_format: Option<LogFormat>,
    #[serde(default)]
    kafka: Properties,
}

impl WorkerArgs {
    /// The settings in force. Those of Kafka's clients may also come from the process's environment.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn resolve(self) -> Result<Worker, WorkerError> {
        let text = |text: OsString| text.into_string().ok();
        let variables = std::env::vars_os();
        self.resolve_with(variables.filter_map(|(name, value)| Some((text(name)?, text(value)?))))
    }

    fn resolve_with(
        self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Worker, WorkerError> {
        let file = self.config.as_deref().map_or_else(|| Ok(WorkerFile::default()), read)?;
        let given = |value: Option<String>| value.filter(|text| !text.trim().is_empty());
        Ok(Worker {
            listen: given(self.listen).or(file.listen).unwrap_or_else(|| DEFAULT_LISTEN.to_owned()),
            advertised_host_name: given(self.advertised_host_name).or(file.advertised_host_name),
            bootstrap_servers: given(self.bootstrap_servers)
                .or(file.bootstrap_servers)
                .ok_or(WorkerError::NoBootstrapServers)?,
            offset_storage_topic: given(self.offset_storage_topic)
                .or(file.offset_storage_topic)
                .unwrap_or_else(|| DEFAULT_OFFSET_STORAGE_TOPIC.to_owned()),
            startup_timeout: self
                .startup_timeout
                .or(file.startup_timeout)
                .map_or(DEFAULT_STARTUP_TIMEOUT, Duration::from_secs),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
            kafka: with_variables(file.kafka, variables),
        })
    }
}

/// The properties of TLS and SASL, those of the environment above those of the file. Other variables of a Kafka Connect
/// worker mean nothing here.
fn with_variables(
    mut properties: Properties,
    variables: impl Iterator<Item = (String, String)>,
) -> Properties {
    for (name, value) in variables {
        let Some(name) = name.strip_prefix(CONNECT_PREFIX) else { continue };
        let name = name.to_ascii_lowercase().replace('_', ".");
        if names::is_security(without_kind(&name)) {
            properties.set(&name, Secret::new(value));
        }
    }
    properties
}

fn read(path: &Path) -> Result<WorkerFile, WorkerError> {
    config::Config::builder()
        .add_source(config::File::from(path).format(config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|source| WorkerError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::CommandFactory;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_argument_wins_over_the_file_and_the_file_over_the_default() {
        let file =
            file("bootstrap_servers = \"file:1\"\nlisten = \"0.0.0.0:1\"\nlog_format = \"json\"");
        let args = WorkerArgs {
            config: Some(file.path().to_owned()),
            listen: Some("127.0.0.1:2".to_owned()),
            ..WorkerArgs::default()
        };
        let worker = args.resolve().unwrap();
        assert_eq!(worker.listen, "127.0.0.1:2");
        assert_eq!(worker.bootstrap_servers, "file:1");
        assert_eq!(worker.log_format, LogFormat::Json);
        assert_eq!(worker.offset_storage_topic, DEFAULT_OFFSET_STORAGE_TOPIC);
    }

    #[test]
    fn an_unknown_setting_or_a_missing_file_is_refused_by_name() {
        let file = file("bootstrap_server = \"x\"");
        for path in [file.path(), Path::new("/nowhere/worker.toml")] {
            let args = WorkerArgs { config: Some(path.to_owned()), ..WorkerArgs::default() };
            let error = args.resolve().unwrap_err();
            assert!(matches!(error, WorkerError::File { .. }), "{error:?}");
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn tls_and_sasl_come_from_the_file_and_from_a_connect_worker_s_variables() {
        let file = file(
            "bootstrap_servers = \"x\"\n[kafka]\nsecurity.protocol = \"SSL\"\n\"ssl.truststore.type\" = \"PEM\"\n",
        );
        let args = WorkerArgs { config: Some(file.path().to_owned()), ..WorkerArgs::default() };
        let variables = [
            ("CONNECT_SECURITY_PROTOCOL", "SASL_SSL"),
            ("CONNECT_PRODUCER_SASL_JAAS_CONFIG", "hunter2"),
            ("CONNECT_KEY_CONVERTER", "org.apache.kafka.connect.json.JsonConverter"),
            ("SASL_MECHANISM", "PLAIN"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let worker = args.resolve_with(variables.into_iter()).unwrap();
        let found: Vec<_> =
            worker.kafka.iter().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(
            found,
            [
                ("producer.sasl.jaas.config", "hunter2"),
                ("security.protocol", "SASL_SSL"),
                ("ssl.truststore.type", "PEM"),
            ]
        );
        assert!(!format!("{worker:?}").contains("hunter2"));
    }

    #[test]
    fn brokers_have_no_default() {
        let empty = WorkerArgs { bootstrap_servers: Some(" ".to_owned()), ..WorkerArgs::default() };
        assert!(matches!(empty.resolve(), Err(WorkerError::NoBootstrapServers)));
    }
}
