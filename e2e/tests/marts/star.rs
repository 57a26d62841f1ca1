//! The star schema against an independent computation, and its refresh after every kind of change.
//!
//! In: the history, then changes put into the vault as the loader would. Out: rows of the star, and what a refresh says
//! it did.
//! Invariant: a refresh changes what the vault changed and nothing else. Afterwards the star equals its views, and the
//! views equal what the current tables say.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::star_changes::{CHANGES, FIRST_MOMENT};
use super::warehouse::{Content, PUT, Warehouse, refresh, rows};

/// The star computed another way: from the `current_` views, which the other tests hold against the history. Each query
/// is a table of the star, first as it is and then as it has to be.
const INDEPENDENT: [(&str, &str, &str); 5] = [
    (
        "dim_flight",
        "SELECT flight_id, flight_no, departure_airport, arrival_airport, aircraft_code, scheduled_departure, scheduled_arrival,
                actual_departure, actual_arrival, status, departure_day, departure_delay_min, is_cancelled
         FROM dwh_marts.dim_flight
         ORDER BY flight_id",
        "SELECT flight_id, flight_no, departure_airport, arrival_airport, aircraft_code, scheduled_departure, scheduled_arrival,
                actual_departure, actual_arrival, status,
                (coalesce(actual_departure, scheduled_departure) AT TIME ZONE 'UTC')::date,
                round((extract(epoch FROM actual_departure) - extract(epoch FROM scheduled_departure)) / 60, 1),
                status = 'Cancelled'
         FROM dwh_marts.current_flights
         ORDER BY flight_id",
    ),
    (
        "fact_bookings",
        "SELECT ticket_no, flight_id, book_ref, book_time, book_date, fare_conditions, amount, is_checked_in
         FROM dwh_marts.fact_bookings
         ORDER BY ticket_no, flight_id",
        "SELECT ticket.ticket_no, segment.flight_id, ticket.book_ref, booking.book_date,
                (booking.book_date AT TIME ZONE 'UTC')::date, segment.fare_conditions, segment.amount, pass.ticket_no IS NOT NULL
         FROM dwh_marts.current_ticket_flights AS segment
         LEFT JOIN dwh_marts.current_tickets AS ticket USING (ticket_no)
         LEFT JOIN dwh_marts.current_bookings AS booking USING (book_ref)
         LEFT JOIN dwh_marts.current_boarding_passes AS pass USING (ticket_no, flight_id)
         ORDER BY ticket.ticket_no, segment.flight_id",
    ),
    (
        "dim_customer",
        "SELECT hub.passenger_id, customer.first_book_date, customer.last_book_date, customer.bookings, customer.flights,
                customer.revenue
         FROM dwh_marts.dim_customer AS customer
         JOIN dwh_detailed.hub_passengers AS hub ON hub.hash_key = customer.customer_key
         ORDER BY hub.passenger_id",
        "SELECT ticket.passenger_id,
                (min(booking.book_date) AT TIME ZONE 'UTC')::date,
                (max(booking.book_date) AT TIME ZONE 'UTC')::date,
                count(DISTINCT ticket.book_ref),
                count(segment.flight_id) FILTER (WHERE flight.status IS DISTINCT FROM 'Cancelled'),
                coalesce(sum(segment.amount), 0.00)
         FROM dwh_marts.current_tickets AS ticket
         LEFT JOIN dwh_marts.current_bookings AS booking USING (book_ref)
         LEFT JOIN dwh_marts.current_ticket_flights AS segment USING (ticket_no)
         LEFT JOIN dwh_marts.current_flights AS flight USING (flight_id)
         WHERE ticket.passenger_id IS NOT NULL
         GROUP BY ticket.passenger_id
         ORDER BY ticket.passenger_id",
    ),
    (
        "fact_flight_operations",
        "SELECT flight_id, route_key, status, passengers_booked, passengers_boarded, seats_total, load_factor
         FROM dwh_marts.fact_flight_operations
         ORDER BY flight_id",
        "SELECT flight_id, departure_airport || '-' || arrival_airport, status, booked, boarded, seats,
                CASE WHEN seats > 0 THEN round(booked::numeric / seats, 4) END
         FROM dwh_marts.current_flights AS flight
         CROSS JOIN LATERAL (
             SELECT count(*) AS booked
             FROM dwh_marts.current_ticket_flights AS segment
             WHERE segment.flight_id = flight.flight_id
         ) AS sold
         CROSS JOIN LATERAL (
             SELECT count(*) AS boarded
             FROM dwh_marts.current_boarding_passes AS pass
             WHERE pass.flight_id = flight.flight_id
         ) AS boarding
         CROSS JOIN LATERAL (
             SELECT count(*) AS seats
             FROM dwh_marts.current_seats AS seat
             WHERE seat.aircraft_code = flight.aircraft_code
         ) AS cabin
         ORDER BY flight_id",
    ),
    (
        "fact_seat_inventory",
        "SELECT snapshot_date, flight_id, fare_conditions, seats_sold, seats_total, seats_available
         FROM dwh_marts.fact_seat_inventory
         WHERE seats_sold > 0
         ORDER BY snapshot_date, flight_id, fare_conditions",
        "SELECT day::date, flight.flight_id, segment.fare_conditions, count(*), seats, seats - count(*)
         FROM dwh_marts.current_flights AS flight
         JOIN dwh_marts.current_ticket_flights AS segment USING (flight_id)
         JOIN dwh_marts.current_tickets AS ticket USING (ticket_no)
         JOIN dwh_marts.current_bookings AS booking USING (book_ref)
         CROSS JOIN LATERAL generate_series(
             (booking.book_date AT TIME ZONE 'UTC')::date::timestamp,
             least(
                 (coalesce(flight.actual_departure, flight.scheduled_departure) AT TIME ZONE 'UTC')::date,
                 (now() AT TIME ZONE 'UTC')::date
             )::timestamp,
             interval '1 day'
         ) AS day
         CROSS JOIN LATERAL (
             SELECT count(*) AS seats
             FROM dwh_marts.current_seats AS seat
             WHERE seat.aircraft_code = flight.aircraft_code
                 AND seat.fare_conditions = segment.fare_conditions
         ) AS cabin
         GROUP BY day, flight.flight_id, segment.fare_conditions, seats
         ORDER BY day, flight.flight_id, segment.fare_conditions",
    ),
];

