//! Who and what takes part in a simulation, looked up once.
//!
//! In: a database. Out: the keys of customers, stock items and staff, and the orders that were picked and wait for
//! their invoice. Customers and stock items that are added later take part in the next run.

use std::collections::VecDeque;
use std::sync::Mutex;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use shared::postgres::ConnectOptions;
use tokio_postgres::Client;

use super::error::SimulateError;
use crate::connection::connect;

/// Keys, and orders that wait.
#[derive(Debug)]
pub(super) struct Floor {
    customers: Vec<i32>,
    items: Vec<i32>,
    salespeople: Vec<i32>,
    pickers: Vec<i32>,
    picked: Mutex<VecDeque<i32>>,
}

fn one_of(keys: &[i32], rng: &mut ChaCha8Rng) -> i32 {
    keys[rng.random_range(0..keys.len())]
}

impl Floor {
    pub(super) async fn look(database: &ConnectOptions) -> Result<Self, SimulateError> {
        let client = connect(database).await?;
        let customers = keys(&client, "SELECT customer_id FROM sales.customers ORDER BY 1").await?;
        let items =
            keys(&client, "SELECT stock_item_id FROM warehouse.stock_items ORDER BY 1").await?;
        let salespeople = keys(
            &client,
            "SELECT person_id FROM application.people WHERE is_salesperson ORDER BY 1",
        )
        .await?;
        let pickers = keys(
            &client,
            "SELECT person_id FROM application.people WHERE is_employee AND NOT is_salesperson ORDER BY 1",
        )
        .await?;
        if [&customers, &items, &salespeople, &pickers].iter().any(|keys| keys.is_empty()) {
            return Err(SimulateError::NotSeeded);
        }
        let picked = keys(
            &client,
            "SELECT o.order_id
             FROM sales.orders AS o
             WHERE o.picking_completed_when IS NOT NULL
               AND NOT EXISTS (SELECT FROM sales.invoices AS i WHERE i.order_id = o.order_id)
               AND EXISTS (
                   SELECT
                   FROM sales.order_lines AS ol
                   WHERE ol.order_id = o.order_id
                     AND ol.picked_quantity > 0
               )
             ORDER BY 1",
        )
        .await?;
        Ok(Self { customers, items, salespeople, pickers, picked: Mutex::new(picked.into()) })
    }

    pub(super) fn customer(&self, rng: &mut ChaCha8Rng) -> i32 {
        one_of(&self.customers, rng)
    }

    pub(super) fn item(&self, rng: &mut ChaCha8Rng) -> i32 {
        one_of(&self.items, rng)
    }

    /// The keys of all stock items.
    pub(super) fn items(&self) -> &[i32] {
        &self.items
    }

    pub(super) fn salesperson(&self, rng: &mut ChaCha8Rng) -> i32 {
        one_of(&self.salespeople, rng)
    }

    pub(super) fn picker(&self, rng: &mut ChaCha8Rng) -> i32 {
        one_of(&self.pickers, rng)
    }

    /// An order that was picked and waits for its invoice.
    pub(super) fn take_picked(&self) -> Option<i32> {
        self.queue().pop_front()
    }

    /// An order that was picked.
    pub(super) fn put_picked(&self, order_id: i32) {
        self.queue().push_back(order_id);
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<i32>> {
        self.picked.lock().expect("nothing panics while it holds the lock")
    }
}

async fn keys(client: &Client, query: &str) -> Result<Vec<i32>, SimulateError> {
    let rows = client
        .query(query, &[])
        .await
        .map_err(|source| SimulateError::Database { step: "look who takes part", source })?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
