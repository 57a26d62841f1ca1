//! With a broker that stands still, the reader's memory stays bounded, whatever the rows are like, and it is given back
//! afterwards.

use std::process::Command;

use devstack::{Kafka, KafkaOptions, binary, shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Reader, Source, record_count, unique};

/// What the process may have resident, in MiB, with everything that waits for the broker.
const PEAK_MEBIBYTES_MAX: u64 = 128;

/// What it may keep when nothing waits any longer, in MiB.
const REST_MEBIBYTES_MAX: u64 = 72;

/// What the broker does not take for a while.
struct Load<'l> {
    sql: &'l str,
    topic: &'l str,
    records: u64,
}

/// Runs the load with the broker frozen, until the reader takes no more, and then lets everything arrive.
fn check(reader: Reader, source: &Source, kafka: &Kafka, load: &Load<'_>) {
    let (topic, records) = (load.topic, load.records);
    let before = reader.resident_mebibytes();
    let stands_still = kafka.freeze().unwrap();
    source.run(load.sql);
    // Full to nine tenths; what remains is less than a large row.
    let full = reader.metric("debezium_metrics_MaxQueueSizeInBytes") / 2.0 * 0.8;
    wait_for(PATIENCE * 2, "the queue to be full", || {
        let waiting = reader.metric("cdc_reader_publish_queue_bytes");
        if waiting >= full { Ok(Some(())) } else { Err(format!("{waiting} of {full}")) }
    });
    let frozen = reader.resident_mebibytes();
    drop(stands_still);
    let bootstrap = kafka.bootstrap();
    wait_for(PATIENCE * 4, "everything to arrive", || match record_count(&bootstrap, topic) {
        count if count == records => Ok(Some(())),
        count => Err(format!("{count} of {records}; the reader said {}", reader.tail())),
    });
    eprintln!("resident MiB: {before} before");
    check_memory(&reader, frozen);
    reader.stop();
}

/// What was resident at most, and that it falls again; `frozen` is what it was with the queue full.
#[track_caller]
fn check_memory(reader: &Reader, frozen: u64) {
    let peak = reader.peak_mebibytes();
    eprintln!("resident MiB: {frozen} with the queue full, {peak} at most");
    assert!(peak < PEAK_MEBIBYTES_MAX, "{peak} MiB");
    wait_for(PATIENCE, "the memory to be given back", || {
        let rest = reader.resident_mebibytes();
        if rest <= REST_MEBIBYTES_MAX { Ok(Some(())) } else { Err(format!("{rest} MiB")) }
    });
    eprintln!("resident MiB: {} afterwards", reader.resident_mebibytes());
}

/// With its defaults jemalloc keeps freed memory for ten seconds, and a fast stream then has up to 100 MiB of it. The
/// build sets other values, and jemalloc prints them.
#[test]
fn freed_memory_does_not_stay_with_the_process() {
    let told = Command::new(binary("cdc-reader").unwrap())
        .arg("--version")
        .env("MALLOC_CONF", "stats_print:true")
        .env("_RJEM_MALLOC_CONF", "stats_print:true")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stderr);
    for setting in ["opt.dirty_decay_ms: 200 ", "opt.muzzy_decay_ms: 0 ", "opt.narenas: 2\n"] {
        assert!(told.contains(setting), "no {setting:?} in {told}");
    }
}

/// A connector whose events may have so many bytes.
fn with_large_events(source: &Source, id: &str, bytes: u64) -> Connector {
    let bytes = bytes.to_string();
    Connector::new(source, id)
        .set("producer.override.max.request.size", &bytes)
        .set("topic.creation.default.partitions", "1")
        .set("topic.creation.default.replication.factor", "1")
        .set("topic.creation.default.max.message.bytes", &bytes)
}

#[test]
fn deletes_of_small_rows_stay_in_bounds() {
    const ROWS: u64 = 700_000;
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let id = unique("deletes");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(&format!(
        "CREATE TABLE small (id integer PRIMARY KEY);
         INSERT INTO small SELECT generate_series(1, {ROWS});
         CREATE PUBLICATION captured FOR ALL TABLES;"
    ));
    let connector = Connector::new(&source, &id).set("snapshot.mode", "no_data");
    let reader = Launch::new(&connector, &kafka.bootstrap()).start();
    reader.wait_for_line("streaming");
    let topic = format!("{id}.public.small");
    // Each delete has its tombstone.
    let load = Load { sql: "DELETE FROM small", topic: &topic, records: 2 * ROWS };
    check(reader, &source, &kafka, &load);
}

