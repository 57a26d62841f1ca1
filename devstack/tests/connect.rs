//! Kafka Connect with Debezium captures a row, as the reference that our reader is compared with.

use std::time::Duration;

use devstack::{shared, wait_for};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

#[test]
fn debezium_captures_a_row_of_the_shared_postgresql() {
    let stack = shared::stack();
    let rest = stack.connect();
    let id = format!("devstack_connect_{}", std::process::id());
    let source = &stack.postgres15;
    source.create_database(&id).unwrap();
    source
        .execute(&id, "CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (42)")
        .unwrap();
    rest.create(&json!({
        "name": id,
        "config": {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": source.host,
            "database.port": source.port.to_string(),
            "database.user": source.user,
            "database.password": source.password,
            "database.dbname": id,
            "topic.prefix": id,
            "plugin.name": "pgoutput",
            "slot.name": id,
            "publication.name": id,
        }
    }))
    .unwrap();

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &stack.kafka_bootstrap)
        .set("group.id", &id)
        .create()
        .unwrap();
    let mut from_start = TopicPartitionList::new();
    from_start.add_partition_offset(&format!("{id}.public.one"), 0, Offset::Beginning).unwrap();
    consumer.assign(&from_start).unwrap();
    let event: Value = wait_for(Duration::from_secs(60), "the event of the row", || {
        let message = consumer.poll(Duration::from_millis(200))?.ok()?;
        Some(serde_json::from_slice(message.payload()?).unwrap())
    });
    assert_eq!((&event["op"], &event["after"]["id"]), (&json!("r"), &json!(42)), "{event}");

    rest.delete(&id).unwrap();
    source.drop_database(&id).unwrap();
}
