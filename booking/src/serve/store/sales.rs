//! Selling: a booking of several passengers on several flights, in one transaction.
//!
//! In: passengers and segments. Out: the booking. Order: look at the flights without a lock, so that a flight that is
//! sold out refuses thousands at little cost; lock all flights in the order of their ids; look again; write. The total
//! is the sum of the segments from the first moment.

use chrono::{DateTime, Utc};
use rand::RngExt;
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::field::Fare;
use super::super::problem::{Kind, Problem};
use super::super::touched::{self, RouteDay};
use super::super::work::Failure;
use super::flights::price;
use super::seats::{Wish, give, sold_out};
use crate::tables::FREE_SEATS;

/// A passenger.
#[derive(Clone)]
pub(crate) struct Traveller {
    pub(crate) document: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
}

/// A flight for all passengers.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) flight_id: i32,
    pub(crate) fare: Fare,
    /// A wish for each passenger, or nothing.
    pub(crate) seats: Vec<Option<String>>,
}

/// What is to be sold.
pub(crate) struct Sale {
    pub(crate) travellers: Vec<Traveller>,
    pub(crate) segments: Vec<Segment>,
}

/// A flight as a seller sees it.
#[derive(Debug)]
pub(crate) struct OpenFlight {
    pub(crate) flight_id: i32,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) departs: DateTime<Utc>,
    pub(crate) arrives: DateTime<Utc>,
    pub(crate) status: String,
}

impl OpenFlight {
    pub(crate) fn price(&self, fare: Fare) -> i64 {
        price((self.arrives - self.departs).num_minutes(), fare)
    }

    /// Refuses a flight that has left or will not leave.
    pub(crate) fn check_open(&self, now: DateTime<Utc>) -> Result<(), Problem> {
        let open = matches!(self.status.as_str(), "Scheduled" | "On Time" | "Delayed");
        if open && self.departs > now {
            return Ok(());
        }
        let detail = format!("flight {} is not sold any more", self.flight_id);
        Err(Problem::new(Kind::FlightClosed, detail))
    }
}

/// Sells, and gives the booking's reference.
pub(crate) async fn sell(
    tx: &Transaction<'_>,
    account_id: i64,
    sale: &Sale,
) -> Result<String, Failure> {
    let party = i64::try_from(sale.travellers.len()).unwrap_or(i64::MAX);
    let ids: Vec<i32> = sale.segments.iter().map(|segment| segment.flight_id).collect();
    check_known(&flights(tx, &ids).await?, &sale.segments)?;
    check_room(tx, &sale.segments, party).await?;
    lock(tx, &ids).await?;
    // What was read before the lock may be old.
    let flights = flights(tx, &ids).await?;
    check_known(&flights, &sale.segments)?;
    let now = Utc::now();
    for flight in &flights {
        flight.check_open(now)?;
    }
    check_order(&flights, &sale.segments)?;
    check_room(tx, &sale.segments, party).await?;
    let prices: Vec<i64> = sale
        .segments
        .iter()
        .map(|segment| {
            find(&flights, segment.flight_id).map_or(0, |flight| flight.price(segment.fare))
        })
        .collect();
    let book_ref = insert_booking(tx, account_id, now, prices.iter().sum::<i64>() * party).await?;
    let ticket_nos = insert_tickets(tx, &book_ref, &sale.travellers).await?;
    for (at, (segment, price)) in sale.segments.iter().zip(&prices).enumerate() {
        insert_segments(tx, &ticket_nos, segment.flight_id, segment.fare, *price).await?;
        give(tx, segment.flight_id, segment.fare, &wishes(at, segment, &ticket_nos)).await?;
    }
    Ok(book_ref)
}

fn wishes<'a>(at: usize, segment: &'a Segment, ticket_nos: &'a [String]) -> Vec<Wish<'a>> {
    ticket_nos
        .iter()
        .enumerate()
        .map(|(passenger, ticket_no)| Wish {
            ticket_no,
            seat_no: segment.seats.get(passenger).and_then(|seat| seat.as_deref()),
            field: format!("/segments/{at}/seats/{passenger}"),
        })
        .collect()
}

/// Flights as they are now, noted as those that are about to change.
pub(crate) async fn flights(tx: &Transaction<'_>, ids: &[i32]) -> Result<Vec<OpenFlight>, Failure> {
    let rows = tx
        .query_typed(
            "SELECT flight_id, departure_airport, arrival_airport, scheduled_departure,
                    scheduled_arrival, status
             FROM public.flights
             WHERE flight_id = ANY ($1)
             ORDER BY flight_id",
            &[(&ids, Type::INT4_ARRAY)],
        )
        .await?;
    let flights: Vec<_> = rows
        .iter()
        .map(|row| OpenFlight {
            flight_id: row.get(0),
            from: row.get(1),
            to: row.get(2),
            departs: row.get(3),
            arrives: row.get(4),
            status: row.get(5),
        })
        .collect();
    touched::note(flights.iter().map(|flight| RouteDay {
        from: flight.from.clone(),
        to: flight.to.clone(),
        day: flight.departs.date_naive(),
    }));
    Ok(flights)
}

/// Locks flights until the end of the transaction.
pub(crate) async fn lock(tx: &Transaction<'_>, ids: &[i32]) -> Result<(), Failure> {
    tx.execute_typed("SELECT service.lock_flights($1)", &[(&ids, Type::INT4_ARRAY)]).await?;
    Ok(())
}

