//! What the command line can say, and what `--help` says about it.
//!
//! In: arguments and variables of the environment. Out: a [`Cli`].

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use vault_loader::config::WRITERS_MAX;
use vault_loader::epochs_command::Tables;
use vault_loader::model_command::ModelCommand;
use vault_loader::proofs_command::ProofCommand;
use vault_loader::quarantine::QuarantineCommand;
use vault_loader::rebuild::RebuildArguments;
use vault_loader::snapshots::SnapshotsCommand;

const ABOUT: &str = "Loads Debezium change events from Kafka into a Data Vault on PostgreSQL, each event exactly once";

const HELP: &str = "\
Configuration: each key can be given in the file that --config names (TOML, YAML or JSON), or in the environment as
VAULT_LOADER__SECTION__KEY. The environment wins.

  VAULT_LOADER__BOOTSTRAP_SERVERS    Kafka's host:port, several separated by commas (run, status, gap, rebuild)
  VAULT_LOADER__DATABASE__HOST       the warehouse's host, or the directory of its Unix socket
  VAULT_LOADER__DATABASE__PORT       5432
  VAULT_LOADER__DATABASE__NAME       database
  VAULT_LOADER__DATABASE__USER       vault_owner to migrate and for quarantine, epoch, gap accept, rehash and rebuild; vault_loader
                                     to run; mart_refresher to refresh marts
  VAULT_LOADER__DATABASE__PASSWORD
  VAULT_LOADER__DATABASE__SSLMODE    disable, allow, prefer, require, verify-ca, verify-full (SSLROOTCERT, SSLCERT, SSLKEY);
                                     prefer for a Unix socket and the loopback, and verify-full for any other host
  VAULT_LOADER__DATABASE__CHANNEL_BINDING  prefer; require refuses a warehouse that cannot be bound to the TLS connection
  VAULT_LOADER__DATABASE__REQUIRE_AUTH     methods by which the warehouse may authenticate, as in libpq; password and md5 are
                                     answered over an unverified connection only when they are named here
  VAULT_LOADER__KEY_SECRET           a secret of at least 32 bytes that the hash keys are made with, for migrate, run, quarantine and rebuild; the
                                     first migration of a warehouse decides about it, and `rehash` changes it (docs/HASHING.md)
  VAULT_LOADER__KEY_SECRET_BEFORE    the secret until now, for rehash
  VAULT_LOADER__LISTEN               address of /health, /ready and /metrics, 127.0.0.1:8084
  VAULT_LOADER__GROUP_ID             consumer group, vault-loader-<source>-<beginning of the warehouse's identity>; of several
                                     sources each has a group of its own, <group id>-<source>
  VAULT_LOADER__GROUP_INSTANCE_ID    static membership: a restarted loader gets its partitions back at once
  VAULT_LOADER__HEARTBEAT_TOPIC      __debezium-heartbeat.{prefix}: topic of the sources' heartbeats; {prefix} is a source's topic
                                     prefix (docs/WATERMARK.md)
  VAULT_LOADER__GROW_SATELLITES      true      a new column of the source is added to the table's first satellite when
                                     the events tell its type; false pauses the table instead
  VAULT_LOADER__WRITERS              1         writers of `run` beside each other, 64 at most, each with a connection and partitions of
                                     its own; of several sources each has so many. They share BYTES_MAX and CACHE_ENTRIES_MAX
  VAULT_LOADER__BATCH__ROWS_MAX      10000     (BYTES_MAX 16 MiB, LINGER_MS 50)
  VAULT_LOADER__BATCH__CLOCK_AHEAD_MAX_MS  3600000   an event that was published later than that ahead pauses its table
  VAULT_LOADER__LIMITS__QUARANTINE_EVENTS_MAX  1000 events of a source in dwh_control.quarantine; a table with one more is paused
  VAULT_LOADER__LIMITS__QUARANTINE_RETENTION_DAYS  30: older events are reported, and `quarantine redact` removes their content
                                     (QUEUE_BYTES_MAX, CACHE_ENTRIES_MAX, START_WAIT_MS, SHUTDOWN_WAIT_MS, TOPICS_WAIT_MS)
  VAULT_LOADER__KAFKA__SECURITY_PROTOCOL  PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL. TLS and SASL have the names of Kafka's Java
                                     clients with _ for each dot: SASL_MECHANISM, SASL_JAAS_CONFIG, SSL_TRUSTSTORE_LOCATION
  [kafka]                            the same in the file, and further properties of librdkafka

Logs go to standard error, as text on a terminal and as JSON otherwise; RUST_LOG sets their level.

At LISTEN, /health says that the process lives, /ready that it is connected to Kafka and the warehouse and makes progress,
and /metrics has its metrics. Let an orchestrator restart the loader by /health alone.

Exit codes:
  0    done
  1    failed at run time; the last line of the log says why; of `model diff` and of the proofs (`checksum --compare`,
       `check`, `verify`): there is a difference
  2    usage, configuration, model or the set-up of the warehouse must be changed
  3    going on could lose or double data: an operator has to decide
  4    the batch in flight did not end in time after a signal; it was rolled back and will be loaded again
  130  ended by a second signal";

