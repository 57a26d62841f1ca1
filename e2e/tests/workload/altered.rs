//! Somebody changes a table of the source while the pipeline runs, and tells nobody.

use std::time::Duration;

use devstack::shared;
use e2e::{oracle, sql};

use super::{rebuild_is_identical, replay_adds_nothing, rig};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_column_that_is_added_or_dropped_at_the_source_stops_nothing() {
    let stack = shared::stack();
    let rig = rig("altered", &stack.postgres15, &stack.kafka_bootstrap, 3);
    let source = sql::connect(&rig.source()).await.unwrap();
    let airports = "INSERT INTO airports
        VALUES ('AAA', 'A', 'Omsk', 1, 2, 'UTC'), ('BBB', 'B', 'Perm', 1, 2, 'UTC')";
    source.batch_execute(airports).await.unwrap();
    let mut reader = rig.start_reader().unwrap();
    let mut loader = rig.start_loader().unwrap();
    rig.wait_until_streaming(&reader).unwrap();
    rig.settle().await.unwrap();

    source
        .batch_execute(
            "ALTER TABLE airports ADD COLUMN elevation int;
             UPDATE airports SET elevation = 95 WHERE airport_code = 'AAA';
             UPDATE airports SET city = 'Kirov' WHERE airport_code = 'BBB';
             INSERT INTO bookings VALUES ('000001', '2026-01-02 03:04:05+00', 12.50);",
        )
        .await
        .unwrap();
    rig.settle().await.unwrap();
    let warehouse = sql::connect(&rig.warehouse(rig.name())).await.unwrap();
    let elevations = "SELECT string_agg(h.airport_code || ' ' || s.city || ' ' || coalesce(s.elevation::text, '-'), ', '
                                        ORDER BY h.airport_code, s.load_date)
                      FROM dwh_detailed.sat_airports AS s
                      JOIN dwh_detailed.hub_airports AS h USING (hash_key)
                      WHERE s.record_source <> 'SYSTEM'";
    let expected = "AAA Omsk -, AAA Omsk 95, BBB Perm -, BBB Kirov -";
    assert_eq!(sql::one(&warehouse, elevations).await.unwrap(), expected);
    let bookings = "SELECT count(*)::text FROM dwh_marts.current_bookings";
    assert_eq!(sql::one(&warehouse, bookings).await.unwrap(), "1");

    source
        .batch_execute(
            "ALTER TABLE airports DROP COLUMN elevation;
             UPDATE airports SET city = 'Tomsk' WHERE airport_code = 'AAA';",
        )
        .await
        .unwrap();
    rig.settle().await.unwrap();
    let expected = "AAA Omsk -, AAA Omsk 95, AAA Tomsk -, BBB Perm -, BBB Kirov -";
    assert_eq!(sql::one(&warehouse, elevations).await.unwrap(), expected);
    let paused = "SELECT count(*)::text FROM dwh_control.paused_tables";
    assert_eq!(sql::one(&warehouse, paused).await.unwrap(), "0");
    oracle::verify_checks(&warehouse).await.unwrap();

    reader.terminate();
    assert_eq!(reader.wait_exit(PATIENCE).unwrap(), 0);
    replay_adds_nothing(&rig, &mut loader, &warehouse).await;
    rebuild_is_identical(&rig, &warehouse).await;
}
