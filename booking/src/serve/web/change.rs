//! One's bookings: the list, a booking, and what can be done with it.
//!
//! In: forms of a booking's page. Out: the change, by the operation of the interface, and the page again. Each form has
//! the tag of the booking that its page showed and a key of its own: a change of a booking that has changed meanwhile
//! is refused with the new state, and a form that is sent twice changes once.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::super::answer::Answer;
use super::super::api::{bookings, items};
use super::super::field::{book_ref, item_id};
use super::super::model::{
    BoardingPass, Booking, BookingPage, BookingStatus, Item, ItemChange, PageQuery,
};
use super::super::passwords::new_token;
use super::super::problem::Problem;
use super::super::request::{Body, Customer, Named, Parameters, set_key};
use super::super::state::Service;
use super::super::store::bookings::OneBooking;
use super::super::store::items::find_item;
use super::super::store::seats::SeatMapOf;
use super::form::{Form, PostedByMember, Values};
use super::page::{Frame, page, refused, see_other};
use super::seating::{Choice, Seating};
use super::visitor::Member;

#[derive(Template)]
#[template(path = "bookings.html")]
struct BookingsPage {
    frame: Frame,
    list: BookingPage,
}

#[derive(Template)]
#[template(path = "booking.html")]
struct OneBookingPage {
    frame: Frame,
    form: Form,
    booking: Booking,
    /// The tag of the state that the page shows.
    state: String,
    is_active: bool,
}

#[derive(Template)]
#[template(path = "seat.html")]
struct SeatPage {
    frame: Frame,
    form: Form,
    booking: Booking,
    item_id: String,
    flight_no: String,
    seating: Seating,
    state: String,
    key: String,
}

#[derive(Template)]
#[template(path = "boarding-pass.html")]
struct PassPage {
    frame: Frame,
    pass: BoardingPass,
}

impl OneBookingPage {
    /// A key for a form.
    fn key(&self) -> String {
        new_token()
    }

    /// Where an item's own pages are.
    fn path(&self, item: &Item) -> String {
        format!("/bookings/{}/items/{}", self.booking.book_ref, item.item_id)
    }

    const fn status(&self) -> &'static str {
        if self.is_active { "Active" } else { "Cancelled" }
    }

    fn passenger(&self, ticket_no: &str) -> &str {
        let found = self.booking.passengers.iter().find(|one| one.ticket_no == ticket_no);
        found.map_or("", |passenger| passenger.name.as_str())
    }
}

/// The headers that an operation of the interface reads.
pub(crate) fn headers(key: &str, state: Option<&str>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    set_key(&mut headers, key)?;
    if let Some(state) = state {
        let value = HeaderValue::try_from(state);
        let value = value.map_err(|_| Problem::field("state", "is none of this page"))?;
        headers.insert(IF_MATCH, value);
    }
    Ok(headers)
}

/// One's bookings.
pub(crate) async fn list(
    State(service): State<Service>,
    member: Member,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let cursor = Values::new(query).filled("cursor").map(str::to_owned);
    let customer = Customer { account_id: member.account_id };
    let query = Parameters(PageQuery { limit: None, cursor });
    let Json(list) = bookings::list_bookings(State(service.clone()), customer, query).await?;
    let frame = Frame::new(&service, &member.visitor, "My bookings", "/bookings");
    Ok(page(StatusCode::OK, &member.visitor, &BookingsPage { frame, list }))
}

async fn find(service: &Service, member: &Member, named: &str) -> Result<Booking, Problem> {
    let book_ref = book_ref(named).map_err(|_| Problem::not_found("booking"))?;
    let asked = OneBooking { account_id: member.account_id, book_ref };
    service.on_primary(&asked).await?.ok_or_else(|| Problem::not_found("booking"))
}

fn tag(booking: &Booking) -> Result<String, Problem> {
    Ok(Answer::tagged(StatusCode::OK, booking)?.etag.unwrap_or_default())
}

async fn booking_page(
    service: &Service,
    member: &Member,
    named: &str,
    form: Form,
) -> Result<OneBookingPage, Problem> {
    let booking = find(service, member, named).await?;
    let state = tag(&booking)?;
    let title = format!("Booking {}", booking.book_ref);
    let frame = Frame::new(service, &member.visitor, title, "/bookings");
    let is_active = booking.status == BookingStatus::Active;
    Ok(OneBookingPage { frame, form, booking, state, is_active })
}

/// A booking.
pub(crate) async fn show(
    State(service): State<Service>,
    member: Member,
    Named(named): Named<String>,
) -> Result<Response, Problem> {
    let template = booking_page(&service, &member, &named, Form::default()).await?;
    Ok(page(StatusCode::OK, &member.visitor, &template))
}

