//! What the broker answers decides: where replicas or a leader are missing, the reader waits, and the log, a metric and
//! the topic's name say so.

use std::path::Path;

use devstack::{Kafka, KafkaOptions, shared, wait_for};
use tempfile::TempDir;

use crate::support::load::rows;
use crate::support::{Connector, Launch, PATIENCE, Reader, Source, make_topic, unique};

/// What the reader says when nothing is acknowledged.
const STALLED: &str = "Kafka acknowledges nothing of what waits";

/// The metric of it.
const STALLED_SECONDS: &str = "cdc_reader_publish_stalled_seconds";

/// Waits until the reader has said that it waits, for a reason with these words, and shows it in its metric.
#[track_caller]
fn wait_until_stalled(reader: &Reader, words: &[&str]) {
    wait_for(PATIENCE, "the reader to say why it waits", || {
        let reasons: Vec<String> = reader
            .said(STALLED)
            .iter()
            .map(|line| line["reason"].as_str().unwrap().to_owned())
            .collect();
        let named = |reason: &String| words.iter().all(|word| reason.contains(word));
        if reasons.iter().any(named) { Ok(Some(())) } else { Err(reasons.join("\n")) }
    });
    wait_for(PATIENCE, "the metric to show it", || reader.metric(STALLED_SECONDS) >= 10.0);
}

#[track_caller]
fn wait_until_well_again(reader: &Reader) {
    reader.wait_for_line("Kafka acknowledges again");
    wait_for(PATIENCE, "the metric to show it", || reader.metric(STALLED_SECONDS) < 1.0);
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
}

/// A cluster of two brokers, of which the second one is killed and comes back.
pub(crate) struct TwoBrokers {
    pub(crate) second: Kafka,
    pub(crate) first: Kafka,
    _dirs: [TempDir; 2],
}

impl TwoBrokers {
    pub(crate) fn start() -> Self {
        let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // The controller knows after this time that a broker is gone.
        let options = KafkaOptions::default().setting("broker.session.timeout.ms", "3000");
        let first = Kafka::start(options.dir(first_dir.path())).unwrap();
        let second = second_broker(first_dir.path(), &second_dir);
        Self { second, first, _dirs: [first_dir, second_dir] }
    }

    /// A reader of a table whose topic has its partitions on these brokers.
    fn read(&self, stem: &str, partitions: &[&[i32]]) -> (Source, Reader, String) {
        self.read_by(stem, partitions, |connector| connector)
    }

    /// The same by a connector that is changed first.
    pub(crate) fn read_by(
        &self,
        stem: &str,
        partitions: &[&[i32]],
        change: impl FnOnce(Connector) -> Connector,
    ) -> (Source, Reader, String) {
        let bootstrap = self.first.bootstrap();
        let id = unique(stem);
        let source = Source::with_load(&shared::stack().postgres15, &id);
        let topic = format!("{id}.public.load");
        wait_for(PATIENCE, "the topic", || make_topic(&bootstrap, &topic, partitions));
        let connector = change(Connector::new(&source, &id));
        let reader = Launch::new(&connector, &bootstrap).start();
        reader.wait_for_line("streaming");
        source.run(&rows(1, 20));
        source.wait_until_published(&bootstrap, &id);
        (source, reader, id)
    }
}

/// A second broker of the cluster whose first one lives in `first`.
fn second_broker(first: &Path, dir: &TempDir) -> Kafka {
    let properties = std::fs::read_to_string(first.join("server.properties")).unwrap();
    let voters = properties.lines().find_map(|line| line.strip_prefix("controller.quorum.voters="));
    let port = devstack::free_port().unwrap();
    let options = KafkaOptions::default()
        .dir(dir.path())
        .port(port)
        .setting("process.roles", "broker")
        .setting("node.id", "2")
        .setting("controller.quorum.voters", voters.unwrap())
        .setting("listeners", &format!("PLAINTEXT://127.0.0.1:{port}"))
        .setting("broker.heartbeat.interval.ms", "500");
    Kafka::start(options).unwrap()
}

/// With the topic's replicas on these brokers, the second broker is killed, and nothing arrives until it is back. The
/// reader waits, and says what is missing.
#[track_caller]
fn check(stem: &str, replicas: &[i32], words: &[&str]) {
    let mut brokers = TwoBrokers::start();
    let (source, reader, id) = brokers.read(stem, &[replicas]);
    let topic = format!("{id}.public.load");
    brokers.second.kill9();
    source.run(&rows(101, 10));
    wait_until_stalled(&reader, &[&[topic.as_str()][..], words].concat());

    brokers.second.start_again().unwrap();
    source.wait_until_published(&brokers.first.bootstrap(), &id);
    wait_until_well_again(&reader);
    reader.stop();
}

#[test]
fn a_partition_without_a_leader_is_named_and_waited_for() {
    check("leader", &[2], &["no leader for partition 0"]);
}

#[test]
fn too_few_in_sync_replicas_are_named_and_waited_for() {
    check("replicas", &[1, 2], &["1 in-sync replicas", "min.insync.replicas is 2"]);
}

/// The records of the other partition are acknowledged all the while, and the slot keeps the WAL all the same.
#[test]
fn one_stuck_partition_of_several_makes_the_reader_not_ready_until_it_goes_on() {
    let mut brokers = TwoBrokers::start();
    let (source, reader, id) = brokers.read("stuck", &[&[1], &[2]]);
    reader.wait_until_ready();
    brokers.second.kill9();
    let room = "debezium_metrics_QueueRemainingCapacity";
    let empty = reader.metric(room);
    let mut sent = 0;
    wait_for(PATIENCE, "the reader not to be ready", || {
        source.run(&rows(1_000 + sent, 10));
        sent += 10;
        match reader.readiness() {
            Err(why) if why.contains("Kafka has not acknowledged the oldest") => Ok(Some(())),
            other => Err(format!("{other:?}")),
        }
    });
    // Snapshot and stream show the same queue.
    let waiting = (empty - reader.metric(room)) / 2.0;
    let all = f64::from(u32::try_from(sent).unwrap());
    assert!(waiting > 0.0 && waiting < all, "{waiting} of {sent} records wait");
    assert_eq!(reader.get("/health").status, 200);

    brokers.second.start_again().unwrap();
    source.wait_until_published(&brokers.first.bootstrap(), &id);
    reader.wait_until_ready();
    reader.stop();
}
