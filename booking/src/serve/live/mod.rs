//! What is shown live, by WebSockets: the departures boards and the chats of flights.
//!
//! In: connections, the bell, the tables. Out: boards and messages. The tables are the truth. One task of an instance
//! reads the new messages of all rooms, when the bell rings, and now and then without it: every second where no other
//! instance is heard, every ten seconds where Redis leads to them. So a message that another instance has stored comes
//! at once with Redis, a second later without it, and ten seconds later when its ring was lost.

mod boards;
mod entry;
mod rooms;
mod socket;

mod hub;
mod session;

mod board;
mod chat;

use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Router, routing};
use serde::Deserialize;

use self::entry::check_origin;
pub(crate) use self::hub::Live;
use self::session::Credentials;
use super::bell::Heard;
use super::field::{airport, flight_id};
use super::peer::Peer;
use super::problem::Problem;
use super::request::{Named, Parameters};
use super::state::Service;
use super::store::live::{IsFlight, MESSAGES_MAX, NewMessages};

/// How often the chats are looked at where no other instance is heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same where Redis leads to the others: what is found then is what Redis has lost.
const LOOK_EVERY_WITH_REDIS: Duration = Duration::from_secs(10);
/// The pause after a look that failed.
const PAUSE: Duration = Duration::from_millis(300);
/// Bytes of a client's text at most: a message of four bytes a character, escaped, and what is around it.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// Bytes that may wait for a client within the process.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Reads what is new for all connections, until the stop. Then it waits until all connections are closed.
pub(crate) async fn run(live: Live) {
    tokio::select! {
        () = live.stop().cancelled() => {}
        () = live.bell().listen() => {}
        () = read(&live) => {}
        () = board::keep(&live) => {}
    }
    live.connections().close();
    live.connections().wait().await;
}

/// Hands new messages out to the rooms, for ever.
async fn read(live: &Live) {
    loop {
        let patience = if live.bell().hears_others() { LOOK_EVERY_WITH_REDIS } else { LOOK_EVERY };
        let heard = tokio::select! {
            heard = live.bell().hear() => heard,
            () = tokio::time::sleep(patience) => Heard { all: true, ..Heard::default() },
        };
        let after = live.rooms().after(&heard);
        if after.is_empty() {
            continue;
        }
        match live.service().on_primary(&NewMessages { after }).await {
            Ok(messages) => {
                live.metrics().read(messages.len());
                for message in &messages {
                    live.rooms().hand_out(message.flight_id, chat::line(message));
                }
                if messages.len() == MESSAGES_MAX {
                    // There may be more.
                    live.bell().ring_all();
                }
            }
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                live.bell().ring_all();
            }
        }
    }
}

/// The paths of live connections.
pub(crate) fn router(live: Live) -> Router<Service> {
    Router::new()
        .route("/live/departures", routing::get(departures))
        .route("/live/flights/{flight_id}/chat", routing::get(chat))
        .layer(Extension(live))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeparturesQuery {
    airport: String,
}

async fn departures(
    Extension(live): Extension<Live>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Parameters(query): Parameters<DeparturesQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    check_origin(&headers, &live.service().options().allowed_origins)?;
    let airport = airport(&query.airport).map_err(|reason| Problem::field("airport", reason))?;
    let place = live.places().take()?;
    let own_place = live.places().take_at(peer)?;
    let token = live.connections().token();
    Ok(bounded(upgrade).on_upgrade(async move |socket| {
        live.metrics().opened("board");
        board::serve(&live, socket, &airport).await;
        live.metrics().ended("board");
        drop((place, own_place, token));
    }))
}

async fn chat(
    Extension(live): Extension<Live>,
    Named(name): Named<String>,
    Peer(peer): Peer,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    check_origin(&headers, &live.service().options().allowed_origins)?;
    let flight_id = flight_id(&name).map_err(|reason| Problem::field("flight_id", reason))?;
    let place = live.places().take()?;
    // Whoever has not said hello is nobody, and counts as their address.
    let place_of_address = live.places().take_at(peer)?;
    if !live.service().on_replica(&IsFlight { flight_id }).await? {
        return Err(Problem::not_found("flight"));
    }
    let credentials = Credentials::of(&headers, live.service());
    let token = live.connections().token();
    Ok(bounded(upgrade).on_upgrade(async move |socket| {
        live.metrics().opened("chat");
        chat::serve(&live, socket, credentials, flight_id, place_of_address).await;
        live.metrics().ended("chat");
        drop((place, token));
    }))
}

fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(TEXT_BYTES_MAX)
        .max_frame_size(TEXT_BYTES_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WAITING_BYTES_MAX)
}
