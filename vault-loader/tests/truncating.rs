//! Truncates: they close the keys that were open before them, and no others, in whatever order events arrive.

use crate::support::queries::{EVENTS, STATUS};
use crate::support::{Event, World, airport, create, delete, fingerprint, read, rows, truncate};

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_closes_every_open_key_before_it_and_none_after() {
    let mut world = World::new("truncate").await;
    world
        .publish_all([
            read("airports", airport("AAA", "Omsk")),
            create("airports", 10, airport("BBB", "Tomsk")),
            create("airports", 20, airport("CCC", "Perm")),
            delete("airports", 30, airport("CCC", "")),
            truncate("airports", 40),
            create("airports", 50, airport("BBB", "Tomsk")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let expected =
        ["(AAA,r,f)", "(AAA,t,t)", "(BBB,c,f)", "(BBB,t,t)", "(BBB,c,f)", "(CCC,c,f)", "(CCC,d,t)"];
    world.assert_rows(STATUS, &expected).await;
    world.assert_rows("SELECT source_lsn FROM dwh_control.truncations", &["(40)"]).await;
    world.assert_rows(EVENTS, &["(6,500)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_also_closes_keys_whose_events_arrive_behind_it() {
    let mut world = World::new("late").await;
    world.create_topic("airports", 2).await;
    let mut loader = world.loader("loader");
    world.publish(truncate("airports", 40)).await;
    world.loaded().await;
    let elsewhere = |event: Event| Event { partition: 1, ..event };
    world
        .publish_all([
            elsewhere(create("airports", 10, airport("AAA", "Omsk"))),
            elsewhere(create("airports", 50, airport("AAA", "Omsk"))),
            elsewhere(create("airports", 20, airport("BBB", "Tomsk"))),
        ])
        .await;
    world.loaded().await;
    world
        .assert_rows(STATUS, &["(AAA,c,f)", "(AAA,t,t)", "(AAA,c,f)", "(BBB,c,f)", "(BBB,t,t)"])
        .await;
    world.end(&mut loader);
}

/// What a snapshot read and a truncate are ordered by their positions, whichever is loaded first.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_closes_what_an_earlier_snapshot_read_and_nothing_else() {
    let mut world = World::new("snapshots").await;
    world.create_topic("airports", 2).await;
    let elsewhere = |event: Event| Event { partition: 1, ..event };
    let read_at =
        |lsn: i64, code: &str| Event { lsn, ..elsewhere(read("airports", airport(code, "Omsk"))) };
    world.publish(read_at(10, "AAA")).await;
    world.publish(elsewhere(create("airports", 20, airport("BBB", "Tomsk")))).await;
    world.publish(truncate("airports", 40)).await;
    world.publish(read_at(50, "CCC")).await;
    let mut fingerprints = Vec::new();
    for (first, last_count) in [(0, 3), (1, 1)] {
        let elsewhere = world.elsewhere(&first.to_string()).await;
        let (client, variables) = (&elsewhere.client, elsewhere.variables(&[]));
        // The other partition waits as if it were loaded.
        client
            .execute(
                "INSERT INTO dwh_control.offsets VALUES ($1, $2, $3)",
                &[&world.topic("airports"), &(1 - first), &i64::from(last_count)],
            )
            .await
            .unwrap();
        let mut loader = world.loader_with(&format!("first{first}"), &variables);
        world.loaded_into(client).await;
        world.end(&mut loader);
        client
            .execute(
                "UPDATE dwh_control.offsets SET next_offset = 0 WHERE partition = $1",
                &[&(1 - first)],
            )
            .await
            .unwrap();
        let mut loader = world.loader_with(&format!("then{first}"), &variables);
        world.loaded_into(client).await;
        world.end(&mut loader);
        let expected = ["(AAA,r,f)", "(AAA,t,t)", "(BBB,c,f)", "(BBB,t,t)", "(CCC,r,f)"];
        assert_eq!(rows(client, STATUS).await, expected, "partition {first} first");
        fingerprints.push(fingerprint(client).await);
    }
    assert_eq!(fingerprints[0], fingerprints[1]);
}

/// A first snapshot was interrupted, the table truncated and filled again; the truncate comes last.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_later_snapshot_read_again_outlives_an_earlier_truncate() {
    let mut world = World::new("again").await;
    world.create_topic("airports", 2).await;
    let mut loader = world.loader("loader");
    let read_at =
        |lsn: i64| Event { lsn, partition: 1, ..read("airports", airport("AAA", "Omsk")) };
    world.publish_all([read_at(10), read_at(50), read_at(50)]).await;
    world.loaded().await;
    world.publish(truncate("airports", 40)).await;
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,r,f)", "(AAA,r,f)"]).await;
    world.publish(truncate("airports", 60)).await;
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,r,f)", "(AAA,r,f)", "(AAA,t,t)"]).await;
    world.end(&mut loader);
}
