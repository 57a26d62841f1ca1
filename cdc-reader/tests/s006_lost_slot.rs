//! A slot that is lost is never replaced in silence: the reader ends with exit code 3 and says what is lost and what to
//! do.

use devstack::{Postgres, PostgresOptions, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, publish, record_count, unique};

/// Runs the connector once and ends it in order, so that an offset is stored; gives the launch to start it again.
fn ran_before(source: &Source, id: &str) -> Launch {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let launch = Launch::new(&Connector::new(source, id), bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 50));
    source.wait_until_published(bootstrap, id);
    reader.stop();
    source.wait_until_free(id);
    launch
}

const BEYOND: &str = "is 10000000/0, beyond the server's WAL";

#[track_caller]
fn check_lost(launch: &Launch, id: &str, reason: &str) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let topic = format!("{id}.public.load");
    let before = record_count(bootstrap, &topic);
    let (code, log) = launch.start().wait_for_end(PATIENCE);
    assert_eq!(code, 3, "{log}");
    assert!(log.contains("cannot go on from the stored offset without a gap: "), "{log}");
    assert!(log.contains(reason), "{log}");
    let remedy = match reason {
        BEYOND => "give the connector a new topic.prefix and a new slot.name".to_owned(),
        _ => format!(
            "drop the slot {id} if it exists, run `cdc-reader offset delete` for this connector, and start again"
        ),
    };
    assert!(log.contains(&remedy), "{log}");
    assert_eq!(record_count(bootstrap, &topic), before, "nothing is published");
}

#[test]
fn a_slot_whose_wal_is_gone_ends_the_reader_with_code_three() {
    for version in [15, 18] {
        let options = PostgresOptions::new(version)
            .fsync(false)
            .setting("max_slot_wal_keep_size", "1MB")
            .setting("min_wal_size", "32MB")
            .setting("max_wal_size", "32MB");
        let server = Postgres::start(options).unwrap();
        let id = unique(&format!("lost{version}"));
        let source = Source::with_load(server.address(), &id);
        let launch = ran_before(&source, &id);
        source.run("CREATE TABLE wal (filler text)");
        wait_for(PATIENCE, "the slot to be lost", || {
            source.run("INSERT INTO wal VALUES ('x'); SELECT pg_switch_wal(); CHECKPOINT;");
            source.value("SELECT wal_status FROM pg_replication_slots") == "lost"
        });
        check_lost(&launch, &id, "the server has invalidated the replication slot");
        drop(source);
    }
}

/// A long snapshot keeps WAL until it is complete; the server may lose patience.
#[test]
fn a_slot_that_is_lost_during_the_snapshot_ends_the_reader_with_code_three() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let options = PostgresOptions::new(18).fsync(false).setting("max_slot_wal_keep_size", "1MB");
    let server = Postgres::start(options).unwrap();
    let id = unique("lostearly");
    let source = Source::with_load(server.address(), &id);
    source.run(&rows(1, 10_000));
    source.run("CREATE TABLE wal (filler text)");
    // A small queue makes the snapshot slow.
    let connector = Connector::new(&source, &id).set("producer.override.buffer.memory", "16384");
    let mut reader = Launch::new(&connector, bootstrap).start();
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "the snapshot to begin", || record_count(bootstrap, &topic) > 0);
    wait_for(PATIENCE, "the slot to be lost", || {
        source.run("INSERT INTO wal VALUES ('x'); SELECT pg_switch_wal(); CHECKPOINT;");
        source.value("SELECT wal_status FROM pg_replication_slots") == "lost"
    });
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, 3, "{log}");
    assert!(log.contains("the server has invalidated the replication slot"), "{log}");
    drop(source);
}

#[test]
fn a_dropped_slot_with_a_stored_offset_ends_the_reader_with_code_three() {
    for server in [&shared::stack().postgres15, &shared::stack().postgres18] {
        let id = unique(&format!("gone{}", server.version));
        let source = Source::with_load(server, &id);
        let launch = ran_before(&source, &id);
        source.run(&format!("SELECT pg_drop_replication_slot('{id}')"));
        check_lost(
            &launch,
            &id,
            "the replication slot does not exist, and the offset stored in topic",
        );
    }
}

/// A standby that was behind when it took over, a server that was set back, or simply another one: its WAL ends before
/// what was published.
#[test]
fn an_offset_beyond_the_server_s_wal_ends_the_reader_with_code_three() {
    let stack = shared::stack();
    let id = unique("ahead");
    let source = Source::with_load(&stack.postgres15, &id);
    let launch = ran_before(&source, &id);
    let topic = format!("{id}-offsets");
    let key = serde_json::json!([id, { "server": id }]).to_string();
    let ahead = 1u64 << 60;
    let value = serde_json::json!({ "lsn_proc": ahead, "messageType": "COMMIT", "lsn_commit": ahead, "lsn": ahead });
    publish(&stack.kafka_bootstrap, &topic, &key, &value.to_string());
    check_lost(&launch, &id, BEYOND);
}
