//! The table of every property that Debezium's PostgreSQL connector and Kafka Connect know, and what this reader does
//! with each.
//!
//! Out: for a name, its default, the values it may take, and whether it is honoured, changes nothing, or is refused. A
//! property that could change what arrives in Kafka is either honoured or refused.

/// The values that a property may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// An integer between two bounds, both included.
    Integer(i64, i64),
    /// One of these words, upper or lower case.
    OneOf(&'static [&'static str]),
}

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It has the same effect as in Debezium.
    Honoured,
    /// None of its values would change anything here. The text says why.
    ChangesNothing(&'static str),
    /// Only these values are supported. The text says why the others are not.
    Only(&'static [&'static str], &'static str),
    /// It is known and not supported unless it is empty. The text says why.
    Refused(&'static str),
}

/// One property, or all properties that begin alike. The name of these ends in `*`.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name.
    pub name: &'static str,
    /// The value when it is not set.
    pub default: Option<&'static str>,
    /// The values it may take.
    pub values: Values,
    /// What becomes of it.
    pub support: Support,
}

impl Property {
    const fn honoured(name: &'static str, default: &'static str, values: Values) -> Self {
        Self { name, default: Some(default), values, support: Support::Honoured }
    }

    const fn given(name: &'static str) -> Self {
        Self { name, default: None, values: Values::Text, support: Support::Honoured }
    }

    const fn idle(name: &'static str, values: Values, why: &'static str) -> Self {
        Self { name, default: None, values, support: Support::ChangesNothing(why) }
    }

