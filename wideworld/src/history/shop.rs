//! Orders of customers.
//!
//! In: a day. Out: orders that wait to be picked. There are more before the end of the year and on Mondays, and
//! fewer on Saturdays.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Weekday};
use rand::RngExt;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::document::{Order, OrderLine};
use super::{History, next};
use crate::masters::SALESPEOPLE;
use crate::plan::{Purpose, key, moment, whole};

/// Lines of an order at most.
const LINES_MAX: usize = 5;

/// Seconds of the working day in which orders come.
const OPENS: u64 = 9 * 3_600;
const OPEN_FOR: usize = 8 * 3_600;

/// Whoever sells: one of the salespeople.
fn seller(rng: &mut ChaCha8Rng) -> i32 {
    rng.random_range(SALESPEOPLE)
}

/// How busy a day is beside an ordinary one, in per cent.
fn busy(date: NaiveDate) -> u32 {
    let weekday = match date.weekday() {
        Weekday::Mon => 120,
        Weekday::Sat => 50,
        Weekday::Sun => 0,
        _ => 105,
    };
    let season = if date.month() >= 11 { 120 } else { 97 };
    weekday * season / 100
}

impl History {
    /// Takes the orders of a day.
    pub(super) fn sell(&mut self, day: u64, date: NaiveDate) {
        let mut rng = self.plan.rng(day, Purpose::Orders);
        let ordinary = self.plan.orders_per_day() * f64::from(busy(date)) / 100.0;
        let count = whole((ordinary * rng.random_range(0.85..1.15)).round()).max(1);
        for number in 0..count {
            // Evenly over the day, so that later orders have later times.
            let seconds = u64::try_from(number * OPEN_FOR / count).unwrap_or(0);
            self.take_order(date, moment(date, OPENS + seconds), &mut rng);
        }
    }

    /// Takes an order of somebody, unless the customer is on hold.
    fn take_order(&mut self, date: NaiveDate, entered: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.masters.customers.len());
        let (line_count, salesperson) = (rng.random_range(1..=LINES_MAX), seller(rng));
        let items = sample(rng, self.masters.items.len(), line_count);
        let customer = &self.masters.customers[place];
        if !customer.may_order() {
            return;
        }
        let contact = customer.contact;
        let mut lines = Vec::with_capacity(line_count);
        for item in items {
            let quantity = rng.random_range(1..=12);
            let price = self.masters.unit_price(item, key(place), date);
            let id = next(&mut self.keys.order_line);
            lines.push(OrderLine { id, item, quantity, price });
        }
        self.orders.push_back(Order {
            id: next(&mut self.keys.order),
            customer: key(place),
            salesperson,
            contact,
            missing_from: None,
            date,
            is_backordered: rng.random_range(0..10) > 0,
            entered,
            lines,
        });
    }
}
