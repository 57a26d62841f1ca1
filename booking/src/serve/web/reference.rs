//! Reference data: airports, aircraft models, seats; everybody looks, staff edits.
//!
//! In: codes and forms. Out: pages, and changed rows of the airline's tables, which go the way of every change. A form
//! has the tag of the state that its page showed: of two editors the second one sees what the first one wrote, with
//! their own text still in the form.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::answer::{Answer, IfMatch};
use super::super::field::{self, Fields};
use super::super::model::Airport;
use super::super::page::{LIMIT_MAX, cut};
use super::super::problem::{Kind, Problem};
use super::super::request::Named;
use super::super::state::Service;
use super::super::store::flights::Airports;
use super::super::store::reference::{
    AircraftRow, AirportRow, ChangedAircraft, ChangedAirport, Fleet, OneAircraft, OneAirport,
};
use super::change::headers;
use super::form::{Form, PostedByMember, Values};
use super::page::{Frame, page, refused, see_other};
use super::visitor::Visitor;

/// Kilometres that an aircraft flies at most.
const RANGE_MAX: i64 = 30_000;

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    frame: Frame,
    airports: Vec<Airport>,
    /// The code after which the next page begins.
    next: Option<String>,
    fleet: Vec<(AircraftRow, i64)>,
}

#[derive(Template)]
#[template(path = "airport.html")]
struct AirportPage {
    frame: Frame,
    form: Form,
    code: String,
    now: AirportRow,
    state: String,
    is_staff: bool,
}

#[derive(Template)]
#[template(path = "aircraft.html")]
struct AircraftPage {
    frame: Frame,
    form: Form,
    code: String,
    now: AircraftRow,
    cabins: Vec<(String, Vec<String>)>,
    state: String,
    is_staff: bool,
}

/// All reference data.
pub(crate) async fn list(
    State(service): State<Service>,
    visitor: Visitor,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let after = Values::new(query).filled("after").map(field::airport).transpose();
    let after = after.map_err(|reason| Problem::field("after", reason))?;
    // An editor wants to see what was just written, so the primary answers.
    let mut airports = service.on_primary(&Airports { after, limit: LIMIT_MAX }).await?;
    let more = cut(&mut airports, LIMIT_MAX, |airport| airport.airport_code.clone());
    let last = airports.last().map(|airport| airport.airport_code.clone());
    let next = more.and(last);
    let fleet = service.on_primary(&Fleet).await?;
    let frame = Frame::new(&service, &visitor, "Reference data", "/reference");
    Ok(page(StatusCode::OK, &visitor, &ReferencePage { frame, airports, next, fleet }))
}

fn tag(value: &impl Serialize) -> Result<String, Problem> {
    Ok(Answer::tagged(StatusCode::OK, value)?.etag.unwrap_or_default())
}

async fn airport_page(
    service: &Service,
    visitor: &Visitor,
    named: &str,
    form: Option<Form>,
) -> Result<AirportPage, Problem> {
    let code = field::airport(named).map_err(|_| Problem::not_found("airport"))?;
    let found = service.on_primary(&OneAirport { code: code.clone() }).await?;
    let now = found.ok_or_else(|| Problem::not_found("airport"))?;
    let as_it_is = || {
        let values = Values::default()
            .with("airport_name", now.airport_name.clone())
            .with("city", now.city.clone())
            .with("longitude", now.longitude.to_string())
            .with("latitude", now.latitude.to_string())
            .with("timezone", now.timezone.clone());
        Form::new(values)
    };
    let frame = Frame::new(service, visitor, format!("Airport {code}"), "/reference");
    let is_staff = visitor.is_staff(service).await?;
    let form = form.unwrap_or_else(as_it_is);
    Ok(AirportPage { frame, form, code, state: tag(&now)?, now, is_staff })
}

/// An airport.
pub(crate) async fn show_airport(
    State(service): State<Service>,
    visitor: Visitor,
    Named(named): Named<String>,
) -> Result<Response, Problem> {
    let template = airport_page(&service, &visitor, &named, None).await?;
    Ok(page(StatusCode::OK, &visitor, &template))
}

