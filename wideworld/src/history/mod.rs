//! The wholesaler's days: what is ordered, picked, invoiced, delivered and paid, bought, received and counted.
//!
//! In: the plan. Out: rows, a day after the other. A row is given when nothing will change it any more; what is still
//! open is kept, which is some days of orders and some weeks of unpaid invoices, and is given at the end. So memory
//! does not grow with the history, and rows come out in an order in which their foreign keys hold.
//!
//! Invariants: stock on hand is the sum of all movements and never negative; an invoice's transaction is the sum of its
//! lines; a payment is the sum of what it settles.

mod document;
mod lines;
mod payments;
mod purchasing;
mod shipping;
mod shop;

use std::collections::{BTreeMap, VecDeque};

use chrono::{Datelike, Weekday};

use self::document::{Debt, Holding, Invoice, Order, PurchaseOrder};
use crate::masters::Masters;
use crate::plan::{Plan, key};
use crate::tables::{self, Table};

/// Rows that can be written, by table, in the order in which tables are filled.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    rows: BTreeMap<usize, Vec<String>>,
    count: usize,
}

impl Batch {
    pub(crate) fn add(&mut self, table: Table, line: String) {
        let place = tables::ALL.iter().position(|known| *known == table);
        let place = place.expect("every table is in the list of all tables");
        self.rows.entry(place).or_default().push(line);
        self.count += 1;
    }

    /// Rows in it.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The rows of each table.
    pub(crate) fn into_tables(self) -> impl Iterator<Item = (Table, Vec<String>)> {
        self.rows.into_iter().map(|(place, rows)| (tables::ALL[place], rows))
    }
}

/// The next key of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) order: i32,
    pub(crate) order_line: i32,
    pub(crate) invoice: i32,
    pub(crate) invoice_line: i32,
    pub(crate) purchase_order: i32,
    pub(crate) purchase_order_line: i32,
    /// Transactions of customers, suppliers and stock items.
    pub(crate) transaction: i32,
}

/// Takes the next key.
fn next(counter: &mut i32) -> i32 {
    *counter += 1;
    *counter - 1
}

/// The wholesaler on a day.
#[derive(Debug)]
pub(crate) struct History {
    plan: Plan,
    masters: Masters,
    keys: Keys,
    holdings: Vec<Holding>,
    orders: VecDeque<Order>,
    invoices: Vec<Invoice>,
    receivables: BTreeMap<i32, Vec<Debt>>,
    purchases: Vec<PurchaseOrder>,
    payables: BTreeMap<i32, Vec<Debt>>,
}

impl History {
    /// The wholesaler on the morning of the first day: the shelves are full.
    pub(crate) fn begin(plan: Plan, batch: &mut Batch) -> Self {
        let masters = Masters::begin(plan);
        let mut history = Self {
            plan,
            keys: Keys {
                order: 1,
                order_line: 1,
                invoice: 1,
                invoice_line: 1,
                purchase_order: 1,
                purchase_order_line: 1,
                transaction: 1,
            },
            holdings: Vec::new(),
            orders: VecDeque::new(),
            invoices: Vec::new(),
            receivables: BTreeMap::new(),
            purchases: Vec::new(),
            payables: BTreeMap::new(),
            masters,
        };
        history.fill_shelves(batch);
        history
    }

    /// Lives through a day. Nobody works on Sundays.
    pub(crate) fn day(&mut self, day: u64, batch: &mut Batch) {
        let date = self.plan.date(day);
        self.masters.advance(day);
        if date.weekday() == Weekday::Sun {
            return;
        }
        self.deliver(day, date, batch);
        self.receive(day, date, batch);
        self.ship(day, date, batch);
        self.sell(day, date);
        self.purchase(date);
        self.count_stock(day, date, batch);
        self.settle(day, date, batch);
    }

    /// Gives the rows of everything that is still open, and the next key of each kind.
    pub(crate) fn end(mut self, batch: &mut Batch) -> Keys {
        for order in std::mem::take(&mut self.orders) {
            self.give_order(&order, None, batch);
        }
        for invoice in std::mem::take(&mut self.invoices) {
            self.give_invoice(&invoice, None, batch);
            let debt = Self::debt_of(&invoice);
            lines::receivable(invoice.bill_to, &debt, None, batch);
        }
        for (customer, debts) in std::mem::take(&mut self.receivables) {
            for debt in debts {
                lines::receivable(customer, &debt, None, batch);
            }
        }
        for (supplier, debts) in std::mem::take(&mut self.payables) {
            for debt in debts {
                lines::payable(supplier, &debt, None, batch);
            }
        }
        for purchase in std::mem::take(&mut self.purchases) {
            self.give_purchase(&purchase, None, batch);
        }
        for (item, holding) in self.holdings.iter().enumerate() {
            let line = lines::holding(key(item), holding, self.masters.items[item].cost());
            batch.add(tables::STOCK_ITEM_HOLDINGS, line);
        }
        self.keys
    }
}

#[cfg(test)]
mod tests;
