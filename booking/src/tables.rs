//! The eight tables by name, in the order in which rows can be put into them.
//!
//! Out: names and column lists, and the one question that both the simulation and the service ask of them. A table
//! stands after every table it refers to.

/// Seats of a class (`$2`) that are not sold on a flight (`$1`). The number holds only while the flight is locked.
pub(crate) const FREE_SEATS: &str = "
    SELECT
        (SELECT count(*)
         FROM public.flights AS f
         JOIN public.seats AS s ON s.aircraft_code = f.aircraft_code
         WHERE f.flight_id = $1
           AND s.fare_conditions = $2)
        -
        (SELECT count(*)
         FROM public.ticket_flights AS tf
         WHERE tf.flight_id = $1
           AND tf.fare_conditions = $2)";

/// The eight tables in the order in which they are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `airports`
    Airports,
    /// `aircrafts`
    Aircrafts,
    /// `seats`
    Seats,
    /// `flights`
    Flights,
    /// `bookings`
    Bookings,
    /// `tickets`
    Tickets,
    /// `ticket_flights`
    TicketFlights,
    /// `boarding_passes`
    BoardingPasses,
}

impl Table {
    /// All tables, referenced ones first.
    pub const ALL: [Self; 8] = [
        Self::Airports,
        Self::Aircrafts,
        Self::Seats,
        Self::Flights,
        Self::Bookings,
        Self::Tickets,
        Self::TicketFlights,
        Self::BoardingPasses,
    ];

    /// Name in schema `public`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Airports => "airports",
            Self::Aircrafts => "aircrafts",
            Self::Seats => "seats",
            Self::Flights => "flights",
            Self::Bookings => "bookings",
            Self::Tickets => "tickets",
            Self::TicketFlights => "ticket_flights",
            Self::BoardingPasses => "boarding_passes",
        }
    }

    /// Columns in the order in which rows are written.
    pub(crate) const fn columns(self) -> &'static str {
        match self {
            Self::Airports => "airport_code, airport_name, city, longitude, latitude, timezone",
            Self::Aircrafts => "aircraft_code, model, range",
            Self::Seats => "aircraft_code, seat_no, fare_conditions",
            Self::Flights => {
                "flight_id, flight_no, scheduled_departure, scheduled_arrival, departure_airport, \
                 arrival_airport, status, aircraft_code, actual_departure, actual_arrival"
            }
            Self::Bookings => "book_ref, book_date, total_amount",
            Self::Tickets => "ticket_no, book_ref, passenger_id, passenger_name, contact_data",
            Self::TicketFlights => "ticket_no, flight_id, fare_conditions, amount",
            Self::BoardingPasses => "ticket_no, flight_id, boarding_no, seat_no",
        }
    }
}
