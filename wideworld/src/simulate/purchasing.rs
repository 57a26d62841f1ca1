//! Purchase orders, receipts, stocktakes.
//!
//! In: a worker. Out: transactions. One purchase order of a supplier is made at a time, so that nothing is ordered
//! twice.

use rand::RngExt;
use tokio_postgres::Error;

use super::worker::{Done, Worker};
use crate::reference::lists;

impl Worker {
    pub(super) async fn purchase_order(&mut self) -> Result<Done, Error> {
        // Other orders wait here, and then see what is on order.
        self.session
            .rows("SELECT pg_advisory_xact_lock(hashtext('wideworld purchase order'))", &[])
            .await?;
        let buyer = self.run.floor.salesperson(&mut self.rng);
        let row = self.session.first(LOW, &[]).await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let (supplier, items): (i32, Vec<i32>) = (row.get(0), row.get(1));
        let outers: Vec<i32> = row.get(2);
        let reference = format!("B{:07}", self.rng.random_range(0..9_999_999));
        let row = self
            .session
            .first(
                "INSERT INTO purchasing.purchase_orders
                     (supplier_id, order_date, delivery_method_id, contact_person_id, expected_delivery_date,
                      supplier_reference, is_order_finalized, last_edited_by)
                 SELECT supplier_id, current_date, coalesce(delivery_method_id, $2::integer), primary_contact_person_id,
                     current_date + 3, $3::text, false, $4::integer
                 FROM purchasing.suppliers
                 WHERE supplier_id = $1
                 RETURNING purchase_order_id",
                &[&supplier, &lists::BY_ROAD, &reference, &buyer],
            )
            .await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let order: i32 = row.get(0);
        self.session.note(1);
        self.session
            .change(
                "INSERT INTO purchasing.purchase_order_lines
                     (purchase_order_id, stock_item_id, ordered_outers, description, received_outers, package_type_id,
                      expected_unit_price_per_outer, is_order_line_finalized, last_edited_by)
                 SELECT $1::integer, si.stock_item_id, wanted.outers, si.stock_item_name, 0, si.outer_package_id,
                     h.last_cost_price * si.quantity_per_outer, false, $4::integer
                 FROM unnest($2::integer[], $3::integer[]) AS wanted (stock_item_id, outers)
                 JOIN warehouse.stock_items AS si ON si.stock_item_id = wanted.stock_item_id
                 JOIN warehouse.stock_item_holdings AS h ON h.stock_item_id = si.stock_item_id
                 ORDER BY si.stock_item_id",
                &[&order, &items, &outers, &buyer],
            )
            .await?;
        Ok(Done::Commit)
    }

    pub(super) async fn receive(&mut self) -> Result<Done, Error> {
        let picker = self.run.floor.picker(&mut self.rng);
        let row = self
            .session
            .first(
                "SELECT purchase_order_id
                 FROM purchasing.purchase_orders
                 WHERE NOT is_order_finalized
                 ORDER BY expected_delivery_date, purchase_order_id
                 LIMIT 1
                 FOR UPDATE SKIP LOCKED",
                &[],
            )
            .await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let order: i32 = row.get(0);
        self.session.change(LINES_CAME, &[&order, &picker]).await?;
        self.session.change(ORDER_CAME, &[&order, &picker]).await?;
        self.book_receipt(order, picker).await?;
        Ok(Done::Commit)
    }

