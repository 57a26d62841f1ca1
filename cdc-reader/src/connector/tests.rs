//! Tests of whole connector files: what is accepted, and what the errors say.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::properties::{PROPERTIES, Support};
use super::*;

/// Variables of a test: a name and a value each.
struct Fixed(HashMap<&'static str, &'static str>);

impl Variables for Fixed {
    fn environment(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, _path: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn variables() -> Fixed {
    Fixed(HashMap::from([
        ("PRIMARY_HOST", "db.example"),
        ("PRIMARY_PORT", "5433"),
        ("CDC_READER_PASSWORD", "hunter2"),
    ]))
}

const LEAST: [(&str, &str); 8] = [
    ("name", "inventory"),
    ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
    ("topic.prefix", "inventory"),
    ("database.hostname", "localhost"),
    ("database.user", "reader"),
    ("database.dbname", "inventory"),
    ("key.converter.schemas.enable", "false"),
    ("value.converter.schemas.enable", "false"),
];

/// The least configuration with some properties changed or added.
fn with(changes: &[(&str, &str)]) -> String {
    let mut members = serde_json::Map::new();
    for (name, value) in LEAST.iter().chain(changes) {
        members.insert((*name).to_owned(), (*value).into());
    }
    serde_json::Value::Object(members).to_string()
}

/// The least configuration without one property.
fn without(name: &str) -> String {
    let mut members: serde_json::Map<_, _> = serde_json::from_str(&with(&[])).unwrap();
    members.remove(name);
    serde_json::Value::Object(members).to_string()
}

#[track_caller]
fn accepted(text: &str) -> Connector {
    parse(text, &variables()).unwrap_or_else(|error| panic!("refused: {error}"))
}

#[track_caller]
fn refused(text: &str) -> Vec<String> {
    match parse(text, &variables()) {
        Err(ConnectorError::Invalid(problems)) => {
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("not refused as invalid: {other:?}"),
    }
}

#[track_caller]
fn check_refused(changes: &[(&str, &str)], line: &str) {
    assert_eq!(refused(&with(changes)), [line]);
}

#[test]
fn the_airline_connector_means_what_it_says() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../connectors/airline/connector.json");
    let connector = accepted(&std::fs::read_to_string(path).unwrap());
    let settings = &connector.settings;
    assert_eq!(connector.name, "airline-connector");
    assert_eq!(connector.warnings, [""; 0]);
    assert_eq!(settings.database.display(), "db.example:5433/airline_tickets as cdc_reader");
    assert_eq!(settings.database.password.expose(), "hunter2");
    assert_eq!(settings.database.application_name, "cdc-reader");
    assert_eq!(settings.topic_prefix, "airline");
    assert_eq!(settings.slot_name, "airline_slot");
    assert_eq!(settings.publication_name, "airline_publication");
    assert_eq!(settings.publication_autocreate, PublicationAutocreate::Disabled);
    assert_eq!(settings.snapshot_mode, SnapshotMode::Initial);
    assert!(settings.tables.captures("public", "flights"));
    assert!(!settings.tables.captures("bookings", "flights"));
    assert!(!settings.skipped_operations.truncates);
    assert!(!settings.replace_null_with_default_value);
    let overrides = [("compression.type", "lz4"), ("linger.ms", "5")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(settings.producer_overrides, overrides);
    let shown = connector.shown();
    assert_eq!(shown.first().map(|(name, _)| name.as_str()), Some("connector.class"));
    assert_eq!(shown.last().map(|(_, value)| value.as_str()), Some("airline-connector"));
    assert!(shown.contains(&("database.password".into(), "${env:CDC_READER_PASSWORD}".into())));
}

#[test]
fn tls_and_sasl_of_kafka_can_be_overridden_and_their_secrets_are_hidden() {
    const LOGIN: &str =
        "org.apache.kafka.common.security.scram.ScramLoginModule required password=\"hunter2\";";
    let connector = accepted(&with(&[
        ("producer.override.linger.ms", "5"),
        ("producer.override.security.protocol", "SASL_SSL"),
        ("producer.override.sasl.jaas.config", LOGIN),
        ("admin.override.ssl.keystore.key", "hunter2"),
        ("consumer.override.sasl.jaas.config", "${env:CDC_READER_PASSWORD}"),
    ]));
    let names = |properties: &shared::kafka::Properties| -> Vec<String> {
        properties.iter().map(|(name, _)| name.to_owned()).collect()
    };
    let security = &connector.settings.kafka_security;
    assert_eq!(names(&security.producer), ["sasl.jaas.config", "security.protocol"]);
    assert_eq!(names(&security.admin), ["ssl.keystore.key"]);
    let consumer = security.consumer.iter().next().map(|(_, value)| value.expose());
    assert_eq!(consumer, Some("hunter2"), "variables are resolved");
    assert_eq!(connector.settings.producer_overrides, [("linger.ms".into(), "5".into())]);
    assert!(!format!("{connector:?} {:?}", connector.shown()).contains("hunter2"));
    check_refused(
        &[("producer.override.sasl.jass.config", "hunter2")],
        "property producer.override.sasl.jass.config is no property of Kafka's clients",
    );
    check_refused(
        &[("admin.override.linger.ms", "5")],
        "property admin.override.linger.ms is not supported: of these overrides there are security.*, sasl.* and ssl.* only",
    );
}

#[test]
fn defaults_are_debezium_s() {
    let connector = accepted(&with(&[]));
    let settings = &connector.settings;
    assert_eq!(settings.database.port, 5432);
    assert_eq!(settings.slot_name, "debezium");
    assert_eq!(settings.publication_name, "dbz_publication");
    assert_eq!(settings.publication_autocreate, PublicationAutocreate::AllTables);
    assert!(settings.skipped_operations.truncates);
    assert!(settings.tombstones_on_delete && settings.extended_headers);
    assert_eq!(settings.status_update_interval, Duration::from_secs(10));
    assert_eq!(settings.errors_max_retries, None);
    assert_eq!(settings.version, "3.6.0.Final");
    assert_eq!(connector.warnings.len(), 1, "plugin.name is not set");
}

#[test]
fn heartbeats_are_off_unless_asked_for_and_their_topic_is_named_as_in_debezium() {
    const EVERY_SECOND: (&str, &str) = ("heartbeat.interval.ms", "1000");
    let topic = |changes: &[(&str, &str)]| {
        let heartbeats = accepted(&with(changes)).settings.heartbeats?;
        assert_eq!(heartbeats.interval, Duration::from_secs(1));
        Some(heartbeats.topic)
    };
    assert_eq!(topic(&[]), None);
    assert_eq!(topic(&[("heartbeat.interval.ms", "0")]), None);
    let default = Some("__debezium-heartbeat.inventory".to_owned());
    assert_eq!(topic(&[EVERY_SECOND]), default);
    assert_eq!(topic(&[EVERY_SECOND, ("heartbeat.topics.prefix", "old")]), default);
    assert_eq!(topic(&[EVERY_SECOND, ("topic.heartbeat.name", "")]), default);
    let prefix = ("topic.heartbeat.prefix", "beats");
    assert_eq!(topic(&[EVERY_SECOND, prefix]), Some("beats.inventory".to_owned()));
    let name = ("topic.heartbeat.name", "all-beats");
    assert_eq!(topic(&[EVERY_SECOND, prefix, name]), Some("all-beats".to_owned()));
    check_refused(
        &[("topic.heartbeat.name", "a b")],
        "property topic.heartbeat.name=a b may hold letters, digits, dots, underscores and hyphens only",
    );
    check_refused(
        &[("heartbeat.action.query", "SELECT 1")],
        "property heartbeat.action.query=*** is known but not supported yet: no statement is run on the source; an idle slot is confirmed from the server's own keepalives",
    );
}

#[test]
fn numbers_and_booleans_need_no_quotes() {
    let text = with(&[]).replace('}', r#","database.port":6000,"tombstones.on.delete":false,"errors.max.retries":3,"slot.name":null}"#);
    let connector = accepted(&text);
    assert_eq!(connector.settings.database.port, 6000);
    assert!(!connector.settings.tombstones_on_delete);
    assert_eq!(connector.settings.errors_max_retries, Some(3));
    assert_eq!(connector.settings.slot_name, "debezium");
}

#[test]
fn both_forms_of_file_mean_the_same() {
    let flat = accepted(&with(&[]));
    let mut config: serde_json::Map<_, _> = serde_json::from_str(&with(&[])).unwrap();
    config.remove("name");
    let posted = serde_json::json!({"name": "inventory", "config": config});
    assert_eq!(accepted(&posted.to_string()).settings.topic_prefix, flat.settings.topic_prefix);
    assert_eq!(accepted(&posted.to_string()).name, flat.name);
}

#[test]
fn each_problem_has_one_line_that_names_the_remedy() {
    check_refused(
        &[("slot.nmae", "x")],
        r#"unknown property "slot.nmae" (did you mean "slot.name"?)"#,
    );
    check_refused(
        &[("time.precision.mode", "connect")],
        "property time.precision.mode=connect is known but not supported yet: values are written in the default form only (supported: adaptive)",
    );
    check_refused(
        &[("snapshot.mode", "sometimes")],
        "property snapshot.mode=sometimes must be one of always, initial, initial_only, no_data, when_needed, configuration_based, custom",
    );
    check_refused(
        &[("database.port", "70000")],
        "property database.port=70000 must be an integer from 1 to 65535",
    );
    check_refused(
        &[("tombstones.on.delete", "maybe")],
        "property tombstones.on.delete=maybe must be true or false",
    );
    check_refused(
        &[("transforms", "unwrap")],
        "property transforms=unwrap is known but not supported yet: transformations are not applied",
    );
    check_refused(
        &[("slot.name", "Bad-Slot")],
        "property slot.name=Bad-Slot must be 1 to 63 lower-case letters, digits and underscores",
    );
    check_refused(
        &[("skipped.operations", "c,x")],
        "property skipped.operations=c,x must be none, or some of c, u, d, t",
    );
    check_refused(
        &[("table.include.list", "a(")],
        "property table.include.list=a( holds a regular expression that cannot be used: unclosed group",
    );
    check_refused(
        &[("table.include.list", "a"), ("table.exclude.list", "b")],
        "table.include.list and table.exclude.list cannot both be given",
    );
    check_refused(
        &[("producer.override.acks", "1")],
        "property producer.override.acks=1 must be all: a change counts as delivered once every in-sync replica has it",
    );
    check_refused(
        &[("topic.creation.default.partitions", "3")],
        "property topic.creation.default.replication.factor is required when topics are to be created",
    );
    check_refused(
        &[("database.hostname", "${env:NOWHERE}")],
        "property database.hostname: environment variable NOWHERE is not set",
    );
    check_refused(
        &[("plugin.name", "decoderbufs")],
        "property plugin.name=decoderbufs is known but not supported yet: logical decoding is read from pgoutput, which every server has; set plugin.name=pgoutput (supported: pgoutput)",
    );
}

#[test]
fn an_unsupported_default_must_be_overridden_in_so_many_words() {
    assert_eq!(
        refused(&without("value.converter.schemas.enable")),
        [
            "property value.converter.schemas.enable is not set and its default true is not supported yet: events are written without schemas; set value.converter.schemas.enable=false"
        ]
    );
}

#[test]
fn every_required_property_is_missed() {
    for name in properties::REQUIRED {
        assert_eq!(refused(&without(name)), [format!("property {name} is required")]);
        let empty = refused(&with(&[(name, " ")]));
        assert!(empty.contains(&format!("property {name} is required")), "{empty:?}");
    }
}

#[test]
fn all_problems_are_found_in_one_pass() {
    let lines = refused(&with(&[
        ("database.port", "x"),
        ("kitchen.sink", "1"),
        ("decimal.handling.mode", "string"),
        ("schema.include.list", "["),
    ]));
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn names_that_stand_twice_and_nested_values_are_refused() {
    let twice = with(&[]).replace('}', r#","slot.name":"a","slot.name":"b"}"#);
    assert_eq!(refused(&twice), [r#"property "slot.name" stands twice"#]);
    let nested = with(&[]).replace('}', r#","slot.name":["a"]}"#);
    assert_eq!(
        refused(&nested),
        [r#"property "slot.name" must be a string, a number or a boolean"#]
    );
    assert!(matches!(parse("{", &variables()), Err(ConnectorError::Json(_))));
    assert_eq!(refused("[]"), ["the connector file must hold one JSON object"]);
}

#[test]
fn a_literal_secret_is_never_shown() {
    let connector = accepted(&with(&[("database.password", "hunter3")]));
    assert!(connector.shown().contains(&("database.password".into(), MASK.into())));
    assert!(!format!("{connector:?}").contains("hunter3"), "{connector:?}");
    for changes in [
        [("database.sslpassword", "hunter3"), ("database.password", "hunter3")],
        [
            ("producer.override.sasl.jaas.config", "hunter3"),
            ("database.password", "${env:X}hunter3"),
        ],
        [
            ("producer.override.ssl.keystore.key", "-----BEGIN PRIVATE KEY-----hunter3"),
            ("column.mask.hash.SHA-256.with.salt.hunter3", "hunter3"),
        ],
        [("database.password", "a${hunter3:x}"), ("database.initial.statements", "${x}hunter3")],
        [("colum.mask.hash.v2.MD5.with.salt.hunter3", "a"), ("no.such.property", "hunter3")],
    ] {
        let lines = refused(&with(&changes)).join("\n");
        assert!(!lines.contains("hunter3"), "{lines}");
    }
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    let lines = refused(&with(&[("database.port", "${env:CDC_READER_PASSWORD}")])).join("\n");
    assert_eq!(
        lines,
        "property database.port=${env:CDC_READER_PASSWORD} must be an integer from 1 to 65535"
    );
}

#[test]
fn every_refused_property_of_the_table_is_refused_in_a_file_and_every_idle_one_accepted() {
    for property in PROPERTIES {
        let name = property.name.replace('*', "x");
        let value = match property.values {
            properties::Values::Text => "x".to_owned(),
            properties::Values::Boolean => "true".to_owned(),
            properties::Values::Integer(min, _) => min.to_string(),
            properties::Values::OneOf(words) => words[0].to_owned(),
        };
        let outcome = parse(&with(&[(&name, &value)]), &variables());
        match property.support {
            Support::Refused(needs) => {
                let line = outcome.unwrap_err().to_string();
                assert!(line.contains(&name) && line.contains(needs), "{line}");
            }
            Support::ChangesNothing(why) => {
                assert!(outcome.is_ok() && !why.is_empty(), "{name}: {outcome:?}");
            }
            Support::Only(..) | Support::Honoured => {}
        }
    }
}

/// Texts in every place where a connector file can hold one, but for those whose values are known to be harmless.
fn unlisted() -> impl Strategy<Value = String> {
    let known = prop::sample::select(PROPERTIES).prop_map(|property| property.name.to_owned());
    let typed = prop::sample::select(vec![
        "producer.override.client.id",
        "producer.override.retries",
        "producer.override.sasl.jaas.config",
        "producer.override.ssl.keystore.key",
        "topic.creation.default.x",
        "slot.nmae",
        "nothing",
        "initial_state",
        "config",
    ])
    .prop_map(str::to_owned);
    prop_oneof![known, typed]
        .prop_map(|name| name.replace('*', "any"))
        .prop_filter("its value may be shown", |name| !properties::may_be_shown(name))
}

proptest! {
    #[test]
    fn no_value_of_an_unlisted_property_is_ever_shown(
        name in unlisted(),
        before in prop::sample::select(vec!["", "a", "${env:PRIMARY_HOST}", "${env:NOWHERE}", "${", "${no:", "-1", "\"", "\\"]),
        after in prop::sample::select(vec!["", "}", ":x}", "(", ",", "=", " "]),
        beside in any::<bool>(),
        other in prop::sample::select(vec![("slot.name", "debezium"), ("slot.name", "Bad"), ("sasl.mechanism", "y")]),
    ) {
        const SECRET: &str = "hunter3secret";
        let value = format!("{before}{SECRET}{after}");
        // A whole reference names a variable, and is shown as it is written.
        prop_assume!(!variables::is_reference(&value));
        let flat = with(&[(&name, &value), other]);
        let text = if beside {
            let mut config: serde_json::Map<_, _> = serde_json::from_str(&with(&[other])).unwrap();
            config.remove("name");
            serde_json::json!({ "name": "inventory", &name: value, "config": config }).to_string()
        } else {
            flat
        };
        let (shown, debug) = match parse(&text, &variables()) {
            Ok(connector) => (format!("{:?} {:?}", connector.shown(), connector.warnings), format!("{connector:?}")),
            Err(error) => (error.to_string(), format!("{error:?}")),
        };
        prop_assert!(!shown.contains(SECRET), "{}", shown);
        prop_assert!(!debug.contains(SECRET), "{}", debug);
    }

    #[test]
    fn any_value_of_any_property_is_settings_or_problems_and_never_a_panic(
        index in 0..PROPERTIES.len(), value in "\\PC{0,20}",
    ) {
        let name = PROPERTIES[index].name.replace('*', "any");
        let outcome = parse(&with(&[(&name, &value)]), &variables());
        if let Err(error) = outcome {
            // When one of the two properties of topic creation is missing, the problem is reported under the name of
            // that property.
            let subject = if name.starts_with("topic.creation.default.") { "topic.creation." } else { &name };
            prop_assert!(error.to_string().contains(subject), "{}", error);
        }
    }

    #[test]
    fn any_text_is_a_connector_or_an_error_and_never_a_panic(text in "\\PC{0,60}") {
        prop_assert!(parse(&text, &variables()).is_err());
    }
}
