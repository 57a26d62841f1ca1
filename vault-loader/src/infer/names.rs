//! Names for what is inferred. Pure.
//!
//! In: names of the source, which may be anything. Out: names that a model takes: lower-case letters, digits and `_`,
//! not too long, each given once.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::model::{SYSTEM_COLUMNS, is_technical};

/// Names of vault tables stay so short that the views and indexes whose names begin with them fit, too.
const NAME_BYTES_MAX: usize = 48;

/// Ends of a column's name that say that it holds a key, and not whose.
const KEY_ENDINGS: [&str; 10] =
    ["_id", "_code", "_no", "_nr", "_num", "_number", "_ref", "_key", "_uuid", "_fk"];

/// The name in lower case with `_` between its words: `OrderLines` and `order lines` become `order_lines`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        let starts_word =
            c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        let ends_word = starts_word || !c.is_ascii_alphanumeric();
        if ends_word && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if c.is_ascii_alphanumeric() {
            snake.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    let snake = snake.trim_end_matches('_').to_owned();
    match snake.chars().next() {
        // A name in another script leaves nothing: a digest tells it from others.
        None => format!("x{}", digest(name)),
        Some(first) if first.is_ascii_digit() => format!("x{snake}"),
        Some(_) => snake,
    }
}

/// One of what a table has many of, as far as the ending tells: `cities` becomes `city`.
pub(super) fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies").filter(|stem| stem.len() > 1) {
        return format!("{stem}y");
    }
    for ending in ["sses", "shes", "ches", "xes", "zes"] {
        if name.ends_with(ending) {
            return name[..name.len() - 2].to_owned();
        }
    }
    let is_plural =
        name.ends_with('s') && !["ss", "us", "is"].iter().any(|end| name.ends_with(end));
    if is_plural { name[..name.len() - 1].to_owned() } else { name.to_owned() }
}

/// Whether a link can have this role: its column `<role>_hash_key` must not be too long, and not a technical one.
pub(super) fn is_role(role: &str) -> bool {
    role.len() <= NAME_BYTES_MAX && !is_technical(&format!("{role}_hash_key"))
}

/// A role that no name gives: the target and a number.
pub(super) fn numbered_role(target: &str, number: usize) -> String {
    shortened(&format!("{target}_{number}"))
}

/// What a column that refers to something says about it: `departure_airport_id` becomes `departure_airport`.
pub(super) fn role(column: &str) -> Option<String> {
    let snake = snake(column);
    let stem = KEY_ENDINGS.iter().find_map(|end| snake.strip_suffix(end)).unwrap_or(&snake);
    let stem = stem.trim_matches('_');
    (!stem.is_empty() && !KEY_ENDINGS.contains(&format!("_{stem}").as_str()))
        .then(|| stem.to_owned())
}

/// The name of a business column in the vault.
pub(super) fn column(name: &str) -> String {
    let snake = snake(name);
    let is_taken = is_technical(&snake) || SYSTEM_COLUMNS.contains(&snake.as_str());
    if is_taken { format!("source_{snake}") } else { snake }
}

/// Names that are given out once.
#[derive(Debug, Default)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    /// This name, shortened when it is too long, and with a number when it is given already.
    pub(super) fn take(&mut self, name: &str) -> String {
        let name = shortened(name);
        let mut free = name.clone();
        let mut number = 2;
        while !self.0.insert(free.clone()) {
            free = format!("{name}_{number}");
            number += 1;
        }
        free
    }
}

fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let digest = digest(name);
    format!("{}_{digest}", &name[..NAME_BYTES_MAX - digest.len() - 1])
}

fn digest(name: &str) -> String {
    hex::encode(&Sha256::digest(name.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_legal_one() {
        for (name, expected) in [
            ("order_lines", "order_lines"),
            ("OrderLines", "order_lines"),
            ("Order Lines", "order_lines"),
            ("orderLine2Tax", "order_line2_tax"),
            ("HTTPRequests", "httprequests"),
            ("_hidden_", "hidden"),
            ("2fa", "x2fa"),
            ("order-\"lines\"", "order_lines"),
        ] {
            assert_eq!(snake(name), expected);
        }
        assert_ne!(snake("Самолёты"), snake("Рейсы"), "names in another script stay apart");
    }

    #[test]
    fn what_a_table_has_one_of() {
        for (name, expected) in [
            ("cities", "city"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("flights", "flight"),
            ("bus", "bus"),
            ("analysis", "analysis"),
            ("address", "address"),
            ("ies", "ie"),
            ("people", "people"),
        ] {
            assert_eq!(singular(name), expected);
        }
    }

    #[test]
    fn a_role_is_what_a_column_says_about_its_target() {
        assert_eq!(role("departure_airport_id").as_deref(), Some("departure_airport"));
        assert_eq!(role("DepartureAirportId").as_deref(), Some("departure_airport"));
        assert_eq!(role("manager").as_deref(), Some("manager"));
        assert_eq!(role("id"), None);
        assert_eq!(role("_id"), None);
    }

    #[test]
    fn a_name_is_given_once_and_is_never_too_long() {
        let mut taken = Taken::default();
        assert_eq!(taken.take("hub_a"), "hub_a");
        assert_eq!(taken.take("hub_a"), "hub_a_2");
        let long = "sat_".to_owned() + &"x".repeat(80);
        let other = long.clone() + "y";
        let (one, two) = (taken.take(&long), taken.take(&other));
        assert!(one.len() <= NAME_BYTES_MAX && two.len() <= NAME_BYTES_MAX && one != two);
    }

    #[test]
    fn technical_columns_keep_their_names_to_themselves() {
        assert_eq!(column("load_date"), "source_load_date");
        assert_eq!(column("xmin"), "source_xmin");
        assert_eq!(column("Load Date"), "source_load_date");
        assert_eq!(column("loaded"), "loaded");
    }
}
