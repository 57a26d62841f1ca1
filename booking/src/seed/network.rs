//! The network and its timetable: which airports have flights between them, and every flight of ninety days with its
//! outcome.
//!
//! In: a size, a reference moment and a generator. Out: legs and flights, flights in the order of departure. All
//! flights of one number share the route, and a flight's state is what an observer at the reference moment would see.

use chrono::{DateTime, Duration, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::math::{count_at_least, whole};
use crate::reference::airports::{AIRPORTS, HUB_COUNT, distance_km};
use crate::reference::fleet::{FLEET, model_for};

/// Days of flights before the reference moment.
pub(crate) const PAST_DAYS: i64 = 60;

/// Days of flights after the reference moment.
pub(crate) const FUTURE_DAYS: i64 = 30;

/// Days of flights in all.
const WINDOW_DAYS: i64 = PAST_DAYS + FUTURE_DAYS;

/// The fewest flights of a pair of airports, where a flight there and back counts once. Fewer flights make no
/// timetable.
const ROTATIONS_MIN: f64 = 8.0;

/// The fewest pairs of airports: with fewer nobody can fly on from the hub.
const PAIRS_MIN: usize = 4;

/// The most pairs of airports: with as many the first hub has flights to nearly every airport.
const PAIRS_MAX: usize = 130;

/// One flight in this many is cancelled.
const CANCELLED_ONE_IN: u32 = 200;

/// One flight in this many is late by half an hour or more.
const LATE_ONE_IN: u32 = 20;

/// A hub and a town joined by flights both ways: legs `2 * index` (away from the hub) and `2 * index + 1` (back).
pub(crate) struct Pair {
    pub(crate) hub: usize,
    /// Relative demand, which also decides how many flights there are.
    pub(crate) rotations: f64,
}

/// One direction of a pair.
pub(crate) struct Leg {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) minutes: i64,
    pub(crate) model: usize,
    /// Places in [`Network::flights`], in the order of departure.
    pub(crate) flights: Vec<usize>,
}

/// The state of a flight at the reference moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Scheduled,
    OnTime,
    Delayed,
    Departed { at: DateTime<Utc> },
    Arrived { departed: DateTime<Utc>, at: DateTime<Utc> },
    Cancelled,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::OnTime => "On Time",
            Self::Delayed => "Delayed",
            Self::Departed { .. } => "Departed",
            Self::Arrived { .. } => "Arrived",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// One departure.
pub(crate) struct Flight {
    pub(crate) leg: usize,
    pub(crate) number: usize,
    pub(crate) departs: DateTime<Utc>,
    pub(crate) arrives: DateTime<Utc>,
    pub(crate) state: State,
    /// Unsold seats by class.
    pub(crate) free: [u32; 3],
}

/// The whole timetable.
pub(crate) struct Network {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) legs: Vec<Leg>,
    pub(crate) flights: Vec<Flight>,
}

impl Network {
    /// A timetable of about `flight_count` flights around `reference`.
    pub(crate) fn plan(flight_count: u64, reference: DateTime<Utc>, rng: &mut ChaCha8Rng) -> Self {
        let mut network = Self { pairs: Vec::new(), legs: Vec::new(), flights: Vec::new() };
        let pair_count =
            usize::try_from(flight_count / 26).unwrap_or(usize::MAX).clamp(PAIRS_MIN, PAIRS_MAX);
        let towns = chosen_towns(pair_count);
        let weight_sum: u32 = towns.iter().map(|(_, town)| AIRPORTS[*town].weight).sum();
        for (hub, town) in towns {
            let share = f64::from(AIRPORTS[town].weight) / f64::from(weight_sum);
            let rotations = (whole_f64(flight_count) / 2.0 * share).max(ROTATIONS_MIN);
            network.join(hub, town, rotations);
        }
        network.timetable(reference, rng);
        network
    }

    fn join(&mut self, hub: usize, town: usize, rotations: f64) {
        let distance = distance_km(&AIRPORTS[hub], &AIRPORTS[town]);
        // Half an hour of climbing and taxiing, then 800 km an hour, in steps of five minutes.
        let minutes = (30 + whole(distance / 800.0 * 60.0)) / 5 * 5;
        let model = model_for(distance, AIRPORTS[town].weight);
        for (from, to) in [(hub, town), (town, hub)] {
            self.legs.push(Leg { from, to, minutes, model, flights: Vec::new() });
        }
        self.pairs.push(Pair { hub, rotations });
    }

    fn timetable(&mut self, reference: DateTime<Utc>, rng: &mut ChaCha8Rng) {
        let start = reference - Duration::days(PAST_DAYS);
        let mut number = 1;
        for (pair_no, pair) in self.pairs.iter().enumerate() {
            let slots = count_at_least(pair.rotations / whole_days());
            for _ in 0..slots {
                let interval_days = whole_days() * f64::from(slots) / pair.rotations;
                let minute_of_day = rng.random_range(60..228) * 5;
                let turnaround = Duration::minutes(rng.random_range(12..25) * 5);
                let mut day = rng.random_range(0.0..interval_days);
                while day < whole_days() {
                    let out = start + Duration::days(whole(day)) + Duration::minutes(minute_of_day);
                    let back = out + Duration::minutes(self.legs[2 * pair_no].minutes) + turnaround;
                    for (direction, departs) in [out, back].into_iter().enumerate() {
                        let leg_no = 2 * pair_no + direction;
                        let leg = &self.legs[leg_no];
                        let arrives = departs + Duration::minutes(leg.minutes);
                        self.flights.push(Flight {
                            leg: leg_no,
                            number: number + direction,
                            departs,
                            arrives,
                            state: observed(departs, arrives, reference, rng),
                            free: FLEET[leg.model].capacity(),
                        });
                    }
                    day += interval_days;
                }
                number += 2;
            }
        }
        self.flights.sort_by_key(|flight| (flight.departs, flight.number));
        for (place, flight) in self.flights.iter().enumerate() {
            self.legs[flight.leg].flights.push(place);
        }
    }
}

