//! Orders, picking, invoices, deliveries.
//!
//! In: a worker. Out: transactions. Whoever locks the shelves of several stock items locks them in the order of their
//! keys, so two transactions never wait in a circle.

use rand::RngExt;
use rand::seq::index::sample;
use serde_json::json;
use tokio_postgres::Error;

use super::worker::{Done, Worker};
use crate::reference::{lists, names};

/// Stock items among which an order draws its lines; the keys are drawn by place.
const LINES_MAX: usize = 5;

impl Worker {
    /// A key between the least and the greatest that a query gives; nothing if it gives none.
    pub(super) async fn probe(&mut self, range: &'static str) -> Result<Option<i32>, Error> {
        let row = self.session.first(range, &[]).await?;
        let bounds = row
            .and_then(|row| Some((row.get::<_, Option<i32>>(0)?, row.get::<_, Option<i32>>(1)?)));
        Ok(bounds.map(|(least, greatest)| self.rng.random_range(least..=greatest)))
    }

    pub(super) async fn order(&mut self) -> Result<Done, Error> {
        let customer = self.run.floor.customer(&mut self.rng);
        let salesperson = self.run.floor.salesperson(&mut self.rng);
        let number = self.rng.random_range(10_000..30_000).to_string();
        let row = self
            .session
            .first(
                "INSERT INTO sales.orders
                     (customer_id, salesperson_person_id, contact_person_id, order_date, expected_delivery_date,
                      customer_purchase_order_number, is_undersupply_backordered, last_edited_by)
                 SELECT c.customer_id, $2::integer, c.primary_contact_person_id, current_date, current_date + 1, $3::text, true,
                     $2
                 FROM sales.customers AS c
                 WHERE c.customer_id = $1
                   AND NOT c.is_on_credit_hold
                 RETURNING order_id",
                &[&customer, &salesperson, &number],
            )
            .await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let order: i32 = row.get(0);
        self.session.note(1);
        let count = self.rng.random_range(1..=LINES_MAX);
        let items: Vec<i32> = {
            let all = self.run.floor.items();
            let places = sample(&mut self.rng, all.len(), count.min(all.len()));
            places.into_iter().map(|place| all[place]).collect()
        };
        let quantities: Vec<i32> = items.iter().map(|_| self.rng.random_range(1..=12)).collect();
        self.session
            .change(
                "INSERT INTO sales.order_lines
                     (order_id, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate,
                      picked_quantity, last_edited_by)
                 SELECT $1::integer, si.stock_item_id, si.stock_item_name, si.unit_package_id, wanted.quantity, si.unit_price,
                     si.tax_rate, 0, $4::integer
                 FROM unnest($2::integer[], $3::integer[]) AS wanted (stock_item_id, quantity)
                 JOIN warehouse.stock_items AS si ON si.stock_item_id = wanted.stock_item_id
                 ORDER BY si.stock_item_id",
                &[&order, &items, &quantities, &salesperson],
            )
            .await?;
        Ok(Done::Commit)
    }

    pub(super) async fn pick(&mut self) -> Result<Done, Error> {
        let range = "SELECT min(order_id), max(order_id)
                     FROM sales.orders
                     WHERE picking_completed_when IS NULL";
        let Some(from) = self.probe(range).await? else { return Ok(Done::Nothing) };
        let row = self
            .session
            .first(
                "SELECT order_id
                 FROM sales.orders
                 WHERE picking_completed_when IS NULL
                   AND order_id >= $1
                 ORDER BY order_id
                 LIMIT 1
                 FOR UPDATE SKIP LOCKED",
                &[&from],
            )
            .await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let order: i32 = row.get(0);
        let picker = self.run.floor.picker(&mut self.rng);
        let picked = self
            .session
            .change(
                "UPDATE sales.order_lines AS ol
                 SET picked_quantity = ol.quantity,
                     picking_completed_when = clock_timestamp() AT TIME ZONE 'UTC',
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 FROM warehouse.stock_item_holdings AS h
                 WHERE ol.order_id = $1
                   AND h.stock_item_id = ol.stock_item_id
                   AND h.quantity_on_hand >= ol.quantity",
                &[&order, &picker],
            )
            .await?;
        if picked == 0 {
            return Ok(Done::Nothing);
        }
        self.back_order(order, picker).await?;
        self.session
            .change(
                "UPDATE sales.orders
                 SET picked_by_person_id = $2,
                     picking_completed_when = clock_timestamp() AT TIME ZONE 'UTC',
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE order_id = $1",
                &[&order, &picker],
            )
            .await?;
        self.picked = Some(order);
        Ok(Done::Commit)
    }

