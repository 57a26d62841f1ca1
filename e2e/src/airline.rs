//! The airline as the files below `sql/` make it: the one list of its tables and of its roles, for the workload, the
//! oracle, the rig and the benches.
//!
//! Out: names, columns and keys. A table's key stands first among its columns.

/// The source's roles whose passwords `sql/source` asks for.
pub const SOURCE_ROLES: [&str; 4] = ["reader", "app", "readonly", "service"];

/// The warehouse's roles whose passwords `sql/warehouse` and what stands on it ask for.
pub const WAREHOUSE_ROLES: [&str; 6] =
    ["owner", "loader", "mart", "refresher", "presentation", "checker"];

/// One of the tables.
#[derive(Debug)]
pub struct Table {
    /// Name.
    pub name: &'static str,
    /// Columns in order.
    pub columns: &'static [&'static str],
    /// How many of them, from the front, are the key.
    pub key_columns: usize,
}

/// The tables, key columns first.
pub const TABLES: [Table; 8] = [
    Table {
        name: "airports",
        columns: &["airport_code", "airport_name", "city", "longitude", "latitude", "timezone"],
        key_columns: 1,
    },
    Table { name: "aircrafts", columns: &["aircraft_code", "model", "range"], key_columns: 1 },
    Table {
        name: "seats",
        columns: &["aircraft_code", "seat_no", "fare_conditions"],
        key_columns: 2,
    },
    Table {
        name: "flights",
        columns: &[
            "flight_id",
            "flight_no",
            "scheduled_departure",
            "scheduled_arrival",
            "departure_airport",
            "arrival_airport",
            "status",
            "aircraft_code",
            "actual_departure",
            "actual_arrival",
        ],
        key_columns: 1,
    },
    Table { name: "bookings", columns: &["book_ref", "book_date", "total_amount"], key_columns: 1 },
    Table {
        name: "tickets",
        columns: &["ticket_no", "book_ref", "passenger_id", "passenger_name", "contact_data"],
        key_columns: 1,
    },
    Table {
        name: "ticket_flights",
        columns: &["ticket_no", "flight_id", "fare_conditions", "amount"],
        key_columns: 2,
    },
    Table {
        name: "boarding_passes",
        columns: &["ticket_no", "flight_id", "boarding_no", "seat_no"],
        key_columns: 2,
    },
];

/// The topic of a table.
#[must_use]
pub fn topic(prefix: &str, table: &str) -> String {
    format!("{prefix}.public.{table}")
}
