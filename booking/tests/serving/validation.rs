//! What is wrong with a request is told by field and reason.

use serde_json::{Value, json};

use super::client::Reply;
use super::shop::{BACK, CROSSING, GONE, LATER, NONE, SOON, Shop, order};

/// A refusal that names exactly these fields, with a reason for each.
#[track_caller]
fn assert_fields(reply: &Reply, fields: &[&str], what: &str) {
    assert_eq!(reply.status, 422, "{what}: {reply:?}");
    assert_eq!(reply.problem(), "invalid", "{what}");
    let body = reply.json();
    let errors = body["errors"].as_array().unwrap();
    let named: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(named, fields, "{what}: {reply:?}");
    for error in errors {
        assert!(!error["reason"].as_str().unwrap().is_empty(), "{what}: {reply:?}");
    }
}

/// A booking with one value replaced, by JSON Pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = json!({
        "passengers": [
            {"document": "1234 567890", "name": "ANN EXAMPLE", "email": null, "phone": null},
            {"document": "2345 678901", "name": "BOB EXAMPLE"},
        ],
        "segments": [{"flight_id": SOON, "fare": "Economy", "seats": ["1A", null]}],
    });
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    body
}

#[tokio::test]
async fn every_field_of_a_booking_is_checked_and_named() {
    let shop = Shop::open().await;
    let cases = [
        ("/passengers", json!([]), "/passengers"),
        ("/passengers/0/document", json!("12"), "/passengers/0/document"),
        ("/passengers/0/document", json!("1".repeat(21)), "/passengers/0/document"),
        ("/passengers/1/name", json!(" "), "/passengers/1/name"),
        ("/passengers/1/name", json!("A\u{0}B"), "/passengers/1/name"),
        ("/passengers/0/email", json!("ann"), "/passengers/0/email"),
        ("/passengers/0/phone", json!("12345"), "/passengers/0/phone"),
        ("/passengers/0/name", json!(7), "/passengers/0/name"),
        ("/segments", json!([]), "/segments"),
        ("/segments/0/flight_id", json!(0), "/segments/0/flight_id"),
        ("/segments/0/flight_id", json!("1"), "/segments/0/flight_id"),
        ("/segments/0/flight_id", json!(4_294_967_296_u64), "/segments/0/flight_id"),
        ("/segments/0/flight_id", json!(NONE), "/segments/0/flight_id"),
        ("/segments/0/fare", json!("Roof"), "/segments/0/fare"),
        ("/segments/0/seats", json!(["1A"]), "/segments/0/seats"),
        ("/segments/0/seats/0", json!("A1"), "/segments/0/seats/0"),
        ("/segments/0/seats/1", json!("1a"), "/segments/0/seats/1"),
        ("/segments/0/seats/0", json!("26A"), "/segments/0/seats/0"),
    ];
    for (pointer, value, field) in cases {
        let what = format!("{pointer} = {value}");
        let mut body = with(pointer, value);
        // Without passengers the list of seats would be wrong, too.
        if field == "/passengers" {
            body["segments"][0]["seats"] = json!([]);
        }
        let reply = shop.client.post("/api/v1/bookings", &body).await;
        assert_fields(&reply, &[field], &what);
    }
    assert_eq!(shop.number("SELECT count(*) FROM bookings").await, 0);
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let shop = Shop::open().await;
    let body = json!({
        "passengers": [{"document": "", "name": ""}],
        "segments": [{"flight_id": 0, "fare": "Economy", "seats": ["?"]}],
    });
    let reply = shop.client.post("/api/v1/bookings", &body).await;
    let fields = [
        "/passengers/0/document",
        "/passengers/0/name",
        "/segments/0/flight_id",
        "/segments/0/seats/0",
    ];
    assert_fields(&reply, &fields, "everything");
}

