//! The bytes are Debezium's: key, value, headers, tombstones and order of every event, for the airline's tables and for
//! every type.
//!
//! Real Debezium and the reader capture the same database at the same time through slots of their own, under prefixes
//! of equal length. Nothing is compared loosely but what must differ: the prefix, the time at which an event was made,
//! the `runId`, and in a snapshot's rows the position and time of the snapshot.

mod kinds;
mod operations;

use std::collections::{BTreeMap, BTreeSet};

use devstack::{PostgresAddress, shared, try_wait_for, wait_for};

use crate::support::parity::normal;
use crate::support::{Connector, Launch, PATIENCE, Record, Source, topics_of, unique};

/// The connectors in which the reader and Debezium are compared; both capture the same tables.
#[derive(Clone, Copy)]
enum Variant {
    /// As our own connector files have it: a NULL is a NULL, tables by schema.
    NullIsNull,
    /// Kafka Connect's default: a NULL becomes the column's default. Tables by list, in an order of its own.
    NullBecomesDefault,
    /// With `skipped.operations`.
    Skipping(&'static str),
}

/// Tables in the order of their names: the first and the last are empty in the one order or the other.
const TABLES: &[&str] = &[
    "boarding_passes",
    "airports",
    "seats",
    "aircrafts",
    "defaults",
    "flights",
    "full_identity",
    "keyless",
    "keys",
    "toasted",
    "included_key",
    "by_index",
    "by_unique",
    "made",
    "toasted_key",
    "toasted_keys",
    "toasted_types",
    "unlogged",
    "special_values",
    "Odd Table",
    "bookings",
    "tickets",
    "ticket_flights",
    "zz_last",
];

impl Variant {
    fn connector(self, source: &Source, name: &str) -> Connector {
        let connector = Connector::new(source, name);
        match self {
            Self::NullIsNull => connector,
            Self::NullBecomesDefault => connector
                .without("schema.include.list")
                .without("value.converter.replace.null.with.default")
                .set("table.include.list", &table_list()),
            Self::Skipping(operations) => connector.set("skipped.operations", operations),
        }
    }
}

impl Variant {
    /// Records of the last table: a create, a delete and its tombstone, as far as they are not skipped.
    fn last_records(self) -> usize {
        match self {
            Self::NullIsNull | Self::NullBecomesDefault => 3,
            Self::Skipping("u,d") => 1,
            Self::Skipping(_) => 2,
        }
    }

