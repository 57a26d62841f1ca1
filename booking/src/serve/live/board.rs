//! The departures board of an airport: `/live/departures?airport=SVO`.
//!
//! In: a WebSocket of anybody. Out: the next departures of an airport, whole, and again whenever a line of it changes.
//! The airline's own programs change flights and tell nobody, so each instance looks: once a second, with one question
//! for all airports that somebody looks at, and not at all while nobody does. A change is shown after a second and the
//! time of a query. A client that is slow gets the newest state and not those between.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::ws::{Utf8Bytes, WebSocket};
use serde::Serialize;
use tokio::sync::watch;

use super::super::store::live::{Departure, Departures};
use super::hub::Live;
use super::socket::{End, Event, Socket};

/// How often the flights are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A board, as a client gets it.
#[derive(Debug, Serialize)]
struct Board<'a> {
    r#type: &'static str,
    airport: &'a str,
    departures: &'a [Departure],
}

/// Looks at the flights of all boards, until it is dropped.
pub(super) async fn keep(live: &Live) {
    let boards = live.boards();
    loop {
        let airports = boards.airports();
        if airports.is_empty() {
            boards.somebody_comes().await;
            continue;
        }
        // A database that is away is asked again a second later; its absence is logged where it is noticed.
        if let Ok(found) =
            live.service().on_replica(&Departures { airports: airports.clone() }).await
        {
            let mut of_each: BTreeMap<String, Vec<Departure>> = BTreeMap::new();
            for (airport, departure) in found {
                of_each.entry(airport).or_default().push(departure);
            }
            for airport in &airports {
                let departures = of_each.get(airport).map_or(&[][..], Vec::as_slice);
                let board = Board { r#type: "board", airport, departures };
                let text = serde_json::to_string(&board).unwrap_or_default();
                boards.show(airport, text.into());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = boards.somebody_comes() => {}
        }
    }
}

/// Serves a client until it leaves or has to leave.
pub(super) async fn serve(live: &Live, socket: WebSocket, airport: &str) {
    let mut socket = Socket::new(socket);
    let mut board = live.boards().join(airport);
    let end = loop {
        let step = tokio::select! {
            biased;
            () = live.stop().cancelled() => Err(End::Away),
            first = first(&mut board) => match first {
                Some(text) => show(live, &mut socket, &mut board, text).await,
                None => Err(End::Again),
            },
            event = socket.next() => hear(&mut socket, event).await,
        };
        if let Err(end) = step {
            break end;
        }
    };
    live.metrics().closed(end.name());
    socket.close(end).await;
}

/// The first state of a board.
async fn first(board: &mut watch::Receiver<Utf8Bytes>) -> Option<Utf8Bytes> {
    board.wait_for(|text| !text.is_empty()).await.ok().map(|text| text.clone())
}

/// Sends a board, and then each new state of it.
async fn show(
    live: &Live,
    socket: &mut Socket,
    board: &mut watch::Receiver<Utf8Bytes>,
    first: Utf8Bytes,
) -> Result<(), End> {
    board.mark_unchanged();
    socket.send_text(first).await?;
    loop {
        tokio::select! {
            biased;
            () = live.stop().cancelled() => return Err(End::Away),
            changed = board.changed() => {
                changed.map_err(|_| End::Again)?;
                let text = board.borrow_and_update().clone();
                socket.send_text(text).await?;
            }
            event = socket.next() => hear(socket, event).await?,
        }
    }
}

/// A client of a board has nothing to say.
async fn hear(socket: &mut Socket, event: Result<Event, End>) -> Result<(), End> {
    match event? {
        Event::Ping => socket.ping().await,
        Event::Nothing => Ok(()),
        Event::Text(_) => Err(End::Policy("a board takes no messages")),
    }
}
