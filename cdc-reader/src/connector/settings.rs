//! What a connector's properties mean.
//!
//! In: properties that were looked up. Out: the types that the rest of the reader works with. A problem is reported to
//! the lookup, and the work goes on, so that one run shows all problems.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shared::authentication::{AllowedMethods, AuthenticationRules, ChannelBinding};
use shared::debezium::heartbeat::heartbeat_topic;
use shared::kafka::{Properties, names};
use shared::postgres::ConnectOptions;
use shared::secret::Secret;
use shared::tls::{SslMode, TlsFiles};

use super::filter::{ListError, Lists, MessageFilter, TableFilter};
use super::lookup::Lookup;
use super::producer;

/// The longest name of a slot or a publication: PostgreSQL's NAMEDATALEN less the final zero.
const NAME_BYTES_MAX: usize = 63;

/// What `pg_stat_activity` shows of this program.
const APPLICATION_NAME: &str = "cdc-reader";

/// Everything that a connector file decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database to capture.
    pub database: ConnectOptions,
    /// First part of every topic's name, and the server's name in stored offsets.
    pub topic_prefix: String,
    /// The replication slot.
    pub slot_name: String,
    /// Whether a new slot is one that standbys copy.
    pub slot_failover: bool,
    /// How long a server that was promoted may take to get the slot.
    pub slot_wait: Duration,
    /// The publication.
    pub publication_name: String,
    /// Whether and how the publication is created.
    pub publication_autocreate: PublicationAutocreate,
    /// Whether a publication that the reader makes publishes changes of partitions as those of the partitioned table.
    pub publish_via_partition_root: bool,
    /// When existing rows are sent.
    pub snapshot_mode: SnapshotMode,
    /// Which tables are captured.
    pub tables: TableFilter,
    /// Which logical decoding messages are published.
    pub messages: MessageFilter,
    /// Which operations are left out.
    pub skipped_operations: SkippedOperations,
    /// Whether a delete is followed by a tombstone.
    pub tombstones_on_delete: bool,
    /// Whether data events carry Debezium's context headers.
    pub extended_headers: bool,
    /// Whether data events say the types of their columns in a header.
    pub column_types_header: bool,
    /// Whether a NULL in a row is written as the column's default.
    pub replace_null_with_default_value: bool,
    /// What becomes of a value that has no form in an event.
    pub converting_failures: ConvertingFailures,
    /// How often the server hears of our position.
    pub status_update_interval: Duration,
    /// Heartbeats, if any are sent.
    pub heartbeats: Option<HeartbeatSettings>,
    /// What is written for a value that the stream does not hold.
    pub unavailable_value_placeholder: String,
    /// The connector version in each event's source.
    pub version: String,
    /// The longest wait between two attempts to go on after a failure that may pass.
    pub retry_delay_max: Duration,
    /// Attempts in a row before giving up; none means without end.
    pub errors_max_retries: Option<u32>,
    /// How missing topics are created.
    pub topic_creation: TopicCreation,
    /// Overrides of the producer, in librdkafka's words.
    pub producer_overrides: Vec<(String, String)>,
    /// Overrides of the worker's TLS and SASL towards Kafka.
    pub kafka_security: KafkaSecurity,
}

/// `heartbeat.*` and `topic.heartbeat.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// How often one is sent.
    pub interval: Duration,
    /// Their topic.
    pub topic: String,
}

/// TLS and SASL of the clients of Kafka, in Java's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// `producer.override.*`.
    pub producer: Properties,
    /// `admin.override.*`.
    pub admin: Properties,
    /// `consumer.override.*`.
    pub consumer: Properties,
}

/// `publication.autocreate.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationAutocreate {
    /// Create it for all tables if it is missing.
    AllTables,
    /// It must exist.
    Disabled,
    /// Create it, or alter it, so that it holds the captured tables.
    Filtered,
    /// Create it without tables if it is missing.
    NoTables,
}

