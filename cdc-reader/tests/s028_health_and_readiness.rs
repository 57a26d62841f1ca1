//! How much WAL the source keeps is known in every state of the reader, and it says itself whether it lives and whether
//! it makes progress.

use devstack::{Kafka, KafkaOptions, Postgres, PostgresOptions, StopMode, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, unique};

const RETAINED: &str = "cdc_reader_slot_retained_wal_bytes";
const UNCONFIRMED: &str = "cdc_reader_slot_unconfirmed_wal_bytes";

/// Some MiB of WAL outside the publication's tables.
const NOISE: &str = "CREATE TABLE IF NOT EXISTS noise.n (t text);
    INSERT INTO noise.n SELECT repeat(md5(g::text), 30) FROM generate_series(1, 10000) AS g;
    TRUNCATE noise.n;";

/// What a forgotten transaction pins has to be more than this.
const PINNED_MIN: f64 = 4.0 * 1024.0 * 1024.0;

/// The slot's confirmed position moves on, and yet the server keeps everything since the transaction began: its changes
/// may still commit.
#[test]
fn wal_that_a_forgotten_transaction_pins_is_shown_and_told_from_what_is_not_confirmed() {
    // A server of its own: the transaction would hold up every new slot of the shared one.
    let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let id = unique("pinned");
    let source = Source::create(server.address(), &id);
    source.run(
        "CREATE TABLE load (id bigint PRIMARY KEY, version integer NOT NULL); CREATE SCHEMA noise;
         CREATE PUBLICATION captured FOR TABLE load;",
    );
    let reader =
        Launch::new(&Connector::new(&source, &id), &shared::stack().kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    wait_for(PATIENCE, "the slot's WAL to be known", || reader.known_metric(RETAINED).is_some());
    let forgotten = source.open_transaction("INSERT INTO load VALUES (1, 1);");
    source.run(NOISE);
    let seen = || (reader.metric(RETAINED), reader.metric(UNCONFIRMED));
    wait_for(PATIENCE, "pinned WAL that is confirmed", || {
        source.run("CHECKPOINT");
        let (retained, unconfirmed) = seen();
        let pinned = retained > PINNED_MIN && unconfirmed < PINNED_MIN / 4.0;
        if pinned {
            Ok(Some(()))
        } else {
            Err(format!("{retained} kept, {unconfirmed} unconfirmed"))
        }
    });
    // The server says the same.
    let kept = source.value(&format!(
        "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = '{id}'"
    ));
    assert!(kept.parse::<f64>().unwrap() > PINNED_MIN, "{kept}");
    reader.wait_until_ready();

    drop(forgotten);
    wait_for(PATIENCE, "the WAL to be let go", || {
        // The server moves `restart_lsn` when it writes which transactions run, as a checkpoint does.
        source.run("CHECKPOINT");
        let (retained, _) = seen();
        if retained < PINNED_MIN / 4.0 { Ok(Some(())) } else { Err(format!("{retained} kept")) }
    });
    reader.stop();
    drop(source);
}

#[test]
fn while_kafka_or_the_source_is_away_the_reader_lives_and_is_not_ready() {
    let mut kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let mut server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let bootstrap = kafka.bootstrap();
    let id = unique("ready");
    let source = Source::with_load(server.address(), &id);
    let connector = Connector::new(&source, &id).set("retriable.restart.connector.wait.ms", "1000");
    let reader = Launch::new(&connector, &bootstrap).start();
    let lives = || assert_eq!(reader.get("/health").status, 200);
    reader.wait_for_line("streaming");
    reader.wait_until_ready();
    lives();
    let ready = || reader.metric("cdc_reader_ready");
    assert_eq!(ready(), 1.0);

    let frozen = kafka.freeze().unwrap();
    source.run(&transactions(1, 100));
    reader.wait_until_not_ready("Kafka has not acknowledged the oldest");
    lives();
    assert_eq!(ready(), 0.0);
    drop(frozen);
    source.wait_until_published(&bootstrap, &id);
    reader.wait_until_ready();

    wait_for(PATIENCE, "little WAL to be unconfirmed", || reader.metric(UNCONFIRMED) < 20_000.0);
    // The source is well, and the sessions wait for Kafka: the WAL is measured all the same.
    kafka.kill9();
    source.run(&format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{id}'"
    ));
    reader.wait_until_not_ready("connecting again after a failure: ");
    source.run(&transactions(1001, 300));
    wait_for(PATIENCE, "the WAL that waits to be measured", || {
        reader.metric(UNCONFIRMED) > 20_000.0 && reader.metric(RETAINED) > 0.0
    });
    lives();
    kafka.start_again().unwrap();
    reader.wait_until_ready();

    server.stop(StopMode::Fast).unwrap();
    reader.wait_until_not_ready("connecting again after a failure: ");
    wait_for(PATIENCE, "what is unknown not to be shown", || {
        reader.known_metric(RETAINED).is_none() && reader.known_metric(UNCONFIRMED).is_none()
    });
    lives();
    server.start_again().unwrap();
    reader.wait_until_ready();
    wait_for(PATIENCE, "the WAL to be known again", || reader.known_metric(RETAINED).is_some());

    // The stream's silence alone would be noticed much later.
    let frozen = server.freeze().unwrap();
    reader.wait_until_not_ready("the source does not answer: ");
    wait_for(PATIENCE, "what is unknown not to be shown", || {
        reader.known_metric(RETAINED).is_none()
    });
    lives();
    drop(frozen);
    reader.wait_until_ready();
    source.wait_until_published(&bootstrap, &id);
    reader.stop();
    drop(source);
}

