//! The current views against what the history ends in.
//!
//! In: the history. Out: the exact rows of every `current_` view.
//! Invariant: the last version counts, whatever came before; what is deleted, replaced or of the system never shows.

use e2e::rig::model_views;

use super::warehouse::{Content, Warehouse, rows};

async fn check(warehouse: &Warehouse, query: &str, expected: &[&str]) -> anyhow::Result<()> {
    let client = warehouse.connect().await?;
    let found = rows(&client, query).await?;
    assert_eq!(found, expected, "{query}");
    Ok(())
}

#[tokio::test]
async fn places_and_fleet_show_their_latest_version_unless_deleted() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_places", Content::History)?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_airports ORDER BY airport_code",
        &[
            "KZN|Kazan|Kazan|49.28|55.6|Europe/Moscow|f",
            "LED|Pulkovo|Saint Petersburg|30.26|59.8|Europe/Moscow|f",
            "SVO|Sheremetyevo|Moscow|37.41|55.97|Europe/Moscow|f",
            "UFA|Ufa|Ufa|55.87|54.56|Asia/Yekaterinburg|f",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_aircrafts ORDER BY aircraft_code",
        &["773|Boeing 777-300|11100|f", "SU9|Sukhoi Superjet-100|3000|f"],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_seats ORDER BY aircraft_code, seat_no",
        &["773|1A|Business|f", "773|2B|Comfort|f"],
    )
    .await
}

#[tokio::test]
async fn flights_show_the_route_that_holds_now() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_flights", Content::History)?;
    let expected = [
        "1|PG0001|D-5 10:00|D-5 12:00|SVO|LED|Arrived|SU9|D-5 23:30|D-4 01:30",
        "2|PG0002|D-4 10:00|D-4 12:00|LED|SVO|Cancelled|773|NULL|NULL",
        "3|PG0001|D+3 10:00|D+3 12:00|SVO|LED|Scheduled|773|NULL|NULL",
        "5|PG0005|D-28 10:00|D-28 12:00|LED|SVO|Scheduled|773|NULL|NULL",
        "6|PG0001|D-40 10:00|D-40 12:00|SVO|KZN|Arrived|773|D-40 10:00|D-40 12:00",
    ];
    let moment = |column: &str| {
        let days = format!("({column} AT TIME ZONE 'UTC')::date - DATE '{}'", warehouse.today);
        format!(
            "'D' || to_char({days}, 'SGFM999') || to_char({column} AT TIME ZONE 'UTC', ' HH24:MI')"
        )
    };
    let columns = [
        "flight_id".to_owned(),
        "flight_no".to_owned(),
        moment("scheduled_departure"),
        moment("scheduled_arrival"),
        "departure_airport".to_owned(),
        "arrival_airport".to_owned(),
        "status".to_owned(),
        "aircraft_code".to_owned(),
        moment("actual_departure"),
        moment("actual_arrival"),
    ];
    let query =
        format!("SELECT {} FROM dwh_marts.current_flights ORDER BY flight_id", columns.join(", "));
    check(&warehouse, &query, &expected).await
}

