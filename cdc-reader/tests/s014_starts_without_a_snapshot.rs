//! `snapshot.mode=no_data` and `initial_only`, and what the offset says while only WAL without captured changes passes.

use devstack::{shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

#[test]
fn a_stream_without_a_snapshot_holds_none_and_remembers_that_it_began() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("nodata{}", server.version));
        let source = Source::with_load(server, &id);
        source.run(&rows(1, 10));
        let connector = Connector::new(&source, &id).set("snapshot.mode", "no_data");
        let launch = Launch::new(&connector, bootstrap);
        let reader = launch.start();
        reader.wait_for_line("streaming");
        source.wait_until_active(&id);
        let in_transaction = source.value(&format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = '{id}' AND application_name = 'cdc-reader' AND state LIKE 'idle in transaction%'"
        ));
        assert_eq!(in_transaction, "0", "a snapshot that nobody reads keeps VACUUM from its work");
        reader.stop();
        source.wait_until_free(&id);

        source.run(&format!("SELECT pg_drop_replication_slot('{id}')"));
        let (code, log) = launch.start().wait_for_end(PATIENCE);
        assert_eq!(code, 3, "{log}");
    }
}

/// Real Debezium refuses an offset that lies before the WAL which the slot keeps (`restart_lsn`).
#[test]
fn real_debezium_takes_over_after_a_stretch_without_captured_changes() {
    let stack = shared::stack();
    let (debezium, bootstrap) = (stack.connect(), &stack.kafka_bootstrap);
    let id = unique("quiet");
    let source = Source::with_load(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE other (n integer);
         DROP PUBLICATION captured;
         CREATE PUBLICATION captured FOR TABLE load;",
    );
    let connector = Connector::new(&source, &id)
        .without("schema.include.list")
        .set("table.include.list", "public.load");
    let launch = Launch::new(&connector, bootstrap).offset_topic("shared-connect-offsets");
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 20));
    source.wait_until_published(bootstrap, &id);
    let published = source.value("SELECT pg_current_wal_lsn()");
    wait_for(PATIENCE, "the slot to let go of WAL", || {
        source.run("INSERT INTO other VALUES (1); CHECKPOINT;");
        source.value(&format!(
            "SELECT restart_lsn > '{published}' FROM pg_replication_slots WHERE slot_name = '{id}'"
        )) == "t"
    });
    reader.stop();
    source.wait_until_free(&id);
    source.run(&transactions(1001, 20));
    debezium.create(&connector.json()).unwrap();
    source.wait_until_published(bootstrap, &id);
    debezium.delete(&id).unwrap();
}

/// Nobody would read from a slot that stays, and the server would keep WAL for it until its disk is full.
#[test]
fn a_snapshot_alone_leaves_no_slot_behind_and_is_taken_once() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("only{}", server.version));
        let source = Source::with_load(server, &id);
        source.run(&rows(1, 10));
        let connector = Connector::new(&source, &id).set("snapshot.mode", "initial_only");
        let launch = Launch::new(&connector, bootstrap);
        for _ in 0..2 {
            let (code, log) = launch.start().wait_for_end(PATIENCE);
            assert_eq!(code, 0, "{log}");
            let slots =
                format!("SELECT count(*) FROM pg_replication_slots WHERE database = '{id}'");
            wait_for(PATIENCE, "the slots to be gone", || source.value(&slots) == "0");
            assert_eq!(record_count(bootstrap, &format!("{id}.public.load")), 10);
        }
        // The changes since then are gone, so a stream must not begin as if it were the first.
        let stream = Launch::new(&Connector::new(&source, &id), bootstrap);
        let (code, log) = stream.start().wait_for_end(PATIENCE);
        assert_eq!(code, 3, "{log}");
    }
}