/// `snapshot.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    /// When no offset is stored, then stream.
    Initial,
    /// When no offset is stored, then end.
    InitialOnly,
    /// Never.
    NoData,
}

/// `event.converting.failure.handling.mode`: what becomes of a value that has no form in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvertingFailures {
    /// It stops the reader.
    Fail,
    /// NULL is published in its place, with a warning.
    Warn,
    /// NULL is published in its place, and only a debug line says so.
    Skip,
}

/// `skipped.operations`: what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkippedOperations {
    /// Inserts.
    pub creates: bool,
    /// Updates.
    pub updates: bool,
    /// Deletes, and their tombstones.
    pub deletes: bool,
    /// Truncates.
    pub truncates: bool,
}

/// `topic.creation.default.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicCreation {
    /// Partitions; none means the broker's default.
    pub partitions: Option<i32>,
    /// Replicas; none means the broker's default.
    pub replication_factor: Option<i16>,
    /// The topics' own configuration.
    pub config: Vec<(String, String)>,
}

/// The settings. They are valid only if no problem was reported.
pub(super) fn read(lookup: &mut Lookup<'_>) -> Settings {
    check_names(lookup);
    if !lookup.is_set("plugin.name") {
        lookup
            .warn("plugin.name is not set: reading from pgoutput (Debezium would use decoderbufs)");
    }
    Settings {
        database: database(lookup),
        topic_prefix: lookup.text("topic.prefix"),
        slot_name: lookup.text("slot.name"),
        slot_failover: lookup.boolean("slot.failover"),
        slot_wait: millis(lookup, "slot.retry.delay.ms")
            .saturating_mul(lookup.number("slot.max.retries")),
        publication_name: lookup.text("publication.name"),
        publication_autocreate: match lookup.word("publication.autocreate.mode").as_str() {
            "disabled" => PublicationAutocreate::Disabled,
            "filtered" => PublicationAutocreate::Filtered,
            "no_tables" => PublicationAutocreate::NoTables,
            _ => PublicationAutocreate::AllTables,
        },
        publish_via_partition_root: lookup.boolean("publish.via.partition.root"),
        snapshot_mode: match lookup.word("snapshot.mode").as_str() {
            "initial_only" => SnapshotMode::InitialOnly,
            "no_data" => SnapshotMode::NoData,
            _ => SnapshotMode::Initial,
        },
        tables: tables(lookup),
        messages: messages(lookup),
        skipped_operations: skipped_operations(lookup),
        tombstones_on_delete: lookup.boolean("tombstones.on.delete"),
        extended_headers: lookup.boolean("extended.headers.enabled"),
        column_types_header: lookup.boolean("vaultstream.column.types.header"),
        replace_null_with_default_value: lookup
            .boolean("value.converter.replace.null.with.default"),
        converting_failures: match lookup.word("event.converting.failure.handling.mode").as_str() {
            "fail" => ConvertingFailures::Fail,
            "skip" => ConvertingFailures::Skip,
            _ => ConvertingFailures::Warn,
        },
        status_update_interval: millis(lookup, "status.update.interval.ms"),
        heartbeats: heartbeats(lookup),
        unavailable_value_placeholder: lookup.text("unavailable.value.placeholder"),
        version: lookup.text("vaultstream.source.version"),
        retry_delay_max: millis(lookup, "retriable.restart.connector.wait.ms"),
        errors_max_retries: lookup.optional_number("errors.max.retries"),
        topic_creation: topic_creation(lookup),
        producer_overrides: producer_overrides(lookup),
        kafka_security: KafkaSecurity {
            producer: kafka_security(lookup, "producer.override."),
            admin: kafka_security(lookup, "admin.override."),
            consumer: kafka_security(lookup, "consumer.override."),
        },
    }
}

fn millis(lookup: &Lookup<'_>, name: &str) -> Duration {
    Duration::from_millis(lookup.number(name))
}

