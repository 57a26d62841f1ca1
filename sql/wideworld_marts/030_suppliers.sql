-- What the wholesaler's suppliers delivered, and how long it took. Run by the owner of the marts, after `vault-loader
-- migrate` with the model of connectors/wideworld.
-- Invariant: every order to a supplier is one row of ww_supplier_deliveries, and every supplier one row of
-- ww_suppliers. An order without lines has no day of delivery. The views own no facts; a supplier is an organisation,
-- and no person is shown.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.ww_supplier_deliveries AS
WITH lines AS (
    SELECT
        purchase_order_id,
        count(*)               AS lines,
        sum(ordered_outers)    AS ordered_outers,
        sum(received_outers)   AS received_outers,
        max(last_receipt_date) AS last_receipt_date
    FROM dwh_marts.current_ww_purchase_order_lines
    GROUP BY purchase_order_id
),
orders AS (
    SELECT
        placed.purchase_order_id,
        placed.supplier_id,
        placed.order_date,
        placed.expected_delivery_date,
        placed.is_order_finalized,
        coalesce(lines.lines, 0)           AS lines,
        coalesce(lines.ordered_outers, 0)  AS ordered_outers,
        coalesce(lines.received_outers, 0) AS received_outers,
        CASE WHEN placed.is_order_finalized THEN lines.last_receipt_date END AS delivered_on
    FROM dwh_marts.current_ww_purchase_orders AS placed
    LEFT JOIN lines USING (purchase_order_id)
)
SELECT
    orders.purchase_order_id,
    orders.supplier_id,
    supplier.supplier_name,
    orders.order_date,
    orders.expected_delivery_date,
    orders.is_order_finalized,
    orders.lines,
    orders.ordered_outers,
    orders.received_outers,
    orders.delivered_on,
    orders.delivered_on - orders.order_date              AS lead_time_days,
    orders.delivered_on - orders.expected_delivery_date  AS days_late
FROM orders
LEFT JOIN dwh_marts.current_ww_suppliers AS supplier USING (supplier_id);

COMMENT ON VIEW dwh_marts.ww_supplier_deliveries IS
    'orders to suppliers and what came, as the vault is now; the tables are loaded one by one; grain: an order to a supplier';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.purchase_order_id IS 'number of the order at the source';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.supplier_id IS 'number of the supplier at the source';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.supplier_name IS 'name of the supplier';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.order_date IS 'day of the order';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.expected_delivery_date IS 'day on which it was expected; NULL when none was named';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.is_order_finalized IS 'whether everything came';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.lines IS 'lines of the order';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.ordered_outers IS 'outer packages that were ordered';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.received_outers IS 'outer packages that came';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.delivered_on IS 'day on which the last ones came; NULL before everything came';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.lead_time_days IS 'days from the order to delivered_on';
COMMENT ON COLUMN dwh_marts.ww_supplier_deliveries.days_late IS 'days from the expected day to delivered_on, negative when early';

CREATE OR REPLACE VIEW dwh_marts.ww_suppliers AS
WITH deliveries AS (
    SELECT
        supplier_id,
        count(*)                                              AS orders,
        count(*) FILTER (WHERE NOT is_order_finalized)        AS open_orders,
        count(delivered_on)                                   AS delivered_orders,
        count(*) FILTER (WHERE days_late > 0)                 AS late_orders,
        round(avg(lead_time_days), 2)                         AS average_lead_time_days
    FROM dwh_marts.ww_supplier_deliveries
    GROUP BY supplier_id
)
SELECT
    supplier.supplier_id,
    supplier.supplier_name,
    category.supplier_category_name,
    EXISTS (
        SELECT
        FROM dwh_marts.current_ww_customers AS customer
        WHERE customer.customer_name = supplier.supplier_name
    )                                             AS is_customer,
    coalesce(deliveries.orders, 0)                AS orders,
    coalesce(deliveries.open_orders, 0)           AS open_orders,
    coalesce(deliveries.delivered_orders, 0)      AS delivered_orders,
    coalesce(deliveries.late_orders, 0)           AS late_orders,
    deliveries.average_lead_time_days
FROM dwh_marts.current_ww_suppliers AS supplier
LEFT JOIN dwh_marts.current_ww_supplier_categories AS category USING (supplier_category_id)
LEFT JOIN deliveries USING (supplier_id);

COMMENT ON VIEW dwh_marts.ww_suppliers IS
    'suppliers and how they deliver, as the vault is now; the tables are loaded one by one; grain: a supplier';
COMMENT ON COLUMN dwh_marts.ww_suppliers.supplier_id IS 'number of the supplier at the source';
COMMENT ON COLUMN dwh_marts.ww_suppliers.supplier_name IS 'name of the supplier';
COMMENT ON COLUMN dwh_marts.ww_suppliers.supplier_category_name IS 'what it supplies';
COMMENT ON COLUMN dwh_marts.ww_suppliers.is_customer IS 'whether the same organisation is a customer, too';
COMMENT ON COLUMN dwh_marts.ww_suppliers.orders IS 'orders that it got';
COMMENT ON COLUMN dwh_marts.ww_suppliers.open_orders IS 'orders of them of which something has not come';
COMMENT ON COLUMN dwh_marts.ww_suppliers.delivered_orders IS 'orders of them of which everything came';
COMMENT ON COLUMN dwh_marts.ww_suppliers.late_orders IS 'delivered orders that came after the expected day';
COMMENT ON COLUMN dwh_marts.ww_suppliers.average_lead_time_days IS 'days from an order to its delivery, on average; NULL before the first delivery';

GRANT SELECT ON dwh_marts.ww_supplier_deliveries, dwh_marts.ww_suppliers TO mart_reader;

COMMIT;