/// Towns by hub: the first hub alone while the network is small, then three quarters of it. A hub that has any town has
/// several, so that one can fly on from it.
fn chosen_towns(pair_count: usize) -> Vec<(usize, usize)> {
    let others = if pair_count < 24 { 0 } else { pair_count / 8 };
    let counts = [pair_count - 2 * others, others, others];
    let mut chosen = Vec::new();
    for (hub, count) in counts.into_iter().enumerate() {
        let elsewhere = |town: &usize| *town != hub && AIRPORTS[*town].city != AIRPORTS[hub].city;
        // The first hub also joins the other hubs; these start with the airports of its city.
        let from = if hub == 0 { 0 } else { HUB_COUNT };
        chosen.extend((from..AIRPORTS.len()).filter(elsewhere).take(count).map(|town| (hub, town)));
    }
    chosen
}

fn observed(
    departs: DateTime<Utc>,
    arrives: DateTime<Utc>,
    reference: DateTime<Utc>,
    rng: &mut ChaCha8Rng,
) -> State {
    let late = rng.random_range(0..LATE_ONE_IN) == 0;
    let delay_min = if late { rng.random_range(30..180) } else { rng.random_range(0..15) };
    let flown = arrives - departs + Duration::minutes(rng.random_range(-4..8));
    let left = departs + Duration::minutes(delay_min);
    let landed = left + flown;
    if rng.random_range(0..CANCELLED_ONE_IN) == 0 && departs < reference + Duration::days(5) {
        State::Cancelled
    } else if landed <= reference {
        State::Arrived { departed: left, at: landed }
    } else if left <= reference {
        State::Departed { at: left }
    } else if departs > reference + Duration::days(1) {
        State::Scheduled
    } else if late {
        State::Delayed
    } else {
        State::OnTime
    }
}

fn whole_days() -> f64 {
    f64::from(i32::try_from(WINDOW_DAYS).expect("the window is ninety days"))
}

fn whole_f64(count: u64) -> f64 {
    f64::from(
        u32::try_from(count).expect("the scale's limit keeps counts below four thousand million"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use chrono::{DateTime, Duration, Utc};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::{Network, PAIRS_MAX, PAIRS_MIN, State};

    fn planned(flight_count: u64) -> (Network, DateTime<Utc>) {
        let reference = "2026-06-15T00:00:00Z".parse().unwrap();
        (Network::plan(flight_count, reference, &mut ChaCha8Rng::seed_from_u64(1)), reference)
    }

    #[test]
    fn a_number_and_a_departure_name_one_flight_and_one_route() {
        for size in [1, 1_000, 30_000] {
            let (network, _) = planned(size);
            let keys: HashSet<_> = network.flights.iter().map(|f| (f.number, f.departs)).collect();
            assert_eq!(keys.len(), network.flights.len());
            let mut routes = HashMap::new();
            for flight in &network.flights {
                assert_eq!(*routes.entry(flight.number).or_insert(flight.leg), flight.leg);
                assert!(flight.number < 10_000);
            }
        }
    }

    #[test]
    fn the_number_of_flights_is_about_what_was_asked() {
        for size in [1_000, 10_000, 100_000] {
            let (network, _) = planned(size);
            let ratio = network.flights.len() as f64 / size as f64;
            assert!((0.95..1.25).contains(&ratio), "{size}: {ratio}");
        }
    }

    #[test]
    fn a_hub_has_no_town_or_several() {
        for pair_count in PAIRS_MIN..=PAIRS_MAX {
            let towns = super::chosen_towns(pair_count);
            assert_eq!(towns.len(), pair_count);
            for hub in 0..super::HUB_COUNT {
                let of_hub: HashSet<_> = towns.iter().filter(|(of, _)| *of == hub).collect();
                assert_ne!(of_hub.len(), 1, "{pair_count} pairs, hub {hub}");
            }
        }
    }

    #[test]
    fn states_agree_with_the_clock() {
        let (network, reference) = planned(20_000);
        let day = Duration::days(1);
        for flight in &network.flights {
            match flight.state {
                State::Arrived { departed, at } => assert!(departed < at && at <= reference),
                State::Departed { at } => assert!(at <= reference && at >= flight.departs),
                State::Scheduled => assert!(flight.departs > reference + day),
                State::OnTime | State::Delayed => assert!(flight.departs <= reference + day),
                State::Cancelled => {}
            }
        }
        assert!(network.flights.iter().any(|flight| flight.state == State::Cancelled));
    }
}
