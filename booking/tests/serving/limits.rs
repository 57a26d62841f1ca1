//! What the service refuses to spend, and what every answer has.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shop::{SOON, Shop, order};

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_again() {
    let shop = Shop::open_with(|options| {
        options.rate = 0.001;
        options.burst = 5.0;
    })
    .await;
    // Two requests were spent to sign up and in.
    for _ in 0..3 {
        shop.stranger().get("/api/v1/airports").await.expect(200);
    }
    let refusal = shop.stranger().get("/api/v1/airports").await.expect(429);
    assert_eq!(refusal.problem(), "too-many-requests");
    let wait: u64 = refusal.headers["retry-after"].parse().unwrap();
    assert!((900..=1_001).contains(&wait), "{wait}");
    // Without a proxy nobody believes the header.
    let forged = [("X-Forwarded-For", "192.0.2.1")];
    shop.stranger().send("GET", "/api/v1/airports", &forged, None).await.expect(429);
    // The operator is always heard.
    shop.stranger().get("/health/live").await.expect(200);
    shop.stranger().get("/metrics").await.expect(200);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_a_limit_of_its_own() {
    let shop = Shop::open_with(|options| {
        options.rate = 0.001;
        options.burst = 2.0;
        options.behind_proxy = true;
    })
    .await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        let header = [("X-Forwarded-For", client)];
        for status in [200, 200, 429] {
            shop.stranger().send("GET", "/api/v1/airports", &header, None).await.expect(status);
        }
    }
}

#[tokio::test]
async fn passwords_cannot_be_tried_in_haste() {
    let shop = Shop::open_with(|options| {
        options.sign_in_rate = 0.001;
        options.sign_in_burst = 4.0;
    })
    .await;
    let body = json!({"email": "ann@example.org", "password": "a guess"});
    for status in [401, 401, 429] {
        shop.stranger().post("/api/v1/sessions", &body).await.expect(status);
    }
    shop.client.get("/api/v1/bookings").await.expect(200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let shop = Shop::open_with(|options| options.body_bytes_max = 2_000).await;
    let mut body = order(SOON, "Economy", &Value::Null);
    body["passengers"][0]["name"] = json!("x".repeat(2_000));
    let refusal = shop.client.post("/api/v1/bookings", &body).await.expect(413);
    assert_eq!(refusal.problem(), "too-large");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_and_sells_nothing() {
    let shop = Shop::open_with(|options| options.request_time = Duration::from_secs(4)).await;
    let mut holder = shop.airline.client().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("SELECT FROM flights WHERE flight_id = 1 FOR UPDATE").await.unwrap();
    let refusal = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &Value::Null))
        .await
        .expect(503);
    assert_eq!(refusal.problem(), "unavailable");
    assert_eq!(refusal.headers["retry-after"], "1");
    lock.rollback().await.unwrap();
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0);
    shop.book(SOON).await;
}

/// Has the commit of a booking wait for an advisory lock, for as long as it takes.
const SLOW_COMMIT: &str = "
    CREATE FUNCTION be_patient() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true);
        RETURN NULL;
    END $$;
    CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(1);
        RETURN NULL;
    END $$;
    CREATE TRIGGER first_be_patient AFTER INSERT ON bookings
        FOR EACH ROW EXECUTE FUNCTION be_patient();
    CREATE CONSTRAINT TRIGGER then_wait AFTER INSERT ON bookings DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
    SELECT pg_advisory_lock(1)";

