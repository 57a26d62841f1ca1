//! The data set as `COPY … FROM STDIN` text, a table at a time.
//!
//! In: the timetable and the bookings. Out: an iterator of lines, so that a table is never whole in memory. No value
//! holds a tab, a newline or a backslash, so none needs escaping.

use chrono::{DateTime, Utc};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::journeys::Booking;
use super::network::{Flight, Network, State};
use crate::reference::airports::AIRPORTS;
use crate::reference::fleet::{FLEET, Fare};
use crate::reference::prices::roubles;
use crate::tables::Table;

/// Book references are six hexadecimal digits.
const BOOK_REF_COUNT: usize = 1 << 24;

/// Odd, so that multiplying by it permutes the book references.
const BOOK_REF_STRIDE: usize = 0x9E_37_79;

/// The number before the first ticket's.
const TICKET_NO_BASE: usize = 5_432_000_000;

/// One passenger in this many does not come to the flight.
const NO_SHOW_ONE_IN: u32 = 50;

/// Share in percent of passengers already checked in on a flight of the next day.
const CHECKED_IN_PERCENT: u32 = 40;

/// Lines of one table, without their ends.
pub(crate) type Lines<'dataset> = Box<dyn Iterator<Item = String> + Send + 'dataset>;

/// The generated airline, ready to be written.
pub(crate) struct Dataset {
    network: Network,
    bookings: Vec<Booking>,
    /// Passengers of each flight, by ticket, in the order of their tickets.
    manifests: Vec<Vec<(usize, Fare)>>,
    seed: u64,
}

impl Dataset {
    pub(crate) fn new(network: Network, bookings: Vec<Booking>, seed: u64) -> Self {
        let mut manifests = vec![Vec::new(); network.flights.len()];
        let mut ticket = 0;
        for booking in &bookings {
            for _ in &booking.people {
                for segment in &booking.segments {
                    manifests[segment.flight].push((ticket, segment.fare));
                }
                ticket += 1;
            }
        }
        Self { network, bookings, manifests, seed }
    }

    /// How many rows [`Self::lines`] will give for the tables whose rows are counted beforehand.
    pub(crate) fn row_count(&self) -> u64 {
        let tickets: usize = self.bookings.iter().map(|booking| booking.people.len()).sum();
        let segments: usize = self.manifests.iter().map(Vec::len).sum();
        let seats: usize = FLEET.iter().map(|model| model.seats().count()).sum();
        let reference = AIRPORTS.len() + FLEET.len() + seats + self.network.flights.len();
        let count = reference + self.bookings.len() + tickets + 2 * segments;
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Every row of a table, as a line of COPY text.
    pub(crate) fn lines(&self, table: Table) -> Lines<'_> {
        match table {
            Table::Airports => Box::new(AIRPORTS.iter().map(|airport| {
                format!(
                    "{}\t{}\t{}\t{}\t{}\t{}",
                    airport.code,
                    airport.name,
                    airport.city,
                    airport.longitude,
                    airport.latitude,
                    airport.timezone
                )
            })),
            Table::Aircrafts => Box::new(
                FLEET
                    .iter()
                    .map(|model| format!("{}\t{}\t{}", model.code, model.name, model.range_km)),
            ),
            Table::Seats => Box::new(FLEET.iter().flat_map(|model| {
                model.seats().map(|(seat_no, fare)| format!("{}\t{seat_no}\t{fare}", model.code))
            })),
            Table::Flights => Box::new(
                self.network.flights.iter().enumerate().map(|(place, f)| self.flight(place, f)),
            ),
            Table::Bookings => {
                Box::new(self.bookings.iter().enumerate().map(|(place, booking)| {
                    let made = timestamp(booking.made);
                    format!("{}\t{made}\t{}", self.book_ref(place), roubles(total_kopecks(booking)))
                }))
            }
            Table::Tickets => self.tickets(),
            Table::TicketFlights => self.segments(),
            Table::BoardingPasses => {
                Box::new((0..self.manifests.len()).flat_map(|flight| self.boarded(flight)))
            }
        }
    }

