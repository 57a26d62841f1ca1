//! What a segment costs, by time in the air, class and demand of the day.
//!
//! In and out: whole numbers. Money is in kopecks, as `numeric(10,2)` holds it, and always a positive multiple of a
//! hundred roubles.

use super::fleet::Fare;

/// Kopecks in the step to which prices are rounded: a hundred roubles.
const STEP_KOPECKS: i64 = 10_000;

/// What starting and landing costs, in kopecks.
const BASE_KOPECKS: i64 = 150_000;

/// What a minute in the air costs, in kopecks.
const MINUTE_KOPECKS: i64 = 5_000;

/// Price of a segment in kopecks. `demand_percent` is 100 on an ordinary day.
pub(crate) fn price_kopecks(minutes: i64, fare: Fare, demand_percent: i64) -> i64 {
    let class_percent = match fare {
        Fare::Economy => 100,
        Fare::Comfort => 160,
        Fare::Business => 300,
    };
    let price = (BASE_KOPECKS + minutes * MINUTE_KOPECKS) * class_percent * demand_percent / 10_000;
    rounded_kopecks(price)
}

/// An amount rounded to the price step, never below one step.
pub(crate) fn rounded_kopecks(kopecks: i64) -> i64 {
    ((kopecks + STEP_KOPECKS / 2) / STEP_KOPECKS).max(1) * STEP_KOPECKS
}

/// An amount as `numeric(10,2)` reads it.
pub(crate) fn roubles(kopecks: i64) -> String {
    format!("{}.{:02}", kopecks / 100, kopecks % 100)
}

#[cfg(test)]
mod tests {
    use super::{price_kopecks, roubles};
    use crate::reference::fleet::Fare;

    #[test]
    fn prices_are_positive_multiples_of_a_hundred_roubles() {
        for minutes in 30..700 {
            for fare in Fare::ALL {
                let price = price_kopecks(minutes, fare, 83);
                assert!(price > 0 && price % 10_000 == 0, "{minutes} {fare} {price}");
            }
        }
    }

    #[test]
    fn a_dearer_class_costs_more() {
        let [economy, comfort, business] = Fare::ALL.map(|fare| price_kopecks(90, fare, 100));
        assert!(economy < comfort && comfort < business);
    }

    #[test]
    fn roubles_keep_two_digits() {
        assert_eq!(roubles(620_005), "6200.05");
    }
}
