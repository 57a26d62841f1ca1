//! Airports, flights and seat maps, which everybody may see.

use axum::Json;
use axum::extract::State;
use chrono::DateTime;

use super::super::cache::{Answer, Wanted};
use super::super::field::{Fields, airport, date, fare, flight_id, number};
use super::super::model::{AirportPage, Flight, FlightPage, FlightQuery, PageQuery, SeatMap};
use super::super::page;
use super::super::problem::Problem;
use super::super::request::{Named, Parameters};
use super::super::state::Service;
use super::super::store::flights::{Airports, FlightKey, OneFlight, Search};
use super::super::store::seats::SeatMapOf;

/// List the airports, by code
#[utoipa::path(get, path = "/api/v1/airports", tag = "flights", params(PageQuery),
    responses((status = OK, description = "a page of airports", body = AirportPage)))]
pub(crate) async fn list_airports(
    State(service): State<Service>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<AirportPage>, Problem> {
    let mut fields = Fields::default();
    let limit = fields.take("limit", page::limit(query.limit.as_deref()));
    let after = fields.take("cursor", page::cursor::<String>(query.cursor.as_deref()));
    let (limit, after) = fields.all(limit.zip(after))?;
    if after.as_ref().is_some_and(|code| airport(code).is_err()) {
        return Err(Problem::field("cursor", "must be the next_cursor of an earlier answer"));
    }
    let mut airports = service.on_replica(&Airports { after, limit }).await?;
    let next_cursor = page::cut(&mut airports, limit, |airport| airport.airport_code.clone());
    Ok(Json(AirportPage { airports, next_cursor }))
}

/// Search the flights of a day between two airports, by departure
#[utoipa::path(get, path = "/api/v1/flights", tag = "flights", params(FlightQuery),
    responses((status = OK, description = "a page of flights", body = FlightPage)))]
pub(crate) async fn search_flights(
    State(service): State<Service>,
    Parameters(query): Parameters<FlightQuery>,
) -> Result<Json<FlightPage>, Problem> {
    find_flights(&service, &query).await.map(Json)
}

/// What a search finds.
pub(crate) async fn find_flights(
    service: &Service,
    query: &FlightQuery,
) -> Result<FlightPage, Problem> {
    let search = search(query)?;
    let wanted = Wanted {
        from: search.from.clone(),
        to: search.to.clone(),
        date: search.date,
        rest: format!("{:?}:{:?}:{:?}:{}", search.seats, search.fare, search.after, search.limit),
    };
    let page = async |answer| {
        let mut found = match answer {
            // The state before a sale must not be kept after it.
            Answer::Kept => service.on_primary(&search).await?,
            Answer::Shown => service.on_replica(&search).await?,
        };
        let next_cursor = page::cut(&mut found, search.limit, |(key, _)| *key);
        let flights = found.into_iter().map(|(_, flight)| flight).collect();
        Ok(FlightPage { flights, next_cursor })
    };
    service.cache().find(&wanted, page).await
}

fn search(query: &FlightQuery) -> Result<Search, Problem> {
    let mut fields = Fields::default();
    let from = fields.take("from", airport(&query.from));
    let to = fields.take("to", airport(&query.to));
    let date = fields.take("date", date(&query.date));
    let seats = query.passengers.as_deref().map(|text| number(text, 1, 9)).transpose();
    let seats = fields.take("passengers", seats);
    let fare = fields.take("fare", query.fare.as_deref().map(fare).transpose());
    let limit = fields.take("limit", page::limit(query.limit.as_deref()));
    let after = fields.take("cursor", after(query.cursor.as_deref()));
    if from.is_some() && from == to {
        fields.wrong("to", "must be another airport than from");
    }
    let places = from.zip(to).zip(date);
    let wishes = seats.zip(fare).zip(limit).zip(after);
    let (((from, to), date), (((seats, fare), limit), after)) = fields.all(places.zip(wishes))?;
    let seats = seats.or(fare.map(|_| 1));
    Ok(Search { from, to, date, seats, fare, after, limit })
}

/// The flight after which the page begins.
fn after(text: Option<&str>) -> Result<Option<(DateTime<chrono::Utc>, i32)>, String> {
    let Some((at, flight_id)) = page::cursor::<FlightKey>(text)? else { return Ok(None) };
    page::moment(at).map(|at| Some((at, flight_id)))
}

/// Read a flight, with its classes, their prices and free seats
#[utoipa::path(get, path = "/api/v1/flights/{flight_id}", tag = "flights",
    params(("flight_id" = i32, Path, minimum = 1, description = "number of the flight")),
    responses(
        (status = OK, description = "the flight", body = Flight),
        (status = NOT_FOUND, description = "there is no such flight"),
    ))]
pub(crate) async fn read_flight(
    State(service): State<Service>,
    Named(name): Named<String>,
) -> Result<Json<Flight>, Problem> {
    let flight_id = flight_id(&name).map_err(|reason| Problem::field("flight_id", reason))?;
    let flight = service.on_replica(&OneFlight { flight_id }).await?;
    flight.map(Json).ok_or_else(|| Problem::not_found("flight"))
}

/// Read the seat map of a flight
#[utoipa::path(get, path = "/api/v1/flights/{flight_id}/seats", tag = "flights",
    params(("flight_id" = i32, Path, minimum = 1, description = "number of the flight")),
    responses(
        (status = OK, description = "the seats by row and letter", body = SeatMap),
        (status = NOT_FOUND, description = "there is no such flight"),
    ))]
pub(crate) async fn read_seats(
    State(service): State<Service>,
    Named(name): Named<String>,
) -> Result<Json<SeatMap>, Problem> {
    let flight_id = flight_id(&name).map_err(|reason| Problem::field("flight_id", reason))?;
    let seats = service.on_replica(&SeatMapOf { flight_id }).await?;
    seats.map(Json).ok_or_else(|| Problem::not_found("flight"))
}
