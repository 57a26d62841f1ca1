//! What events become: every operation, histories of keys and links, all eight tables.

use serde_json::{Value, json};

use crate::support::queries::{CITIES, EVENTS, STATUS};
use crate::support::{
    World, airport, booking, create, delete, fingerprint, flight, read, ticket, update,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_reaches_hub_satellite_and_status() {
    let mut world = World::new("ops").await;
    world
        .publish_all([
            read("airports", airport("SVO", "Moscow")),
            create("airports", 10, airport("LED", "Leningrad")),
            update("airports", 20, airport("LED", "Petersburg")),
            update("airports", 30, airport("LED", "Leningrad")),
            update("airports", 40, airport("LED", "Leningrad")),
            delete("airports", 50, airport("SVO", "filler that a delete carries")),
            create("airports", 60, airport("SVO", "Moscow")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    // A, B, A are three versions; the same again is none; a delete's other columns are no data.
    world
        .assert_rows(
            CITIES,
            &["(LED,Leningrad,10)", "(LED,Petersburg,20)", "(LED,Leningrad,30)", "(SVO,Moscow,)"],
        )
        .await;
    world.assert_rows(STATUS, &["(LED,c,f)", "(SVO,r,f)", "(SVO,d,t)", "(SVO,c,f)"]).await;
    world
        .assert_rows(
            "SELECT airport_code, extract(epoch FROM load_date)::bigint - 1790000000, source_system_id
             FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL ORDER BY 1",
            &["(LED,0,1)", "(SVO,0,1)"],
        )
        .await;
    // The tombstone behind the delete is no event.
    world.assert_rows(EVENTS, &["(7,500)"]).await;
    // Seen while idle, without another batch: an event is loaded by itself.
    world.publish(create("airports", 70, airport("OMS", "Omsk"))).await;
    world.loaded().await;
    let status = world.command(&["status", "--json"]);
    let report: Value = serde_json::from_slice(&status.stdout).unwrap();
    let line = &report["partitions"][0];
    assert_eq!((&line["next_offset"], &line["lag_events"]), (&json!(9), &json!(0)));
    world.assert_rows(EVENTS, &["(8,500)"]).await;
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_key_change_closes_the_old_key_and_opens_the_new_one() {
    let mut world = World::new("pk").await;
    world
        .publish_all([
            create("airports", 10, airport("AAA", "Omsk")),
            delete("airports", 20, airport("AAA", "")),
            create("airports", 20, airport("BBB", "Omsk")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(STATUS, &["(AAA,c,f)", "(AAA,d,t)", "(BBB,c,f)"]).await;
    world.assert_rows(CITIES, &["(AAA,Omsk,10)", "(BBB,Omsk,20)"]).await;
    world.end(&mut loader);
}

/// The server logs an insert before it waits for another session's delete of the key: it comes behind that delete with
/// a smaller position. An update that changed nothing, and all that is published again, must not look new behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_waited_for_a_delete_opens_its_key() {
    let mut world = World::new("waited").await;
    let life = || {
        [
            create("tickets", 10, ticket("1", "P1", &Value::Null)),
            update("tickets", 40, ticket("1", "P1", &Value::Null)),
            delete("tickets", 50, ticket("1", "", &Value::Null)),
            create("tickets", 20, ticket("1", "P2", &json!("{}"))),
            update("tickets", 60, ticket("1", "P3", &json!("{}"))),
            delete("tickets", 70, ticket("1", "", &Value::Null)),
            create("tickets", 30, ticket("1", "P3", &json!("{}"))),
        ]
    };
    world.publish_all(life()).await;
    let mut loader = world.loader("first");
    world.loaded().await;
    let status = "
        SELECT op, is_deleted, source_lsn, record_lsn
        FROM dwh_detailed.sat_tickets_status
        WHERE record_source <> 'SYSTEM'
        ORDER BY load_date";
    let statuses = ["(c,f,10,10)", "(d,t,50,50)", "(c,f,50,20)", "(d,t,70,70)", "(c,f,70,30)"];
    world.assert_rows(status, &statuses).await;
    let contacts = "
        SELECT contact_data, source_lsn
        FROM dwh_detailed.sat_ticket_passengers
        WHERE record_source <> 'SYSTEM'
        ORDER BY load_date";
    world.assert_rows(contacts, &["(,10)", "({},50)"]).await;
    assert_eq!(world.count("dwh_detailed.sat_ticket_passengers_effectivity").await, 3 + 1);
    let before = fingerprint(&world.client).await;
    // A reader that crashed publishes it all once more, and then the last part.
    world.publish_all(life()).await;
    world.publish_all(life().into_iter().skip(3)).await;
    world.loaded().await;
    assert_eq!(fingerprint(&world.client).await, before);
    world.end(&mut loader);
    one_event_a_batch_makes_the_same(&world, &before).await;
}

/// Loads the topics from the beginning, one event a batch, with nothing remembered between them: into the same
/// warehouse, in which a satellite is empty as one is that was made since then, and into an empty one.
async fn one_event_a_batch_makes_the_same(world: &World, before: &[String]) {
    let alone =
        [("VAULT_LOADER__BATCH__ROWS_MAX", "1"), ("VAULT_LOADER__LIMITS__CACHE_ENTRIES_MAX", "1")];
    world
        .client
        .batch_execute(
            "DELETE FROM dwh_detailed.sat_ticket_passengers WHERE record_source <> 'SYSTEM';
             UPDATE dwh_control.offsets SET next_offset = 0",
        )
        .await
        .unwrap();
    let mut loader = world.loader_with("replay", &alone);
    world.loaded().await;
    assert_eq!(fingerprint(&world.client).await, before);
    world.end(&mut loader);
    let empty = world.elsewhere("alone").await;
    let mut loader = world.loader_with("alone", &empty.variables(&alone));
    world.loaded_into(&empty.client).await;
    assert_eq!(fingerprint(&empty.client).await, before);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_changes_has_a_history_of_its_own() {
    let mut world = World::new("route").await;
    world
        .publish_all([
            create("flights", 10, flight(1, "773", "Scheduled")),
            update("flights", 20, flight(1, "SU9", "Scheduled")),
            update("flights", 30, flight(1, "SU9", "Departed")),
            update("flights", 40, flight(1, "773", "Arrived")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT f.flight_id, a.aircraft_code, d.airport_code, e.source_lsn
             FROM dwh_detailed.sat_flight_routes_effectivity AS e
             JOIN dwh_detailed.hub_flights AS f ON f.hash_key = e.hash_key
             JOIN dwh_detailed.link_flight_routes AS l ON l.hash_key = e.link_hash_key
             JOIN dwh_detailed.hub_aircrafts AS a ON a.hash_key = l.aircraft_hash_key
             JOIN dwh_detailed.hub_airports AS d ON d.hash_key = l.departure_airport_hash_key
             WHERE e.record_source <> 'SYSTEM'
             ORDER BY e.load_date",
            &["(1,773,SVO,10)", "(1,SU9,SVO,20)", "(1,773,SVO,40)"],
        )
        .await;
    world
        .assert_rows(
            "SELECT status, source_lsn FROM dwh_detailed.sat_flight_operations WHERE status IS NOT NULL ORDER BY load_date",
            &["(Scheduled,10)", "(Departed,30)", "(Arrived,40)"],
        )
        .await;
    // Links: two system rows and two routes; the schedule never changed.
    assert_eq!(world.count("dwh_detailed.link_flight_routes").await, 4);
    assert_eq!(world.count("dwh_detailed.sat_flight_schedules").await, 2);
    world.end(&mut loader);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_eight_tables_are_loaded() {
    let mut world = World::new("eight").await;
    let seat = json!({"aircraft_code": "773", "seat_no": "2D", "fare_conditions": "Business"});
    let segment = json!({"ticket_no": "0005435212351", "flight_id": 1, "fare_conditions": "Business", "amount": "BOI="});
    let pass =
        json!({"ticket_no": "0005435212351", "flight_id": 1, "boarding_no": 7, "seat_no": "2D"});
    world
        .publish_all([
            create("airports", 10, airport("SVO", "Moscow")),
            create(
                "aircrafts",
                11,
                json!({"aircraft_code": "773", "model": "Boeing", "range": 11100}),
            ),
            create("seats", 12, seat),
            create("flights", 13, flight(1, "773", "Scheduled")),
            create("bookings", 14, booking("00000F", 1250)),
            create(
                "tickets",
                15,
                ticket("0005435212351", "8149 604011", &json!("{\"phone\": \"+70\"}")),
            ),
            create("ticket_flights", 16, segment),
            create("boarding_passes", 17, pass),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let empty = "
        SELECT relname
        FROM pg_class
        WHERE relnamespace = 'dwh_detailed'::regnamespace AND relkind = 'r'
          AND (xpath('/row/c/text()', query_to_xml(
                  format('SELECT count(*) AS c FROM dwh_detailed.%I WHERE record_source <> ''SYSTEM''', relname),
                  false, true, '')))[1]::text = '0'";
    world.assert_rows(empty, &[]).await;
    world
        .assert_rows(
            "SELECT t.ticket_no, f.flight_id, s.fare_conditions, s.amount, b.boarding_no, b.seat_no
             FROM dwh_detailed.link_ticket_flights AS l
             JOIN dwh_detailed.hub_tickets AS t ON t.hash_key = l.ticket_hash_key
             JOIN dwh_detailed.hub_flights AS f ON f.hash_key = l.flight_hash_key
             JOIN dwh_detailed.sat_ticket_flights AS s ON s.hash_key = l.hash_key
             JOIN dwh_detailed.sat_boarding_passes AS b ON b.hash_key = l.hash_key
             WHERE l.record_source <> 'SYSTEM'",
            &["(0005435212351,1,Business,12.50,7,2D)"],
        )
        .await;
    world
        .assert_rows(
            "SELECT total_amount, book_date FROM dwh_detailed.sat_bookings WHERE total_amount IS NOT NULL",
            &["(12.50,\"2026-01-02 03:04:05.000001+00\")"],
        )
        .await;
    world.end(&mut loader);
}