#[tokio::test]
async fn a_commit_that_takes_too_long_leaves_its_outcome_open() {
    let shop = Shop::open_with(|options| options.request_time = Duration::from_secs(4)).await;
    let holder = shop.airline.client().await;
    holder.batch_execute(SLOW_COMMIT).await.unwrap();
    let body = order(SOON, "Economy", &Value::Null);
    let answer = shop.client.post("/api/v1/bookings", &body).await.expect(503);
    assert_eq!(answer.problem(), "outcome-unknown");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0);
    holder.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    // The commit was under way, and succeeds although nobody waits for it any more.
    devstack::wait_for_async(Duration::from_secs(60), "the booking", async || {
        shop.number("SELECT count(*) FROM bookings").await == 1
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem() {
    let shop = Shop::open().await;
    let nothing = shop.stranger().get("/api/v1/nothing").await.expect(404);
    assert_eq!(nothing.problem(), "not-found");
    let method = shop.stranger().send("DELETE", "/api/v1/airports", &[], None).await.expect(405);
    assert_eq!(method.problem(), "method-not-allowed");
    assert!(method.headers["allow"].contains("GET"), "{method:?}");
}

#[tokio::test]
async fn every_answer_has_a_name_and_keeps_browsers_from_guessing() {
    let shop = Shop::open().await;
    let named = [("X-Request-Id", "trace-7")];
    for path in ["/api/v1/airports", "/api/v1/nothing", "/health/live", "/metrics", "/openapi.json"]
    {
        let reply = shop.stranger().send("GET", path, &named, None).await;
        assert_eq!(reply.headers["x-request-id"], "trace-7", "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(reply.headers["x-frame-options"], "DENY", "{path}");
        let policy = &reply.headers["content-security-policy"];
        assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'", "{path}");
    }
    let one = shop.stranger().get("/health/live").await;
    let other = shop.stranger().get("/health/live").await;
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"]);
}

#[tokio::test]
async fn the_document_and_its_page_come_from_the_service_itself() {
    let shop = Shop::open().await;
    let document = shop.stranger().get("/openapi.json").await.expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, 23);
    shop.stranger().get("/docs").await.expect(303);
    let page = shop.stranger().get("/docs/").await.expect(200);
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "{}", page.body);
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        let reply = shop.stranger().get(&format!("/docs/{file}")).await.expect(200);
        assert!(!reply.body.is_empty(), "{file}");
    }
    let start = shop.stranger().get("/docs/swagger-initializer.js").await.body;
    assert!(start.contains("/openapi.json"), "{start}");
}

#[tokio::test]
async fn prometheus_reads_times_by_route_refusals_and_sales() {
    let shop = Shop::open().await;
    shop.client.post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A"))).await.expect(201);
    shop.client.post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A"))).await.expect(409);
    shop.client.get("/api/v1/bookings/000000").await.expect(404);
    let text = shop.stranger().get("/metrics").await.expect(200).body;
    for line in [
        "booking_http_request_duration_seconds_count{method=\"POST\",route=\"/api/v1/bookings\",status=\"201\"} 1",
        "booking_http_request_duration_seconds_count{method=\"GET\",route=\"/api/v1/bookings/{book_ref}\",status=\"404\"} 1",
        "booking_problems_total{kind=\"seat-taken\"} 1",
        "booking_seats_sold_total 1",
        "booking_pool_connections{pool=\"primary\",state=\"waiting\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end_and_closes_idle_connections() {
    let shop = Shop::open().await;
    let mut holder = shop.airline.client().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("SELECT FROM flights WHERE flight_id = 1 FOR UPDATE").await.unwrap();
    let client = shop.client.clone();
    let open = tokio::spawn(async move {
        client.post("/api/v1/bookings", &order(SOON, "Economy", &Value::Null)).await
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    devstack::wait_for_async(Duration::from_secs(30), "the request to wait", async || {
        shop.number(waiting).await == 1
    })
    .await;
    let mut idle = TcpStream::connect(shop.client.address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 512];
    assert!(idle.read(&mut first).await.unwrap() > 0);
    shop.stop.cancel();
    // The idle connection ends at once, and nobody new is accepted.
    devstack::wait_for_async(
        Duration::from_secs(30),
        "the end of the idle connection",
        async || matches!(idle.read(&mut first).await, Ok(0) | Err(_)),
    )
    .await;
    devstack::wait_for_async(Duration::from_secs(30), "the end of listening", async || {
        TcpStream::connect(shop.client.address).await.is_err()
    })
    .await;
    lock.rollback().await.unwrap();
    open.await.unwrap().expect(201);
    shop.running.await.unwrap();
}
