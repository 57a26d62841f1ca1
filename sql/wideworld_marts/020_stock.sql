-- What is on the wholesaler's shelves, what is on the way there, and what has to be ordered again. Run by the owner of
-- the marts, after `vault-loader migrate` with the model of connectors/wideworld.
-- Invariant: a row for each stock item with a shelf. The view owns no facts and shows nobody.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.ww_stock AS
WITH on_the_way AS (
    SELECT
        line.stock_item_id,
        sum((line.ordered_outers - line.received_outers) * item.quantity_per_outer) AS quantity
    FROM dwh_marts.current_ww_purchase_order_lines AS line
    JOIN dwh_marts.current_ww_stock_items AS item USING (stock_item_id)
    WHERE NOT line.is_order_line_finalized
    GROUP BY line.stock_item_id
)
SELECT
    item.stock_item_id,
    item.stock_item_name,
    supplier.supplier_name,
    item.is_chiller_stock,
    shelf.bin_location,
    shelf.quantity_on_hand,
    shelf.reorder_level,
    shelf.target_stock_level,
    coalesce(on_the_way.quantity, 0)                                        AS quantity_on_order,
    shelf.quantity_on_hand < shelf.reorder_level                            AS is_below_reorder_level,
    shelf.quantity_on_hand < shelf.reorder_level AND on_the_way.stock_item_id IS NULL AS is_to_be_ordered,
    shelf.quantity_on_hand * shelf.last_cost_price                          AS value_at_cost
FROM dwh_marts.current_ww_stock_item_holdings AS shelf
JOIN dwh_marts.current_ww_stock_items AS item USING (stock_item_id)
LEFT JOIN dwh_marts.current_ww_suppliers AS supplier USING (supplier_id)
LEFT JOIN on_the_way USING (stock_item_id);

COMMENT ON VIEW dwh_marts.ww_stock IS
    'stock of the wholesaler, as the vault is now; the tables are loaded one by one; grain: a stock item';
COMMENT ON COLUMN dwh_marts.ww_stock.stock_item_id IS 'number of the stock item at the source';
COMMENT ON COLUMN dwh_marts.ww_stock.stock_item_name IS 'name of the stock item';
COMMENT ON COLUMN dwh_marts.ww_stock.supplier_name IS 'who supplies it';
COMMENT ON COLUMN dwh_marts.ww_stock.is_chiller_stock IS 'whether it has to be cooled';
COMMENT ON COLUMN dwh_marts.ww_stock.bin_location IS 'where it stands';
COMMENT ON COLUMN dwh_marts.ww_stock.quantity_on_hand IS 'how many are on the shelf';
COMMENT ON COLUMN dwh_marts.ww_stock.reorder_level IS 'below which quantity more are ordered';
COMMENT ON COLUMN dwh_marts.ww_stock.target_stock_level IS 'up to which quantity they are ordered';
COMMENT ON COLUMN dwh_marts.ww_stock.quantity_on_order IS 'how many are ordered from the supplier and have not come';
COMMENT ON COLUMN dwh_marts.ww_stock.is_below_reorder_level IS 'whether fewer are on the shelf than the level at which more are ordered';
COMMENT ON COLUMN dwh_marts.ww_stock.is_to_be_ordered IS 'whether that is so, and no order to the supplier is open';
COMMENT ON COLUMN dwh_marts.ww_stock.value_at_cost IS 'what is on the shelf, at the price that was paid last';

GRANT SELECT ON dwh_marts.ww_stock TO mart_reader;

COMMIT;
