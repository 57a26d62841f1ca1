//! Bookings: who flies together, on which flights, when they bought and for how much.
//!
//! In: the timetable and a generator. Out: bookings in the order in which they were made; their seats are no longer
//! unsold in the timetable. All passengers of a booking share its segments, no class of a flight is oversold, and every
//! booking is older than its first departure and than the reference moment.

use chrono::{DateTime, Duration, Utc};
use rand::RngExt;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;

use super::error::SeedError;
use super::math::whole;
use super::network::{FUTURE_DAYS, Network, PAST_DAYS};
use crate::reference::fleet::Fare;
use crate::reference::people::Person;
use crate::reference::prices::price_kopecks;

/// Draws for one booking before the timetable counts as full: far more than a normal timetable needs.
const DRAWS_MAX: u32 = 2_000;

/// Flights of a leg looked at for free seats, from the first that fits in time.
const FLIGHTS_TRIED: usize = 8;

/// Days between buying and flying, on average.
const LEAD_DAYS_MEAN: f64 = 12.0;

/// One ticket in this many is a frequent flyer's.
const FREQUENT_ONE_IN: u32 = 8;

/// Tickets for each frequent flyer, so that each has about ten flights when one ticket in eight is a frequent flyer's.
const TICKETS_PER_FREQUENT_FLYER: u64 = 80;

/// One flight of a booking, at its price a passenger.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) flight: usize,
    pub(crate) fare: Fare,
    pub(crate) kopecks: i64,
}

/// A booking with its passengers and segments.
pub(crate) struct Booking {
    pub(crate) made: DateTime<Utc>,
    pub(crate) people: Vec<Person>,
    pub(crate) segments: Vec<Segment>,
}

/// Flights with room for a party, and when they were bought.
struct Itinerary {
    made: DateTime<Utc>,
    flights: Vec<(usize, Fare)>,
}

/// Sells bookings until `booking_count` are made.
pub(crate) fn sell(
    network: &mut Network,
    booking_count: u64,
    reference: DateTime<Utc>,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Booking>, SeedError> {
    let mut office = Office::open(network, booking_count, reference)?;
    let mut bookings = Vec::with_capacity(usize::try_from(booking_count).unwrap_or(0));
    for _ in 0..booking_count {
        bookings.push(office.sell_one(rng)?);
    }
    // Stable, so bookings of one moment keep the order in which they were drawn.
    bookings.sort_by_key(|booking| booking.made);
    Ok(bookings)
}

struct Office<'network> {
    network: &'network mut Network,
    reference: DateTime<Utc>,
    pair_demand: WeightedIndex<f64>,
    frequent_flyers: u64,
    newcomers: u64,
}

impl<'network> Office<'network> {
    fn open(
        network: &'network mut Network,
        booking_count: u64,
        reference: DateTime<Utc>,
    ) -> Result<Self, SeedError> {
        let pair_demand = WeightedIndex::new(network.pairs.iter().map(|pair| pair.rotations))
            .map_err(|_| SeedError::TimetableFull)?;
        let frequent_flyers = (booking_count * 7 / 5 / TICKETS_PER_FREQUENT_FLYER).max(5);
        Ok(Self { network, reference, pair_demand, frequent_flyers, newcomers: 0 })
    }

    fn sell_one(&mut self, rng: &mut ChaCha8Rng) -> Result<Booking, SeedError> {
        let party = party_size(rng);
        let wanted = wanted_fare(rng);
        for _ in 0..DRAWS_MAX {
            let Some(Itinerary { made, flights }) = self.itinerary(party, wanted, rng) else {
                continue;
            };
            let demand_percent = rng.random_range(80..140);
            let segments = flights
                .into_iter()
                .map(|(flight, fare)| self.take(flight, fare, party, demand_percent))
                .collect();
            return Ok(Booking { made, people: self.people(party, rng), segments });
        }
        Err(SeedError::TimetableFull)
    }

