//! Kafka: what it acknowledged survives a kill, on the same port.

use std::time::Duration;

use devstack::{Kafka, KafkaOptions, wait_for};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

async fn produce(kafka: &Kafka, payload: &str) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let record = FutureRecord::<(), str>::to("kept").payload(payload);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn acknowledged_messages_survive_kill_and_stop_on_the_same_port() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let port = kafka.port();
    produce(&kafka, "before the kill").await;
    kafka.kill9();
    kafka.start_again().unwrap();
    produce(&kafka, "before the stop").await;
    kafka.restart().unwrap();
    assert_eq!(kafka.port(), port);

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "reader")
        .create()
        .unwrap();
    let mut from_start = TopicPartitionList::new();
    from_start.add_partition_offset("kept", 0, Offset::Beginning).unwrap();
    consumer.assign(&from_start).unwrap();
    let mut found = Vec::new();
    wait_for(Duration::from_secs(30), "both messages", || {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            found.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
        found.len() == 2
    });
    assert_eq!(found, ["before the kill", "before the stop"]);
}
