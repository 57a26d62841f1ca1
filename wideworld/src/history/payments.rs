//! Payments of customers, and payments to suppliers.
//!
//! In: what is owed. Out: the rows of what is settled, and of the payments. Whoever pays does so on one weekday, and
//! settles everything that is due by then; a customer with open debts pays their whole amounts.

use chrono::{Datelike, Days, NaiveDate};
use rand::RngExt;

use super::document::{Debt, Payment};
use super::{Batch, History, lines, next};
use crate::amount::Cents;
use crate::plan::{Purpose, moment, place};
use crate::reference::lists;

/// Seconds of the day at which payments are booked.
const BOOKED_AT: u64 = 16 * 3_600;

/// Takes the debts that are due out of a list.
fn due(debts: &mut Vec<Debt>, today: NaiveDate, payment_days: u64) -> Vec<Debt> {
    let is_due = |debt: &Debt| {
        debt.date.checked_add_days(Days::new(payment_days)).is_some_and(|by| by <= today)
    };
    let (due, open) = std::mem::take(debts).into_iter().partition(is_due);
    *debts = open;
    due
}

fn pays_on(number: i32, date: NaiveDate) -> bool {
    number.unsigned_abs() % 5 == date.weekday().num_days_from_monday()
}

impl History {
    /// Books the payments of a day.
    pub(super) fn settle(&mut self, day: u64, date: NaiveDate, batch: &mut Batch) {
        let mut rng = self.plan.rng(day, Purpose::Payments);
        let mut receivables = std::mem::take(&mut self.receivables);
        for (customer, debts) in receivables.iter_mut().filter(|(who, _)| pays_on(**who, date)) {
            let days = self.masters.customers[place(*customer)].payment_days;
            let settled = due(debts, date, days);
            let method = rng.random_range(1..=lists::BY_TRANSFER);
            if let Some(payment) = self.payment(&settled, date, method) {
                lines::customer_payment(*customer, &payment, moment(date, BOOKED_AT), batch);
            }
            for debt in &settled {
                lines::receivable(*customer, debt, Some(date), batch);
            }
        }
        receivables.retain(|_, debts| !debts.is_empty());
        self.receivables = receivables;
        let mut payables = std::mem::take(&mut self.payables);
        for (supplier, debts) in payables.iter_mut().filter(|(who, _)| pays_on(**who, date)) {
            let days = self.masters.suppliers[place(*supplier)].payment_days;
            let settled = due(debts, date, days);
            if let Some(payment) = self.payment(&settled, date, lists::BY_TRANSFER) {
                lines::supplier_payment(*supplier, &payment, moment(date, BOOKED_AT), batch);
            }
            for debt in &settled {
                lines::payable(*supplier, debt, Some(date), batch);
            }
        }
        self.payables = payables;
    }

    /// The payment that settles these debts; nothing if there are none.
    fn payment(&mut self, settled: &[Debt], date: NaiveDate, method: i32) -> Option<Payment> {
        if settled.is_empty() {
            return None;
        }
        // A payment has no tax of its own: it settles amounts with their taxes.
        let net = -settled.iter().map(|debt| debt.net + debt.tax).sum::<Cents>();
        let transaction = next(&mut self.keys.transaction);
        Some(Payment { transaction, date, method, net, tax: Cents(0) })
    }
}
