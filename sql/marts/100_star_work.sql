-- What the refresh of the star schema remembers, and how it finds what changed in the vault.
-- Invariant: dwh_star.offsets, dwh_star.truncations and dwh_star.state say up to where every table of the star has
-- been brought; they are written in the transaction that brings it there. Nothing outside this schema depends on them.
--
-- Every version in a satellite carries topic, partition and offset of the record that made it, and the loader moves
-- dwh_control.offsets in the transaction that writes the versions. In one snapshot the versions that came since the
-- last refresh are therefore those from the offset remembered here up to the offset in dwh_control: no clock, no
-- trigger, and nothing that the loader has to do. A truncate alone writes versions that keep older offsets, but it also
-- writes a row into dwh_control.truncations, by which they are found.
--
-- The schema dwh_star holds everything that the marts need and nobody looks at; it is made by sql/warehouse.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT 'CREATE SCHEMA dwh_star'
WHERE NOT EXISTS (
    SELECT
    FROM pg_catalog.pg_namespace
    WHERE nspname = 'dwh_star'
)
\gexec

BEGIN;

CREATE TABLE IF NOT EXISTS dwh_star.offsets (
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL,
    CONSTRAINT offsets_pkey PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE dwh_star.offsets IS 'up to where the star schema holds what the vault holds';
COMMENT ON COLUMN dwh_star.offsets.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_star.offsets.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_star.offsets.next_offset IS 'first offset whose versions are not in the star yet';

CREATE TABLE IF NOT EXISTS dwh_star.truncations (
    topic      text   NOT NULL,
    source_lsn bigint NOT NULL,
    epoch      integer NOT NULL DEFAULT 0,
    CONSTRAINT truncations_pkey PRIMARY KEY (topic, epoch, source_lsn)
);
-- Before, truncates of two epochs could have one position.
ALTER TABLE dwh_star.truncations
    ADD COLUMN IF NOT EXISTS epoch integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT truncations_pkey,
    ADD CONSTRAINT truncations_pkey PRIMARY KEY (topic, epoch, source_lsn);
COMMENT ON TABLE dwh_star.truncations IS 'the truncates whose effect is in the star';
COMMENT ON COLUMN dwh_star.truncations.topic IS 'topic of the table that was truncated';
COMMENT ON COLUMN dwh_star.truncations.source_lsn IS 'log position of the truncate';
COMMENT ON COLUMN dwh_star.truncations.epoch IS 'epoch of the table to which the truncate belongs';

CREATE TABLE IF NOT EXISTS dwh_star.state (
    only_row boolean NOT NULL DEFAULT true,
    model_id bigint,
    CONSTRAINT state_pkey PRIMARY KEY (only_row),
    CONSTRAINT state_only_row_check CHECK (only_row)
);
ALTER TABLE dwh_star.state ADD COLUMN IF NOT EXISTS parking_versions bigint;
COMMENT ON TABLE dwh_star.state IS 'one row once the star has been built';
COMMENT ON COLUMN dwh_star.state.only_row IS 'true';
COMMENT ON COLUMN dwh_star.state.model_id IS 'the vault''s model at the last refresh: another one means that topics may have been read again';
COMMENT ON COLUMN dwh_star.state.parking_versions IS
    'how often events had been taken out of the quarantine at the last refresh: they were loaded at offsets that were passed before';

CREATE OR REPLACE VIEW dwh_star.moved AS
SELECT
    loaded.topic,
    loaded.partition,
    substring(loaded.topic FROM '[^.]+$') AS source_table,
    coalesce(seen.next_offset, 0)         AS from_offset,
    loaded.next_offset,
    coalesce(loaded.record_source, loaded.topic) AS record_source
FROM dwh_control.offsets AS loaded
LEFT JOIN dwh_star.offsets AS seen
    ON seen.topic = loaded.topic
    AND seen.partition = loaded.partition
WHERE loaded.next_offset <> coalesce(seen.next_offset, 0);
COMMENT ON VIEW dwh_star.moved IS 'what the loader has loaded since the last refresh';
COMMENT ON COLUMN dwh_star.moved.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_star.moved.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_star.moved.source_table IS 'the source''s table: the last part of the topic''s name';
COMMENT ON COLUMN dwh_star.moved.from_offset IS 'first offset that is not in the star yet';
COMMENT ON COLUMN dwh_star.moved.next_offset IS 'first offset that is not in the vault yet';
COMMENT ON COLUMN dwh_star.moved.record_source IS 'the source''s table, as the vault''s rows name it';

CREATE OR REPLACE VIEW dwh_star.new_truncations AS
SELECT
    truncation.topic,
    substring(truncation.topic FROM '[^.]+$') AS source_table,
    truncation.source_lsn,
    truncation.epoch,
    coalesce(
        (SELECT max(loaded.record_source) FROM dwh_control.offsets AS loaded WHERE loaded.topic = truncation.topic),
        truncation.topic
    ) AS record_source
FROM dwh_control.truncations AS truncation
WHERE NOT EXISTS (
    SELECT
    FROM dwh_star.truncations AS seen
    WHERE seen.topic = truncation.topic
        AND seen.source_lsn = truncation.source_lsn
        AND seen.epoch = truncation.epoch
);
COMMENT ON VIEW dwh_star.new_truncations IS 'truncates that came since the last refresh';
COMMENT ON COLUMN dwh_star.new_truncations.topic IS 'topic of the table that was truncated';
COMMENT ON COLUMN dwh_star.new_truncations.source_table IS 'the source''s table';
COMMENT ON COLUMN dwh_star.new_truncations.source_lsn IS 'log position of the truncate';
COMMENT ON COLUMN dwh_star.new_truncations.epoch IS 'epoch of the table to which the truncate belongs';
COMMENT ON COLUMN dwh_star.new_truncations.record_source IS 'the source''s table, as the vault''s rows name it';

-- The way from offsets to versions. Only satellites that tables of the star are made of have one. A satellite that is a view,
-- as connectors/airline/inferred-names.sql makes them, has its indexes on the tables behind it.
SELECT format(
    'CREATE INDEX IF NOT EXISTS %1$s_kafka_offset_idx ON dwh_detailed.%1$I (kafka_partition, kafka_offset)',
    satellite
)
FROM unnest(ARRAY[
    'sat_flights_status',
    'sat_flight_schedules',
    'sat_flight_operations',
    'sat_flight_routes_effectivity',
    'sat_bookings_status',
    'sat_bookings',
    'sat_tickets_status',
    'sat_booking_tickets_effectivity',
    'sat_ticket_passengers_effectivity',
    'sat_ticket_flights_status',
    'sat_ticket_flights',
    'sat_boarding_passes_status'
]) AS satellite
WHERE EXISTS (
    SELECT
    FROM pg_catalog.pg_class AS made
    WHERE made.oid = to_regclass('dwh_detailed.' || satellite)
        AND made.relkind = 'r'
)
\gexec

COMMIT;