/// After a change: the booking's page. After a refusal: the page as the booking is now, with the reason.
async fn outcome(
    service: &Service,
    member: &Member,
    named: &str,
    done: Result<Answer, Problem>,
) -> Result<Response, Problem> {
    let Err(problem) = done else { return Ok(see_other(&format!("/bookings/{named}"))) };
    let form = Form::refused(Values::default(), &problem);
    let template = booking_page(service, member, named, form).await?;
    Ok(refused(&problem, &member.visitor, &template))
}

/// Cancels a booking.
pub(crate) async fn cancel(
    State(service): State<Service>,
    Named(named): Named<String>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let headers = headers(values.get("key"), Some(values.get("state")))?;
    let customer = Customer { account_id: member.account_id };
    let name = Named(named.clone());
    let done = bookings::cancel_booking(State(service.clone()), customer, name, headers).await;
    outcome(&service, &member, &named, done).await
}

/// Gives an item back.
pub(crate) async fn cancel_item(
    State(service): State<Service>,
    Named((named, item)): Named<(String, String)>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let headers = headers(values.get("key"), Some(values.get("state")))?;
    let customer = Customer { account_id: member.account_id };
    let name = Named((named.clone(), item));
    let done = items::cancel_item(State(service.clone()), customer, name, headers).await;
    outcome(&service, &member, &named, done).await
}

/// Checks a passenger in, and shows the boarding pass.
pub(crate) async fn check_in(
    State(service): State<Service>,
    Named((named, item)): Named<(String, String)>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let headers = headers(values.get("key"), None)?;
    let customer = Customer { account_id: member.account_id };
    let name = Named((named.clone(), item.clone()));
    let done = items::check_in(State(service.clone()), customer, name, headers).await;
    if done.is_ok() {
        return Ok(see_other(&format!("/bookings/{named}/items/{item}/boarding-pass")));
    }
    outcome(&service, &member, &named, done).await
}

/// A boarding pass.
pub(crate) async fn boarding_pass(
    State(service): State<Service>,
    member: Member,
    named: Named<(String, String)>,
) -> Result<Response, Problem> {
    let customer = Customer { account_id: member.account_id };
    let Json(pass) = items::read_boarding_pass(State(service.clone()), customer, named).await?;
    let frame = Frame::new(&service, &member.visitor, "Boarding pass", "/bookings");
    Ok(page(StatusCode::OK, &member.visitor, &PassPage { frame, pass }))
}

fn find_named<'a>(booking: &'a Booking, item: &str) -> Result<&'a Item, Problem> {
    let (ticket_no, flight_id) = item_id(item).map_err(|_| Problem::not_found("item"))?;
    find_item(booking, &ticket_no, flight_id)
}

async fn seat_page(
    service: &Service,
    member: &Member,
    (named, item): (&str, &str),
    form: Form,
) -> Result<SeatPage, Problem> {
    let booking = find(service, member, named).await?;
    let found = find_named(&booking, item)?;
    let own = found.seat_no.clone();
    // The seats of one's own booking change at once, so they are read where they are written.
    let map = service.on_primary(&SeatMapOf { flight_id: found.flight_id }).await?;
    let map = map.ok_or_else(|| Problem::not_found("flight"))?;
    let name = booking.passengers.iter().find(|one| one.ticket_no == found.ticket_no);
    let choice = Choice {
        field: "seat".to_owned(),
        title: name.map_or_else(|| "Seat".to_owned(), |passenger| passenger.name.clone()),
        chosen: own.clone().unwrap_or_default(),
    };
    let own: Vec<&str> = own.as_deref().into_iter().collect();
    Ok(SeatPage {
        frame: Frame::new(service, &member.visitor, "Choose a seat", "/bookings"),
        form,
        item_id: found.item_id.clone(),
        flight_no: found.flight_no.clone(),
        seating: Seating::new(&map.seats, found.fare, &own, vec![choice]),
        state: tag(&booking)?,
        key: new_token(),
        booking,
    })
}

/// The page where one chooses another seat.
pub(crate) async fn ask_seat(
    State(service): State<Service>,
    member: Member,
    Named((named, item)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let template = seat_page(&service, &member, (&named, &item), Form::default()).await?;
    Ok(page(StatusCode::OK, &member.visitor, &template))
}

/// Changes the seat.
pub(crate) async fn change_seat(
    State(service): State<Service>,
    Named((named, item)): Named<(String, String)>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let headers = headers(values.get("key"), Some(values.get("state")))?;
    let customer = Customer { account_id: member.account_id };
    let seat_no = values.filled("seat").map(str::to_owned);
    let bytes = Bytes::from(seat_no.clone().unwrap_or_default());
    let body = Body { value: ItemChange { flight_id: None, fare: None, seat_no }, bytes };
    let name = Named((named.clone(), item.clone()));
    let done = items::change_item(State(service.clone()), customer, name, headers, body).await;
    let Err(problem) = done else { return Ok(see_other(&format!("/bookings/{named}"))) };
    let form = Form::refused(values, &problem);
    let template = seat_page(&service, &member, (&named, &item), form).await?;
    Ok(refused(&problem, &member.visitor, &template))
}
