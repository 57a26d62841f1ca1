//! A reader that is asked to stop ends in order while a server hangs, whatever the reader is doing then.
//!
//! The servers are stopped by a signal: they hold their connections and never answer. Each test sees the reader's end
//! while they still hang. That the steps of an end take less than 25 s together is tested where they are defined.

use std::time::Duration;

use devstack::{Frozen, Kafka, KafkaOptions, Postgres, PostgresOptions, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Reader, Source, unique};

/// Much longer than an end may take: what these tests look at is how it came about.
const END_PATIENCE: Duration = Duration::from_secs(120);

/// A source and a broker that a test may stop.
struct Servers {
    source: Source,
    kafka: Kafka,
    server: Postgres,
    id: String,
}

impl Servers {
    fn start(name: &str) -> Self {
        let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
        let id = unique(name);
        let source = Source::with_load(server.address(), &id);
        Self { source, kafka: Kafka::start(KafkaOptions::default()).unwrap(), server, id }
    }

    fn connector(&self) -> Connector {
        Connector::new(&self.source, &self.id)
    }

    fn launch(&self) -> Launch {
        Launch::new(&self.connector(), &self.kafka.bootstrap())
    }

    /// A stream with changes that Kafka does not acknowledge.
    fn start_with_changes_in_flight(&self) -> (Reader, Frozen) {
        let reader = self.launch().start();
        reader.wait_for_line("streaming");
        let kafka = self.kafka.freeze().unwrap();
        self.source.run(&transactions(1, 100));
        wait_for(PATIENCE, "the changes to wait for Kafka", || {
            reader.metric("cdc_reader_ledger_transactions") > 0.0
        });
        (reader, kafka)
    }

    /// The servers go on, and the next start publishes everything.
    #[track_caller]
    fn check_nothing_is_lost(&self) {
        let reader = self.launch().start();
        self.source.wait_until_published(&self.kafka.bootstrap(), &self.id);
        reader.stop();
    }
}

/// SIGTERM, and the end in order while these servers hang. Gives what the reader said.
#[track_caller]
fn ends_in_order(mut reader: Reader, frozen: &[&Frozen]) -> String {
    reader.process.terminate();
    let (code, log) = reader.wait_for_end(END_PATIENCE);
    assert!(frozen.iter().all(|servers| servers.is_frozen()), "a server went on before the end");
    assert_eq!(code, 0, "{log}");
    assert_eq!(log.matches("stopped in order").count(), 1, "{log}");
    assert!(!log.contains("ending although a server is still waited for"), "{log}");
    log
}

#[test]
fn a_stream_ends_while_kafka_hangs() {
    let servers = Servers::start("stop_kafka");
    let (reader, kafka) = servers.start_with_changes_in_flight();
    let log = ends_in_order(reader, &[&kafka]);
    assert!(log.contains("Kafka did not acknowledge everything in time"), "{log}");
    drop(kafka);
    servers.check_nothing_is_lost();
}

#[test]
fn a_stream_ends_while_the_source_hangs() {
    let servers = Servers::start("stop_source");
    let reader = servers.launch().start();
    reader.wait_for_line("streaming");
    let frozen = servers.server.freeze().unwrap();
    ends_in_order(reader, &[&frozen]);
    drop(frozen);
    servers.source.run(&transactions(1, 10));
    servers.check_nothing_is_lost();
}

/// Everything at once: a transaction is open in the middle, Kafka takes nothing, and the source does not hear the end.
#[test]
fn an_open_transaction_ends_while_both_servers_hang() {
    let servers = Servers::start("stop_both");
    let connector = servers.connector().set("producer.override.buffer.memory", "262144");
    let reader = Launch::new(&connector, &servers.kafka.bootstrap()).start();
    reader.wait_for_line("streaming");
    let kafka = servers.kafka.freeze().unwrap();
    // The queue is full in the middle of the transaction.
    servers.source.run(&rows(1, 20_000));
    wait_for(PATIENCE, "the queue to be full", || {
        reader.metric("cdc_reader_publish_queue_bytes") > 200_000.0
    });
    let frozen = servers.server.freeze().unwrap();
    ends_in_order(reader, &[&kafka, &frozen]);
    drop((kafka, frozen));
    servers.check_nothing_is_lost();
}

#[test]
fn a_snapshot_ends_while_kafka_hangs() {
    let servers = Servers::start("stop_snapshot");
    servers.source.run(&rows(1, 30_000));
    let open = servers.source.open_transaction("INSERT INTO load VALUES (100000, 1);");
    let connector = servers.connector().set("producer.override.buffer.memory", "1048576");
    let reader = Launch::new(&connector, &servers.kafka.bootstrap()).start();
    reader.wait_for_line(
        "creating the replication slot; this waits for transactions that are open on the source",
    );
    let kafka = servers.kafka.freeze().unwrap();
    drop(open);
    wait_for(PATIENCE, "the snapshot to run", || {
        reader.metric("debezium_metrics_SnapshotRunning") == 1.0
    });
    ends_in_order(reader, &[&kafka]);
    drop(kafka);
    servers.check_nothing_is_lost();
}

#[test]
fn a_snapshot_ends_while_the_source_hangs() {
    let servers = Servers::start("stop_reading");
    servers.source.run(&rows(1, 200_000));
    // A small queue makes it slow, so that rows are left when the source hangs.
    let connector = servers.connector().set("producer.override.buffer.memory", "16384");
    let reader = Launch::new(&connector, &servers.kafka.bootstrap()).start();
    wait_for(PATIENCE, "the snapshot to run", || {
        reader.metric("debezium_metrics_SnapshotRunning") == 1.0
    });
    let frozen = servers.server.freeze().unwrap();
    assert!(reader.said("snapshot complete").is_empty(), "the snapshot was not put to the test");
    ends_in_order(reader, &[&frozen]);
    drop(frozen);
}

#[test]
fn a_reader_that_connects_ends_while_the_source_hangs() {
    let servers = Servers::start("stop_connect");
    let frozen = servers.server.freeze().unwrap();
    let reader = servers.launch().start();
    reader.wait_until_not_ready("connecting");
    ends_in_order(reader, &[&frozen]);
    drop(frozen);
    servers.source.run(&rows(1, 10));
    servers.check_nothing_is_lost();
}

#[test]
fn a_reader_that_connects_ends_while_kafka_hangs() {
    let servers = Servers::start("stop_broker");
    let kafka = servers.kafka.freeze().unwrap();
    let reader = servers.launch().start();
    reader.wait_until_not_ready("connecting");
    ends_in_order(reader, &[&kafka]);
    drop(kafka);
    servers.source.run(&rows(1, 10));
    servers.check_nothing_is_lost();
}

/// The address takes connections, and nobody ever says anything there.
#[test]
fn a_reader_that_connects_ends_while_nobody_speaks_at_the_source_s_address() {
    let stack = shared::stack();
    let id = unique("stop_silent");
    let source = Source::with_load(&stack.postgres15, &id);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let connector = Connector::new(&source, &id).set("database.port", &port);
    let reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
    let (_held, _) = silent.accept().unwrap();
    ends_in_order(reader, &[]);
}
