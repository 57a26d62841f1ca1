//! Selling: bookings, also those that are undone in part or as a whole.
//!
//! In: the departure board. Out: a booking with its tickets and segments. Flights are locked while their free seats
//! are counted, so no class is oversold, and the total is the sum of the segments from the first moment.

use chrono::Duration;
use rand::RngExt;
use tokio_postgres::Error;

use super::airline::{Airline, Done, OpenFlight};
use crate::reference::fleet::Fare;
use crate::reference::people::Person;
use crate::reference::prices::price_kopecks;

/// The number below which the seed's people are; new ones are drawn above it.
const NEWCOMERS_FROM: u64 = 1 << 32;

/// How many numbers there are for new people. Documents have ten digits, so the same number is hardly ever drawn twice.
const NEWCOMERS_TO: u64 = 9_000_000_000;

/// A booking in the making.
struct Sale {
    book_ref: String,
    ticket_nos: Vec<String>,
}

/// Passengers as columns, the way they are inserted.
#[derive(Default)]
struct Passengers {
    documents: Vec<String>,
    names: Vec<String>,
    contacts: Vec<Option<String>>,
}

impl Airline {
    pub(super) async fn book(&mut self) -> Result<Done, Error> {
        Ok(self.sell().await?.map_or(Done::Nothing, |_| Done::Commit))
    }

    pub(super) async fn abandon(&mut self) -> Result<Done, Error> {
        Ok(self.sell().await?.map_or(Done::Nothing, |_| Done::GiveUp))
    }

    /// Makes a booking, then an upgrade of all its segments after a savepoint. One upgrade in four is paid for, and the
    /// others are rolled back.
    pub(super) async fn book_with_savepoint(&mut self) -> Result<Done, Error> {
        let Some(sale) = self.sell().await? else { return Ok(Done::Nothing) };
        self.session.control("SAVEPOINT upgrade").await?;
        self.session
            .change(
                "UPDATE public.ticket_flights
                 SET amount = amount * 1.5
                 WHERE ticket_no = ANY ($1)",
                &[&sale.ticket_nos],
            )
            .await?;
        self.settle_total(&sale.book_ref).await?;
        if self.rng.random_range(0..4) == 0 {
            self.session.control("RELEASE SAVEPOINT upgrade").await?;
        } else {
            self.session.control("ROLLBACK TO SAVEPOINT upgrade").await?;
        }
        Ok(Done::Commit)
    }

    async fn sell(&mut self) -> Result<Option<Sale>, Error> {
        let party: u8 = match self.rng.random_range(0..100) {
            0..70 => 1,
            70..92 => 2,
            92..98 => 3,
            _ => 4,
        };
        let fare = if self.rng.random_range(0..8) == 0 { Fare::Business } else { Fare::Economy };
        let Some(flights) = self.itinerary().await? else { return Ok(None) };
        let demand_percent = self.rng.random_range(80..140);
        let (mut flight_ids, mut fares, mut prices) = (Vec::new(), Vec::new(), Vec::new());
        for flight in flights {
            let Some(fare) = self.sellable(flight.flight_id, fare, party).await? else { continue };
            let minutes = (flight.arrives - flight.departs).num_minutes();
            flight_ids.push(flight.flight_id);
            fares.push(fare.as_str());
            prices.push(price_kopecks(minutes, fare, demand_percent));
        }
        if flight_ids.is_empty() {
            return Ok(None);
        }
        let total = prices.iter().sum::<i64>() * i64::from(party);
        let sale = self.insert_booking(party, total).await?;
        self.session
            .change(
                "INSERT INTO public.ticket_flights (ticket_no, flight_id, fare_conditions, amount)
                 SELECT t.ticket_no, s.flight_id, s.fare_conditions, s.kopecks / 100.0
                 FROM unnest($1::text[]) AS t (ticket_no)
                 CROSS JOIN unnest($2::integer[], $3::text[], $4::bigint[])
                     AS s (flight_id, fare_conditions, kopecks)
                 ORDER BY t.ticket_no, s.flight_id",
                &[&sale.ticket_nos, &flight_ids, &fares, &prices],
            )
            .await?;
        Ok(Some(sale))
    }

    /// One to three locked flights: away, perhaps on, perhaps back. Half of them leave within three days.
    async fn itinerary(&mut self) -> Result<Option<Vec<OpenFlight>>, Error> {
        let horizon = if self.rng.random_bool(0.5) { 3 } else { 30 };
        let Some(first) = self.open_flight(Duration::minutes(5), Duration::days(horizon)).await?
        else {
            return Ok(None);
        };
        let mut flight_ids = vec![first.flight_id];
        let origin = first.from.clone();
        let mut last = first;
        if self.rng.random_range(0..5) < 2
            && let Some(next) =
                self.onward(&last, &origin, Duration::hours(2), Onward::Away).await?
        {
            flight_ids.push(next.flight_id);
            last = next;
        }
        if self.rng.random_range(0..3) < 2 {
            let stay = Duration::hours(self.rng.random_range(12..168));
            if let Some(back) = self.onward(&last, &origin, stay, Onward::Home).await? {
                flight_ids.push(back.flight_id);
            }
        }
        let flights = self.lock_open_flights(&flight_ids).await?;
        Ok((!flights.is_empty()).then_some(flights))
    }