    /// What Debezium sends at least.
    fn records_min(self) -> usize {
        match self {
            Self::NullIsNull | Self::NullBecomesDefault => 3000,
            Self::Skipping(_) => 500,
        }
    }
}

/// All tables as Debezium takes a list of them; those with every type stand in the middle.
fn table_list() -> String {
    let (front, back) = TABLES.split_at(2);
    let named = |tables: &[&str]| tables.iter().map(|&table| table.to_owned()).collect::<Vec<_>>();
    let tables = [named(front), kinds::table_names().collect(), named(back)].concat();
    tables.iter().map(|table| format!("public.{table}")).collect::<Vec<_>>().join(",")
}

#[test]
fn every_event_of_postgresql_15_is_debeziums_byte_for_byte() {
    compare(&shared::stack().postgres15);
}

#[test]
fn every_event_of_postgresql_18_is_debeziums_byte_for_byte() {
    compare(&shared::stack().postgres18);
}

fn compare(server: &PostgresAddress) {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique(&format!("bytes{}", server.version));
    let source = Source::airline(server, &id);
    source.run(&kinds::create(server.version));
    source.run(operations::BEFORE);
    let variants = [
        Variant::NullIsNull,
        Variant::NullBecomesDefault,
        Variant::Skipping("u,d"),
        Variant::Skipping("c,t"),
    ];
    let names = [("d", "o"), ("e", "p"), ("f", "q"), ("g", "r")]
        .map(|(theirs, ours)| (format!("{theirs}_{id}"), format!("{ours}_{id}")));
    for (variant, (theirs, _)) in variants.into_iter().zip(&names) {
        debezium.create(&variant.connector(&source, theirs).json()).unwrap();
    }
    let mut readers = Vec::new();
    for (variant, (theirs, ours)) in variants.into_iter().zip(&names) {
        source.wait_until_active(theirs);
        readers
            .push(Launch::new(&variant.connector(&source, ours), &stack.kafka_bootstrap).start());
        readers.last().unwrap().wait_for_line("streaming");
    }
    source.run(operations::AFTER);
    source.run(&kinds::change());
    source.run(operations::LAST);
    let mut differences = Vec::new();
    for (variant, (theirs, ours)) in variants.into_iter().zip(&names) {
        differences.extend(compare_topics(theirs, ours, variant, 1));
    }
    for (theirs, _) in &names {
        debezium.delete(theirs).unwrap();
    }
    for reader in readers {
        reader.stop();
    }
    // A new start goes on where the old one ended, and names the last commit of the old one.
    let (theirs, ours) = &names[0];
    source.run(operations::AWAY);
    debezium.create(&variants[0].connector(&source, theirs).json()).unwrap();
    source.wait_until_active(theirs);
    let reader = Launch::new(&variants[0].connector(&source, ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(operations::BACK);
    source.run(operations::LAST);
    differences.extend(compare_topics(theirs, ours, variants[0], 2));
    debezium.delete(theirs).unwrap();
    reader.stop();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Waits until both have sent the last change so many times, and says where they differ.
fn compare_topics(theirs: &str, ours: &str, variant: Variant, times: usize) -> Vec<String> {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let read = || {
        let expected = normal(topics_of(bootstrap, theirs), theirs, ours);
        let actual = normal(topics_of(bootstrap, ours), ours, ours);
        (expected, actual)
    };
    let counts =
        |topics: &BTreeMap<String, Vec<String>>| topics.values().map(Vec::len).collect::<Vec<_>>();
    let arrived = try_wait_for(PATIENCE * 4, "both to have sent the last change", || {
        let (expected, actual) = read();
        let last = |topics: &BTreeMap<String, Vec<String>>| {
            topics
                .get("public.zz_last")
                .is_some_and(|records| records.len() == times * variant.last_records())
        };
        last(&expected) && last(&actual) && counts(&expected) == counts(&actual)
    });
    let (expected, actual) = read();
    let events: usize = expected.values().map(Vec::len).sum();
    assert!(events > variant.records_min(), "Debezium has sent {events} records only");
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    let none = Vec::new();
    for name in expected.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
        let expected = expected.get(name).unwrap_or(&none);
        let actual = actual.get(name).unwrap_or(&none);
        for index in 0..expected.len().max(actual.len()) {
            for pair in difference(name, expected.get(index), actual.get(index)) {
                if times == 1 || !names_another_offset(&pair) {
                    *found.entry(pair).or_default() += 1;
                }
            }
        }
    }
    let line =
        |((debezium, reader), count)| format!("{count} times {debezium}\n  instead {reader}");
    let last = |topics: &BTreeMap<String, Vec<String>>| topics.get("public.zz_last").map(Vec::len);
    arrived
        .err()
        .map(|err| {
            format!("{err}: records of the last table: {:?}, {:?}", last(&expected), last(&actual))
        })
        .into_iter()
        .chain(found.into_iter().map(line))
        .collect()
}

/// Whether two sequences differ only in the last commit before a start. Both name the commit of the stored offset, and
/// the offset that Debezium stores may lie before the last commit that it has published.
fn names_another_offset((expected, actual): &(String, String)) -> bool {
    let parts = |text: &str| -> Option<(bool, String)> {
        let (_, sequence) = text.split_once("sequence\":\"[")?;
        let (commit, lsn) = sequence.split_once(',')?;
        Some((commit.trim_matches(['\\', '"']).parse::<u64>().is_ok(), lsn.to_owned()))
    };
    let (expected, actual) = (parts(expected), parts(actual));
    matches!(expected, Some((true, _))) && expected == actual
}

/// The fields in which two records of a topic differ, as `(topic and field as Debezium has it, field as the reader has
/// it)`.
fn difference(
    topic: &str,
    expected: Option<&String>,
    actual: Option<&String>,
) -> Vec<(String, String)> {
    let none = String::from("(no such record)");
    let (expected, actual) = (expected.unwrap_or(&none), actual.unwrap_or(&none));
    let fields = |text: &str| text.split(",\"").map(str::to_owned).collect::<Vec<_>>();
    let (expected, actual) = (fields(expected), fields(actual));
    if expected.len() != actual.len() {
        return vec![(format!("{topic}: {}", expected.join(",\"")), actual.join(",\""))];
    }
    std::iter::zip(expected, actual)
        .filter(|(expected, actual)| expected != actual)
        .map(|(expected, actual)| (format!("{topic}: {expected}"), actual))
        .collect()
}

/// Debezium shows such a NULL as an empty string or 0 in the old row, and then takes every key for a moved one. Here it
/// stays a NULL.
#[test]
fn a_null_in_a_key_that_stands_in_for_a_primary_key_is_a_null() {
    let stack = shared::stack();
    let id = unique("nullkey");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE u (a integer, b text, c integer, UNIQUE (a, b));
         ALTER TABLE u REPLICA IDENTITY FULL;
         CREATE PUBLICATION captured FOR ALL TABLES;
         INSERT INTO u VALUES (1, NULL, 0);",
    );
    let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("UPDATE u SET c = 1; UPDATE u SET b = 'x'; UPDATE u SET b = NULL; DELETE FROM u;");
    let seen = || -> Vec<String> {
        let topics = topics_of(&stack.kafka_bootstrap, &id);
        let records = topics.get("public.u").map(Vec::as_slice).unwrap_or_default();
        let operation = |record: &Record| record.json()["op"].as_str().unwrap_or("-").to_owned();
        let key = |record: &Record| record.key.clone().unwrap();
        records.iter().map(|record| format!("{} {}", operation(record), key(record))).collect()
    };
    let (null, x) = (r#"{"a":1,"b":null}"#, r#"{"a":1,"b":"x"}"#);
    let expected = [
        ("r", null),
        ("u", null),
        ("d", null),
        ("-", null),
        ("c", x),
        ("d", x),
        ("-", x),
        ("c", null),
        ("d", null),
        ("-", null),
    ]
    .map(|(operation, key)| format!("{operation} {key}"));
    wait_for(PATIENCE, "the last tombstone", || seen().len() >= expected.len());
    assert_eq!(seen(), expected);
    reader.stop();
}
