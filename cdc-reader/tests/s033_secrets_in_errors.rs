//! What a wrong connector file holds does not reach a log: `check` and `run` name the property and hide its value.

use std::process::Command;

use devstack::shared;

use crate::support::{Connector, Launch, PATIENCE, Source, unique};

const SECRET: &str = "MIIEvQIBADANBgkq-51e0";

/// What `cdc-reader check` says of a connector file that it refuses.
fn check(connector: &Connector, environment: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("connector.json");
    std::fs::write(&file, connector.json().to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cdc-reader"))
        .args(["check", "--connector", file.to_str().unwrap()])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_refused_value_is_hidden_unless_its_property_is_known_to_be_harmless() {
    let id = unique("hidden");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    let key = format!("-----BEGIN PRIVATE KEY----- {SECRET} -----END PRIVATE KEY-----");
    let salt = format!("column.mask.hash.SHA-256.with.salt.{SECRET}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("port={SECRET}\n")).unwrap();
    let reference = format!("${{file:{}:port}}", file.path().display());
    let cases = [
        (
            good.clone().set("producer.override.no.such.key", &key),
            "producer.override.no.such.key=***",
        ),
        (good.clone().set(&salt, "public.load.filler"), "column.mask.hash.SHA-256.with.salt.***"),
        (
            good.clone().set("database.initial.statements", SECRET),
            "database.initial.statements=***",
        ),
        (good.clone().set("no.such.property", SECRET), "no.such.property"),
        (good.clone().set("database.port", &reference), "database.port=${file:"),
        (good.clone().set("database.port", "${env:A_PORT}"), "database.port=${env:A_PORT}"),
        (good.set("slot.name", "Not-A-Slot"), "slot.name=Not-A-Slot"),
    ];
    for (connector, words) in cases {
        let said = check(&connector, &[("A_PORT", SECRET)]);
        assert!(said.contains(words), "{words:?} in: {said}");
        assert!(!said.contains(SECRET), "{said}");
        let launch = Launch::new(&connector, &shared::stack().kafka_bootstrap);
        let (code, log) = launch.env("A_PORT", SECRET).start().wait_for_end(PATIENCE);
        assert_eq!(code, 2, "{log}");
        assert!(log.contains(words) && !log.contains(SECRET), "{words:?} in: {log}");
    }
}
