//! The documents of the wholesaler, and how each of them ends.

use chrono::{NaiveDate, NaiveDateTime};

use crate::amount::Cents;

/// What is on the shelves of a stock item.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) on_hand: i32,
    pub(super) on_order: i32,
    pub(super) counted: i32,
    pub(super) reorder_level: i32,
    pub(super) target: i32,
    pub(super) edited_by: i32,
    pub(super) edited_at: NaiveDateTime,
}

/// An order that is not picked.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) id: i32,
    pub(super) customer: i32,
    pub(super) salesperson: i32,
    pub(super) contact: i32,
    /// The order whose missing lines this one has.
    pub(super) missing_from: Option<i32>,
    pub(super) date: NaiveDate,
    pub(super) is_backordered: bool,
    pub(super) entered: NaiveDateTime,
    pub(super) lines: Vec<OrderLine>,
}

#[derive(Debug, Clone)]
pub(super) struct OrderLine {
    pub(super) id: i32,
    pub(super) item: usize,
    pub(super) quantity: i32,
    pub(super) price: Cents,
}

/// When an order was picked, and by whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picking {
    pub(super) at: NaiveDateTime,
    pub(super) by: i32,
}

/// An invoice that is not delivered.
#[derive(Debug, Clone)]
pub(super) struct Invoice {
    pub(super) id: i32,
    pub(super) transaction: i32,
    pub(super) order: i32,
    pub(super) customer: i32,
    pub(super) bill_to: i32,
    pub(super) contact: i32,
    pub(super) accounts: i32,
    pub(super) salesperson: i32,
    pub(super) packed: Picking,
    pub(super) date: NaiveDate,
    pub(super) run: (String, String),
    pub(super) lines: Vec<InvoiceLine>,
}

#[derive(Debug, Clone)]
pub(super) struct InvoiceLine {
    pub(super) id: i32,
    pub(super) movement: i32,
    pub(super) item: usize,
    pub(super) quantity: i32,
    pub(super) price: Cents,
    pub(super) tax: Cents,
    pub(super) profit: Cents,
}

/// What somebody owes: an invoice to a customer, or one of a supplier.
#[derive(Debug, Clone)]
pub(super) struct Debt {
    pub(super) transaction: i32,
    /// Invoice or purchase order.
    pub(super) document: i32,
    pub(super) date: NaiveDate,
    pub(super) net: Cents,
    pub(super) tax: Cents,
    pub(super) edited_by: i32,
    pub(super) edited_at: NaiveDateTime,
}

/// A purchase order that is not received.
#[derive(Debug, Clone)]
pub(super) struct PurchaseOrder {
    pub(super) id: i32,
    pub(super) supplier: i32,
    pub(super) contact: i32,
    pub(super) date: NaiveDate,
    pub(super) expected: NaiveDate,
    pub(super) entered: NaiveDateTime,
    pub(super) lines: Vec<PurchaseLine>,
}

#[derive(Debug, Clone)]
pub(super) struct PurchaseLine {
    pub(super) id: i32,
    pub(super) item: usize,
    pub(super) outers: i32,
    pub(super) price: Cents,
}

/// What the driver recorded.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) at: NaiveDateTime,
    pub(super) received_by: String,
    pub(super) data: String,
}

/// A payment.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) transaction: i32,
    pub(super) date: NaiveDate,
    pub(super) method: i32,
    pub(super) net: Cents,
    pub(super) tax: Cents,
}

/// When goods came, and how many outers of each line.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) date: NaiveDate,
    pub(super) at: NaiveDateTime,
    pub(super) by: i32,
    pub(super) outers: Vec<i32>,
}

/// What a line costs with its tax.
pub(super) fn extended(line: &InvoiceLine) -> Cents {
    line.price * line.quantity + line.tax
}