/// The star equals its views and the independent computation.
async fn assert_star_is_right(client: &Client, after: &str) -> anyhow::Result<()> {
    let differences = rows(client, "SELECT * FROM dwh_star.differences()").await?;
    assert_eq!(differences, Vec::<String>::new(), "{after}");
    for (table, shown, wanted) in INDEPENDENT {
        let wanted = rows(client, wanted).await?;
        assert_eq!(rows(client, shown).await?, wanted, "{table} after {after}");
        assert!(
            !wanted.is_empty() || after.starts_with("truncate"),
            "{table} is empty after {after}"
        );
    }
    let groups = "SELECT group_no, passenger_group, count(*), sum(flights), round(sum(revenue), 2)
                  FROM dwh_marts.dim_customer
                  GROUP BY group_no, passenger_group
                  ORDER BY group_no";
    let wanted = "SELECT group_no, passenger_group, passengers, flights, round(revenue, 2)
                  FROM dwh_marts.v_passenger_groups_revenue
                  WHERE passengers > 0";
    assert_eq!(rows(client, groups).await?, rows(client, wanted).await?, "groups after {after}");
    Ok(())
}

/// A session of the superuser that can put rows into the vault.
async fn putter(warehouse: &Warehouse) -> anyhow::Result<Client> {
    let client = warehouse.connect().await?;
    client.batch_execute(PUT).await?;
    Ok(client)
}

