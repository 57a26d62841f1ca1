//! `booking simulate`: what it keeps true, what it leaves alone, and how it ends.

use std::num::NonZeroU16;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use booking::simulate::{Counts, Kind, MIX, SimulateError, SimulateOptions, Tally, simulate};
use devstack::{Postgres, PostgresOptions, StopMode, wait_for_async};
use tokio_util::sync::CancellationToken;

use crate::support::{Airline, noon};

/// As fast as the server goes, on a clock that stands still, so that a run can be repeated.
fn options(transaction_count: u64, connections: u16) -> SimulateOptions {
    SimulateOptions {
        rate: 0.0,
        duration: None,
        transaction_max: Some(transaction_count),
        seed: 5,
        connections: NonZeroU16::new(connections).unwrap(),
        time_factor: 0.0,
        now: Some(noon()),
    }
}

async fn run(airline: &Airline, options: &SimulateOptions) -> Result<Counts, SimulateError> {
    let tally = Arc::new(Tally::default());
    simulate(&airline.database(), options, tally, CancellationToken::new()).await
}

#[tokio::test]
async fn every_kind_of_transaction_happens_and_the_rules_hold() {
    let airline = Airline::create();
    airline.seed(0.3, 1).await;
    let counts = run(&airline, &options(3_000, 1)).await.unwrap();
    assert_eq!(counts.committed + counts.rolled_back, 3_000);
    assert!(counts.rolled_back > 0);
    for (kind, _) in MIX {
        let happened = counts.of(kind) > 0;
        assert_eq!(happened, kind != Kind::Abandon, "{}", kind.as_str());
    }
    airline.assert_sound().await;
}

#[tokio::test]
async fn workers_side_by_side_keep_the_rules() {
    let airline = Airline::create();
    airline.seed(0.1, 1).await;
    let counts = run(&airline, &options(2_000, 6)).await.unwrap();
    assert_eq!(counts.committed + counts.rolled_back, 2_000);
    airline.assert_sound().await;
    let disagreements = airline
        .number(
            "SELECT count(*)
             FROM airport_traffic AS shown
             WHERE (shown.departure_flights_num, shown.departure_psngr_num,
                    shown.arrival_flights_num, shown.arrival_psngr_num)
                 IS DISTINCT FROM (
                     (SELECT count(*) FROM flights AS f
                      WHERE f.departure_airport = shown.airport_code AND f.status <> 'Cancelled'),
                     (SELECT count(*) FROM ticket_flights AS tf JOIN flights AS f USING (flight_id)
                      WHERE f.departure_airport = shown.airport_code AND f.status <> 'Cancelled'),
                     (SELECT count(*) FROM flights AS f
                      WHERE f.arrival_airport = shown.airport_code AND f.status <> 'Cancelled'),
                     (SELECT count(*) FROM ticket_flights AS tf JOIN flights AS f USING (flight_id)
                      WHERE f.arrival_airport = shown.airport_code AND f.status <> 'Cancelled')
                 )",
        )
        .await;
    assert_eq!(disagreements, 0, "airport_traffic counts flights and segments");
}

#[tokio::test]
async fn one_seed_on_one_connection_gives_one_life() {
    let (first, second) = (Airline::create(), Airline::create());
    for airline in [&first, &second] {
        airline.seed(0.05, 1).await;
        run(airline, &options(400, 1)).await.unwrap();
    }
    assert_eq!(first.checksum().await, second.checksum().await);
    let third = Airline::create();
    third.seed(0.05, 1).await;
    run(&third, &SimulateOptions { seed: 6, ..options(400, 1) }).await.unwrap();
    assert_ne!(first.checksum().await, third.checksum().await);
}

#[tokio::test]
async fn the_same_seed_again_goes_on_with_the_same_airline() {
    let airline = Airline::create();
    airline.seed(0.05, 1).await;
    for _ in 0..2 {
        let counts = run(&airline, &options(500, 2)).await.unwrap();
        assert_eq!(counts.committed + counts.rolled_back, 500);
    }
    airline.assert_sound().await;
}

#[tokio::test]
async fn an_airport_put_in_by_hand_is_left_alone() {
    let airline = Airline::create();
    airline.seed(0.05, 1).await;
    let client = airline.client().await;
    client
        .batch_execute(
            "INSERT INTO airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC');
             INSERT INTO aircrafts VALUES ('YYY', 'Paper Plane', 10)",
        )
        .await
        .unwrap();
    run(&airline, &options(1_500, 2)).await.unwrap();
    let row = client
        .query_one(
            "SELECT
                 (SELECT a::text FROM airports AS a WHERE airport_code = 'XXX'),
                 (SELECT t::text FROM airport_traffic AS t WHERE airport_code = 'XXX'),
                 (SELECT count(*) FROM flights WHERE aircraft_code = 'YYY')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), r#"(XXX,"Test Airport","Test City",0,0,UTC)"#);
    assert_eq!(row.get::<_, String>(1), "(XXX,0,0,0,0)");
    assert_eq!(row.get::<_, i64>(2), 0, "a model without seats never flies");
}

