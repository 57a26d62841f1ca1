//! Topics: when they are made, what happens while they cannot be made, and two tables with one topic.
//!
//! A topic that cannot be made yet holds nothing back but its own records.

use std::collections::{BTreeMap, BTreeSet};

use devstack::{Kafka, KafkaOptions, shared, wait_for};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::support::{Connector, Launch, PATIENCE, Record, Source, records, topics_of, unique};

/// What two tables write to the topic that they share: table, operation and key of each record.
fn told(records: &[Record]) -> Vec<String> {
    let of = |record: &Record| {
        let key = record.key.clone().unwrap_or_default();
        match &record.value {
            None => format!("tombstone {key}"),
            Some(_) => {
                let value = record.json();
                format!("{} {} {key} {}", value["source"]["table"], value["op"], value["after"])
            }
        }
    };
    records.iter().map(of).collect()
}

/// Kafka allows no blank in a topic's name, so Debezium writes an underscore, and both tables have one topic.
#[test]
fn two_tables_that_map_to_one_topic_share_it_as_in_debezium_and_are_named_once() {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique("collide");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE \"col lide\" (id integer PRIMARY KEY, a text);
         CREATE TABLE col_lide (id integer PRIMARY KEY, b integer);
         INSERT INTO \"col lide\" VALUES (1, 'x');
         INSERT INTO col_lide VALUES (1, 5);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let (theirs, ours) = (format!("d_{id}"), format!("o_{id}"));
    debezium.create(&Connector::new(&source, &theirs).json()).unwrap();
    source.wait_until_active(&theirs);
    let reader = Launch::new(&Connector::new(&source, &ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(
        "INSERT INTO col_lide VALUES (2, 6);
         INSERT INTO \"col lide\" VALUES (2, 'y');
         UPDATE \"col lide\" SET a = 'z' WHERE id = 1;
         DELETE FROM col_lide WHERE id = 1;",
    );
    let topics = || {
        let read = |prefix: &str| -> BTreeMap<String, Vec<String>> {
            let topics = topics_of(&stack.kafka_bootstrap, prefix);
            topics.into_iter().map(|(name, records)| (name, told(&records))).collect()
        };
        (read(&theirs), read(&ours))
    };
    let (expected, actual) = wait_for(PATIENCE, "both to have sent the delete", || {
        let (expected, actual) = topics();
        let count = |topics: &BTreeMap<String, Vec<String>>| topics.values().map(Vec::len).sum();
        let counts: [usize; 2] = [count(&expected), count(&actual)];
        if counts == [7, 7] { Ok(Some((expected, actual))) } else { Err(format!("{counts:?}")) }
    });
    assert_eq!(expected, actual);
    let topic = format!("{ours}.public.col_lide");
    let warned = reader.said("these tables share one topic, because their names differ only in characters that Kafka does not allow; \
                              consumers tell their events apart by source.schema and source.table");
    let lines: BTreeSet<String> = warned
        .iter()
        .map(|line| {
            format!("{} {}", line["topic"].as_str().unwrap(), line["tables"].as_str().unwrap())
        })
        .collect();
    assert_eq!(lines, BTreeSet::from([format!("{topic} public.col lide, public.col_lide")]));
    assert_eq!(warned.len(), 1, "{warned:?}");
    debezium.delete(&theirs).unwrap();
    reader.stop();
}

/// Makes a topic of one partition, with these settings.
fn create_topic(bootstrap: &str, name: &str, config: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let new = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

const TWO_TABLES: &str = "
    CREATE TABLE a (id integer PRIMARY KEY);
    CREATE TABLE b (id integer PRIMARY KEY);
    CREATE PUBLICATION captured FOR ALL TABLES;";

/// The keys in a topic, in their order; none when there is no such topic.
fn keys(bootstrap: &str, topic: &str) -> Vec<String> {
    records(bootstrap, topic).into_iter().map(|record| record.key.unwrap()).collect()
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("{{\"id\":{number}}}")).collect()
}

#[test]
fn a_topic_is_active_from_its_first_record_on() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("first");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(TWO_TABLES);
    let connector = Connector::new(&source, &id).set("skipped.operations", "t");
    let reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO a VALUES (1); TRUNCATE b; INSERT INTO a VALUES (2);");
    let topics = || topics_of(bootstrap, &id).into_keys().collect::<Vec<_>>();
    wait_for(PATIENCE, "the rows", || keys(bootstrap, &format!("{id}.public.a")).len() == 2);
    assert_eq!(topics(), ["public.a"], "a skipped truncate needs no topic");
    let active = || reader.get(&format!("/connectors/{id}/topics")).json().unwrap()[&id].clone();
    assert_eq!(active()["topics"], serde_json::json!([format!("{id}.public.a")]));
    source.run("INSERT INTO b VALUES (1)");
    wait_for(PATIENCE, "the row", || keys(bootstrap, &format!("{id}.public.b")).len() == 1);
    assert_eq!(topics(), ["public.a", "public.b"]);
    reader.stop();
}

/// The one broker cannot make a topic with three replicas. That may change at any time.
#[test]
fn a_topic_that_cannot_be_made_yet_holds_back_its_own_records_only_and_none_is_lost() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("waits");
    let source = Source::create(&shared::stack().postgres18, &id);
    source.run(TWO_TABLES);
    let (a, b) = (format!("{id}.public.a"), format!("{id}.public.b"));
    create_topic(bootstrap, &b, &[]);
    create_topic(bootstrap, &format!("{id}-offsets"), &[("cleanup.policy", "compact")]);
    let connector = Connector::new(&source, &id)
        .set("topic.creation.default.partitions", "1")
        .set("topic.creation.default.replication.factor", "3");
    let launch = Launch::new(&connector, bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(
        "DO $$ BEGIN FOR n IN 1..200 LOOP
             INSERT INTO a VALUES (n); INSERT INTO b VALUES (n); COMMIT;
         END LOOP; END $$;",
    );
    let line = reader.wait_for_line(
        "the topic cannot be made yet: its records wait, those of other topics go on; trying again",
    );
    assert_eq!(line["topic"], a, "{line}");
    wait_for(PATIENCE, "the other table's rows", || keys(bootstrap, &b).len() == 200);
    assert_eq!(keys(bootstrap, &b), numbered(1..=200));
    assert_eq!(reader.task_state(&id), "RUNNING");
    // What waits is not confirmed, so it comes again after a crash.
    reader.kill9();
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO a VALUES (201)");
    create_topic(bootstrap, &a, &[]);
    wait_for(PATIENCE, "the rows that waited", || {
        let found = keys(bootstrap, &a);
        if found.len() == 201 { Ok(Some(())) } else { Err(format!("{} rows", found.len())) }
    });
    assert_eq!(keys(bootstrap, &a), numbered(1..=201));
    reader.stop();
}

/// A topic is asked for beside the stream. A source that shuts down waits for the reader's answers meanwhile.
#[test]
fn the_stream_goes_on_while_kafka_cannot_be_asked_for_a_new_topic() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("away");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(TWO_TABLES);
    let reader = Launch::new(&Connector::new(&source, &id), &bootstrap).start();
    reader.wait_for_line("streaming");
    kafka.kill9();
    source.run("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO a VALUES (2);");
    let end = source.value("SELECT pg_current_wal_lsn() - '0/0'").parse::<f64>().unwrap();
    wait_for(PATIENCE, "the reader to have read all of it", || {
        reader.metric("cdc_reader_received_lsn_bytes") >= end
    });
    kafka.start_again().unwrap();
    for (table, rows) in [("a", 2), ("b", 1)] {
        let topic = format!("{id}.public.{table}");
        wait_for(PATIENCE, "the rows", || keys(&bootstrap, &topic).len() == rows);
        assert_eq!(keys(&bootstrap, &topic), numbered(1..=u32::try_from(rows).unwrap()));
    }
    reader.stop();
}

#[test]
fn an_offset_topic_that_deletes_records_is_refused_by_name() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique("deletes");
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(TWO_TABLES);
    for policy in ["delete", "compact,delete"] {
        let topic = format!("{id}-{}", policy.replace(',', "-"));
        create_topic(bootstrap, &topic, &[("cleanup.policy", policy)]);
        let launch = Launch::new(&Connector::new(&source, &id), bootstrap).offset_topic(&topic);
        let (code, log) = launch.start().wait_for_end(PATIENCE);
        assert_eq!(code, 2, "{log}");
        let words =
            format!("the offset topic {topic} has cleanup.policy={policy}, so Kafka deletes");
        assert!(log.contains(&words) && log.contains("OFFSET_STORAGE_TOPIC"), "{log}");
    }
    assert_eq!(
        source
            .value(&format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{id}'")),
        "0"
    );
}
