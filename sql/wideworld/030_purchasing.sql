-- Schema purchasing: suppliers, what is ordered from them, and what is owed to them.
-- Places are as in 020_application.sql; foreign keys are in 060_foreign_keys.sql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format_type(a.atttypid, a.atttypmod) AS point
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'application.cities'::regclass
  AND a.attname = 'location'
\gset

BEGIN;

CREATE TABLE IF NOT EXISTS purchasing.supplier_categories (
    supplier_category_id   integer     NOT NULL DEFAULT nextval('sequences.supplier_category_id'),
    supplier_category_name varchar(50) NOT NULL,
    last_edited_by         integer     NOT NULL,
    valid_from             timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to               timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT supplier_categories_pkey PRIMARY KEY (supplier_category_id),
    CONSTRAINT supplier_categories_supplier_category_name_key UNIQUE (supplier_category_name),
    CONSTRAINT supplier_categories_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS purchasing.suppliers (
    supplier_id                 integer      NOT NULL DEFAULT nextval('sequences.supplier_id'),
    supplier_name               varchar(100) NOT NULL,
    supplier_category_id        integer      NOT NULL,
    primary_contact_person_id   integer      NOT NULL,
    alternate_contact_person_id integer      NOT NULL,
    delivery_method_id          integer,
    delivery_city_id            integer      NOT NULL,
    postal_city_id              integer      NOT NULL,
    supplier_reference          varchar(20),
    bank_account_name           varchar(50),
    bank_account_branch         varchar(50),
    bank_account_code           varchar(20),
    bank_account_number         varchar(20),
    bank_international_code     varchar(20),
    payment_days                integer      NOT NULL,
    internal_comments           text,
    phone_number                varchar(20)  NOT NULL,
    fax_number                  varchar(20)  NOT NULL,
    website_url                 varchar(256) NOT NULL,
    delivery_address_line1      varchar(60)  NOT NULL,
    delivery_address_line2      varchar(60),
    delivery_postal_code        varchar(10)  NOT NULL,
    delivery_location           :point,
    postal_address_line1        varchar(60)  NOT NULL,
    postal_address_line2        varchar(60),
    postal_postal_code          varchar(10)  NOT NULL,
    last_edited_by              integer      NOT NULL,
    valid_from                  timestamp    NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                    timestamp    NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT suppliers_pkey PRIMARY KEY (supplier_id),
    CONSTRAINT suppliers_supplier_name_key UNIQUE (supplier_name),
    CONSTRAINT suppliers_payment_days_check CHECK (payment_days >= 0),
    CONSTRAINT suppliers_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS purchasing.purchase_orders (
    purchase_order_id      integer     NOT NULL DEFAULT nextval('sequences.purchase_order_id'),
    supplier_id            integer     NOT NULL,
    order_date             date        NOT NULL,
    delivery_method_id     integer     NOT NULL,
    contact_person_id      integer     NOT NULL,
    expected_delivery_date date,
    supplier_reference     varchar(20),
    is_order_finalized     boolean     NOT NULL,
    comments               text,
    internal_comments      text,
    last_edited_by         integer     NOT NULL,
    last_edited_when       timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT purchase_orders_pkey PRIMARY KEY (purchase_order_id),
    CONSTRAINT purchase_orders_expected_check CHECK (expected_delivery_date >= order_date)
);

CREATE TABLE IF NOT EXISTS purchasing.purchase_order_lines (
    purchase_order_line_id        integer        NOT NULL DEFAULT nextval('sequences.purchase_order_line_id'),
    purchase_order_id             integer        NOT NULL,
    stock_item_id                 integer        NOT NULL,
    ordered_outers                integer        NOT NULL,
    description                   varchar(100)   NOT NULL,
    received_outers               integer        NOT NULL,
    package_type_id               integer        NOT NULL,
    expected_unit_price_per_outer numeric(18, 2),
    last_receipt_date             date,
    is_order_line_finalized       boolean        NOT NULL,
    last_edited_by                integer        NOT NULL,
    last_edited_when              timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT purchase_order_lines_pkey PRIMARY KEY (purchase_order_line_id),
    CONSTRAINT purchase_order_lines_outers_check
        CHECK (ordered_outers > 0 AND received_outers BETWEEN 0 AND ordered_outers)
);

CREATE TABLE IF NOT EXISTS purchasing.supplier_transactions (
    supplier_transaction_id integer        NOT NULL DEFAULT nextval('sequences.transaction_id'),
    supplier_id             integer        NOT NULL,
    transaction_type_id     integer        NOT NULL,
    purchase_order_id       integer,
    payment_method_id       integer,
    supplier_invoice_number varchar(20),
    transaction_date        date           NOT NULL,
    amount_excluding_tax    numeric(18, 2) NOT NULL,
    tax_amount              numeric(18, 2) NOT NULL,
    transaction_amount      numeric(18, 2) NOT NULL,
    outstanding_balance     numeric(18, 2) NOT NULL,
    finalization_date       date,
    is_finalized            boolean        NOT NULL,
    last_edited_by          integer        NOT NULL,
    last_edited_when        timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT supplier_transactions_pkey PRIMARY KEY (supplier_transaction_id),
    CONSTRAINT supplier_transactions_amount_check
        CHECK (transaction_amount = amount_excluding_tax + tax_amount),
    CONSTRAINT supplier_transactions_finalized_check
        CHECK (is_finalized = (finalization_date IS NOT NULL) AND (outstanding_balance = 0 OR NOT is_finalized))
);

-- What is followed, and the open ones, which stay few.
CREATE INDEX IF NOT EXISTS purchase_order_lines_purchase_order_id_idx
    ON purchasing.purchase_order_lines (purchase_order_id);
CREATE INDEX IF NOT EXISTS purchase_orders_open_idx
    ON purchasing.purchase_orders (expected_delivery_date, purchase_order_id)
    WHERE NOT is_order_finalized;
CREATE INDEX IF NOT EXISTS purchase_order_lines_open_idx
    ON purchasing.purchase_order_lines (stock_item_id)
    WHERE NOT is_order_line_finalized;
CREATE INDEX IF NOT EXISTS supplier_transactions_open_idx
    ON purchasing.supplier_transactions (supplier_id, supplier_transaction_id)
    WHERE NOT is_finalized;

COMMENT ON TABLE purchasing.supplier_categories IS 'categories of suppliers';
COMMENT ON TABLE purchasing.suppliers IS 'organisations that stock items are bought from';
COMMENT ON TABLE purchasing.purchase_orders IS 'orders to suppliers';
COMMENT ON TABLE purchasing.purchase_order_lines IS 'stock items of an order to a supplier';
COMMENT ON TABLE purchasing.supplier_transactions IS 'invoices of suppliers, and payments to them';
COMMENT ON COLUMN purchasing.supplier_transactions.outstanding_balance IS 'what is still to be paid';

COMMIT;
