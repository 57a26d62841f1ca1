//! What others do on the source does not hold up the reader: locks on tables that are none of its business, on the
//! catalog, limits on the time of transactions.

use ::shared::postgres::ConnectOptions;
use cdc_reader::catalog;
use cdc_reader::replication::{Client, Mode, WaitLimit};
use devstack::{Postgres, PostgresOptions, shared, wait_for};

use crate::support::load::{rows, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

#[test]
fn a_lock_on_a_table_that_is_not_captured_does_not_hold_up_a_start() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    // A server of its own: nobody could make a slot on the shared one meanwhile.
    let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let id = unique("locked");
    let source = Source::with_load(server.address(), &id);
    source.run("CREATE TABLE other (id integer PRIMARY KEY, made timestamptz DEFAULT now())");
    let connector = Connector::new(&source, &id)
        .without("schema.include.list")
        .set("table.include.list", "public.load");
    let launch = Launch::new(&connector, bootstrap);
    let reader = launch.start();
    reader.wait_for_line("streaming");
    reader.stop();
    // The second start makes no slot, which would have to wait for this transaction.
    let locked = source.open_transaction("LOCK TABLE other IN ACCESS EXCLUSIVE MODE;");
    let reader = launch.start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 20));
    source.wait_until_published(bootstrap, &id);
    reader.stop();
    drop(locked);
    drop(source);
}

/// Nobody can connect while `pg_database` is locked. The stream has its connection already.
#[test]
fn a_source_that_lets_nobody_in_does_not_hold_up_the_stream() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let id = unique("closed");
    let source = Source::with_load(server.address(), &id);
    let reader = Launch::new(&Connector::new(&source, &id), bootstrap).start();
    reader.wait_for_line("streaming");
    source.run("INSERT INTO load VALUES (0, 1)");
    source.wait_until_published(bootstrap, &id);
    let mut writer = source.session();
    // The watch's connection goes, and it cannot make another one.
    let locked = source.open_transaction(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'cdc-reader' AND backend_type = 'client backend';
         LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE;",
    );
    writer.run(&transactions(1, 3000));
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "the load to arrive while nobody can connect", || {
        record_count(bootstrap, &topic) > 9000
    });
    drop(locked);
    source.wait_until_published(bootstrap, &id);
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.log());
    reader.stop();
    drop(source);
}

/// PostgreSQL 17 and later can limit the time of a transaction; a snapshot is one, and so is what a walsender decodes.
#[test]
fn a_limit_on_the_time_of_transactions_does_not_end_a_snapshot_or_a_large_transaction() {
    let bootstrap = &shared::stack().kafka_bootstrap;
    let server = Postgres::start(PostgresOptions::new(18).fsync(false)).unwrap();
    let id = unique("limited");
    let source = Source::with_load(server.address(), &id);
    source.run(&rows(1, 10_000));
    source.run(&format!("ALTER DATABASE {id} SET transaction_timeout = '1s'"));
    // A small queue makes it slow.
    let connector = Connector::new(&source, &id).set("producer.override.buffer.memory", "16384");
    let reader = Launch::new(&connector, bootstrap).start();
    let topic = format!("{id}.public.load");
    wait_for(PATIENCE, "the first rows of the snapshot", || record_count(bootstrap, &topic) > 0);
    reader.process.pause();
    // The limit ends a transaction that began after the snapshot's: the snapshot's has then outlived the limit.
    let ended = source.open_transaction("SET LOCAL application_name = 'to be ended';");
    let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'to be ended'";
    wait_for(PATIENCE, "the limit to end a transaction", || source.value(query) == "0");
    drop(ended);
    let complete = reader.said("snapshot complete");
    assert!(complete.is_empty(), "the limit was not put to the test: {complete:?}");
    reader.process.resume();
    reader.wait_for_line("streaming");
    source.run(&rows(20_001, 10_000));
    source.wait_until_published(bootstrap, &id);
    assert!(reader.said("session ended, trying again").is_empty(), "{}", reader.log());
    reader.stop();
    drop(source);
}

/// We ask the catalog itself, because the server's view waits for locks on tables; it has to say the same.
#[test]
fn the_published_tables_are_those_that_the_server_lists() {
    let stack = shared::stack();
    for server in [&stack.postgres15, &stack.postgres18] {
        let id = unique(&format!("published{}", server.version));
        let source = Source::create(server, &id);
        source.run(
            "CREATE SCHEMA s; CREATE SCHEMA t;
             CREATE TABLE s.plain (a integer); CREATE TABLE t.plain (a integer);
             CREATE UNLOGGED TABLE s.unlogged (a integer); CREATE VIEW s.seen AS SELECT 1 AS a;
             CREATE TABLE s.root (a integer) PARTITION BY RANGE (a);
             CREATE TABLE s.low PARTITION OF s.root FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (a);
             CREATE TABLE t.lowest PARTITION OF s.low FOR VALUES FROM (0) TO (5);
             CREATE TABLE s.high PARTITION OF s.root FOR VALUES FROM (10) TO (20);
             CREATE TABLE s.parent (a integer); CREATE TABLE s.child () INHERITS (s.parent);
             CREATE PUBLICATION everything FOR ALL TABLES;
             CREATE PUBLICATION everything_by_root FOR ALL TABLES WITH (publish_via_partition_root);
             CREATE PUBLICATION schema FOR TABLES IN SCHEMA s;
             CREATE PUBLICATION schema_by_root FOR TABLES IN SCHEMA t WITH (publish_via_partition_root);
             CREATE PUBLICATION named FOR TABLE s.low, ONLY s.parent, t.plain;
             CREATE PUBLICATION named_by_root FOR TABLE s.low, s.high, s.parent WITH (publish_via_partition_root);
             CREATE PUBLICATION nothing;",
        );
        let mut options = ConnectOptions::new(&server.host, server.port, &id);
        (options.user, options.password) =
            (server.user.clone(), ::shared::secret::Secret::new(server.password.clone()));
        let mut client = Client::connect(&options, Mode::Sql, WaitLimit::brief()).unwrap();
        let version = u32::from(server.version) * 10_000;
        for publication in source.value("SELECT pubname FROM pg_publication ORDER BY 1").lines() {
            let ours =
                catalog::publication(&mut client, publication, version).unwrap().unwrap().tables;
            let ours: Vec<String> =
                ours.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
            let theirs = source.value(&format!(
                "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = '{publication}'
                 ORDER BY schemaname, tablename"
            ));
            assert_eq!(ours.join("\n"), theirs, "{publication} on {}", server.version);
        }
    }
}