    const fn only(
        name: &'static str,
        values: Values,
        allowed: &'static [&'static str],
        needs: &'static str,
    ) -> Self {
        Self { name, default: None, values, support: Support::Only(allowed, needs) }
    }

    const fn refused(name: &'static str, needs: &'static str) -> Self {
        Self { name, default: None, values: Values::Text, support: Support::Refused(needs) }
    }

    const fn defaulting(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

/// Properties that every connector needs.
pub const REQUIRED: [&str; 6] = [
    "name",
    "connector.class",
    "topic.prefix",
    "database.hostname",
    "database.user",
    "database.dbname",
];

/// The class that a connector file names.
pub const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const NO_CONVERTER: &str = "events are written by Kafka Connect's JSON form only";
const NO_SCHEMAS: &str = "events are written without schemas";
const NO_COLUMNS: &str = "every column of a captured table is sent, as it is";
const NO_SIGNALS: &str = "no signal is read, so there are no incremental snapshots";
const NO_HEARTBEAT_QUERY: &str =
    "no statement is run on the source; an idle slot is confirmed from the server's own keepalives";
const NO_POLL: &str = "there is no polling loop: events go to the producer as they are decoded";
const NO_QUEUE: &str =
    "what waits for Kafka waits in the producer, within producer.override.buffer.memory";
const NO_LOCKS: &str = "a snapshot takes no locks beyond those of reading";
const NO_TRANSFORMS: &str = "transformations are not applied";
const NO_METADATA: &str = "no transaction metadata is written";
const NO_NAMING: &str = "a table's topic is <topic.prefix>.<schema>.<table>";
const NO_SNAPSHOTTER: &str = "every captured table is read whole";
const ON_THE_WIRE: &str = "values are written in the default form only";
const NO_QUERY_LIMIT: &str = "catalog queries are few and end with their connection";

const ANY: Values = Values::Text;
const BOOL: Values = Values::Boolean;
/// Milliseconds: up to what Java's `long` holds.
const MILLIS: Values = Values::Integer(0, i64::MAX);
/// A positive Java `int`.
const COUNT: Values = Values::Integer(1, 2_147_483_647);
/// A Java `int` that may be 0.
const COUNT0: Values = Values::Integer(0, 2_147_483_647);

/// The table.
#[rustfmt::skip] // a property a line, to be read and compared as a table
pub const PROPERTIES: &[Property] = &[
    // Who and where.
    Property::given("name"),
    Property::only("connector.class", ANY, &[CONNECTOR_CLASS, "PostgresConnector", "Postgres"], "this program captures PostgreSQL only"),
    Property::idle("tasks.max", COUNT, "there is one task, as in Debezium"),
    Property::idle("tasks.max.enforce", BOOL, "there is one task"),
    Property::idle("config.action.reload", Values::OneOf(&["none", "restart"]), "variables are read once, at the start"),
    Property::idle("connector.plugin.version", ANY, "there is one plugin"),
    Property::honoured("vaultstream.source.version", "3.6.0.Final", ANY),
    Property::honoured("vaultstream.column.types.header", "false", BOOL),
    Property::given("database.hostname"),
    Property::honoured("database.port", "5432", Values::Integer(1, 65_535)),
    Property::given("database.user"),
    Property::honoured("database.password", "", ANY),
    Property::given("database.dbname"),
    Property::honoured("database.sslmode", "prefer", Values::OneOf(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])),
    Property::honoured("database.sslcert", "", ANY),
    Property::honoured("database.sslkey", "", ANY),
    Property::honoured("database.sslrootcert", "", ANY),
    Property::refused("database.sslpassword", "the key file must not be encrypted"),
    Property::refused("database.sslfactory", "there is no Java to load a class into; use database.sslmode"),
    Property::refused("database.connection.factory.class", "there is no Java to load a class into"),
    Property::idle("database.tcpKeepAlive", BOOL, "keep-alive probes are always on"),
    Property::refused("database.initial.statements", "session settings are fixed, so that values print alike everywhere"),
    Property::idle("database.query.timeout.ms", COUNT0, NO_QUERY_LIMIT),
    Property::idle("connection.validation.timeout.ms", MILLIS, NO_QUERY_LIMIT),
    Property::honoured("driver.channelBinding", "prefer", Values::OneOf(&["disable", "prefer", "require"])),
    Property::honoured("driver.requireAuth", "", ANY),
    Property::refused("driver.*", "there is no JDBC driver to pass it to"),
    // Slot and publication.
    Property::only("plugin.name", Values::OneOf(&["decoderbufs", "pgoutput"]), &["pgoutput"], "logical decoding is read from pgoutput, which every server has; set plugin.name=pgoutput"),
    Property::honoured("slot.name", "debezium", ANY),
    Property::only("slot.drop.on.stop", BOOL, &["false"], "dropping the slot; drop it yourself once the connector is not to go on"),
    Property::honoured("slot.failover", "false", BOOL),
    Property::honoured("slot.max.retries", "6", COUNT0),
    Property::honoured("slot.retry.delay.ms", "10000", MILLIS),
    Property::refused("slot.stream.params", "the options of pgoutput are chosen by the server's version"),
    Property::honoured("publication.name", "dbz_publication", ANY),
    Property::honoured("publication.autocreate.mode", "all_tables", Values::OneOf(&["all_tables", "disabled", "filtered", "no_tables"])),
    Property::honoured("publish.via.partition.root", "false", BOOL),
    Property::refused("replica.identity.autoset.values", "set REPLICA IDENTITY in the source's own migrations"),
    Property::only("offset.mismatch.strategy", Values::OneOf(&["no_validation", "trust_offset", "trust_slot", "trust_greater_lsn"]), &["no_validation"], "a choice between stored offset and slot"),
    Property::honoured("status.update.interval.ms", "10000", Values::Integer(1, i64::MAX)),
    Property::only("flush.lsn.source", BOOL, &["true"], "the slot is confirmed once Kafka has acknowledged"),
    Property::only("lsn.flush.mode", Values::OneOf(&["manual", "connector", "connector_and_driver"]), &["connector"], "the slot is confirmed once Kafka has acknowledged"),
    Property::idle("lsn.flush.timeout.ms", MILLIS, "confirming the slot is a message without an answer"),
    Property::idle("lsn.flush.timeout.action", Values::OneOf(&["fail", "warn", "ignore"]), "confirming the slot is a message without an answer"),
    Property::only("xmin.fetch.interval.ms", MILLIS, &["0"], "the slot's xmin in events"),
    // Which tables, columns and operations.
    Property::honoured("schema.include.list", "", ANY),
    Property::honoured("schema.exclude.list", "", ANY),
    Property::honoured("table.include.list", "", ANY),
    Property::honoured("table.exclude.list", "", ANY),
    Property::honoured("table.ignore.builtin", "true", BOOL),
    Property::refused("column.include.list", NO_COLUMNS),
    Property::refused("column.exclude.list", NO_COLUMNS),
    Property::refused("column.truncate.to.*", NO_COLUMNS),
    Property::refused("column.mask.with.*", NO_COLUMNS),
    Property::refused("column.mask.hash.*", NO_COLUMNS),
    Property::idle("column.propagate.source.type", ANY, NO_SCHEMAS),
    Property::idle("datatype.propagate.source.type", ANY, NO_SCHEMAS),
    Property::idle("include.schema.comments", BOOL, NO_SCHEMAS),
    Property::idle("include.schema.changes", BOOL, "PostgreSQL has no schema change topic, in Debezium either"),
    Property::refused("message.key.columns", "an event's key is the table's primary key or replica identity"),
    Property::given("message.prefix.include.list"),
    Property::given("message.prefix.exclude.list"),
    Property::honoured("skipped.operations", "t", ANY),
    Property::only("skip.messages.without.change", BOOL, &["false"], "comparing old and new rows"),
    Property::only("guardrail.collections.max", COUNT0, &["0"], "a limit on captured tables"),
    Property::idle("guardrail.collections.limit.action", Values::OneOf(&["warn", "fail"]), "there is no limit on captured tables"),
    // How values look.
    Property::only("time.precision.mode", Values::OneOf(&["adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds", "structured"]), &["adaptive"], ON_THE_WIRE),
    Property::only("decimal.handling.mode", Values::OneOf(&["precise", "double", "string"]), &["precise"], ON_THE_WIRE),
    Property::only("hstore.handling.mode", Values::OneOf(&["json", "map"]), &["json"], ON_THE_WIRE),
    Property::only("interval.handling.mode", Values::OneOf(&["numeric", "string"]), &["numeric"], ON_THE_WIRE),
    Property::only("binary.handling.mode", Values::OneOf(&["bytes", "base64", "base64-url-safe", "hex"]), &["bytes"], ON_THE_WIRE),
    Property::only("money.fraction.digits", Values::Integer(0, 32_767), &["2"], ON_THE_WIRE),
    Property::only("include.unknown.datatypes", BOOL, &["false"], ON_THE_WIRE),
    Property::only("schema.name.adjustment.mode", Values::OneOf(&["none", "avro", "avro_unicode"]), &["none"], ON_THE_WIRE),
    Property::only("field.name.adjustment.mode", Values::OneOf(&["none", "avro", "avro_unicode"]), &["none"], ON_THE_WIRE),
    Property::honoured("unavailable.value.placeholder", "__debezium_unavailable_value", ANY),
    Property::honoured("tombstones.on.delete", "true", BOOL),
    Property::honoured("extended.headers.enabled", "true", BOOL),
    Property::idle("schema.refresh.mode", Values::OneOf(&["columns_diff", "columns_diff_exclude_unchanged_toast"]), "a table's columns come from the stream's own relation messages"),
    Property::only("sourceinfo.struct.maker", ANY, &["io.debezium.connector.postgresql.PostgresSourceInfoStructMaker"], ON_THE_WIRE),
    Property::refused("converters", "custom converters are Java classes"),
    Property::refused("post.processors", "rows are not read again after they arrive"),
    // Snapshot.
    Property::only("snapshot.mode", Values::OneOf(&["always", "initial", "initial_only", "no_data", "when_needed", "configuration_based", "custom"]), &["initial", "initial_only", "no_data"], "deciding for a snapshot at every start").defaulting("initial"),
    Property::idle("snapshot.mode.configuration.based.*", BOOL, "read only with snapshot.mode=configuration_based"),
    Property::idle("snapshot.mode.custom.name", ANY, "read only with snapshot.mode=custom"),
    Property::only("snapshot.isolation.mode", Values::OneOf(&["serializable", "repeatable_read", "read_committed", "read_uncommitted"]), &["serializable", "repeatable_read"], "a snapshot sees the one state at which the slot begins"),
    Property::only("snapshot.locking.mode", Values::OneOf(&["none", "shared", "custom"]), &["none"], NO_LOCKS),
    Property::idle("snapshot.locking.mode.custom.name", ANY, "read only with snapshot.locking.mode=custom"),
    Property::idle("snapshot.lock.timeout.ms", MILLIS, NO_LOCKS),
    Property::only("snapshot.query.mode", Values::OneOf(&["select_all", "custom"]), &["select_all"], NO_SNAPSHOTTER),
    Property::idle("snapshot.query.mode.custom.name", ANY, "read only with snapshot.query.mode=custom"),
    Property::refused("snapshot.include.collection.list", NO_SNAPSHOTTER),
    Property::refused("snapshot.select.statement.overrides", NO_SNAPSHOTTER),
    Property::refused("snapshot.select.statement.overrides.*", NO_SNAPSHOTTER),
    Property::idle("snapshot.fetch.size", COUNT0, "a table is read as one stream, row by row"),
    Property::idle("snapshot.max.threads", COUNT, "it changes how fast a snapshot is, not what it sends"),
    Property::idle("snapshot.max.threads.multiplier", COUNT, "it changes how fast a snapshot is, not what it sends"),
    Property::idle("legacy.snapshot.max.threads", BOOL, "it changes how fast a snapshot is, not what it sends"),
    Property::idle("internal.legacy.snapshot.max.threads", BOOL, "it changes how fast a snapshot is, not what it sends"),
    Property::idle("internal.snapshot.scan.all.columns.force", BOOL, "columns of captured tables are looked up, whatever the server holds besides"),
    Property::only("internal.log.position.check.enable", BOOL, &["true"], "going on from an offset that the slot cannot serve"),
    Property::only("snapshot.tables.order.by.row.count", Values::OneOf(&["disabled", "ascending", "descending"]), &["disabled"], "an order of tables by size"),
    Property::only("snapshot.delay.ms", MILLIS, &["0"], "a wait before the snapshot"),
    Property::only("streaming.delay.ms", MILLIS, &["0"], "a wait before streaming"),
    Property::idle("query.fetch.size", COUNT0, "catalog queries are read whole"),
    // Queue, pace, errors.
    Property::idle("max.queue.size", COUNT, NO_QUEUE),
    Property::idle("max.queue.size.in.bytes", Values::Integer(0, i64::MAX), NO_QUEUE),
    Property::idle("max.batch.size", COUNT, NO_POLL),
    Property::idle("poll.interval.ms", MILLIS, NO_POLL),
    Property::idle("poll.dispatch.interval.ms", MILLIS, NO_POLL),
    Property::only("queue.provider.type", ANY, &["memory"], "another kind of queue"),
    Property::honoured("errors.max.retries", "-1", Values::Integer(-1, 2_147_483_647)),
    Property::honoured("retriable.restart.connector.wait.ms", "10000", Values::Integer(1, i64::MAX)),
    Property::only("event.processing.failure.handling.mode", Values::OneOf(&["fail", "warn", "skip"]), &["fail"], "skipping a change; nothing is ever skipped here"),
    Property::honoured("event.converting.failure.handling.mode", "warn", Values::OneOf(&["fail", "warn", "skip"])),
    Property::idle("executor.shutdown.timeout.ms", MILLIS, "shutting down drains, then ends"),
    Property::idle("statistics.metrics.enabled", BOOL, "metrics are always on"),
    Property::idle("internal.advanced.metrics.enable", BOOL, "metrics are always on"),
    Property::refused("custom.metric.tags", "labels are added where metrics are scraped"),
    Property::idle("custom.sanitize.pattern", ANY, "values of properties are never logged"),
    // Heartbeats, transactions, topics.
    Property::honoured("heartbeat.interval.ms", "0", COUNT0),
    Property::refused("heartbeat.action.query", NO_HEARTBEAT_QUERY),
    Property::honoured("topic.heartbeat.prefix", "__debezium-heartbeat", ANY),
    Property::honoured("topic.heartbeat.name", "", ANY),
    Property::idle("heartbeat.topics.prefix", ANY, "Debezium 3.6 names no topic by it, either; use topic.heartbeat.prefix"),
    Property::only("provide.transaction.metadata", BOOL, &["false"], NO_METADATA),
    Property::idle("topic.transaction", ANY, NO_METADATA),
    Property::idle("transaction.metadata.factory", ANY, NO_METADATA),
    Property::given("topic.prefix"),
    Property::only("topic.delimiter", ANY, &["."], NO_NAMING),
    Property::only("topic.naming.strategy", ANY, &["io.debezium.schema.SchemaTopicNamingStrategy"], NO_NAMING),
    Property::idle("topic.cache.size", COUNT, "a table's topic is worked out once"),
    Property::refused("topic.regex", NO_NAMING),
    Property::refused("topic.replacement", NO_NAMING),
    Property::refused("topic.key.*", NO_NAMING),
    Property::idle("schemas.storage.class", ANY, "schemas are kept in memory"),
    Property::idle("tables.storage.class", ANY, "schemas are kept in memory"),
    Property::idle("memory.management.schemas.class", ANY, "schemas are kept in memory"),
    Property::idle("memory.management.tables.class", ANY, "schemas are kept in memory"),
    // Signals, notifications, lineage.
    Property::refused("signal.data.collection", NO_SIGNALS),
    Property::only("signal.enabled.channels", ANY, &["source"], NO_SIGNALS),
    Property::idle("signal.poll.interval.ms", MILLIS, NO_SIGNALS),
    Property::idle("signal.emit.failure.*", COUNT0, NO_SIGNALS),
    Property::idle("signal.kafka.*", ANY, NO_SIGNALS),
    Property::idle("signal.consumer.*", ANY, NO_SIGNALS),
    Property::idle("signal.file", ANY, NO_SIGNALS),
    Property::idle("read.only", BOOL, NO_SIGNALS),
    Property::idle("incremental.snapshot.chunk.size", COUNT, NO_SIGNALS),
    Property::idle("incremental.snapshot.watermarking.strategy", Values::OneOf(&["insert_insert", "insert_delete"]), NO_SIGNALS),
    Property::idle("incremental.snapshot.allow.schema.changes", BOOL, NO_SIGNALS),
    Property::refused("notification.enabled.channels", "no notification is sent"),
    Property::idle("notification.sink.topic.name", ANY, "no notification is sent"),
    Property::only("openlineage.integration.enabled", BOOL, &["false"], "no lineage is sent"),
    Property::idle("openlineage.integration.*", ANY, "no lineage is sent"),
    // Kafka Connect.
    Property::only("key.converter", ANY, &[JSON], NO_CONVERTER),
    Property::idle("key.converter.plugin.version", ANY, "there is one converter"),
    Property::only("key.converter.schemas.enable", BOOL, &["false"], NO_SCHEMAS).defaulting("true"),
    Property::idle("key.converter.schemas.cache.size", COUNT0, NO_SCHEMAS),
    Property::only("key.converter.decimal.format", Values::OneOf(&["BASE64", "NUMERIC"]), &["BASE64"], ON_THE_WIRE),
    Property::idle("key.converter.replace.null.with.default", BOOL, "a NULL in a key stays NULL"),
    Property::only("value.converter", ANY, &[JSON], NO_CONVERTER),
    Property::idle("value.converter.plugin.version", ANY, "there is one converter"),
    Property::only("value.converter.schemas.enable", BOOL, &["false"], NO_SCHEMAS).defaulting("true"),
    Property::idle("value.converter.schemas.cache.size", COUNT0, NO_SCHEMAS),
    Property::only("value.converter.decimal.format", Values::OneOf(&["BASE64", "NUMERIC"]), &["BASE64"], ON_THE_WIRE),
    Property::honoured("value.converter.replace.null.with.default", "true", BOOL),
    Property::only("header.converter", ANY, &["org.apache.kafka.connect.storage.SimpleHeaderConverter"], NO_CONVERTER),
    Property::idle("header.converter.plugin.version", ANY, "there is one converter"),
    Property::refused("transforms", NO_TRANSFORMS),
    Property::refused("transforms.*", NO_TRANSFORMS),
    Property::refused("predicates", NO_TRANSFORMS),
    Property::refused("predicates.*", NO_TRANSFORMS),
    Property::only("errors.tolerance", Values::OneOf(&["none", "all"]), &["none"], "skipping a record; nothing is ever skipped here"),
    Property::only("errors.retry.timeout", Values::Integer(-1, i64::MAX), &["0"], "converting a record again cannot change the outcome"),
    Property::idle("errors.retry.delay.max.ms", MILLIS, "a conversion is not tried again"),
    Property::idle("errors.log.enable", BOOL, "what fails is always logged"),
    Property::idle("errors.log.include.messages", BOOL, "rows are never logged"),
    Property::only("exactly.once.support", Values::OneOf(&["requested", "required"]), &["requested"], "transactions in Kafka"),
    Property::only("transaction.boundary", Values::OneOf(&["poll", "interval", "connector"]), &["poll"], "transactions in Kafka"),
    Property::idle("transaction.boundary.interval.ms", MILLIS, "read only with transaction.boundary=interval"),
    Property::refused("offsets.storage.topic", "offsets are stored in the worker's topic"),
    Property::refused("topic.creation.groups", "all topics are created alike, by topic.creation.default.*"),
    // -1 is the broker's own default, as in Kafka Connect.
    Property { name: "topic.creation.default.partitions", default: None, values: Values::Integer(-1, 2_147_483_647), support: Support::Honoured },
    Property { name: "topic.creation.default.replication.factor", default: None, values: Values::Integer(-1, 32_767), support: Support::Honoured },
    Property::refused("topic.creation.default.include", "all topics are created alike"),
    Property::refused("topic.creation.default.exclude", "all topics are created alike"),
    Property { name: "topic.creation.default.*", default: None, values: ANY, support: Support::Honoured },
    Property::refused("topic.creation.*", "all topics are created alike, by topic.creation.default.*"),
    Property { name: "producer.override.*", default: None, values: ANY, support: Support::Honoured },
    Property { name: "admin.override.*", default: None, values: ANY, support: Support::Honoured },
    Property { name: "consumer.override.*", default: None, values: ANY, support: Support::Honoured },
];

