//! Items of a booking: changed, given back and checked in.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio_postgres::Transaction;

use super::super::answer::{Answer, IfMatch};
use super::super::field::{item_id, seat_no};
use super::super::idempotency::{Change, Once};
use super::super::model::{BoardingPass, Booking, ItemChange};
use super::super::problem::Problem;
use super::super::request::{Body, Customer, Key, Named};
use super::super::state::Service;
use super::super::store::bookings::{self, OneBooking};
use super::super::store::items::{self, NewItem, find_item};
use super::super::work::Failure;
use super::bookings::{lock, make, reference, state};

/// An item in a path.
#[derive(Debug, Clone)]
struct Place {
    book_ref: String,
    ticket_no: String,
    flight_id: i32,
}

impl Place {
    fn of((booking, item): (String, String)) -> Result<Self, Problem> {
        let book_ref = reference(&booking)?;
        let (ticket_no, flight_id) =
            item_id(&item).map_err(|reason| Problem::field("item_id", reason))?;
        Ok(Self { book_ref, ticket_no, flight_id })
    }

    fn name(&self) -> String {
        format!("{}/{}-{}", self.book_ref, self.ticket_no, self.flight_id)
    }
}

/// Change the flight, the class or the seat of an item
#[utoipa::path(patch, path = "/api/v1/bookings/{book_ref}/items/{item_id}", tag = "bookings",
    request_body = ItemChange,
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("item_id" = String, Path, pattern = "^[0-9]{13}-[1-9][0-9]{0,9}$", description = "item"),
           ("If-Match" = String, Header, description = "ETag of the state that is changed"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
            pattern = "^[!-~]+$", description = "a request with the same key is answered again")),
    responses(
        (status = OK, description = "the changed booking", body = Booking,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such booking or item, or it is somebody else's"),
        (status = CONFLICT, description = "no seat, the flight is closed, or the passenger is checked in"),
        (status = PRECONDITION_FAILED, description = "the booking has changed meanwhile"),
        (status = PRECONDITION_REQUIRED, description = "If-Match is missing"),
    ), security(("session" = [])))]
pub(crate) async fn change_item(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<(String, String)>,
    headers: HeaderMap,
    Body { value, bytes }: Body<ItemChange>,
) -> Result<Answer, Problem> {
    let place = Place::of(named)?;
    let if_match = IfMatch::of(&headers)?;
    let name = place.name();
    let parts = [b"PATCH item".as_slice(), name.as_bytes(), if_match.as_str().as_bytes(), &bytes];
    let key = Key::of(&headers, &parts)?;
    if value.flight_id.is_some_and(|flight_id| flight_id < 1) {
        return Err(Problem::field("/flight_id", "must be at least 1"));
    }
    let seat = value.seat_no.as_deref().map(seat_no).transpose();
    let seat = seat.map_err(|reason| Problem::field("/seat_no", reason))?;
    let new = NewItem { flight_id: value.flight_id, fare: value.fare, seat_no: seat };
    make(&service, Once { account_id, key, change: ChangedItem { place, if_match, new } }).await
}

struct ChangedItem {
    place: Place,
    if_match: IfMatch,
    new: NewItem,
}

impl Change for ChangedItem {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let Place { book_ref, ticket_no, flight_id } = &self.place;
        let booking = lock(tx, account_id, book_ref, &self.if_match).await?;
        let item = find_item(&booking, ticket_no, *flight_id)?;
        items::change(tx, &booking, item, &self.new).await?;
        state(tx, account_id, book_ref, StatusCode::OK).await
    }
}

/// Give an item back
#[utoipa::path(delete, path = "/api/v1/bookings/{book_ref}/items/{item_id}", tag = "bookings",
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("item_id" = String, Path, pattern = "^[0-9]{13}-[1-9][0-9]{0,9}$", description = "item"),
           ("If-Match" = String, Header, description = "ETag of the state that is changed"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
            pattern = "^[!-~]+$", description = "a request with the same key is answered again")),
    responses(
        (status = OK, description = "the booking without the item", body = Booking,
            headers(("ETag" = String, description = "tag of this state"))),
        (status = NOT_FOUND, description = "there is no such booking or item, or it is somebody else's"),
        (status = CONFLICT, description = "the flight has left"),
        (status = PRECONDITION_FAILED, description = "the booking has changed meanwhile"),
        (status = PRECONDITION_REQUIRED, description = "If-Match is missing"),
    ), security(("session" = [])))]
