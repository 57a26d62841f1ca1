//! Events pass up to the size that Kafka's own producer takes by default, and a larger one stops the reader by name.

use devstack::{shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Record, Source, record_count, records, unique};

/// `max.request.size` of Kafka's own producer, when nobody sets it.
const JAVA_DEFAULT: usize = 1_048_576;

/// What Kafka's own producer counts around key, value and headers: the batch's head, and the most that a record's own
/// fields can take (`DefaultRecordBatch.estimateBatchSizeUpperBound`).
const JAVA_OVERHEAD: usize = 61 + 21;

/// The lengths of the fields before key, value, and a header's name and value.
const LENGTHS: usize = 1 + 3;

/// The size by which Kafka's own producer judges the record.
fn java_size(record: &Record) -> usize {
    let text = |part: &Option<String>| part.as_ref().map_or(0, String::len);
    let headers: usize =
        record.headers.iter().map(|(name, value)| 2 + name.len() + text(value)).sum();
    JAVA_OVERHEAD + LENGTHS + text(&record.key) + text(&record.value) + headers
}

#[test]
fn events_up_to_the_default_limit_of_kafka_s_own_producer_pass() {
    let id = unique("sizes");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::create(&shared::stack().postgres15, &id);
    source.run(
        "CREATE TABLE big (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let topic = format!("{id}.public.big");
    let mut reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    reader.wait_for_line("streaming");
    let insert = |number: usize, filler: usize| {
        source.run(&format!("INSERT INTO big VALUES ({number}, repeat('x', {filler}))"));
    };
    let arrived = |count: u64| {
        wait_for(PATIENCE, "the row to arrive", || match record_count(bootstrap, &topic) {
            found if found == count => Ok(Some(())),
            found => Err(format!("{found} of {count}; the reader said {}", reader.tail())),
        });
    };

    // What stands around the filler is known from a first event.
    insert(1, 1_000_000);
    arrived(1);
    let around = java_size(&records(bootstrap, &topic)[0]) - 1_000_000;
    // From the second transaction on, an event names the one before it, in a few bytes more.
    insert(2, JAVA_DEFAULT - around - 32);
    arrived(2);
    let largest = java_size(&records(bootstrap, &topic)[1]);
    assert!((JAVA_DEFAULT - 64..=JAVA_DEFAULT).contains(&largest), "{largest}");

    insert(3, JAVA_DEFAULT);
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, 1, "{log}");
    let refused = format!("topic {topic} refuses an event");
    let words = [&refused, "producer.override.max.request.size", "max.message.bytes"];
    assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "{log}");
    assert_eq!(record_count(bootstrap, &topic), 2);

    // With both limits raised, the next start goes on at the same event.
    let limits = [("producer.override.max.request.size", "4000000")];
    let connector = limits
        .iter()
        .fold(Connector::new(&source, &id), |connector, (name, value)| connector.set(name, value));
    crate::support::set_topic(bootstrap, &topic, "max.message.bytes", "4000000");
    let reader = Launch::new(&connector, bootstrap).start();
    // What had no stored offset when the reader ended comes once more.
    let is_large = |found: &Record| found.json()["after"]["id"] == 3;
    wait_for(PATIENCE, "the large row to arrive", || {
        let found = records(bootstrap, &topic);
        match found.iter().filter(|record| is_large(record)).count() {
            1 => Ok(Some(())),
            0 => Err(format!("{} other records; the reader said {}", found.len(), reader.tail())),
            more => panic!("the large row came {more} times"),
        }
    });
    reader.stop();
}