/// The entry of a name: the entry of that very name, else the longest one that ends in `*` and fits.
#[must_use]
pub fn find(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name).or_else(|| {
        PROPERTIES
            .iter()
            .filter(|property| {
                property.name.strip_suffix('*').is_some_and(|start| {
                    name.strip_prefix(start).is_some_and(|rest| !rest.is_empty())
                })
            })
            .max_by_key(|property| property.name.len())
    })
}

/// Properties of free text whose values are no secrets: names, lists of names, and words of Kafka's.
const HARMLESS_TEXTS: &[&str] = &[
    "name",
    "connector.class",
    "vaultstream.source.version",
    "database.hostname",
    "database.user",
    "database.dbname",
    "database.sslrootcert",
    "driver.requireAuth",
    "slot.name",
    "publication.name",
    "schema.include.list",
    "schema.exclude.list",
    "table.include.list",
    "table.exclude.list",
    "skipped.operations",
    "sourceinfo.struct.maker",
    "unavailable.value.placeholder",
    "queue.provider.type",
    "topic.prefix",
    "topic.heartbeat.prefix",
    "topic.heartbeat.name",
    "topic.delimiter",
    "topic.naming.strategy",
    "signal.enabled.channels",
    "key.converter",
    "value.converter",
    "header.converter",
    "transforms",
    "producer.override.acks",
    "producer.override.enable.idempotence",
    "producer.override.security.protocol",
    "producer.override.compression.type",
    "producer.override.linger.ms",
    "producer.override.batch.size",
    "producer.override.buffer.memory",
    "producer.override.max.request.size",
    "producer.override.max.in.flight.requests.per.connection",
    "topic.creation.default.cleanup.policy",
    "topic.creation.default.compression.type",
    "topic.creation.default.max.message.bytes",
    "topic.creation.default.min.insync.replicas",
    "topic.creation.default.retention.bytes",
    "topic.creation.default.retention.ms",
    "topic.creation.default.segment.bytes",
];