pub(crate) async fn cancel_item(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let place = Place::of(named)?;
    let if_match = IfMatch::of(&headers)?;
    let name = place.name();
    let parts = [b"DELETE item".as_slice(), name.as_bytes(), if_match.as_str().as_bytes()];
    let key = Key::of(&headers, &parts)?;
    make(&service, Once { account_id, key, change: Refund { place, if_match } }).await
}

struct Refund {
    place: Place,
    if_match: IfMatch,
}

impl Change for Refund {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let Place { book_ref, ticket_no, flight_id } = &self.place;
        let booking = lock(tx, account_id, book_ref, &self.if_match).await?;
        let item = find_item(&booking, ticket_no, *flight_id)?;
        items::cancel(tx, &booking, &[item]).await?;
        state(tx, account_id, book_ref, StatusCode::OK).await
    }
}

/// Check a passenger in
///
/// Opens 24 hours before the departure. The passenger gets the seat of the item, or another one of the class if the
/// airline has swapped the aircraft. A passenger who is checked in gets the same boarding pass again.
#[utoipa::path(post, path = "/api/v1/bookings/{book_ref}/items/{item_id}/check-in", tag = "check-in",
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("item_id" = String, Path, pattern = "^[0-9]{13}-[1-9][0-9]{0,9}$", description = "item"),
           ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200,
            pattern = "^[!-~]+$", description = "a request with the same key is answered again")),
    responses(
        (status = CREATED, description = "the boarding pass", body = BoardingPass),
        (status = OK, description = "the boarding pass that was there", body = BoardingPass),
        (status = NOT_FOUND, description = "there is no such booking or item, or it is somebody else's"),
        (status = CONFLICT, description = "check-in is not open, or the flight is closed"),
    ), security(("session" = [])))]
pub(crate) async fn check_in(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let place = Place::of(named)?;
    let key = Key::of(&headers, &[b"POST check-in", place.name().as_bytes()])?;
    make(&service, Once { account_id, key, change: CheckIn { place } }).await
}

struct CheckIn {
    place: Place,
}

impl Change for CheckIn {
    async fn make(&self, tx: &Transaction<'_>, account_id: i64) -> Result<Answer, Failure> {
        let Place { book_ref, ticket_no, flight_id } = &self.place;
        let booking = bookings::lock(tx, account_id, book_ref).await?;
        let is_new = items::check_in(tx, find_item(&booking, ticket_no, *flight_id)?).await?;
        let booking = bookings::read(tx, account_id, book_ref).await?;
        let pass = booking.as_ref().and_then(|booking| boarding_pass(booking, &self.place));
        let pass = pass.ok_or_else(|| Problem::not_found("boarding pass"))?;
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        let place = format!("/api/v1/bookings/{book_ref}/items/{}/boarding-pass", pass.item_id);
        Ok(Answer::tagged(status, &pass)?.at(place))
    }
}

/// Read a boarding pass
#[utoipa::path(get, path = "/api/v1/bookings/{book_ref}/items/{item_id}/boarding-pass", tag = "check-in",
    params(("book_ref" = String, Path, pattern = "^[0-9A-Fa-f]{6}$", description = "reference"),
           ("item_id" = String, Path, pattern = "^[0-9]{13}-[1-9][0-9]{0,9}$", description = "item")),
    responses(
        (status = OK, description = "the boarding pass", body = BoardingPass),
        (status = NOT_FOUND, description = "the passenger is not checked in, or the item is not there"),
    ), security(("session" = [])))]
pub(crate) async fn read_boarding_pass(
    State(service): State<Service>,
    Customer { account_id }: Customer,
    Named(named): Named<(String, String)>,
) -> Result<Json<BoardingPass>, Problem> {
    let place = Place::of(named)?;
    let booking = OneBooking { account_id, book_ref: place.book_ref.clone() };
    let booking = service.on_primary(&booking).await?;
    let pass = booking.as_ref().and_then(|booking| boarding_pass(booking, &place));
    pass.map(Json).ok_or_else(|| Problem::not_found("boarding pass"))
}

fn boarding_pass(booking: &Booking, place: &Place) -> Option<BoardingPass> {
    let item = find_item(booking, &place.ticket_no, place.flight_id).ok()?;
    let passenger = booking.passengers.iter().find(|one| one.ticket_no == item.ticket_no)?;
    Some(BoardingPass {
        item_id: item.item_id.clone(),
        book_ref: booking.book_ref.clone(),
        passenger_name: passenger.name.clone(),
        flight_no: item.flight_no.clone(),
        departure_airport: item.departure_airport.clone(),
        arrival_airport: item.arrival_airport.clone(),
        scheduled_departure: item.scheduled_departure.clone(),
        fare: item.fare,
        seat_no: item.seat_no.clone()?,
        boarding_no: item.boarding_no?,
    })
}
