//! A seat is sold once, and a key stands for one booking, whatever happens at the same time.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use devstack::wait_for_async;
use serde_json::json;
use tokio::task::JoinSet;

use super::client::Reply;
use super::shop::{LATER, SOON, Shop, item_path, order, path};

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

/// Boards everybody who has a seat on `SOON` while a request waits for the lock of the flight, as the simulator does:
/// it locks the flight and no booking.
async fn boarded_meanwhile(shop: &Shop, request: impl Future<Output = Reply>) -> Reply {
    let mut airline = shop.airline.client().await;
    let boarding = airline.transaction().await.unwrap();
    let lock = format!("SELECT FROM flights WHERE flight_id = {SOON} FOR NO KEY UPDATE");
    boarding.batch_execute(&lock).await.unwrap();
    let board = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_for_async(
            Duration::from_secs(60),
            "a request that waits for the flight",
            async || shop.number(waiting).await == 1,
        )
        .await;
        let boarded = format!(
            "INSERT INTO boarding_passes (ticket_no, flight_id, boarding_no, seat_no)
             SELECT ticket_no, flight_id, 7, seat_no
             FROM service.seat_assignments
             WHERE flight_id = {SOON}"
        );
        assert_eq!(boarding.execute(&boarded, &[]).await.unwrap(), 1);
        boarding.commit().await.unwrap();
    };
    tokio::join!(request, board).0
}

#[tokio::test]
async fn check_in_of_a_passenger_who_boards_meanwhile_gives_the_boarding_pass_that_is_there() {
    let shop = Shop::open().await;
    let booking = shop.book(SOON).await;
    let check_in = format!("{}/check-in", item_path(&booking, 0));
    let request = shop.client.send("POST", &check_in, &[], None);
    let pass = boarded_meanwhile(&shop, request).await.expect(200).json();
    assert_eq!(pass["boarding_no"], 7, "the airline's boarding pass");
    assert_eq!(pass["seat_no"], booking["items"][0]["seat_no"]);
    assert_eq!(shop.number("SELECT count(*) FROM boarding_passes").await, 1);
}

#[tokio::test]
async fn the_seat_of_a_passenger_who_boards_meanwhile_is_not_changed() {
    let shop = Shop::open().await;
    let booking = shop.book(SOON).await;
    let now = shop.client.get(&path(&booking)).await.expect(200);
    let item = item_path(&booking, 0);
    let change = json!({"seat_no": "9B"});
    let tag = [("If-Match", now.etag())];
    let request = shop.client.send("PATCH", &item, &tag, Some(&change));
    let refusal = boarded_meanwhile(&shop, request).await.expect(409);
    assert_eq!(refusal.problem(), "not-changeable");
    let kept = "SELECT count(*)
                FROM service.seat_assignments AS sa
                JOIN boarding_passes AS bp USING (ticket_no, flight_id, seat_no)";
    assert_eq!(shop.number(kept).await, 1, "the seat is the boarding pass's");
    shop.airline.assert_sound().await;
}
