//! Heartbeats are Debezium's, byte for byte, and their headers never claim what Kafka has not acknowledged.

use std::time::{Duration, Instant};

use ::shared::debezium::heartbeat::Reached;
use ::shared::position::Lsn;
use devstack::topics::Topics;
use devstack::{Kafka, KafkaOptions, shared, wait_for};

use crate::s026_broker_answers::TwoBrokers;
use crate::support::heartbeats::{Watch, claims, heartbeat, publish_heartbeat, topic_of};
use crate::support::load::{rows, transactions};
use crate::support::{
    Connector, Launch, PATIENCE, Record, Source, make_topic, record_count, records, set_topic,
    unique,
};

/// The property, often enough for a test.
const EVERY: (&str, &str) = ("heartbeat.interval.ms", "200");

/// What the reader says when its clock is behind a publish time that was claimed.
const CLOCK_IS_BEHIND: &str = "this machine's clock is behind the last heartbeat: events are published with the heartbeat's time until the clock has passed it";

/// What the reader says when Kafka does not take a heartbeat.
const NOT_SENT: &str = "a heartbeat could not be sent: the loader's watermark stands still meanwhile; records are not affected";

fn beating(connector: Connector) -> Connector {
    connector.set(EVERY.0, EVERY.1)
}

/// The last claim of a topic of heartbeats.
#[track_caller]
fn last_claim(bootstrap: &str, topic: &str) -> Option<Reached> {
    claims(bootstrap, topic).pop()
}

/// A position of the source's log.
fn lsn(source: &Source, query: &str) -> Lsn {
    source.value(query).parse().unwrap()
}

/// The end of the WAL that was written.
fn wal_end(source: &Source) -> Lsn {
    lsn(source, "SELECT pg_current_wal_insert_lsn()")
}

