//! Kafka Connect with Debezium captures a row, as the reference that our reader is compared with.

use std::time::Duration;

use devstack::topics::{Record, Topics};
use devstack::{Database, shared, unique, wait_for};
use serde_json::{Value, json};

#[test]
fn debezium_captures_a_row_of_the_shared_postgresql() {
    let stack = shared::stack();
    let rest = stack.connect();
    let id = unique("devstack_connect");
    let database = Database::create(&stack.postgres15, &id).unwrap();
    let source = &database.server;
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

    let topics = Topics::at(&stack.kafka_bootstrap).unwrap();
    let event: Value = wait_for(Duration::from_secs(60), "the event of the row", || {
        let records = topics.records(&format!("{id}.public.one"));
        records.map(|records| records.first().map(Record::json))
    });
    assert_eq!((&event["op"], &event["after"]["id"]), (&json!("r"), &json!(42)), "{event}");

    rest.delete(&id).unwrap();
}
