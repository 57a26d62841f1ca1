//! What somebody is about to book: flights with a class and perhaps seats, as a text in the address of a page.
//!
//! In: `1:Economy:12A.12B~3:Business:`, a flight with its class and its seats after each tilde. Out: legs. The text is
//! in addresses and forms, so that nothing of it has to be stored before it is booked.

use std::fmt;

use super::super::field::{Fare, fare, flight_id, seat_no};
use super::super::problem::Problem;

/// Flights of a trip at most, as in a booking.
pub(crate) const LEGS_MAX: usize = 6;
/// Passengers at most, as in a booking.
pub(crate) const PASSENGERS_MAX: usize = 9;

/// A flight of a trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) flight_id: i32,
    pub(crate) fare: Fare,
    /// A seat for each passenger, or nothing for any seat; empty for any seats.
    pub(crate) seats: Vec<Option<String>>,
}

/// The flights that somebody is about to book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trip(pub(crate) Vec<Leg>);

impl Trip {
    /// Reads a trip.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let legs = text.split('~').filter(|leg| !leg.is_empty()).map(leg);
        let wrong = || Problem::field("trip", "is none that a page of this service has made");
        let legs = legs.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        if legs.len() > LEGS_MAX {
            return Err(Problem::field("trip", format!("has more than {LEGS_MAX} flights")));
        }
        Ok(Self(legs))
    }

    /// The trip with one more flight. A flight that it has already is replaced.
    pub(crate) fn with(mut self, leg: Leg) -> Self {
        match self.0.iter_mut().find(|known| known.flight_id == leg.flight_id) {
            Some(known) => *known = leg,
            None => self.0.push(leg),
        }
        self
    }

    /// The trip without a flight.
    pub(crate) fn without(&self, flight_id: i32) -> Self {
        Self(self.0.iter().filter(|leg| leg.flight_id != flight_id).cloned().collect())
    }
}

fn leg(text: &str) -> Option<Leg> {
    let mut parts = text.splitn(3, ':');
    let flight_id = flight_id(parts.next()?).ok()?;
    let fare = fare(parts.next()?).ok()?;
    let seats = parts.next()?;
    let seat = |text: &str| match text {
        "" => Some(None),
        text => seat_no(text).ok().map(Some),
    };
    let seats =
        if seats.is_empty() { Some(Vec::new()) } else { seats.split('.').map(seat).collect() };
    let seats: Vec<_> = seats?;
    (seats.len() <= PASSENGERS_MAX).then_some(Leg { flight_id, fare, seats })
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, leg) in self.0.iter().enumerate() {
            let seats: Vec<&str> =
                leg.seats.iter().map(|seat| seat.as_deref().unwrap_or_default()).collect();
            let tilde = if at > 0 { "~" } else { "" };
            write!(f, "{tilde}{}:{}:{}", leg.flight_id, leg.fare.as_str(), seats.join("."))?;
        }
        Ok(())
    }
}

/// How many passengers a page is for: what was asked for, between one and what a booking holds.
pub(crate) fn passengers(text: &str) -> usize {
    text.trim().parse().unwrap_or(1).clamp(1, PASSENGERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_is_read_as_it_is_written() {
        for text in ["", "1:Economy:", "1:Economy:12A.~3:Business:.4D", "7:Comfort:1A"] {
            assert_eq!(Trip::parse(text).unwrap().to_string(), text);
        }
        for text in ["1", "x:Economy:", "1:First:", "1:Economy:12", "1:Economy", "0:Economy:1A"] {
            assert!(Trip::parse(text).is_err(), "{text}");
        }
        assert!(Trip::parse(&"1:Economy:~".repeat(7)).is_err());
    }

    #[test]
    fn a_flight_is_in_a_trip_once() {
        let trip = Trip::parse("1:Economy:12A~2:Economy:").unwrap();
        let again = Leg { flight_id: 1, fare: Fare::Business, seats: vec![] };
        assert_eq!(trip.clone().with(again).to_string(), "1:Business:~2:Economy:");
        assert_eq!(trip.without(1).to_string(), "2:Economy:");
        assert_eq!(
            [passengers("0"), passengers("x"), passengers("4"), passengers("99")],
            [1, 1, 4, 9]
        );
    }
}
