//! What a publication holds back is held back by the snapshot too: rows outside a row filter, columns outside a column
//! list. Each row of tables that inherit from each other stands in one topic. `filtered` mode keeps what somebody gave
//! the publication.

use std::collections::BTreeSet;

use ::shared::postgres::ConnectOptions;
use cdc_reader::catalog;
use cdc_reader::replication::{Client, Mode, WaitLimit};
use devstack::{PostgresAddress, shared, wait_for};

use crate::support::{Connector, Launch, PATIENCE, Record, Source, records, unique};

/// Columns and keys of each record of a topic, with the operation.
fn shapes(records: &[Record], op: &str) -> BTreeSet<String> {
    let of_op = records.iter().filter(|record| record.json()["op"] == op);
    let shape = |record: &Record| {
        let row = record.json()["after"].clone();
        let columns: Vec<&String> = row.as_object().unwrap().keys().collect();
        let key: serde_json::Value = serde_json::from_str(record.key.as_ref().unwrap()).unwrap();
        format!("{columns:?} by {:?}", key.as_object().unwrap().keys().collect::<Vec<_>>())
    };
    of_op.map(shape).collect()
}

/// The values of `id` in a topic's records with this operation.
fn ids(records: &[Record], op: &str) -> Vec<i64> {
    let of_op = records.iter().filter(|record| record.json()["op"] == op);
    let mut ids: Vec<i64> = of_op.map(|r| r.json()["after"]["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_snapshot_reads_the_rows_and_columns_that_the_stream_sends() {
    for server in [&shared::stack().postgres15, &shared::stack().postgres18] {
        check_parts(server);
    }
}

fn check_parts(server: &PostgresAddress) {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let id = unique(&format!("part{}", server.version));
    let source = Source::create(server, &id);
    source.run(
        "CREATE TABLE open (id integer PRIMARY KEY, name text, secret text, \"Kind\" text);
         CREATE TABLE key_in_part (id integer, b integer, c text, d text, PRIMARY KEY (b, id));
         CREATE TABLE root (id integer PRIMARY KEY, hidden boolean, note text) PARTITION BY RANGE (id);
         CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (1000);
         CREATE TABLE parent (id integer PRIMARY KEY, note text);
         CREATE TABLE child (extra integer, PRIMARY KEY (id)) INHERITS (parent);
         CREATE PUBLICATION captured FOR TABLE
             open (id, \"Kind\", name) WHERE (id > 10 AND \"Kind\" <> 'x'), key_in_part (id, c), root (id, hidden) WHERE (NOT hidden),
             parent
             WITH (publish = 'insert', publish_via_partition_root);
         INSERT INTO open VALUES (1, 'a', 's', 'y'), (11, 'b', 's', 'x'), (12, 'c', 's', 'y'), (13, 'd', 's', NULL);
         INSERT INTO key_in_part VALUES (1, 1, 'c', 'd');
         INSERT INTO root VALUES (1, false, 'n'), (2, true, 'n'), (3, NULL, 'n');
         INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 5);",
    );
    let connector = Connector::new(&source, &id).set("skipped.operations", "u,d,t");
    let reader = Launch::new(&connector, bootstrap).start();
    reader.wait_for_line("streaming");
    source.run(
        "INSERT INTO open VALUES (2, 'a', 's', 'y'), (21, 'b', 's', 'x'), (22, 'c', 's', 'y'), (23, 'd', 's', NULL);
         INSERT INTO key_in_part VALUES (2, 1, 'c', 'd');
         INSERT INTO root VALUES (11, false, 'n'), (12, true, 'n'), (13, NULL, 'n');
         INSERT INTO parent VALUES (11, 'p'); INSERT INTO child VALUES (12, 'c', 5);",
    );
    let topic = |table: &str| records(bootstrap, &format!("{id}.public.{table}"));
    let read_and_created: [(&str, &[i64], &[i64]); 5] = [
        ("open", &[12], &[22]),
        ("key_in_part", &[1], &[2]),
        ("root", &[1], &[11]),
        ("parent", &[1], &[11]),
        ("child", &[2], &[12]),
    ];
    for (table, read, created) in read_and_created {
        wait_for(PATIENCE, &format!("the insert into {table}"), || {
            !ids(&topic(table), "c").is_empty()
        });
        let records = topic(table);
        assert_eq!(
            (ids(&records, "r"), ids(&records, "c")),
            (read.to_vec(), created.to_vec()),
            "{table}"
        );
        assert_eq!(shapes(&records, "r"), shapes(&records, "c"), "{table}");
    }
    assert_eq!(topic("leaf"), [], "its rows are the root's");
    reader.stop();
}

/// We ask the catalog itself, because the server's view waits for locks on tables; it has to say the same.
#[test]
fn the_published_parts_are_those_that_the_server_lists() {
    let stack = shared::stack();
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("parts{}", server.version));
        let source = Source::create(server, &id);
        source.run(
            "CREATE SCHEMA s;
             CREATE TABLE s.a (a integer PRIMARY KEY, b integer, \"C\" text, gone integer); ALTER TABLE s.a DROP gone;
             CREATE TABLE b (a integer PRIMARY KEY);
             CREATE PUBLICATION everything FOR ALL TABLES;
             CREATE PUBLICATION rows FOR TABLE s.a WHERE (b > 1), b;
             CREATE PUBLICATION columns FOR TABLE s.a (\"C\", a), b;
             CREATE PUBLICATION rows_and_columns FOR TABLE s.a (a, b) WHERE (b > 1 OR \"C\" = 'it''s');
             CREATE PUBLICATION schema_wins FOR TABLES IN SCHEMA s, TABLE s.a WHERE (b > 1), b WHERE (a = 1);",
        );
        let mut options = ConnectOptions::new(&server.host, server.port, &id);
        (options.user, options.password) =
            (server.user.clone(), ::shared::secret::Secret::new(server.password.clone()));
        let mut client = Client::connect(&options, Mode::Sql, WaitLimit::brief()).unwrap();
        let version = u32::from(server.version) * 10_000;
        for publication in source.value("SELECT pubname FROM pg_publication ORDER BY 1").lines() {
            let parts = catalog::published_parts(&mut client, publication, version).unwrap();
            let published =
                catalog::publication(&mut client, publication, version).unwrap().unwrap();
            let ours: Vec<String> = published
                .tables
                .iter()
                .map(|table| {
                    let part = parts.get(&table.oid).cloned().unwrap_or_default();
                    let columns = part.columns.map_or("all".to_owned(), |columns| {
                        columns
                            .into_iter()
                            .collect::<BTreeSet<_>>()
                            .into_iter()
                            .collect::<Vec<_>>()
                            .join(",")
                    });
                    format!("{} {} {columns}", table.name, part.row_filter.unwrap_or_default())
                })
                .collect();
            // The view lists all columns where there is no list.
            let theirs = source.value(&format!(
                "SELECT p.tablename || ' ' || coalesce(p.rowfilter, '') || ' ' ||
                        CASE WHEN cardinality(p.attnames) = (SELECT count(*) FROM information_schema.columns c
                                                             WHERE c.table_schema = p.schemaname AND c.table_name = p.tablename)
                             THEN 'all' ELSE (SELECT string_agg(x, ',' ORDER BY x COLLATE \"C\") FROM unnest(p.attnames) AS x) END
                 FROM pg_publication_tables p WHERE pubname = '{publication}'
                 ORDER BY p.schemaname, p.tablename"
            ));
            assert_eq!(ours.join("\n"), theirs, "{publication} on {}", server.version);
        }
    }
}

#[test]
fn filtered_mode_adds_and_drops_tables_and_leaves_the_others_as_they_are() {
    let stack = shared::stack();
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("filtered{}", server.version));
        let source = Source::create(server, &id);
        source.run(
            "CREATE SCHEMA s;
             CREATE TABLE s.whole (id integer PRIMARY KEY);
             CREATE TABLE part (id integer PRIMARY KEY, note text, secret text);
             CREATE TABLE added (id integer PRIMARY KEY);
             CREATE TABLE other (id integer PRIMARY KEY);
             CREATE PUBLICATION rows FOR TABLES IN SCHEMA s, TABLE part WHERE (id > 10), other;
             CREATE PUBLICATION columns FOR TABLE part (id, note) WHERE (id > 10), other;",
        );
        let parts = |publication: &str| {
            source.value(&format!(
                "SELECT string_agg(schemaname || '.' || tablename || coalesce(' ' || rowfilter, '') || ' ' || cardinality(attnames), ', '
                                   ORDER BY schemaname, tablename)
                 FROM pg_publication_tables WHERE pubname = '{publication}'"
            ))
        };
        for (publication, tables, expected) in [
            (
                "rows",
                "public.part,public.added,s.whole",
                "public.added 1, public.part (id > 10) 3, s.whole 1",
            ),
            ("columns", "public.part,public.added", "public.added 1, public.part (id > 10) 2"),
        ] {
            let name = format!("{publication}_{id}");
            let connector = Connector::new(&source, &name)
                .without("schema.include.list")
                .set("table.include.list", tables)
                .set("publication.name", publication)
                .set("publication.autocreate.mode", "filtered");
            let launch = Launch::new(&connector, &stack.kafka_bootstrap);
            for _ in 0..2 {
                let reader = launch.start();
                reader.wait_for_line("streaming");
                assert_eq!(parts(publication), expected);
                reader.stop();
                source.wait_until_free(&name);
            }
        }
        assert_eq!(
            source.value("SELECT count(*) FROM pg_publication_namespace"),
            "1",
            "the schema is still a part of the publication"
        );
    }
}

#[test]
fn a_publication_is_made_as_the_property_for_partitioned_tables_says() {
    let stack = shared::stack();
    let id = unique("viaroot");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE root (id integer PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE leaf PARTITION OF root DEFAULT;
         INSERT INTO root VALUES (1);",
    );
    let connector = Connector::new(&source, &id)
        .set("publication.autocreate.mode", "filtered")
        .set("publish.via.partition.root", "true");
    let reader = Launch::new(&connector, &stack.kafka_bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO root VALUES (2)");
    let topic = |table: &str| records(&stack.kafka_bootstrap, &format!("{id}.public.{table}"));
    wait_for(PATIENCE, "the insert", || topic("root").len() == 2);
    assert_eq!(topic("leaf"), []);
    reader.stop();
}

/// The catalog is ahead of the stream: the names were exchanged after the rows that are read.
#[test]
fn a_table_is_looked_up_by_its_oid_and_keeps_its_key_when_two_names_are_exchanged() {
    let stack = shared::stack();
    let id = unique("exchanged");
    let source = Source::create(&stack.postgres18, &id);
    source.run(
        "CREATE TABLE one (id integer PRIMARY KEY, code integer NOT NULL);
         CREATE TABLE two (id integer NOT NULL, code integer PRIMARY KEY);
         ALTER TABLE one REPLICA IDENTITY FULL; ALTER TABLE two REPLICA IDENTITY FULL;
         CREATE PUBLICATION captured FOR ALL TABLES;",
    );
    let launch = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    reader.stop();
    source.wait_until_free(&id);
    source.run(
        "INSERT INTO one VALUES (1, 2); INSERT INTO two VALUES (3, 4);
         ALTER TABLE one RENAME TO old; ALTER TABLE two RENAME TO one; ALTER TABLE old RENAME TO two;",
    );
    let reader = launch.start();
    for (table, key) in [("one", "{\"id\":1}"), ("two", "{\"code\":4}")] {
        let topic = || records(&stack.kafka_bootstrap, &format!("{id}.public.{table}"));
        wait_for(PATIENCE, "the insert", || topic().len() == 1);
        assert_eq!(topic()[0].key.as_deref(), Some(key), "{table}");
    }
    reader.stop();
}

#[test]
fn a_slot_that_hands_out_prepared_transactions_is_refused_by_name() {
    let stack = shared::stack();
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("twophase{}", server.version));
        let source = Source::with_load(server, &id);
        source.run(&format!(
            "SELECT pg_create_logical_replication_slot('{id}', 'pgoutput', false, true)"
        ));
        let mut reader = Launch::new(&Connector::new(&source, &id), &stack.kafka_bootstrap).start();
        let (code, log) = reader.wait_for_end(PATIENCE);
        assert_eq!(code, 2, "{log}");
        assert!(log.contains(&format!("replication slot {id} was made with two_phase")), "{log}");
    }
}
