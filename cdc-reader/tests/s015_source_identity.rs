//! The server is not the one that was read, or its slot or its WAL is not: the reader goes on where nothing is lost,
//! waits where waiting helps, and else ends with exit code 3 and publishes nothing.

use devstack::{
    Kafka, KafkaOptions, Postgres, PostgresOptions, StopMode, shared, unique, wait_for,
};

use crate::support::load::{repeats, rows, transactions};
use crate::support::{
    Connector, Launch, PATIENCE, Source, Switch, compacted, record_count, records,
};

const VERSIONS: [u16; 2] = [15, 18];

/// A server, a database, and a connector that has read it.
struct Read {
    server: Postgres,
    source: Source,
    launch: Launch,
    id: String,
    properties: &'static [(&'static str, &'static str)],
}

fn server(version: u16) -> PostgresOptions {
    PostgresOptions::new(version).fsync(false)
}

fn bootstrap() -> &'static str {
    &shared::stack().kafka_bootstrap
}

/// A connector with further properties.
fn connector(source: &Source, id: &str, properties: &[(&str, &str)]) -> Connector {
    let plain = Connector::new(source, id);
    properties.iter().fold(plain, |connector, (name, value)| connector.set(name, value))
}

/// Runs the connector once and ends it in order, so that an offset is stored.
fn read_once(stem: &str, version: u16) -> Read {
    read_once_with(stem, version, &[])
}

fn read_once_with(
    stem: &str,
    version: u16,
    properties: &'static [(&'static str, &'static str)],
) -> Read {
    let server = Postgres::start(server(version)).unwrap();
    let id = unique(&format!("{stem}{version}"));
    let source = Source::with_load(server.address(), &id);
    let launch = Launch::new(&connector(&source, &id, properties), bootstrap());
    let read = Read { server, source, launch, id, properties };
    let reader = read.launch.start();
    reader.wait_for_line("streaming");
    read.source.run(&transactions(1, 20));
    read.source.wait_until_published(bootstrap(), &read.id);
    reader.stop();
    read.source.wait_until_free(&read.id);
    read
}

impl Read {
    fn topic(&self) -> String {
        format!("{}.public.load", self.id)
    }

    /// Reads to the end once more, so that the server's stored positions lie behind those of a copy.
    fn read_on(&self, first: u64) {
        let reader = self.launch.start();
        reader.wait_for_line("streaming");
        self.source.run(&transactions(first, 20));
        self.source.wait_until_published(bootstrap(), &self.id);
        reader.stop();
        self.source.wait_until_free(&self.id);
    }

    /// The reader ends with exit code 3 and these words, and publishes nothing.
    #[track_caller]
    fn check_gap(&self, launch: &Launch, words: &[&str]) {
        let before = record_count(bootstrap(), &self.topic());
        let (code, log) = launch.start().wait_for_end(PATIENCE);
        assert_eq!(code, 3, "{log}");
        assert!(log.contains("cannot go on from the stored offset without a gap: "), "{log}");
        for words in words {
            assert!(log.contains(words), "{words}: {log}");
        }
        assert_eq!(record_count(bootstrap(), &self.topic()), before, "nothing is published");
    }

    /// The connector, with another server.
    fn launch_at(&self, server: &Postgres) -> Launch {
        let source = std::mem::ManuallyDrop::new(Source::at(server.address(), &self.source.name));
        Launch::new(&connector(&source, &self.id, self.properties), bootstrap())
    }
}

/// The record that Debezium would take over: the last one in the connector's offset topic.
fn stored_offset(id: &str) -> serde_json::Value {
    records(bootstrap(), &format!("{id}-offsets")).pop().unwrap().json()
}

#[test]
fn the_stored_offset_names_cluster_timeline_and_last_transaction() {
    for version in VERSIONS {
        let read = read_once("names", version);
        let offset = stored_offset(&read.id);
        let system = read.source.value("SELECT system_identifier FROM pg_control_system()");
        assert_eq!(offset["system_identifier"], system.as_str(), "{offset}");
        assert_eq!(offset["timeline"], 1, "{offset}");
        assert!(offset["transaction_end"].as_u64() <= offset["lsn"].as_u64(), "{offset}");
    }
}

