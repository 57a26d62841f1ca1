//! Documents and movements as rows.
//!
//! In: a document, and how it ended if it has. Out: lines of COPY, in the order of the columns of [`crate::tables`].

use chrono::{Days, NaiveDate, NaiveDateTime};

use super::Batch;
use super::document::{
    Debt, Delivery, Holding, Invoice, InvoiceLine, Order, OrderLine, Payment, Picking,
    PurchaseLine, PurchaseOrder, Receipt, extended,
};
use crate::amount::Cents;
use crate::line::Line;
use crate::masters::Item;
use crate::plan::key;
use crate::reference::lists;
use crate::tables;

fn next_day(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(date)
}

fn purchase_number(order: i32) -> String {
    format!("{}", 10_000 + i64::from(order) * 7 % 20_000)
}

pub(super) fn order(order: &Order, picking: Option<Picking>) -> String {
    let edited = picking.map_or((order.salesperson, order.entered), |done| (done.by, done.at));
    Line::new()
        .put(order.id)
        .put(order.customer)
        .put(order.salesperson)
        .maybe(picking.map(|done| done.by))
        .put(order.contact)
        .maybe(order.missing_from)
        .put(order.date)
        .put(next_day(order.date))
        .text(&purchase_number(order.id))
        .flag(order.is_backordered)
        .nulls(3)
        .maybe(picking.map(|done| done.at))
        .put(edited.0)
        .put(edited.1)
        .end()
}

pub(super) fn order_line(
    order: &Order,
    line: &OrderLine,
    item: &Item,
    picking: Option<(Picking, bool)>,
) -> String {
    let picked = picking.map_or(0, |(_, is_there)| if is_there { line.quantity } else { 0 });
    let edited = picking.map_or((order.salesperson, order.entered), |(done, _)| (done.by, done.at));
    Line::new()
        .put(line.id)
        .put(order.id)
        .put(key(line.item))
        .text(&item.name)
        .put(key(item.goods().package))
        .put(line.quantity)
        .put(line.price)
        .put(item.tax_rate())
        .put(picked)
        .maybe(picking.map(|(done, _)| done.at))
        .put(edited.0)
        .put(edited.1)
        .end()
}

pub(super) fn invoice(invoice: &Invoice, chilled: usize, delivery: Option<&Delivery>) -> String {
    let edited_at = delivery.map_or(invoice.packed.at, |done| done.at);
    Line::new()
        .put(invoice.id)
        .put(invoice.customer)
        .put(invoice.bill_to)
        .put(invoice.order)
        .put(lists::BY_VAN)
        .put(invoice.contact)
        .put(invoice.accounts)
        .put(invoice.salesperson)
        .put(invoice.packed.by)
        .put(invoice.date)
        .text(&purchase_number(invoice.order))
        .flag(false)
        .nulls(4)
        .put(invoice.lines.len() - chilled)
        .put(chilled)
        .text(&invoice.run.0)
        .text(&invoice.run.1)
        .maybe_text(delivery.map(|done| done.data.as_str()))
        .maybe(delivery.map(|done| done.at))
        .maybe_text(delivery.map(|done| done.received_by.as_str()))
        .put(invoice.packed.by)
        .put(edited_at)
        .end()
}

pub(super) fn invoice_line(invoice: &Invoice, line: &InvoiceLine, item: &Item) -> String {
    Line::new()
        .put(line.id)
        .put(invoice.id)
        .put(key(line.item))
        .text(&item.name)
        .put(key(item.goods().package))
        .put(line.quantity)
        .put(line.price)
        .put(item.tax_rate())
        .put(line.tax)
        .put(line.profit)
        .put(extended(line))
        .put(invoice.packed.by)
        .put(invoice.packed.at)
        .end()
}

/// Goods that left the shelf for an invoice.
pub(super) fn issue(invoice: &Invoice, line: &InvoiceLine) -> String {
    Line::new()
        .put(line.movement)
        .put(key(line.item))
        .put(lists::STOCK_ISSUE)
        .put(invoice.customer)
        .put(invoice.id)
        .nulls(2)
        .put(invoice.packed.at)
        .put(format_args!("-{}.000", line.quantity))
        .put(invoice.packed.by)
        .put(invoice.packed.at)
        .end()
}

/// Goods that came to the shelf from a supplier.
pub(super) fn receipt(
    transaction: i32,
    item: i32,
    units: i32,
    purchase: &PurchaseOrder,
    receipt: &Receipt,
) -> String {
    Line::new()
        .put(transaction)
        .put(item)
        .put(lists::STOCK_RECEIPT)
        .nulls(2)
        .put(purchase.supplier)
        .put(purchase.id)
        .put(receipt.at)
        .put(format_args!("{units}.000"))
        .put(receipt.by)
        .put(receipt.at)
        .end()
}