fn heartbeats(lookup: &Lookup<'_>) -> Option<HeartbeatSettings> {
    let interval = millis(lookup, "heartbeat.interval.ms");
    let named = lookup.optional("topic.heartbeat.name");
    let topic = named.unwrap_or_else(|| {
        heartbeat_topic(&lookup.text("topic.heartbeat.prefix"), &lookup.text("topic.prefix"))
    });
    (!interval.is_zero()).then_some(HeartbeatSettings { interval, topic })
}

fn check_names(lookup: &mut Lookup<'_>) {
    let is_topic =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    for name in ["topic.prefix", "topic.heartbeat.prefix", "topic.heartbeat.name"] {
        if !lookup.text(name).chars().all(is_topic) {
            lookup.unfit(name, "may hold letters, digits, dots, underscores and hyphens only");
        }
    }
    let slot = lookup.text("slot.name");
    let is_slot = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
    if slot.is_empty() || slot.len() > NAME_BYTES_MAX || !slot.chars().all(is_slot) {
        lookup.unfit("slot.name", "must be 1 to 63 lower-case letters, digits and underscores");
    }
    let publication = lookup.text("publication.name");
    if publication.is_empty() || publication.len() > NAME_BYTES_MAX {
        lookup.unfit("publication.name", "must be 1 to 63 bytes long");
    }
}

fn database(lookup: &mut Lookup<'_>) -> ConnectOptions {
    let port = lookup.number("database.port");
    let mut options =
        ConnectOptions::new(lookup.text("database.hostname"), port, lookup.text("database.dbname"));
    options.user = lookup.text("database.user");
    options.password = Secret::new(lookup.text("database.password"));
    options.ssl_mode = SslMode::from_str(&lookup.word("database.sslmode")).unwrap_or_default();
    options.tls_files = TlsFiles {
        root_cert: lookup.optional("database.sslrootcert").map(PathBuf::from),
        client_cert: lookup.optional("database.sslcert").map(PathBuf::from),
        client_key: lookup.optional("database.sslkey").map(PathBuf::from),
    };
    options.authentication = authentication(lookup);
    APPLICATION_NAME.clone_into(&mut options.application_name);
    if options.tls_files.client_cert.is_some() != options.tls_files.client_key.is_some() {
        lookup.problem(
            "database.sslcert",
            "database.sslcert and database.sslkey must be given together",
        );
    }
    let verifies = matches!(options.ssl_mode, SslMode::VerifyCa | SslMode::VerifyFull);
    if verifies && options.tls_files.root_cert.is_none() {
        lookup.unfit("database.sslmode", "needs database.sslrootcert");
    }
    options
}

/// The JDBC driver's properties, which Debezium hands on to it.
fn authentication(lookup: &mut Lookup<'_>) -> AuthenticationRules {
    let channel_binding =
        ChannelBinding::from_str(&lookup.word("driver.channelBinding")).unwrap_or_default();
    let allowed = AllowedMethods::from_str(&lookup.word("driver.requireAuth"));
    let allowed = allowed.unwrap_or_else(|why| {
        lookup.unfit("driver.requireAuth", why.0);
        AllowedMethods::default()
    });
    AuthenticationRules { channel_binding, allowed }
}

fn tables(lookup: &mut Lookup<'_>) -> TableFilter {
    let mut filter = TableFilter::all();
    if !lookup.boolean("table.ignore.builtin") {
        filter = filter.with_builtin();
    }
    for kind in ["schema", "table"] {
        let names = [format!("{kind}.include.list"), format!("{kind}.exclude.list")];
        let next = with_lists(lookup, &names, |lists| match kind {
            "schema" => filter.clone().with_schemas(lists),
            _ => filter.clone().with_tables(lists),
        });
        filter = next.unwrap_or(filter);
    }
    filter
}

fn messages(lookup: &mut Lookup<'_>) -> MessageFilter {
    let names = ["include", "exclude"].map(|list| format!("message.prefix.{list}.list"));
    with_lists(lookup, &names, MessageFilter::new).unwrap_or_default()
}

