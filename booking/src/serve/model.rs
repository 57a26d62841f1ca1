//! What the service says and hears: the types that the OpenAPI document is made of.
//!
//! Out: JSON. Times are UTC in RFC 3339, amounts are roubles with two digits as text, because a double cannot hold
//! them. The constraints here are what `field.rs` checks.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::field::Fare;

/// A time as text.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// An airport
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Airport {
    /// IATA code
    #[schema(examples("SVO"))]
    pub(crate) airport_code: String,
    /// Name of the airport
    pub(crate) name: String,
    /// City that it serves
    pub(crate) city: String,
    /// IANA time zone
    #[schema(examples("Europe/Moscow"))]
    pub(crate) timezone: String,
}

/// A page of airports
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AirportPage {
    pub(crate) airports: Vec<Airport>,
    /// Where the next page begins; absent on the last page
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

/// A class of a flight, with its price and its seats
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Offer {
    pub(crate) fare: Fare,
    /// Price of a seat, roubles
    #[schema(examples("6200.00"))]
    pub(crate) price: String,
    /// Seats that are not sold
    #[schema(minimum = 0)]
    pub(crate) free_seats: i64,
    /// Seats of the class
    #[schema(minimum = 0)]
    pub(crate) seats: i64,
}

/// One departure of a flight number
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Flight {
    #[schema(examples(4711))]
    pub(crate) flight_id: i32,
    #[schema(examples("PG0405"))]
    pub(crate) flight_no: String,
    pub(crate) departure_airport: String,
    pub(crate) arrival_airport: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_departure: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_arrival: String,
    /// Scheduled, On Time, Delayed, Departed, Arrived or Cancelled
    pub(crate) status: String,
    pub(crate) aircraft_code: String,
    pub(crate) aircraft_model: String,
    /// When it left; null before
    #[schema(format = DateTime)]
    pub(crate) actual_departure: Option<String>,
    /// When it landed; null before
    #[schema(format = DateTime)]
    pub(crate) actual_arrival: Option<String>,
    /// What can be bought
    pub(crate) offers: Vec<Offer>,
}

/// A page of flights
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlightPage {
    pub(crate) flights: Vec<Flight>,
    /// Where the next page begins; absent on the last page
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

/// A seat of a flight
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Seat {
    #[schema(examples("12A"))]
    pub(crate) seat_no: String,
    pub(crate) fare: Fare,
    /// Whether it can be chosen
    pub(crate) is_free: bool,
}

/// The seats of a flight. A class can be sold out although seats are free: not everybody has chosen a seat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeatMap {
    pub(crate) flight_id: i32,
    pub(crate) aircraft_code: String,
    pub(crate) offers: Vec<Offer>,
    pub(crate) seats: Vec<Seat>,
}

/// A new customer
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCustomer {
    /// Address with which the customer signs in
    #[schema(format = Email, max_length = 254, examples("ann@example.org"))]
    pub(crate) email: String,
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$",
        examples("ANN EXAMPLE")
    )]
    pub(crate) name: String,
    #[schema(pattern = r"^\+[0-9]{5,15}$", examples("+79000000001"))]
    pub(crate) phone: Option<String>,
    #[schema(format = Password, min_length = 10, max_length = 128)]
    pub(crate) password: String,
}

/// A customer
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Customer {
    #[schema(examples(17))]
    pub(crate) customer_id: i64,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) phone: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}

/// What of a customer is to change; what is absent stays
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerChange {
    #[schema(format = Email, max_length = 254)]
    pub(crate) email: Option<String>,
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    pub(crate) name: Option<String>,
    /// null removes it
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = r"^\+[0-9]{5,15}$")]
    pub(crate) phone: Option<Option<String>>,
}

/// Address and password of a customer
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    #[schema(format = Email, max_length = 254)]
    pub(crate) email: String,
    #[schema(format = Password, max_length = 128)]
    pub(crate) password: String,
}

/// A session: its token is shown once
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// Name of the session, which is no secret
    pub(crate) session_id: String,
    pub(crate) customer_id: i64,
    /// What requests send as `Authorization: Bearer`
    pub(crate) token: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

