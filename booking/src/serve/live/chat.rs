//! The chat of a flight: `/live/flights/{flight_id}/chat`.
//!
//! In: a WebSocket of somebody who is signed in. Out: the messages that the client has not seen, in the order of their
//! ids and each once, and then every new one. The client's first text is a `hello` with the id of the last message that
//! it saw; a client that comes back, to whatever instance, so misses nothing.
//!
//! Until `hello` a connection has a place among those of its address, and afterwards one among those of its customer.
//! So a stranger who says nothing takes no more places than an address may have.
//!
//! A message is stored and then told. The client names each message by a key of its own. If the connection is lost
//! before `stored` has come, the client sends the message again under its key, and it is stored once. The key is an
//! idempotency key of the customer, as for a booking.

use axum::extract::ws::{Utf8Bytes, WebSocket};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Duration, Instant, timeout};

use super::super::problem::{Kind, Problem};
use super::super::saying::say;
use super::super::store::live::{ChatMessage, History, MESSAGES_MAX};
use super::entry::{OwnPlace, Who};
use super::hub::Live;
use super::rooms::Line;
use super::session::{Credentials, Session};
use super::socket::{End, Event, Socket};

/// How long a client may take to say `hello`.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// How often it is asked whether the customer is still signed in.
const SESSION_EVERY: Duration = Duration::from_secs(60);
/// Texts that are refused before a client is dropped.
const REFUSALS_MAX: u32 = 50;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    /// The first text.
    Hello { token: Option<String>, after: Option<i64> },
    /// A message.
    Say { key: String, text: String },
}

/// What a client is told, beside messages.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    /// The client is who it says.
    Welcome { flight_id: i32, customer_id: i64 },
    /// All that was there has been sent.
    CaughtUp { last: i64 },
    /// The message of this key is stored.
    Stored { key: &'a str, id: i64 },
    /// The message of this key is not stored.
    Refused { key: &'a str, reason: &'a str, retry_after_s: Option<u64> },
    /// A message of the chat.
    Message(&'a ChatMessage),
}

/// A message as a client gets it.
pub(super) fn line(message: &ChatMessage) -> Line {
    let text = serde_json::to_string(&Told::Message(message)).unwrap_or_default();
    Line { id: message.id, text: Utf8Bytes::from(text) }
}

/// One client of a chat.
struct Guest<'a> {
    live: &'a Live,
    socket: &'a mut Socket,
    session: Session,
    flight_id: i32,
    /// The last message that was sent to the client.
    last: i64,
    refusals: u32,
}

/// Serves a client until it leaves or has to leave.
pub(super) async fn serve(
    live: &Live,
    socket: WebSocket,
    credentials: Credentials,
    flight_id: i32,
    place_of_address: OwnPlace,
) {
    let mut socket = Socket::new(socket);
    let mut place = Some(place_of_address);
    let end = match follow(live, &mut socket, credentials, flight_id, &mut place).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    live.metrics().closed(end.name());
    socket.close(end).await;
}

async fn follow(
    live: &Live,
    socket: &mut Socket,
    credentials: Credentials,
    flight_id: i32,
    place: &mut Option<OwnPlace>,
) -> Result<std::convert::Infallible, End> {
    let hello = tokio::select! {
        hello = timeout(HELLO_TIME, hello(socket)) => hello.map_err(|_| End::Policy("say hello first"))??,
        () = live.stop().cancelled() => return Err(End::Away),
    };
    let (token, after) = hello;
    let session = credentials.session(live.service(), token).await?;
    let who = Who::Customer(session.account_id);
    // The place of the address is free as soon as the customer has one.
    *place = Some(live.places().take_own(who).ok_or(End::TooMany)?);
    socket.send(&Told::Welcome { flight_id, customer_id: session.account_id }).await?;
    let mut guest = Guest { live, socket, session, flight_id, last: 0, refusals: 0 };
    guest.stay(after).await
}

/// The first text of a client: perhaps a token, perhaps the last message that it saw.
async fn hello(socket: &mut Socket) -> Result<(Option<String>, Option<i64>), End> {
    loop {
        if let Event::Text(text) = socket.next().await? {
            return match serde_json::from_str(&text) {
                Ok(Said::Hello { token, after }) => Ok((token, after.map(|after| after.max(0)))),
                _ => Err(End::Policy("say hello first")),
            };
        }
    }
}

