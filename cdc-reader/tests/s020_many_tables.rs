//! Many tables on a server that has room for few locks: the snapshot ends, the reader's memory stays bounded, and the
//! snapshot notices a table that changed before it was read, and names the setting when there is no way.

use devstack::{Postgres, PostgresOptions, shared, wait_for};

use crate::support::{
    Connector, Launch, PATIENCE, Reader, Source, record_count, records, topics_of, unique,
};

/// Tables, each with an index.
const TABLES: u64 = 1200;

/// What the process may have resident with thousands of tables, in MiB.
const PEAK_MEBIBYTES_MAX: u64 = 128;

/// Room for about 800 locks, and half as many again in what the server keeps for other purposes.
fn small_server(version: u16) -> Postgres {
    let options = PostgresOptions::new(version)
        .fsync(false)
        .setting("max_connections", "25")
        .setting("max_locks_per_transaction", "10");
    Postgres::start(options).unwrap()
}

/// One transaction for each table, which the server has room for.
fn make_tables(source: &Source, statement: &str) {
    make_so_many_tables(source, TABLES, statement);
}

fn make_so_many_tables(source: &Source, tables: u64, statement: &str) {
    source.run(&format!(
        "DO $$
         BEGIN
             FOR n IN 1..{tables} LOOP
                 {statement}
                 COMMIT;
             END LOOP;
         END $$;"
    ));
}

const PLAIN: &str = "
    EXECUTE format('CREATE TABLE t%s (id integer PRIMARY KEY, note text DEFAULT ''n'')', lpad(n::text, 4, '0'));
    EXECUTE format('INSERT INTO t%s VALUES (%s)', lpad(n::text, 4, '0'), n);";

/// Fails when the server has no room for a lock on each table, so that the tests test what they say.
fn check_room(source: &Source) {
    let all = source.psql().unwrap().run(
        "BEGIN; SELECT format('LOCK TABLE %I IN ACCESS SHARE MODE', relname) FROM pg_class WHERE relname ~ '^t' AND relkind = 'r' \\gexec
         SELECT format('SELECT FROM %I', relname) FROM pg_class WHERE relname ~ '^t' AND relkind = 'r' \\gexec
         COMMIT;",
    );
    let said = format!("{:#}", all.unwrap_err());
    assert!(said.contains("max_locks_per_transaction"), "{said}");
}

#[test]
fn a_snapshot_of_more_tables_than_the_server_has_room_to_lock_ends() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    for version in [15, 18] {
        let server = small_server(version);
        let id = unique(&format!("many{version}"));
        let source = Source::create(server.address(), &id);
        make_tables(&source, PLAIN);
        source.run("CREATE PUBLICATION captured FOR ALL TABLES");
        check_room(&source);
        let reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
        wait_for(PATIENCE * 3, "the snapshot to end", || {
            !reader.said("snapshot complete").is_empty()
        });
        assert_eq!(reader.said("snapshot complete")[0]["rows"], TABLES);
        source.run("INSERT INTO t1200 VALUES (0)");
        let topic = format!("{id}.public.t1200");
        wait_for(PATIENCE, "the stream", || record_count(bootstrap, &topic) == 2);
        let topics = topics_of(bootstrap, &id);
        assert_eq!(u64::try_from(topics.len()).unwrap(), TABLES);
        assert!(topics.values().all(|records| !records.is_empty()));
        assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.tail());
        check_memory(&reader);
        reader.stop();
        drop(source);
    }
}

#[track_caller]
fn check_memory(reader: &Reader) {
    let peak = reader.peak_mebibytes();
    eprintln!("resident MiB: {peak} at most, {} afterwards", reader.resident_mebibytes());
    assert!(peak < PEAK_MEBIBYTES_MAX, "{peak} MiB");
}