/// A passenger of a new booking
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassenger {
    /// Identity document
    #[schema(
        min_length = 3,
        max_length = 20,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$",
        examples("1234 567890")
    )]
    pub(crate) document: String,
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$",
        examples("ANN EXAMPLE")
    )]
    pub(crate) name: String,
    #[schema(format = Email, max_length = 254)]
    pub(crate) email: Option<String>,
    #[schema(pattern = r"^\+[0-9]{5,15}$")]
    pub(crate) phone: Option<String>,
}

/// A flight of a new booking, for all its passengers
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSegment {
    #[schema(minimum = 1)]
    pub(crate) flight_id: i32,
    pub(crate) fare: Fare,
    /// A seat for each passenger in order; null, or no list, lets the service choose
    #[serde(default)]
    #[schema(max_items = 9)]
    pub(crate) seats: Vec<Option<String>>,
}

/// A new booking: every passenger on every flight
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBooking {
    #[schema(min_items = 1, max_items = 9)]
    pub(crate) passengers: Vec<NewPassenger>,
    #[schema(min_items = 1, max_items = 6)]
    pub(crate) segments: Vec<NewSegment>,
}

/// Whether a booking holds anything
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) enum BookingStatus {
    Active,
    Cancelled,
}

/// A passenger of a booking
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Passenger {
    #[schema(examples("0007000000001"))]
    pub(crate) ticket_no: String,
    pub(crate) document: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
}

/// One passenger on one flight
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Item {
    #[schema(examples("0007000000001-4711"))]
    pub(crate) item_id: String,
    pub(crate) ticket_no: String,
    pub(crate) flight_id: i32,
    pub(crate) flight_no: String,
    pub(crate) departure_airport: String,
    pub(crate) arrival_airport: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_departure: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_arrival: String,
    pub(crate) flight_status: String,
    pub(crate) fare: Fare,
    /// Price, roubles
    pub(crate) amount: String,
    /// Seat that was chosen or given; null when the airline has moved the passenger to another flight
    pub(crate) seat_no: Option<String>,
    /// Place in the order of check-in; null before
    pub(crate) boarding_no: Option<i32>,
}

/// A booking
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Booking {
    #[schema(examples("0A1B2C"))]
    pub(crate) book_ref: String,
    #[schema(format = DateTime)]
    pub(crate) booked_at: String,
    pub(crate) status: BookingStatus,
    /// Sum of the items, roubles
    pub(crate) total_amount: String,
    pub(crate) passengers: Vec<Passenger>,
    pub(crate) items: Vec<Item>,
}

/// A booking in a list
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookingSummary {
    pub(crate) book_ref: String,
    #[schema(format = DateTime)]
    pub(crate) booked_at: String,
    pub(crate) status: BookingStatus,
    pub(crate) total_amount: String,
}

/// A page of bookings
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BookingPage {
    pub(crate) bookings: Vec<BookingSummary>,
    /// Where the next page begins; absent on the last page
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

/// What of a passenger is to change; what is absent stays
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PassengerChange {
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    pub(crate) name: Option<String>,
    /// null removes it
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = Email, max_length = 254)]
    pub(crate) email: Option<Option<String>>,
    /// null removes it
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = r"^\+[0-9]{5,15}$")]
    pub(crate) phone: Option<Option<String>>,
}

/// What of an item is to change; what is absent stays. A change of flight or class changes the price to today's, and
/// gives a new seat unless one is named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemChange {
    /// Another flight of the same route
    #[schema(minimum = 1)]
    pub(crate) flight_id: Option<i32>,
    pub(crate) fare: Option<Fare>,
    #[schema(examples("12A"))]
    pub(crate) seat_no: Option<String>,
}

