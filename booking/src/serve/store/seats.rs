//! The seats of a flight: which are free, and who gets which.
//!
//! In: a flight, a class, wishes. Out: seats. What is taken: a seat that the service has given to a segment which still
//! exists, and a seat on a boarding pass. The flight is locked before a seat is given, and the primary key of
//! `service.seat_assignments` has the last word, whoever forgot to lock.

use std::collections::HashSet;

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::field::Fare;
use super::super::model::{Seat, SeatMap};
use super::super::problem::{Kind, Problem};
use super::super::work::{Failure, Mode, Work};
use super::flights;

/// The seat map of a flight.
#[derive(Debug)]
pub(crate) struct SeatMapOf {
    pub(crate) flight_id: i32,
}

impl Work for SeatMapOf {
    type Output = Option<SeatMap>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<SeatMap>, Failure> {
        let Some(flight) = flights::one(tx, self.flight_id).await? else { return Ok(None) };
        Ok(Some(SeatMap {
            flight_id: flight.flight_id,
            aircraft_code: flight.aircraft_code,
            offers: flight.offers,
            seats: seats(tx, self.flight_id, None).await?,
        }))
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// The seats of a flight, or those of a class, by row and letter.
async fn seats(
    tx: &Transaction<'_>,
    flight_id: i32,
    fare: Option<Fare>,
) -> Result<Vec<Seat>, Failure> {
    let rows = tx
        .query_typed(
            "WITH taken AS (
                 SELECT bp.seat_no
                 FROM public.boarding_passes AS bp
                 WHERE bp.flight_id = $1
                 UNION
                 SELECT sa.seat_no
                 FROM service.seat_assignments AS sa
                 JOIN public.ticket_flights AS tf
                     ON tf.ticket_no = sa.ticket_no
                     AND tf.flight_id = sa.flight_id
                 WHERE sa.flight_id = $1
             )
             SELECT
                 s.seat_no,
                 s.fare_conditions,
                 NOT EXISTS (
                     SELECT
                     FROM taken AS t
                     WHERE t.seat_no = s.seat_no
                 )
             FROM public.flights AS f
             JOIN public.seats AS s ON s.aircraft_code = f.aircraft_code
             WHERE f.flight_id = $1
               AND ($2::text IS NULL OR s.fare_conditions = $2)
             ORDER BY lpad(s.seat_no, 4, '0')",
            &[(&flight_id, Type::INT4), (&fare.map(Fare::as_str), Type::TEXT)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Seat {
            seat_no: row.get(0),
            fare: Fare::of_column(row.get(1)),
            is_free: row.get(2),
        })
        .collect())
}

/// Who wants to sit where: a ticket, perhaps a seat, and the field in which the seat was named.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) ticket_no: &'a str,
    pub(crate) seat_no: Option<&'a str>,
    pub(crate) field: String,
}

/// Gives each ticket a seat of a class on a locked flight: the wanted one, or the first that is free.
pub(crate) async fn give(
    tx: &Transaction<'_>,
    flight_id: i32,
    fare: Fare,
    wishes: &[Wish<'_>],
) -> Result<(), Failure> {
    forget_the_gone(tx, flight_id).await?;
    let seats = seats(tx, flight_id, Some(fare)).await?;
    let wanted: HashSet<&str> = wishes.iter().filter_map(|wish| wish.seat_no).collect();
    let mut others = seats
        .iter()
        .filter(|seat| seat.is_free && !wanted.contains(seat.seat_no.as_str()))
        .map(|seat| seat.seat_no.as_str());
    let (mut ticket_nos, mut seat_nos) = (Vec::new(), Vec::new());
    for wish in wishes {
        let given = match wish.seat_no {
            Some(seat_no) => {
                free_seat(&seats, seat_no, fare, &wish.field)?;
                seat_no
            }
            None => others.next().ok_or_else(|| sold_out(flight_id, fare))?,
        };
        ticket_nos.push(wish.ticket_no);
        seat_nos.push(given);
    }
    assign(tx, flight_id, &ticket_nos, &seat_nos).await
}

/// Refuses a seat that is none of the class, or that is taken.
fn free_seat(seats: &[Seat], seat_no: &str, fare: Fare, field: &str) -> Result<(), Problem> {
    let seat = seats.iter().find(|seat| seat.seat_no == seat_no).ok_or_else(|| {
        let reason = format!("is no {} seat of this flight: see its seat map", fare.as_str());
        Problem::field(field, reason)
    })?;
    if seat.is_free { Ok(()) } else { Err(seat_taken()) }
}

/// Writes seats down. Whoever was faster keeps the seat.
async fn assign(
    tx: &Transaction<'_>,
    flight_id: i32,
    ticket_nos: &[&str],
    seat_nos: &[&str],
) -> Result<(), Failure> {
    let assigned = tx
        .execute_typed(
            "INSERT INTO service.seat_assignments (flight_id, seat_no, ticket_no)
             SELECT $1, w.seat_no, w.ticket_no
             FROM unnest($2::text[], $3::text[]) AS w (ticket_no, seat_no)
             ON CONFLICT DO NOTHING",
            &[
                (&flight_id, Type::INT4),
                (&ticket_nos, Type::TEXT_ARRAY),
                (&seat_nos, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    if usize::try_from(assigned) == Ok(ticket_nos.len()) {
        return Ok(());
    }
    Err(seat_taken().into())
}

/// Takes seats back.
pub(crate) async fn take_back(
    tx: &Transaction<'_>,
    flight_id: i32,
    ticket_no: &str,
) -> Result<(), Failure> {
    tx.execute_typed(
        "DELETE FROM service.seat_assignments
         WHERE flight_id = $1
           AND ticket_no = $2",
        &[(&flight_id, Type::INT4), (&ticket_no, Type::BPCHAR)],
    )
    .await?;
    Ok(())
}

/// Removes the seats of segments that the airline has refunded or moved.
async fn forget_the_gone(tx: &Transaction<'_>, flight_id: i32) -> Result<(), Failure> {
    tx.execute_typed(
        "DELETE FROM service.seat_assignments AS sa
         WHERE sa.flight_id = $1
           AND NOT EXISTS (
               SELECT
               FROM public.ticket_flights AS tf
               WHERE tf.ticket_no = sa.ticket_no
                 AND tf.flight_id = sa.flight_id
           )",
        &[(&flight_id, Type::INT4)],
    )
    .await?;
    Ok(())
}

fn seat_taken() -> Problem {
    Problem::new(Kind::SeatTaken, "the seat was given to somebody else: choose another one")
}

/// The class has no seat left.
pub(crate) fn sold_out(flight_id: i32, fare: Fare) -> Problem {
    let class = fare.as_str();
    Problem::new(Kind::SoldOut, format!("{class} of flight {flight_id} has not enough seats left"))
}
