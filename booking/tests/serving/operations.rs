//! What customers do: search, book, change, cancel, check in.

use serde_json::{Value, json};

use super::shop::{BACK, CROSSING, GONE, LATER, SOON, Shop, item_path, order, path};

#[tokio::test]
async fn a_search_gives_flights_with_prices_and_free_seats() {
    let shop = Shop::open().await;
    let departs: String = shop
        .airline
        .client()
        .await
        .query_one("SELECT (scheduled_departure AT TIME ZONE 'UTC')::date::text FROM flights WHERE flight_id = 2", &[])
        .await
        .unwrap()
        .get(0);
    let search = |rest: &str| format!("/api/v1/flights?from=aaa&to=BBB&date={departs}{rest}");
    let found = shop.stranger().get(&search("")).await.expect(200).json();
    let ids: Vec<_> =
        found["flights"].as_array().unwrap().iter().map(|f| f["flight_id"].clone()).collect();
    assert!(ids.contains(&json!(LATER)), "{found}");
    let flight = shop.stranger().get(&format!("/api/v1/flights/{LATER}")).await.expect(200).json();
    // Two hours: 1 500 and 120 times 50 roubles; Business is three times that.
    assert_eq!(
        flight["offers"],
        json!([
            {"fare": "Economy", "price": "7500.00", "free_seats": 100, "seats": 100},
            {"fare": "Business", "price": "22500.00", "free_seats": 4, "seats": 4},
        ])
    );
    for _ in 0..2 {
        shop.client
            .post("/api/v1/bookings", &order(LATER, "Business", &Value::Null))
            .await
            .expect(201);
    }
    let found =
        shop.stranger().get(&search("&passengers=3&fare=Business")).await.expect(200).json();
    assert!(!found.to_string().contains(r#""flight_id":2,"#), "two seats are left: {found}");
    let found =
        shop.stranger().get(&search("&passengers=2&fare=Business")).await.expect(200).json();
    assert!(found.to_string().contains(r#""flight_id":2,"#), "{found}");
    shop.stranger().get("/api/v1/flights/999").await.expect(404);
}

#[tokio::test]
async fn the_day_of_a_search_is_the_airports_own() {
    let shop = Shop::open().await;
    // 23:30 of 14 June in UTC is 15 June in Tokyo.
    shop.airline
        .client()
        .await
        .batch_execute(
            "UPDATE airports SET timezone = 'Asia/Tokyo' WHERE airport_code = 'BBB';
             UPDATE flights SET scheduled_departure = '2031-06-14 23:30+00',
                                scheduled_arrival = '2031-06-15 01:30+00' WHERE flight_id = 3",
        )
        .await
        .unwrap();
    for (day, count) in [("2031-06-14", 0), ("2031-06-15", 1)] {
        let path = format!("/api/v1/flights?from=BBB&to=AAA&date={day}");
        let found = shop.stranger().get(&path).await.expect(200).json();
        assert_eq!(found["flights"].as_array().unwrap().len(), count, "{day}");
    }
}

#[tokio::test]
async fn a_booking_of_several_passengers_and_flights_is_written_as_one() {
    let shop = Shop::open().await;
    let body = json!({
        "passengers": [
            {"document": "1234 567890", "name": " ANN  EXAMPLE ", "email": "Ann@example.org", "phone": "+79000000001"},
            {"document": "2345 678901", "name": "BOB EXAMPLE"},
        ],
        "segments": [
            {"flight_id": LATER, "fare": "Business", "seats": ["26B", null]},
            {"flight_id": BACK, "fare": "Economy"},
        ],
    });
    let reply = shop.client.post("/api/v1/bookings", &body).await.expect(201);
    let booking = reply.json();
    assert_eq!(reply.headers["location"], path(&booking));
    assert_eq!(booking["total_amount"], "60000.00");
    assert_eq!(booking["status"], "Active");
    assert_eq!(booking["passengers"].as_array().unwrap().len(), 2);
    let items = booking["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    let ann = booking["passengers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|passenger| passenger["name"] == "ANN EXAMPLE")
        .unwrap();
    assert_eq!((&ann["email"], &ann["phone"]), (&json!("ann@example.org"), &json!("+79000000001")));
    let seat = items
        .iter()
        .find(|item| item["ticket_no"] == ann["ticket_no"] && item["flight_id"] == LATER)
        .unwrap();
    assert_eq!(seat["seat_no"], "26B");
    let read = shop.client.get(&path(&booking)).await.expect(200);
    assert_eq!((read.body.as_str(), read.etag()), (reply.body.as_str(), reply.etag()));
    let seats =
        shop.stranger().get(&format!("/api/v1/flights/{LATER}/seats")).await.expect(200).json();
    let taken: Vec<_> =
        seats["seats"].as_array().unwrap().iter().filter(|seat| seat["is_free"] == false).collect();
    assert_eq!(taken.len(), 2, "{taken:?}");
    shop.airline.assert_sound().await;
}

#[tokio::test]
async fn a_change_needs_the_state_that_it_is_based_on() {
    let shop = Shop::open().await;
    let first = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A")))
        .await
        .expect(201);
    let item = item_path(&first.json(), 0);
    let change = json!({"seat_no": "2A"});
    let missing = shop.client.send("PATCH", &item, &[], Some(&change)).await.expect(428);
    assert_eq!(missing.problem(), "precondition-required");
    let tag = [("If-Match", first.etag())];
    let second = shop.client.send("PATCH", &item, &tag, Some(&change)).await.expect(200);
    assert_ne!(second.etag(), first.etag());
    assert_eq!(second.json()["items"][0]["seat_no"], "2A");
    let stale =
        shop.client.send("PATCH", &item, &tag, Some(&json!({"seat_no": "3A"}))).await.expect(412);
    assert_eq!(stale.problem(), "precondition-failed");
    // A change by the airline itself counts, too.
    shop.airline
        .client()
        .await
        .batch_execute("UPDATE flights SET status = 'Delayed' WHERE flight_id = 1")
        .await
        .unwrap();
    let tag = [("If-Match", second.etag())];
    shop.client.send("DELETE", &path(&first.json()), &tag, None).await.expect(412);
}

#[tokio::test]
async fn of_two_changes_of_one_state_one_is_made() {
    let shop = Shop::open().await;
    let first = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A")))
        .await
        .expect(201);
    let item = item_path(&first.json(), 0);
    let tag = [("If-Match", first.etag())];
    let (to_2a, to_3a) = (json!({"seat_no": "2A"}), json!({"seat_no": "3A"}));
    let (one, other) = tokio::join!(
        shop.client.send("PATCH", &item, &tag, Some(&to_2a)),
        shop.client.send("PATCH", &item, &tag, Some(&to_3a)),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn an_item_moves_to_another_flight_and_another_class() {
    let shop = Shop::open().await;
    let booking = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A")))
        .await
        .expect(201);
    let tag = [("If-Match", booking.etag()), ("Idempotency-Key", "move")];
    let change = json!({"flight_id": LATER, "fare": "Business", "seat_no": "26C"});
    let item = item_path(&booking.json(), 0);
    let moved = shop.client.send("PATCH", &item, &tag, Some(&change)).await.expect(200);
    let new = moved.json();
    assert_eq!(new["total_amount"], "22500.00");
    assert_eq!(new["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&new["items"][0]["flight_id"], &new["items"][0]["seat_no"]),
        (&json!(LATER), &json!("26C"))
    );
    // The same request again, after a lost answer: the same answer.
    let again = shop.client.send("PATCH", &item, &tag, Some(&change)).await.expect(200);
    assert_eq!(again.body, moved.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // The old seat is free again.
    shop.client.post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A"))).await.expect(201);
    shop.airline.assert_sound().await;
}

#[tokio::test]
async fn what_is_given_back_can_be_sold_again() {
    let shop = Shop::open().await;
    let body = json!({
        "passengers": [{"document": "1234", "name": "ANN"}, {"document": "2345", "name": "BOB"}],
        "segments": [{"flight_id": SOON, "fare": "Economy", "seats": ["1A", "1B"]}],
    });
    let booking = shop.client.post("/api/v1/bookings", &body).await.expect(201);
    let tag = [("If-Match", booking.etag())];
    let less =
        shop.client.send("DELETE", &item_path(&booking.json(), 0), &tag, None).await.expect(200);
    let left = less.json();
    assert_eq!((&left["total_amount"], &left["status"]), (&json!("7500.00"), &json!("Active")));
    assert_eq!(left["passengers"].as_array().unwrap().len(), 1);
    let tag = [("If-Match", less.etag())];
    let gone = shop.client.send("DELETE", &path(&left), &tag, None).await.expect(200).json();
    assert_eq!((&gone["total_amount"], &gone["status"]), (&json!("0.00"), &json!("Cancelled")));
    for table in ["bookings", "tickets", "ticket_flights", "service.seat_assignments"] {
        assert_eq!(shop.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let read = shop.client.get(&path(&left)).await.expect(200);
    let tag = [("If-Match", read.etag())];
    let twice = shop.client.send("DELETE", &path(&left), &tag, None).await.expect(409);
    assert_eq!(twice.problem(), "not-changeable");
    for seat in ["1A", "1B"] {
        shop.client
            .post("/api/v1/bookings", &order(SOON, "Economy", &json!(seat)))
            .await
            .expect(201);
    }
    shop.airline.assert_sound().await;
}

#[tokio::test]
async fn a_passenger_gets_another_name_and_contact() {
    let shop = Shop::open().await;
    let booking = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!(null)))
        .await
        .expect(201);
    let ticket = booking.json()["passengers"][0]["ticket_no"].as_str().unwrap().to_owned();
    let place = format!("{}/passengers/{ticket}", path(&booking.json()));
    let tag = [("If-Match", booking.etag())];
    let change = json!({"name": "ANNA EXAMPLE", "phone": "+79000000002"});
    let changed = shop.client.send("PATCH", &place, &tag, Some(&change)).await.expect(200);
    let passenger = &changed.json()["passengers"][0];
    assert_eq!(
        (&passenger["name"], &passenger["phone"]),
        (&json!("ANNA EXAMPLE"), &json!("+79000000002"))
    );
    let tag = [("If-Match", changed.etag())];
    let removed =
        shop.client.send("PATCH", &place, &tag, Some(&json!({"phone": null}))).await.expect(200);
    let passenger = &removed.json()["passengers"][0];
    assert_eq!((&passenger["name"], &passenger["phone"]), (&json!("ANNA EXAMPLE"), &Value::Null));
    let other = format!("{}/passengers/0007999999999", path(&booking.json()));
    let tag = [("If-Match", removed.etag())];
    shop.client.send("PATCH", &other, &tag, Some(&change)).await.expect(404);
}

#[tokio::test]
async fn check_in_gives_a_boarding_pass_for_the_seat_and_gives_it_once() {
    let shop = Shop::open().await;
    let booking = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("7C")))
        .await
        .expect(201)
        .json();
    let item = item_path(&booking, 0);
    shop.client.get(&format!("{item}/boarding-pass")).await.expect(404);
    let check_in = format!("{item}/check-in");
    let first = shop.client.send("POST", &check_in, &[], None).await.expect(201);
    let pass = first.json();
    assert_eq!((&pass["seat_no"], &pass["boarding_no"]), (&json!("7C"), &json!(1)));
    let again = shop.client.send("POST", &check_in, &[], None).await.expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(
        shop.client.get(&format!("{item}/boarding-pass")).await.expect(200).body,
        first.body
    );
    // A boarding pass is not changed, and can be given back.
    let now = shop.client.get(&path(&booking)).await.expect(200);
    let tag = [("If-Match", now.etag())];
    let change = json!({"seat_no": "8C"});
    let refusal = shop.client.send("PATCH", &item, &tag, Some(&change)).await.expect(409);
    assert_eq!(refusal.problem(), "not-changeable");
    shop.client.send("DELETE", &item, &tag, None).await.expect(200);
    assert_eq!(shop.number("SELECT count(*) FROM boarding_passes").await, 0);
}

#[tokio::test]
async fn check_in_is_open_for_a_day_and_not_after_the_departure() {
    let shop = Shop::open().await;
    let later = shop.book(LATER).await;
    let early = shop
        .client
        .send("POST", &format!("{}/check-in", item_path(&later, 0)), &[], None)
        .await
        .expect(409);
    assert_eq!(early.problem(), "flight-closed");
    let soon = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!(null)))
        .await
        .expect(201);
    shop.airline
        .client()
        .await
        .batch_execute("UPDATE flights SET status = 'Departed', actual_departure = scheduled_departure WHERE flight_id = 1")
        .await
        .unwrap();
    let item = item_path(&soon.json(), 0);
    let late = shop.client.send("POST", &format!("{item}/check-in"), &[], None).await.expect(409);
    assert_eq!(late.problem(), "flight-closed");
    let now = shop.client.get(&path(&soon.json())).await.expect(200);
    let tag = [("If-Match", now.etag())];
    let flown = shop.client.send("DELETE", &item, &tag, None).await.expect(409);
    assert_eq!(flown.problem(), "not-changeable");
    assert_ne!(CROSSING, GONE);
}

#[tokio::test]
async fn the_airline_may_change_what_the_service_has_sold() {
    let shop = Shop::open().await;
    let moved = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A")))
        .await
        .expect(201)
        .json();
    let refunded = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1B")))
        .await
        .expect(201)
        .json();
    let robbed = shop
        .client
        .post("/api/v1/bookings", &order(SOON, "Economy", &json!("1C")))
        .await
        .expect(201)
        .json();
    let ticket = |booking: &Value| booking["items"][0]["ticket_no"].as_str().unwrap().to_owned();
    let (moved_ticket, refunded_ticket) = (ticket(&moved), ticket(&refunded));
    let refunded_ref = refunded["book_ref"].as_str().unwrap();
    shop.airline
        .client()
        .await
        .batch_execute(&format!(
            "UPDATE ticket_flights SET flight_id = {CROSSING} WHERE ticket_no = '{moved_ticket}';
             DELETE FROM ticket_flights WHERE ticket_no = '{refunded_ticket}';
             DELETE FROM tickets WHERE ticket_no = '{refunded_ticket}';
             DELETE FROM bookings WHERE book_ref = '{refunded_ref}';
             INSERT INTO bookings VALUES ('AAAAAA', now(), 100);
             INSERT INTO tickets VALUES ('0006000000001', 'AAAAAA', '1', 'SOMEBODY', NULL);
             INSERT INTO ticket_flights VALUES ('0006000000001', {SOON}, 'Economy', 100);
             INSERT INTO boarding_passes VALUES ('0006000000001', {SOON}, 1, '1C')"
        ))
        .await
        .unwrap();
    // Moved: no seat on the new flight until check-in; the seat on the old one is free.
    let now = shop.client.get(&path(&moved)).await.expect(200).json();
    assert_eq!(
        (&now["items"][0]["flight_id"], &now["items"][0]["seat_no"]),
        (&json!(CROSSING), &Value::Null)
    );
    let pass = shop
        .client
        .send("POST", &format!("{}/check-in", item_path(&now, 0)), &[], None)
        .await
        .expect(201);
    assert_eq!(pass.json()["seat_no"], "1A");
    // Refunded: cancelled, and the seat can be sold.
    let now = shop.client.get(&path(&refunded)).await.expect(200).json();
    assert_eq!(now["status"], "Cancelled");
    for seat in ["1A", "1B"] {
        shop.client
            .post("/api/v1/bookings", &order(SOON, "Economy", &json!(seat)))
            .await
            .expect(201);
    }
    // The seat went to somebody else at the counter: another one.
    let check_in = format!("{}/check-in", item_path(&robbed, 0));
    let pass = shop.client.send("POST", &check_in, &[], None).await.expect(201).json();
    assert_ne!(pass["seat_no"], "1C");
}