    /// The next open flight from where `last` lands, at least `stay` later.
    async fn onward(
        &mut self,
        last: &OpenFlight,
        origin: &str,
        stay: Duration,
        direction: Onward,
    ) -> Result<Option<OpenFlight>, Error> {
        let query = match direction {
            Onward::Home => {
                "SELECT flight_id, departure_airport, arrival_airport, scheduled_departure,
                        scheduled_arrival, aircraft_code, status
                 FROM public.flights
                 WHERE departure_airport = $1
                   AND scheduled_departure >= $2
                   AND arrival_airport = $3
                   AND status IN ('Scheduled', 'On Time', 'Delayed')
                 ORDER BY scheduled_departure, flight_id
                 LIMIT 1"
            }
            Onward::Away => {
                "SELECT flight_id, departure_airport, arrival_airport, scheduled_departure,
                        scheduled_arrival, aircraft_code, status
                 FROM public.flights
                 WHERE departure_airport = $1
                   AND scheduled_departure >= $2
                   AND arrival_airport <> $3
                   AND status IN ('Scheduled', 'On Time', 'Delayed')
                 ORDER BY scheduled_departure, flight_id
                 LIMIT 1"
            }
        };
        let row = self.session.first(query, &[&last.to, &(last.arrives + stay), &origin]).await?;
        Ok(row.as_ref().map(OpenFlight::of))
    }

    /// The class in which a locked flight has room for the party: the wanted one, else economy.
    async fn sellable(
        &mut self,
        flight_id: i32,
        wanted: Fare,
        party: u8,
    ) -> Result<Option<Fare>, Error> {
        for fare in [wanted, Fare::Economy] {
            if self.free_seats(flight_id, fare.as_str()).await? >= i64::from(party) {
                return Ok(Some(fare));
            }
        }
        Ok(None)
    }

    async fn insert_booking(&mut self, party: u8, total_kopecks: i64) -> Result<Sale, Error> {
        let book_ref = format!("{:06X}", self.rng.random_range(0..1 << 24));
        self.session
            .change(
                "INSERT INTO public.bookings (book_ref, book_date, total_amount)
                 VALUES ($1, $2, $3::bigint / 100.0)",
                &[&book_ref, &self.clock.now(), &total_kopecks],
            )
            .await?;
        let passengers = self.passengers(party).await?;
        let ticket_nos: Vec<String> = (0..party)
            .map(|_| format!("0006{:09}", self.rng.random_range(0..1_000_000_000)))
            .collect();
        let Passengers { documents, names, contacts } = passengers;
        self.session
            .change(
                "INSERT INTO public.tickets
                     (ticket_no, book_ref, passenger_id, passenger_name, contact_data)
                 SELECT p.ticket_no, $1, p.passenger_id, p.passenger_name, p.contact_data::jsonb
                 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
                     AS p (ticket_no, passenger_id, passenger_name, contact_data)",
                &[&book_ref, &ticket_nos, &documents, &names, &contacts],
            )
            .await?;
        Ok(Sale { book_ref, ticket_nos })
    }

    /// New people, and sometimes a person who has flown before.
    async fn passengers(&mut self, party: u8) -> Result<Passengers, Error> {
        let mut passengers = Passengers::default();
        if self.rng.random_range(0..4) == 0
            && let Some(booking) = self.some_booking().await?
        {
            let known = self
                .session
                .first(
                    "SELECT passenger_id, passenger_name, contact_data::text
                     FROM public.tickets
                     WHERE book_ref = $1
                     ORDER BY ticket_no
                     LIMIT 1",
                    &[&booking],
                )
                .await?;
            if let Some(row) = known {
                passengers.documents.push(row.get(0));
                passengers.names.push(row.get(1));
                passengers.contacts.push(row.get(2));
            }
        }
        while passengers.names.len() < usize::from(party) {
            let person = Person(self.rng.random_range(NEWCOMERS_FROM..NEWCOMERS_TO));
            passengers.documents.push(person.document());
            passengers.names.push(person.name());
            passengers.contacts.push(person.contact());
        }
        Ok(passengers)
    }
}

/// Where the next flight goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Onward {
    /// Anywhere but to where the journey began.
    Away,
    /// To where the journey began.
    Home,
}