#[test]
fn the_slot_is_never_confirmed_beyond_the_stored_offset() {
    let stack = shared::stack();
    let id = unique("behind");
    let source = Source::with_load(&stack.postgres15, &id);
    let reader = Launch::new(&Connector::new(&source, &id), bootstrap()).start();
    reader.wait_for_line("streaming");
    for round in 0..20 {
        source.run(&transactions(1 + round * 10, 10));
        let confirmed = source.value(&format!(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{id}'"
        ));
        let offset = stored_offset(&id);
        assert!(confirmed.parse::<u64>().unwrap() <= offset["lsn"].as_u64().unwrap(), "{offset}");
    }
    source.wait_until_published(bootstrap(), &id);
    reader.stop();
}

#[test]
fn a_slot_that_was_dropped_and_made_again_is_a_gap() {
    for version in VERSIONS {
        let read = read_once("again", version);
        let id = &read.id;
        read.source.run(&format!("SELECT pg_drop_replication_slot('{id}')"));
        read.source.run(&rows(1_000, 10));
        read.source.run(&format!("SELECT pg_create_logical_replication_slot('{id}', 'pgoutput')"));
        read.check_gap(
            &read.launch,
            &[
                "somebody advanced the slot, or dropped it and made it again",
                "cdc-reader offset accept",
            ],
        );
        check_accepted(&read);
    }
}