    /// Flights with room for the party, and the moment of buying; nothing when the draw finds no such flights.
    fn itinerary(&self, party: u32, wanted: Fare, rng: &mut ChaCha8Rng) -> Option<Itinerary> {
        // The reference moment splits the window; demand falls towards its far end.
        let span = whole_minutes(PAST_DAYS + FUTURE_DAYS);
        let start = self.reference - Duration::days(PAST_DAYS)
            + Duration::minutes(whole(span * rng.random_range(0.0f64..1.0).powf(1.2)));
        let (legs, stays) = self.legs(rng);
        let mut earliest = start;
        let mut flights = Vec::with_capacity(legs.len());
        for (leg, stay) in legs.into_iter().zip(stays) {
            let (flight, fare) = self.first_with_room(leg, earliest, (party, wanted))?;
            if flights.iter().any(|(taken, _)| *taken == flight) {
                return None;
            }
            earliest = self.network.flights[flight].arrives + stay;
            flights.push((flight, fare));
        }
        let (first, _) = flights.first()?;
        let lead_days = (-LEAD_DAYS_MEAN * (1.0 - rng.random_range(0.0f64..1.0)).ln()).min(45.0);
        let lead_min = 240 + whole(lead_days * 1_440.0);
        let made = self.network.flights[*first].departs - Duration::minutes(lead_min)
            + Duration::seconds(rng.random_range(0..60));
        (made <= self.reference).then_some(Itinerary { made, flights })
    }

    /// A way through the network and the least time spent after each leg: 2.85 legs on average.
    fn legs(&self, rng: &mut ChaCha8Rng) -> (Vec<usize>, Vec<Duration>) {
        let one = self.pair_demand.sample(rng);
        let two = self.other_pair(one, rng);
        let change = Duration::hours(2);
        let visit = Duration::hours(rng.random_range(18..240));
        let (out, back) = (|pair: usize| 2 * pair, |pair: usize| 2 * pair + 1);
        match rng.random_range(0..100) {
            0..5 => (vec![out(one)], vec![visit]),
            5..10 => (vec![back(one)], vec![visit]),
            10..25 => (vec![out(one), back(one)], vec![visit, visit]),
            25..40 => (vec![back(one), out(one)], vec![visit, visit]),
            40..50 => (vec![back(one), out(two)], vec![change, visit]),
            50..55 => (vec![back(one), out(two), back(two)], vec![change, visit, change]),
            _ => {
                (vec![back(one), out(two), back(two), out(one)], vec![change, visit, change, visit])
            }
        }
    }

    /// A second town of the same hub. Every hub has at least two.
    fn other_pair(&self, one: usize, rng: &mut ChaCha8Rng) -> usize {
        loop {
            let two = self.pair_demand.sample(rng);
            if two != one && self.network.pairs[two].hub == self.network.pairs[one].hub {
                return two;
            }
        }
    }

    fn first_with_room(
        &self,
        leg: usize,
        earliest: DateTime<Utc>,
        (party, wanted): (u32, Fare),
    ) -> Option<(usize, Fare)> {
        let flights = &self.network.legs[leg].flights;
        let from = flights.partition_point(|place| self.network.flights[*place].departs < earliest);
        flights[from..].iter().take(FLIGHTS_TRIED).find_map(|place| {
            let free = &self.network.flights[*place].free;
            [wanted, Fare::Economy]
                .into_iter()
                .find(|fare| free[fare.index()] >= party)
                .map(|fare| (*place, fare))
        })
    }

    fn take(&mut self, flight: usize, fare: Fare, party: u32, demand_percent: i64) -> Segment {
        let minutes = self.network.legs[self.network.flights[flight].leg].minutes;
        self.network.flights[flight].free[fare.index()] -= party;
        Segment { flight, fare, kopecks: price_kopecks(minutes, fare, demand_percent) }
    }

    fn people(&mut self, party: u32, rng: &mut ChaCha8Rng) -> Vec<Person> {
        let mut people: Vec<Person> = Vec::new();
        for _ in 0..party {
            let mut person = None;
            if rng.random_range(0..FREQUENT_ONE_IN) == 0 {
                // The lower half is drawn three times as often, because some people fly more than others.
                let among = if rng.random_bool(0.5) {
                    self.frequent_flyers.div_ceil(2)
                } else {
                    self.frequent_flyers
                };
                person =
                    Some(Person(rng.random_range(0..among))).filter(|one| !people.contains(one));
            }
            people.push(person.unwrap_or_else(|| {
                self.newcomers += 1;
                Person(self.frequent_flyers + self.newcomers)
            }));
        }
        people
    }
}

/// Passengers of a booking: 1.40 on average.
fn party_size(rng: &mut ChaCha8Rng) -> u32 {
    match rng.random_range(0..100) {
        0..70 => 1,
        70..92 => 2,
        92..98 => 3,
        _ => 4,
    }
}

fn wanted_fare(rng: &mut ChaCha8Rng) -> Fare {
    match rng.random_range(0..100) {
        0..86 => Fare::Economy,
        86..90 => Fare::Comfort,
        _ => Fare::Business,
    }
}

fn whole_minutes(days: i64) -> f64 {
    f64::from(i32::try_from(days * 1_440).expect("ninety days are fewer minutes than i32 holds"))
}
