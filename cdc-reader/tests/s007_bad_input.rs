//! What cannot work is refused at once, with one clear line that names it, and an exit code that says whose business it
//! is.

use std::time::Duration;

use devstack::{Postgres, PostgresOptions, free_port, shared, wait_for};

use crate::support::load::rows;
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, records, unique};

/// Starts it, and expects its end with this code and, in one line of what it says, these words.
#[track_caller]
fn check(launch: &Launch, expected: i32, words: &[&str]) {
    let (code, log) = launch.start().wait_for_end(PATIENCE);
    assert_eq!(code, expected, "{log}");
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(lines, 1, "one line with {words:?} in:\n{log}");
    assert!(!log.contains("panicked"), "{log}");
}

fn launch(connector: &Connector) -> Launch {
    Launch::new(connector, &shared::stack().kafka_bootstrap).startup_timeout(3)
}

#[test]
fn a_connector_file_that_is_wrong_is_refused_by_name() {
    let id = unique("file");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    check(
        &launch(&good).file("{\"name\": \"x\", "),
        2,
        &["the connector file is not JSON", "line 1"],
    );
    check(&launch(&good.clone().set("slot.nme", "x")), 2, &["slot.nme", "slot.name"]);
    check(
        &launch(&good.clone().set("snapshot.mode", "sometimes")),
        2,
        &["snapshot.mode=sometimes"],
    );
    check(
        &launch(&good.clone().without("topic.prefix")),
        2,
        &["property topic.prefix is required"],
    );
    check(
        &launch(&good.clone().set("database.password", "${env:NO_SUCH_VARIABLE}")),
        2,
        &["database.password", "NO_SUCH_VARIABLE"],
    );
}

#[test]
fn a_source_that_is_not_set_up_is_refused_with_the_remedy() {
    let id = unique("setup");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    check(
        &launch(&good.clone().set("database.password", "wrong")),
        2,
        &["password authentication failed"],
    );
    check(
        &launch(&good.clone().set("database.dbname", "no_such")),
        2,
        &["database \\\"no_such\\\" does not exist"],
    );
    check(
        &launch(&good.clone().set("publication.name", "missing")),
        2,
        &["publication missing does not exist", "CREATE PUBLICATION"],
    );
    source.run(
        "CREATE TABLE apart (id integer PRIMARY KEY); CREATE PUBLICATION partly FOR TABLE load;",
    );
    check(
        &launch(&good.clone().set("publication.name", "partly")),
        2,
        &["table public.apart is captured but not in publication partly", "ADD TABLE"],
    );
    source.run("CREATE PUBLICATION inserts FOR ALL TABLES WITH (publish = 'insert')");
    check(
        &launch(&good.clone().set("publication.name", "inserts")),
        2,
        &["publication inserts does not publish delete"],
    );
    let role = format!("{id}_role");
    source.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p'"));
    let as_role = good.clone().set("database.user", &role).set("database.password", "p");
    check(&launch(&as_role), 2, &["may not replicate", "REPLICATION"]);
    source.run(&format!("ALTER ROLE {role} REPLICATION"));
    check(&launch(&as_role), 2, &["may not read table public.load", "GRANT SELECT"]);
    source.run(&format!("DROP ROLE {role}"));
}

#[test]
fn a_slot_that_is_somebody_elses_is_refused() {
    let id = unique("slots");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    source.run(&format!("SELECT pg_create_logical_replication_slot('{id}_test', 'test_decoding')"));
    source.run(&format!("SELECT pg_create_physical_replication_slot('{id}_physical')"));
    let with_slot = |slot: &str| launch(&good.clone().set("slot.name", &format!("{id}_{slot}")));
    check(&with_slot("test"), 2, &["belongs to plugin test_decoding, not pgoutput"]);
    check(&with_slot("physical"), 2, &["is a physical slot"]);
    source.run(&format!("SELECT pg_drop_replication_slot('{id}_physical')"));
}

#[test]
fn a_key_of_a_type_without_a_form_is_refused_by_name() {
    let id = unique("types");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    source.run("CREATE TABLE periods (period int4multirange PRIMARY KEY)");
    check(
        &launch(&Connector::new(&source, &id)),
        2,
        &["column period of table public.periods is part of the key", "table.exclude.list"],
    );
}

#[test]
fn a_server_without_logical_wal_is_refused_with_the_remedy() {
    let server =
        Postgres::start(PostgresOptions::new(15).fsync(false).setting("wal_level", "replica"))
            .unwrap();
    let id = unique("replica");
    let source = Source::create(server.address(), &id);
    source.run(
        "CREATE TABLE t (id integer PRIMARY KEY); CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    check(
        &launch(&Connector::new(&source, &id)),
        2,
        &["wal_level is replica", "wal_level = logical"],
    );
    drop(source);
}

#[test]
fn servers_that_never_answer_end_the_start_with_their_address() {
    let id = unique("nowhere");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    let nobody = free_port().unwrap();
    let address = format!("127.0.0.1:{nobody}");
    check(
        &Launch::new(&good, &address).startup_timeout(3),
        1,
        &["within 3 s of the start", &address],
    );
    let elsewhere = good.set("database.port", &nobody.to_string());
    check(&launch(&elsewhere), 1, &["within 3 s of the start", &address]);
}

#[test]
fn an_event_that_kafka_cannot_take_stops_the_reader_and_is_not_skipped() {
    let id = unique("large");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let good = Connector::new(&source, &id);
    let topic = format!("{id}.public.load");
    let narrow = launch(&good.clone().set("producer.override.max.request.size", "2000"));
    let mut reader = narrow.start();
    reader.wait_for_line("streaming");
    source.run(&rows(1, 3));
    source.run("INSERT INTO load SELECT 4, 1, string_agg(md5(n::text), '') FROM generate_series(1, 200) AS n;");
    source.run(&rows(5, 3));
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, 1, "{log}");
    assert!(
        log.lines().any(|line| [
            format!("topic {topic} refuses an event: it is too large, of table public.load at 0/").as_str(),
            " bytes of key and value; raise both producer.override.max.request.size in the connector file and max.message.bytes of the topic",
        ]
        .iter()
        .all(|words| line.contains(words))),
        "{log}"
    );
    assert!(record_count(bootstrap, &topic) <= 3, "nothing after it is published");
    check(&narrow, 1, &["refuses an event"]);

    let reader = launch(&good).start();
    source.wait_until_published(bootstrap, &id);
    assert_eq!(
        records(bootstrap, &topic)
            .iter()
            .filter(|r| r.key.as_deref() == Some("{\"id\":4}"))
            .count(),
        1
    );
    reader.stop();
}

#[test]
fn a_second_reader_of_the_same_slot_waits_for_its_turn() {
    let id = unique("second");
    let bootstrap = &shared::stack().kafka_bootstrap;
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
    let first = launch.start();
    first.wait_for_line("streaming");
    let second = launch.start();
    second
        .wait_for_line("another session captures with this slot: waiting until that session ends");
    first.stop();
    source.run(&rows(1, 5));
    source.wait_until_published(bootstrap, &id);
    wait_for(Duration::from_secs(30), "the second to stream", || {
        second.task_state(&id) == "RUNNING" && source.is_active(&id)
    });
    second.stop();
}