/// Waits until a heartbeat claims this position.
#[track_caller]
fn wait_until_claimed(bootstrap: &str, topic: &str, position: Lsn) -> Reached {
    wait_for(PATIENCE, &format!("a heartbeat to claim {position}"), || {
        let claim = last_claim(bootstrap, topic);
        match claim {
            Some(claim) if claim.position >= position => Ok(Some(claim)),
            other => Err(format!("{other:?}")),
        }
    })
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// A record's bytes without the connector's name and the time.
#[track_caller]
fn normal(record: &Record, prefix: &str) -> (String, String) {
    let text = |part: &Option<String>| part.clone().unwrap().replace(prefix, "P");
    let digits = |text: String| {
        text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect::<String>()
    };
    (text(&record.key), digits(text(&record.value)))
}

/// A way to name the topic of heartbeats.
struct Variant {
    /// The first letters of the two connectors, Debezium's first.
    letters: [&'static str; 2],
    change: fn(Connector, &str) -> Connector,
    /// The topic of the connector with this prefix.
    topic: fn(&str) -> String,
}

#[test]
fn key_value_and_topic_are_debeziums_byte_for_byte() {
    let stack = shared::stack();
    let (debezium, bootstrap) = (stack.connect(), &stack.kafka_bootstrap);
    let id = unique("beats");
    let source = Source::with_load(&stack.postgres15, &id);
    let variants = [
        // Debezium knows the older property, and names no topic by it.
        Variant {
            letters: ["a", "b"],
            change: |connector, _| connector.set("heartbeat.topics.prefix", "__older"),
            topic: topic_of,
        },
        Variant {
            letters: ["c", "d"],
            change: |connector, _| connector.set("topic.heartbeat.prefix", "__beats"),
            topic: |prefix| format!("__beats.{prefix}"),
        },
        Variant {
            letters: ["e", "f"],
            change: |connector, prefix| {
                connector.set("topic.heartbeat.name", &format!("{prefix}-own"))
            },
            topic: |prefix| format!("{prefix}-own"),
        },
    ];
    let mut readers = Vec::new();
    for Variant { letters, change, topic } in variants {
        let [theirs, ours] = letters.map(|letter| format!("{letter}_{id}"));
        let connector = |name: &str| change(beating(Connector::new(&source, name)), name);
        debezium.create(&connector(&theirs).json()).unwrap();
        source.wait_until_active(&theirs);
        let reader = Launch::new(&connector(&ours), bootstrap).start();
        reader.wait_for_line("streaming");
        readers.push((reader, theirs, ours, topic));
    }
    source.run(&transactions(1, 20));
    for (reader, theirs, ours, topic) in readers {
        let found = wait_for(PATIENCE, "heartbeats of both", || {
            let found = [&theirs, &ours].map(|name| records(bootstrap, &topic(name)));
            if found.iter().all(|found| found.len() >= 3) {
                return Ok(Some(found));
            }
            let counts = found.map(|found| found.len());
            Err(format!("{counts:?} in {}; {}", topic(&ours), reader.tail()))
        });
        let [expected, actual] = found;
        for record in &expected {
            assert_eq!(record.headers, []);
            assert_eq!(normal(record, &theirs), normal(&expected[0], &theirs));
        }
        for record in &actual {
            assert_eq!(normal(record, &ours), normal(&expected[0], &theirs));
            assert!(heartbeat(record).reached.is_some(), "{record:?}");
        }
        let ends = Topics::at(bootstrap).unwrap().ends(&topic(&ours)).unwrap();
        assert_eq!(ends[&0], ends.values().sum::<i64>(), "all are in partition 0: {ends:?}");
        let shown = reader.get(&format!("/connectors/{ours}/topics")).body;
        assert!(shown.contains(&topic(&ours)), "{shown}");
        reader.stop();
        debezium.delete(&theirs).unwrap();
    }
}

#[test]
fn without_the_property_there_is_no_heartbeat() {
    let stack = shared::stack();
    let id = unique("silent");
    let source = Source::with_load(&stack.postgres15, &id);
    let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&rows(1, 10));
    source.wait_until_published(&stack.kafka_bootstrap, &id);
    reader.stop();
    assert_eq!(records(&stack.kafka_bootstrap, &topic_of(&id)), []);
}

#[test]
fn position_and_publish_time_of_an_idle_source_move_on_one_heartbeat_an_interval() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("idlebeat{}", server.version));
        let source = Source::with_load(server, &id);
        let other = Source::create(server, &format!("{id}_other"));
        source.run(&rows(1, 10));
        let launch = Launch::new(&beating(Connector::new(&source, &id)), bootstrap);
        let (reader, topic) = (launch.start(), topic_of(&id));
        reader.wait_for_line("streaming");
        let started = Instant::now();
        other.run("CREATE TABLE busy AS SELECT generate_series(1, 10000)");
        wait_until_claimed(bootstrap, &topic, wal_end(&source));
        // Nobody writes anything now, and the publish time follows the clock.
        let asked = now_us();
        wait_for(PATIENCE, "the publish time to follow the clock", || {
            let published = last_claim(bootstrap, &topic).and_then(|claim| claim.published_us);
            if published >= Some(asked) { Ok(Some(())) } else { Err(format!("{published:?}")) }
        });
        let found = claims(bootstrap, &topic);
        let most = started.elapsed().as_millis() / 200 + 10;
        assert!(u128::try_from(found.len()).unwrap() <= most, "{} of {most}", found.len());
        let grows = |one: &Reached, next: &Reached| {
            one.position <= next.position && one.published_us <= next.published_us
        };
        assert!(found.windows(2).all(|pair| grows(&pair[0], &pair[1])), "{found:?}");
        assert!(found.iter().all(|claim| claim.published_us <= Some(now_us())));

        // A transaction of the captured table gives its commit time.
        source.run("SET TIME ZONE 'UTC'; INSERT INTO load VALUES (100, 1)");
        let claim = wait_until_claimed(bootstrap, &topic, wal_end(&source));
        let age = now_us() - claim.committed_us.unwrap();
        assert!((0..60_000_000).contains(&age), "{age}");
        reader.stop();
    }
}

