-- Schema sales: customers, what they order, what is invoiced, and what they owe.
-- Places are as in 020_application.sql; foreign keys are in 060_foreign_keys.sql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format_type(a.atttypid, a.atttypmod) AS point
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'application.cities'::regclass
  AND a.attname = 'location'
\gset

BEGIN;

CREATE TABLE IF NOT EXISTS sales.buying_groups (
    buying_group_id   integer     NOT NULL DEFAULT nextval('sequences.buying_group_id'),
    buying_group_name varchar(50) NOT NULL,
    last_edited_by    integer     NOT NULL,
    valid_from        timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to          timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT buying_groups_pkey PRIMARY KEY (buying_group_id),
    CONSTRAINT buying_groups_buying_group_name_key UNIQUE (buying_group_name),
    CONSTRAINT buying_groups_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS sales.customer_categories (
    customer_category_id   integer     NOT NULL DEFAULT nextval('sequences.customer_category_id'),
    customer_category_name varchar(50) NOT NULL,
    last_edited_by         integer     NOT NULL,
    valid_from             timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to               timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT customer_categories_pkey PRIMARY KEY (customer_category_id),
    CONSTRAINT customer_categories_customer_category_name_key UNIQUE (customer_category_name),
    CONSTRAINT customer_categories_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS sales.customers (
    customer_id                  integer        NOT NULL DEFAULT nextval('sequences.customer_id'),
    customer_name                varchar(100)   NOT NULL,
    bill_to_customer_id          integer        NOT NULL,
    customer_category_id         integer        NOT NULL,
    buying_group_id              integer,
    primary_contact_person_id    integer        NOT NULL,
    alternate_contact_person_id  integer,
    delivery_method_id           integer        NOT NULL,
    delivery_city_id             integer        NOT NULL,
    postal_city_id               integer        NOT NULL,
    credit_limit                 numeric(18, 2),
    account_opened_date          date           NOT NULL,
    standard_discount_percentage numeric(18, 3) NOT NULL,
    is_statement_sent            boolean        NOT NULL,
    is_on_credit_hold            boolean        NOT NULL,
    payment_days                 integer        NOT NULL,
    phone_number                 varchar(20)    NOT NULL,
    fax_number                   varchar(20)    NOT NULL,
    delivery_run                 varchar(5),
    run_position                 varchar(5),
    website_url                  varchar(256)   NOT NULL,
    delivery_address_line1       varchar(60)    NOT NULL,
    delivery_address_line2       varchar(60),
    delivery_postal_code         varchar(10)    NOT NULL,
    delivery_location            :point,
    postal_address_line1         varchar(60)    NOT NULL,
    postal_address_line2         varchar(60),
    postal_postal_code           varchar(10)    NOT NULL,
    last_edited_by               integer        NOT NULL,
    valid_from                   timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                     timestamp      NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT customers_pkey PRIMARY KEY (customer_id),
    CONSTRAINT customers_customer_name_key UNIQUE (customer_name),
    CONSTRAINT customers_discount_check CHECK (standard_discount_percentage BETWEEN 0 AND 100),
    CONSTRAINT customers_payment_days_check CHECK (payment_days >= 0),
    CONSTRAINT customers_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS sales.orders (
    order_id                       integer     NOT NULL DEFAULT nextval('sequences.order_id'),
    customer_id                    integer     NOT NULL,
    salesperson_person_id          integer     NOT NULL,
    picked_by_person_id            integer,
    contact_person_id              integer     NOT NULL,
    backorder_order_id             integer,
    order_date                     date        NOT NULL,
    expected_delivery_date         date        NOT NULL,
    customer_purchase_order_number varchar(20),
    is_undersupply_backordered     boolean     NOT NULL,
    comments                       text,
    delivery_instructions          text,
    internal_comments              text,
    picking_completed_when         timestamp,
    last_edited_by                 integer     NOT NULL,
    last_edited_when               timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT orders_pkey PRIMARY KEY (order_id),
    CONSTRAINT orders_expected_check CHECK (expected_delivery_date >= order_date)
);

CREATE TABLE IF NOT EXISTS sales.order_lines (
    order_line_id          integer        NOT NULL DEFAULT nextval('sequences.order_line_id'),
    order_id               integer        NOT NULL,
    stock_item_id          integer        NOT NULL,
    description            varchar(100)   NOT NULL,
    package_type_id        integer        NOT NULL,
    quantity               integer        NOT NULL,
    unit_price             numeric(18, 2),
    tax_rate               numeric(18, 3) NOT NULL,
    picked_quantity        integer        NOT NULL,
    picking_completed_when timestamp,
    last_edited_by         integer        NOT NULL,
    last_edited_when       timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT order_lines_pkey PRIMARY KEY (order_line_id),
    CONSTRAINT order_lines_quantity_check CHECK (quantity > 0 AND picked_quantity BETWEEN 0 AND quantity)
);

CREATE TABLE IF NOT EXISTS sales.invoices (
    invoice_id                     integer       NOT NULL DEFAULT nextval('sequences.invoice_id'),
    customer_id                    integer       NOT NULL,
    bill_to_customer_id            integer       NOT NULL,
    order_id                       integer,
    delivery_method_id             integer       NOT NULL,
    contact_person_id              integer       NOT NULL,
    accounts_person_id             integer       NOT NULL,
    salesperson_person_id          integer       NOT NULL,
    packed_by_person_id            integer       NOT NULL,
    invoice_date                   date          NOT NULL,
    customer_purchase_order_number varchar(20),
    is_credit_note                 boolean       NOT NULL,
    credit_note_reason             text,
    comments                       text,
    delivery_instructions          text,
    internal_comments              text,
    total_dry_items                integer       NOT NULL,
    total_chiller_items            integer       NOT NULL,
    delivery_run                   varchar(5),
    run_position                   varchar(5),
    returned_delivery_data         jsonb,
    confirmed_delivery_time        timestamp,
    confirmed_received_by          varchar(4000),
    last_edited_by                 integer       NOT NULL,
    last_edited_when               timestamp     NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT invoices_pkey PRIMARY KEY (invoice_id),
    CONSTRAINT invoices_credit_note_check CHECK (is_credit_note OR credit_note_reason IS NULL),
    CONSTRAINT invoices_confirmed_check CHECK (
        confirmed_received_by IS NOT DISTINCT FROM returned_delivery_data ->> 'ReceivedBy'
        AND (confirmed_delivery_time IS NULL) = (returned_delivery_data ->> 'DeliveredWhen' IS NULL)
    )
);

CREATE TABLE IF NOT EXISTS sales.invoice_lines (
    invoice_line_id  integer        NOT NULL DEFAULT nextval('sequences.invoice_line_id'),
    invoice_id       integer        NOT NULL,
    stock_item_id    integer        NOT NULL,
    description      varchar(100)   NOT NULL,
    package_type_id  integer        NOT NULL,
    quantity         integer        NOT NULL,
    unit_price       numeric(18, 2),
    tax_rate         numeric(18, 3) NOT NULL,
    tax_amount       numeric(18, 2) NOT NULL,
    line_profit      numeric(18, 2) NOT NULL,
    extended_price   numeric(18, 2) NOT NULL,
    last_edited_by   integer        NOT NULL,
    last_edited_when timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT invoice_lines_pkey PRIMARY KEY (invoice_line_id),
    CONSTRAINT invoice_lines_extended_price_check CHECK (extended_price = quantity * unit_price + tax_amount)
);

CREATE TABLE IF NOT EXISTS sales.customer_transactions (
    customer_transaction_id integer        NOT NULL DEFAULT nextval('sequences.transaction_id'),
    customer_id             integer        NOT NULL,
    transaction_type_id     integer        NOT NULL,
    invoice_id              integer,
    payment_method_id       integer,
    transaction_date        date           NOT NULL,
    amount_excluding_tax    numeric(18, 2) NOT NULL,
    tax_amount              numeric(18, 2) NOT NULL,
    transaction_amount      numeric(18, 2) NOT NULL,
    outstanding_balance     numeric(18, 2) NOT NULL,
    finalization_date       date,
    is_finalized            boolean        NOT NULL,
    last_edited_by          integer        NOT NULL,
    last_edited_when        timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT customer_transactions_pkey PRIMARY KEY (customer_transaction_id),
    CONSTRAINT customer_transactions_amount_check
        CHECK (transaction_amount = amount_excluding_tax + tax_amount),
    CONSTRAINT customer_transactions_finalized_check
        CHECK (is_finalized = (finalization_date IS NOT NULL) AND (outstanding_balance = 0 OR NOT is_finalized))
);

CREATE TABLE IF NOT EXISTS sales.special_deals (
    special_deal_id      integer        NOT NULL DEFAULT nextval('sequences.special_deal_id'),
    stock_item_id        integer,
    customer_id          integer,
    buying_group_id      integer,
    customer_category_id integer,
    stock_group_id       integer,
    deal_description     varchar(30)    NOT NULL,
    start_date           date           NOT NULL,
    end_date             date           NOT NULL,
    discount_amount      numeric(18, 2),
    discount_percentage  numeric(18, 3),
    unit_price           numeric(18, 2),
    last_edited_by       integer        NOT NULL,
    last_edited_when     timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT special_deals_pkey PRIMARY KEY (special_deal_id),
    CONSTRAINT special_deals_dates_check CHECK (end_date >= start_date),
    CONSTRAINT special_deals_exactly_one_price_check
        CHECK (num_nonnulls(discount_amount, discount_percentage, unit_price) = 1),
    CONSTRAINT special_deals_unit_price_needs_item_check CHECK (unit_price IS NULL OR stock_item_id IS NOT NULL)
);

-- What is followed, and the open ones, which stay few.
CREATE INDEX IF NOT EXISTS order_lines_order_id_idx
    ON sales.order_lines (order_id);
CREATE INDEX IF NOT EXISTS invoices_order_id_idx
    ON sales.invoices (order_id);
CREATE INDEX IF NOT EXISTS invoice_lines_invoice_id_idx
    ON sales.invoice_lines (invoice_id);
CREATE INDEX IF NOT EXISTS orders_to_pick_idx
    ON sales.orders (order_id)
    WHERE picking_completed_when IS NULL;
CREATE INDEX IF NOT EXISTS invoices_to_deliver_idx
    ON sales.invoices (invoice_id)
    WHERE confirmed_delivery_time IS NULL;
CREATE INDEX IF NOT EXISTS customer_transactions_open_idx
    ON sales.customer_transactions (customer_id, customer_transaction_id)
    WHERE NOT is_finalized;

COMMENT ON TABLE sales.buying_groups IS 'groups that customers buy together in';
COMMENT ON TABLE sales.customer_categories IS 'categories of customers';
COMMENT ON TABLE sales.customers IS 'organisations and people that stock items are sold to';
COMMENT ON COLUMN sales.customers.bill_to_customer_id IS 'who pays; the customer itself, or the head of its group';
COMMENT ON TABLE sales.orders IS 'orders of customers';
COMMENT ON COLUMN sales.orders.backorder_order_id IS 'the order whose missing lines this order has';
COMMENT ON TABLE sales.order_lines IS 'stock items of an order';
COMMENT ON TABLE sales.invoices IS 'invoices to customers';
COMMENT ON COLUMN sales.invoices.returned_delivery_data IS 'what the driver recorded on the way';
COMMENT ON COLUMN sales.invoices.confirmed_received_by IS 'what returned_delivery_data has below ReceivedBy';
COMMENT ON TABLE sales.invoice_lines IS 'stock items of an invoice';
COMMENT ON COLUMN sales.invoice_lines.extended_price IS 'price of the line with tax';
COMMENT ON TABLE sales.customer_transactions IS 'invoices to customers, and their payments';
COMMENT ON COLUMN sales.customer_transactions.outstanding_balance IS 'what is still to be paid';
COMMENT ON TABLE sales.special_deals IS 'special prices; each has one of amount, percentage and price';

COMMIT;
