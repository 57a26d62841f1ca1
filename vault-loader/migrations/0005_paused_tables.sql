-- The tables whose loading stands still, so that an operator and an analyst see which tables are out of date.
-- Invariant: a row stands here as long as the partition's offset has not moved past the record that cannot be loaded.

CREATE TABLE dwh_control.paused_tables (
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    kafka_offset bigint      NOT NULL,
    reason       text        NOT NULL,
    remedy       text        NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT paused_tables_pkey PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE dwh_control.paused_tables IS 'tables whose loading stands still; all others go on';
COMMENT ON COLUMN dwh_control.paused_tables.topic IS 'topic of the table';
COMMENT ON COLUMN dwh_control.paused_tables.partition IS 'partition that holds the record which cannot be loaded';
COMMENT ON COLUMN dwh_control.paused_tables.kafka_offset IS 'offset of that record; nothing from there on is loaded';
COMMENT ON COLUMN dwh_control.paused_tables.reason IS 'what is wrong; never shows a value';
COMMENT ON COLUMN dwh_control.paused_tables.remedy IS 'what an operator has to do';
COMMENT ON COLUMN dwh_control.paused_tables.since IS 'when the table first stopped at this record';
