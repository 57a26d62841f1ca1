//! From the supplier to the shelf: purchase orders, receipts, stocktakes.
//!
//! In: what is on the shelves and what customers wait for. Out: purchase orders on their way, and the rows of what is
//! done. A stock item is ordered when what is there and what is coming, less what customers wait for, falls below its
//! reorder level.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use rand::RngExt;

use super::document::{Debt, Holding, PurchaseLine, PurchaseOrder, Receipt};
use super::{Batch, History, lines, next};
use crate::amount::{Cents, Thousandths};
use crate::masters::PICKERS;
use crate::plan::{Purpose, key, moment, place, whole};
use crate::reference::lists;

/// Days of ordinary sales that the reorder level and the target cover.
const REORDER_DAYS: f64 = 14.0;
const TARGET_DAYS: f64 = 30.0;

/// Units in a line of an order, and lines of an order, on the average.
const UNITS_PER_ORDER: f64 = 6.5 * 3.0;

/// Seconds of the day.
const RECEIVED_AT: u64 = 8 * 3_600;
const ORDERED_AT: u64 = 17 * 3_600;
const COUNTED_AT: u64 = 18 * 3_600;

/// Stock items that are counted on a Saturday.
const COUNTED: u32 = 10;

impl History {
    /// Puts goods on the shelves before the first day.
    pub(super) fn fill_shelves(&mut self, batch: &mut Batch) {
        let items = self.masters.items.len();
        let units_a_day = self.plan.orders_per_day() * UNITS_PER_ORDER
            / f64::from(u32::try_from(items).unwrap_or(u32::MAX));
        let units = |days: f64| {
            i32::try_from(whole((units_a_day * days).clamp(30.0, 1e6))).unwrap_or(i32::MAX)
        };
        let at = moment(self.plan.first_day, 0);
        for item in 0..items {
            let (reorder_level, target) = (units(REORDER_DAYS), 2 * units(TARGET_DAYS / 2.0));
            let transaction = next(&mut self.keys.transaction);
            let line = lines::movement(transaction, key(item), lists::STOCKTAKE, target, (at, 1));
            batch.add(crate::tables::STOCK_ITEM_TRANSACTIONS, line);
            self.holdings.push(Holding {
                on_hand: target,
                on_order: 0,
                counted: target,
                reorder_level,
                target,
                edited_by: 1,
                edited_at: at,
            });
        }
    }

    /// Receives what is due. Of one order in twenty a line comes short, and nothing follows.
    pub(super) fn receive(&mut self, day: u64, date: NaiveDate, batch: &mut Batch) {
        let mut rng = self.plan.rng(day, Purpose::Purchasing);
        let purchases = std::mem::take(&mut self.purchases);
        let (due, open): (Vec<_>, Vec<_>) =
            purchases.into_iter().partition(|purchase| purchase.expected <= date);
        self.purchases = open;
        for purchase in due {
            let mut outers: Vec<i32> = purchase.lines.iter().map(|line| line.outers).collect();
            if rng.random_range(0..20) == 0 {
                outers[0] -= rng.random_range(0..outers[0]);
            }
            let by = rng.random_range(PICKERS);
            let receipt = Receipt { date, at: moment(date, RECEIVED_AT), by, outers };
            self.book_receipt(&purchase, &receipt, batch);
        }
    }

    fn book_receipt(&mut self, purchase: &PurchaseOrder, receipt: &Receipt, batch: &mut Batch) {
        self.give_purchase(purchase, Some(receipt), batch);
        let mut net = Cents(0);
        for (line, outers) in purchase.lines.iter().zip(&receipt.outers) {
            let per_outer = self.masters.items[line.item].goods().per_outer;
            net += line.price * *outers;
            let holding = &mut self.holdings[line.item];
            holding.on_hand += outers * per_outer;
            holding.on_order -= line.outers * per_outer;
            (holding.edited_by, holding.edited_at) = (receipt.by, receipt.at);
            let transaction = next(&mut self.keys.transaction);
            let units = outers * per_outer;
            let text = lines::receipt(transaction, key(line.item), units, purchase, receipt);
            batch.add(crate::tables::STOCK_ITEM_TRANSACTIONS, text);
        }
        let debt = Debt {
            transaction: next(&mut self.keys.transaction),
            document: purchase.id,
            date: receipt.date,
            net,
            tax: net.percent(Thousandths(15_000)),
            edited_by: receipt.by,
            edited_at: receipt.at,
        };
        self.payables.entry(purchase.supplier).or_default().push(debt);
    }

