//! Names of people, organisations and streets, put together from parts.
//!
//! In: numbers. Out: names. Nobody real is meant. Telephone numbers have the prefix 555-01, which is kept for examples,
//! and addresses of mail and web have the domain example.

const GIVEN: [&str; 48] = [
    "Ada", "Alma", "Amir", "Anton", "Bao", "Bela", "Carla", "Chen", "Clara", "Dara", "David",
    "Dina", "Edith", "Elias", "Emil", "Esra", "Fatima", "Felix", "Greta", "Hana", "Hugo", "Ines",
    "Ivan", "Jana", "Jonas", "Kira", "Lars", "Lea", "Leon", "Lina", "Marta", "Milan", "Mina",
    "Nadia", "Nils", "Nora", "Omar", "Oskar", "Pavel", "Petra", "Rosa", "Samir", "Sara", "Tomas",
    "Uma", "Vera", "Yusuf", "Zoe",
];

const FAMILY: [&str; 50] = [
    "Abara", "Adler", "Bakker", "Baran", "Becker", "Bergman", "Castro", "Cohen", "Costa", "Dahl",
    "Demir", "Diaz", "Eriksen", "Farkas", "Fischer", "Fonseca", "Garcia", "Haddad", "Hansen",
    "Horvat", "Ito", "Jansen", "Kaya", "Keller", "Kim", "Kovacs", "Larsen", "Lopez", "Meyer",
    "Mori", "Nagy", "Novak", "Okafor", "Olsen", "Patel", "Peters", "Popov", "Rahman", "Reyes",
    "Rossi", "Santos", "Schmidt", "Silva", "Suzuki", "Tanaka", "Varga", "Vogel", "Weber", "Yilmaz",
    "Zeman",
];

const STREETS: [&str; 20] = [
    "Alder", "Birch", "Canal", "Cedar", "Chapel", "Elm", "Garden", "Harbour", "Hill", "Lake",
    "Maple", "Market", "Mill", "Oak", "Orchard", "Quarry", "River", "School", "Station", "Willow",
];

const STREET_KINDS: [&str; 5] = ["Street", "Avenue", "Road", "Lane", "Boulevard"];

const TRADES: [&str; 12] = [
    "Trading",
    "Traders",
    "Goods",
    "Supplies",
    "Imports",
    "Stores",
    "Retail",
    "Gifts",
    "Markets",
    "Outfitters",
    "Emporium",
    "Partners",
];

/// A name of a person: the given name and the family name.
pub(crate) fn person(number: usize) -> (&'static str, &'static str) {
    // The factors have no divisor in common with the lengths, so neighbours share no name.
    (GIVEN[number * 31 % GIVEN.len()], FAMILY[(number * 17 + number / GIVEN.len()) % FAMILY.len()])
}

/// The name of an organisation; different for numbers below 50 times 48.
pub(crate) fn organisation(number: usize) -> String {
    let family = FAMILY[number % FAMILY.len()];
    let partner = GIVEN[number / FAMILY.len() % GIVEN.len()];
    format!("{partner} {family} {}", TRADES[number * 7 % TRADES.len()])
}

/// Street and number.
pub(crate) fn street(number: usize) -> String {
    let name = STREETS[number * 7 % STREETS.len()];
    format!("{} {name} {}", number * 37 % 1900 + 1, STREET_KINDS[number * 3 % STREET_KINDS.len()])
}

/// A telephone number.
pub(crate) fn phone(number: usize) -> String {
    format!("({}) 555-01{:02}", 200 + number / 100 % 800, number % 100)
}

/// A domain for an organisation's number.
pub(crate) fn domain(kind: &str, number: usize) -> String {
    format!("{kind}{number}.example")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{organisation, person, phone};

    #[test]
    fn organisations_have_names_of_their_own() {
        let names: HashSet<_> = (0..50 * 48).map(organisation).collect();
        assert_eq!(names.len(), 50 * 48);
    }

    #[test]
    fn neighbours_share_no_name() {
        for number in 0..500 {
            let (one, other) = (person(number), person(number + 1));
            assert!(one.0 != other.0 && one.1 != other.1, "{number}");
        }
    }

    #[test]
    fn telephone_numbers_are_those_of_examples() {
        assert_eq!(phone(12_345), "(323) 555-0145");
    }
}