/// Moves the offset of a topic's partition, as the loader does with its rows.
async fn load_to(client: &Client, table: &str, partition: i32, offset: i64) -> anyhow::Result<()> {
    let sql = format!(
        "INSERT INTO dwh_control.offsets (topic, partition, next_offset)
         VALUES ('airline.public.{table}', {partition}, {offset})
         ON CONFLICT ON CONSTRAINT offsets_pkey DO UPDATE SET next_offset = excluded.next_offset"
    );
    client.batch_execute(&sql).await?;
    Ok(())
}

#[tokio::test]
async fn the_first_refresh_builds_the_star_and_the_next_finds_nothing_to_do() -> anyhow::Result<()>
{
    let warehouse = Warehouse::create("star_first", Content::History)?;
    let client = warehouse.connect().await?;
    assert_eq!(refresh(&client).await?, "full|800|45");
    assert_star_is_right(&client, "the first refresh").await?;
    assert_eq!(refresh(&client).await?, "idle|0|0");
    let last = "SELECT outcome, reason, source_committed, changed_at < refreshed_at, refreshes FROM dwh_marts.mart_refreshes";
    assert_eq!(rows(&client, last).await?, ["idle|NULL|2020-01-01 00:01:40+00|t|2"]);
    // The marts are applied again with each release, over a star that is in use.
    warehouse.apply_marts()?;
    assert_eq!(refresh(&client).await?, "idle|0|0");
    assert_star_is_right(&client, "another release").await
}

/// A dashboard reads the empty star in a transaction, so no table of the star can be locked for the refresh alone. The
/// refresh neither waits for the dashboard nor ends its query, and fills the tables all the same.
#[tokio::test]
async fn the_first_refresh_waits_for_no_query() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_read", Content::History)?;
    let dashboard = warehouse.connect().await?;
    let begin = "BEGIN; SELECT count(*) FROM dwh_marts.fact_bookings";
    dashboard.batch_execute(begin).await?;
    let client = warehouse.connect().await?;
    client.batch_execute("SET lock_timeout = '20s'").await?;
    assert_eq!(refresh(&client).await?, "full|800|45");
    dashboard.batch_execute("SELECT count(*) FROM dwh_marts.dim_flight; COMMIT").await?;
    assert_star_is_right(&client, "a first refresh beside a query").await
}

#[tokio::test]
async fn an_empty_vault_makes_an_empty_star() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_empty", Content::Empty)?;
    let client = warehouse.connect().await?;
    assert_eq!(refresh(&client).await?, "full|0|0");
    assert_eq!(refresh(&client).await?, "idle|0|0");
    Ok(())
}

#[tokio::test]
async fn each_kind_of_change_arrives_and_touches_nothing_else() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_changes", Content::History)?;
    let client = putter(&warehouse).await?;
    refresh(&client).await?;
    for (change, moment) in CHANGES.iter().zip(FIRST_MOMENT..) {
        client.batch_execute(&warehouse.dated(change.script)).await?;
        for topic in change.topics {
            load_to(&client, topic, 0, moment + 1).await?;
        }
        let outcome = refresh(&client).await?;
        assert!(outcome.starts_with("incremental|"), "{}: {outcome}", change.name);
        assert_star_is_right(&client, change.name).await?;
        let rows_changed = outcome.rsplit('|').next().unwrap_or_default();
        assert_eq!(rows_changed, change.rows_changed.to_string(), "{}", change.name);
    }
    let rebuilt = rows(
        &client,
        "BEGIN ISOLATION LEVEL REPEATABLE READ;
         SELECT outcome, rows_changed FROM dwh_marts.rebuild_star();
         COMMIT",
    )
    .await?;
    assert_eq!(rebuilt, ["full|0"]);
    Ok(())
}

