//! The chat of a flight: `/live/flights/{flight_id}/chat`.
//!
//! In: a WebSocket of somebody who is signed in. Out: the messages that the client has not seen, in the order of their
//! ids and each once, and then every new one. The client's first text is a `hello` with the id of the last message that
//! it saw; a client that comes back, to whatever instance, so misses nothing.
//!
//! A message is stored and then told. The client names each message by a key of its own. If the connection is lost
//! before `stored` has come, the client sends the message again under its key, and it is stored once. The key is an
//! idempotency key of the customer, as for a booking.

use axum::extract::ws::{Utf8Bytes, WebSocket};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Duration, Instant, timeout};

use super::super::idempotency::Once;
use super::super::problem::{Kind, Problem};
use super::super::request::Key;
use super::super::store::live::{ChatMessage, History, MESSAGES_MAX, Say};
use super::Live;
use super::entry::Who;
use super::rooms::Line;
use super::session::{Credentials, Session};
use super::socket::{End, Event, Socket};

/// How long a client may take to say `hello`.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// How often it is asked whether the customer is still signed in.
const SESSION_EVERY: Duration = Duration::from_secs(60);
/// Characters of a message at most.
const TEXT_CHARS_MAX: usize = 2000;
/// Characters of a client's name for a message at most.
const KEY_CHARS_MAX: usize = 64;
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
) {
    let mut socket = Socket::new(socket);
    let end = match follow(live, &mut socket, credentials, flight_id).await {
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
) -> Result<std::convert::Infallible, End> {
    let hello = tokio::select! {
        hello = timeout(HELLO_TIME, hello(socket)) => hello.map_err(|_| End::Policy("say hello first"))??,
        () = live.stop().cancelled() => return Err(End::Away),
    };
    let (token, after) = hello;
    let session = credentials.session(live.service(), token).await?;
    let who = Who::Customer(session.account_id);
    let _own_place = live.places().take_own(who).ok_or(End::TooMany)?;
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
        loop {
            let history = History { flight_id: self.flight_id, after };
            let past = self.live.service().on_primary(&history).await.map_err(|_| End::Again)?;
            let is_all = past.messages.len() < MESSAGES_MAX || after.is_none();
            for message in &past.messages {
                self.pass_on(line(message)).await?;
            }
            // A client may name a message that is not there; it has seen no more than there is.
            self.last = self.last.max(after.unwrap_or(0).min(past.newest));
            if is_all && self.live.rooms().begin(self.flight_id, past.newest) <= past.newest {
                // A ring between the look and the room's begin was for nobody.
                self.live.bell().look_at(self.flight_id);
                return self.socket.send(&Told::CaughtUp { last: self.last }).await;
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
        let told = match self.say(&key, text).await {
            Ok(id) => Told::Stored { key: &key, id },
            Err(Refusal { end: Some(end), .. }) => return Err(end),
            Err(Refusal { reason, retry_after_s, .. }) => {
                self.refusals += 1;
                if self.refusals > REFUSALS_MAX {
                    return Err(End::Policy("too many messages were refused"));
                }
                Told::Refused { key: &key, reason, retry_after_s }
            }
        };
        self.socket.send(&told).await
    }

    /// Stores a message and rings. Gives its id.
    async fn say(&mut self, key: &str, text: String) -> Result<i64, Refusal> {
        let is_key = (1..=KEY_CHARS_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key {
            return Err(Refusal::of("the key must have 1 to 64 printable ASCII characters"));
        }
        let text = text.trim().to_owned();
        let is_text = (1..=TEXT_CHARS_MAX).contains(&text.chars().count())
            && !text.chars().any(|char| char.is_control() && char != '\n');
        if !is_text {
            return Err(Refusal::of("the text must have 1 to 2000 characters and no control ones"));
        }
        let account_id = self.session.account_id;
        if let Some(limit) = self.live.messages()
            && let Err(seconds) = limit.take_for(account_id, std::time::Instant::now())
        {
            let refusal = Refusal::of("too many messages");
            return Err(Refusal { retry_after_s: Some(seconds), ..refusal });
        }
        self.session
            .check(self.live.service())
            .await
            .map_err(|end| Refusal { end: Some(end), ..Refusal::of("") })?;
        let digest = Sha256::new()
            .chain_update(self.flight_id.to_be_bytes())
            .chain_update(text.as_bytes())
            .finalize()
            .to_vec();
        let key = Some(Key { key: format!("chat/{key}"), digest });
        let change = Say { flight_id: self.flight_id, text };
        let answer = self.live.service().on_primary(&Once { account_id, key, change }).await?;
        if !answer.replayed {
            self.live.metrics().stored();
        }
        self.live.bell().ring(self.flight_id).await;
        answer.body.parse().map_err(|_| Refusal::of("the service is at fault"))
    }
}

/// Why a message is not stored.
struct Refusal {
    reason: &'static str,
    retry_after_s: Option<u64>,
    /// The connection ends, too.
    end: Option<End>,
}

impl Refusal {
    const fn of(reason: &'static str) -> Self {
        Self { reason, retry_after_s: None, end: None }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        match problem.kind {
            Kind::KeyReused => Self::of("the key is another message's"),
            // Sent again under its key, it is stored once, whatever became of it.
            _ => Self { retry_after_s: Some(1), ..Self::of("the service cannot store it now") },
        }
    }
}