pub(crate) fn find(flights: &[OpenFlight], flight_id: i32) -> Option<&OpenFlight> {
    flights.iter().find(|flight| flight.flight_id == flight_id)
}

fn check_known(flights: &[OpenFlight], segments: &[Segment]) -> Result<(), Problem> {
    for (at, segment) in segments.iter().enumerate() {
        if find(flights, segment.flight_id).is_none() {
            return Err(Problem::field(format!("/segments/{at}/flight_id"), "is no flight"));
        }
    }
    Ok(())
}

/// Nobody sits in two aircraft at a time.
fn check_order(flights: &[OpenFlight], segments: &[Segment]) -> Result<(), Problem> {
    let mut in_time: Vec<_> = flights.iter().collect();
    in_time.sort_by_key(|flight| flight.departs);
    for pair in in_time.windows(2) {
        if pair[1].departs < pair[0].arrives {
            let at = segments.iter().position(|segment| segment.flight_id == pair[1].flight_id);
            let field = format!("/segments/{}/flight_id", at.unwrap_or_default());
            return Err(Problem::field(
                field,
                "departs before another flight of the booking lands",
            ));
        }
    }
    Ok(())
}

async fn check_room(tx: &Transaction<'_>, segments: &[Segment], party: i64) -> Result<(), Failure> {
    for segment in segments {
        if free_seats(tx, segment.flight_id, segment.fare).await? < party {
            return Err(sold_out(segment.flight_id, segment.fare).into());
        }
    }
    Ok(())
}

/// Seats of a class that are not sold. The number holds only while the flight is locked.
pub(crate) async fn free_seats(
    tx: &Transaction<'_>,
    flight_id: i32,
    fare: Fare,
) -> Result<i64, Failure> {
    let row = tx
        .query_typed_one(FREE_SEATS, &[(&flight_id, Type::INT4), (&fare.as_str(), Type::TEXT)])
        .await?;
    Ok(row.get(0))
}

async fn insert_booking(
    tx: &Transaction<'_>,
    account_id: i64,
    now: DateTime<Utc>,
    total_kopecks: i64,
) -> Result<String, Failure> {
    let book_ref = format!("{:06X}", rand::rng().random_range(0..1 << 24));
    let inserted = tx
        .execute_typed(
            "INSERT INTO public.bookings (book_ref, book_date, total_amount)
             VALUES ($1, $2, $3 / 100.0)
             ON CONFLICT DO NOTHING",
            &[(&book_ref, Type::BPCHAR), (&now, Type::TIMESTAMPTZ), (&total_kopecks, Type::INT8)],
        )
        .await?;
    if inserted == 0 {
        return Err(Failure::Again);
    }
    tx.execute_typed(
        "INSERT INTO service.orders (book_ref, book_date, account_id)
         VALUES ($1, $2, $3)",
        &[(&book_ref, Type::BPCHAR), (&now, Type::TIMESTAMPTZ), (&account_id, Type::INT8)],
    )
    .await?;
    Ok(book_ref)
}

async fn insert_tickets(
    tx: &Transaction<'_>,
    book_ref: &str,
    travellers: &[Traveller],
) -> Result<Vec<String>, Failure> {
    let ticket_nos: Vec<String> = {
        let mut rng = rand::rng();
        let number = |_: &Traveller| format!("0007{:09}", rng.random_range(0..1_000_000_000));
        travellers.iter().map(number).collect()
    };
    let column = |of: fn(&Traveller) -> &str| travellers.iter().map(of).collect::<Vec<_>>();
    let optional =
        |of: fn(&Traveller) -> Option<&str>| travellers.iter().map(of).collect::<Vec<_>>();
    let inserted = tx
        .execute_typed(
            "INSERT INTO public.tickets
                 (ticket_no, book_ref, passenger_id, passenger_name, contact_data)
             SELECT
                 t.ticket_no,
                 $1,
                 t.document,
                 t.name,
                 nullif(jsonb_strip_nulls(jsonb_build_object('phone', t.phone, 'email', t.email)), '{}')
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
                 AS t (ticket_no, document, name, phone, email)
             ON CONFLICT DO NOTHING",
            &[
                (&book_ref, Type::BPCHAR),
                (&ticket_nos, Type::TEXT_ARRAY),
                (&column(|traveller| &traveller.document), Type::TEXT_ARRAY),
                (&column(|traveller| &traveller.name), Type::TEXT_ARRAY),
                (&optional(|traveller| traveller.phone.as_deref()), Type::TEXT_ARRAY),
                (&optional(|traveller| traveller.email.as_deref()), Type::TEXT_ARRAY),
            ],
        )
        .await?;
    if usize::try_from(inserted) == Ok(travellers.len()) {
        Ok(ticket_nos)
    } else {
        Err(Failure::Again)
    }
}

/// Puts tickets on a flight.
pub(crate) async fn insert_segments(
    tx: &Transaction<'_>,
    ticket_nos: &[String],
    flight_id: i32,
    fare: Fare,
    price_kopecks: i64,
) -> Result<(), Failure> {
    tx.execute_typed(
        "INSERT INTO public.ticket_flights (ticket_no, flight_id, fare_conditions, amount)
         SELECT t.ticket_no, $2, $3, $4 / 100.0
         FROM unnest($1::text[]) AS t (ticket_no)
         ORDER BY t.ticket_no",
        &[
            (&ticket_nos, Type::TEXT_ARRAY),
            (&flight_id, Type::INT4),
            (&fare.as_str(), Type::TEXT),
            (&price_kopecks, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}
