//! Bookings: reading them, locking them, and what is the same for every change of them.
//!
//! In: who asks, and for which booking. Out: the booking as its owner sees it. A booking of somebody else is not there.
//! A booking that the airline has refunded as a whole is cancelled, as one that its owner has cancelled.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::field::Fare;
use super::super::model::{Booking, BookingStatus, BookingSummary, Item, Passenger, time};
use super::super::problem::Problem;
use super::super::work::{Failure, Mode, Work};

/// Where a page of bookings begins: the date in microseconds and the reference of the booking before it.
pub(crate) type BookingKey = (i64, String);

/// A page of an account's bookings, newest first, with one more than the limit.
#[derive(Debug)]
pub(crate) struct Bookings {
    pub(crate) account_id: i64,
    pub(crate) before: Option<(DateTime<Utc>, String)>,
    pub(crate) limit: i64,
}

impl Work for Bookings {
    type Output = Vec<(BookingKey, BookingSummary)>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Output, Failure> {
        let (at, book_ref) = match &self.before {
            Some((at, book_ref)) => (Some(*at), book_ref.as_str()),
            None => (None, ""),
        };
        let rows = tx
            .query_typed(
                "SELECT o.book_ref, o.book_date, coalesce(b.total_amount, 0.00)::text, b.book_ref IS NOT NULL
                 FROM service.orders AS o
                 LEFT JOIN public.bookings AS b
                     ON b.book_ref = o.book_ref
                     AND b.book_date = o.book_date
                 WHERE o.account_id = $1
                   AND ($2::timestamptz IS NULL OR (o.book_date, o.book_ref) < ($2, $3))
                 ORDER BY o.book_date DESC, o.book_ref DESC
                 LIMIT $4",
                &[
                    (&self.account_id, Type::INT8),
                    (&at, Type::TIMESTAMPTZ),
                    (&book_ref, Type::BPCHAR),
                    (&(self.limit + 1), Type::INT8),
                ],
            )
            .await?;
        Ok(rows.iter().map(summary).collect())
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

fn summary(row: &Row) -> (BookingKey, BookingSummary) {
    let (book_ref, booked_at): (String, DateTime<Utc>) = (row.get(0), row.get(1));
    let summary = BookingSummary {
        book_ref: book_ref.clone(),
        booked_at: time(booked_at),
        status: status(row.get(3)),
        total_amount: row.get(2),
    };
    ((booked_at.timestamp_micros(), book_ref), summary)
}

const fn status(is_there: bool) -> BookingStatus {
    if is_there { BookingStatus::Active } else { BookingStatus::Cancelled }
}

/// One booking of an account.
#[derive(Debug)]
pub(crate) struct OneBooking {
    pub(crate) account_id: i64,
    pub(crate) book_ref: String,
}

impl Work for OneBooking {
    type Output = Option<Booking>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Option<Booking>, Failure> {
        read(tx, self.account_id, &self.book_ref).await
    }

    fn mode(&self) -> Mode {
        Mode::Read
    }
}

/// Locks a booking, so that its segments and its total change together, and reads it.
pub(crate) async fn lock(
    tx: &Transaction<'_>,
    account_id: i64,
    book_ref: &str,
) -> Result<Booking, Failure> {
    tx.execute_typed(
        "SELECT FROM public.bookings
         WHERE book_ref = $1
         FOR UPDATE",
        &[(&book_ref, Type::BPCHAR)],
    )
    .await?;
    let booking = read(tx, account_id, book_ref).await?;
    booking.ok_or_else(|| Problem::not_found("booking").into())
}

/// A booking of an account.
pub(crate) async fn read(
    tx: &Transaction<'_>,
    account_id: i64,
    book_ref: &str,
) -> Result<Option<Booking>, Failure> {
    let row = tx
        .query_typed_opt(
            "SELECT o.book_date, coalesce(b.total_amount, 0.00)::text, b.book_ref IS NOT NULL
             FROM service.orders AS o
             LEFT JOIN public.bookings AS b
                 ON b.book_ref = o.book_ref
                 AND b.book_date = o.book_date
             WHERE o.book_ref = $1
               AND o.account_id = $2
             ORDER BY o.book_date DESC
             LIMIT 1",
            &[(&book_ref, Type::BPCHAR), (&account_id, Type::INT8)],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut booking = Booking {
        book_ref: book_ref.to_owned(),
        booked_at: time(row.get(0)),
        status: status(row.get(2)),
        total_amount: row.get(1),
        passengers: Vec::new(),
        items: Vec::new(),
    };
    if booking.status == BookingStatus::Active {
        booking.passengers = passengers(tx, book_ref).await?;
        booking.items = items(tx, book_ref).await?;
    }
    Ok(Some(booking))
}

async fn passengers(tx: &Transaction<'_>, book_ref: &str) -> Result<Vec<Passenger>, Failure> {
    let rows = tx
        .query_typed(
            "SELECT ticket_no, passenger_id, passenger_name, contact_data ->> 'email',
                    contact_data ->> 'phone'
             FROM public.tickets
             WHERE book_ref = $1
             ORDER BY ticket_no",
            &[(&book_ref, Type::BPCHAR)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Passenger {
            ticket_no: row.get(0),
            document: row.get(1),
            name: row.get(2),
            email: row.get(3),
            phone: row.get(4),
        })
        .collect())
}

async fn items(tx: &Transaction<'_>, book_ref: &str) -> Result<Vec<Item>, Failure> {
    let rows = tx
        .query_typed(
            "SELECT tf.ticket_no, tf.flight_id, f.flight_no, f.departure_airport, f.arrival_airport,
                    f.scheduled_departure, f.scheduled_arrival, f.status, tf.fare_conditions,
                    tf.amount::text, coalesce(bp.seat_no, sa.seat_no), bp.boarding_no
             FROM public.tickets AS t
             JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
             JOIN public.flights AS f ON f.flight_id = tf.flight_id
             LEFT JOIN public.boarding_passes AS bp
                 ON bp.ticket_no = tf.ticket_no
                 AND bp.flight_id = tf.flight_id
             LEFT JOIN service.seat_assignments AS sa
                 ON sa.ticket_no = tf.ticket_no
                 AND sa.flight_id = tf.flight_id
             WHERE t.book_ref = $1
             ORDER BY f.scheduled_departure, tf.flight_id, tf.ticket_no",
            &[(&book_ref, Type::BPCHAR)],
        )
        .await?;
    Ok(rows.iter().map(item).collect())
}

fn item(row: &Row) -> Item {
    let (ticket_no, flight_id): (String, i32) = (row.get(0), row.get(1));
    Item {
        item_id: format!("{ticket_no}-{flight_id}"),
        ticket_no,
        flight_id,
        flight_no: row.get(2),
        departure_airport: row.get(3),
        arrival_airport: row.get(4),
        scheduled_departure: time(row.get(5)),
        scheduled_arrival: time(row.get(6)),
        flight_status: row.get(7),
        fare: Fare::of_column(row.get(8)),
        amount: row.get(9),
        seat_no: row.get(10),
        boarding_no: row.get(11),
    }
}

/// Changes a passenger of a locked booking. What is `None` stays.
pub(crate) async fn change_passenger(
    tx: &Transaction<'_>,
    ticket_no: &str,
    name: Option<&str>,
    email: Option<Option<&str>>,
    phone: Option<Option<&str>>,
) -> Result<(), Failure> {
    tx.execute_typed(
        "UPDATE public.tickets
         SET passenger_name = coalesce($2, passenger_name),
             contact_data = nullif(
                 jsonb_strip_nulls(
                     coalesce(contact_data, '{}')
                         || CASE WHEN $3 THEN jsonb_build_object('email', $4::text) ELSE '{}' END
                         || CASE WHEN $5 THEN jsonb_build_object('phone', $6::text) ELSE '{}' END
                 ),
                 '{}'
             )
         WHERE ticket_no = $1",
        &[
            (&ticket_no, Type::BPCHAR),
            (&name, Type::TEXT),
            (&email.is_some(), Type::BOOL),
            (&email.flatten(), Type::TEXT),
            (&phone.is_some(), Type::BOOL),
            (&phone.flatten(), Type::TEXT),
        ],
    )
    .await?;
    Ok(())
}

/// Deletes segments of a locked booking with their seats and boarding passes, then tickets without a segment, then the
/// booking if it has no ticket. Otherwise its total follows.
pub(crate) async fn give_back(
    tx: &Transaction<'_>,
    booking: &Booking,
    items: &[&Item],
) -> Result<(), Failure> {
    let ticket_nos: Vec<&str> = items.iter().map(|item| item.ticket_no.as_str()).collect();
    let flight_ids: Vec<i32> = items.iter().map(|item| item.flight_id).collect();
    for table in ["public.boarding_passes", "service.seat_assignments", "public.ticket_flights"] {
        tx.execute_typed(
            &format!(
                "DELETE FROM {table} AS gone
                 USING unnest($1::bpchar[], $2::integer[]) AS item (ticket_no, flight_id)
                 WHERE gone.ticket_no = item.ticket_no
                   AND gone.flight_id = item.flight_id"
            ),
            &[(&ticket_nos, Type::BPCHAR_ARRAY), (&flight_ids, Type::INT4_ARRAY)],
        )
        .await?;
    }
    tx.execute_typed(
        "DELETE FROM public.tickets AS t
         WHERE t.book_ref = $1
           AND NOT EXISTS (
               SELECT
               FROM public.ticket_flights AS tf
               WHERE tf.ticket_no = t.ticket_no
           )",
        &[(&booking.book_ref, Type::BPCHAR)],
    )
    .await?;
    let closed = tx
        .query_typed_opt(
            "DELETE FROM public.bookings AS b
             WHERE b.book_ref = $1
               AND NOT EXISTS (
                   SELECT
                   FROM public.tickets AS t
                   WHERE t.book_ref = b.book_ref
               )
             RETURNING b.book_date",
            &[(&booking.book_ref, Type::BPCHAR)],
        )
        .await?;
    match closed {
        Some(row) => close(tx, &booking.book_ref, row.get(0)).await,
        None => settle_total(tx, &booking.book_ref).await,
    }
}

async fn close(
    tx: &Transaction<'_>,
    book_ref: &str,
    book_date: DateTime<Utc>,
) -> Result<(), Failure> {
    tx.execute_typed(
        "UPDATE service.orders
         SET cancelled_at = now()
         WHERE book_ref = $1
           AND book_date = $2",
        &[(&book_ref, Type::BPCHAR), (&book_date, Type::TIMESTAMPTZ)],
    )
    .await?;
    Ok(())
}

/// Sets a locked booking's total to the sum of its segments.
pub(crate) async fn settle_total(tx: &Transaction<'_>, book_ref: &str) -> Result<(), Failure> {
    tx.execute_typed(
        "UPDATE public.bookings
         SET total_amount = (
             SELECT coalesce(sum(tf.amount), 0)
             FROM public.tickets AS t
             JOIN public.ticket_flights AS tf ON tf.ticket_no = t.ticket_no
             WHERE t.book_ref = $1
         )
         WHERE book_ref = $1",
        &[(&book_ref, Type::BPCHAR)],
    )
    .await?;
    Ok(())
}