/// A movement for no invoice and no purchase order.
pub(super) fn movement(
    transaction: i32,
    item: i32,
    kind: i32,
    units: i32,
    (at, by): (NaiveDateTime, i32),
) -> String {
    Line::new()
        .put(transaction)
        .put(item)
        .put(kind)
        .nulls(4)
        .put(at)
        .put(format_args!("{units}.000"))
        .put(by)
        .put(at)
        .end()
}

pub(super) fn holding(item: i32, holding: &Holding, cost: Cents) -> String {
    let shelf = item - 1;
    Line::new()
        .put(item)
        .put(holding.on_hand)
        .text(&format!("L-{}-{}", shelf / 12 + 1, shelf % 12 + 1))
        .put(holding.counted)
        .put(cost)
        .put(holding.reorder_level)
        .put(holding.target)
        .put(holding.edited_by)
        .put(holding.edited_at)
        .end()
}

/// What a customer owes, or has settled on a day.
pub(super) fn receivable(
    customer: i32,
    debt: &Debt,
    settled: Option<NaiveDate>,
    batch: &mut Batch,
) {
    let line = Line::new()
        .put(debt.transaction)
        .put(customer)
        .put(lists::CUSTOMER_INVOICE)
        .put(debt.document)
        .null();
    batch.add(tables::CUSTOMER_TRANSACTIONS, owed(line, debt, settled));
}

/// What is owed to a supplier, or settled on a day.
pub(super) fn payable(supplier: i32, debt: &Debt, settled: Option<NaiveDate>, batch: &mut Batch) {
    let line = Line::new()
        .put(debt.transaction)
        .put(supplier)
        .put(lists::SUPPLIER_INVOICE)
        .put(debt.document)
        .put(lists::BY_TRANSFER)
        .text(&format!("SI-{:06}", debt.document));
    batch.add(tables::SUPPLIER_TRANSACTIONS, owed(line, debt, settled));
}

fn owed(line: Line, debt: &Debt, settled: Option<NaiveDate>) -> String {
    let whole = debt.net + debt.tax;
    let edited_at = settled.and_then(|day| day.and_hms_opt(16, 0, 0)).unwrap_or(debt.edited_at);
    line.put(debt.date)
        .put(debt.net)
        .put(debt.tax)
        .put(whole)
        .put(if settled.is_some() { Cents(0) } else { whole })
        .maybe(settled)
        .flag(settled.is_some())
        .put(debt.edited_by)
        .put(edited_at)
        .end()
}

pub(super) fn customer_payment(
    customer: i32,
    payment: &Payment,
    at: NaiveDateTime,
    batch: &mut Batch,
) {
    let line = Line::new()
        .put(payment.transaction)
        .put(customer)
        .put(lists::CUSTOMER_PAYMENT)
        .null()
        .put(payment.method);
    batch.add(tables::CUSTOMER_TRANSACTIONS, paid(line, payment, at));
}

pub(super) fn supplier_payment(
    supplier: i32,
    payment: &Payment,
    at: NaiveDateTime,
    batch: &mut Batch,
) {
    let line = Line::new()
        .put(payment.transaction)
        .put(supplier)
        .put(lists::SUPPLIER_PAYMENT)
        .null()
        .put(payment.method)
        .null();
    batch.add(tables::SUPPLIER_TRANSACTIONS, paid(line, payment, at));
}

fn paid(line: Line, payment: &Payment, at: NaiveDateTime) -> String {
    line.put(payment.date)
        .put(payment.net)
        .put(payment.tax)
        .put(payment.net + payment.tax)
        .put(Cents(0))
        .put(payment.date)
        .flag(true)
        .put(1)
        .put(at)
        .end()
}

pub(super) fn purchase_order(purchase: &PurchaseOrder, receipt: Option<&Receipt>) -> String {
    let edited = receipt.map_or((1, purchase.entered), |came| (came.by, came.at));
    Line::new()
        .put(purchase.id)
        .put(purchase.supplier)
        .put(purchase.date)
        .put(lists::BY_ROAD)
        .put(purchase.contact)
        .put(purchase.expected)
        .text(&format!("B{:07}", i64::from(purchase.id) * 7_901 % 9_999_999))
        .flag(receipt.is_some())
        .nulls(2)
        .put(edited.0)
        .put(edited.1)
        .end()
}

pub(super) fn purchase_line(
    purchase: &PurchaseOrder,
    line: &PurchaseLine,
    item: &Item,
    received: Option<(&Receipt, i32)>,
) -> String {
    let edited = received.map_or((1, purchase.entered), |(came, _)| (came.by, came.at));
    Line::new()
        .put(line.id)
        .put(purchase.id)
        .put(key(line.item))
        .put(line.outers)
        .text(&item.name)
        .put(received.map_or(0, |(_, outers)| outers))
        .put(lists::CARTON)
        .put(line.price)
        .maybe(received.map(|(came, _)| came.date))
        .flag(received.is_some())
        .put(edited.0)
        .put(edited.1)
        .end()
}
