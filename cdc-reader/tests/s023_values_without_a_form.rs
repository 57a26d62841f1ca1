//! Values that have no form in an event: `event.converting.failure.handling.mode` decides, as in Debezium, and one
//! table's column does not stop the other tables.

use std::collections::BTreeSet;

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Record, Source, records, unique};

const MODE: &str = "event.converting.failure.handling.mode";

/// What a line of the log says of a value that NULL stands for.
const NULL_INSTEAD: &str = "a value has no form in events: NULL is published in its place, as \
                            event.converting.failure.handling.mode=warn says; cdc_reader_nulls_instead_total counts further ones";

const NUMBERS: &str = "
    CREATE TABLE n (id integer PRIMARY KEY, amount numeric, price numeric(8,2), list numeric[]);
    CREATE TABLE other (id integer PRIMARY KEY);
    INSERT INTO n VALUES (1, 'NaN', 1.5, '{1}');
    CREATE PUBLICATION captured FOR ALL TABLES;";

const MORE_NUMBERS: &str = "
    INSERT INTO n VALUES (2, 'Infinity', 'NaN', NULL);
    UPDATE n SET amount = '-Infinity' WHERE id = 1;
    INSERT INTO n VALUES (3, 3, 3, '{3}');";

/// What a topic tells: operation and row after of each record, each once. A failed session may leave records that come
/// again.
fn rows(bootstrap: &str, prefix: &str, table: &str) -> Vec<String> {
    let found = records(bootstrap, &format!("{prefix}.public.{table}"));
    let row = |record: &Record| format!("{} {}", record.json()["op"], record.json()["after"]);
    let mut seen = BTreeSet::new();
    found.iter().map(row).filter(|row| seen.insert(row.clone())).collect()
}

/// Waits for so many rows of a table, and gives them.
#[track_caller]
fn wait_for_rows(prefix: &str, table: &str, count: usize) -> Vec<String> {
    let bootstrap = &shared::stack().kafka_bootstrap;
    wait_for(PATIENCE, &format!("{count} rows of {table}"), || {
        let found = rows(bootstrap, prefix, table);
        if found.len() == count { Ok(Some(found)) } else { Err(format!("{found:?}")) }
    })
}

/// Expects that a reader has ended with this code and, in one line of what it said, these words.
#[track_caller]
fn check_end((code, log): (i32, String), expected: i32, words: &[&str]) {
    assert_eq!(code, expected, "{log}");
    let has = |line: &&str| words.iter().all(|word| line.contains(word));
    assert!(log.lines().any(|line| has(&line)), "a line with {words:?} in:\n{log}");
}

