//! Kafka: what it acknowledged survives a kill, on the same port.

use devstack::topics::{Topics, publish};
use devstack::{Kafka, KafkaOptions};

fn produce(kafka: &Kafka, value: &str) {
    publish(&kafka.bootstrap(), "kept", None, value).unwrap();
}

#[test]
fn acknowledged_messages_survive_kill_and_stop_on_the_same_port() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let port = kafka.port();
    produce(&kafka, "before the kill");
    kafka.kill9();
    kafka.start_again().unwrap();
    produce(&kafka, "before the stop");
    kafka.restart().unwrap();
    assert_eq!(kafka.port(), port);

    let records = Topics::at(&kafka.bootstrap()).unwrap().records("kept").unwrap();
    let found: Vec<_> = records.iter().filter_map(|record| record.value.as_deref()).collect();
    assert_eq!(found, ["before the kill", "before the stop"]);
}
