//! From the shelf to the customer: picking, invoices, deliveries.
//!
//! In: the orders that wait. Out: invoices on their way, and the rows of what is done. Goods leave the shelf when they
//! are invoiced, which is right after they were picked. An order of which something is missing is split if the customer
//! wants that: what is missing becomes an order of its own. Otherwise the order waits.

use chrono::NaiveDate;
use rand::RngExt;
use serde_json::json;

use super::document::{Debt, Delivery, Invoice, InvoiceLine, Order, OrderLine, Picking};
use super::{Batch, History, lines, next};
use crate::masters::PICKERS;
use crate::plan::{Purpose, moment, place};
use crate::reference::names;

/// Seconds of the day.
const DELIVERY_FROM: u64 = 7 * 3_600;
const PICKING_FROM: u64 = 11 * 3_600;

impl History {
    /// Delivers what was invoiced on earlier days. From then on the customer owes it.
    pub(super) fn deliver(&mut self, day: u64, date: NaiveDate, batch: &mut Batch) {
        let mut rng = self.plan.rng(day, Purpose::Shipping);
        for invoice in std::mem::take(&mut self.invoices) {
            let at = moment(date, DELIVERY_FROM + rng.random_range(0..9 * 3_600));
            let (given, family) = names::person(rng.random_range(0..2_000));
            let received_by = format!("{given} {family}");
            let van = format!("WW-{:03}", rng.random_range(1..=3));
            let data = json!({
                "Events": [
                    {"Event": "Ready", "EventTime": invoice.packed.at.to_string(), "Note": invoice.id},
                    {"Event": "Delivery", "EventTime": at.to_string(), "Van": van, "Status": "Delivered"},
                ],
                "DeliveredWhen": at.to_string(),
                "ReceivedBy": received_by,
            });
            let delivery = Delivery { at, received_by, data: data.to_string() };
            self.give_invoice(&invoice, Some(&delivery), batch);
            let debt = Self::debt_of(&invoice);
            self.receivables.entry(invoice.bill_to).or_default().push(debt);
        }
    }

    /// What an invoice says that the customer owes.
    pub(super) fn debt_of(invoice: &Invoice) -> Debt {
        Debt {
            transaction: invoice.transaction,
            document: invoice.id,
            date: invoice.date,
            net: invoice.lines.iter().map(|line| line.price * line.quantity).sum(),
            tax: invoice.lines.iter().map(|line| line.tax).sum(),
            edited_by: invoice.packed.by,
            edited_at: invoice.packed.at,
        }
    }

    /// Picks and invoices the orders that wait, the oldest first.
    pub(super) fn ship(&mut self, day: u64, date: NaiveDate, batch: &mut Batch) {
        let mut rng = self.plan.rng(day, Purpose::Shipping);
        rng.set_word_pos(1 << 40); // far beyond what the deliveries of the same day draw
        let waiting = std::mem::take(&mut self.orders);
        let mut later = std::collections::VecDeque::new();
        for (number, order) in (0_u64..).zip(waiting) {
            let at = moment(date, PICKING_FROM + number % (5 * 3_600));
            let picking = Picking { at, by: rng.random_range(PICKERS) };
            let missing = |line: &OrderLine| self.holdings[line.item].on_hand < line.quantity;
            let missing_count = order.lines.iter().filter(|line| missing(line)).count();
            if missing_count == 0 {
                self.invoice(&order, picking, date, batch);
            } else if order.is_backordered && missing_count < order.lines.len() {
                let rest = self.invoice(&order, picking, date, batch);
                later.push_back(self.back_order(&order, rest, picking));
            } else {
                later.push_back(order);
            }
        }
        self.orders = later;
    }

    /// A new order of the lines that could not be picked.
    fn back_order(&mut self, order: &Order, missing: Vec<OrderLine>, picking: Picking) -> Order {
        let lines = missing
            .into_iter()
            .map(|line| OrderLine { id: next(&mut self.keys.order_line), ..line })
            .collect();
        Order {
            id: next(&mut self.keys.order),
            missing_from: Some(order.id),
            date: picking.at.date(),
            entered: picking.at,
            lines,
            ..order.clone()
        }
    }

    /// Takes what is there from the shelves and invoices it. Gives the lines that were not there.
    fn invoice(
        &mut self,
        order: &Order,
        packed: Picking,
        date: NaiveDate,
        batch: &mut Batch,
    ) -> Vec<OrderLine> {
        self.give_order(order, Some(packed), batch);
        let mut missing = Vec::new();
        let mut invoiced = Vec::new();
        for line in &order.lines {
            if self.holdings[line.item].on_hand < line.quantity {
                missing.push(line.clone());
                continue;
            }
            let item = &self.masters.items[line.item];
            let net = line.price * line.quantity;
            let (tax, profit) =
                (net.percent(item.tax_rate()), (line.price - item.cost()) * line.quantity);
            let holding = &mut self.holdings[line.item];
            holding.on_hand -= line.quantity;
            (holding.edited_by, holding.edited_at) = (packed.by, packed.at);
            invoiced.push(InvoiceLine {
                id: next(&mut self.keys.invoice_line),
                movement: next(&mut self.keys.transaction),
                item: line.item,
                quantity: line.quantity,
                price: line.price,
                tax,
                profit,
            });
        }
        let customer = &self.masters.customers[place(order.customer)];
        let payer = &self.masters.customers[place(customer.bill_to)];
        self.invoices.push(Invoice {
            id: next(&mut self.keys.invoice),
            transaction: next(&mut self.keys.transaction),
            order: order.id,
            customer: order.customer,
            bill_to: customer.bill_to,
            contact: order.contact,
            accounts: payer.contact,
            salesperson: order.salesperson,
            packed,
            date,
            run: customer.run(),
            lines: invoiced,
        });
        missing
    }

    /// The rows of an order, which nothing changes any more, or which is open at the end.
    pub(super) fn give_order(&self, order: &Order, picking: Option<Picking>, batch: &mut Batch) {
        batch.add(crate::tables::ORDERS, lines::order(order, picking));
        for line in &order.lines {
            // Asked before the goods leave the shelf.
            let is_there = self.holdings[line.item].on_hand >= line.quantity;
            let item = &self.masters.items[line.item];
            let text = lines::order_line(order, line, item, picking.map(|at| (at, is_there)));
            batch.add(crate::tables::ORDER_LINES, text);
        }
    }

    /// The rows of an invoice, with the movements of its goods.
    pub(super) fn give_invoice(
        &self,
        invoice: &Invoice,
        delivery: Option<&Delivery>,
        batch: &mut Batch,
    ) {
        let is_chilled = |line: &&InvoiceLine| self.masters.items[line.item].is_chilled();
        let chilled = invoice.lines.iter().filter(is_chilled).count();
        batch.add(crate::tables::INVOICES, lines::invoice(invoice, chilled, delivery));
        for line in &invoice.lines {
            let item = &self.masters.items[line.item];
            batch.add(crate::tables::INVOICE_LINES, lines::invoice_line(invoice, line, item));
            batch.add(crate::tables::STOCK_ITEM_TRANSACTIONS, lines::issue(invoice, line));
        }
    }
}
