//! The source and Kafka go away and come back: the reader waits, says so ever more rarely, and goes on without a loss.

use std::time::Duration;

use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions, StopMode, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

#[test]
fn a_source_that_restarts_in_any_way_is_waited_for() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let mut server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let id = unique("outage");
    let source = Source::with_load(server.address(), &id);
    source.run(&rows(1, 10));
    let connector = Connector::new(&source, &id).set("retriable.restart.connector.wait.ms", "1000");
    let reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    for (round, mode) in
        [StopMode::Fast, StopMode::Immediate, StopMode::Kill].into_iter().enumerate()
    {
        let first = 1000 * (u64::try_from(round).unwrap() + 1);
        let reconnects = reader.metric("cdc_reader_reconnects_total");
        source.run(&transactions(first, 200));
        server.stop(mode).unwrap();
        wait_for(PATIENCE, "the task to be restarting", || reader.task_state(&id) == "RESTARTING");
        // Enough attempts that their number and the number of lines part.
        wait_for(PATIENCE, "some attempts in vain", || {
            reader.metric("cdc_reader_reconnects_total") >= reconnects + 7.0
        });
        server.start_again().unwrap();
        wait_for(PATIENCE, "the task to be running", || reader.task_state(&id) == "RUNNING");
        source.wait_until_published(bootstrap, &id);
    }
    let lines = reader.said("session ended, trying again").len();
    let attempts = reader.metric("cdc_reader_reconnects_total");
    assert!(attempts >= 21.0, "{attempts} attempts");
    assert!(lines <= 18, "{lines} lines for {attempts} attempts");
    reader.stop();
    drop(source);
}

#[test]
fn a_broker_that_restarts_or_is_killed_is_waited_for() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("broker");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    source.run(&rows(1, 10));
    let reader = Launch::new(&Connector::new(&source, &id), &bootstrap).start();
    reader.wait_for_line("streaming");

    let load = source.run_beside(transactions(1001, 3000));
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "some of the load to arrive", || record_count(&bootstrap, &topic) > 200);
    kafka.kill9();
    load.join().unwrap();
    // The load may have been through by then; these changes cannot be.
    source.run(&transactions(100_001, 20));
    reader.wait_for_line("Kafka is not reachable, trying again");
    kafka.start_again().unwrap();
    source.wait_until_published(&bootstrap, &id);
    reader.wait_for_line("Kafka is reachable again");

    kafka.stop().unwrap();
    source.run(&transactions(10_001, 500));
    kafka.start_again().unwrap();
    source.wait_until_published(&bootstrap, &id);
    let lines = reader.said("Kafka is not reachable, trying again").len();
    assert!(lines <= 16, "{lines} lines");
    reader.stop();
}

/// A server that shuts down waits until its walsenders' clients have confirmed everything. Without Kafka nothing can be
/// confirmed.
#[test]
fn a_source_can_shut_down_while_kafka_is_away() {
    let mut server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("both");
    let source = Source::with_load(server.address(), &id);
    let reader = Launch::new(&Connector::new(&source, &id), &bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 100));
    source.wait_until_published(&bootstrap, &id);
    kafka.kill9();
    source.run(&transactions(1001, 100));
    server.stop(StopMode::Fast).unwrap();
    reader.wait_for_line(
        "the source is shutting down and waits for Kafka to acknowledge what was sent",
    );
    server.start_again().unwrap();
    kafka.start_again().unwrap();
    source.wait_until_published(&bootstrap, &id);
    reader.stop();
    drop(source);
}

#[test]
fn a_stop_during_an_outage_of_kafka_ends_in_time_and_loses_nothing() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("stopped");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let launch = Launch::new(&Connector::new(&source, &id), &bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 100));
    source.wait_until_published(&bootstrap, &id);
    kafka.kill9();
    source.run(&transactions(1001, 100));
    wait_for(PATIENCE, "the changes to wait", || {
        reader.metric("cdc_reader_ledger_transactions") > 0.0
    });
    reader.process.terminate();
    let (code, log) = reader.wait_for_end(Duration::from_secs(45));
    assert_eq!(code, 0, "{log}");
    kafka.start_again().unwrap();
    let reader = launch.start();
    source.wait_until_published(&bootstrap, &id);
    reader.stop();
}