/// A filter of an include list and an exclude list, by the names of the two properties. None, and a problem is
/// reported, when they make no filter.
fn with_lists<F>(
    lookup: &mut Lookup<'_>,
    names: &[String; 2],
    make: impl FnOnce(Lists<'_>) -> Result<F, ListError>,
) -> Option<F> {
    let texts = names.each_ref().map(|name| lookup.text(name));
    match make(Lists { include: &texts[0], exclude: &texts[1] }) {
        Ok(filter) => return Some(filter),
        Err(ListError::Include(why)) => lookup.unfit(&names[0], &regex_line(&why)),
        Err(ListError::Exclude(why)) => lookup.unfit(&names[1], &regex_line(&why)),
        Err(ListError::Both) => lookup
            .problem(&names[1], &format!("{} and {} cannot both be given", names[0], names[1])),
    }
    None
}

fn regex_line(why: &str) -> String {
    format!("holds a regular expression that cannot be used: {why}")
}

fn skipped_operations(lookup: &mut Lookup<'_>) -> SkippedOperations {
    let mut skipped =
        SkippedOperations { creates: false, updates: false, deletes: false, truncates: false };
    let text = lookup.text("skipped.operations");
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    for word in &words {
        match word.as_str() {
            "c" => skipped.creates = true,
            "u" => skipped.updates = true,
            "d" => skipped.deletes = true,
            "t" => skipped.truncates = true,
            "none" if words.len() == 1 => {}
            _ => {
                lookup.unfit("skipped.operations", "must be none, or some of c, u, d, t");
                break;
            }
        }
    }
    skipped
}

fn topic_creation(lookup: &mut Lookup<'_>) -> TopicCreation {
    const PARTITIONS: &str = "topic.creation.default.partitions";
    const REPLICAS: &str = "topic.creation.default.replication.factor";
    let given = lookup.below("topic.creation.default.");
    if !given.is_empty() {
        for name in [PARTITIONS, REPLICAS] {
            if !lookup.is_set(name) {
                lookup.problem(
                    name,
                    &format!("property {name} is required when topics are to be created"),
                );
            } else if lookup.number::<i64>(name) == 0 {
                lookup.unfit(name, "must be positive, or -1 for the broker's default");
            }
        }
    }
    let config = given
        .into_iter()
        .filter(|(name, _)| name != "partitions" && name != "replication.factor")
        .collect();
    TopicCreation {
        partitions: lookup.optional_number(PARTITIONS).filter(|count| *count > 0),
        replication_factor: lookup.optional_number(REPLICAS).filter(|count| *count > 0),
        config,
    }
}

fn producer_overrides(lookup: &mut Lookup<'_>) -> Vec<(String, String)> {
    let mut overrides = Vec::new();
    for (name, value) in lookup.below("producer.override.") {
        if names::is_security(&name) {
            continue;
        }
        match producer::translate(&name, &value) {
            Ok(translated) => overrides.extend(translated),
            Err(why) => lookup.unfit(&format!("producer.override.{name}"), &why),
        }
    }
    overrides
}

/// The properties of TLS and SASL below `start`. Of the admin client and of the consumer there are no others.
fn kafka_security(lookup: &mut Lookup<'_>, start: &str) -> Properties {
    let mut properties = Properties::default();
    for (name, value) in lookup.below(start) {
        let full = format!("{start}{name}");
        if !names::is_security(&name) {
            if start != "producer.override." {
                let why = "of these overrides there are security.*, sasl.* and ssl.* only";
                lookup.problem(&full, &format!("property {full} is not supported: {why}"));
            }
        } else if let Some(line) = names::problem(&name, &value) {
            lookup.problem(&full, &format!("property {start}{line}"));
        } else {
            properties.set(&name, Secret::new(value));
        }
    }
    properties
}
