//! Items: one passenger on one flight, changed, given back or checked in.
//!
//! In: a locked booking and one of its items. Out: the changed rows. An item that was flown never changes. An item with
//! a boarding pass can be given back and not be changed. The simulator locks the flight and not the booking when it
//! boards, so a boarding pass is looked for again once the flight is locked.

use chrono::{Duration, Utc};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::field::Fare;
use super::super::model::{Booking, Item};
use super::super::problem::{Kind, Problem};
use super::super::work::Failure;
use super::bookings::{give_back, settle_total};
use super::sales::{OpenFlight, find, flights, free_seats, insert_segments, lock};
use super::seats::{Wish, give, sold_out, take_back};

/// How long before its departure a flight can be checked in.
const CHECK_IN_OPENS: Duration = Duration::hours(24);

/// What of an item is to change. What is `None` stays.
#[derive(Debug)]
pub(crate) struct NewItem {
    pub(crate) flight_id: Option<i32>,
    pub(crate) fare: Option<Fare>,
    pub(crate) seat_no: Option<String>,
}

/// The item of this name.
pub(crate) fn find_item<'a>(
    booking: &'a Booking,
    ticket_no: &str,
    flight_id: i32,
) -> Result<&'a Item, Problem> {
    let named = |item: &&Item| item.ticket_no == ticket_no && item.flight_id == flight_id;
    booking.items.iter().find(named).ok_or_else(|| Problem::not_found("item"))
}

/// Gives items back. Their flights are locked, and none of them has left.
pub(crate) async fn cancel(
    tx: &Transaction<'_>,
    booking: &Booking,
    items: &[&Item],
) -> Result<(), Failure> {
    let ids: Vec<i32> = items.iter().map(|item| item.flight_id).collect();
    lock(tx, &ids).await?;
    for flight in flights(tx, &ids).await? {
        if matches!(flight.status.as_str(), "Departed" | "Arrived") {
            let detail = format!("flight {} has left, so it is not given back", flight.flight_id);
            return Err(Problem::new(Kind::NotChangeable, detail).into());
        }
    }
    give_back(tx, booking, items).await
}

/// Changes an item.
pub(crate) async fn change(
    tx: &Transaction<'_>,
    booking: &Booking,
    item: &Item,
    new: &NewItem,
) -> Result<(), Failure> {
    if item.boarding_no.is_some() {
        return Err(checked_in().into());
    }
    let flight_id = new.flight_id.unwrap_or(item.flight_id);
    let fare = new.fare.unwrap_or(item.fare);
    let ids = [item.flight_id, flight_id];
    lock(tx, &ids).await?;
    if has_boarding_pass(tx, item).await? {
        return Err(checked_in().into());
    }
    let flights = flights(tx, &ids).await?;
    let gone = || Problem::field("/flight_id", "is no flight");
    let to = find(&flights, flight_id).ok_or_else(gone)?;
    let from = find(&flights, item.flight_id).ok_or_else(gone)?;
    for flight in &flights {
        flight.check_open(Utc::now())?;
    }
    if flight_id != item.flight_id {
        check_flight(booking, item, from, to)?;
    }
    if (flight_id, fare) != (item.flight_id, item.fare) {
        if free_seats(tx, flight_id, fare).await? < 1 {
            return Err(sold_out(flight_id, fare).into());
        }
        replace(tx, item, to, fare).await?;
        settle_total(tx, &booking.book_ref).await?;
    } else if new.seat_no.is_none() || new.seat_no == item.seat_no {
        return Ok(());
    }
    take_back(tx, item.flight_id, &item.ticket_no).await?;
    let seat_no = new.seat_no.as_deref();
    let wish = Wish { ticket_no: &item.ticket_no, seat_no, field: "/seat_no".to_owned() };
    give(tx, flight_id, fare, &[wish]).await
}

/// Whether the passenger is checked in now. The answer holds while the flight is locked.
async fn has_boarding_pass(tx: &Transaction<'_>, item: &Item) -> Result<bool, Failure> {
    let row = tx
        .query_typed_one(
            "SELECT EXISTS (
                 SELECT
                 FROM public.boarding_passes
                 WHERE ticket_no = $1
                   AND flight_id = $2
             )",
            &[(&item.ticket_no, Type::BPCHAR), (&item.flight_id, Type::INT4)],
        )
        .await?;
    Ok(row.get(0))
}

fn checked_in() -> Problem {
    let detail = "the passenger is checked in: a boarding pass is not changed";
    Problem::new(Kind::NotChangeable, detail)
}

