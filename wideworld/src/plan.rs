//! What a history is determined by: the seed, the first day and the scale.
//!
//! In: options. Out: dates, quantities, and random numbers. Each day has generators of its own, so that a day's draws
//! depend on what happened before it and never on how many days follow.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Orders of an ordinary day at scale 1.
const ORDERS_PER_DAY: f64 = 400.0;

/// Customers on the first day at scale 1.
const CUSTOMERS: f64 = 600.0;

/// The seed, the first day and the scale of a history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) first_day: NaiveDate,
    pub(crate) scale: f64,
}

/// What random numbers are for. Each purpose has its own on each day.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Customers, suppliers and stock items of the first day.
    Beginning,
    /// Edits, and new customers.
    Edits,
    /// Orders of customers.
    Orders,
    /// Picking, invoices and deliveries.
    Shipping,
    /// Payments.
    Payments,
    /// Purchase orders, receipts and stocktakes.
    Purchasing,
}

/// Purposes that a day has room for.
const PURPOSES: u64 = 8;

impl Plan {
    /// The day of this number; the first is 0.
    pub(crate) fn date(&self, day: u64) -> NaiveDate {
        self.first_day.checked_add_days(Days::new(day)).unwrap_or(NaiveDate::MAX)
    }

    pub(crate) fn rng(&self, day: u64, purpose: Purpose) -> ChaCha8Rng {
        let place = match purpose {
            Purpose::Beginning => 0,
            Purpose::Edits => 1,
            Purpose::Orders => 2,
            Purpose::Shipping => 3,
            Purpose::Payments => 4,
            Purpose::Purchasing => 5,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(day * PURPOSES + place);
        rng
    }

    pub(crate) fn orders_per_day(&self) -> f64 {
        (ORDERS_PER_DAY * self.scale).max(1.0)
    }

    /// Customers on the first day: enough for the groups, and not more than there are names.
    pub(crate) fn customer_count(&self) -> usize {
        whole((CUSTOMERS * self.scale).clamp(20.0, 1_500.0))
    }
}

/// A number without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers have limited the number to some thousands"
)]
pub(crate) fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

/// A moment of a day: so many seconds after its beginning.
pub(crate) fn moment(day: NaiveDate, seconds: u64) -> NaiveDateTime {
    let seconds = TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default());
    day.and_time(NaiveTime::MIN) + seconds
}

/// A key from a place that begins at zero.
pub(crate) fn key(place: usize) -> i32 {
    i32::try_from(place + 1).expect("keys of a history stay far below the largest integer")
}

/// The place of a key.
pub(crate) fn place(key: i32) -> usize {
    usize::try_from(key - 1).expect("keys begin at one")
}
