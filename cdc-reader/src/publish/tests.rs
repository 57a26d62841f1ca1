//! The producer against librdkafka's own mock of a cluster, which gives the answers that a real one gives once in
//! years.

use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shared::kafka::{Cluster, Security};

use super::answers::{self, Answer};
use super::{PublishError, Publisher, PublisherOptions, Record, RecordHeaders};
use crate::disposition::Disposition;

/// For anything that must happen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Codes that a broker sends.
const BROKER_CODES: std::ops::RangeInclusive<i32> = 1..=129;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(1).unwrap()
}

fn publisher(cluster: &MockCluster<'_, DefaultProducerContext>) -> Publisher {
    publisher_with(cluster, &[])
}

fn publisher_with(
    cluster: &MockCluster<'_, DefaultProducerContext>,
    more: &[(&str, &str)],
) -> Publisher {
    let quick = [("linger.ms", "0"), ("retry.backoff.ms", "1"), ("retry.backoff.max.ms", "5")];
    let overrides = quick.iter().chain(more);
    Publisher::new(&PublisherOptions {
        cluster: Cluster::new(&cluster.bootstrap_servers(), Security::default()),
        overrides: overrides.map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        context_headers: vec![("a".to_owned(), "b".to_owned())],
        stalled_seconds: Gauge::default(),
    })
    .unwrap()
}

fn send(publisher: &mut Publisher, topic: &str) {
    let headers = RecordHeaders::Context;
    publisher.send(&Record { topic, key: Some(b"k"), value: Some(b"v"), headers }).unwrap();
}

/// The failure, or `None` when everything was acknowledged.
#[track_caller]
fn outcome(publisher: &Publisher) -> Option<PublishError> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if publisher.flush(Duration::from_millis(20)) {
            return None;
        }
        if let Some(error) = publisher.failure() {
            return Some(error);
        }
    }
    panic!("neither acknowledged nor failed");
}

#[test]
fn each_answer_to_a_batch_waits_or_stops_as_the_list_says() {
    let cluster = cluster();
    for number in BROKER_CODES {
        let Ok(answer) = RDKafkaRespErr::try_from(number) else { continue };
        let code = Code::from(answer);
        let topic = format!("t{number}");
        cluster.create_topic(&topic, 1, 1).unwrap();
        cluster.request_errors(RDKafkaApiKey::Produce, &[answer]);
        let mut publisher = publisher(&cluster);
        send(&mut publisher, &topic);
        let failure = outcome(&publisher);
        match answers::of_record(code) {
            Answer::Stop(_) => {
                let failure = failure.unwrap_or_else(|| panic!("{code:?} counts as delivered"));
                assert_eq!(failure.disposition(), Disposition::Stop, "{code:?}: {failure}");
            }
            // librdkafka tries again by itself, or a new producer has to.
            Answer::Wait | Answer::OfAnother | Answer::OfOurOwn => {
                if let Some(failure) = failure {
                    assert_eq!(failure.disposition(), Disposition::Retry, "{code:?}: {failure}");
                }
            }
        }
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
    }
}

#[test]
fn nothing_of_a_partition_is_written_after_a_batch_that_was_refused() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    let mut publisher = publisher(&cluster);
    send(&mut publisher, "t");
    let failure = outcome(&publisher).unwrap();
    assert!(failure.to_string().contains("max.request.size"), "{failure}");
    let record =
        Record { topic: "t", key: Some(b"k"), value: Some(b"v"), headers: RecordHeaders::None };
    let later = publisher.send(&record);
    assert_eq!(later.unwrap_err().disposition(), Disposition::Stop);
    assert_eq!(publisher.ledger().acknowledged(), 0);
}

/// How many records the only broker has in a topic's only partition.
fn records(cluster: &MockCluster<'_, DefaultProducerContext>, topic: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let (low, high) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    high - low
}

/// What each answer of a new leader leads to when two batches are on their way, and librdkafka believes the second one.
/// On a busy machine the first answer may come before the second batch is sent. Then both are written.
#[test]
fn a_batch_without_an_offset_is_not_acknowledged() {
    for _ in 0..10 {
        let cluster = cluster();
        cluster.create_topic("t", 1, 1).unwrap();
        cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
        cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION],
        );
        let two_at_once =
            [("max.in.flight.requests.per.connection", "2"), ("batch.num.messages", "1")];
        let mut publisher = publisher_with(&cluster, &two_at_once);
        send(&mut publisher, "t");
        send(&mut publisher, "t");
        let Some(failure) = outcome(&publisher) else {
            assert_eq!(records(&cluster, "t"), 2, "a record is lost that counts as delivered");
            continue;
        };
        assert_eq!(failure.disposition(), Disposition::Retry);
        assert!(failure.to_string().contains("topic t, partition 0"), "{failure}");
        assert!(!publisher.ledger().is_acknowledged(0), "the first record is lost");
        return;
    }
    panic!("two batches were never on their way at once");
}

#[test]
fn a_producer_that_the_cluster_does_not_take_stops_the_reader_by_name() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).unwrap();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refusal; 20]);
    let mut publisher = publisher(&cluster);
    send(&mut publisher, "t");
    let failure = outcome(&publisher).unwrap();
    assert_eq!(failure.disposition(), Disposition::Stop, "{failure}");
    assert!(failure.to_string().contains("IdempotentWrite"), "{failure}");
}

#[test]
fn the_memory_of_what_waits_is_bounded_and_given_back() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).unwrap();
    // Nothing is acknowledged as long as nobody leads the partition.
    cluster.partition_leader("t", 0, None).unwrap();
    let mut publisher = Publisher::new(&PublisherOptions {
        cluster: Cluster::new(&cluster.bootstrap_servers(), Security::default()),
        overrides: vec![("queue.buffering.max.kbytes".to_owned(), "64".to_owned())],
        context_headers: vec![("name".to_owned(), "value".to_owned())],
        stalled_seconds: Gauge::default(),
    })
    .unwrap();
    // A tombstone has no value, so librdkafka would take as many as it is given.
    let tombstone =
        Record { topic: "t", key: Some(b"key"), value: None, headers: RecordHeaders::Context };
    let refusal = (0..1000).find_map(|_| publisher.send(&tombstone).err());
    assert_eq!(refusal, Some(PublishError::QueueFull));
    assert!((60 << 10..=64 << 10).contains(&publisher.in_flight_bytes()));
    cluster.partition_leader("t", 0, Some(1)).unwrap();
    assert_eq!(outcome(&publisher), None);
    assert_eq!(publisher.in_flight_bytes(), 0);
    publisher.send(&tombstone).unwrap();
}