#[test]
fn a_reader_that_waits_for_the_slot_lives_measures_its_wal_and_is_not_ready() {
    let stack = shared::stack();
    let id = unique("second");
    let source = Source::with_load(&stack.postgres18, &id);
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let first = launch.start();
    first.wait_until_ready();
    let second = launch.start();
    second.wait_until_not_ready(&id);
    assert_eq!(second.get("/health").status, 200);
    wait_for(PATIENCE, "the second reader to measure the WAL", || {
        second.known_metric(RETAINED).is_some() && second.known_metric(UNCONFIRMED).is_some()
    });
    first.stop();
    second.wait_until_ready();
    second.stop();
}

/// As in Debezium, `Connected` is about the stream, and 0 while a snapshot runs.
#[test]
fn a_snapshot_is_ready_while_rows_move_and_not_when_kafka_stops_taking_them() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let id = unique("moving");
    let source = Source::with_load(server.address(), &id);
    source.run(&rows(1, 30_000));
    // The slot waits for the transaction, and the snapshot begins when it ends.
    let open = source.open_transaction("INSERT INTO load VALUES (100000, 1);");
    let connector = Connector::new(&source, &id).set("producer.override.buffer.memory", "1048576");
    let bootstrap = kafka.bootstrap();
    let reader = Launch::new(&connector, &bootstrap).start();
    reader.wait_for_line(
        "creating the replication slot; this waits for transactions that are open on the source",
    );
    reader.wait_until_not_ready("preparing");
    assert_eq!(reader.get("/health").status, 200);
    let frozen = kafka.freeze().unwrap();
    drop(open);
    let running = || reader.metric("debezium_metrics_SnapshotRunning") == 1.0;
    wait_for(PATIENCE, "the snapshot to run", running);
    reader.wait_until_ready();
    assert_eq!(reader.metric("debezium_metrics_Connected"), 0.0);
    wait_for(PATIENCE, "the slot's WAL to be known", || {
        reader.known_metric(RETAINED).is_some() && reader.known_metric(UNCONFIRMED).is_some()
    });
    reader.wait_until_not_ready("the snapshot has made no progress for");
    assert!(running(), "the snapshot was put to the test");
    assert_eq!(reader.get("/health").status, 200);
    drop(frozen);
    reader.wait_until_ready();
    source.wait_until_published(&bootstrap, &id);
    reader.stop();
    drop(source);
}

#[test]
fn the_stored_offset_is_shown_before_this_process_has_written_one() {
    let stack = shared::stack();
    let id = unique("shown");
    let source = Source::with_load(&stack.postgres15, &id);
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let reader = launch.start();
    let shown = |reader: &crate::support::Reader| {
        let answer = reader.get(&format!("/connectors/{id}/offsets")).json()?;
        anyhow::Ok(
            Some(answer["offsets"][0]["offset"].clone()).filter(serde_json::Value::is_object),
        )
    };
    reader.wait_until_ready();
    source.run(&transactions(1, 10));
    source.wait_until_published(&stack.kafka_bootstrap, &id);
    reader.stop();

    // The slot is taken, so the second reader does not come as far as to write anything.
    let holder = launch.start();
    holder.wait_until_ready();
    let before = wait_for(PATIENCE, "the holder's offset", || shown(&holder));
    assert!(before["lsn"].as_u64().is_some_and(|lsn| lsn > 0), "{before}");
    let second = launch.start();
    second.wait_until_not_ready(&id);
    let offset = wait_for(PATIENCE, "the stored offset to be shown", || shown(&second));
    assert!(offset["lsn_proc"].as_u64().is_some_and(|lsn| lsn > 0), "{offset}");
    second.kill9();
    holder.stop();
}
