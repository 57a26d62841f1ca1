//! Bookings: made, listed, read, changed and cancelled by the customer who made them.
//!
//! Every change takes an `Idempotency-Key`, and every change of what is there takes the `ETag` of the booking as
//! `If-Match`.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;

use super::super::answer::{Answer, IfMatch};
use super::super::field::{Fields, book_ref, document, email, name, phone, seat_no, ticket_no};
use super::super::idempotency::{Change, Once};
use super::super::model::{
    Booking, BookingPage, BookingStatus, Item, NewBooking, NewPassenger, NewSegment, PageQuery,
    PassengerChange,
};
use super::super::page;
use super::super::problem::{Kind, Problem};
use super::super::request::{Body, Customer, Key, Named, Parameters};
use super::super::state::Service;
use super::super::store::bookings::{self, BookingKey, Bookings, OneBooking};
use super::super::store::items;
use super::super::store::sales::{Sale, Segment, Traveller, sell};
use super::super::work::Failure;

/// Passengers of a booking at most.
const PASSENGERS_MAX: usize = 9;
/// Flights of a booking at most.
const SEGMENTS_MAX: usize = 6;

/// List one's bookings, newest first
#[utoipa::path(get, path = "/api/v1/bookings", tag = "bookings", params(PageQuery),
    responses((status = OK, description = "a page of bookings", body = BookingPage)),
    security(("session" = [])))]
pub(crate) async fn list_bookings(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<BookingPage>, Problem> {
    let mut fields = Fields::default();
    let limit = fields.take("limit", page::limit(query.limit.as_deref()));
    let before = fields.take("cursor", before(query.cursor.as_deref()));
    let (limit, before) = fields.all(limit.zip(before))?;
    let mut found = service.on_primary(&Bookings { account_id, before, limit }).await?;
    let next_cursor = page::cut(&mut found, limit, |(key, _)| key.clone());
    let bookings = found.into_iter().map(|(_, booking)| booking).collect();
    Ok(Json(BookingPage { bookings, next_cursor }))
}

/// The booking after which the page begins.
fn before(text: Option<&str>) -> Result<Option<(DateTime<Utc>, String)>, String> {
    let Some((at, named)) = page::cursor::<BookingKey>(text)? else { return Ok(None) };
    let wrong = |_| "must be the next_cursor of an earlier answer".to_owned();
    Ok(Some((page::moment(at)?, book_ref(&named).map_err(wrong)?)))
}

/// Make a booking: every passenger on every flight
///
/// A seat is sold once. When a class is sold out, or a named seat is taken, nothing is booked.
#[utoipa::path(post, path = "/api/v1/bookings", tag = "bookings", request_body = NewBooking,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
        pattern = "^[!-~]+$",
        description = "a request with the same key and body is answered again and booked once")),
    responses(
        (status = CREATED, description = "the booking", body = Booking,
            headers(("ETag" = String, description = "tag of this state"),
                    ("Location" = String, description = "path of the booking"))),
        (status = CONFLICT, description = "sold out, the seat is taken, or the flight is closed"),
    ), security(("session" = [])))]
pub(crate) async fn make_booking(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    headers: HeaderMap,
    Body { value, bytes }: Body<NewBooking>,
) -> Result<Answer, Problem> {
    let key = Key::of(&headers, &[b"POST /api/v1/bookings", &bytes])?;
    let sale = sale(value)?;
    let seats = sale.travellers.len() * sale.segments.len();
    let answer = service.change(&Once { account_id, key, change: sale }).await?;
    if answer.replayed {
        service.metrics().count_replay();
    } else {
        service.metrics().count_seats(seats);
    }
    Ok(answer)
}

impl Change for Sale {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let book_ref = sell(tx, account_id, self).await?;
        let answer = state(tx, account_id, &book_ref, StatusCode::CREATED).await?;
        Ok(answer.at(format!("/api/v1/bookings/{book_ref}")))
    }
}

