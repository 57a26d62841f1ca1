-- How far each table of the source is loaded, for those who wait for a day to be complete.
-- Invariant: one row for each partition that the loader has met, straight from where the loader keeps its offsets: they move in
-- the transaction that writes the rows. A partition whose changes are streamed is in the order of the source's commits, so
-- everything that the source committed before source_committed, and that went to this partition, is in the vault. While
-- is_streamed is false only rows of a snapshot were loaded, and those are in no such order. Two sources may have a table of one
-- name, so each row says of which source it is. The views own no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- A vault that was made from the printed DDL alone has no loader, and so no offsets.
SELECT to_regclass('dwh_control.offsets') IS NOT NULL AS has_loader
\gset
\if :has_loader

BEGIN;

-- A topic is the source's whose tables it carried. Of what was never loaded from a topic, the prefix that the source's other topics
-- have tells the source.
CREATE OR REPLACE VIEW dwh_marts.source_topics AS
WITH loaded AS (
    SELECT DISTINCT ON (offsets.topic)
        offsets.topic,
        sources.source,
        left(offsets.topic, length(offsets.topic) - length(offsets.record_source) + length(sources.source) + 1) AS prefix,
        substring(offsets.record_source FROM '[^.]+$') AS table_name
    FROM dwh_control.offsets AS offsets
    JOIN dwh_control.sources AS sources ON starts_with(offsets.record_source, sources.source || '.')
    ORDER BY offsets.topic, length(sources.source) DESC
),
prefixes AS (
    SELECT DISTINCT source, prefix FROM loaded
),
all_topics AS (
    SELECT topic FROM dwh_control.offsets
    UNION
    SELECT topic FROM dwh_control.paused_tables
    UNION
    SELECT topic FROM dwh_control.quarantine
)
SELECT topic, source, table_name FROM loaded
UNION ALL
SELECT all_topics.topic, prefixes.source, substring(all_topics.topic FROM '[^.]+$')
FROM all_topics
LEFT JOIN prefixes
    ON starts_with(all_topics.topic, prefixes.prefix)
    AND substr(all_topics.topic, length(prefixes.prefix) + 1) ~ '^[^.]+[.][^.]+$'
WHERE NOT EXISTS (SELECT FROM loaded WHERE loaded.topic = all_topics.topic);

COMMENT ON VIEW dwh_marts.source_topics IS 'which source and table each known topic belongs to';
COMMENT ON COLUMN dwh_marts.source_topics.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_marts.source_topics.source IS 'name of the source; NULL while nothing was loaded from any of its topics';
COMMENT ON COLUMN dwh_marts.source_topics.table_name IS 'table of the source that the topic carries';

CREATE OR REPLACE VIEW dwh_marts.load_progress AS
SELECT
    offsets.topic,
    offsets.partition,
    source_topics.table_name,
    offsets.next_offset,
    offsets.source_lsn IS NOT NULL AS is_streamed,
    offsets.source_committed,
    offsets.last_published,
    offsets.loaded_at,
    source_topics.source
FROM dwh_control.offsets AS offsets
JOIN dwh_marts.source_topics AS source_topics USING (topic);

COMMENT ON VIEW dwh_marts.load_progress IS 'how far each partition of each captured table is loaded';
COMMENT ON COLUMN dwh_marts.load_progress.topic IS 'Kafka topic';
COMMENT ON COLUMN dwh_marts.load_progress.partition IS 'partition of the topic';
COMMENT ON COLUMN dwh_marts.load_progress.table_name IS 'table of the source that the topic carries';
COMMENT ON COLUMN dwh_marts.load_progress.next_offset IS 'first offset that is not loaded yet; 0: nothing was ever loaded';
COMMENT ON COLUMN dwh_marts.load_progress.is_streamed IS 'whether a streamed change was loaded, not only rows of a snapshot';
COMMENT ON COLUMN dwh_marts.load_progress.source_committed IS 'commit time at the source of the last event loaded from here';
COMMENT ON COLUMN dwh_marts.load_progress.last_published IS 'publish time of the last event loaded from here';
COMMENT ON COLUMN dwh_marts.load_progress.loaded_at IS 'when the last batch from here was committed, by the warehouse''s clock';
COMMENT ON COLUMN dwh_marts.load_progress.source IS 'name of the source; NULL while nothing was loaded from any of its topics';

COMMIT;

\endif
