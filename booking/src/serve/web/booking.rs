//! Making a booking: the flights of a trip, the passengers, and one button.
//!
//! In: a trip in the address, then a form. Out: a booking, by the operation of the interface. The form has an
//! idempotency key, so a form that is sent twice books once and leads to the same booking both times. A form that has
//! booked already and comes with something else in it gets a new key, and says so before it books again.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;

use super::super::api::bookings::make_booking;
use super::super::field::{fare, flight_id, seat_no};
use super::super::model::{Flight, NewBooking, NewPassenger, NewSegment};
use super::super::passwords::new_token;
use super::super::problem::{Kind, Problem};
use super::super::request::{Body, Customer};
use super::super::state::Service;
use super::super::store::flights::OneFlight;
use super::change::headers;
use super::form::{Form, PostedByMember, Values};
use super::page::{Frame, page, refused, see_other};
use super::text;
use super::trip::{Leg, Trip, passengers};
use super::visitor::Member;

/// What the page says when the key of its form was used.
const BOOKED: &str = "This form has made a booking already; it is under My bookings. \
    Send it again to make another one.";
/// The fields of a passenger.
const OF_PASSENGER: [&str; 4] = ["name", "document", "email", "phone"];

#[derive(Template)]
#[template(path = "book.html")]
struct BookPage {
    frame: Frame,
    form: Form,
    legs: Vec<LegView>,
    trip: String,
    party: usize,
    key: String,
    total: String,
    others: Vec<String>,
}

/// A flight of the trip as the page shows it.
struct LegView {
    flight: Flight,
    fare: &'static str,
    /// Its seats in the order of the passengers.
    seats: String,
    price: String,
    /// The trip without it.
    without: String,
}

/// The page where one books. A flight that comes from its page goes into the trip first.
pub(crate) async fn ask(
    State(service): State<Service>,
    member: Member,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let values = Values::new(query);
    let trip = Trip::parse(values.get("trip"))?;
    let party = passengers(values.get("passengers"));
    if values.filled("flight").is_some() {
        let trip = trip.with(leg(&values, party)?);
        return Ok(see_other(&format!("/book?passengers={party}&trip={trip}")));
    }
    if trip.0.is_empty() {
        return Ok(see_other("/flights"));
    }
    let own_name = member.visitor.customer.as_ref().map(|customer| customer.name.clone());
    let values = values.with("passengers/0/name", own_name.unwrap_or_default());
    let draft = Draft { trip, party, key: new_token() };
    let template = book_page(&service, &member, Form::new(values), draft).await?;
    Ok(page(StatusCode::OK, &member.visitor, &template))
}

/// The flight that was chosen on its page.
fn leg(values: &Values, party: usize) -> Result<Leg, Problem> {
    let flight_id = flight_id(values.get("flight"));
    let flight_id = flight_id.map_err(|reason| Problem::field("flight", reason))?;
    let fare = fare(values.get("fare")).map_err(|reason| Problem::field("fare", reason))?;
    let seats = (0..party).map(|at| values.filled(&format!("seat/{at}")).map(seat_no).transpose());
    let seats = seats.collect::<Result<Vec<_>, _>>();
    let seats = seats.map_err(|reason| Problem::field("seat", reason))?;
    let chosen = seats.iter().any(Option::is_some);
    Ok(Leg { flight_id, fare, seats: if chosen { seats } else { Vec::new() } })
}

/// A booking before it is made.
struct Draft {
    trip: Trip,
    party: usize,
    /// The idempotency key of the form.
    key: String,
}

async fn book_page(
    service: &Service,
    member: &Member,
    form: Form,
    Draft { trip, party, key }: Draft,
) -> Result<BookPage, Problem> {
    let (mut legs, mut total) = (Vec::new(), 0_i64);
    for leg in &trip.0 {
        let flight = service.on_replica(&OneFlight { flight_id: leg.flight_id }).await?;
        let flight = flight.ok_or_else(|| Problem::not_found("flight"))?;
        let offer = flight.offers.iter().find(|offer| offer.fare == leg.fare);
        let price = offer.map(|offer| offer.price.clone()).unwrap_or_default();
        total = total.saturating_add(text::times(&price, party));
        let seats = leg.seats.iter().map(|seat| seat.as_deref().unwrap_or("any"));
        let seats = seats.collect::<Vec<_>>().join(", ");
        let without = trip.without(leg.flight_id).to_string();
        legs.push(LegView { flight, fare: leg.fare.as_str(), seats, price, without });
    }
    let shown = shown(party);
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let others = form.others(&shown).iter().map(|line| for_people(line)).collect();
    let frame = Frame::new(service, &member.visitor, "Book", "/flights");
    let (trip, total) = (trip.to_string(), text::kopecks(total));
    Ok(BookPage { frame, form, legs, trip, party, key, total, others })
}