#[tokio::test]
async fn a_truncate_closes_keys_of_other_partitions_too() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_truncate", Content::History)?;
    let client = putter(&warehouse).await?;
    // The history's one open pass came from partition 1, the truncate comes from partition 0.
    client
        .batch_execute("UPDATE dwh_detailed.sat_boarding_passes_status SET kafka_partition = 1")
        .await?;
    load_to(&client, "boarding_passes", 1, 100).await?;
    refresh(&client).await?;
    let checked_in = "SELECT count(*) FROM dwh_marts.fact_bookings WHERE is_checked_in";
    assert_eq!(rows(&client, checked_in).await?, ["1"]);
    client
        .batch_execute(
            r#"SELECT pg_temp.put('sat_boarding_passes_status', 'segment 1 1', 200,
                   '{"op": "t", "is_deleted": true, "kafka_partition": 1, "kafka_offset": 1, "record_lsn": 2000}');
               INSERT INTO dwh_control.truncations (topic, source_lsn, load_date, applied_date)
               VALUES ('airline.public.boarding_passes', 2000, now(), now())"#,
        )
        .await?;
    load_to(&client, "boarding_passes", 0, 101).await?;
    assert_eq!(refresh(&client).await?, "incremental|1|2");
    assert_eq!(rows(&client, checked_in).await?, ["0"]);
    assert_star_is_right(&client, "truncate of the passes").await?;
    // A key that is opened late, by an event older than the truncate, is closed at once; both versions have its offset.
    client
        .batch_execute(
            r#"SELECT pg_temp.born('sat_boarding_passes_status', 'segment 2 1', 150);
               SELECT pg_temp.put('sat_boarding_passes_status', 'segment 2 1', 201,
                   '{"op": "t", "is_deleted": true, "kafka_offset": 150, "record_lsn": 2000}');
               SELECT pg_temp.put('sat_boarding_passes', 'segment 2 1', 150, '{"boarding_no": 2, "seat_no": "2A"}')"#,
        )
        .await?;
    load_to(&client, "boarding_passes", 0, 151).await?;
    assert_eq!(refresh(&client).await?, "incremental|50|0");
    // Everything that was sold goes.
    client
        .batch_execute(
            r#"INSERT INTO dwh_detailed.sat_ticket_flights_status
                   (hash_key, load_date, record_source, source_system_id, kafka_partition, kafka_offset, op, is_deleted, record_lsn)
               SELECT DISTINCT ON (hash_key) hash_key, now(), record_source, 1, kafka_partition, kafka_offset, 't', true, 3000
               FROM dwh_detailed.sat_ticket_flights_status
               WHERE record_source <> 'SYSTEM';
               INSERT INTO dwh_control.truncations (topic, source_lsn, load_date, applied_date)
               VALUES ('airline.public.ticket_flights', 3000, now(), now())"#,
        )
        .await?;
    load_to(&client, "ticket_flights", 0, 101).await?;
    assert!(refresh(&client).await?.starts_with("incremental|1|"));
    assert_eq!(rows(&client, "SELECT count(*) FROM dwh_marts.fact_bookings").await?, ["0"]);
    assert_star_is_right(&client, "truncate of the segments").await
}

