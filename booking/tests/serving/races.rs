//! A seat is sold once, and a key stands for one booking, whatever happens at the same time.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;
use tokio::task::JoinSet;

use super::client::Reply;
use super::shop::{LATER, SOON, Shop, order};

/// Sends the same kind of request many times at once.
async fn at_once(
    shop: &Shop,
    count: usize,
    request: impl Fn(usize) -> (Vec<(&'static str, String)>, serde_json::Value),
) -> Vec<Reply> {
    let mut requests = JoinSet::new();
    for number in 0..count {
        let client = shop.client.clone();
        let (headers, body) = request(number);
        requests.spawn(async move {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.send("POST", "/api/v1/bookings", &headers, Some(&body)).await
        });
    }
    requests.join_all().await
}

/// How often each status came, with the kinds of problems.
fn outcomes(replies: &[Reply]) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for reply in replies {
        let name = if reply.status < 300 {
            reply.status.to_string()
        } else {
            format!("{} {}", reply.status, reply.problem())
        };
        *outcomes.entry(name).or_default() += 1;
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_fight_for_a_hundred_seats() {
    let shop = Shop::open().await;
    let body = order(SOON, "Economy", &json!(null));
    let replies = at_once(&shop, 1_000, |_| (Vec::new(), body.clone())).await;
    let expected = BTreeMap::from([("201".to_owned(), 100), ("409 sold-out".to_owned(), 900)]);
    assert_eq!(outcomes(&replies), expected);
    let seats: HashSet<String> = replies
        .iter()
        .filter(|reply| reply.status == 201)
        .map(|reply| reply.json()["items"][0]["seat_no"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(seats.len(), 100, "every passenger has a seat of their own");
    let sold = format!("SELECT count(*) FROM ticket_flights WHERE flight_id = {SOON}");
    assert_eq!(shop.number(&sold).await, 100);
    assert_eq!(shop.number("SELECT count(*) FROM service.seat_assignments").await, 100);
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 100);
    shop.airline.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_one_seat_one_gets_it() {
    let shop = Shop::open().await;
    let body = order(SOON, "Economy", &json!("12A"));
    let replies = at_once(&shop, 90, |_| (Vec::new(), body.clone())).await;
    let expected = BTreeMap::from([("201".to_owned(), 1), ("409 seat-taken".to_owned(), 89)]);
    assert_eq!(outcomes(&replies), expected);
    // Whoever was refused has nothing.
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
    assert_eq!(shop.number("SELECT count(*) FROM tickets").await, 1);
    shop.airline.assert_sound().await;
}

#[tokio::test]
async fn the_database_itself_refuses_a_second_sale_of_a_seat() {
    let shop = Shop::open().await;
    let booking = shop.book(SOON).await;
    let seat = booking["items"][0]["seat_no"].as_str().unwrap();
    let statement = format!(
        "INSERT INTO service.seat_assignments (flight_id, seat_no, ticket_no)
         VALUES ({SOON}, '{seat}', '0009000000001')"
    );
    let refusal = shop.airline.client().await.batch_execute(&statement).await.unwrap_err();
    let constraint = refusal.as_db_error().and_then(|error| error.constraint());
    assert_eq!(constraint, Some("seat_assignments_pkey"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_one_key_make_one_booking_and_get_one_answer() {
    let shop = Shop::open().await;
    let body = order(SOON, "Business", &json!(null));
    let key = || vec![("Idempotency-Key", "one".to_owned())];
    let replies = at_once(&shop, 40, |_| (key(), body.clone())).await;
    assert_eq!(outcomes(&replies), BTreeMap::from([("201".to_owned(), 40)]));
    let answers: HashSet<_> = replies.iter().map(|reply| reply.body.clone()).collect();
    assert_eq!(answers.len(), 1, "all get the same answer");
    let places: HashSet<_> =
        replies.iter().map(|reply| reply.headers["location"].clone()).collect();
    assert_eq!(places.len(), 1);
    let replayed = |reply: &&Reply| reply.headers.contains_key("idempotent-replayed");
    assert_eq!(replies.iter().filter(replayed).count(), 39);
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 1);
}

#[tokio::test]
async fn a_key_stands_for_its_request_and_for_its_customer() {
    let shop = Shop::open().await;
    let path = "/api/v1/bookings";
    let key = [("Idempotency-Key", "one")];
    let first = order(SOON, "Economy", &json!("1A"));
    shop.client.send("POST", path, &key, Some(&first)).await.expect(201);
    let other = order(LATER, "Economy", &json!("1A"));
    let refusal = shop.client.send("POST", path, &key, Some(&other)).await.expect(422);
    assert_eq!(refusal.problem(), "key-reused");
    // Another customer's key of the same name is another key.
    let (stranger, _) = super::shop::sign_up(shop.client.address, "bob@example.org").await;
    stranger.send("POST", path, &key, Some(&other)).await.expect(201);
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 2);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let shop = Shop::open().await;
    let path = "/api/v1/bookings";
    let key = [("Idempotency-Key", "one")];
    let taken = order(SOON, "Economy", &json!("1A"));
    let holder = shop.client.post(path, &taken).await.expect(201);
    let refusal = shop.client.send("POST", path, &key, Some(&taken)).await.expect(409);
    assert_eq!(refusal.problem(), "seat-taken");
    let booking = super::shop::path(&holder.json());
    let tag = [("If-Match", holder.etag())];
    shop.client.send("DELETE", &booking, &tag, None).await.expect(200);
    shop.client.send("POST", path, &key, Some(&taken)).await.expect(201);
}