/// Edits an airport.
pub(crate) async fn edit_airport(
    State(service): State<Service>,
    Named(named): Named<String>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let done = match new_airport(&named, &values) {
        Ok(new) => {
            let if_match = state(&values)?;
            let change = ChangedAirport { account_id: member.account_id, if_match, new };
            service.on_primary(&change).await
        }
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => Ok(see_other(&format!("/reference/airports/{named}"))),
        Err(problem) if problem.kind == Kind::Forbidden => Err(problem),
        Err(problem) => {
            let form = Some(Form::refused(values, &problem));
            let template = airport_page(&service, &member.visitor, &named, form).await?;
            Ok(refused(&problem, &member.visitor, &template))
        }
    }
}

/// The state that the form was made of.
fn state(values: &Values) -> Result<IfMatch, Problem> {
    IfMatch::of(&headers("edit", Some(values.get("state")))?)
}

fn new_airport(named: &str, values: &Values) -> Result<AirportRow, Problem> {
    let mut fields = Fields::default();
    let code = fields.take("airport_code", field::airport(named));
    let name = fields.take("airport_name", field::name(values.get("airport_name")));
    let city = fields.take("city", field::name(values.get("city")));
    let longitude = fields.take("longitude", degrees(values.get("longitude"), 180.0));
    let latitude = fields.take("latitude", degrees(values.get("latitude"), 90.0));
    let zone = fields.take("timezone", field::name(values.get("timezone")));
    let words = code.zip(name).zip(city).zip(zone);
    let all = fields.all(words.zip(longitude.zip(latitude)))?;
    let ((((airport_code, airport_name), city), timezone), (longitude, latitude)) = all;
    Ok(AirportRow { airport_code, airport_name, city, longitude, latitude, timezone })
}

fn degrees(text: &str, most: f64) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|degrees| degrees.abs() <= most);
    number.ok_or_else(|| format!("must be a number from -{most} to {most}"))
}

async fn aircraft_page(
    service: &Service,
    visitor: &Visitor,
    named: &str,
    form: Option<Form>,
) -> Result<AircraftPage, Problem> {
    let code = field::airport(named).map_err(|_| Problem::not_found("aircraft"))?;
    let found = service.on_primary(&OneAircraft { code: code.clone() }).await?;
    let (now, cabins) = found.ok_or_else(|| Problem::not_found("aircraft"))?;
    let as_it_is = || {
        let values = Values::default().with("model", now.model.clone());
        Form::new(values.with("range", now.range.to_string()))
    };
    let frame = Frame::new(service, visitor, format!("Aircraft {code}"), "/reference");
    let is_staff = visitor.is_staff(service).await?;
    let form = form.unwrap_or_else(as_it_is);
    Ok(AircraftPage { frame, form, code, state: tag(&now)?, now, cabins, is_staff })
}

/// An aircraft model with its seats.
pub(crate) async fn show_aircraft(
    State(service): State<Service>,
    visitor: Visitor,
    Named(named): Named<String>,
) -> Result<Response, Problem> {
    let template = aircraft_page(&service, &visitor, &named, None).await?;
    Ok(page(StatusCode::OK, &visitor, &template))
}

/// Edits an aircraft model.
pub(crate) async fn edit_aircraft(
    State(service): State<Service>,
    Named(named): Named<String>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let done = match new_aircraft(&named, &values) {
        Ok(new) => {
            let if_match = state(&values)?;
            let change = ChangedAircraft { account_id: member.account_id, if_match, new };
            service.on_primary(&change).await
        }
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => Ok(see_other(&format!("/reference/aircraft/{named}"))),
        Err(problem) if problem.kind == Kind::Forbidden => Err(problem),
        Err(problem) => {
            let form = Some(Form::refused(values, &problem));
            let template = aircraft_page(&service, &member.visitor, &named, form).await?;
            Ok(refused(&problem, &member.visitor, &template))
        }
    }
}

fn new_aircraft(named: &str, values: &Values) -> Result<AircraftRow, Problem> {
    let mut fields = Fields::default();
    let code = fields.take("aircraft_code", field::airport(named));
    let model = fields.take("model", field::name(values.get("model")));
    let range = field::number(values.get("range").trim(), 1, RANGE_MAX);
    let range = fields.take("range", range);
    let ((aircraft_code, model), range) = fields.all(code.zip(model).zip(range))?;
    Ok(AircraftRow { aircraft_code, model, range: i32::try_from(range).unwrap_or(i32::MAX) })
}
