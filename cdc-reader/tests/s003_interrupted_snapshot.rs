//! A first snapshot that is killed in the middle is taken again, and rows that went away meanwhile do not stay behind
//! in the topics.

use std::collections::BTreeSet;

use devstack::{shared, wait_for};

use crate::support::load::rows;
use crate::support::{
    Connector, Launch, PATIENCE, Record, Source, compacted, record_count, records, unique,
};

/// Deletes and their tombstones: of 5000 rows and of 100 keys that moved.
const RETRACTIONS: u64 = 2 * (5000 + 100);

#[test]
fn rows_deleted_while_a_killed_snapshot_lay_are_not_left_behind() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    let id = unique("halfway");
    let source = Source::with_load(&stack.postgres15, &id);
    source.run(&rows(1, 20_000));
    source.run("CREATE TABLE gone (id integer PRIMARY KEY); INSERT INTO gone SELECT generate_series(1, 50);");
    let connector = Connector::new(&source, &id);
    // A small queue makes a snapshot slow enough to be killed in its middle.
    let slow = connector.clone().set("producer.override.buffer.memory", "16384");
    let (launch, slow) = (Launch::new(&connector, bootstrap), Launch::new(&slow, bootstrap));
    let topic = format!("{id}.public.load");
    let reader = slow.start();
    wait_for(PATIENCE, "the first rows of the snapshot", || record_count(bootstrap, &topic) > 0);
    reader.kill9();
    let halfway = record_count(bootstrap, &topic);
    assert!((1..20_000).contains(&halfway), "killed after {halfway} rows");
    assert_eq!(record_count(bootstrap, &format!("{id}-offsets")), 0, "no offset before the end");

    source.run(
        "DELETE FROM load WHERE id <= 5000;
         UPDATE load SET id = id + 1000000 WHERE id BETWEEN 5001 AND 5100;
         UPDATE load SET version = 2 WHERE id BETWEEN 6001 AND 6100;
         TRUNCATE gone;
         INSERT INTO gone VALUES (7);",
    );
    // The second attempt is killed in its snapshot, too: what was taken back so far must not pass for a finished
    // snapshot.
    let reader = slow.start();
    wait_for(PATIENCE, "rows of the second snapshot", || {
        record_count(bootstrap, &topic) > halfway + RETRACTIONS
    });
    reader.kill9();
    assert_eq!(record_count(bootstrap, &format!("{id}-offsets")), 0, "no offset before the end");

    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO load VALUES (0, 1)");
    let found = wait_for(PATIENCE, "the last change", || {
        let found = records(bootstrap, &topic);
        let last = found.last().unwrap();
        (last.key.as_deref() == Some("{\"id\":0}")).then_some(found)
    });
    assert_rows_are_the_tables(&source, &found);
    let version = |id: u64| compacted(&found)[&format!("{{\"id\":{id}}}")]["version"].clone();
    assert_eq!(version(6050), 2);

    let gone = records(bootstrap, &format!("{id}.public.gone"));
    let after_truncate: BTreeSet<_> = gone
        .iter()
        .rev()
        .take_while(|record| record.json()["op"] != "t")
        .map(|record| record.key.clone().unwrap())
        .collect();
    assert!(
        after_truncate.iter().eq(["{\"id\":7}"]),
        "the truncate stands before the rows that are left"
    );
    reader.stop();
}

/// Panics unless what compaction would leave of a topic are the table's rows.
#[track_caller]
fn assert_rows_are_the_tables(source: &Source, found: &[Record]) {
    let keys: BTreeSet<u64> =
        compacted(found).values().map(|row| row["id"].as_u64().unwrap()).collect();
    let ids = source.value("SELECT id FROM load ORDER BY id");
    let expected: BTreeSet<u64> = ids.lines().map(|id| id.parse().unwrap()).collect();
    assert_eq!(keys.len(), expected.len());
    assert!(keys == expected, "the topic's rows are the table's");
}

#[test]
fn a_column_changed_during_a_snapshot_waits_for_its_end() {
    let stack = shared::stack();
    let bootstrap = &stack.kafka_bootstrap;
    let id = unique("dropped");
    let source = Source::with_load(&stack.postgres15, &id);
    // The snapshot reads its tables in their order: it is busy with the first one while the last one shall change.
    source.run(&rows(1, 20_000));
    source
        .run("CREATE TABLE zz (id integer PRIMARY KEY, a integer); INSERT INTO zz VALUES (1, 1);");
    let slow = Connector::new(&source, &id).set("producer.override.buffer.memory", "16384");
    let reader = Launch::new(&slow, bootstrap).start();
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "the first rows of the snapshot", || record_count(bootstrap, &topic) > 0);
    source.run("ALTER TABLE zz DROP COLUMN a, ADD COLUMN b text DEFAULT 'new'");
    reader.wait_for_line("streaming");
    source.run("INSERT INTO zz VALUES (2)");
    let last = wait_for(PATIENCE, "the row that came after the change", || {
        records(bootstrap, &format!("{id}.public.zz")).pop().filter(|last| last.json()["op"] == "c")
    });
    assert_eq!(last.json()["after"], serde_json::json!({"id": 2, "b": "new"}));
    reader.stop();
}
