//! With Kafka gone and a large load at the source, the reader's memory stays bounded and its connection alive; then
//! everything arrives.

use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

/// What the process may have resident: code and buffers, and not the load, which is several times as much.
const PEAK_MEBIBYTES_MAX: u64 = 80;

/// Rows of about 2 KiB each.
const ROWS: u64 = 60_000;

#[test]
fn a_load_that_kafka_does_not_take_stays_at_the_source() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let options = PostgresOptions::new(15).fsync(false).setting("wal_sender_timeout", "6s");
    let server = Postgres::start(options).unwrap();
    let id = unique("pressure");
    let source = Source::create(server.address(), &id);
    source.run(
        "CREATE TABLE big (id integer PRIMARY KEY, filler text NOT NULL);
         ALTER TABLE big ALTER filler SET STORAGE PLAIN;
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let connector = Connector::new(&source, &id).set("producer.override.buffer.memory", "1048576");
    let bootstrap = kafka.bootstrap();
    let reader = Launch::new(&connector, &bootstrap).start();
    reader.wait_for_line("streaming");
    let shown = reader.metric("debezium_metrics_MaxQueueSizeInBytes");
    // Once for the stream, once for the snapshot.
    assert!((shown - 2.0 * 1_048_576.0).abs() < 1.0, "the override is shown: {shown}");
    let sender = || source.value("SELECT pid FROM pg_stat_replication");
    let before = sender();
    assert!(!before.is_empty());

    kafka.kill9();
    source.run(&format!(
        "INSERT INTO big SELECT n, repeat(md5(n::text), 60) FROM generate_series(1, {ROWS}) AS n"
    ));
    let written = source.value("SELECT clock_timestamp()");
    // The server would have ended a silent client twice by then.
    wait_for(PATIENCE, "replies long after Kafka went", || {
        let query = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE reply_time > '{written}'::timestamptz + interval '13 s'"
        );
        source.value(&query) == "1"
    });
    assert_eq!(sender(), before, "the connection is the same");
    assert!(reader.metric("cdc_reader_publish_queue_messages") > 0.0);

    kafka.start_again().unwrap();
    let topic = format!("{id}.public.big");
    wait_for(PATIENCE, "the whole load to arrive", || match record_count(&bootstrap, &topic) {
        ROWS => Ok(true),
        count => Err(format!("{count} of {ROWS}; the reader said {}", reader.tail())),
    });
    assert_eq!(sender(), before, "the connection is the same");
    let peak = reader.peak_mebibytes();
    assert!(peak <= PEAK_MEBIBYTES_MAX, "{peak} MiB");
    reader.stop();
    drop(source);
}
