//! What events become: every operation, histories, truncates, unchanged values, both envelope forms.

use serde_json::{Value, json};

use crate::support::{
    Event, World, airport, booking, connect, create, delete, fingerprint, flight, read, rows,
    ticket, truncate, update,
};

const CITIES: &str = "
    SELECT h.airport_code, s.city, s.source_lsn
    FROM dwh_detailed.sat_airports AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.airport_code, s.load_date";

const STATUS: &str = "
    SELECT h.airport_code, s.op, s.is_deleted
    FROM dwh_detailed.sat_airports_status AS s
    JOIN dwh_detailed.hub_airports AS h USING (hash_key)
    WHERE s.record_source <> 'SYSTEM'
    ORDER BY h.airport_code, s.load_date";

/// Events by minute of publishing; the rig publishes each 500 microseconds after its commit.
const EVENTS: &str = "
    SELECT sum(events), max(publish_lag_max_us)
    FROM dwh_control.event_minutes
    WHERE minute = date_trunc('minute', minute)";

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
    let lines: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(lines[0]["next_offset"], json!(9));
    assert_eq!(lines[0]["lag_events"], json!(0));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_its_spelling_only_stays_open() {
    let mut world = World::new("spelling").await;
    let events = || {
        [
            create("airports", 10, airport("svo", "Moscow")),
            delete("airports", 20, airport("svo", "")),
            create("airports", 20, airport("SVO", "Moscow")),
        ]
    };
    // The second time as a reader publishes them that crashed before it was confirmed.
    world.publish_all(events()).await;
    world.publish_all(events()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(STATUS, &["(svo,c,f)", "(svo,d,t)", "(svo,c,f)"]).await;
    world.end(&mut loader);
}

/// The server logs an insert before it waits for another session's delete of the key: it comes behind that delete with a smaller
/// position. An update that changed nothing, and all that is published again, must not look new behind it.
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
    // Read again from the beginning, one event a batch, with nothing remembered between them; an empty
    // satellite, as one that was made since then would be, is filled by that.
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
    // The same into an empty warehouse.
    let name = format!("{}_alone", world.database);
    world.stack.warehouse.create_database(&name).unwrap();
    let other = [
        ("VAULT_LOADER__DATABASE__NAME", name.as_str()),
        ("VAULT_LOADER__GROUP_ID", name.as_str()),
    ];
    assert!(world.command_with(&["migrate"], &other).status.success());
    let client = connect(world.stack, &name).await;
    let mut loader = world.loader_with("alone", &[&other[..], &alone[..]].concat());
    world.loaded_into(&client).await;
    assert_eq!(fingerprint(&client).await, before);
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

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_is_carried_forward() {
    let mut world = World::new("toast").await;
    let placeholder = json!("__debezium_unavailable_value");
    let contact = json!("{\"phone\": \"+70\"}");
    world.publish(create("tickets", 10, ticket("1", "P1", &contact))).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    let renamed = |name: &str| {
        let mut row = ticket("1", "P1", &placeholder);
        row["passenger_name"] = json!(name);
        row
    };
    // From the warehouse, then within one batch, then nothing new, then a real NULL, then carried NULL.
    world
        .publish_all([
            update("tickets", 20, renamed("B NAME")),
            update("tickets", 30, renamed("C NAME")),
            update("tickets", 40, renamed("C NAME")),
            update("tickets", 50, ticket("1", "P1", &Value::Null)),
            update("tickets", 60, renamed("D NAME")),
            // Nobody has ever seen this ticket's contact data.
            update("tickets", 70, ticket("2", "P2", &placeholder)),
            create("tickets", 80, ticket("3", "P3", &contact)),
        ])
        .await;
    world.loaded().await;
    world
        .assert_rows(
            "SELECT h.ticket_no, s.passenger_name, s.contact_data->>'phone' AS phone, s.source_lsn
             FROM dwh_detailed.sat_ticket_passengers AS s
             JOIN dwh_detailed.hub_tickets AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             ORDER BY s.load_date",
            &[
                "(1,\"A NAME\",+70,10)",
                "(1,\"B NAME\",+70,20)",
                "(1,\"C NAME\",+70,30)",
                "(1,\"A NAME\",,50)",
                "(1,\"D NAME\",,60)",
                "(3,\"A NAME\",+70,80)",
            ],
        )
        .await;
    world
        .assert_rows(
            "SELECT kafka_offset, source_lsn, source_tx_id, reason FROM dwh_control.quarantine",
            &["(6,70,70,\"unchanged TOAST value of column contact_data without an earlier version\")"],
        )
        .await;
    world.end(&mut loader);
}

/// A changed primary key: the value that stayed in place comes from the old key as it was then, whatever either key was before or
/// became later, in one batch as in several, and read again.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_moves_with_its_key() {
    let mut world = World::new("moved").await;
    world.create_topic("tickets", 2).await;
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    let old = |number: &str| Some(json!({ "ticket_no": number }));
    let moved = |lsn: i64, from: &str, to: &str| Event {
        old_key: old(from),
        ..create("tickets", lsn, ticket(to, "P1", &json!("__debezium_unavailable_value")))
    };
    // Ticket 2 had a life of its own; ticket 1 becomes ticket 2, and a new ticket 1 comes.
    let life = || {
        [
            create("tickets", 10, ticket("2", "P1", &contact("+2"))),
            delete("tickets", 20, ticket("2", "", &Value::Null)),
            create("tickets", 30, ticket("1", "P1", &contact("+1"))),
            delete("tickets", 40, ticket("1", "", &Value::Null)),
            moved(40, "1", "2"),
            create("tickets", 50, ticket("1", "P1", &contact("+9"))),
        ]
    };
    world.publish_all(life()).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    // The reader publishes it all again; then ticket 2 moves on, from what the warehouse holds, and to another partition.
    world.publish_all(life()).await;
    world.publish(delete("tickets", 60, ticket("2", "", &Value::Null))).await;
    world.publish(moved(60, "2", "3")).await;
    world.loaded().await;
    world.publish(Event { partition: 1, ..moved(70, "3", "4") }).await;
    world.loaded().await;
    world
        .assert_rows(
            "SELECT h.ticket_no, s.contact_data->>'phone' AS phone, s.source_lsn
             FROM dwh_detailed.sat_ticket_passengers AS s
             JOIN dwh_detailed.hub_tickets AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             ORDER BY s.load_date",
            &["(2,+2,10)", "(1,+1,30)", "(2,+1,40)", "(1,+9,50)", "(3,+1,60)"],
        )
        .await;
    world
        .assert_rows(
            "SELECT source_lsn, reason FROM dwh_control.quarantine",
            &["(70,\"unchanged TOAST value of column contact_data came with its row from a key in another partition; set REPLICA IDENTITY FULL\")"],
        )
        .await;
    world.end(&mut loader);
}

