//! `booking seed`: shape, repeatability and refusals.

use std::process::Command;

use booking::seed::{Existing, SeedError, SeedOptions, seed};
use booking::tables::Table;

use crate::support::{Airline, full_text, options};

#[track_caller]
fn assert_ratio(what: &str, (part, whole): (u64, u64), expected: std::ops::Range<f64>) {
    let ratio = part as f64 / whole as f64;
    assert!(expected.contains(&ratio), "{what}: {ratio:.3} is not in {expected:?}");
}

#[tokio::test]
async fn scale_one_has_the_proportions_of_the_demonstration_database() {
    let airline = Airline::create();
    let summary = airline.seed(1.0, 1).await;
    let rows = |table| summary.rows(table);
    assert_eq!(rows(Table::Bookings), 10_000);
    assert!(rows(Table::Airports) >= 60);
    assert_eq!(rows(Table::Aircrafts), 9);
    assert_ratio("tickets a booking", (rows(Table::Tickets), rows(Table::Bookings)), 1.36..1.44);
    let segments = rows(Table::TicketFlights);
    assert_ratio("segments a ticket", (segments, rows(Table::Tickets)), 2.75..2.95);
    assert_ratio("boarding passes a segment", (rows(Table::BoardingPasses), segments), 0.74..0.86);
    assert_ratio("segments a flight", (segments, rows(Table::Flights)), 33.0..39.0);
    for table in Table::ALL {
        let counted = airline.number(&format!("SELECT count(*) FROM {}", table.name())).await;
        assert_eq!(u64::try_from(counted).unwrap(), rows(table), "{}", table.name());
    }
    airline.assert_sound().await;
    assert_whole_parties(&airline).await;
}

/// What only a fresh data set promises: later, single tickets are refunded.
async fn assert_whole_parties(airline: &Airline) {
    let torn_parties = airline
        .number(
            "SELECT count(*)
             FROM (
                 SELECT book_ref
                 FROM (
                     SELECT t.book_ref, t.ticket_no, array_agg(tf.flight_id ORDER BY tf.flight_id) AS way
                     FROM tickets AS t
                     JOIN ticket_flights AS tf ON tf.ticket_no = t.ticket_no
                     GROUP BY t.book_ref, t.ticket_no
                 ) AS ways
                 GROUP BY book_ref
                 HAVING count(DISTINCT way) > 1
             ) AS torn",
        )
        .await;
    assert_eq!(torn_parties, 0, "all tickets of a booking share its segments");
    let late_bookings = airline
        .number(
            "SELECT count(*)
             FROM bookings AS b
             JOIN tickets AS t ON t.book_ref = b.book_ref
             JOIN ticket_flights AS tf ON tf.ticket_no = t.ticket_no
             JOIN flights AS f ON f.flight_id = tf.flight_id
             WHERE b.book_date >= f.scheduled_departure",
        )
        .await;
    assert_eq!(late_bookings, 0, "every booking is older than its flights");
    let frequent = airline
        .number(
            "SELECT count(*)
             FROM (
                 SELECT passenger_id
                 FROM tickets
                 GROUP BY passenger_id
                 HAVING count(*) >= 5
             ) AS flyers",
        )
        .await;
    assert!(frequent >= 50, "{frequent} people hold five tickets or more");
    let statuses = airline.number("SELECT count(DISTINCT status) FROM flights").await;
    assert!(statuses >= 4, "{statuses} statuses occur");
}

#[tokio::test]
async fn one_seed_and_day_give_one_data_set() {
    let (first, second) = (Airline::create(), Airline::create());
    first.seed(0.1, 7).await;
    second.seed(0.1, 7).await;
    let checksum = first.checksum().await;
    assert_eq!(checksum, second.checksum().await);
    let third = Airline::create();
    third.seed(0.1, 8).await;
    assert_ne!(checksum, third.checksum().await);
}

#[tokio::test]
async fn a_database_with_rows_is_refused_unless_truncation_is_asked_for() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let before = airline.checksum().await;
    let refusal = seed(&airline.database(), &options(0.02, 2), |_| ()).await.unwrap_err();
    assert!(full_text(&refusal).contains("--truncate"), "{}", full_text(&refusal));
    assert_eq!(airline.checksum().await, before);

    let anew = SeedOptions { existing: Existing::Truncate, ..options(0.02, 1) };
    seed(&airline.database(), &anew, |_| ()).await.unwrap();
    assert_eq!(airline.checksum().await, before);
}

