//! `cdc-reader reconcile`: the deletes of rows that vanished are those that the stream publishes, to the byte but for
//! what must differ, and nobody's living row is deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::shared::debezium::heartbeat::Reached;
use ::shared::debezium::topic::topic_name;
use ::shared::position::Lsn;
use ::shared::vanished::{self, Absence, RECONCILED_HEADER, VanishedRow};
use devstack::{PostgresAddress, shared, wait_for};
use tempfile::TempDir;

use crate::support::heartbeats::{publish_heartbeat, topic_of};
use crate::support::{Connector, Launch, PATIENCE, Record, Source, record_count, records, unique};

/// Tables with keys of many types; `whole` sends old rows whole.
const TABLES: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'so "so"');
CREATE DOMAIN code AS varchar(8);
CREATE TABLE plain (id bigint PRIMARY KEY, note text NOT NULL, amount numeric(8, 2) NOT NULL DEFAULT 1.5, at date);
CREATE TABLE wide (
    word text, fixed char(5), code code, day date, at timestamptz, stamp timestamp(3), amount numeric(10, 2), flag boolean, raw bytea,
    tag uuid, small smallint, double double precision, mood mood, time time, note text,
    PRIMARY KEY (word, fixed, code, day, at, stamp, amount, flag, raw, tag, small, double, mood, time)
);
CREATE TABLE "Odd name" ("The key" integer PRIMARY KEY, v text);
CREATE TABLE whole (id integer PRIMARY KEY, v text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE PUBLICATION captured FOR ALL TABLES;
"#;

const ROWS: &str = r#"
INSERT INTO plain VALUES (9007199254740993, 'a', 12.50, '2026-01-02');
INSERT INTO wide VALUES ('a ''word'' \ "x" {,}', 'ab', 'c1', '2026-01-02', '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05.678', 7.50,
    true, '\x00ff', '11111111-2222-3333-4444-555555555555', -3, 0.1, 'so "so"', '23:59:59.5', 'n');
INSERT INTO "Odd name" VALUES (1, 'v');
INSERT INTO whole VALUES (1, 'v');
"#;

const GONE: &str =
    r#"DELETE FROM plain; DELETE FROM wide; DELETE FROM "Odd name"; DELETE FROM whole;"#;

/// The rows as a vault prints their keys.
fn rows() -> Vec<VanishedRow> {
    let row = |table: &str, key: &[(&str, &str)]| VanishedRow {
        schema: "public".to_owned(),
        table: table.to_owned(),
        hash_key: format!("{table}-key"),
        key: key.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    vec![
        row("plain", &[("id", "9007199254740993")]),
        row(
            "wide",
            &[
                ("word", "a 'word' \\ \"x\" {,}"),
                ("fixed", "ab"),
                ("code", "c1"),
                ("day", "2026-01-02"),
                ("at", "2026-01-02 06:04:05.678901+03"),
                ("stamp", "2026-01-02 03:04:05.678"),
                ("amount", "7.5"),
                ("flag", "t"),
                ("raw", "\\x00ff"),
                ("tag", "11111111-2222-3333-4444-555555555555"),
                ("small", "-3"),
                ("double", "0.1"),
                ("mood", "so \"so\""),
                ("time", "23:59:59.5"),
            ],
        ),
        row("Odd name", &[("The key", "1")]),
        row("whole", &[("id", "1")]),
    ]
}

/// The moment at which the source is as it is now.
fn absence(source: &Source, prefix: &str) -> Absence {
    let value = |query: &str| source.value(query);
    let micros = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let number = "SELECT system_identifier FROM pg_control_system()";
    Absence {
        source: "shop".to_owned(),
        topic_prefix: prefix.to_owned(),
        system_identifier: value(number).parse::<i64>().unwrap().cast_unsigned(),
        timeline: value("SELECT timeline_id FROM pg_control_checkpoint()").parse().unwrap(),
        lsn: value("SELECT pg_current_wal_insert_lsn()").parse().unwrap(),
        time_us: value(micros).parse().unwrap(),
    }
}

fn file(dir: &TempDir, absence: &Absence, rows: &[VanishedRow]) -> PathBuf {
    let path = dir.path().join("rows.jsonl");
    let mut out = std::fs::File::create(&path).unwrap();
    vanished::write(&mut out, absence, rows).unwrap();
    path
}

/// Runs the command to its end, and gives the exit code and what it said.
#[track_caller]
fn run(launch: &Launch, rows: &std::path::Path, words: &[&str]) -> (i32, String) {
    launch.reconcile(rows, words).wait_for_end(PATIENCE)
}

/// A value with `#` for what must differ: the position, the times, the transaction.
fn masked(value: &str) -> String {
    let mut text = value.to_owned();
    for field in ["ts_ms", "ts_us", "ts_ns", "sequence", "txId", "lsn"] {
        let name = format!("\"{field}\":");
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&name) {
            let (before, behind) = rest.split_at(at + name.len());
            out.push_str(before);
            out.push('#');
            let end = match behind.strip_prefix('"') {
                Some(inside) => 2 + inside.find("]\"").unwrap() + 1,
                None => behind.find([',', '}']).unwrap(),
            };
            rest = &behind[end..];
        }
        out.push_str(rest);
        text = out;
    }
    text
}

/// A record without what must differ.
fn comparable(record: &Record) -> Record {
    let value = record.value.as_deref().map(masked);
    let mut headers = record.headers.clone();
    headers.retain(|(name, _)| name != RECONCILED_HEADER);
    for (name, value) in &mut headers {
        if name == "__debezium.context.runId" {
            *value = value.as_ref().map(|id| id.len().to_string());
        }
    }
    Record { key: record.key.clone(), value, headers }
}

fn reconciled_by(record: &Record) -> Option<&str> {
    let header = record.headers.iter().find(|(name, _)| name == RECONCILED_HEADER);
    header.and_then(|(_, value)| value.as_deref())
}

const SETTINGS: [&[(&str, &str)]; 3] = [
    &[],
    &[("vaultstream.column.types.header", "true"), ("extended.headers.enabled", "true")],
    &[
        ("tombstones.on.delete", "false"),
        ("value.converter.replace.null.with.default", "true"),
        ("extended.headers.enabled", "false"),
    ],
];

fn compare_with_the_stream(server: &PostgresAddress) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    for settings in SETTINGS {
        let id = unique(&format!("vanished{}", server.version));
        let source = Source::create(server, &id);
        source.run(TABLES);
        let connector = Connector::new(&source, &id)
            .set("topic.creation.default.partitions", "3")
            .set("topic.creation.default.replication.factor", "1");
        let connector = settings.iter().fold(connector, |all, (name, value)| all.set(name, value));
        let launch = Launch::new(&connector, bootstrap);
        let reader = launch.start();
        reader.wait_for_line("streaming");
        // The stream's deletes, and the rows once more.
        source.run(ROWS);
        source.run(GONE);
        source.run(ROWS);
        let has_tombstones = !settings.contains(&("tombstones.on.delete", "false"));
        let length = if has_tombstones { 2 } else { 1 };
        wait_for_counts(&id, 2 + length);
        reader.stop();
        source.wait_until_free(&id);
        source.run(GONE);
        let dir = tempfile::tempdir().unwrap();
        let absence = absence(&source, &id);
        let path = file(&dir, &absence, &rows());
        let (code, said) = run(&launch, &path, &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("public.whole: 1 deletes to be published with --publish"), "{said}");
        assert_eq!(counts(&id), [2 + length; 4], "nothing is published without --publish");
        let (code, said) = run(&launch, &path, &["--publish", "--show-keys"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("hash key plain-key (id=9007199254740993)"), "{said}");
        for VanishedRow { table, .. } in rows() {
            check_table(&id, &table, &absence, usize::try_from(length).unwrap());
        }
        // The reader goes on: it publishes the deletes at their own positions, and a row that comes again.
        let reader = launch.start();
        source.run(ROWS);
        wait_for_counts(&id, 3 + 3 * length);
        reader.stop();
    }
}

fn topic(id: &str, table: &str) -> String {
    topic_name(id, "public", table)
}

/// How many records the topic of each table has.
fn counts(id: &str) -> Vec<u64> {
    let bootstrap = &shared::stack().kafka_bootstrap;
    rows().iter().map(|row| record_count(bootstrap, &topic(id, &row.table))).collect()
}

#[track_caller]
fn wait_for_counts(id: &str, wanted: u64) {
    wait_for(PATIENCE, &format!("{wanted} records in each topic"), || {
        let found = counts(id);
        found
            .iter()
            .all(|count| *count == wanted)
            .then_some(())
            .ok_or(format!("{found:?}"))
            .map(Some)
    });
}

/// The last records of the topic are the delete of the command, and equal to those of the stream before it.
fn check_table(id: &str, table: &str, absence: &Absence, length: usize) {
    // All records of a key are in one partition, and each topic has one key.
    let all = records(&shared::stack().kafka_bootstrap, &topic(id, table));
    assert_eq!(all.len(), 2 + 2 * length, "{all:#?}");
    let (stream, ours) = (&all[1..1 + length], &all[2 + length..]);
    for (expected, actual) in stream.iter().zip(ours) {
        let who = reconciled_by(actual).unwrap();
        assert!(who.starts_with("cdc-reader ") && who.contains(", run "), "{who}");
        assert_eq!(reconciled_by(expected), None);
        let (expected, actual) = (comparable(expected), comparable(actual));
        if let ("whole", Some(theirs), Some(ours)) = (table, &expected.value, &actual.value) {
            // The whole row is not known.
            assert_eq!((&actual.key, &actual.headers), (&expected.key, &expected.headers));
            assert!(theirs.starts_with(r#"{"before":{"id":1,"v":"v"},"after":null"#), "{theirs}");
            assert!(ours.starts_with(r#"{"before":{"id":1,"v":null},"after":null"#), "{ours}");
        } else {
            assert_eq!(actual, expected);
        }
    }
    let source = &ours[0].json()["source"];
    assert_eq!(source["lsn"], absence.lsn.0);
    assert_eq!(source["ts_us"], absence.time_us);
    assert_eq!(source["txId"], serde_json::Value::Null);
}

#[test]
fn the_deletes_are_those_of_the_stream_from_postgresql_15() {
    compare_with_the_stream(&shared::stack().postgres15);
}

#[test]
fn the_deletes_are_those_of_the_stream_from_postgresql_18() {
    compare_with_the_stream(&shared::stack().postgres18);
}

/// A stopped connector over the table `load`, with a few rows published.
struct Stopped {
    id: String,
    source: Source,
    connector: Connector,
    launch: Launch,
    dir: TempDir,
}

impl Stopped {
    fn of(name: &str, set: &[(&str, &str)], row_count: u64) -> Self {
        let bootstrap = &shared::stack().kafka_bootstrap;
        let id = unique(name);
        let source = Source::with_load(&shared::stack().postgres18, &id);
        source.run(&crate::support::load::rows(1, row_count));
        let connector = Connector::new(&source, &id);
        let connector = set.iter().fold(connector, |all, (name, value)| all.set(name, value));
        let launch = Launch::new(&connector, bootstrap);
        let reader = launch.start();
        reader.wait_for_line("streaming");
        reader.stop();
        source.wait_until_free(&id);
        let dir = tempfile::tempdir().unwrap();
        Self { id, source, connector, launch, dir }
    }

    fn rows(ids: impl IntoIterator<Item = u64>) -> Vec<VanishedRow> {
        ids.into_iter()
            .map(|id| VanishedRow {
                schema: "public".to_owned(),
                table: "load".to_owned(),
                hash_key: format!("{id:064x}"),
                key: BTreeMap::from([("id".to_owned(), id.to_string())]),
            })
            .collect()
    }

    fn file(&self, rows: &[VanishedRow]) -> PathBuf {
        file(&self.dir, &absence(&self.source, &self.id), rows)
    }

    fn published(&self) -> Vec<Record> {
        records(&shared::stack().kafka_bootstrap, &format!("{}.public.load", self.id))
    }
}

/// The keys of the deletes that the command has published, in their order.
fn deleted(records: &[Record]) -> Vec<u64> {
    let ours =
        records.iter().filter(|record| record.value.is_some() && reconciled_by(record).is_some());
    ours.map(|record| record.json()["before"]["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_row_that_is_there_again_is_left_out() {
    let stopped = Stopped::of("again", &[], 4);
    stopped.source.run("DELETE FROM load WHERE id IN (2, 3)");
    let path = stopped.file(&Stopped::rows([2, 3]));
    stopped.source.run("INSERT INTO load VALUES (3, 9)");
    let (code, said) = run(&stopped.launch, &path, &["--publish", "--format", "json"]);
    assert_eq!(code, 0, "{said}");
    let json = said.lines().find(|line| line.starts_with('{')).unwrap();
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(report["published"], true);
    let table = &report["tables"][0];
    assert_eq!((&table["deletes"], &table["exist_again"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(deleted(&stopped.published()), [2]);
    // A reader that goes on publishes the insert behind it.
    let reader = stopped.launch.start();
    let last = |records: Vec<Record>| records.into_iter().rfind(|record| record.value.is_some());
    wait_for(PATIENCE, "the insert behind the delete", || {
        last(stopped.published()).is_some_and(|record| record.json()["after"]["id"] == 3)
    });
    reader.stop();
}

#[test]
fn a_delete_is_published_after_every_time_that_a_heartbeat_has_called_complete() {
    let stopped = Stopped::of("claimed", &[("heartbeat.interval.ms", "200")], 3);
    stopped.source.run("DELETE FROM load WHERE id = 2");
    let path = stopped.file(&Stopped::rows([2]));
    // The clock of the reader that sent this heartbeat was ahead by half an hour.
    let ahead_us = chrono::Utc::now().timestamp_micros() + 1_800_000_000;
    let reached =
        Reached { position: Lsn(1), timeline: 1, committed_us: None, published_us: Some(ahead_us) };
    let topic = topic_of(&stopped.id);
    publish_heartbeat(&shared::stack().kafka_bootstrap, &topic, &stopped.id, reached);
    let (code, said) = run(&stopped.launch, &path, &["--publish"]);
    assert_eq!(code, 0, "{said}");
    let published = stopped.published();
    assert_eq!(deleted(&published), [2]);
    let ours = |record: &&Record| record.value.is_some() && reconciled_by(record).is_some();
    let stamp = published.iter().find(ours).unwrap().json()["ts_us"].as_i64().unwrap();
    assert!(stamp > ahead_us, "{stamp} is not after {ahead_us}");
}

#[test]
fn an_insert_that_is_not_committed_yet_is_waited_for() {
    let stopped = Stopped::of("uncommitted", &[], 3);
    stopped.source.run("DELETE FROM load WHERE id = 2");
    let path = stopped.file(&Stopped::rows([2]));
    let mut open = stopped.source.open_transaction("INSERT INTO load VALUES (2, 5);");
    let (code, said) = run(&stopped.launch, &path, &["--publish", "--wait", "0"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("a transaction of the source that is older than number"), "{said}");
    let mut waiting = stopped.launch.reconcile(&path, &["--publish"]);
    let slot = stopped.id.clone();
    wait_for(PATIENCE, "the command to hold the lock", || {
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
        stopped.source.value(held) == "1"
    });
    open.run("COMMIT;");
    let (code, said) = waiting.wait_for_end(PATIENCE);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("0 deletes published") && said.contains("1 rows left out"), "{said}");
    assert_eq!(deleted(&stopped.published()), [0u64; 0], "{slot}");
}

#[test]
fn a_command_that_was_killed_is_run_again() {
    // A small queue makes it slow.
    let small = [("producer.override.buffer.memory", "16384")];
    let count = 800;
    let stopped = Stopped::of("killedmid", &small, count);
    stopped.source.run("DELETE FROM load");
    let path = stopped.file(&Stopped::rows(1..=count));
    let words = ["--publish", "--max-deletes", "800"];
    let command = stopped.launch.reconcile(&path, &words);
    wait_for(PATIENCE, "the first deletes", || !deleted(&stopped.published()).is_empty());
    command.kill9();
    let before = deleted(&stopped.published());
    assert!(before.len() < 800, "the command had ended before it was killed");
    stopped.source.wait_until_free(&stopped.id);
    // The server notices at once that the process is gone.
    wait_for(PATIENCE, "the lock to be free", || {
        let (code, said) = run(&stopped.launch, &path, &words);
        (code == 0).then_some(()).ok_or(said).map(Some)
    });
    let after = deleted(&stopped.published());
    assert_eq!(after[..before.len()], before[..]);
    let mut second = after[before.len()..].to_vec();
    // What was on its way when the process was killed.
    second.drain(..second.len() - 800);
    second.sort_unstable();
    assert_eq!(second, (1..=count).collect::<Vec<_>>());
    let mut values: Vec<String> = stopped
        .published()
        .iter()
        .filter_map(|r| reconciled_by(r).and(r.value.as_deref()).map(masked))
        .collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 800, "a delete that is published twice says the same");
}

#[test]
fn what_must_not_be_published_is_refused_by_name() {
    let stopped = Stopped::of("refusals", &[], 3);
    stopped
        .source
        .run("DELETE FROM load WHERE id = 2; CREATE TABLE other (a smallint PRIMARY KEY)");
    let good = absence(&stopped.source, &stopped.id);
    let rows = Stopped::rows([2]);
    let check = |absence: &Absence, rows: &[VanishedRow], words: &[&str], code: i32, why: &str| {
        let path = file(&stopped.dir, absence, rows);
        let words = [&["--publish"], words].concat();
        let (found, said) = run(&stopped.launch, &path, &words);
        assert!(found == code && said.contains(why), "{found}, not {code}, and not {why}: {said}");
    };
    check(&good, &Stopped::rows(1..=3), &["--max-deletes", "2"], 1, "more than --max-deletes 2");
    let other = Absence { topic_prefix: "x".to_owned(), ..good.clone() };
    check(&other, &rows, &[], 2, "the file is about topics that begin with x");
    let other = Absence { system_identifier: 7, ..good.clone() };
    check(&other, &rows, &[], 2, "the file is about system identifier 7, timeline 1");
    let other = Absence { timeline: 9, ..good.clone() };
    check(&other, &rows, &[], 2, "timeline 9");
    let of = |table: &str, column: &str, value: &str| {
        let key = BTreeMap::from([(column.to_owned(), value.to_owned())]);
        vec![VanishedRow { table: table.to_owned(), key, ..rows[0].clone() }]
    };
    check(&good, &of("nowhere", "id", "2"), &[], 2, "does not capture public.nowhere");
    check(&good, &of("load", "version", "2"), &[], 2, "the key of public.load is (id)");
    check(&good, &of("other", "a", "70000"), &[], 1, "out of range");
    assert_eq!(deleted(&stopped.published()), [0u64; 0]);
    // A key of a text that the column's type would cut off.
    stopped.source.run("CREATE TABLE short (a varchar(3) PRIMARY KEY)");
    check(
        &good,
        &of("short", "a", "abcd"),
        &[],
        2,
        "the columns' types at the source do not hold as it is",
    );
    let path = file(&stopped.dir, &good, &rows);
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().lines().next().unwrap()).unwrap();
    let (code, said) = run(&stopped.launch, &path, &["--publish"]);
    assert!(code == 2 && said.contains("the file has 0 rows, and its first line says 1"), "{said}");
    let skipping = stopped.connector.clone().set("skipped.operations", "d");
    let path = file(&stopped.dir, &good, &rows);
    let launch = Launch::new(&skipping, &shared::stack().kafka_bootstrap);
    let (code, said) = run(&launch, &path, &["--publish"]);
    assert!(code == 2 && said.contains("skipped.operations"), "{said}");
    // While the connector runs.
    let reader = stopped.launch.start();
    reader.wait_for_line("streaming");
    let (code, said) = run(&stopped.launch, &path, &["--publish"]);
    assert!(code == 1 && said.contains("the connector runs: process"), "{said}");
    assert!(said.contains("stop it, run this command, and start it again"), "{said}");
    let (code, said) = run(&stopped.launch, &path, &[]);
    assert!(code == 1 && said.contains("to be published"), "{said}");
    reader.stop();
    assert_eq!(deleted(&stopped.published()), [0u64; 0]);
}

/// A real Debezium's connector file and topics; it takes no lock, and its slot is in use.
#[test]
fn deletes_go_to_the_topics_of_a_real_debezium_once_it_is_stopped() {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique("deb_vanished");
    let source = Source::with_load(&stack.postgres15, &id);
    let connector = Connector::new(&source, &id);
    debezium.create(&connector.json()).unwrap();
    source.wait_until_active(&id);
    source.run("INSERT INTO load VALUES (1, 1), (2, 1); DELETE FROM load WHERE id = 1; INSERT INTO load VALUES (1, 1)");
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "Debezium's events", || record_count(&stack.kafka_bootstrap, &topic) == 5);
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(&connector, &stack.kafka_bootstrap);
    source.run("SELECT pg_switch_wal()");
    let path = file(&dir, &absence(&source, &id), &Stopped::rows([1]));
    let (code, said) = run(&launch, &path, &["--publish"]);
    assert!(code == 1 && said.contains("the connector runs: process"), "{said}");
    debezium.delete(&id).unwrap();
    source.wait_until_free(&id);
    source.run("DELETE FROM load WHERE id = 1");
    let path = file(&dir, &absence(&source, &id), &Stopped::rows([1]));
    let (code, said) = run(&launch, &path, &["--publish"]);
    assert_eq!(code, 0, "{said}");
    let all = records(&stack.kafka_bootstrap, &topic);
    assert_eq!(all.len(), 7, "{all:#?}");
    for (expected, actual) in all[2..4].iter().zip(&all[5..7]) {
        assert_eq!(comparable(actual), comparable(expected));
    }
}
