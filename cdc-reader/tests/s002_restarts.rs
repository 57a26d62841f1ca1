//! Killed, stopped, started again, replaced by real Debezium and back: nothing is lost, and after an orderly stop
//! nothing comes twice.

use devstack::{PostgresAddress, shared, wait_for};

use crate::support::load::{count_op, repeats, rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, records, unique};

#[test]
fn kill_nine_under_load_loses_nothing_of_postgresql_15() {
    kill_nine_under_load(&shared::stack().postgres15);
}

#[test]
fn kill_nine_under_load_loses_nothing_of_postgresql_18() {
    kill_nine_under_load(&shared::stack().postgres18);
}

fn kill_nine_under_load(server: &PostgresAddress) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique(&format!("kill{}", server.version));
    let source = Source::with_load(server, &id);
    source.run(&rows(1, 500));
    let topic = format!("{id}.public.load");
    let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    for round in 1..=3 {
        let before = record_count(bootstrap, &topic);
        let load = source.run_beside(transactions(round * 10_000, 2000));
        wait_for(PATIENCE, "some of the load to arrive", || {
            record_count(bootstrap, &topic) > before + 200
        });
        reader.kill9();
        reader = launch.start();
        load.join().unwrap();
    }
    let found = source.wait_until_published(bootstrap, &id);
    assert_eq!(count_op(&found, "r"), 500, "a restart resumes and reads no second snapshot");
    assert!(reader.said("snapshot complete").is_empty());
    reader.stop();
}

#[test]
fn an_orderly_stop_under_load_repeats_nothing_of_postgresql_15() {
    orderly_stop_under_load(&shared::stack().postgres15);
}

#[test]
fn an_orderly_stop_under_load_repeats_nothing_of_postgresql_18() {
    orderly_stop_under_load(&shared::stack().postgres18);
}

fn orderly_stop_under_load(server: &PostgresAddress) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique(&format!("term{}", server.version));
    let source = Source::with_load(server, &id);
    source.run(&rows(1, 10));
    let topic = format!("{id}.public.load");
    let launch = Launch::new(&Connector::new(&source, &id), bootstrap);
    let mut reader = launch.start();
    reader.wait_for_line("streaming");
    for round in 1..=2 {
        let before = record_count(bootstrap, &topic);
        let load = source.run_beside(transactions(round * 10_000, 2500));
        wait_for(PATIENCE, "some of the load to arrive", || {
            record_count(bootstrap, &topic) > before + 200
        });
        reader.stop();
        reader = launch.start();
        load.join().unwrap();
    }
    let found = source.wait_until_published(bootstrap, &id);
    assert_eq!(repeats(&found), 0, "events published twice");
    assert_eq!(found.len(), 10 + 5000 * 3);
    reader.stop();
}

#[test]
fn real_debezium_takes_over_and_is_taken_over_from_on_postgresql_15() {
    take_turns(&shared::stack().postgres15);
}

#[test]
fn real_debezium_takes_over_and_is_taken_over_from_on_postgresql_18() {
    take_turns(&shared::stack().postgres18);
}

/// The reader, Debezium, the reader: one connector, one slot, one offset topic. Changes happen while either works, and
/// between.
fn take_turns(server: &PostgresAddress) {
    let stack = shared::stack();
    let (debezium, bootstrap) = (stack.connect(), &stack.kafka_bootstrap);
    let id = unique(&format!("turns{}", server.version));
    let source = Source::with_load(server, &id);
    source.run(&rows(1, 20));
    let connector = Connector::new(&source, &id);
    let launch = Launch::new(&connector, bootstrap).offset_topic("shared-connect-offsets");

    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1001, 100));
    source.wait_until_published(bootstrap, &id);
    reader.stop();
    source.wait_until_free(&id);
    source.run(&transactions(2001, 100));

    let before = records(bootstrap, &format!("{id}.public.load")).len();
    debezium.create(&connector.json()).unwrap();
    let found = source.wait_until_published(bootstrap, &id);
    assert_eq!(repeats(&found), 0, "Debezium goes on exactly where the reader stopped");
    assert_eq!(found.len(), before + 300);
    source.run(&transactions(3001, 100));
    source.wait_until_published(bootstrap, &id);
    debezium.delete(&id).unwrap();
    source.wait_until_free(&id);
    source.run(&transactions(4001, 100));

    let reader = launch.start();
    let found = source.wait_until_published(bootstrap, &id);
    assert!(reader.said("snapshot complete").is_empty(), "{}", reader.tail());
    assert_eq!(count_op(&found, "r"), 20, "one snapshot, the first");
    reader.stop();
}
