-- Orders of the wholesaler's customers by day, and what waits for the pickers at the end of each day. Run by the owner
-- of the marts, after `vault-loader migrate` with the model of connectors/wideworld.
-- Invariant: every order is counted on one day, and every picked order on one day. A day on which neither happened has
-- no row. The view owns no facts and shows nobody.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.ww_orders_by_day AS
WITH orders AS (
    SELECT
        order_id,
        order_date,
        backorder_order_id IS NOT NULL      AS is_backorder,
        picking_completed_when::date        AS picked_on
    FROM dwh_marts.current_ww_orders
),
lines AS (
    SELECT
        order_id,
        count(*)                   AS lines,
        sum(quantity * unit_price) AS amount
    FROM dwh_marts.current_ww_order_lines
    GROUP BY order_id
),
placed AS (
    SELECT
        orders.order_date                                     AS day,
        count(*)                                              AS orders,
        count(*) FILTER (WHERE orders.is_backorder)           AS backorders,
        coalesce(sum(lines.lines), 0)                         AS order_lines,
        coalesce(sum(lines.amount), 0)                        AS amount_excluding_tax,
        count(*) FILTER (WHERE orders.picked_on IS NULL)      AS still_to_pick
    FROM orders
    LEFT JOIN lines USING (order_id)
    GROUP BY orders.order_date
),
picked AS (
    SELECT
        picked_on AS day,
        count(*)  AS picked
    FROM orders
    WHERE picked_on IS NOT NULL
    GROUP BY picked_on
)
SELECT
    day,
    coalesce(placed.orders, 0)               AS orders,
    coalesce(placed.backorders, 0)           AS backorders,
    coalesce(placed.order_lines, 0)          AS order_lines,
    coalesce(placed.amount_excluding_tax, 0) AS amount_excluding_tax,
    coalesce(placed.still_to_pick, 0)        AS still_to_pick,
    coalesce(picked.picked, 0)               AS picked,
    sum(coalesce(placed.orders, 0) - coalesce(picked.picked, 0)) OVER (ORDER BY day) AS backlog
FROM placed
FULL JOIN picked USING (day);

COMMENT ON VIEW dwh_marts.ww_orders_by_day IS
    'orders of the wholesaler by day, as the vault is now; the tables of orders and of lines are loaded one by one; grain: a day';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.day IS 'day on which orders were placed or picked, UTC';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.orders IS 'orders that were placed on the day';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.backorders IS 'orders of them that have what was missing from another one';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.order_lines IS 'their lines';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.amount_excluding_tax IS 'price of all that they order';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.still_to_pick IS 'orders of them that are not picked yet';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.picked IS 'orders that were picked on the day, whenever they were placed';
COMMENT ON COLUMN dwh_marts.ww_orders_by_day.backlog IS 'orders that were placed until the end of the day and not picked until then';

GRANT SELECT ON dwh_marts.ww_orders_by_day TO mart_reader;

COMMIT;
