//! `sql/source`: the schema refuses what is no airline, and each role can do its work and nothing else.

use std::process::Command;

use booking::seed::{Existing, SeedOptions, seed};
use booking::tables::Table;
use devstack::sql::connect;
use devstack::{Postgres, PostgresOptions, client_binary};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::{Airline, PASSWORDS, full_text, options, source_folder};

/// Tables of the schema `service` that are captured.
const CAPTURED: [&str; 5] = ["accounts", "messages", "orders", "seat_assignments", "uploads"];

/// Tables of the schema `service` that nobody but the service reads.
const SECRET: [&str; 4] = ["credentials", "sessions", "idempotency_keys", "staff"];

/// The names of the eight tables.
fn tables() -> [&'static str; 8] {
    Table::ALL.map(Table::name)
}

/// Files of sql/source in the order of their names.
fn files() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(source_folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A server of its own, for roles belong to a whole server, with everything applied to one database.
fn server_with_roles(version: u16) -> (Postgres, Airline) {
    let server = Postgres::start(PostgresOptions::new(version).fsync(false)).unwrap();
    let airline = Airline::create_with(server.address(), "airline_tickets", &files());
    (server, airline)
}

async fn as_role(airline: &Airline, role: &str, password: &str) -> Client {
    let target = airline.server.connection_string(&airline.name, role, password);
    connect(&target).await.unwrap_or_else(|err| panic!("{role}: {}", full_text(&err)))
}

/// Runs a statement and takes it back.
async fn attempt(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await.unwrap();
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    outcome
}

async fn assert_allowed(client: &Client, statement: &str) {
    let outcome = attempt(client, statement).await;
    assert!(outcome.is_ok(), "{statement}: {}", full_text(&outcome.unwrap_err()));
}

async fn assert_refused(client: &Client, statement: &str) {
    let code = attempt(client, statement).await.err().and_then(|err| err.code().cloned());
    assert_eq!(code, Some(SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
}

/// What nobody but the owner may do.
async fn assert_powerless(client: &Client) {
    for statement in [
        "CREATE TABLE public.mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE PUBLICATION mine",
        "CREATE ROLE mine",
        "SELECT pg_catalog.pg_read_file('postgresql.conf')",
    ] {
        assert_refused(client, statement).await;
    }
    for table in tables() {
        assert_refused(client, &format!("TRUNCATE public.{table} CASCADE")).await;
    }
}

async fn rights_are_the_least_that_work(version: u16) {
    let (_server, airline) = server_with_roles(version);
    let [reader, app, readonly, service] = PASSWORDS;

    let client = as_role(&airline, "cdc_reader", reader).await;
    for table in tables() {
        assert_allowed(&client, &format!("SELECT FROM public.{table}")).await;
        assert_refused(&client, &format!("DELETE FROM public.{table}")).await;
    }
    assert_refused(&client, "SELECT FROM public.airport_traffic").await;
    assert_refused(&client, "SELECT nextval('public.flights_flight_id_seq')").await;
    let slot = "SELECT pg_create_logical_replication_slot('probe', 'pgoutput', true)";
    client.batch_execute(slot).await.unwrap();
    client.batch_execute("SELECT pg_drop_replication_slot('probe')").await.unwrap();
    assert_powerless(&client).await;
    for table in CAPTURED {
        assert_allowed(&client, &format!("SELECT FROM service.{table}")).await;
        assert_refused(&client, &format!("DELETE FROM service.{table}")).await;
    }
    for table in SECRET {
        assert_refused(&client, &format!("SELECT FROM service.{table}")).await;
    }

    let client = as_role(&airline, "booking_app", app).await;
    assert_allowed(&client, "SELECT FROM service.seat_assignments").await;
    assert_refused(&client, "SELECT FROM service.accounts").await;
    for table in tables() {
        for statement in ["SELECT FROM", "DELETE FROM"] {
            assert_allowed(&client, &format!("{statement} public.{table}")).await;
        }
    }
    assert_allowed(
        &client,
        "INSERT INTO public.airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC');
         UPDATE public.airports SET city = 'Elsewhere'",
    )
    .await;
    assert_refused(&client, "SELECT FROM public.airport_traffic").await;
    assert_refused(&client, slot).await;
    assert_powerless(&client).await;

    let client = as_role(&airline, "airline_readonly", readonly).await;
    for table in tables() {
        assert_allowed(&client, &format!("SELECT FROM public.{table}")).await;
        assert_refused(&client, &format!("DELETE FROM public.{table}")).await;
    }
    assert_allowed(&client, "SELECT FROM public.airport_traffic").await;
    assert_refused(&client, slot).await;
    assert_powerless(&client).await;

    let client = as_role(&airline, "booking_service", service).await;
    the_service_can_sell_and_nothing_else(&client).await;
    assert_refused(&client, slot).await;
    assert_powerless(&client).await;

    a_stranger_cannot_connect(&airline).await;
    the_application_seeds_and_cannot_truncate(&airline, app).await;
}

async fn the_service_can_sell_and_nothing_else(client: &Client) {
    for table in tables() {
        assert_allowed(client, &format!("SELECT FROM public.{table}")).await;
    }
    for table in ["airports", "aircrafts", "seats", "flights"] {
        assert_refused(client, &format!("DELETE FROM public.{table}")).await;
    }
    for statement in [
        "UPDATE public.flights SET status = 'Cancelled'",
        "SELECT FROM public.flights FOR UPDATE",
        "UPDATE public.ticket_flights SET amount = 0",
        "UPDATE public.bookings SET book_date = now()",
        "UPDATE public.tickets SET passenger_id = ''",
        "SELECT FROM public.airport_traffic",
        "UPDATE service.credentials SET password_hash = ''",
        "UPDATE service.seat_assignments SET seat_no = '1A'",
        "UPDATE service.orders SET account_id = 1",
        "DELETE FROM service.accounts",
        "UPDATE service.messages SET body = ''",
        "DELETE FROM service.messages",
        "UPDATE service.uploads SET title = ''",
        "TRUNCATE service.seat_assignments",
        "INSERT INTO service.staff VALUES (1)",
        "UPDATE public.airports SET airport_code = 'XXX'",
        "UPDATE public.aircrafts SET aircraft_code = 'XXX'",
        "UPDATE public.seats SET fare_conditions = 'Economy'",
        "CREATE TABLE service.mine (id integer)",
    ] {
        assert_refused(client, statement).await;
    }
    for statement in [
        "SELECT service.lock_flights('{1}')",
        "UPDATE public.bookings SET total_amount = 0",
        "DELETE FROM public.boarding_passes",
        "DELETE FROM service.seat_assignments",
        "SELECT FROM service.staff",
        "UPDATE public.airports SET airport_name = '', city = '', longitude = 0, latitude = 0, timezone = ''",
        "UPDATE public.aircrafts SET model = '', range = 1",
    ] {
        assert_allowed(client, statement).await;
    }
}

async fn a_stranger_cannot_connect(airline: &Airline) {
    airline.server.execute(&airline.name, "CREATE ROLE stranger LOGIN PASSWORD 'x'").unwrap();
    let target = airline.server.connection_string(&airline.name, "stranger", "x");
    let refusal = connect(&target).await.err().and_then(|err| err.code().cloned());
    assert_eq!(refusal, Some(SqlState::INSUFFICIENT_PRIVILEGE));
}

async fn the_application_seeds_and_cannot_truncate(airline: &Airline, password: &str) {
    let database = airline.server.url(&airline.name, "booking_app", password).parse().unwrap();
    seed(&database, &options(0.01, 1), |_| ()).await.unwrap();
    let anew = SeedOptions { existing: Existing::Truncate, ..options(0.01, 1) };
    let refusal = full_text(&seed(&database, &anew, |_| ()).await.unwrap_err());
    assert!(refusal.contains("only their owner may"), "{refusal}");
}

#[tokio::test]
async fn rights_are_the_least_that_work_on_postgresql_15() {
    rights_are_the_least_that_work(15).await;
}

#[tokio::test]
async fn rights_are_the_least_that_work_on_postgresql_18() {
    rights_are_the_least_that_work(18).await;
}

#[tokio::test]
async fn applying_the_files_again_changes_nothing() {
    let (_server, airline) = server_with_roles(15);
    let dump = || {
        let output = Command::new(client_binary("pg_dump").unwrap())
            .arg(airline.server.superuser(&airline.name))
            .arg("--schema-only")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Newer releases begin a dump with a random token.
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
    };
    let before = dump();
    assert!(before.contains("CREATE TABLE public.boarding_passes"));
    for file in files() {
        airline.apply(&file);
    }
    assert_eq!(dump(), before);
}

#[tokio::test]
async fn the_publication_holds_the_eight_tables_and_every_change() {
    let airline = Airline::create();
    airline.apply("030_publication.sql");
    let client = airline.client().await;
    let row = client
        .query_one(
            "SELECT
                 pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT puballtables,
                 ARRAY(
                     SELECT tablename::text
                     FROM pg_publication_tables
                     WHERE pubname = p.pubname AND schemaname = 'public'
                 )
             FROM pg_publication AS p
             WHERE pubname = 'airline_publication'",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    let mut published: Vec<String> = row.get(1);
    let mut expected = tables().map(str::to_owned).to_vec();
    published.sort();
    expected.sort();
    assert_eq!(published, expected);
}

#[tokio::test]
async fn what_the_service_keeps_secret_is_in_no_publication() {
    let (_server, airline) = server_with_roles(15);
    let client = airline.client().await;
    let published = "SELECT pubname || ' ' || schemaname || '.' || tablename
                     FROM pg_publication_tables
                     WHERE schemaname <> 'public'
                     ORDER BY 1";
    let rows = client.query(published, &[]).await.unwrap();
    let published: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected = CAPTURED.map(|table| format!("booking_publication service.{table}"));
    assert_eq!(published, expected);
    // Every table of the schema is in one of the two lists, so that a new one is decided about.
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'service' ORDER BY 1";
    let rows = client.query(tables, &[]).await.unwrap();
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut known = [CAPTURED.as_slice(), SECRET.as_slice()].concat();
    known.sort_unstable();
    assert_eq!(tables, known);
}

#[tokio::test]
async fn an_airport_where_nothing_flies_has_a_row_of_zeros() {
    let airline = Airline::create();
    let client = airline.client().await;
    client
        .batch_execute(
            "INSERT INTO airports VALUES ('XXX', 'Test Airport', 'Test City', 0, 0, 'UTC')",
        )
        .await
        .unwrap();
    let rows = client.query("SELECT t::text FROM airport_traffic AS t", &[]).await.unwrap();
    let shown: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(shown, ["(XXX,0,0,0,0)"]);
}

#[tokio::test]
async fn cancelled_flights_and_their_passengers_do_not_count() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let client = airline.client().await;
    let query = "SELECT sum(departure_flights_num)::bigint, sum(departure_psngr_num)::bigint,
                        sum(arrival_flights_num)::bigint, sum(arrival_psngr_num)::bigint
                 FROM airport_traffic";
    let before = client.query_one(query, &[]).await.unwrap();
    let cancelled = client
        .query_one(
            "UPDATE flights AS f
             SET status = 'Cancelled', actual_departure = NULL, actual_arrival = NULL
             WHERE flight_id = (
                 SELECT tf.flight_id
                 FROM ticket_flights AS tf
                 JOIN flights AS g ON g.flight_id = tf.flight_id
                 WHERE g.status = 'Arrived'
                 ORDER BY tf.flight_id
                 LIMIT 1
             )
             RETURNING (SELECT count(*) FROM ticket_flights AS tf WHERE tf.flight_id = f.flight_id)",
            &[],
        )
        .await
        .unwrap();
    let after = client.query_one(query, &[]).await.unwrap();
    let segments: i64 = cancelled.get(0);
    assert!(segments > 0);
    let fallen = |column: usize| before.get::<_, i64>(column) - after.get::<_, i64>(column);
    assert_eq!([0, 1, 2, 3].map(fallen), [1, segments, 1, segments]);
}

#[tokio::test]
async fn what_is_no_airline_is_refused_by_a_named_constraint() {
    let airline = Airline::create();
    airline.seed(0.02, 1).await;
    let client = airline.client().await;
    let broken = [
        ("flights_scheduled_check", "UPDATE flights SET scheduled_arrival = scheduled_departure"),
        (
            "flights_actual_check",
            "UPDATE flights SET actual_departure = NULL, actual_arrival = scheduled_arrival",
        ),
        ("flights_status_check", "UPDATE flights SET status = 'Lost'"),
        ("flights_arrival_airport_fkey", "UPDATE flights SET arrival_airport = 'ZZZ'"),
        ("aircrafts_range_check", "UPDATE aircrafts SET range = 0"),
        ("seats_fare_conditions_check", "UPDATE seats SET fare_conditions = 'Roof'"),
        ("ticket_flights_amount_check", "UPDATE ticket_flights SET amount = -1"),
        ("tickets_book_ref_fkey", "DELETE FROM bookings"),
        ("boarding_passes_flight_id_seat_no_key", "UPDATE boarding_passes SET seat_no = '1A'"),
        (
            "boarding_passes_ticket_no_flight_id_fkey",
            "DELETE FROM ticket_flights AS tf
             USING boarding_passes AS bp
             WHERE bp.ticket_no = tf.ticket_no AND bp.flight_id = tf.flight_id",
        ),
        (
            "flights_flight_no_scheduled_departure_key",
            "UPDATE flights SET flight_no = 'PG0001', scheduled_departure = '2026-01-01+00'",
        ),
    ];
    for (constraint, statement) in broken {
        let refusal = attempt(&client, statement).await.unwrap_err();
        let named = refusal.as_db_error().and_then(|server| server.constraint());
        assert_eq!(named, Some(constraint), "{statement}");
    }
}

#[tokio::test]
async fn an_aircrafts_seats_go_with_it() {
    let airline = Airline::create();
    let client = airline.client().await;
    client
        .batch_execute(
            "INSERT INTO aircrafts VALUES ('YYY', 'Paper Plane', 10);
             INSERT INTO seats VALUES ('YYY', '1A', 'Economy');
             DELETE FROM aircrafts WHERE aircraft_code = 'YYY'",
        )
        .await
        .unwrap();
    assert_eq!(airline.number("SELECT count(*) FROM seats").await, 0);
}