    fn flight(&self, place: usize, flight: &Flight) -> String {
        let leg = &self.network.legs[flight.leg];
        let (left, landed) = match flight.state {
            State::Arrived { departed, at } => (timestamp(departed), timestamp(at)),
            State::Departed { at } => (timestamp(at), null()),
            State::Scheduled | State::OnTime | State::Delayed | State::Cancelled => {
                (null(), null())
            }
        };
        format!(
            "{}\tPG{:04}\t{}\t{}\t{}\t{}\t{}\t{}\t{left}\t{landed}",
            place + 1,
            flight.number,
            timestamp(flight.departs),
            timestamp(flight.arrives),
            AIRPORTS[leg.from].code,
            AIRPORTS[leg.to].code,
            flight.state.as_str(),
            FLEET[leg.model].code,
        )
    }

    fn tickets(&self) -> Lines<'_> {
        let people =
            self.bookings.iter().enumerate().flat_map(|(place, booking)| {
                booking.people.iter().map(move |person| (place, *person))
            });
        Box::new(people.enumerate().map(|(ticket, (place, person))| {
            format!(
                "{}\t{}\t{}\t{}\t{}",
                ticket_no(ticket),
                self.book_ref(place),
                person.document(),
                person.name(),
                person.contact().unwrap_or_else(null),
            )
        }))
    }

    fn segments(&self) -> Lines<'_> {
        let people = self
            .bookings
            .iter()
            .flat_map(|booking| booking.people.iter().map(move |_| &booking.segments));
        Box::new(people.enumerate().flat_map(|(ticket, segments)| {
            segments.iter().map(move |segment| {
                format!(
                    "{}\t{}\t{}\t{}",
                    ticket_no(ticket),
                    segment.flight + 1,
                    segment.fare,
                    roubles(segment.kopecks)
                )
            })
        }))
    }

    /// Boarding passes of a flight: in a shuffled order of check-in, each in a seat of the class that was bought.
    fn boarded(&self, flight: usize) -> Vec<String> {
        let boarding_percent = match self.network.flights[flight].state {
            State::Arrived { .. } | State::Departed { .. } => 100,
            State::OnTime | State::Delayed => CHECKED_IN_PERCENT,
            State::Scheduled | State::Cancelled => return Vec::new(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::try_from(flight).expect("a flight's place fits u64"));
        let model = &FLEET[self.network.legs[self.network.flights[flight].leg].model];
        let mut seats: [Vec<String>; 3] = Default::default();
        for (seat_no, fare) in model.seats() {
            seats[fare.index()].push(seat_no);
        }
        for class in &mut seats {
            class.shuffle(&mut rng);
        }
        let mut passengers = self.manifests[flight].clone();
        passengers.shuffle(&mut rng);
        passengers.retain(|_| {
            rng.random_range(0..NO_SHOW_ONE_IN) != 0 && rng.random_range(0..100) < boarding_percent
        });
        let boarding = passengers.into_iter().zip(1..).map(|((ticket, fare), boarding_no)| {
            let seat_no = seats[fare.index()].pop().expect("no class of a flight is oversold");
            format!("{}\t{}\t{boarding_no}\t{seat_no}", ticket_no(ticket), flight + 1)
        });
        boarding.collect()
    }

    /// The reference of a booking: all over the range, and never the same for two bookings.
    fn book_ref(&self, place: usize) -> String {
        let offset = usize::try_from(self.seed % (1 << 24)).expect("24 bits fit usize");
        format!("{:06X}", (place * BOOK_REF_STRIDE + offset) % BOOK_REF_COUNT)
    }
}

fn total_kopecks(booking: &Booking) -> i64 {
    let one: i64 = booking.segments.iter().map(|segment| segment.kopecks).sum();
    booking.people.iter().map(|_| one).sum()
}

fn ticket_no(ticket: usize) -> String {
    format!("{:013}", TICKET_NO_BASE + 1 + ticket)
}

fn timestamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S+00").to_string()
}

fn null() -> String {
    "\\N".to_owned()
}