/// Each table has many columns, and few tables have rows. What the reader keeps of a table has to be little.
#[test]
fn the_memory_for_thousands_of_wide_tables_is_bounded() {
    const WIDE_TABLES: u64 = 2000;
    const COLUMNS: u64 = 80;
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = small_server(18);
    let id = unique("wide");
    let source = Source::create(server.address(), &id);
    source.run("CREATE PUBLICATION captured FOR ALL TABLES");
    let statement = format!(
        "EXECUTE (SELECT format('CREATE TABLE t%s (id integer PRIMARY KEY, %s)', lpad(n::text, 4, '0'),
                                string_agg(format('a_column_with_a_long_name_%s text DEFAULT ''a default''', c), ','))
                  FROM generate_series(1, {COLUMNS}) AS c);
         IF n % 100 = 0 THEN
             EXECUTE format('INSERT INTO t%s VALUES (%s)', lpad(n::text, 4, '0'), n);
         END IF;"
    );
    make_so_many_tables(&source, WIDE_TABLES, &statement);
    let connector = Connector::new(&source, &id)
        .set("topic.creation.default.partitions", "1")
        .set("topic.creation.default.replication.factor", "1");
    let reader = Launch::new(&connector, bootstrap).start();
    wait_for(PATIENCE * 5, "the snapshot to end", || {
        if reader.said("snapshot complete").is_empty() { Err(reader.tail()) } else { Ok(Some(())) }
    });
    assert_eq!(reader.said("snapshot complete")[0]["rows"], WIDE_TABLES / 100);
    check_memory(&reader);
    reader.stop();
    drop(source);
}

/// The rows of a rewritten table are not visible to the snapshot, and a renamed column is another one.
#[test]
fn a_table_that_changes_before_it_is_read_makes_the_snapshot_begin_again() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = small_server(18);
    let id = unique("changes");
    let source = Source::create(server.address(), &id);
    make_tables(&source, PLAIN);
    source.run("CREATE PUBLICATION captured FOR ALL TABLES; INSERT INTO t0001 SELECT n, repeat('x', 500) FROM generate_series(1000, 3000) AS n;");
    for (change, words) in [
        (
            "ALTER TABLE t1199 ALTER note DROP DEFAULT, ALTER note TYPE integer USING length(note)",
            "t1199 was rewritten",
        ),
        ("ALTER TABLE t1200 RENAME note TO remark", "t1200 was altered"),
    ] {
        let name = format!("{}_{id}", &words[..5]);
        // A small queue makes it slow.
        let connector =
            Connector::new(&source, &name).set("producer.override.buffer.memory", "16384");
        let reader = Launch::new(&connector, bootstrap).start();
        let first = format!("{name}.public.t0001");
        wait_for(PATIENCE * 3, "the first rows", || record_count(bootstrap, &first) > 0);
        reader.process.pause();
        assert!(reader.said("snapshot complete").is_empty());
        source.run(change);
        reader.process.resume();
        wait_for(PATIENCE * 3, "the snapshot to end", || {
            !reader.said("snapshot complete").is_empty()
        });
        assert!(reader.log().contains(words), "{}", reader.tail());
        for table in ["t0001", "t0300", "t1199", "t1200"] {
            let rows = records(bootstrap, &format!("{name}.public.{table}"));
            assert!(!rows.is_empty(), "{table}");
        }
        let last = records(bootstrap, &format!("{name}.public.t1199")).pop().unwrap();
        assert_eq!(last.json()["after"]["note"], 1, "as it is after the change");
        reader.stop();
        source.wait_until_free(&name);
    }
    drop(source);
}

/// One statement reads all partitions, so one statement needs the locks.
#[test]
fn a_partitioned_table_that_the_server_has_no_room_to_lock_is_a_set_up_problem() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = small_server(15);
    let id = unique("room");
    let source = Source::create(server.address(), &id);
    source.run("CREATE TABLE root (id integer PRIMARY KEY) PARTITION BY RANGE (id)");
    make_tables(
        &source,
        "EXECUTE format('CREATE TABLE t%s PARTITION OF root FOR VALUES FROM (%s) TO (%s)', n, n, n + 1);",
    );
    source.run("CREATE PUBLICATION captured FOR ALL TABLES WITH (publish_via_partition_root)");
    let mut reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    let (code, log) = reader.wait_for_end(PATIENCE * 3);
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("raise max_locks_per_transaction"), "{log}");
    drop(source);
}
