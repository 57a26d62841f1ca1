//! The departures board of an airport and the chat of a flight, as pages.
//!
//! In: an airport; a flight and a customer. Out: what is there now. A script keeps both up to date by a WebSocket;
//! without it the board is reloaded by hand, and the chat's form sends a message as any form does.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::field::{airport, flight_id};
use super::super::model::{Airport, Flight};
use super::super::passwords::new_token;
use super::super::problem::{Kind, Problem};
use super::super::request::Named;
use super::super::saying::{TEXT_CHARS_MAX, say};
use super::super::state::Service;
use super::super::store::flights::OneFlight;
use super::super::store::live::{ChatMessage, Departure, Departures, History};
use super::form::{Form, PostedByMember, Values};
use super::page::{Frame, page, refused, see_other};
use super::search::suggestions;
use super::visitor::{Member, Visitor};

#[derive(Template)]
#[template(path = "departures.html")]
struct DeparturesPage {
    frame: Frame,
    form: Form,
    airports: Vec<Airport>,
    /// The airport whose board is shown.
    airport: Option<String>,
    departures: Vec<Departure>,
}

/// The departures board.
pub(crate) async fn departures(
    State(service): State<Service>,
    visitor: Visitor,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let values = Values::new(query);
    let airports = suggestions(&service).await?;
    let frame = Frame::new(&service, &visitor, "Departures", "/departures");
    let mut template = DeparturesPage {
        frame,
        form: Form::new(values.clone()),
        airports,
        airport: None,
        departures: Vec::new(),
    };
    let Some(named) = values.filled("airport") else {
        return Ok(page(StatusCode::OK, &visitor, &template));
    };
    match airport(named.trim()) {
        Ok(code) => {
            let found = service.on_replica(&Departures { airports: vec![code.clone()] }).await?;
            template.departures = found.into_iter().map(|(_, departure)| departure).collect();
            template.airport = Some(code);
            Ok(page(StatusCode::OK, &visitor, &template))
        }
        Err(reason) => {
            let problem = Problem::field("airport", reason);
            template.form = Form::refused(values, &problem);
            Ok(refused(&problem, &visitor, &template))
        }
    }
}

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatPage {
    frame: Frame,
    form: Form,
    flight: Flight,
    messages: Vec<ChatMessage>,
    customer_id: i64,
    /// The key of the message that the form sends.
    key: String,
    text_chars_max: usize,
}

/// The chat of a flight.
pub(crate) async fn chat(
    State(service): State<Service>,
    member: Member,
    Named(named): Named<String>,
) -> Result<Response, Problem> {
    let template = chat_page(&service, &member, &named, Form::new(Values::default())).await?;
    Ok(page(StatusCode::OK, &member.visitor, &template))
}

/// Says something in it.
pub(crate) async fn say_it(
    State(service): State<Service>,
    Named(named): Named<String>,
    PostedByMember { member, values }: PostedByMember,
) -> Result<Response, Problem> {
    let flight_id = flight_id(&named).map_err(|_| Problem::not_found("flight"))?;
    let flight = service.on_replica(&OneFlight { flight_id }).await?;
    flight.ok_or_else(|| Problem::not_found("flight"))?;
    let (key, text) = (values.get("key"), values.get("text"));
    match say(&service, member.account_id, flight_id, key, text).await {
        Ok(_) => Ok(see_other(&format!("/flights/{flight_id}/chat"))),
        Err(problem) => {
            // Sent again, the form has the same key, so that nothing is said twice. A key that is taken is given up.
            let is_taken = problem.kind == Kind::KeyReused;
            let values = if is_taken { values.with("key", "") } else { values };
            let form = Form::refused(values, &problem);
            let template = chat_page(&service, &member, &named, form).await?;
            Ok(refused(&problem, &member.visitor, &template))
        }
    }
}

async fn chat_page(
    service: &Service,
    member: &Member,
    named: &str,
    form: Form,
) -> Result<ChatPage, Problem> {
    let flight_id = flight_id(named).map_err(|_| Problem::not_found("flight"))?;
    let flight = service.on_replica(&OneFlight { flight_id }).await?;
    let flight = flight.ok_or_else(|| Problem::not_found("flight"))?;
    let past = service.on_primary(&History { flight_id, after: None }).await?;
    let title = format!("Chat of flight {}", flight.flight_no);
    let key = Some(form.value("key")).filter(|key| !key.is_empty());
    let key = key.map_or_else(new_token, str::to_owned);
    Ok(ChatPage {
        frame: Frame::new(service, &member.visitor, title, "/departures"),
        form,
        flight,
        messages: past.messages,
        customer_id: member.account_id,
        key,
        text_chars_max: TEXT_CHARS_MAX,
    })
}