#[tokio::test]
async fn an_airport_and_a_model_put_in_by_hand_stay_beside_the_data_set() {
    let airline = Airline::create();
    let client = airline.client().await;
    client
        .batch_execute(
            "INSERT INTO airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC');
             INSERT INTO aircrafts VALUES ('YYY', 'Paper Plane', 10);
             INSERT INTO seats VALUES ('YYY', '1A', 'Economy')",
        )
        .await
        .unwrap();
    let summary = airline.seed(0.02, 1).await;
    let row = client
        .query_one(
            "SELECT
                 (SELECT count(*) FROM airports),
                 (SELECT count(*) FROM aircrafts),
                 (SELECT a::text FROM airports AS a WHERE airport_code = 'XXX')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), i64::try_from(summary.rows(Table::Airports)).unwrap() + 1);
    assert_eq!(row.get::<_, i64>(1), i64::try_from(summary.rows(Table::Aircrafts)).unwrap() + 1);
    assert_eq!(row.get::<_, String>(2), r#"(XXX,"Test Airport","Test City",0,0,UTC)"#);
    airline.assert_sound().await;
}

#[tokio::test]
async fn a_row_that_the_data_set_brings_itself_is_named() {
    let airline = Airline::create();
    airline
        .client()
        .await
        .batch_execute("INSERT INTO airports VALUES ('SVO', 'Mine', 'Mine', 0, 0, 'UTC')")
        .await
        .unwrap();
    let refusal = seed(&airline.database(), &options(0.02, 1), |_| ()).await.unwrap_err();
    assert!(
        matches!(&refusal, SeedError::Taken { table: "airports", code } if code == "SVO"),
        "{refusal}"
    );
    assert_eq!(airline.number("SELECT count(*) FROM airports").await, 1);
}

#[tokio::test]
async fn one_booking_put_in_by_hand_is_enough_to_refuse() {
    let airline = Airline::create();
    airline
        .client()
        .await
        .batch_execute("INSERT INTO bookings VALUES ('000001', '2026-06-01 00:00:00+00', 1)")
        .await
        .unwrap();
    let refusal = seed(&airline.database(), &options(0.02, 1), |_| ()).await.unwrap_err();
    assert!(matches!(refusal, SeedError::NotEmpty("bookings")), "{refusal}");
}

#[tokio::test]
async fn a_new_flight_gets_a_number_above_the_seeded_ones() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let gap = airline
        .number(
            "WITH seeded AS (
                 SELECT max(flight_id) AS flight_id
                 FROM flights
             ),
             added AS (
                 INSERT INTO flights
                     (flight_no, scheduled_departure, scheduled_arrival, departure_airport,
                      arrival_airport, status, aircraft_code)
                 VALUES ('PG9999', now(), now() + interval '1 hour', 'SVO', 'LED', 'Scheduled', '321')
                 RETURNING flight_id
             )
             SELECT (added.flight_id - seeded.flight_id)::bigint
             FROM added, seeded",
        )
        .await;
    assert_eq!(gap, 1);
}

#[tokio::test]
async fn an_impossible_scale_is_refused_before_the_database_is_asked() {
    let nowhere = "postgres://nobody@127.0.0.1:1/nowhere".parse().unwrap();
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 501.0] {
        let refusal = seed(&nowhere, &options(scale, 1), |_| ()).await.unwrap_err();
        assert!(matches!(refusal, SeedError::Scale(_)), "{scale}: {refusal}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_password() {
    let output = Command::new(env!("CARGO_BIN_EXE_booking"))
        .args(["seed", "--scale", "0.1"])
        .env("BOOKING_DATABASE_URL", "postgres://admin:hidden@127.0.0.1:1/airline_tickets")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("127.0.0.1:1/airline_tickets"), "{complaint}");
    assert!(!complaint.contains("hidden"), "{complaint}");
}

#[tokio::test]
async fn wrong_usage_has_exit_code_two() {
    for arguments in
        [vec!["seed", "--scale", "much"], vec!["simulate", "--duration", "soon"], vec![]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_booking")).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
