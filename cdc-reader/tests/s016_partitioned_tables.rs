//! Partitioned tables: their changes arrive as those of the leaves, or with `publish_via_partition_root` as those of
//! the topmost published table, and a snapshot reads each row into the topic where its changes arrive.

use std::collections::BTreeMap;

use devstack::{PostgresAddress, shared, wait_for};

use crate::support::parity::{side_by_side, wait_until_same};
use crate::support::{Connector, Launch, PATIENCE, Source, compacted, records, unique};

const BEFORE: &str = "
CREATE TABLE orders (id integer, day date NOT NULL, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE orders_2_rest PARTITION OF orders_2 DEFAULT;
CREATE TABLE standing (id integer, day date NOT NULL, note text, PRIMARY KEY (id, day));
CREATE TABLE zz_last (id integer PRIMARY KEY);
INSERT INTO orders VALUES (1, '2026-01-01', 'a'), (2, '2026-01-02', 'b'), (3, '2026-02-01', 'c'), (4, '2026-02-02', NULL);
INSERT INTO standing VALUES (50, '2026-04-01', 'x');
";

const AFTER: &str = "
INSERT INTO orders VALUES (5, '2026-01-05', 'd'), (6, '2026-02-06', 'e');
UPDATE orders SET note = note || '!' WHERE id IN (1, 3);
-- The row moves to another leaf.
UPDATE orders SET day = '2026-02-10' WHERE id = 2;
UPDATE orders SET id = 40 WHERE id = 4;
DELETE FROM orders WHERE id = 3;
CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO orders VALUES (7, '2026-03-07', 'new leaf');
ALTER TABLE orders ATTACH PARTITION standing FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
INSERT INTO orders VALUES (8, '2026-04-08', 'attached');
UPDATE orders SET note = 'y' WHERE id = 50;
ALTER TABLE orders DETACH PARTITION orders_1;
INSERT INTO orders_1 VALUES (9, '2026-01-09', 'detached');
UPDATE orders_1 SET note = 'alone' WHERE id = 1;
TRUNCATE orders_3;
INSERT INTO orders VALUES (10, '2026-03-10', 'z');
INSERT INTO zz_last VALUES (1);
";

const LEAVES: &str = "CREATE PUBLICATION captured FOR ALL TABLES;";
const ROOTS: &str = "CREATE PUBLICATION captured FOR ALL TABLES WITH (publish_via_partition_root);";

#[test]
fn changes_through_leaves_are_debeziums_on_postgresql_15() {
    compare(&shared::stack().postgres15, LEAVES);
}

#[test]
fn changes_through_leaves_are_debeziums_on_postgresql_18() {
    compare(&shared::stack().postgres18, LEAVES);
}

#[test]
fn changes_through_the_root_are_debeziums_on_postgresql_15() {
    compare(&shared::stack().postgres15, ROOTS);
}

#[test]
fn changes_through_the_root_are_debeziums_on_postgresql_18() {
    compare(&shared::stack().postgres18, ROOTS);
}

/// Debezium's snapshot reads every row twice, into the topic of its leaf and into those of all tables above. The reader
/// reads it where its changes arrive. So of the snapshot those topics are compared that the reader writes, without the
/// marks, which count tables.
fn compare(server: &PostgresAddress, publication: &str) {
    let stack = shared::stack();
    let debezium = stack.connect();
    let id = unique(&format!("parts{}", server.version));
    let (theirs, ours) = (format!("d_{id}"), format!("o_{id}"));
    let source = Source::create(server, &id);
    source.run(BEFORE);
    source.run(publication);
    debezium.create(&Connector::new(&source, &theirs).json()).unwrap();
    source.wait_until_active(&theirs);
    let reader = Launch::new(&Connector::new(&source, &ours), &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(AFTER);
    let stream = |line: &str| (!line.contains("\"op\":\"r\"")).then(|| line.to_owned());
    wait_until_same(&theirs, &ours, "public.zz_last", stream);
    let [expected, actual] = side_by_side(&theirs, &ours, stream);
    assert_eq!(expected, actual, "the stream");
    assert!(expected.values().map(Vec::len).sum::<usize>() >= 15, "{expected:#?}");
    let marked = |line: &str| {
        let (row, rest) = line.split_once(",\"snapshot\":\"")?;
        line.contains("\"op\":\"r\"").then(|| format!("{row}{}", &rest[rest.find('"').unwrap()..]))
    };
    let [mut expected, actual] = side_by_side(&theirs, &ours, marked);
    let twice = if publication == LEAVES {
        ["public.orders", "public.orders_2"].as_slice()
    } else {
        ["public.orders_1", "public.orders_2", "public.orders_2_rest"].as_slice()
    };
    for topic in twice {
        let rows = expected.remove(*topic);
        assert!(rows.is_some_and(|rows| !rows.is_empty()), "Debezium no longer reads {topic}");
    }
    assert_eq!(expected, actual, "the snapshot");
    debezium.delete(&theirs).unwrap();
    reader.stop();
}

/// The last state of all topics together is the table's, and no row stands in two of them.
#[test]
fn each_row_is_in_one_topic() {
    let stack = shared::stack();
    for publication in [LEAVES, ROOTS] {
        let id = unique("oneplace");
        let source = Source::create(&stack.postgres18, &id);
        source.run(BEFORE);
        source.run(publication);
        let reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
        reader.wait_for_line("streaming");
        source.run(
            "INSERT INTO orders VALUES (5, '2026-02-05', 'd'); DELETE FROM orders WHERE id = 1;",
        );
        let tables = ["orders", "orders_1", "orders_2", "orders_2_rest"];
        let expected = source.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM orders");
        wait_for(PATIENCE, "the topics to hold the table's rows, each once", || {
            let mut ids: Vec<i64> = tables
                .iter()
                .flat_map(|table| {
                    let topic = records(&stack.kafka_bootstrap, &format!("{id}.public.{table}"));
                    let rows: BTreeMap<_, _> = compacted(&topic);
                    rows.into_values().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>()
                })
                .collect();
            ids.sort_unstable();
            let ids = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            if ids == expected { Ok(Some(())) } else { Err(ids) }
        });
        reader.stop();
    }
}

/// What is captured must arrive somewhere, and the message says which setting makes it arrive.
#[test]
fn a_partitioned_table_whose_changes_arrive_elsewhere_is_named_at_the_first_start() {
    let stack = shared::stack();
    for (publication, captured, words) in [
        (LEAVES, "public.orders", ["table public.orders", "publish_via_partition_root"]),
        (ROOTS, "public.orders_1", ["table public.orders_1", "public.orders"]),
    ] {
        let id = unique("elsewhere");
        let source = Source::create(&stack.postgres18, &id);
        source.run(BEFORE);
        source.run(publication);
        let connector = Connector::new(&source, &id)
            .without("schema.include.list")
            .set("table.include.list", captured);
        let mut reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
        let (code, log) = reader.wait_for_end(PATIENCE);
        assert_eq!(code, 2, "{log}");
        assert!(words.iter().all(|word| log.contains(word)), "{words:?} in\n{log}");
    }
}
