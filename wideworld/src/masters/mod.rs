//! Who and what the wholesaler deals with: people, suppliers, customers, stock items, special deals; how they change.
//!
//! In: the plan. Out: their state on each day, and the versions that ended. Masters change by the plan alone and never
//! by what is bought or sold. So their rows at the end can be written before the documents that refer to them, while
//! the documents of a day are made with the masters of that day.
//! Invariant: versions of a row follow each other without a gap, and each lasts a minute at least.

mod begin;
mod edits;
mod lines;

use chrono::{NaiveDate, NaiveDateTime};

use crate::amount::{Cents, Thousandths};
use crate::plan::Plan;
use crate::tables::Table;

pub(crate) use self::begin::{PICKERS, SALESPEOPLE};

/// Somebody: staff, or a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Place in the list of names.
    number: usize,
    role: Role,
    phone: usize,
    theme: usize,
    edited_by: i32,
    since: NaiveDateTime,
}

/// What a person is to the wholesaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    Salesperson,
    Picker,
    Contact,
}

/// A supplier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Supplier {
    pub(crate) name: String,
    category: i32,
    pub(crate) contact: i32,
    alternate: i32,
    city: usize,
    pub(crate) payment_days: u64,
    phone: usize,
    edited_by: i32,
    since: NaiveDateTime,
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    pub(crate) name: String,
    /// Key of who pays.
    pub(crate) bill_to: i32,
    category: i32,
    pub(crate) buying_group: Option<i32>,
    pub(crate) contact: i32,
    alternate: Option<i32>,
    city: usize,
    credit_limit: Option<Cents>,
    opened: NaiveDate,
    discount: Thousandths,
    is_on_hold: bool,
    pub(crate) payment_days: u64,
    phone: usize,
    edited_by: i32,
    since: NaiveDateTime,
}

/// A stock item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// Place in the kinds of goods.
    pub(crate) kind: usize,
    pub(crate) supplier: i32,
    color: Option<usize>,
    size: &'static str,
    pub(crate) lead_days: u64,
    pub(crate) price: Cents,
    photo: Option<u64>,
    edited_by: i32,
    since: NaiveDateTime,
}

/// A special price for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deal {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    pub(crate) price: DealPrice,
}

/// What a deal is about; each kind has one of the three columns of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DealPrice {
    /// Per cent off everything of a stock group, for a buying group.
    Percent { stock_group: usize, buying_group: i32, off: Thousandths },
    /// An amount off a stock item, for everybody.
    Amount { item: usize, off: Cents },
    /// A price of a stock item, for one customer.
    Fixed { item: usize, customer: i32, price: Cents },
}

/// A version that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) table: Table,
    pub(crate) line: String,
}

/// Everybody and everything, on a day.
#[derive(Debug, Clone)]
pub(crate) struct Masters {
    plan: Plan,
    pub(crate) people: Vec<Person>,
    pub(crate) suppliers: Vec<Supplier>,
    pub(crate) customers: Vec<Customer>,
    pub(crate) items: Vec<Item>,
    pub(crate) deals: Vec<Deal>,
    cities: Vec<City>,
    ended: Vec<Ended>,
}

/// The population of a city, which is counted anew now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct City {
    population: i64,
    since: NaiveDateTime,
}

impl Customer {
    /// The way that the van takes to the customer, and the place on the way.
    pub(crate) fn run(&self) -> (String, String) {
        (format!("R{:02}", self.city % 40), format!("{}", self.city / 40 + 1))
    }

    /// Whether the customer may order.
    pub(crate) fn may_order(&self) -> bool {
        !self.is_on_hold
    }
}

impl Item {
    /// Whether it is kept cold.
    pub(crate) fn is_chilled(&self) -> bool {
        self.goods().is_chilled
    }

    pub(crate) fn goods(&self) -> &'static crate::reference::goods::Goods {
        &crate::reference::goods::GOODS[self.kind]
    }

    /// What the wholesaler pays for a unit.
    pub(crate) fn cost(&self) -> Cents {
        Cents(self.goods().price * 60 / 100)
    }

    pub(crate) fn tax_rate(&self) -> Thousandths {
        Thousandths(if self.is_chilled() { 10_000 } else { 15_000 })
    }
}