#[tokio::test]
async fn flights_of_a_booking_fit_together_and_can_be_flown() {
    let shop = Shop::open().await;
    let segments = |ids: &[i32]| {
        let segments: Vec<_> =
            ids.iter().map(|id| json!({"flight_id": id, "fare": "Economy"})).collect();
        json!({"passengers": [{"document": "1234", "name": "ANN"}], "segments": segments})
    };
    let twice = shop.client.post("/api/v1/bookings", &segments(&[SOON, SOON])).await;
    assert_fields(&twice, &["/segments/1/flight_id"], "one flight twice");
    let crossing = shop.client.post("/api/v1/bookings", &segments(&[CROSSING, SOON])).await;
    assert_fields(&crossing, &["/segments/0/flight_id"], "two flights at a time");
    let gone = shop.client.post("/api/v1/bookings", &segments(&[GONE])).await.expect(409);
    assert_eq!(gone.problem(), "flight-closed");
    let journey = shop.client.post("/api/v1/bookings", &segments(&[BACK, SOON])).await.expect(201);
    assert_eq!(journey.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn fields_that_are_missing_unknown_or_no_json_are_named() {
    let shop = Shop::open().await;
    let mut missing = with("/segments/0/fare", json!("Economy"));
    missing["passengers"][0].as_object_mut().unwrap().remove("name");
    let reply = shop.client.post("/api/v1/bookings", &missing).await;
    assert_fields(&reply, &["/passengers/0/name"], "a missing name");
    let mut unknown = with("/segments/0/fare", json!("Economy"));
    unknown["discount"] = json!(1);
    let reply = shop.client.post("/api/v1/bookings", &unknown).await;
    assert_fields(&reply, &["/discount"], "an unknown field");
    let head = format!(
        "POST /api/v1/bookings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        shop.client.token.as_ref().unwrap()
    );
    let request =
        format!("{head}Content-Type: application/json\r\nContent-Length: 5\r\n\r\n{{\"pas");
    let reply = shop.client.raw(request.as_bytes()).await.expect(400);
    assert_eq!(reply.problem(), "malformed");
    let request = format!("{head}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}");
    let reply = shop.client.raw(request.as_bytes()).await.expect(415);
    assert_eq!(reply.problem(), "media-type");
}

#[tokio::test]
async fn parameters_are_checked_and_named() {
    let shop = Shop::open().await;
    let search = |rest: &str| format!("/api/v1/flights?{rest}");
    let cases = [
        (search("from=AA&to=BBB&date=2026-06-15"), vec!["from"]),
        (search("from=AAA&to=AAA&date=2026-06-15"), vec!["to"]),
        (search("from=AAA&to=ZZZ&date=2026-06-15"), vec!["to"]),
        (search("from=CCC&to=AAA&date=2026-06-15"), vec!["from"]),
        (search("from=AAA&to=BBB&date=2026-02-30"), vec!["date"]),
        (search("from=AAA&to=BBB&date=2026-06-15&passengers=0"), vec!["passengers"]),
        (search("from=AAA&to=BBB&date=2026-06-15&fare=economy"), vec!["fare"]),
        (search("from=AAA&to=BBB&date=2026-06-15&limit=101&cursor=x"), vec!["limit", "cursor"]),
        (search("from=AAA&to=BBB"), vec!["date"]),
        (search("from=AAA&to=BBB&date=2026-06-15&colour=red"), vec!["colour"]),
        ("/api/v1/flights/x".to_owned(), vec!["flight_id"]),
        ("/api/v1/flights/99999999999/seats".to_owned(), vec!["flight_id"]),
        ("/api/v1/bookings/XYZ".to_owned(), vec!["book_ref"]),
        ("/api/v1/bookings?limit=-1".to_owned(), vec!["limit"]),
        ("/api/v1/airports?cursor=bm8".to_owned(), vec!["cursor"]),
        ("/api/v1/customers/0".to_owned(), vec!["customer_id"]),
        ("/api/v1/bookings/000000/items/x/boarding-pass".to_owned(), vec!["item_id"]),
    ];
    for (path, fields) in cases {
        assert_fields(&shop.client.get(&path).await, &fields, &path);
    }
    let key = [("Idempotency-Key", "two words")];
    let body = order(SOON, "Economy", &json!(null));
    let reply = shop.client.send("POST", "/api/v1/bookings", &key, Some(&body)).await;
    assert_fields(&reply, &["Idempotency-Key"], "a key of two words");
}

#[tokio::test]
async fn a_customer_is_checked_and_an_address_has_one_account() {
    let shop = Shop::open().await;
    let body = json!({"email": "x", "name": "", "phone": "1", "password": "short"});
    let reply = shop.stranger().post("/api/v1/customers", &body).await;
    assert_fields(&reply, &["/email", "/name", "/phone", "/password"], "a customer");
    let body = json!({"email": "ANN@example.org", "name": "ANN", "password": "another password"});
    let reply = shop.stranger().post("/api/v1/customers", &body).await.expect(409);
    assert_eq!(reply.problem(), "email-taken");
    let path = format!("/api/v1/customers/{}", shop.customer_id);
    let now = shop.client.get(&path).await.expect(200);
    let tag = [("If-Match", now.etag())];
    let change = json!({"email": "x", "name": "", "phone": "1"});
    let reply = shop.client.send("PATCH", &path, &tag, Some(&change)).await;
    assert_fields(&reply, &["/email", "/name", "/phone"], "a change of a customer");
    super::shop::sign_up(shop.client.address, "bob@example.org").await;
    let change = json!({"email": "bob@example.org"});
    let reply = shop.client.send("PATCH", &path, &tag, Some(&change)).await.expect(409);
    assert_eq!(reply.problem(), "email-taken");
}

#[tokio::test]
async fn a_change_of_an_item_is_checked() {
    let shop = Shop::open().await;
    let booking = shop.client.post("/api/v1/bookings", &order(SOON, "Economy", &json!("1A"))).await;
    let tag = [("If-Match", booking.etag())];
    let path = super::shop::item_path(&booking.json(), 0);
    for (change, field) in [
        (json!({"flight_id": NONE}), "/flight_id"),
        (json!({"flight_id": BACK}), "/flight_id"),
        (json!({"flight_id": -1}), "/flight_id"),
        (json!({"fare": "Comfortable"}), "/fare"),
        (json!({"seat_no": "A"}), "/seat_no"),
        (json!({"seat_no": "26A"}), "/seat_no"),
        (json!({"flight_id": LATER, "seat_no": "99A"}), "/seat_no"),
    ] {
        let reply = shop.client.send("PATCH", &path, &tag, Some(&change)).await;
        assert_fields(&reply, &[field], &change.to_string());
    }
    let gone = json!({"flight_id": GONE});
    let reply = shop.client.send("PATCH", &path, &tag, Some(&gone)).await.expect(409);
    assert_eq!(reply.problem(), "flight-closed");
    let now = shop.client.get(&super::shop::path(&booking.json())).await.expect(200);
    assert_eq!(now.etag(), booking.etag(), "nothing has changed");
}
