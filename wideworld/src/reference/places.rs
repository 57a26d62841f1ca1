//! Countries, states and cities.
//!
//! Out: countries with their ISO codes, the states of one of them with the degrees of about their centres, and cities
//! with invented names around these centres. Populations are of the right size and not exact.

/// A country.
pub(crate) struct Country {
    pub(crate) name: &'static str,
    pub(crate) formal_name: &'static str,
    pub(crate) alpha3: &'static str,
    pub(crate) numeric: i32,
    pub(crate) continent: &'static str,
    pub(crate) subregion: &'static str,
    pub(crate) population: i64,
    /// Degrees east and north of about the middle.
    pub(crate) centre: (i32, i32),
}

const fn country(
    (name, formal_name): (&'static str, &'static str),
    (alpha3, numeric): (&'static str, i32),
    (continent, subregion): (&'static str, &'static str),
    millions: i64,
    centre: (i32, i32),
) -> Country {
    let population = millions * 1_000_000;
    Country { name, formal_name, alpha3, numeric, continent, subregion, population, centre }
}

/// The first country is the one whose states are listed.
pub(crate) const COUNTRIES: [Country; 16] = [
    country(
        ("United States", "United States of America"),
        ("USA", 840),
        ("North America", "Northern America"),
        335,
        (-98, 39),
    ),
    country(
        ("Canada", "Canada"),
        ("CAN", 124),
        ("North America", "Northern America"),
        40,
        (-106, 56),
    ),
    country(
        ("Mexico", "United Mexican States"),
        ("MEX", 484),
        ("North America", "Central America"),
        128,
        (-102, 23),
    ),
    country(
        ("Brazil", "Federative Republic of Brazil"),
        ("BRA", 76),
        ("South America", "South America"),
        214,
        (-53, -10),
    ),
    country(
        ("Argentina", "Argentine Republic"),
        ("ARG", 32),
        ("South America", "South America"),
        46,
        (-64, -34),
    ),
    country(
        ("United Kingdom", "United Kingdom of Great Britain and Northern Ireland"),
        ("GBR", 826),
        ("Europe", "Northern Europe"),
        67,
        (-2, 54),
    ),
    country(("France", "French Republic"), ("FRA", 250), ("Europe", "Western Europe"), 68, (2, 46)),
    country(
        ("Germany", "Federal Republic of Germany"),
        ("DEU", 276),
        ("Europe", "Western Europe"),
        84,
        (10, 51),
    ),
    country(
        ("Italy", "Italian Republic"),
        ("ITA", 380),
        ("Europe", "Southern Europe"),
        59,
        (12, 43),
    ),
    country(
        ("Poland", "Republic of Poland"),
        ("POL", 616),
        ("Europe", "Eastern Europe"),
        38,
        (19, 52),
    ),
    country(
        ("Russia", "Russian Federation"),
        ("RUS", 643),
        ("Europe", "Eastern Europe"),
        144,
        (96, 62),
    ),
    country(
        ("India", "Republic of India"),
        ("IND", 356),
        ("Asia", "Southern Asia"),
        1_420,
        (79, 22),
    ),
    country(
        ("China", "People's Republic of China"),
        ("CHN", 156),
        ("Asia", "Eastern Asia"),
        1_410,
        (104, 36),
    ),
    country(("Japan", "Japan"), ("JPN", 392), ("Asia", "Eastern Asia"), 124, (138, 37)),
    country(
        ("South Africa", "Republic of South Africa"),
        ("ZAF", 710),
        ("Africa", "Southern Africa"),
        60,
        (25, -29),
    ),
    country(
        ("Australia", "Commonwealth of Australia"),
        ("AUS", 36),
        ("Oceania", "Australia and New Zealand"),
        26,
        (134, -25),
    ),
];

/// Code, name, sales territory, population in thousands, and the degrees east and north of about the middle.
pub(crate) type State = (&'static str, &'static str, &'static str, i64, (i32, i32));

/// The states of the first country.
pub(crate) const STATES: [State; 51] = [
    ("AL", "Alabama", "Southeast", 5_074, (-87, 33)),
    ("AK", "Alaska", "Far West", 734, (-152, 64)),
    ("AZ", "Arizona", "Southwest", 7_359, (-112, 34)),
    ("AR", "Arkansas", "Southeast", 3_046, (-92, 35)),
    ("CA", "California", "Far West", 39_029, (-120, 37)),
    ("CO", "Colorado", "Rocky Mountain", 5_840, (-106, 39)),
    ("CT", "Connecticut", "New England", 3_626, (-73, 42)),
    ("DE", "Delaware", "Mideast", 1_018, (-76, 39)),
    ("DC", "District of Columbia", "Mideast", 672, (-77, 39)),
    ("FL", "Florida", "Southeast", 22_245, (-82, 28)),
    ("GA", "Georgia", "Southeast", 10_913, (-83, 33)),
    ("HI", "Hawaii", "Far West", 1_440, (-157, 20)),
    ("ID", "Idaho", "Rocky Mountain", 1_939, (-114, 44)),
    ("IL", "Illinois", "Great Lakes", 12_582, (-89, 40)),
    ("IN", "Indiana", "Great Lakes", 6_833, (-86, 40)),
    ("IA", "Iowa", "Plains", 3_201, (-94, 42)),
    ("KS", "Kansas", "Plains", 2_937, (-98, 38)),
    ("KY", "Kentucky", "Southeast", 4_512, (-85, 38)),
    ("LA", "Louisiana", "Southeast", 4_590, (-92, 31)),
    ("ME", "Maine", "New England", 1_385, (-69, 45)),
    ("MD", "Maryland", "Mideast", 6_165, (-77, 39)),
    ("MA", "Massachusetts", "New England", 6_982, (-72, 42)),
    ("MI", "Michigan", "Great Lakes", 10_034, (-85, 44)),
    ("MN", "Minnesota", "Plains", 5_717, (-94, 46)),
    ("MS", "Mississippi", "Southeast", 2_940, (-90, 33)),
    ("MO", "Missouri", "Plains", 6_178, (-92, 38)),
    ("MT", "Montana", "Rocky Mountain", 1_123, (-110, 47)),
    ("NE", "Nebraska", "Plains", 1_968, (-100, 41)),
    ("NV", "Nevada", "Far West", 3_178, (-117, 39)),
    ("NH", "New Hampshire", "New England", 1_395, (-72, 44)),
    ("NJ", "New Jersey", "Mideast", 9_262, (-75, 40)),
    ("NM", "New Mexico", "Southwest", 2_113, (-106, 34)),
    ("NY", "New York", "Mideast", 19_677, (-75, 43)),
    ("NC", "North Carolina", "Southeast", 10_699, (-79, 36)),
    ("ND", "North Dakota", "Plains", 779, (-100, 47)),
    ("OH", "Ohio", "Great Lakes", 11_756, (-83, 40)),
    ("OK", "Oklahoma", "Southwest", 4_020, (-97, 36)),
    ("OR", "Oregon", "Far West", 4_240, (-121, 44)),
    ("PA", "Pennsylvania", "Mideast", 12_972, (-78, 41)),
    ("RI", "Rhode Island", "New England", 1_094, (-72, 42)),
    ("SC", "South Carolina", "Southeast", 5_283, (-81, 34)),
    ("SD", "South Dakota", "Plains", 910, (-100, 44)),
    ("TN", "Tennessee", "Southeast", 7_051, (-86, 36)),
    ("TX", "Texas", "Southwest", 30_030, (-99, 31)),
    ("UT", "Utah", "Rocky Mountain", 3_381, (-112, 39)),
    ("VT", "Vermont", "New England", 647, (-73, 44)),
    ("VA", "Virginia", "Southeast", 8_684, (-79, 37)),
    ("WA", "Washington", "Far West", 7_786, (-120, 47)),
    ("WV", "West Virginia", "Southeast", 1_775, (-81, 39)),
    ("WI", "Wisconsin", "Great Lakes", 5_893, (-90, 44)),
    ("WY", "Wyoming", "Rocky Mountain", 581, (-108, 43)),
];

/// Cities of each state.
pub(crate) const CITIES_PER_STATE: usize = 12;

const STEMS: [&str; 17] = [
    "Alder", "Bell", "Brook", "Clear", "Cross", "Deer", "Elk", "Fair", "Glen", "Green", "Hart",
    "Kings", "Maple", "Mill", "Oak", "Stone", "West",
];
const ENDS: [&str; 13] = [
    "field", "wood", "ton", "ville", "port", "burg", "dale", "ford", "haven", "mont", "side",
    "view", "water",
];

/// The name of a city of a state. Two states may have a city of the same name; a state has not.
pub(crate) fn city_name(state: usize, city: usize) -> String {
    let number = state * 5 + city;
    format!("{}{}", STEMS[number % STEMS.len()], ENDS[(state * 3 + city) % ENDS.len()])
}

/// Where a city is, as well-known text: hundredths of a degree around the middle of its state.
pub(crate) fn city_location(state: usize, city: usize) -> String {
    let (east, north) = STATES[state].4;
    let shift = |factor: usize| {
        let hundredths = (state * 7 + city + 1) * factor % 150;
        i32::try_from(hundredths).unwrap_or_default() - 75
    };
    format!("POINT({} {})", degrees(east * 100 + shift(37)), degrees(north * 100 + shift(53)))
}

/// A rectangle around the middle, as well-known text; half its sides are so many degrees.
pub(crate) fn border((east, north): (i32, i32), half: i32) -> String {
    let (left, right) = (east - half, east + half);
    let (bottom, top) = (north - half, north + half);
    format!(
        "MULTIPOLYGON((({left} {bottom},{right} {bottom},{right} {top},{left} {top},{left} {bottom})))"
    )
}

fn degrees(hundredths: i32) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_state_has_no_two_cities_of_one_name() {
        for (state, (_, state_name, ..)) in STATES.iter().enumerate() {
            let names: HashSet<_> =
                (0..CITIES_PER_STATE).map(|city| city_name(state, city)).collect();
            assert_eq!(names.len(), CITIES_PER_STATE, "{state_name}");
        }
    }

    #[test]
    fn places_are_well_known_text() {
        assert_eq!(degrees(-7), "-0.07");
        assert!(city_location(4, 0).starts_with("POINT(-1"), "{}", city_location(4, 0));
        assert_eq!(border((2, 46), 1), "MULTIPOLYGON(((1 45,3 45,3 47,1 47,1 45)))");
    }
}
