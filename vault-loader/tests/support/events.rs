//! Row changes of the airline's tables, as Debezium captures them.

use base64::Engine;
use serde_json::{Value, json};

/// A row change to be published.
pub(crate) struct Event {
    pub(crate) table: &'static str,
    pub(crate) op: &'static str,
    pub(crate) lsn: i64,
    pub(crate) row: Value,
    pub(crate) partition: i32,
    /// the key that the row had before, as a header tells it
    pub(crate) old_key: Option<Value>,
    /// the types of the row's columns, as a header tells them
    pub(crate) columns: Option<String>,
}

pub(crate) fn create(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { table, op: "c", lsn, row, partition: 0, old_key: None, columns: None }
}

pub(crate) fn update(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { op: "u", ..create(table, lsn, row) }
}

pub(crate) fn read(table: &'static str, row: Value) -> Event {
    Event { op: "r", ..create(table, 1, row) }
}

pub(crate) fn delete(table: &'static str, lsn: i64, row: Value) -> Event {
    Event { op: "d", ..create(table, lsn, row) }
}

pub(crate) fn truncate(table: &'static str, lsn: i64) -> Event {
    Event { op: "t", ..create(table, lsn, Value::Null) }
}

/// The columns of a table's primary key, of which Debezium makes a record's key.
fn key_columns(event: &Event) -> &'static [&'static str] {
    match event.table {
        // Two tables of different schemas.
        "items" if event.row["Id"].is_null() => &["code"],
        "items" => &["Id"],
        "places" => &["code"],
        "airports" => &["airport_code"],
        "aircrafts" => &["aircraft_code"],
        "seats" => &["aircraft_code", "seat_no"],
        "chairs" => &["model_code", "place"],
        "flights" => &["flight_id"],
        "bookings" => &["book_ref"],
        "tickets" => &["ticket_no"],
        "customers" => &["customer_id"],
        "phones" => &["customer_id", "kind"],
        "currencies" => &["code"],
        "payments" => &["payment_id"],
        "ticket_flights" | "boarding_passes" => &["ticket_no", "flight_id"],
        other => panic!("the key of table {other} is not known here"),
    }
}

/// The key of an event's record. A truncate has none.
pub(crate) fn record_key(event: &Event) -> Option<Value> {
    let column = |name: &&str| ((*name).to_owned(), event.row[*name].clone());
    (event.op != "t").then(|| Value::Object(key_columns(event).iter().map(column).collect()))
}

pub(crate) fn airport(code: &str, city: &str) -> Value {
    json!({"airport_code": code, "airport_name": format!("{city} airport"), "city": city,
           "longitude": 37.5, "latitude": -1.0E-7, "timezone": "Europe/Moscow"})
}

pub(crate) fn ticket(number: &str, passenger: &str, contact: &Value) -> Value {
    json!({"ticket_no": number, "book_ref": "00000F", "passenger_id": passenger,
           "passenger_name": "A NAME", "contact_data": contact})
}

/// `amount` is the unscaled number: 1250 is 12.50.
pub(crate) fn booking(reference: &str, amount: i64) -> Value {
    let bytes = amount.to_be_bytes();
    let amount = base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({"book_ref": reference, "book_date": "2026-01-02T03:04:05.000001Z", "total_amount": amount})
}

pub(crate) fn flight(id: i64, aircraft: &str, status: &str) -> Value {
    json!({"flight_id": id, "flight_no": "PG0001", "scheduled_departure": "2026-01-02T00:00:00Z",
           "scheduled_arrival": "2026-01-02T02:00:00Z", "departure_airport": "SVO", "arrival_airport": "LED",
           "status": status, "aircraft_code": aircraft, "actual_departure": null, "actual_arrival": null})
}
