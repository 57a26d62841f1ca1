//! What is shown live: the chat of flights and the departures of airports.
//!
//! In: flights, places in a chat, airports. Out: messages in the order of their ids, departures by time. The hard case
//! is an id that is seen before a smaller one: a transaction takes its id first and commits later, so a reader that
//! has seen 11 would never look for 10. A message is therefore stored under a lock of its flight's chat, which is held
//! until the commit: within one flight ids appear in their order.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::model::time;
use super::super::work::{Failure, Mode, Work};

/// Half of the name of the lock of a flight's chat; the flight is the other half.
const CHAT_LOCK: i32 = 0x6368_6174;
/// Messages that are read at once.
pub(crate) const MESSAGES_MAX: usize = 200;
/// Departures of a board.
const DEPARTURES_MAX: i64 = 20;

/// A message of a flight's chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChatMessage {
    pub(crate) id: i64,
    #[serde(skip)]
    pub(crate) flight_id: i32,
    pub(crate) customer_id: i64,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) sent_at: String,
}

/// The columns of a message, with its author.
const MESSAGE: &str = "m.message_id, m.flight_id, m.account_id, a.full_name, m.body, m.sent_at";

fn message(row: &Row) -> ChatMessage {
    ChatMessage {
        id: row.get(0),
        flight_id: row.get(1),
        customer_id: row.get(2),
        name: short_name(row.get(3)),
        text: row.get(4),
        sent_at: time(row.get(5)),
    }
}

/// The first name and a letter, because a chat is read by strangers.
fn short_name(full: &str) -> String {
    let mut words = full.split_whitespace();
    let first = words.next().unwrap_or_default();
    match words.next_back().and_then(|last| last.chars().next()) {
        Some(letter) => format!("{first} {letter}."),
        None => first.to_owned(),
    }
}

/// Whether there is such a flight.
#[derive(Debug)]
pub(crate) struct IsFlight {
    pub(crate) flight_id: i32,
}

impl Work for IsFlight {
    type Output = bool;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Failure> {
        let found = tx
            .query_typed_opt(
                "SELECT FROM public.flights WHERE flight_id = $1",
                &[(&self.flight_id, Type::INT4)],
            )
            .await?;
        Ok(found.is_some())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Stores a message. Gives its id.
pub(crate) async fn store_message(
    tx: &Transaction<'_>,
    flight_id: i32,
    account_id: i64,
    text: &str,
) -> Result<i64, Failure> {
    tx.query_typed(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, $2)",
        &[(&CHAT_LOCK, Type::INT4), (&flight_id, Type::INT4)],
    )
    .await?;
    let row = tx
        .query_typed_one(
            "INSERT INTO service.messages (flight_id, account_id, body)
             VALUES ($1, $2, $3)
             RETURNING message_id",
            &[(&flight_id, Type::INT4), (&account_id, Type::INT8), (&text, Type::TEXT)],
        )
        .await?;
    Ok(row.get(0))
}

/// What somebody who comes to a chat has not seen: all since a message, or the newest ones.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) flight_id: i32,
    pub(crate) after: Option<i64>,
}

/// A part of a chat.
#[derive(Debug)]
pub(crate) struct Past {
    /// By id; at most [`MESSAGES_MAX`].
    pub(crate) messages: Vec<ChatMessage>,
    /// The id of the chat's last message, in the same state of the database.
    pub(crate) newest: i64,
}