/// The new flight has the same route, and the passenger can be on it.
fn check_flight(
    booking: &Booking,
    item: &Item,
    from: &OpenFlight,
    to: &OpenFlight,
) -> Result<(), Problem> {
    if (&to.from, &to.to) != (&from.from, &from.to) {
        return Err(Problem::field("/flight_id", "is a flight of another route"));
    }
    let parse = |text: &str| text.parse::<chrono::DateTime<Utc>>().unwrap_or_default();
    let meets = |other: &&Item| {
        other.ticket_no == item.ticket_no
            && other.flight_id != item.flight_id
            && parse(&other.scheduled_departure) < to.arrives
            && to.departs < parse(&other.scheduled_arrival)
    };
    if booking.items.iter().any(|other| meets(&other)) {
        let reason = "is in the air at the time of another flight of this passenger";
        return Err(Problem::field("/flight_id", reason));
    }
    Ok(())
}

/// Another segment in place of the old one: its key changes.
async fn replace(
    tx: &Transaction<'_>,
    item: &Item,
    to: &OpenFlight,
    fare: Fare,
) -> Result<(), Failure> {
    tx.execute_typed(
        "DELETE FROM public.ticket_flights
         WHERE ticket_no = $1
           AND flight_id = $2",
        &[(&item.ticket_no, Type::BPCHAR), (&item.flight_id, Type::INT4)],
    )
    .await?;
    let ticket_nos = std::slice::from_ref(&item.ticket_no);
    insert_segments(tx, ticket_nos, to.flight_id, fare, to.price(fare)).await
}

/// Checks in: gives a boarding pass for the seat of the item. Returns whether there was none before.
pub(crate) async fn check_in(tx: &Transaction<'_>, item: &Item) -> Result<bool, Failure> {
    if item.boarding_no.is_some() {
        return Ok(false);
    }
    lock(tx, &[item.flight_id]).await?;
    if has_boarding_pass(tx, item).await? {
        return Ok(false);
    }
    let flights = flights(tx, &[item.flight_id]).await?;
    let flight = find(&flights, item.flight_id).ok_or_else(|| Problem::not_found("flight"))?;
    let now = Utc::now();
    flight.check_open(now)?;
    if flight.departs - now > CHECK_IN_OPENS {
        let detail =
            format!("check-in of flight {} opens 24 h before it departs", flight.flight_id);
        return Err(Problem::new(Kind::FlightClosed, detail).into());
    }
    if issue(tx, item).await? {
        return Ok(true);
    }
    // The airline has moved the passenger, swapped the aircraft, or given the seat to somebody else: another seat.
    take_back(tx, item.flight_id, &item.ticket_no).await?;
    let wish = Wish { ticket_no: &item.ticket_no, seat_no: None, field: String::new() };
    give(tx, item.flight_id, item.fare, &[wish]).await?;
    if issue(tx, item).await? {
        return Ok(true);
    }
    Err(sold_out(item.flight_id, item.fare).into())
}

/// Writes a boarding pass for the seat that the item has, if it is a seat of the aircraft and nobody else's.
async fn issue(tx: &Transaction<'_>, item: &Item) -> Result<bool, Failure> {
    let issued = tx
        .execute_typed(
            "INSERT INTO public.boarding_passes (ticket_no, flight_id, boarding_no, seat_no)
             SELECT
                 sa.ticket_no,
                 sa.flight_id,
                 (SELECT coalesce(max(bp.boarding_no), 0) + 1
                  FROM public.boarding_passes AS bp
                  WHERE bp.flight_id = sa.flight_id),
                 sa.seat_no
             FROM service.seat_assignments AS sa
             JOIN public.flights AS f ON f.flight_id = sa.flight_id
             JOIN public.seats AS s
                 ON s.aircraft_code = f.aircraft_code
                 AND s.seat_no = sa.seat_no
                 AND s.fare_conditions = $3
             WHERE sa.ticket_no = $1
               AND sa.flight_id = $2
               AND NOT EXISTS (
                   SELECT
                   FROM public.boarding_passes AS bp
                   WHERE bp.flight_id = sa.flight_id
                     AND bp.seat_no = sa.seat_no
               )",
            &[
                (&item.ticket_no, Type::BPCHAR),
                (&item.flight_id, Type::INT4),
                (&item.fare.as_str(), Type::TEXT),
            ],
        )
        .await?;
    Ok(issued == 1)
}
