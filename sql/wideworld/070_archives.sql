-- The archives: for each of the 17 tables whose rows have a time of validity, a table of the versions that ended.
-- Invariant: an archive has the columns of its table, in the same order. Its key is the row's key with the beginning of
-- the version, so an archive can be captured, too. A trigger moves a version there when an update or a delete ends it.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE TEMPORARY TABLE versioned (table_name text, key_column text) ON COMMIT DROP;

INSERT INTO versioned
VALUES
    ('application.people', 'person_id'),
    ('application.countries', 'country_id'),
    ('application.state_provinces', 'state_province_id'),
    ('application.cities', 'city_id'),
    ('application.delivery_methods', 'delivery_method_id'),
    ('application.payment_methods', 'payment_method_id'),
    ('application.transaction_types', 'transaction_type_id'),
    ('purchasing.supplier_categories', 'supplier_category_id'),
    ('purchasing.suppliers', 'supplier_id'),
    ('sales.buying_groups', 'buying_group_id'),
    ('sales.customer_categories', 'customer_category_id'),
    ('sales.customers', 'customer_id'),
    ('warehouse.colors', 'color_id'),
    ('warehouse.package_types', 'package_type_id'),
    ('warehouse.stock_groups', 'stock_group_id'),
    ('warehouse.stock_items', 'stock_item_id'),
    ('warehouse.cold_room_temperatures', 'cold_room_temperature_id');

SELECT format(
    'CREATE TABLE IF NOT EXISTS %1$s_archive (
         LIKE %1$s,
         CONSTRAINT %2$I PRIMARY KEY (%3$I, valid_from),
         CONSTRAINT %4$I CHECK (valid_to > valid_from)
     )',
    table_name,
    split_part(table_name, '.', 2) || '_archive_pkey',
    key_column,
    split_part(table_name, '.', 2) || '_archive_valid_check'
)
FROM versioned
\gexec

SELECT format(
    'CREATE OR REPLACE TRIGGER keep_version
     BEFORE UPDATE OR DELETE ON %s
     FOR EACH ROW EXECUTE FUNCTION application.keep_version(%L)',
    table_name, split_part(table_name, '.', 2) || '_archive'
)
FROM versioned
\gexec

SELECT format('COMMENT ON TABLE %1$s_archive IS %2$L', table_name, 'versions of ' || table_name || ' that ended')
FROM versioned
\gexec

COMMIT;
