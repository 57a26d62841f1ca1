-- Which rows refer to which. The schemas refer to each other in circles, so the keys come after all tables.
-- Invariant: every column that names a row of another table is in this list. A key is called <table>_<column>_fkey.
-- The two tables of temperatures refer to nothing.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

WITH wanted (table_name, column_name, other_table, other_column) AS (
    VALUES
        ('application.people', 'last_edited_by', 'application.people', 'person_id'),
        ('application.countries', 'last_edited_by', 'application.people', 'person_id'),
        ('application.state_provinces', 'country_id', 'application.countries', 'country_id'),
        ('application.state_provinces', 'last_edited_by', 'application.people', 'person_id'),
        ('application.cities', 'state_province_id', 'application.state_provinces', 'state_province_id'),
        ('application.cities', 'last_edited_by', 'application.people', 'person_id'),
        ('application.delivery_methods', 'last_edited_by', 'application.people', 'person_id'),
        ('application.payment_methods', 'last_edited_by', 'application.people', 'person_id'),
        ('application.transaction_types', 'last_edited_by', 'application.people', 'person_id'),
        ('application.system_parameters', 'delivery_city_id', 'application.cities', 'city_id'),
        ('application.system_parameters', 'postal_city_id', 'application.cities', 'city_id'),
        ('application.system_parameters', 'last_edited_by', 'application.people', 'person_id'),
        ('purchasing.supplier_categories', 'last_edited_by', 'application.people', 'person_id'),
        ('purchasing.suppliers', 'supplier_category_id', 'purchasing.supplier_categories', 'supplier_category_id'),
        ('purchasing.suppliers', 'primary_contact_person_id', 'application.people', 'person_id'),
        ('purchasing.suppliers', 'alternate_contact_person_id', 'application.people', 'person_id'),
        ('purchasing.suppliers', 'delivery_method_id', 'application.delivery_methods', 'delivery_method_id'),
        ('purchasing.suppliers', 'delivery_city_id', 'application.cities', 'city_id'),
        ('purchasing.suppliers', 'postal_city_id', 'application.cities', 'city_id'),
        ('purchasing.suppliers', 'last_edited_by', 'application.people', 'person_id'),
        ('purchasing.purchase_orders', 'supplier_id', 'purchasing.suppliers', 'supplier_id'),
        ('purchasing.purchase_orders', 'delivery_method_id', 'application.delivery_methods', 'delivery_method_id'),
        ('purchasing.purchase_orders', 'contact_person_id', 'application.people', 'person_id'),
        ('purchasing.purchase_orders', 'last_edited_by', 'application.people', 'person_id'),
        ('purchasing.purchase_order_lines', 'purchase_order_id', 'purchasing.purchase_orders', 'purchase_order_id'),
        ('purchasing.purchase_order_lines', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('purchasing.purchase_order_lines', 'package_type_id', 'warehouse.package_types', 'package_type_id'),
        ('purchasing.purchase_order_lines', 'last_edited_by', 'application.people', 'person_id'),
        ('purchasing.supplier_transactions', 'supplier_id', 'purchasing.suppliers', 'supplier_id'),
        ('purchasing.supplier_transactions', 'transaction_type_id', 'application.transaction_types', 'transaction_type_id'),
        ('purchasing.supplier_transactions', 'purchase_order_id', 'purchasing.purchase_orders', 'purchase_order_id'),
        ('purchasing.supplier_transactions', 'payment_method_id', 'application.payment_methods', 'payment_method_id'),
        ('purchasing.supplier_transactions', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.buying_groups', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.customer_categories', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.customers', 'bill_to_customer_id', 'sales.customers', 'customer_id'),
        ('sales.customers', 'customer_category_id', 'sales.customer_categories', 'customer_category_id'),
        ('sales.customers', 'buying_group_id', 'sales.buying_groups', 'buying_group_id'),
        ('sales.customers', 'primary_contact_person_id', 'application.people', 'person_id'),
        ('sales.customers', 'alternate_contact_person_id', 'application.people', 'person_id'),
        ('sales.customers', 'delivery_method_id', 'application.delivery_methods', 'delivery_method_id'),
        ('sales.customers', 'delivery_city_id', 'application.cities', 'city_id'),
        ('sales.customers', 'postal_city_id', 'application.cities', 'city_id'),
        ('sales.customers', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.orders', 'customer_id', 'sales.customers', 'customer_id'),
        ('sales.orders', 'salesperson_person_id', 'application.people', 'person_id'),
        ('sales.orders', 'picked_by_person_id', 'application.people', 'person_id'),
        ('sales.orders', 'contact_person_id', 'application.people', 'person_id'),
        ('sales.orders', 'backorder_order_id', 'sales.orders', 'order_id'),
        ('sales.orders', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.order_lines', 'order_id', 'sales.orders', 'order_id'),
        ('sales.order_lines', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('sales.order_lines', 'package_type_id', 'warehouse.package_types', 'package_type_id'),
        ('sales.order_lines', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.invoices', 'customer_id', 'sales.customers', 'customer_id'),
        ('sales.invoices', 'bill_to_customer_id', 'sales.customers', 'customer_id'),
        ('sales.invoices', 'order_id', 'sales.orders', 'order_id'),
        ('sales.invoices', 'delivery_method_id', 'application.delivery_methods', 'delivery_method_id'),
        ('sales.invoices', 'contact_person_id', 'application.people', 'person_id'),
        ('sales.invoices', 'accounts_person_id', 'application.people', 'person_id'),
        ('sales.invoices', 'salesperson_person_id', 'application.people', 'person_id'),
        ('sales.invoices', 'packed_by_person_id', 'application.people', 'person_id'),
        ('sales.invoices', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.invoice_lines', 'invoice_id', 'sales.invoices', 'invoice_id'),
        ('sales.invoice_lines', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('sales.invoice_lines', 'package_type_id', 'warehouse.package_types', 'package_type_id'),
        ('sales.invoice_lines', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.customer_transactions', 'customer_id', 'sales.customers', 'customer_id'),
        ('sales.customer_transactions', 'transaction_type_id', 'application.transaction_types', 'transaction_type_id'),
        ('sales.customer_transactions', 'invoice_id', 'sales.invoices', 'invoice_id'),
        ('sales.customer_transactions', 'payment_method_id', 'application.payment_methods', 'payment_method_id'),
        ('sales.customer_transactions', 'last_edited_by', 'application.people', 'person_id'),
        ('sales.special_deals', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('sales.special_deals', 'customer_id', 'sales.customers', 'customer_id'),
        ('sales.special_deals', 'buying_group_id', 'sales.buying_groups', 'buying_group_id'),
        ('sales.special_deals', 'customer_category_id', 'sales.customer_categories', 'customer_category_id'),
        ('sales.special_deals', 'stock_group_id', 'warehouse.stock_groups', 'stock_group_id'),
        ('sales.special_deals', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.colors', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.package_types', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.stock_groups', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.stock_items', 'supplier_id', 'purchasing.suppliers', 'supplier_id'),
        ('warehouse.stock_items', 'color_id', 'warehouse.colors', 'color_id'),
        ('warehouse.stock_items', 'unit_package_id', 'warehouse.package_types', 'package_type_id'),
        ('warehouse.stock_items', 'outer_package_id', 'warehouse.package_types', 'package_type_id'),
        ('warehouse.stock_items', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.stock_item_holdings', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('warehouse.stock_item_holdings', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.stock_item_stock_groups', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('warehouse.stock_item_stock_groups', 'stock_group_id', 'warehouse.stock_groups', 'stock_group_id'),
        ('warehouse.stock_item_stock_groups', 'last_edited_by', 'application.people', 'person_id'),
        ('warehouse.stock_item_transactions', 'stock_item_id', 'warehouse.stock_items', 'stock_item_id'),
        ('warehouse.stock_item_transactions', 'transaction_type_id', 'application.transaction_types', 'transaction_type_id'),
        ('warehouse.stock_item_transactions', 'customer_id', 'sales.customers', 'customer_id'),
        ('warehouse.stock_item_transactions', 'invoice_id', 'sales.invoices', 'invoice_id'),
        ('warehouse.stock_item_transactions', 'supplier_id', 'purchasing.suppliers', 'supplier_id'),
        ('warehouse.stock_item_transactions', 'purchase_order_id', 'purchasing.purchase_orders', 'purchase_order_id'),
        ('warehouse.stock_item_transactions', 'last_edited_by', 'application.people', 'person_id')
),
named AS (
    SELECT *, format('%s_%s_fkey', split_part(table_name, '.', 2), column_name) AS key_name
    FROM wanted
)
SELECT format(
    'ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %s (%I)',
    table_name, key_name, column_name, other_table, other_column
)
FROM named
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_constraint
    WHERE conrelid = named.table_name::regclass
      AND conname = named.key_name
)
\gexec

COMMIT;