impl Guest<'_> {
    async fn stay(&mut self, after: Option<i64>) -> Result<std::convert::Infallible, End> {
        let mut lines = self.live.rooms().join(self.flight_id);
        self.catch_up(after).await?;
        let mut session_seen = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.live.stop().cancelled() => return Err(End::Away),
                line = lines.recv() => match line {
                    Ok(line) => self.pass_on(line).await?,
                    Err(RecvError::Lagged(_)) => return Err(End::TooSlow),
                    Err(RecvError::Closed) => return Err(End::Again),
                },
                event = self.socket.next() => match event? {
                    Event::Text(text) => self.hear(&text).await?,
                    Event::Ping => self.socket.ping().await?,
                    Event::Nothing => {}
                },
            }
            if session_seen.elapsed() > SESSION_EVERY {
                self.session.check(self.live.service()).await?;
                session_seen = Instant::now();
            }
        }
    }

    /// Sends what the client has not seen, up to where the room goes on.
    async fn catch_up(&mut self, after: Option<i64>) -> Result<(), End> {
        let mut after = after;
        // The message at which the room stood before the look.
        let mut room_at = 0;
        loop {
            let history = History { flight_id: self.flight_id, after };
            let past = self.live.service().on_primary(&history).await.map_err(|_| End::Again)?;
            if past.newest < room_at {
                // A failover has lost what the room has handed out. All who follow it come again.
                self.live.rooms().forget(self.flight_id, past.newest);
                return Err(End::Again);
            }
            let is_all = past.messages.len() < MESSAGES_MAX || after.is_none();
            for message in &past.messages {
                self.pass_on(line(message)).await?;
            }
            // A client may name a message that is not there; it has seen no more than there is.
            self.last = self.last.max(after.unwrap_or(0).min(past.newest));
            if is_all {
                room_at = self.live.rooms().begin(self.flight_id, past.newest);
                if room_at <= past.newest {
                    // A ring between the look and the room's begin was for nobody.
                    self.live.bell().look_at(self.flight_id);
                    return self.socket.send(&Told::CaughtUp { last: self.last }).await;
                }
            }
            after = Some(self.last);
        }
    }

    /// Sends a message that the client has not been sent.
    async fn pass_on(&mut self, line: Line) -> Result<(), End> {
        if line.id <= self.last {
            return Ok(());
        }
        self.socket.send_text(line.text).await?;
        self.last = line.id;
        Ok(())
    }

    async fn hear(&mut self, text: &str) -> Result<(), End> {
        let Ok(Said::Say { key, text }) = serde_json::from_str(text) else {
            return Err(End::Policy("send {\"type\": \"say\", \"key\": …, \"text\": …}"));
        };
        let problem = match self.say(&key, &text).await? {
            Ok(id) => return self.socket.send(&Told::Stored { key: &key, id }).await,
            Err(problem) => problem,
        };
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            return Err(End::Policy("too many messages were refused"));
        }
        let (reason, retry_after_s) = refusal(&problem);
        let told = Told::Refused { key: &key, reason: &reason, retry_after_s };
        self.socket.send(&told).await
    }

    /// Says something, as somebody who is still signed in.
    async fn say(&mut self, key: &str, text: &str) -> Result<Result<i64, Problem>, End> {
        let service = self.live.service();
        self.session.check(service).await?;
        Ok(say(service, self.session.account_id, self.flight_id, key, text).await)
    }
}

/// Why a message is not stored, and after how many seconds it may be said again.
fn refusal(problem: &Problem) -> (String, Option<u64>) {
    match problem.kind {
        Kind::KeyReused => ("the key is another message's".to_owned(), None),
        Kind::TooManyRequests => ("too many messages".to_owned(), problem.retry_after_s()),
        Kind::Invalid => {
            let errors = problem.errors().iter();
            let words: Vec<_> =
                errors.map(|error| format!("the {} {}", error.field, error.reason)).collect();
            (words.join(", "), None)
        }
        // Sent again under its key, it is stored once, whatever became of it.
        _ => ("the service cannot store it now".to_owned(), Some(1)),
    }
}
