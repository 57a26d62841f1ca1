//! Sessions that wait for each other: the server logs an insert before the unique check that makes it wait.

use std::time::Duration;

use devstack::{shared, wait_for_async};
use e2e::{oracle, sql};

use super::{rebuild_is_identical, replay_adds_nothing, rig};

const PATIENCE: Duration = Duration::from_secs(60);

/// `COPY` logs both rows at once and then waits at the first one's index entry, while a third session deletes the
/// second.
#[tokio::test]
async fn a_row_that_waited_for_the_delete_of_its_key_is_there() {
    let stack = shared::stack();
    let rig = rig("waiting", &stack.postgres18, &stack.kafka_bootstrap, 1);
    let connect = async || sql::connect(&rig.source()).await.unwrap();
    let (deleter, copier, other) = (connect().await, connect().await, connect().await);
    let copy = "COPY airports FROM PROGRAM
        'printf ''AAA,A,Omsk,1,2,UTC\\nBBB,B,Perm,1,2,UTC\\n''' (FORMAT csv)";
    other.batch_execute(copy).await.unwrap();
    let mut reader = rig.start_reader().unwrap();
    let mut loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();

    deleter.batch_execute("BEGIN; DELETE FROM airports WHERE airport_code = 'AAA'").await.unwrap();
    let pid = sql::one(&copier, "SELECT pg_backend_pid()").await.unwrap();
    let copying = tokio::spawn(async move { copier.batch_execute(copy).await });
    let waiting = format!("SELECT count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted");
    wait_for_async(PATIENCE, "the copy to wait", async || {
        sql::one(&other, &waiting).await.map(|count| count == "1").map_err(|err| err.to_string())
    })
    .await;
    other.batch_execute("DELETE FROM airports WHERE airport_code = 'BBB'").await.unwrap();
    deleter.batch_execute("COMMIT").await.unwrap();
    copying.await.unwrap().unwrap();
    rig.settle().await.unwrap();

    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let current = "SELECT string_agg(airport_code, ' ' ORDER BY airport_code) FROM dwh_marts.current_airports";
    assert_eq!(sql::one(&warehouse, current).await.unwrap(), "AAA BBB");
    let late =
        "SELECT string_agg(s.op, '' ORDER BY s.load_date) || bool_or(s.record_lsn < s.source_lsn)
                FROM dwh_detailed.sat_airports_status AS s
                JOIN dwh_detailed.hub_airports AS h USING (hash_key)
                WHERE h.airport_code = 'BBB'";
    assert_eq!(sql::one(&warehouse, late).await.unwrap(), "rdctrue");
    oracle::verify_checks(&warehouse).await.unwrap();

    reader.terminate();
    assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 0);
    replay_adds_nothing(&rig, &mut loader, &warehouse).await;
    rebuild_is_identical(&rig, &warehouse).await;
}