/// Whether a property's value may appear in errors and answers: it is a word, a number or true or false, or it is known
/// to be harmless. Every other value may be a secret, also that of an unknown property.
#[must_use]
pub fn may_be_shown(name: &str) -> bool {
    HARMLESS_TEXTS.contains(&name)
        || find(name).is_some_and(|property| !matches!(property.values, Values::Text))
}

/// What stands before the salt in the name `column.mask.hash.<algorithm>.with.salt.<salt>`.
const BEFORE_SALT: &str = ".with.salt.";

/// A property's name as it may be shown. The salt of a mask is part of the name, and whoever knows it can find out
/// masked values.
#[must_use]
pub fn shown_name(name: &str) -> String {
    match name.to_ascii_lowercase().find(BEFORE_SALT) {
        Some(at) => format!("{}{}", &name[..at + BEFORE_SALT.len()], super::MASK),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut seen = HashSet::new();
        for property in PROPERTIES {
            assert!(seen.insert(property.name), "{} stands twice", property.name);
        }
    }

    #[test]
    fn defaults_and_supported_values_are_values_that_the_property_may_take() {
        for property in PROPERTIES {
            let supported: &[&str] = match property.support {
                Support::Only(allowed, _) => allowed,
                Support::Honoured | Support::ChangesNothing(_) | Support::Refused(_) => &[],
            };
            for value in supported.iter().chain(property.default.as_ref()) {
                let fits = match property.values {
                    Values::Text => true,
                    Values::Boolean => value.parse::<bool>().is_ok(),
                    Values::Integer(min, max) => {
                        value.parse::<i64>().is_ok_and(|number| (min..=max).contains(&number))
                    }
                    Values::OneOf(words) => words.contains(value),
                };
                assert!(fits, "{} cannot be {value:?}", property.name);
            }
        }
    }

    #[test]
    fn the_exact_name_wins_over_a_beginning_and_the_longer_beginning_over_the_shorter() {
        let name = |name| find(name).map(|property| property.name);
        assert_eq!(
            name("topic.creation.default.partitions"),
            Some("topic.creation.default.partitions")
        );
        assert_eq!(name("topic.creation.default.retention.ms"), Some("topic.creation.default.*"));
        assert_eq!(name("topic.creation.big.partitions"), Some("topic.creation.*"));
        assert_eq!(name("transforms."), None);
        assert_eq!(name("nothing"), None);
    }

    #[test]
    fn what_debezium_hides_is_not_shown_and_what_is_shown_is_in_the_table() {
        for ending in ["password", "secret", "sasl.jaas.config", "user.info", "token", "key"] {
            for name in HARMLESS_TEXTS {
                assert!(!name.ends_with(ending), "{name}");
            }
        }
        for name in HARMLESS_TEXTS {
            assert!(find(name).is_some_and(|property| property.values == Values::Text), "{name}");
        }
        for name in ["database.password", "producer.override.ssl.keystore.key", "no.such.property"]
        {
            assert!(!may_be_shown(name), "{name}");
        }
        assert!(may_be_shown("database.port"));
    }

    #[test]
    fn the_salt_in_a_name_is_not_shown() {
        assert_eq!(
            shown_name("column.mask.hash.SHA-256.with.salt.CzQMA0cB5K"),
            "column.mask.hash.SHA-256.with.salt.***"
        );
        assert_eq!(
            shown_name("colum.mask.hash.MD5.WITH.SALT.a"),
            "colum.mask.hash.MD5.WITH.SALT.***"
        );
        assert_eq!(shown_name("slot.name"), "slot.name");
    }
}
