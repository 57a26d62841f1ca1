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
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The controller knows after this time that a broker is gone.
    let options = KafkaOptions::default().setting("broker.session.timeout.ms", "3000");
    let first = Kafka::start(options.dir(first_dir.path())).unwrap();
    let mut second = second_broker(first_dir.path(), &second_dir);
    let bootstrap = first.bootstrap();
    let id = unique(stem);
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "the topic", || make_topic(&bootstrap, &topic, replicas));
    let reader = Launch::new(&Connector::new(&source, &id), &bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(&rows(1, 10));
    source.wait_until_published(&bootstrap, &id);

    second.kill9();
    source.run(&rows(11, 10));
    wait_until_stalled(&reader, &[&[topic.as_str()][..], words].concat());

    second.start_again().unwrap();
    source.wait_until_published(&bootstrap, &id);
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
