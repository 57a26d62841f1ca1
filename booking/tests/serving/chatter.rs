//! A client of WebSockets, as a program is one.
//!
//! In: an address, a token. Out: what comes, in order; and a client who comes back after each lost connection and says
//! again what was not confirmed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::shop::SOON;

/// How long a text may take to come.
const WAIT: Duration = Duration::from_secs(60);

/// What comes of waiting for a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Came {
    Text(Value),
    Closed(Option<u16>),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) WebSocketStream<TcpStream>);

impl Wire {
    /// Connects. Gives the status of a refusal.
    pub(crate) async fn open(
        stream: TcpStream,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Option<u16>> {
        let address = stream.peer_addr().map_err(|_| None)?;
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, HeaderValue::try_from(*value).unwrap());
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(Some(answer.status().as_u16())),
            Err(_) => Err(None),
        }
    }

    /// Comes to the chat of a flight.
    pub(crate) async fn chat(
        address: SocketAddr,
        token: &str,
        flight_id: i32,
        after: Option<i64>,
    ) -> Result<Self, Option<u16>> {
        let stream = TcpStream::connect(address).await.map_err(|_| None)?;
        let mut wire = Self::open(stream, &chat_path(flight_id), &[]).await?;
        let hello = json!({"type": "hello", "token": token, "after": after});
        wire.send(&hello).await.map_err(|_| None)?;
        Ok(wire)
    }

    pub(crate) async fn send(&mut self, value: &Value) -> Result<(), Error> {
        self.0.send(Message::text(value.to_string())).await
    }

    pub(crate) async fn say(&mut self, key: &str, text: &str) -> Result<(), Error> {
        self.send(&json!({"type": "say", "key": key, "text": text})).await
    }

    /// The next text, or the end.
    pub(crate) async fn next(&mut self) -> Came {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Came::Text(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Came::Closed(frame.map(|frame| code(frame.code)));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Came::Closed(None),
                }
            }
        };
        tokio::time::timeout(WAIT, next).await.expect("a text or the end in time")
    }

    /// The next text of this type; others are passed over.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Came::Text(value) if value["type"] == kind => return value,
                Came::Text(_) => {}
                Came::Closed(code) => panic!("closed with {code:?}, and no {kind} came"),
            }
        }
    }

    /// Reads to the end, and gives the code of the close frame.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Came::Closed(code) = self.next().await {
                return code;
            }
        }
    }
}

fn code(code: CloseCode) -> u16 {
    code.into()
}

/// The path of a flight's chat.
pub(crate) fn chat_path(flight_id: i32) -> String {
    format!("/live/flights/{flight_id}/chat")
}

/// What a client has done and seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Ids and texts, in the order in which they came.
    pub(crate) messages: Vec<(i64, String)>,
    /// Connections after the first one.
    pub(crate) returns: usize,
}

/// What a client does.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Texts that the client says.
    pub(crate) own: usize,
    /// Messages that are there when all have said theirs.
    pub(crate) all: usize,
}

impl Part {
    fn is_done(&self, said: usize, seen: &Seen) -> bool {
        seen.messages.len() >= self.all && said >= self.own
    }
}

/// A client who says texts and follows the chat of `SOON` until all messages are there, whatever happens to the
/// connection.
pub(crate) async fn talk(address: SocketAddr, token: String, part: Part) -> Seen {
    let mut seen = Seen::default();
    let mut said = 0;
    let mut connections = 0_usize;
    while !part.is_done(said, &seen) {
        let after = seen.messages.last().map_or(0, |(id, _)| *id);
        let wire = come_back(address, &token, after).await;
        connections += 1;
        stay(wire, &part, &mut said, &mut seen).await;
    }
    seen.returns = connections.saturating_sub(1);
    seen
}

/// Connects as soon as an instance takes the client. (`wait_for_async` gives no future that another task may run.)
async fn come_back(address: SocketAddr, token: &str, after: i64) -> Wire {
    let ends = Instant::now() + WAIT;
    loop {
        match Wire::chat(address, token, SOON, Some(after)).await {
            Ok(wire) => return wire,
            Err(status) => assert!(Instant::now() < ends, "no instance takes a client: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One connection, until it is lost or there is nothing left to do.
async fn stay(mut wire: Wire, part: &Part, said: &mut usize, seen: &mut Seen) {
    let name = &part.name;
    let text = |number: usize| (format!("{name}-{number}"), format!("{name} says {number}"));
    while !part.is_done(*said, seen) {
        let Came::Text(value) = wire.next().await else { return };
        match value["type"].as_str().unwrap() {
            "message" => {
                let id = value["id"].as_i64().unwrap();
                assert!(seen.messages.last().is_none_or(|(last, _)| *last < id), "{value}");
                seen.messages.push((id, value["text"].as_str().unwrap().to_owned()));
                continue;
            }
            "stored" => {
                assert_eq!(value["key"], text(*said).0);
                *said += 1;
            }
            // What was not confirmed is said again under its key.
            "caught_up" | "refused" => {}
            _ => continue,
        }
        if *said < part.own {
            let (key, text) = text(*said);
            if wire.say(&key, &text).await.is_err() {
                return;
            }
        }
    }
}
