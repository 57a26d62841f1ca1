//! After the sale: prices, contacts, refunds and moves to other flights.
//!
//! In: a booking. Out: the changed booking, unless nothing of it is left. The booking is locked first, and its total
//! follows its segments in the same transaction. A segment that was flown is never given back.

use chrono::Duration;
use rand::RngExt;
use tokio_postgres::Error;

use super::airline::{Airline, Done};
use crate::reference::people::Person;

impl Airline {
    /// All passengers of a booking pay another price for one of its flights. Sometimes the new price equals the old
    /// one.
    pub(super) async fn change_price(&mut self) -> Result<Done, Error> {
        let Some(book_ref) = self.some_booking().await? else { return Ok(Done::Nothing) };
        if !self.lock_booking(&book_ref).await? {
            return Ok(Done::Nothing);
        }
        let flights = self
            .session
            .rows(
                "SELECT DISTINCT tf.flight_id
                 FROM public.tickets AS t
                 JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
                 WHERE t.book_ref = $1
                 ORDER BY tf.flight_id",
                &[&book_ref],
            )
            .await?;
        if flights.is_empty() {
            return Ok(Done::Nothing);
        }
        let flight_id: i32 = flights[self.rng.random_range(0..flights.len())].get(0);
        let percent: i32 = self.rng.random_range(85..120);
        self.session
            .change(
                "UPDATE public.ticket_flights AS tf
                 SET amount = greatest(round(tf.amount * $3::integer / 100, -2), 100)
                 FROM public.tickets AS t
                 WHERE t.book_ref = $1
                   AND tf.ticket_no = t.ticket_no
                   AND tf.flight_id = $2",
                &[&book_ref, &flight_id, &percent],
            )
            .await?;
        self.settle_total(&book_ref).await?;
        Ok(Done::Commit)
    }

    pub(super) async fn change_contact(&mut self) -> Result<Done, Error> {
        let Some(book_ref) = self.some_booking().await? else { return Ok(Done::Nothing) };
        let person = Person(self.rng.random());
        let changed = match self.rng.random_range(0..10) {
            0 => {
                self.session
                    .change(
                        "UPDATE public.tickets
                         SET contact_data = NULL
                         WHERE book_ref = $1",
                        &[&book_ref],
                    )
                    .await?
            }
            1 => {
                self.session
                    .change(
                        "UPDATE public.tickets
                         SET passenger_name = $2
                         WHERE ticket_no = (
                             SELECT min(ticket_no)
                             FROM public.tickets
                             WHERE book_ref = $1
                         )",
                        &[&book_ref, &person.name()],
                    )
                    .await?
            }
            _ => {
                self.session
                    .change(
                        "UPDATE public.tickets
                         SET contact_data = coalesce(contact_data, '{}')
                             || jsonb_build_object('email', $2::text)
                         WHERE book_ref = $1",
                        &[&book_ref, &person.email(1)],
                    )
                    .await?
            }
        };
        Ok(if changed == 0 { Done::Nothing } else { Done::Commit })
    }

    /// One ticket or the whole party gives back every segment that was not flown.
    pub(super) async fn refund(&mut self) -> Result<Done, Error> {
        let flight_id = match self.cancelled.pop() {
            Some(flight_id) => Some(flight_id),
            None => self
                .open_flight(Duration::minutes(30), Duration::days(20))
                .await?
                .map(|flight| flight.flight_id),
        };
        let Some(flight_id) = flight_id else { return Ok(Done::Nothing) };
        let Some(book_ref) = self.booking_on(flight_id).await? else { return Ok(Done::Nothing) };
        if !self.lock_booking(&book_ref).await? {
            return Ok(Done::Nothing);
        }
        let ticket_max: i64 = if self.rng.random_range(0..4) == 0 { 1 } else { i64::MAX };
        let tickets = self
            .session
            .rows(
                "SELECT ticket_no
                 FROM public.tickets
                 WHERE book_ref = $1
                 ORDER BY ticket_no
                 LIMIT $2",
                &[&book_ref, &ticket_max],
            )
            .await?;
        let ticket_nos: Vec<String> = tickets.iter().map(|row| row.get(0)).collect();
        let refunded = self.give_back(&ticket_nos).await?;
        if refunded == 0 {
            return Ok(Done::Nothing);
        }
        self.close_empty(&book_ref, &ticket_nos).await?;
        Ok(Done::Commit)
    }