#[test]
fn large_rows_stay_in_bounds() {
    const ROWS: u64 = 20;
    const ROW_BYTES: u64 = 10_000_000;
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let id = unique("large");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(
        "CREATE TABLE large (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let connector = with_large_events(&source, &id, 11_000_000);
    let reader = Launch::new(&connector, &kafka.bootstrap()).start();
    reader.wait_for_line("streaming");
    // The topic is made with its first record, before the broker stands still.
    source.run("INSERT INTO large VALUES (0, 'small')");
    let topic = format!("{id}.public.large");
    wait_for(PATIENCE, "the first row", || record_count(&kafka.bootstrap(), &topic) == 1);
    let sql = format!(
        "INSERT INTO large SELECT n, repeat('x', {ROW_BYTES}) FROM generate_series(1, {ROWS}) AS n"
    );
    check(reader, &source, &kafka, &Load { sql: &sql, topic: &topic, records: ROWS + 1 });
}

/// Rows of which a few fill the queue. In the text of some of them every other character is escaped, once on its way
/// from the server and once in the event.
#[test]
fn large_rows_of_a_snapshot_stay_in_bounds() {
    const ROWS: u64 = 24;
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("bulky");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(&format!(
        "CREATE TABLE large (id integer PRIMARY KEY, filler text NOT NULL);
         INSERT INTO large SELECT n, CASE WHEN n % 2 = 0 THEN repeat('x', 10000000) ELSE repeat(E'\n\"', 2500000) END
         FROM generate_series(1, {ROWS}) AS n;
         CREATE PUBLICATION captured FOR ALL TABLES;",
    ));
    let reader = Launch::new(&with_large_events(&source, &id, 11_000_000), &bootstrap).start();
    let topic = format!("{id}.public.large");
    wait_for(PATIENCE, "the first row", || record_count(&bootstrap, &topic) > 0);
    let stands_still = kafka.freeze().unwrap();
    wait_for(PATIENCE * 2, "the queue to be full", || {
        let seconds = reader.metric("cdc_reader_publish_stalled_seconds");
        if seconds >= 5.0 { Ok(Some(())) } else { Err(format!("{seconds} s")) }
    });
    assert!(reader.said("snapshot complete").is_empty(), "rows wait");
    let frozen = reader.resident_mebibytes();
    drop(stands_still);
    wait_for(PATIENCE * 4, "the snapshot to end", || {
        if reader.said("snapshot complete").is_empty() { Err(reader.tail()) } else { Ok(Some(())) }
    });
    assert_eq!(record_count(&bootstrap, &topic), ROWS);
    check_memory(&reader, frozen);
    reader.stop();
}

/// One row at a time is more than half of what may wait.
#[test]
fn rows_of_a_snapshot_that_are_as_large_as_the_queue_pass_one_by_one() {
    const ROWS: u64 = 4;
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("giant");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(&format!(
        "CREATE TABLE large (id integer PRIMARY KEY, filler text NOT NULL);
         INSERT INTO large SELECT n, repeat('x', 40000000) FROM generate_series(1, {ROWS}) AS n;
         CREATE PUBLICATION captured FOR ALL TABLES;",
    ));
    let reader = Launch::new(&with_large_events(&source, &id, 41_000_000), &bootstrap).start();
    let topic = format!("{id}.public.large");
    wait_for(PATIENCE * 4, "the snapshot to end", || {
        if reader.said("snapshot complete").is_empty() { Err(reader.tail()) } else { Ok(Some(())) }
    });
    assert_eq!(record_count(&bootstrap, &topic), ROWS);
    check_memory(&reader, 0);
    reader.stop();
}

/// Several times what the reader holds of one row whose event it cannot send.
const HUGE_ROW_BYTES: u64 = 200_000_000;

#[test]
fn a_row_that_is_too_large_for_any_event_is_refused_unread_and_one_of_another_table_is_passed_over()
{
    let id = unique("huge");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(
        "CREATE TABLE other (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE TABLE large (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let connector = Connector::new(&source, &id).set("table.exclude.list", "public.other");
    let reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    let insert = |table: &str, bytes: u64| {
        source.run(&format!("INSERT INTO {table} VALUES (1, repeat('x', {bytes}))"));
    };
    insert("other", HUGE_ROW_BYTES);
    insert("large", 10);
    let topic = format!("{id}.public.large");
    wait_for(PATIENCE, "the row after the huge one", || match record_count(bootstrap, &topic) {
        1 => Ok(Some(())),
        count => Err(format!("{count} of 1; the reader said {}", reader.tail())),
    });
    let peak = reader.peak_mebibytes();
    assert!(peak < 64, "{peak} MiB");

    source.run("DELETE FROM large");
    insert("large", HUGE_ROW_BYTES);
    let refused = |mut reader: Reader| {
        let (code, log) = reader.wait_for_end(PATIENCE);
        assert_eq!(code, 1, "{log}");
        let refused = format!("topic {topic} refuses an event");
        let words = [&refused, "producer.override.max.request.size", "table.exclude.list"];
        assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "{log}");
    };
    refused(reader);

    // A snapshot refuses the row as well.
    let name = format!("s_{id}");
    let connector = Connector::new(&source, &name)
        .set("topic.prefix", &id)
        .set("table.exclude.list", "public.other");
    let reader = Launch::new(&connector, bootstrap).start();
    wait_for(PATIENCE, "the reader to come to the row", || {
        !reader.said("a row is larger than any event that Kafka takes").is_empty()
    });
    refused(reader);
}
