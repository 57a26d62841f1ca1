//! Logical decoding messages (`pg_logical_emit_message`): published as Debezium publishes them, in a transaction and
//! outside of any, and none is lost.
//!
//! Real Debezium is the oracle for the bytes.

use std::collections::BTreeMap;

use devstack::{PostgresAddress, shared as servers, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Record, Source, records, topics_of, unique};

const SCHEMA: &str = "
    CREATE TABLE t (id integer PRIMARY KEY);
    INSERT INTO t VALUES (1);
    CREATE PUBLICATION captured FOR ALL TABLES;";

/// Messages of both kinds among changes, committed and rolled back, empty, with bytes that are no text, filtered out.
const MESSAGES: &str = r#"
    INSERT INTO t VALUES (10);
    SELECT pg_logical_emit_message(true, 'audit', 'alone in its transaction');
    BEGIN;
    SELECT pg_logical_emit_message(true, 'audit', 'first');
    INSERT INTO t VALUES (11);
    SELECT pg_logical_emit_message(true, 'a "quoted" prefix ü', 'between');
    SELECT pg_logical_emit_message(false, 'beside', 'sent before its transaction');
    INSERT INTO t VALUES (12);
    SELECT pg_logical_emit_message(true, 'audit', '');
    COMMIT;
    INSERT INTO t VALUES (13);
    SELECT pg_logical_emit_message(false, 'outside', '\x00ff'::bytea);
    INSERT INTO t VALUES (14);
    SELECT pg_logical_emit_message(false, 'hidden', 'a filtered one shifts the sequence too');
    INSERT INTO t VALUES (15);
    SELECT pg_logical_emit_message(true, 'hidden', 'x');
    INSERT INTO t VALUES (16);
    BEGIN;
    SELECT pg_logical_emit_message(true, 'audit', 'rolled back');
    SELECT pg_logical_emit_message(false, 'outside', 'stays although rolled back');
    ROLLBACK;
    SELECT pg_logical_emit_message(false, '', 'no prefix');
    INSERT INTO t VALUES (17);"#;

#[test]
fn messages_of_postgresql_15_are_debeziums_byte_for_byte() {
    compare(&servers::stack().postgres15);
}

#[test]
fn messages_of_postgresql_18_are_debeziums_byte_for_byte() {
    compare(&servers::stack().postgres18);
}

