//! Airports and flights, as everybody may see them.
//!
//! In: airports, a day, how many seats. Out: flights with what can be bought. A class's free seats are its seats
//! without its sold segments; whether a seat was chosen does not matter here.

use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::field::Fare;
use super::super::model::{Airport, Flight, Offer, time};
use super::super::problem::{FieldError, Problem};
use super::super::work::{Failure, Mode, Work};
use crate::reference::prices::{price_kopecks, roubles};

/// A page of the airports after a code, with one more than the limit.
#[derive(Debug)]
pub(crate) struct Airports {
    pub(crate) after: Option<String>,
    pub(crate) limit: i64,
}

impl Work for Airports {
    type Output = Vec<Airport>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Airport>, Failure> {
        let after = self.after.clone().unwrap_or_default();
        let rows = tx
            .query_typed(
                "SELECT airport_code, airport_name, city, timezone
                 FROM public.airports
                 WHERE airport_code > $1
                 ORDER BY airport_code
                 LIMIT $2",
                &[(&after, Type::BPCHAR), (&(self.limit + 1), Type::INT8)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Airport {
                airport_code: row.get(0),
                name: row.get(1),
                city: row.get(2),
                timezone: row.get(3),
            })
            .collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Where a page of flights begins: the departure in microseconds and the id of the flight before it.
pub(crate) type FlightKey = (i64, i32);

/// A page of flights of a day, with one more than the limit.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) date: NaiveDate,
    pub(crate) seats: Option<i64>,
    pub(crate) fare: Option<Fare>,
    pub(crate) after: Option<(DateTime<Utc>, i32)>,
    pub(crate) limit: i64,
}

impl Work for Search {
    type Output = Vec<(FlightKey, Flight)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let zone = self.time_zone(tx).await?;
        let (after_at, after_id) = self.after.unwrap_or((DateTime::UNIX_EPOCH, 0));
        let found = tx
            .query_typed(
                "SELECT f.flight_id, f.flight_no, f.departure_airport, f.arrival_airport,
                        f.scheduled_departure, f.scheduled_arrival, f.status, f.aircraft_code, a.model,
                        f.actual_departure, f.actual_arrival
                 FROM public.flights AS f
                 JOIN public.aircrafts AS a ON a.aircraft_code = f.aircraft_code
                 WHERE f.departure_airport = $1
                   AND f.arrival_airport = $2
                   AND f.scheduled_departure >= ($3::timestamp AT TIME ZONE $4)
                   AND f.scheduled_departure < (($3::timestamp + interval '1 day') AT TIME ZONE $4)
                   AND (f.scheduled_departure, f.flight_id) > ($5, $6)
                   AND ($7::bigint IS NULL OR EXISTS (
                       SELECT
                       FROM public.seats AS s
                       WHERE s.aircraft_code = f.aircraft_code
                         AND ($8::text IS NULL OR s.fare_conditions = $8)
                       GROUP BY s.fare_conditions
                       HAVING count(*) - (
                           SELECT count(*)
                           FROM public.ticket_flights AS tf
                           WHERE tf.flight_id = f.flight_id
                             AND tf.fare_conditions = s.fare_conditions
                       ) >= $7
                   ))
                 ORDER BY f.scheduled_departure, f.flight_id
                 LIMIT $9",
                &[
                    (&self.from, Type::BPCHAR),
                    (&self.to, Type::BPCHAR),
                    (&self.date.and_time(chrono::NaiveTime::MIN), Type::TIMESTAMP),
                    (&zone, Type::TEXT),
                    (&after_at, Type::TIMESTAMPTZ),
                    (&after_id, Type::INT4),
                    (&self.seats, Type::INT8),
                    (&self.fare.map(Fare::as_str), Type::TEXT),
                    (&(self.limit + 1), Type::INT8),
                ],
            )
            .await;
        let rows = match found {
            Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => {
                let reason = "is an airport whose time zone is not known";
                return Err(Problem::field("from", reason).into());
            }
            rows => rows?,
        };
        let mut flights: Vec<_> = rows
            .iter()
            .map(|row| (row.get::<_, DateTime<Utc>>(4).timestamp_micros(), flight(row)))
            .collect();
        let ids: Vec<i32> = flights.iter().map(|(_, flight)| flight.flight_id).collect();
        let mut offers = offers(tx, &ids).await?;
        for (_, flight) in &mut flights {
            flight.offers = take(&mut offers, flight.flight_id);
        }
        Ok(flights.into_iter().map(|(at, flight)| ((at, flight.flight_id), flight)).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

impl Search {
    /// The time zone of the airport of departure; refuses airports that are not there.
    async fn time_zone(&self, tx: &Transaction<'_>) -> Result<String, Failure> {
        let codes = [self.from.as_str(), self.to.as_str()];
        let rows = tx
            .query_typed(
                "SELECT airport_code, timezone
                 FROM public.airports
                 WHERE airport_code = ANY ($1)",
                &[(&codes.as_slice(), Type::BPCHAR_ARRAY)],
            )
            .await?;
        let zone = |code: &str| {
            rows.iter().find(|row| row.get::<_, &str>(0) == code).map(|row| row.get::<_, String>(1))
        };
        let missing: Vec<_> = [("from", &self.from), ("to", &self.to)]
            .into_iter()
            .filter(|(_, code)| zone(code).is_none())
            .map(|(field, _)| FieldError {
                field: field.to_owned(),
                reason: "is no airport that the airline knows".to_owned(),
            })
            .collect();
        zone(&self.from)
            .filter(|_| missing.is_empty())
            .ok_or_else(|| Problem::invalid(missing).into())
    }
}

/// One flight.
#[derive(Debug)]
pub(crate) struct OneFlight {
    pub(crate) flight_id: i32,
}

impl Work for OneFlight {
    type Output = Option<Flight>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<Flight>, Failure> {
        one(tx, self.flight_id).await
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// One flight with its offers.
pub(crate) async fn one(tx: &Transaction<'_>, flight_id: i32) -> Result<Option<Flight>, Failure> {
    let row = tx
        .query_typed_opt(
            "SELECT f.flight_id, f.flight_no, f.departure_airport, f.arrival_airport,
                    f.scheduled_departure, f.scheduled_arrival, f.status, f.aircraft_code, a.model,
                    f.actual_departure, f.actual_arrival
             FROM public.flights AS f
             JOIN public.aircrafts AS a ON a.aircraft_code = f.aircraft_code
             WHERE f.flight_id = $1",
            &[(&flight_id, Type::INT4)],
        )
        .await?;
    let Some(mut flight) = row.as_ref().map(flight) else { return Ok(None) };
    flight.offers = take(&mut offers(tx, &[flight_id]).await?, flight_id);
    Ok(Some(flight))
}

/// The offers of flights, by flight and price.
async fn offers(tx: &Transaction<'_>, flight_ids: &[i32]) -> Result<Vec<(i32, Offer)>, Failure> {
    let rows = tx
        .query_typed(
            "WITH cabins AS (
                 SELECT
                     f.flight_id,
                     f.scheduled_arrival - f.scheduled_departure AS flying_time,
                     s.fare_conditions,
                     count(*) AS seat_count
                 FROM public.flights AS f
                 JOIN public.seats AS s ON s.aircraft_code = f.aircraft_code
                 WHERE f.flight_id = ANY ($1)
                 GROUP BY f.flight_id, s.fare_conditions
             )
             SELECT
                 c.flight_id,
                 c.fare_conditions,
                 c.seat_count,
                 c.seat_count - (
                     SELECT count(*)
                     FROM public.ticket_flights AS tf
                     WHERE tf.flight_id = c.flight_id
                       AND tf.fare_conditions = c.fare_conditions
                 ),
                 (extract(epoch FROM c.flying_time) / 60)::bigint
             FROM cabins AS c",
            &[(&flight_ids, Type::INT4_ARRAY)],
        )
        .await?;
    let mut offers: Vec<_> = rows
        .iter()
        .map(|row| {
            let fare = Fare::of_column(row.get(1));
            let kopecks = price(row.get(4), fare);
            let offer = Offer {
                fare,
                price: roubles(kopecks),
                free_seats: row.get::<_, i64>(3).max(0),
                seats: row.get(2),
            };
            (kopecks, row.get::<_, i32>(0), offer)
        })
        .collect();
    offers.sort_by_key(|(kopecks, flight_id, _)| (*flight_id, *kopecks));
    Ok(offers.into_iter().map(|(_, flight_id, offer)| (flight_id, offer)).collect())
}

/// Price of a seat in kopecks, by minutes in the air.
pub(crate) fn price(minutes: i64, fare: Fare) -> i64 {
    price_kopecks(minutes, fare.priced(), 100)
}

fn take(offers: &mut Vec<(i32, Offer)>, flight_id: i32) -> Vec<Offer> {
    let own = |offer: &mut (i32, Offer)| offer.0 == flight_id;
    offers.extract_if(.., own).map(|(_, offer)| offer).collect()
}

fn flight(row: &Row) -> Flight {
    let optional = |column: usize| row.get::<_, Option<DateTime<Utc>>>(column).map(time);
    Flight {
        flight_id: row.get(0),
        flight_no: row.get(1),
        departure_airport: row.get(2),
        arrival_airport: row.get(3),
        scheduled_departure: time(row.get(4)),
        scheduled_arrival: time(row.get(5)),
        status: row.get(6),
        aircraft_code: row.get(7),
        aircraft_model: row.get(8),
        actual_departure: optional(9),
        actual_arrival: optional(10),
        offers: Vec::new(),
    }
}
