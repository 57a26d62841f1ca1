//! The load plans in small: a few of JMeter's customers, and whether everything that they were told is in the database.
//!
//! In: the plans of `load-tests`. Out: claims about statuses and rows, and none about time.

use std::path::Path;
use std::time::Duration;

use devstack::jmeter::{Jmeter, JmeterOptions, Samples, write_trips};
use devstack::wait_for;

use super::shop::Shop;

/// How long a plan may take, the start of Java included.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a plan against a shop: six customers, each of whom makes so many journeys.
async fn run(shop: &Shop, dir: &Path, plan: &str, loops: usize) -> Samples {
    let trips = dir.join("trips.csv");
    let server = &shop.airline.server;
    write_trips(&server.superuser(&shop.airline.name), 1, 400, &trips).unwrap();
    let options = JmeterOptions::new(plan, dir.join(plan))
        .property("host", shop.client.address.ip())
        .property("port", shop.client.address.port())
        .property("threads", 6)
        .property("ramp", 0)
        .property("loops", loops)
        .property("duration", PATIENCE.as_secs())
        .property("trips", trips.display());
    let mut jmeter = Jmeter::start(&options).unwrap();
    let wait =
        tokio::task::spawn_blocking(move || wait_for(PATIENCE, "JMeter to end", || jmeter.ended()));
    let samples = wait.await.unwrap();
    let failed: Vec<_> = samples.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_customers_of_the_load_plan_were_told_is_in_the_database() {
    let shop = Shop::open().await;
    // Two rows in Economy and one seat in Business: customers come in each other's way.
    let few = "DELETE FROM seats WHERE seat_no !~ '^([12][A-D]|26A)$'";
    shop.airline.client().await.batch_execute(few).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let told = run(&shop, dir.path(), "booking", 20).await;

    let codes = told.codes();
    let count = |label, code| i64::try_from(told.count(label, code)).unwrap();
    let booked = count("book", "201");
    assert!(booked > 0, "{codes:?}");
    for label in ["sign up", "sign in"] {
        assert_eq!(count(label, "201"), 6, "{label}: {codes:?}");
    }
    // A booking without its only item is cancelled, too. The airline has no row of it any more, the service has.
    let cancelled = count("cancel", "200") + count("give back", "200");
    for (expected, query) in [
        (booked, "SELECT count(*) FROM service.orders"),
        (cancelled, "SELECT count(*) FROM service.orders WHERE cancelled_at IS NOT NULL"),
        (booked - cancelled, "SELECT count(*) FROM bookings"),
        (booked - cancelled, "SELECT count(*) FROM ticket_flights"),
        (booked - cancelled, "SELECT count(*) FROM service.seat_assignments"),
        (
            booked - cancelled,
            "SELECT count(DISTINCT (flight_id, seat_no)) FROM service.seat_assignments",
        ),
    ] {
        assert_eq!(shop.number(query).await, expected, "{query}: {codes:?}");
    }
    shop.airline.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_of_searches_finds_flights_and_changes_nothing() {
    let shop = Shop::open().await;
    let before = shop.airline.checksum().await;
    let dir = tempfile::tempdir().unwrap();
    let told = run(&shop, dir.path(), "search", 5).await;
    assert_eq!((told.count("airports", "200"), told.count("search", "200")), (6, 30));
    assert_eq!(told.count("seat map", "200"), 30, "{:?}", told.codes());
    assert_eq!(shop.airline.checksum().await, before);
}