    /// Makes an order of the lines that could not be picked, if there are any.
    async fn back_order(&mut self, order: i32, picker: i32) -> Result<(), Error> {
        let row = self
            .session
            .first(
                "INSERT INTO sales.orders
                     (customer_id, salesperson_person_id, contact_person_id, backorder_order_id, order_date,
                      expected_delivery_date, customer_purchase_order_number, is_undersupply_backordered, last_edited_by)
                 SELECT o.customer_id, o.salesperson_person_id, o.contact_person_id, o.order_id, current_date,
                     current_date + 1, o.customer_purchase_order_number, true, $2::integer
                 FROM sales.orders AS o
                 WHERE o.order_id = $1
                   AND EXISTS (
                       SELECT
                       FROM sales.order_lines AS ol
                       WHERE ol.order_id = o.order_id
                         AND ol.picking_completed_when IS NULL
                   )
                 RETURNING order_id",
                &[&order, &picker],
            )
            .await?;
        let Some(row) = row else { return Ok(()) };
        let rest: i32 = row.get(0);
        self.session.note(1);
        self.session
            .change(
                "INSERT INTO sales.order_lines
                     (order_id, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate,
                      picked_quantity, last_edited_by)
                 SELECT $2::integer, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate, 0, $3::integer
                 FROM sales.order_lines
                 WHERE order_id = $1
                   AND picking_completed_when IS NULL
                 ORDER BY order_line_id",
                &[&order, &rest, &picker],
            )
            .await?;
        self.session
            .change(
                "UPDATE sales.order_lines
                 SET picking_completed_when = clock_timestamp() AT TIME ZONE 'UTC',
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE order_id = $1
                   AND picking_completed_when IS NULL",
                &[&order, &picker],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn invoice(&mut self) -> Result<Done, Error> {
        let Some(order) = self.run.floor.take_picked() else { return Ok(Done::Nothing) };
        // Comes back to the queue unless its invoice is committed.
        self.returned = Some(order);
        let shelves = self
            .session
            .rows(
                "SELECT h.quantity_on_hand >= ol.picked_quantity
                 FROM sales.order_lines AS ol
                 JOIN warehouse.stock_item_holdings AS h ON h.stock_item_id = ol.stock_item_id
                 WHERE ol.order_id = $1
                   AND ol.picked_quantity > 0
                 ORDER BY h.stock_item_id
                 FOR UPDATE OF h",
                &[&order],
            )
            .await?;
        if !shelves.iter().all(|row| row.get::<_, bool>(0)) {
            return Ok(Done::Nothing);
        }
        let row = self
            .session
            .first(
                "INSERT INTO sales.invoices
                     (customer_id, bill_to_customer_id, order_id, delivery_method_id, contact_person_id,
                      accounts_person_id, salesperson_person_id, packed_by_person_id, invoice_date,
                      customer_purchase_order_number, is_credit_note, total_dry_items, total_chiller_items,
                      delivery_run, run_position, last_edited_by)
                 SELECT c.customer_id, c.bill_to_customer_id, o.order_id, c.delivery_method_id, o.contact_person_id,
                     payer.primary_contact_person_id, o.salesperson_person_id, o.picked_by_person_id, current_date,
                     o.customer_purchase_order_number, false, goods.dry, goods.chilled, c.delivery_run, c.run_position,
                     o.picked_by_person_id
                 FROM sales.orders AS o
                 JOIN sales.customers AS c ON c.customer_id = o.customer_id
                 JOIN sales.customers AS payer ON payer.customer_id = c.bill_to_customer_id
                 CROSS JOIN LATERAL (
                     SELECT
                         count(*) FILTER (WHERE NOT si.is_chiller_stock) AS dry,
                         count(*) FILTER (WHERE si.is_chiller_stock)     AS chilled
                     FROM sales.order_lines AS ol
                     JOIN warehouse.stock_items AS si ON si.stock_item_id = ol.stock_item_id
                     WHERE ol.order_id = o.order_id
                       AND ol.picked_quantity > 0
                 ) AS goods
                 WHERE o.order_id = $1
                   AND NOT EXISTS (SELECT FROM sales.invoices AS other WHERE other.order_id = o.order_id)
                 RETURNING invoice_id",
                &[&order],
            )
            .await?;
        let Some(row) = row else {
            // A commit whose answer was lost has invoiced it.
            self.returned = None;
            return Ok(Done::Nothing);
        };
        let invoice: i32 = row.get(0);
        self.session.note(1);
        self.invoice_lines(invoice).await?;
        self.book_invoice(invoice).await?;
        Ok(Done::Commit)
    }

    async fn invoice_lines(&mut self, invoice: i32) -> Result<(), Error> {
        self.session
            .change(
                "INSERT INTO sales.invoice_lines
                     (invoice_id, stock_item_id, description, package_type_id, quantity, unit_price, tax_rate, tax_amount,
                      line_profit, extended_price, last_edited_by)
                 SELECT i.invoice_id, ol.stock_item_id, ol.description, ol.package_type_id, ol.picked_quantity,
                     ol.unit_price, ol.tax_rate, tax.amount,
                     ol.picked_quantity * (ol.unit_price - h.last_cost_price),
                     ol.picked_quantity * ol.unit_price + tax.amount, i.packed_by_person_id
                 FROM sales.invoices AS i
                 JOIN sales.order_lines AS ol ON ol.order_id = i.order_id
                 JOIN warehouse.stock_item_holdings AS h ON h.stock_item_id = ol.stock_item_id
                 CROSS JOIN LATERAL (
                     SELECT round(ol.picked_quantity * ol.unit_price * ol.tax_rate / 100, 2) AS amount
                 ) AS tax
                 WHERE i.invoice_id = $1
                   AND ol.picked_quantity > 0
                 ORDER BY ol.order_line_id",
                &[&invoice],
            )
            .await?;
        Ok(())
    }

    /// What the customer owes, and the goods that leave the shelf.
    async fn book_invoice(&mut self, invoice: i32) -> Result<(), Error> {
        self.session
            .change(
                "INSERT INTO sales.customer_transactions
                     (customer_id, transaction_type_id, invoice_id, transaction_date, amount_excluding_tax, tax_amount,
                      transaction_amount, outstanding_balance, is_finalized, last_edited_by)
                 SELECT i.bill_to_customer_id, $2::integer, i.invoice_id, i.invoice_date, sum(il.extended_price - il.tax_amount),
                     sum(il.tax_amount), sum(il.extended_price), sum(il.extended_price), false, i.packed_by_person_id
                 FROM sales.invoices AS i
                 JOIN sales.invoice_lines AS il ON il.invoice_id = i.invoice_id
                 WHERE i.invoice_id = $1
                 GROUP BY i.invoice_id",
                &[&invoice, &lists::CUSTOMER_INVOICE],
            )
            .await?;
        self.session
            .change(
                "INSERT INTO warehouse.stock_item_transactions
                     (stock_item_id, transaction_type_id, customer_id, invoice_id, transaction_occurred_when, quantity,
                      last_edited_by)
                 SELECT il.stock_item_id, $2::integer, i.customer_id, i.invoice_id, clock_timestamp() AT TIME ZONE 'UTC',
                     -il.quantity, i.packed_by_person_id
                 FROM sales.invoices AS i
                 JOIN sales.invoice_lines AS il ON il.invoice_id = i.invoice_id
                 WHERE i.invoice_id = $1
                 ORDER BY il.invoice_line_id",
                &[&invoice, &lists::STOCK_ISSUE],
            )
            .await?;
        self.session
            .change(
                "UPDATE warehouse.stock_item_holdings AS h
                 SET quantity_on_hand = h.quantity_on_hand - il.quantity,
                     last_edited_by = il.last_edited_by,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 FROM sales.invoice_lines AS il
                 WHERE il.invoice_id = $1
                   AND h.stock_item_id = il.stock_item_id",
                &[&invoice],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn deliver(&mut self) -> Result<Done, Error> {
        let range = "SELECT min(invoice_id), max(invoice_id)
                     FROM sales.invoices
                     WHERE confirmed_delivery_time IS NULL";
        let Some(from) = self.probe(range).await? else { return Ok(Done::Nothing) };
        let (given, family) = names::person(self.rng.random_range(0..2_000));
        let received_by = format!("{given} {family}");
        let now = chrono::Utc::now().naive_utc();
        let data = json!({
            "Events": [{"Event": "DeliveryAttempt", "EventTime": now.to_string(), "Status": "Delivered"}],
            "DeliveredWhen": now.to_string(),
            "ReceivedBy": received_by,
        });
        let delivered = self
            .session
            .change(
                "UPDATE sales.invoices
                 SET returned_delivery_data = $2,
                     confirmed_delivery_time = $3,
                     confirmed_received_by = $4,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE invoice_id = (
                     SELECT invoice_id
                     FROM sales.invoices
                     WHERE confirmed_delivery_time IS NULL
                       AND invoice_id >= $1
                     ORDER BY invoice_id
                     LIMIT 1
                     FOR UPDATE SKIP LOCKED
                 )",
                &[&from, &data, &now, &received_by],
            )
            .await?;
        Ok(if delivered == 0 { Done::Nothing } else { Done::Commit })
    }
}
