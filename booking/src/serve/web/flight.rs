//! A flight: what it is, what its classes cost, and its seat map, from which it goes into a trip.
//!
//! In: the number of a flight; class, passengers and trip in the address. Out: a form with radio buttons for each
//! passenger, which leads to the page of the booking.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::field::{Fare, fare, flight_id};
use super::super::model::{Flight, Offer};
use super::super::problem::Problem;
use super::super::request::Named;
use super::super::state::Service;
use super::super::store::flights::OneFlight;
use super::super::store::seats::SeatMapOf;
use super::form::Values;
use super::page::{Frame, page};
use super::seating::{Choice, Seating};
use super::trip::{Leg, Trip, passengers};
use super::visitor::Visitor;

#[derive(Template)]
#[template(path = "flight.html")]
struct FlightPage {
    frame: Frame,
    flight: Flight,
    fare: &'static str,
    party: usize,
    trip: String,
    seating: Seating,
    is_open: bool,
}

/// The page of a flight.
pub(crate) async fn show(
    State(service): State<Service>,
    visitor: Visitor,
    Named(named): Named<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let values = Values::new(query);
    let trip = Trip::parse(values.get("trip"))?;
    let flight_id = flight_id(&named).map_err(|_| Problem::not_found("flight"))?;
    let missing = || Problem::not_found("flight");
    let flight = service.on_replica(&OneFlight { flight_id }).await?.ok_or_else(missing)?;
    let map = service.on_replica(&SeatMapOf { flight_id }).await?.ok_or_else(missing)?;
    let known = trip.0.iter().find(|leg| leg.flight_id == flight_id);
    let fare = fare(values.get("fare")).ok().or(known.map(|leg| leg.fare));
    let fare = fare.unwrap_or_else(|| cheapest(&flight.offers));
    let party = passengers(values.get("passengers"));
    let choices = (0..party).map(|at| choice(at, known, fare)).collect();
    let template = FlightPage {
        frame: Frame::new(&service, &visitor, format!("Flight {}", flight.flight_no), "/flights"),
        fare: fare.as_str(),
        party,
        trip: trip.to_string(),
        seating: Seating::new(&map.seats, fare, &[], choices),
        is_open: matches!(flight.status.as_str(), "Scheduled" | "On Time" | "Delayed"),
        flight,
    };
    Ok(page(StatusCode::OK, &visitor, &template))
}

/// The first class in which a seat is free; offers come by their price.
fn cheapest(offers: &[Offer]) -> Fare {
    let free = offers.iter().find(|offer| offer.free_seats > 0);
    free.or(offers.first()).map_or(Fare::Economy, |offer| offer.fare)
}

fn choice(at: usize, known: Option<&Leg>, fare: Fare) -> Choice {
    let seats = known.filter(|leg| leg.fare == fare).map(|leg| &leg.seats);
    let chosen = seats.and_then(|seats| seats.get(at).cloned().flatten());
    Choice {
        field: format!("seat/{at}"),
        title: format!("Passenger {}", at + 1),
        chosen: chosen.unwrap_or_default(),
    }
}
