//! The service through PgBouncer in transaction mode.

use std::time::Duration;

use devstack::{CompanionOptions, Pgbouncer, Postgres, PostgresOptions, wait_for_async};
use serde_json::json;
use tokio::task::JoinSet;

use super::recovery::use_everything;
use super::shop::{LATER, SOON, Shop, order, with_roles};

/// How long something may take that happens by itself.
const WAIT: Duration = Duration::from_secs(60);

/// A service whose connections all come from a pooler that has so few to the server.
async fn pooled(size: u16, request_time: Duration) -> (Shop, Pgbouncer) {
    let server = &devstack::shared::stack().postgres15;
    let pooler =
        Pgbouncer::start(&CompanionOptions::default(), server, &[&server.user], size).unwrap();
    let port = pooler.port();
    let shop = Shop::open_with(|options| {
        options.primary.port = port;
        options.request_time = request_time;
    })
    .await;
    (shop, pooler)
}

#[tokio::test]
async fn every_operation_works_through_the_pooler_as_the_role_of_the_service() {
    let server = Postgres::start(PostgresOptions::new(15).fsync(false)).unwrap();
    let (airline, password) = with_roles(&server).await;
    let options = CompanionOptions::default();
    let pooler = Pgbouncer::start(&options, server.address(), &["booking_service"], 2).unwrap();
    let port = pooler.port();
    let shop = Shop::start(airline, ("booking_service", password), |options| {
        options.primary.port = port;
    })
    .await;
    use_everything(&shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_one_seat_one_gets_it_through_the_pooler() {
    let (shop, _pooler) = pooled(4, Duration::from_secs(60)).await;
    let mut requests = JoinSet::new();
    for _ in 0..90 {
        let client = shop.client.clone();
        let body = order(SOON, "Economy", &json!("12A"));
        requests.spawn(async move { client.post("/api/v1/bookings", &body).await.status });
    }
    let statuses = requests.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 89);
    shop.airline.assert_sound().await;
}

#[tokio::test]
async fn a_limit_of_time_holds_for_one_transaction_and_not_for_the_next_client() {
    let (shop, pooler) = pooled(1, Duration::from_secs(3)).await;
    let mut airline = shop.airline.client().await;
    let holder = airline.transaction().await.unwrap();
    let lock = format!("SELECT FROM flights WHERE flight_id = {SOON} FOR UPDATE");
    holder.batch_execute(&lock).await.unwrap();
    let body = order(SOON, "Economy", &json!(null));
    let refusal = shop.client.post("/api/v1/bookings", &body).await.expect(503);
    assert_eq!(refusal.problem(), "unavailable");
    holder.rollback().await.unwrap();
    // The one connection of the pooler has no limit left behind, and serves the next request.
    let server = &shop.airline.server;
    let raw = devstack::sql::connect(&format!(
        "host=127.0.0.1 port={} dbname={} user={} password={}",
        pooler.port(),
        shop.airline.name,
        server.user,
        server.password
    ))
    .await
    .unwrap();
    let limits = "SELECT current_setting('statement_timeout') || current_setting('lock_timeout')";
    let limits: String = raw.query_typed_one(limits, &[]).await.unwrap().get(0);
    assert_eq!(limits, "00");
    shop.book(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings_go_on_while_the_pooler_dies_and_comes_back() {
    let (shop, mut pooler) = pooled(4, Duration::from_secs(60)).await;
    let mut buyers = JoinSet::new();
    for buyer in 0..4 {
        let client = shop.client.clone();
        buyers.spawn(async move {
            for number in 0..15 {
                let key = format!("{buyer}-{number}");
                let body = order(LATER, "Economy", &json!(null));
                let headers = [("Idempotency-Key", key.as_str())];
                client.send("POST", "/api/v1/bookings", &headers, Some(&body)).await.expect(201);
            }
        });
    }
    let count = "SELECT count(*) FROM bookings";
    for deaths in 1..=3 {
        wait_for_async(WAIT, "further bookings", async || shop.number(count).await >= deaths * 12)
            .await;
        pooler.kill9();
        pooler.start_again().unwrap();
    }
    buyers.join_all().await;
    assert_eq!(shop.number(count).await, 60, "each key made one booking");
    assert_eq!(shop.number("SELECT count(*) FROM service.seat_assignments").await, 60);
    shop.airline.assert_sound().await;
}
