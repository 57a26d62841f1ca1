//! Somebody drops a table. The source is recovered to the transaction before, by pgBackRest, while reader and loader
//! run.

use std::time::Instant;

use devstack::{Archive, BackupKind, Postgres, PostgresOptions, RecoveryPoint};
use e2e::sql;

use super::{ROWS, Reader, assert_asks_an_operator, assert_equal, book, contents, rig, stop};

/// What the reader says of a source that went back: which timeline, that changes are in Kafka alone, and what to do.
const SAID: [&str; 5] = [
    "timeline 2 of the server left timeline 1 at",
    "are in Kafka and not in the source",
    "vault-loader epoch start --all --source-restored",
    "vault-loader epoch close-missing --all --apply",
    "cdc-reader offset accept",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_comes_back_and_the_pipeline_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::at(&dir.path().join("archive")).unwrap();
    let options = PostgresOptions::new(15).fsync(false).name("source").archive(&archive);
    let mut server = Postgres::start(options).unwrap();
    let rig = rig("recovered", &server);
    let source = sql::connect(&rig.source()).await.unwrap();
    source.batch_execute(ROWS).await.unwrap();
    let reader = Reader::start(&rig);
    let mut loader = rig.start_loader().unwrap();
    reader.wait_until_streaming();
    archive.backup("source", BackupKind::Full).unwrap();
    book(&source, 0..200).await;

    let before = contents(&source).await;
    source.batch_execute("BEGIN; DROP TABLE tickets CASCADE").await.unwrap();
    let xid = sql::one(&source, "SELECT pg_current_xact_id()").await.unwrap();
    source.batch_execute("COMMIT").await.unwrap();
    // Nobody has noticed yet, and these changes are published.
    source
        .batch_execute(
            "INSERT INTO bookings VALUES ('LATER1', '2026-03-01 00:00+00', 1);
             UPDATE airports SET city = 'Ufa' WHERE airport_code = 'AAA';
             DELETE FROM airports WHERE airport_code = 'CCC'",
        )
        .await
        .unwrap();
    rig.settle().await.unwrap();
    drop(source);

    let begun = Instant::now();
    server.restore(&RecoveryPoint::before_transaction(&xid)).unwrap();
    println!("recovered in {:.1} s", begun.elapsed().as_secs_f64());
    let source = sql::connect(&rig.source()).await.unwrap();
    assert_eq!(
        contents(&source).await,
        before,
        "the source holds what it held before the accident"
    );
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(sql::one(&source, slots).await.unwrap(), "0", "no slot comes back");

    // The reader has found the recovered server by itself. A second start finds the same.
    assert_asks_an_operator(&rig, reader, &SAID);
    assert_asks_an_operator(&rig, Reader::start(&rig), &SAID);
    // Customers book on meanwhile.
    book(&source, 300..320).await;

    let reason = "recovered to the transaction before DROP TABLE tickets";
    rig.loader_command(&["epoch", "start", "--all", "--source-restored", "--reason", reason])
        .unwrap();
    rig.offset("delete").unwrap();
    let reader = Reader::start(&rig);
    reader.wait_until_streaming();
    rig.settle().await.unwrap();
    rig.loader_command(&["epoch", "close-missing", "--all", "--apply"]).unwrap();
    assert_equal(&rig).await;

    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let shown = "SELECT concat_ws(' ', (SELECT count(*) FROM dwh_marts.current_bookings WHERE book_ref = 'LATER1'),
                                       (SELECT count(*) FROM dwh_marts.current_tickets),
                                       (SELECT city FROM dwh_marts.current_airports WHERE airport_code = 'AAA'),
                                       (SELECT count(*) FROM dwh_marts.current_airports))";
    assert_eq!(sql::one(&warehouse, shown).await.unwrap(), "0 221 Omsk 3");
    book(&source, 400..420).await;
    assert_equal(&rig).await;
    // The recovered server is archived on, and can be backed up.
    archive.backup("source", BackupKind::Incremental).unwrap();
    reader.stop();
    stop(&mut loader);
}
