-- The wholesaler's schemas, its sequences, and the one function that keeps old versions of rows.
-- Invariant: every key of the four data schemas comes from a sequence of schema sequences, but the two tables of
-- temperatures, which number themselves. One sequence numbers the transactions of customers, suppliers and stock items.
-- Applying this file again changes nothing.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

SELECT format('CREATE SCHEMA IF NOT EXISTS %I', wanted.schema_name)
FROM unnest(ARRAY[
    'application', 'purchasing', 'sales', 'warehouse', 'sequences', 'website', 'reports', 'powerbi'
]) AS wanted (schema_name)
\gexec

COMMENT ON SCHEMA application IS 'people, places and parameters that all other schemas refer to';
COMMENT ON SCHEMA purchasing IS 'suppliers, and what is bought from them';
COMMENT ON SCHEMA sales IS 'customers, and what is sold to them';
COMMENT ON SCHEMA warehouse IS 'stock items, their holdings and movements, and temperatures';
COMMENT ON SCHEMA sequences IS 'where keys come from';
COMMENT ON SCHEMA website IS 'what the website may see';
COMMENT ON SCHEMA reports IS 'what reports may see';
COMMENT ON SCHEMA powerbi IS 'what dashboards may see';

SELECT format('CREATE SEQUENCE IF NOT EXISTS sequences.%I AS integer', wanted.sequence_name)
FROM unnest(ARRAY[
    'buying_group_id', 'city_id', 'color_id', 'country_id', 'customer_category_id', 'customer_id', 'delivery_method_id',
    'invoice_id', 'invoice_line_id', 'order_id', 'order_line_id', 'package_type_id', 'payment_method_id', 'person_id',
    'purchase_order_id', 'purchase_order_line_id', 'special_deal_id', 'state_province_id', 'stock_group_id',
    'stock_item_id', 'stock_item_stock_group_id', 'supplier_category_id', 'supplier_id', 'system_parameter_id',
    'transaction_id', 'transaction_type_id'
]) AS wanted (sequence_name)
\gexec

-- Moves the version of a row that ends to the table's archive. The trigger names the archive.
-- Invariant: the versions of a row follow each other without a gap and without an overlap, and each lasts a
-- microsecond at least. The time is read after the row is locked, so two writers make versions one after the other.
-- The function runs with its owner's rights, because whoever may change a row need not be able to write history.
CREATE OR REPLACE FUNCTION application.keep_version()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended timestamp := greatest(
        clock_timestamp() AT TIME ZONE 'UTC',
        OLD.valid_from + interval '1 microsecond'
    );
BEGIN
    OLD.valid_to := ended;
    EXECUTE format('INSERT INTO %I.%I SELECT ($1).*', TG_TABLE_SCHEMA, TG_ARGV[0]) USING OLD;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    NEW.valid_from := ended;
    NEW.valid_to := '9999-12-31 23:59:59.999999';
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION application.keep_version() IS 'keeps the version of a row that an update or a delete ends';

COMMIT;