    /// The rows of a purchase order, which nothing changes any more, or which is open at the end.
    pub(super) fn give_purchase(
        &self,
        purchase: &PurchaseOrder,
        receipt: Option<&Receipt>,
        batch: &mut Batch,
    ) {
        batch.add(crate::tables::PURCHASE_ORDERS, lines::purchase_order(purchase, receipt));
        for (place, line) in purchase.lines.iter().enumerate() {
            let item = &self.masters.items[line.item];
            let received = receipt.map(|receipt| (receipt, receipt.outers[place]));
            let text = lines::purchase_line(purchase, line, item, received);
            batch.add(crate::tables::PURCHASE_ORDER_LINES, text);
        }
    }

    /// Orders what runs low: one order for each supplier.
    pub(super) fn purchase(&mut self, date: NaiveDate) {
        let mut wanted = vec![0; self.holdings.len()];
        for line in self.orders.iter().flat_map(|order| &order.lines) {
            wanted[line.item] += line.quantity;
        }
        let mut by_supplier: BTreeMap<i32, Vec<PurchaseLine>> = BTreeMap::new();
        for (place, holding) in self.holdings.iter_mut().enumerate() {
            let expected = holding.on_hand + holding.on_order - wanted[place];
            if expected >= holding.reorder_level {
                continue;
            }
            let item = &self.masters.items[place];
            let per_outer = item.goods().per_outer;
            let outers = (holding.target - expected + per_outer - 1) / per_outer;
            holding.on_order += outers * per_outer;
            by_supplier.entry(item.supplier).or_default().push(PurchaseLine {
                id: 0, // given below, so that the lines of an order have keys that follow each other
                item: place,
                outers,
                price: item.cost() * per_outer,
            });
        }
        for (supplier, mut lines) in by_supplier {
            for line in &mut lines {
                line.id = next(&mut self.keys.purchase_order_line);
            }
            let lead = lines.iter().map(|line| self.masters.items[line.item].lead_days).max();
            let expected = date.checked_add_days(Days::new(lead.unwrap_or(1)));
            self.purchases.push(PurchaseOrder {
                id: next(&mut self.keys.purchase_order),
                supplier,
                contact: self.masters.suppliers[place(supplier)].contact,
                date,
                expected: expected.unwrap_or(date),
                entered: moment(date, ORDERED_AT),
                lines,
            });
        }
    }

    /// Counts some shelves on Saturdays. What is missing or too much becomes a movement.
    pub(super) fn count_stock(&mut self, day: u64, date: NaiveDate, batch: &mut Batch) {
        if date.weekday() != Weekday::Sat {
            return;
        }
        let mut rng = self.plan.rng(day, Purpose::Purchasing);
        rng.set_word_pos(1 << 40); // far beyond what the receipts of the same day draw
        for number in 0..COUNTED {
            let item = rng.random_range(0..self.holdings.len());
            let at = moment(date, COUNTED_AT + u64::from(number));
            let by = rng.random_range(PICKERS);
            let holding = &mut self.holdings[item];
            let counted = (holding.on_hand + rng.random_range(-3..=2)).max(0);
            let change = counted - holding.on_hand;
            (holding.on_hand, holding.counted) = (counted, counted);
            (holding.edited_by, holding.edited_at) = (by, at);
            if change != 0 {
                let transaction = next(&mut self.keys.transaction);
                let text =
                    lines::movement(transaction, key(item), lists::STOCKTAKE, change, (at, by));
                batch.add(crate::tables::STOCK_ITEM_TRANSACTIONS, text);
            }
        }
    }
}
