//! The search: from, to, day, passengers, class; and what was found.
//!
//! In: the fields of the search in the address. Out: flights with prices and free seats, page by page. The search of
//! the interface does the work, so that both find the same. A trip that was begun goes along to the flight.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;

use super::super::api::flights::find_flights;
use super::super::model::{Airport, Flight, FlightQuery};
use super::super::problem::Problem;
use super::super::state::Service;
use super::super::store::flights::Airports;
use super::form::{Form, Values, encoded};
use super::page::{Frame, page, refused};
use super::trip::{Trip, passengers};
use super::visitor::Visitor;

/// Airports that the form suggests at most; any other code can be typed.
const SUGGESTIONS_MAX: i64 = 2_000;
/// The fields of the form.
const SHOWN: [&str; 5] = ["from", "to", "date", "passengers", "fare"];

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    form: Form,
    airports: Vec<Airport>,
    found: Option<Found>,
    others: Vec<String>,
}

/// What was found.
struct Found {
    flights: Vec<Flight>,
    /// The address of the next page.
    next: Option<String>,
    /// What a link to a flight carries on.
    carried: String,
}

/// The search, with what it finds if it was asked.
pub(crate) async fn show(
    State(service): State<Service>,
    visitor: Visitor,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let values = Values::new(query);
    Trip::parse(values.get("trip"))?;
    let airports = suggestions(&service).await?;
    let frame = Frame::new(&service, &visitor, "Flights", "/flights");
    if values.filled("from").is_none() && values.filled("to").is_none() {
        let form = Form::new(begun(values));
        let template = SearchPage { frame, form, airports, found: None, others: Vec::new() };
        return Ok(page(StatusCode::OK, &visitor, &template));
    }
    match find(&service, &values).await {
        Ok(found) => {
            let (form, found) = (Form::new(values), Some(found));
            let template = SearchPage { frame, form, airports, found, others: Vec::new() };
            Ok(page(StatusCode::OK, &visitor, &template))
        }
        Err(problem) => {
            let form = Form::refused(values, &problem);
            let others = form.others(&SHOWN);
            let template = SearchPage { frame, form, airports, found: None, others };
            Ok(refused(&problem, &visitor, &template))
        }
    }
}

/// A search that begins: today, one passenger.
pub(crate) fn begun(values: Values) -> Values {
    let date = values.filled("date").map(str::to_owned);
    let date = date.unwrap_or_else(|| Utc::now().date_naive().to_string());
    let party = passengers(values.get("passengers")).to_string();
    values.with("date", date).with("passengers", party)
}

/// Airports for the form to suggest.
pub(crate) async fn suggestions(service: &Service) -> Result<Vec<Airport>, Problem> {
    service.on_replica(&Airports { after: None, limit: SUGGESTIONS_MAX }).await
}

async fn find(service: &Service, values: &Values) -> Result<Found, Problem> {
    let text = |name: &str| values.get(name).trim().to_owned();
    let query = FlightQuery {
        from: text("from"),
        to: text("to"),
        date: text("date"),
        passengers: values.filled("passengers").map(str::to_owned),
        fare: values.filled("fare").map(str::to_owned),
        limit: None,
        cursor: values.filled("cursor").map(str::to_owned),
    };
    let found = find_flights(service, &query).await?;
    let named = |name: &str| format!("{name}={}", encoded(values.get(name).trim()));
    let next = found.next_cursor.map(|cursor| {
        let same = SHOWN.iter().chain(&["trip"]).map(|name| named(name)).collect::<Vec<_>>();
        format!("/flights?{}&cursor={cursor}", same.join("&"))
    });
    let party = passengers(values.get("passengers"));
    let carried = format!("passengers={party}&{}", named("trip"));
    Ok(Found { flights: found.flights, next, carried })
}
