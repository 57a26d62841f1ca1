-- What the website, reports and dashboards see: the only way of their roles to the data.
-- Invariant: a view of website shows no password, no bank account and no internal comment.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW website.customers AS
SELECT
    c.customer_id,
    c.customer_name,
    cc.customer_category_name,
    pp.full_name AS primary_contact,
    ap.full_name AS alternate_contact,
    c.phone_number,
    c.fax_number,
    bg.buying_group_name,
    c.website_url,
    dm.delivery_method_name,
    ct.city_name,
    c.delivery_location,
    c.delivery_run,
    c.run_position
FROM sales.customers AS c
JOIN sales.customer_categories AS cc ON cc.customer_category_id = c.customer_category_id
JOIN application.people AS pp ON pp.person_id = c.primary_contact_person_id
LEFT JOIN application.people AS ap ON ap.person_id = c.alternate_contact_person_id
LEFT JOIN sales.buying_groups AS bg ON bg.buying_group_id = c.buying_group_id
JOIN application.delivery_methods AS dm ON dm.delivery_method_id = c.delivery_method_id
JOIN application.cities AS ct ON ct.city_id = c.delivery_city_id;

CREATE OR REPLACE VIEW website.suppliers AS
SELECT
    s.supplier_id,
    s.supplier_name,
    sc.supplier_category_name,
    pp.full_name AS primary_contact,
    ap.full_name AS alternate_contact,
    s.phone_number,
    s.fax_number,
    s.website_url,
    dm.delivery_method_name,
    ct.city_name,
    s.delivery_location,
    s.supplier_reference
FROM purchasing.suppliers AS s
JOIN purchasing.supplier_categories AS sc ON sc.supplier_category_id = s.supplier_category_id
JOIN application.people AS pp ON pp.person_id = s.primary_contact_person_id
JOIN application.people AS ap ON ap.person_id = s.alternate_contact_person_id
LEFT JOIN application.delivery_methods AS dm ON dm.delivery_method_id = s.delivery_method_id
JOIN application.cities AS ct ON ct.city_id = s.delivery_city_id;

-- Readings are shown as text, whether they are kept compressed or not; decompressing them is the reader's work.
CREATE OR REPLACE VIEW website.vehicle_temperatures AS
SELECT
    vehicle_temperature_id,
    vehicle_registration,
    chiller_sensor_number,
    recorded_when,
    temperature,
    CASE
        WHEN is_compressed THEN encode(compressed_sensor_data, 'base64')
        ELSE full_sensor_data
    END AS sensor_data
FROM warehouse.vehicle_temperatures;

CREATE OR REPLACE VIEW reports.sales_by_month AS
SELECT
    date_trunc('month', i.invoice_date)::date AS month,
    bg.buying_group_name,
    count(DISTINCT i.invoice_id)              AS invoice_count,
    sum(il.quantity)                          AS unit_count,
    sum(il.extended_price - il.tax_amount)    AS amount_excluding_tax,
    sum(il.tax_amount)                        AS tax_amount,
    sum(il.line_profit)                       AS profit
FROM sales.invoices AS i
JOIN sales.invoice_lines AS il ON il.invoice_id = i.invoice_id
JOIN sales.customers AS c ON c.customer_id = i.customer_id
LEFT JOIN sales.buying_groups AS bg ON bg.buying_group_id = c.buying_group_id
GROUP BY 1, 2;

CREATE OR REPLACE VIEW reports.stock_status AS
WITH on_order AS (
    SELECT
        pol.stock_item_id,
        sum((pol.ordered_outers - pol.received_outers) * si.quantity_per_outer) AS quantity
    FROM purchasing.purchase_order_lines AS pol
    JOIN warehouse.stock_items AS si ON si.stock_item_id = pol.stock_item_id
    WHERE NOT pol.is_order_line_finalized
    GROUP BY pol.stock_item_id
)
SELECT
    si.stock_item_id,
    si.stock_item_name,
    s.supplier_name,
    h.bin_location,
    h.quantity_on_hand,
    h.reorder_level,
    h.target_stock_level,
    coalesce(o.quantity, 0)              AS quantity_on_order,
    h.quantity_on_hand < h.reorder_level AS is_below_reorder_level
FROM warehouse.stock_item_holdings AS h
JOIN warehouse.stock_items AS si ON si.stock_item_id = h.stock_item_id
JOIN purchasing.suppliers AS s ON s.supplier_id = si.supplier_id
LEFT JOIN on_order AS o ON o.stock_item_id = h.stock_item_id;

CREATE OR REPLACE VIEW reports.open_receivables AS
SELECT
    c.customer_id,
    c.customer_name,
    count(*)                                  AS invoice_count,
    sum(ct.outstanding_balance)               AS outstanding_balance,
    min(ct.transaction_date + c.payment_days) AS oldest_due_date
FROM sales.customer_transactions AS ct
JOIN sales.customers AS c ON c.customer_id = ct.customer_id
WHERE NOT ct.is_finalized
GROUP BY c.customer_id, c.customer_name;

CREATE OR REPLACE VIEW powerbi.sales AS
SELECT
    il.invoice_line_id,
    i.invoice_date,
    i.customer_id,
    c.customer_name,
    ct.city_name,
    sp.state_province_name,
    sp.sales_territory,
    p.full_name                        AS salesperson,
    il.stock_item_id,
    si.stock_item_name,
    il.quantity,
    il.extended_price - il.tax_amount  AS amount_excluding_tax,
    il.tax_amount,
    il.line_profit
FROM sales.invoice_lines AS il
JOIN sales.invoices AS i ON i.invoice_id = il.invoice_id
JOIN sales.customers AS c ON c.customer_id = i.customer_id
JOIN application.cities AS ct ON ct.city_id = c.delivery_city_id
JOIN application.state_provinces AS sp ON sp.state_province_id = ct.state_province_id
JOIN application.people AS p ON p.person_id = i.salesperson_person_id
JOIN warehouse.stock_items AS si ON si.stock_item_id = il.stock_item_id;

CREATE OR REPLACE VIEW powerbi.cold_room_temperatures AS
SELECT
    cold_room_sensor_number,
    recorded_when,
    temperature
FROM warehouse.cold_room_temperatures
UNION ALL
SELECT
    cold_room_sensor_number,
    recorded_when,
    temperature
FROM warehouse.cold_room_temperatures_archive;

COMMENT ON VIEW website.customers IS 'customers with the names of what they refer to';
COMMENT ON VIEW website.suppliers IS 'suppliers with the names of what they refer to';
COMMENT ON VIEW website.vehicle_temperatures IS 'readings of the chillers of vehicles';
COMMENT ON VIEW reports.sales_by_month IS 'invoiced sales by month and buying group';
COMMENT ON VIEW reports.stock_status IS 'stock on hand and on order of each stock item';
COMMENT ON VIEW reports.open_receivables IS 'customers with unpaid invoices; those who pay for others have the sum';
COMMENT ON VIEW powerbi.sales IS 'invoiced lines with the names that dashboards group by';
COMMENT ON VIEW powerbi.cold_room_temperatures IS 'all readings of the cold rooms';

COMMIT;
