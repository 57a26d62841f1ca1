//! Running the flights: check-in, departures, landings, and every change of plan.
//!
//! In: the clock and the departure board. Out: changed flights and boarding passes. A flight is locked while its
//! boarding passes are given out, so numbers and seats on it are unique without a retry.

use chrono::{Duration, DurationRound};
use rand::RngExt;
use tokio_postgres::Error;

use super::airline::{Airline, Done};
use super::seating::{BOARD, BOARD_WITH_SERVICE, HAS_SOLD_SEATS};

/// Cancelled flights a worker remembers for refunds.
const CANCELLED_MAX: usize = 64;

impl Airline {
    pub(super) async fn check_in(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::zero(), Duration::days(1)).await? else {
            return Ok(Done::Nothing);
        };
        if self.lock_open_flights(&[flight.flight_id]).await?.is_empty() {
            return Ok(Done::Nothing);
        }
        let passenger_max = self.rng.random_range(1..6);
        let issued = self.board(flight.flight_id, passenger_max).await?;
        Ok(if issued == 0 { Done::Nothing } else { Done::Commit })
    }

    /// Gives boarding passes to passengers of a locked flight, each in the cabin of the fare, up to a number.
    async fn board(&mut self, flight_id: i32, passenger_max: i64) -> Result<u64, Error> {
        let statement = if self.has_service().await? { BOARD_WITH_SERVICE } else { BOARD };
        self.session.change(statement, &[&flight_id, &passenger_max]).await
    }

    /// The flight that has been due longest leaves. Nine in ten of the waiting passengers board, and the others do not
    /// come.
    pub(super) async fn depart(&mut self) -> Result<Done, Error> {
        let now = self.clock.now();
        let due = self
            .session
            .first(
                "SELECT
                     f.flight_id,
                     (SELECT count(*)
                      FROM public.ticket_flights AS tf
                      WHERE tf.flight_id = f.flight_id)
                     -
                     (SELECT count(*)
                      FROM public.boarding_passes AS bp
                      WHERE bp.flight_id = f.flight_id) AS waiting
                 FROM public.flights AS f
                 WHERE f.status IN ('Scheduled', 'On Time', 'Delayed')
                   AND f.scheduled_departure <= $1
                 ORDER BY f.scheduled_departure, f.flight_id
                 LIMIT 1
                 FOR NO KEY UPDATE OF f SKIP LOCKED",
                &[&now],
            )
            .await?;
        let Some(due) = due else { return Ok(Done::Nothing) };
        let flight_id: i32 = due.get(0);
        let waiting: i64 = due.get(1);
        self.board(flight_id, waiting - waiting / 10).await?;
        let late_min: i32 = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(30..180),
            _ => self.rng.random_range(0..15),
        };
        self.session
            .change(
                "UPDATE public.flights
                 SET status = 'Departed',
                     actual_departure = least($2, scheduled_departure + make_interval(mins => $3))
                 WHERE flight_id = $1",
                &[&flight_id, &now, &late_min],
            )
            .await?;
        Ok(Done::Commit)
    }

    /// The flight that has been due longest lands. It was in the air about as long as planned.
    pub(super) async fn arrive(&mut self) -> Result<Done, Error> {
        let now = self.clock.now();
        let saved_min: i32 = self.rng.random_range(-8..5);
        let changed = self
            .session
            .change(
                "UPDATE public.flights AS f
                 SET status = 'Arrived',
                     actual_arrival = least(
                         $1,
                         f.actual_departure + (f.scheduled_arrival - f.scheduled_departure)
                             - make_interval(mins => $2)
                     )
                 WHERE f.flight_id = (
                     SELECT d.flight_id
                     FROM public.flights AS d
                     WHERE d.status = 'Departed'
                       AND d.actual_departure + (d.scheduled_arrival - d.scheduled_departure) <= $1
                     ORDER BY d.scheduled_arrival, d.flight_id
                     LIMIT 1
                     FOR NO KEY UPDATE SKIP LOCKED
                 )",
                &[&now, &saved_min],
            )
            .await?;
        Ok(if changed == 0 { Done::Nothing } else { Done::Commit })
    }

    /// A flight of the next two days is announced: on time, late, or caught up.
    pub(super) async fn announce(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::zero(), Duration::days(2)).await? else {
            return Ok(Done::Nothing);
        };
        let late = self.rng.random_range(0..10) < 3;
        let status = match (flight.status.as_str(), late) {
            ("Scheduled", false) | ("Delayed", _) => "On Time",
            _ => "Delayed",
        };
        let changed = self
            .session
            .change(
                "UPDATE public.flights
                 SET status = $2
                 WHERE flight_id = $1
                   AND status IN ('Scheduled', 'On Time', 'Delayed')",
                &[&flight.flight_id, &status],
            )
            .await?;
        Ok(if changed == 0 { Done::Nothing } else { Done::Commit })
    }

    /// A flight two days ahead or more is moved by up to an hour.
    pub(super) async fn retime(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::days(2), Duration::days(30)).await? else {
            return Ok(Done::Nothing);
        };
        let shift_min: i32 = 5 * self.rng.random_range(-12..=12);
        let changed = self
            .session
            .change(
                "UPDATE public.flights
                 SET scheduled_departure = scheduled_departure + make_interval(mins => $2),
                     scheduled_arrival = scheduled_arrival + make_interval(mins => $2)
                 WHERE flight_id = $1
                   AND status IN ('Scheduled', 'On Time', 'Delayed')",
                &[&flight.flight_id, &shift_min],
            )
            .await?;
        Ok(if changed == 0 { Done::Nothing } else { Done::Commit })
    }

    /// Another model flies. It has a seat for everybody, and nobody has a seat yet.
    pub(super) async fn swap_aircraft(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::hours(2), Duration::days(10)).await? else {
            return Ok(Done::Nothing);
        };
        if self.lock_open_flights(&[flight.flight_id]).await?.is_empty() {
            return Ok(Done::Nothing);
        }
        // Whoever has chosen a seat keeps it.
        if self.has_service().await?
            && self.session.first(HAS_SOLD_SEATS, &[&flight.flight_id]).await?.is_some()
        {
            return Ok(Done::Nothing);
        }
        let models = self
            .session
            .rows(
                "SELECT a.aircraft_code
                 FROM public.aircrafts AS a
                 WHERE a.aircraft_code <> $2
                   AND EXISTS (
                       SELECT
                       FROM public.seats AS s
                       WHERE s.aircraft_code = a.aircraft_code
                   )
                   AND NOT EXISTS (
                       SELECT
                       FROM public.boarding_passes AS bp
                       WHERE bp.flight_id = $1
                   )
                   AND NOT EXISTS (
                       SELECT
                       FROM public.ticket_flights AS tf
                       WHERE tf.flight_id = $1
                       GROUP BY tf.fare_conditions
                       HAVING count(*) > (
                           SELECT count(*)
                           FROM public.seats AS s
                           WHERE s.aircraft_code = a.aircraft_code
                             AND s.fare_conditions = tf.fare_conditions
                       )
                   )
                 ORDER BY a.aircraft_code",
                &[&flight.flight_id, &flight.aircraft_code],
            )
            .await?;
        if models.is_empty() {
            return Ok(Done::Nothing);
        }
        let model: String = models[self.rng.random_range(0..models.len())].get(0);
        self.session
            .change(
                "UPDATE public.flights
                 SET aircraft_code = $2
                 WHERE flight_id = $1",
                &[&flight.flight_id, &model],
            )
            .await?;
        Ok(Done::Commit)
    }

    pub(super) async fn cancel(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::hours(1), Duration::days(10)).await? else {
            return Ok(Done::Nothing);
        };
        if self.lock_open_flights(&[flight.flight_id]).await?.is_empty() {
            return Ok(Done::Nothing);
        }
        self.session
            .change(
                "DELETE FROM public.boarding_passes
                 WHERE flight_id = $1",
                &[&flight.flight_id],
            )
            .await?;
        self.session
            .change(
                "UPDATE public.flights
                 SET status = 'Cancelled'
                 WHERE flight_id = $1",
                &[&flight.flight_id],
            )
            .await?;
        if self.cancelled.len() < CANCELLED_MAX {
            self.cancelled.push(flight.flight_id);
        }
        Ok(Done::Commit)
    }

    /// One more flight under a number that exists: within the hour, or some day of the coming month.
    pub(super) async fn schedule_flight(&mut self) -> Result<Done, Error> {
        let minute = Duration::minutes(1);
        let after_min = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(5..60),
            _ => self.rng.random_range(1_440..43_200),
        };
        let now = self.clock.now();
        let departs = (now + minute * after_min).duration_trunc(minute).unwrap_or(now);
        let status = if after_min < 1_440 { "On Time" } else { "Scheduled" };
        let share: f64 = self.rng.random();
        let added = self
            .session
            .change(
                "INSERT INTO public.flights
                     (flight_no, scheduled_departure, scheduled_arrival, departure_airport,
                      arrival_airport, status, aircraft_code)
                 SELECT
                     model.flight_no,
                     $1::timestamptz,
                     $1::timestamptz + (model.scheduled_arrival - model.scheduled_departure),
                     model.departure_airport,
                     model.arrival_airport,
                     $2::text,
                     model.aircraft_code
                 FROM (
                     SELECT *
                     FROM public.flights
                     WHERE flight_id >= ceil(
                         $3::double precision * (SELECT max(flight_id) FROM public.flights)
                     )::integer
                     ORDER BY flight_id
                     LIMIT 1
                 ) AS model",
                &[&departs, &status, &share],
            )
            .await?;
        Ok(if added == 0 { Done::Nothing } else { Done::Commit })
    }

    /// The name of an airport that is flown from, or a model's range: what hardly ever changes.
    pub(super) async fn edit_reference(&mut self) -> Result<Done, Error> {
        let Some(flight) = self.open_flight(Duration::zero(), Duration::days(30)).await? else {
            return Ok(Done::Nothing);
        };
        if self.rng.random_bool(0.5) {
            self.session
                .change(
                    "UPDATE public.airports
                     SET airport_name = CASE
                         WHEN airport_name LIKE '% International' THEN left(airport_name, -14)
                         ELSE airport_name || ' International'
                     END
                     WHERE airport_code = $1",
                    &[&flight.from],
                )
                .await?;
        } else {
            let step_km: i32 = self.rng.random_range(-2..=2) * 10;
            self.session
                .change(
                    "UPDATE public.aircrafts
                     SET range = greatest(range + $2, 100)
                     WHERE aircraft_code = $1",
                    &[&flight.aircraft_code, &step_km],
                )
                .await?;
        }
        Ok(Done::Commit)
    }
}
