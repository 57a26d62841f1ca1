//! The way to Redis, which the service can do without.
//!
//! In: a URL. Out: answers to commands, or nothing; messages of a channel. Hard cases:
//!
//! * Redis is away, or accepts connections and is silent: a command has a short time, and then Redis is asked nothing
//!   for a while, so that no request waits for it again and again.
//! * A subscription whose connection hangs would wait for ever. It is asked for a sign of life every few seconds.
//!
//! Neither the URL nor what a command carries is ever in a log or an error.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, FromRedisValue, Value};

/// How long Redis is asked nothing after it failed.
const REST: Duration = Duration::from_secs(1);
/// How long a subscription may take to begin, and a sign of life to come.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a subscription is asked for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// The pause between two attempts to subscribe.
const PAUSE: Duration = Duration::from_millis(300);

/// Where Redis is, and as whom the service signs in.
#[derive(Clone)]
pub struct RedisTarget {
    client: redis::Client,
    address: String,
}

impl RedisTarget {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = || "write redis://user:password@host:port; TLS (rediss) is not known here";
        let client = redis::Client::open(url).map_err(|_| wrong())?;
        let ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else {
            return Err(wrong().to_owned());
        };
        let address = format!("{host}:{port}");
        Ok(Self { client, address })
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.address
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTarget").field(&self.address).finish()
    }
}

/// A connection to Redis that is made when it is needed.
#[derive(Debug)]
pub(crate) struct Link {
    target: RedisTarget,
    /// How long a command may take, with the connection that it may need.
    time: Duration,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    rests_until: Mutex<Option<Instant>>,
}

impl Link {
    pub(crate) fn new(target: RedisTarget, time: Duration) -> Self {
        let connection = tokio::sync::Mutex::default();
        Self { target, time, connection, rests_until: Mutex::default() }
    }

    /// Sends a command. `None` when Redis is away, refuses or is silent.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if self.rests() {
            return None;
        }
        match tokio::time::timeout(self.time, self.send(command)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => self.rest(&error.category()),
            Err(_) => self.rest(&"no answer in time"),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
        let mut slot = self.connection.lock().await;
        let connection = match &*slot {
            Some(connection) => connection.clone(),
            None => {
                let new = self.target.client.get_multiplexed_async_connection().await?;
                slot.insert(new).clone()
            }
        };
        drop(slot);
        command.query_async(&mut { connection }).await
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Asks nothing for a while, and then on a new connection.
    fn rest<T>(&self, reason: &dyn fmt::Display) -> Option<T> {
        let redis = self.target.display();
        tracing::warn!(redis, %reason, rest_s = REST.as_secs(), "no answer from redis");
        let until = Instant::now() + REST;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        if let Ok(mut slot) = self.connection.try_lock() {
            *slot = None;
        }
        None
    }

    /// Hears a channel for ever. `up` is told when the subscription begins and when it has ended.
    pub(crate) async fn listen(
        &self,
        channel: &str,
        up: impl Fn(bool) + Sync,
        hear: impl Fn(&str) + Sync,
    ) {
        let mut was_up = true;
        loop {
            let subscribed = tokio::time::timeout(PATIENCE, self.subscribe(channel)).await;
            if let Ok(Ok(subscription)) = subscribed {
                up(true);
                tracing::info!(redis = self.target.display(), channel, "redis is heard");
                follow(subscription, &hear).await;
                up(false);
                was_up = true;
            }
            if was_up {
                tracing::warn!(redis = self.target.display(), channel, "redis is not heard");
                was_up = false;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn subscribe(&self, channel: &str) -> redis::RedisResult<redis::aio::PubSub> {
        let mut subscription = self.target.client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription)
    }
}

/// Hears a subscription until its connection is gone.
async fn follow(subscription: redis::aio::PubSub, hear: &(impl Fn(&str) + Sync)) {
    let (mut sink, mut messages) = subscription.split();
    let mut signs = tokio::time::interval(SIGN_OF_LIFE);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return };
                if let Ok(text) = message.get_payload::<String>() {
                    hear(&text);
                }
            }
            _ = signs.tick() => {
                let alive = tokio::time::timeout(PATIENCE, sink.ping::<Value>()).await;
                if !matches!(alive, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_shows_where_it_is_and_no_secret() {
        let target = RedisTarget::parse("redis://booking:hidden@cache.example:6380").unwrap();
        assert_eq!(target.display(), "cache.example:6380");
        assert!(!format!("{target:?}").contains("hidden"));
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_text() {
        for url in ["hidden", "rediss://a:hidden@b:1", "unix:/hidden", "redis://a:hidden@b:x"] {
            let refusal = RedisTarget::parse(url).unwrap_err();
            assert!(refusal.contains("redis://") && !refusal.contains("hidden"), "{refusal}");
        }
    }
}
