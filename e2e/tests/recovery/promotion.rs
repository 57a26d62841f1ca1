//! A hot backup is promoted. PostgreSQL 15 brings no logical slot along, so the reader has to be told how to go on.

use devstack::{Postgres, PostgresOptions, StopMode, Upstream};
use e2e::sql;

use super::{ROWS, Reader, assert_asks_an_operator, assert_equal, book, contents, rig, stop};
use crate::proofs::told;

/// Changes that nobody reads: made on the promoted server before it has a slot.
const UNREAD: &str = "
    DELETE FROM boarding_passes;
    DELETE FROM airports WHERE airport_code = 'CCC';
    UPDATE airports SET city = 'Biysk' WHERE airport_code = 'AAA';
    INSERT INTO airports VALUES ('DDD', 'D', 'Moscow', 1, 1, 'UTC')";

/// How long the reader waits for the slot to come to a promoted server: a second instead of a minute.
fn shorten_the_wait_for_a_slot(rig: &e2e::rig::Rig) {
    let path = rig.directory().join("connector.json");
    let mut connector: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    connector["config"]["slot.max.retries"] = "2".into();
    connector["config"]["slot.retry.delay.ms"] = "500".into();
    std::fs::write(&path, connector.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_hot_backup_is_read_on_and_no_gap_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let server = || PostgresOptions::new(15).fsync(false);
    let mut primary = Postgres::start(server()).unwrap();
    let upstream = Upstream::new("hot_backup", "replicator", "a secret").unwrap();
    let options = server().name("hot_backup").dir(dir.path().join("hot_backup"));
    let backup = Postgres::start_read_replica(primary.address(), &upstream, options).unwrap();
    let mut rig = rig("promoted", &primary);
    shorten_the_wait_for_a_slot(&rig);
    let source = sql::connect(&rig.source()).await.unwrap();
    source.batch_execute(ROWS).await.unwrap();
    let reader = Reader::start(&rig);
    let mut loader = rig.start_loader().unwrap();
    reader.wait_until_streaming();
    book(&source, 0..100).await;
    rig.settle().await.unwrap();
    let before = contents(&source).await;
    drop(source);

    // In order: the standby has everything when the primary has ended.
    primary.stop(StopMode::Fast).unwrap();
    reader.stop();
    backup.execute("postgres", "SELECT pg_promote(true, 60)").unwrap();
    rig.lead_to(backup.address());
    let source = sql::connect(&rig.source()).await.unwrap();
    assert_eq!(contents(&source).await, before, "the hot backup lacks commits");
    source.batch_execute(UNREAD).await.unwrap();

    let said = [
        "the server was promoted and does not have the replication slot yet",
        "the replication slot does not exist",
        "cdc-reader offset delete",
    ];
    assert_asks_an_operator(&rig, Reader::start(&rig), &said);
    // A slot that somebody makes by hand begins after the changes that nobody has read.
    let slot = rig.name().to_owned();
    let make = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    source.batch_execute(&make).await.unwrap();
    let said = ["somebody advanced the slot, or dropped it and made it again"];
    assert_asks_an_operator(&rig, Reader::start(&rig), &said);

    source.batch_execute(&format!("SELECT pg_drop_replication_slot('{slot}')")).await.unwrap();
    rig.offset("delete").unwrap();
    let reader = Reader::start(&rig);
    reader.wait_until_streaming();
    rig.settle().await.unwrap();
    let file = dir.path().join("vanished.jsonl");
    let output = rig.prove(&["reconcile", "--to", file.to_str().unwrap()]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("2 rows written to"), "{}", told(&output));
    reader.stop();
    let output = rig.reconcile(&file, &["--publish"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let reader = Reader::start(&rig);
    assert_equal(&rig).await;
    book(&source, 200..220).await;
    assert_equal(&rig).await;
    reader.stop();
    stop(&mut loader);
}
