-- As of when the vault is complete, for each source.
-- Invariant: one row for each source that the warehouse was migrated to. What is not known is NULL, and never guessed. The
-- watermark is about offsets: events that wait in the quarantine have been passed by it, so their number stands beside it. The view
-- owns no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- A vault that was made from the printed DDL alone has no loader, and so no watermark.
SELECT to_regclass('dwh_control.watermark') IS NOT NULL AS has_watermark
\gset
\if :has_watermark

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.freshness AS
WITH
-- A topic is the source's whose tables it carried. What was never loaded from a topic is told by the prefix that the source's other
-- topics have.
loaded_topics AS (
    SELECT DISTINCT
        offsets.topic,
        sources.source,
        left(offsets.topic, length(offsets.topic) - length(offsets.record_source) + length(sources.source) + 1) AS prefix
    FROM dwh_control.offsets AS offsets
    JOIN dwh_control.sources AS sources ON starts_with(offsets.record_source, sources.source || '.')
),
prefixes AS (
    SELECT DISTINCT source, prefix FROM loaded_topics
),
all_topics AS (
    SELECT topic FROM dwh_control.offsets
    UNION
    SELECT topic FROM dwh_control.paused_tables
    UNION
    SELECT topic FROM dwh_control.quarantine
),
source_topics AS (
    SELECT all_topics.topic, loaded_topics.source
    FROM all_topics
    JOIN loaded_topics USING (topic)
    UNION
    SELECT all_topics.topic, prefixes.source
    FROM all_topics
    JOIN prefixes ON starts_with(all_topics.topic, prefixes.prefix)
    WHERE substr(all_topics.topic, length(prefixes.prefix) + 1) ~ '^[^.]+[.][^.]+$'
      AND NOT EXISTS (SELECT FROM loaded_topics AS known WHERE known.topic = all_topics.topic)
),
paused AS (
    SELECT source_topics.source, count(DISTINCT paused_tables.topic) AS table_count
    FROM dwh_control.paused_tables AS paused_tables
    JOIN source_topics USING (topic)
    GROUP BY source_topics.source
),
waiting AS (
    SELECT source_topics.source, count(*) AS event_count
    FROM dwh_control.quarantine AS quarantine
    JOIN source_topics USING (topic)
    GROUP BY source_topics.source
)
SELECT
    sources.source,
    sources.source_system_id,
    watermark.source_lsn IS NOT NULL AS is_position_known,
    watermark.source_lsn,
    watermark.source_committed,
    watermark.published,
    clock_timestamp() - watermark.published AS age,
    watermark.updated_at,
    COALESCE(paused.table_count, 0) AS paused_tables,
    COALESCE(waiting.event_count, 0) AS waiting_events,
    watermark.source_timeline
FROM dwh_control.sources AS sources
LEFT JOIN dwh_control.watermark AS watermark USING (source_system_id)
LEFT JOIN paused USING (source)
LEFT JOIN waiting USING (source);

COMMENT ON VIEW dwh_marts.freshness IS 'up to where all tables of each source are loaded together, and what is not loaded';
COMMENT ON COLUMN dwh_marts.freshness.source IS 'name of the source';
COMMENT ON COLUMN dwh_marts.freshness.source_system_id IS 'number of the source';
COMMENT ON COLUMN dwh_marts.freshness.is_position_known IS 'whether the position in the source''s log is known; heartbeats of Debezium name none';
COMMENT ON COLUMN dwh_marts.freshness.source_lsn IS 'every change whose commit ends at or before this position of the source''s log is loaded';
COMMENT ON COLUMN dwh_marts.freshness.source_timeline IS 'timeline of the source''s log to which that position belongs';
COMMENT ON COLUMN dwh_marts.freshness.source_committed IS 'when the last known transaction before that position committed';
COMMENT ON COLUMN dwh_marts.freshness.published IS 'every event that was published at or before this time is loaded; NULL while there is no watermark';
COMMENT ON COLUMN dwh_marts.freshness.age IS 'how long ago that was, by the warehouse''s clock';
COMMENT ON COLUMN dwh_marts.freshness.updated_at IS 'when the watermark was written, by the warehouse''s clock';
COMMENT ON COLUMN dwh_marts.freshness.paused_tables IS 'tables that stand still; each of them holds the watermark up';
COMMENT ON COLUMN dwh_marts.freshness.waiting_events IS 'events in quarantine: the watermark has passed them, and they are not in the vault';

COMMIT;

\endif
