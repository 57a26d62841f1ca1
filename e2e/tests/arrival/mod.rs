//! A booking that a customer makes through the booking service is in the data of the dashboards.
//!
//! In: the service, reader, Kafka, loader and the refresher of the marts, each as an installation runs it. Out: the
//! bookings in the view that the dashboards read, and how long each took from the service's answer; `make test-arrival`
//! shows that. The test asks for the arrival alone, because a machine under tests has no time to promise.

#![allow(clippy::unwrap_used, reason = "tests panic where they fail")]

use std::time::{Duration, Instant};

use e2e::rig::{Rig, RigOptions};
use e2e::sql;
use tokio_postgres::Client;

/// How long a booking may be on its way.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks, which bounds how exactly an arrival is seen.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Bookings that the suite makes.
const BOOKINGS: usize = 5;

/// The pause between two refreshes of the marts, as `vault-loader refresh-marts` has it.
const REFRESHED_EVERY: Duration = Duration::from_millis(500);

/// The moments between two refreshes at which bookings are made, one after the other.
const SHIFTS: usize = 7;

/// The variable that asks for another number of bookings.
const BOOKINGS_VARIABLE: &str = "VAULTSTREAM_ARRIVALS";

const FLIGHTS: &str = "
    SELECT f.flight_id
    FROM flights AS f
    WHERE f.status = 'Scheduled' AND f.scheduled_departure > now() + interval '2 days'
      AND (SELECT count(*) FROM seats AS s
           WHERE s.aircraft_code = f.aircraft_code AND s.fare_conditions = 'Economy')
        > (SELECT count(*) FROM ticket_flights AS t
           WHERE t.flight_id = f.flight_id AND t.fare_conditions = 'Economy') + 20
    ORDER BY f.flight_id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_through_the_service_arrives_in_the_data_of_the_dashboards() {
    let count = bookings();
    let rig = rig();
    rig.seed(0.2).unwrap();
    let _reader = rig.start_reader().unwrap();
    let _loader = rig.start_loader().unwrap();
    let _refresher = rig.start_mart_refresher().unwrap();
    let service = rig.start_service(&[]).unwrap();
    rig.settle().await.unwrap();
    let source = sql::connect(&rig.source()).await.unwrap();
    let flights: Vec<i32> =
        source.query(FLIGHTS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(!flights.is_empty(), "no flight has free seats");
    let dashboard = rig.as_mart_reader().await.unwrap();
    wait_for_a_whole_refresh(&dashboard).await;
    let customer = service.customer("ann@example.org").unwrap();

    let mut took = Vec::new();
    for number in 0..=count {
        // An arrival is seen right after a refresh. A booking that followed it at once would always have to wait for
        // nearly a whole interval of the refresher: the pause spreads the bookings over that interval.
        let shift = u32::try_from(number % SHIFTS).unwrap();
        tokio::time::sleep(REFRESHED_EVERY * shift / u32::try_from(SHIFTS).unwrap()).await;
        let book_ref = customer.book(flights[number % flights.len()]).unwrap();
        let answered = Instant::now();
        wait_for_arrival(&dashboard, &book_ref, answered).await;
        // The first one finds connections, plans and caches that are cold.
        if number > 0 {
            took.push(answered.elapsed());
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1].as_millis();
    println!(
        "from the service's answer to the dashboards' view, {count} bookings: p50 {} ms, p95 {} ms, p99 {} ms, most {} ms",
        at(50),
        at(95),
        at(99),
        at(100)
    );
}

/// How many bookings are asked for.
fn bookings() -> usize {
    let Ok(text) = std::env::var(BOOKINGS_VARIABLE) else { return BOOKINGS };
    match text.parse() {
        Ok(count) if count > 0 => count,
        _ => panic!(
            "{BOOKINGS_VARIABLE} is {text:?}; give the number of bookings to make, 1 or more"
        ),
    }
}

fn rig() -> Rig {
    Rig::create(RigOptions::of_stack("arrival")).unwrap()
}

/// Looks until the marts have been refreshed with all that is loaded by now. A refresh that fills an empty table locks
/// the table for itself alone, and a query that waits for it would be counted as a slow arrival.
async fn wait_for_a_whole_refresh(dashboard: &Client) {
    let now: chrono::DateTime<chrono::Utc> =
        dashboard.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
    let query = "SELECT count(*) FROM dwh_marts.mart_refreshes WHERE refreshed_at > $1";
    let begun = Instant::now();
    while dashboard.query_one(query, &[&now]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed() < PATIENCE, "the marts are not refreshed");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks until the view shows the booking's only item.
async fn wait_for_arrival(dashboard: &Client, book_ref: &str, since: Instant) {
    let query = "SELECT count(*) FROM dwh_marts.v_dashboard_bookings WHERE book_ref = $1";
    let prepared = dashboard.prepare(query).await.unwrap();
    loop {
        let items: i64 = dashboard.query_one(&prepared, &[&book_ref]).await.unwrap().get(0);
        if items == 1 {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "booking {book_ref} has not arrived");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