fn compare(server: &PostgresAddress) {
    let stack = servers::stack();
    let debezium = stack.connect();
    let id = unique(&format!("message{}", server.version));
    let source = Source::create(server, &id);
    source.run(SCHEMA);
    let (theirs, ours) = (format!("d_{id}"), format!("o_{id}"));
    let connector = |name: &str| {
        Connector::new(&source, name).set("message.prefix.exclude.list", "hid.*,other")
    };
    debezium.create(&connector(&theirs).json()).unwrap();
    source.wait_until_active(&theirs);
    let launch = Launch::new(&connector(&ours), &stack.kafka_bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(MESSAGES);
    check(&theirs, &ours, 9, 8);
    debezium.delete(&theirs).unwrap();
    source.wait_until_free(&theirs);
    reader.stop();
    // While both are away, and after a start. A transaction comes first, so that both know a time.
    source.run("INSERT INTO t VALUES (20); SELECT pg_logical_emit_message(false, 'away', 'x');");
    debezium.create(&connector(&theirs).json()).unwrap();
    source.wait_until_active(&theirs);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(
        "SELECT pg_logical_emit_message(true, 'back', 'x');
         SELECT pg_logical_emit_message(false, 'back', 'y');
         INSERT INTO t VALUES (21);",
    );
    check(&theirs, &ours, 11, 11);
    debezium.delete(&theirs).unwrap();
    reader.stop();
}

/// Waits until both have sent so many rows and messages, and compares every record, in the order of each topic.
#[track_caller]
fn check(theirs: &str, ours: &str, rows: usize, messages: usize) {
    let read = |prefix: &str| -> BTreeMap<String, Vec<String>> {
        let topics = topics_of(&servers::stack().kafka_bootstrap, prefix);
        let lines = |records: Vec<Record>| records.iter().map(|r| line(r, prefix, ours)).collect();
        topics.into_iter().map(|(name, records)| (name, lines(records))).collect()
    };
    let (expected, actual) = wait_for(PATIENCE * 2, "both to have sent everything", || {
        let both = [read(theirs), read(ours)];
        let count = |topics: &BTreeMap<String, Vec<String>>| {
            ["public.t", "message"].map(|name| topics.get(name).map_or(0, Vec::len))
        };
        let counts = both.each_ref().map(count);
        let [expected, actual] = both;
        if counts == [[rows, messages]; 2] {
            Ok(Some((expected, actual)))
        } else {
            Err(format!("{counts:?}"))
        }
    });
    assert_eq!(expected, actual);
}

/// A record as one line, without what must differ: the prefix, the time at which the event was made, the run's id, what
/// a snapshot's row says of the snapshot, and the commit before the first one of a start.
fn line(record: &Record, prefix: &str, shown: &str) -> String {
    let value = record.value.as_deref().unwrap();
    let json = record.json();
    let value = if json["op"] == "m" {
        value.replacen(&format!("\"ts_ms\":{}", json["ts_ms"]), "\"ts_ms\":#", 1)
    } else {
        // The event's own times stand at the end of a row's event.
        value[..value.rfind(",\"ts_ms\":").unwrap()].to_owned()
    };
    let value = if json["op"] == "r" {
        value[..value.find(",\"source\":{").unwrap()].to_owned()
    } else if [10, 20].contains(&json["after"]["id"].as_i64().unwrap_or_default()) {
        let sequence = format!("\"sequence\":{}", json["source"]["sequence"]);
        assert!(value.contains(&sequence), "{value}");
        value.replace(&sequence, "\"sequence\":#")
    } else {
        value
    };
    let headers: Vec<String> = record
        .headers
        .iter()
        .filter(|(name, _)| name != "__debezium.context.runId")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{:?} {value} {}", record.key, headers.join(",")).replace(prefix, shown)
}

/// Contents of the messages in the topic.
fn contents(prefix: &str) -> Vec<String> {
    let found = records(&servers::stack().kafka_bootstrap, &format!("{prefix}.message"));
    let content =
        |record: &Record| record.json()["message"]["content"].as_str().unwrap().to_owned();
    found.iter().map(content).collect()
}

/// `n`, in base64.
fn base64(number: u32) -> String {
    let mut text = Vec::new();
    shared::debezium::types::text::push_base64(&mut text, number.to_string().as_bytes());
    String::from_utf8(text).unwrap()
}

#[test]
fn a_message_outside_a_transaction_moves_the_slot_by_itself_and_is_not_sent_again() {
    let stack = servers::stack();
    let id = unique("beat");
    let source = Source::create(&stack.postgres15, &id);
    source.run(SCHEMA);
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    let lsn = source.value("SELECT pg_logical_emit_message(false, 'beat', '1')");
    wait_for(PATIENCE, "the slot to be confirmed up to the message", || {
        source.value(&format!(
            "SELECT confirmed_flush_lsn >= '{lsn}' FROM pg_replication_slots WHERE slot_name = '{id}'"
        )) == "t"
    });
    reader.stop();
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run("SELECT pg_logical_emit_message(false, 'beat', '2')");
    wait_for(PATIENCE, "the second message", || contents(&id).contains(&base64(2)));
    assert_eq!(contents(&id), [base64(1), base64(2)]);
    reader.stop();
}

#[test]
fn no_message_is_lost_when_the_reader_is_killed() {
    const MESSAGES: u32 = 3_000;
    let stack = servers::stack();
    let id = unique("killed");
    let source = Source::create(&stack.postgres18, &id);
    source.run(SCHEMA);
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    let session = source.run_beside(format!(
        "DO $$ BEGIN FOR n IN 1..{MESSAGES} LOOP
             PERFORM pg_logical_emit_message(n % 3 = 0, 'load', n::text);
             INSERT INTO t VALUES (1000 + n);
             COMMIT;
         END LOOP; END $$;"
    ));
    for part in 1..=3 {
        wait_for(PATIENCE, "some messages to arrive", || contents(&id).len() >= part * 500);
        reader.kill9();
        reader = launch.start();
    }
    session.join().unwrap();
    let wanted: Vec<String> = (1..=MESSAGES).map(base64).collect();
    let first_of_each = || {
        let mut seen = std::collections::HashSet::new();
        let mut found = contents(&id);
        found.retain(|content| seen.insert(content.clone()));
        found
    };
    wait_for(PATIENCE * 2, "every message", || {
        let found = first_of_each();
        let missing = wanted.iter().filter(|content| !found.contains(content)).count();
        if missing == 0 { Ok(Some(())) } else { Err(format!("{missing} missing")) }
    });
    reader.stop();
}

/// The snapshot that is taken again shows the rows, but no snapshot shows messages.
#[test]
fn messages_of_an_interrupted_snapshot_are_published() {
    let stack = servers::stack();
    let id = unique("again");
    let source = Source::create(&stack.postgres18, &id);
    source.run(SCHEMA);
    // The slot of a start that ended before its snapshot was complete.
    source.run(&format!("SELECT pg_create_logical_replication_slot('{id}', 'pgoutput')"));
    source.run(
        "SELECT pg_logical_emit_message(false, 'x', '1');
         SELECT pg_logical_emit_message(true, 'x', '2');
         INSERT INTO t VALUES (2);",
    );
    let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("SELECT pg_logical_emit_message(false, 'x', '3')");
    wait_for(PATIENCE, "the last message", || contents(&id).contains(&base64(3)));
    assert_eq!(contents(&id), [1, 2, 3].map(base64));
    reader.stop();
}

#[test]
fn messages_are_chosen_by_prefix() {
    let stack = servers::stack();
    let id = unique("chosen");
    let source = Source::create(&stack.postgres15, &id);
    source.run(SCHEMA);
    let connector = Connector::new(&source, &id).set("message.prefix.include.list", "audit.*");
    let reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(
        "SELECT pg_logical_emit_message(false, 'other', '1');
         SELECT pg_logical_emit_message(true, 'other', '2');
         SELECT pg_logical_emit_message(true, 'Audit.x', '3');",
    );
    wait_for(PATIENCE, "the chosen message", || !contents(&id).is_empty());
    assert_eq!(contents(&id), [base64(3)]);
    let both = connector.set("message.prefix.exclude.list", "x");
    let mut refused = Launch::new(&both, &stack.kafka_bootstrap).start();
    let (code, log) = refused.wait_for_end(PATIENCE);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("message.prefix.exclude.list cannot both be given"), "{log}");
    reader.stop();
}