fn sale(new: NewBooking) -> Result<Sale, Problem> {
    let mut fields = Fields::default();
    let (passengers, segments) = (new.passengers.len(), new.segments.len());
    if !(1..=PASSENGERS_MAX).contains(&passengers) {
        fields.wrong("/passengers", format!("must be 1 to {PASSENGERS_MAX} passengers"));
    }
    if !(1..=SEGMENTS_MAX).contains(&segments) {
        fields.wrong("/segments", format!("must be 1 to {SEGMENTS_MAX} flights"));
    }
    let mut travellers = Vec::new();
    for (at, passenger) in new.passengers.iter().take(PASSENGERS_MAX).enumerate() {
        travellers.extend(traveller(&mut fields, at, passenger));
    }
    let mut flights = HashSet::new();
    let mut sold = Vec::new();
    for (at, segment) in new.segments.iter().take(SEGMENTS_MAX).enumerate() {
        if segment.flight_id < 1 {
            fields.wrong(format!("/segments/{at}/flight_id"), "must be at least 1");
        } else if !flights.insert(segment.flight_id) {
            fields.wrong(format!("/segments/{at}/flight_id"), "occurs twice");
        }
        let seats = seats(&mut fields, at, segment, passengers);
        sold.push(Segment { flight_id: segment.flight_id, fare: segment.fare, seats });
    }
    fields.check()?;
    Ok(Sale { travellers, segments: sold })
}

fn traveller(fields: &mut Fields, at: usize, new: &NewPassenger) -> Option<Traveller> {
    let place = |field: &str| format!("/passengers/{at}/{field}");
    let document = fields.take(place("document"), document(&new.document));
    let name = fields.take(place("name"), name(&new.name));
    let email = fields.take(place("email"), new.email.as_deref().map(email).transpose());
    let phone = fields.take(place("phone"), new.phone.as_deref().map(phone).transpose());
    Some(Traveller { document: document?, name: name?, email: email?, phone: phone? })
}

/// The seats that are named: none for anybody, or one place in the list for each passenger.
fn seats(
    fields: &mut Fields,
    at: usize,
    segment: &NewSegment,
    passengers: usize,
) -> Vec<Option<String>> {
    if !segment.seats.is_empty() && segment.seats.len() != passengers {
        let reason = "must have a seat or null for each passenger, or nothing";
        fields.wrong(format!("/segments/{at}/seats"), reason);
        return Vec::new();
    }
    let mut named = HashSet::new();
    let mut seats = Vec::new();
    for (passenger, seat) in segment.seats.iter().enumerate() {
        let place = format!("/segments/{at}/seats/{passenger}");
        let seat = fields.take(place.clone(), seat.as_deref().map(seat_no).transpose()).flatten();
        if seat.as_ref().is_some_and(|seat| !named.insert(seat.clone())) {
            fields.wrong(place, "occurs twice");
        }
        seats.push(seat);
    }
    seats
}

/// Read a booking
#[utoipa::path(get, path = "/api/v1/bookings/{book_ref}", tag = "bookings",
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference")),
    responses(
        (status = OK, description = "the booking", body = Booking,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such booking, or it is somebody else's"),
    ), security(("session" = [])))]
pub(crate) async fn read_booking(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<String>,
) -> Result<Answer, Problem> {
    let book_ref = reference(&named)?;
    let booking = service.on_primary(&OneBooking { account_id, book_ref }).await?;
    Answer::tagged(StatusCode::OK, &booking.ok_or_else(|| Problem::not_found("booking"))?)
}

/// Cancel a booking: all its items are given back
#[utoipa::path(delete, path = "/api/v1/bookings/{book_ref}", tag = "bookings",
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("If-Match" = String, Header, description = "ETag of the state that is changed"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
            pattern = "^[!-~]+$", description = "a request with the same key is answered again")),
    responses(
        (status = OK, description = "the cancelled booking", body = Booking,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such booking, or it is somebody else's"),
        (status = CONFLICT, description = "a flight of the booking has left"),
        (status = PRECONDITION_FAILED, description = "the booking has changed meanwhile"),
        (status = PRECONDITION_REQUIRED, description = "If-Match is missing"),
    ), security(("session" = [])))]
pub(crate) async fn cancel_booking(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<String>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let book_ref = reference(&named)?;
    let if_match = IfMatch::of(&headers)?;
    let parts = [b"DELETE booking".as_slice(), book_ref.as_bytes(), if_match.as_str().as_bytes()];
    let key = Key::of(&headers, &parts)?;
    let change = Cancellation { book_ref, if_match };
    make(&service, Once { account_id, key, change }).await
}

/// Makes a change of a booking, and counts answers that were given before.
pub(crate) async fn make<C: Change>(service: &Service, once: Once<C>) -> Result<Answer, Problem> {
    let answer = service.change(&once).await?;
    if answer.replayed {
        service.metrics().count_replay();
    }
    Ok(answer)
}

struct Cancellation {
    book_ref: String,
    if_match: IfMatch,
}

