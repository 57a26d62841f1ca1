-- Schema warehouse: stock items, what is on the shelves, its movements, and the temperatures of the chillers.
-- Foreign keys are in 060_foreign_keys.sql.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE TABLE IF NOT EXISTS warehouse.colors (
    color_id       integer     NOT NULL DEFAULT nextval('sequences.color_id'),
    color_name     varchar(20) NOT NULL,
    last_edited_by integer     NOT NULL,
    valid_from     timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to       timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT colors_pkey PRIMARY KEY (color_id),
    CONSTRAINT colors_color_name_key UNIQUE (color_name),
    CONSTRAINT colors_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS warehouse.package_types (
    package_type_id   integer     NOT NULL DEFAULT nextval('sequences.package_type_id'),
    package_type_name varchar(50) NOT NULL,
    last_edited_by    integer     NOT NULL,
    valid_from        timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to          timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT package_types_pkey PRIMARY KEY (package_type_id),
    CONSTRAINT package_types_package_type_name_key UNIQUE (package_type_name),
    CONSTRAINT package_types_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS warehouse.stock_groups (
    stock_group_id   integer     NOT NULL DEFAULT nextval('sequences.stock_group_id'),
    stock_group_name varchar(50) NOT NULL,
    last_edited_by   integer     NOT NULL,
    valid_from       timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to         timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT stock_groups_pkey PRIMARY KEY (stock_group_id),
    CONSTRAINT stock_groups_stock_group_name_key UNIQUE (stock_group_name),
    CONSTRAINT stock_groups_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS warehouse.stock_items (
    stock_item_id            integer        NOT NULL DEFAULT nextval('sequences.stock_item_id'),
    stock_item_name          varchar(100)   NOT NULL,
    supplier_id              integer        NOT NULL,
    color_id                 integer,
    unit_package_id          integer        NOT NULL,
    outer_package_id         integer        NOT NULL,
    brand                    varchar(50),
    size                     varchar(20),
    lead_time_days           integer        NOT NULL,
    quantity_per_outer       integer        NOT NULL,
    is_chiller_stock         boolean        NOT NULL,
    barcode                  varchar(50),
    tax_rate                 numeric(18, 3) NOT NULL,
    unit_price               numeric(18, 2) NOT NULL,
    recommended_retail_price numeric(18, 2),
    typical_weight_per_unit  numeric(18, 3) NOT NULL,
    marketing_comments       text,
    internal_comments        text,
    photo                    bytea,
    custom_fields            jsonb,
    tags                     jsonb,
    search_details           text           NOT NULL,
    last_edited_by           integer        NOT NULL,
    valid_from               timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                 timestamp      NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT stock_items_pkey PRIMARY KEY (stock_item_id),
    CONSTRAINT stock_items_stock_item_name_key UNIQUE (stock_item_name),
    CONSTRAINT stock_items_numbers_check
        CHECK (lead_time_days >= 0 AND quantity_per_outer > 0 AND unit_price >= 0 AND typical_weight_per_unit >= 0),
    CONSTRAINT stock_items_tags_check CHECK (tags IS NOT DISTINCT FROM custom_fields -> 'Tags'),
    CONSTRAINT stock_items_search_details_check
        CHECK (search_details = stock_item_name || ' ' || coalesce(marketing_comments, '')),
    CONSTRAINT stock_items_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS warehouse.stock_item_holdings (
    stock_item_id           integer        NOT NULL,
    quantity_on_hand        integer        NOT NULL,
    bin_location            varchar(20)    NOT NULL,
    last_stocktake_quantity integer        NOT NULL,
    last_cost_price         numeric(18, 2) NOT NULL,
    reorder_level           integer        NOT NULL,
    target_stock_level      integer        NOT NULL,
    last_edited_by          integer        NOT NULL,
    last_edited_when        timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT stock_item_holdings_pkey PRIMARY KEY (stock_item_id),
    CONSTRAINT stock_item_holdings_quantity_check CHECK (quantity_on_hand >= 0)
);

CREATE TABLE IF NOT EXISTS warehouse.stock_item_stock_groups (
    stock_item_stock_group_id integer   NOT NULL DEFAULT nextval('sequences.stock_item_stock_group_id'),
    stock_item_id             integer   NOT NULL,
    stock_group_id            integer   NOT NULL,
    last_edited_by            integer   NOT NULL,
    last_edited_when          timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT stock_item_stock_groups_pkey PRIMARY KEY (stock_item_stock_group_id),
    CONSTRAINT stock_item_stock_groups_item_group_key UNIQUE (stock_item_id, stock_group_id),
    CONSTRAINT stock_item_stock_groups_group_item_key UNIQUE (stock_group_id, stock_item_id)
);

CREATE TABLE IF NOT EXISTS warehouse.stock_item_transactions (
    stock_item_transaction_id integer        NOT NULL DEFAULT nextval('sequences.transaction_id'),
    stock_item_id             integer        NOT NULL,
    transaction_type_id       integer        NOT NULL,
    customer_id               integer,
    invoice_id                integer,
    supplier_id               integer,
    purchase_order_id         integer,
    transaction_occurred_when timestamp      NOT NULL,
    quantity                  numeric(18, 3) NOT NULL,
    last_edited_by            integer        NOT NULL,
    last_edited_when          timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT stock_item_transactions_pkey PRIMARY KEY (stock_item_transaction_id)
);

-- The temperatures are written every few seconds, so these two tables have no foreign keys and no index beside the key.
CREATE TABLE IF NOT EXISTS warehouse.vehicle_temperatures (
    vehicle_temperature_id bigint         GENERATED BY DEFAULT AS IDENTITY,
    vehicle_registration   varchar(20)    NOT NULL,
    chiller_sensor_number  integer        NOT NULL,
    recorded_when          timestamp      NOT NULL,
    temperature            numeric(10, 2) NOT NULL,
    full_sensor_data       varchar(1000),
    is_compressed          boolean        NOT NULL,
    compressed_sensor_data bytea,
    CONSTRAINT vehicle_temperatures_pkey PRIMARY KEY (vehicle_temperature_id),
    CONSTRAINT vehicle_temperatures_compressed_check
        CHECK (is_compressed = (compressed_sensor_data IS NOT NULL) AND (full_sensor_data IS NULL OR NOT is_compressed))
);

-- One row for each sensor; earlier readings are in the archive.
CREATE TABLE IF NOT EXISTS warehouse.cold_room_temperatures (
    cold_room_temperature_id bigint         GENERATED BY DEFAULT AS IDENTITY,
    cold_room_sensor_number  integer        NOT NULL,
    recorded_when            timestamp      NOT NULL,
    temperature              numeric(10, 2) NOT NULL,
    valid_from               timestamp      NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                 timestamp      NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT cold_room_temperatures_pkey PRIMARY KEY (cold_room_temperature_id),
    CONSTRAINT cold_room_temperatures_valid_check CHECK (valid_to > valid_from)
);

COMMENT ON TABLE warehouse.colors IS 'colours of stock items';
COMMENT ON TABLE warehouse.package_types IS 'packages of stock items';
COMMENT ON TABLE warehouse.stock_groups IS 'groups of stock items';
COMMENT ON TABLE warehouse.stock_items IS 'what is bought and sold';
COMMENT ON COLUMN warehouse.stock_items.tags IS 'what custom_fields has below Tags';
COMMENT ON COLUMN warehouse.stock_items.search_details IS 'name and marketing comments, for searches';
COMMENT ON TABLE warehouse.stock_item_holdings IS 'what is on the shelves; the busiest table';
COMMENT ON COLUMN warehouse.stock_item_holdings.quantity_on_hand IS 'the sum of all movements of the stock item';
COMMENT ON TABLE warehouse.stock_item_stock_groups IS 'which stock items are in which groups';
COMMENT ON TABLE warehouse.stock_item_transactions IS 'all movements of all stock items';
COMMENT ON TABLE warehouse.vehicle_temperatures IS 'readings of the chillers of vehicles';
COMMENT ON TABLE warehouse.cold_room_temperatures IS 'the latest reading of each sensor of the cold rooms';

COMMIT;