#[tokio::test]
async fn sales_show_who_travels_now_and_what_it_costs_now() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_sales", Content::History)?;
    check(
        &warehouse,
        "SELECT book_ref, total_amount FROM dwh_marts.current_bookings ORDER BY book_ref",
        &["00000A|900.50", "00000B|300.25", "00000C|1000.00"],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_tickets ORDER BY ticket_no",
        &[
            r#"0000000000001|00000A|4510 000001|ANNA SERGEEVA|{"phone": "+70000000001"}|f"#,
            "0000000000002|00000A|4510 000002|IVAN ORLOV|NULL|f",
            r#"0000000000003|00000B|4510 000001|ANNA ORLOVA|{"phone": "+70000000002"}|f"#,
            "0000000000004|00000C|4510 000003|PETR IVANOV|NULL|f",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_passengers ORDER BY passenger_id",
        &[
            r#"4510 000001|ANNA ORLOVA|{"phone": "+70000000002"}|2|f"#,
            "4510 000002|IVAN ORLOV|NULL|1|f",
            "4510 000003|PETR IVANOV|NULL|1|f",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_ticket_flights ORDER BY ticket_no, flight_id",
        &[
            "0000000000001|1|Business|250.00|f",
            "0000000000001|3|Economy|200.50|f",
            "0000000000002|1|Economy|300.00|f",
            "0000000000002|2|Economy|150.00|f",
            "0000000000003|1|Economy|300.25|f",
            "0000000000004|5|Economy|600.00|f",
            "0000000000004|6|Economy|400.00|f",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT * FROM dwh_marts.current_boarding_passes",
        &["0000000000001|1|1|7C|f"],
    )
    .await
}

#[tokio::test]
async fn links_show_the_rows_that_hold_now() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_links", Content::History)?;
    check(
        &warehouse,
        "SELECT aircraft_code, seat_no FROM dwh_marts.current_link_aircraft_seats ORDER BY seat_no",
        &["773|1A", "773|2B"],
    )
    .await?;
    check(
        &warehouse,
        "SELECT flight_id, departure_airport, arrival_airport, aircraft_code
         FROM dwh_marts.current_link_flight_routes
         ORDER BY flight_id",
        &["1|SVO|LED|SU9", "2|LED|SVO|773", "3|SVO|LED|773", "5|LED|SVO|773", "6|SVO|KZN|773"],
    )
    .await?;
    check(
        &warehouse,
        "SELECT ticket_no, book_ref FROM dwh_marts.current_link_booking_tickets ORDER BY ticket_no",
        &[
            "0000000000001|00000A",
            "0000000000002|00000A",
            "0000000000003|00000B",
            "0000000000004|00000C",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT ticket_no, passenger_id
         FROM dwh_marts.current_link_ticket_passengers
         ORDER BY ticket_no",
        &[
            "0000000000001|4510 000001",
            "0000000000002|4510 000002",
            "0000000000003|4510 000001",
            "0000000000004|4510 000003",
        ],
    )
    .await?;
    check(
        &warehouse,
        "SELECT right(ticket_no, 1), flight_id
         FROM dwh_marts.current_link_ticket_flights
         ORDER BY ticket_no, flight_id",
        &["1|1", "1|3", "2|1", "2|2", "3|1", "4|5", "4|6"],
    )
    .await
}

/// A mark costs nothing where it is not read, and shows nothing of what waits.
#[tokio::test]
async fn a_row_whose_events_wait_is_marked_and_readers_cannot_see_the_events() -> anyhow::Result<()>
{
    let warehouse = Warehouse::create("marts_waiting", Content::History)?;
    let client = warehouse.connect().await?;
    // An event of the airport's key, one of another key, and one of another table with the same parent.
    client
        .batch_execute(
            "INSERT INTO dwh_control.quarantine (topic, record_source, partition, kafka_offset, key_hash, parent_hash_key, reason)
             SELECT status.record_source, status.record_source, 0, 1, 'k', airport.hash_key, 'bad'
             FROM dwh_detailed.hub_airports AS airport
             JOIN dwh_detailed.sat_airports_status AS status USING (hash_key)
             WHERE airport.airport_code = 'LED'
             LIMIT 1;
             INSERT INTO dwh_control.quarantine (topic, record_source, partition, kafka_offset, key_hash, parent_hash_key, reason)
             SELECT status.record_source, status.record_source, 0, 1, 'k', segment.hash_key, 'bad'
             FROM dwh_marts.current_link_ticket_flights AS segment
             JOIN dwh_detailed.sat_boarding_passes_status AS status USING (hash_key)
             LIMIT 1",
        )
        .await?;
    let reader = warehouse.connect_as("mart_reader").await?;
    let marked = "SELECT string_agg(airport_code, ' ') FROM dwh_marts.current_airports WHERE has_waiting_events";
    assert_eq!(rows(&reader, marked).await?, ["LED"]);
    let marked = "SELECT (SELECT count(*) FROM dwh_marts.current_boarding_passes WHERE has_waiting_events),
                         (SELECT count(*) FROM dwh_marts.current_ticket_flights WHERE has_waiting_events)";
    assert_eq!(rows(&reader, marked).await?, ["1|0"]);
    for hidden in ["quarantine", "dropped_events"] {
        let refused = reader.batch_execute(&format!("SELECT FROM dwh_control.{hidden}")).await;
        let code = refused.unwrap_err().code().map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{hidden}");
    }
    Ok(())
}

/// What was loaded from the quarantine has offsets that the star has passed: the star compares everything.
#[tokio::test]
async fn the_star_looks_at_everything_after_events_were_taken_out_of_the_quarantine()
-> anyhow::Result<()> {
    let warehouse = Warehouse::create("marts_retried", Content::History)?;
    let client = warehouse.connect().await?;
    let refresh =
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM dwh_marts.refresh_star(); COMMIT";
    let outcome = "SELECT outcome, reason FROM dwh_marts.mart_refreshes";
    client.batch_execute(refresh).await?;
    client.batch_execute(refresh).await?;
    assert_eq!(rows(&client, outcome).await?, ["idle|NULL"]);
    let retried = client
        .execute("UPDATE dwh_control.offsets SET parking_version = parking_version + 1", &[])
        .await?;
    assert!(retried > 0, "the history has offsets");
    client.batch_execute(refresh).await?;
    assert_eq!(rows(&client, outcome).await?, ["full|events were taken out of the quarantine"]);
    client.batch_execute(refresh).await?;
    assert_eq!(rows(&client, outcome).await?, ["idle|NULL"]);
    Ok(())
}

#[tokio::test]
async fn the_views_that_the_model_command_prints_are_those_that_migrate_makes() -> anyhow::Result<()>
{
    let warehouse = Warehouse::create("marts_generated", Content::Empty)?;
    let client = warehouse.connect().await?;
    let made = "SELECT schemaname, viewname, md5(definition) FROM pg_catalog.pg_views AS v
                WHERE EXISTS (SELECT FROM dwh_control.made_views
                              WHERE schema_name = v.schemaname AND view_name = v.viewname)
                ORDER BY 1, 2";
    let before = rows(&client, made).await?;
    // Eight tables; six hubs and five links, now, in the past and first mentioned; twenty satellites, now and in the
    // past; eleven rules.
    assert_eq!(before.len(), 8 + 11 * 3 + 20 * 2 + 11);
    let drop = "SELECT format('DROP VIEW %I.%I CASCADE', schema_name, view_name) FROM dwh_control.made_views
                WHERE schema_name = 'dwh_checks' OR view_name LIKE 'history%'";
    for statement in rows(&client, drop).await? {
        client.batch_execute(&statement.replace("VIEW", "VIEW IF EXISTS")).await?;
    }
    client
        .batch_execute(&model_views(
            &devstack::workspace_root().join("connectors/airline/vault.toml"),
        )?)
        .await?;
    assert_eq!(rows(&client, made).await?, before);
    Ok(())
}
