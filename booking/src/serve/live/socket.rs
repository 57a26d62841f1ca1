//! One WebSocket: what goes out has a time, what comes in shows that somebody is there.
//!
//! In: a connection. Out: texts, pings, and an end with a code that says why. A client that takes nothing for some
//! seconds is dropped, because what it does not take would be kept for it. A client of which nothing is heard, no pong
//! either, is gone.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How long a client may take for what is sent.
const SEND_TIME: Duration = Duration::from_secs(5);
/// How often a client is asked for a sign of life; proxies see by it that the connection is in use.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After what silence a client is gone.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long the end may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client has left.
    Left,
    /// The instance ends: the client connects again, elsewhere.
    Away,
    /// The client does not take what is sent.
    TooSlow,
    /// Nothing is heard of the client.
    Silent,
    /// Nobody is signed in, or not any more.
    NotSignedIn,
    /// The customer has too many connections.
    TooMany,
    /// The client does not keep to the rules.
    Policy(&'static str),
    /// The service cannot go on now.
    Again,
}

impl End {
    /// The reason, as metrics label it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Away => "away",
            Self::TooSlow => "too-slow",
            Self::Silent => "silent",
            Self::NotSignedIn => "not-signed-in",
            Self::TooMany => "too-many",
            Self::Policy(_) => "policy",
            Self::Again => "again",
        }
    }

    /// The code and the words of the close frame. Codes from 4000 on are this service's own.
    const fn frame(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Left => return None,
            Self::Away => (close_code::AWAY, "this instance ends: connect again"),
            Self::TooSlow => (close_code::AGAIN, "too slow: connect again with the last id"),
            Self::Silent => (close_code::POLICY, "nothing is heard of the client"),
            Self::NotSignedIn => (4401, "nobody is signed in"),
            Self::TooMany => (4429, "too many connections of this customer"),
            Self::Policy(words) => (close_code::POLICY, words),
            Self::Again => (close_code::AGAIN, "the service cannot go on now: connect again"),
        })
    }
}

/// A connection.
pub(super) struct Socket {
    socket: WebSocket,
    pings: Interval,
    heard_at: Instant,
}

/// What comes of waiting for a client.
pub(super) enum Event {
    /// A text of the client.
    Text(Utf8Bytes),
    /// A sign of life, or nothing that matters.
    Nothing,
    /// It is time for a ping.
    Ping,
}

impl Socket {
    pub(super) fn new(socket: WebSocket) -> Self {
        let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, pings, heard_at: Instant::now() }
    }

    /// Waits for the client. May be dropped at any time, and nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Event, End> {
        let message = tokio::select! {
            message = self.socket.recv() => message,
            _ = self.pings.tick() => {
                let silent = self.heard_at.elapsed() > SILENCE_MAX;
                return if silent { Err(End::Silent) } else { Ok(Event::Ping) };
            }
        };
        self.heard_at = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => Ok(Event::Text(text)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Event::Nothing),
            Some(Ok(Message::Binary(_))) => Err(End::Policy("send texts of JSON")),
            Some(Ok(Message::Close(_))) | None => Err(End::Left),
            // The size is the one rule that the reader of frames itself keeps.
            Some(Err(error)) => Err(if error.to_string().contains("too long") {
                End::Policy("a message is too long")
            } else {
                End::Left
            }),
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), End> {
        self.put(Message::Ping(bytes::Bytes::new())).await
    }

    /// Sends a value as JSON.
    pub(super) async fn send(&mut self, value: &impl Serialize) -> Result<(), End> {
        self.send_text(serde_json::to_string(value).unwrap_or_default().into()).await
    }

    pub(super) async fn send_text(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.put(Message::Text(text)).await
    }

    async fn put(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(SEND_TIME, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::TooSlow),
        }
    }

    /// Tells the client why the connection ends, and waits a moment until the client has heard it.
    pub(super) async fn close(mut self, end: End) {
        let Some((code, reason)) = end.frame() else { return };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let closing = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // A client that takes nothing does not take this either.
        let _ = tokio::time::timeout(CLOSE_TIME, closing).await;
    }
}