/// A moved row that does not tell where it came from must not take the value of the row that had its new key before.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_row_never_takes_a_value_of_another_row_s() {
    let mut world = World::new("nameless").await;
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    let moved = |lsn: i64, to: &str, old_key: Option<Value>| Event {
        old_key,
        ..create("tickets", lsn, ticket(to, "P1", &json!("__debezium_unavailable_value")))
    };
    world
        .publish_all([
            create("tickets", 10, ticket("2", "P1", &contact("+2"))),
            delete("tickets", 20, ticket("2", "", &Value::Null)),
            create("tickets", 30, ticket("1", "P1", &contact("+1"))),
            delete("tickets", 40, ticket("1", "", &Value::Null)),
            moved(40, "2", None),
            moved(41, "2", Some(json!({"schema": {}, "payload": {"ticket_no": "1"}}))),
            moved(42, "2", Some(json!({"ticket_no": 1}))),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    assert_eq!(world.count("dwh_detailed.sat_ticket_passengers").await, 2 + 1);
    world
        .assert_rows(
            "SELECT count(*), reason FROM dwh_control.quarantine GROUP BY reason",
            &["(3,\"unchanged TOAST value of column contact_data came with its row from a key that no readable header __debezium.oldkey names\")"],
        )
        .await;
    world.end(&mut loader);
}

/// The header has decimals as JSON numbers, the row as base64.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_toast_value_moves_with_a_decimal_key() {
    let mut world = World::unmigrated("decimal").await;
    let before = world.model.matches("ticket_no\", type = \"char(13)\"").count()
        + world.model.matches("ticket_no = \"char(13)\"").count();
    assert_eq!(before, 4);
    let model = world
        .model
        .replace("ticket_no\", type = \"char(13)\"", "ticket_no\", type = \"numeric(13,1)\"")
        .replace("ticket_no = \"char(13)\"", "ticket_no = \"numeric(13,1)\"");
    std::fs::write(world.dir.path().join("vault.toml"), model).unwrap();
    let migrated = world.command(&["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let (one, two) = ("Cg==", "FA==");
    let contact = |phone: &str| json!(format!("{{\"phone\": \"{phone}\"}}"));
    world
        .publish_all([
            create("tickets", 10, ticket(two, "P1", &contact("+2"))),
            delete("tickets", 20, ticket(two, "", &Value::Null)),
            create("tickets", 30, ticket(one, "P1", &contact("+1"))),
            delete("tickets", 40, ticket(one, "", &Value::Null)),
            Event {
                old_key: Some(json!({"ticket_no": 1.0})),
                ..create("tickets", 40, ticket(two, "P1", &json!("__debezium_unavailable_value")))
            },
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT h.ticket_no, s.contact_data->>'phone' AS phone, s.source_lsn
             FROM dwh_detailed.sat_ticket_passengers AS s
             JOIN dwh_detailed.hub_tickets AS h USING (hash_key)
             WHERE s.record_source <> 'SYSTEM'
             ORDER BY s.load_date",
            &["(2.0,+2,10)", "(1.0,+1,30)", "(2.0,+1,40)"],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}

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
        let name = format!("{}_{first}", world.database);
        world.stack.warehouse.create_database(&name).unwrap();
        let variables = [
            ("VAULT_LOADER__DATABASE__NAME", name.as_str()),
            ("VAULT_LOADER__GROUP_ID", name.as_str()),
        ];
        assert!(world.command_with(&["migrate"], &variables).status.success());
        let client = connect(world.stack, &name).await;
        // The other partition waits as if it were loaded.
        client
            .execute(
                "INSERT INTO dwh_control.offsets VALUES ($1, $2, $3)",
                &[&world.topic("airports"), &(1 - first), &i64::from(last_count)],
            )
            .await
            .unwrap();
        let mut loader = world.loader_with(&format!("first{first}"), &variables);
        world.loaded_into(&client).await;
        world.end(&mut loader);
        client
            .execute(
                "UPDATE dwh_control.offsets SET next_offset = 0 WHERE partition = $1",
                &[&(1 - first)],
            )
            .await
            .unwrap();
        let mut loader = world.loader_with(&format!("then{first}"), &variables);
        world.loaded_into(&client).await;
        world.end(&mut loader);
        let expected = ["(AAA,r,f)", "(AAA,t,t)", "(BBB,c,f)", "(BBB,t,t)", "(CCC,r,f)"];
        assert_eq!(rows(&client, STATUS).await, expected, "partition {first} first");
        fingerprints.push(fingerprint(&client).await);
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

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_with_its_schema_is_loaded_alike() {
    let mut world = World::new("schema").await;
    let payload = world.envelope(&create("airports", 10, airport("SVO", "Moscow")));
    let value =
        json!({"schema": {"type": "struct", "fields": [], "optional": false}, "payload": payload});
    world.send("airports", 0, Some("k"), Some(value.to_string().as_bytes())).await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world.assert_rows(CITIES, &["(SVO,Moscow,10)"]).await;
    world.end(&mut loader);
}

/// `json` keeps its spelling, so a new spelling is a version; of `jsonb` only the document counts.
#[tokio::test(flavor = "multi_thread")]
async fn infinite_times_and_spellings_of_json_arrive_as_they_are() {
    let world = World::unmigrated("forms").await;
    let mut world = world;
    let model = world
        .model
        .replace("airport_name = \"text\"", "airport_name = \"json\"")
        .replace("timezone = \"text\"", "timezone = \"jsonb\"")
        .replace("city = \"text\"", "city = \"timestamp(3)\"");
    std::fs::write(world.dir.path().join("vault.toml"), model).unwrap();
    let migrated = world.command(&["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let row = |spelling: &str, time: i64| {
        let mut row = airport("AAA", "");
        row["airport_name"] = json!(spelling);
        row["timezone"] = json!(spelling);
        row["city"] = json!(time);
        row
    };
    let mut endless = flight(1, "773", "Scheduled");
    endless["scheduled_departure"] = json!("-infinity");
    endless["scheduled_arrival"] = json!("infinity");
    let mut same_document = row("{ }", 0);
    same_document["airport_name"] = json!("{}");
    world
        .publish_all([
            create("airports", 10, row("{}", 0)),
            update("airports", 20, same_document),
            update("airports", 30, row("{ }", 0)),
            update("airports", 40, row("{ }", 9_223_372_036_825_200)),
            update("airports", 50, row("{ }", -9_223_372_036_832_400)),
            create("flights", 60, endless),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT airport_name, timezone, city, source_lsn
             FROM dwh_detailed.sat_airports
             WHERE city IS NOT NULL
             ORDER BY load_date",
            &[
                "({},{},\"1970-01-01 00:00:00\",10)",
                "(\"{ }\",{},\"1970-01-01 00:00:00\",30)",
                "(\"{ }\",{},infinity,40)",
                "(\"{ }\",{},-infinity,50)",
            ],
        )
        .await;
    world
        .assert_rows(
            "SELECT scheduled_departure, scheduled_arrival
             FROM dwh_detailed.sat_flight_schedules
             WHERE scheduled_arrival IS NOT NULL",
            &["(-infinity,infinity)"],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}

/// What Debezium writes for them is proven beside Debezium, in the reader's tests.
#[tokio::test(flavor = "multi_thread")]
async fn types_that_travel_in_another_form_arrive_as_values() {
    let mut world = World::unmigrated("types").await;
    let model = world
        .model
        .replace("airport_name = \"text\"", "airport_name = \"time(3) with time zone\"")
        .replace("city = \"text\"", "city = \"bit(10)\"")
        .replace("timezone = \"text\"", "timezone = \"interval\"")
        .replacen("longitude = \"double precision\"", "longitude = \"money\"", 1)
        .replacen("latitude = \"double precision\"", "latitude = \"inet\"", 1);
    std::fs::write(world.dir.path().join("vault.toml"), model).unwrap();
    let migrated = world.command(&["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let row = |time: &str, bits: &str| {
        json!({
            "airport_code": "AAA", "airport_name": time, "city": bits, "longitude": "/qI=", "latitude": "10.0.0.1/8",
            "timezone": 14_706_789_000i64
        })
    };
    world
        .publish_all([
            create("airports", 10, row("07:11:12.5Z", "AQI=")),
            update("airports", 20, row("24:00:00Z", "")),
        ])
        .await;
    let mut loader = world.loader("loader");
    world.loaded().await;
    world
        .assert_rows(
            "SELECT airport_name, city, timezone, longitude, latitude
             FROM dwh_detailed.sat_airports
             WHERE city IS NOT NULL
             ORDER BY load_date",
            &[
                "(07:11:12.5+00,1000000001,14706789000,-3.50,10.0.0.1/8)",
                "(24:00:00+00,0000000000,14706789000,-3.50,10.0.0.1/8)",
            ],
        )
        .await;
    assert_eq!(world.count("dwh_control.quarantine").await, 0);
    world.end(&mut loader);
}