/// The fields that the form shows.
fn shown(party: usize) -> Vec<String> {
    let of = |at| OF_PASSENGER.map(|field| format!("passengers/{at}/{field}"));
    (0..party).flat_map(of).collect()
}

/// `segments/0/seats/1 is …` as `Flight 1, passenger 2: is …`: people count from one.
fn for_people(line: &str) -> String {
    let (place, reason) = line.split_once(' ').unwrap_or((line, ""));
    let parts: Vec<&str> = place.split('/').collect();
    let count = |text: &str| text.parse::<usize>().ok().map(|at| at + 1);
    match parts.as_slice() {
        ["segments", at, "seats", passenger] => match (count(at), count(passenger)) {
            (Some(at), Some(passenger)) => {
                format!("The seat of passenger {passenger} on flight {at} of the trip {reason}.")
            }
            _ => line.to_owned(),
        },
        ["segments", at, ..] => match count(at) {
            Some(at) => format!("Flight {at} of the trip {reason}."),
            None => line.to_owned(),
        },
        _ => line.to_owned(),
    }
}

/// Books.
pub(crate) async fn book(
    State(service): State<Service>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let trip = Trip::parse(values.get("trip"))?;
    let party = passengers(values.get("passengers"));
    let key = values.get("key").to_owned();
    let headers = headers(&key, None)?;
    let customer = Customer { account_id: member.account_id };
    let body = Body { bytes: bytes(&values, &trip, party), value: order(&values, &trip, party) };
    match make_booking(State(service.clone()), customer, headers, body).await {
        Ok(answer) => {
            let place = answer.location.unwrap_or_default();
            Ok(see_other(place.strip_prefix("/api/v1").unwrap_or("/bookings")))
        }
        Err(problem) => {
            // A refusal that leaves the outcome open keeps the key, so that sending again does not book twice.
            let key = if problem.kind == Kind::KeyReused { new_token() } else { key };
            let form = Form::refused(values, &problem).used_key(&problem, BOOKED);
            let template = book_page(&service, &member, form, Draft { trip, party, key }).await?;
            Ok(refused(&problem, &member.visitor, &template))
        }
    }
}

fn order(values: &Values, trip: &Trip, party: usize) -> NewBooking {
    let passenger = |at: usize| {
        let name = |field: &str| format!("passengers/{at}/{field}");
        let filled = |field: &str| values.filled(&name(field)).map(str::to_owned);
        NewPassenger {
            document: filled("document").unwrap_or_default(),
            name: filled("name").unwrap_or_default(),
            email: filled("email"),
            phone: filled("phone"),
        }
    };
    let segment = |leg: &Leg| {
        let Leg { flight_id, fare, seats } = leg.clone();
        NewSegment { flight_id, fare, seats }
    };
    NewBooking {
        passengers: (0..party).map(passenger).collect(),
        segments: trip.0.iter().map(segment).collect(),
    }
}

/// What makes this request what it is: everything that was chosen and typed.
fn bytes(values: &Values, trip: &Trip, party: usize) -> Bytes {
    let typed = shown(party).iter().map(|name| values.get(name).to_owned()).collect::<Vec<_>>();
    Bytes::from(format!("page {trip}\n{}", typed.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::for_people;

    #[test]
    fn people_count_from_one() {
        assert_eq!(
            for_people("segments/0/seats/1 is no Economy seat"),
            "The seat of passenger 2 on flight 1 of the trip is no Economy seat."
        );
        assert_eq!(
            for_people("segments/1/flight_id is no flight"),
            "Flight 2 of the trip is no flight."
        );
        assert_eq!(for_people("trip is wrong"), "trip is wrong");
    }
}