/// A boarding pass
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BoardingPass {
    pub(crate) item_id: String,
    pub(crate) book_ref: String,
    pub(crate) passenger_name: String,
    pub(crate) flight_no: String,
    pub(crate) departure_airport: String,
    pub(crate) arrival_airport: String,
    #[schema(format = DateTime)]
    pub(crate) scheduled_departure: String,
    pub(crate) fare: Fare,
    pub(crate) seat_no: String,
    pub(crate) boarding_no: i32,
}

/// What an upload is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UploadKind {
    Passport,
    Visa,
    Certificate,
    Photo,
    Other,
}

impl UploadKind {
    /// All of them, in the order in which a page offers them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Passport, Self::Visa, Self::Certificate, Self::Photo, Self::Other];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Passport => "passport",
            Self::Visa => "visa",
            Self::Certificate => "certificate",
            Self::Photo => "photo",
            Self::Other => "other",
        }
    }

    /// The kind that a form names.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("must be one of {names}")
        })
    }

    /// The kind of a text that the database's constraint holds to these.
    pub(crate) fn of_column(text: &str) -> Self {
        Self::read(text).unwrap_or(Self::Other)
    }
}

/// A file with what is said of it
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes a form, which is read while it comes")]
pub(crate) struct UploadForm {
    /// The image or document, with its media type and its name
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    title: String,
    /// `other` when it is absent
    kind: Option<UploadKind>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// The booking that it belongs to; the customer when it is absent
    #[schema(pattern = "^[0-9A-Fa-f]{6}$")]
    book_ref: Option<String>,
}

/// The bytes of a file
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it describes bytes that are handed on")]
pub(crate) struct FileContent(Vec<u8>);

/// What is known of a file
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Upload {
    #[schema(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    pub(crate) upload_id: String,
    pub(crate) kind: UploadKind,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    /// The booking that it belongs to; null when it belongs to the customer
    pub(crate) book_ref: Option<String>,
    /// The name that the file had, without folders
    #[schema(examples("passport.pdf"))]
    pub(crate) name: String,
    /// The type that its first bytes tell
    #[schema(examples("application/pdf"))]
    pub(crate) media_type: String,
    #[schema(minimum = 1)]
    pub(crate) byte_count: i64,
    /// SHA-256 of the file, in hexadecimal digits
    pub(crate) sha256: String,
    #[schema(format = DateTime)]
    pub(crate) uploaded_at: String,
    /// Where the file can be read
    pub(crate) content: String,
}

/// A page of uploads
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadPage {
    pub(crate) uploads: Vec<Upload>,
    /// Where the next page begins; absent on the last page
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

/// Which uploads
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    /// Only those of this booking
    #[param(pattern = "^[0-9A-Fa-f]{6}$")]
    pub(crate) book_ref: Option<String>,
    /// Rows of the page
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100, default = 20)]
    pub(crate) limit: Option<String>,
    /// `next_cursor` of the page before
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub(crate) cursor: Option<String>,
}

/// Which page of a list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Rows of the page
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100, default = 20)]
    pub(crate) limit: Option<String>,
    /// `next_cursor` of the page before
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub(crate) cursor: Option<String>,
}

/// Which flights
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlightQuery {
    /// IATA code of the airport of departure
    #[param(pattern = "^[A-Za-z0-9]{3}$", example = "SVO")]
    pub(crate) from: String,
    /// IATA code of the airport of arrival
    #[param(pattern = "^[A-Za-z0-9]{3}$", example = "LED")]
    pub(crate) to: String,
    /// Day of departure, by the clock of the airport of departure
    #[param(value_type = String, format = Date, example = "2026-06-15")]
    pub(crate) date: String,
    /// Only flights on which so many seats of a class are free
    #[param(value_type = Option<i64>, minimum = 1, maximum = 9)]
    pub(crate) passengers: Option<String>,
    /// Only flights on which seats of this class are free
    #[param(value_type = Option<Fare>)]
    pub(crate) fare: Option<String>,
    /// Rows of the page
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100, default = 20)]
    pub(crate) limit: Option<String>,
    /// `next_cursor` of the page before
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub(crate) cursor: Option<String>,
}

/// Tells a field that is null from one that is absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(reader).map(Some)
}