#[derive(Parser)]
#[command(version, about = ABOUT, after_help = HELP, max_term_width = 120)]
pub(crate) struct Cli {
    /// Configuration file; the environment alone is enough
    #[arg(long, global = true, env = "VAULT_LOADER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Vault model of a source, for example connectors/airline/vault.toml; once for each source. The variable separates
    /// several with commas
    #[arg(long, global = true, env = "VAULT_LOADER_MODEL", value_delimiter = ',')]
    pub(crate) model: Vec<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create the control schema and the vault, or add what is new in the model; refuse a change that would destroy
    /// data
    Migrate {
        /// Role that gets the rights that `run` needs
        #[arg(long, default_value = "vault_loader")]
        grant_to: String,
        /// Set a topic back to its beginning when its table feeds something new in the model; no row is doubled
        #[arg(long)]
        reload: bool,
    },
    /// Load until a signal: SIGTERM or SIGINT ends in order, a second signal ends at once
    Run {
        /// How many writers load beside each other, each with a connection and partitions of its own; instead of
        /// VAULT_LOADER__WRITERS
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WRITERS_MAX)))]
        writers: Option<u16>,
        /// Gone: `gap accept` takes its place
        #[arg(long, hide = true)]
        accept_gap: bool,
    },
    /// Events that Kafka deleted before they were loaded
    Gap {
        #[command(subcommand)]
        command: GapCommand,
    },
    /// Show how far each topic is loaded: what waits in events, bytes and seconds, how fast it becomes less, which
    /// topics are missing, and what is in quarantine
    Status {
        /// One JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Show it again and again until a signal, so many seconds apart; 2 when no number is given
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
    },
    /// Look at events that could not be loaded, load them after the cause is mended, or drop them
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
    /// Checksums, rules, and a comparison with the source
    #[command(flatten)]
    Proof(ProofCommand),
    /// Bring the marts' tables up to date with the vault, again and again until a signal
    RefreshMarts {
        /// Milliseconds from one refresh to the next; a refresh that finds nothing new costs a few milliseconds
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
        interval_ms: u64,
        /// Refresh once, say what was done, and end
        #[arg(long)]
        once: bool,
    },
    /// Build the snapshots of point-in-time tables and bridges, list them, or build them again (docs/SNAPSHOTS.md).
    /// Runs with the rights of `run` or of `migrate`
    Snapshots {
        #[command(subcommand)]
        command: SnapshotsCommand,
    },
    /// Make all hash keys of the warehouse anew, without the topics: from VAULT_LOADER__KEY_SECRET_BEFORE, or no secret
    /// when that is not set, to VAULT_LOADER__KEY_SECRET. Stop the loaders before. Every hash key that stands there is
    /// checked first, everything happens in one transaction, and no secret reaches the warehouse
    Rehash {
        /// Check, say how many rows would get another hash key, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Make the keys without a secret; anybody who can read them can then find values by trying
        #[arg(long)]
        remove_secret: bool,
        /// Hub in which values were replaced to erase somebody: its rows get the keys of the values that stand there
        /// now; several times for several
        #[arg(long = "erased", value_name = "HUB")]
        erased: Vec<String>,
    },
    /// Load the vault of all sources anew from the topics, beside the live one, and put it in its place in one
    /// transaction, while `run` goes on (docs/REBUILD.md). It needs no --model. Runs with the rights of `migrate`. Exit
    /// codes: 1 when --keep finds a difference, 3 when the topics no longer hold what was loaded, or something hangs on
    /// the vault's tables that cannot move
    Rebuild(RebuildArguments),
    /// List the epochs of tables, start one, or close rows that a new snapshot does not have
    Epoch {
        #[command(subcommand)]
        command: EpochCommand,
    },
    /// Ask the running loader whether it lives, or with --ready whether it is connected to both servers and makes
    /// progress: exit code 0 for yes, 1 for no
    Health {
        /// Ask whether it is connected and makes progress
        #[arg(long)]
        ready: bool,
    },
    /// Look at a model, compare it with the warehouse, or infer one from a source
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
}

/// Which tables a command is about.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct TopicArguments {
    /// Topic of a table; several times for several tables
    #[arg(long = "topic")]
    pub(crate) topics: Vec<String>,
    /// All tables of the model
    #[arg(long)]
    pub(crate) all: bool,
}

impl TopicArguments {
    pub(crate) fn tables(&self) -> Tables {
        if self.all { Tables::All } else { Tables::Topics(self.topics.clone()) }
    }
}

#[derive(Subcommand)]
pub(crate) enum EpochCommand {
    /// Show all epochs of the model's tables
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Start an epoch. A running loader is fenced once and goes on; a paused table goes on at a start of the loader
    #[command(group = clap::ArgGroup::new("happened").required(true).multiple(true))]
    Start {
        #[command(flatten)]
        topics: TopicArguments,
        /// The topic was deleted and made again: it is read from its beginning
        #[arg(long, group = "happened")]
        topic_recreated: bool,
        /// The source was restored from a backup, or promoted without the end of its log: its positions count anew
        #[arg(long, group = "happened")]
        source_restored: bool,
        /// Why, for those who read dwh_control.epochs later
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Close the rows that the snapshot after --source-restored did not bring. Run it when that snapshot is loaded
    CloseMissing {
        #[command(flatten)]
        topics: TopicArguments,
        /// Close the rows; without it they are only counted
        #[arg(long)]
        apply: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum GapCommand {
    /// Show what Kafka deleted before it was loaded, and what was accepted as lost
    List,
    /// Go on behind a gap: its events are lost to the warehouse, and dwh_control.gaps says so. Needs the role that runs
    /// `migrate`
    Accept {
        /// Kafka topic, as the refusal names it
        #[arg(long)]
        topic: String,
        /// Partition of it
        #[arg(long)]
        partition: i32,
        /// First offset that is lost
        #[arg(long)]
        from: i64,
        /// Last offset that is lost
        #[arg(long)]
        to: i64,
    },
}