#[tokio::test]
async fn without_flights_the_remedy_is_named() {
    let airline = Airline::create();
    let refusal = run(&airline, &options(10, 1)).await.unwrap_err();
    assert!(matches!(refusal, SimulateError::NoFlights));
    assert!(refusal.to_string().contains("booking seed"), "{refusal}");
}

#[tokio::test]
async fn lost_connections_are_opened_again_and_the_run_goes_on() {
    let airline = Airline::create();
    airline.seed(0.05, 1).await;
    let tally = Arc::new(Tally::default());
    let stop = CancellationToken::new();
    let database = airline.database();
    let running = tokio::spawn({
        let (tally, stop) = (Arc::clone(&tally), stop.clone());
        let options = SimulateOptions { transaction_max: None, ..options(0, 2) };
        async move { simulate(&database, &options, tally, stop).await }
    });
    wait_for("a first transaction", || tally.counts().committed > 0).await;
    // The second connection may still be on its way in.
    let client = airline.client().await;
    let both = "SELECT count(*) = 2 FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'booking'";
    wait_until_sql(&client, both).await;
    let cut = airline
        .number(
            "SELECT count(pg_terminate_backend(pid))
             FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'booking'",
        )
        .await;
    assert_eq!(cut, 2);
    wait_for("both connections again", || tally.counts().reconnect_count >= 2).await;
    let before = tally.counts().committed;
    wait_for("a transaction after that", || tally.counts().committed > before).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    airline.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_that_lasts_ends_the_run_with_the_servers_words() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    airline
        .client()
        .await
        .batch_execute(
            "ALTER TABLE bookings ADD CONSTRAINT no_more CHECK (total_amount < 0) NOT VALID",
        )
        .await
        .unwrap();
    let refusal = run(&airline, &options(1_000, 2)).await.unwrap_err();
    let text = crate::support::full_text(&refusal);
    assert!(text.contains("no_more"), "{text}");
}

#[tokio::test]
async fn a_signal_ends_the_program_in_order_and_with_a_summary() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let program = Command::new(env!("CARGO_BIN_EXE_booking"))
        .args(["simulate", "--rate", "20"])
        .env("BOOKING_DATABASE_URL", airline.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = airline.client().await;
    wait_until_sql(&client, "SELECT EXISTS (SELECT FROM bookings WHERE book_date > '2026-06-16')")
        .await;
    let killed = Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(summary.contains("transactions and"), "{summary}");
    airline.assert_sound().await;
}

/// The program on an airline for four seconds.
fn simulate_four_seconds(airline: &Airline) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_booking"))
        .args(["simulate", "--rate", "50", "--duration", "4s", "--connections", "2"])
        .env("BOOKING_DATABASE_URL", airline.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Both connections are there, and a sale of this run; the data set itself was made on an earlier day.
const UNDER_WAY: &str = "SELECT EXISTS (SELECT FROM bookings WHERE book_date > '2026-06-16')
    AND (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'booking') = 2";

/// Waits for the program's end and tells what it logged. Many lines would fill a disk; a few say all there is to say.
fn ended_in_order(program: std::process::Child) -> String {
    let output = program.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.lines().count() < 100, "{} lines: {log}", log.lines().count());
    assert!(String::from_utf8_lossy(&output.stdout).contains("transactions and"));
    log
}

#[tokio::test]
async fn a_run_whose_server_is_away_at_its_end_stops_with_few_words() {
    let mut server = Postgres::start(PostgresOptions::new(15).name("away at the end")).unwrap();
    let airline = Airline::create_on(server.address());
    airline.seed(0.02, 1).await;
    let program = simulate_four_seconds(&airline);
    wait_until_sql(&airline.client().await, UNDER_WAY).await;
    server.stop(StopMode::Immediate).unwrap();
    let log = ended_in_order(program);
    assert!(log.contains("connection lost"), "{log}");
    server.start_again().unwrap(); // the database is dropped at the end
}

#[tokio::test]
async fn a_run_whose_server_does_not_answer_at_its_end_gives_the_transaction_up() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let program = simulate_four_seconds(&airline);
    let holder = airline.client().await;
    wait_until_sql(&holder, UNDER_WAY).await;
    // One table only: whoever waits for a second lock may be chosen to end a deadlock.
    holder.batch_execute("BEGIN; LOCK TABLE bookings IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let log = ended_in_order(program);
    assert!(log.contains("is given up"), "{log}");
}

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for_async(PATIENCE, what, async || condition()).await;
}

/// Waits until a query says true.
async fn wait_until_sql(client: &tokio_postgres::Client, query: &str) {
    wait_for_async(PATIENCE, query, async || {
        client.query_one(query, &[]).await.map(|row| row.get::<_, bool>(0))
    })
    .await;
}
