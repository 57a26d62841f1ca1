//! A second instance of a connector waits, says for whom, and goes on when the first one has ended in whatever way.
//! What an old session sent arrives before what the next one sends.

use std::collections::BTreeSet;

use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{
    Connector, Launch, PATIENCE, Source, compacted, record_count, records, unique,
};

const WAITS: &str = "another session captures with this slot: waiting until that session ends";

/// How the first instance ends.
#[derive(Debug, Clone, Copy)]
enum End {
    InOrder,
    Killed,
    /// Its connections to the source are ended, so both instances try to go on.
    CutOff,
}

#[test]
fn a_second_instance_waits_and_goes_on_however_the_first_one_ends() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    for (end, server) in [
        (End::InOrder, &shared::stack().postgres15),
        (End::Killed, &shared::stack().postgres18),
        (End::CutOff, &shared::stack().postgres15),
    ] {
        let id = unique("second");
        let source = Source::with_load(server, &id);
        let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
        let first = launch.start();
        first.wait_for_line("streaming");
        let second = launch.start();
        let line = second.wait_for_line(WAITS);
        let holder = line["holder"].as_str().unwrap();
        let pid = source.value(&format!(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{id}'"
        ));
        assert!(
            holder.starts_with(&format!("process {pid} (cdc-reader) from 127.0.0.1")),
            "{holder}"
        );
        let load = source.run_beside(transactions(1, 200));
        match end {
            End::InOrder => drop(first.stop()),
            End::Killed => first.kill9(),
            End::CutOff => source.run(&format!("SELECT pg_terminate_backend({pid})")),
        }
        load.join().unwrap();
        source.wait_until_published(bootstrap, &id);
        if matches!(end, End::CutOff) {
            // Either of them may have gone on.
            source.wait_until_active(&id);
        } else {
            second.wait_for_line("streaming");
        }
        second.stop();
    }
}

#[test]
fn an_instance_that_comes_during_a_snapshot_leaves_no_row_that_the_source_does_not_have() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    for end in [End::InOrder, End::Killed, End::CutOff] {
        let id = unique("during");
        let source = Source::with_load(&shared::stack().postgres18, &id);
        source.run(&rows(1, 6_000));
        // A small queue makes the snapshot slow.
        let slow = Connector::new(&source, &id).set("producer.override.buffer.memory", "16384");
        let topic = format!("{id}.public.load");
        let first = Launch::new(&slow, bootstrap).start();
        wait_for(PATIENCE, "the first rows of the snapshot", || {
            record_count(bootstrap, &topic) > 0
        });
        let second = Launch::new(&Connector::new(&source, &id), bootstrap).start();
        second.wait_for_line(WAITS);
        assert!(record_count(bootstrap, &topic) < 6_000, "the snapshot is under way");
        source.run("DELETE FROM load WHERE id % 3 = 0");
        match end {
            End::InOrder => drop(first.stop()),
            End::Killed => first.kill9(),
            // The snapshot's other connection lives on.
            End::CutOff => source.run(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_locks
                 WHERE locktype = 'advisory' AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = '{id}')"
            )),
        }
        source.run("INSERT INTO load VALUES (100000, 1)");
        let found = wait_for(PATIENCE, "the last change", || {
            let found = records(bootstrap, &topic);
            let last = found.iter().rev().find(|record| record.value.is_some())?;
            (last.key.as_deref() == Some("{\"id\":100000}")).then_some(found)
        });
        let keys: BTreeSet<u64> =
            compacted(&found).values().map(|row| row["id"].as_u64().unwrap()).collect();
        let ids = source.value("SELECT id FROM load ORDER BY id");
        let expected: BTreeSet<u64> = ids.lines().map(|id| id.parse().unwrap()).collect();
        assert!(keys == expected, "{end:?}: {} rows instead of {}", keys.len(), expected.len());
        second.stop();
    }
}

/// The broker takes nothing for a while: the requests of the session before stand in its socket when the source's
/// connection ends and the next session begins.
#[test]
fn what_an_old_session_sent_arrives_before_what_the_next_one_sends() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let bootstrap = &kafka.bootstrap();
    let id = unique("oldsession");
    let source = Source::with_load(server.address(), &id);
    let reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 5));
    source.wait_until_published(bootstrap, &id);
    for round in 0..5 {
        let frozen = kafka.freeze().unwrap();
        source.run(&transactions(100 + round * 100, 20));
        wait_for(PATIENCE, "the reader to hold what it has read", || {
            (reader.metric("cdc_reader_publish_queue_messages") > 0.0).then_some(())
        });
        source.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
        source.run("UPDATE load SET version = version + 1 WHERE id % 2 = 0");
        drop(frozen);
        source.wait_until_published(bootstrap, &id);
    }
    reader.stop();
}

/// A session stores a position up to half a second after Kafka has acknowledged its events. Connections end in between.
#[test]
fn what_a_session_had_not_stored_when_its_connection_ended_is_not_published_again() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let bootstrap = &kafka.bootstrap();
    let id = unique("unstored");
    let source = Source::with_load(server.address(), &id);
    let reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 5));
    source.wait_until_published(bootstrap, &id);
    let load_topic = format!("{id}.public.load");
    for round in 0..4 {
        let before = record_count(bootstrap, &load_topic);
        let marker = 100 + round * 100;
        for first in [marker, marker + 10, marker + 20] {
            source.run(&transactions(first, 10));
        }
        wait_for(PATIENCE, "all events of the round", || {
            (record_count(bootstrap, &load_topic) >= before + 90).then_some(())
        });
        source.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
        source.run(&transactions(marker + 30, 1));
        source.wait_until_published(bootstrap, &id);
        let events = record_count(bootstrap, &load_topic) - before;
        assert_eq!(events, 93, "round {round}: three events for each transaction, each once");
    }
    reader.stop();
}
