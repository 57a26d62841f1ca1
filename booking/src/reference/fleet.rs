//! The fleet: aircraft models, their ranges and their cabins.
//!
//! Out: the models and every seat of each. A seat number is a row and a letter and occurs once in its model.

use std::fmt;

/// A travel class, named as the column `fare_conditions` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fare {
    /// The cheapest class; every model has it.
    Economy,
    /// More room, on the largest model only.
    Comfort,
    /// The most expensive class.
    Business,
}

impl Fare {
    /// Every class, in the order of [`Fare::index`].
    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [Self::Economy, Self::Comfort, Self::Business];

    /// Place of the class in arrays that hold one value a class.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Economy => 0,
            Self::Comfort => 1,
            Self::Business => 2,
        }
    }

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Economy => "Economy",
            Self::Comfort => "Comfort",
            Self::Business => "Business",
        }
    }
}

impl fmt::Display for Fare {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Rows of one class that have the same seat letters.
pub(crate) struct Cabin {
    fare: Fare,
    first_row: u32,
    last_row: u32,
    letters: &'static str,
}

/// An aircraft model as the table `aircrafts` holds it, with its cabins.
pub(crate) struct Model {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) range_km: u32,
    cabins: &'static [Cabin],
}

impl Model {
    /// Every seat, from the nose to the tail.
    pub(crate) fn seats(&self) -> impl Iterator<Item = (String, Fare)> {
        self.cabins.iter().flat_map(|cabin| {
            (cabin.first_row..=cabin.last_row).flat_map(move |row| {
                cabin.letters.chars().map(move |letter| (format!("{row}{letter}"), cabin.fare))
            })
        })
    }

    /// Number of seats by class, by [`Fare::index`].
    pub(crate) fn capacity(&self) -> [u32; 3] {
        let mut capacity = [0; 3];
        for (_, fare) in self.seats() {
            capacity[fare.index()] += 1;
        }
        capacity
    }
}

const fn cabin(fare: Fare, rows: (u32, u32), letters: &'static str) -> Cabin {
    Cabin { fare, first_row: rows.0, last_row: rows.1, letters }
}

/// Places of models in [`FLEET`] that the network asks for by name.
pub(crate) const CARAVAN: usize = 7;
/// The regional jet, the smallest with a crew.
pub(crate) const REGIONAL_JET: usize = 8;

/// All models.
pub(crate) const FLEET: &[Model] = &[
    Model {
        code: "773",
        name: "Boeing 777-300",
        range_km: 11_100,
        cabins: &[
            cabin(Fare::Business, (1, 5), "ACDGHK"),
            cabin(Fare::Comfort, (11, 16), "ACDEFGHK"),
            cabin(Fare::Economy, (17, 48), "ABCDEFGHJK"),
        ],
    },
    Model {
        code: "763",
        name: "Boeing 767-300",
        range_km: 7_900,
        cabins: &[
            cabin(Fare::Business, (1, 5), "ABDFGH"),
            cabin(Fare::Economy, (12, 39), "ABDEFGH"),
        ],
    },
    Model {
        code: "321",
        name: "Airbus A321-200",
        range_km: 5_600,
        cabins: &[cabin(Fare::Business, (1, 7), "ACDF"), cabin(Fare::Economy, (8, 31), "ABCDEF")],
    },
    Model {
        code: "320",
        name: "Airbus A320-200",
        range_km: 5_700,
        cabins: &[cabin(Fare::Business, (1, 5), "ACDF"), cabin(Fare::Economy, (6, 25), "ABCDEF")],
    },
    Model {
        code: "319",
        name: "Airbus A319-100",
        range_km: 6_700,
        cabins: &[cabin(Fare::Business, (1, 5), "ACDF"), cabin(Fare::Economy, (6, 21), "ABCDEF")],
    },
    Model {
        code: "733",
        name: "Boeing 737-300",
        range_km: 4_200,
        cabins: &[cabin(Fare::Business, (1, 3), "ACDF"), cabin(Fare::Economy, (4, 23), "ABCDEF")],
    },
    Model {
        code: "SU9",
        name: "Sukhoi Superjet-100",
        range_km: 3_000,
        cabins: &[cabin(Fare::Business, (1, 3), "ACDF"), cabin(Fare::Economy, (4, 20), "ACDEF")],
    },
    Model {
        code: "CN1",
        name: "Cessna 208 Caravan",
        range_km: 1_200,
        cabins: &[cabin(Fare::Economy, (1, 6), "AB")],
    },
    Model {
        code: "CR2",
        name: "Bombardier CRJ-200",
        range_km: 2_700,
        cabins: &[cabin(Fare::Economy, (1, 13), "ABCD")],
    },
];

/// The model that flies a route: small ones to small towns, large ones on trunk routes, never beyond its range.
pub(crate) fn model_for(distance_km: f64, weight: u32) -> usize {
    let preferred: &[usize] = match weight {
        0..=1 if distance_km < 500.0 => &[CARAVAN, REGIONAL_JET],
        0..=1 => &[REGIONAL_JET, 6, 5, 4, 1],
        2..=3 => &[6, 5, 4, 1],
        4..=5 => &[5, 3, 4, 1],
        6..=9 => &[2, 3, 4, 1],
        _ => &[0],
    };
    // A tenth of the range is kept for head wind and diversions.
    let in_range = |model: &&usize| f64::from(FLEET[**model].range_km) * 0.9 >= distance_km;
    preferred.iter().find(in_range).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{CARAVAN, FLEET, Fare, REGIONAL_JET, model_for};

    #[test]
    fn a_seat_number_occurs_once_in_its_model() {
        for model in FLEET {
            let seats: Vec<_> = model.seats().map(|(seat_no, _)| seat_no).collect();
            let distinct: HashSet<_> = seats.iter().collect();
            assert_eq!(distinct.len(), seats.len(), "{}", model.code);
            assert!(seats.iter().all(|seat_no| seat_no.len() <= 4), "{}", model.code);
        }
    }

    #[test]
    fn every_model_has_economy_seats() {
        assert!(FLEET.iter().all(|model| model.capacity()[Fare::Economy.index()] > 0));
    }

    #[test]
    fn named_places_hold_the_models_they_name() {
        assert_eq!(FLEET[CARAVAN].code, "CN1");
        assert_eq!(FLEET[REGIONAL_JET].code, "CR2");
    }

    #[test]
    fn no_route_is_flown_beyond_its_models_range() {
        for weight in 0..12 {
            for hundreds in 1..80 {
                let distance_km = f64::from(hundreds) * 100.0;
                let model = &FLEET[model_for(distance_km, weight)];
                assert!(f64::from(model.range_km) >= distance_km, "{} {distance_km}", model.code);
            }
        }
    }
}
