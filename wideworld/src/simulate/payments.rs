//! Payments of customers, and payments to suppliers.
//!
//! In: a worker. Out: transactions. A payment settles the oldest open invoices of one organisation, and is their sum.

use rand::RngExt;
use tokio_postgres::Error;

use super::worker::{Done, Worker};
use crate::reference::lists;

impl Worker {
    pub(super) async fn payment(&mut self) -> Result<Done, Error> {
        let from = self.run.floor.customer(&mut self.rng);
        let method = self.rng.random_range(1..=lists::BY_TRANSFER);
        let clerk = self.run.floor.salesperson(&mut self.rng);
        let settled = self
            .session
            .rows(
                "SELECT customer_transaction_id, customer_id
                 FROM sales.customer_transactions
                 WHERE NOT is_finalized
                   AND customer_id = (
                       SELECT min(customer_id)
                       FROM sales.customer_transactions
                       WHERE NOT is_finalized
                         AND customer_id >= $1
                   )
                 ORDER BY customer_transaction_id
                 LIMIT 10
                 FOR UPDATE SKIP LOCKED",
                &[&from],
            )
            .await?;
        let Some(first) = settled.first() else { return Ok(Done::Nothing) };
        let customer: i32 = first.get(1);
        let transactions: Vec<i32> = settled.iter().map(|row| row.get(0)).collect();
        // The payment first: afterwards the balances are gone.
        self.session
            .change(
                "INSERT INTO sales.customer_transactions
                     (customer_id, transaction_type_id, payment_method_id, transaction_date, amount_excluding_tax,
                      tax_amount, transaction_amount, outstanding_balance, finalization_date, is_finalized, last_edited_by)
                 SELECT $1::integer, $2::integer, $3::integer, current_date, -sum(outstanding_balance), 0,
                     -sum(outstanding_balance), 0, current_date, true, $5::integer
                 FROM sales.customer_transactions
                 WHERE customer_transaction_id = ANY ($4::integer[])",
                &[&customer, &lists::CUSTOMER_PAYMENT, &method, &transactions, &clerk],
            )
            .await?;
        self.session
            .change(
                "UPDATE sales.customer_transactions
                 SET outstanding_balance = 0,
                     finalization_date = current_date,
                     is_finalized = true,
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE customer_transaction_id = ANY ($1::integer[])",
                &[&transactions, &clerk],
            )
            .await?;
        Ok(Done::Commit)
    }

    pub(super) async fn supplier_payment(&mut self) -> Result<Done, Error> {
        let clerk = self.run.floor.salesperson(&mut self.rng);
        let settled = self
            .session
            .rows(
                "SELECT supplier_transaction_id, supplier_id
                 FROM purchasing.supplier_transactions
                 WHERE NOT is_finalized
                   AND supplier_id = (
                       SELECT min(supplier_id)
                       FROM purchasing.supplier_transactions
                       WHERE NOT is_finalized
                   )
                 ORDER BY supplier_transaction_id
                 LIMIT 10
                 FOR UPDATE SKIP LOCKED",
                &[],
            )
            .await?;
        let Some(first) = settled.first() else { return Ok(Done::Nothing) };
        let supplier: i32 = first.get(1);
        let transactions: Vec<i32> = settled.iter().map(|row| row.get(0)).collect();
        self.session
            .change(
                "INSERT INTO purchasing.supplier_transactions
                     (supplier_id, transaction_type_id, payment_method_id, transaction_date, amount_excluding_tax,
                      tax_amount, transaction_amount, outstanding_balance, finalization_date, is_finalized, last_edited_by)
                 SELECT $1::integer, $2::integer, $3::integer, current_date, -sum(outstanding_balance), 0,
                     -sum(outstanding_balance), 0, current_date, true, $5::integer
                 FROM purchasing.supplier_transactions
                 WHERE supplier_transaction_id = ANY ($4::integer[])",
                &[&supplier, &lists::SUPPLIER_PAYMENT, &lists::BY_TRANSFER, &transactions, &clerk],
            )
            .await?;
        self.session
            .change(
                "UPDATE purchasing.supplier_transactions
                 SET outstanding_balance = 0,
                     finalization_date = current_date,
                     is_finalized = true,
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE supplier_transaction_id = ANY ($1::integer[])",
                &[&transactions, &clerk],
            )
            .await?;
        Ok(Done::Commit)
    }
}