    /// The movements of the goods, what is owed to the supplier, and the shelves.
    async fn book_receipt(&mut self, order: i32, picker: i32) -> Result<(), Error> {
        self.session
            .change(
                "INSERT INTO warehouse.stock_item_transactions
                     (stock_item_id, transaction_type_id, supplier_id, purchase_order_id, transaction_occurred_when,
                      quantity, last_edited_by)
                 SELECT pol.stock_item_id, $3::integer, po.supplier_id, po.purchase_order_id,
                     clock_timestamp() AT TIME ZONE 'UTC', pol.received_outers * si.quantity_per_outer, $2::integer
                 FROM purchasing.purchase_orders AS po
                 JOIN purchasing.purchase_order_lines AS pol ON pol.purchase_order_id = po.purchase_order_id
                 JOIN warehouse.stock_items AS si ON si.stock_item_id = pol.stock_item_id
                 WHERE po.purchase_order_id = $1
                 ORDER BY pol.purchase_order_line_id",
                &[&order, &picker, &lists::STOCK_RECEIPT],
            )
            .await?;
        self.session
            .change(
                "INSERT INTO purchasing.supplier_transactions
                     (supplier_id, transaction_type_id, purchase_order_id, payment_method_id, supplier_invoice_number,
                      transaction_date, amount_excluding_tax, tax_amount, transaction_amount, outstanding_balance,
                      is_finalized, last_edited_by)
                 SELECT po.supplier_id, $3::integer, po.purchase_order_id, $4::integer,
                     'SI-' || lpad(po.purchase_order_id::text, 6, '0'), current_date, sums.net, sums.tax,
                     sums.net + sums.tax, sums.net + sums.tax, false, $2::integer
                 FROM purchasing.purchase_orders AS po
                 CROSS JOIN LATERAL (
                     SELECT
                         sum(pol.received_outers * pol.expected_unit_price_per_outer)                AS net,
                         round(sum(pol.received_outers * pol.expected_unit_price_per_outer) * 0.15, 2) AS tax
                     FROM purchasing.purchase_order_lines AS pol
                     WHERE pol.purchase_order_id = po.purchase_order_id
                 ) AS sums
                 WHERE po.purchase_order_id = $1",
                &[&order, &picker, &lists::SUPPLIER_INVOICE, &lists::BY_TRANSFER],
            )
            .await?;
        self.session
            .rows(
                "SELECT
                 FROM warehouse.stock_item_holdings
                 WHERE stock_item_id IN (
                     SELECT stock_item_id
                     FROM purchasing.purchase_order_lines
                     WHERE purchase_order_id = $1
                 )
                 ORDER BY stock_item_id
                 FOR UPDATE",
                &[&order],
            )
            .await?;
        self.session
            .change(
                "UPDATE warehouse.stock_item_holdings AS h
                 SET quantity_on_hand = h.quantity_on_hand + pol.received_outers * si.quantity_per_outer,
                     last_edited_by = $2,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 FROM purchasing.purchase_order_lines AS pol
                 JOIN warehouse.stock_items AS si ON si.stock_item_id = pol.stock_item_id
                 WHERE pol.purchase_order_id = $1
                   AND h.stock_item_id = pol.stock_item_id",
                &[&order, &picker],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn stocktake(&mut self) -> Result<Done, Error> {
        let item = self.run.floor.item(&mut self.rng);
        let picker = self.run.floor.picker(&mut self.rng);
        let row = self
            .session
            .first(
                "SELECT quantity_on_hand
                 FROM warehouse.stock_item_holdings
                 WHERE stock_item_id = $1
                 FOR UPDATE",
                &[&item],
            )
            .await?;
        let Some(row) = row else { return Ok(Done::Nothing) };
        let on_hand: i32 = row.get(0);
        let change = self.rng.random_range(-3..=2).max(-on_hand);
        if change != 0 {
            self.session
                .change(
                    "INSERT INTO warehouse.stock_item_transactions
                         (stock_item_id, transaction_type_id, transaction_occurred_when, quantity, last_edited_by)
                     VALUES ($1, $2, clock_timestamp() AT TIME ZONE 'UTC', $3::integer, $4)",
                    &[&item, &lists::STOCKTAKE, &change, &picker],
                )
                .await?;
        }
        self.session
            .change(
                "UPDATE warehouse.stock_item_holdings
                 SET quantity_on_hand = quantity_on_hand + $2,
                     last_stocktake_quantity = quantity_on_hand + $2,
                     last_edited_by = $3,
                     last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
                 WHERE stock_item_id = $1",
                &[&item, &change, &picker],
            )
            .await?;
        Ok(Done::Commit)
    }
}

/// The supplier of whose stock items most run low, with these items and the outers that are missing to their targets.
const LOW: &str = "
    WITH on_order AS (
        SELECT
            pol.stock_item_id,
            sum((pol.ordered_outers - pol.received_outers) * si.quantity_per_outer) AS quantity
        FROM purchasing.purchase_order_lines AS pol
        JOIN warehouse.stock_items AS si ON si.stock_item_id = pol.stock_item_id
        WHERE NOT pol.is_order_line_finalized
        GROUP BY pol.stock_item_id
    ),
    low AS (
        SELECT
            si.supplier_id,
            si.stock_item_id,
            ceil(
                (h.target_stock_level - h.quantity_on_hand - coalesce(o.quantity, 0))::numeric / si.quantity_per_outer
            )::integer AS outers
        FROM warehouse.stock_item_holdings AS h
        JOIN warehouse.stock_items AS si ON si.stock_item_id = h.stock_item_id
        LEFT JOIN on_order AS o ON o.stock_item_id = h.stock_item_id
        WHERE h.quantity_on_hand + coalesce(o.quantity, 0) < h.reorder_level
    )
    SELECT
        supplier_id,
        array_agg(stock_item_id ORDER BY stock_item_id),
        array_agg(outers ORDER BY stock_item_id)
    FROM low
    WHERE outers > 0
    GROUP BY supplier_id
    ORDER BY count(*) DESC, supplier_id
    LIMIT 1";

/// What a receipt changes of the lines of an order.
const LINES_CAME: &str = "
    UPDATE purchasing.purchase_order_lines
    SET received_outers = ordered_outers,
        last_receipt_date = current_date,
        is_order_line_finalized = true,
        last_edited_by = $2,
        last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
    WHERE purchase_order_id = $1";

/// What it changes of the order.
const ORDER_CAME: &str = "
    UPDATE purchasing.purchase_orders
    SET is_order_finalized = true,
        last_edited_by = $2,
        last_edited_when = clock_timestamp() AT TIME ZONE 'UTC'
    WHERE purchase_order_id = $1";