#[test]
fn a_number_that_is_not_finite_is_null_and_its_table_column_and_position_are_named() {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique("nulls");
    let source = Source::create(&stack.postgres18, &id);
    source.run(NUMBERS);
    let names = ["d", "o"].map(|who| format!("{who}_{id}"));
    let [theirs, ours] = &names;
    debezium.create(&Connector::new(&source, theirs).json()).unwrap();
    source.wait_until_active(theirs);
    let reader = Launch::new(&Connector::new(&source, ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(MORE_NUMBERS);
    let [expected, actual] = names.each_ref().map(|name| wait_for_rows(name, "n", 4));
    assert_eq!(expected, actual);
    assert!(actual[0].contains(r#""amount":null"#), "{actual:?}");
    let mut columns = BTreeSet::new();
    for line in reader.said(NULL_INSTEAD) {
        assert_eq!(line["table"], "public.n", "{line}");
        assert!(line["position"].as_str().unwrap().contains('/'), "{line}");
        columns.insert(line["column"].as_str().unwrap().to_owned());
    }
    assert_eq!(columns, BTreeSet::from(["amount".to_owned(), "price".to_owned()]));
    wait_for(PATIENCE, "the metric to count the events of the stream", || {
        reader.metric("cdc_reader_nulls_instead_total") >= 2.0
    });
    debezium.delete(theirs).unwrap();
    reader.stop();
}

#[test]
fn with_skip_such_a_value_is_null_without_a_warning() {
    let stack = shared::stack();
    let id = unique("skip");
    let source = Source::create(&stack.postgres15, &id);
    source.run(NUMBERS);
    let connector = Connector::new(&source, &id).set(MODE, "skip");
    let reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(MORE_NUMBERS);
    assert!(wait_for_rows(&id, "n", 4)[1].contains(r#""amount":null"#));
    wait_for(PATIENCE, "the metric to count", || {
        reader.metric("cdc_reader_nulls_instead_total") >= 2.0
    });
    assert_eq!(reader.said(NULL_INSTEAD).len(), 0);
    reader.stop();
}

#[test]
fn with_fail_such_a_value_stops_the_reader_as_it_stops_debezium_and_every_way_on_is_named() {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique("fail");
    let source = Source::create(&stack.postgres18, &id);
    source.run(NUMBERS);
    source.run("UPDATE n SET amount = 0");
    let names = ["d", "o"].map(|who| format!("{who}_{id}"));
    let [theirs, ours] = &names;
    let connector = |name: &str| Connector::new(&source, name).set(MODE, "fail");
    debezium.create(&connector(theirs).json()).unwrap();
    source.wait_until_active(theirs);
    let mut reader = Launch::new(&connector(ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO other VALUES (1)");
    source.run(MORE_NUMBERS);
    let words = [
        "at 0/",
        "column amount of table public.n",
        "a value has no form in events",
        "event.converting.failure.handling.mode=warn",
        "table.exclude.list",
    ];
    check_end(reader.wait_for_end(PATIENCE), 1, &words);
    wait_for(PATIENCE, "debezium to have failed", || {
        let status = debezium.status(theirs).unwrap();
        let state = status["tasks"][0]["state"].as_str().unwrap_or_default();
        if state == "FAILED" { Ok(Some(())) } else { Err(state.to_owned()) }
    });
    // One of the ways on. Nothing of the table or of another one is lost.
    let on = Connector::new(&source, ours).set(MODE, "warn");
    let reader = Launch::new(&on, &stack.kafka_bootstrap).start();
    wait_for_rows(ours, "n", 4);
    wait_for_rows(ours, "other", 1);
    debezium.delete(theirs).unwrap();
    reader.stop();
}

#[test]
fn a_number_that_is_not_finite_in_a_key_stops_the_reader_whatever_the_mode() {
    let stack = shared::stack();
    let id = unique("nankey");
    let source = Source::create(&stack.postgres15, &id);
    source.run(
        "CREATE TABLE n (id numeric PRIMARY KEY); CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let mut reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO n VALUES ('NaN')");
    let words = ["at 0/", "key column id of table public.n", "table.exclude.list"];
    check_end(reader.wait_for_end(PATIENCE), 1, &words);
}

#[test]
fn a_column_of_a_type_that_is_left_out_added_in_mid_stream_does_not_stop_any_table() {
    let stack = shared::stack();
    let id = unique("added");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE n (id integer PRIMARY KEY);
         CREATE TABLE other (id integer PRIMARY KEY);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let connector = Connector::new(&source, &id).set(MODE, "fail");
    let launch = Launch::new(&connector, &stack.kafka_bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(
        "CREATE TYPE pair AS (a integer, b integer);
         ALTER TABLE n ADD COLUMN v pair;
         INSERT INTO n VALUES (1, NULL), (2, '(1,2)');
         INSERT INTO other VALUES (1);",
    );
    wait_for_rows(&id, "other", 1);
    assert_eq!(wait_for_rows(&id, "n", 2), [r#""c" {"id":1}"#, r#""c" {"id":2}"#]);
    assert_eq!(reader.metric("cdc_reader_columns_left_out"), 1.0);
    reader.stop();
    // A restart goes on in the same way.
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO n VALUES (3, '(3,3)'); INSERT INTO other VALUES (2);");
    wait_for_rows(&id, "other", 2);
    wait_for_rows(&id, "n", 3);
    reader.stop();
}

/// Without its key a table's changes have no order, so no value can stand for it.
#[test]
fn a_key_of_a_type_that_is_left_out_ends_the_reader_by_name_and_the_others_go_on_without_the_table()
{
    let stack = shared::stack();
    let id = unique("leftkey");
    let source = Source::create(&stack.postgres15, &id);
    source.run(
        "CREATE TABLE other (id integer PRIMARY KEY); CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(
        "INSERT INTO other VALUES (1);
         CREATE TABLE bad (id pg_lsn PRIMARY KEY);
         INSERT INTO bad VALUES ('0/1');
         INSERT INTO other VALUES (2);",
    );
    let words = ["column id of table public.bad is part of the key", "table.exclude.list"];
    check_end(reader.wait_for_end(PATIENCE), 2, &words);
    let without = Connector::new(&source, &id).set("table.exclude.list", "public.bad");
    let reader = Launch::new(&without, &stack.kafka_bootstrap).start();
    wait_for_rows(&id, "other", 2);
    reader.stop();
}

/// A unique index stands in for a primary key here, and its columns may be NULL.
#[test]
fn a_null_in_the_old_row_of_a_unique_key_is_what_debezium_writes() {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique("oldnull");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE u (a integer, b text, c date, d integer, UNIQUE (a, b, c));
         ALTER TABLE u REPLICA IDENTITY FULL;
         INSERT INTO u VALUES (1, NULL, NULL, NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let names = ["d", "o"].map(|who| format!("{who}_{id}"));
    let [theirs, ours] = &names;
    debezium.create(&Connector::new(&source, theirs).json()).unwrap();
    source.wait_until_active(theirs);
    let reader = Launch::new(&Connector::new(&source, ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("UPDATE u SET d = 1");
    let old_row = |name: &String| {
        wait_for(PATIENCE, "an event with the old row", || {
            let found = records(&stack.kafka_bootstrap, &format!("{name}.public.u"));
            let values = found.iter().filter(|record| record.value.is_some());
            let before = values.map(|record| record.json()["before"].clone());
            before.into_iter().find(|before| !before.is_null()).ok_or("none yet").map(Some)
        })
    };
    let [expected, actual] = names.each_ref().map(old_row);
    assert_eq!(expected, actual);
    assert_eq!(actual, serde_json::json!({"a": 1, "b": null, "c": null, "d": null}));
    debezium.delete(theirs).unwrap();
    reader.stop();
}
