//! Walks over the pages of a list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::client::Client;
use super::shop::{LATER, Shop, order};

/// All rows of a list, page by page; `between` runs after each page.
async fn walk(
    client: &Client,
    path: &str,
    rows: &str,
    mut between: impl AsyncFnMut(),
) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let place = match &cursor {
            Some(cursor) => format!("{path}&cursor={cursor}"),
            None => path.to_owned(),
        };
        let page = client.get(&place).await.expect(200).json();
        let found = page[rows].as_array().unwrap();
        assert!(!found.is_empty() || cursor.is_none(), "only the first page may be empty");
        all.extend(found.iter().cloned());
        let Some(next) = page.get("next_cursor") else { return all };
        cursor = Some(next.as_str().unwrap().to_owned());
        between().await;
    }
}

#[tokio::test]
async fn every_booking_is_seen_once_while_others_are_made_and_cancelled() {
    let shop = Shop::open().await;
    let mut before = Vec::new();
    for _ in 0..23 {
        before.push(shop.book(LATER).await["book_ref"].as_str().unwrap().to_owned());
    }
    let mut made = 0;
    let seen = walk(&shop.client, "/api/v1/bookings?limit=5", "bookings", async || {
        let body = order(LATER, "Economy", &json!(null));
        shop.client.post("/api/v1/bookings", &body).await.expect(201);
        made += 1;
    })
    .await;
    assert!(made >= 4, "there were several pages");
    let mut counts = BTreeMap::new();
    for booking in &seen {
        *counts.entry(booking["book_ref"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(before.iter().all(|book_ref| counts.contains_key(book_ref)));
    let date =
        |booking: &Value| booking["booked_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let dates: Vec<_> = seen.iter().map(date).collect();
    assert!(dates.is_sorted_by(|one, next| one >= next), "newest first: {dates:?}");
}

#[tokio::test]
async fn flights_that_leave_at_one_time_are_on_one_page_each() {
    let shop = Shop::open().await;
    shop.airline
        .client()
        .await
        .batch_execute(
            "INSERT INTO flights (flight_no, scheduled_departure, scheduled_arrival, departure_airport,
                                  arrival_airport, status, aircraft_code)
             SELECT 'XX' || lpad(n::text, 4, '0'), '2031-06-15 08:00+00', '2031-06-15 10:00+00', 'AAA', 'BBB',
                    'Scheduled', 'TST'
             FROM generate_series(1, 17) AS n",
        )
        .await
        .unwrap();
    let path = "/api/v1/flights?from=AAA&to=BBB&date=2031-06-15&limit=4";
    let flights = walk(&shop.stranger(), path, "flights", async || ()).await;
    let ids: Vec<_> = flights.iter().map(|flight| flight["flight_id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), 17);
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let airports =
        walk(&shop.stranger(), "/api/v1/airports?limit=1", "airports", async || ()).await;
    let codes: Vec<_> =
        airports.iter().map(|airport| airport["airport_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["AAA", "BBB", "CCC"]);
}