    /// Deletes boarding passes and segments on flights that have not left. Returns the number of segments.
    async fn give_back(&mut self, ticket_nos: &[String]) -> Result<u64, Error> {
        let flights = self
            .session
            .rows(
                "SELECT flight_id
                 FROM public.flights
                 WHERE flight_id IN (
                     SELECT flight_id
                     FROM public.ticket_flights
                     WHERE ticket_no = ANY ($1)
                 )
                   AND status IN ('Scheduled', 'On Time', 'Delayed', 'Cancelled')
                 ORDER BY flight_id
                 FOR NO KEY UPDATE",
                &[&ticket_nos],
            )
            .await?;
        let flight_ids: Vec<i32> = flights.iter().map(|row| row.get(0)).collect();
        self.void_boarding(ticket_nos, &flight_ids).await?;
        self.session
            .change(
                "DELETE FROM public.ticket_flights
                 WHERE ticket_no = ANY ($1)
                   AND flight_id = ANY ($2)",
                &[&ticket_nos, &flight_ids],
            )
            .await
    }

    async fn void_boarding(
        &mut self,
        ticket_nos: &[String],
        flight_ids: &[i32],
    ) -> Result<(), Error> {
        self.session
            .change(
                "DELETE FROM public.boarding_passes
                 WHERE ticket_no = ANY ($1)
                   AND flight_id = ANY ($2)",
                &[&ticket_nos, &flight_ids],
            )
            .await?;
        Ok(())
    }

    /// Deletes tickets without segments, and the booking if it has no ticket left. Otherwise updates the booking's
    /// total.
    async fn close_empty(&mut self, book_ref: &str, ticket_nos: &[String]) -> Result<(), Error> {
        self.session
            .change(
                "DELETE FROM public.tickets AS t
                 WHERE t.ticket_no = ANY ($1)
                   AND NOT EXISTS (
                       SELECT
                       FROM public.ticket_flights AS tf
                       WHERE tf.ticket_no = t.ticket_no
                   )",
                &[&ticket_nos],
            )
            .await?;
        let closed = self
            .session
            .change(
                "DELETE FROM public.bookings AS b
                 WHERE b.book_ref = $1
                   AND NOT EXISTS (
                       SELECT
                       FROM public.tickets AS t
                       WHERE t.book_ref = b.book_ref
                   )",
                &[&book_ref],
            )
            .await?;
        if closed == 0 {
            self.settle_total(book_ref).await?;
        }
        Ok(())
    }

    /// A party moves to a later flight of the same route. The key of its segments changes, their price does not.
    pub(super) async fn rebook(&mut self) -> Result<Done, Error> {
        let Some(old) = self.open_flight(Duration::minutes(30), Duration::days(20)).await? else {
            return Ok(Done::Nothing);
        };
        let Some(book_ref) = self.booking_on(old.flight_id).await? else {
            return Ok(Done::Nothing);
        };
        let later = self
            .session
            .first(
                "SELECT flight_id
                 FROM public.flights
                 WHERE departure_airport = $1
                   AND scheduled_departure > $2
                   AND arrival_airport = $3
                   AND status IN ('Scheduled', 'On Time', 'Delayed')
                 ORDER BY scheduled_departure, flight_id
                 LIMIT 1",
                &[&old.from, &old.departs, &old.to],
            )
            .await?;
        let Some(later) = later else { return Ok(Done::Nothing) };
        let new_id: i32 = later.get(0);
        if !self.lock_booking(&book_ref).await?
            || self.lock_open_flights(&[old.flight_id, new_id]).await?.len() < 2
        {
            return Ok(Done::Nothing);
        }
        self.move_party(&book_ref, old.flight_id, new_id).await
    }

    async fn move_party(
        &mut self,
        book_ref: &str,
        old_id: i32,
        new_id: i32,
    ) -> Result<Done, Error> {
        // A passenger who already has a segment on the later flight stays, because a ticket has one segment on a flight
        // at most.
        let segments = self
            .session
            .rows(
                "SELECT tf.ticket_no, tf.fare_conditions
                 FROM public.tickets AS t
                 JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
                 WHERE t.book_ref = $1
                   AND tf.flight_id = $2
                   AND NOT EXISTS (
                       SELECT
                       FROM public.ticket_flights AS taken
                       WHERE taken.ticket_no = tf.ticket_no
                         AND taken.flight_id = $3
                   )
                 ORDER BY tf.ticket_no",
                &[&book_ref, &old_id, &new_id],
            )
            .await?;
        let Some(first) = segments.first() else { return Ok(Done::Nothing) };
        let fare: String = first.get(1);
        let party = i64::try_from(segments.len()).unwrap_or(i64::MAX);
        if self.free_seats(new_id, &fare).await? < party {
            return Ok(Done::Nothing);
        }
        let ticket_nos: Vec<String> = segments.iter().map(|row| row.get(0)).collect();
        self.void_boarding(&ticket_nos, &[old_id]).await?;
        self.session
            .change(
                "UPDATE public.ticket_flights
                 SET flight_id = $3
                 WHERE ticket_no = ANY ($1)
                   AND flight_id = $2",
                &[&ticket_nos, &old_id, &new_id],
            )
            .await?;
        Ok(Done::Commit)
    }
}
