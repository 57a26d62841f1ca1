//! Record-tracking satellites: each event that is loaded has one row, whatever it changes, however often it is
//! published or read.

use serde_json::json;

use crate::support::{
    Event, World, airport, create, delete, fingerprint, read, ticket, truncate, update,
};

/// The model, in which the events of airports and of tickets are tracked.
fn tracked(model: &str) -> String {
    ["airports", "tickets"].iter().fold(model.to_owned(), |model, table| {
        let status = format!("status = \"sat_{table}_status\"");
        assert!(model.contains(&status));
        model.replacen(&status, &format!("{status}\ntracking = \"sat_{table}_tracking\""), 1)
    })
}

/// The operations and positions of each airport's events.
const EVENTS: &str = "
    SELECT h.airport_code, string_agg(t.op || coalesce(t.record_lsn::text, ''), ' ' ORDER BY t.load_date)
    FROM dwh_detailed.sat_airports_tracking AS t
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE t.record_source <> 'SYSTEM'
    GROUP BY h.airport_code
    ORDER BY h.airport_code";

/// Rows that break a rule.
const BROKEN: &str = "
    SELECT table_name, detail FROM dwh_checks.versions_differ
    UNION ALL SELECT table_name, detail FROM dwh_checks.versions_in_source_order
    UNION ALL SELECT table_name, detail FROM dwh_checks.keys_have_versions
    UNION ALL SELECT table_name, detail FROM dwh_checks.satellite_parents_exist
    UNION ALL SELECT table_name, detail FROM dwh_checks.satellite_versions_unique
    UNION ALL SELECT table_name, detail FROM dwh_checks.system_rows";

/// Rows whose hashdiff is not what docs/HASHING.md says.
const OTHER_HASHDIFFS: &str = "
    SELECT op, record_lsn
    FROM dwh_detailed.sat_airports_tracking
    WHERE record_source <> 'SYSTEM'
      AND hashdiff IS DISTINCT FROM dwh_control.hashdiff(
          ARRAY['op', 'record_lsn', 'applied_date'],
          ARRAY[dwh_control.canonical(op), dwh_control.canonical(record_lsn), dwh_control.canonical(applied_date)]
      )";

/// A read by the snapshot at a position.
fn read_at(lsn: i64, code: &str, city: &str) -> Event {
    Event { lsn, ..read("airports", airport(code, city)) }
}

/// Two airports' lives, in which much is published twice.
fn life() -> Vec<Event> {
    let omsk = || airport("AAA", "Omsk");
    let perm = || airport("AAA", "Perm");
    vec![
        read_at(5, "AAA", "Omsk"),
        read_at(5, "BBB", "Tula"),
        update("airports", 20, omsk()), // changes nothing
        update("airports", 30, perm()),
        update("airports", 40, perm()), // changes nothing
        // The reader crashed and publishes again.
        update("airports", 20, omsk()),
        update("airports", 30, perm()),
        update("airports", 40, perm()),
        delete("airports", 50, perm()),
        // It waited for the delete before it.
        create("airports", 35, omsk()),
        update("airports", 60, omsk()), // changes nothing
        // The reader crashed once more.
        delete("airports", 50, perm()),
        create("airports", 35, omsk()),
        update("airports", 60, omsk()),
        // A further snapshot.
        read_at(100, "AAA", "Omsk"),
        read_at(100, "BBB", "Tula"),
        update("airports", 110, omsk()),
        truncate("airports", 120),
        create("airports", 130, airport("BBB", "Tula")),
    ]
}

const TRACKED: [&str; 2] =
    ["(AAA,\"r5 u20 u30 u40 d50 c35 u60 r100 u110\")", "(BBB,\"r5 r100 c130\")"];

#[tokio::test(flavor = "multi_thread")]
async fn each_event_has_one_row_however_it_is_published_and_replayed() {
    let mut world = World::with_model("tracked", tracked).await;
    world.publish_all(life()).await;
    let mut loader = world.loader_with("first", &[("VAULT_LOADER__BATCH__ROWS_MAX", "3")]);
    world.loaded().await;
    world.end(&mut loader);
    world.assert_rows(EVENTS, &TRACKED).await;
    world.assert_rows(BROKEN, &[]).await;
    world.assert_rows(OTHER_HASHDIFFS, &[]).await;
    let versions = "SELECT count(*) FROM dwh_marts.history_sat_airports";
    world.assert_rows(versions, &["(4)"]).await;
    let seen = "
        SELECT h.airport_code, s.op, s.record_lsn, s.kafka_offset
        FROM dwh_marts.current_sat_airports_tracking AS s
        JOIN dwh_detailed.hub_airports AS h USING (hash_key)
        ORDER BY 1";
    world.assert_rows(seen, &["(AAA,u,110,18)", "(BBB,c,130,20)"]).await;
    let no_history = "SELECT to_regclass('dwh_marts.history_sat_airports_tracking')";
    world.assert_rows(no_history, &["()"]).await;

    // Read again by the same warehouse, and by a fresh one in other batches.
    let before = fingerprint(&world.client).await;
    world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
    let mut loader = world.loader_with("again", &[("VAULT_LOADER__BATCH__ROWS_MAX", "2")]);
    world.loaded().await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&world.client).await, before);
    let fresh = world.elsewhere("fresh").await;
    let mut loader = world.loader_with("fresh", &fresh.variables(&[]));
    world.loaded_into(&fresh.client).await;
    world.end(&mut loader);
    assert_eq!(fingerprint(&fresh.client).await, before);
}