/// The other partition's records and the heartbeats are acknowledged all the while.
#[test]
fn a_heartbeat_claims_nothing_behind_a_record_that_is_not_acknowledged() {
    let mut brokers = TwoBrokers::start();
    let bootstrap = brokers.first.bootstrap();
    let topic = format!("{}-beats", unique("held"));
    wait_for(PATIENCE, "the topic of heartbeats", || make_topic(&bootstrap, &topic, &[&[1]]));
    let (source, reader, id) = brokers.read_by("held", &[&[1], &[2]], |connector| {
        beating(connector).set("topic.heartbeat.name", &topic)
    });
    let before = wal_end(&source);
    wait_until_claimed(&bootstrap, &topic, before);
    brokers.second.kill9();
    source.run(&rows(101, 40));
    let after = wal_end(&source);
    let beats = record_count(&bootstrap, &topic);
    wait_for(PATIENCE, "further heartbeats", || {
        // Later transactions, whose records the first broker may well acknowledge.
        source.run("UPDATE load SET version = version + 1 WHERE id = 1");
        record_count(&bootstrap, &topic) >= beats + 15
    });
    let claimed = claims(&bootstrap, &topic);
    assert!(claimed.iter().all(|claim| claim.position < after), "{after}: {claimed:?}");
    let last = claimed.last().unwrap();
    assert!(last.position >= before && last.published_us.is_some(), "{last:?} {before}");

    brokers.second.start_again().unwrap();
    let found = source.wait_until_published(&bootstrap, &id);
    // The rows went to both partitions, one of which had no leader.
    let stamps = found.iter().filter(|record| record.value.is_some()).map(Record::json);
    let stamps =
        stamps.filter(|value| (101..=140).contains(&value["after"]["id"].as_u64().unwrap()));
    let held_us = stamps.filter_map(|value| value["ts_us"].as_i64()).max().unwrap();
    assert!(
        claimed.iter().all(|claim| claim.published_us < Some(held_us)),
        "{held_us}: {claimed:?}"
    );
    assert!(wait_until_claimed(&bootstrap, &topic, wal_end(&source)).position >= after);
    wait_for(PATIENCE, "the publish time to go on", || {
        last_claim(&bootstrap, &topic).and_then(|claim| claim.published_us) > Some(held_us)
    });
    reader.stop();
}

/// The commit of each transaction of the load, as the source tells it: the rows so far, and a position behind the
/// commit.
fn load_beside(source: &Source, count: u64) -> std::thread::JoinHandle<Vec<(u64, Lsn)>> {
    let mut psql = source.psql().unwrap().start().unwrap();
    std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut said = BufReader::new(psql.stdout.take().unwrap()).lines();
        let mut commits = Vec::new();
        let mut sent = 0;
        for round in 0..count {
            // Most transactions are small, and some are much larger than what the producer takes at once.
            let size = if round % 20 == 19 { 20_000 } else { 1 + round % 7 };
            sent += size;
            let insert = rows(sent - size + 1, size);
            let input = psql.stdin.as_mut().unwrap();
            writeln!(input, "{insert} SELECT 'at ' || pg_current_wal_insert_lsn();").unwrap();
            let line = said.by_ref().map_while(Result::ok).find(|line| line.starts_with("at "));
            let at = line.unwrap().trim_start_matches("at ").parse().unwrap();
            commits.push((sent, at));
        }
        drop(psql.stdin.take());
        psql.wait().unwrap();
        commits
    })
}