#[tokio::test]
async fn the_star_is_compared_whole_when_offsets_no_longer_tell_what_came() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_whole", Content::History)?;
    let client = putter(&warehouse).await?;
    refresh(&client).await?;
    let price = |moment: i64, amount: i64| {
        format!(
            r#"SELECT pg_temp.put('sat_ticket_flights', 'segment 1 3', {moment},
                   '{{"fare_conditions": "Economy", "amount": {amount}, "kafka_offset": 1}}')"#
        )
    };
    let causes = [
        (
            "an offset went back",
            "UPDATE dwh_control.offsets SET next_offset = 50 WHERE topic = 'airline.public.airports'",
        ),
        (
            "the vault has another model",
            "INSERT INTO dwh_control.models (format_version, hash_version, model_hash, model, source) VALUES (1, 1, '', '', 'airline')",
        ),
        (
            "a partition is gone",
            "DELETE FROM dwh_control.offsets WHERE topic = 'airline.public.airports'",
        ),
        (
            "more than 5000 records wait",
            "UPDATE dwh_control.offsets SET next_offset = 200000 WHERE topic = 'airline.public.airports'",
        ),
    ];
    load_to(&client, "airports", 0, 100).await?;
    for ((reason, script), moment) in causes.into_iter().zip(200..) {
        if reason.starts_with("more") {
            load_to(&client, "airports", 0, 60).await?;
            refresh(&client).await?;
        }
        // A version that no offset tells of.
        client.batch_execute(&price(moment, moment)).await?;
        assert_eq!(refresh(&client).await?, "idle|0|0", "{reason}");
        client.batch_execute(script).await?;
        let outcome = refresh(&client).await?;
        // The segment and its customer.
        assert!(outcome.starts_with("full|") && outcome.ends_with("|2"), "{reason}: {outcome}");
        assert_eq!(rows(&client, "SELECT reason FROM dwh_marts.mart_refreshes").await?, [reason]);
        assert_star_is_right(&client, reason).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_sees_one_state_of_the_vault_or_refuses() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_isolation", Content::History)?;
    let client = warehouse.connect().await?;
    let call = "SELECT * FROM dwh_marts.refresh_star()";
    let refused = client.simple_query(call).await.expect_err("it was not refused");
    assert_eq!(refused.code(), Some(&SqlState::INVALID_TRANSACTION_STATE), "{refused:?}");

    let other = warehouse.connect().await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    other.batch_execute(begin).await?;
    other.simple_query(call).await?;
    assert_eq!(refresh(&client).await?, "busy|0|0");
    other.batch_execute("COMMIT").await?;
    assert_eq!(refresh(&client).await?, "idle|0|0");

    // A snapshot older than the last refresh would undo it.
    other.batch_execute(begin).await?;
    other.simple_query("SELECT 1").await?;
    refresh(&client).await?;
    let refused = other.simple_query(call).await.expect_err("it was not refused");
    assert_eq!(refused.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_check_sees_each_table_of_the_star_that_differs() -> anyhow::Result<()> {
    let warehouse = Warehouse::create("star_check", Content::History)?;
    let client = putter(&warehouse).await?;
    let check = "SELECT rule, table_name, detail FROM dwh_checks.star_equals_vault";
    refresh(&client).await?;
    let tables = [
        ("dwh_star.cabins", "seats = seats + 1"),
        ("dwh_marts.dim_flight", "status = 'Delayed'"),
        ("dwh_star.tickets", "book_ref = NULL"),
        ("dwh_marts.fact_bookings", "amount = amount + 1"),
        ("dwh_marts.dim_customer", "flights = flights + 1"),
        ("dwh_marts.fact_flight_operations", "passengers_boarded = 7"),
        ("dwh_star.seat_steps", "seats_sold = seats_sold + 1"),
    ];
    for (table, change) in tables {
        for script in [format!("UPDATE {table} SET {change}"), format!("DELETE FROM {table}")] {
            client.batch_execute("BEGIN").await?;
            client.batch_execute(&script).await?;
            let found = rows(&client, check).await?;
            client.batch_execute("ROLLBACK").await?;
            let (_, name) = table.split_once('.').unwrap_or_default();
            let named = format!("star equals vault|{name}|");
            assert!(found.iter().any(|row| row.starts_with(&named)), "{script}: {found:?}");
        }
    }
    // What the next refresh will bring is no violation; what it will not bring is.
    let price = r#"SELECT pg_temp.put('sat_ticket_flights', 'segment 1 3', 100, '{"fare_conditions": "Economy", "amount": 1.00}')"#;
    client.batch_execute(price).await?;
    assert_eq!(rows(&client, check).await?.len(), 1);
    load_to(&client, "ticket_flights", 0, 101).await?;
    assert_eq!(rows(&client, check).await?, Vec::<String>::new());
    Ok(())
}
