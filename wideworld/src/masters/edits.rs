//! What is edited on a day, and who comes new.
//!
//! In: the number of a day. Out: masters after that day, and the versions that ended. Edits of a day are at least a
//! minute apart, and everybody who is new came before the first of them.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::begin::SALESPEOPLE;
use super::{Deal, DealPrice, Ended, Masters, lines};
use crate::amount::{Cents, Thousandths};
use crate::plan::{Purpose, key, moment};
use crate::reference::goods::GOODS;
use crate::reference::lists::{BUYING_GROUPS, STOCK_GROUPS};
use crate::tables;

/// When new customers are entered, and when the first edit of a day is made: seconds of the day.
const NEWCOMERS_AT: u64 = 8 * 3_600;
const EDITS_FROM: u64 = 9 * 3_600;

/// Seconds between two edits.
const APART: u64 = 67;

/// Edits of a day at most.
const EDITS_MAX: u64 = 11;

impl Masters {
    /// Makes the edits of a day.
    pub(crate) fn advance(&mut self, day: u64) {
        let date = self.plan.date(day);
        let mut rng = self.plan.rng(day, Purpose::Edits);
        if rng.random_range(0..6) == 0 && self.customers.len() < 1_990 {
            self.add_customer(moment(date, NEWCOMERS_AT), &mut rng);
        }
        for edit in 0..rng.random_range(3..=EDITS_MAX) {
            let at = moment(date, EDITS_FROM + edit * APART);
            match rng.random_range(0..100) {
                0..35 => self.edit_customer(at, &mut rng),
                35..65 => self.edit_person(at, &mut rng),
                65..92 => self.edit_item(at, &mut rng),
                92..96 => self.edit_supplier(at, &mut rng),
                _ => self.count_city(at, &mut rng),
            }
        }
        if date.day() == 1 || day == 0 {
            self.offer_deals(date, &mut rng);
        }
    }

    fn end(&mut self, table: tables::Table, line: String) {
        self.ended.push(Ended { table, line });
    }

    fn edit_customer(&mut self, at: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.customers.len());
        let old = lines::customer(place, &self.customers[place], Some(at));
        self.end(tables::CUSTOMERS, old);
        let customer = &mut self.customers[place];
        match rng.random_range(0..4) {
            0 => customer.phone = rng.random_range(0..80_000),
            1 => customer.discount = Thousandths(rng.random_range(0..20) * 250),
            2 => customer.credit_limit = Some(Cents(rng.random_range(10..60) * 10_000)),
            // Whoever pays for a group is never on hold, and a hold ends with the next edit of this kind.
            _ => customer.is_on_hold = !customer.is_on_hold && place >= BUYING_GROUPS.len(),
        }
        customer.edited_by = rng.random_range(SALESPEOPLE);
        customer.since = at;
    }

    fn edit_person(&mut self, at: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(1..self.people.len());
        let old = lines::person(place, &self.people[place], Some(at), self.plan.seed);
        self.end(tables::PEOPLE, old);
        let person = &mut self.people[place];
        if rng.random_bool(0.5) {
            person.phone = rng.random_range(0..80_000);
        } else {
            person.theme += 1;
        }
        person.edited_by = key(place);
        person.since = at;
    }

    fn edit_item(&mut self, at: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.items.len());
        let old = lines::item(place, &self.items[place], Some(at), self.plan.seed);
        self.end(tables::STOCK_ITEMS, old);
        let item = &mut self.items[place];
        if rng.random_range(0..10) == 0 {
            item.photo = Some(item.photo.map_or(0, |version| version + 1));
        } else {
            // Within a tenth of the price of its kind, in steps of five cents.
            let usual = GOODS[item.kind].price;
            item.price = Cents((usual + usual * rng.random_range(-10..=10) / 100) / 5 * 5);
        }
        item.edited_by = rng.random_range(SALESPEOPLE);
        item.since = at;
    }

    fn edit_supplier(&mut self, at: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.suppliers.len());
        let old = lines::supplier(place, &self.suppliers[place], Some(at));
        self.end(tables::SUPPLIERS, old);
        let supplier = &mut self.suppliers[place];
        supplier.phone = rng.random_range(0..80_000);
        supplier.edited_by = rng.random_range(SALESPEOPLE);
        supplier.since = at;
    }

    fn count_city(&mut self, at: NaiveDateTime, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.cities.len());
        let old = lines::city(place, &self.cities[place], Some(at));
        self.end(tables::CITIES, old);
        let city = &mut self.cities[place];
        city.population += city.population * rng.random_range(-20..=30) / 1_000;
        city.since = at;
    }

    /// Three deals for a month: one of each kind.
    fn offer_deals(&mut self, from: NaiveDate, rng: &mut ChaCha8Rng) {
        let to = from.checked_add_days(Days::new(27)).unwrap_or(from);
        let stock_group = rng.random_range(0..STOCK_GROUPS.len());
        let buying_group = key(rng.random_range(0..BUYING_GROUPS.len()));
        let off = Thousandths(rng.random_range(2..=15) * 1_000);
        let (reduced, fixed) =
            (rng.random_range(0..self.items.len()), rng.random_range(0..self.items.len()));
        let customer = key(rng.random_range(0..self.customers.len()));
        let usual = |item: usize| GOODS[self.items[item].kind].price;
        let prices = [
            DealPrice::Percent { stock_group, buying_group, off },
            DealPrice::Amount { item: reduced, off: Cents(usual(reduced) / 10) },
            DealPrice::Fixed { item: fixed, customer, price: Cents(usual(fixed) * 8 / 10) },
        ];
        self.deals.extend(prices.map(|price| Deal { from, to, price }));
    }
}