/// A truncate belongs to no key, and may arrive before or behind the changes of other partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_arrives_early_leaves_no_event_out() {
    let omsk = || airport("AAA", "Omsk");
    let changes = || {
        [
            create("airports", 20, omsk()),
            update("airports", 30, omsk()),
            delete("airports", 40, omsk()),
            create("airports", 35, omsk()),
            update("airports", 60, airport("AAA", "Perm")),
            update("airports", 70, airport("AAA", "Perm")),
            create("airports", 130, airport("AAA", "Tula")),
        ]
        .map(|event| Event { partition: 1, ..event })
    };
    for (name, changes_before) in [("early", 1), ("intime", 6)] {
        let mut world = World::with_model(&format!("tracktrunc{name}"), tracked).await;
        world.create_topic("airports", 2).await;
        // All of them were committed in this order, whatever the order of their arrival.
        let before = changes().into_iter().take(6);
        let behind = changes().into_iter().skip(6);
        for event in before.chain([truncate("airports", 100)]).chain(behind) {
            world.envelope(&event);
        }
        let mut loader = world.loader("loader");
        let mut arriving: Vec<Event> = changes().into();
        arriving.insert(changes_before, truncate("airports", 100));
        for event in arriving {
            world.publish(event).await;
            world.loaded().await;
        }
        world.assert_rows(EVENTS, &["(AAA,\"c20 u30 d40 c35 u60 u70 c130\")"]).await;
        world.end(&mut loader);
        let before = fingerprint(&world.client).await;
        world.client.batch_execute("UPDATE dwh_control.offsets SET next_offset = 0").await.unwrap();
        let mut loader = world.loader("again");
        world.loaded().await;
        world.end(&mut loader);
        assert_eq!(fingerprint(&world.client).await, before, "{name}");
    }
}

/// What waits in the quarantine has no row yet, and has all its rows after the retry.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_are_tracked_when_they_are_loaded() {
    let mut world = World::with_model("trackwait", tracked).await;
    let fault = "ALTER TABLE dwh_detailed.sat_airports ADD CONSTRAINT fault CHECK (source_lsn <> 20) NOT VALID";
    world.client.batch_execute(fault).await.unwrap();
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            update("airports", 20, airport("AAA", "Perm")),
            update("airports", 30, airport("AAA", "Perm")),
            create("airports", 40, airport("BBB", "Tula")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(EVENTS, &["(AAA,c10)", "(BBB,c40)"]).await;
    let mend = "ALTER TABLE dwh_detailed.sat_airports DROP CONSTRAINT fault";
    world.client.batch_execute(mend).await.unwrap();
    let retried = world.command(&["quarantine", "retry", "--all"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    world.assert_rows(EVENTS, &["(AAA,\"c10 u20 u30\")", "(BBB,c40)"]).await;
    world.end(&mut loader);
}

/// A loaded table gets a record-tracking satellite: a migration asks for a replay, and the replay fills the satellite
/// as if it had been there from the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fills_a_satellite_that_comes_later() {
    let mut world = World::new("tracklater").await;
    world.publish_all(life()).await;
    let contact = json!("{\"phone\": \"1\"}");
    world.publish(create("tickets", 10, ticket("T1", "P1", &contact))).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    world.end(&mut loader);
    world.write_model(&tracked(&world.model));
    let refused = world.command(&["migrate"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("would be missing in sat_airports_tracking"), "{told}");
    let migrated = world.command(&["migrate", "--reload"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let mut loader = world.loader_with("second", &[("VAULT_LOADER__BATCH__ROWS_MAX", "4")]);
    world.loaded().await;
    world.assert_rows(EVENTS, &TRACKED).await;
    world
        .assert_rows(
            "SELECT op, record_lsn FROM dwh_marts.current_sat_tickets_tracking",
            &["(c,10)"],
        )
        .await;
    world.end(&mut loader);

    // A removed satellite would leave its rows without an owner.
    world.write_model(&world.model);
    let refused = world.command(&["migrate"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("its record-tracking satellite was removed or renamed"), "{told}");
}

/// The rule finds an event that was loaded twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_two_rows_breaks_a_rule() {
    let mut world = World::with_model("tracktwice", tracked).await;
    world.publish(create("airports", 10, airport("AAA", "Omsk"))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.end(&mut loader);
    world.assert_rows(BROKEN, &[]).await;
    let twice = "
        CREATE TEMPORARY TABLE further AS
            SELECT * FROM dwh_detailed.sat_airports_tracking WHERE record_source <> 'SYSTEM';
        UPDATE further SET load_date = load_date + interval '1 second';
        INSERT INTO dwh_detailed.sat_airports_tracking SELECT * FROM further";
    world.client.batch_execute(twice).await.unwrap();
    let broken = "SELECT table_name FROM dwh_checks.versions_differ";
    world.assert_rows(broken, &["(sat_airports_tracking)"]).await;
}
