//! One row takes longer over the link than the server waits for a reply, and a walsender works for longer than any
//! reply takes: the stream goes on, on the same connection. A link that is dead is given up.
//!
//! Why a reply helps while the server is in the middle of a row: the walsender hands a row to a socket that does not
//! block, and while the rest of the row waits, it sleeps until it can write or read, and reads every reply that came
//! (`WalSndWriteData`, which calls `ProcessRepliesIfAny` and then `WalSndCheckTimeOut`, in PostgreSQL's walsender.c).
//! So the server ends a client that sends nothing for `wal_sender_timeout`, however fast that client reads. While it
//! decodes, the walsender does neither, and finds the replies later, before it looks at the clock.

use std::process::Command;
use std::time::Duration;

use devstack::{Postgres, PostgresOptions, shared, wait_for};

use crate::support::slow_link::SlowLink;
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

/// Longer than the reader believes in a silent server without looking at it: a minute and a half.
const LONG_SILENCE: Duration = Duration::from_secs(240);

/// What the reader says of a walsender that works.
const WAITS: &str =
    "the source is silent because its walsender is at work; the stream goes on when it sends again";

/// The bytes of the large row.
const ROW_BYTES: u64 = 12 << 20;

fn walsender(source: &Source) -> String {
    source.value(&format!(
        "SELECT active_pid FROM pg_replication_slots WHERE database = '{}' AND active",
        source.name
    ))
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success(), "{name} {pid}");
}

#[test]
fn a_large_row_passes_over_a_slow_link_whatever_wal_sender_timeout_is() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let options = PostgresOptions::new(15).fsync(false).setting("wal_sender_timeout", "2s");
    let server = Postgres::start(options).unwrap();
    let id = unique("slow");
    let source = Source::create(server.address(), &id);
    source.run(
        "CREATE TABLE big (id integer PRIMARY KEY, filler text NOT NULL);
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    // Twelve seconds for the row: six times the server's patience.
    let link = SlowLink::to(server.address(), 1 << 20);
    let limit = (ROW_BYTES + (1 << 20)).to_string();
    let connector = Connector::new(&source, &id)
        .set("database.port", &link.port().to_string())
        .set("producer.override.max.request.size", &limit)
        .set("topic.creation.default.partitions", "1")
        .set("topic.creation.default.replication.factor", "1")
        .set("topic.creation.default.max.message.bytes", &limit);
    let reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    source.wait_until_active(&id);
    let before = walsender(&source);

    source.run(&format!(
        "INSERT INTO big VALUES (1, repeat('x', {ROW_BYTES}));
         INSERT INTO big VALUES (2, 'small');"
    ));
    let topic = format!("{id}.public.big");
    wait_for(PATIENCE * 2, "both rows to arrive", || match record_count(bootstrap, &topic) {
        2 => Ok(Some(())),
        count => Err(format!("{count} of 2; the reader said {}", reader.tail())),
    });
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
    assert_eq!(walsender(&source), before, "the connection is the same");
    reader.stop();
}

/// Freezes a walsender in the middle of its work: then it neither sends nor answers, as one that decodes.
fn freeze_at_work(source: &Source) -> String {
    source.run("CREATE TABLE busy (id integer); ALTER TABLE busy SET (autovacuum_enabled = off);");
    let pid = walsender(source);
    wait_for(PATIENCE, "the walsender to be frozen at work", || {
        source.run("INSERT INTO busy SELECT generate_series(1, 200000)");
        for _ in 0..50 {
            signal("-STOP", &pid);
            let waits = source.value(&format!(
                "SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = {pid}"
            ));
            if waits.is_empty() {
                return true;
            }
            signal("-CONT", &pid);
        }
        false
    });
    pid
}

#[test]
fn a_walsender_that_works_in_silence_is_waited_for() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    // Without a time limit of its own, so that only the reader decides.
    let options = PostgresOptions::new(18).fsync(false).setting("wal_sender_timeout", "0");
    let server = Postgres::start(options).unwrap();
    let id = unique("silent");
    let source = Source::create(server.address(), &id);
    source.run(
        "CREATE TABLE load (id bigint PRIMARY KEY, version integer NOT NULL);
         CREATE PUBLICATION captured FOR TABLE load;",
    );
    let reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    reader.wait_for_line("streaming");
    source.wait_until_active(&id);

    let pid = freeze_at_work(&source);
    source.run("INSERT INTO load VALUES (1, 1)");
    wait_for(LONG_SILENCE, "the reader to say that it waits", || {
        let said = reader.said(WAITS);
        if said.is_empty() { Err(reader.tail()) } else { Ok(Some(())) }
    });
    signal("-CONT", &pid);
    source.wait_until_published(bootstrap, &id);
    assert_eq!(walsender(&source), pid, "the connection is the same");
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
    reader.stop();
}

#[test]
fn a_connection_whose_walsender_is_gone_is_given_up() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let id = unique("gone");
    let source = Source::with_load(server.address(), &id);
    let link = SlowLink::to(server.address(), 64 << 20);
    let connector = Connector::new(&source, &id).set("database.port", &link.port().to_string());
    let mut reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    source.wait_until_active(&id);

    link.sever();
    source.run(&format!("SELECT pg_terminate_backend({})", walsender(&source)));
    wait_for(LONG_SILENCE, "the reader to give the connection up", || {
        let said = reader.said("session ended, trying again");
        let silent = said.iter().any(|line| line.to_string().contains("has been silent for"));
        if silent { Ok(Some(())) } else { Err(reader.tail()) }
    });
    reader.process.terminate();
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, 0, "{log}");
}