/// At each moment at which a heartbeat is there, every row is in Kafka that committed at or before its position: while
/// transactions of all sizes come, while the reader is killed and starts again, and while Kafka is frozen.
#[test]
fn what_a_heartbeat_claims_is_in_kafka_at_that_moment() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("claims");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let connector = beating(Connector::new(&source, &id))
        .set("topic.creation.default.partitions", "3")
        .set("topic.creation.default.replication.factor", "1");
    let launch = Launch::new(&connector, &bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    let (topic, data) = (topic_of(&id), format!("{id}.public.load"));
    wait_for(PATIENCE, "the first heartbeat", || record_count(&bootstrap, &topic) > 0);
    let watch = Watch::of(&bootstrap, &topic);
    let load = load_beside(&source, 120);
    // The number of rows in Kafka right after each heartbeat was there.
    let mut seen: Vec<(Reached, u64)> = Vec::new();
    let mut disturbed = 0;
    let until = Instant::now() + PATIENCE * 4;
    loop {
        assert!(Instant::now() < until, "{seen:?}; {}", reader.tail());
        let Some(claim) = watch.next() else {
            if load.is_finished() && disturbed == 3 {
                let reached = seen.last().map(|(claim, _)| claim.position);
                if reached >= Some(wal_end(&source)) {
                    break;
                }
            }
            continue;
        };
        seen.push((claim, record_count(&bootstrap, &data)));
        if load.is_finished() && disturbed == 3 && claim.position >= wal_end(&source) {
            break;
        }
        match (seen.len(), disturbed) {
            (10.., 0) | (30.., 2) => {
                reader.kill9();
                reader = launch.start();
                disturbed += 1;
            }
            (20.., 1) => {
                let frozen = kafka.freeze().unwrap();
                let lines = reader.metric("cdc_reader_ledger_transactions");
                wait_for(PATIENCE, "transactions to wait", || {
                    load.is_finished() || reader.metric("cdc_reader_ledger_transactions") > lines
                });
                drop(frozen);
                disturbed += 1;
            }
            _ => {}
        }
    }
    let commits = load.join().unwrap();
    let rows_at = |position: Lsn| {
        commits.iter().take_while(|(_, at)| *at <= position).last().map_or(0, |(rows, _)| *rows)
    };
    let mut positions = 0;
    for (claim, found) in &seen {
        let expected = rows_at(claim.position);
        assert!(*found >= expected, "{claim:?}: {found} rows in Kafka of {expected}");
        positions += usize::from(expected > 0);
    }
    assert!(positions > 20, "{positions} claims about rows");
    // A reader that starts again begins at the stored offset, and knows no publish time at first.
    let published: Vec<i64> = seen.iter().filter_map(|(claim, _)| claim.published_us).collect();
    assert!(published.is_sorted(), "{published:?}");
    println!(
        "{} heartbeats, {positions} of them about rows, {} commits",
        seen.len(),
        commits.len()
    );
    reader.stop();
}

#[test]
fn a_publish_time_that_was_claimed_is_never_said_again_whatever_the_clock_says() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    let id = unique("clock");
    let source = Source::with_load(&stack.postgres15, &id);
    let topic = topic_of(&id);
    // An earlier reader whose clock was ahead by half an hour has called everything complete.
    let ahead_us = now_us() + 1_800_000_000;
    wait_for(PATIENCE, "the topic", || make_topic(bootstrap, &topic, &[&[1]]));
    for (server, published_us) in [(&id[..], ahead_us), ("another", ahead_us * 2)] {
        let reached = Reached {
            position: Lsn(1),
            timeline: 1,
            committed_us: None,
            published_us: Some(published_us),
        };
        publish_heartbeat(bootstrap, &topic, server, reached);
    }
    let reader = Launch::new(&beating(Connector::new(&source, &id)), bootstrap).start();
    reader.wait_for_line(CLOCK_IS_BEHIND);
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 20));
    let found = source.wait_until_published(bootstrap, &id);
    for record in found.iter().filter(|record| record.value.is_some()) {
        let published = record.json()["ts_us"].as_i64().unwrap();
        assert!(published > ahead_us && published < ahead_us + 60_000_000, "{published}");
    }
    reader.stop();
}

#[test]
fn a_heartbeat_that_kafka_refuses_stops_nothing() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    let id = unique("refused");
    let source = Source::with_load(&stack.postgres15, &id);
    let topic = topic_of(&id);
    wait_for(PATIENCE, "the topic", || make_topic(bootstrap, &topic, &[&[1]]));
    set_topic(bootstrap, &topic, "max.message.bytes", "10");
    let reader = Launch::new(&beating(Connector::new(&source, &id)), bootstrap).start();
    reader.wait_for_line("streaming");
    let line = reader.wait_for_line(NOT_SENT);
    assert_eq!(line["topic"], topic.as_str());
    source.run(&transactions(1, 50));
    source.wait_until_published(bootstrap, &id);
    reader.wait_until_ready();
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
    wait_for(Duration::from_secs(20), "the slot to be confirmed", || {
        let query = format!(
            "SELECT confirmed_flush_lsn > restart_lsn FROM pg_replication_slots WHERE slot_name = '{id}'"
        );
        source.value(&query) == "t"
    });
    assert_eq!(records(bootstrap, &topic), []);
    // Of every heartbeat that was refused, the first, second, fourth and so on is a line.
    assert!(reader.said(NOT_SENT).len() <= 12);
    reader.stop();
}
