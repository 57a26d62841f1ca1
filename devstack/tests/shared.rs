//! The shared stack answers on every address it gives.

use std::time::Duration;

use devstack::shared;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

#[test]
fn every_address_of_the_shared_stack_answers() {
    let stack = shared::stack();
    for (address, version) in
        [(&stack.postgres15, 15), (&stack.postgres18, 18), (&stack.warehouse, 15)]
    {
        assert_eq!(address.version, version);
        address
            .execute(
                "postgres",
                &format!(
                    "DO $$ BEGIN
                         ASSERT current_setting('server_version_num')::int / 10000 = {version};
                         ASSERT current_setting('wal_level') = 'logical';
                     END $$"
                ),
            )
            .unwrap();
    }
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &stack.kafka_bootstrap).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    assert_eq!(metadata.brokers().len(), 1);
}

#[test]
fn a_database_goes_with_its_slots() {
    let server = &shared::stack().postgres15;
    let name = format!("devstack_{}", std::process::id());
    server.create_database(&name).unwrap();
    let slot = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
    server.execute(&name, &slot).unwrap();
    server.drop_database(&name).unwrap();
    server.create_database(&name).unwrap();
    server.execute(&name, &slot).unwrap();
    server.drop_database(&name).unwrap();
}
