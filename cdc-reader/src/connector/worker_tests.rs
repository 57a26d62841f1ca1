//! Tests of properties against a real Kafka Connect worker with Debezium.

use devstack::http::{Answer, request};
use serde_json::{Map, Value, json};

use super::properties::{CONNECTOR_CLASS, Support, find};
use super::{ConnectorError, ProcessVariables, parse};

fn ask(method: &str, path: &str, body: Option<&str>) -> Answer {
    let rest = devstack::shared::stack().connect();
    request(method, &format!("{}{path}", rest.url()), body).unwrap()
}

/// A configuration that both accept, with changes.
fn with(changes: &[(&str, &str)]) -> Map<String, Value> {
    let database = &devstack::shared::stack().postgres15;
    let mut config = json!({
        "name": "validated",
        "connector.class": CONNECTOR_CLASS,
        "tasks.max": "1",
        "topic.prefix": "validated",
        "database.hostname": database.host,
        "database.port": database.port.to_string(),
        "database.user": database.user,
        "database.password": database.password,
        "database.dbname": "postgres",
        "plugin.name": "pgoutput",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    });
    let config = config.as_object_mut().unwrap();
    for (name, value) in changes {
        config.insert((*name).to_owned(), (*value).into());
    }
    config.clone()
}

/// The properties in which the worker finds an error.
fn refused_there(config: &Map<String, Value>) -> Vec<String> {
    let path = format!("/connector-plugins/{CONNECTOR_CLASS}/config/validate");
    let answer = ask("PUT", &path, Some(&Value::from(config.clone()).to_string()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let validated = answer.json().unwrap();
    let entries = validated["configs"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| &entry["value"])
        .filter(|value| value["errors"].as_array().is_some_and(|errors| !errors.is_empty()))
        .map(|value| value["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The properties in which we find an error.
fn refused_here(config: &Map<String, Value>) -> Vec<String> {
    match parse(&Value::from(config.clone()).to_string(), &ProcessVariables) {
        Ok(_) => Vec::new(),
        Err(ConnectorError::Invalid(problems)) => {
            problems.iter().map(|problem| problem.property().to_owned()).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_property_of_the_worker_is_in_the_table_with_the_same_default() {
    let answer = ask("GET", &format!("/connector-plugins/{CONNECTOR_CLASS}/config"), None);
    let properties = answer.json().unwrap();
    let properties = properties.as_array().unwrap();
    assert!(properties.len() > 100, "{}", properties.len());
    for property in properties {
        let name = property["name"].as_str().unwrap();
        let known = find(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        let theirs = property["default_value"].as_str().unwrap_or_default();
        match known.support {
            Support::Honoured => assert_eq!(known.default.unwrap_or_default(), theirs, "{name}"),
            // Reading from decoderbufs is the one default that we replace, with a warning.
            Support::Only(..) if name == "plugin.name" => {}
            Support::Only(allowed, _) => {
                assert!(theirs.is_empty() || allowed.contains(&theirs), "{name}: {theirs}");
            }
            Support::Refused(_) => assert_eq!(theirs, "", "{name}"),
            Support::ChangesNothing(_) => {}
        }
    }
}

#[test]
fn values_that_the_worker_accepts_are_accepted_here() {
    for change in [
        ("tombstones.on.delete", "TRUE"),
        ("publication.autocreate.mode", "FILTERED"),
        ("snapshot.mode", "NO_DATA"),
        ("time.precision.mode", "ADAPTIVE"),
        ("topic.prefix", "a-b.c_D"),
        ("slot.name", "a_1"),
        ("slot.retry.delay.ms", "0"),
        ("skipped.operations", "none"),
        ("skipped.operations", "c,u,d,t"),
        ("table.include.list", "public\\.a, public.b ,"),
        ("schema.exclude.list", "x|y"),
        ("unavailable.value.placeholder", ""),
        ("tasks.max", "2"),
    ] {
        let config = with(&[change]);
        assert_eq!(refused_there(&config), [""; 0], "{change:?} there");
        assert_eq!(refused_here(&config), [""; 0], "{change:?} here");
    }
}

#[test]
fn values_that_the_worker_refuses_are_refused_here_under_the_same_name() {
    for changes in [
        &[("tombstones.on.delete", "maybe")][..],
        &[("skipped.operations", "x")],
        &[("skipped.operations", "none,t")],
        &[("skipped.operations", "")],
        &[("snapshot.mode", "never")],
        &[("status.update.interval.ms", "0")],
        &[("retriable.restart.connector.wait.ms", "0")],
        &[("max.queue.size", "0")],
        &[("max.queue.size.in.bytes", "-1")],
        &[("snapshot.fetch.size", "-1")],
        &[("table.include.list", "(")],
        &[("table.include.list", "a"), ("table.exclude.list", "b")],
        &[("schema.include.list", "a"), ("schema.exclude.list", "b")],
        &[("slot.name", "Slot-A")],
        &[("slot.name", "")],
        &[("slot.name", "x123456789x123456789x123456789x123456789x123456789x123456789x123")],
        &[("topic.prefix", "a b")],
        &[("topic.prefix", "")],
        &[("database.sslmode", "verify_ca")],
        &[("table.ignore.builtin", "x")],
        &[("extended.headers.enabled", "x")],
        &[("tasks.max", "0")],
        &[("max.batch.size", "0")],
        &[("heartbeat.interval.ms", "-1")],
        &[("database.hostname", "")],
        &[("database.dbname", "")],
        &[("database.user", "")],
    ] {
        let config = with(changes);
        let (theirs, ours) = (refused_there(&config), refused_here(&config));
        assert!(
            ours.iter().any(|name| theirs.contains(name)),
            "{changes:?}: {theirs:?} and {ours:?}"
        );
    }
}
