-- Schema application: places, people, and the short lists that all other schemas refer to.
-- Places are geography where the extension PostGIS is in the database, and well-known text otherwise; both take the
-- same text as input. Columns that another column determines are ordinary columns, held to it by a constraint, because
-- logical decoding before PostgreSQL 18 leaves generated columns out.
-- Foreign keys are in 060_foreign_keys.sql. Times are in UTC.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'postgis') AS has_postgis
\gset
\if :has_postgis
    SELECT n.nspname AS postgis_schema
    FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'postgis'
    \gset
    \set point :"postgis_schema" .geography(Point, 4326)
    \set area :"postgis_schema" .geography(MultiPolygon, 4326)
\else
    \set point text
    \set area text
\endif

BEGIN;

CREATE TABLE IF NOT EXISTS application.people (
    person_id                  integer      NOT NULL DEFAULT nextval('sequences.person_id'),
    full_name                  varchar(50)  NOT NULL,
    preferred_name             varchar(50)  NOT NULL,
    search_name                varchar(101) NOT NULL,
    is_permitted_to_logon      boolean      NOT NULL,
    logon_name                 varchar(50),
    is_external_logon_provider boolean      NOT NULL,
    hashed_password            bytea,
    is_system_user             boolean      NOT NULL,
    is_employee                boolean      NOT NULL,
    is_salesperson             boolean      NOT NULL,
    user_preferences           jsonb,
    phone_number               varchar(20),
    fax_number                 varchar(20),
    email_address              varchar(256),
    photo                      bytea,
    custom_fields              jsonb,
    other_languages            jsonb,
    last_edited_by             integer      NOT NULL,
    valid_from                 timestamp    NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                   timestamp    NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT people_pkey PRIMARY KEY (person_id),
    CONSTRAINT people_search_name_check CHECK (search_name = preferred_name || ' ' || full_name),
    CONSTRAINT people_other_languages_check
        CHECK (other_languages IS NOT DISTINCT FROM custom_fields -> 'OtherLanguages'),
    CONSTRAINT people_salesperson_check CHECK (is_employee OR NOT is_salesperson),
    CONSTRAINT people_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.countries (
    country_id                 integer      NOT NULL DEFAULT nextval('sequences.country_id'),
    country_name               varchar(60)  NOT NULL,
    formal_name                varchar(60)  NOT NULL,
    iso_alpha3_code            varchar(3),
    iso_numeric_code           integer,
    country_type               varchar(20),
    latest_recorded_population bigint,
    continent                  varchar(30)  NOT NULL,
    region                     varchar(30)  NOT NULL,
    subregion                  varchar(30)  NOT NULL,
    border                     :area,
    last_edited_by             integer      NOT NULL,
    valid_from                 timestamp    NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                   timestamp    NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT countries_pkey PRIMARY KEY (country_id),
    CONSTRAINT countries_country_name_key UNIQUE (country_name),
    CONSTRAINT countries_formal_name_key UNIQUE (formal_name),
    CONSTRAINT countries_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.state_provinces (
    state_province_id          integer      NOT NULL DEFAULT nextval('sequences.state_province_id'),
    state_province_code        varchar(5)   NOT NULL,
    state_province_name        varchar(50)  NOT NULL,
    country_id                 integer      NOT NULL,
    sales_territory            varchar(50)  NOT NULL,
    border                     :area,
    latest_recorded_population bigint,
    last_edited_by             integer      NOT NULL,
    valid_from                 timestamp    NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                   timestamp    NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT state_provinces_pkey PRIMARY KEY (state_province_id),
    CONSTRAINT state_provinces_state_province_name_key UNIQUE (state_province_name),
    CONSTRAINT state_provinces_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.cities (
    city_id                    integer      NOT NULL DEFAULT nextval('sequences.city_id'),
    city_name                  varchar(50)  NOT NULL,
    state_province_id          integer      NOT NULL,
    location                   :point,
    latest_recorded_population bigint,
    last_edited_by             integer      NOT NULL,
    valid_from                 timestamp    NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to                   timestamp    NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT cities_pkey PRIMARY KEY (city_id),
    CONSTRAINT cities_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.delivery_methods (
    delivery_method_id   integer     NOT NULL DEFAULT nextval('sequences.delivery_method_id'),
    delivery_method_name varchar(50) NOT NULL,
    last_edited_by       integer     NOT NULL,
    valid_from           timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to             timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT delivery_methods_pkey PRIMARY KEY (delivery_method_id),
    CONSTRAINT delivery_methods_delivery_method_name_key UNIQUE (delivery_method_name),
    CONSTRAINT delivery_methods_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.payment_methods (
    payment_method_id   integer     NOT NULL DEFAULT nextval('sequences.payment_method_id'),
    payment_method_name varchar(50) NOT NULL,
    last_edited_by      integer     NOT NULL,
    valid_from          timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to            timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT payment_methods_pkey PRIMARY KEY (payment_method_id),
    CONSTRAINT payment_methods_payment_method_name_key UNIQUE (payment_method_name),
    CONSTRAINT payment_methods_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.transaction_types (
    transaction_type_id   integer     NOT NULL DEFAULT nextval('sequences.transaction_type_id'),
    transaction_type_name varchar(50) NOT NULL,
    last_edited_by        integer     NOT NULL,
    valid_from            timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    valid_to              timestamp   NOT NULL DEFAULT '9999-12-31 23:59:59.999999',
    CONSTRAINT transaction_types_pkey PRIMARY KEY (transaction_type_id),
    CONSTRAINT transaction_types_transaction_type_name_key UNIQUE (transaction_type_name),
    CONSTRAINT transaction_types_valid_check CHECK (valid_to > valid_from)
);

CREATE TABLE IF NOT EXISTS application.system_parameters (
    system_parameter_id    integer     NOT NULL DEFAULT nextval('sequences.system_parameter_id'),
    delivery_address_line1 varchar(60) NOT NULL,
    delivery_address_line2 varchar(60),
    delivery_city_id       integer     NOT NULL,
    delivery_postal_code   varchar(10) NOT NULL,
    delivery_location      :point      NOT NULL,
    postal_address_line1   varchar(60) NOT NULL,
    postal_address_line2   varchar(60),
    postal_city_id         integer     NOT NULL,
    postal_postal_code     varchar(10) NOT NULL,
    application_settings   jsonb       NOT NULL,
    last_edited_by         integer     NOT NULL,
    last_edited_when       timestamp   NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    CONSTRAINT system_parameters_pkey PRIMARY KEY (system_parameter_id)
);

COMMENT ON TABLE application.people IS 'staff, and contacts at customers and suppliers';
COMMENT ON COLUMN application.people.search_name IS 'preferred and full name, for searches';
COMMENT ON COLUMN application.people.other_languages IS 'what custom_fields has below OtherLanguages';
COMMENT ON TABLE application.countries IS 'countries that states and provinces are part of';
COMMENT ON TABLE application.state_provinces IS 'states and provinces that cities are part of';
COMMENT ON TABLE application.cities IS 'cities of all addresses';
COMMENT ON TABLE application.delivery_methods IS 'ways to deliver stock items';
COMMENT ON TABLE application.payment_methods IS 'ways to pay';
COMMENT ON TABLE application.transaction_types IS 'types of transactions of customers, suppliers and stock items';
COMMENT ON TABLE application.system_parameters IS 'parameters of the whole system; one row';

COMMIT;
