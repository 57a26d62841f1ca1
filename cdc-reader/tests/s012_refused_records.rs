//! What Kafka can never take ends the reader at once, by name and without repeating anything; what only has to wait
//! does not end it.

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Source, record_count, records, unique};

/// Expects that a reader has ended with this code and, in one line of what it said, these words.
#[track_caller]
fn check_end((code, log): (i32, String), expected: i32, words: &[&str]) {
    assert_eq!(code, expected, "{log}");
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(lines, 1, "one line with {words:?} in:\n{log}");
    assert!(!log.contains("panicked"), "{log}");
}

/// With topics to be made on the one broker.
fn with_topics(connector: Connector, property: &str, value: &str) -> Connector {
    connector
        .set("topic.creation.default.partitions", "1")
        .set("topic.creation.default.replication.factor", "1")
        .set(&format!("topic.creation.default.{property}"), value)
}

#[test]
fn a_truncate_stops_the_reader_at_a_compacted_topic_and_nothing_is_published_again_and_again() {
    let id = unique("compact");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::with_load(&shared::stack().postgres15, &id);
    source.run("CREATE TABLE other (id integer PRIMARY KEY)");
    let (load, other) = (format!("{id}.public.load"), format!("{id}.public.other"));
    let connector = with_topics(Connector::new(&source, &id), "cleanup.policy", "compact")
        // Bad records and their neighbours on either side go in one batch.
        .set("producer.override.linger.ms", "200");
    let launch = Launch::new(&connector, bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");

    source.run("INSERT INTO other SELECT generate_series(1, 100)");
    let written = source.value("SELECT pg_current_wal_lsn()");
    wait_for(PATIENCE, "the slot to be confirmed", || {
        source.value(&format!(
            "SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = '{id}'"
        )) == "t"
    });
    let refused = format!("topic {load} refuses an event");
    let words = [refused.as_str(), "compacted topic", "cleanup.policy"];
    source.run(
        "BEGIN; INSERT INTO load VALUES (1, 1); TRUNCATE load; INSERT INTO load VALUES (2, 1); COMMIT;",
    );
    check_end(reader.wait_for_end(PATIENCE), 1, &words);
    // With two bad records in a batch its good ones come back with an error of their own, the first of them before any
    // other.
    source.run("TRUNCATE load; INSERT INTO load VALUES (3, 1);");
    check_end(launch.start().wait_for_end(PATIENCE), 1, &words);
    assert_eq!(record_count(bootstrap, &other), 100, "published once");

    let reader = Launch::new(&connector.set("skipped.operations", "t"), bootstrap).start();
    wait_for(PATIENCE, "the stream to go on", || {
        records(bootstrap, &load).iter().any(|r| r.key.as_deref() == Some("{\"id\":3}"))
    });
    assert_eq!(record_count(bootstrap, &other), 100, "published once");
    reader.stop();
}

#[test]
fn a_topic_that_can_never_be_created_stops_the_reader_by_name() {
    let id = unique("create");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let topic = |table: &str| format!("topic {id}.public.{table}");
    let plain = Connector::new(&source, &id);
    let start =
        |connector: &Connector| Launch::new(connector, bootstrap).startup_timeout(3).start();
    let end = |connector: &Connector| start(connector).wait_for_end(PATIENCE);

    source.run("INSERT INTO load VALUES (1, 1)");
    let policy = with_topics(plain.clone(), "cleanup.policy", "sometimes");
    check_end(end(&policy), 2, &[&topic("load"), "topic.creation.default"]);
    let partitions = with_topics(plain.clone(), "partitions", "1000000");
    check_end(end(&partitions), 2, &["topics cannot be created", "topic.creation.default"]);
    // Brokers that are missing may yet come up.
    let replicas = with_topics(plain.clone(), "replication.factor", "3");
    let waiting = start(&replicas);
    let line = waiting.wait_for_line(
        "the topic cannot be made yet: its records wait, those of other topics go on; trying again",
    );
    assert_eq!(line["topic"], format!("{id}.public.load"), "{line}");
    waiting.stop();

    let mut reader = start(&plain);
    reader.wait_for_line("streaming");
    source.run("CREATE TABLE a_b (id integer PRIMARY KEY); INSERT INTO a_b VALUES (1);");
    wait_for(PATIENCE, "a topic to be made while streaming", || {
        record_count(bootstrap, &format!("{id}.public.a_b")) == 1
    });
    source.run("CREATE TABLE \"a.b\" (id integer PRIMARY KEY); INSERT INTO \"a.b\" VALUES (1);");
    check_end(reader.wait_for_end(PATIENCE), 2, &[&topic("a.b"), "a dot for an underscore"]);
}

#[test]
fn a_full_queue_is_waited_out_and_only_an_event_that_is_larger_than_it_is_refused() {
    /// Of about 2 KiB each. The queue holds one, so it is full and empty again for each of them.
    const ROWS: u64 = 4_000;
    let id = unique("queue");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(
        "CREATE TABLE big (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let connector = Connector::new(&source, &id)
        .set("producer.override.buffer.memory", "4096")
        .set("producer.override.linger.ms", "0");
    let mut reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&format!(
        "INSERT INTO big SELECT n, repeat('0123456789abcdef', 120) FROM generate_series(1, {ROWS}) AS n"
    ));
    let topic = format!("{id}.public.big");
    wait_for(PATIENCE, "every row to arrive", || {
        if record_count(bootstrap, &topic) == ROWS {
            return Ok(Some(()));
        }
        Err(reader.tail())
    });

    source.run(
        "INSERT INTO big SELECT 0, string_agg(md5(n::text), '') FROM generate_series(1, 200) AS n",
    );
    let refused = format!("topic {topic} refuses an event");
    check_end(reader.wait_for_end(PATIENCE), 1, &[&refused, "buffer.memory"]);
    assert_eq!(record_count(bootstrap, &topic), ROWS);
}
