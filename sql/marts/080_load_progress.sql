-- How far each table of the source is loaded, for those who wait for a day to be complete.
-- Invariant: one row for each partition that the loader has met, straight from where the loader keeps its offsets: they move in
-- the transaction that writes the rows. A partition whose changes are streamed is in the order of the source's commits, so
-- everything that the source committed before source_committed, and that went to this partition, is in the vault. While
-- is_streamed is false only rows of a snapshot were loaded, and those are in no such order. The view owns no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- A vault that was made from the printed DDL alone has no loader, and so no offsets.
SELECT to_regclass('dwh_control.offsets') IS NOT NULL AS has_loader
\gset
\if :has_loader

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.load_progress AS
SELECT
    topic,
    partition,
    split_part(topic, '.', 3) AS table_name,
    next_offset,
    source_lsn IS NOT NULL AS is_streamed,
    source_committed,
    last_published,
    loaded_at
FROM dwh_control.offsets;

COMMENT ON VIEW dwh_marts.load_progress IS 'how far each partition of each captured table is loaded';
COMMENT ON COLUMN dwh_marts.load_progress.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_marts.load_progress.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_marts.load_progress.table_name IS 'table of the source that the topic carries';
COMMENT ON COLUMN dwh_marts.load_progress.next_offset IS 'first offset that is not loaded yet; 0: nothing was ever loaded';
COMMENT ON COLUMN dwh_marts.load_progress.is_streamed IS 'whether a streamed change was loaded, not only rows of a snapshot';
COMMENT ON COLUMN dwh_marts.load_progress.source_committed IS 'commit time at the source of the last event loaded from here';
COMMENT ON COLUMN dwh_marts.load_progress.last_published IS 'publish time of the last event loaded from here';
COMMENT ON COLUMN dwh_marts.load_progress.loaded_at IS 'when the last batch from here was committed, by the warehouse''s clock';

COMMIT;

\endif