impl Deal {
    fn price_for(&self, item: usize, is_kind: &Item, customer: (i32, &Customer)) -> Option<Cents> {
        match self.price {
            DealPrice::Percent { stock_group, buying_group, off }
                if customer.1.buying_group == Some(buying_group)
                    && is_kind.goods().groups.contains(&stock_group) =>
            {
                Some(is_kind.price - is_kind.price.percent(off))
            }
            DealPrice::Amount { item: of, off } if of == item => Some(is_kind.price - off),
            DealPrice::Fixed { item: of, customer: whose, price }
                if of == item && whose == customer.0 =>
            {
                Some(price)
            }
            _ => None,
        }
    }
}

impl Masters {
    /// What a customer pays for a unit on a day: the least of the price and the deals.
    pub(crate) fn unit_price(&self, item: usize, customer: i32, day: NaiveDate) -> Cents {
        let sold = &self.items[item];
        let buyer = &self.customers[crate::plan::place(customer)];
        let deals = self.deals.iter().filter(|deal| deal.from <= day && day <= deal.to);
        let offered = deals.filter_map(|deal| deal.price_for(item, sold, (customer, buyer)));
        offered.fold(sold.price, Ord::min)
    }

    /// How many versions [`Self::take_ended`] will give.
    pub(crate) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// Versions that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan() -> Plan {
        let first_day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        Plan { seed: 7, first_day, scale: 0.2 }
    }

    fn after(days: u64) -> Masters {
        let mut masters = Masters::begin(plan());
        for day in 0..days {
            masters.advance(day);
        }
        masters
    }

    fn last_two(line: &str) -> (String, String) {
        let mut fields = line.rsplit('\t').map(str::to_owned);
        let to = fields.next().unwrap();
        (fields.next().unwrap(), to)
    }

    #[test]
    fn versions_follow_each_other_without_a_gap() {
        let mut masters = after(60);
        let mut ends: HashMap<(String, String), String> = HashMap::new();
        let ended = masters.take_ended();
        assert!(ended.len() > 100, "{}", ended.len());
        for Ended { table, line } in ended {
            let key = line.split('\t').next().unwrap().to_owned();
            let (from, to) = last_two(&line);
            assert!(from < to, "{line}");
            let place = (table.name.to_owned(), key);
            if let Some(before) = ends.insert(place, to) {
                assert_eq!(before, from, "{line}");
            }
        }
        for table in crate::tables::ALL {
            for line in masters.lines(table) {
                let place = (table.name.to_owned(), line.split('\t').next().unwrap().to_owned());
                if let Some(before) = ends.get(&place) {
                    assert_eq!(*before, last_two(&line).0, "{line}");
                }
            }
        }
    }

    #[test]
    fn the_first_days_do_not_depend_on_those_that_follow() {
        let (mut short, mut long) = (after(10), Masters::begin(plan()));
        for day in 0..10 {
            long.advance(day);
        }
        assert_eq!(short.take_ended(), long.take_ended());
        assert_eq!(short.customers, long.customers);
    }

    #[test]
    fn a_deal_makes_nothing_dearer_and_nothing_free() {
        let masters = after(90);
        assert!(masters.deals.len() > 3);
        let day = plan().date(60);
        let mut cheaper = 0;
        for item in 0..masters.items.len() {
            for customer in [1, 2, 5, 10] {
                let price = masters.unit_price(item, customer, day);
                assert!(price <= masters.items[item].price && price.0 > 0);
                cheaper += usize::from(price < masters.items[item].price);
            }
        }
        assert!(cheaper > 0);
    }

    #[test]
    fn names_of_customers_and_stock_items_are_unique() {
        let masters = after(60);
        let distinct = |names: Vec<&String>| {
            names.iter().collect::<std::collections::HashSet<_>>().len() == names.len()
        };
        assert!(distinct(masters.customers.iter().map(|customer| &customer.name).collect()));
        assert!(distinct(masters.items.iter().map(|item| &item.name).collect()));
        assert!(distinct(masters.suppliers.iter().map(|supplier| &supplier.name).collect()));
    }
}
