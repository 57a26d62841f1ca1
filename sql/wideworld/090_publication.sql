-- What change data capture may read from the WAL.
-- Invariant: the publication holds exactly the 31 tables and the archive of the cold rooms, with every kind of change.
-- That archive is published because the history of the readings is nowhere else. The other archives are not: whoever
-- captures the tables keeps every version of their rows anyway.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT 'CREATE PUBLICATION wideworld_publication'
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_publication
    WHERE pubname = 'wideworld_publication'
)
\gexec

ALTER PUBLICATION wideworld_publication SET TABLE
    application.people,
    application.countries,
    application.state_provinces,
    application.cities,
    application.delivery_methods,
    application.payment_methods,
    application.transaction_types,
    application.system_parameters,
    purchasing.supplier_categories,
    purchasing.suppliers,
    purchasing.purchase_orders,
    purchasing.purchase_order_lines,
    purchasing.supplier_transactions,
    sales.buying_groups,
    sales.customer_categories,
    sales.customers,
    sales.orders,
    sales.order_lines,
    sales.invoices,
    sales.invoice_lines,
    sales.customer_transactions,
    sales.special_deals,
    warehouse.colors,
    warehouse.package_types,
    warehouse.stock_groups,
    warehouse.stock_items,
    warehouse.stock_item_holdings,
    warehouse.stock_item_stock_groups,
    warehouse.stock_item_transactions,
    warehouse.vehicle_temperatures,
    warehouse.cold_room_temperatures,
    warehouse.cold_room_temperatures_archive;

ALTER PUBLICATION wideworld_publication SET (
    publish = 'insert, update, delete, truncate'
);

COMMIT;