impl Change for Cancellation {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let booking = lock(tx, account_id, &self.book_ref, &self.if_match).await?;
        let all: Vec<&Item> = booking.items.iter().collect();
        items::cancel(tx, &booking, &all).await?;
        state(tx, account_id, &self.book_ref, StatusCode::OK).await
    }
}

/// Change the name or the contact of a passenger
#[utoipa::path(patch, path = "/api/v1/bookings/{book_ref}/passengers/{ticket_no}", tag = "bookings",
    request_body = PassengerChange,
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("ticket_no" = String, Path, pattern = "^[0-9]{13}$", description = "ticket of the passenger"),
           ("If-Match" = String, Header, description = "ETag of the state that is changed"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
            pattern = "^[!-~]+$", description = "a request with the same key is answered again")),
    responses(
        (status = OK, description = "the changed booking", body = Booking,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such booking or passenger, or it is somebody else's"),
        (status = CONFLICT, description = "the booking is cancelled"),
        (status = PRECONDITION_FAILED, description = "the booking has changed meanwhile"),
        (status = PRECONDITION_REQUIRED, description = "If-Match is missing"),
    ), security(("session" = [])))]
pub(crate) async fn change_passenger(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named((named, ticket)): Named<(String, String)>,
    headers: HeaderMap,
    Body { value, bytes }: Body<PassengerChange>,
) -> Result<Answer, Problem> {
    let book_ref = reference(&named)?;
    let ticket_no = ticket_no(&ticket).map_err(|reason| Problem::field("ticket_no", reason))?;
    let if_match = IfMatch::of(&headers)?;
    let parts = [
        b"PATCH passenger".as_slice(),
        book_ref.as_bytes(),
        ticket_no.as_bytes(),
        if_match.as_str().as_bytes(),
        &bytes,
    ];
    let key = Key::of(&headers, &parts)?;
    let mut fields = Fields::default();
    let name = fields.take("/name", value.name.as_deref().map(name).transpose());
    let email = value.email.map(|email_or_null| email_or_null.as_deref().map(email).transpose());
    let email = fields.take("/email", email.transpose());
    let phone = value.phone.map(|phone_or_null| phone_or_null.as_deref().map(phone).transpose());
    let phone = fields.take("/phone", phone.transpose());
    let ((name, email), phone) = fields.all(name.zip(email).zip(phone))?;
    let change = NewDetails { book_ref, ticket_no, if_match, name, email, phone };
    make(&service, Once { account_id, key, change }).await
}

struct NewDetails {
    book_ref: String,
    ticket_no: String,
    if_match: IfMatch,
    name: Option<String>,
    email: Option<Option<String>>,
    phone: Option<Option<String>>,
}

impl Change for NewDetails {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let booking = lock(tx, account_id, &self.book_ref, &self.if_match).await?;
        if !booking.passengers.iter().any(|passenger| passenger.ticket_no == self.ticket_no) {
            return Err(Problem::not_found("passenger").into());
        }
        let email = self.email.as_ref().map(Option::as_deref);
        let phone = self.phone.as_ref().map(Option::as_deref);
        bookings::change_passenger(tx, &self.ticket_no, self.name.as_deref(), email, phone).await?;
        state(tx, account_id, &self.book_ref, StatusCode::OK).await
    }
}

/// The reference in a path.
pub(crate) fn reference(named: &str) -> Result<String, Problem> {
    book_ref(named).map_err(|reason| Problem::field("book_ref", reason))
}

/// Locks a booking that is to be changed: it is the customer's, in the state that the customer saw, and not cancelled.
pub(crate) async fn lock(
    tx: &Transaction<'_>,
    account_id: i64,
    book_ref: &str,
    if_match: &IfMatch,
) -> Result<Booking, Failure> {
    let booking = bookings::lock(tx, account_id, book_ref).await?;
    if_match.check(&booking)?;
    if booking.status == BookingStatus::Cancelled {
        return Err(Problem::new(Kind::NotChangeable, "the booking is cancelled").into());
    }
    Ok(booking)
}

/// The booking as it is now, as an answer.
pub(crate) async fn state(
    tx: &Transaction<'_>,
    account_id: i64,
    book_ref: &str,
    status: StatusCode,
) -> Result<Answer, Failure> {
    let booking = bookings::read(tx, account_id, book_ref).await?;
    let booking = booking.ok_or_else(|| Problem::not_found("booking"))?;
    Ok(Answer::tagged(status, &booking)?)
}