impl Work for History {
    type Output = Past;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Past, Failure> {
        let newest = tx
            .query_typed_one(
                "SELECT coalesce(max(message_id), 0) FROM service.messages WHERE flight_id = $1",
                &[(&self.flight_id, Type::INT4)],
            )
            .await?
            .get(0);
        let limit = i64::try_from(MESSAGES_MAX).unwrap_or(i64::MAX);
        let order = if self.after.is_some() { "ASC" } else { "DESC" };
        let rows = tx
            .query_typed(
                &format!(
                    "SELECT {MESSAGE}
                     FROM service.messages AS m
                     JOIN service.accounts AS a ON a.account_id = m.account_id
                     WHERE m.flight_id = $1
                       AND m.message_id > $2
                     ORDER BY m.message_id {order}
                     LIMIT $3"
                ),
                &[
                    (&self.flight_id, Type::INT4),
                    (&self.after.unwrap_or(0), Type::INT8),
                    (&limit, Type::INT8),
                ],
            )
            .await?;
        let mut messages: Vec<_> = rows.iter().map(message).collect();
        messages.sort_by_key(|message| message.id);
        Ok(Past { messages, newest })
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// What is new in chats: for each flight, what follows a message.
#[derive(Debug)]
pub(crate) struct NewMessages {
    pub(crate) after: Vec<(i32, i64)>,
}

impl Work for NewMessages {
    type Output = Vec<ChatMessage>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<ChatMessage>, Failure> {
        let (flights, ids): (Vec<i32>, Vec<i64>) = self.after.iter().copied().unzip();
        let limit = i64::try_from(MESSAGES_MAX).unwrap_or(i64::MAX);
        let rows = tx
            .query_typed(
                &format!(
                    "SELECT {MESSAGE}
                     FROM unnest($1::integer[], $2::bigint[]) AS r (flight_id, message_id)
                     JOIN service.messages AS m
                         ON m.flight_id = r.flight_id
                         AND m.message_id > r.message_id
                     JOIN service.accounts AS a ON a.account_id = m.account_id
                     ORDER BY m.message_id
                     LIMIT $3"
                ),
                &[(&flights, Type::INT4_ARRAY), (&ids, Type::INT8_ARRAY), (&limit, Type::INT8)],
            )
            .await?;
        Ok(rows.iter().map(message).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// A line of a departures board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Departure {
    pub(crate) flight_id: i32,
    pub(crate) flight_no: String,
    pub(crate) arrival_airport: String,
    pub(crate) city: String,
    pub(crate) scheduled_departure: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actual_departure: Option<String>,
    pub(crate) status: String,
    pub(crate) aircraft_code: String,
}

/// The next departures of airports, with those that have just left.
#[derive(Debug)]
pub(crate) struct Departures {
    pub(crate) airports: Vec<String>,
}

impl Work for Departures {
    type Output = Vec<(String, Departure)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let rows = tx
            .query_typed(
                "SELECT b.airport_code, f.flight_id, f.flight_no, f.arrival_airport, t.city,
                        f.scheduled_departure, f.actual_departure, f.status, f.aircraft_code
                 FROM unnest($1::text[]) AS b (airport_code)
                 CROSS JOIN LATERAL (
                     SELECT *
                     FROM public.flights AS d
                     WHERE d.departure_airport = b.airport_code::bpchar
                       AND d.scheduled_departure >= now() - interval '3 hours'
                       AND (d.actual_departure IS NULL
                            OR d.actual_departure >= now() - interval '15 minutes')
                     ORDER BY d.scheduled_departure, d.flight_id
                     LIMIT $2
                 ) AS f
                 JOIN public.airports AS t ON t.airport_code = f.arrival_airport
                 ORDER BY b.airport_code, f.scheduled_departure, f.flight_id",
                &[(&self.airports, Type::TEXT_ARRAY), (&DEPARTURES_MAX, Type::INT8)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let departure = Departure {
                    flight_id: row.get(1),
                    flight_no: row.get(2),
                    arrival_airport: row.get(3),
                    city: row.get(4),
                    scheduled_departure: time(row.get(5)),
                    actual_departure: row.get::<_, Option<DateTime<Utc>>>(6).map(time),
                    status: row.get(7),
                    aircraft_code: row.get(8),
                };
                (row.get(0), departure)
            })
            .collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_see_a_first_name_and_a_letter() {
        assert_eq!(short_name("ANN  EXAMPLE"), "ANN E.");
        assert_eq!(short_name("ANN MARIE EXAMPLE"), "ANN E.");
        assert_eq!(short_name("ANN"), "ANN");
        assert_eq!(short_name(""), "");
    }
}