/// An operator decides to go on without the lost changes: the next start goes on at the slot, and nothing is read
/// twice.
#[track_caller]
fn check_accepted(read: &Read) {
    let before = record_count(bootstrap(), &read.topic());
    let (code, text) = read.launch.offset(&["accept"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("the next start goes on at {"), "{text}");
    let reader = read.launch.start();
    reader.wait_for_line("streaming");
    let (code, text) = read.launch.offset(&["delete"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the connector runs: process "), "{text}");
    read.source.run(&rows(9_000, 5));
    wait_for(PATIENCE, "the new rows", || {
        (record_count(bootstrap(), &read.topic()) == before + 5).then_some(())
    });
    reader.stop();
}

#[test]
fn a_slot_that_somebody_advanced_is_a_gap() {
    for version in VERSIONS {
        let read = read_once("advanced", version);
        let id = &read.id;
        read.source.run(&rows(1_000, 10));
        read.source.run(&format!(
            "SELECT pg_replication_slot_advance('{id}', pg_current_wal_insert_lsn())"
        ));
        read.check_gap(&read.launch, &["somebody advanced the slot"]);
        check_snapshot_again(&read);
    }
}

/// An operator decides for a new snapshot: afterwards the topic's last state is the table's.
#[track_caller]
fn check_snapshot_again(read: &Read) {
    read.source.run(&format!("SELECT pg_drop_replication_slot('{}')", read.id));
    let (code, text) = read.launch.offset(&["show"]);
    assert!(code == 0 && text.contains("\"system_identifier\""), "{text}");
    let (code, text) = read.launch.offset(&["delete"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = read.launch.offset(&["show"]);
    assert_eq!((code, text.trim()), (0, "no offset is stored"));
    let reader = read.launch.start();
    reader.wait_for_line("streaming");
    let state = || read.source.value("SELECT count(*) FROM load");
    wait_for(PATIENCE, "the rows of the new snapshot", || {
        let rows = compacted(&records(bootstrap(), &read.topic())).len();
        (rows.to_string() == state()).then_some(())
    });
    reader.stop();
}

/// A copy of the data directory was put back: cluster, timeline and slot are the same.
fn restored(stem: &str, version: u16) -> Read {
    let mut read = read_once(stem, version);
    read.server.stop(StopMode::Fast).unwrap();
    let copy = read.server.copy_data().unwrap();
    read.server.start_again().unwrap();
    read.read_on(1_000);
    read.server.stop(StopMode::Fast).unwrap();
    read.server.put_back(&copy).unwrap();
    read.server.start_again().unwrap();
    read
}

#[test]
fn an_older_copy_whose_wal_ends_before_the_offset_is_a_gap() {
    for version in VERSIONS {
        let read = restored("older", version);
        read.check_gap(&read.launch, &["beyond the server's WAL", "the server was set back"]);
    }
}

#[test]
fn an_older_copy_whose_wal_has_grown_past_the_offset_is_a_gap() {
    for version in VERSIONS {
        let read = restored("grown", version);
        let offset = stored_offset(&read.id)["lsn"].as_u64().unwrap();
        let mut first = 50_000;
        wait_for(PATIENCE, "the WAL to grow past the stored offset", || {
            read.source.run(&rows(first, 100));
            first += 100;
            let end = read.source.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
            end.parse::<u64>().unwrap() > offset + 100_000
        });
        read.check_gap(
            &read.launch,
            &[
                "the server was restored from an older copy",
                "give the connector a new topic.prefix",
            ],
        );
    }
}

#[test]
fn another_cluster_is_a_gap() {
    for version in VERSIONS {
        let read = read_once("other", version);
        let other = Postgres::start(server(version)).unwrap();
        let id = &read.id;
        let source = Source::with_load(other.address(), id);
        source.run(&format!("SELECT pg_create_logical_replication_slot('{id}', 'pgoutput')"));
        let launch = Launch::new(&Connector::new(&source, id), bootstrap());
        read.check_gap(
            &launch,
            &["the server belongs to another cluster: its system identifier is"],
        );
        drop(source);
    }
}

/// The reader's stream goes on at the promoted server: nothing is missing, and nothing comes twice.
#[track_caller]
fn check_followed(read: &Read, promoted: &Postgres) {
    let source = Source::at(promoted.address(), &read.source.name);
    source.run(&transactions(5_000, 20));
    let found = source.wait_until_published(bootstrap(), &read.id);
    assert_eq!(repeats(&found), 0, "every version came once");
    wait_for(PATIENCE, "the offset to name the new timeline", || {
        stored_offset(&read.id)["timeline"] == 2
    });
    std::mem::forget(source);
}

fn promote(standby: &Postgres) {
    standby.execute("postgres", "SELECT pg_promote(true, 60)").unwrap();
}

fn wait_until_replayed(primary: &Source, standby: &Postgres) {
    let end = primary.value("SELECT pg_current_wal_insert_lsn()");
    wait_for(PATIENCE, "the standby to replay everything", || {
        standby
            .execute("postgres", &format!("SELECT 1 / (pg_last_wal_replay_lsn() >= '{end}')::int"))
            .is_ok()
    });
}

/// Waits until the slot needs no WAL from before the standby was made.
fn advance_restart(read: &Read) {
    let start = read.source.value("SELECT pg_current_wal_insert_lsn()");
    let mut first = 2_000;
    wait_for(PATIENCE, "the slot to need no older WAL", || {
        read.read_on(first);
        first += 100;
        read.source.run("CHECKPOINT");
        read.source.value(&format!(
            "SELECT restart_lsn > '{start}' FROM pg_replication_slots WHERE slot_name = '{}'",
            read.id
        )) == "t"
    });
}

#[test]
fn a_promoted_standby_that_has_everything_is_followed_when_its_slot_comes() {
    for version in VERSIONS {
        let mut read = read_once("follow", version);
        let mut standby = Postgres::start_replica_of(&read.server, server(version)).unwrap();
        advance_restart(&read);
        wait_until_replayed(&read.source, &standby);
        read.server.stop(StopMode::Fast).unwrap();
        promote(&standby);
        let reader = read.launch_at(&standby).start();
        reader.wait_for_line(
            "the server was promoted and does not have the replication slot yet: waiting for it (slot.max.retries × slot.retry.delay.ms)",
        );
        standby.stop(StopMode::Fast).unwrap();
        let id = read.id.clone();
        standby.copy_slot_from(&read.server, &id).unwrap();
        standby.start_again().unwrap();
        check_followed(&read, &standby);
        reader.stop();
    }
}

#[test]
fn a_slot_that_the_standby_copied_is_followed_through_the_promotion() {
    let mut read = read_once_with("synced", 18, &[("slot.failover", "true")]);
    read.source.run("SELECT pg_create_physical_replication_slot('standby', true)");
    let failover = read.source.value(&format!(
        "SELECT failover FROM pg_replication_slots WHERE slot_name = '{}'",
        read.id
    ));
    assert_eq!(failover, "t");
    let standby = Postgres::start_replica_of(
        &read.server,
        server(18).setting("primary_slot_name", "standby").setting("sync_replication_slots", "on"),
    )
    .unwrap();
    let mut first = 4_000;
    wait_for(PATIENCE, "the standby to copy the slot", || {
        read.read_on(first);
        first += 100;
        standby
            .execute(
                "postgres",
                &format!("SELECT 1 / (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}' AND synced AND NOT temporary)", read.id),
            )
            .is_ok()
    });
    wait_until_replayed(&read.source, &standby);
    let reader = read.launch_at(&standby).start();
    reader.wait_for_line(
        "the server is a standby: waiting until it is promoted, or until database.hostname leads to a primary",
    );
    // Meanwhile another instance publishes from the primary, and stores its offset.
    let before = stored_offset(&read.id);
    read.read_on(7_000);
    assert_ne!(stored_offset(&read.id)["transaction_end"], before["transaction_end"]);
    wait_until_replayed(&read.source, &standby);
    read.server.stop(StopMode::Fast).unwrap();
    promote(&standby);
    check_followed(&read, &standby);
    reader.stop();
}

#[test]
fn a_promoted_standby_that_lost_published_wal_is_a_gap() {
    for version in VERSIONS {
        let mut read = read_once("lostwal", version);
        let mut standby = Postgres::start_replica_of(&read.server, server(version)).unwrap();
        wait_until_replayed(&read.source, &standby);
        standby.stop(StopMode::Fast).unwrap();
        read.read_on(1_000);
        read.server.stop(StopMode::Immediate).unwrap();
        standby.start_again().unwrap();
        promote(&standby);
        read.check_gap(
            &read.launch_at(&standby),
            &["are in Kafka and not in the source", "cdc-reader offset accept"],
        );
    }
}

/// The primary is gone in the middle of a transaction that it has sent a part of. No offset names that transaction.
/// A supervisor starts the reader again before an operator has decided.
#[test]
fn a_lost_transaction_of_which_a_part_was_sent_is_a_gap_at_every_later_start() {
    let kafka = Kafka::start(KafkaOptions::default()).unwrap();
    let mut primary = Postgres::start(server(18)).unwrap();
    let id = unique("part");
    let source = Source::with_load(primary.address(), &id);
    let switch = Switch::to(primary.address());
    let connector = switch
        .in_front_of(Connector::new(&source, &id))
        .set("producer.override.buffer.memory", "262144");
    let launch = Launch::new(&connector, &kafka.bootstrap());
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 20));
    source.wait_until_published(&kafka.bootstrap(), &id);
    let mut standby = Postgres::start_replica_of(&primary, server(18)).unwrap();
    wait_until_replayed(&source, &standby);
    standby.stop(StopMode::Fast).unwrap();

    let stands_still = kafka.freeze().unwrap();
    source.run(&rows(1_000, 20_000));
    wait_for(PATIENCE, "the queue to be full", || {
        let waiting = reader.metric("cdc_reader_publish_queue_bytes");
        if waiting > 200_000.0 { Ok(Some(())) } else { Err(format!("{waiting} bytes")) }
    });
    primary.stop(StopMode::Immediate).unwrap();
    drop(stands_still);
    standby.start_again().unwrap();
    promote(&standby);
    switch.lead_to(standby.address());
    let words = ["are in Kafka and not in the source", "cdc-reader offset accept"];
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, 3, "{log}");
    assert!(words.iter().all(|words| log.contains(words)), "{log}");
    let topic = format!("{id}.public.load");
    let sent = record_count(&kafka.bootstrap(), &topic);
    assert!(sent > 60, "a part of the transaction was sent");
    for _ in 0..2 {
        let (code, log) = launch.start().wait_for_end(PATIENCE);
        assert_eq!(code, 3, "{log}");
        assert!(words.iter().all(|words| log.contains(words)), "{log}");
    }
    assert_eq!(record_count(&kafka.bootstrap(), &topic), sent);
    std::mem::forget(source);
}

#[test]
fn the_old_primary_that_comes_back_is_a_gap() {
    let mut read = read_once("oldprimary", 18);
    let mut standby = Postgres::start_replica_of(&read.server, server(18)).unwrap();
    advance_restart(&read);
    wait_until_replayed(&read.source, &standby);
    read.server.stop(StopMode::Fast).unwrap();
    standby.stop(StopMode::Fast).unwrap();
    let id = read.id.clone();
    standby.copy_slot_from(&read.server, &id).unwrap();
    standby.start_again().unwrap();
    promote(&standby);
    let reader = read.launch_at(&standby).start();
    reader.wait_for_line("streaming");
    check_followed(&read, &standby);
    reader.stop();
    read.server.start_again().unwrap();
    read.check_gap(&read.launch, &["whose history does not contain timeline 2"]);
}
